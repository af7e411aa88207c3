package main

import (
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/link"
	"github.com/otelcol-ebpf/otelcol-ebpf/processor/ebpflinkprocessor/internal/linkaccuracy/forest"
)

const ms = time.Millisecond

// row is a scenario and what is asked of it.
type row struct {
	forest.Scenario
	// rules other than the default ones.
	rules []string
	// guesses: a rule that is off by default may be wrong here, if not more often than it says.
	guesses bool
	// whole: every tree is one trace and every trace one tree.
	whole bool
}

// sameCall: half of the services have an SDK that names its process, and databases get no header.
func sameCall(s *forest.Scenario) {
	s.App, s.Words, s.Untraced, s.Depth, s.Gap = forest.SDK, true, .5, 2, 20*ms
}

// missed: headers that are not captured, of calls and of requests from outside.
func missed(s *forest.Scenario) { s.Missed, s.MissedToo, s.Begun = .5, .5, true }

// timing is off by default.
var timing = append(link.RuleNames(), link.Timing)

// base is traffic of services that keep connections open and serve each request with a thread.
func base() forest.Scenario {
	return forest.Scenario{
		Traces: 150, Gap: 3 * ms, Lasts: 200 * ms, Hosts: 6, Depth: 3, FanMin: 1, FanMax: 3,
		Untraced: .2, Keys: forest.AllKeys, KeepAlive: true,
	}
}

