package launch

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func group(t *testing.T) *Group {
	t.Helper()
	g := NewGroup()
	g.SetDir(t.TempDir())
	t.Cleanup(func() {
		g.Kill()
		g.Close()
	})
	return g
}

func sh(name, script string, listening bool) Spec {
	return Spec{Name: name, Path: "/bin/sh", Args: []string{"-c", script}, Listening: listening}
}

func running(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestStartAndStop(t *testing.T) {
	g := group(t)
	c, err := g.Start(context.Background(), sh("a", "echo listening 127.0.0.1:7; exec sleep 60", true))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:7", c.Addr)
	require.NoError(t, g.Stop(5*time.Second))
	require.False(t, running(c.PID()))
	require.NoError(t, g.Stop(time.Second), "twice is fine")
}

func TestStubbornChildAndItsChildren(t *testing.T) {
	g := group(t)
	c, err := g.Start(context.Background(), sh("stubborn", "trap '' TERM; sleep 61 & echo $!; echo listening x:1; wait; sleep 61", false))
	require.NoError(t, err)
	var grandchild int
	require.Eventually(t, func() bool {
		grandchild, err = strconv.Atoi(strings.SplitN(c.Tail(5), "\n", 2)[0])
		return err == nil && strings.Contains(c.Tail(5), "listening")
	}, 5*time.Second, 10*time.Millisecond)
	require.ErrorContains(t, c.Stop(200*time.Millisecond), "was killed")
	require.Eventually(t, func() bool { return !running(c.PID()) && !alive(grandchild) }, 5*time.Second, 10*time.Millisecond)
}

// alive is false for a zombie, which somebody else has to reap.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}

func TestFailures(t *testing.T) {
	g := group(t)
	ctx := context.Background()
	_, err := g.Start(ctx, sh("dies", "echo no port left >&2; exit 3", true))
	require.ErrorContains(t, err, "exit status 3")
	require.ErrorContains(t, err, "no port left")
	_, err = g.Start(ctx, Spec{Name: "absent", Path: "/nonexistent"})
	require.ErrorContains(t, err, "/nonexistent")
	c, err := g.Start(ctx, sh("fails", "exit 4", false))
	require.NoError(t, err)
	require.Eventually(t, func() bool { gone, _ := c.Exited(); return gone }, 5*time.Second, 5*time.Millisecond)
	require.ErrorContains(t, c.Stop(time.Second), "exit status 4")
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = g.Start(short, sh("silent", "exec sleep 60", true))
	require.ErrorContains(t, err, "did not say where it listens")
}
