package pyruntime

import "bytes"

// method is a PyMethodDef, Include/methodobject.h: name, function, flags, documentation.
type method struct {
	name    string
	address uint64
	flags   uint32
}

const (
	methodSize = 32
	methMethod = 0x200 // METH_METHOD: the defining class is the second argument
)

// methods finds the table in which methods of these names follow one another, nil where there is none or
// more than one.
func (im *image) methods(names ...string) []method {
	var found []method
	for i := range im.parts {
		p := &im.parts[i]
		if p.code {
			continue
		}
		for n := 0; n+methodSize*len(names) <= len(p.data); n += 8 {
			m := im.table(p.address+uint64(n), names)
			if m == nil {
				continue
			}
			if found != nil {
				return nil
			}
			found = m
		}
	}
	return found
}

func (im *image) table(at uint64, names []string) []method {
	var m []method
	for i, name := range names {
		entry := at + uint64(i)*methodSize
		if !im.isString(im.pointer(entry), name) {
			return nil
		}
		f := im.pointer(entry + 8)
		if _, p := im.at(f); p == nil || !p.code {
			return nil
		}
		flags, _ := im.at(entry + 16)
		m = append(m, method{name, f, uint32(flags[0]) | uint32(flags[1])<<8})
	}
	return m
}

func (im *image) isString(at uint64, text string) bool {
	b, p := im.at(at)
	return p != nil && !p.code && len(b) > len(text) && b[len(text)] == 0 && bytes.HasPrefix(b, []byte(text))
}
