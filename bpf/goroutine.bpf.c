//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hand-offs between goroutines: a few probe sites, each on an instruction that is cheap to probe, at
 * which the arguments are still in registers (internal/goruntime finds them). Nothing is sent to
 * user space here but evidence about calls.
 *
 *   runtime.send        a value goes straight to a goroutine that waits for it
 *   runtime.recv        a value is taken straight from a goroutine that waits to send it
 *   runtime.newproc     a goroutine was created
 *   typedmemmove        in chansend, chanrecv and selectgo: a value goes into a buffer or out of one
 *   sync.WaitGroup.Add  somebody is to be waited for, or is done
 */
#include "waitgroup.bpf.h"

char __license[] SEC("license") = "Dual BSD/GPL";

#if defined(__TARGET_ARCH_x86)
#define REG_G(r) ((r)->r14)
#define REG_ARG0(r) ((r)->ax)
#define REG_ARG1(r) ((r)->bx)
#define REG_ARG2(r) ((r)->cx)
#define CLOSURE_ARG 0 /* of a call that is about to be made: its first argument, from sp */
#elif defined(__TARGET_ARCH_arm64)
#define REG_G(r) ((r)->x[28])
#define REG_ARG0(r) ((r)->x[0])
#define REG_ARG1(r) ((r)->x[1])
#define REG_ARG2(r) ((r)->x[2])
#define CLOSURE_ARG 8
#endif

static __always_inline int goroutine_key(__u64 g, const struct target *t, struct context_key *key)
{
	key->kind = CONTEXT_GOROUTINE;
	key->program = t->program;
	if (!g || bpf_probe_read_user(&key->id, sizeof(key->id), (void *)(g + t->goid))) {
		count_loss(LOSS_GOROUTINE);
		return -1;
	}
	return key->id ? 0 : -1; /* 0 is the scheduler: timers and the collector hand over nothing */
}

/* As struct context.uses of a hand-over of which only the way back can tell: it is used once too often already. */
#define UNPROVEN 254

/*
 * Whether what comes to one that was given a task is of another type than its tasks: what it needs for the one that it
 * has. What it was given may have been no task itself, then nobody knows of what type they are: type is 0.
 */
static __always_inline bool no_task_of(const struct context *to, const struct value *v)
{
	return v->type != to->type && (to->type || to->given_by != EVIDENCE_CHANNEL);
}

/* Made for somebody to open a connection, it has done nothing but that. */
static __always_inline bool only_opened(const struct context *x)
{
	return x->dialer && !x->last_call && !x->wrote && x->given_by != EVIDENCE_CHANNEL && !x->own.epoch;
}

/*
 * The next task of one that has a task, or what it needs for the one that it has: only the way back can tell. opened: it
 * came from one that has only opened a connection.
 */
static __always_inline void doubtful(struct context *to, const struct value *v, bool opened)
{
	if (!opened || !v->type) {
		to->doubt = DOUBT_ELSE;
	} else if (to->doubt) { /* another one */
		if (to->doubt_of != v->type)
			to->doubt = DOUBT_ELSE;
	} else if (to->uses > 1 || (to->base_uses > 1 && to->base != to->segment)) {
		to->doubt = DOUBT_ELSE;
	} else {
		to->doubt = DOUBT_UNUSED + to->uses;
		to->doubt_of = v->type;
	}
	to->uses = 255;
}

