package protocol

import "bytes"

// reply follows the framing of one RESP value (RESP2 and RESP3 with streamed types), whatever its
// size, and keeps of it only the first line and the first element's text.
type reply struct {
	state replyState
	// top is the type byte of the value once its line is whole; attributes do not count.
	top byte
	// typ is the type byte of the line or bulk string being read.
	typ byte
	// level holds, for each aggregate that is open, what it still needs.
	level [maxReplyDepth]replyLevel
	depth int
	// rem counts the bytes of a bulk string still to come, without its line end; seen those read.
	rem, seen uint64
	// lines counts whole header lines.
	lines int
	// length counts the bytes of the line being read, over and above those kept.
	length int
	sawCR  bool
	keep   [replyKeep]byte
	kept   int
	// first is the text of the value itself, or of its first element; last the last integer.
	first    [replyKeep]byte
	firstLen int
	hasFirst bool
	last     int64
}

type replyLevel struct {
	left int64 // -1: streamed
	// attribute: what follows it is the value that counts.
	attribute bool
	// chunks: a streamed string.
	chunks bool
}

type replyState uint8

const (
	replyType replyState = iota
	replyLine
	replyBulk
	replyBulkCR
	replyBulkLF
)

const (
	// maxReplyDepth is well above what commands answer (COMMAND DOCS nests seven deep).
	maxReplyDepth = 32
	replyKeep     = 48
	// maxBulk is far above proto-max-bulk-len (512 MiB unless configured).
	maxBulk = 1 << 40
	// maxElements is the most a Redis collection can hold.
	maxElements = 1 << 32
)

// read consumes bytes of data. done: the last byte consumed ends the value. bad: they are no RESP.
// With step it returns after each line and each bulk string, so that what is learnt from it does
// not depend on how the stream is cut.
func (r *reply) read(data []byte, step bool) (n int, done, bad bool) {
	for n < len(data) && !done {
		switch r.state {
		case replyType:
			if r.typ = data[n]; !r.validType() {
				return n, false, true
			}
			n++
			r.state, r.kept, r.length, r.sawCR = replyLine, 0, 0, false
		case replyLine:
			part := data[n:]
			end := bytes.IndexByte(part, '\n')
			if end >= 0 {
				part = part[:end]
			}
			if r.sawCR && len(part) > 0 {
				return n, false, true // a CR inside the line
			}
			if len(part) > 0 && part[len(part)-1] == '\r' {
				r.sawCR = true
				part = part[:len(part)-1]
				n++
			}
			if bytes.IndexByte(part, '\r') >= 0 {
				return n, false, true
			}
			r.kept += copy(r.keep[r.kept:], part)
			n += len(part)
			r.length += len(part)
			if r.length > 32 && !r.textLine() {
				return n, false, true
			}
			if end < 0 {
				continue
			}
			n++
			if !r.sawCR {
				return n, false, true
			}
			r.lines++
			if done, bad = r.lineDone(); bad {
				return n, false, true
			}
			if step {
				return n, done, false
			}
		case replyBulk:
			k := int(min(r.rem, uint64(len(data)-n)))
			if !r.hasFirst && r.seen < replyKeep {
				r.firstLen += copy(r.first[r.firstLen:], data[n:n+k])
			}
			n += k
			r.seen += uint64(k)
			if r.rem -= uint64(k); r.rem == 0 {
				r.state = replyBulkCR
			}
		case replyBulkCR:
			if data[n] != '\r' {
				return n, false, true
			}
			n++
			r.state = replyBulkLF
		case replyBulkLF:
			if data[n] != '\n' {
				return n, false, true
			}
			n++
			if done = r.bulkDone(); step {
				return n, done, false
			}
		}
	}
	return n, done, false
}

// validType judges the type byte of the next element.
func (r *reply) validType() bool {
	if r.depth > 0 && r.level[r.depth-1].chunks {
		return r.typ == ';'
	}
	switch r.typ {
	case '+', '-', ':', '$', '*', '_', '#', ',', '(', '!', '=', '%', '~', '|':
	case '>':
		if r.depth > 0 {
			return false
		}
	case '.':
		return r.depth > 0 && r.level[r.depth-1].left < 0
	default:
		return false
	}
	return true
}

// textLine: the line is text of any length, not a number.
func (r *reply) textLine() bool {
	switch r.typ {
	case '+', '-', '(', ',':
		return true
	}
	return false
}

