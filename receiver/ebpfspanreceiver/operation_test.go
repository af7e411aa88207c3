package ebpfspanreceiver

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/protocol"
)

func TestOperation(t *testing.T) {
	of := func(name, path string) uint64 {
		x := sampleExchange()
		x.Request.Name = name
		x.Request.Attributes = []protocol.Attr{protocol.String("url.path", path)}
		return operation(x)
	}
	base := of("GET", "/orders/17/items")
	require.Equal(t, base, of("GET", "/orders/4711/items"), "ids differ from call to call")
	require.Equal(t, base, of("GET", "/orders/bdb1c8d7f0aa4c61a3c9d2e0ffab12345678/items"))
	require.NotEqual(t, base, of("POST", "/orders/17/items"))
	require.NotEqual(t, base, of("GET", "/orders/17/prices"))
	require.NotEqual(t, base, of("GET", "/orders/17"))
}
