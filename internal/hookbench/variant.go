package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// variant is an object in the kernel, attached when it is its turn.
type variant struct {
	name       string
	collection *ebpf.Collection
	events     *ringbuf.Reader
	reading    sync.WaitGroup
}

// load brings the objects into the kernel and selects the process pid for them. What it returns is to be closed, whether
// it fails or not.
func load(o options, pid int) (variants []*variant, err error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("RLIMIT_MEMLOCK: %w: run it as root", err)
	}
	specs := map[string]func() (*ebpf.CollectionSpec, error){"this tree": bpf.LoadSocket}
	names := []string{"this tree"}
	if o.objects != nil {
		names = o.objects
		for _, file := range o.objects {
			specs[file] = func() (*ebpf.CollectionSpec, error) { return ebpf.LoadCollectionSpec(file) }
		}
	}
	for _, name := range names {
		spec, err := specs[name]()
		if err != nil {
			return variants, fmt.Errorf("read %s: %w", name, err)
		}
		v, err := newVariant(name, spec, o, pid)
		if err != nil {
			return variants, fmt.Errorf("load %s: %w", name, err)
		}
		variants = append(variants, v)
	}
	return variants, nil
}

func newVariant(name string, spec *ebpf.CollectionSpec, o options, pid int) (_ *variant, err error) {
	spec.Maps["events"].MaxEntries = uint32(o.ring)
	if err := spec.Variables["wakeup_bytes"].Set(uint64(o.ring / 8)); err != nil {
		return nil, err
	}
	if err := filter(spec); err != nil {
		return nil, err
	}
	v := &variant{name: filepath.Base(name)}
	if v.collection, err = ebpf.NewCollection(spec); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			v.collection.Close()
		}
	}()
	if targets := v.collection.Maps["targets"]; !o.unselected {
		if err := targets.Put(uint32(pid), make([]byte, targets.ValueSize())); err != nil {
			return nil, fmt.Errorf("select process %d: %w", pid, err)
		}
		if err := v.mark(pid); err != nil {
			return nil, err
		}
	}
	if v.events, err = ringbuf.NewReader(v.collection.Maps["events"]); err != nil {
		return nil, err
	}
	v.reading.Go(v.read)
	return v, nil
}

// mostProcesses is PID_MAX_LIMIT, include/linux/threads.h.
const mostProcesses = 4 << 20

// filter says which system calls have programs, and makes room for a byte for each process, as the receiver's
// internal/probe does. Older objects do not ask for either.
func filter(spec *ebpf.CollectionSpec) error {
	if spec.Maps["selected"] == nil {
		return nil
	}
	hooked := map[string]*[512]uint8{"begins": {}, "ends": {}}
	for _, s := range sites {
		hooked[s.moment][s.number] = 1
	}
	return errors.Join(bpf.Selectable(spec, mostProcesses), spec.Variables["begins"].Set(*hooked["begins"]), spec.Variables["ends"].Set(*hooked["ends"]))
}

// mark sets the byte of a process.
func (v *variant) mark(pid int) error {
	selected := v.collection.Maps["selected"]
	if selected == nil {
		return nil
	}
	memory, err := selected.Memory()
	if err != nil {
		return fmt.Errorf("map what is selected into memory: %w", err)
	}
	_, err = memory.WriteAt([]byte{1}, int64(pid))
	return err
}

// read takes the records away, as often as the receiver does: see Drain in the receiver's internal/probe.
func (v *variant) read() {
	var record ringbuf.Record
	for {
		v.events.SetDeadline(time.Now().Add(20 * time.Millisecond))
		for {
			err := v.events.ReadInto(&record)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return
			}
		}
	}
}

// sites are the system calls of pingpong.c that have programs.
var sites = []struct {
	moment, table, program string
	number                 uint32
}{
	{"begins", "syscall_entries", "enter_write", unix.SYS_WRITE},
	{"ends", "syscall_exits", "exit_write", unix.SYS_WRITE},
	{"ends", "syscall_exits", "exit_read", unix.SYS_READ},
}

func (v *variant) attach() (detach func() error, err error) {
	for _, s := range sites {
		if err := v.collection.Maps[s.table].Put(s.number, v.collection.Programs[s.program]); err != nil {
			return nil, fmt.Errorf("%s in %s of %s: %w", s.program, s.table, v.name, err)
		}
	}
	var attached []io.Closer
	detach = func() error {
		var err error
		for _, l := range attached {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	// The end first: a system call that is seen to begin is seen to end.
	for _, name := range []string{"syscall_ends", "syscall_begins"} {
		l, err := link.AttachTracing(link.TracingOptions{Program: v.collection.Programs[name]})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach %s of %s: %w", name, v.name, err), detach())
		}
		attached = append(attached, l)
	}
	return detach, nil
}

func (v *variant) close() error {
	err := v.events.Close()
	v.reading.Wait()
	v.collection.Close()
	return err
}