/* The taker works on what the giver serves from here on. */
static __always_inline void give(struct context *from, struct context *src, __u64 from_id,
				 struct context *to, __u8 how, const struct token *token,
				 const struct value *v, bool finished, struct last_turn *last)
{
	bool created = to->given_by == EVIDENCE_GO_CREATED && live_too(&to->given, last);
	bool other = token->epoch != to->given.epoch;
	bool busy = to->given_by == EVIDENCE_CHANNEL && other && live_too(&to->given, last);
	bool idle = busy && (!to->uses || to->uses == UNPROVEN); /* it has done nothing for it */
	bool unsure;   /* what it serves by now */
	bool hopeless; /* and more than one thing speaks against what the giver serves */

	if (to->wrote)
		to->writer = 1;
	/* A connection that was opened for another request, and is free by now. */
	if (created && other && !to->writer && from->dialer)
		return;
	if (busy && (no_task_of(to, v) || (!to->type && only_opened(from)))) {
		doubtful(to, v, only_opened(from));
		return;
	}
	/*
	 * A goroutine that was created for one request and gets a message from another may have got a
	 * new task, or a slot of a semaphore. The goroutine that writes on a connection has got a task.
	 * Who gets a second task and has done nothing for the first may do both at once. And what is
	 * given away after a call may be its result, or what the call was made with; who opens connections
	 * gives them to whoever waits for one.
	 */
	hopeless = idle || v->plain || (from->dialer && how == EVIDENCE_GO_CREATED);
	unsure = hopeless || (created && other && !to->writer) || finished;
	hopeless |= how == EVIDENCE_CHANNEL && from->doubt == DOUBT_ELSE;

	to->given = *token;
	to->given_by = how == EVIDENCE_LOOP ? EVIDENCE_LOOP : EVIDENCE_CHANNEL;
	to->tasker = from_id;
	/* A connection that was taken for a task must not make the next task look like a connection. */
	if (v->type != to->type)
		to->type = unsure ? 0 : v->type;
	to->segment = new_id();
	/* What is unsure anyway says nothing of the type. */
	to->uses = v->unseen || (!unsure && task_on_probation(v)) ? UNPROVEN : 0;
	to->spawned = 0;
	to->doubt = hopeless ? DOUBT_ELSE : DOUBT_NONE;
	to->base = 0;
	to->base_uses = 0;
	to->last_call = 0;
	to->returned = 0;
	to->wrote = 0;
	if (other)
		to->doubled = idle;
	if (how == EVIDENCE_CHANNEL || how == EVIDENCE_GO_CREATED) {
		if (how == EVIDENCE_CHANNEL && from == src)
			use_given(from); /* of a value from a buffer, it was counted when it went in */
		to->base = from->segment;
		if (from->base_uses > 1)
			to->base_uses = 255; /* one step back is all that an edge can tell */
		else
			to->base_uses = from->uses;
		if (UNLIKELY(from->doubt == DOUBT_ONCE) && !hopeless && src && src->segment == from->segment) {
			to->doubt = DOUBT_GIVER;
			to->doubt_of = src->doubt_of;
		}
	}
	if (unsure) { /* unless it comes back itself */
		to->base = to->segment;
		to->base_uses = 255;
	}
}

/* What a call was finished for goes on, and the call is not its giver's any more. */
static __always_inline void call_passed(const struct context *from, struct context *src, const struct value *v)
{
	if (!src || src->last_call != from->last_call)
		return;
	if (!from->reader) {
		src->returned = from->last_call;
		src->returned_type = v->type;
	}
	src->last_call = 0; /* src may be from */
}

/* It gave a task away, or a resource: an owner that gives resources asks for nothing. */
static __always_inline void asks(struct context *x, const struct value *v, struct last_turn *last)
{
	bool lent = x->lent && x->lent == v->type;

	if (live_too(&x->own, last)) {
		mark_type(v, TYPE_GIVEN);
		if (lent) {
			mark_type(v, TYPE_RESOURCE);
			return;
		}
		x->type |= type_bit(v);
	} else if (lent) {
		mark_type(v, TYPE_LENT);
	}
	x->asked = 1;
}

/* Who gets something that goes from request to request serves what it served. If it can be a task after
 * all, only the way back can tell. */
static __always_inline void borrowed(struct context *to, const struct value *v, __u8 marks, bool opened)
{
	if (!(marks & TYPE_RESOURCE) && to->given_by == EVIDENCE_CHANNEL)
		doubtful(to, v, opened);
}

