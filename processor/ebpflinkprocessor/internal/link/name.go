package link

// Name is what tells a span from all others, and is the same after a restart: what same compares.
type Name struct {
	Span SpanID
	// Trace is that of an SDK span, Host that of a raw one.
	Trace TraceID
	Host  uint64
	Role  Role
	Raw   bool
}

// Name of f.
func (f *Fact) Name() Name {
	n := Name{Span: f.Span, Role: f.Role, Raw: f.Raw}
	if f.Raw {
		n.Host = f.Host
	} else {
		n.Trace = f.OwnTrace
	}
	return n
}

// Fact has that name and nothing else.
func (n Name) Fact() Fact {
	return Fact{Span: n.Span, OwnTrace: n.Trace, Host: n.Host, Role: n.Role, Raw: n.Raw}
}

// AppendName appends the name of f to b, as a fact that says nothing else.
func AppendName(b []byte, f *Fact) []byte {
	named := f.Name().Fact()
	return AppendFact(b, &named, &nothing)
}

// ReadName reads what AppendName wrote and returns the rest of b.
func ReadName(b []byte) (Name, []byte, error) {
	f, _, rest, err := ReadFact(b)
	return f.Name(), rest, err
}
