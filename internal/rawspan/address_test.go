package rawspan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAddressesRemembered: what is remembered is what would be read.
func TestAddressesRemembered(t *testing.T) {
	var as addresses
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		text := fmt.Sprintf("10.0.%d.%d", rnd.IntN(3), rnd.IntN(300))
		switch rnd.IntN(8) {
		case 0:
			text = fmt.Sprintf("fe80::%x", rnd.IntN(1<<16))
		case 1:
			text = []string{"", "1.2.3", "::1", "10.0.0.1:80", "2001:db8:1:2:3:4:5:6", "host.name"}[rnd.IntN(6)]
		}
		want, err := netip.ParseAddr(text)
		got, ok := as.parse(text)
		require.Equal(t, err == nil, ok, text)
		require.Equal(t, want, got, text)
	}
}

func BenchmarkAddress(b *testing.B) {
	var as addresses
	texts := []string{"10.0.1.0", "10.0.2.0", "10.0.2.2", "10.0.1.2"}
	b.Run("remembered", func(b *testing.B) {
		for i := range b.N {
			_, _ = as.parse(texts[i%4])
		}
	})
	b.Run("read", func(b *testing.B) {
		for i := range b.N {
			_, _ = netip.ParseAddr(texts[i%4])
		}
	})
}
