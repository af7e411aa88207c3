package distribution

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// log collects what the collector writes while it runs.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// instance is a collector that runs with ports and a directory of its own.
type instance struct {
	cmd      *exec.Cmd
	log      *log
	ended    chan error
	data     string
	ports    map[string]string
	receives string // OTLP/HTTP
}

// ports are the variables that must differ between collectors of one machine.
var ports = []string{
	"OTELCOL_EBPF_GRPC_PORT", "OTELCOL_EBPF_HTTP_PORT", "OTELCOL_EBPF_HEALTH_PORT",
	"OTELCOL_EBPF_METRICS_PORT", "OTELCOL_EBPF_RED_PORT",
}

// prepare makes ready a collector with free ports; run starts it.
func prepare(t *testing.T, data string, env map[string]string, args ...string) *instance {
	t.Helper()
	path := collector(t)
	i := &instance{log: &log{}, ended: make(chan error, 1), data: data, ports: map[string]string{}}
	all := map[string]string{"OTELCOL_EBPF_DATA": data}
	for _, name := range ports {
		// The listener closes before the collector opens the port; nothing else here takes it.
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		defer l.Close()
		i.ports[name], all[name] = port, port
	}
	for name, value := range env {
		all[name] = value
	}
	i.receives = "http://127.0.0.1:" + i.ports["OTELCOL_EBPF_HTTP_PORT"] + "/v1/traces"
	i.cmd = exec.Command(path, args...)
	i.cmd.Env = environment(all)
	i.cmd.Stdout, i.cmd.Stderr = i.log, i.log
	return i
}

// run starts the collector and waits until it is healthy.
func (i *instance) run(t *testing.T) {
	t.Helper()
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { i.ended <- i.cmd.Wait() }()
	t.Cleanup(func() { _ = i.cmd.Process.Kill() })
	health := "http://127.0.0.1:" + i.ports["OTELCOL_EBPF_HEALTH_PORT"]
	i.await(t, "the health check answers 200", func() bool {
		r, err := http.Get(health)
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// await polls until ok, and fails with the collector's log when it ends first or a minute passes.
func (i *instance) await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		select {
		case err := <-i.ended:
			t.Fatalf("ended (%v) before %s:\n%s", err, what, i.log)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a minute not yet: %s\n%s", what, i.log)
		}
	}
}

// stop asks the collector to end and wants it to do so with success.
func (i *instance) stop(t *testing.T) {
	t.Helper()
	// The Collector says that it is ready just before it begins to handle signals (otelcol.Collector.Run).
	time.Sleep(500 * time.Millisecond)
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-i.ended:
		if err != nil {
			t.Errorf("ended with %v:\n%s", err, i.log)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("did not end within 30 s of SIGTERM:\n%s", i.log)
	}
}

// span is what the tests send and read of one: OTLP/JSON.
type span struct {
	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId,omitempty"`
	Name         string `json:"name"`
	Kind         int    `json:"kind"`
	Start        string `json:"startTimeUnixNano"`
	End          string `json:"endTimeUnixNano"`
	TraceState   string `json:"traceState,omitempty"`
	Attributes   []attr `json:"attributes"`
}

type attr struct {
	Key   string         `json:"key"`
	Value map[string]any `json:"value"`
}

const kindServer, kindClient = 2, 3

func text(key, value string) attr { return attr{key, map[string]any{"stringValue": value}} }
func number(key string, value int) attr {
	return attr{key, map[string]any{"intValue": strconv.Itoa(value)}}
}

// send posts one span per host.
func (i *instance) send(t *testing.T, hosts map[string]span) {
	t.Helper()
	var from []resource
	for host, s := range hosts {
		from = append(from, resource{
			attributes: []attr{text("service.name", "of-"+host), text("host.id", host), number("process.pid", 7)},
			spans:      []span{s},
		})
	}
	i.post(t, from)
}

// resource is what spans come from.
type resource struct {
	attributes []attr
	spans      []span
}

func (r resource) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"resource":   map[string]any{"attributes": r.attributes},
		"scopeSpans": []any{map[string]any{"spans": r.spans}},
	})
}

