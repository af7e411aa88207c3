package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// FormatVersion is the version of the directory and of the records in it.
//
//	<directory>/LOCK                 held while in use, has the pid
//	<directory>/batches-<number>/    a generation of batches: a Badger database, FORMAT and SYNCED
//	<directory>/facts-<number>/      a generation of what is remembered of spans that have left
//
// A generation is written until it is full and deleted as a whole when nothing in it is needed:
// space comes back at once and costs nothing, however long the window. FORMAT is written when the
// database in it is ready and removed before it is deleted; a generation without it is no loss.
// SYNCED holds the number of the last record known to be on the disk.
//
// Keys are a letter and a big endian number that only grows. Values:
//
//	b number         a batch: the caller's bytes
//	h number         head of the batch: kind 'H', arrival in Unix ns (8), length of the batch (4)
//	m number turn    marks, kind 'R', 21 bytes for each span that has left of a batch of which others
//	                 wait: ordinal (4), flags (1: has a parent, 2 and 4: decision), trace id (16)
//	f number count at  facts, kind 'F': the caller's bytes; how many (4) and their time by Store.time, in ns (8)
//	                 are in the key, so that old ones go unread
//
// All but batches begin with their kind (1), the version (1) and a CRC-32C of the rest (4);
// Badger has a checksum of its own for each value. Integers in values are little endian. Version 1
// was one Badger database in the directory itself, never released. In version 2 all batches were OTLP bytes,
// in version 3 they may be blocks, in version 4 facts may say where the span waits, in version 5 in which container and pod it
// was made; what versions 2 to 4 have written is read.
const FormatVersion = 5

// oldestVersion is the oldest that is read.
const oldestVersion = 2

const (
	recordHead = 6
	headSize   = recordHead + 12
	markSize   = 21

	flagParented  = 1
	flagAlone     = 8
	decisionShift = 1
	decisionMask  = 3
)

// Errors of the store.
var (
	// ErrTooLarge will not go away: the sender must send less at once.
	ErrTooLarge = errors.New("batch is too large to store")
	// ErrFull goes away when spans have left.
	ErrFull = errors.New("storage is full")
	// ErrGone: somebody removed the directory.
	ErrGone    = errors.New("storage directory was removed")
	ErrMissing = errors.New("batch is not stored")
	ErrCorrupt = errors.New("record is corrupt")
	ErrNewer   = errors.New("record was written by a newer version")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Mark says that the span at Ordinal of a batch has left.
type Mark struct {
	Ordinal  uint32
	Trace    [16]byte
	Parented bool
	// Alone: it has no parent, but one may come. Older records do not say so.
	Alone bool
	// Decision is the sampling decision for the trace, 0 to 3.
	Decision uint8
}

func encodeHead(arrival int64, size int) []byte {
	b := make([]byte, headSize)
	binary.LittleEndian.PutUint64(b[recordHead:], uint64(arrival))
	binary.LittleEndian.PutUint32(b[recordHead+8:], uint32(size))
	return seal(b, 'H')
}

func decodeHead(b []byte) (arrival int64, size int, err error) {
	if err := check(b, 'H', headSize); err != nil {
		return 0, 0, err
	}
	return int64(binary.LittleEndian.Uint64(b[recordHead:])), int(binary.LittleEndian.Uint32(b[recordHead+8:])), nil
}

func encodeMarks(marks []Mark) []byte {
	b := make([]byte, recordHead+markSize*len(marks))
	for i, m := range marks {
		r := b[recordHead+markSize*i:]
		binary.LittleEndian.PutUint32(r, m.Ordinal)
		r[4] = m.Decision & decisionMask << decisionShift
		if m.Parented {
			r[4] |= flagParented
		}
		if m.Alone {
			r[4] |= flagAlone
		}
		copy(r[5:markSize], m.Trace[:])
	}
	return seal(b, 'R')
}

func decodeMarks(b []byte) ([]Mark, error) {
	if err := check(b, 'R', recordHead); err != nil {
		return nil, err
	}
	b = b[recordHead:]
	if len(b)%markSize != 0 {
		return nil, fmt.Errorf("%w: %d bytes of marks, not a multiple of %d", ErrCorrupt, len(b), markSize)
	}
	marks := make([]Mark, 0, len(b)/markSize)
	for ; len(b) > 0; b = b[markSize:] {
		m := Mark{
			Ordinal: binary.LittleEndian.Uint32(b), Parented: b[4]&flagParented != 0, Alone: b[4]&flagAlone != 0,
			Decision: b[4] >> decisionShift & decisionMask,
		}
		copy(m.Trace[:], b[5:markSize])
		marks = append(marks, m)
	}
	return marks, nil
}

// encodeFacts makes the record in b, which is empty.
func encodeFacts(b, facts []byte) []byte {
	return seal(append(append(b, make([]byte, recordHead)...), facts...), 'F')
}

// decodeFacts returns facts that alias b.
func decodeFacts(b []byte) (facts []byte, err error) {
	if err := check(b, 'F', recordHead); err != nil {
		return nil, err
	}
	return b[recordHead:], nil
}

// seal writes the first six bytes of b, which are free.
func seal(b []byte, kind byte) []byte {
	b[0], b[1] = kind, FormatVersion
	binary.LittleEndian.PutUint32(b[2:], crc32.Checksum(b[recordHead:], castagnoli))
	return b
}

func check(b []byte, kind byte, size int) error {
	switch {
	case len(b) < size || b[0] != kind:
		return fmt.Errorf("%w: no header", ErrCorrupt)
	case b[1] > FormatVersion:
		return fmt.Errorf("%w: version %d, this program knows %d", ErrNewer, b[1], FormatVersion)
	case b[1] < oldestVersion:
		return fmt.Errorf("%w: version %d", ErrCorrupt, b[1])
	case binary.LittleEndian.Uint32(b[2:]) != crc32.Checksum(b[recordHead:], castagnoli):
		return fmt.Errorf("%w: checksum does not match", ErrCorrupt)
	}
	return nil
}

func key(letter byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{letter}, number)
}

func marksKey(number, turn uint64) []byte {
	return binary.BigEndian.AppendUint64(key('m', number), turn)
}

// factsKey carries what is asked of facts without reading them.
func factsKey(number uint64, count int, at int64) []byte {
	k := binary.BigEndian.AppendUint32(key('f', number), uint32(count))
	return binary.BigEndian.AppendUint64(k, uint64(at))
}

// keySizes are the lengths of the keys by their letter.
var keySizes = map[byte]int{'b': 9, 'h': 9, 'm': 17, 'f': 21}

func parseKey(k []byte) (number uint64, count, at int64, err error) {
	if len(k) == 0 || len(k) != keySizes[k[0]] {
		return 0, 0, 0, fmt.Errorf("%w: key %x", ErrCorrupt, k)
	}
	number = binary.BigEndian.Uint64(k[1:])
	switch k[0] {
	case 'm':
		number = max(number, binary.BigEndian.Uint64(k[9:]))
	case 'f':
		count, at = int64(binary.BigEndian.Uint32(k[9:])), int64(binary.BigEndian.Uint64(k[13:]))
	}
	return number, count, at, nil
}
