/* SPDX-License-Identifier: MIT */
/*
 * The far side of one UDP flow: reads the target at the head of the stream, has its owner choose
 * the address, and joins the stream to a connected socket of its own, so the source port is stable
 * for the flow's life and only the upstream can answer.
 *
 * Owns the stream's end and the socket. It ends when the stream does, when the owner says so, or
 * when nothing moved either way for the timeout; from a task, so it is never freed under a caller,
 * unless its owner frees it. An ICMP error of the upstream ends nothing: it is counted. Everything
 * on one loop's thread.
 */
#include "relay/udp_flow.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "relay/frame.h"
#include "relay/udp_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum udp_acceptor_state {
	UDP_ACCEPTOR_HEADER,  /* the target has not come yet */
	UDP_ACCEPTOR_DIALING, /* the owner chooses the address */
	UDP_ACCEPTOR_OPEN,
	UDP_ACCEPTOR_ENDED,   /* on_done follows */
};

struct udp_acceptor {
	struct udp_acceptor_config config;
	struct loop *loop;
	struct end *stream;
	enum udp_acceptor_state state;
	uint8_t head[FRAME_TARGET_MAX]; /* the target as far as it has come */
	size_t head_bytes;
	bool refused; /* the opener takes no more answers */
	uint64_t idle_ns, active_ns;
	int fd;
	struct event event;
	struct udp_batch *batch;
	struct loop_task task;
	struct loop_timer timer;
};

static void udp_acceptor_end(struct udp_acceptor *a, enum flow_error error)
{
	if (a->state == UDP_ACCEPTOR_ENDED)
		return;
	a->state = UDP_ACCEPTOR_ENDED;
	if (error != FLOW_OK) {
		a->stream->ops->abort(a->stream, error);
	} else {
		a->stream->ops->finish(a->stream);
		a->stream->ops->stop_reading(a->stream, FLOW_RESET);
	}
	loop_task_schedule(a->loop, &a->task);
}

static void udp_acceptor_destroy(struct udp_acceptor *a)
{
	loop_task_cancel(a->loop, &a->task);
	loop_timer_cancel(&a->timer);
	if (a->fd >= 0) {
		event_del(&a->event);
		close(a->fd);
	}
	udp_batch_release(a->batch);
	a->stream->ops->free(a->stream);
	free(a);
}

/* Bytes of an unfinished target are taken from the stream at once, or its end would not show. */
static void udp_acceptor_read_header(struct udp_acceptor *a)
{
	struct iovec iov[8];
	int count = a->stream->ops->peek(a->stream, iov, 8);
	size_t before = a->head_bytes, used = 0;
	struct target target;
	int rc;

	for (int i = 0; i < count && a->head_bytes < sizeof(a->head); i++) {
		size_t piece = iov[i].iov_len;

		if (piece > sizeof(a->head) - a->head_bytes)
			piece = sizeof(a->head) - a->head_bytes;
		memcpy(a->head + a->head_bytes, iov[i].iov_base, piece);
		a->head_bytes += piece;
	}
	rc = frame_get_target(&target, &used, a->head, a->head_bytes);
	if (rc == RSTUN_E_AGAIN) {
		a->stream->ops->consume(a->stream, a->head_bytes - before);
		if (a->stream->ops->at_end(a->stream))
			udp_acceptor_end(a, FLOW_RESET);
		else if (count > 0)
			loop_task_schedule(a->loop,
					   &a->task); /* there may be more than was viewed */
		return;
	}
	if (rc != 0) {
		log_debug(a->config.common.log, "udp", "a flow begins with no valid target");
		udp_acceptor_end(a, FLOW_RESET);
		return;
	}
	a->stream->ops->consume(a->stream, used - before);
	a->active_ns = loop_now(a->loop);
	a->state = UDP_ACCEPTOR_DIALING;
	a->config.on_target(a, a->config.user, &target);
}

static void udp_acceptor_forward(struct udp_acceptor *a)
{
	int count = 0;

	for (int i = 0; i < UDP_TURN_BATCHES; i++) {
		size_t bytes;

		count = udp_forward_frames(a->stream, a->fd, NULL, a->config.common.counters,
					   &bytes);
		if (count == 0)
			break;
		a->active_ns = loop_now(a->loop);
	}
	if (count > 0)
		loop_task_schedule(a->loop, &a->task);
	else if (a->stream->ops->at_end(a->stream))
		udp_acceptor_end(a, FLOW_OK);
}

static void udp_acceptor_run(void *user)
{
	struct udp_acceptor *a = user;

	switch (a->state) {
	case UDP_ACCEPTOR_HEADER:
		udp_acceptor_read_header(a);
		break;
	case UDP_ACCEPTOR_DIALING:
		break;
	case UDP_ACCEPTOR_OPEN:
		udp_acceptor_forward(a);
		break;
	case UDP_ACCEPTOR_ENDED:
		a->config.on_done(a, a->config.user);
		udp_acceptor_destroy(a);
		break;
	}
}

