/* SPDX-License-Identifier: MIT */
/*
 * A TCP socket as a direct end. One edge-triggered event per socket, registered once for its life
 * (readable, writable, peer's FIN): interest costs no system call, an error is noticed at once in
 * every state (also half-closed and idle, or while nobody reads because the sink is full), and a
 * socket whose peer has gone cannot wake the loop again and again. What the edges said is kept in
 * `readable` and `blocked`; a short read or write clears it.
 *
 * An edge for data that is not wanted is remembered and given as a signal from a task when
 * want_read asks for it. Errors found inside read() or write() come from the task too. What is
 * wanted of the sink before the socket is connected and the preface is out is done then. One loop's
 * thread.
 */
#include "relay/tcp_end.h"

#include "base/error.h"
#include "base/loop.h"
#include "relay/tcp_connect.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* A peer that vanished is noticed after 60 s of silence and four probes. */
#define TCP_END_KEEPALIVE_IDLE_S 60
#define TCP_END_KEEPALIVE_INTERVAL_S 15
#define TCP_END_KEEPALIVE_PROBES 4

struct tcp_end {
	struct end end; /* first */
	struct loop *loop;
	struct tcp_connector *connector; /* while connecting */
	char *preface;                   /* until all of it is out; NULL = none */
	size_t preface_bytes, preface_out;
	int fd;                          /* -1 while connecting and after abort */
	struct event event;
	struct loop_task task; /* signals that are due */
	bool signalling;       /* a signal is being given: free() leaves the memory to it */
	bool freed;

	bool want_read;
	bool readable; /* the kernel may have bytes or the end of file */
	bool hung_up;  /* the peer's FIN has been seen by the kernel */
	bool eof;      /* it has been read */
	bool stopped;  /* the owner does not want more */

	bool blocked; /* the kernel took less than given; an edge will come */
	bool writable_due;
	bool finish_wanted; /* finish() before the beginning is over */
	bool finished;
	bool sent; /* the peer has acknowledged everything after finish */

	bool refused, refused_told;
	bool failed, failed_told;
	enum flow_error error;
};

static struct tcp_end *tcp_end_from(const struct end *e)
{
	return (struct tcp_end *)(uintptr_t)e;
}

static void tcp_end_schedule(struct tcp_end *t)
{
	loop_task_schedule(t->loop, &t->task);
}

/* An error of the socket. What the peer sent before its end of file stays whole after a reset that
 * answers our bytes (EPIPE), so then only our direction is refused. */
static void tcp_end_error(struct tcp_end *t, int err)
{
	enum flow_error error = flow_error_from_errno(err);

	if (t->failed || t->refused)
		return;
	t->error = error;
	if (err == EPIPE || t->eof)
		t->refused = true;
	else
		t->failed = true;
}

/* Gives the owner what is due, the worst first. The owner may free the end inside any of it. */
static void tcp_end_signal(struct tcp_end *t)
{
	const struct end_owner *owner = t->end.owner;
	void *user = t->end.owner_user;

	if (owner == NULL || t->failed_told)
		return;
	t->signalling = true;
	if (t->failed) {
		t->failed_told = true;
		owner->on_error(user, t->error, true);
	}
	if (!t->failed && t->refused && !t->refused_told) {
		t->refused_told = true;
		owner->on_refused(user, t->error);
	}
	if (!t->failed && t->writable_due) {
		t->writable_due = false;
		owner->on_writable(user);
	}
	if (!t->failed && t->want_read && t->readable && !t->stopped && !t->eof)
		owner->on_readable(user);
	t->signalling = false;
	if (t->freed)
		free(t);
}

static void tcp_end_on_task(void *user)
{
	tcp_end_signal(user);
}

static void tcp_end_begin(struct tcp_end *t);

static void tcp_end_on_event(evutil_socket_t fd, short what, void *user)
{
	struct tcp_end *t = user;
	int err = 0;
	socklen_t len = sizeof(err);

	loop_enter(t->loop);
	/* epoll's EPOLLERR comes as both. */
	if ((what & EV_READ) != 0 && (what & EV_WRITE) != 0 &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err != 0)
		tcp_end_error(t, err);
	if ((what & EV_CLOSED) != 0)
		t->hung_up = true;
	if ((what & (EV_READ | EV_CLOSED)) != 0)
		t->readable = true;
	if ((what & EV_WRITE) != 0 && t->preface != NULL) {
		tcp_end_begin(t);
	} else if ((what & EV_WRITE) != 0 && (t->blocked || t->finished)) {
		t->blocked = false;
		t->writable_due = true;
	}
	tcp_end_signal(t);
}

/* ---- source ---- */

