package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// source is one archive as apt knows it: a base address, its suites and its components.
type source struct {
	uri        string
	suites     []string
	components []string
}

// archives are the addresses from which Debian suites can be read. Security is empty where the
// machine has none.
type archives struct {
	base     string
	security string
}

// machineArchives finds Debian's archives among apt's sources below etcApt (normally /etc/apt),
// by the suites they are asked for. The mirror is the machine's choice (a cache, a proxy, a
// country), so it is looked up each time and never written down in this repository.
func machineArchives(etcApt string) (archives, error) {
	var all []source
	files, err := filepath.Glob(filepath.Join(etcApt, "sources.list.d", "*"))
	if err != nil {
		return archives{}, err
	}
	files = append([]string{filepath.Join(etcApt, "sources.list")}, files...)
	for _, name := range files {
		parse := parseOneLine
		switch filepath.Ext(name) {
		case ".list":
		case ".sources":
			parse = parseDeb822
		default:
			continue
		}
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return archives{}, fmt.Errorf("read apt's sources: %w", err)
		}
		all = append(all, parse(string(data))...)
	}
	return chooseArchives(all, etcApt)
}

// debianSuites are the names under which a machine may be asking for Debian itself.
var debianSuites = []string{
	"bullseye", "bookworm", "trixie", "forky", "sid",
	"oldoldstable", "oldstable", "stable", "testing", "unstable",
}

func chooseArchives(all []source, etcApt string) (archives, error) {
	var a archives
	for _, s := range all {
		if !slices.Contains(s.components, "main") {
			continue
		}
		for _, suite := range s.suites {
			plain := slices.Contains(debianSuites, suite)
			name, isSecurity := strings.CutSuffix(suite, "-security")
			switch {
			case plain && a.base == "":
				a.base = s.uri
			case isSecurity && slices.Contains(debianSuites, name) && a.security == "":
				a.security = s.uri
			}
		}
	}
	if a.base == "" {
		return a, fmt.Errorf("no Debian archive among apt's sources in %s (this is not a Debian machine?): "+
			"give one with -mirror", etcApt)
	}
	return a, nil
}

// parseDeb822 reads the stanza format of sources.list(5).
func parseDeb822(text string) []source {
	var all []source
	for _, stanza := range stanzas(text) {
		if !slices.Contains(strings.Fields(stanza["types"]), "deb") || strings.EqualFold(stanza["enabled"], "no") {
			continue
		}
		for _, uri := range strings.Fields(stanza["uris"]) {
			all = append(all, source{
				uri:        strings.TrimRight(uri, "/"),
				suites:     strings.Fields(stanza["suites"]),
				components: strings.Fields(stanza["components"]),
			})
		}
	}
	return all
}

// stanzas splits RFC 822-like text into paragraphs of lower-cased field names; continuation lines
// are joined with a space, lines that begin with # are comments.
func stanzas(text string) []map[string]string {
	var all []map[string]string
	current, last := map[string]string{}, ""
	end := func() {
		if len(current) > 0 {
			all = append(all, current)
		}
		current, last = map[string]string{}, ""
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.TrimSpace(line) == "":
			end()
		case line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if last != "" {
				current[last] += " " + strings.TrimSpace(line)
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			last = strings.ToLower(strings.TrimSpace(name))
			current[last] = strings.TrimSpace(value)
		}
	}
	end()
	return all
}

// parseOneLine reads the one-line format of sources.list(5): deb [options] uri suite component...
func parseOneLine(text string) []source {
	var all []source
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '\t') {
			continue
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			_, after, ok := strings.Cut(rest, "]")
			if !ok {
				continue
			}
			rest = after
		}
		f := strings.Fields(rest)
		if len(f) < 3 {
			continue
		}
		all = append(all, source{uri: strings.TrimRight(f[0], "/"), suites: f[1:2], components: f[2:]})
	}
	return all
}

// candidates lists where a suite may be, nearest first. Debian moves a release that is no longer
// supported to an archive of its own, which many mirrors serve beside the main one.
func (a archives) candidates() []archives {
	list := []archives{a}
	u, err := url.Parse(a.base)
	if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http") {
		return list
	}
	for _, path := range []string{"/debian-archive/", "/archive/"} {
		moved := *u
		moved.Path = path + "debian"
		security := *u
		security.Path = path + "debian-security"
		list = append(list, archives{base: moved.String(), security: security.String()})
	}
	return list
}
