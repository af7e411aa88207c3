package protocol

import "bytes"

// Redis is RESP2 and RESP3 (redis.io, "Redis serialization protocol specification"), as Redis,
// Valkey, KeyDB, Dragonfly and their like speak it.
var Redis = Protocol{
	Name:   "redis",
	Detect: detectRedis,
	New: func(opts Options, sink Sink) Session {
		if opts.MaxHead <= 0 {
			opts.MaxHead = defaultMaxHead
		}
		s := &redis{opts: opts, namespaceKnown: !opts.Joined}
		s.ask.flow = flow{sink: sink, dir: Request}
		s.answer.flow = flow{sink: sink, dir: Response}
		s.dialogue = dialogue{ask: &s.ask.flow, answer: &s.answer.flow}
		s.order.lost = opts.Joined
		if !opts.Joined {
			s.ask.state, s.answer.state = redisBoundary, redisBoundary
		}
		return s
	},
}

func detectRedis(dir Direction, data []byte) Verdict {
	if dir == Response {
		return detectReply(data)
	}
	return detectCommand(data)
}

// detectCommand wants an array of bulk strings whose first has the looks of a command name. Inline
// commands are understood once the connection is known, and never tell it: SMTP, POP3, NATS,
// memcached and others begin with such lines too.
func detectCommand(data []byte) Verdict {
	count, rest, v := detectNumber(data, '*', 1<<20)
	if v != Yes {
		return v
	}
	if count == 0 {
		return No
	}
	size, rest, v := detectNumber(rest, '$', maxWord)
	if v != Yes {
		return v
	}
	if size == 0 {
		return No
	}
	for i := range int(size) {
		if i == len(rest) {
			return More
		}
		if !commandChar(rest[i]) {
			return No
		}
	}
	return detectLineEnd(rest[size:])
}

// detectNumber reads a line of prefix and a decimal of at most limit.
func detectNumber(data []byte, prefix byte, limit uint64) (n uint64, rest []byte, v Verdict) {
	if len(data) == 0 {
		return 0, nil, More
	}
	if data[0] != prefix {
		return 0, nil, No
	}
	i := 1
	for ; i < len(data) && data[i] >= '0' && data[i] <= '9'; i++ {
		if n = n*10 + uint64(data[i]-'0'); n > limit {
			return 0, nil, No
		}
	}
	if i == len(data) {
		return 0, nil, More
	}
	if i == 1 {
		return 0, nil, No
	}
	v = detectLineEnd(data[i:])
	if v != Yes {
		return 0, nil, v
	}
	return n, data[i+2:], Yes
}

func detectLineEnd(data []byte) Verdict {
	const end = "\r\n"
	if n := min(len(data), len(end)); string(data[:n]) != end[:n] {
		return No
	}
	if len(data) < len(end) {
		return More
	}
	return Yes
}

// replyErrors are error prefixes that no other protocol greets with.
var replyErrors = []string{
	"-WRONGTYPE ", "-MOVED ", "-ASK ", "-NOAUTH ", "-NOSCRIPT ", "-LOADING ", "-READONLY ",
	"-NOPERM ", "-EXECABORT ", "-BUSYGROUP ", "-CLUSTERDOWN ", "-WRONGPASS ", "-MISCONF ",
	"-CROSSSLOT ", "-TRYAGAIN ", "-MASTERDOWN ", "-ERR unknown command", "-ERR wrong number of arguments",
}

// detectLimit is where a value that is still undecided is taken for none.
const detectLimit = 256

// detectReply wants a whole value that other protocols do not send. +OK is POP3's and NATS's too,
// and -ERR likewise, so these alone decide nothing.
func detectReply(data []byte) Verdict {
	if len(data) == 0 {
		return More
	}
	switch data[0] {
	case '+':
		line, _, found := bytes.Cut(data[1:], []byte("\r\n"))
		if !found {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		for _, word := range []string{"PONG", "QUEUED", "RESET"} {
			if string(line) == word && found {
				return Yes
			}
			if !found && len(line) <= len(word) && word[:len(line)] == string(line) {
				return More
			}
		}
		switch {
		case !found && len(line) <= 2 && "OK"[:len(line)] == string(line):
			return More
		case found && string(line) == "OK":
			return detectReply(data[len("+OK\r\n"):])
		}
		return No
	case '-':
		for _, prefix := range replyErrors {
			n := min(len(prefix), len(data))
			if string(data[:n]) == prefix[:n] {
				if n == len(prefix) {
					return Yes
				}
				return More
			}
		}
		return No
	case ':', '$', '*', '%', '~', '>', '|', '_', '#', ',', '(', '!', '=':
		// Byte by byte: what comes after the place that decides has no say.
		var r reply
		for i := range min(len(data), detectLimit) {
			_, done, bad := r.read(data[i:i+1], false)
			switch {
			case bad:
				return No
			case done, r.depth > 0 && r.lines > 1, r.typ == '$' && r.seen >= 16:
				return Yes
			}
		}
		if len(data) >= detectLimit {
			return No
		}
		return More
	}
	return No
}
