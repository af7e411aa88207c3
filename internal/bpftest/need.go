// Package bpftest says when tests with real BPF run, and what the headers of the kernel side say.
package bpftest

import (
	"os"
	"testing"
)

// Need skips the test for ordinary users, and fails it where REQUIRE_BPF=1 promises that BPF works.
func Need(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if Required() {
		t.Fatal("REQUIRE_BPF=1 but the test does not run as root")
	}
	t.Skip("needs root to load BPF programs")
}

// Required: what should run must not skip.
func Required() bool { return os.Getenv("REQUIRE_BPF") == "1" }

// Lacks skips a test that lacks what it is to test, and fails it where nothing that should run may skip.
func Lacks(t testing.TB, what string) {
	t.Helper()
	if Required() {
		t.Fatalf("REQUIRE_BPF=1 and no %s", what)
	}
	t.Skipf("needs %s", what)
}
