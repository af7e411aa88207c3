package process

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"
)

// glob is a compiled pattern:
//
//	?      one character, except '/' in paths
//	*      any number of characters, except '/' in paths
//	**     any number of characters, '/' too
//	[a-z]  one character of a class, [!a-z] or [^a-z] one outside it; never '/' in paths
//	\c     the character c itself
//
// Matching takes time linear in the text: text comes from processes and may be hostile.
type glob struct {
	literal string
	re      *regexp.Regexp
}

func (g glob) match(s string) bool {
	if g.re == nil {
		return g.literal == s
	}
	return g.re.MatchString(s)
}

const maxGlob = 4 << 10

func compileGlob(pattern string, isPath bool) (glob, error) {
	switch {
	case pattern == "":
		return glob{}, errors.New("is empty")
	case len(pattern) > maxGlob:
		return glob{}, fmt.Errorf("is longer than %d bytes", maxGlob)
	case !utf8.ValidString(pattern):
		return glob{}, errors.New("is not valid UTF-8")
	case strings.IndexByte(pattern, 0) >= 0:
		return glob{}, errors.New("holds a NUL byte, which no name or path can")
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		return glob{literal: pattern}, nil
	}
	one := `.`
	if isPath {
		one = `[^/]`
	}
	var re strings.Builder
	re.WriteString(`(?s)\A`)
	for i := 0; i < len(pattern); {
		r, n := utf8.DecodeRuneInString(pattern[i:])
		i += n
		switch r {
		case '*':
			any := one
			for i < len(pattern) && pattern[i] == '*' {
				any = `.`
				i++
			}
			re.WriteString(any + `*`)
		case '?':
			re.WriteString(one)
		case '\\':
			if i == len(pattern) {
				return glob{}, errors.New(`ends with a lone \`)
			}
			r, n := utf8.DecodeRuneInString(pattern[i:])
			i += n
			re.WriteString(regexp.QuoteMeta(string(r)))
		case '[':
			n, err := writeClass(&re, pattern[i:], isPath)
			if err != nil {
				return glob{}, err
			}
			i += n
		default:
			re.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	re.WriteString(`\z`)
	compiled, err := regexp.Compile(re.String())
	if err != nil {
		return glob{}, errors.New("is too complex")
	}
	return glob{re: compiled}, nil
}

// writeClass translates what follows '[' and returns its length, the closing ']' included.
func writeClass(re *strings.Builder, s string, isPath bool) (int, error) {
	unclosed := errors.New("has a [ without its ]")
	i := 0
	re.WriteByte('[')
	if i < len(s) && (s[i] == '!' || s[i] == '^') {
		re.WriteByte('^')
		if isPath {
			re.WriteByte('/')
		}
		i++
	}
	next := func() (rune, error) {
		if i >= len(s) {
			return 0, unclosed
		}
		if s[i] == '\\' {
			i++
		}
		if i >= len(s) {
			return 0, unclosed
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		return r, nil
	}
	for members := 0; ; members++ {
		if i < len(s) && s[i] == ']' && members > 0 {
			re.WriteByte(']')
			return i + 1, nil
		}
		lo, err := next()
		if err != nil {
			return 0, err
		}
		hi := lo
		if i+1 < len(s) && s[i] == '-' && s[i+1] != ']' {
			i++
			if hi, err = next(); err != nil {
				return 0, err
			}
		}
		if hi < lo {
			return 0, fmt.Errorf("has the inverted range %c-%c", lo, hi)
		}
		if isPath && lo <= '/' && '/' <= hi {
			return 0, errors.New("has a class that includes /, which only ** crosses")
		}
		fmt.Fprintf(re, `\x{%x}-\x{%x}`, lo, hi)
	}
}

// pathGlob matches a path, or its last segment when the pattern has no slash.
type pathGlob struct {
	glob
	base bool
}

func compilePathGlob(pattern string) (pathGlob, error) {
	g, err := compileGlob(pattern, true)
	// "**" alone means every path, so it is not held to the base name.
	return pathGlob{g, !strings.Contains(pattern, "/") && pattern != "**"}, err
}

func (g pathGlob) match(p string) bool {
	if p == "" {
		return false
	}
	if g.base {
		return g.glob.match(path.Base(p))
	}
	return g.glob.match(p)
}
