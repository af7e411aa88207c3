package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// fill gives everything in v a value of its own that is not zero, but for what only examples are and for workloads.
func fill(t *testing.T, v reflect.Value, next *int) {
	t.Helper()
	*next++
	n := *next
	v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem() // fields that are not exported
	switch at := v.Addr().Interface().(type) {
	case *covers:
		*at = coversAll
		return
	case *time.Time:
		*at = time.Date(2026, 11, 22, 3, 4, 5, n, time.UTC)
		return
	case *error:
		*at = errors.New(strings.Repeat("e", n))
		return
	case **workload:
		all := workloads()
		*at = all[n%len(all)]
		return
	case *examples:
		return
	case *map[string]int:
		*at = map[string]int{"some": n}
		return
	case *[]score:
		*at = make([]score, len(baselines))
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Float64:
		v.SetFloat(float64(n) + 1.0/3) // one that no short text has
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString(strings.Repeat("s", n%50+1))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), next)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), next)
		}
	default:
		t.Fatalf("a report has a %s now: say here how to fill it", v.Type())
	}
}

// Everything in a report is saved, and a document of what was saved is that of the report.
func TestSavedReport(t *testing.T) {
	var r report
	n := 0
	fill(t, reflect.ValueOf(&r).Elem(), &n)
	require.Greater(t, n, 200)
	dir := t.TempDir()
	name := filepath.Join(dir, "report.json")
	require.NoError(t, r.save(name))
	read, err := readReport(name)
	require.NoError(t, err)
	require.Equal(t, &r, read)

	written := func(r *report, o options) string {
		o.out = filepath.Join(dir, "accuracy.md")
		require.NoError(t, r.publish(o))
		text, err := os.ReadFile(o.out)
		require.NoError(t, err)
		return string(text)
	}
	whole := written(&r, options{})
	require.Contains(t, whole, r.summary())
	require.Contains(t, whole, costsTitle)
	require.Equal(t, whole, written(read, options{from: name}))

	// Of costs alone only their section is written, of some cells nothing.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "accuracy.md"), []byte("# text\n"+costsTitle+"\nold figures\n"), 0o600))
	read.covers = coversCosts
	costs := written(read, options{from: name})
	require.Contains(t, costs, "# text\n")
	require.NotContains(t, costs, "old figures")
	read.covers = coversNone
	err = read.publish(options{from: name, out: filepath.Join(dir, "accuracy.md"), cells: filepath.Join(dir, "cells.tsv")})
	require.ErrorContains(t, err, "nothing is written")
	text, err := os.ReadFile(filepath.Join(dir, "accuracy.md"))
	require.NoError(t, err)
	require.Equal(t, costs, string(text))
	require.FileExists(t, filepath.Join(dir, "cells.tsv"))
}

// What a disk has no room for is no success.
func TestWriteFile(t *testing.T) {
	require.ErrorIs(t, writeFile("/dev/full", func(w io.Writer) { fmt.Fprint(w, "| row |") }), syscall.ENOSPC)
}

// A file that another program or another version has written is refused: none of it may count as zero.
func TestReadReport(t *testing.T) {
	c := cell{workload: workloads()[0], baselines: make([]score, len(baselines))}
	r := report{covers: coversNone, cells: []cell{c}, cost: []cost{{workload: c.workload}}}
	name := filepath.Join(t.TempDir(), "report.json")
	for _, tt := range []struct{ old, now, why string }{
		{`"nothing"`, `""`, "was it written by -save?"},
		{`"took_ns"`, `"seconds"`, `unknown field "seconds"`},
		{`"captured": 0`, `"caught": 0`, "of the raw spans: figures"},
		{"\"vpath\"", "\"xpath\"", "of the rule vpath: figures"},
		{c.workload.String(), "c/gone", "there is no such workload any more"},
	} {
		require.NoError(t, r.save(name))
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.True(t, json.Valid(text))
		changed := strings.Replace(string(text), tt.old, tt.now, 1)
		require.NotEqual(t, string(text), changed, tt.old)
		require.NoError(t, os.WriteFile(name, []byte(changed), 0o600))
		_, err = readReport(name)
		require.ErrorContains(t, err, tt.why)
	}
	_, err := readReport(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
