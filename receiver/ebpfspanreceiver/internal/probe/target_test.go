package probe

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// The numbers that are written here once more are those of bpf/event.h.
func TestNumbersAreThoseOfTheHeader(t *testing.T) {
	header := bpftest.Header(t, "event.h")
	require.Equal(t, header["target_flags"], map[string]uint64{
		"TARGET_GO": targetGo, "TARGET_NO_CONTEXT": targetNoContext, "TARGET_NO_CREATION": targetNoCreation,
		"TARGET_JAVA": targetJava, "TARGET_PYTHON": targetPython, "TARGET_NODE": targetNode,
		"TARGET_BUFFERS": targetBuffers, "TARGET_CHAN_TIMER": targetChanTimer, "TARGET_HAPROXY": targetHAProxy,
		"TARGET_TOKIO": targetTokio, "TARGET_RUBY": targetRuby,
	})
	require.EqualValues(t, header[""]["MAX_PAYLOAD"], MaxPayload)
}
