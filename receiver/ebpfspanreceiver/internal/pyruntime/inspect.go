package pyruntime

import (
	"debug/elf"
	"errors"
	"fmt"

	"golang.org/x/arch/x86/x86asm"
)

// Kind says what happens at a [Site], and where the value is.
type Kind uint8

const (
	// Enter: a context begins to run something. It is the first argument.
	Enter Kind = iota
	// EnterMoved: the same. It is where the second argument was.
	EnterMoved
	// MadeArgument: a context has just got its memory. It is the first argument.
	MadeArgument
	// MadeResult: the same. It is the result of the call before; null where there was no memory.
	MadeResult
	// Put: an item is put into a queue, the first of an array that is the second argument.
	Put
	// PutMethod: the same, the third argument (METH_METHOD).
	PutMethod
	// Got: an item was taken from a queue, or nothing was (null). It is the result.
	Got
	// Write: a transport of uvloop, the first argument, is asked to write the second.
	Write
	// WriteArray: the same. The second argument is an array, and its first item is to be written.
	WriteArray
)

// Site is one place for a probe. Offset is from the beginning of the file.
type Site struct {
	Kind   Kind
	Offset uint64
	// Return: the probe is on the return of the function that begins there.
	Return bool
}

// ErrNotPython: the file is not of CPython.
var ErrNotPython = errors.New("not a file of CPython")

// Offsets in struct _pycontextobject, Include/internal/pycontext.h (pycore_context.h). They are the same
// from 3.7 to 3.13, but for builds without the GIL; [Contexts] makes sure of enteredAt.
const enteredAt = 0x28 // int ctx_entered

// enterKinds by the register that holds the context.
var enterKinds = []Kind{Enter, EnterMoved}

// contextMakers make contexts. All of them must be known: a context whose making is not seen would pass
// for the one that had its address before.
var contextMakers = []string{"PyContext_CopyCurrent", "PyContext_New", "PyContext_Copy"}

// Contexts finds the sites of contexts in an interpreter or its library: all of them, or an error that
// says which is missing. ErrNotPython: another file has them.
func Contexts(path string) ([]Site, error) {
	im, err := open(path)
	if err != nil {
		return nil, err
	}
	defer im.close()
	if im.exported["PyContext_CopyCurrent"] == 0 {
		return nil, fmt.Errorf("%w: it does not export PyContext_CopyCurrent", ErrNotPython)
	}
	if im.file.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("contexts are read on amd64 only, this is %v", im.file.Machine)
	}
	run := im.methods("values", "copy", "run")
	if run == nil {
		return nil, errors.New("no table of methods with Context.run")
	}
	enter := im.exported["PyContext_Enter"]
	if enter == 0 {
		return nil, errors.New("PyContext_Enter is not exported")
	}
	if !im.setsEntered(enter) {
		return nil, errors.New("contexts of this version are laid out in another way")
	}
	var sites []Site
	for _, f := range []uint64{run[2].address, enter} {
		at, register, ok := im.cheapFirst(f)
		if !ok || register >= len(enterKinds) {
			return nil, fmt.Errorf("no place for a probe at the beginning of the function at %#x", f)
		}
		sites = append(sites, Site{Kind: enterKinds[register], Offset: at})
	}
	makers := []uint64{run[1].address}
	for _, name := range contextMakers {
		makers = append(makers, im.exported[name])
	}
	made, err := im.made(makers)
	if err != nil {
		return nil, err
	}
	return append(sites, made...), nil
}

// Queue finds the sites of queue.SimpleQueue, in the interpreter or in its module _queue.
func Queue(path string) ([]Site, error) {
	im, err := open(path)
	if err != nil {
		return nil, err
	}
	defer im.close()
	if im.file.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("queues are followed on amd64 only, this is %v", im.file.Machine)
	}
	m := im.methods("get", "get_nowait", "put", "put_nowait")
	if m == nil {
		return nil, fmt.Errorf("%w: it has no table of methods with SimpleQueue.put", ErrNotPython)
	}
	var sites []Site
	for _, get := range m[:2] {
		at, ok := im.entry(get.address)
		if !ok {
			return nil, fmt.Errorf("no place for a probe at the beginning of SimpleQueue.%s", get.name)
		}
		sites = append(sites, Site{Kind: Got, Offset: at, Return: true})
	}
	for _, put := range m[2:] {
		kind, arguments := Put, 2
		if put.flags&methMethod != 0 {
			kind, arguments = PutMethod, 3
		}
		at, ok := im.cheap(put.address, arguments)
		if !ok {
			return nil, fmt.Errorf("no place for a probe at the beginning of SimpleQueue.%s", put.name)
		}
		sites = append(sites, Site{Kind: kind, Offset: at})
	}
	return sites, nil
}

// setsEntered: entering a context sets ctx_entered where it is expected.
func (im *image) setsEntered(enter uint64) bool {
	found := false
	im.reach([]uint64{enter}, func(_ uint64, in *x86asm.Inst, _ []uint64) {
		m, ok := in.Args[0].(x86asm.Mem)
		if ok && in.Op == x86asm.MOV && in.MemBytes == 4 && m.Disp == enteredAt && in.Args[1] == x86asm.Imm(1) {
			found = true
		}
	})
	return found
}

// made finds where the memory of a context has just been got: from the list of free ones, which are made
// new by _Py_NewReference, or from _PyObject_GC_New.
func (im *image) made(makers []uint64) ([]Site, error) {
	var sites []Site
	var missing error
	var found [Got + 1]bool
	seen := map[uint64]bool{}
	add := func(kind Kind, at uint64) {
		offset, ok := im.offset(at)
		found[kind] = true
		if ok && !seen[offset] {
			seen[offset] = true
			sites = append(sites, Site{Kind: kind, Offset: offset})
		}
	}
	im.reach(makers, func(at uint64, in *x86asm.Inst, before []uint64) {
		if in.Op != x86asm.CALL {
			return
		}
		switch im.callee(at, in) {
		case "_Py_NewReference":
			add(MadeArgument, at)
		case "_PyObject_GC_New":
			if im.firstArgument(before) != im.exported["PyContext_Type"] {
				return
			}
			jump, ok := im.testOfResult(at + uint64(in.Len))
			if !ok {
				missing = errors.New("the result of an allocation is not looked at where expected")
				return
			}
			add(MadeResult, jump)
		}
	})
	switch {
	case missing != nil:
	case !found[MadeResult]:
		missing = errors.New("the allocation of a context was not found")
	case !found[MadeArgument]: // before 3.9 it is a macro
		missing = errors.New("the reuse of a freed context was not found")
	}
	return sites, missing
}