/* A value came from a goroutine of which nothing is known. */
static __always_inline void found(struct context *to, const struct value *v)
{
	struct last_turn last = {};
	__u8 marks;

	if (!to || v->signal)
		return;
	if (to->reader) {
		mark_type(v, TYPE_NOTE);
		return;
	}
	if (live_too(&to->own, &last)) {
		if (!to->asked)
			mark_type(v, TYPE_RESOURCE);
		else if (!(to->type & type_bit(v)))
			to->lent = v->type;
		return;
	}
	if (live_too(&to->given, &last) && no_task_of(to, v))
		to->lent = v->type;
	marks = type_marks(v);
	if (marks & (TYPE_RESOURCE | TYPE_LENT))
		borrowed(to, v, marks, false);
	else if (to->given_by == EVIDENCE_CHANNEL)
		to->given.epoch = 0; /* it now works on something of which nothing is known */
}

/*
 * Who reads the responses of calls that were under way at once mostly gives one thing for each of them, in their order,
 * to whoever waits for it; and has taken one for it, from who wrote the call. Whether this one does, user space learns,
 * which knows how many there were. id: of the giver; to: who gets it, or 0.
 */
static __always_inline void response_back(__u32 tgid, __u64 id, __u32 read, __u8 handed, __u8 noted, __u64 note,
					  const struct context *to)
{
	__u64 epoch = to && live(&to->own) ? to->own.epoch : 0;

	EMIT(evidence_event, .kind = EVENT_EVIDENCE, .what = EVIDENCE_RESPONSE_BACK, .uses = handed, .base_uses = noted,
	     .tgid = tgid, .ts = bpf_ktime_get_ns(), .epoch = epoch, .segment = id ^ (__u64)read << 32, .base = note);
}

/* Such a reader gives one more. to: who gets it, or 0, which is nobody yet. */
static __always_inline void response_given(__u32 tgid, __u64 id, struct context *from, const struct context *to)
{
	if (from->handed < 255)
		from->handed++;
	response_back(tgid, id, from->read, from->handed, from->noted, from->note, to);
	from->noted = 0;
	from->note = 0;
}

/* Such a reader has taken one. from: the giver as it was when it gave, or 0. */
static __always_inline void note_taken(struct context *to, const struct context *from)
{
	struct token token = {};

	if (from)
		serving(from, &token);
	to->note = token.epoch;
	if (to->noted < 255)
		to->noted++;
}

/* Of an answer that may be none: as of one who has done too much since. */
static const struct context doubted = {.uses = 255};

/*
 * A value went from one goroutine to another. Either a finished call goes back to who wanted it, or
 * whoever takes the value works for whom the giver worked; or neither: an acknowledgement, a slot of a
 * semaphore. A value without bytes is a signal and no task.
 *
 * from is the giver as it was when it gave; src the giver as it is now, or 0; to the taker, or 0, who does not
 * read for others.
 */
static __always_inline void hand_over(__u32 tgid, __u64 from_id, struct context *from,
				      struct context *src, const struct context_key *to_key,
				      struct context *to, const struct value *v)
{
	struct last_turn last = {};
	struct token token = {};
	bool finished, owner, shared, spread, back;
	__u8 how, marks;

	if (from->dialer && (to || (to = task_make(to_key))))
		to->asked = 1; /* with a connection it will ask */
	if (from->reader && from->last_call && to && !to->asked) {
		/*
		 * It has asked for nothing. net/http hands a connection that is free again to a goroutine
		 * that waits for one before it delivers the last answer.
		 */
		to->asked = 1;
		return;
	}
	marks = type_marks(v);
	owner = live_too(&from->own, &last);
	finished = from->last_call && !owner;
	/* A second one gets the result of the same call: it was made for both, or for none of them. */
	spread = from->returned && from->returned_type == v->type && !v->signal && !from->reader;
	shared = spread && !from->last_call;
	spread = spread && from->returned == from->last_call;

