package bpf

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// TestLayout compares the Go types with the C structures, from the type information in the object.
func TestLayout(t *testing.T) {
	spec, err := LoadSocket()
	require.NoError(t, err)
	for name, value := range map[string]any{
		"data_event": SocketDataEvent{}, "conn_event": SocketConnEvent{},
		"evidence_event": SocketEvidenceEvent{}, "process_event": SocketProcessEvent{}, "origin_event": SocketOriginEvent{},
		"async_event": SocketAsyncEvent{}, "target": SocketTarget{}, "java_target": SocketJavaTarget{},
		"haproxy_target": SocketHaproxyTarget{}, "python_target": SocketPythonTarget{}, "ruby_target": SocketRubyTarget{}, "listen_port": SocketListenPort{},
	} {
		var c *btf.Struct
		require.NoError(t, spec.Types.TypeByName(name, &c))
		goType := reflect.TypeOf(value)
		require.EqualValues(t, c.Size, goType.Size(), name)
		fields := map[string]uintptr{}
		covered := uintptr(0)
		for i := range goType.NumField() {
			f := goType.Field(i)
			fields[strings.ToLower(f.Name)] = f.Offset
			covered += f.Type.Size()
		}
		require.EqualValues(t, c.Size, covered, "%s has padding that event.h does not name", name)
		for _, m := range c.Members {
			offset, ok := fields[strings.ReplaceAll(m.Name, "_", "")]
			require.True(t, ok, "%s.%s", name, m.Name)
			require.EqualValues(t, m.Offset.Bytes(), offset, "%s.%s", name, m.Name)
		}
	}
}

// TestLossReasons: enum loss counts up from 0 and ends with LOSS_MAX, and the map has room for it.
func TestLossReasons(t *testing.T) {
	spec, err := LoadSocket()
	require.NoError(t, err)
	var e *btf.Enum
	require.NoError(t, spec.Types.TypeByName("loss", &e))
	for i, v := range e.Values {
		require.EqualValues(t, i, v.Value, v.Name)
	}
	require.Equal(t, "LOSS_MAX", e.Values[len(e.Values)-1].Name)
	require.EqualValues(t, len(e.Values)-1, spec.Maps["losses"].MaxEntries)
}

// TestKernelLoads: the verifier of this kernel takes every program, and would take one of four times the work: the
// next kernel looks at more states than this one, and refuses what takes it a million instructions.
func TestKernelLoads(t *testing.T) {
	bpftest.Need(t)
	require.NoError(t, rlimit.RemoveMemlock())
	for name, load := range map[string]func() (*ebpf.CollectionSpec, error){
		"socket": LoadSocket, "goroutine": LoadGoroutine, "wake": LoadWake, "python": LoadPython, "node": LoadNode, "tokio": LoadTokio,
	} {
		spec, err := load()
		require.NoError(t, err)
		c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
			Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
		})
		var refused *ebpf.VerifierError
		if err != nil {
			require.NotErrorAs(t, err, &refused, "%s: %+v", name, err)
		}
		require.NoError(t, err, name)
		require.NotEmpty(t, c.Programs)
		for prog, p := range c.Programs {
			// kernel/bpf/verifier.c print_verification_stats
			said := processed.FindStringSubmatch(p.VerifierLog)
			require.NotNil(t, said, "%s/%s: %s", name, prog, p.VerifierLog)
			n, err := strconv.Atoi(said[1])
			require.NoError(t, err)
			limit, err := strconv.Atoi(said[2])
			require.NoError(t, err)
			t.Logf("%s/%s: %d instructions verified of at most %d", name, prog, n, limit)
			assert.Less(t, n, limit/4, "%s/%s", name, prog)
		}
		c.Close()
	}
}

var processed = regexp.MustCompile(`processed (\d+) insns \(limit (\d+)\)`)
