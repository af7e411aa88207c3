/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every reason for which the kernel side discards something. Each is a counter in user space, named
 * in internal/probe/loss.go. Numbers are never reused.
 */
#ifndef LOSS_H
#define LOSS_H

enum loss {
	LOSS_EVENTS_FULL = 0,    /* ring buffer full: any other record than that of a process */
	LOSS_PROCESSES_FULL = 1, /* ring buffer full: a process record */
	LOSS_CONNS_FULL = 2,     /* map full: the connection is not followed */
	LOSS_CALLS_FULL = 3,     /* map full: one system call is not followed */
	LOSS_CONTEXTS_FULL = 4,  /* map full: what a thread serves is not known */
	LOSS_PAYLOAD_FAULT = 5,  /* user memory could not be read: bytes counted, not captured */
	LOSS_VECTORS = 6,        /* more buffers in one call than are copied: bytes counted only */
	LOSS_TARGETS_FULL = 7,   /* map full: a forked child is not selected */
	LOSS_GOROUTINE = 8,      /* g could not be read: the goroutine is not known */
	LOSS_VIRTUAL_THREAD = 9, /* what runs on a thread of a Java VM could not be read */
	LOSS_STREAM = 10,        /* the running task of HAProxy could not be read: the stream is not known */
	LOSS_PYTHON = 11,        /* a context, an item or a stream of Python could not be read, or too many are nested */
	LOSS_ASYNC_ID = 12,      /* asynchronous ids of Node.js could not be read */
	LOSS_LOOPS_FULL = 13,    /* map full: the activations of an event loop are not known */
	LOSS_READ_PLACE = 14,    /* a read returned bytes that had been read before: of which connection, is not known */
	LOSS_TOKIO = 15,         /* what a poll of tokio returns to could not be read, or too many are nested */
	LOSS_MAX = 16,
};

#endif
