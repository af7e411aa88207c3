/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The registers of a C or C++ function (`this` is its first argument): at its entry, its result at its return. */
#ifndef FUNCTION_BPF_H
#define FUNCTION_BPF_H

#include "kernel.bpf.h"

#if defined(__TARGET_ARCH_x86)
/* System V ABI, AMD64, section 3.2.3 */
#define ARGUMENT_1(r) ((r)->di)
#define ARGUMENT_2(r) ((r)->si)
#define ARGUMENT_3(r) ((r)->dx)
#define ARGUMENT_4(r) ((r)->cx)
#define RESULT(r) ((r)->ax)
#elif defined(__TARGET_ARCH_arm64)
/* AAPCS64, section 6.8.2 */
#define ARGUMENT_1(r) ((r)->x[0])
#define ARGUMENT_2(r) ((r)->x[1])
#define ARGUMENT_3(r) ((r)->x[2])
#define ARGUMENT_4(r) ((r)->x[3])
#define RESULT(r) ((r)->x[0])
#endif

#endif
