package noderuntime

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
)

var (
	// ErrNotNode: a readable ELF file that does not export what Node.js exports. A node that is a small
	// program around libnode.so is one.
	ErrNotNode = errors.New("not a Node.js executable")
	// ErrUnsupported: Node.js, with code that this package does not understand.
	ErrUnsupported = errors.New("unsupported Node.js executable")
	// ErrMalformed: not an ELF file, or one that contradicts itself.
	ErrMalformed = errors.New("malformed executable")
)

// Layout is where things are, in bytes.
type Layout struct {
	AsyncIDs uint32 // in node::Environment: pointer to the four doubles
	Depth    uint32 // in node::Environment: how many callback scopes are open, 8 bytes
	WrapIDs  uint32 // in node::AsyncWrap: its id, and its trigger's after it
	Check    uint32 // in node::Environment: its uv_check_t
	// Stack and Fields, in node::Environment: pointers to the pairs of ids below those that run, and to the
	// 32-bit words of which the eighth is how many. Both are 0 where the code that reads them looks otherwise.
	Stack, Fields uint32
}

// Kind says what happens at a site.
type Kind uint8

const (
	// Callback: an event is about to call JavaScript. Second argument: the Environment; fourth: a pair
	// of ids (node::async_context).
	Callback Kind = iota + 1
	// WrapCallback: the same. Second argument: the AsyncWrap that the event is of.
	WrapCallback
	// Init: an operation begins, whose id is the last that was drawn.
	Init
	// Check: the loop has handled its descriptors. First argument: the uv_check_t of the Environment.
	Check
	// Timers: timers that are due are about to run.
	Timers
)

func (k Kind) String() string {
	switch k {
	case Callback:
		return "callback scope"
	case WrapCallback:
		return "callback scope of a handle"
	case Init:
		return "beginning of an operation"
	case Check:
		return "check phase"
	case Timers:
		return "timers phase"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Site is a place for a uprobe, with the arguments of its function still in their registers.
type Site struct {
	Kind   Kind
	Symbol string
	Offset uint64 // in the file, as perf_event_open wants it
	// Expensive: the instruction is single-stepped (some 16 us in a VM instead of 0.5 us).
	Expensive bool
}

// Info is what Inspect finds out.
type Info struct {
	Layout
	Sites []Site // of each kind
	// Entries says why callback scopes are probed where they begin, and not where they are called from, which
	// leaves out those that tell nothing new.
	Entries string
}

// Functions that are read or probed, as the C++ ABI mangles them.
const (
	fnExecutionID = "_ZN4node29AsyncHooksGetExecutionAsyncIdEPN2v87IsolateE"
	fnScope       = "_ZN4node21InternalCallbackScopeC1EPNS_11EnvironmentEN2v85LocalINS3_6ObjectEEERKNS_13async_contextEi"
	fnWrapScope   = "_ZN4node21InternalCallbackScopeC1EPNS_9AsyncWrapEi"
	fnInit        = "_ZN4node9AsyncWrap13EmitAsyncInitEPNS_11EnvironmentEN2v85LocalINS3_6ObjectEEENS4_INS3_6StringEEEdd"
	fnCheck       = "_ZN4node11Environment14CheckImmediateEP10uv_check_s"
	fnTimers      = "_ZN4node11Environment9RunTimersEP10uv_timer_s"
	fnImmediates  = "_ZN4node11Environment27RunAndClearNativeImmediatesEb"
	fnPop         = "_ZN4node10AsyncHooks17pop_async_contextEd"
	fnCallback    = "_ZN4node20InternalMakeCallbackEPNS_11EnvironmentEN2v85LocalINS2_6ObjectEEES5_NS3_INS2_8FunctionEEEiPNS3_INS2_5ValueEEENS_13async_contextE"
)

// sites has a row for each probe.
var sites = []struct {
	kind   Kind
	symbol string
}{
	{Callback, fnScope}, {WrapCallback, fnWrapScope}, {Init, fnInit}, {Check, fnCheck}, {Timers, fnTimers},
}

// decoders has a row for each offset, and the function whose code has it.
var decoders = []struct {
	what, symbol string
	decode       func([]byte) (uint32, bool)
	to           func(*Layout) *uint32
}{
	{"the array of asynchronous ids", fnExecutionID, asyncIDs, func(l *Layout) *uint32 { return &l.AsyncIDs }},
	{"the depth of callback scopes", fnScope, depth, func(l *Layout) *uint32 { return &l.Depth }},
	{"the ids of a handle", fnWrapScope, wrapIDs, func(l *Layout) *uint32 { return &l.WrapIDs }},
	{"the check handle", fnCheck, check, func(l *Layout) *uint32 { return &l.Check }},
}

// maxCode bounds what is read of a function: what is looked for is near its beginning.
const maxCode = 512

// Inspect reads the executable at path. Errors are or wrap ErrNotNode, ErrUnsupported, ErrMalformed or
// the failure to read.
func Inspect(path string) (*Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("inspect Node.js executable: %w", err)
	}
	defer f.Close()
	info, err := inspect(f)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, err)
	}
	return info, nil
}

func inspect(r io.ReaderAt) (*Info, error) {
	im, err := openImage(r)
	if err != nil {
		return nil, err
	}
	code := map[string]function{}
	for _, name := range []string{fnExecutionID, fnScope, fnWrapScope, fnInit, fnCheck, fnTimers} {
		f, err := im.function(name)
		if errors.Is(err, errNoSymbol) {
			if len(code) == 0 {
				return nil, ErrNotNode
			}
			return nil, fmt.Errorf("%w: it does not export %s", ErrUnsupported, name)
		}
		if err != nil {
			return nil, err
		}
		code[name] = f
	}
	if im.machine != elf.EM_X86_64 {
		return nil, fmt.Errorf("%w: code of %s is not read, only that of amd64", ErrUnsupported, im.machine)
	}
	info := &Info{}
	for _, d := range decoders {
		offset, ok := d.decode(code[d.symbol].code)
		if !ok {
			return nil, fmt.Errorf("%w: the offset of %s is not found in the code of %s", ErrUnsupported, d.what, d.symbol)
		}
		*d.to(&info.Layout) = offset
	}
	callers, reason, err := im.scopeCalls(code[fnScope], code[fnWrapScope], &info.Layout)
	if err != nil {
		return nil, err
	}
	info.Sites, info.Entries = callers, reason
	for _, s := range sites {
		if reason == "" && (s.kind == Callback || s.kind == WrapCallback) {
			continue
		}
		f := code[s.symbol]
		at, cheap := cheapSite(f.code)
		info.Sites = append(info.Sites, Site{Kind: s.kind, Symbol: s.symbol, Offset: f.offset + at, Expensive: !cheap})
	}
	return info, nil
}
