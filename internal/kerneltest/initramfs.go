package main

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// maxTestdata bounds what one package may carry into the guest's memory.
const maxTestdata = 64 << 20

// findBusybox returns a busybox that needs no libraries.
func findBusybox() (string, error) {
	const remedy = "install Debian's package busybox-static"
	name, err := exec.LookPath("busybox")
	if err != nil {
		return "", errors.New("busybox is not in PATH: " + remedy)
	}
	f, err := elf.Open(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s is dynamically linked and would not start in the guest: %s", name, remedy)
		}
	}
	return name, nil
}

// archive writes the kernel's initramfs format: cpio "newc", see
// Documentation/driver-api/early-userspace/buffer-format.rst. It is left uncompressed, because an
// emulated CPU unpacks far slower than QEMU copies. The first error sticks.
type archive struct {
	w     *bufio.Writer
	inode uint32
	seen  map[string]bool
	err   error
}

const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeChar = 0o020000
)

func (a *archive) entry(name string, mode uint32, major, minor uint32, data []byte) {
	if a.err != nil || a.seen[name] {
		return
	}
	if uint64(len(data)) > 0xffffffff {
		a.err = fmt.Errorf("%s: a cpio entry holds 4 GiB at most", name)
		return
	}
	a.seen[name] = true
	a.inode++
	fields := [...]uint32{
		a.inode, mode, 0, 0, 1, 0, uint32(len(data)), 0, 0, major, minor, uint32(len(name) + 1), 0,
	}
	var header strings.Builder
	header.WriteString("070701")
	for _, f := range fields {
		fmt.Fprintf(&header, "%08x", f)
	}
	header.WriteString(name)
	header.WriteByte(0)
	a.padded([]byte(header.String()))
	a.padded(data)
}

// padded writes b and zeros up to a multiple of four bytes.
func (a *archive) padded(b []byte) {
	if a.err != nil {
		return
	}
	if _, a.err = a.w.Write(b); a.err != nil {
		return
	}
	_, a.err = a.w.Write(make([]byte, -len(b)&3))
}

// dir adds a folder and those above it.
func (a *archive) dir(name string) {
	if name == "." || name == "/" || name == "" {
		return
	}
	a.dir(path.Dir(name))
	a.entry(name, modeDir|0o755, 0, 0, nil)
}

func (a *archive) file(name string, mode uint32, data []byte) {
	a.dir(path.Dir(name))
	a.entry(name, modeFile|mode, 0, 0, data)
}

func (a *archive) copy(name string, mode uint32, from string) {
	if a.err != nil {
		return
	}
	data, err := os.ReadFile(from)
	if err != nil {
		a.err = err
		return
	}
	a.file(name, mode, data)
}

// tree adds the regular files below from.
func (a *archive) tree(name, from string) {
	if a.err != nil {
		return
	}
	var total int64
	a.err = filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if total += info.Size(); total > maxTestdata {
			return fmt.Errorf("%s holds more than %d MiB, too much for a guest's memory", from, maxTestdata>>20)
		}
		rel, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		a.copy(path.Join(name, filepath.ToSlash(rel)), uint32(info.Mode().Perm()), file)
		return a.err
	})
}

func writeInitramfs(name, busybox, init string, suites []suite) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	a := archive{w: bufio.NewWriterSize(f, 1<<20), seen: map[string]bool{}}
	for _, d := range []string{"bin", "dev", "etc", "proc", "root", "run", "sys", "tmp"} {
		a.dir(d)
	}
	// The kernel opens this one for init before devtmpfs is mounted.
	a.entry("dev/console", modeChar|0o600, 5, 1, nil)
	a.copy("bin/busybox", 0o755, busybox)
	a.file("init", 0o755, []byte(init))
	a.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"))
	a.file("etc/group", 0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	a.file("etc/hosts", 0o644, []byte("127.0.0.1 localhost kernel-test\n::1 localhost\n"))
	a.file("etc/machine-id", 0o444, []byte("6b65726e656c746573740000000000ff\n"))
	for _, s := range suites {
		a.dir(s.guestDir())
		a.copy(s.guestBinary(), 0o755, s.binary)
		if s.testdata != "" {
			a.tree(path.Join(s.guestDir(), "testdata"), s.testdata)
		}
	}
	a.inode = ^uint32(0) // the trailer's number is of no account
	a.entry("TRAILER!!!", 0, 0, 0, nil)
	if a.err == nil {
		a.err = a.w.Flush()
	}
	if a.err != nil {
		return fmt.Errorf("write initramfs: %w", a.err)
	}
	return nil
}