static void udp_acceptor_on_event(evutil_socket_t fd, short what, void *user)
{
	struct udp_acceptor *a = user;

	(void)what;
	loop_enter(a->loop);
	if (a->state != UDP_ACCEPTOR_OPEN)
		return;
	for (int turn = 0; turn < UDP_TURN_BATCHES; turn++) {
		int count = udp_batch_receive(a->batch, fd, false);

		if (count < 0) { /* an ICMP error; taking it has cleared it */
			a->config.common.counters->dropped_socket++;
			break;
		}
		for (int i = 0; i < count; i++) {
			struct udp_packet packet;

			udp_batch_packet(a->batch, i, &packet);
			if (packet.truncated)
				a->config.common.counters->dropped_too_large++;
			else if (a->refused)
				a->config.common.counters->dropped_no_tunnel++;
			else
				(void)udp_put_frame(a->stream, packet.data, packet.bytes,
						    &a->config.common);
		}
		if (count > 0)
			a->active_ns = loop_now(a->loop);
		if (count < UDP_BATCH)
			break;
	}
}

/* A target is not waited for as long as a datagram. */
static uint64_t udp_acceptor_deadline(const struct udp_acceptor *a)
{
	uint64_t wait_ns = a->idle_ns;

	if (a->state == UDP_ACCEPTOR_HEADER && a->config.header_timeout_ms != 0)
		wait_ns = clock_min(wait_ns, clock_ms(a->config.header_timeout_ms));
	return clock_after(a->active_ns, wait_ns);
}

static void udp_acceptor_on_timer(void *user)
{
	struct udp_acceptor *a = user;
	uint64_t deadline_ns = udp_acceptor_deadline(a);

	if (loop_now(a->loop) < deadline_ns)
		loop_timer_arm(&a->timer, deadline_ns);
	else
		udp_acceptor_end(a, a->state == UDP_ACCEPTOR_OPEN ? FLOW_OK : FLOW_TIMEOUT);
}

/* At once: it comes once for all that a wake-up brought, and before the connection writes. */
static void udp_acceptor_on_readable(void *user)
{
	struct udp_acceptor *a = user;

	if (a->state == UDP_ACCEPTOR_OPEN)
		udp_acceptor_forward(a);
	else
		loop_task_schedule(a->loop, &a->task);
}

static void udp_acceptor_on_writable(void *user)
{
	(void)user; /* datagrams do not wait for room */
}

static void udp_acceptor_on_error(void *user, enum flow_error error, bool both)
{
	(void)both;
	udp_acceptor_end(user, error);
}

/* The opener takes no more answers. What it sent before still goes out; its FIN or the timeout ends
 * us. */
static void udp_acceptor_on_refused(void *user, enum flow_error error)
{
	struct udp_acceptor *a = user;

	(void)error;
	a->refused = true;
}

static const struct end_owner udp_acceptor_owner = {
	.on_readable = udp_acceptor_on_readable,
	.on_writable = udp_acceptor_on_writable,
	.on_error = udp_acceptor_on_error,
	.on_refused = udp_acceptor_on_refused,
};

int udp_acceptor_new(struct udp_acceptor **ret, const struct udp_acceptor_config *config,
		     struct end *stream)
{
	struct udp_acceptor *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		stream->ops->free(stream);
		return RSTUN_E_NOMEM;
	}
	a->config = *config;
	a->loop = config->common.loop;
	a->stream = stream;
	a->fd = -1;
	a->idle_ns = config->common.idle_timeout_ms == 0 ? CLOCK_NEVER
							 : clock_ms(config->common.idle_timeout_ms);
	a->active_ns = loop_now(a->loop);
	loop_task_init(&a->task, udp_acceptor_run, a);
	loop_timer_init(&a->timer, a->loop, udp_acceptor_on_timer, a);
	loop_timer_arm(&a->timer, udp_acceptor_deadline(a));
	stream->owner = &udp_acceptor_owner;
	stream->owner_user = a;
	stream->ops->want_read(stream, true);
	loop_task_schedule(a->loop, &a->task); /* what came before we were the owner */
	*ret = a;
	return 0;
}

void udp_acceptor_dial(struct udp_acceptor *a, const struct address *upstream)
{
	int fd, err = 0;

	if (a->state != UDP_ACCEPTOR_DIALING)
		return;
	a->batch = udp_batch_acquire();
	if (a->batch == NULL) {
		udp_acceptor_end(a, FLOW_LIMIT);
		return;
	}
	fd = socket(upstream->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		udp_acceptor_end(a, flow_error_from_errno(errno));
		return;
	}
	udp_tune_socket(fd);
	event_assign(&a->event, a->loop->base, fd, EV_READ | EV_PERSIST, udp_acceptor_on_event, a);
	if (a->config.on_socket != NULL && a->config.on_socket(a->config.user, fd, upstream) != 0)
		err = EHOSTUNREACH;
	else if (connect(fd, &upstream->sa, upstream->len) != 0)
		err = errno;
	else if (event_add(&a->event, NULL) != 0)
		err = ENOMEM;
	if (err != 0) {
		close(fd);
		udp_acceptor_end(a, flow_error_from_errno(err));
		return;
	}
	a->fd = fd;
	a->state = UDP_ACCEPTOR_OPEN;
	loop_task_schedule(a->loop, &a->task);
}

uint64_t udp_acceptor_active_ns(const struct udp_acceptor *a)
{
	return a->active_ns;
}

void udp_acceptor_abort(struct udp_acceptor *a, enum flow_error error)
{
	udp_acceptor_end(a, error == FLOW_OK ? FLOW_RESET : error);
}

void udp_acceptor_free(struct udp_acceptor *a, enum flow_error error)
{
	if (a == NULL)
		return;
	udp_acceptor_abort(a, error);
	udp_acceptor_destroy(a);
}
