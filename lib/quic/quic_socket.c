/* SPDX-License-Identifier: MIT */
/*
 * The system calls of QUIC. What the kernel or the network refuses is lost, as UDP is; only "full"
 * (EAGAIN) is waited for. Owned by an endpoint; runs on its loop's thread.
 */
#include "quic/quic_socket.h"

#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "quic/conn_internal.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define SOCKET_BUFFER_BYTES (4 << 20) /* what is asked for; the kernel's own limit may be lower */
#define READ_ROUNDS 2		      /* recvmmsg calls per wake-up */

static void set_int(int fd, int level, int name, int value)
{
	/* Each of these only makes things better where the kernel knows it. */
	(void)!setsockopt(fd, level, name, &value, sizeof(value));
}

int quic_socket_open(sa_family_t family, bool reuse_port, bool wildcard)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return rstun_error_from_errno(errno);
	if (reuse_port)
		set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	/* As root this goes past the kernel's limit; otherwise the second pair asks within it. */
	set_int(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_BYTES);
	set_int(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER_BYTES);
	set_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES);
	set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES);
	if (family == AF_INET6) {
		set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
		set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
		set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
		if (wildcard)
			set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	}
	/* Also on IPv6 sockets, which carry IPv4-mapped traffic when bound to [::]. */
	set_int(fd, IPPROTO_IP, IP_RECVTOS, 1);
	set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	if (family == AF_INET) {
		set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
		if (wildcard)
			set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	}
	return fd;
}

/* A fact about the machine, which every thread and every new socket would find out anew: once in a
 * process. */
static void say_once(const struct quic_socket *s, atomic_flag *said, const char *text)
{
	if (!atomic_flag_test_and_set(said))
		log_info(s->log, "quic", "%s", text);
}

/* ---- receiving ---- */

static void merge_received(const struct quic_socket *s)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;
	int on = 1;

	if (setsockopt(s->fd, SOL_UDP, UDP_GRO, &on, sizeof(on)) != 0)
		say_once(s, &said,
			 "the kernel refuses UDP receive offload: reading packet by packet");
}

struct received {
	struct address local;
	unsigned ecn;
	size_t segment; /* 0 = one datagram */
};

static void read_control(const struct quic_socket *s, struct msghdr *msg, struct received *r)
{
	uint16_t port = address_port(&s->local);

	r->local = s->local;
	r->ecn = 0;
	r->segment = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;
			struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			sin.sin_addr = info.ipi_addr;
			address_from_sockaddr(&r->local, (struct sockaddr *)&sin, sizeof(sin));
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;
			struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6,
						    .sin6_port = htons(port)};

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			sin6.sin6_addr = info.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&sin6.sin6_addr))
				sin6.sin6_scope_id = info.ipi6_ifindex;
			address_from_sockaddr(&r->local, (struct sockaddr *)&sin6, sizeof(sin6));
		} else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
			r->ecn = *CMSG_DATA(c) & 3u;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
			int tclass;

			memcpy(&tclass, CMSG_DATA(c), sizeof(tclass));
			r->ecn = (unsigned)tclass & 3u;
		} else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
			int segment;

			memcpy(&segment, CMSG_DATA(c), sizeof(segment));
			r->segment = segment > 0 ? (size_t)segment : 0;
		}
	}
}

/* Splits what GRO merged. */
static void deliver(struct quic_socket *s, struct msghdr *msg, const uint8_t *data, size_t bytes)
{
	struct received r;
	struct address remote;

	read_control(s, msg, &r);
	if (address_from_sockaddr(&remote, msg->msg_name, msg->msg_namelen) != 0)
		return;
	if (r.segment == 0 || r.segment > bytes)
		r.segment = bytes;
	if (bytes == 0) {
		s->ops->on_datagram(s->user, &r.local, &remote, r.ecn, data, 0);
		return;
	}
	for (size_t at = 0; at < bytes; at += r.segment) {
		size_t n = bytes - at < r.segment ? bytes - at : r.segment;

		s->ops->on_datagram(s->user, &r.local, &remote, r.ecn, data + at, n);
	}
}

/* Empties the queue of what ICMP (or the kernel itself: EMSGSIZE) reported; true when there was
 * anything. While it holds something the socket counts as readable. */
