/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What an event loop does is told apart by activations (from one wait to the next) and, within one, by
 * what was read last. A loop that answers at once what it reads writes a response right after it read that
 * of the call; one that reads everything first, or puts things off, does not, and neither do timers. So
 * whatever is said here says also of how many it might have been:
 *
 *	forward (EVIDENCE_LOOP, EVIDENCE_CONNECTED)  uses: requests read, of which any may have led to this
 *	backward (EVIDENCE_ANSWER, EVIDENCE_NEXT)    uses: responses that arrived, likewise;
 *	                                             base_uses: responses begun after it arrived;
 *	                                             base: responses that were seen to arrive
 *
 * 1 is certain only if the loop puts nothing off, which is seen when something that it has read leads to
 * nothing before it waits again: for a while from then on there may always be one more.
 */
#ifndef LOOP_BPF_H
#define LOOP_BPF_H

#include "schedule.bpf.h"

/* How long a loop counts as one that puts things off: far longer than loops do, and than the time between
 * two background calls that are answered by nothing. And so many rounds at least: time passes as well for a
 * loop that does not get the CPU, or whose machine stands still, and what it has put off is still to come. */
#define PUT_OFF_NS 1000000000ULL
#define PUT_OFF_ROUNDS 8

static __always_inline void put_off(struct unled *u, const struct context *x, __u64 now)
{
	u->ns = now;
	u->round = x->rounds;
}

/* One more, where something may have been put off. */
static __always_inline __u8 candidates(const struct context *x, __u8 seen, const struct unled *u, __u64 now)
{
	/* The rounds wrap: then a few are doubted for nothing. */
	bool lately = now - u->ns < PUT_OFF_NS || (__u16)(x->rounds - u->round) < PUT_OFF_ROUNDS;

	if (u->ns && lately && seen < 255)
		seen++;
	return seen;
}

/* Evidence with what speaks for it and against it; completion.bpf.h says it of wake-ups. */
static __always_inline void emit_loop_evidence(__u8 what, __u64 call, __u64 to, __u64 activation, __u8 uses,
					       __u8 base_uses, __u64 base, __u64 ts)
{
	EMIT(evidence_event, .kind = EVENT_EVIDENCE, .what = what, .tgid = bpf_get_current_pid_tgid() >> 32,
	     .ts = ts, .call = call, .epoch = to, .segment = activation, .uses = uses, .base_uses = base_uses,
	     .base = base);
}

/* The conversation of the last call has led to something: what is still to come of its response is no news. */
static __always_inline void call_led(const struct context *x)
{
	__u64 sk = x->last_sk;
	struct conn *c = bpf_map_lookup_elem(&conns, &sk);

	if (c && c->turn == x->last_call)
		c->flags |= CONN_LED;
}

/* How many responses may have led to what a loop does now. */
static __always_inline __u8 arrivals(const struct context *x, __u64 now)
{
	return x->last_by ? x->arrived : candidates(x, x->arrived, &x->unled_call, now);
}

/* What arrived last has led to the response of a request. */
static __always_inline void emit_loop_answer(const struct context *x, __u64 to, __u64 now)
{
	emit_loop_evidence(x->last_by ? x->last_by : EVIDENCE_ANSWER, x->last_call, to, x->activation,
			   arrivals(x, now), x->answers, x->arrived, now);
}

/*
 * Nothing more can follow from what arrived last: something else was read, or the loop waits. That a
 * response was begun is told only now, when it is known that no other was.
 */
static __always_inline void arrival_ends(struct context *x, __u64 now)
{
	if (x->answered)
		emit_loop_answer(x, x->answered, now);
	x->answered = 0;
	x->arrived = x->arrived > x->answers ? x->arrived - x->answers : 0;
	x->answers = 0;
}

/* What arrived and led to nothing is put off, or of no consequence. */
static __always_inline void forget_arrivals(struct context *x, __u64 now)
{
	arrival_ends(x, now);
	if (x->arrived && !x->last_by)
		put_off(&x->unled_call, x, now);
	x->arrived = 0;
	x->last_call = 0;
	x->done_call = 0;
	x->last_by = 0;
	x->passed = 0;
}

/* An event loop goes round: what it read before says nothing of what it does from here on. */
static __always_inline void activation_begins(struct context *x)
{
	__u64 now = bpf_ktime_get_ns();

	forget_arrivals(x, now);
	if (x->requests && !x->led)
		put_off(&x->unled_request, x, now);
	x->requests = 0;
	x->led = 0;
	x->rounds++;
	x->activation = new_id();
	x->own.epoch = 0;
	x->given.epoch = 0;
}

/* A loop has read the beginning of a request. */
static __always_inline void loop_request(struct context *x, __u64 now)
{
	forget_arrivals(x, now);
	if (x->led)
		x->requests = 0;
	x->led = 0;
	if (x->requests < 255)
		x->requests++;
}

/* How many requests may have led to what a loop does now. */
static __always_inline __u8 loop_requests(const struct context *x, __u64 now)
{
	return candidates(x, x->requests, &x->unled_request, now);
}

/* A loop goes on with a call that it has begun to write in an earlier round, unless it has read something
 * since that leads to another. */
static __always_inline bool loop_goes_on(const struct context *x)
{
	return x->loop && !x->arrived && (!x->requests || x->led);
}

/* A loop has read some of the response of a call. */
static __always_inline void loop_response(struct context *x, struct conn *c, __u64 sk, __u64 now)
{
	/* It was waited for: request, call and response in one round. What serves here blocks. */
	if (x->own.epoch && c->epoch == x->own.epoch) {
		if (!(c->flags & CONN_LED))
			emit_loop_evidence(EVIDENCE_SAME_THREAD, c->turn, c->epoch, 0, 0, 0, 0, now);
		c->flags |= CONN_LED;
		return;
	}
	x->own.epoch = 0; /* what follows is for the request of this call */
	if (c->flags & CONN_LED || x->last_call == c->turn)
		return;
	arrival_ends(x, now);
	if (x->arrived < 255)
		x->arrived++;
	response_arrives(x);
	x->last_call = c->turn;
	x->last_sk = sk;
	x->last_by = 0;
	x->passed = 0;
}

/* A loop begins to write the response of a request. */
static __always_inline void loop_answer(struct context *x, const struct conn *c, __u64 now)
{
	if (x->own.epoch == c->turn) {
		x->led = 1; /* by itself */
		return;
	}
	if (!x->last_call || x->last_by) { /* no response that was read here has led to it */
		x->ahead--;
		x->in_step_ns = now;
	}
	if (!x->last_call)
		return;
	if (x->answers < 255)
		x->answers++;
	if (x->answers > 1) {
		emit_loop_answer(x, c->turn, now);
		return;
	}
	x->answered = c->turn;
	call_led(x);
}

/* A loop has written another call, after the response of the last. */
static __always_inline void loop_next(struct context *x, __u64 call, __u64 now)
{
	__u8 answers = x->answers;

	arrival_ends(x, now);
	emit_loop_evidence(EVIDENCE_NEXT, call, x->last_call, x->activation, arrivals(x, now), answers, 0, now);
	call_led(x);
	/* Of several, it is not certain which; and what this loop does next may follow from any of them still. */
	if (x->arrived == 1)
		x->arrived = 0;
}

#endif
