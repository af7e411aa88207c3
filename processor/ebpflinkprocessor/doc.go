// Package ebpflinkprocessor joins raw spans, and the SDK spans beside them, into traces. design.md
// follows a batch through it; ARCHITECTURE.md section 4 is its specification.
package ebpflinkprocessor

//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml
