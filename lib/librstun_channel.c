/* SPDX-License-Identifier: MIT */
/*
 * Channels of librstun: a flow of a client's or a server's whose near end is the program
 * (tunnel/flow_program.h). The program reads and writes the stream's end (relay/end.h) itself,
 * without a buffer between; what the end signals is noted, and told by a task.
 *
 * A life: waiting (for the client's tunnel; not one that the far side opened) -> open (end and
 * flow) -> closed or failed (neither), told once.
 */
#include "librstun_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "relay/end.h"
#include "tunnel/client.h"
#include "tunnel/flow_program.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRSTUN_CHANNEL_IOV 16
#define LIBRSTUN_CHANNEL_CLOSE_MS 60000 /* as Linux has for sockets: tcp_fin_timeout */

enum {
	LIBRSTUN_CHANNEL_OPEN = 1 << 0,
	LIBRSTUN_CHANNEL_READABLE = 1 << 1, /* or at its end */
	LIBRSTUN_CHANNEL_WRITABLE = 1 << 2,
	LIBRSTUN_CHANNEL_CLOSED = 1 << 3,
	LIBRSTUN_CHANNEL_FAILED = 1 << 4,
};

/* ---- what is told ---- */

static void librstun_channel_note(struct rstun_channel *ch, unsigned news)
{
	ch->news |= news;
	loop_task_schedule(&ch->owner->context->loop, &ch->task);
}

static bool librstun_channel_has_bytes(const struct rstun_channel *ch)
{
	struct iovec iov;

	return ch->end != NULL && ch->end->ops->peek(ch->end, &iov, 1) > 0;
}

static bool librstun_channel_at_end(struct rstun_channel *ch)
{
	if (!ch->ended && ch->end != NULL)
		ch->ended = ch->end->ops->at_end(ch->end);
	return ch->ended;
}

/* One kind of news, if there is somebody to tell it; false when the rest is not to be told. */
static bool librstun_channel_call(struct rstun_channel *ch,
				  void (*op)(struct rstun_channel *channel, void *user))
{
	if (op != NULL)
		op(ch, ch->user);
	return !ch->freed && ch->error == 0;
}

static void librstun_channel_tell(struct rstun_channel *ch, unsigned news)
{
	if ((news & LIBRSTUN_CHANNEL_OPEN) && !librstun_channel_call(ch, ch->ops.on_open))
		return;
	if ((news & LIBRSTUN_CHANNEL_READABLE) && librstun_channel_has_bytes(ch) &&
	    !librstun_channel_call(ch, ch->ops.on_readable))
		return;
	if (!ch->end_told && librstun_channel_at_end(ch)) {
		ch->end_told = true;
		if (!librstun_channel_call(ch, ch->ops.on_end))
			return;
	}
	if ((news & LIBRSTUN_CHANNEL_WRITABLE) && !ch->finished &&
	    !librstun_channel_call(ch, ch->ops.on_writable))
		return;
	if (news & LIBRSTUN_CHANNEL_CLOSED)
		librstun_channel_call(ch, ch->ops.on_closed);
}

static void librstun_channel_on_task(void *user)
{
	struct rstun_channel *ch = user;
	unsigned news = ch->news;

	ch->news = 0;
	ch->telling = true;
	if (ch->error == 0)
		librstun_channel_tell(ch, news);
	else if ((news & LIBRSTUN_CHANNEL_FAILED) && ch->ops.on_error != NULL)
		ch->ops.on_error(ch, ch->user, ch->error, ch->text);
	ch->telling = false;
	if (ch->freed)
		free(ch);
}

/* ---- its end ---- */

/* It holds no stream any more; what of it was not over is reset. */
static void librstun_channel_release(struct rstun_channel *ch, enum flow_error error)
{
	struct flow_tcp *flow = ch->flow;
	struct end *end = ch->end;

	ch->flow = NULL;
	ch->end = NULL;
	if (ch->waits != NULL)
		client_cancel_channel(ch->waits, ch);
	ch->waits = NULL;
	if (end != NULL)
		end->ops->free(end);
	if (flow != NULL)
		flow_program_close(flow, error);
}

static void librstun_channel_fail(struct rstun_channel *ch, int error, const char *text,
				  enum flow_error reason)
{
	if (ch->error != 0 || ch->closed)
		return;
	ch->error = error;
	snprintf(ch->text, sizeof(ch->text), "%s", text[0] != '\0' ? text : rstun_strerror(error));
	librstun_channel_release(ch, reason);
	librstun_channel_note(ch, LIBRSTUN_CHANNEL_FAILED);
}

