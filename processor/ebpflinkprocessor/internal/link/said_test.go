package link

// said is a span with what it says of its exchange.
type said struct {
	Fact
	Exchange
}

// spans are those of one situation, by what they are in it. Tests change one of them at a time.
type spans = map[string]said

// change gives the span of that name what fn gives it.
func change(name string, fn func(*said)) func(spans) {
	return func(m spans) {
		s := m[name]
		fn(&s)
		m[name] = s
	}
}

// add makes another one that is like the span of one name, but for what fn gives it.
func add(like, name string, fn func(*said)) func(spans) {
	return func(m spans) {
		s := m[like]
		s.Span[0] = 99
		fn(&s)
		m[name] = s
	}
}

// without takes spans away.
func without(names ...string) func(spans) {
	return func(m spans) {
		for _, n := range names {
			delete(m, n)
		}
	}
}

// move makes a span so many milliseconds later.
func move(by int64) func(*said) {
	return func(s *said) { s.Start, s.End = s.Start+by*ms, s.End+by*ms }
}

// all does one after the other.
func all[T any](fns ...func(T)) func(T) {
	return func(to T) {
		for _, fn := range fns {
			fn(to)
		}
	}
}
