package link

import "github.com/otelcol-ebpf/otelcol-ebpf/internal/rawspan"

// maxHosts bounds what is remembered of the names of hosts: a fleet has fewer.
const maxHosts = 1 << 16

// longestHost is the longest name that is remembered.
const longestHost = 256

// hosts are the names of hosts by their hash. From name and systrace id follows the id of the SERVER span
// that a call comes from, which is asked for only where that span is missing.
type hosts map[uint64]string

// Host makes a host known by its name, and says whether it is.
func (x *Index) Host(key uint64, name string) bool {
	if _, known := x.hosts[key]; known {
		return true
	}
	if key == 0 || len(name) > longestHost || len(x.hosts) == maxHosts {
		return false
	}
	x.hosts[key] = name
	return true
}

// Anchor is the id of the SERVER span that the systrace id of a CLIENT span names, seen or not, zero when
// that is not known.
func (x *Index) Anchor(v View) SpanID {
	if v.Anchor != (SpanID{}) || !v.Raw || v.Foreign || v.Role != Client || v.Systrace == 0 {
		return v.Anchor
	}
	if name, known := x.hosts[v.Host]; known {
		return rawspan.ServerSpanID(name, v.Systrace)
	}
	return SpanID{}
}
