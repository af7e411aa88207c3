package main

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed programs/java
var javaPrograms embed.FS

// JDKs by the major version that the home of a row gives.
const (
	jdk17 = "17"
	jdk25 = "25"
)

// Packages of them.
var (
	needs17 = []string{"openjdk-17-jdk-headless:" + javaTool(jdk17, "javac")}
	needs25 = []string{"temurin-25-jdk:" + javaTool(jdk25, "javac")}
)

func javaTool(version, tool string) string {
	return "/usr/lib/jvm/*-" + version + "-*/bin/" + tool
}

var javaLanguage = language{
	name: "java",
	build: func(ctx context.Context, b *builder, w *workload) (command, error) {
		c, err := b.once("java/"+w.home+"/"+w.program, func(out string) (command, error) {
			found, err := filepath.Glob(javaTool(w.home, "java"))
			if err != nil || len(found) == 0 {
				return command{}, fmt.Errorf("no JDK %s in /usr/lib/jvm", w.home)
			}
			source, err := b.source(javaPrograms, "programs/java/"+w.program+".java")
			if err != nil {
				return command{}, err
			}
			if err := os.MkdirAll(out, 0o755); err != nil {
				return command{}, err
			}
			beside, err := b.source(javaPrograms, "programs/java/Garbage.java")
			if err != nil {
				return command{}, err
			}
			return command{args: []string{found[0], "-cp", out, w.program}},
				runTool(ctx, filepath.Join(filepath.Dir(found[0]), "javac"), "-d", out, source, beside)
		})
		if err != nil {
			return c, err
		}
		// What a machine with many CPUs and much memory does, on a small one: several carriers, and work
		// for the collector.
		flags := append([]string{"-Xmx192m", "-Djdk.virtualThreadScheduler.parallelism=4"}, w.flags...)
		return command{args: append(append([]string{c.args[0]}, flags...), c.args[1:]...)}, nil
	},
	pressure: []string{"GARBAGE=1"},
	pauses: []string{
		"virtual-direct", "virtual-sleep", "virtual-platform", "nio-loop", "nio-worker", "nio-blocking", "pool-future", "pool-cached",
		"pool-sequence", "pool-completable", "pool-forkjoin", "pool-invokeall", "pool-locked",
	},
	workloads: []workload{
		virtualThreads("direct", "a virtual thread for each request, which calls", 1, 0.99),
		virtualThreads("sequential", "the same, three calls in turn", 3, 0.99),
		virtualThreads("sleep", "the same, two calls, each after a sleep", 2, 0.99),
		virtualThreads("monitor", "the same, two calls, the second while it holds a monitor", 2, 0.99),
		virtualThreads("swap", "the same, each reads a request and serves any that waits", 1, 0),
		virtualThreads("late", "the same, one call, and one after the response", 1, 0.99),
		virtualThreads("platform", "the same, one call, and one that a pool of platform threads makes", 2, 0),
		virtualThreads("fanout", "the same, three calls by virtual threads of their own", 3, 0),
		collected("serial", "-XX:+UseSerialGC"),
		collected("parallel", "-XX:+UseParallelGC"),
		collected("shenandoah", "-XX:+UseShenandoahGC"),
		collected("zgc", "-XX:+UseZGC"),
		platformThreads("NioServer", "nio-loop", "a selector loop, a pool that calls, and wakes the loop to answer", 0, "the loop is woken once for several answers"),
		platformThreads("NioServer", "nio-worker", "the same, the pool answers", 0.99, ""),
		platformThreads("NioServer", "nio-blocking", "the loop itself calls and waits", 0.99, ""),
		platformThreads("ClientServer", "client", "java.net.http, a thread waits", 0, "the client's own threads read and write"),
		platformThreads("ClientServer", "client-async", "java.net.http, the client's threads answer", 0, "the client's own threads read and write"),
		costs(javaPool("future", "fixed pool, Future.get", 1, 0.99, othersToo)),
		javaPool("cached", "cached pool, Future.get", 1, 0.99, ""),
		javaPool("sequence", "fixed pool, three calls in a task", 3, 0.9, moved),
		javaPool("mixed", "fixed pool, every second request has a task without a call", 0, 0.9, moved),
		javaPool("completable", "CompletableFuture, the second of two pools calls", 1, 0.99, ""),
		javaPool("completable-first", "the same, the first of them calls", 1, 0, "what such a pool runs does not say which thread runs it, so that what a stack holds of it may be old; next: the CompletableFuture without a result that the outermost frame holds"),
		javaPool("forkjoin", "ForkJoinPool", 1, 0.99, othersToo),
		javaPool("invokeall", "fixed pool, invokeAll of three", 3, 0.5, moved+"; and such an end is not seen when nobody waits for it by then"),
		javaPool("invokeall-mixed", "the same, the second without a call", 2, 0.75, "as pool-invokeall"),
		javaPool("spawn", "a thread for each call", 1, 0.99, ""),
		javaPool("execute", "fixed pool, one task is submitted, then one executed", 2, 0.99, othersToo),
		javaPool("nested", "fixed pool, the task waits for one of a second pool", 1, 0, "who has made a task is a task itself: what a pool's thread makes is not known to be of the one that it has now; next: where its buffer was when it took that"),
		javaPool("drain", "a task that makes all calls which wait in a queue, whosever they are", 1, 0.75, "who has made a task has not made all that it does"),
		javaPool("loops", "tasks that the first requests start, and which take calls from a queue for ever", 1, 0, "a task without an end may work for anybody"),
		newerPool("invokeall", "serial", "-XX:+UseSerialGC"),
		newerPool("invokeall", "parallel", "-XX:+UseParallelGC"),
		newerPool("mixed", "25", "-XX:+UseG1GC"),
		javaPool("locked", "fixed pool, a ReentrantLock between the call and the end", 1, 0.99, othersToo),
		javaPool("monitor", "the same, synchronized", 1, 0.99, othersToo),
		javaPool("refreshed-monitor", "fixed pool; a thread calls while it holds a monitor which requests wait for after their call", 1, 0.99, othersToo),
		javaPool("refreshed-lock", "the same, a ReentrantLock", 1, 0.99, othersToo),
		awaited(),
		singleFlight(),
		javaPool("permits", "connections and pool make calls, at most so many at once", 1, 0.99, othersToo),
	},
}

