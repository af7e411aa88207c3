package rawspan

import "net/netip"

// addresses remembers some that were read: of a host most spans have the same few.
type addresses [16]struct {
	text string
	addr netip.Addr
}

// Addresses shorter than this, or longer, are read each time.
const (
	shortestKept = 7
	longestKept  = len("255.255.255.255")
)

// parse reads an address; it is not valid when ok is false.
func (as *addresses) parse(text string) (a netip.Addr, ok bool) {
	n := len(text)
	if n < shortestKept || n > longestKept {
		a, err := netip.ParseAddr(text)
		return a, err == nil
	}
	// The last numbers of an address are those that differ.
	kept := &as[(text[n-1]+text[n-2]*3+text[n-3]*7)%byte(len(as))]
	if kept.text == text {
		return kept.addr, true
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, false
	}
	kept.text, kept.addr = text, a
	return a, true
}
