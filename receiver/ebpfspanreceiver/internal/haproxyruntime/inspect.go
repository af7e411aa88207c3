package haproxyruntime

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/elfcode"
)

// Layout says where the running task is found.
type Layout struct {
	// TLS is the offset of th_ctx, a pointer, from the thread pointer.
	TLS int64
	// ProcessStream is the address of the handler of streams, in the file.
	ProcessStream uint64
	// Current is the offset of the running task in what th_ctx points to.
	Current uint64
	// Relocated: the file does not say where it is loaded.
	Relocated bool
}

// ErrOther: the executable is not HAProxy.
var ErrOther = errors.New("not HAProxy")

// Inspect reads an executable.
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
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return Layout{}, fmt.Errorf("%w: %w", ErrOther, err)
	}
	byName := map[string]elf.Symbol{}
	for _, s := range symbols {
		if s.Section != elf.SHN_UNDEF {
			byName[s.Name] = s
		}
	}
	stream, ok := byName["process_stream"]
	if _, proxy := byName["proxies_list"]; !ok || !proxy || elf.ST_TYPE(stream.Info) != elf.STT_FUNC {
		return Layout{}, ErrOther
	}
	if f.Machine != elf.EM_X86_64 {
		return Layout{}, fmt.Errorf("machine %s is not known", f.Machine)
	}
	l := Layout{ProcessStream: stream.Value, Relocated: f.Type == elf.ET_DYN}
	thread, ok := byName["th_ctx"]
	if !ok || elf.ST_TYPE(thread.Info) != elf.STT_TLS || thread.Size != 8 {
		return Layout{}, errors.New("it has no th_ctx: older than 2.5")
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_TLS {
			// The block of the executable ends at the thread pointer: ELF Handling For Thread-Local Storage,
			// variant II.
			align := max(p.Align, 1)
			size := (p.Memsz + align - 1) &^ (align - 1)
			l.TLS = int64(thread.Value) - int64(size)
		}
	}
	if l.TLS >= 0 {
		return Layout{}, errors.New("its thread-local storage is not understood")
	}
	scheduler, ok := byName["run_tasks_from_lists"]
	if !ok || scheduler.Size == 0 || scheduler.Size > 1<<16 {
		return Layout{}, errors.New("it has no run_tasks_from_lists")
	}
	code, err := codeOf(r, f, scheduler)
	if err != nil {
		return Layout{}, err
	}
	if l.Current, err = current(code); err != nil {
		return Layout{}, err
	}
	return l, nil
}

func codeOf(r io.ReaderAt, f *elf.File, s elf.Symbol) ([]byte, error) {
	offset, size := elfcode.Of(f).Find(s.Value)
	if size == 0 || s.Size > size {
		return nil, fmt.Errorf("%s is in no segment", s.Name)
	}
	code := make([]byte, s.Size)
	_, err := r.ReadAt(code, int64(offset))
	return code, err
}

// current finds the member that is cleared (movq $0, disp8(reg)) soon after a handler was called through a
// register, and set (mov reg, disp8(reg)) elsewhere. There must be one only.
func current(code []byte) (uint64, error) {
	found := -1
	for i := 0; i+8 <= len(code); i++ {
		// REX.W C7 /0, mod 01, no SIB
		if code[i]&^1 != 0x48 || code[i+1] != 0xc7 || code[i+2]&0xf8 != 0x40 || code[i+2] == 0x44 ||
			!bytes.Equal(code[i+4:i+8], []byte{0, 0, 0, 0}) {
			continue
		}
		disp := code[i+3]
		if disp >= 0x80 || disp%8 != 0 || !calls(code[max(0, i-48):i]) || !stores(code, disp) {
			continue
		}
		if found >= 0 && found != int(disp) {
			return 0, errors.New("the scheduler clears several members")
		}
		found = int(disp)
	}
	if found < 0 {
		return 0, errors.New("the scheduler clears no member that it sets")
	}
	return uint64(found), nil
}

// calls: call *reg (FF /2, mod 11).
func calls(code []byte) bool {
	for i := 0; i+1 < len(code); i++ {
		if code[i] == 0xff && code[i+1]&0xf8 == 0xd0 {
			return true
		}
	}
	return false
}

// stores: mov reg, disp(reg) (REX.W 89 /r, mod 01).
func stores(code []byte, disp byte) bool {
	for i := 0; i+4 <= len(code); i++ {
		if code[i]&0xf8 == 0x48 && code[i+1] == 0x89 && code[i+2]&0xc0 == 0x40 && code[i+2]&7 != 4 && code[i+3] == disp {
			return true
		}
	}
	return false
}
