package distribution

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/bpftest"
)

// With nothing selected the hooks attach, the collector is healthy, and it ends when asked.
func TestCaptureStartsAndStops(t *testing.T) {
	bpftest.Need(t)
	for _, name := range []string{"standalone", "agent", "sidecar"} {
		t.Run(name, func(t *testing.T) {
			i := prepare(t, t.TempDir(), nil, "--config", config(name+".yaml"),
				// No process of this machine but the test's own may be traced; none has this variable.
				"--config", "yaml:receivers::ebpf_span::discovery::include: [{env: [OTELCOL_EBPF_TEST_SELECTS_NOTHING]}]")
			i.run(t)
			for _, line := range strings.Split(i.log.String(), "\n") {
				// gRPC warns that no gateway is there, as it should.
				ours := strings.Contains(line, `"ebpf_span"`) || strings.Contains(line, `"ebpf_link"`)
				if ours && (strings.Contains(line, "\twarn\t") || strings.Contains(line, "\terror\t")) {
					t.Errorf("%s", line)
				}
			}
			i.stop(t)
		})
	}
}

func TestCaptureWithoutPrivilegesSaysWhatIsMissing(t *testing.T) {
	// The agent needs no directory, so nothing but BPF is in the way.
	i := prepare(t, t.TempDir(), nil, "--config", config("agent.yaml"))
	if os.Geteuid() == 0 {
		const nobody = 65534
		i.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	err := runWithin(i.cmd, time.Minute)
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("an ordinary user cannot reach the binary here: %v", err)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Exited() {
		t.Fatalf("ended with %v, want an exit code:\n%s", err, i.log)
	}
	for _, want := range []string{"ebpf_span", "root", "CAP_"} {
		if !strings.Contains(i.log.String(), want) {
			t.Errorf("does not say %q:\n%s", want, i.log)
		}
	}
	if strings.Contains(i.log.String(), "goroutine ") {
		t.Errorf("panicked:\n%s", i.log)
	}
}
