package noderuntime

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/elfcode"
)

var errNoSymbol = errors.New("no such symbol")

// image finds exported symbols by the file's own hash table (DT_GNU_HASH): node exports 75 000.
type image struct {
	r       io.ReaderAt
	machine elf.Machine
	code    elfcode.Segments

	symbols, names, hashes *elf.Section
	buckets, first, bloom  uint32
}

// function is one symbol's code, at most maxCode bytes of it, and where it is.
type function struct {
	code    []byte
	offset  uint64 // in the file
	address uint64
	size    uint64
}

func (f *function) has(address uint64) bool { return address-f.address < f.size }

func openImage(r io.ReaderAt) (*image, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if f.Class != elf.ELFCLASS64 || f.ByteOrder != binary.LittleEndian {
		return nil, fmt.Errorf("%w: ELF %s, %s; only 64-bit little-endian is read", ErrUnsupported, f.Class, f.Data)
	}
	im := &image{
		r: r, machine: f.Machine, code: elfcode.Of(f),
		symbols: f.SectionByType(elf.SHT_DYNSYM), hashes: f.SectionByType(elf.SHT_GNU_HASH),
	}
	if im.symbols == nil || im.hashes == nil {
		return nil, ErrNotNode
	}
	if int64(im.symbols.Link) >= int64(len(f.Sections)) {
		return nil, fmt.Errorf("%w: the names of symbols are in section %d of %d", ErrMalformed, im.symbols.Link, len(f.Sections))
	}
	im.names = f.Sections[im.symbols.Link]
	var head [16]byte
	if err := readFull(im.hashes, head[:], 0); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	im.buckets, im.first, im.bloom = le.Uint32(head[:]), le.Uint32(head[4:]), le.Uint32(head[8:])
	return im, nil
}

// function looks a symbol up. The table: a header of four words, a Bloom filter of 8-byte words (skipped),
// the buckets, and for each symbol from `first` on a hash whose lowest bit ends a chain.
func (im *image) function(name string) (function, error) {
	if im.buckets == 0 {
		return function{}, errNoSymbol
	}
	hash := gnuHash(name)
	buckets := 16 + 8*int64(im.bloom)
	chains := buckets + 4*int64(im.buckets)
	i, err := im.word(buckets + 4*int64(hash%im.buckets))
	if err != nil {
		return function{}, err
	}
	if i < im.first {
		return function{}, errNoSymbol
	}
	for range 1 << 12 { // longer chains are not a linker's
		h, err := im.word(chains + 4*int64(i-im.first))
		if err != nil {
			return function{}, err
		}
		if h|1 == hash|1 {
			if f, ok, err := im.symbol(i, name); ok || err != nil {
				return f, err
			}
		}
		if h&1 != 0 {
			break
		}
		i++
	}
	return function{}, errNoSymbol
}

// symbol returns the code of symbol i if it has that name and is defined here.
func (im *image) symbol(i uint32, name string) (function, bool, error) {
	var sym [24]byte // Elf64_Sym
	if err := readFull(im.symbols, sym[:], 24*int64(i)); err != nil {
		return function{}, false, err
	}
	le := binary.LittleEndian
	text := make([]byte, len(name)+1)
	if err := readFull(im.names, text, int64(le.Uint32(sym[:]))); err != nil {
		return function{}, false, nil //nolint:nilerr // shorter than the name that is looked for
	}
	if !bytes.Equal(text, append([]byte(name), 0)) || le.Uint16(sym[6:]) == uint16(elf.SHN_UNDEF) {
		return function{}, false, nil
	}
	address, size := le.Uint64(sym[8:]), le.Uint64(sym[16:])
	offset, there := im.code.Find(address)
	if size == 0 || there == 0 {
		return function{}, false, fmt.Errorf("%w: %s at %#x is in no executable segment", ErrMalformed, name, address)
	}
	code := make([]byte, min(size, maxCode, there))
	if err := readFull(im.r, code, int64(offset)); err != nil {
		return function{}, false, err
	}
	return function{code, offset, address, size}, true, nil
}

func (im *image) word(at int64) (uint32, error) {
	var b [4]byte
	err := readFull(im.hashes, b[:], at)
	return binary.LittleEndian.Uint32(b[:]), err
}

func readFull(r io.ReaderAt, b []byte, at int64) error {
	if at < 0 {
		return fmt.Errorf("%w: offset %d", ErrMalformed, at)
	}
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %d bytes at %#x lie outside", ErrMalformed, len(b), at)
	}
	return err
}

// gnuHash is the hash of DT_GNU_HASH: h * 33 + c, from 5381.
func gnuHash(name string) uint32 {
	h := uint32(5381)
	for i := range len(name) {
		h = h*33 + uint32(name[i])
	}
	return h
}
