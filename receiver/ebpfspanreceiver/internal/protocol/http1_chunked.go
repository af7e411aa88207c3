package protocol

import "bytes"

// chunked follows the chunked transfer coding (RFC 9112 section 7.1): sizes, extensions, data and
// trailers. A bare LF ends a line here as it does for most endpoints.
type chunked struct {
	state  chunkedState
	digits int
	// rem is the data of the current chunk still to come.
	rem uint64
	// line counts the bytes of the current size line, or of all trailers, against the bound.
	line int
	// blank: nothing but CR has been seen on this trailer line.
	blank bool
}

type chunkedState uint8

const (
	chunkSize chunkedState = iota
	chunkExtension
	chunkData
	chunkDataCR
	chunkDataLF
	chunkTrailer
)

// maxChunk keeps sizes within what an offset can hold.
const maxChunk = 1<<62 - 1

// read consumes bytes from data. done: the last byte consumed ends the body. bad: the byte after
// those consumed breaks the coding.
func (c *chunked) read(data []byte, bound int) (n int, done, bad bool) {
	for n < len(data) {
		b := data[n]
		switch c.state {
		case chunkSize:
			if v, ok := hexDigit(b); ok {
				if c.rem > maxChunk>>4 {
					return n, false, true
				}
				c.rem = c.rem<<4 | uint64(v)
				c.digits++
				c.line++
				if c.line > bound {
					return n, false, true
				}
				n++
				continue
			}
			if c.digits == 0 || b != ';' && b != ' ' && b != '\t' && b != '\r' && b != '\n' {
				return n, false, true
			}
			c.state = chunkExtension
		case chunkExtension:
			// Extensions end with the line: a quoted string cannot hold CR or LF.
			end := bytes.IndexByte(data[n:], '\n')
			part := data[n:]
			if end >= 0 {
				part = data[n : n+end+1]
			}
			if c.line += len(part); c.line > bound || bytes.IndexByte(part, 0) >= 0 {
				return n, false, true
			}
			n += len(part)
			if end < 0 {
				continue
			}
			c.state, c.line = chunkData, 0
			if c.rem == 0 {
				c.state, c.blank = chunkTrailer, true
			}
		case chunkData:
			k := int(min(c.rem, uint64(len(data)-n)))
			n += k
			if c.rem -= uint64(k); c.rem == 0 {
				c.state = chunkDataCR
			}
		case chunkDataCR:
			if b != '\r' && b != '\n' {
				return n, false, true
			}
			n++
			c.state = chunkDataLF
			if b == '\n' {
				*c = chunked{}
			}
		case chunkDataLF:
			if b != '\n' {
				return n, false, true
			}
			n++
			*c = chunked{}
		case chunkTrailer:
			if c.line++; c.line > bound || b == 0 {
				return n, false, true
			}
			n++
			switch {
			case b == '\n' && c.blank:
				return n, true, false
			case b == '\n':
				c.blank = true
			case b != '\r':
				c.blank = false
			}
		}
	}
	return n, false, false
}

// leap passes over n bytes that were not captured and returns how many of them it can account for:
// data, and the line end after it. When fewer than n, the framing is lost.
func (c *chunked) leap(n int) (passed int) {
	if c.state == chunkData {
		k := int(min(c.rem, uint64(n)))
		passed += k
		if c.rem -= uint64(k); c.rem == 0 {
			c.state = chunkDataCR
		}
	}
	if c.state == chunkDataCR && passed < n {
		passed++
		c.state = chunkDataLF
	}
	if c.state == chunkDataLF && passed < n {
		passed++
		*c = chunked{}
	}
	return passed
}

func hexDigit(b byte) (byte, bool) {
	switch {
	case b >= '0' && b <= '9':
		return b - '0', true
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10, true
	case b >= 'A' && b <= 'F':
		return b - 'A' + 10, true
	}
	return 0, false
}
