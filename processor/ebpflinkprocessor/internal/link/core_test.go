package link

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestSizes: millions of these wait; design.md says how large they are.
func TestSizes(t *testing.T) {
	require.EqualValues(t, 96, unsafe.Sizeof(core{}))
	require.EqualValues(t, 64, unsafe.Sizeof(farther{}))
	require.EqualValues(t, 16, unsafe.Sizeof(held[sides]{}))
}
