package protocol

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fuzzHead makes the bounds on heads easy to reach.
const fuzzHead = 300

// decodeSteps reads a conversation from fuzz input: an operation byte (bit 0 the direction, bits 1
// to 3 the verb), a length byte, and that many bytes of data.
func decodeSteps(input []byte) (steps []step) {
	for len(input) >= 2 && len(steps) < 4096 {
		dir, verb, n := Direction(input[0]&1), input[0]>>1&7, int(input[1])
		hole := int(input[0]>>4) * 5
		input = input[2:]
		switch verb {
		case 0:
			steps = append(steps, step{dir: dir, verb: "idle"})
		case 1:
			steps = append(steps, step{dir: dir, verb: "close"})
		case 2:
			steps = append(steps, step{dir: dir, verb: "feed", chunk: Chunk{Len: n * n}})
		default:
			n = min(n, len(input))
			c := Chunk{Data: input[:n], Len: n}
			if verb == 3 {
				c.Len += hole
			}
			steps = append(steps, step{dir: dir, verb: "feed", chunk: c})
			input = input[n:]
		}
	}
	return steps
}

func encodeSteps(steps []step) (out []byte) {
	for _, st := range steps {
		switch st.verb {
		case "idle":
			out = append(out, byte(st.dir), 0)
		case "close":
			out = append(out, byte(st.dir)|1<<1, 0)
		default:
			data := st.chunk.Data
			gap := st.chunk.Len - len(data)
			for len(data) > 0 {
				n := min(len(data), 255)
				op := byte(st.dir) | 4<<1
				if gap > 0 && n == len(data) {
					op = byte(st.dir) | 3<<1 | byte(min(15, gap/5))<<4
				}
				out = append(append(out, op, byte(n)), data[:n]...)
				data = data[n:]
			}
			if len(st.chunk.Data) == 0 && gap > 0 {
				out = append(out, byte(st.dir)|2<<1, byte(min(gap, 255)))
			}
		}
	}
	return out
}

func fuzzSession(f *testing.F, p Protocol, check func(t *testing.T, s Session)) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		if _, err := os.Stat(file); err != nil {
			f.Fatal(err)
		}
	}
	for _, s := range sections(&testing.T{}) {
		if strings.HasPrefix(s.protocol, p.Name) {
			f.Add(encodeSteps(s.steps), uint8(0))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte, flags uint8) {
		sink := newPairs()
		s := p.New(Options{MaxHead: fuzzHead, CaptureQuery: flags&1 != 0, RawArguments: flags&2 != 0, Joined: flags&4 != 0}, sink)
		for _, st := range decodeSteps(input) {
			switch st.verb {
			case "idle":
				s.Idle()
			case "close":
				s.Close(st.dir)
			default:
				sink.feed(s, st.dir, st.chunk)
			}
			check(t, s)
			for _, fault := range sink.faults {
				t.Fatal(fault)
			}
		}
		s.Idle()
		s.Close(Request)
		s.Close(Response)
		sink.accounted()
		if sink.open[Request] || sink.open[Response] {
			t.Errorf("a message is open after the end: %v", sink.open)
		}
		for _, fault := range sink.faults {
			t.Fatal(fault)
		}
		for dir := range sides {
			for _, data := range [][]byte{input, input[min(len(input), 2):]} {
				detectOnce(t, p, Direction(dir), data)
			}
		}
	})
}

// detectOnce checks that a detector never changes its mind: Yes and No are final.
func detectOnce(t *testing.T, p Protocol, dir Direction, data []byte) {
	t.Helper()
	before := More
	for n := 0; n <= min(len(data), 200); n++ {
		v := p.Detect(dir, data[:n])
		if before != More && v != before {
			t.Fatalf("%s %s: %d for %q, %d for %q", p.Name, sides[dir], before, data[:n-1], v, data[:n])
		}
		before = v
	}
}

func FuzzHTTP1(f *testing.F) {
	fuzzSession(f, HTTP1, func(t *testing.T, s Session) {
		h := s.(*http1)
		for i := range h.side {
			if n := len(h.side[i].buf); n > fuzzHead+1 {
				t.Fatalf("%d bytes of a head are kept", n)
			}
		}
		if len(h.order.ring) > maxOutstanding {
			t.Fatalf("%d requests are kept", len(h.order.ring))
		}
	})
}

func FuzzRedis(f *testing.F) {
	fuzzSession(f, Redis, func(t *testing.T, s Session) {
		r := s.(*redis)
		if len(r.ask.line) > fuzzHead || len(r.ask.raw) > maxRaw+1 {
			t.Fatalf("%d bytes of a line and %d of arguments are kept", len(r.ask.line), len(r.ask.raw))
		}
		if len(r.order.ring) > maxOutstanding {
			t.Fatalf("%d requests are kept", len(r.order.ring))
		}
	})
}

// FuzzTraceContext: a head of any headers gives a valid context or none, always the same, and the
// context that is written back as traceparent is read as itself.
func FuzzTraceContext(f *testing.F) {
	for _, c := range contextCases {
		f.Add(strings.Join(c.headers, "\n"))
	}
	f.Fuzz(func(t *testing.T, headers string) {
		c := contextOf(strings.Split(headers, "\n"))
		if c != contextOf(strings.Split(headers, "\n")) {
			t.Fatal("not the same twice")
		}
		if !c.Valid() {
			if c != (TraceContext{}) {
				t.Fatalf("half a context: %+v", c)
			}
			return
		}
		if c.Sampled && !c.HasSampled {
			t.Fatalf("sampled without a decision: %+v", c)
		}
		if len(c.State) > maxState {
			t.Fatalf("%d bytes of state", len(c.State))
		}
		state := c.State
		c.State = ""
		if !c.HasSampled {
			return
		}
		back := contextOf([]string{"traceparent: " + traceparent(c), "tracestate: " + state})
		if back.TraceID != c.TraceID || back.ParentID != c.ParentID || back.Sampled != c.Sampled {
			t.Fatalf("%+v came back as %+v", c, back)
		}
	})
}
