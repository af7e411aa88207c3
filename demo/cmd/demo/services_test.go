package main

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/otelcol-ebpf/otelcol-ebpf/demo/internal/plan"
)

// TestServices runs the real services, without a collector, under the load of the check.
func TestServices(t *testing.T) {
	o, err := parse([]string{"-check", "-requests", "60"})
	require.NoError(t, err)
	d := newDemo(o)
	d.dir = t.TempDir()
	d.group.SetDir(d.dir)
	t.Cleanup(func() {
		d.group.Kill()
		d.group.Close()
	})
	d.root, err = findRoot()
	require.NoError(t, err)
	d.redis, d.python = look([]string{"redis-server"}), look([]string{"/usr/bin/python3", "python3"})
	if d.redis == "" || d.python == "" {
		if os.Getenv("REQUIRE_BPF") == "1" {
			t.Fatal("redis-server and python3 are required with REQUIRE_BPF=1: apt-get install redis-server python3")
		}
		t.Skip("needs redis-server and python3: apt-get install redis-server python3")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	require.NoError(t, d.buildServices(ctx))
	for _, name := range plan.Services {
		require.NoError(t, d.startService(ctx, name))
	}
	require.NoError(t, d.warm(ctx))
	var requests []plan.Request
	for n := range o.requests {
		requests = append(requests, d.request(n))
	}
	require.NoError(t, d.load.all(ctx, requests, o.concurrency))

	require.ErrorContains(t, d.load.all(ctx, []plan.Request{{ID: "x", Root: &plan.Node{Service: plan.Tax, Path: "/nowhere"}}}, 1),
		"status 404", "a failed request is reported")

	d.load.close()
	require.NoError(t, d.group.Stop(10*time.Second))
	for _, c := range d.group.Children() {
		gone, _ := c.Exited()
		require.True(t, gone, c.Name)
		require.NoDirExists(t, "/proc/"+strconv.Itoa(c.PID()))
		if c.Name != plan.Redis {
			require.NotContains(t, c.Tail(50), "background call", c.Name)
		}
	}
}

// TestRedisOpIsTheSameInPython compares the two programs that derive a command from an id.
func TestRedisOpIsTheSameInPython(t *testing.T) {
	python := look([]string{"/usr/bin/python3", "python3"})
	if python == "" {
		t.Skip("needs python3")
	}
	root, err := findRoot()
	require.NoError(t, err)
	var ids, want []string
	for n := range 50 {
		id := "r" + strconv.Itoa(n*n)
		ids, want = append(ids, id), append(want, plan.RedisOp(id, 3))
	}
	cmd := exec.Command(python, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import pricing; print(*map(pricing.redis_op, sys.argv[2:]))", root+"/demo")
	cmd.Args = append(cmd.Args, ids...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, want, strings.Fields(string(out)))
}

func TestBadFlags(t *testing.T) {
	_, err := parse([]string{"-requests", "-3", "-concurrency", "1000", "-window", "1ms", "-order", "never", "extra"})
	for _, name := range []string{"-requests=-3", "-concurrency=1000", "-window=1ms", "-order=never", "extra"} {
		require.ErrorContains(t, err, name, "all problems at once")
	}
}
