package distribution

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// overlays are not complete alone; the value is what they are laid over.
var overlays = map[string]string{
	"gateway-metrics.yaml":  "gateway.yaml",
	"inspect.yaml":          "standalone.yaml",
	"interop-datakit.yaml":  "gateway.yaml",
	"interop-deepflow.yaml": "gateway.yaml",
}

// changed is a valid value, other than the default, of each variable that the configurations read.
var changed = map[string]string{
	"OTELCOL_EBPF_BACKEND":          "https://tempo.example:4317",
	"OTELCOL_EBPF_CGROUP":           "[/**pod1234**, /system.slice/shop.service]",
	"OTELCOL_EBPF_COMPRESSION":      "none",
	"OTELCOL_EBPF_DATA":             "/srv/otelcol ebpf",
	"OTELCOL_EBPF_DEBUG":            "detailed",
	"OTELCOL_EBPF_DECISION_WAIT":    "1m",
	"OTELCOL_EBPF_EXE":              "[nginx, /usr/bin/python3*]",
	"OTELCOL_EBPF_EXPORTERS":        "[otlp_grpc]",
	"OTELCOL_EBPF_GATEWAY":          "https://gateway.example:4317",
	"OTELCOL_EBPF_GRPC_PORT":        "5317",
	"OTELCOL_EBPF_HEALTH_LISTEN":    "10.1.2.3",
	"OTELCOL_EBPF_HEALTH_PORT":      "5133",
	"OTELCOL_EBPF_HTTP_PORT":        "5318",
	"OTELCOL_EBPF_KEEP_PERCENT":     "12.5",
	"OTELCOL_EBPF_LISTEN":           "0.0.0.0",
	"OTELCOL_EBPF_LOG_LEVEL":        "debug",
	"OTELCOL_EBPF_MEMORY_MIB":       "4096",
	"OTELCOL_EBPF_MEMORY_SPIKE_MIB": "300",
	"OTELCOL_EBPF_METRICS_LISTEN":   "0.0.0.0",
	"OTELCOL_EBPF_METRICS_PORT":     "5888",
	"OTELCOL_EBPF_PPROF_PORT":       "5777",
	"OTELCOL_EBPF_RED_PORT":         "5464",
	"OTELCOL_EBPF_SLOW_MS":          "250",
	"OTELCOL_EBPF_TRACES":           "1000",
	"OTELCOL_EBPF_WINDOW":           "5s",
	"OTELCOL_EBPF_ZPAGES_PORT":      "5679",
}

// each calls f for every ready configuration with the arguments that load it.
func each(t *testing.T, f func(t *testing.T, name string, args []string)) {
	files, err := filepath.Glob(config("*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%s: %d configurations, %v: want at least standalone, agent, sidecar and gateway", configs, len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		var args []string
		if base, ok := overlays[name]; ok {
			args = append(args, "--config", config(base))
		}
		args = append(args, "--config", file)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) { f(t, name, args) })
	}
}

// The collector warns of deprecated options while it loads a configuration.
var warning = regexp.MustCompile(`(?i)\bwarn|deprecat`)

func TestConfigsAreValidAsTheyAre(t *testing.T) {
	each(t, func(t *testing.T, _ string, args []string) {
		output, code := run(t, nil, append([]string{"validate"}, args...)...)
		if code != 0 || warning.MatchString(output) {
			t.Errorf("exit code %d:\n%s", code, output)
		}
	})
}

var variable = regexp.MustCompile(`\$\{env:(\w+)([^}]*)\}`)

