package distribution

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const configs = "../../otelcol-ebpf/config"

// collector returns the path of the built binary. Without it a test skips, or fails under
// REQUIRE_BPF=1, where nothing may go untested.
func collector(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../build/otelcol-ebpf")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		const remedy = "the collector is not built: run make build"
		if os.Getenv("REQUIRE_BPF") == "1" {
			t.Fatalf("%v: %s", err, remedy)
		}
		t.Skipf("%v: %s", err, remedy)
	}
	return path
}

// environment holds env and nothing of the caller's OTELCOL_EBPF_*, which would change the defaults.
func environment(env map[string]string) []string {
	out := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()}
	for name, value := range env {
		out = append(out, name+"="+value)
	}
	return out
}

// run runs the collector to its end and returns what it wrote and its exit code.
func run(t *testing.T, env map[string]string, args ...string) (output string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, collector(t), args...)
	cmd.Env = environment(env)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%v did not end within a minute:\n%s", args, &b)
	}
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return b.String(), cmd.ProcessState.ExitCode()
}

func config(name string) string { return filepath.Join(configs, name) }
