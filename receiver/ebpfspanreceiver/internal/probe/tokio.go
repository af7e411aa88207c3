package probe

import (
	"fmt"

	"github.com/otelcol-ebpf/otelcol-ebpf/bpf"
)

// TokioCode says whom a function of an executable with tokio wakes: enum tokio_code in bpf/event.h.
type TokioCode uint32

// Kinds of TokioCode.
const (
	TokioLock = TokioCode(bpf.SocketTokioCodeTOKIO_LOCK)
	TokioPass = TokioCode(bpf.SocketTokioCodeTOKIO_PASS)
	TokioTime = TokioCode(bpf.SocketTokioCodeTOKIO_TIME)
)

// TokioWakes is a function that wakes tasks: Size bytes at Start, in the memory of the process.
type TokioWakes struct {
	Code  TokioCode
	Start uint64
	Size  uint32
}

// TokioTarget says where the code of a process is, and its functions that wake tasks: struct tokio_target.
type TokioTarget struct {
	Text, Size uint64
	Wakes      []TokioWakes
}

// Tokio says which functions of a process that was selected as one with tokio, or is about to be, wake tasks.
func (t *Tracer) Tokio(pid uint32, of TokioTarget) error {
	v := bpf.SocketTokioTarget{Text: of.Text, Size: of.Size}
	if len(of.Wakes) > len(v.Wakes) {
		return fmt.Errorf("note the tokio of process %d: %d functions wake tasks, more than %d", pid, len(of.Wakes), len(v.Wakes))
	}
	for i, w := range of.Wakes {
		v.Wakes[i].Start, v.Wakes[i].Size, v.Wakes[i].Code = w.Start, w.Size, bpf.SocketTokioCode(w.Code)
	}
	return noteLayout(t.objects.TokioTargets, "the tokio", pid, v)
}

// ForgetTokio ends what Tokio said.
func (t *Tracer) ForgetTokio(pid uint32) error {
	return forgetLayout(t.objects.TokioTargets, "the tokio", pid)
}
