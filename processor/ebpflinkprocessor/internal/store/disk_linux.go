package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// occupied is the disk space of a file: Badger maps files that are mostly holes.
func occupied(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512 // st_blocks counts 512-byte units, stat(2)
	}
	return info.Size()
}

// free is the room on the file system of dir, -1 when unknown.
func free(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * st.Bsize
}

// byPrivilege: neither owner nor mode let this process write to dir, so that it is CAP_DAC_OVERRIDE that does
// (path_resolution(7)).
func byPrivilege(dir string) bool {
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return false
	}
	const write = 0o3 // and search
	bits := st.Mode
	switch groups, _ := os.Getgroups(); {
	case int(st.Uid) == os.Geteuid():
		bits >>= 6
	case int(st.Gid) == os.Getegid() || slices.Contains(groups, int(st.Gid)):
		bits >>= 3
	}
	return bits&write != write
}

// reserve allocates the blocks of a part of a file.
func reserve(path string, from, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const keepSize = 1 // FALLOC_FL_KEEP_SIZE, linux/falloc.h
	return syscall.Fallocate(int(f.Fd()), keepSize, from, size)
}

// give gives the blocks of a file back while it stays open and mapped.
func give(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		const keepSize, punchHole = 1, 2 // linux/falloc.h
		_ = syscall.Fallocate(int(f.Fd()), keepSize|punchHole, 0, info.Size())
	}
}

// rest lets go of the memory of the mapped files in dir. They stay mapped, and their pages in the cache of
// the kernel; but no longer do they count as this process's.
func rest(dir string) {
	maps, err := os.ReadFile("/proc/self/maps") // proc_pid_maps(5)
	if err != nil {
		return
	}
	for line := range bytes.Lines(maps) {
		at := bytes.IndexByte(line, '/')
		var from, to uintptr
		if at < 0 || !bytes.HasPrefix(line[at:], []byte(dir+"/")) {
			continue
		}
		if _, err := fmt.Sscanf(string(line[:at]), "%x-%x", &from, &to); err == nil {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
}

// hold takes the lock on f that one process at a time has.
func hold(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
