package main

import (
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// TestKernelHarness shows that BPF works where the tests run: it counts one system call of this
// process exactly, through the raw tracepoint and through tracefs's one.
func TestKernelHarness(t *testing.T) {
	if err := rlimit.RemoveMemlock(); err != nil {
		skipOrFail(t, err)
	}
	t.Run("raw_tracepoint", func(t *testing.T) {
		// Arguments: struct pt_regs *, long id.
		countGetppid(t, ebpf.RawTracepoint, 8, func(p *ebpf.Program) (link.Link, error) {
			return link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: p})
		})
	})
	if _, err := os.Stat("/sys/kernel/tracing/events"); err != nil && os.Getenv(guestEnv) == "" {
		t.Logf("tracefs is not mounted on this machine (%v); only the guest must have it", err)
		return
	}
	t.Run("tracepoint", func(t *testing.T) {
		// Eight common bytes, then long id.
		countGetppid(t, ebpf.TracePoint, 8, func(p *ebpf.Program) (link.Link, error) {
			return link.Tracepoint("raw_syscalls", "sys_enter", p, nil)
		})
	})
}

func countGetppid(t *testing.T, kind ebpf.ProgramType, idOffset int16, attach func(*ebpf.Program) (link.Link, error)) {
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Name: "counts", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		skipOrFail(t, err)
	}
	defer counts.Close()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "count_getppid", Type: kind, License: "Dual BSD/GPL",
		Instructions: countSyscall(counts.FD(), idOffset, int32(os.Getpid()), syscall.SYS_GETPPID),
	})
	if err != nil {
		t.Fatalf("load: %+v", err)
	}
	defer prog.Close()
	// Another thread enters the same hook all the while, as on any real machine.
	busy := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(busy)
		for {
			select {
			case <-stop:
				return
			default:
				syscall.Getuid()
			}
		}
	}()
	defer func() { close(stop); <-busy }()
	hook, err := attach(prog)
	if err != nil {
		t.Fatalf("attach: %v", err)
	}
	const calls = 1000
	for range calls {
		syscall.Getppid()
	}
	if err := hook.Close(); err != nil {
		t.Fatalf("detach: %v", err)
	}
	syscall.Getppid() // detached: must not count
	var got uint64
	if err := counts.Lookup(uint32(0), &got); err != nil {
		t.Fatal(err)
	}
	if got != calls {
		t.Fatalf("counted %d calls, made %d", got, calls)
	}
}

// countSyscall counts entries of system call nr by process tgid into slot 0 of the array; the
// call's number is at idOffset of the context.
func countSyscall(mapFD int, idOffset int16, tgid, nr int32) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, idOffset, asm.DWord),
		asm.JNE.Imm(asm.R6, nr, "out"),
		asm.FnGetCurrentPidTgid.Call(),
		asm.RSh.Imm(asm.R0, 32),
		asm.JNE.Imm(asm.R0, tgid, "out"),
		asm.StoreImm(asm.R10, -4, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, mapFD),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
		asm.Return(),
	}
}

func skipOrFail(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("REQUIRE_BPF") != "1" && (errors.Is(err, os.ErrPermission) || errors.Is(err, ebpf.ErrNotSupported)) {
		t.Skipf("BPF is not available here: %v; run as root", err)
	}
	t.Fatal(err)
}
