// Package splice copies chosen spans out of an encoded OTLP TracesData message. pdata decodes a message
// whole or not at all: when the spans of a batch leave in several deliveries it would decode all of them
// for each. Here a span costs the reading of its length; the spans of one delivery are then decoded once,
// together.
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

// Append appends to dst the spans of message at the given ordinals, which ascend, with their resources
// and scopes; what is in dst and what is appended are one message. Ordinals count the spans of message in
// the order in which pdata decodes them. It returns dst as it was, with how many were found, if one is
// beyond the end.
func Append(dst, message []byte, ordinals []uint32) (out []byte, found int, err error) {
	s := splicer{out: dst, want: ordinals}
	for rest := message; len(rest) > 0; {
		f, err := next(rest)
		if err != nil {
			return dst, 0, err
		}
		if f.number == resourceSpans && f.bytes {
			if _, err := s.message(resourceSpans, rest[f.from:f.end], 0); err != nil {
				return dst, 0, err
			}
		}
		rest = rest[f.end:]
	}
	found = len(ordinals) - len(s.want)
	if len(s.want) > 0 {
		return dst, found, nil
	}
	return s.out, found, nil
}

type splicer struct {
	out []byte
	// want is what has not been met; at is the ordinal of the next span.
	want []uint32
	at   uint32
}

// repeated is the field at each depth that leads to the spans.
var repeated = [...]uint64{scopeSpans, spans}

// message appends a ResourceSpans (depth 0) or ScopeSpans (depth 1) with the spans that are wanted, as
// field number of what it is part of. It appends nothing and returns false when none is.
func (s *splicer) message(number byte, body []byte, depth int) (bool, error) {
	start := len(s.out)
	// The length is not known yet; a varint may be longer than it must be.
	s.out = append(s.out, number<<3|2, 0, 0, 0, 0, 0)
	content := len(s.out)
	any := false
	// run is the beginning of what is to be copied as it is.
	run := 0
	for pos := 0; pos < len(body); {
		f, err := next(body[pos:])
		if err != nil {
			return false, err
		}
		end := pos + f.end
		if f.number != repeated[depth] || !f.bytes {
			pos = end
			continue
		}
		keep := false
		if depth == len(repeated)-1 {
			keep = len(s.want) > 0 && s.want[0] == s.at
			s.at++
			if keep {
				s.want, any = s.want[1:], true
			}
		}
		if !keep {
			s.out = append(s.out, body[run:pos]...)
			run = end
		}
		if depth < len(repeated)-1 {
			kept, err := s.message(byte(repeated[depth]), body[pos+f.from:end], depth+1)
			if err != nil {
				return false, err
			}
			any = any || kept
		}
		pos = end
	}
	if !any {
		s.out = s.out[:start]
		return false, nil
	}
	s.out = append(s.out, body[run:]...)
	n := len(s.out) - content
	if n > math.MaxInt32 {
		return false, ErrMalformed
	}
	for i := range 4 {
		s.out[start+1+i] = byte(n>>(7*i)) | 0x80
	}
	s.out[start+5] = byte(n >> 28)
	return true, nil
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
