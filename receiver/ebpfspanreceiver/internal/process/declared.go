package process

import (
	"errors"
	"strings"
)

// Attr is one resource attribute: an int when IsInt, else a string.
type Attr struct {
	Key   string
	Str   string
	Int   int64
	IsInt bool
}

var errDeclared = errors.New("not in the form name=value,name=value with percent-encoding")

// parseDeclared decodes OTEL_RESOURCE_ATTRIBUTES: name=value pairs with commas between them, both
// sides percent-encoded. As the resource SDK specification asks, one error discards the whole
// value. A stray '=' in a value and an empty member are accepted, as SDKs do. dropped counts the
// attributes beyond maxAttributes. Of two equal names the last counts.
func parseDeclared(s string) (attrs []Attr, dropped int, err error) {
	at := map[string]int{}
	for len(s) > 0 {
		member, rest, _ := strings.Cut(s, ",")
		s = rest
		member = strings.TrimSpace(member)
		if member == "" {
			continue
		}
		name, value, ok := strings.Cut(member, "=")
		if !ok {
			return nil, 0, errDeclared
		}
		name, okName := percentDecode(strings.TrimSpace(name))
		value, okValue := percentDecode(strings.TrimSpace(value))
		name = validText(name, 255)
		if !okName || !okValue || name == "" {
			return nil, 0, errDeclared
		}
		value = validText(value, maxAttributeText)
		if i, seen := at[name]; seen {
			attrs[i].Str = value
			continue
		}
		if len(attrs) == maxAttributes {
			dropped++
			continue
		}
		at[name] = len(attrs)
		attrs = append(attrs, Attr{Key: name, Str: value})
	}
	return attrs, dropped, nil
}

// percentDecode is RFC 3986 section 2.1; '+' stays '+', W3C Baggage.
func percentDecode(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) || !isHex(s[i+1:i+3]) {
			return "", false
		}
		out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
		i += 2
	}
	return string(out), true
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
