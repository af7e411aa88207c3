// Package ebpfspanreceiver makes raw spans from what the kernel sees of selected processes: the bytes
// on their TCP sockets with their sequence numbers, and evidence of which request each call belongs
// to. design.md follows one request through it; ARCHITECTURE.md sections 1 to 3 are its specification.
package ebpfspanreceiver

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
