package javaruntime

import "fmt"

const (
	flagTable   = "JVMFlag::flags"
	flagCount   = "JVMFlag::numFlags"
	flagName    = "JVMFlag::_name"
	flagAddress = "JVMFlag::_addr"
)

// flagsRead are the options of the VM that are asked for: all of them are either set or not.
var flagsRead = map[string]bool{
	"UseG1GC": true, "UseParallelGC": true, "UseSerialGC": true, "UseZGC": true,
	"UseCompressedOops": true, "UseCompressedClassPointers": true, "UseCompactObjectHeaders": true,
}

// readFlags reads them, by name. One that the release does not have is missing.
func readFlags(im *image, s structs) (map[string]bool, error) {
	size, err := typeSize(im, "JVMFlag")
	if err != nil {
		if size, err = typeSize(im, "Flag"); err != nil { // before JDK 11
			return nil, err
		}
	}
	at, err := im.word(s[flagTable].address)
	if err != nil {
		return nil, err
	}
	count, err := im.word(s[flagCount].address)
	if err != nil {
		return nil, err
	}
	if at == 0 || count > 1<<14 || size < 24 || size > 256 {
		return nil, fmt.Errorf("%w: %d options of %d bytes at %#x", ErrNotReady, count, size, at)
	}
	out := map[string]bool{}
	for ; count > 0; count, at = count-1, at+size {
		name, err := im.word(at + s[flagName].offset)
		if err != nil {
			return nil, err
		}
		if name == 0 { // the last
			break
		}
		text, err := im.text(name)
		if err != nil {
			return nil, err
		}
		if !flagsRead[text] {
			continue
		}
		value, err := im.word(at + s[flagAddress].offset)
		if err != nil {
			return nil, err
		}
		var set [1]byte
		if err := im.bytes(value, set[:]); err != nil {
			return nil, err
		}
		out[text] = set[0] != 0
	}
	return out, nil
}