// othersToo: WAKE_OTHERS_TOO of bpf/event.h.
const othersToo = "a worker that has read the response and wakes a thread of no request before that of the request: " +
	"the first may have waited for the call; next: the JVM's own threads, by their names, wait for none"

// awaited: a thread that was woken while a request has an answer that it has not waited for may have a task of that.
func awaited() workload {
	w := javaPool("awaited", "fixed pool; then a CompletableFuture, which a scheduled call completes", 1, 0.99, "")
	w.open = "while the processors were busy four background calls had a parent in one of ten cells of 600 requests"
	return w
}

// singleFlight: in Python it is known who has put a task into a queue.
func singleFlight() workload {
	w := javaPool("single-flight", "fixed pool; then the CompletableFuture of a call of which there is one at a time", 0, 0,
		"who has begun the call and who waits for it as well are woken by one worker, and the first is believed at most; next: "+
			"which of them made the task, as it is known of a FutureTask")
	w.open = "a worker that finds the task of one who serves nothing in its queue has not slept, and nothing tells it from a task " +
		"of the request that waits as well"
	return w
}

// moved: see bpf/javatask.bpf.h.
const moved = "a task that waits while garbage is collected is moved by that, and not known again; next: to follow the few that " +
	"survive by what refers to them"

// causes of what virtual threads do not reach.
var virtualCauses = map[string]string{
	"swap":     "a request that another one read is known by the answer only",
	"platform": "nothing tells a pool's thread yet what it works for",
	"fanout":   "a virtual thread does not know who started it",
}

func virtualThreads(shape, what string, calls int, goal float64) workload {
	return workload{
		name: "virtual-" + shape, shape: shape, what: what, program: "VirtualServer", home: jdk25, packages: needs25,
		calls: calls, pooled: shape == "platform", goal: goal, cause: virtualCauses[shape],
	}
}

// platformThreads are those of JDK 17, which has no others.
func platformThreads(program, shape, what string, goal float64, cause string) workload {
	return workload{
		name: shape, what: what, program: program, home: jdk17, packages: needs17, calls: 1,
		pooled: program == "NioServer", goal: goal, cause: cause,
	}
}

// collected is virtual-sleep under another garbage collector than the default, G1.
func collected(collector, flag string) workload {
	w := virtualThreads("sleep", "virtual-sleep, "+strings.TrimPrefix(flag, "-XX:+"), 2, 0.99)
	w.name, w.flags = "virtual-"+collector, []string{flag}
	return w
}

// newerPool is a row of javaPool with JDK 25 and a garbage collector.
func newerPool(shape, name, flag string) workload {
	w := javaPool(shape, "pool-"+shape+", JDK 25, "+strings.TrimPrefix(flag, "-XX:+"), map[string]int{"invokeall": 3}[shape], 0.8, moved)
	w.name, w.home, w.packages, w.flags = w.name+"-"+name, jdk25, needs25, []string{flag}
	return w
}

// costs is a row whose cost is measured.
func costs(w workload) workload {
	w.costly = true
	return w
}

// javaPool has platform threads.
func javaPool(shape, what string, calls int, goal float64, cause string) workload {
	return workload{
		name: "pool-" + shape, shape: shape, what: what, program: "Pools", home: jdk17, packages: needs17,
		calls: calls, goal: goal, cause: cause, pooled: true,
	}
}