	if (to && live_too(&to->own, &last)) {
		bool working = live_too(&from->given, &last);
		bool same = working && from->given.epoch == to->own.epoch;
		bool lent = src && src->lent && src->lent == v->type;
		bool resource = !v->signal && !same &&
				(owner || (lent && working) || (!finished && !to->asked));

		/*
		 * Back to who owns the request: what the giver finished belongs to it. Not from one that
		 * was created for another request, nor by a mere signal from one of which nothing is
		 * known: those may be slots of a semaphore. Nor what may be a resource: it came to one who
		 * has asked for nothing, and is of a type that goes away from such as well.
		 */
		bool answer = !v->signal && !resource && !lent && !(marks & TYPE_RESOURCE) &&
			      (to->asked || !(marks & (TYPE_GIVEN | TYPE_LENT))) && !spread &&
			      (!working || from->given_by == EVIDENCE_CHANNEL);

		/* Of tasks that it took at once a call is whose that gets its result; but this may be a connection. */
		bool either = same && (marks & TYPE_LENT) && from->segment && from->base == from->segment;

		if (resource || lent)
			mark_type(v, resource ? TYPE_RESOURCE : TYPE_LENT);
		if (!v->signal && !same && !(to->type & type_bit(v)))
			to->lent = v->type; /* it never gave one for which this may be the answer */
		if (finished && ((same && !either && !(marks & TYPE_RESOURCE)) || from->reader)) {
			emit_evidence(tgid, EVIDENCE_CHANNEL_BACK, from->last_call, to->own.epoch,
				      bpf_ktime_get_ns(), same ? from : 0);
			call_passed(from, src, v);
			to->asked = 0;
		} else if (answer && !either && (finished || shared)) {
			emit_evidence(tgid, EVIDENCE_CHANNEL_BACK, finished ? from->last_call : from->returned,
				      to->own.epoch, bpf_ktime_get_ns(),
				      answer_on_probation(v) ? &doubted : 0);
			if (finished) {
				call_passed(from, src, v);
				to->asked = 0;
			}
		}
		if (same && src && src->given_by == EVIDENCE_CHANNEL && src->segment == from->segment)
			src->given.epoch = 0; /* the task is done */
		return;
	}
	/* What its giver may have given it for nothing, may go back to it for nothing. */
	back = to_key->id == from->tasker && !(from->segment && from->base == from->segment) &&
	       !(marks & (TYPE_RESOURCE | TYPE_LENT));
	if (finished && (from->reader || back)) {
		/* On its way back; it does not change what the taker serves. */
		if (spread)
			return;
		if (to && live_too(&to->given, &last))
			emit_evidence(tgid, EVIDENCE_TASK_BACK, from->last_call, to->given.epoch,
				      bpf_ktime_get_ns(), to);
		if (to || (to = task_make(to_key))) {
			to->last_call = from->last_call;
			to->returned = 0;
			to->asked = 0;
		}
		call_passed(from, src, v);
		return;
	}
	if (v->signal || (!owner && (from->reader || from->wrote || back))) { /* an answer */
		/* It may be for another task than the one that it has by now, with which it goes on then. */
		if (back && !v->signal && to && to->given_by == EVIDENCE_CHANNEL && from->given.epoch != to->given.epoch)
			doubtful(to, v, only_opened(from));
		return;
	}
	if (shared && !owner && to && live_too(&to->given, &last))
		emit_evidence(tgid, EVIDENCE_TASK_BACK, from->returned, to->given.epoch, bpf_ktime_get_ns(), to);
	if (finished && src && src->last_call == from->last_call) {
		src->returned = from->last_call;
		src->returned_type = v->type;
	}
	how = serves(from, owner, &token, &last);
	if (to && live_too(&to->given, &last) && no_task_of(to, v) && (!how || token.epoch != to->given.epoch))
		to->lent = v->type;
	if (src && !(marks & (TYPE_RESOURCE | TYPE_LENT)))
		asks(src, v, &last);
	else if (owner && src && src->lent == v->type)
		mark_type(v, TYPE_RESOURCE); /* as asks would: all are given straight while connections are few */
	marks = type_marks(v);
	if (marks & (TYPE_RESOURCE | TYPE_LENT)) {
		if (to)
			borrowed(to, v, marks, only_opened(from));
		return;
	}
	if (how) {
		if (to || (to = task_make(to_key)))
			give(from, src, from_id, to, how, &token, v, finished, &last);
	} else if (to && to->given_by == EVIDENCE_CHANNEL) {
		if (only_opened(from) && live_too(&to->given, &last) && no_task_of(to, v))
			doubtful(to, v, true);
		else
			to->given.epoch = 0; /* it now works on something of which nothing is known */
	}
}

