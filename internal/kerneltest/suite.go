package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// suite is the matching tests of one package, as a static binary.
type suite struct {
	index    int
	pkg      string   // import path
	rel      string   // folder below the module, with slashes
	tests    []string // names that must give a result
	binary   string
	testdata string // empty without one
}

// Tests run in a folder that lies as deep as in the repository, next to their testdata.
func (s suite) guestDir() string { return "src/" + s.rel }

func (s suite) guestBinary() string {
	return fmt.Sprintf("test/%d-%s.test", s.index, filepath.Base(s.rel))
}

type listed struct {
	ImportPath   string
	Dir          string
	TestGoFiles  []string
	XTestGoFiles []string
	Error        *struct{ Err string }
}

// buildSuites compiles the tests of those packages that have a test whose name matches run.
func buildSuites(ctx context.Context, root, work string, patterns []string, run *regexp.Regexp) ([]suite, error) {
	args := append([]string{"list", "-e", "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles,Error", "--"}, patterns...)
	text, err := output(ctx, root, "go", args...)
	if err != nil {
		return nil, err
	}
	var suites []suite
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if len(p.TestGoFiles)+len(p.XTestGoFiles) == 0 {
			// A default package that does not exist has no tests; the final count tells.
			continue
		}
		s := suite{index: len(suites), pkg: p.ImportPath}
		if s.tests, err = testNames(p, run); err != nil {
			return nil, err
		}
		if len(s.tests) == 0 {
			continue
		}
		rel, err := filepath.Rel(root, p.Dir)
		if err != nil {
			return nil, err
		}
		s.rel = filepath.ToSlash(rel)
		if d := filepath.Join(p.Dir, "testdata"); isDir(d) {
			s.testdata = d
		}
		s.binary = filepath.Join(work, fmt.Sprintf("%d.test", s.index))
		if err := compile(ctx, root, s); err != nil {
			return nil, err
		}
		suites = append(suites, s)
	}
	return suites, nil
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func compile(ctx context.Context, root string, s suite) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", s.binary, s.pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("compile the tests of %s: %w\n%s", s.pkg, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// testNames lists the top-level tests by the rules of cmd/go, from the source, so that a test
// whose process dies before it can report is still missed.
func testNames(p listed, run *regexp.Regexp) ([]string, error) {
	var names []string
	for _, file := range slices.Concat(p.TestGoFiles, p.XTestGoFiles) {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("look for tests: %w", err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && fn.Recv == nil && isTestName(fn.Name.Name) && run.MatchString(fn.Name.Name) {
				names = append(names, fn.Name.Name)
			}
		}
	}
	return names, nil
}

func isTestName(name string) bool {
	rest, ok := strings.CutPrefix(name, "Test")
	if !ok || name == "TestMain" {
		return false
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return rest == "" || !unicode.IsLower(r)
}
