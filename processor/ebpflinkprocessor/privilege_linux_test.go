package ebpflinkprocessor

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/processor/processortest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/metadata"
)

// A directory that can be written to until ebpf_span has started, and no longer, is said at the start.
func TestStorageOfAnotherUserIsSaid(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to another user")
	}
	for name, uid := range map[string]int{"one's own": 0, "another's": 65534} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.Chown(dir, uid, uid))
			core, logs := observer.New(zap.WarnLevel)
			set := processortest.NewNopSettings(metadata.Type)
			set.Logger = zap.New(core)
			cfg := defaultConfig()
			inDir(dir)(cfg)
			p, err := NewFactory().CreateTraces(t.Context(), set, cfg, &sink{})
			require.NoError(t, err)
			require.NoError(t, p.Start(t.Context(), nil))
			require.NoError(t, p.Shutdown(t.Context()))
			said := logs.FilterMessageSnippet("keep_capabilities").FilterField(zap.String("directory", dir)).Len()
			require.Equal(t, uid != 0, said == 1, logs.All())
		})
	}
}