/* Two goroutines, of which one gives and the other takes. */
struct hands {
	struct context_key from_key, to_key;
	struct context *from, *to; /* or 0 */
};

/*
 * Whether anything is known of either, which is asked before what they hand over is looked at. Who reads for
 * others gets notes, whoever gives them: see found.
 */
static __always_inline bool known_hands(__u32 tgid, const struct target *t, __u64 from_g, __u64 to_g,
					struct hands *h)
{
	h->from_key.tgid = h->to_key.tgid = tgid;
	h->from = 0;
	if (goroutine_key(to_g, t, &h->to_key))
		return false;
	h->to = goroutine_find(&h->to_key);
	if (h->to && h->to->reader && LIKELY(!h->to->read))
		return true;
	if (goroutine_key(from_g, t, &h->from_key))
		return false;
	h->from = goroutine_find(&h->from_key);
	if (h->from)
		return true;
	asm volatile("" ::: "memory"); /* the compiler would or the two pointers, which the verifier refuses */
	return h->to;
}

/* A value went straight from one goroutine to another that waited for it, or with it. */
static __always_inline int hand_straight(__u32 tgid, const struct hands *h, const struct value *v)
{
	if (h->from && UNLIKELY(h->from->read) && !v->signal)
		response_given(tgid, h->from_key.id, h->from, h->to);
	if (h->to && UNLIKELY(h->to->read) && !v->signal)
		note_taken(h->to, h->from);
	if (h->from && !(h->to && h->to->reader))
		hand_over(tgid, h->from_key.id, h->from, h->from, &h->to_key, h->to, v);
	else
		found(h->to, v);
	return 0;
}

/* A value goes into a place of a buffer, from which somebody will take it. The channel is locked. */
static __always_inline void put(__u32 tgid, const struct target *t, __u64 addr, __u64 g, __u64 type)
{
	struct context_key key = {.tgid = tgid};
	struct last_turn last = {};
	struct context *from = 0;
	struct place_set *set;
	struct value v = {};
	struct element e;
	struct place place;

	place_of(tgid, t, addr, &place);
	set = place_set_of(&place);
	if (!set)
		return;
	if (!goroutine_key(g, t, &key))
		from = goroutine_find(&key);
	if (!from) {
		place_clear(set, &place);
		return;
	}
	value_of_type(tgid, t, type, &v);
	if (v.signal) {
		place_clear(set, &place);
		return;
	}
	__builtin_memset(&e, 0, __builtin_offsetof(struct element, context));
	e.giver = key.id;
	e.asked = from->asked;
	e.uses = from->uses;
	if (UNLIKELY(from->read)) {
		e.noted = from->noted;
		response_given(tgid, key.id, from, 0);
		e.handed = from->handed;
		e.read = from->read;
	}
	if (!v.plain && !(type_marks(&v) & TYPE_RESOURCE)) {
		if (from->given_by == EVIDENCE_CHANNEL && !(type_marks(&v) & TYPE_NOTE))
			use_given(from);
		asks(from, &v, &last);
	}
	__builtin_memcpy(e.context, from, sizeof(e.context));
	place_put(set, &place, &e);
}

/* It comes out again. */
static __always_inline void take(__u32 tgid, const struct target *t, __u64 addr, __u64 g, __u64 type)
{
	struct context_key to_key = {.tgid = tgid}, from_key;
	struct place_set *set;
	struct value v = {};
	struct element e;
	struct place place;
	struct context *to;
	bool known;

	if (goroutine_key(g, t, &to_key))
		return;
	place_of(tgid, t, addr, &place);
	set = place_set_of(&place);
	if (!set)
		return;
	to = goroutine_find(&to_key);
	if (to && to->reader && LIKELY(!to->read)) { /* see known_hands */
		place_clear(set, &place);
		value_of_type(tgid, t, type, &v);
		found(to, &v);
		return;
	}
	e.giver = 0; /* the compiler would spill it where there is none, which the verifier refuses */
	known = place_take(set, &place, &e);
	if (to && to->reader) {
		value_of_type(tgid, t, type, &v);
		if (!v.signal)
			note_taken(to, known ? context_in(&e) : 0);
		found(to, &v);
		return;
	}
	if (known && e.giver == to_key.id && to && to->segment == context_in(&e)->segment) {
		/* Its own: it was no use of anything. */
		if (to->uses == context_in(&e)->uses) {
			to->uses = e.uses;
			to->asked = e.asked;
		}
		return;
	}
	/* Its own, which it put there before it was given another task: the former again, if that is what it is. */
	if (known && e.giver == to_key.id && (!to || to->type != type))
		return;
	if (!known && !to)
		return;
	value_of_type(tgid, t, type, &v);
	if (v.signal)
		return;
	if (!known) {
		found(to, &v);
		return;
	}
	if (UNLIKELY(e.read))
		response_back(tgid, e.giver, e.read, e.handed, e.noted, 0, to);
	from_key = to_key;
	from_key.id = e.giver;
	hand_over(tgid, e.giver, context_in(&e), goroutine_find(&from_key), &to_key, to, &v);
}

