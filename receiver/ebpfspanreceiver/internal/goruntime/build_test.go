package goruntime

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// variant is one way to build the test program.
type variant struct {
	name  string
	main  string // directory in testdata; "": live
	args  []string
	env   []string
	cgo   bool // with C code of our own
	strip bool // run strip --strip-all on the result
	blind bool // remove the section headers from the result
	live  bool // can run here
	slow  bool // compiles the standard library once more: not with -short
}

func variants() []variant {
	noCgo := []string{"CGO_ENABLED=0"}
	yes := []string{"CGO_ENABLED=1"}
	static := `-linkmode=external -extldflags "-static"`
	vs := []variant{
		{name: "plain", env: noCgo, live: true},
		{name: "trimpath", args: []string{"-trimpath"}, env: noCgo, live: true},
		{name: "stripped", args: []string{"-ldflags=-s -w"}, env: noCgo, live: true},
		{name: "pie", args: []string{"-buildmode=pie"}, env: noCgo, live: true},
		{name: "pie-stripped", args: []string{"-buildmode=pie", "-ldflags=-s -w"}, env: noCgo, live: true},
		{name: "no-section-headers", args: []string{"-ldflags=-s -w"}, env: noCgo, blind: true, live: true},
		{name: "cgo", env: yes, cgo: true, live: true},
		{name: "cgo-stripped", args: []string{"-ldflags=-s -w"}, env: yes, cgo: true, strip: true, live: true},
		{name: "cgo-pie", args: []string{"-buildmode=pie"}, env: yes, cgo: true, live: true},
		{name: "cgo-pie-stripped", args: []string{"-buildmode=pie", "-trimpath"}, env: yes, cgo: true, strip: true, live: true},
		{name: "cgo-pie-no-section-headers", args: []string{"-buildmode=pie"}, env: yes, cgo: true, strip: true, blind: true, live: true},
		{name: "cgo-static", slow: true, args: []string{"-ldflags=" + static}, env: yes, cgo: true, strip: true, live: true},
		{name: "amd64-v3", slow: true, env: append([]string{"GOAMD64=v3", "GOARCH=amd64"}, noCgo...)},
		{name: "arm64", env: append([]string{"GOARCH=arm64"}, noCgo...)},
		{name: "arm64-pie-stripped", slow: true, args: []string{"-buildmode=pie", "-ldflags=-s -w"}, env: append([]string{"GOARCH=arm64"}, noCgo...)},
	}
	for i := range vs {
		vs[i].live = vs[i].live && runtime.GOARCH == "amd64" && runtime.GOOS == "linux"
	}
	return vs
}

// build builds the test program in t's directory and returns its path.
func build(t testing.TB, goTool string, v variant) string {
	t.Helper()
	if v.cgo {
		if _, err := exec.LookPath("gcc"); err != nil {
			t.Skip("no C compiler: gcc is not installed")
		}
	}
	dir := t.TempDir()
	from := v.main
	if from == "" {
		from = "live"
	}
	copyFile(t, "testdata/"+from+"/main.go", filepath.Join(dir, "main.go"))
	if v.cgo {
		copyFile(t, "testdata/cgolive/tls.go", filepath.Join(dir, "tls.go"))
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module live\n\ngo 1.17\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "live")
	files := []string{"main.go"}
	if v.cgo {
		files = append(files, "tls.go")
	}
	cmd := exec.Command(goTool, append(append([]string{"build", "-o", out}, v.args...), files...)...)
	cmd.Dir = dir
	// GOENV and GOFLAGS: an old toolchain refuses flags that a newer one was configured with.
	cmd.Env = append(append(os.Environ(), "GOTOOLCHAIN=local", "GOENV=off", "GOFLAGS=", "GOWORK=off"), v.env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, b)
	}
	if v.strip {
		if _, err := exec.LookPath("strip"); err != nil {
			t.Skip("no strip: binutils are not installed")
		}
		if b, err := exec.Command("strip", "--strip-all", out).CombinedOutput(); err != nil {
			t.Fatalf("strip: %v\n%s", err, b)
		}
	}
	if v.blind {
		blind(t, out)
	}
	return out
}

// blind zeroes e_shoff, e_shnum and e_shstrndx, as sstrip does.
func blind(t testing.TB, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off, n := range map[int64]int{40: 8, 60: 4} {
		if _, err := f.WriteAt(make([]byte, n), off); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// goTool is the go command of the toolchain that runs the tests.
func goTool(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatalf("go env GOROOT: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "bin", "go")
}

// otherToolchains returns the go commands of toolchains in the module cache; nothing is downloaded.
func otherToolchains(t testing.TB) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatalf("go env GOMODCACHE: %v", err)
	}
	found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "golang.org", "toolchain@v0.0.1-go1.*."+runtime.GOOS+"-"+runtime.GOARCH, "bin", "go"))
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for _, path := range found {
		name := filepath.Base(filepath.Dir(filepath.Dir(path)))
		name = strings.TrimPrefix(name, "toolchain@v0.0.1-")
		m[strings.TrimSuffix(name, "."+runtime.GOOS+"-"+runtime.GOARCH)] = path
	}
	return m
}
