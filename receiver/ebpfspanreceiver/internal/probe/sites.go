package probe

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
)

// Site is a place in an executable or library. Program is the name of a program of bpf/; Offset is from the
// beginning of the file. Return: the program runs when the function that begins there returns.
type Site struct {
	Program string
	Offset  uint64
	Return  bool
}

// attachTogether lets the programs of spec be put on several sites at once, where the kernel can: from Linux
// 6.6 on. To attach twenty sites one by one takes a second, and to detach them some more, of waiting; and a hit
// costs a little more.
func (t *Tracer) attachTogether(spec *ebpf.CollectionSpec) {
	if features.HaveBPFLinkUprobeMulti() != nil {
		return
	}
	for name, p := range spec.Programs {
		if p.Type == ebpf.Kprobe { // no other probes here are of that type
			p.AttachType = ebpf.AttachTraceUprobeMulti
			t.together[name] = true
		}
	}
}

// AttachSites puts programs on the sites of a file, for every process that has it mapped now or later. It
// returns what detaches them.
func (t *Tracer) AttachSites(file string, sites []Site) (io.Closer, error) {
	exe, err := link.OpenExecutable(file)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	var links closers
	for _, g := range groups(sites) {
		attach := attachEach
		if t.together[g.program] {
			attach = attachMulti
		}
		p, err := t.program(g.program)
		if err == nil {
			err = attach(exe, p, g, &links)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("uprobe %s of %s: %w", g.program, file, err), links.Close())
		}
	}
	return &links, nil
}

// group is the sites of one program in a file.
type group struct {
	program string
	back    bool // Site.Return
	offsets []uint64
}

// groups are in the order in which their first sites are.
func groups(sites []Site) []*group {
	type key struct {
		program string
		back    bool
	}
	var ordered []*group
	by := map[key]*group{}
	for _, s := range sites {
		k := key{s.Program, s.Return}
		g := by[k]
		if g == nil {
			g = &group{program: s.Program, back: s.Return}
			by[k] = g
			ordered = append(ordered, g)
		}
		g.offsets = append(g.offsets, s.Offset)
	}
	return ordered
}

func attachMulti(exe *link.Executable, p *ebpf.Program, g *group, to *closers) error {
	attach := exe.UprobeMulti
	if g.back {
		attach = exe.UretprobeMulti
	}
	l, err := attach(nil, p, &link.UprobeMultiOptions{Addresses: g.offsets})
	if err != nil {
		return fmt.Errorf("at %#x: %w", g.offsets, err)
	}
	*to = append(*to, l)
	return nil
}

func attachEach(exe *link.Executable, p *ebpf.Program, g *group, to *closers) error {
	attach := exe.Uprobe
	if g.back {
		attach = exe.Uretprobe
	}
	for _, offset := range g.offsets {
		l, err := attach("", p, &link.UprobeOptions{Address: offset})
		if err != nil {
			return fmt.Errorf("at %#x: %w", offset, err)
		}
		*to = append(*to, l)
	}
	return nil
}

type closers []io.Closer

// Close detaches all of them at once: each waits for the same things.
func (c *closers) Close() error {
	errs := make([]error, len(*c))
	var wg sync.WaitGroup
	for i, l := range *c {
		wg.Go(func() { errs[i] = l.Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