// lineDone interprets a whole line.
func (r *reply) lineDone() (done, bad bool) {
	line := r.keep[:r.kept]
	if r.depth == 0 && r.typ != '|' {
		r.top = r.typ
	}
	switch r.typ {
	case '+', '-':
		r.text(line)
		return r.elementDone(), false
	case '(', ',':
		allowed := "0123456789+-"
		if r.typ == ',' {
			allowed = "0123456789+-.eEinfa" // inf and nan too
		}
		if len(line) == 0 || len(bytes.Trim(line, allowed)) > 0 {
			return false, true
		}
		r.other()
		return r.elementDone(), false
	case ':':
		digits, negative := line, false
		if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
			negative, digits = digits[0] == '-', digits[1:]
		}
		n, ok := parseUint64(digits)
		if !ok {
			return false, true
		}
		if r.last = int64(n); negative {
			r.last = -r.last
		}
		r.other()
		return r.elementDone(), false
	case '#':
		if string(line) != "t" && string(line) != "f" {
			return false, true
		}
		r.other()
		return r.elementDone(), false
	case '_', '.':
		if len(line) != 0 {
			return false, true
		}
		if r.typ == '.' {
			r.depth--
		}
		r.other()
		return r.elementDone(), false
	case '$', '!', '=', ';':
		if string(line) == "?" && r.typ == '$' {
			return false, !r.open(replyLevel{left: -1, chunks: true})
		}
		if string(line) == "-1" && r.typ == '$' {
			r.other()
			return r.elementDone(), false
		}
		n, ok := parseDecimal(line)
		if !ok || n > maxBulk {
			return false, true
		}
		if r.typ == ';' && n == 0 {
			r.depth--
			r.hasFirst = true
			return r.elementDone(), false
		}
		r.rem, r.seen, r.state = n, 0, replyBulk
		if n == 0 {
			r.state = replyBulkCR
		}
		return false, false
	}
	// Aggregates.
	level := replyLevel{attribute: r.typ == '|'}
	switch {
	case string(line) == "?" && r.typ != '|' && r.typ != '>':
		level.left = -1
	case string(line) == "-1" && r.typ == '*':
		r.other()
		return r.elementDone(), false
	default:
		n, ok := parseDecimal(line)
		if !ok || n > maxElements {
			return false, true
		}
		level.left = int64(n)
		if r.typ == '%' || r.typ == '|' {
			level.left *= 2
		}
	}
	if level.left == 0 {
		if r.state = replyType; level.attribute {
			return false, false
		}
		r.other()
		return r.elementDone(), false
	}
	return false, !r.open(level)
}

func (r *reply) open(level replyLevel) bool {
	if r.depth == maxReplyDepth {
		return false
	}
	r.level[r.depth] = level
	r.depth++
	r.state = replyType
	return true
}

// text notes a line as the first text, unless it is inside an attribute.
func (r *reply) text(line []byte) {
	if !r.hasFirst && !r.inAttribute() {
		r.firstLen = copy(r.first[:], line)
		r.hasFirst = true
	}
}

// other notes that the first element is no text.
func (r *reply) other() {
	if !r.inAttribute() {
		r.hasFirst = true
	}
}

func (r *reply) inAttribute() bool {
	for i := range r.depth {
		if r.level[i].attribute {
			return true
		}
	}
	return false
}

func (r *reply) bulkDone() bool {
	if r.typ == ';' {
		r.state = replyType
		return false
	}
	if r.inAttribute() && !r.hasFirst {
		r.firstLen = 0
	} else {
		r.hasFirst = true
	}
	return r.elementDone()
}

// elementDone counts an element, and the aggregates that end with it. It reports whether the whole
// value is complete.
func (r *reply) elementDone() bool {
	r.state = replyType
	for r.depth > 0 {
		level := &r.level[r.depth-1]
		if level.left < 0 {
			return false
		}
		if level.left--; level.left > 0 {
			return false
		}
		r.depth--
		if level.attribute {
			return false // the value it describes follows
		}
	}
	return true
}

// leap passes over bytes that were not captured and returns how many it can account for: the rest
// of a bulk string with its line end. done as for read.
func (r *reply) leap(n int) (passed int, done bool) {
	if r.state == replyBulk {
		k := int(min(r.rem, uint64(n)))
		passed = k
		if k > 0 {
			r.seen += uint64(k)
			if !r.hasFirst {
				r.firstLen, r.hasFirst = 0, true
			}
		}
		if r.rem -= uint64(k); r.rem == 0 {
			r.state = replyBulkCR
		}
	}
	if r.state == replyBulkCR && passed < n {
		passed++
		r.state = replyBulkLF
	}
	if r.state == replyBulkLF && passed < n {
		passed++
		done = r.bulkDone()
	}
	return passed, done
}
