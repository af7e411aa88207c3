package causality

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// The numbers that are written here once more are those of bpf/event.h, and each kind has a row.
func TestNumbersAreThoseOfTheHeader(t *testing.T) {
	header := bpftest.Header(t, "event.h")
	require.Equal(t, header["evidence_kind"], map[string]uint64{
		"EVIDENCE_SAME_THREAD": sameThread, "EVIDENCE_SPAWN": spawn, "EVIDENCE_GO_CREATED": goCreated,
		"EVIDENCE_GO_PARENT": goParent, "EVIDENCE_CHANNEL": channel, "EVIDENCE_CHANNEL_BACK": channelBack,
		"EVIDENCE_LOOP": loop, "EVIDENCE_TASK_BACK": taskBack, "EVIDENCE_ANSWER": answer, "EVIDENCE_NEXT": next,
		"EVIDENCE_WAKE_BACK": wakeBack, "EVIDENCE_WAKE": wake, "EVIDENCE_NOTIFY_BACK": notifyBack,
		"EVIDENCE_CONNECTED": connected, "EVIDENCE_ITEM": item, "EVIDENCE_COPY": copied, "EVIDENCE_CONTEXT": inContext,
		"EVIDENCE_ASYNC_ID": asyncID, "EVIDENCE_STATISTICAL": statistical,
		"EVIDENCE_RESPONSE_BACK": responseBack, "EVIDENCE_RESPONSE_ORDER": responseOrder,
		"EVIDENCE_ALLOCATED": allocated, "EVIDENCE_AWAITED": awaited, "EVIDENCE_CHANNEL_DIALED": channelDialed,
	})
	for name, n := range header["evidence_kind"] {
		require.NotEmpty(t, Kind(int(n)), name)
	}
	require.Equal(t, header["wake_doubt"], map[string]uint64{
		"WAKE_SLEPT_LATER": sleptLater, "WAKE_SEVERAL": several, "WAKE_OTHERS_TOO": othersToo,
		"WAKE_DONE_BEFORE": doneBefore, "WAKE_SERVES": serves, "WAKE_WORKER": worker, "WAKE_LOCK": lockFound,
		"WAKE_UNAIDED": unaidedWaker, "WAKE_UNKNOWN": unknown,
	})
}
