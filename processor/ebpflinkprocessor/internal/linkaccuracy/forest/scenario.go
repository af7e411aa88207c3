package forest

import "time"

// Style is how a program gets from a request to its calls.
type Style uint8

const (
	// Threads: a thread serves a request from end to end.
	Threads Style = iota
	// Goroutines: one for each connection, and one for each call when they run at once.
	Goroutines
	// Transport: as Goroutines, but calls are written by a goroutine of the outgoing connection, as
	// Go's HTTP client does.
	Transport
	// Loop: one thread does all.
	Loop
	// Pool: one thread reads requests and answers them, others make the calls.
	Pool
)

// Keys are the facts that the receiver writes on spans.
type Keys uint8

// Bits of Keys.
const (
	// Seqs: TCP sequence numbers, addresses and ports.
	Seqs Keys = 1 << iota
	// Systrace: calls know the request that they belong to.
	Systrace
	// Lineage: calls and requests know their execution context.
	Lineage
	// Addresses of the sockets.
	Addresses

	AllKeys = Seqs | Systrace | Addresses
)

// App is what the applications do themselves.
type App uint8

const (
	// Silent applications propagate nothing.
	Silent App = iota
	// Headers: they pass a trace header on, and no SDK span of theirs is seen.
	Headers
	// SDK: half of the services have an SDK whose spans come too.
	SDK
)

// Arrival is in which order and how late spans come.
type Arrival uint8

const (
	// Prompt: each host sends what has ended every second.
	Prompt Arrival = iota
	// Shuffled: up to 9 s late, each span on its own.
	Shuffled
	// LateChildren: some subtrees come up to half an hour after the rest.
	LateChildren
	// LateAny: any span, parents too, may come half an hour late.
	LateAny
	// ByHop: each hop comes more than a window after the one above it.
	ByHop
)

// Scenario is one row of the table: what traffic looks like and what becomes of it on its way.
type Scenario struct {
	Name, What string

	// Traces is how many requests come from outside, Gap apart on average, each Lasts long.
	Traces     int
	Gap, Lasts time.Duration
	// Burst is how many of them come at one moment, 0 and 1: each by itself. Half of a burst goes to one process.
	Burst int
	// Hosts, with two processes each.
	Hosts int
	// Depth is how many calls are below one another, Fan how many a request makes.
	Depth          int
	FanMin, FanMax int
	// Parallel calls are made at once.
	Parallel bool
	// Untraced is the share of calls to what is not traced.
	Untraced float64
	// Retry is the share of calls whose first attempt gets no answer.
	Retry float64

	Style Style
	Keys  Keys
	// Unknown is the share of calls of which the receiver does not know the request.
	Unknown float64
	// Counts: the receiver says how many calls a request has made, where it knows the request of all of them.
	Counts bool
	App    App

	// Proxies is the share of processes that hand requests on with an x-request-id. One thread does it,
	// and the receiver does not know which call belongs to which request.
	Proxies float64
	// Chained: a proxy may call another, or itself by way of another.
	Chained bool
	// CalledBack is the share of requests to services that pass an x-request-id on, are called back with it while
	// they wait for the answer, and make another call with it meanwhile: a request and a call as a proxy's are.
	CalledBack float64
	// Timers is how many calls each process makes that belong to no request.
	Timers int
	// Hidden is the share of calls that go through a proxy which nobody traces: another connection, the
	// same x-request-id.
	Hidden float64

	// Missed is the share of requests whose header is not captured where they come in, MissedToo the share of those
	// that it is not captured of where they were sent, either.
	Missed, MissedToo float64
	// Begun: requests from outside come with the header of an SDK that nobody here sees.
	Begun bool

	// OnePath: every request asks for the same.
	OnePath bool
	// Words: spans say what they called (method, path, status, database), SDKs name their process, and no header
	// goes to what is not traced.
	Words bool

	// Pods: the processes of a host are in one pod, on every other host in one container; SDKs say container, pod or both
	// instead of their process.
	Pods bool

	KeepAlive, Pipelining, ReusedPorts, NAT bool
	// Twins is the share of calls of which another, on another host, shows the same numbers and times.
	Twins float64
	// FewNumbers: sequence numbers start at one of a few values.
	FewNumbers bool

	// Skew is how far a host's clock may be off, either way.
	Skew            time.Duration
	Loss, Duplicate float64
	// PendingAfter announces what is open so long; 0 is never.
	PendingAfter time.Duration
	Arrival      Arrival
	// Shuffle delivers batches in any order within a few seconds.
	Window time.Duration
}
