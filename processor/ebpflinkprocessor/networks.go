package ebpflinkprocessor

import (
	"errors"
	"fmt"
	"net/netip"
)

// networks are where traced processes have their addresses; empty: that is not known.
type networks []netip.Prefix

func parseNetworks(list []string) (networks, error) {
	var out networks
	var errs []error
	for i, s := range list {
		switch n, err := netip.ParsePrefix(s); {
		case err != nil:
			errs = append(errs, fmt.Errorf("traced_networks[%d]: %q is no network: write address/bits, e.g. 10.0.0.0/8", i, s))
		case n != n.Masked():
			errs = append(errs, fmt.Errorf("traced_networks[%d]: %q has bits set beyond its length: write %s", i, s, n.Masked()))
		default:
			out = append(out, n)
		}
	}
	return out, errors.Join(errs...)
}

// exclude says whether nothing at a is traced. Loopback and link-local addresses mean something else on each
// host, so of them it is never known.
func (ns networks) exclude(a netip.Addr) bool {
	if len(ns) == 0 || !a.IsValid() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
		return false
	}
	a = a.Unmap().WithZone("")
	if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
		return false
	}
	for _, n := range ns {
		if n.Contains(a) {
			return false
		}
	}
	return true
}
