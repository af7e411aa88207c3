package store

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecordVersions(t *testing.T) {
	b := encodeHead(5, 6)
	b[1]++
	_, _, err := decodeHead(b)
	require.ErrorIs(t, err, ErrNewer)
	b[1] = oldestVersion
	_, _, err = decodeHead(b)
	require.NoError(t, err)
	b[1] = oldestVersion - 1
	_, _, err = decodeHead(b)
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = decodeMarks(encodeHead(5, 6))
	require.ErrorIs(t, err, ErrCorrupt)
	torn := seal(encodeMarks([]Mark{{Ordinal: 1}})[:recordHead+markSize-1], 'R')
	_, err = decodeMarks(torn)
	require.ErrorContains(t, err, "20 bytes of marks")
}

func TestKeysHaveTheirLength(t *testing.T) {
	for _, k := range [][]byte{key('b', 1), key('h', 1), marksKey(1, 2), factsKey(3, 4, 5)} {
		_, _, _, err := parseKey(k)
		require.NoError(t, err)
		_, _, _, err = parseKey(k[:len(k)-1])
		require.ErrorIs(t, err, ErrCorrupt)
	}
	n, count, at, err := parseKey(factsKey(3, 4, 5))
	require.NoError(t, err)
	require.Equal(t, []any{uint64(3), int64(4), int64(5)}, []any{n, count, at})
	n, _, _, err = parseKey(marksKey(7, 9))
	require.NoError(t, err)
	require.EqualValues(t, 9, n, "a mark has a number of its own")
}

// FuzzRecord: the decoders take any bytes; what they accept encodes to the same bytes again.
func FuzzRecord(f *testing.F) {
	f.Add(encodeHead(1, 2), uint16(0))
	f.Add(encodeMarks([]Mark{{Ordinal: 1, Trace: [16]byte{1}, Parented: true}, {Ordinal: 2, Alone: true}}), uint16(3))
	f.Add(encodeFacts(nil, []byte("facts")), uint16(9))
	f.Add([]byte("R\x02"), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, flip uint16) {
		if arrival, size, err := decodeHead(b); err == nil && len(b) == headSize {
			require.Equal(t, b[2:], encodeHead(arrival, size)[2:])
		} else if err != nil {
			require.True(t, errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer))
		}
		if marks, err := decodeMarks(b); err == nil {
			again, err := decodeMarks(encodeMarks(marks))
			require.NoError(t, err)
			require.Equal(t, marks, again)
		}
		if facts, err := decodeFacts(b); err == nil {
			require.Equal(t, b[2:], encodeFacts(nil, facts)[2:])
		}
		_, _, _, _ = parseKey(b)
		// One flipped bit after the checksum never passes.
		record := encodeFacts(nil, append([]byte{1}, b...))
		at := recordHead + int(flip)%(len(record)-recordHead)
		record[at] ^= 1 << (flip % 8)
		_, err := decodeFacts(record)
		require.ErrorIs(t, err, ErrCorrupt)
	})
}