// post sends one request.
func (i *instance) post(t *testing.T, from []resource) {
	t.Helper()
	request := map[string]any{"resourceSpans": from}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(i.receives, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v\n%s", err, i.log)
	}
	defer r.Body.Close()
	answer, _ := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s\n%s", r.Status, answer, i.log)
	}
}

// written returns the spans in the file exporter's output.
func (i *instance) written(t *testing.T) map[string]span {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(i.data, "traces.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]span{}
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		var batch struct {
			ResourceSpans []struct {
				ScopeSpans []struct {
					Spans []span `json:"spans"`
				} `json:"scopeSpans"`
			} `json:"resourceSpans"`
		}
		if err := json.Unmarshal(line, &batch); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for _, r := range batch.ResourceSpans {
			for _, s := range r.ScopeSpans {
				for _, sp := range s.Spans {
					if _, twice := out[sp.Name]; twice {
						t.Errorf("%s was exported twice", sp.Name)
					}
					out[sp.Name] = sp
				}
			}
		}
	}
	return out
}

// call is a call from host a to host b as BPF sees it: both ends know its sequence numbers.
func call(now time.Time) map[string]span {
	wire := []attr{number("tcp.req_seq", 1111), number("tcp.resp_seq", 2222)}
	at := func(d time.Duration) string { return strconv.FormatInt(now.Add(d).UnixNano(), 10) }
	return map[string]span{
		"a": {
			TraceID: "0102030405060708090a0b0c0d0e0f10", SpanID: "a1a2a3a4a5a6a7a8", Name: "GET client", Kind: kindClient,
			Start: at(-50 * time.Millisecond), End: at(-10 * time.Millisecond), Attributes: append([]attr{
				text("network.local.address", "10.0.0.1"), number("network.local.port", 40000),
				text("network.peer.address", "10.0.0.2"), number("network.peer.port", 80),
			}, wire...),
		},
		"b": {
			TraceID: "1102030405060708090a0b0c0d0e0f10", SpanID: "b1b2b3b4b5b6b7b8", Name: "GET server", Kind: kindServer,
			Start: at(-40 * time.Millisecond), End: at(-20 * time.Millisecond), Attributes: append([]attr{
				text("network.local.address", "10.0.0.2"), number("network.local.port", 80),
				text("network.peer.address", "10.0.0.1"), number("network.peer.port", 40000),
			}, wire...),
		},
	}
}

