// Package probe loads the BPF programs, attaches them, and reads their records. It is the only
// package that knows cilium/ebpf.
//
// Every hook has a row in a table that says whether it is required; what happened to each is in
// [Tracer.Status], and every record that the kernel side could not deliver is in [Tracer.Losses].
package probe

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// Options are fixed when the programs are loaded.
type Options struct {
	// PayloadSize is how many bytes of one system call are captured, 256 to MaxPayload.
	PayloadSize int
	// RingBufferSize in bytes; rounded up to a power of two of at least a page. One for all CPUs.
	RingBufferSize int
}

// MaxPayload is the largest PayloadSize: MAX_PAYLOAD in bpf/event.h.
const MaxPayload = 8192

// Tracer is the loaded kernel side.
type Tracer struct {
	objects  bpf.SocketObjects
	extended []*ebpf.Collection
	// clockOffset is what the ids that the kernel side mints are counted from: see new_id in bpf/maps.bpf.h.
	clockOffset uint64

	status     []Status
	attached   []io.Closer
	together   map[string]bool // programs that are put on all their sites of a file at once
	goPrograms atomic.Uint32   // how many Go programs were selected
	selected   selected
	readers    readers
}

// Load brings the programs and maps into the kernel; nothing is attached yet. Its errors name the
// cause and the remedy.
func Load(o Options) (*Tracer, error) {
	if err := checkHost(); err != nil {
		return nil, err
	}
	// Before 5.11 maps are charged to the memlock limit of the process; since then this matters not.
	memlock := rlimit.RemoveMemlock()
	spec, err := bpf.LoadSocket()
	if err != nil {
		return nil, fmt.Errorf("read embedded programs: %w", err)
	}
	t := &Tracer{clockOffset: clockOffset(), together: map[string]bool{}}
	if err := t.configure(spec, o); err != nil {
		return nil, err
	}
	if err := spec.LoadAndAssign(&t.objects, nil); err != nil {
		if memlock != nil {
			err = fmt.Errorf("%w (and RLIMIT_MEMLOCK could not be raised: %w: give CAP_SYS_RESOURCE)", err, memlock)
		}
		return nil, explainLoad(err)
	}
	if t.selected, err = mapSelected(t.objects.Selected); err != nil {
		return nil, errors.Join(err, t.objects.Close())
	}
	t.loadExtensions()
	return t, nil
}