static size_t tcp_end_read(struct end *e, const struct iovec *iov, int iov_count)
{
	struct tcp_end *t = tcp_end_from(e);
	size_t room = 0;
	ssize_t got;
	char byte;

	if (!t->readable || t->eof || t->stopped || t->failed || t->fd < 0)
		return 0;
	for (int i = 0; i < iov_count; i++)
		room += iov[i].iov_len;
	do
		got = readv(t->fd, iov, iov_count);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		t->readable = false;
		if (errno != EAGAIN) {
			tcp_end_error(t, errno);
			tcp_end_schedule(t);
		}
		return 0;
	}
	if (got == 0) {
		t->eof = true;
		return 0;
	}
	if ((size_t)got < room) {
		/* The socket is empty, and an edge will come for what follows; but the edge of a
		 * FIN that was already there has been spent. */
		t->readable = t->hung_up;
		if (t->hung_up && recv(t->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
			t->eof = true;
	}
	return (size_t)got;
}

static bool tcp_end_at_end(const struct end *e)
{
	return tcp_end_from(e)->eof;
}

static void tcp_end_stop_reading(struct end *e, enum flow_error error)
{
	(void)error;
	tcp_end_from(e)->stopped = true;
}

static void tcp_end_want_read(struct end *e, bool want)
{
	struct tcp_end *t = tcp_end_from(e);

	t->want_read = want;
	if (want && (t->readable || t->failed || t->refused))
		tcp_end_schedule(t);
}

/* ---- sink ---- */

static bool tcp_end_begins(const struct tcp_end *t)
{
	return t->connector != NULL || t->preface != NULL;
}

/* Bytes that the kernel took; fewer than given: it is blocked, or there is an error to tell. */
static size_t tcp_end_send(struct tcp_end *t, const struct iovec *iov, int iov_count)
{
	struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov,
			     .msg_iovlen = (size_t)iov_count};
	size_t bytes = 0;
	ssize_t taken;

	for (int i = 0; i < iov_count; i++)
		bytes += iov[i].iov_len;
	do
		taken = sendmsg(t->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (taken < 0 && errno == EINTR);
	if (taken < 0) {
		if (errno == EAGAIN) {
			t->blocked = true;
		} else {
			tcp_end_error(t, errno);
			tcp_end_schedule(t);
		}
		return 0;
	}
	if ((size_t)taken < bytes)
		t->blocked = true;
	return (size_t)taken;
}

static size_t tcp_end_write(struct end *e, const struct iovec *iov, int iov_count)
{
	struct tcp_end *t = tcp_end_from(e);

	if (tcp_end_begins(t))
		t->blocked = true;
	if (t->blocked || t->finished || t->failed || t->refused || t->fd < 0)
		return 0;
	return tcp_end_send(t, iov, iov_count);
}

static void tcp_end_finish(struct end *e)
{
	struct tcp_end *t = tcp_end_from(e);

	if (tcp_end_begins(t)) {
		t->finish_wanted = true;
		return;
	}
	if (t->finished || t->fd < 0)
		return;
	t->finished = true;
	/* Fails only on a socket that was reset; the event says so. */
	(void)shutdown(t->fd, SHUT_WR);
}

/* All bytes are acknowledged. The kernel wakes us (EV_WRITE) when our FIN is; the FIN itself, which
 * counts as one byte, need not be. */
static bool tcp_end_drained(const struct end *e)
{
	struct tcp_end *t = tcp_end_from(e);
	int unacked = 0;

	if (!t->finished || t->failed || t->refused || t->fd < 0)
		return false;
	if (!t->sent && ioctl(t->fd, SIOCOUTQ, &unacked) == 0)
		t->sent = unacked <= 1;
	return t->sent;
}

/* ---- ending ---- */

/* With linger 0 a close is a reset. It is on for the socket's whole life, so that a process that is
 * killed does not tell its peers an end of file; only a flow that ended well takes it off first. */
static void tcp_end_set_reset(int fd, bool reset)
{
	const struct linger linger = {.l_onoff = reset, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void tcp_end_close(struct tcp_end *t, bool reset)
{
	tcp_connector_cancel(t->connector);
	t->connector = NULL;
	free(t->preface);
	t->preface = NULL;
	if (t->fd < 0)
		return;
	event_del(&t->event);
	if (!reset)
		tcp_end_set_reset(t->fd, false);
	close(t->fd);
	t->fd = -1;
}

static void tcp_end_abort(struct end *e, enum flow_error error)
{
	struct tcp_end *t = tcp_end_from(e);

	(void)error;
	t->failed = true;
	t->failed_told = true;
	loop_task_cancel(t->loop, &t->task);
	tcp_end_close(t, true);
}

static void tcp_end_free(struct end *e)
{
	struct tcp_end *t = tcp_end_from(e);

	loop_task_cancel(t->loop, &t->task);
	tcp_end_close(t, !(t->eof && t->finished && !t->refused && !t->stopped));
	t->failed = true; /* no signal after this */
	t->failed_told = true;
	t->freed = true;
	if (!t->signalling)
		free(t);
}

static const struct end_ops tcp_end_ops = {
	.buffered = false,
	.read = tcp_end_read,
	.at_end = tcp_end_at_end,
	.write = tcp_end_write,
	.finish = tcp_end_finish,
	.drained = tcp_end_drained,
	.abort = tcp_end_abort,
	.stop_reading = tcp_end_stop_reading,
	.want_read = tcp_end_want_read,
	.free = tcp_end_free,
};

/* ---- beginning ---- */

static void tcp_end_set_option(int fd, int level, int option, int value)
{
	(void)setsockopt(fd, level, option, &value, sizeof(value)); /* none of them is vital */
}

void tcp_end_prepare(int fd)
{
	tcp_end_set_reset(fd, true);
	tcp_end_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	tcp_end_set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	tcp_end_set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, TCP_END_KEEPALIVE_IDLE_S);
	tcp_end_set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, TCP_END_KEEPALIVE_INTERVAL_S);
	tcp_end_set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, TCP_END_KEEPALIVE_PROBES);
}

