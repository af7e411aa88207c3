//go:build linux

package ebpfspanreceiver

import (
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/exchange"
)

// longestPart is that of a path which is taken for a name. What is longer is an id.
const longestPart = 32

// operation is a number for what x calls, the same for each call of the same place in a program: the
// protocol, the name of the operation, and the path without the parts that look like ids.
func operation(x *exchange.Exchange) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(x.Protocol.Name)
	_, _ = d.WriteString("\x00" + x.Request.Name)
	for _, a := range x.Request.Attributes {
		if a.Key != "url.path" {
			continue
		}
		for part := range strings.SplitSeq(a.Str, "/") {
			if len(part) > longestPart || strings.ContainsAny(part, "0123456789") {
				part = "*"
			}
			_, _ = d.WriteString("/")
			_, _ = d.WriteString(part)
		}
	}
	return max(d.Sum64(), 1)
}
