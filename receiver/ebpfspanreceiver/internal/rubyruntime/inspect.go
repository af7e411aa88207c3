package rubyruntime

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/mapped"
)

// Layout says where a thread of Ruby says what it waits for, in bytes.
type Layout struct {
	// Slot of libruby in the dynamic thread vector of glibc, and Current (ruby_current_ec) in the block that the slot
	// points to.
	Slot, Current uint32
	// Thread in rb_execution_context_t, and EC in rb_thread_t: they name each other.
	Thread, EC uint32
	// Unblock (unblock.func) and Locking (locking_mutex) in rb_thread_t.
	Unblock, Locking uint32
}

var (
	// ErrNotReady: the interpreter is still starting; try again.
	ErrNotReady = errors.New("the interpreter is not ready yet")
	// ErrUnreadable: what its threads wait for cannot be told.
	ErrUnreadable = errors.New("what its threads wait for cannot be read")
)

// known is the version that the structures are known of.
const known = "3.1."

const (
	maxCode    = 8 << 10
	maxModules = 1024 // shared objects with thread-local variables
	maxOffset  = 1 << 12
	vectorSlot = 16 // bytes of dtv_t, glibc sysdeps/generic/dl-dtv.h
)

// Names of what is needed of libruby.
const (
	symVersion   = "ruby_version"
	symCurrent   = "ruby_current_ec"
	symRactor    = "ruby_single_main_ractor"
	symThread    = "rb_thread_current"
	symMain      = "rb_thread_main"
	symWithLock  = "rb_thread_call_with_gvl"
	symMutexLock = "rb_mutex_lock"
)

// Inspect reads the interpreter of a process, given by its directory in procfs.
func Inspect(proc string) (Layout, error) {
	l, err := inspect(proc)
	if err != nil && !errors.Is(err, ErrNotReady) {
		err = fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return l, err
}

func inspect(proc string) (Layout, error) {
	if runtime.GOARCH != "amd64" {
		return Layout{}, errors.New("only on x86-64 so far")
	}
	lib, err := find(filepath.Join(proc, "maps"))
	if err != nil {
		return Layout{}, err
	}
	mem, err := os.Open(filepath.Join(proc, "mem"))
	if err != nil {
		return Layout{}, err
	}
	defer mem.Close()
	file, err := elf.Open(filepath.Join(proc, "root", lib.name))
	if err != nil {
		return Layout{}, fmt.Errorf("read %s: %w", lib.name, err)
	}
	defer file.Close()
	im := image{mem: mem, file: file, library: lib, symbols: map[string]elf.Symbol{}}
	if err := im.load(); err != nil {
		return Layout{}, fmt.Errorf("read %s: %w", lib.name, err)
	}
	return im.layout()
}

// library is where libruby is mapped.
type library struct {
	name       string
	start, end uint64
}

// libraryName is libruby-3.1.so.3.1.2, or libruby.so.3.1.2 where one version alone is expected.
var libraryName = regexp.MustCompile(`^libruby[-.0-9]*so\.`)

// find looks through what is mapped. The C library says how a thread finds its variables and how it sleeps.
func find(maps string) (library, error) {
	var found library
	glibc, other := false, ""
	err := mapped.Files(maps, func(p mapped.Part) bool {
		glibc = glibc || path.Base(p.Name) == "libc.so.6"
		switch {
		case !libraryName.MatchString(path.Base(p.Name)):
		case found.name == "":
			found = library{name: p.Name, start: p.Start, end: p.End}
		case p.Name == found.name:
			found.end = p.End
		default:
			other = p.Name
		}
		return other == ""
	})
	switch {
	case err != nil:
		return library{}, err
	case other != "":
		return library{}, fmt.Errorf("both %s and %s are mapped", found.name, other)
	case found.name == "":
		return library{}, fmt.Errorf("%w: no libruby is mapped: it is not loaded yet, or linked into the executable", ErrNotReady)
	case !glibc:
		return library{}, errors.New("its C library is not glibc")
	}
	return found, nil
}

// image is libruby, as the file describes it and as it is in the memory of a process.
type image struct {
	mem     io.ReaderAt
	file    *elf.File
	library library
	symbols map[string]elf.Symbol
}

func (im *image) load() error {
	all, err := im.file.DynamicSymbols()
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Section != elf.SHN_UNDEF {
			im.symbols[s.Name] = s
		}
	}
	return nil
}

func (im *image) symbol(name string) (elf.Symbol, error) {
	s, ok := im.symbols[name]
	if !ok {
		return s, fmt.Errorf("it does not export %s", name)
	}
	return s, nil
}

func (im *image) word(at uint64) (uint64, error) {
	var b [8]byte
	if err := im.read(at, b[:]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

func (im *image) read(at uint64, b []byte) error {
	if at == 0 || at >= 1<<47 {
		return fmt.Errorf("%#x is no address", at)
	}
	if _, err := im.mem.ReadAt(b, int64(at)); err != nil {
		return fmt.Errorf("read %d bytes at %#x: %w", len(b), at, err)
	}
	return nil
}

// code is what is in memory from an address of the file on. It must be what the file has: that may have been replaced
// since the process began.
func (im *image) code(address, size uint64) ([]byte, error) {
	if size == 0 || size > maxCode {
		return nil, fmt.Errorf("%d bytes of code at %#x", size, address)
	}
	b, want := make([]byte, size), make([]byte, size)
	for _, p := range im.file.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 || address < p.Vaddr || address-p.Vaddr+size > p.Filesz {
			continue
		}
		if _, err := p.ReadAt(want, int64(address-p.Vaddr)); err != nil {
			return nil, err
		}
		if err := im.read(im.library.start+address, b); err != nil {
			return nil, err
		}
		if string(b) != string(want) {
			return nil, errors.New("the file is not what the process has mapped")
		}
		return b, nil
	}
	return nil, fmt.Errorf("no code at %#x", address)
}

func (im *image) function(name string) (address uint64, code []byte, err error) {
	s, err := im.symbol(name)
	if err != nil {
		return 0, nil, err
	}
	if code, err = im.code(s.Value, s.Size); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return s.Value, code, err
}

func (im *image) layout() (l Layout, err error) {
	if err := im.version(); err != nil {
		return Layout{}, err
	}
	for _, step := range []func(*Layout) error{im.current, im.unblock, im.locking, im.check} {
		if err := step(&l); err != nil {
			return Layout{}, err
		}
	}
	return l, nil
}

func (im *image) version() error {
	s, err := im.symbol(symVersion)
	if err != nil {
		return err
	}
	b := make([]byte, min(s.Size, 32))
	if err := im.read(im.library.start+s.Value, b); err != nil {
		return err
	}
	if !strings.HasPrefix(string(b), known) {
		return fmt.Errorf("it is Ruby %s, and only %sx is known", strings.TrimRight(string(b), "\x00"), known)
	}
	return nil
}
