/* SPDX-License-Identifier: MIT */
/*
 * Channels of callers that carry datagrams: the worker is the program of an association
 * (tunnel/flows.h) with one target, and the caller's socket has each datagram behind its length, as
 * a flow's stream has (relay/frame.h). What the tunnel or the caller does not take is dropped, as
 * with UDP. When the caller has sent its last, answers still come until the flow has been idle.
 *
 * What the engine says is noted, and done in a task. Belongs to the worker from the message on; its
 * thread.
 */
#include "rstund/worker_private.h"

#include "base/error.h"
#include "relay/frame.h"
#include "relay/udp_flow.h"
#include "rstund/messages.h"
#include "tunnel/client.h"
#include "tunnel/flow_associate.h"
#include "tunnel/flows.h"

#include <errno.h>
#include <event2/buffer.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Most bytes that wait for a caller who does not read. */
#define WORKER_UDP_QUEUE (256 * 1024)

struct worker_udp {
	LIST_ENTRY(worker_udp) link;
	struct worker *worker;
	uint64_t gather;
	struct flow_associate *near; /* NULL: it is over, or has not begun */
	struct target target;
	char name[ADDRESS_TARGET_TEXT_SIZE];
	int fd, pass_fd, status_fd;
	bool open;  /* the caller has its reply */
	bool ended; /* the caller has sent its last */
	bool over;  /* error and text say how; 0 and "" until then */
	int error;
	char text[MESSAGE_TEXT_SIZE];
	struct event readable, writable; /* when it has ended, readable is for both */
	struct evbuffer *in, *out; /* frames from and for the caller */
	struct loop_task task;
	size_t reply_bytes;
	uint8_t reply[];
};

/* ---- its end ---- */

static void worker_udp_free(struct worker_udp *u)
{
	if (u->near != NULL)
		flow_associate_end(u->near); /* which may note something */
	event_del(&u->readable);
	event_del(&u->writable);
	loop_task_cancel(&u->worker->loop, &u->task);
	if (u->in != NULL)
		evbuffer_free(u->in);
	if (u->out != NULL)
		evbuffer_free(u->out);
	close(u->fd);
	if (u->pass_fd >= 0)
		close(u->pass_fd);
	if (u->status_fd >= 0)
		close(u->status_fd);
	LIST_REMOVE(u, link);
	free(u);
}

/* Tells how it ended, as a reply or as the line about the end, and frees it. */
static void worker_udp_end(struct worker_udp *u, int error, const char *text)
{
	if (!u->open) {
		worker_tell_opened(u->worker, u->gather, error, text);
	} else {
		(void)flow_channel_tell(u->status_fd, error, text);
		u->status_fd = -1;
	}
	worker_udp_free(u);
}

void worker_udp_end_all(struct worker *w)
{
	while (!LIST_EMPTY(&w->udp_channels))
		worker_udp_end(LIST_FIRST(&w->udp_channels), RSTUN_E_SHUTTING_DOWN,
			       rstun_strerror(RSTUN_E_SHUTTING_DOWN));
}

/* ---- what the engine says ---- */

static void worker_udp_note_end(struct worker_udp *u, int error, const char *text)
{
	if (!u->over) {
		u->over = true;
		u->error = error;
		snprintf(u->text, sizeof(u->text), "%s", text);
	}
	loop_task_schedule(&u->worker->loop, &u->task);
}

static bool worker_udp_on_datagram(void *user, const char *name, const struct iovec *iov,
				   size_t iov_count)
{
	struct worker_udp *u = user;
	uint8_t header[FRAME_HEADER_BYTES];
	size_t bytes = 0;

	(void)name;
	for (size_t i = 0; i < iov_count; i++)
		bytes += iov[i].iov_len;
	/* With the room there is no half a frame. */
	if (evbuffer_get_length(u->out) + bytes > WORKER_UDP_QUEUE ||
	    evbuffer_expand(u->out, sizeof(header) + bytes) != 0)
		return false;
	frame_put_header(header, (uint16_t)bytes);
	evbuffer_add(u->out, header, sizeof(header));
	for (size_t i = 0; i < iov_count; i++)
		evbuffer_add(u->out, iov[i].iov_base, iov[i].iov_len);
	loop_task_schedule(&u->worker->loop, &u->task);
	return true;
}

static void worker_udp_on_refused(void *user, const char *name, enum flow_error error)
{
	(void)name;
	worker_udp_note_end(user, flow_error_to_rstun(error), flow_error_text(error));
}

static void worker_udp_on_done(void *user)
{
	struct worker_udp *u = user;

	if (u->ended)
		worker_udp_note_end(u, 0, "");
}

static void worker_udp_on_open(void *user)
{
	struct worker_udp *u = user;

	loop_task_schedule(&u->worker->loop, &u->task);
}

static void worker_udp_on_failed(void *user, int error, const char *text)
{
	struct worker_udp *u = user;

	u->near = NULL;
	worker_udp_note_end(u, error, text);
}

/* ---- the caller's socket ---- */

/* False: the caller is gone. */
static bool worker_udp_flush(struct worker_udp *u)
{
	while (evbuffer_get_length(u->out) > 0) {
		if (evbuffer_write(u->out, u->fd) < 0 && errno != EINTR)
			return errno == EAGAIN && (u->ended || event_add(&u->writable, NULL) == 0);
	}
	return true;
}

static void worker_udp_take(struct worker_udp *u)
{
	uint8_t header[FRAME_HEADER_BYTES];
	const uint8_t *frame;
	size_t bytes;

	while (evbuffer_copyout(u->in, header, sizeof(header)) == (ssize_t)sizeof(header)) {
		bytes = sizeof(header) + frame_get_header(header);
		if (evbuffer_get_length(u->in) < bytes)
			return;
		frame = evbuffer_pullup(u->in, (ssize_t)bytes);
		if (frame != NULL) /* else there is no memory; what is dropped is counted there */
			(void)flow_associate_send(u->near, u->name, &u->target,
						  frame + sizeof(header), bytes - sizeof(header));
		evbuffer_drain(u->in, bytes);
	}
}

