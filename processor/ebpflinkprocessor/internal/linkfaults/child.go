package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setup is what rows change of the Collector's configuration.
type setup struct {
	window     time.Duration
	maxWaiting int
	sync       string
	body       int // bytes of a span
	memory     int // bytes that the Collector may have, its heap half of them, 0: any
}

// bench is where one row takes place: a Collector that can be ended and begun again, with clients before
// it and a sink behind it.
type bench struct {
	setup
	dir      string // of the row
	store    string
	in       string
	ledger   *ledger
	sink     *sink
	load     *load
	log      *output
	cmd      *exec.Cmd
	ended    chan error
	restarts int
}

// output keeps the last of what a Collector says.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.b.Len() > 1<<20 {
		o.b.Reset()
	}
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.b.Bytes()
	return string(b[max(0, len(b)-6000):])
}

func newBench(s setup) (b *bench, err error) {
	b = &bench{setup: s, ledger: newLedger(), log: &output{}}
	if b.dir, err = os.MkdirTemp("", "linkfaults-"); err != nil {
		return nil, err
	}
	b.store = filepath.Join(b.dir, "store")
	if err := makeClock(b.clock()); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b.in = l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	b.sink, err = startSink(b.ledger)
	return b, err
}

func (b *bench) clock() string { return filepath.Join(b.dir, "clock") }

// start starts the Collector and returns when it listens.
func (b *bench) start() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.cmd = exec.Command(self, "collector", configuration(b.in, b.sink.endpoint, b.store, b.setup))
	b.cmd.Env = append(os.Environ(), clockEnv+"="+b.clock())
	if b.memory > 0 {
		b.cmd.Env = append(b.cmd.Env, fmt.Sprintf("GOMEMLIMIT=%d", b.memory/2))
	}
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	// It ends with this program, however that ends.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	b.ended = make(chan error, 1)
	go func(cmd *exec.Cmd, ended chan error) { ended <- cmd.Wait() }(b.cmd, b.ended)
	if err := b.confine(); err != nil {
		return err
	}
	for deadline := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", b.in)
		if err == nil {
			return conn.Close()
		}
		select {
		case err := <-b.ended:
			return b.fell(err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the collector does not listen after a minute\n%s", b.log)
		}
	}
}

// confine gives the Collector no more memory than the row says: what is not a mapped file, which the kernel takes back.
func (b *bench) confine() error {
	if b.memory == 0 {
		return nil
	}
	limit := &unix.Rlimit{Cur: uint64(b.memory), Max: uint64(b.memory)}
	return unix.Prlimit(b.cmd.Process.Pid, unix.RLIMIT_DATA, limit, nil)
}

// fell notes that the Collector ended though nobody ended it.
func (b *bench) fell(err error) error {
	b.cmd = nil
	if err == nil {
		err = errors.New("without an error")
	}
	return fmt.Errorf("the collector ended: %w\n%s", err, b.log)
}

// kill ends the Collector with SIGKILL.
func (b *bench) kill() error {
	select {
	case err := <-b.ended:
		return b.fell(err)
	default:
	}
	if err := b.cmd.Process.Kill(); err != nil {
		return err
	}
	<-b.ended
	b.cmd = nil
	b.sink.quiet()
	b.ledger.interrupt()
	return nil
}

// again kills the Collector and starts another.
func (b *bench) again() error {
	if err := b.kill(); err != nil {
		return err
	}
	b.restarts++
	return b.start()
}

// finish ends the load, waits until the spans that were acknowledged have come out, and ends the
// Collector as an operator does.
func (b *bench) finish() error {
	stopped := make(chan struct{})
	go func() { defer close(stopped); b.load.stop() }()
	select {
	case err := <-b.ended:
		return b.fell(err)
	case <-stopped:
	}
	for deadline := time.Now().Add(3 * time.Minute); b.ledger.missing() > 0 && time.Now().Before(deadline); {
		select {
		case err := <-b.ended:
			return b.fell(err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	// The Collector says that it is ready just before it begins to handle signals.
	time.Sleep(300 * time.Millisecond)
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-b.ended:
		b.cmd = nil
		if err != nil {
			return fmt.Errorf("the collector ended with %w\n%s", err, b.log)
		}
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("the collector did not end within a minute of SIGTERM\n%s", b.log)
	}
}

// close gives everything back.
func (b *bench) close() {
	if b.load != nil {
		b.load.stopped.Store(true)
		b.load.cancel()
	}
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		<-b.ended
	}
	if b.sink != nil {
		b.sink.server.Stop()
	}
	_ = os.RemoveAll(b.dir)
}