static bool read_errors(struct quic_socket *s)
{
	bool any = false;

	for (int i = 0; i < 16; i++) {
		struct sockaddr_storage name;
		char control[512], byte;
		struct iovec iov = {.iov_base = &byte, .iov_len = 1};
		struct msghdr msg = {
			.msg_name = &name,
			.msg_namelen = sizeof(name),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control),
		};
		struct address remote;

		if (recvmsg(s->fd, &msg, MSG_ERRQUEUE) < 0)
			break;
		any = true;
		if (address_from_sockaddr(&remote, (struct sockaddr *)&name, msg.msg_namelen) != 0)
			continue;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
			struct sock_extended_err e;

			if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
			    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
				continue;
			memcpy(&e, CMSG_DATA(c), sizeof(e));
			if (e.ee_errno != EMSGSIZE)
				s->ops->on_unreachable(s->user, &remote, (int)e.ee_errno);
		}
	}
	return any;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct quic_socket *s = arg;

	(void)what;
	loop_enter(s->loop);
	for (int round = 0; round < READ_ROUNDS; round++) {
		struct sockaddr_storage names[QUIC_SOCKET_READ_MESSAGES];
		struct mmsghdr msgs[QUIC_SOCKET_READ_MESSAGES];
		struct iovec iovs[QUIC_SOCKET_READ_MESSAGES];
		_Alignas(struct cmsghdr) char control[QUIC_SOCKET_READ_MESSAGES][256];
		int n;

		for (int i = 0; i < QUIC_SOCKET_READ_MESSAGES; i++) {
			iovs[i] = (struct iovec){s->buffers->data[i], QUIC_SOCKET_READ_BYTES};
			msgs[i].msg_hdr = (struct msghdr){
				.msg_name = &names[i],
				.msg_namelen = sizeof(names[i]),
				.msg_iov = &iovs[i],
				.msg_iovlen = 1,
				.msg_control = control[i],
				.msg_controllen = sizeof(control[i]),
			};
		}
		n = recvmmsg((int)fd, msgs, QUIC_SOCKET_READ_MESSAGES, 0, NULL);
		if (n < 0) {
			/* EAGAIN at once: it was the queue of errors that woke us. */
			if (errno != EINTR && (round == 0 || errno != EAGAIN))
				read_errors(s);
			break;
		}
		for (int i = 0; i < n; i++)
			deliver(s, &msgs[i].msg_hdr, s->buffers->data[i], msgs[i].msg_len);
		if (n < QUIC_SOCKET_READ_MESSAGES)
			break;
	}
	s->ops->on_read_done(s->user);
}

/* ---- sending ---- */

static void put_control(struct msghdr *msg, const struct address *local, unsigned ecn,
			size_t segment)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	size_t used = 0;

	if (!address_is_unspecified(local) && local->sa.sa_family == AF_INET) {
		struct in_pktinfo info = {.ipi_spec_dst = local->in.sin_addr};

		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		used += CMSG_SPACE(sizeof(info));
		c = CMSG_NXTHDR(msg, c);
	} else if (!address_is_unspecified(local) && local->sa.sa_family == AF_INET6) {
		struct in6_pktinfo info = {.ipi6_addr = local->in6.sin6_addr,
					   .ipi6_ifindex = local->in6.sin6_scope_id};

		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		used += CMSG_SPACE(sizeof(info));
		c = CMSG_NXTHDR(msg, c);
	}
	if (ecn != 0) {
		int tos = (int)ecn;
		bool v6 = ((struct sockaddr *)msg->msg_name)->sa_family == AF_INET6;

		c->cmsg_level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
		c->cmsg_type = v6 ? IPV6_TCLASS : IP_TOS;
		c->cmsg_len = CMSG_LEN(sizeof(tos));
		memcpy(CMSG_DATA(c), &tos, sizeof(tos));
		used += CMSG_SPACE(sizeof(tos));
		c = CMSG_NXTHDR(msg, c);
	}
	if (segment != 0) {
		uint16_t size = (uint16_t)segment;

		c->cmsg_level = SOL_UDP;
		c->cmsg_type = UDP_SEGMENT;
		c->cmsg_len = CMSG_LEN(sizeof(size));
		memcpy(CMSG_DATA(c), &size, sizeof(size));
		used += CMSG_SPACE(sizeof(size));
	}
	msg->msg_controllen = used;
	if (used == 0)
		msg->msg_control = NULL;
}

static bool no_route(int err)
{
	return err == ENETUNREACH || err == EHOSTUNREACH || err == EACCES || err == EPERM ||
	       err == EADDRNOTAVAIL || err == ENETDOWN;
}

