package process

import (
	"bytes"
	"errors"
	"strconv"
)

// stat is what is used of /proc/<pid>/stat, proc_pid_stat(5).
type stat struct {
	comm      string
	state     byte
	ppid      int
	flags     uint32
	threads   uint64
	start     uint64 // ticks of 1/100 s since boot
	startCode uint64
	stackTop  uint64 // both random at each exec, so together they name one
}

// include/linux/sched.h
const (
	pfExiting = 0x00000004 // PF_EXITING
	pfKthread = 0x00200000 // PF_KTHREAD
)

var errStat = errors.New("stat is not in the form of proc_pid_stat(5)")

// parseStat reads one line. The name in parentheses is the process's own choice and may hold
// spaces, parentheses and newlines, so fields are counted from the last ')'.
func parseStat(b []byte) (stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return stat{}, errStat
	}
	s := stat{comm: validText(string(b[open+1:end]), 64)}
	rest := b[end+1:]
	for field := 3; ; field++ {
		rest = bytes.TrimLeft(rest, " \n")
		if len(rest) == 0 {
			if field <= 22 {
				return stat{}, errStat
			}
			return s, nil
		}
		n := bytes.IndexAny(rest, " \n")
		if n < 0 {
			n = len(rest)
		}
		word := rest[:n]
		rest = rest[n:]
		if field == 3 {
			if len(word) != 1 || word[0] < 'A' || word[0] > 'z' { // fs/proc/array.c, task_state_array: a letter
				return stat{}, errStat
			}
			s.state = word[0]
			continue
		}
		switch field {
		case 4, 9, 20, 22, 26, 28:
		default:
			continue
		}
		v, err := strconv.ParseUint(string(word), 10, 64)
		if err != nil {
			return stat{}, errStat
		}
		switch field {
		case 4:
			s.ppid = int(v & 0x7fffffff)
		case 9:
			s.flags = uint32(v)
		case 20:
			s.threads = v
		case 22:
			s.start = v
		case 26:
			s.startCode = v
		case 28:
			s.stackTop = v
			return s, nil
		}
	}
}

func (s stat) kernelThread() bool { return s.flags&pfKthread != 0 }

// ended: what is left waits for its parent.
func (s stat) ended() bool { return s.firstEnded() && s.threads <= 1 }

// firstEnded: the first thread has ended. While others run the process lives on, but procfs no
// longer shows its program.
func (s stat) firstEnded() bool {
	return s.state == 'Z' || s.state == 'X' || s.state == 'x' || s.flags&pfExiting != 0
}

// execID is different after each exec: the kernel places stack and code anew. Without the right to
// see addresses they read as constants, and the name has to do.
func (s stat) execID() uint64 {
	h := fnvStart
	h = fnvWord(h, s.start)
	h = fnvWord(h, s.startCode)
	h = fnvWord(h, s.stackTop)
	if s.stackTop == 0 {
		for i := range len(s.comm) {
			h = fnvWord(h, uint64(s.comm[i]))
		}
	}
	return h
}

const fnvStart uint64 = 0xcbf29ce484222325

// fnvWord is FNV-1a over the eight bytes of v.
func fnvWord(h, v uint64) uint64 {
	for range 8 {
		h = (h ^ v&0xff) * 0x100000001b3
		v >>= 8
	}
	return h
}

func parsePID(s string) (int, bool) {
	if s == "" || len(s) > 10 || s[0] < '1' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err == nil
}

// status is what is used of /proc/<pid>/status.
type status struct {
	tgid int
	uid  uint32
}

var errStatus = errors.New("status has no Tgid or Uid line")

func parseStatus(b []byte) (status, error) {
	s := status{}
	var haveTgid, haveUID bool
	for len(b) > 0 && !(haveTgid && haveUID) {
		line := b
		if n := bytes.IndexByte(b, '\n'); n >= 0 {
			line, b = b[:n], b[n+1:]
		} else {
			b = nil
		}
		// Name comes first and has its newlines escaped by the kernel, so no line can be forged.
		if v, ok := bytes.CutPrefix(line, []byte("Tgid:")); ok {
			if n, ok := parsePID(string(bytes.TrimSpace(v))); ok {
				s.tgid, haveTgid = n, true
			}
		} else if v, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			f := bytes.Fields(v)
			if len(f) > 0 {
				if n, err := strconv.ParseUint(string(f[0]), 10, 32); err == nil {
					s.uid, haveUID = uint32(n), true
				}
			}
		}
	}
	if !haveTgid || !haveUID {
		return s, errStatus
	}
	return s, nil
}
