package javaruntime

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/mapped"
)

// pageSize is that of the cache, not of the machine.
const pageSize = 4096

// memory is that of a process. Pages that were read through text are kept: they hold constants.
type memory struct {
	file  io.ReaderAt
	pages map[uint64][]byte
}

func (m *memory) bytes(at uint64, b []byte) error {
	if at >= 1<<63 {
		return fmt.Errorf("address %#x is not in user space", at)
	}
	if _, err := m.file.ReadAt(b, int64(at)); err != nil {
		return fmt.Errorf("read %d bytes at %#x: %w", len(b), at, err)
	}
	return nil
}

func (m *memory) word(at uint64) (uint64, error) {
	var b [8]byte
	err := m.bytes(at, b[:])
	return binary.LittleEndian.Uint64(b[:]), err
}

func (m *memory) half(at uint64) (uint32, error) {
	var b [4]byte
	err := m.bytes(at, b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

// text is a string of at most 255 bytes that ends with a zero.
func (m *memory) text(at uint64) (string, error) {
	var out []byte
	for len(out) < 256 {
		page := at &^ (pageSize - 1)
		have := m.pages[page]
		if have == nil {
			have = make([]byte, pageSize)
			if err := m.bytes(page, have); err != nil {
				return "", err
			}
			m.pages[page] = have
		}
		rest := have[at-page:]
		for i, c := range rest {
			if c == 0 {
				return string(append(out, rest[:i]...)), nil
			}
		}
		out = append(out, rest...)
		at = page + pageSize
	}
	return "", fmt.Errorf("no end of a string before %#x", at)
}

// libraryName is that of the VM in every distribution of OpenJDK.
const libraryName = "libjvm.so"

// errNotMapped: there is no VM in the process, or not yet.
var errNotMapped = errors.New("libjvm.so is not mapped")

// Mapped says whether a process, given by its directory in procfs, has a Java VM.
func Mapped(proc string) bool {
	_, err := library(proc)
	return err == nil
}

// library is where libjvm.so begins in memory.
func library(proc string) (uint64, error) {
	at, found, err := mapped.Find(filepath.Join(proc, "maps"), func(name string) bool { return path.Base(name) == libraryName })
	if err == nil && !found {
		err = errNotMapped
	}
	return at, err
}