func TestConfigsAreValidWithEveryVariableChanged(t *testing.T) {
	used := map[string]bool{}
	each(t, func(t *testing.T, name string, args []string) {
		text, err := os.ReadFile(config(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range variable.FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
			if !strings.HasPrefix(m[2], ":-") || m[2] == ":-" {
				t.Errorf("%s has no default: write ${env:%s:-value}", m[0], m[1])
			}
			if _, ok := changed[m[1]]; !ok {
				t.Errorf("%s: add a value for it to the table of this test", m[0])
			}
		}
		output, code := run(t, changed, append([]string{"validate"}, args...)...)
		if code != 0 || warning.MatchString(output) {
			t.Errorf("exit code %d:\n%s", code, output)
		}
	})
	for name := range changed {
		if !used[name] {
			t.Errorf("no configuration reads %s", name)
		}
	}
}

func TestConfigFaultsAreRefusedByName(t *testing.T) {
	for _, c := range []struct {
		name, config, override string
		env                    map[string]string
		want                   []string
	}{
		{"unknown key of ebpf_link", "gateway.yaml", "processors::ebpf_link::windw: 1s", nil, []string{"ebpf_link", "windw"}},
		{"wrong type", "gateway.yaml", "processors::ebpf_link::window: soon", nil, []string{"ebpf_link", "window", "duration"}},
		{"window below zero", "gateway.yaml", "", map[string]string{"OTELCOL_EBPF_WINDOW": "-1s"}, []string{"ebpf_link", "window", "-1s"}},
		{"relative directory", "gateway.yaml", "processors::ebpf_link::storage::directory: link", nil, []string{"ebpf_link", "directory", "relative"}},
		{"unknown key of ebpf_span", "agent.yaml", "receivers::ebpf_span::discover::all: true", nil, []string{"ebpf_span", "discover"}},
		{"unknown selector", "agent.yaml", "receivers::ebpf_span::discovery::include: [{port: 80}]", nil, []string{"ebpf_span", "port"}},
		{"empty selector", "agent.yaml", "receivers::ebpf_span::discovery::include: [{}]", nil, []string{"ebpf_span", "include"}},
		{"bad port", "agent.yaml", `receivers::ebpf_span::discovery::include: [{open_ports: ["70000"]}]`, nil, []string{"ebpf_span", "70000"}},
		{"exporter without definition", "standalone.yaml", "", map[string]string{"OTELCOL_EBPF_EXPORTERS": "[kafka]"}, []string{"kafka", "not configured"}},
		{"component of another distribution", "standalone.yaml", "receivers::zipkin: {}", nil, []string{"zipkin", "ebpf_span"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := []string{"validate", "--config", config(c.config)}
			if c.override != "" {
				args = append(args, "--config", "yaml:"+c.override)
			}
			output, code := run(t, c.env, args...)
			if code == 0 {
				t.Errorf("accepted:\n%s", output)
			}
			for _, want := range c.want {
				if !strings.Contains(output, want) {
					t.Errorf("does not say %q:\n%s", want, output)
				}
			}
			if strings.Contains(output, "goroutine ") {
				t.Errorf("panicked:\n%s", output)
			}
		})
	}
}

func TestDistributionHasWhatItPromises(t *testing.T) {
	output, code := run(t, nil, "components")
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	have := map[string]string{}
	section := ""
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, "\n")
		if !strings.HasPrefix(line, " ") {
			section = strings.TrimSuffix(line, ":")
		} else if name, ok := strings.CutPrefix(strings.TrimSpace(line), "- name: "); ok {
			have[section] += " " + name
		}
	}
	for section, names := range map[string]string{
		"receivers":  "ebpf_span otlp file_log kafka",
		"processors": "ebpf_link batch memory_limiter resource resource_detection k8s_attributes transform filter attributes probabilistic_sampler tail_sampling groupbytrace",
		"connectors": "span_metrics service_graph forward",
		"exporters":  "otlp_grpc otlp_http debug file kafka load_balancing prometheus",
		"extensions": "health_check pprof zpages file_storage",
	} {
		for name := range strings.FieldsSeq(names) {
			if !strings.Contains(have[section]+" ", " "+name+" ") {
				t.Errorf("%s: %s is missing; there are%s", section, name, have[section])
			}
		}
	}
	for scheme := range strings.FieldsSeq("env file http https yaml") {
		if !strings.Contains(output, "scheme: "+scheme+"\n") {
			t.Errorf("configuration source %s is missing", scheme)
		}
	}
}
