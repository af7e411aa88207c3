// Package process decides which processes are traced and says what each of them is.
//
//	events of the BPF side ─► Watch ─► Scanner ─► Selected(*Process), Deselected(pid, why), Inherited(*Process)
//	                  /proc ─────────────┘  │
//	                                        └─ Lookup(pid) ─► Attributes: the resource of its spans
//
// A Scanner applies Rules to every process once (Scan), then to single ones as events come
// (Consider, Exit), and now and then looks for what events did not tell (Rescan). A Watch does so
// on a goroutine of its own, so that the reader of the ring buffer never waits for procfs. A
// Reader does the reading and can be used alone (Describe, Listening).
//
//	s, err := process.NewScanner(process.Options{Rules: rules, Host: host, Selected: …, Deselected: …})
//	w := process.NewWatch(s, time.Minute, logError)
//	… attach the probes that call w.Notify(pid, process.WhyExec) and so on …
//	err = w.Start(ctx)                    // initial scan; what starts meanwhile is in the queue
//	p := s.Lookup(pid)                    // for each exchange; nil: not selected
//	w.Close()
//
// # Selection
//
// Within a selector every criterion given must hold, of its values any one:
//
//	exe         /srv/*/bin/**  on the path; without a slash (python3*) on the base name; that of
//	            a script is its interpreter
//	env         NAME: set and not empty; NAME=glob: the value matches as a whole
//	pids        process ids as procfs shows them; children are not included
//	open_ports  a TCP port that the process listens on: it holds the socket, so workers that
//	            inherited it count, and so does systemd for a socket that it activates
//	cgroup      the path of its cgroup, any hierarchy, or of a cgroup above that
//	container   the container id; an id without wildcards matches from its first 12 characters on
//
// In globs * stops at a slash of a path and ** does not. A process is selected when an include
// selector matches (or all is set) and no exclude selector does. A fact that may not be read never
// selects and, where an exclude selector asks for it, always excludes: excluded_unknown counts that.
// The collector itself is never selected. Once selected, a process stays so until it ends, executes
// another program, or comes to match an exclude selector (by listening on an excluded port).
//
// What a selected process forks is traced from its first moment, and may end before anybody could read it. If it ran the
// same program until then, it is described as what it was forked from (Inherited), by the same rules; its ids and its
// time are its own. That takes a description from before the fork, of a process that was selected then.
//
// # What a process is
//
// service.name is the first of OTEL_SERVICE_NAME, service.name in OTEL_RESOURCE_ATTRIBUTES,
// DD_SERVICE, DK_BPFTRACE_SERVICE, the program that an interpreter runs, the executable's base name.
// ServiceNameFrom tells which, so that a better source (the Kubernetes owner) can replace the last
// two. The program of an interpreter is its script, module, jar or main class; names that many
// programs share (main.py, index.js, Application) give way to the directory or package around them;
// see programName. Code on the command line (-c, -e) is never used.
//
// What OTEL_RESOURCE_ATTRIBUTES declares is kept, except what the collector measures itself:
// host.id, host.name, process.pid, process.executable.name and .path, os.type. container.id and k8s.pod.uid come from the
// cgroup, declared values fill in where that shows none. service.instance.id is a UUID of host,
// boot, pid and start time: the same after a restart of the collector, another for each worker.
//
// Of the environment only the variables of this list and of the selectors are kept, of the command
// line nothing; neither is ever printed, and buffers that held them are wiped.
//
// # Safety
//
// All facts of a process are read through one descriptor of /proc/<pid>, which the kernel ties to
// the process and not to the number, so pid reuse cannot mix two. An exec in the middle of the
// reading is noticed and the reading repeated. Every read is bounded, and what is left out is
// counted by Reason.
//
// # Limits
//
// The environment is that of the exec: what a process sets later is invisible. Programs that write
// their title over it (nginx, PostgreSQL) show none; it is then taken from an earlier reading of the
// same program or from the selected parent, and is lost for those that were running before the
// collector. A process whose first thread has ended while others run keeps its description but
// cannot be discovered. Where the collector does not share the host's pid namespace its ids are not
// those of BPF programs: see InitPIDNamespace.
package process
