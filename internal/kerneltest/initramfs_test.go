package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The archive must be one that another implementation of cpio reads back.
func TestInitramfs(t *testing.T) {
	busybox, err := findBusybox()
	if err != nil {
		if os.Getenv("REQUIRE_BPF") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "x.test")
	require.NoError(t, os.WriteFile(binary, []byte("seven b"), 0o755))
	testdata := filepath.Join(dir, "testdata")
	require.NoError(t, os.MkdirAll(filepath.Join(testdata, "deep"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(testdata, "deep", "a.txt"), []byte("a"), 0o644))
	s := suite{pkg: "example/x", rel: "in/x", binary: binary, testdata: testdata}

	image := filepath.Join(dir, "image")
	require.NoError(t, writeInitramfs(image, busybox, "#!/bin/busybox sh\n", []suite{s}))

	out := filepath.Join(dir, "out")
	require.NoError(t, os.Mkdir(out, 0o755))
	f, err := os.Open(image)
	require.NoError(t, err)
	defer f.Close()
	// Not the device node, which only root can make.
	cmd := exec.Command(busybox, "cpio", "-i", "-d", "init", "bin/busybox", s.guestBinary(), s.guestDir()+"/testdata/deep/a.txt")
	cmd.Dir, cmd.Stdin = out, f
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
	for name, want := range map[string]string{
		"init": "#!/bin/busybox sh\n", s.guestBinary(): "seven b", s.guestDir() + "/testdata/deep/a.txt": "a",
	} {
		got, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		require.Equal(t, want, string(got), name)
	}
	info, err := os.Stat(filepath.Join(out, "init"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm())
	a, err := fileSum(busybox)
	require.NoError(t, err)
	b, err := fileSum(filepath.Join(out, "bin/busybox"))
	require.NoError(t, err)
	require.Equal(t, a, b)
}

func TestShellQuote(t *testing.T) {
	const word = `^Test'(a|$b)"` + "`c`"
	out, err := exec.Command("sh", "-c", "printf %s "+shellQuote(word)).Output()
	require.NoError(t, err)
	require.Equal(t, word, string(out))
}

func TestTestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"TestKernel": true, "Test": true, "Test_x": true, "TestÉ": true,
		"Testing": false, "TestMain": false, "Benchmark": false, "testX": false,
	} {
		require.Equal(t, want, isTestName(name), name)
	}
}
