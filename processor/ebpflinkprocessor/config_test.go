package ebpflinkprocessor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/store"
)

func defaultConfig() *Config { return createDefaultConfig().(*Config) }

// The defaults of metadata.yaml are those of the packages that have their meaning.
func TestDefaults(t *testing.T) {
	c := defaultConfig()
	require.Equal(t, link.RuleNames(), c.Rules)
	require.Equal(t, link.DefaultMaxCandidates, c.MaxCandidates)
	require.Equal(t, store.Interval, c.Storage.Sync)
}

func load(t *testing.T, conf *confmap.Conf) (*Config, error) {
	t.Helper()
	cfg := defaultConfig()
	if err := conf.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, cfg.Validate()
}

func fromFile(t *testing.T, name string) (*Config, error) {
	t.Helper()
	conf, err := confmaptest.LoadConf("testdata/" + name)
	require.NoError(t, err)
	sub, err := conf.Sub("ebpf_link")
	require.NoError(t, err)
	return load(t, sub)
}

func TestConfigFiles(t *testing.T) {
	for name, want := range map[string]func(*Config){
		"empty.yaml": func(*Config) {},
		"full.yaml": func(c *Config) {
			c.Window = 10 * time.Second
			c.Storage = StorageConfig{Directory: "/tmp/link", Sync: store.Always, SyncInterval: 2 * time.Second, MaxBytes: 1 << 30}
			c.LinkRetention = 2 * time.Hour
			c.Rules = []string{"tcp_seq", "systrace", "compat", "timing"}
			c.RuleLimits = map[string]int{"tcp_seq": 16, "compat": 32768}
			c.MaxCandidates = 100
			c.ClockTolerance = 50 * time.Millisecond
			c.UseAppTraceID, c.KeepLinkAttrs, c.Explain = false, false, true
			c.EarlyRelease, c.TracedNetworks = false, []string{"10.0.0.0/8", "fd00::/8"}
			c.UseAppSampled, c.SamplingRatio = false, .25
			c.MaxSpansWaiting, c.MaxLinkFacts, c.MaxSpansPerExport = 1000, 2000, 300
		},
		"memory.yaml": func(c *Config) { c.Storage.Directory = "" },
	} {
		t.Run(name, func(t *testing.T) {
			expected := defaultConfig()
			want(expected)
			got, err := fromFile(t, name)
			require.NoError(t, err)
			require.Equal(t, expected, got)
		})
	}
}

func TestConfigFaultsAreNamedAllAtOnce(t *testing.T) {
	for name, want := range map[string][]string{
		"bad_values.yaml": {
			"window: 0s is out of range: 1ms to 1h0m0s",
			"link_retention: -1s is out of range: 0s to 168h0m0s",
			"clock_tolerance: 2m0s is out of range: 0s to 1m0s",
			`traced_networks[0]: "10.0.0.1/8" has bits set beyond its length: write 10.0.0.0/8`,
			"sampling_ratio: 0 is out of range: above 0, to 1",
			"max_spans_waiting: 0 is out of range: 1 to 1000000000",
			"max_link_facts: -1 is out of range: 0 to 1000000000",
			"max_spans_per_export: 0 is out of range: 1 to 1000000",
			`rules[1]: "guess" is unknown: allowed are app_context, sdk_same_call, tcp_seq, systrace, pseudo_thread, x_request_id, compat, timing`,
			`rules[2]: "tcp_seq" is named twice`,
			`rules[3]: "timing" goes by times alone and would hide evidence of systrace: name it last`,
			"max_candidates: 40000 is out of range: 1 to 32768",
			`rule_limits::guess: "guess" is unknown: allowed are app_context, sdk_same_call, tcp_seq, systrace, pseudo_thread, x_request_id, compat, timing`,
			`rule_limits::compat: "compat" is not in rules: name it there, or remove its limit`,
			"rule_limits::tcp_seq: 0 is out of range: 1 to 32768",
			"rule_limits::timing: 40000 is out of range: 1 to 32768",
			`storage::sync: "sometimes" is unknown: allowed are always, interval, never`,
			`storage::directory: "relative/dir" is relative`,
			"storage::max_bytes: 1000000 is out of range: 67108864 to 1125899906842624, or 0 for no limit",
		},
		"contradictions.yaml": {
			"link_retention: 10s contradicts window: 20s",
			`storage::sync: "always" contradicts storage::directory: ""`,
			"rules: [] links nothing",
		},
		"bad_interval.yaml": {"storage::sync_interval: 1ms is out of range: 10ms to 1m0s"},
		"unknown_key.yaml":  {"windows"},
		"wrong_type.yaml":   {"window"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fromFile(t, name)
			for _, w := range want {
				require.ErrorContains(t, err, w)
			}
		})
	}
}

// TestInteropConfigsAddTheRuleCompat to the rules of the default configuration, and leave out none.
func TestInteropConfigsAddTheRuleCompat(t *testing.T) {
	files, err := filepath.Glob("../../otelcol-ebpf/config/interop-*.yaml")
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, file := range files {
		conf, err := confmaptest.LoadConf(file)
		require.NoError(t, err)
		sub, err := conf.Sub("processors::ebpf_link")
		require.NoError(t, err)
		cfg, err := load(t, sub)
		require.NoError(t, err)
		require.Equal(t, append(link.RuleNames(), link.Compat), cfg.Rules, file)
	}
}

// TestReadmeExamples: each example of the README is a valid configuration.
func TestReadmeExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := strings.Split(string(readme), "```yaml\n")[1:]
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		text, _, ok := strings.Cut(block, "```")
		require.True(t, ok)
		ret, err := confmap.NewRetrievedFromYAML([]byte(text))
		require.NoError(t, err)
		conf, err := ret.AsConf()
		require.NoError(t, err)
		sub, err := conf.Sub("processors::ebpf_link")
		require.NoError(t, err)
		_, err = load(t, sub)
		require.NoError(t, err, text)
	}
	// And each option is described.
	for _, key := range []string{
		"window", "early_release", "traced_networks", "storage::directory", "storage::sync", "storage::sync_interval", "link_retention",
		"rules", "rule_limits", "max_candidates", "clock_tolerance", "use_app_trace_id", "use_app_sampled", "sampling_ratio", "keep_link_attributes", "explain", "max_spans_waiting", "max_link_facts", "max_spans_per_export",
	} {
		require.Contains(t, string(readme), "| `"+key+"` |")
	}
}