/* The caller has shut its side: there may be room for more, or it is gone altogether. */
static void worker_udp_on_edge(evutil_socket_t fd, short what, void *user)
{
	struct worker_udp *u = user;
	struct pollfd p = {.fd = fd};

	(void)what;
	loop_enter(&u->worker->loop);
	if (poll(&p, 1, 0) == 1 || !worker_udp_flush(u))
		worker_udp_end(u, u->error, u->text);
}

/* From now on the socket is at its end, and always readable. So there is one event for both
 * directions, edge-triggered and never changed again: libevent takes the trigger of a descriptor
 * from the last event that was added or removed. */
static void worker_udp_on_end(struct worker_udp *u)
{
	u->ended = true;
	event_del(&u->readable);
	event_del(&u->writable);
	event_assign(&u->readable, u->worker->loop.base, u->fd,
		     EV_READ | EV_WRITE | EV_ET | EV_PERSIST, worker_udp_on_edge, u);
	if (udp_opener_flows(flow_associate_opener(u->near)) == 0 ||
	    event_add(&u->readable, NULL) != 0)
		worker_udp_note_end(u, 0, "");
}

static void worker_udp_on_readable(evutil_socket_t fd, short what, void *user)
{
	struct worker_udp *u = user;
	int n;

	(void)what;
	loop_enter(&u->worker->loop);
	n = evbuffer_read(u->in, fd, -1);
	if (u->over || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	if (n > 0)
		worker_udp_take(u);
	else if (n == 0)
		worker_udp_on_end(u);
	else
		worker_udp_end(u, u->error, u->text);
}

static void worker_udp_on_writable(evutil_socket_t fd, short what, void *user)
{
	struct worker_udp *u = user;

	(void)fd;
	(void)what;
	loop_enter(&u->worker->loop);
	if (!worker_udp_flush(u))
		worker_udp_end(u, u->error, u->text);
}

/* There is a tunnel: the reply, then datagrams. */
static void worker_udp_reply(struct worker_udp *u)
{
	int err = flow_associate_check(u->near, &u->target);

	if (err != 0) {
		worker_udp_note_end(u, err,
				    "the server is the original, which may lead the datagrams of a "
				    "channel to its --udp-upstream, whatever target they name");
		return;
	}
	if (!flow_channel_reply(u->fd, u->reply, u->reply_bytes, u->pass_fd) ||
	    event_add(&u->readable, NULL) != 0) {
		worker_udp_note_end(u, RSTUN_E_CLOSED, rstun_strerror(RSTUN_E_CLOSED));
		return;
	}
	close(u->pass_fd);
	u->pass_fd = -1;
	u->open = true;
	worker_tell_opened(u->worker, u->gather, 0, "");
	worker_udp_take(u);
}

static void worker_udp_on_task(void *user)
{
	struct worker_udp *u = user;
	bool gone;

	if (!u->over && !u->open)
		worker_udp_reply(u);
	gone = u->open && !worker_udp_flush(u);
	if (u->over || gone)
		worker_udp_end(u, u->error, u->text);
}

/* ---- its beginning ---- */

static int worker_udp_start(struct worker_udp *u, struct client *client, const uint8_t *early,
			    size_t early_bytes)
{
	const struct flow_datagrams program = {
		.program = {
			.on_datagram = worker_udp_on_datagram,
			.on_refused = worker_udp_on_refused,
			.on_done = worker_udp_on_done,
			.user = u,
		},
		.on_open = worker_udp_on_open,
		.on_failed = worker_udp_on_failed,
	};
	int status[2];

	u->in = evbuffer_new();
	u->out = evbuffer_new();
	if (u->in == NULL || u->out == NULL || evbuffer_add(u->in, early, early_bytes) != 0)
		return RSTUN_E_NOMEM;
	if (pipe2(status, O_CLOEXEC | O_NONBLOCK) != 0)
		return RSTUN_E_LIMIT_REACHED;
	u->pass_fd = status[0];
	u->status_fd = status[1];
	return client_open_udp(client, &program, &u->near);
}

void worker_udp_open(struct worker *w, struct client *client, struct message *m)
{
	size_t reply_bytes = m->open_channel.reply_bytes;
	struct worker_udp *u = calloc(1, sizeof(*u) + reply_bytes);
	int err;

	if (u == NULL) { /* the message closes the socket */
		worker_tell_opened(w, m->gather, RSTUN_E_NOMEM, rstun_strerror(RSTUN_E_NOMEM));
		return;
	}
	u->worker = w;
	u->gather = m->gather;
	u->target = m->open_channel.target;
	target_format(u->name, sizeof(u->name), &u->target);
	u->fd = m->open_channel.fd;
	m->open_channel.fd = -1;
	u->pass_fd = u->status_fd = -1;
	u->reply_bytes = reply_bytes;
	memcpy(u->reply, m->data + m->open_channel.early_bytes, reply_bytes);
	loop_task_init(&u->task, worker_udp_on_task, u);
	event_assign(&u->readable, w->loop.base, u->fd, EV_READ | EV_PERSIST,
		     worker_udp_on_readable, u);
	event_assign(&u->writable, w->loop.base, u->fd, EV_WRITE, worker_udp_on_writable, u);
	LIST_INSERT_HEAD(&w->udp_channels, u, link);
	err = worker_udp_start(u, client, m->data, m->open_channel.early_bytes);
	if (err != 0)
		worker_udp_end(u, err, rstun_strerror(err));
}
