//go:build ignore

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Hand-offs between goroutines: three probe sites, each on an instruction that is cheap to probe, at
 * which the arguments are still in registers (internal/goruntime finds them). Nothing is sent to
 * user space here but evidence about calls.
 *
 *   runtime.send        a value goes straight to a goroutine that waits for it
 *   runtime.recv        a value is taken straight from a goroutine that waits to send it
 *   runtime.newproc     a goroutine was created
 */
#include "context.bpf.h"

char __license[] SEC("license") = "Dual BSD/GPL";

#if defined(__TARGET_ARCH_x86)
#define REG_G(r) ((r)->r14)
#define REG_ARG0(r) ((r)->ax)
#define REG_ARG1(r) ((r)->bx)
#define CLOSURE_ARG 0 /* of a call that is about to be made: its first argument, from sp */
#elif defined(__TARGET_ARCH_arm64)
#define REG_G(r) ((r)->x[28])
#define REG_ARG0(r) ((r)->x[0])
#define REG_ARG1(r) ((r)->x[1])
#define CLOSURE_ARG 8
#endif

static __always_inline struct target *go_target(__u32 tgid)
{
	struct target *t = bpf_map_lookup_elem(&targets, &tgid);

	return t && (t->flags & TARGET_GO) ? t : 0;
}

static __always_inline int goroutine_key(__u64 g, const struct target *t, struct context_key *key)
{
	key->kind = CONTEXT_GOROUTINE;
	if (!g || bpf_probe_read_user(&key->id, sizeof(key->id), (void *)(g + t->goid))) {
		count_loss(LOSS_GOROUTINE);
		return -1;
	}
	return key->id ? 0 : -1; /* 0 is the scheduler: timers and the collector hand over nothing */
}

/* The beginning of runtime.hchan. */
struct hchan {
	__u64 count;
	__u64 size; /* dataqsiz: of the buffer, in elements */
	__u64 buf;
	__u16 elemsize;
	__u16 pad[3];
};

static __always_inline int read_chan(__u64 at, struct hchan *chan)
{
	if (!bpf_probe_read_user(chan, sizeof(*chan), (void *)at))
		return 0;
	count_loss(LOSS_GOROUTINE);
	return -1;
}

/* The taker works on what the giver serves from here on. */
static __always_inline void give(struct context *from, __u64 from_id, struct context *to, __u8 how,
				 const struct token *token, bool buffered)
{
	bool created = to->given_by == EVIDENCE_GO_CREATED && live(&to->given);
	bool other = token->epoch != to->given.epoch;

	if (from)
		from->asked = 1;
	if (to->wrote)
		to->writer = 1;
	/* A connection that was opened for another request, and is free by now. */
	if (created && other && !to->writer && from && from->dialer)
		return;
	/*
	 * A goroutine that was created for one request and gets a message from another may have got a
	 * new task, or a slot of a semaphore. The goroutine that writes on a connection has got a task.
	 */
	bool unsure = created && other && !to->writer;

	to->given = *token;
	to->given_by = how == EVIDENCE_LOOP ? EVIDENCE_LOOP : EVIDENCE_CHANNEL;
	to->tasker = from_id;
	to->segment = new_id();
	/* What it takes from a buffer later is not seen. */
	to->uses = buffered ? 254 : 0;
	to->base = 0;
	to->base_uses = unsure ? 255 : 0;
	to->last_call = 0;
	to->wrote = 0;
	if (from && how == EVIDENCE_CHANNEL) {
		use_given(from);
		to->base = from->segment;
		if (from->base_uses > 1)
			to->base_uses = 255; /* one step back is all that an edge can tell */
		else if (!unsure)
			to->base_uses = from->uses;
	}
}

/*
 * A value went from one goroutine to another. Either a finished call goes back to who wanted it, or
 * whoever takes the value works for whom the giver worked; or neither: an acknowledgement, a slot of a
 * semaphore. A value without bytes is a signal and no task.
 */
