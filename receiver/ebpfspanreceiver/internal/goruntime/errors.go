package goruntime

import "errors"

var (
	// ErrNotGo: the file is a readable ELF file without the runtime's function table.
	ErrNotGo = errors.New("not a Go executable")
	// ErrUnsupported: a Go executable whose layout cannot be established beyond doubt.
	ErrUnsupported = errors.New("unsupported Go executable")
	// ErrMalformed: not an ELF file this package reads, or one that contradicts itself.
	ErrMalformed = errors.New("malformed executable")
)
