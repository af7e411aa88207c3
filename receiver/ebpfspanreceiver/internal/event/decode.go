package event

import (
	"errors"
	"fmt"
	"unsafe"
)

// ErrMalformed is a record that bpf/event.h does not allow: a version mismatch or a bug, never
// something that traced traffic can cause.
var ErrMalformed = errors.New("malformed record")

// Decode reads one record into e, without allocating. Payload aliases raw.
func Decode(raw []byte, e *Event) error {
	if len(raw) == 0 {
		return fmt.Errorf("%w: empty", ErrMalformed)
	}
	e.Kind = Kind(raw[0])
	switch e.Kind {
	case KindData:
		rest, err := fixed(raw, &e.Data.SocketDataEvent)
		if err != nil {
			return err
		}
		d := &e.Data
		// The ring buffer pads records to eight bytes.
		if int64(d.Captured) > int64(len(rest)) || d.Captured > d.Len {
			return fmt.Errorf("%w: %d bytes of payload in a record with %d, of %d on the wire",
				ErrMalformed, d.Captured, len(rest), d.Len)
		}
		if d.Dir > Out || (d.Role != Server && d.Role != Client) || d.Len == 0 {
			return fmt.Errorf("%w: direction %d, role %d, length %d", ErrMalformed, d.Dir, d.Role, d.Len)
		}
		d.Payload = rest[:d.Captured]
		e.Evidence = d.evidence()
		return nil
	case KindConn:
		_, err := fixed(raw, &e.Conn)
		return err
	case KindEvidence:
		_, err := fixed(raw, &e.Evidence)
		return err
	case KindAsync:
		_, err := fixed(raw, &e.Async)
		return err
	case KindObject:
		_, err := fixed(raw, &e.Object)
		return err
	case KindProcess:
		_, err := fixed(raw, &e.Process)
		return err
	case KindOrigin:
		_, err := fixed(raw, &e.Origin)
		return err
	}
	return fmt.Errorf("%w: kind %d", ErrMalformed, raw[0])
}

// fixed copies the fixed part of a record and returns what follows it. T has no pointers and no
// hidden padding (bpf/event.h asserts it), so any bytes are a value.
func fixed[T any](raw []byte, to *T) ([]byte, error) {
	size := int(unsafe.Sizeof(*to))
	if len(raw) < size {
		return nil, fmt.Errorf("%w: kind %d with %d of %d bytes", ErrMalformed, raw[0], len(raw), size)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(to)), size), raw)
	return raw[size:], nil
}