static __always_inline __u64 sudog_g(__u64 sudog)
{
	__u64 g = 0;

	/* runtime.sudog begins with g *g */
	if (bpf_probe_read_user(&g, sizeof(g), (void *)sudog))
		count_loss(LOSS_GOROUTINE);
	return g;
}

/*
 * Profile-guided builds inline send and recv. What is left of them is the call of goready, by a closure
 * whose first captured variable is the goroutine that waited.
 */
static __always_inline __u64 closure_g(struct regs *ctx)
{
	__u64 closure = 0, g = 0;

	if (bpf_probe_read_user(&closure, sizeof(closure), (void *)(ctx->sp + CLOSURE_ARG)) ||
	    bpf_probe_read_user(&g, sizeof(g), (void *)(closure + 8)))
		count_loss(LOSS_GOROUTINE);
	return g;
}

SEC("uprobe/go_send_inlined")
int go_send_inlined(struct regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target *t = target_with(tgid, TARGET_GO);
	struct value v = {.unseen = true}; /* nothing is known of the channel */
	struct hands h;

	return t && known_hands(tgid, t, REG_G(ctx), closure_g(ctx), &h) ? hand_straight(tgid, &h, &v) : 0;
}

SEC("uprobe/go_recv_inlined")
int go_recv_inlined(struct regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target *t = target_with(tgid, TARGET_GO);
	struct value v = {.unseen = true};
	struct hands h;

	return t && known_hands(tgid, t, closure_g(ctx), REG_G(ctx), &h) ? hand_straight(tgid, &h, &v) : 0;
}

/* runtime.send(c *hchan, sg *sudog, ep, unlockf, skip): sg waits to receive */
SEC("uprobe/go_send")
int go_send(struct regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target *t = target_with(tgid, TARGET_GO);
	struct value v = {};
	struct hands h;

	if (!t || !known_hands(tgid, t, REG_G(ctx), sudog_g(REG_ARG1(ctx)), &h) || value_in(tgid, t, REG_ARG0(ctx), &v))
		return 0;
	return hand_straight(tgid, &h, &v);
}

/* runtime.recv(c *hchan, sg *sudog, ep, unlockf, skip): sg waits to send */
SEC("uprobe/go_recv")
int go_recv(struct regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target *t = target_with(tgid, TARGET_GO);
	struct value v = {};
	struct hchan chan;
	struct hands h;
	__u64 addr;

	if (!t || read_chan(REG_ARG0(ctx), &chan))
		return 0;
	if (!chan.size) {
		if (!known_hands(tgid, t, sudog_g(REG_ARG1(ctx)), REG_G(ctx), &h))
			return 0;
		value_of_chan(tgid, t, &chan, &v);
		return hand_straight(tgid, &h, &v);
	}
	/*
	 * From a full buffer the receiver takes what is first in it, and the value of the goroutine that
	 * waits becomes its last, in the same place (runtime/chan.go recv).
	 */
	if (!(t->flags & TARGET_BUFFERS) || !chan.elemsize)
		return 0;
	addr = chan.buf + (t->flags & TARGET_CHAN_TIMER ? chan.rest[3] : chan.rest[2]) * chan.elemsize;
	if (REG_ARG2(ctx)) /* else into nothing */
		take(tgid, t, addr, REG_G(ctx), elemtype_of(t, &chan));
	put(tgid, t, addr, sudog_g(REG_ARG1(ctx)), elemtype_of(t, &chan));
	return 0;
}

