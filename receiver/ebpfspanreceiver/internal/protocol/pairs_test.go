package protocol

import "fmt"

// pairs is a sink that pairs as the exchange step does, by the promises of [Sink] alone.
type pairs struct {
	journal
	waiting []*Message // nil until the head is known
	// reading: the newest of waiting is under way.
	reading   bool
	answering bool
	answer    *Message
	done      []pair
	oneWay    int
}

type pair struct{ request, response *Message }

func newPairs() *pairs {
	return &pairs{journal: journal{quiet: true, skips: [2]map[Reason]int{{}, {}}}}
}

func (p *pairs) Begin(dir Direction, off uint64) {
	p.journal.Begin(dir, off)
	if dir == Response {
		p.answering, p.answer = true, nil
		return
	}
	p.waiting = append(p.waiting, nil)
	p.reading = true
}

func (p *pairs) Head(dir Direction, off uint64, m *Message) {
	p.journal.Head(dir, off, m)
	switch {
	case dir == Response:
		p.answer = m
	case m.OneWay:
		p.oneWay++
		p.waiting, p.reading = p.waiting[:len(p.waiting)-1], false
	case p.reading && len(p.waiting) > 0:
		p.waiting[len(p.waiting)-1] = m
	}
}

func (p *pairs) End(dir Direction, off uint64, how Completion) {
	p.journal.End(dir, off, how)
	if dir == Request {
		p.reading = false
		return
	}
	p.answering = false
	if p.answer.OneWay {
		p.oneWay++
		return
	}
	if len(p.waiting) == 0 {
		p.fault("a response at %d, and nobody waits", off)
		return
	}
	p.done = append(p.done, pair{p.waiting[0], p.answer})
	p.pop()
}

func (p *pairs) pop() {
	if p.waiting = p.waiting[1:]; len(p.waiting) == 0 {
		p.reading = false
	}
}

func (p *pairs) Skip(dir Direction, n int, why Reason) {
	open := p.open[dir]
	p.journal.Skip(dir, n, why)
	if !open {
		return
	}
	if dir == Request {
		if p.reading {
			p.waiting, p.reading = p.waiting[:len(p.waiting)-1], false
		}
		return
	}
	p.answering = false
	if p.answer != nil && p.answer.OneWay {
		return
	}
	if len(p.waiting) > 0 {
		p.pop()
	}
}

func (p *pairs) feed(s Session, dir Direction, c Chunk) {
	p.fed[dir] += uint64(max(c.Len, len(c.Data)))
	s.Feed(dir, c)
	p.accounted()
}

func attr(m *Message, key string) string {
	if m == nil {
		return ""
	}
	for _, a := range m.Attributes {
		if a.Key == key {
			if a.IsInt {
				return fmt.Sprint(a.Int)
			}
			return a.Str
		}
	}
	return ""
}
