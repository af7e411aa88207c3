// Package distribution has no code: its tests run the built collector, build/otelcol-ebpf, with the
// ready configurations of otelcol-ebpf/config. `make test` builds it first.
package distribution
