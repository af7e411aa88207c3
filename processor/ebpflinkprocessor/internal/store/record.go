package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// FormatVersion is the version of the records. Version 1:
//
//	batch   0 'B' | 1 version | 2-5 CRC-32C of the rest | 6-13 arrival, Unix ns | 14… payload
//	marks   0 'R' | 1 version | 2-5 CRC-32C of the rest | 6… marks of 29 bytes each:
//	        0-3 ordinal | 4 flags (1: has parent, 2 and 4: decision) | 5-20 trace id | 21-28 zero
//
// Integers are little endian. The eight last bytes of a mark are for a later version.
const FormatVersion = 1

const (
	batchHead = 14
	marksHead = 6
	markSize  = 29

	flagParented  = 1
	decisionShift = 1
	decisionMask  = 3
)

// Errors of the store.
var (
	ErrTooLarge = errors.New("batch is too large to store")
	ErrMissing  = errors.New("batch is not stored")
	ErrCorrupt  = errors.New("record is corrupt")
	ErrNewer    = errors.New("record was written by a newer version")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Mark says that the span at Ordinal of a batch has left.
type Mark struct {
	Ordinal  uint32
	Trace    [16]byte
	Parented bool
	// Decision is the sampling decision for the trace, 0 to 3.
	Decision uint8
}

func encodeBatch(arrival int64, payload []byte) []byte {
	b := make([]byte, batchHead+len(payload))
	b[0], b[1] = 'B', FormatVersion
	binary.LittleEndian.PutUint64(b[6:], uint64(arrival))
	copy(b[batchHead:], payload)
	seal(b)
	return b
}

// decodeBatch returns the arrival and the payload, which aliases b.
func decodeBatch(b []byte) (arrival int64, payload []byte, err error) {
	if err := check(b, 'B', batchHead); err != nil {
		return 0, nil, err
	}
	return int64(binary.LittleEndian.Uint64(b[6:])), b[batchHead:], nil
}

func encodeMarks(marks []Mark) []byte {
	b := make([]byte, marksHead+markSize*len(marks))
	b[0], b[1] = 'R', FormatVersion
	for i, m := range marks {
		r := b[marksHead+markSize*i:]
		binary.LittleEndian.PutUint32(r, m.Ordinal)
		r[4] = m.Decision & decisionMask << decisionShift
		if m.Parented {
			r[4] |= flagParented
		}
		copy(r[5:21], m.Trace[:])
	}
	seal(b)
	return b
}

func decodeMarks(b []byte) ([]Mark, error) {
	if err := check(b, 'R', marksHead); err != nil {
		return nil, err
	}
	b = b[marksHead:]
	if len(b)%markSize != 0 {
		return nil, fmt.Errorf("%w: %d bytes of marks, not a multiple of %d", ErrCorrupt, len(b), markSize)
	}
	marks := make([]Mark, 0, len(b)/markSize)
	for ; len(b) > 0; b = b[markSize:] {
		m := Mark{Ordinal: binary.LittleEndian.Uint32(b), Parented: b[4]&flagParented != 0, Decision: b[4] >> decisionShift & decisionMask}
		copy(m.Trace[:], b[5:21])
		marks = append(marks, m)
	}
	return marks, nil
}

func seal(b []byte) {
	binary.LittleEndian.PutUint32(b[2:], crc32.Checksum(b[6:], castagnoli))
}

func check(b []byte, kind byte, head int) error {
	switch {
	case len(b) < head || b[0] != kind:
		return fmt.Errorf("%w: no header", ErrCorrupt)
	case b[1] > FormatVersion:
		return fmt.Errorf("%w: version %d, this program knows %d", ErrNewer, b[1], FormatVersion)
	case b[1] == 0:
		return fmt.Errorf("%w: version 0", ErrCorrupt)
	case binary.LittleEndian.Uint32(b[2:]) != crc32.Checksum(b[6:], castagnoli):
		return fmt.Errorf("%w: checksum does not match", ErrCorrupt)
	}
	return nil
}