static __always_inline int hand_over(__u64 from_g, __u64 to_g, const struct hchan *chan)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct context_key from_key = {.tgid = tgid}, to_key = {.tgid = tgid};
	struct target *t = go_target(tgid);
	struct context *from, *to;
	struct token token = {};
	bool finished, owner, signal;
	__u8 how;

	if (!t || goroutine_key(from_g, t, &from_key) || goroutine_key(to_g, t, &to_key))
		return 0;
	from = context_find(&from_key);
	to = context_find(&to_key);
	if (to && to->reader)
		return 0; /* who reads for others gets acknowledgements only */
	if (from && from->dialer && (to || (to = context_make(&to_key))))
		to->asked = 1; /* with a connection it will ask */
	if (from && from->reader && from->last_call && to && !to->asked) {
		/*
		 * It has asked for nothing. net/http hands a connection that is free again to a goroutine
		 * that waits for one before it delivers the last answer.
		 */
		to->asked = 1;
		return 0;
	}
	signal = chan && chan->elemsize == 0;
	owner = from && live(&from->own);
	finished = from && from->last_call && !owner;

	if (to && live(&to->own)) {
		bool working = from && live(&from->given);
		bool same = working && from->given.epoch == to->own.epoch;

		/*
		 * Back to who owns the request: what the giver finished belongs to it. Not from one that
		 * was created for another request, nor by a mere signal from one of which nothing is
		 * known: those may be slots of a semaphore.
		 */
		if (finished && (same || from->reader ||
				 (!signal && (!working || from->given_by == EVIDENCE_CHANNEL)))) {
			emit_evidence(tgid, EVIDENCE_CHANNEL_BACK, from->last_call, to->own.epoch,
				      bpf_ktime_get_ns(), same ? from : 0);
			from->last_call = 0;
			to->asked = 0;
		}
		if (same && from->given_by == EVIDENCE_CHANNEL)
			from->given.epoch = 0; /* the task is done */
		return 0;
	}
	if (finished && (from->reader || to_key.id == from->tasker)) {
		/* On its way back; it does not change what the taker serves. */
		if (to && live(&to->given))
			emit_evidence(tgid, EVIDENCE_TASK_BACK, from->last_call, to->given.epoch,
				      bpf_ktime_get_ns(), to->given_by == EVIDENCE_CHANNEL ? to : 0);
		if (to || (to = context_make(&to_key)))
			to->last_call = from->last_call;
		if (to)
			to->asked = 0;
		from->last_call = 0;
		return 0;
	}
	if (signal || (from && !owner && (from->reader || from->wrote || to_key.id == from->tasker)))
		return 0; /* an answer */
	how = from ? serving(from, &token) : 0;
	if (how) {
		if (to || (to = context_make(&to_key)))
			give(from, from_key.id, to, how, &token, chan && chan->size);
	} else if (to && to->given_by == EVIDENCE_CHANNEL) {
		to->given.epoch = 0; /* it now works on something of which nothing is known */
	}
	return 0;
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
	return hand_over(REG_G(ctx), closure_g(ctx), 0);
}

SEC("uprobe/go_recv_inlined")
int go_recv_inlined(struct regs *ctx)
{
	return hand_over(closure_g(ctx), REG_G(ctx), 0);
}

/* runtime.send(c *hchan, sg *sudog, ep, unlockf, skip): sg waits to receive */
SEC("uprobe/go_send")
int go_send(struct regs *ctx)
{
	struct hchan chan;

	if (read_chan(REG_ARG0(ctx), &chan))
		return 0;
	return hand_over(REG_G(ctx), sudog_g(REG_ARG1(ctx)), &chan);
}

/* runtime.recv(c *hchan, sg *sudog, ep, unlockf, skip): sg waits to send */
SEC("uprobe/go_recv")
int go_recv(struct regs *ctx)
{
	struct hchan chan;

	/*
	 * From a full buffer the receiver takes what is first in it, and the value of the goroutine that
	 * waits becomes its last (runtime/chan.go recv): nothing goes from one to the other.
	 */
	if (read_chan(REG_ARG0(ctx), &chan) || chan.size)
		return 0;
	return hand_over(sudog_g(REG_ARG1(ctx)), REG_G(ctx), &chan);
}

/* call of runqput(pp *p, gp *g, next bool) in newproc: gp is complete, with its parent's id */
SEC("uprobe/go_new")
int go_new(struct regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct context_key key = {.tgid = tgid}, parent_key = {.tgid = tgid, .kind = CONTEXT_GOROUTINE};
	struct target *t = go_target(tgid);
	struct goroutine go = {};
	struct context *parent;
	struct context fresh = {};
	__u8 how;

	if (!t)
		return 0;
	if (read_goroutine(REG_ARG1(ctx), t, &go)) {
		count_loss(LOSS_GOROUTINE);
		return 0;
	}
	key.kind = CONTEXT_GOROUTINE;
	key.id = go.id;
	parent_key.id = go.parent;
	if (!key.id || !parent_key.id)
		return 0;
	parent = context_find(&parent_key);
	if (!parent)
		return 0;
	how = serving(parent, &fresh.given);
	if (!how)
		return 0;
	fresh.given_by = EVIDENCE_GO_CREATED;
	fresh.tasker = parent_key.id;
	if (bpf_map_update_elem(&tasks, &key, &fresh, BPF_ANY))
		count_loss(LOSS_CONTEXTS_FULL);
	return 0;
}