// rows of the table.
func rows() []row {
	return []row{
		make1("threads", "thread per request, keep-alive", true, func(*forest.Scenario) {}),
		make1("one_host", "all on one host", true, func(s *forest.Scenario) { s.Hosts = 1 }),
		make1("hosts_200", "200 hosts", true, func(s *forest.Scenario) { s.Hosts, s.Traces = 200, 300 }),
		make1("fanout_64", "64 calls at once from one thread", true, func(s *forest.Scenario) {
			s.Depth, s.FanMin, s.FanMax, s.Parallel, s.Traces = 1, 64, 64, true, 40
		}),
		make1("fanout_64_goroutines", "64 calls at once, a goroutine each", true, func(s *forest.Scenario) {
			s.Depth, s.FanMin, s.FanMax, s.Parallel, s.Traces, s.Style = 1, 64, 64, true, 40, forest.Goroutines
		}),
		make1("fanout_1_to_64", "1 to 64 calls one after the other", true, func(s *forest.Scenario) {
			s.Depth, s.FanMin, s.FanMax, s.Traces = 2, 1, 64, 20
		}),
		make1("depth_30", "chains of 30 calls", true, func(s *forest.Scenario) {
			s.Depth, s.FanMin, s.FanMax, s.Traces, s.Untraced = 30, 1, 1, 60, 0
		}),
		make1("no_keepalive", "a connection for each call", true, func(s *forest.Scenario) { s.KeepAlive = false }),
		make1("reused_ports", "a connection for each call, 64 ports", true, func(s *forest.Scenario) { s.KeepAlive, s.ReusedPorts = false, true }),
		make1("few_numbers", "connections begin at one of 4 numbers", true, func(s *forest.Scenario) { s.KeepAlive, s.FewNumbers = false, true }),
		make1("pipelining", "4 requests at once on a connection", true, func(s *forest.Scenario) {
			s.Pipelining, s.Parallel, s.Style, s.FanMax = true, true, forest.Goroutines, 6
		}),
		make1("retries", "a third of calls is tried twice", true, func(s *forest.Scenario) { s.Retry = .33 }),
		make1("nat", "service addresses and a gateway between", true, func(s *forest.Scenario) { s.NAT = true }),
		make1("event_loop", "one thread serves all requests", true, func(s *forest.Scenario) { s.Style = forest.Loop }),
		make1("thread_pool", "one thread reads and answers, others call", true, func(s *forest.Scenario) { s.Style = forest.Pool }),
		make1("go_transport", "calls written by a goroutine of the connection", true, func(s *forest.Scenario) { s.Style, s.Parallel = forest.Transport, true }),
		make1("half_known", "the request of half of the calls is unknown", false, func(s *forest.Scenario) { s.Style, s.Unknown = forest.Pool, .5 }),
		make1("lineage", "thread ids alone, thread per request", true, func(s *forest.Scenario) { s.Keys = forest.Seqs | forest.Addresses | forest.Lineage }),
		make1("headers", "a header is passed on from end to end", true, func(s *forest.Scenario) { s.App = forest.Headers }),
		make1("sdk_spans", "half of the services have an SDK", false, func(s *forest.Scenario) { s.App = forest.SDK }),
		make1("sdk_unknown", "half of the services have an SDK, the rest knows nothing", false, func(s *forest.Scenario) {
			s.App, s.Unknown, s.Style = forest.SDK, 1, forest.Pool
		}),
		make1("sdk_same_call", "half have an SDK that names its process; databases get no header", false, func(s *forest.Scenario) {
			s.App, s.Words, s.Untraced, s.Depth, s.Gap = forest.SDK, true, .5, 2, 20*ms
		}),
		make1("sdk_same_call_busy", "the same, ten times as much at once, and at once from one request", false, func(s *forest.Scenario) {
			s.App, s.Words, s.Untraced, s.Depth, s.Gap, s.Parallel, s.Style = forest.SDK, true, .5, 2, 2*ms, true, forest.Goroutines
		}),
		make1("sdk_same_call_unknown", "the same, no call's request is known", false, func(s *forest.Scenario) {
			s.App, s.Words, s.Untraced, s.Depth, s.Gap, s.Unknown, s.Style = forest.SDK, true, .5, 2, 20*ms, 1, forest.Pool
		}),
		make1("sdk_same_call_loss", "5 % lost of the busy one", false, func(s *forest.Scenario) {
			s.App, s.Words, s.Untraced, s.Depth, s.Gap, s.Parallel, s.Style, s.Loss = forest.SDK, true, .5, 2, 2*ms, true, forest.Goroutines, .05
		}),
		make1("sdk_same_call_bursts", "20 requests at one moment, half to one process, all for one path", false, func(s *forest.Scenario) {
			sameCall(s)
			s.Burst, s.OnePath, s.Gap = 20, true, 400*ms
		}),
		make1("sdk_same_call_pairs", "two requests at one moment, all for one path", false, func(s *forest.Scenario) {
			sameCall(s)
			s.Burst, s.OnePath, s.Gap = 2, true, 60*ms
		}),
		make1("sdk_same_call_retries", "a third of calls is tried twice, all for one path", false, func(s *forest.Scenario) {
			sameCall(s)
			s.Retry, s.OnePath = .33, true
		}),
		make1("sdk_same_call_skew", "clocks up to 500 ms off, one path, 5 % lost", false, func(s *forest.Scenario) {
			sameCall(s)
			s.Skew, s.OnePath, s.Loss = 500*ms, true, .05
		}),
		make1("sdk_same_call_worst", "bursts and calls at once of one path, no call's request known, 5 % lost", false, func(s *forest.Scenario) {
			sameCall(s)
			s.Burst, s.OnePath, s.Gap, s.Retry, s.Loss = 10, true, 400*ms, .2, .05
			s.Unknown, s.Style, s.Parallel = 1, forest.Pool, true
		}),
		make1("sdk_pods", "SDKs say container or pod instead of their process, of which there are two", false, func(s *forest.Scenario) {
			sameCall(s)
			s.Pods = true
		}),
		make1("sdk_pods_busy", "the same, ten times as much at once, 5 % lost", false, func(s *forest.Scenario) {
			sameCall(s)
			s.Pods, s.Gap, s.Parallel, s.Style, s.Loss = true, 2*ms, true, forest.Goroutines, .05
		}),
		make1("sdk_pods_bursts", "20 requests at one moment, half to one process, all for one path", false, func(s *forest.Scenario) {
			sameCall(s)
			s.Pods, s.Burst, s.OnePath, s.Gap = true, 20, true, 400*ms
		}),
		make1("sdk_pods_missed", "of half the requests no header is captured, of half of these at neither end", false, func(s *forest.Scenario) {
			sameCall(s)
			missed(s)
			s.Pods = true
		}),
		make1("sdk_pods_worst", "bursts and calls at once of one path, no header and no call's request known, 5 % lost", false, func(s *forest.Scenario) {
			sameCall(s)
			missed(s)
			s.Pods, s.Burst, s.OnePath, s.Gap, s.Retry, s.Loss, s.Missed, s.MissedToo = true, 10, true, 400*ms, .2, .05, 1, 1
			s.Unknown, s.Style, s.Parallel = 1, forest.Pool, true
		}),
		make1("sdk_missed", "of half the requests no header is captured, of half of these at neither end; outside has an SDK", false, func(s *forest.Scenario) {
			sameCall(s)
			missed(s)
		}),
		make1("sdk_missed_unnamed", "the same, SDKs do not name their process", false, func(s *forest.Scenario) {
			missed(s)
			s.App, s.Depth, s.MissedToo = forest.SDK, 2, 0
		}),
		make1("sdk_missed_all", "no header is captured anywhere", false, func(s *forest.Scenario) {
			sameCall(s)
			missed(s)
			s.Missed, s.MissedToo, s.Depth = 1, 1, 3
		}),
		make1("sdk_missed_bursts", "20 requests at one moment, half to one process, all for one path, tried again", false, func(s *forest.Scenario) {
			sameCall(s)
			missed(s)
			s.Burst, s.OnePath, s.Gap, s.Retry = 20, true, 400*ms, .33
		}),
		make1("sdk_missed_late", "up to 9 s late, in any order, 5 % lost, clocks up to 500 ms off", false, func(s *forest.Scenario) {
			sameCall(s)
			missed(s)
			s.Arrival, s.Loss, s.Skew = forest.Shuffled, .05, 500*ms
		}),
		make1("sdk_missed_worst", "bursts and calls at once of one path, no call's request known, 5 % lost", false, func(s *forest.Scenario) {
			sameCall(s)
			missed(s)
			s.Burst, s.OnePath, s.Gap, s.Retry, s.Loss, s.Missed, s.MissedToo = 10, true, 400*ms, .2, .05, 1, 1
			s.Unknown, s.Style, s.Parallel = 1, forest.Pool, true
		}),
		make1("gateway", "a third of processes are proxies that know x-request-id", false, func(s *forest.Scenario) { s.Proxies, s.Depth = .33, 4 }),
		make1("gateway_retries", "proxies that try again", false, func(s *forest.Scenario) { s.Proxies, s.Depth, s.Retry = .33, 4, .2 }),
		make1("gateway_loss", "proxies, 5 % lost", false, func(s *forest.Scenario) { s.Proxies, s.Depth, s.Loss = .33, 4, .05 }),
		make1("gateway_retries_loss", "proxies that try again, 5 % lost", false, func(s *forest.Scenario) {
			s.Proxies, s.Depth, s.Retry, s.Loss = .33, 4, .2, .05
		}),
		make1("gateway_chains", "proxies call proxies, by two ways the same one", false, func(s *forest.Scenario) { s.Proxies, s.Depth, s.Chained = .33, 4, true }),
		make1("gateway_chains_loss", "the same, 5 % lost", false, func(s *forest.Scenario) { s.Proxies, s.Depth, s.Chained, s.Loss = .33, 4, true, .05 }),
		make1("called_back", "services that pass x-request-id on, are called back with it and call others meanwhile", false, func(s *forest.Scenario) {
			s.CalledBack, s.Depth, s.Gap, s.Style = .5, 2, 20*ms, forest.Loop
		}),
		make1("called_back_threads", "the same, a thread for each request, known by its id alone", false, func(s *forest.Scenario) {
			s.CalledBack, s.Depth, s.Gap, s.Keys = .5, 2, 20*ms, forest.AllKeys|forest.Lineage
		}),
		make1("gateway_hidden", "a third of calls through a proxy that is not traced", false, func(s *forest.Scenario) { s.Hidden = .33 }),
		make1("gateway_hidden_loss", "the same, 5 % lost, tried again", false, func(s *forest.Scenario) { s.Hidden, s.Loss, s.Retry = .33, .05, .2 }),
		make1("skew_250ms", "clocks up to 250 ms off", true, func(s *forest.Scenario) { s.Skew = 250 * ms }),
		make1("skew_500ms", "clocks up to 500 ms off, so hosts up to 1 s apart", true, func(s *forest.Scenario) { s.Skew = 500 * ms }),
		make1("skew_500ms_hosts_200", "the same with 200 hosts", true, func(s *forest.Scenario) { s.Skew, s.Hosts, s.Traces = 500*ms, 200, 600 }),
		make1("skew_5s", "clocks up to 5 s off", true, func(s *forest.Scenario) { s.Skew = 5 * time.Second }),
		make1("skew_loss", "clocks up to 500 ms off, 5 % lost", false, func(s *forest.Scenario) { s.Skew, s.Loss = 500*ms, .05 }),
		make1("loss_5", "5 % lost", false, func(s *forest.Scenario) { s.Loss = .05 }),
		make1("loss_5_sdk", "5 % lost, SDK spans", false, func(s *forest.Scenario) { s.Loss, s.App = .05, forest.SDK }),
		make1("duplicates", "10 % come twice", true, func(s *forest.Scenario) { s.Duplicate = .1 }),
		make1("shuffled", "up to 9 s late, in any order", true, func(s *forest.Scenario) { s.Arrival = forest.Shuffled }),
		make1("late_children", "subtrees up to 30 min late", true, func(s *forest.Scenario) { s.Arrival = forest.LateChildren }),
		make1("late_any", "5 % up to 30 min late, parents too", false, func(s *forest.Scenario) { s.Arrival = forest.LateAny }),
		make1("late_any_troubles", "the same with SDKs that name their process, proxies, skew, retries, 5 % lost", false, func(s *forest.Scenario) {
			sameCall(s)
			s.Arrival, s.Proxies, s.Depth, s.Skew, s.Retry, s.Loss, s.Gap = forest.LateAny, .2, 3, 250*ms, .2, .05, 5*ms
		}),
		make1("by_hop", "each hop a window later than the one above", true, func(s *forest.Scenario) { s.Arrival, s.Depth = forest.ByHop, 5; s.FanMax = 2 }),
		make1("ten_minutes", "requests of 10 minutes, with pending spans", true, func(s *forest.Scenario) {
			s.Traces, s.Gap, s.Lasts, s.Depth, s.FanMin, s.FanMax, s.PendingAfter = 20, 20*time.Second, 10*time.Minute, 3, 2, 6, 10*time.Second
		}),
		make1("twins", "another call shows the same numbers, no addresses", false, func(s *forest.Scenario) {
			s.Twins, s.Untraced, s.Keys, s.Gap = .3, .5, forest.Seqs|forest.Systrace, ms
		}),
		make1("all_troubles", "skew, NAT, loss, duplicates, retries, shuffled, SDK", false, func(s *forest.Scenario) {
			s.Skew, s.NAT, s.Loss, s.Duplicate, s.Retry, s.Arrival, s.App, s.Style = 250*ms, true, .05, .05, .1, forest.Shuffled, forest.SDK, forest.Pool
		}),
		// A request at a time in each process is all that timing speaks of.
		{Scenario: with("timing", "the request of no call is known, with the rule timing", func(s *forest.Scenario) {
			s.Unknown, s.Style, s.Gap = 1, forest.Pool, 500*ms
		}), rules: timing},
		{Scenario: with("timing_busy", "the same, many requests at once", func(s *forest.Scenario) {
			s.Unknown, s.Style = 1, forest.Pool
		}), rules: timing},
		{Scenario: with("timing_loss", "the same, less at once, 5 % lost", func(s *forest.Scenario) {
			s.Unknown, s.Style, s.Gap, s.Loss = 1, forest.Pool, 100*ms, .05
		}), rules: timing, guesses: true},
		{Scenario: with("timing_timers", "the same, and processes that call on their own", func(s *forest.Scenario) {
			s.Unknown, s.Style, s.Gap, s.Timers = 1, forest.Pool, 100*ms, 20
		}), rules: timing, guesses: true},
		{Scenario: with("twins_timing", "twins, with the rule timing", func(s *forest.Scenario) {
			s.Twins, s.Untraced, s.Keys, s.Gap = .3, .5, forest.Seqs|forest.Systrace, ms
		}), rules: timing, guesses: true},
		{Scenario: with("no_keys", "spans without any key", func(s *forest.Scenario) { s.Keys = 0 })},
	}
}

func with(name, what string, change func(*forest.Scenario)) forest.Scenario {
	s := base()
	s.Name, s.What = name, what
	change(&s)
	return s
}

func make1(name, what string, whole bool, change func(*forest.Scenario)) row {
	return row{Scenario: with(name, what, change), whole: whole}
}
