package store

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecordVersions(t *testing.T) {
	b := encodeBatch(5, []byte("x"))
	b[1]++
	_, _, err := decodeBatch(b)
	require.ErrorIs(t, err, ErrNewer)
	_, err = decodeMarks(encodeBatch(5, []byte("x")))
	require.ErrorIs(t, err, ErrCorrupt)
	torn := encodeMarks([]Mark{{Ordinal: 1}})[:marksHead+markSize-1]
	seal(torn)
	_, err = decodeMarks(torn)
	require.ErrorContains(t, err, "28 bytes of marks")
}

// FuzzRecord: the decoders take any bytes; what they accept encodes to the same bytes again.
func FuzzRecord(f *testing.F) {
	f.Add(encodeBatch(1, []byte("payload")), uint16(0))
	f.Add(encodeMarks([]Mark{{Ordinal: 1, Trace: [16]byte{1}, Parented: true}, {Ordinal: 2}}), uint16(3))
	f.Add([]byte("B\x01"), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, flip uint16) {
		if arrival, payload, err := decodeBatch(b); err == nil {
			require.Equal(t, b[6:], encodeBatch(arrival, payload)[6:])
		} else {
			require.True(t, errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer))
		}
		if marks, err := decodeMarks(b); err == nil {
			again, err := decodeMarks(encodeMarks(marks))
			require.NoError(t, err)
			require.Equal(t, marks, again)
		}
		// One flipped bit after the checksum never passes.
		record := encodeBatch(int64(flip), b)
		at := 6 + int(flip)%(len(record)-6)
		record[at] ^= 1 << (flip % 8)
		_, _, err := decodeBatch(record)
		require.ErrorIs(t, err, ErrCorrupt)
	})
}
