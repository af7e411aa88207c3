package elfcode

import (
	"debug/elf"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	segment := func(kind elf.ProgType, flags elf.ProgFlag, address, offset, size uint64) *elf.Prog {
		// In memory it goes on behind what the file has.
		return &elf.Prog{ProgHeader: elf.ProgHeader{
			Type: kind, Flags: flags, Vaddr: address, Off: offset, Filesz: size, Memsz: size + 0x100,
		}}
	}
	code := Of(&elf.File{Progs: []*elf.Prog{
		segment(elf.PT_NOTE, elf.PF_R|elf.PF_X, 0x500, 0x500, 0x10),
		segment(elf.PT_LOAD, elf.PF_R, 0x1000, 0, 0x1000),
		segment(elf.PT_LOAD, elf.PF_R|elf.PF_X, 0x3000, 0x1000, 0x200),
		segment(elf.PT_LOAD, elf.PF_R|elf.PF_W, 0x4000, 0x1200, 0x1000),
		segment(elf.PT_LOAD, elf.PF_R|elf.PF_X, 0x6000, 0x3000, 0x40),
	}})
	for name, tc := range map[string]struct{ address, offset, size uint64 }{
		"its first byte":       {0x3000, 0x1000, 0x200},
		"its last byte":        {0x31ff, 0x11ff, 1},
		"behind it":            {0x3200, 0, 0},
		"before it":            {0x2fff, 0, 0},
		"the second":           {0x6010, 0x3010, 0x30},
		"data":                 {0x1010, 0, 0},
		"data that is written": {0x4010, 0, 0},
		"not loaded":           {0x500, 0, 0},
		"nothing":              {0, 0, 0},
		"the end of memory":    {math.MaxUint64, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			offset, size := code.Find(tc.address)
			require.Equal(t, tc.offset, offset)
			require.Equal(t, tc.size, size)
		})
	}
}

// TestFindOwn: the symbols of this program are where the sections of its file say.
func TestFindOwn(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	f, err := elf.Open(exe)
	require.NoError(t, err)
	defer f.Close()
	text := f.Section(".text")
	offset, size := Of(f).Find(text.Addr)
	require.Equal(t, text.Offset, offset)
	require.GreaterOrEqual(t, size, text.Size)
	_, size = Of(f).Find(f.Section(".rodata").Addr)
	require.Zero(t, size, "what is read is no code")
}
