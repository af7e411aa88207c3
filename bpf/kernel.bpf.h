/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel structures that are read, with the few members that are read. Offsets come from
 * the running kernel's BTF at load time (CO-RE), so order and completeness do not matter here.
 */
#ifndef KERNEL_BPF_H
#define KERNEL_BPF_H

#include <linux/types.h>
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
};

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
	__u16 sk_type;
};

enum sock_flags {
	SOCK_DONE = 1,
};

struct tcp_sock {
	__u32 rcv_nxt;
	__u32 copied_seq;
	__u32 write_seq;
};

struct socket {
	struct sock *sk;
};

struct super_block {
	unsigned long s_magic;
};

/* net/unix: its struct sock is the first member */
struct unix_sock {
	struct sock *peer;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	void *private_data;
	struct inode *f_inode;
	struct path f_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct thread_struct {
	unsigned long fsbase; /* x86 */
};

struct signal_struct {
	struct {
		int counter;
	} live;
	unsigned int flags;
};

#define SIGNAL_GROUP_EXIT 4 /* include/linux/sched/signal.h: all threads end, as the process does */

struct sched_entity {
	__u64 sum_exec_runtime;
	__u64 prev_sum_exec_runtime;
};

struct sched_info {
	unsigned long long last_arrival;
};

/* CONFIG_THREAD_INFO_IN_TASK */
struct thread_info {
	unsigned long flags;
	__u32 status; /* x86 */
};

struct task_struct {
	struct thread_info thread_info;
	struct sched_entity se;
	struct sched_info sched_info;
	int pid;
	int tgid;
	__u64 start_time; /* CLOCK_MONOTONIC */
	__u64 start_boottime;
	void *stack;
	struct task_struct *real_parent;
	struct files_struct *files;
	struct signal_struct *signal;
	struct thread_struct thread;
};

struct pt_regs {};

/* As what any word of memory is read that is to be a number, whatever its type. */
struct timespec64 {
	__u64 tv_sec;
};

enum bpf_func_id___task_regs {
	BPF_FUNC_task_pt_regs___exists = 175,
};

#pragma clang attribute pop

/* Where code lies: what is rarely run is put behind the rest. The programs run with cold caches in most machines,
 * and then each line of code that is touched is waited for. */
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Linux 6.2: an address gets a type, and its members are then loaded like any other memory. */
extern void *bpf_rdonly_cast(const void *at, __u32 type) __ksym __weak;

/*
 * BPF_CORE_READ, without a call of a helper for each pointer on the way where the kernel can do without: that
 * is a tenth of the time. What cannot be read is 0 either way. A pointer that results has a type in the
 * verifier's eyes, where it can only be passed on, compared or added to.
 */
#define KERNEL_READ(src, a, ...)                                                                           \
	({                                                                                                 \
		___type((src), a, ##__VA_ARGS__) read_;                                                    \
		if (bpf_rdonly_cast)                                                                       \
			read_ = ___arrow(KERNEL_TYPED(src), a, ##__VA_ARGS__);                             \
		else                                                                                       \
			BPF_CORE_READ_INTO(&read_, (src), a, ##__VA_ARGS__);                               \
		read_;                                                                                     \
	})

#define KERNEL_TYPED(src) \
	((typeof(src))bpf_rdonly_cast((const void *)(src), bpf_core_type_id_kernel(typeof(*(src)))))

/* The registers of user space at the system call: the arguments are still in them at its end. 32BIT: whether it is
 * one of the 32-bit ABI, which has other numbers. */
#if defined(__TARGET_ARCH_x86)
/* arch/x86/include/asm/ptrace.h */
struct regs {
	__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags,
		sp, ss;
};
#define SYSCALL_NR(r) ((r)->orig_ax)
#define SYSCALL_ARG1(r) ((r)->di)
#define SYSCALL_ARG2(r) ((r)->si)
#define SYSCALL_ARG3(r) ((r)->dx)
#define SYSCALL_ARG4(r) ((r)->r10)
#define NR_read 0
#define NR_readv 19
#define NR_recvfrom 45
#define NR_recvmsg 47
#define NR_futex 202
/* arch/x86/include/asm/thread_info.h TS_COMPAT */
#define SYSCALL_32BIT(task) (KERNEL_READ(task, thread_info.status) & 2)
#elif defined(__TARGET_ARCH_arm64)
/* struct user_pt_regs, arch/arm64/include/uapi/asm/ptrace.h; x0 holds the result at the end of a
 * system call, orig_x0 follows it in struct pt_regs, and the number in 32 bits */
struct regs {
	__u64 x[31], sp, pc, pstate, orig_x0, syscallno;
};
#define SYSCALL_NR(r) ((r)->syscallno)
#define SYSCALL_ARG1(r) ((r)->orig_x0)
#define SYSCALL_ARG2(r) ((r)->x[1])
#define SYSCALL_ARG3(r) ((r)->x[2])
#define SYSCALL_ARG4(r) ((r)->x[3])
#define NR_read 63
#define NR_readv 65
#define NR_recvfrom 207
#define NR_recvmsg 212
#define NR_futex 98
/* arch/arm64/include/asm/thread_info.h TIF_32BIT */
#define SYSCALL_32BIT(task) (KERNEL_READ(task, thread_info.flags) & (1UL << 22))
#endif

struct user_iovec {
	__u64 base;
	__u64 len;
};

/* struct user_msghdr of include/linux/socket.h, 64-bit */
struct user_msg {
	__u64 name;
	__s32 namelen;
	__u32 pad0;
	__u64 iov;
	__u64 iovlen;
	__u64 control;
	__u64 controllen;
	__u32 flags;
	__u32 pad1;
};

/* struct mmsghdr */
struct user_mmsg {
	struct user_msg hdr;
	__u32 len;
	__u32 pad;
};

#define S_IFMT 00170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFIFO 0010000
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define IPPROTO_TCP 6
#define TCP_ESTABLISHED 1
#define TCP_LISTEN 10
#define MSG_OOB 1
#define MSG_PEEK 2
#define MSG_TRUNC 0x20
#define MSG_ERRQUEUE 0x2000
#define ETIMEDOUT 110
#define EINPROGRESS 115

#endif
