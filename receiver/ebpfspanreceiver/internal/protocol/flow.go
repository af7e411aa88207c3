package protocol

// flow is one direction of a session: how far it has been read, and what the sink has been told.
// It keeps the calls to the sink well nested and the skipped bytes accounted for.
type flow struct {
	sink Sink
	dir  Direction
	// pos is the offset of the next byte to read.
	pos uint64
	// start is the offset of the first byte of the message under way.
	start uint64
	// begun: the sink has seen Begin, and since then neither End nor Skip.
	begun bool
	// headed: the sink has seen Head of that message.
	headed bool
	// muted: the message under way is followed for its framing and not reported; its bytes are
	// skipped with the reason why.
	muted bool
	why   Reason
	// owed counts bytes passed over and not yet reported, all for the reason owedWhy.
	owed    int
	owedWhy Reason
}

// begin reports that a message starts at pos, or starts over (an interim response).
func (f *flow) begin() {
	f.muted, f.start, f.begun, f.headed = false, f.pos, true, false
	f.flush()
	f.sink.Begin(f.dir, f.pos)
}

// mute starts a message that is followed and not reported.
func (f *flow) mute(why Reason) {
	f.start, f.begun, f.headed, f.muted, f.why = f.pos, false, false, true, why
}

// blame gives the reason for the bytes of a muted message from here on.
func (f *flow) blame(why Reason) { f.why = why }

// take reads n bytes of the message under way.
func (f *flow) take(n int) {
	f.pos += uint64(n)
	if f.muted {
		f.owe(n, f.why)
	}
}

// pass reads n bytes that belong to no message.
func (f *flow) pass(n int, why Reason) {
	f.pos += uint64(n)
	f.owe(n, why)
}

func (f *flow) owe(n int, why Reason) {
	if f.owed > 0 && f.owedWhy != why {
		f.flush()
	}
	f.owed, f.owedWhy = f.owed+n, why
}

// flush reports what was passed over: once per chunk and reason, not once per byte.
func (f *flow) flush() {
	if n := f.owed; n > 0 {
		f.owed = 0
		f.sink.Skip(f.dir, n, f.owedWhy)
	}
}

// head reports the head of the message under way; its last byte has been taken.
func (f *flow) head(m *Message) {
	if f.begun && !f.headed {
		f.headed = true
		f.sink.Head(f.dir, f.pos, m)
	}
}

// end reports that the message under way ends at pos.
func (f *flow) end(how Completion) {
	if f.begun {
		f.begun = false
		f.sink.End(f.dir, f.pos, how)
	}
	f.muted = false
}

// abandon gives up the message under way, whose bytes so far belong to nothing now.
func (f *flow) abandon(why Reason) {
	if f.begun {
		f.begun = false
		n := f.pos - f.start
		f.sink.Skip(f.dir, int(min(n, 1<<62)), why)
	}
	f.muted = false
}
