//go:build linux

package process

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Port is one listening TCP socket.
type Port struct {
	Addr  netip.AddrPort
	Inode uint64
	UID   uint32
}

const (
	// maxListeners bounds the sockets kept for one network namespace.
	maxListeners = 64 << 10
	// maxTable bounds what is read of one table: a line has 150 bytes.
	maxTable = 32 << 20
	// maxOthers: the kernel prints all listening sockets before all others (tcp_seq_start,
	// net/ipv4/tcp_ipv4.c), so a run of other states means that no listener follows and the
	// established connections, of which there may be a million, need no reading.
	maxOthers = 64
	// maxFDs bounds the descriptors looked at in one process.
	maxFDs = 1 << 20
)

// Listening lists the listening TCP sockets of the network namespace that pid is in, whoever owns
// them. A socket of `::` that serves IPv4 too is listed once, as `::`.
// Errors: ErrGone, fs.ErrPermission.
func (r *Reader) Listening(pid int) ([]Port, error) {
	d, err := openProc(r.root, pid)
	if err != nil {
		return nil, fmt.Errorf("listening sockets of process %d: %w", pid, r.count(err))
	}
	defer d.close()
	out, err := r.listening(d)
	if err != nil {
		return nil, fmt.Errorf("listening sockets of process %d: %w", pid, r.count(err))
	}
	return out, nil
}

func (r *Reader) listening(d procDir) ([]Port, error) {
	var out []Port
	for _, name := range []string{"net/tcp", "net/tcp6"} {
		fd, err := retryInt(func() (int, error) {
			return unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		})
		if err != nil {
			if name == "net/tcp6" && errors.Is(err, unix.ENOENT) {
				continue // a kernel without IPv6
			}
			return nil, d.fault(name, err)
		}
		f := os.NewFile(uintptr(fd), name)
		var whole bool
		out, whole, err = parseListeners(out, f)
		_ = f.Close()
		if err != nil {
			return nil, d.fault(name, err)
		}
		if !whole {
			r.Counters.add(ListenersTruncated)
		}
	}
	return out, nil
}

// parseListeners appends the sockets in state LISTEN of /proc/net/tcp or tcp6, proc_pid_net(5).
// whole is false when a bound was reached. Lines that are not sockets are passed over.
func parseListeners(out []Port, in io.Reader) (_ []Port, whole bool, err error) {
	buf := borrow()
	defer release(buf)
	b := (*buf)[:0]
	others, total := 0, 0
	for {
		if len(b) == cap(b) {
			return out, false, nil // a line longer than the buffer is no line of the kernel's
		}
		n, err := in.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		total += n
		for {
			end := bytes.IndexByte(b, '\n')
			if end < 0 {
				break
			}
			port, state, ok := parseSocket(b[:end])
			b = b[end+1:]
			switch {
			case !ok:
			case state != tcpListen:
				if others++; others >= maxOthers {
					return out, true, nil
				}
			case len(out) >= maxListeners:
				return out, false, nil
			default:
				others = 0
				out = append(out, port)
			}
		}
		// Move the unfinished line to the front.
		b = (*buf)[:copy((*buf)[:cap(*buf)], b)]
		switch {
		case errors.Is(err, io.EOF):
			if port, state, ok := parseSocket(b); ok && state == tcpListen && len(out) < maxListeners {
				out = append(out, port)
			}
			return out, true, nil
		case err != nil:
			return out, false, err
		case total > maxTable:
			return out, false, nil
		}
	}
}

const tcpListen = 0x0a // TCP_LISTEN, include/net/tcp_states.h

// parseSocket reads one line: slot, local, remote, state, queues, timer, retransmits, uid, timeout,
// inode.
func parseSocket(line []byte) (p Port, state uint64, ok bool) {
	var field [10][]byte
	n := 0
	for n < len(field) {
		line = bytes.TrimLeft(line, " ")
		if len(line) == 0 {
			break
		}
		end := bytes.IndexByte(line, ' ')
		if end < 0 {
			end = len(line)
		}
		field[n] = line[:end]
		line = line[end:]
		n++
	}
	if n < len(field) {
		return p, 0, false
	}
	state, err := strconv.ParseUint(string(field[3]), 16, 8)
	if err != nil {
		return p, 0, false
	}
	if state != tcpListen {
		return p, state, true
	}
	if p.Addr, ok = parseHexAddr(field[1]); !ok {
		return p, 0, false
	}
	uid, err := strconv.ParseUint(string(field[7]), 10, 32)
	inode, err2 := strconv.ParseUint(string(field[9]), 10, 64)
	if err != nil || err2 != nil {
		return p, 0, false
	}
	p.UID, p.Inode = uint32(uid), inode
	return p, state, true
}

