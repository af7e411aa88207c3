package main

import (
	"context"
	"slices"
	"strings"
)

// language is a runtime: the workloads of programs that are written for it, and how these are made.
// A runtime is a file and a row in languages.
type language struct {
	name string
	// packages of Debian that all its workloads need, by a command that each brings where that has another
	// name: see missing.
	packages []string
	// build says how a workload's program is started, up to the arguments of the contract in program.go,
	// which follow. It is called once for each cell: what takes long goes through builder.once. Workloads
	// that have a serve do without.
	build func(ctx context.Context, b *builder, w *workload) (command, error)
	// pressure are NAME=value that make the runtime collect its garbage all the time, where it has a collector that
	// can be told.
	pressure []string
	// pauses are the workloads that a plan puts under pressure: those in which a pause comes between a call and what says
	// whose it is. None named: all of them.
	pauses []string
	// apart is there where the receiver puts probes into the executable, or into what that loads: NAME=value that a copy
	// of it needs to run as the original does. Copies of the rest go into dir. A probe stops whatever process runs the file
	// that it is in.
	apart     func(ctx context.Context, original, dir string) ([]string, error)
	workloads []workload
}

// languages is the table. Each row is in the file of its name.
var languages = []*language{
	&cLanguage,
	&cppLanguage,
	&goLanguage,
	&haproxyLanguage,
	&javaLanguage,
	&monoLanguage,
	&nginxLanguage,
	&nodeLanguage,
	&perlLanguage,
	&phpLanguage,
	&pythonLanguage,
	&rubyLanguage,
	&rustLanguage,
}

// workload is one way of making calls: a row of its language.
type workload struct {
	name string // within its language
	what string

	// program names the source under programs/<language>, where the language has several; shape is the
	// program's first argument, the name unless it is set.
	program, shape string
	// args are further arguments, env further NAME=value.
	args, env []string
	// home says which one, where there are several versions of a runtime; flags are its own, before the
	// program.
	home  string
	flags []string
	// serve starts a server that is no program of ours and does not know the contract of program.go:
	// it writes what it needs into the site's directory.
	serve func(ctx context.Context, b *builder, w *workload, s site) (command, error)
	// backend is what it calls, where that is not the HTTP backend.
	backend func(ctx context.Context) (backend, error)
	// packages of Debian that it needs, more than those of its language.
	packages []string

	// calls says how many calls a request makes; 0: it depends.
	calls int
	// pooled says that the third argument of the program changes something.
	pooled bool
	// goal is the recall below which the run fails; 0: none, and cause says why.
	goal  float64
	cause string

	// open is a wrong link that was seen once in many runs and is not explained yet: -plan check leaves the
	// workload out and says so; every other run measures it.
	open string

	// costly says that -cost measures it too, besides the first row of the language.
	costly bool

	language *language
}

// pauses says whether a plan has the workload measured while garbage is collected.
func (w *workload) pauses() bool {
	return len(w.language.pauses) == 0 || slices.Contains(w.language.pauses, w.name)
}

func (w *workload) String() string { return w.language.name + "/" + w.name }

// workloads are the rows of all languages.
func workloads() []*workload {
	var all []*workload
	for _, l := range languages {
		for i := range l.workloads {
			w := &l.workloads[i]
			w.language = l
			if w.shape == "" {
				w.shape = w.name
			}
			all = append(all, w)
		}
	}
	return all
}

func workloadNames() string {
	var names []string
	for _, w := range workloads() {
		names = append(names, w.String())
	}
	return strings.Join(names, ", ")
}
