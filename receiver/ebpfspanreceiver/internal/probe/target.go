package probe

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// Target is what the kernel side needs to know of a selected process.
type Target struct {
	// Go is nil for a process that is not a Go program.
	Go *GoTarget
	// NoContext: what its threads do says nothing of requests, and nothing else is known of them
	// (a Go program whose goroutines cannot be read). Its calls are not linked.
	NoContext bool
	// Python: its contexts are asked for. Until its probes have seen one there is none.
	Python bool
	// Java: it has a Java VM. Until [Tracer.Java] says how its threads are read, they say nothing.
	Java bool
	// HAProxy: see [Tracer.HAProxy].
	HAProxy bool
	// Node: the asynchronous ids of its loops are read, see [Tracer.Node].
	Node bool
	// Tokio: its tasks are asked for. Until its probes have seen one polled there is none.
	Tokio bool
	// Ruby: until [Tracer.Ruby] says where its threads say what they wait for, that is not known.
	Ruby bool
}

// GoTarget says where runtime.g keeps what is read. Offsets are in bytes; ParentGoid 0 means that
// this Go version has none.
type GoTarget struct {
	TLS                       int32
	Goid, ParentGoid, M, Curg uint16
	// NoCreation: the creation of goroutines is not seen.
	NoCreation bool
	// Buffers: what goes through the buffers of channels is seen. ChanTimer: a channel has a timer.
	Buffers, ChanTimer bool
}

// Flags of struct target, bpf/event.h.
const (
	targetGo         = 1
	targetNoContext  = 4
	targetNoCreation = 8
	targetJava       = 16
	targetPython     = 32
	targetNode       = 64
	targetBuffers    = 128
	targetChanTimer  = 256
	targetHAProxy    = 512
	targetTokio      = 1024
	targetRuby       = 2048
)

// Select begins to trace a process.
func (t *Tracer) Select(pid uint32, target Target) error {
	var v bpf.SocketTarget
	if g := target.Go; g != nil {
		v = bpf.SocketTarget{
			Flags: targetGo, TlsG: g.TLS, Goid: g.Goid, ParentGoid: g.ParentGoid, M: g.M, Curg: g.Curg,
			Program: t.goPrograms.Add(1),
		}
	}
	if target.Go != nil && target.Go.NoCreation {
		v.Flags |= targetNoCreation
	}
	if target.Go != nil && target.Go.Buffers {
		v.Flags |= targetBuffers
		if target.Go.ChanTimer {
			v.Flags |= targetChanTimer
		}
	}
	if target.NoContext {
		v.Flags |= targetNoContext
	}
	if target.Python {
		v.Flags |= targetPython
	}
	if target.Java {
		v.Flags |= targetJava
	}
	if target.HAProxy {
		v.Flags |= targetHAProxy
	}
	if target.Node {
		v.Flags |= targetNode
	}
	if target.Tokio {
		v.Flags |= targetTokio
	}
	if target.Ruby {
		v.Flags |= targetRuby
	}
	if err := t.objects.Targets.Put(pid, v); err != nil {
		return fmt.Errorf("select process %d: %w", pid, err)
	}
	t.selected.mark(pid, true)
	return nil
}

// EventLoop says that a thread serves several requests at once. The kernel side finds that out by
// itself when the thread begins to wait; this is for one that waits already. Of a thread that the kernel side knows, as
// its process was forked by one that is traced, it has seen that: the entry holds a system call that may be under way.
func (t *Tracer) EventLoop(pid, tid uint32) error {
	key := bpf.SocketContextKey{Tgid: pid, Id: uint64(tid)}
	waits := bpf.SocketThread{Context: bpf.SocketContext{Loop: 1}}
	if err := t.objects.Threads.Update(key, waits, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
		return fmt.Errorf("note event loop %d of process %d: %w", tid, pid, err)
	}
	return nil
}

// Listening says that something listens on a port of a network namespace, so that the server end of
// a connection which is already open is recognised.
func (t *Tracer) Listening(netns uint32, port uint16) error {
	key := bpf.SocketListenPort{Netns: netns, Port: uint32(port)}
	if err := t.objects.ListenPorts.Put(key, uint8(1)); err != nil {
		return fmt.Errorf("note listening port %d: %w", port, err)
	}
	return nil
}
