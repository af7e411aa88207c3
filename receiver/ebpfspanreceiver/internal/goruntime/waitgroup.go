package goruntime

import "fmt"

// fnGroup takes the group and how many join it, or, below 0, leave it. It is the only function that changes the
// counter: Done and Go call it, inlined or not.
const fnGroup = "sync.(*WaitGroup).Add"

// waitGroupMinor is the release since which a group begins with one word whose upper half is the counter: before Go
// 1.20 it was where the alignment of the group allowed it (sync/waitgroup.go).
const waitGroupMinor = 20

// WaitGroups says where groups of goroutines (sync.WaitGroup) are joined and left.
type WaitGroups struct {
	// GroupSites is one site; none where the program has no groups.
	GroupSites []Site
	// GroupReason says why there is none though it has.
	GroupReason string
}

// waitGroups finds the site. A profile-guided build can have copies of the function in its callers: they are not looked
// for, who joins or leaves there is not seen. counted: the counter is where it is looked for.
func (t *funcTable) waitGroups(base uint64, counted bool) WaitGroups {
	bodies := t.bodies(base, fnGroup)
	switch {
	case len(bodies) == 0:
		return WaitGroups{}
	case !counted:
		return WaitGroups{GroupReason: fmt.Sprintf("where a group has its counter is known from Go 1.%d on", waitGroupMinor)}
	case len(bodies) > 1:
		return WaitGroups{GroupReason: fmt.Sprintf("%d functions are named %s", len(bodies), fnGroup)}
	}
	s := argSite(t.im.arch, WaitGroupAdd, bodies[0])
	s.SudogReg = ""
	if s.Expensive {
		return WaitGroups{GroupReason: fnGroup + " begins with nothing that is cheap to probe"}
	}
	var inFile bool
	if s.Offset, inFile = t.im.fileOffset(s.Address, 1); !inFile {
		return WaitGroups{GroupReason: fmt.Sprintf("%s at %#x is in no loaded segment", fnGroup, s.Address)}
	}
	return WaitGroups{GroupSites: []Site{s}}
}