void tcp_end_discard(int fd)
{
	tcp_end_set_reset(fd, false);
	close(fd);
}

static bool tcp_end_is_prepared(int fd)
{
	struct linger linger = {0};
	socklen_t len = sizeof(linger);

	return getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 && linger.l_onoff != 0 &&
	       linger.l_linger == 0;
}

/* 0 or RSTUN_E_NOMEM; the descriptor is the end's from then on, in either case. */
static int tcp_end_attach(struct tcp_end *t, int fd)
{
	if (!tcp_end_is_prepared(fd))
		tcp_end_prepare(fd);
	event_assign(&t->event, t->loop->base, fd,
		     EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST, tcp_end_on_event, t);
	if (event_add(&t->event, NULL) != 0) {
		close(fd);
		return RSTUN_E_NOMEM;
	}
	t->fd = fd;
	return 0;
}

static struct tcp_end *tcp_end_alloc(struct loop *loop)
{
	struct tcp_end *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->end.ops = &tcp_end_ops;
	t->loop = loop;
	t->fd = -1;
	loop_task_init(&t->task, tcp_end_on_task, t);
	return t;
}

int tcp_end_new(struct end **ret, struct loop *loop, int fd)
{
	struct tcp_end *t = tcp_end_alloc(loop);
	int rc;

	if (t == NULL) {
		close(fd);
		return RSTUN_E_NOMEM;
	}
	rc = tcp_end_attach(t, fd);
	if (rc != 0) {
		free(t);
		return rc;
	}
	*ret = &t->end;
	return 0;
}

/* Connected: the preface goes out, then what was wanted meanwhile is done. Again when the socket is
 * writable, until all of the preface is out. */
static void tcp_end_begin(struct tcp_end *t)
{
	struct iovec rest;

	if (t->preface != NULL) {
		rest.iov_base = t->preface + t->preface_out;
		rest.iov_len = t->preface_bytes - t->preface_out;
		t->preface_out += tcp_end_send(t, &rest, 1);
		if (t->preface_out < t->preface_bytes)
			return;
		free(t->preface);
		t->preface = NULL;
	}
	if (t->blocked) {
		t->blocked = false;
		t->writable_due = true;
	}
	if (t->finish_wanted) {
		tcp_end_finish(&t->end);
		t->writable_due = true;
	}
}

static void tcp_end_on_connected(void *user, int fd, enum flow_error error)
{
	struct tcp_end *t = user;

	t->connector = NULL;
	if (fd < 0 || tcp_end_attach(t, fd) != 0) {
		t->failed = true;
		t->error = fd < 0 ? error : FLOW_LIMIT;
		tcp_end_signal(t);
		return;
	}
	tcp_end_begin(t);
	tcp_end_signal(t);
}

static int tcp_end_keep_preface(struct tcp_end *t, const struct tcp_connect *params)
{
	if (params->preface_bytes == 0)
		return 0;
	t->preface = malloc(params->preface_bytes);
	if (t->preface == NULL)
		return RSTUN_E_NOMEM;
	memcpy(t->preface, params->preface, params->preface_bytes);
	t->preface_bytes = params->preface_bytes;
	return 0;
}

int tcp_end_connect(struct end **ret, const struct tcp_connect *params)
{
	struct tcp_end *t = tcp_end_alloc(params->loop);
	int rc;

	if (t == NULL)
		return RSTUN_E_NOMEM;
	rc = tcp_end_keep_preface(t, params);
	if (rc == 0)
		rc = tcp_connector_start(&t->connector, params, tcp_end_on_connected, t);
	if (rc != 0) {
		free(t->preface);
		free(t);
		return rc;
	}
	*ret = &t->end;
	return 0;
}
