package process

import "sync/atomic"

// Reason names why a process, or a fact about one, was left out. Each has one counter, so nothing
// is skipped in silence.
type Reason uint8

// The reasons, in the order of Counters.Snapshot.
const (
	// Gone: the process ended while it was being read.
	Gone Reason = iota
	// PermissionDenied: the kernel refused a file that a decision or a description needs.
	PermissionDenied
	// Unreadable: a file could not be read or understood for any other cause.
	Unreadable
	// TooMany: the process matches but the set of selected processes is full.
	TooMany
	// KernelThread: has no executable and never talks to a socket for a user.
	KernelThread
	// Zombie: has ended, its parent has not collected it yet.
	Zombie
	// Thread: the id given is a thread's, not a process's.
	Thread
	// Self: the collector is never traced.
	Self
	// Excluded: matched an exclude selector.
	Excluded
	// ExcludedUnknown: an exclude selector could not be ruled out because a fact was unreadable.
	ExcludedUnknown
	// EnvironTruncated: the environment is longer than what is read of it.
	EnvironTruncated
	// EnvironOverwritten: the process wrote its title over its environment.
	EnvironOverwritten
	// EnvValueTruncated: one retained value is longer than what is kept of it.
	EnvValueTruncated
	// AttributesInvalid: OTEL_RESOURCE_ATTRIBUTES could not be decoded and was discarded whole.
	AttributesInvalid
	// AttributesTooMany: OTEL_RESOURCE_ATTRIBUTES has more attributes than are kept.
	AttributesTooMany
	// ListenersTruncated: a socket table is longer than what is read of it.
	ListenersTruncated
	// QueueFull: more processes wait to be considered than the queue holds; a rescan is due.
	QueueFull
	numReasons
)

var reasonNames = [numReasons]string{
	Gone: "gone", PermissionDenied: "permission_denied", Unreadable: "unreadable",
	TooMany: "too_many", KernelThread: "kernel_thread", Zombie: "zombie", Thread: "thread",
	Self: "self", Excluded: "excluded", ExcludedUnknown: "excluded_unknown",
	EnvironTruncated: "environ_truncated", EnvironOverwritten: "environ_overwritten",
	EnvValueTruncated: "env_value_truncated", AttributesInvalid: "resource_attributes_invalid",
	AttributesTooMany: "resource_attributes_too_many", ListenersTruncated: "listeners_truncated",
	QueueFull: "queue_full",
}

// String is the metric attribute value of a reason.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

// Counters counts by reason. The zero value is ready; it must not be copied.
type Counters struct{ n [numReasons]atomic.Uint64 }

func (c *Counters) add(r Reason) {
	if c != nil {
		c.n[r].Add(1)
	}
}

// Get is how often r happened.
func (c *Counters) Get(r Reason) uint64 {
	if r >= numReasons {
		return 0
	}
	return c.n[r].Load()
}

// Snapshot calls f with each reason and its count so far.
func (c *Counters) Snapshot(f func(Reason, uint64)) {
	for r := Reason(0); r < numReasons; r++ {
		f(r, c.n[r].Load())
	}
}