func (t *Tracer) configure(spec *ebpf.CollectionSpec, o Options) error {
	page := os.Getpagesize()
	size := max(o.RingBufferSize, page)
	size = 1 << bits.Len(uint(size-1))
	spec.Maps["events"].MaxEntries = uint32(size)
	if err := bpf.Selectable(spec, selectable()); err != nil {
		return err
	}
	for name, value := range map[string]any{
		"stack_size":   stackSize(),
		"payload_size": uint32(min(max(o.PayloadSize, 256), MaxPayload)),
		"clock_offset": t.clockOffset,
		"wakeup_bytes": uint64(size / 8),
		"begins":       hooked(syscallEntry),
		"ends":         hooked(syscallExit),
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// clockOffset is wall clock less CLOCK_MONOTONIC, in nanoseconds. That it is measured in two steps matters not: it
// tells this run from others.
func clockOffset() uint64 {
	var mono unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono)
	return uint64(time.Now().UnixNano() - mono.Nano())
}

// stackSize is THREAD_SIZE, the size of a kernel stack: 16 KiB on amd64 and arm64, and not less than a page.
func stackSize() uint64 { return uint64(max(16<<10, os.Getpagesize())) }

// extensions are the objects that are loaded beside the first one and share its maps. Without one of
// them everything else works, so a failure is reported and is not an error. An object is added by adding
// a row here; where its programs sit is another table's (hooks, or the sites that a runtime's file finds).
var extensions = []struct {
	hook string
	load func() (*ebpf.CollectionSpec, error)
	// together: its programs are put on several sites at once. Not those of CPython and tokio, of which too
	// little was measured.
	together bool
}{
	{"uprobe", bpf.LoadGoroutine, true},
	{"tp_btf", bpf.LoadWake, false},
	{"uprobe", bpf.LoadPython, false},
	{"uprobe", bpf.LoadNode, true},
	{"uprobe", bpf.LoadTokio, false},
}

func (t *Tracer) loadExtensions() {
	shared := map[string]*ebpf.Map{}
	maps := reflect.ValueOf(t.objects.SocketMaps)
	for i := range maps.NumField() {
		shared[maps.Type().Field(i).Tag.Get("ebpf")] = maps.Field(i).Interface().(*ebpf.Map)
	}
	for _, x := range extensions {
		spec, err := x.load()
		if err != nil {
			t.status = append(t.status, Status{Hook: x.hook, State: Failed, Err: fmt.Errorf("read embedded programs: %w", err)})
			continue
		}
		if x.together {
			t.attachTogether(spec)
		}
		c, err := t.extend(spec, shared)
		if err != nil {
			for name := range spec.Programs {
				t.status = append(t.status, Status{Program: name, Hook: x.hook, State: Failed, Err: explainLoad(err)})
			}
			continue
		}
		t.extended = append(t.extended, c)
	}
}

func (t *Tracer) extend(spec *ebpf.CollectionSpec, shared map[string]*ebpf.Map) (*ebpf.Collection, error) {
	spec.Maps["events"].MaxEntries = t.objects.Events.MaxEntries()
	if err := spec.Variables["wakeup_bytes"].Set(uint64(t.objects.Events.MaxEntries() / 8)); err != nil {
		return nil, err
	}
	if err := spec.Variables["clock_offset"].Set(t.clockOffset); err != nil {
		return nil, err
	}
	if v := spec.Variables["stack_size"]; v != nil { // not all read registers
		if err := v.Set(stackSize()); err != nil {
			return nil, err
		}
	}
	if err := bpf.Selectable(spec, t.objects.Selected.ValueSize()); err != nil {
		return nil, err
	}
	replaced := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		if m := shared[name]; m != nil {
			replaced[name] = m
		}
	}
	return ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replaced})
}

// checkHost finds the reasons for which nothing can work, in the order in which a user can mend them.
func checkHost() error {
	if missing := missingCapabilities(); missing != "" {
		return fmt.Errorf("BPF programs cannot be loaded: uid %d lacks %s: run as root, or give CAP_BPF, CAP_PERFMON, "+
			"CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH", os.Geteuid(), missing)
	}
	if _, err := btf.LoadKernelSpec(); err != nil {
		return fmt.Errorf("the kernel's type information (BTF) cannot be read at /sys/kernel/btf/vmlinux: %w: "+
			"use a kernel built with CONFIG_DEBUG_INFO_BTF=y (5.10 or newer; all current distributions), "+
			"and mount /sys into the container", err)
	}
	if mode := lockdownMode(); mode == "confidentiality" {
		return fmt.Errorf("kernel lockdown is in mode %q, which forbids BPF to read kernel memory "+
			"(/sys/kernel/security/lockdown): boot with lockdown=integrity or lockdown=none", mode)
	}
	return nil
}

// explainLoad says what a refusal by the kernel means here.
func explainLoad(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("load BPF programs: %w: the capabilities are there, so look at the seccomp and "+
			"AppArmor or SELinux profile of the container, and at kernel lockdown", err)
	case errors.As(err, &verifier):
		return fmt.Errorf("load BPF programs: this kernel's verifier refuses them: %w: please report it with "+
			"`uname -a` and the log of --set=service::telemetry::logs::level=debug", err)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("load BPF programs: %w: Linux 5.10 or newer is needed", err)
	}
	return fmt.Errorf("load BPF programs: %w", err)
}

// Close detaches everything and frees it, last first. It may be called again.
func (t *Tracer) Close() error {
	var errs []error
	errs = append(errs, t.readers.close())
	// The kernel waits for a grace period at each; together they wait for the same ones.
	detached := make([]error, len(t.attached))
	var wg sync.WaitGroup
	for i, l := range t.attached {
		wg.Go(func() { detached[i] = l.Close() })
	}
	wg.Wait()
	errs = append(errs, detached...)
	t.attached = nil
	for _, c := range t.extended {
		c.Close()
	}
	t.extended = nil
	errs = append(errs, t.objects.Close())
	t.objects = bpf.SocketObjects{}
	return errors.Join(errs...)
}