/* Closes it when both directions are over. */
static void librstun_channel_settle(struct rstun_channel *ch)
{
	if (ch->end == NULL || (!ch->unwanted && !librstun_channel_at_end(ch)) ||
	    (ch->refused == 0 && !ch->end->ops->drained(ch->end)))
		return;
	ch->closed = true;
	librstun_channel_release(ch, ch->refused == 0 ? FLOW_OK : FLOW_RESET);
	librstun_channel_note(ch, LIBRSTUN_CHANNEL_CLOSED);
}

/* ---- what the stream's end says ---- */

static void librstun_channel_on_readable(void *user)
{
	librstun_channel_note(user, LIBRSTUN_CHANNEL_READABLE);
}

static void librstun_channel_on_writable(void *user)
{
	struct rstun_channel *ch = user;

	librstun_channel_note(ch, LIBRSTUN_CHANNEL_WRITABLE);
	librstun_channel_settle(ch);
}

static void librstun_channel_on_end_error(void *user, enum flow_error error, bool both)
{
	struct rstun_channel *ch = user;

	if (both && ch->owner->stopping)
		librstun_channel_fail(ch, RSTUN_E_SHUTTING_DOWN, ch->owner->stopped_text, error);
	else if (both)
		librstun_channel_fail(ch, flow_error_to_rstun(error), "the tunnel was lost", error);
	else
		librstun_channel_fail(ch, flow_error_to_rstun(error), flow_error_text(error),
				      error);
}

static void librstun_channel_on_refused(void *user, enum flow_error error)
{
	struct rstun_channel *ch = user;

	ch->refused = flow_error_to_rstun(error);
	librstun_channel_note(ch, LIBRSTUN_CHANNEL_WRITABLE);
	librstun_channel_settle(ch);
}

static const struct end_owner librstun_channel_owner = {
	.on_readable = librstun_channel_on_readable,
	.on_writable = librstun_channel_on_writable,
	.on_error = librstun_channel_on_end_error,
	.on_refused = librstun_channel_on_refused,
};

/* ---- what the flow says ---- */

static void librstun_channel_on_open(void *user, struct end *end, struct flow_tcp *flow)
{
	struct rstun_channel *ch = user;

	ch->waits = NULL;
	ch->end = end;
	ch->flow = flow;
	end->owner = &librstun_channel_owner;
	end->owner_user = ch;
	if (ch->finished)
		end->ops->finish(end);
	/* Of one that the far side opened there may be bytes. */
	librstun_channel_note(ch, LIBRSTUN_CHANNEL_OPEN | LIBRSTUN_CHANNEL_READABLE);
}

/* The flow is gone by now. */
static void librstun_channel_on_cut(void *user, enum flow_error error)
{
	struct rstun_channel *ch = user;

	ch->flow = NULL;
	ch->end->ops->abort(ch->end, error);
	if (ch->owner->stopping || error == FLOW_SHUTTING_DOWN)
		librstun_channel_fail(ch, RSTUN_E_SHUTTING_DOWN, ch->owner->stopped_text, error);
	else
		librstun_channel_fail(ch, flow_error_to_rstun(error), flow_error_text(error),
				      error);
}

static void librstun_channel_on_done(void *user, int error, const char *text)
{
	struct rstun_channel *ch = user;

	ch->waits = NULL;
	if (error != 0)
		librstun_channel_fail(ch, error, text, FLOW_RESET);
}

/* ---- what the program asks ---- */

struct flow_program librstun_channel_program(struct rstun_channel *channel)
{
	return (struct flow_program){
		.on_open = librstun_channel_on_open,
		.on_cut = librstun_channel_on_cut,
		.user = channel,
	};
}

static int librstun_channel_start(struct rstun_channel *ch, struct client *engine,
				  const struct target *target)
{
	struct flow_program program = librstun_channel_program(ch);
	struct flow_channel channel = {
		.fd = -1,
		.pass_fd = -1,
		.status_fd = -1,
		.program = &program,
		.target = target,
		.done = librstun_channel_on_done,
		.user = ch,
	};

	ch->waits = engine;
	return client_open_channel(engine, &channel);
}

int librstun_channel_new(struct rstun_channel **ret, struct librstun_owner *owner,
			 const struct rstun_channel_ops *ops, void *user)
{
	struct rstun_channel *ch = calloc(1, sizeof(*ch));
	int err;

	if (ch == NULL)
		return RSTUN_E_NOMEM;
	err = ops == NULL ? 0 : librstun_copy_ops(&ch->ops, sizeof(ch->ops), ops, ops->size);
	if (err != 0) {
		free(ch);
		return err;
	}
	ch->owner = owner;
	ch->user = user;
	loop_task_init(&ch->task, librstun_channel_on_task, ch);
	LIST_INSERT_HEAD(&owner->channels, ch, link);
	*ret = ch;
	return 0;
}

