package event

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// The numbers that are written here once more are those of bpf/event.h, all of them but those that are named.
func TestNumbersAreThoseOfTheHeader(t *testing.T) {
	header := bpftest.Header(t, "event.h")
	for enum, here := range map[string]map[string]uint64{
		"event_kind": {
			"EVENT_DATA": uint64(KindData), "EVENT_CONN": uint64(KindConn), "EVENT_EVIDENCE": uint64(KindEvidence),
			"EVENT_PROCESS": uint64(KindProcess), "EVENT_ORIGIN": uint64(KindOrigin), "EVENT_ASYNC": uint64(KindAsync),
			"EVENT_OBJECT": uint64(KindObject),
		},
		"direction":  {"DIR_IN": In, "DIR_OUT": Out},
		"role":       {"ROLE_SERVER": Server, "ROLE_CLIENT": Client},
		"data_flags": {"DATA_MIDSTREAM": MidStream, "DATA_SEQ_DERIVED": SeqDerived},
		"context_kind": {
			"CONTEXT_THREAD": Thread, "CONTEXT_GOROUTINE": Goroutine, "CONTEXT_VIRTUAL": Virtual, "CONTEXT_PYTHON": Python,
			"CONTEXT_TOKIO": Tokio,
		},
		"conn_what":    {"CONN_CLOSED": Closed},
		"origin_what":  {"ORIGIN_MADE": Made, "ORIGIN_BUSY": Busy, "ORIGIN_ENDED": Ended, "ORIGIN_TAKEN": Taken},
		"object_what":  {"OBJECT_MADE": ObjectMade, "OBJECT_RUN": ObjectRun, "OBJECT_WOKE": ObjectWoke},
		"async_what":   {"ASYNC_ACTIVATION": AsyncActivation, "ASYNC_CALL": AsyncCall, "ASYNC_INIT": AsyncInit},
		"async_flags":  {"ASYNC_READ": AsyncRead, "ASYNC_TOKEN_CALL": AsyncTokenCall},
		"process_what": {"PROCESS_EXEC": Exec, "PROCESS_FORK": Fork, "PROCESS_EXIT": Exit, "PROCESS_LISTEN": Listen},
	} {
		there := header[enum]
		delete(there, "DIR_NONE")       // in the kernel only
		delete(there, "CONTEXT_STREAM") // nothing asks for it
		require.Equal(t, there, here, enum)
	}
}