// listening returns the addresses that the process listens on, from its descriptors and
// /proc/<pid>/net/tcp, proc_pid_net(5).
func listening(t *testing.T, pid int) []string {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d", pid)
	own := map[string]bool{}
	descriptors, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range descriptors {
		target, _ := os.Readlink(proc + "/fd/" + d.Name())
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var out []string
	for _, table := range []string{"/net/tcp", "/net/tcp6"} {
		b, err := os.ReadFile(proc + table)
		if err != nil {
			continue // no IPv6 here
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			const listen = "0A" // TCP_LISTEN, include/net/tcp_states.h
			if len(f) > 9 && f[3] == listen && own[f[9]] {
				out = append(out, f[1])
			}
		}
	}
	return out
}

// Loopback addresses as /proc/net/tcp writes them: 32-bit words in the host's byte order.
var loopback = []string{"0100007F:", "00000000000000000000000001000000:", "0000000000000000FFFF00000100007F:"}

func TestGatewayLinksWhatItReceives(t *testing.T) {
	for name, args := range map[string][]string{
		"gateway":         {"--config", config("gateway.yaml")},
		"gateway-metrics": {"--config", config("gateway.yaml"), "--config", config("gateway-metrics.yaml")},
	} {
		t.Run(name, func(t *testing.T) {
			i := prepare(t, t.TempDir(), map[string]string{
				"OTELCOL_EBPF_EXPORTERS":     "[file]",
				"OTELCOL_EBPF_WINDOW":        "1s",
				"OTELCOL_EBPF_DECISION_WAIT": "1s",
			}, args...)
			i.run(t)

			addresses := listening(t, i.cmd.Process.Pid)
			if len(addresses) < 4 {
				t.Errorf("listens on %v, want OTLP twice, health and metrics", addresses)
			}
			for _, a := range addresses {
				inside := false
				for _, l := range loopback {
					inside = inside || strings.HasPrefix(a, l)
				}
				if !inside {
					t.Errorf("listens on %s, beyond loopback", a)
				}
			}

			i.send(t, call(time.Now()))
			var got map[string]span
			i.await(t, "both spans are exported", func() bool {
				got = i.written(t)
				return len(got) == 2
			})
			client, server := got["GET client"], got["GET server"]
			if client.TraceID != server.TraceID || server.ParentSpanID != client.SpanID || client.ParentSpanID != "" {
				t.Errorf("not linked: client %+v, server %+v", client, server)
			}
			rule := ""
			for _, a := range server.Attributes {
				if a.Key == "ebpf.link.rule" {
					rule, _ = a.Value["stringValue"].(string)
				}
			}
			if rule != "tcp_seq" {
				t.Errorf("linked by rule %q, want tcp_seq", rule)
			}
			i.stop(t)
		})
	}
}

// The exporter of the configurations speaks plain text to an http:// address.
func TestGatewayForwardsInPlainText(t *testing.T) {
	quick := map[string]string{"OTELCOL_EBPF_WINDOW": "1s", "OTELCOL_EBPF_DECISION_WAIT": "1s"}
	backend := prepare(t, t.TempDir(), map[string]string{
		"OTELCOL_EBPF_EXPORTERS":     "[file]",
		"OTELCOL_EBPF_WINDOW":        quick["OTELCOL_EBPF_WINDOW"],
		"OTELCOL_EBPF_DECISION_WAIT": quick["OTELCOL_EBPF_DECISION_WAIT"],
	}, "--config", config("gateway.yaml"))
	backend.run(t)
	quick["OTELCOL_EBPF_BACKEND"] = "http://127.0.0.1:" + backend.ports["OTELCOL_EBPF_GRPC_PORT"]
	front := prepare(t, t.TempDir(), quick, "--config", config("gateway.yaml"))
	front.run(t)
	front.send(t, call(time.Now()))
	backend.await(t, "both spans arrive", func() bool { return len(backend.written(t)) == 2 })
	if got := backend.written(t); got["GET client"].TraceID != got["GET server"].TraceID {
		t.Errorf("two traces: %+v", got)
	}
	front.stop(t)
	backend.stop(t)
}

// A batch that was acknowledged is exported although the collector was killed.
func TestGatewayKeepsAcknowledgedSpansOverACrash(t *testing.T) {
	data := t.TempDir()
	env := map[string]string{
		"OTELCOL_EBPF_EXPORTERS":     "[file]",
		"OTELCOL_EBPF_WINDOW":        "5s",
		"OTELCOL_EBPF_DECISION_WAIT": "1s",
	}
	first := prepare(t, data, env, "--config", config("gateway.yaml"))
	first.run(t)
	first.send(t, call(time.Now()))
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := <-first.ended; err == nil {
		t.Error("a killed collector ended with success")
	}
	if got := first.written(t); len(got) != 0 {
		t.Fatalf("exported before the crash, so this shows nothing: %v", got)
	}

	second := prepare(t, data, env, "--config", config("gateway.yaml"))
	second.run(t)
	second.await(t, "both spans are exported", func() bool { return len(second.written(t)) == 2 })
	second.stop(t)
}

// runWithin runs a command that is expected to end by itself.
func runWithin(cmd *exec.Cmd, limit time.Duration) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	return cmd.Wait()
}

func TestDirectoryInUseIsRefused(t *testing.T) {
	data := t.TempDir()
	first := prepare(t, data, map[string]string{"OTELCOL_EBPF_EXPORTERS": "[debug]"}, "--config", config("gateway.yaml"))
	first.run(t)
	second := prepare(t, data, map[string]string{"OTELCOL_EBPF_EXPORTERS": "[debug]"}, "--config", config("gateway.yaml"))
	err := runWithin(second.cmd, 30*time.Second)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the second collector ended with %v:\n%s", err, second.log)
	}
	said := second.log.String()
	for _, want := range []string{"ebpf_link", filepath.Join(data, "link")} {
		if !strings.Contains(said, want) {
			t.Errorf("does not say %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "goroutine ") {
		t.Errorf("panicked:\n%s", said)
	}
	first.stop(t)
}
