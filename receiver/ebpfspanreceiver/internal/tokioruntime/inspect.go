package tokioruntime

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/elfcode"
)

// Kind says what happens at a [Site], and where the address of the task is.
type Kind uint8

const (
	// Poll: a thread begins to poll a task, the first argument. The return address is on top of the stack.
	Poll Kind = iota
	// Made: a task was made. It is the result.
	Made
	// Gone: a task is about to be freed, the first argument.
	Gone
	// Wake: a task is to be polled again, the first argument.
	Wake
	// Lock: code that wakes who waits for a lock or a permit. It has no site.
	Lock
	// Pass: code that wakes for others. It has no site.
	Pass
	// Time: code that wakes who waits for a time to be over. It has no site.
	Time
)

// wakes: it is code that wakes tasks.
func (k Kind) wakes() bool { return k == Lock || k == Pass || k == Time }

// Code is a function that wakes tasks: Size bytes at an address, as symbols have it.
type Code struct {
	Kind        Kind // Lock, Pass or Time
	Start, Size uint64
}

// Layout is what an executable has of tokio.
type Layout struct {
	Sites []Site
	// Wakes are functions that wake tasks; there may be more than MaxWakes. TextStart and TextSize are where all code is, Base where the
	// file begins, by the addresses that it gives.
	Wakes                     []Code
	TextStart, TextSize, Base uint64
}

// MaxWakes is as many functions as the kernel side looks through: TOKIO_WAKES of bpf/event.h.
const MaxWakes = 24

// Site is one place for a probe. Offset is from the beginning of the file.
type Site struct {
	Kind   Kind
	Offset uint64
	// Return: the probe is on the return of the function that begins there.
	Return bool
}

var (
	// ErrOther: tokio is not linked into the executable.
	ErrOther = errors.New("tokio is not linked into it")
	// ErrStripped: it is, and the executable has no symbols.
	ErrStripped = errors.New("it has no symbol table: link it without strip (in Cargo.toml strip = \"debuginfo\" at most)")
)

const (
	// maxSection bounds what is read of a file at once.
	maxSection = 256 << 20
	// maxSites bounds the probes of a file: a large server spawns some hundred kinds of futures.
	maxSites = 4096
)

// source is in the names of tokio's files, which its panics have: "…/tokio-1.24.2/src/runtime/…".
var source = []byte("/tokio-1.")

// Inspect finds the sites of an executable, and the code that wakes tasks.
func Inspect(name string) (Layout, error) {
	f, err := os.Open(name)
	if err != nil {
		return Layout{}, err
	}
	defer f.Close()
	return inspect(f)
}

func inspect(r io.ReaderAt) (Layout, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return Layout{}, fmt.Errorf("%w: %w", ErrOther, err)
	}
	constants := f.Section(".rodata")
	if constants == nil || constants.Type == elf.SHT_NOBITS || constants.Size > maxSection {
		return Layout{}, ErrOther
	}
	data, err := constants.Data()
	if err != nil || !bytes.Contains(data, source) {
		return Layout{}, ErrOther
	}
	if f.Machine != elf.EM_X86_64 {
		return Layout{}, fmt.Errorf("tasks are told apart on amd64 only, this is %v", f.Machine)
	}
	if s := f.Section(".symtab"); s != nil && s.Size > maxSection {
		return Layout{}, fmt.Errorf("its symbol table has %d bytes, more than %d", s.Size, maxSection)
	}
	symbols, err := f.Symbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return Layout{}, ErrStripped
	}
	if err != nil {
		return Layout{}, fmt.Errorf("read its symbols: %w", err)
	}
	return sites(f, symbols)
}

// sites of what is named. Functions of the same code may have been merged, and have one address.
func sites(f *elf.File, symbols []elf.Symbol) (Layout, error) {
	found := map[*function][]uint64{}
	var l Layout
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Section == elf.SHN_UNDEF {
			continue
		}
		of := functionOf(s.Name)
		if of == nil || slices.Contains(found[of], s.Value) {
			continue
		}
		found[of] = append(found[of], s.Value)
		if of.kind.wakes() {
			l.Wakes = append(l.Wakes, Code{Kind: of.kind, Start: s.Value, Size: s.Size})
		}
	}
	for _, of := range functions {
		if of.required && len(found[of]) == 0 {
			if len(found) == 0 {
				return Layout{}, ErrStripped // of all but what the dynamic linker needs
			}
			return Layout{}, fmt.Errorf("it has no function %s", of.name)
		}
	}
	if text := f.Section(".text"); text != nil {
		l.TextStart, l.TextSize = text.Addr, text.Size
	}
	if i := slices.IndexFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_LOAD && p.Off == 0 }); i >= 0 {
		l.Base = f.Progs[i].Vaddr
	}
	probed, code := makers(found), elfcode.Of(f)
	for of, addresses := range found {
		if of.kind.wakes() || of.kind == Made && !slices.Contains(probed, of) {
			continue
		}
		for _, at := range addresses {
			offset, size := code.Find(at)
			if size == 0 {
				return Layout{}, fmt.Errorf("%s at %#x is in no segment", of.name, at)
			}
			l.Sites = append(l.Sites, Site{Kind: of.kind, Offset: offset, Return: of.kind == Made})
		}
	}
	if len(l.Sites) > maxSites {
		return Layout{}, fmt.Errorf("it would need %d probes, more than %d", len(l.Sites), maxSites)
	}
	return l, nil
}