int rstun_channel_open(struct rstun_channel **ret, struct rstun_client *client, const char *target,
		       const struct rstun_channel_ops *ops, void *user)
{
	struct rstun_channel *ch = NULL;
	struct target wanted;
	int err = librstun_enter(client->owner.context);

	if (err == 0)
		err = librstun_target(&wanted, target);
	if (err == 0 && client->owner.stopping)
		err = RSTUN_E_SHUTTING_DOWN;
	if (err == 0)
		err = librstun_channel_new(&ch, &client->owner, ops, user);
	if (err == 0)
		err = librstun_channel_start(ch, client->engine, &wanted);
	if (err != 0) {
		rstun_channel_free(ch);
		return err;
	}
	*ret = ch;
	return 0;
}

static size_t librstun_channel_get(struct end *end, uint8_t *buffer, size_t bytes)
{
	struct iovec iov[LIBRSTUN_CHANNEL_IOV];
	size_t total = 0, now;
	int count;

	do {
		count = bytes > total ? end->ops->peek(end, iov, LIBRSTUN_CHANNEL_IOV) : 0;
		now = 0;
		for (int i = 0; i < count && total + now < bytes; i++) {
			size_t left = bytes - total - now;
			size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;

			memcpy(buffer + total + now, iov[i].iov_base, n);
			now += n;
		}
		if (now > 0)
			end->ops->consume(end, now);
		total += now;
	} while (now > 0);
	return total;
}

ssize_t rstun_channel_read(struct rstun_channel *channel, void *buffer, size_t bytes)
{
	int err = librstun_enter(channel->owner->context);
	size_t total;

	if (err != 0)
		return err;
	if (channel->error != 0)
		return channel->error;
	if (channel->end == NULL)
		return channel->closed ? 0 : RSTUN_E_AGAIN;
	if (bytes > SSIZE_MAX)
		bytes = SSIZE_MAX;
	total = librstun_channel_get(channel->end, buffer, bytes);
	flow_program_moved(channel->flow, 0, total);
	if (librstun_channel_at_end(channel)) {
		librstun_channel_note(channel, LIBRSTUN_CHANNEL_READABLE);
		librstun_channel_settle(channel);
		return (ssize_t)total;
	}
	return total > 0 || bytes == 0 ? (ssize_t)total : RSTUN_E_AGAIN;
}

static size_t librstun_channel_put(struct end *end, const uint8_t *data, size_t bytes)
{
	struct iovec iov[LIBRSTUN_CHANNEL_IOV];
	size_t total = 0, now;
	int count;

	do {
		count = bytes > total ? end->ops->reserve(end, bytes - total, iov,
							  LIBRSTUN_CHANNEL_IOV)
				      : 0;
		now = 0;
		for (int i = 0; i < count; i++) {
			memcpy(iov[i].iov_base, data + total + now, iov[i].iov_len);
			now += iov[i].iov_len;
		}
		if (now > 0)
			end->ops->commit(end, now);
		total += now;
	} while (now > 0);
	return total;
}

ssize_t rstun_channel_write(struct rstun_channel *channel, const void *data, size_t bytes)
{
	int err = librstun_enter(channel->owner->context);
	size_t total;

	if (err == 0)
		err = channel->error;
	if (err == 0)
		err = channel->refused;
	if (err == 0 && (channel->finished || channel->closed))
		err = RSTUN_E_CLOSED;
	if (err != 0)
		return err;
	if (channel->end == NULL)
		return 0;
	if (bytes > SSIZE_MAX)
		bytes = SSIZE_MAX;
	total = librstun_channel_put(channel->end, data, bytes);
	flow_program_moved(channel->flow, total, 0);
	return (ssize_t)total;
}

size_t rstun_channel_room(const struct rstun_channel *channel)
{
	if (librstun_enter(channel->owner->context) != 0 || channel->end == NULL)
		return 0;
	return channel->end->ops->room(channel->end);
}

int rstun_channel_finish(struct rstun_channel *channel)
{
	int err = librstun_enter(channel->owner->context);

	if (err != 0)
		return err;
	channel->finished = true;
	if (channel->end != NULL)
		channel->end->ops->finish(channel->end);
	return 0;
}

int rstun_channel_error(const struct rstun_channel *channel, const char **ret_text)
{
	int err = librstun_enter(channel->owner->context);

	if (err != 0)
		return err;
	err = channel->error != 0 ? channel->error : channel->refused;
	if (ret_text != NULL)
		*ret_text = channel->text[0] != '\0' ? channel->text
			    : err != 0		     ? rstun_strerror(err)
						     : "";
	return err;
}

