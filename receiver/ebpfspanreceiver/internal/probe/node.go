package probe

import "github.com/otelcol-ebpf/otelcol-ebpf/bpf"

// NodeTarget says where Node.js keeps what is read, in bytes: struct node_target.
type NodeTarget struct{ AsyncIDs, Depth, WrapIDs, Check, Stack, Fields uint32 }

// Node says how the loops of a process are read that is about to be selected as one of Node.js.
func (t *Tracer) Node(pid uint32, n NodeTarget) error {
	v := bpf.SocketNodeTarget{
		AsyncIds: n.AsyncIDs, Depth: n.Depth, WrapIds: n.WrapIDs, Check: n.Check, Stack: n.Stack, Fields: n.Fields,
	}
	return noteLayout(t.objects.NodeTargets, "the loops", pid, v)
}

// ForgetNode ends what Node said.
func (t *Tracer) ForgetNode(pid uint32) error {
	return forgetLayout(t.objects.NodeTargets, "the loops", pid)
}
