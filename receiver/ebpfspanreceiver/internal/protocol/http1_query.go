package protocol

import (
	"bytes"
	"strings"
)

const redacted = "REDACTED"

// harmless are the query parameters whose value is kept, when it also looks harmless: they steer
// how a result is shown, and name nobody. Everything else is redacted, so that a signature, a
// token, a key or a mail address is never kept under any name.
var harmless = map[string]bool{
	"page": true, "per_page": true, "page_size": true, "pagesize": true, "limit": true,
	"offset": true, "skip": true, "start": true, "count": true, "size": true, "sort": true,
	"sort_by": true, "order": true, "order_by": true, "dir": true, "direction": true,
	"format": true, "pretty": true, "lang": true, "locale": true, "version": true, "v": true,
	"api-version": true, "api_version": true, "step": true, "watch": true, "timeout": true,
	"timeoutSeconds": true, "resourceVersion": true, "stats": true, "explain": true,
	"verbose": true, "debug": true, "dry_run": true, "dryRun": true, "include_total": true,
}

// redactQuery keeps the names of parameters, and the values of harmless ones.
func redactQuery(query []byte) string {
	var out strings.Builder
	out.Grow(len(query))
	for more := true; more; {
		var item []byte
		item, query, more = bytes.Cut(query, []byte("&"))
		name, value, hasValue := bytes.Cut(item, []byte("="))
		switch {
		case len(item) == 0:
		case !hasValue || !plainName(name):
			// A name without a value may be a value: /login?token-itself.
			out.WriteString(redacted)
		default:
			out.Write(name)
			out.WriteByte('=')
			if len(value) == 0 || harmless[string(name)] && plainValue(value) {
				out.Write(value)
			} else {
				out.WriteString(redacted)
			}
		}
		if more {
			out.WriteByte('&')
		}
	}
	return out.String()
}

// plainName: a word that a programmer chose, not data.
func plainName(b []byte) bool {
	if len(b) == 0 || len(b) > 40 {
		return false
	}
	digits := 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case !alphanumeric(c) && strings.IndexByte("-_.[]~", c) < 0:
			return false
		}
	}
	return digits <= 4
}

// plainValue: a number or a few short words.
func plainValue(b []byte) bool {
	if len(b) > 24 {
		return false
	}
	for _, c := range b {
		if !alphanumeric(c) && strings.IndexByte("-_.,", c) < 0 {
			return false
		}
	}
	return true
}
