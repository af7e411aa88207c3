// Package splice takes chosen spans out of an encoded OTLP TracesData message. pdata decodes a message
// whole or not at all: when the spans of a batch leave in several deliveries it would decode all of them
// for each. Here a span that stays costs the reading of its length.
package splice

import (
	"encoding/binary"
	"errors"
	"math"
)

// Field numbers of opentelemetry/proto/trace/v1/trace.proto.
const (
	resourceSpans = 1 // TracesData
	scopeSpans    = 2 // ResourceSpans
	spans         = 2 // ScopeSpans
)

// ErrMalformed is returned for what is not a message of this kind.
var ErrMalformed = errors.New("not an OTLP TracesData message")

// Cut is a part of a message. It can be used again; what it has is valid until then, Spans only as long as
// the message is.
type Cut struct {
	// Frame is a TracesData message with the resources and scopes of the spans and without the spans.
	Frame []byte
	// Spans are the encoded spans, and Scopes how many of them are in each ScopeSpans of Frame.
	Spans  [][]byte
	Scopes []int

	// want is what has not been met; at is the ordinal of the next span.
	want []uint32
	at   uint32
}

// Take cuts the spans at the given ordinals, which ascend, out of message. Ordinals count the spans in the
// order in which pdata decodes them. It returns how many were found: fewer than wanted when one is beyond
// the end.
func (c *Cut) Take(message []byte, ordinals []uint32) (found int, err error) {
	c.Frame, c.Spans, c.Scopes = c.Frame[:0], c.Spans[:0], c.Scopes[:0]
	c.want, c.at = ordinals, 0
	for rest := message; len(rest) > 0; {
		f, err := next(rest)
		if err != nil {
			return 0, err
		}
		if f.number == resourceSpans && f.bytes {
			if _, err := c.message(resourceSpans, rest[f.from:f.end], 0); err != nil {
				return 0, err
			}
		}
		rest = rest[f.end:]
	}
	return len(c.Spans), nil
}

// repeated is the field at each depth that leads to the spans.
var repeated = [...]uint64{scopeSpans, spans}

// message takes what is wanted of a ResourceSpans (depth 0) or ScopeSpans (depth 1), and appends the rest
// of it to Frame as field number of what it is part of. It appends nothing and returns false when no
// span is wanted.
func (c *Cut) message(number byte, body []byte, depth int) (bool, error) {
	start, before := len(c.Frame), len(c.Spans)
	// The length is not known yet; a varint may be longer than it must be.
	c.Frame = append(c.Frame, number<<3|2, 0, 0, 0, 0, 0)
	content := len(c.Frame)
	// run is the beginning of what is to be copied as it is.
	run := 0
	for pos := 0; pos < len(body); {
		f, err := next(body[pos:])
		if err != nil {
			return false, err
		}
		from, end := pos+f.from, pos+f.end
		if f.number == repeated[depth] && f.bytes {
			c.Frame = append(c.Frame, body[run:pos]...)
			run = end
			if depth < len(repeated)-1 {
				if _, err := c.message(byte(f.number), body[from:end], depth+1); err != nil {
					return false, err
				}
			} else {
				if len(c.want) > 0 && c.want[0] == c.at {
					c.want, c.Spans = c.want[1:], append(c.Spans, body[from:end])
				}
				c.at++
			}
		}
		pos = end
	}
	n := len(c.Spans) - before
	if n == 0 {
		c.Frame = c.Frame[:start]
		return false, nil
	}
	if depth == len(repeated)-1 {
		c.Scopes = append(c.Scopes, n)
	}
	c.Frame = append(c.Frame, body[run:]...)
	size := len(c.Frame) - content
	if size > math.MaxInt32 {
		return false, ErrMalformed
	}
	for i := range 4 {
		c.Frame[start+1+i] = byte(size>>(7*i)) | 0x80
	}
	c.Frame[start+5] = byte(size >> 28)
	return true, nil
}

// Wrap makes a TracesData message of one encoded span.
func Wrap(span []byte) []byte {
	inner := append(binary.AppendUvarint([]byte{spans<<3 | 2}, uint64(len(span))), span...)
	middle := append(binary.AppendUvarint([]byte{scopeSpans<<3 | 2}, uint64(len(inner))), inner...)
	return append(binary.AppendUvarint([]byte{resourceSpans<<3 | 2}, uint64(len(middle))), middle...)
}

// field is one field at the beginning of a message: its content and its end.
type field struct {
	number    uint64
	from, end int
	// bytes: a string, bytes or message.
	bytes bool
}

func next(b []byte) (f field, err error) {
	tag, n := uvarint(b)
	if n <= 0 || tag>>3 == 0 {
		return f, ErrMalformed
	}
	f.number, f.from = tag>>3, n
	switch tag & 7 {
	case 0:
		_, n := uvarint(b[f.from:])
		if n <= 0 {
			return f, ErrMalformed
		}
		f.end = f.from + n
	case 1:
		f.end = f.from + 8
	case 2:
		size, n := uvarint(b[f.from:])
		if n <= 0 || size > uint64(len(b)) {
			return f, ErrMalformed
		}
		f.bytes = true
		f.from += n
		f.end = f.from + int(size)
	case 5:
		f.end = f.from + 4
	default: // groups, which OTLP has none of
		return f, ErrMalformed
	}
	if f.end > len(b) {
		return f, ErrMalformed
	}
	return f, nil
}

// uvarint is binary.Uvarint with the common case first.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return binary.Uvarint(b)
}
