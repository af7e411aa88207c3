/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a thread that sleeps in futex(2) waits for, or a task, where its runtime tells. */
#ifndef WAITS_BPF_H
#define WAITS_BPF_H

enum waits_for {
	WAITS_RESULT,  /* for something that another thread does, where nobody else ever waits */
	WAITS_LOCK,    /* for the interpreter's lock, or until somebody gives up another */
	WAITS_OTHER,   /* its runtime has nothing to say of it */
	WAITS_UNKNOWN, /* it may be for anything */
};

#endif
