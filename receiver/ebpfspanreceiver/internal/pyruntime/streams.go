package pyruntime

import (
	"debug/elf"
	"errors"
	"fmt"

	"golang.org/x/arch/x86/x86asm"
)

// Where python.bpf.c reads of a stream of uvloop. A class of Cython without a base has its first member behind
// PyObject and the table of its functions: UVHandle._handle. The places in uv_stream_t are of libuv's ABI, which a
// major version does not change, and there has been one: include/uv.h, include/uv/unix.h. [Streams] makes sure of the
// first two in the code of uvloop, which need not name what it has of libuv; the descriptor is read where that is not
// inlined. The probe asks the handle whether it is this transport's.
const (
	handleAt         = 24
	writeQueueSizeAt = 96
)

const (
	methO    = 0x8  // METH_O: self, argument
	methFast = 0x80 // METH_FASTCALL: self, array of arguments, their number, names
)

// Streams finds the sites of the transports of uvloop, in its module loop. ErrNotPython: another file has them.
func Streams(path string) ([]Site, error) {
	im, err := open(path)
	if err != nil {
		return nil, err
	}
	defer im.close()
	// Transports of TLS have methods of these names as well, but for the last.
	m := im.methods("write", "writelines", "write_eof", "can_write_eof", "is_reading")
	if m == nil {
		return nil, fmt.Errorf("%w: it has no table of methods with UVStream.write", ErrNotPython)
	}
	if im.file.Machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("streams are followed on amd64 only, this is %v", im.file.Machine)
	}
	if !im.asksQueue(m[0].address) {
		return nil, errors.New("streams of this version are laid out in another way")
	}
	var sites []Site
	for _, write := range m[:2] {
		kind := Write
		switch {
		case write.flags&methFast != 0:
			kind = WriteArray
		case write.flags&methO == 0:
			return nil, fmt.Errorf("UVStream.%s gets its arguments in a way that is not known", write.name)
		}
		at, ok := im.cheap(write.address, 2)
		if !ok {
			return nil, fmt.Errorf("no place for a probe at the beginning of UVStream.%s", write.name)
		}
		sites = append(sites, Site{Kind: kind, Offset: at})
	}
	return sites, nil
}

// asksQueue: a write looks whether libuv has something left of before, where that is expected.
func (im *image) asksQueue(write uint64) bool {
	found := false
	im.reach([]uint64{write}, func(_ uint64, in *x86asm.Inst, before []uint64) {
		size, ok := in.Args[0].(x86asm.Mem)
		if !ok || in.Op != x86asm.CMP || in.MemBytes != 8 || size.Disp != writeQueueSizeAt || size.Index != 0 {
			return
		}
		for i := len(before) - 1; i >= 0; i-- {
			load, ok := im.decode(before[i])
			if !ok || !writes(&load, size.Base) {
				continue
			}
			handle, ok := load.Args[1].(x86asm.Mem)
			found = found || ok && load.Op == x86asm.MOV && handle.Disp == handleAt && handle.Index == 0
			return
		}
	})
	return found
}
