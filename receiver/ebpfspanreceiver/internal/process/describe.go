//go:build linux

package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Reader reads processes from one procfs. It may be used by several goroutines.
type Reader struct {
	// Counters counts what was skipped.
	Counters *Counters

	root  string
	host  Host
	names map[string]struct{}
	boot  time.Time // the wall clock at boot
	goELF goCache

	ownMounts, ownContainer string // the collector's mount namespace and what its mounts say
}

// NewReader reads below root, usually "/proc". Besides the variables that describe a service, those
// in names are retained.
func NewReader(root string, host Host, names ...string) *Reader {
	wanted := map[string]struct{}{}
	for _, n := range append(names, describingNames...) {
		wanted[n] = struct{}{}
	}
	r := &Reader{Counters: &Counters{}, root: root, host: host, names: wanted, boot: bootTime()}
	if d, err := openProc(root, ownPID(root)); err == nil {
		defer d.close()
		buf := borrow()
		defer release(buf)
		if ns, err := d.link("ns/mnt"); err == nil {
			if r.ownContainer, err = r.mountedContainer(d, buf); err == nil {
				r.ownMounts = ns
			}
		}
	}
	return r
}

func bootTime() time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(ts.Nano()))
}

const tick = 10 * time.Millisecond // USER_HZ is 100 on every architecture that Go has on Linux

// Describe reads one process. Facts that may not be read are left empty and counted.
// Errors: ErrGone, ErrThread, ErrKernelThread, ErrZombie, ErrFirstThreadEnded, or what the kernel said.
func (r *Reader) Describe(pid int) (*Process, error) {
	d, err := openProc(r.root, pid)
	if err != nil {
		return nil, fmt.Errorf("describe process %d: %w", pid, r.count(err))
	}
	defer d.close()
	p, err := r.facts(d)
	if err != nil {
		return nil, fmt.Errorf("describe process %d: %w", pid, r.count(err))
	}
	r.complete(d, p)
	return p, nil
}

// count counts an error by its reason and returns it.
func (r *Reader) count(err error) error {
	switch {
	case err == nil:
	case errors.Is(err, ErrGone):
		r.Counters.add(Gone)
	case errors.Is(err, ErrThread):
		r.Counters.add(Thread)
	case errors.Is(err, ErrKernelThread):
		r.Counters.add(KernelThread)
	case errors.Is(err, ErrZombie), errors.Is(err, ErrFirstThreadEnded):
		r.Counters.add(Zombie)
	case denied(err):
		r.Counters.add(PermissionDenied)
	default:
		r.Counters.add(Unreadable)
	}
	return err
}

func (r *Reader) readStat(d procDir) (stat, error) {
	buf := borrow()
	defer release(buf)
	b, _, err := d.read("stat", buf, maxStat)
	if err != nil {
		return stat{}, err
	}
	s, err := parseStat(b)
	if err != nil {
		return stat{}, d.fault("stat", err)
	}
	return s, nil
}

// facts reads what rules ask for. An exec in the middle would mix two programs, so the reading is
// repeated until it begins and ends in the same one.
func (r *Reader) facts(d procDir) (*Process, error) {
	const attempts = 4
	for attempt := 1; ; attempt++ {
		p, err := r.factsOnce(d)
		if err != nil {
			return nil, err
		}
		after, err := r.readStat(d)
		if err != nil {
			return nil, err
		}
		if after.firstEnded() {
			return nil, ErrGone // what could not be read is no fault then
		}
		// After so many the exec events that follow will have the process read again.
		if after.execID() == p.exec || attempt == attempts {
			for _, err := range p.faults {
				_ = r.count(err)
			}
			p.faults = nil
			r.countEnviron(&p.env)
			return p, nil
		}
	}
}

func (r *Reader) countEnviron(e *environ) {
	if e.truncated {
		r.Counters.add(EnvironTruncated)
	}
	if e.overwritten {
		r.Counters.add(EnvironOverwritten)
	}
	for range e.longValues {
		r.Counters.add(EnvValueTruncated)
	}
}

func (r *Reader) factsOnce(d procDir) (*Process, error) {
	read := sinceBoot()
	s, err := r.readStat(d)
	switch {
	case err != nil:
		return nil, err
	case s.kernelThread():
		return nil, ErrKernelThread
	case s.ended():
		return nil, ErrZombie
	case s.firstEnded():
		return nil, ErrFirstThreadEnded
	}
	p := &Process{
		PID: d.pid, PPID: s.ppid, Start: s.start, Comm: s.comm, exec: s.execID(), root: d.root, read: read,
		Started: r.boot.Add(time.Duration(min(s.start, 1<<38)) * tick),
	}
	buf := borrow()
	defer release(buf)

	b, _, err := d.read("status", buf, maxStatus)
	if err != nil {
		return nil, err
	}
	st, err := parseStatus(b)
	if err != nil {
		return nil, d.fault("status", err)
	}
	if st.tgid != d.pid {
		return nil, ErrThread
	}
	p.UID = st.uid

	if err := p.readExe(d); err != nil {
		if fatal := p.survivable(err); fatal != nil {
			return nil, fatal
		}
	}
	b, whole, err := d.read("environ", buf, maxEnviron)
	if err != nil {
		if fatal := p.survivable(err); fatal != nil {
			return nil, fatal
		}
		p.env.denied = true
	} else {
		p.env = parseEnviron(b, r.names)
		p.env.truncated = !whole
		clear(b)
	}
	b, _, err = d.read("cgroup", buf, maxCgroup)
	switch {
	case err == nil:
		p.CGroups = parseCGroups(b)
	case errors.Is(err, unix.ENOENT): // a kernel without cgroups
	default:
		if fatal := p.survivable(err); fatal != nil {
			return nil, fatal
		}
		p.cgroupUnknown = true
	}
	c := containerOf(p.CGroups)
	p.ContainerID, p.PodUID = c.id, c.podUID
	if p.ContainerID == "" && hidden(p.CGroups) {
		if p.ContainerID, err = r.mountedContainer(d, buf); err != nil {
			return nil, err
		}
	}
	if ns, err := d.link("ns/net"); err == nil {
		p.NetNS = nsInode(ns)
	} else if !errors.Is(err, unix.ENOENT) { // ended, or a kernel without network namespaces
		if fatal := p.survivable(err); fatal != nil {
			return nil, fatal
		}
	}
	return p, nil
}