int rstun_channel_abort(struct rstun_channel *channel)
{
	int err = librstun_enter(channel->owner->context);

	if (err != 0)
		return err;
	if (channel->error == 0)
		channel->error = RSTUN_E_CANCELLED;
	if (channel->end != NULL)
		channel->end->ops->abort(channel->end, FLOW_RESET);
	librstun_channel_release(channel, FLOW_RESET);
	loop_task_cancel(&channel->owner->context->loop, &channel->task);
	return 0;
}

void librstun_channel_destroy(struct rstun_channel *ch)
{
	librstun_channel_release(ch, FLOW_RESET);
	loop_task_cancel(&ch->owner->context->loop, &ch->task);
	if (ch->closing)
		loop_timer_cancel(&ch->close_timer);
	if (ch->bufferevent != NULL)
		librstun_bufferevent_detach(ch->bufferevent);
	LIST_REMOVE(ch, link);
	ch->freed = true;
	if (!ch->telling)
		free(ch);
}

void rstun_channel_free(struct rstun_channel *channel)
{
	if (channel == NULL || librstun_enter(channel->owner->context) != 0)
		return;
	if (channel->end == NULL || !channel->finished || !librstun_channel_at_end(channel)) {
		librstun_channel_destroy(channel);
		return;
	}
	if (channel->bufferevent != NULL)
		librstun_bufferevent_detach(channel->bufferevent);
	librstun_channel_close(channel);
}

/* ---- closing without an owner ---- */

/* The far side is not heard any more. */
static void librstun_channel_stop_reading(struct rstun_channel *ch)
{
	if (ch->end == NULL || ch->unwanted || librstun_channel_at_end(ch))
		return;
	ch->unwanted = true;
	ch->end->ops->stop_reading(ch->end, FLOW_RESET);
	librstun_channel_settle(ch);
}

static void librstun_channel_on_unwanted(struct rstun_channel *ch, void *user)
{
	(void)user;
	librstun_channel_stop_reading(ch);
}

static void librstun_channel_arm_close(struct rstun_channel *ch)
{
	uint64_t now_ns = loop_now(&ch->owner->context->loop);

	loop_timer_arm(&ch->close_timer, clock_after(now_ns, clock_ms(LIBRSTUN_CHANNEL_CLOSE_MS)));
}

/* First the far side is not heard any more; what takes nothing from then on holds the memory of a
 * full queue, and is reset. */
static void librstun_channel_on_close_timer(void *user)
{
	struct rstun_channel *ch = user;
	size_t waiting;

	if (ch->end == NULL) /* it is over, and its task frees it */
		return;
	waiting = ch->end->ops->waiting(ch->end);
	if (waiting == ch->close_waiting) {
		ch->end->ops->abort(ch->end, FLOW_TIMEOUT);
		librstun_channel_fail(ch, RSTUN_E_TIMEOUT, "", FLOW_TIMEOUT);
		return;
	}
	ch->close_waiting = waiting;
	librstun_channel_arm_close(ch);
	librstun_channel_stop_reading(ch);
}

static void librstun_channel_on_far_end(struct rstun_channel *ch, void *user)
{
	(void)user;
	librstun_channel_settle(ch);
}

static void librstun_channel_on_gone(struct rstun_channel *ch, void *user)
{
	(void)user;
	librstun_channel_destroy(ch);
}

static void librstun_channel_on_lost(struct rstun_channel *ch, void *user, int error,
				     const char *text)
{
	(void)user;
	(void)error;
	(void)text;
	librstun_channel_destroy(ch);
}

static const struct rstun_channel_ops librstun_channel_closing = {
	.size = sizeof(librstun_channel_closing),
	.on_readable = librstun_channel_on_unwanted,
	.on_end = librstun_channel_on_far_end,
	.on_closed = librstun_channel_on_gone,
	.on_error = librstun_channel_on_lost,
};

void librstun_channel_close(struct rstun_channel *ch)
{
	if (ch->end == NULL) {
		librstun_channel_destroy(ch);
		return;
	}
	ch->ops = librstun_channel_closing;
	ch->finished = true;
	ch->end->ops->finish(ch->end);
	loop_timer_init(&ch->close_timer, &ch->owner->context->loop,
			librstun_channel_on_close_timer, ch);
	librstun_channel_arm_close(ch);
	ch->close_waiting = SIZE_MAX;
	ch->closing = true;
	if (librstun_channel_has_bytes(ch))
		librstun_channel_stop_reading(ch);
	else
		librstun_channel_settle(ch);
}