/* call of typedmemmove(type, to, from) in chansend or selectgo: to is a place in a buffer */
SEC("uprobe/go_put")
int go_put(struct regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target *t = target_with(tgid, TARGET_GO);

	if (t && t->flags & TARGET_BUFFERS)
		put(tgid, t, REG_ARG1(ctx), REG_G(ctx), REG_ARG0(ctx));
	return 0;
}

/* call of typedmemmove(type, to, from) in chanrecv or selectgo: from is a place in a buffer */
SEC("uprobe/go_take")
int go_take(struct regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target *t = target_with(tgid, TARGET_GO);

	if (t && t->flags & TARGET_BUFFERS)
		take(tgid, t, REG_ARG2(ctx), REG_G(ctx), REG_ARG0(ctx));
	return 0;
}

/* From runtime.g.goid on, as far as parentGoid is in every release that has it: one read instead of two. */
struct goroutine_ids {
	__u64 id;
	__u64 between[14];
	__u64 parent, parent_126; /* Go 1.21 to 1.25, Go 1.26 */
};

/* As read_goroutine, which has no room on the stack of the programs that it is in. */
static __always_inline int read_new_goroutine(__u64 g, const struct target *t, struct goroutine *out)
{
	__u32 apart = t->parent_goid - t->goid;
	bool later = apart == __builtin_offsetof(struct goroutine_ids, parent_126);
	struct goroutine_ids ids;

	if (!t->parent_goid || (!later && apart != __builtin_offsetof(struct goroutine_ids, parent)))
		return read_goroutine(g, t, out);
	if (bpf_probe_read_user(&ids, sizeof(ids), (void *)(g + t->goid)))
		return -1;
	out->id = ids.id;
	out->parent = later ? ids.parent_126 : ids.parent;
	return 0;
}

/* call of runqput(pp *p, gp *g, next bool) in newproc: gp is complete, with its parent's id */
SEC("uprobe/go_new")
int go_new(struct regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct context_key key = {.tgid = tgid, .kind = CONTEXT_GOROUTINE}, parent_key;
	struct target *t = target_with(tgid, TARGET_GO);
	struct creation fresh = {.tgid = tgid}, *c;
	struct goroutine go = {};
	struct context *parent;
	__u8 how;

	if (!t)
		return 0;
	if (read_new_goroutine(REG_ARG1(ctx), t, &go)) {
		count_loss(LOSS_GOROUTINE);
		return 0;
	}
	key.program = t->program;
	key.id = go.id;
	parent_key = key;
	parent_key.id = go.parent;
	if (!key.id || !parent_key.id)
		return 0;
	parent = goroutine_find(&parent_key);
	if (!parent)
		return 0;
	how = serving(parent, &fresh.given);
	c = creation_at(&key);
	if (!how || !c)
		return 0;
	fresh.id = key.id;
	fresh.tasker = parent_key.id;
	if (how == EVIDENCE_CHANNEL || how == EVIDENCE_GO_CREATED) {
		/*
		 * What the parent was given is certain for the first that it makes only: who drains a queue
		 * may make one for each task in it.
		 */
		fresh.segment = parent->segment;
		fresh.base = parent->base;
		fresh.base_uses = parent->base_uses;
		fresh.uses = parent->uses;
		if (how == EVIDENCE_CHANNEL) {
			if (parent->spawned < 255)
				parent->spawned++;
			if (fresh.uses < parent->spawned)
				fresh.uses = parent->spawned;
		}
	}
	fresh.sum = creation_sum(&key, &fresh.given, fresh.tasker, fresh.segment, fresh.base,
				 fresh.base_uses << 8 | fresh.uses);
	*c = fresh;
	return 0;
}

