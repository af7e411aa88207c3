package checkout

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRead(t *testing.T) {
	require.Contains(t, string(Read(t, "internal/checkout/checkout_test.go")), t.Name())
}
