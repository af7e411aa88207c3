//go:build linux

package ebpfspanreceiver

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/causality"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/probe"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/pyruntime"
)

// pythonPrograms knows which BPF program sits on which kind of site.
var pythonPrograms = map[pyruntime.Kind]string{
	pyruntime.Enter: "py_enter", pyruntime.EnterMoved: "py_enter_moved",
	pyruntime.MadeArgument: "py_made_argument", pyruntime.MadeResult: "py_made_result",
	pyruntime.Put: "py_put", pyruntime.PutMethod: "py_put_method", pyruntime.Got: "py_got",
	pyruntime.Write: "py_write", pyruntime.WriteArray: "py_write_array",
}

// pythonParts are what is looked for in the files of an interpreter, and what is lost without it.
var pythonParts = []struct {
	name    string
	sites   func(file string) ([]pyruntime.Site, error)
	without string
	// module is where it is that a program need not import; nil: in the interpreter.
	module func(*pyruntime.Files) string
}{
	{"contexts", pyruntime.Contexts, "calls of asyncio's tasks stay unlinked, but where a thread serves one request at a time", nil},
	{"queues", pyruntime.Queue, "of the calls that a task makes in a pool of threads only the last one is linked", func(f *pyruntime.Files) string { return f.Queue }},
	{"streams of uvloop", pyruntime.Streams, "the calls of its tasks stay unlinked", func(f *pyruntime.Files) string { return f.Loop }},
}

// libraryAfter is when the files of an interpreter are looked for again that has just begun, and libraryTries how
// often. A program may import uvloop when it has imported everything else: from then on that is looked for so often as
// loopTries, each time after twice the time, some two minutes.
const (
	libraryAfter = 250 * time.Millisecond
	libraryTries = 20
	loopTries    = 9
)

// lookAgain is how long after the look with a number the next one is, the first being 0; false: there is none.
func lookAgain(look int, whole bool) (time.Duration, bool) {
	switch {
	case look < libraryTries:
		return libraryAfter, true
	case whole && look < libraryTries+loopTries:
		return libraryAfter << (look - libraryTries), true
	}
	return 0, false
}

// python attaches the probes of CPython's files, once for each file, for as long as a process that has it
// mapped is selected.
type python struct {
	tracer *probe.Tracer
	log    *zap.Logger
	// missing is told what cannot be read or attached.
	missing *missing

	mu      sync.Mutex
	closed  bool
	files   attachments[*pythonFile]
	waiting map[int]*time.Timer // by pid
}

// pythonHave says which of pythonParts there are.
type pythonHave [3]bool

type pythonFile struct {
	probes io.Closer
	lock   pyruntime.Runtime // zero: it is in another file
	parts  pythonHave
}

func newPython(t *probe.Tracer, log *zap.Logger, counts *counts) runtimeSupport {
	y := &python{tracer: t, log: log, missing: &counts.missing, waiting: map[int]*time.Timer{}}
	y.files = newAttachments(y.detach)
	return y
}

// use attaches the probes of p's interpreter.
func (y *python) use(p *process.Process, target *target) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.leave(p.PID)
	if p.Runtime != process.RuntimePython {
		return
	}
	target.Python = true
	y.attach(p, target, 0)
}

// attach looks through p's files, not for the first time where look is not 0. A process that has just begun has not
// mapped them all.
func (y *python) attach(p *process.Process, target *target, look int) {
	root := p.HostPath("/")
	found, err := pyruntime.Find(filepath.Join(filepath.Dir(p.ExeFile()), "maps"), root, p.Exe)
	if err != nil {
		y.log.Debug("The files of an interpreter cannot be listed", zap.Int("pid", p.PID), zap.Error(err))
		return
	}
	type file struct {
		name string
		at   uint64 // where it begins in memory; 0: that is not asked
	}
	files := []file{{p.ExeFile(), found.ExecutableAt}}
	if found.Library != "" {
		files = append(files, file{filepath.Join(root, found.Library), found.LibraryAt})
	}
	for _, part := range pythonParts {
		if part.module != nil && part.module(&found) != "" {
			files = append(files, file{name: filepath.Join(root, part.module(&found))})
		}
	}
	var have pythonHave
	locked := false
	for _, mapped := range files {
		f := y.file(p, mapped.name)
		if f == nil {
			continue
		}
		if mapped.at > 0 && f.lock.Size > 0 {
			locked = y.noteLock(p, mapped.at+f.lock.Offset, f.lock.Size)
		}
		for i, part := range f.parts {
			have[i] = have[i] || part
		}
	}
	if found.Loop != "" {
		target.tell(func(h *causality.Habits) { h.Defers = true })
	}
	if locked && have == (pythonHave{true, true, true}) {
		return
	}
	whole := locked && have[0] && have[1] && found.Loop == ""
	if look >= libraryTries && !whole {
		y.lacks(p, &found, have)
		if !locked {
			y.missing.note(p.ServiceName, "the lock of its interpreter")
			y.log.Warn("Where the lock of this interpreter is is not known: who is woken by another thread is not taken for who made "+
				"its call", zap.String("executable", p.Exe), zap.Int("pid", p.PID))
		}
	}
	after, again := lookAgain(look, whole)
	if !again {
		return
	}
	y.waiting[p.PID] = time.AfterFunc(after, func() {
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.waiting[p.PID] == nil || y.closed {
			return
		}
		delete(y.waiting, p.PID)
		y.attach(p, target, look+1)
	})
}

