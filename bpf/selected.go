package bpf

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Selectable gives the map `selected` of maps.bpf.h a byte for each of ids process ids, a power of two, and tells the
// programs so. An object that does not ask what is selected stays as it is.
func Selectable(spec *ebpf.CollectionSpec, ids uint32) error {
	if m := spec.Maps["selected"]; m != nil {
		m.ValueSize, m.Key, m.Value = ids, nil, nil // its type is that of one
	}
	v := spec.Variables["last_selectable"]
	if v == nil {
		return nil
	}
	if err := v.Set(ids - 1); err != nil {
		return fmt.Errorf("set last_selectable: %w", err)
	}
	return nil
}