/*
 * A group that lies where its program has never written has no memory yet: that comes with the Add which this is the
 * beginning of. (Go clears no page that is fresh from the kernel, so one group of a few hundred begins one.) It may as
 * well have been paged out, and somebody in it. Who joins or leaves next can read it, and everybody who does is seen:
 * if it holds what was added unread and no more, nobody was in it before.
 */
static __always_inline void group_unread(const struct place *place, struct wait_group *w, bool known, __u64 before,
					 __u64 unread, __u64 epoch, __u32 added)
{
	if (known && unread)
		count_loss(LOSS_GOROUTINE); /* what was added before is not told from this */
	else if (known && before == epoch)
		return; /* whether or not somebody is in it */
	if (known || epoch)
		wait_group_is(w, place, epoch, epoch ? added : 0);
}

/* Whoever adds to a group waits for it. Only of who has read its request itself it is certain what it serves. */
static __always_inline void group_joined(__u32 tgid, const struct target *t, const struct place *place,
					 struct wait_group *w, __u64 g, __u32 added)
{
	struct context_key key = {.tgid = tgid};
	struct context *x = 0;
	__u64 before = 0, unread = 0, epoch = 0;
	bool known = wait_group_known(w, place, &before, &unread);
	__s64 in;

	if (!goroutine_key(g, t, &key))
		x = goroutine_find(&key);
	if (x && live(&x->own))
		epoch = x->own.epoch;
	in = wait_group_count(place);
	if (UNLIKELY(in < 0)) {
		group_unread(place, w, known, before, unread, epoch, added);
	} else if (!in) {
		if (known || epoch)
			wait_group_is(w, place, epoch, 0);
	} else if (known && (before != epoch || unread)) {
		wait_group_is(w, place, before == epoch && in == unread ? epoch : 0, 0);
	}
}

/*
 * Who was given a task of a request, and is done for somebody who waits for that request alone, has done the task
 * until now. So whatever it had from elsewhere meanwhile was for this task, or for nothing. But who is then done for
 * another as well, and was given nothing in between, had both tasks at once.
 */
static __always_inline void group_left(__u32 tgid, const struct target *t, const struct place *place,
				       struct wait_group *w, __u64 g)
{
	struct context_key key = {.tgid = tgid};
	__u64 epoch = 0, unread = 0;
	struct context *x;
	__s64 in;

	if (!wait_group_known(w, place, &epoch, &unread) || !epoch)
		return;
	if (UNLIKELY(unread)) {
		in = wait_group_count(place);
		if (in < 0)
			count_loss(LOSS_GOROUTINE);
		if (in != unread)
			epoch = 0;
		wait_group_is(w, place, epoch, 0);
	}
	if (!epoch || goroutine_key(g, t, &key))
		return;
	x = goroutine_find(&key);
	if (!x || live(&x->own) || x->given_by != EVIDENCE_CHANNEL)
		return;
	if (x->given.epoch != epoch) {
		if (x->given.epoch && !x->given.sk)
			emit_evidence(tgid, EVIDENCE_CHANNEL_BACK, 0, epoch, bpf_ktime_get_ns(), x);
		x->given.epoch = 0; /* it does not work for this one, or not only */
		return;
	}
	if (!live(&x->given))
		return;
	if (x->doubled) {
		x->given.epoch = 0;
		return;
	}
	if (x->uses > 1 || x->base_uses > 1)
		emit_evidence(tgid, EVIDENCE_CHANNEL_BACK, x->last_call, epoch, bpf_ktime_get_ns(), x);
	x->last_call = 0;
	x->returned = 0;
	x->given.sk = 0; /* the task is done */
}

/* sync.(*WaitGroup).Add(delta): Done, and what Go starts, call it as well. */
SEC("uprobe/go_group")
int go_group(struct regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct target *t = target_with(tgid, TARGET_GO);
	struct wait_group *w;
	struct place place;

	if (!t)
		return 0;
	place_of(tgid, t, REG_ARG0(ctx), &place);
	w = wait_group_of(&place);
	if (!w)
		return 0;
	if ((__s64)REG_ARG1(ctx) > 0)
		group_joined(tgid, t, &place, w, REG_G(ctx), REG_ARG1(ctx));
	else
		group_left(tgid, t, &place, w, REG_G(ctx));
	return 0;
}