/* One system call: errno or 0. */
static int send_once(struct quic_socket *s, const uint8_t *data, size_t bytes, size_t segment,
		     const struct address *local, const struct address *remote, unsigned ecn)
{
	struct sockaddr_storage name;
	_Alignas(struct cmsghdr) char control[256] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
	struct msghdr msg = {
		.msg_name = &name,
		.msg_namelen = remote->len,
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};

	memcpy(&name, &remote->sa, remote->len);
	put_control(&msg, local, ecn, bytes > segment ? segment : 0);
	for (int tries = 0;; tries++) {
		int err;

		if (sendmsg(s->fd, &msg, MSG_NOSIGNAL) >= 0)
			return 0;
		err = errno;
		if (tries == 2 || err == EAGAIN || err == ENOBUFS || err == EIO || err == EINVAL)
			return err;
		/* What ICMP left on the socket belongs to some earlier packet, perhaps to another
		 * peer. */
		if (err != EINTR && !read_errors(s) && err != ECONNREFUSED)
			return err;
		if (err == EMSGSIZE)
			return err; /* most likely this very one */
	}
}

static int keep(struct quic_socket *s, const struct quic_batch *b, size_t from)
{
	s->kept = malloc(b->bytes - from);
	if (!s->kept)
		return 0; /* lost, as a full queue on the way would do */
	memcpy(s->kept, b->buf + from, b->bytes - from);
	s->kept_bytes = b->bytes - from;
	s->kept_segment = b->segment;
	s->kept_ecn = b->ecn;
	s->kept_local = b->local;
	s->kept_remote = b->remote;
	s->blocked = true;
	event_add(&s->write_event, NULL);
	return RSTUN_E_AGAIN;
}

/* No checksum offload on this device, or an old kernel: never again on this socket. */
static void stop_segmenting(struct quic_socket *s)
{
	static atomic_flag said = ATOMIC_FLAG_INIT;

	s->gso = false;
	say_once(s, &said,
		 "the kernel refuses UDP segmentation offload here: sending packet by packet");
}

int quic_socket_send(struct quic_socket *s, const struct quic_batch *b)
{
	size_t at = 0;
	bool refused = false;

	if (s->blocked)
		return RSTUN_E_AGAIN; /* of another path than the one that was asked for: lost */
	if (s->gso && b->bytes > b->segment) {
		int err = send_once(s, b->buf, b->bytes, b->segment, &b->local, &b->remote, b->ecn);

		if (err == 0)
			return 0;
		if (err == EAGAIN || err == ENOBUFS)
			return keep(s, b, 0);
		if (no_route(err))
			return RSTUN_E_UNREACHABLE;
		if (err != EIO && err != EINVAL)
			return 0;
		refused = true;
	}
	while (at < b->bytes) {
		size_t n = b->bytes - at < b->segment ? b->bytes - at : b->segment;
		int err = send_once(s, b->buf + at, n, n, &b->local, &b->remote, b->ecn);

		if (err == EAGAIN || err == ENOBUFS)
			return keep(s, b, at);
		if (no_route(err))
			return RSTUN_E_UNREACHABLE;
		if (err == 0 && refused) {
			/* Where single packets fail too, they are too large, and that is for the
			 * path. */
			refused = false;
			stop_segmenting(s);
		}
		at += n;
	}
	return 0;
}

static void on_write_event(evutil_socket_t fd, short what, void *arg)
{
	struct quic_socket *s = arg;
	struct quic_batch b = {
		.buf = s->kept,
		.bytes = s->kept_bytes,
		.segment = s->kept_segment,
		.ecn = s->kept_ecn,
		.local = s->kept_local,
		.remote = s->kept_remote,
	};
	uint8_t *data = s->kept;

	(void)fd;
	(void)what;
	loop_enter(s->loop);
	s->kept = NULL;
	s->blocked = false;
	quic_socket_send(s, &b);
	free(data);
	if (!s->blocked)
		s->ops->on_writable(s->user);
}

int quic_socket_new(struct quic_socket **ret, struct loop *loop, const struct log *log, int fd,
		    struct quic_socket_buffers *buffers, const struct quic_socket_ops *ops,
		    void *user)
{
	struct quic_socket *s = calloc(1, sizeof(*s));
	int rv = s ? address_of_socket(&s->local, fd) : RSTUN_E_NOMEM;

	if (rv != 0) {
		free(s);
		close(fd);
		return rv;
	}
	s->loop = loop;
	s->log = log;
	s->ops = ops;
	s->user = user;
	s->buffers = buffers;
	s->fd = fd;
	s->gso = true;
	if (event_assign(&s->read_event, loop->base, fd, EV_READ | EV_PERSIST, on_readable, s) !=
		    0 ||
	    event_assign(&s->write_event, loop->base, fd, EV_WRITE, on_write_event, s) != 0 ||
	    event_add(&s->read_event, NULL) != 0) {
		close(fd);
		free(s);
		return RSTUN_E_NOMEM;
	}
	merge_received(s);
	*ret = s;
	return 0;
}

void quic_socket_free(struct quic_socket *s)
{
	if (!s)
		return;
	event_del(&s->read_event);
	event_del(&s->write_event);
	close(s->fd);
	free(s->kept);
	free(s);
}
