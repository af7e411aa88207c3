package goruntime

import "fmt"

// Layout is where the fields are, in bytes from the start of runtime.g, or of runtime.m for Curg and G0.
type Layout struct {
	Goid       int64
	ParentGoid int64 // meaningful when HasParentGoid
	M          int64
	Curg       int64 // m.curg
	G0         int64 // m.g0
	// HasParentGoid: Go 1.21 and later record the creator's goid in each goroutine.
	HasParentGoid bool
}

func (l Layout) String() string {
	s := fmt.Sprintf("goid %d, m %d, m.curg %d, m.g0 %d", l.Goid, l.M, l.Curg, l.G0)
	if l.HasParentGoid {
		s += fmt.Sprintf(", parentGoid %d", l.ParentGoid)
	}
	return s
}

const (
	oldestMinor     = 17 // first release with the register ABI (amd64)
	arm64RegABI     = 18 // first release with it on arm64
	parentGoidMinor = 21
)

// layouts holds the offsets of Go 1.N, equal on amd64 and arm64. All rows were
// measured in the DWARF of programs built with the release named, on both
// machines; TestTableMatchesToolchains repeats it for the toolchains at hand.
var layouts = map[int]Layout{
	17: {Goid: 152, M: 48, Curg: 192},                                       // 1.17.13
	18: {Goid: 152, M: 48, Curg: 192},                                       // 1.18.10
	19: {Goid: 152, M: 48, Curg: 192},                                       // 1.19.13
	20: {Goid: 152, M: 48, Curg: 192},                                       // 1.20.14
	21: {Goid: 152, ParentGoid: 272, M: 48, Curg: 192, HasParentGoid: true}, // 1.21.0, 1.21.13
	22: {Goid: 152, ParentGoid: 272, M: 48, Curg: 192, HasParentGoid: true}, // 1.22.12
	23: {Goid: 160, ParentGoid: 280, M: 48, Curg: 192, HasParentGoid: true}, // 1.23.12
	24: {Goid: 160, ParentGoid: 280, M: 48, Curg: 192, HasParentGoid: true}, // 1.24.13
	25: {Goid: 152, ParentGoid: 272, M: 48, Curg: 184, HasParentGoid: true}, // 1.25.7
	26: {Goid: 152, ParentGoid: 280, M: 48, Curg: 184, HasParentGoid: true}, // 1.26.8
}

// SudogGOffset is the offset of sudog.g, the waiting goroutine, in runtime.sudog: its first field in every release from 1.9 to 1.26.
const SudogGOffset = 0

// settleLayout decides from up to three witnesses. A version of "" means no build information.
func settleLayout(version string, fromCode Layout, codeErr error, readDWARF func() (Layout, error)) (Layout, string, error) {
	n, released, known := minor(version)
	if known && n < oldestMinor {
		return Layout{}, "", fmt.Errorf("%w: built with %s; before Go 1.17 arguments are on the stack: rebuild with a newer Go", ErrUnsupported, version)
	}
	row, hasRow := layouts[n]
	hasRow = hasRow && known && released
	if !known {
		// Names and code are there but nothing says which Go wrote them: take the
		// code's word only when it describes a layout that some release had.
		if codeErr == nil && isReleased(fromCode) {
			return fromCode, "code, equal to a release's", nil
		}
		return Layout{}, "", fmt.Errorf("%w: no Go version in the build information (version %q; obfuscators such as garble remove it) and machine code gives no released layout (%v): build without the obfuscator", ErrUnsupported, version, orNone(fromCode, codeErr))
	}
	switch {
	case hasRow && codeErr == nil && row == fromCode:
		return row, "code and table", nil
	case hasRow && codeErr != nil:
		dw, err := readDWARF()
		if err != nil {
			return row, "table", nil
		}
		if dw != row {
			return dw, "DWARF", nil
		}
		return row, "table and DWARF", nil
	}
	dw, err := readDWARF()
	switch {
	case err == nil && codeErr == nil && dw == fromCode:
		return dw, "code and DWARF", nil
	case err == nil && codeErr != nil:
		return dw, "DWARF", nil
	case err == nil:
		return Layout{}, "", fmt.Errorf("%w: %s: DWARF says {%v}, machine code says {%v}; please report this build", ErrUnsupported, version, dw, fromCode)
	case hasRow:
		return Layout{}, "", fmt.Errorf("%w: %s has {%v} in releases, but this runtime's machine code says {%v} and DWARF is not there to decide (%w): build without -ldflags=-w", ErrUnsupported, version, row, fromCode, err)
	case codeErr == nil:
		return fromCode, "code", nil
	}
	return Layout{}, "", fmt.Errorf("%w: no offsets known for %s, machine code not understood (%w), DWARF not usable (%w): build without -ldflags=-w, or use a release of Go 1.17 to 1.26", ErrUnsupported, version, codeErr, err)
}

func isReleased(l Layout) bool {
	for _, row := range layouts {
		if row == l {
			return true
		}
	}
	return false
}

func orNone(l Layout, err error) any {
	if err != nil {
		return err
	}
	return l
}
