/* SPDX-License-Identifier: MIT */
/*
 * The upstream: one epoll loop with a TCP listener and a UDP socket at the same port. A TCP
 * connection does what its first byte says (load.h); datagrams come back as they are. Owns its
 * connections; each is freed where it ends, which is the last thing that is done with it.
 */
#include "tests/bench/load.h"

#include "base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVE_EVENTS 256

struct serve_conn {
	int fd;
	bool begun; /* `head` is complete, or it is an echo */
	bool replied;
	size_t head_bytes;
	struct load_head head;
	struct load_meter meter;
};

struct serve {
	int epoll, listener, udp;
	uint8_t buffer[LOAD_BLOCK_BYTES];
	uint8_t datagrams[LOAD_BATCH][LOAD_DATAGRAM_MAX];
};

static int open_socket(const struct load_options *o, int type)
{
	int one = 1, fd = socket(o->address.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		load_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &o->address.sa, o->address.len) != 0)
		load_die("bind");
	return fd;
}

static void watch(struct serve *s, int fd, uint32_t events, void *who)
{
	struct epoll_event event = {.events = events, .data.ptr = who};

	if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		load_die("epoll_ctl");
}

static void end(struct serve_conn *c)
{
	close(c->fd);
	free(c);
}

static void accept_all(struct serve *s)
{
	struct serve_conn *c;
	int one = 1, fd;

	while ((fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c = calloc(1, sizeof(*c));
		if (!c)
			load_die("no memory for a connection");
		c->fd = fd;
		watch(s, fd, EPOLLIN, c);
	}
	if (errno == EMFILE || errno == ENFILE)
		load_die("accept");
}

/* Who asks for an echo waits for it, so it always fits the empty socket's buffer. */
static bool echo(struct serve *s, struct serve_conn *c)
{
	ssize_t n = recv(c->fd, s->buffer, sizeof(s->buffer), 0);

	if (n < 0)
		return errno == EAGAIN;
	return n > 0 && load_send_all(c->fd, s->buffer, (size_t)n);
}

static bool sink(struct serve *s, struct serve_conn *c)
{
	ssize_t n = recv(c->fd, s->buffer, sizeof(s->buffer), 0);

	if (n < 0)
		return errno == EAGAIN;
	if (n == 0)
		return false;
	load_meter_add(&c->meter, clock_now_ns(), (size_t)n);
	if (c->meter.done && !c->replied) {
		c->replied = true;
		return load_send_all(c->fd, &c->meter.count, sizeof(c->meter.count));
	}
	return true;
}

static bool generate(struct serve_conn *c)
{
	ssize_t n = send(c->fd, load_block(), LOAD_BLOCK_BYTES, 0);

	return n >= 0 || errno == EAGAIN;
}

/* False: the connection is over. */
static bool begin(struct serve *s, struct serve_conn *c)
{
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
	uint8_t *head = (uint8_t *)&c->head;
	ssize_t n;

	if (c->head_bytes == 0) {
		n = recv(c->fd, head, 1, MSG_PEEK);
		if (n == 1 && c->head.kind == LOAD_ECHO) {
			c->begun = true;
			return echo(s, c);
		}
	}
	n = recv(c->fd, head + c->head_bytes, sizeof(c->head) - c->head_bytes, 0);
	if (n < 0)
		return errno == EAGAIN;
	c->head_bytes += (size_t)n;
	if (n == 0 || (c->head.kind != LOAD_SINK && c->head.kind != LOAD_GENERATE))
		return false;
	if (c->head_bytes < sizeof(c->head))
		return true;
	c->begun = true;
	c->meter.warm_ns = c->head.warm_ns;
	c->meter.run_ns = c->head.run_ns;
	if (c->head.kind == LOAD_GENERATE)
		return epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &event) == 0;
	return true;
}

static void serve_conn(struct serve *s, struct serve_conn *c)
{
	bool alive;

	if (!c->begun)
		alive = begin(s, c);
	else if (c->head.kind == LOAD_ECHO)
		alive = echo(s, c);
	else if (c->head.kind == LOAD_SINK)
		alive = sink(s, c);
	else
		alive = generate(c);
	if (!alive)
		end(c);
}

static void echo_datagrams(struct serve *s)
{
	struct sockaddr_storage from[LOAD_BATCH];
	struct iovec iov[LOAD_BATCH];
	struct mmsghdr messages[LOAD_BATCH];
	int count;

	for (int i = 0; i < LOAD_BATCH; i++) {
		iov[i] = (struct iovec){s->datagrams[i], LOAD_DATAGRAM_MAX};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
						      .msg_namelen = sizeof(from[i]),
						      .msg_iov = &iov[i],
						      .msg_iovlen = 1};
	}
	count = recvmmsg(s->udp, messages, LOAD_BATCH, 0, NULL);
	for (int i = 0; i < count; i++)
		iov[i].iov_len = messages[i].msg_len;
	/* What does not go out is a datagram lost, and the other side counts it. */
	if (count > 0)
		sendmmsg(s->udp, messages, (unsigned)count, 0);
}

int load_serve(const struct load_options *o)
{
	struct serve *s = calloc(1, sizeof(*s));
	struct epoll_event events[SERVE_EVENTS];
	struct rlimit files;

	if (!s)
		load_die("no memory");
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->listener = open_socket(o, SOCK_STREAM);
	s->udp = open_socket(o, SOCK_DGRAM);
	load_large_buffers(s->udp);
	if (s->epoll < 0 || listen(s->listener, SOMAXCONN) != 0)
		load_die("listen");
	watch(s, s->listener, EPOLLIN, &s->listener);
	watch(s, s->udp, EPOLLIN, &s->udp);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(s->epoll, events, SERVE_EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == &s->listener)
				accept_all(s);
			else if (events[i].data.ptr == &s->udp)
				echo_datagrams(s);
			else
				serve_conn(s, events[i].data.ptr);
		}
	}
}
