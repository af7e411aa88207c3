//go:build linux

package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A fixture is a text file of sections: "-- name --" is a file, "-- name -> target --" a link, and
// "process" holds the facts that stat and status are made of. In environ and cmdline every line is
// one NUL-terminated string.
type fixture struct {
	files map[string]string
	links map[string]string
	facts map[string]string
	want  string
	raw   string
}

func readFixture(t testing.TB, name string) fixture {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	f := fixture{files: map[string]string{}, links: map[string]string{}, facts: map[string]string{}}
	head, _, _ := strings.Cut(string(b), "-- want --\n")
	f.raw = head
	section, text := "", &strings.Builder{}
	flush := func() {
		switch body := text.String(); section {
		case "":
		case "want":
			f.want = body
		case "process":
			for _, w := range strings.Fields(body) {
				k, v, _ := strings.Cut(w, "=")
				f.facts[k] = v
			}
		case "environ", "cmdline":
			f.files[section] = strings.ReplaceAll(strings.ReplaceAll(body, "\n", "\x00"), `\n`, "\n")
		default:
			f.files[section] = body
		}
		text.Reset()
	}
	for _, line := range strings.SplitAfter(string(b), "\n") {
		header, ok := strings.CutPrefix(strings.TrimSpace(line), "-- ")
		if header, ok = cutSuffixIf(ok, header, " --"); !ok {
			text.WriteString(line)
			continue
		}
		flush()
		if name, target, isLink := strings.Cut(header, " -> "); isLink {
			f.links[name] = target
			section = ""
			continue
		}
		section = header
	}
	flush()
	return f
}

func cutSuffixIf(ok bool, s, suffix string) (string, bool) {
	if !ok {
		return s, false
	}
	return strings.CutSuffix(s, suffix)
}

// fakeProc writes one process below root, as procfs shows it.
func fakeProc(t testing.TB, root string, pid int, f fixture) {
	t.Helper()
	dir := filepath.Join(root, strconv.Itoa(pid))
	fact := func(name, otherwise string) string {
		if v, ok := f.facts[name]; ok {
			return v
		}
		return otherwise
	}
	put := func(name, body string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644))
	}
	put("stat", fmt.Sprintf("%d (%s) %s %s 1 1 0 -1 %s 0 0 0 0 0 0 0 0 20 0 %s 0 %s 1000 10 18446744073709551615 %s 2 %s 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n",
		pid, fact("comm", "app"), fact("state", "S"), fact("ppid", "1"), fact("flags", "4194560"),
		fact("threads", "1"), fact("start", "100"), fact("code", "4096"), fact("stack", "8192")))
	put("status", fmt.Sprintf("Name:\t%s\nTgid:\t%s\nPid:\t%d\nUid:\t%s\t0\t0\t0\n",
		fact("comm", "app"), fact("tgid", strconv.Itoa(pid)), pid, fact("uid", "0")))
	for _, name := range []string{"environ", "cmdline", "cgroup", "mountinfo"} {
		put(name, f.files[name])
	}
	for name, body := range f.files {
		put(name, body)
	}
	links := map[string]string{"exe": "/usr/bin/app", "cwd": "/", "ns/net": "net:[4026531840]"}
	for name, target := range f.links {
		links[name] = target
	}
	for name, target := range links {
		if target == "" {
			continue
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		_ = os.Remove(path)
		require.NoError(t, os.Symlink(target, path))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "fd"), 0o755))
}

// process is a fixture written in place: environment, executable, facts.
func process(exe string, env []string, facts ...string) fixture {
	f := fixture{files: map[string]string{}, links: map[string]string{"exe": exe}, facts: map[string]string{}}
	for _, e := range env {
		f.files["environ"] += e + "\x00"
	}
	for _, w := range facts {
		k, v, _ := strings.Cut(w, "=")
		f.facts[k] = v
	}
	return f
}

var testHost = Host{ID: "3f1f0a6e9d0c4b7e8a5d2c1b0a998877", Name: "node-1", BootID: "0e996cb1-9747-4532-96d8-f4576ddf1d78"}

// needs skips a test that cannot run here, or fails it where everything has to run.
func needs(t testing.TB, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("REQUIRE_BPF") == "1":
		t.Fatalf("needs %s, and REQUIRE_BPF=1 forbids to skip", what)
	default:
		t.Skipf("needs %s", what)
	}
}
