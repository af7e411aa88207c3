package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// machine makes the only directory of PATH, with an apt-get that runs script, and says whether we
// are root, without which nothing is installed.
func machine(t *testing.T, script string) (dir string, root bool) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("PATH", dir)
	policy := policyFile
	t.Cleanup(func() { policyFile = policy })
	policyFile = filepath.Join(dir, "policy-rc.d")
	if script != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\n"+script), 0o755))
	}
	return dir, os.Geteuid() == 0
}

func say(string, ...any) {}

func TestProgramIsFound(t *testing.T) {
	dir, _ := machine(t, "echo must not run; exit 1")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "thing"), []byte("#!/bin/sh\n"), 0o755))
	p, err := program(context.Background(), say, "thing-pkg", "/nonexistent/thing", "thing")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "thing"), p)
}

func TestProgramIsMissing(t *testing.T) {
	machine(t, "")
	_, err := program(context.Background(), say, "thing-pkg", "/nonexistent/thing", "thing")
	require.ErrorContains(t, err, "thing is missing: install it (Debian, Ubuntu: apt-get install thing-pkg)")
}

// The package's service must be forbidden to start while it is installed, and only then.
func TestProgramIsInstalled(t *testing.T) {
	dir, root := machine(t, `cd "${0%/*}"
if ./policy-rc.d; then echo a service may start; exit 9; elif [ $? != 101 ]; then exit 8; fi
[ "$1" = update ] && exit 0
[ "$1 $5" = "install thing-pkg" ] || exit 7
echo '#!/bin/sh' > thing; /bin/chmod +x thing`)
	p, err := program(context.Background(), say, "thing-pkg", "thing")
	if !root {
		require.ErrorContains(t, err, "is missing")
		return
	}
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "thing"), p)
	require.NoFileExists(t, policyFile)
}

func TestInstallFails(t *testing.T) {
	_, root := machine(t, "echo no such package; exit 100")
	_, err := program(context.Background(), say, "thing-pkg", "thing")
	require.ErrorContains(t, err, "apt-get install thing-pkg")
	if root {
		require.ErrorContains(t, err, "no such package")
		require.NoFileExists(t, policyFile)
	}
}

// A policy that the machine has already stays as it is.
func TestInstallKeepsTheMachinesPolicy(t *testing.T) {
	_, root := machine(t, "exit 100")
	if !root {
		t.Skip("needs root: nobody else installs packages")
	}
	require.NoError(t, os.WriteFile(policyFile, []byte("#!/bin/sh\nexit 0\n"), 0o755))
	_, err := program(context.Background(), say, "thing-pkg", "thing")
	require.Error(t, err)
	require.FileExists(t, policyFile)
}

// An interrupted build must take along what its command started, and not wait for it.
func TestBuildIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		for range 200 {
			if _, err := os.Stat(filepath.Join(dir, "started")); err == nil {
				return
			}
			time.Sleep(25 * time.Millisecond)
		}
	}()
	began := time.Now()
	// The shell's child, like a compiler, holds the output open; a trap shows that it was told.
	err := build(ctx, dir, dir, "/bin/sh", "-c", `sh -c 'trap "touch told; exit 1" INT; touch started; while :; do sleep 0.05; done'; exit 1`)
	require.Error(t, err)
	require.FileExists(t, filepath.Join(dir, "told"))
	require.Less(t, time.Since(began), 5*time.Second)
	require.Error(t, build(ctx, dir, dir, "/bin/true"), "nothing is built after the interrupt")
}
