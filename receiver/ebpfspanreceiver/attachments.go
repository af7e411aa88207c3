//go:build linux

package ebpfspanreceiver

import "github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"

// attachments keeps what is attached to files, once for each file, for as long as a process uses it. F is
// what is known of a file. The caller guards it.
type attachments[F any] struct {
	detach func(F)
	files  map[process.FileKey]*attachment[F]
	users  map[int][]*attachment[F] // by pid
}

type attachment[F any] struct {
	key   process.FileKey
	file  F
	users int
}

func newAttachments[F any](detach func(F)) attachments[F] {
	return attachments[F]{
		detach: detach, files: map[process.FileKey]*attachment[F]{}, users: map[int][]*attachment[F]{},
	}
}

// use makes a process a user of a file, and is what is known of that. A file without a key is not shared:
// nothing says whether two of them are the same.
func (s *attachments[F]) use(pid int, key process.FileKey, attach func() F) F {
	a := s.files[key]
	if a == nil {
		a = &attachment[F]{key: key, file: attach()}
		if key != (process.FileKey{}) {
			s.files[key] = a
		}
	}
	for _, used := range s.users[pid] {
		if used == a {
			return a.file
		}
	}
	a.users++
	s.users[pid] = append(s.users[pid], a)
	return a.file
}

// leave ends every use of a process and detaches what has no other user; false where it used nothing.
func (s *attachments[F]) leave(pid int) bool {
	used, ok := s.users[pid]
	delete(s.users, pid)
	for _, a := range used {
		if a.users--; a.users > 0 {
			continue
		}
		if a.key != (process.FileKey{}) {
			delete(s.files, a.key)
		}
		s.detach(a.file)
	}
	return ok
}

// close ends every use.
func (s *attachments[F]) close() {
	for pid := range s.users {
		s.leave(pid)
	}
}