// parseHexAddr: the address is printed as 32-bit words in the machine's byte order, the port as a
// number.
func parseHexAddr(s []byte) (netip.AddrPort, bool) {
	host, port, ok := bytes.Cut(s, []byte(":"))
	if !ok || (len(host) != 8 && len(host) != 32) || len(port) != 4 {
		return netip.AddrPort{}, false
	}
	number, err := strconv.ParseUint(string(port), 16, 16)
	if err != nil || number == 0 {
		return netip.AddrPort{}, false
	}
	var raw [16]byte
	for i := 0; i < len(host); i += 8 {
		word, err := strconv.ParseUint(string(host[i:i+8]), 16, 32)
		if err != nil {
			return netip.AddrPort{}, false
		}
		binary.NativeEndian.PutUint32(raw[i/2:], uint32(word))
	}
	if len(host) == 8 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[:4])), uint16(number)), true
	}
	return netip.AddrPortFrom(netip.AddrFrom16(raw), uint16(number)), true
}

// sockets calls f with the inode of each socket that the process holds.
func (r *Reader) sockets(d procDir, f func(inode uint64)) error {
	fd, err := retryInt(func() (int, error) {
		return unix.Openat(d.fd, "fd", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return d.fault("fd", err)
	}
	defer func() { _ = unix.Close(fd) }()
	var target [64]byte // "socket:[18446744073709551615]" fits; a longer link is no socket
	var name [24]byte
	names := borrow()
	defer release(names)
	buf := (*names)[:cap(*names)]
	for seen := 0; ; {
		n, err := retryInt(func() (int, error) { return unix.Getdents(fd, buf) })
		if errors.Is(err, unix.ENOENT) {
			return ErrGone // it has given up its files: it is on its way out
		}
		if err != nil {
			return d.fault("fd", err)
		}
		if n == 0 {
			return nil
		}
		for entries := buf[:n]; len(entries) > 19; {
			// struct linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
			size := int(binary.NativeEndian.Uint16(entries[16:]))
			if size < 20 || size > len(entries) {
				break
			}
			entry := entries[19:size]
			entries = entries[size:]
			end := bytes.IndexByte(entry, 0)
			if end <= 0 || end >= len(name) || entry[0] < '0' || entry[0] > '9' {
				continue
			}
			if seen++; seen > maxFDs {
				r.Counters.add(ListenersTruncated)
				return nil
			}
			got, err := readlinkat(fd, append(name[:0], entry[:end]...), target[:])
			if err != nil {
				continue // closed since it was listed
			}
			if inode, ok := socketInode(target[:got]); ok {
				f(inode)
			}
		}
	}
}

func readlinkat(dir int, name, target []byte) (int, error) {
	return retryInt(func() (int, error) { return unix.Readlinkat(dir, string(name), target) })
}

func socketInode(target []byte) (uint64, bool) {
	rest, ok := bytes.CutPrefix(target, []byte("socket:["))
	if !ok {
		return 0, false
	}
	rest, ok = bytes.CutSuffix(rest, []byte("]"))
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(string(rest), 10, 64)
	return n, err == nil
}

// listenCache holds, for one pass, the listeners of each network namespace on the ports that the
// rules name: inode to port.
type listenCache map[uint64]map[uint64]uint16

// ports finds what d listens on, of the ports that the rules name. Most processes hold no socket;
// for them the socket tables, which may take milliseconds, are not read.
func (r *Reader) ports(d procDir, netns uint64, rules *compiledRules, cache listenCache) (portFacts, error) {
	wanted, known := cache[netns]
	known = known && netns != 0
	facts := portFacts{state: portsKnown}
	if known && len(wanted) == 0 {
		return facts, nil // nobody listens there, so no descriptor needs reading
	}
	var held []uint64
	unread := r.sockets(d, func(inode uint64) { held = append(held, inode) })
	if errors.Is(unread, ErrGone) || (unread == nil && len(held) == 0) {
		return facts, unread
	}
	if !known {
		if err := r.fillListeners(d, netns, rules, cache); err != nil {
			return portFacts{state: portsUnreadable}, err
		}
		wanted = cache[netns]
	}
	if unread != nil && len(wanted) > 0 {
		return portFacts{state: portsUnreadable}, unread
	}
	for _, inode := range held {
		if port, ok := wanted[inode]; ok {
			facts.list = append(facts.list, port)
		}
	}
	return facts, unread // with nobody listening the descriptors do not matter
}

// fillListeners files the listeners of d's network namespace, on ports that the rules name.
func (r *Reader) fillListeners(d procDir, netns uint64, rules *compiledRules, cache listenCache) error {
	all, err := r.listening(d)
	if err != nil {
		return err
	}
	wanted := map[uint64]uint16{}
	for _, p := range all {
		if rules.wantsPort(p.Addr.Port()) {
			wanted[p.Inode] = p.Addr.Port()
		}
	}
	cache[netns] = wanted
	return nil
}

// signature is equal for equal sets of wanted listeners.
func signature(wanted map[uint64]uint16) uint64 {
	var sum uint64
	for inode, port := range wanted {
		sum += fnvWord(fnvWord(fnvStart, inode), uint64(port))
	}
	return sum
}