// mountedContainer looks for the container id in the mounts. They are the same for all processes of
// a mount namespace, so those of the collector's own are read once.
func (r *Reader) mountedContainer(d procDir, buf *[]byte) (string, error) {
	if r.ownMounts != "" {
		if ns, err := d.link("ns/mnt"); err == nil && ns == r.ownMounts {
			return r.ownContainer, nil
		}
	}
	b, _, err := d.read("mountinfo", buf, maxMountinfo)
	if errors.Is(err, ErrGone) {
		return "", err
	}
	return containerOfMounts(b), nil // unreadable is no fault: most processes are in no container
}

// hidden: no cgroup has a path, so a cgroup namespace may hide one.
func hidden(groups []CGroup) bool {
	for _, g := range groups {
		if g.V2 && g.Path != "/" {
			return false
		}
	}
	return true
}

// survivable notes an error that leaves one fact unknown, and returns one that ends the reading.
func (p *Process) survivable(err error) error {
	if errors.Is(err, ErrGone) {
		return err
	}
	p.faults = append(p.faults, err)
	return nil
}

func nsInode(target string) uint64 {
	_, rest, ok := strings.Cut(target, ":[")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(rest, "]"), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

const deletedSuffix = " (deleted)"

func (p *Process) readExe(d procDir) error {
	exe, err := d.link("exe")
	if errors.Is(err, unix.ENOENT) {
		return ErrGone // it has given up its memory: it is on its way out
	}
	if err != nil {
		return err
	}
	st, err := d.stat("exe")
	switch {
	case err == nil:
		p.ExeKey = FileKey{
			Dev: st.Dev, Ino: st.Ino, Size: st.Size,
			MtimeUnixNs: st.Mtim.Sec*1e9 + st.Mtim.Nsec,
		}
	case errors.Is(err, ErrGone):
		return err
	}
	// The kernel appends the suffix, but a file may also be called so.
	if bare, ok := strings.CutSuffix(exe, deletedSuffix); ok {
		named, err := d.stat("root" + exe)
		if err != nil || named.Dev != p.ExeKey.Dev || named.Ino != p.ExeKey.Ino {
			exe, p.ExeDeleted = bare, true
		}
	}
	p.Exe = exe
	return nil
}

// complete adds what only a selected process needs: runtime, names and attributes.
func (r *Reader) complete(d procDir, p *Process) {
	name := p.Exe
	if name == "" {
		name = p.Comm
	}
	p.Runtime = runtimeOfName(name)
	if p.Runtime == RuntimeUnknown && r.goELF.isGo(d, p.ExeKey) {
		p.Runtime = RuntimeGo
	}
	declared := r.declared(p)
	p.nameService(declared, func() string { return r.commandName(d, p.Runtime) })
	p.attrs = attributes(p, declared, &r.host)
}

func (r *Reader) declared(p *Process) []Attr {
	text, ok := p.env.get(envAttributes)
	if !ok || text == "" {
		return nil
	}
	if len(text) == maxEnvValue { // cut off, counted when it was read: the last member is not whole
		text = text[:max(strings.LastIndexByte(text, ','), 0)]
	}
	attrs, dropped, err := parseDeclared(text)
	if err != nil {
		r.Counters.add(AttributesInvalid)
	}
	for range dropped {
		r.Counters.add(AttributesTooMany)
	}
	return attrs
}

// commandName derives a name from the command line, which is not kept.
func (r *Reader) commandName(d procDir, rt Runtime) string {
	if rt == RuntimeUnknown || rt == RuntimeGo {
		return ""
	}
	buf := borrow()
	defer release(buf)
	b, _, err := d.read("cmdline", buf, maxCmdline)
	if err != nil {
		_ = r.count(err)
		return ""
	}
	const maxArgs = 1024
	args := strings.SplitN(strings.TrimSuffix(string(b), "\x00"), "\x00", maxArgs)
	clear(b)
	return programName(rt, args, func() string {
		cwd, err := d.link("cwd")
		if err != nil {
			return "/"
		}
		return strings.TrimSuffix(cwd, deletedSuffix)
	})
}

// ownPID is the collector's id in the procfs at root, which in a container may be another than
// getpid() returns; 0 when that procfs does not show the collector.
func ownPID(root string) int {
	target, err := os.Readlink(filepath.Join(root, "self"))
	if err != nil {
		return 0
	}
	pid, _ := parsePID(target)
	return pid
}
