package main

import (
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// foreign are packages that Debian does not have. Workloads that need one are skipped where it is missing,
// and nothing fails.
var foreign = map[string]string{
	"temurin-25-jdk": "Adoptium's",
}

// missing are the packages that a workload needs and this machine lacks. A package is there when the
// command that it brings is: "puma", or "php" for "php-cli:php". One that brings no command names the
// file that it does bring: "python3-uvicorn:/usr/lib/python3/dist-packages/uvicorn".
func (w *workload) missing() []string {
	var out []string
	for _, p := range slices.Concat(w.language.packages, w.packages) {
		name, brings, other := strings.Cut(p, ":")
		if !other {
			brings = name
		}
		if filepath.IsAbs(brings) {
			if found, err := filepath.Glob(brings); err == nil && len(found) > 0 {
				continue
			}
		} else if _, err := exec.LookPath(brings); err == nil {
			continue
		}
		out = append(out, name)
	}
	return out
}

// lacking are the missing packages of Debian.
func lacking(ws []*workload) []string {
	var out []string
	for _, w := range ws {
		out = append(out, slices.DeleteFunc(w.missing(), func(p string) bool { return foreign[p] != "" })...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// writePackages writes what apt-install is to be given.
func writePackages(to io.Writer, ws []*workload) error {
	if names := lacking(ws); len(names) > 0 {
		_, err := io.WriteString(to, strings.Join(names, " ")+"\n")
		return err
	}
	return nil
}
