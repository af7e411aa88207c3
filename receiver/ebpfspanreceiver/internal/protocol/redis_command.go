package protocol

import "bytes"

const (
	// maxWord bounds a command name or subcommand.
	maxWord = 32
	// maxWords is how many leading arguments can matter: CLIENT REPLY OFF.
	maxWords = 3
	// maxMarks bounds the marks in db.query.text: MSET with ten thousand pairs is still MSET.
	maxMarks = 8
	// maxRaw bounds db.query.text with RawArguments.
	maxRaw = 1024
)

// command follows the framing of one request: an array of bulk strings, or an inline command. It
// keeps the first words and, if asked, the beginning of the text.
type command struct {
	state commandState
	// count and index are the number of arguments, and the one being read.
	count, index uint64
	rem, size    uint64
	word         [maxWords][maxWord]byte
	// wordLen is the length of a word as sent, -1 when some of it was not captured.
	wordLen [maxWords]int
	// line is a header line, or a whole inline command.
	line []byte
	// raw is the text of the arguments, when wanted.
	raw     []byte
	wantRaw bool
	// holed: bytes of an argument were not captured.
	holed bool
}

type commandState uint8

const (
	commandStart commandState = iota
	commandCount
	commandSize
	commandArgument
	commandCR
	commandLF
	commandInline
)

// verdict is the outcome of reading a command.
type commandOutcome uint8

const (
	commandMore commandOutcome = iota
	commandDone
	// commandEmpty: an array of nothing, which the server ignores.
	commandEmpty
	commandBad
	commandStrange
	commandLarge
)

func (c *command) reset() {
	line, raw := c.line[:0], c.raw[:0]
	if cap(line) > 4<<10 {
		line = nil
	}
	*c = command{line: line, raw: raw, wantRaw: c.wantRaw}
}

func (c *command) read(data []byte, bound int) (n int, out commandOutcome) {
	for n < len(data) {
		switch c.state {
		case commandStart:
			c.state = commandCount
			if data[n] != '*' {
				if !commandChar(data[n]) {
					return n, commandStrange
				}
				c.state = commandInline
			}
		case commandCount, commandSize, commandInline:
			end := bytes.IndexByte(data[n:], '\n')
			part := data[n:]
			if end >= 0 {
				part = data[n : n+end+1]
			}
			limit, tooLong := 32, commandBad
			if c.state == commandInline {
				limit, tooLong = bound, commandLarge
			}
			if len(c.line)+len(part) > limit {
				return n, tooLong
			}
			c.line = append(c.line, part...)
			n += len(part)
			if end < 0 {
				continue
			}
			line := c.line
			c.line = c.line[:0]
			if out := c.lineDone(line); out != commandMore {
				return n, out
			}
		case commandArgument:
			k := int(min(c.rem, uint64(len(data)-n)))
			c.keep(data[n : n+k])
			n += k
			if c.rem -= uint64(k); c.rem == 0 {
				c.state = commandCR
			}
		case commandCR:
			if data[n] != '\r' {
				return n, commandBad
			}
			n++
			c.state = commandLF
		case commandLF:
			if data[n] != '\n' {
				return n, commandBad
			}
			n++
			if c.argumentDone() {
				return n, commandDone
			}
		}
	}
	return n, commandMore
}

func (c *command) lineDone(line []byte) commandOutcome {
	line = line[:len(line)-1]
	if c.state == commandInline {
		return c.inlineDone(bytes.TrimSuffix(line, []byte("\r")))
	}
	if len(line) < 3 || line[len(line)-1] != '\r' {
		return commandBad
	}
	prefix, digits := line[0], line[1:len(line)-1]
	if c.state == commandCount {
		if prefix == '*' && digits[0] == '-' {
			if _, ok := parseDecimal(digits[1:]); ok {
				return commandEmpty
			}
		}
		n, ok := parseDecimal(digits)
		if !ok || n > maxElements {
			return commandBad
		}
		if n == 0 {
			return commandEmpty
		}
		c.count, c.state = n, commandSize
		return commandMore
	}
	n, ok := parseDecimal(digits)
	if prefix != '$' || !ok || n > maxBulk {
		return commandBad
	}
	c.rem, c.size, c.state = n, n, commandArgument
	if c.index < maxWords {
		c.wordLen[c.index] = int(n)
	}
	if c.index == 0 && (n == 0 || n > maxWord) {
		return commandBad
	}
	if n == 0 {
		c.state = commandCR
	}
	if c.wantRaw && c.index > 0 && len(c.raw) < maxRaw {
		c.raw = append(c.raw, ' ')
	}
	return commandMore
}

// keep notes bytes of the current argument.
func (c *command) keep(b []byte) {
	if c.index < maxWords {
		if at := c.size - c.rem; at < maxWord {
			copy(c.word[c.index][at:], b)
		}
	}
	if c.wantRaw && c.index > 0 {
		c.raw = append(c.raw, b[:min(len(b), maxRaw-min(len(c.raw), maxRaw))]...)
	}
}

func (c *command) argumentDone() bool {
	c.index++
	c.state = commandSize
	return c.index == c.count
}

// leap passes over n bytes that were not captured; see reply.leap.
func (c *command) leap(n int) (passed int, done bool) {
	if c.state == commandArgument {
		passed = int(min(c.rem, uint64(n)))
		if c.rem -= uint64(passed); passed > 0 {
			c.holed = true
			if c.index < maxWords {
				c.wordLen[c.index] = -1
			}
		}
		if c.rem == 0 {
			c.state = commandCR
		}
	}
	if c.state == commandCR && passed < n {
		passed++
		c.state = commandLF
	}
	if c.state == commandLF && passed < n {
		passed++
		done = c.argumentDone()
	}
	return passed, done
}

// inlineDone reads a command written as words, perhaps quoted.
func (c *command) inlineDone(line []byte) commandOutcome {
	if bytes.Contains(line, []byte(" HTTP/1.")) {
		return commandStrange // an HTTP request; the server hangs up on POST and Host:
	}
	for len(line) > 0 {
		line = bytes.TrimLeft(line, " \t")
		if len(line) == 0 {
			break
		}
		end, quote := 0, byte(0)
		for ; end < len(line); end++ {
			b := line[end]
			switch {
			case quote != 0 && b == '\\':
				end++
			case b == quote:
				quote = 0
			case quote == 0 && (b == '"' || b == '\''):
				quote = b
			case quote == 0 && (b == ' ' || b == '\t'):
				goto cut
			}
		}
	cut:
		end = min(end, len(line))
		word := line[:end]
		line = line[end:]
		if c.index < maxWords {
			copy(c.word[c.index][:], word)
			c.wordLen[c.index] = len(word)
		}
		if c.wantRaw && c.index > 0 && len(c.raw) < maxRaw {
			c.raw = append(c.raw, ' ')
			c.raw = append(c.raw, word[:min(len(word), maxRaw-min(len(c.raw), maxRaw))]...)
		}
		c.index++
	}
	c.count = c.index
	if c.count == 0 {
		return commandEmpty
	}
	if !isCommandWord(c.text(0)) {
		return commandStrange
	}
	return commandDone
}

// text is the i-th word, nil when it is absent, too long or not wholly captured.
func (c *command) text(i int) []byte {
	n := c.wordLen[i]
	if uint64(i) >= c.count || n <= 0 || n > maxWord || uint64(i) > c.index {
		return nil
	}
	if uint64(i) == c.index && c.state != commandCR && c.state != commandLF {
		return nil
	}
	return c.word[i][:n]
}
