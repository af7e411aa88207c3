package process

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// Environment names that describe a service.
const (
	envServiceName   = "OTEL_SERVICE_NAME"
	envAttributes    = "OTEL_RESOURCE_ATTRIBUTES"
	envDDService     = "DD_SERVICE"
	envDDEnv         = "DD_ENV"
	envDDVersion     = "DD_VERSION"
	envDatakit       = "DK_BPFTRACE_SERVICE"
	maxEnvValue      = 16 << 10
	maxAttributes    = 128
	maxAttributeText = 1 << 10
	maxPathText      = 4 << 10 // PATH_MAX
)

var describingNames = []string{
	envServiceName, envAttributes, envDDService, envDDEnv, envDDVersion, envDatakit,
}

// environ holds the few variables that were asked for, and nothing else of the environment.
type environ struct {
	values map[string]string
	// truncated: a name that is absent here may have been in the part that was not read.
	truncated bool
	// overwritten: the memory does not begin with a variable, so the process wrote its title there
	// (nginx, PostgreSQL and whatever else uses setproctitle).
	overwritten bool
	// denied: the kernel did not let us read it.
	denied bool
	// longValues counts values of which only the beginning is kept.
	longValues int
}

func (e *environ) get(name string) (string, bool) { v, ok := e.values[name]; return v, ok }

// parseEnviron picks the wanted names out of NUL-separated NAME=value strings, environ(7). The
// first of two equal names counts, as for getenv(3).
func parseEnviron(b []byte, wanted map[string]struct{}) environ {
	var e environ
	for first := true; len(b) > 0; first = false {
		entry := b
		if n := bytes.IndexByte(b, 0); n >= 0 {
			entry, b = b[:n], b[n+1:]
		} else {
			b = nil
		}
		eq := bytes.IndexByte(entry, '=')
		if eq <= 0 || bytes.IndexByte(entry[:eq], ' ') >= 0 {
			// A title that grew over the environment starts at its first byte.
			e.overwritten = e.overwritten || first
			continue
		}
		if _, ok := wanted[string(entry[:eq])]; !ok {
			continue
		}
		if _, seen := e.values[string(entry[:eq])]; seen {
			continue
		}
		value := entry[eq+1:]
		if len(value) > maxEnvValue {
			value = value[:maxEnvValue]
			e.longValues++
		}
		if e.values == nil {
			e.values = make(map[string]string, 2)
		}
		e.values[string(entry[:eq])] = string(value)
	}
	return e
}

// validText makes a string fit for an attribute: valid UTF-8, no control characters, at most max
// bytes, no space around it.
func validText(s string, max int) string {
	clean := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f || s[i] >= utf8.RuneSelf {
			clean = false
			break
		}
	}
	if !clean {
		s = strings.ToValidUTF8(s, "\uFFFD")
		s = strings.Map(func(r rune) rune {
			if r < 0x20 || r == 0x7f {
				return -1
			}
			return r
		}, s)
	}
	if len(s) > max {
		n := max
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.TrimSpace(s)
}