// noteLock tells the kernel side where the lock of p's interpreter is.
func (y *python) noteLock(p *process.Process, at, size uint64) bool {
	err := y.tracer.Python(uint32(p.PID), probe.PythonTarget{Runtime: at, Size: size})
	if err != nil {
		y.log.Warn("Where the lock of an interpreter is cannot be noted", zap.Int("pid", p.PID), zap.Error(err))
	}
	return err == nil
}

// lacks says what p's interpreter has that is not followed. A module that it has not imported is not missing.
func (y *python) lacks(p *process.Process, found *pyruntime.Files, have pythonHave) {
	for i, part := range pythonParts {
		if have[i] || part.module != nil && part.module(found) == "" {
			continue
		}
		y.missing.note(p.ServiceName, "the "+part.name+" of its interpreter")
		y.log.Warn("The "+part.name+" of this interpreter are not followed: "+part.without,
			zap.String("executable", p.Exe), zap.Int("pid", p.PID))
	}
}

// file is that of a name, with its probes, and p as a user; nil where there is none.
func (y *python) file(p *process.Process, name string) *pythonFile {
	info, err := os.Stat(name)
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	key := process.FileKey{Dev: st.Dev, Ino: st.Ino, Size: st.Size, MtimeUnixNs: info.ModTime().UnixNano()}
	return y.files.use(p.PID, key, func() *pythonFile { return y.inspect(p, name) })
}

func (y *python) inspect(p *process.Process, name string) *pythonFile {
	f := &pythonFile{}
	log := y.log.With(zap.String("file", name), zap.Int("pid", p.PID))
	var err error
	if f.lock, err = pyruntime.Lock(name); err != nil && !errors.Is(err, pyruntime.ErrNotPython) {
		log.Warn("The lock of an interpreter cannot be found", zap.Error(err))
	}
	var sites []probe.Site
	for i, part := range pythonParts {
		found, err := part.sites(name)
		if errors.Is(err, pyruntime.ErrNotPython) {
			continue
		}
		if err != nil {
			log.Warn("The "+part.name+" of an interpreter cannot be followed: "+part.without, zap.Error(err))
			continue
		}
		f.parts[i] = true
		for _, s := range found {
			sites = append(sites, probe.Site{Program: pythonPrograms[s.Kind], Offset: s.Offset, Return: s.Return})
		}
	}
	if len(sites) == 0 {
		return f
	}
	if f.probes, err = y.tracer.AttachSites(name, sites); err != nil {
		f.parts = pythonHave{}
		log.Warn("Python probes cannot be attached: calls of its tasks stay unlinked", zap.Error(err))
	}
	return f
}

// drop says that a process is not selected any more.
func (y *python) drop(pid int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.leave(pid)
}

func (y *python) leave(pid int) {
	if timer := y.waiting[pid]; timer != nil {
		timer.Stop()
		delete(y.waiting, pid)
	}
	y.files.leave(pid)
	if err := y.tracer.ForgetPython(uint32(pid)); err != nil {
		y.log.Warn("The lock of an interpreter cannot be forgotten", zap.Int("pid", pid), zap.Error(err))
	}
}

func (y *python) detach(f *pythonFile) {
	if f.probes == nil {
		return
	}
	if err := f.probes.Close(); err != nil {
		y.log.Warn("Detaching Python probes failed", zap.Error(err))
	}
}

// close detaches everything.
func (y *python) close() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.closed = true
	for pid := range y.waiting {
		y.waiting[pid].Stop()
	}
	y.files.close()
	clear(y.waiting)
}
