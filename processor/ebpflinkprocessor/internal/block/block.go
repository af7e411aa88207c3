// Package block is the form in which a batch waits when it consists of what nearly all spans consist of: no
// events, no links, values that are strings, numbers, booleans or lists of strings. In OTLP half of such a
// batch is the keys of attributes, again for each span; here a key is a number of one byte. So it is written
// faster, takes half the room, and reading it makes no copies of keys. Spans are read one by one, as those of
// a batch may leave in several deliveries.
//
//	first (1)    an OTLP TracesData message begins with another byte
//	spans        one after the other
//	lengths      of each span
//	resources    of each: number of scopes; number of spans of each scope; length of, and a TracesData
//	             message with the resource and its scopes and without the spans
//	words        length and bytes of each
//	trailer (24) how many spans, resources, words; where the lengths, resources, words begin (uint32)
//
// A span:
//
//	what (1)     1 trace id, 2 span id, 4 parent, 8 tracestate, 16 flags, 32 status, 64 dropped counts
//	             follow, those that are not zero, in this order
//	name         text
//	kind         signed
//	start (8)
//	end - start  signed
//	attributes   how many; of each the number of the key among the words << 3 | type; its value
//
// Numbers without a size are varints, signed ones zigzag. Integers of a fixed size are little endian. A text is
// a number: odd, it is the number of a word << 1 | 1; even, it is twice the length of the bytes that follow.
package block

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed is returned for what is not a block.
var ErrMalformed = errors.New("not a block of spans")

const (
	first       = 1
	trailerSize = 24

	// A text is worth a number from this length on.
	minWord = 3
	// maxWords and maxWordBytes bound what is kept to recognise words, and what one span that a consumer
	// keeps can keep of its batch.
	maxWords     = 4096
	maxWordBytes = 64 << 10
)

const (
	hasTrace = 1 << iota
	hasSpan
	hasParent
	hasState
	hasFlags
	hasStatus
	hasDropped
)

// Types of values.
const (
	typeString = iota
	typeInt
	typeFalse
	typeTrue
	typeDouble
	typeStrings
)

// Is says whether b is a block and not an OTLP message.
func Is(b []byte) bool { return len(b) > 0 && b[0] == first }

func zigzag(n int64) uint64   { return uint64(n)<<1 ^ uint64(n>>63) }
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

func appendNumber(b []byte, n uint64) []byte {
	if n < 0x80 {
		return append(b, byte(n))
	}
	return binary.AppendUvarint(b, n)
}
