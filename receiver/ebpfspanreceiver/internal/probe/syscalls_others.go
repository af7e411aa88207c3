//go:build !amd64

package probe

// oldSyscalls: see syscalls_amd64.go.
var oldSyscalls map[string]uint32
