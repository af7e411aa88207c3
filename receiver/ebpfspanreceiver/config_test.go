package ebpfspanreceiver

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/metadata"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

func load(t *testing.T, file string) *confmap.Conf {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", file))
	require.NoError(t, err)
	return conf
}

func defaultConfig() *Config { return createDefaultConfig().(*Config) }

// read does what the collector does with the configuration of a component.
func read(conf *confmap.Conf) (*Config, error) {
	cfg := NewFactory().CreateDefaultConfig().(*Config)
	if err := conf.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestConfig(t *testing.T) {
	conf := load(t, "config.yaml")
	want := map[string]*Config{}
	want["ebpf_span"] = defaultConfig()
	all := defaultConfig()
	all.Discovery = DiscoveryConfig{All: true, Exclude: []SelectorConfig{{Exe: []string{"/usr/sbin/sshd"}}}}
	want["ebpf_span/all"] = all
	want["ebpf_span/selectors"] = &Config{
		Discovery: DiscoveryConfig{Include: []SelectorConfig{
			{Env: []string{"OTEL_SERVICE_NAME"}},
			{Exe: []string{"/usr/bin/python*"}, OpenPorts: []any{8080, "9000-9010"}},
			{PIDs: []int{1234}},
			{CGroup: []string{"/system.slice/shop-*.service"}},
			{Container: []string{"*"}},
		}},
		PayloadSize: 8192, RingBufferSize: 33554432, MaxConnections: 1000, Hold: 2 * time.Second,
		RescanInterval: 30 * time.Second, CaptureQuery: true, RawArguments: true, Explain: true,
		DropCapabilities: true, KeepCapabilities: []string{"CAP_NET_BIND_SERVICE", "DAC_OVERRIDE"},
		Statistical: StatisticalConfig{Enabled: true, Posterior: 0.99},
	}
	for name, w := range want {
		t.Run(name, func(t *testing.T) {
			sub, err := conf.Sub(component.MustNewIDWithName(metadata.Type.String(), "").String())
			require.NoError(t, err)
			if name != metadata.Type.String() {
				sub, err = conf.Sub(name)
				require.NoError(t, err)
			}
			got, err := read(sub)
			require.NoError(t, err)
			require.Equal(t, w, got)
		})
	}
}

func TestConfigRules(t *testing.T) {
	rules, err := defaultConfig().Discovery.rules()
	require.NoError(t, err)
	require.Equal(t, process.DefaultRules(), rules)
	rules, err = (&DiscoveryConfig{All: true}).rules()
	require.NoError(t, err)
	require.Empty(t, rules.Include)
	rules, err = (&DiscoveryConfig{Include: []SelectorConfig{{OpenPorts: []any{8080, "9000-9010"}}}}).rules()
	require.NoError(t, err)
	require.Equal(t, []process.PortRange{{First: 8080, Last: 8080}, {First: 9000, Last: 9010}}, rules.Include[0].Ports)
}

func TestConfigRefused(t *testing.T) {
	for name, entry := range load(t, "bad.yaml").ToStringMap() {
		t.Run(name, func(t *testing.T) {
			c := entry.(map[string]any)
			_, err := read(confmap.NewFromStringMap(c["config"].(map[string]any)))
			require.Error(t, err)
			for _, word := range c["want"].([]any) {
				require.ErrorContains(t, err, word.(string))
			}
		})
	}
}
