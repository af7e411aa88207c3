/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Socket identity and TCP sequence, from the kernel's own structures. */
#ifndef CONN_BPF_H
#define CONN_BPF_H

#include "maps.bpf.h"

/* The file behind a descriptor of the current task, or 0. */
static __always_inline struct file *file_of_fd(__s32 fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *fdt = KERNEL_READ(task, files, fdt);
	struct file **fds;

	if (fd < 0 || (__u32)fd >= KERNEL_READ(fdt, max_fds))
		return 0;
	fds = KERNEL_READ(fdt, fd);
	return (struct file *)KERNEL_READ((struct timespec64 *)&fds[fd], tv_sec);
}

/* The TCP socket that a file is, or 0. */
static __always_inline __u64 tcp_sock_of_file(struct file *file)
{
	struct socket *socket;
	struct sock *sk;
	__u16 family;

	if (!file)
		return 0;
	if ((KERNEL_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = KERNEL_READ(file, private_data);
	sk = KERNEL_READ(socket, sk);
	if (!sk)
		return 0;
	family = KERNEL_READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (KERNEL_READ(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	return (__u64)sk;
}

/* The position at which the next byte will be written; one more once this end has sent its FIN. */
static __always_inline __u32 write_seq_of(__u64 sk)
{
	return KERNEL_READ((struct tcp_sock *)sk, write_seq);
}

/* The position of the next byte to read. */
static __always_inline __u32 copied_seq_of(__u64 sk)
{
	struct tcp_sock *tp = (struct tcp_sock *)sk;
	__u32 seq = KERNEL_READ(tp, copied_seq);

	/* A read that finds the other end's FIN steps over it: it is numbered and not a byte. */
	if (KERNEL_READ((struct sock *)sk, __sk_common.skc_flags) & (1UL << SOCK_DONE) &&
	    seq == KERNEL_READ(tp, rcv_nxt))
		seq--;
	return seq;
}

static __always_inline __u32 netns_of(__u64 sk)
{
	return KERNEL_READ((struct sock *)sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline __u32 ports_of(__u64 sk)
{
	struct sock *s = (struct sock *)sk;

	return ((__u32)KERNEL_READ(s, __sk_common.skc_num) << 16) |
	       bpf_ntohs(KERNEL_READ(s, __sk_common.skc_dport));
}

static __always_inline void map_ipv4(__u8 out[16], __be32 addr)
{
	__builtin_memset(out, 0, 10);
	out[10] = 0xff;
	out[11] = 0xff;
	__builtin_memcpy(out + 12, &addr, 4);
}

static __always_inline void read_addresses(__u64 sk, struct conn *c)
{
	struct sock *s = (struct sock *)sk;

	if (KERNEL_READ(s, __sk_common.skc_family) == AF_INET) {
		map_ipv4(c->laddr, KERNEL_READ(s, __sk_common.skc_rcv_saddr));
		map_ipv4(c->raddr, KERNEL_READ(s, __sk_common.skc_daddr));
		return;
	}
	BPF_CORE_READ_INTO(&c->laddr, s, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
	BPF_CORE_READ_INTO(&c->raddr, s, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
}

/* Where the next read begins of a connection that nobody reads just now. It is not known before both ends have
 * agreed on their numbers. */
static __always_inline void find_position(struct conn *c, __u64 sk)
{
	if (KERNEL_READ((struct sock *)sk, __sk_common.skc_state) != TCP_ESTABLISHED)
		return;
	c->position = copied_seq_of(sk);
	c->flags |= CONN_POSITION;
}

/* Follow a connection from here. role 0: it existed before; the end that a listener has is the
 * server. Returns the entry, or 0 when the map is full. */
static __always_inline struct conn *conn_add(__u64 sk, __u32 tgid, __u8 role)
{
	struct conn c = {};

	c.ports = ports_of(sk);
	c.netns = netns_of(sk);
	read_addresses(sk, &c);
	if (!role) {
		struct listen_port port = {.netns = c.netns, .port = c.ports >> 16};

		role = bpf_map_lookup_elem(&listen_ports, &port) ? ROLE_SERVER : ROLE_CLIENT;
		c.flags = CONN_MIDSTREAM;
	}
	c.id = new_id();
	c.tgid = tgid;
	c.role = role;
	c.last_dir = DIR_NONE;
	if (!c.flags)
		find_position(&c, sk);
	if (bpf_map_update_elem(&conns, &sk, &c, BPF_ANY)) {
		count_loss(LOSS_CONNS_FULL);
		return 0;
	}
	return bpf_map_lookup_elem(&conns, &sk);
}

/* The connection of a socket that moves bytes; follows it from here if it was not yet. A socket has no local port
 * any more once the connection is over (net/ipv4/tcp.c tcp_set_state: reset, or FINs both ways); what had arrived
 * can still be read, of the same connection. */
static __always_inline struct conn *conn_get(__u64 sk, __u32 tgid)
{
	struct conn *c = bpf_map_lookup_elem(&conns, &sk);
	__u32 ports = ports_of(sk);

	if (LIKELY(c && (c->ports == ports || (ports && ports == (c->ports & 0xffff)))))
		return c;
	return conn_add(sk, tgid, 0);
}

#endif
