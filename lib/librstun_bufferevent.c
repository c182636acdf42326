/* SPDX-License-Identifier: MIT */
/*
 * A channel as a bufferevent. libevent lets nobody define a class of bufferevents, so the program's
 * is a filter whose functions read and write the channel itself: bytes are copied once, between the
 * channel and the program's buffers, and wait nowhere else.
 *
 * A filter needs something underneath. That is half of a bufferevent_pair, through which no bytes
 * go but one, the bell: it lies in the other half's output while the program does not want to read
 * (disabled, or its buffer at the watermark) and comes over in the moment it does, which nothing
 * else would tell us. A task (`librstun_bufferevent_on_task`) then moves what there is.
 *
 * The filter's end is the adaptor's: bufferevent_free frees the channel. If the channel goes first,
 * because its client does, the bufferevent is left without one and says nothing more. The program's
 * callbacks are deferred by libevent, so none is ever called from here.
 */
#include "librstun_private.h"

#include "base/error.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdlib.h>
#include <sys/uio.h>

#define LIBRSTUN_BUFFEREVENT_READ 16384 /* bytes at a time */
#define LIBRSTUN_BUFFEREVENT_IOV 8

struct librstun_bufferevent {
	struct rstun_channel *channel; /* NULL: it is gone */
	struct bufferevent *program;   /* the filter over bell[0] */
	struct bufferevent *bell[2];
	struct loop_task task;
	bool readable; /* there may be bytes, or the end */
	bool moved;    /* bytes, to the program, in this run of the task */
	bool ended;    /* the far side's end was read */
	bool finishes; /* behind what it has written */
	int refused;   /* why the far side takes no more */
	bool refusal_told;
	short told;    /* BEV_EVENT_... that are told once; ERROR: it failed */
};

static struct loop *librstun_bufferevent_loop(const struct librstun_bufferevent *b)
{
	return &b->channel->owner->context->loop;
}

/* ---- what is told ---- */

/* For programs that ask errno why; rstun_channel_error says it better. */
static int librstun_bufferevent_errno(int error)
{
	switch (error) {
	case RSTUN_E_TARGET_REFUSED:
		return ECONNREFUSED;
	case RSTUN_E_DNS_FAILED:
	case RSTUN_E_TARGET_UNREACHABLE:
		return EHOSTUNREACH;
	case RSTUN_E_UNREACHABLE:
		return ENETUNREACH;
	case RSTUN_E_TIMEOUT:
		return ETIMEDOUT;
	case RSTUN_E_RESET:
		return ECONNRESET;
	case RSTUN_E_ACCESS_DENIED:
	case RSTUN_E_AUTH_FAILED:
	case RSTUN_E_PERMISSION_DENIED:
		return EACCES;
	case RSTUN_E_CLOSED: /* written after it was finished */
		return EPIPE;
	case RSTUN_E_NOMEM:
		return ENOMEM;
	}
	return ECONNABORTED;
}

static void librstun_bufferevent_tell(struct librstun_bufferevent *b, short event, short where)
{
	if (b->told & event)
		return;
	b->told |= event;
	bufferevent_trigger_event(b->program, event | where, 0);
}

static void librstun_bufferevent_tell_error(struct librstun_bufferevent *b, int error, short where)
{
	int saved = errno;

	errno = librstun_bufferevent_errno(error); /* libevent keeps it for the callback */
	bufferevent_trigger_event(b->program, BEV_EVENT_ERROR | where, 0);
	errno = saved;
}

static void librstun_bufferevent_tell_failure(struct librstun_bufferevent *b)
{
	short where = b->told & BEV_EVENT_CONNECTED ? BEV_EVENT_READING : 0;

	if (b->told & BEV_EVENT_ERROR)
		return;
	b->told |= BEV_EVENT_ERROR;
	librstun_bufferevent_tell_error(b, b->channel->error, where);
}

/* Not the last word: reading goes on, and may fail later. */
static void librstun_bufferevent_tell_refusal(struct librstun_bufferevent *b)
{
	if (b->refusal_told)
		return;
	b->refusal_told = true;
	librstun_bufferevent_tell_error(b, b->refused, BEV_EVENT_WRITING);
}

/* ---- bytes ---- */

/* The filter's way in; `limit` is negative when there is none. */
static enum bufferevent_filter_result
librstun_bufferevent_in(struct evbuffer *bell, struct evbuffer *to, ev_ssize_t limit,
			enum bufferevent_flush_mode mode, void *user)
{
	struct librstun_bufferevent *b = user;
	size_t left = limit < 0 ? SIZE_MAX : (size_t)limit;
	bool some = false;
	ssize_t n = 1;

	(void)bell;
	(void)mode;
	while (b->channel != NULL && left > 0 && n > 0) {
		size_t want = left < LIBRSTUN_BUFFEREVENT_READ ? left : LIBRSTUN_BUFFEREVENT_READ;
		struct evbuffer_iovec iov;

		if (evbuffer_reserve_space(to, (ev_ssize_t)want, &iov, 1) != 1)
			break;
		n = rstun_channel_read(b->channel, iov.iov_base, want);
		b->readable = n > 0;
		b->ended = b->ended || n == 0;
		if (n <= 0)
			break;
		iov.iov_len = (size_t)n;
		evbuffer_commit_space(to, &iov, 1);
		left -= (size_t)n;
		some = b->moved = true;
	}
	return some ? BEV_OK : BEV_NEED_MORE;
}

/* Of the program's output, as much as there is room for. */
static size_t librstun_bufferevent_write(struct librstun_bufferevent *b, struct evbuffer *from)
{
	struct evbuffer_iovec iov[LIBRSTUN_BUFFEREVENT_IOV];
	int count = evbuffer_peek(from, -1, NULL, iov, LIBRSTUN_BUFFEREVENT_IOV);
	size_t total = 0;
	ssize_t n;

	if (count > LIBRSTUN_BUFFEREVENT_IOV)
		count = LIBRSTUN_BUFFEREVENT_IOV;
	for (int i = 0; i < count; i++) {
		n = rstun_channel_write(b->channel, iov[i].iov_base, iov[i].iov_len);
		if (n < 0)
			b->refused = (int)n;
		if (n > 0)
			total += (size_t)n;
		if (n != (ssize_t)iov[i].iov_len)
			break;
	}
	evbuffer_drain(from, total);
	return total;
}

/* The filter's way out. */
static enum bufferevent_filter_result
librstun_bufferevent_out(struct evbuffer *from, struct evbuffer *bell, ev_ssize_t limit,
			 enum bufferevent_flush_mode mode, void *user)
{
	struct librstun_bufferevent *b = user;
	size_t moved, total = 0;

	(void)bell;
	(void)limit;
	if (b->channel == NULL)
		return BEV_ERROR;
	b->finishes = b->finishes || mode == BEV_FINISHED;
	do {
		moved = librstun_bufferevent_write(b, from);
		total += moved;
	} while (moved > 0);
	if (b->refused != 0) {
		if (!b->refusal_told) /* else the task, which comes here, would never rest */
			loop_task_schedule(librstun_bufferevent_loop(b), &b->task);
		return BEV_ERROR;
	}
	if (b->finishes && evbuffer_get_length(from) == 0)
		rstun_channel_finish(b->channel);
	return total > 0 ? BEV_OK : BEV_NEED_MORE;
}

/* Bytes or the end are there that the program does not want now. */
static void librstun_bufferevent_ring(struct librstun_bufferevent *b)
{
	if (evbuffer_get_length(bufferevent_get_input(b->bell[0])) == 0 &&
	    evbuffer_get_length(bufferevent_get_output(b->bell[1])) == 0)
		(void)bufferevent_write(b->bell[1], "", 1);
}

/* Freed by the program, but not taken apart yet: its end has taken its callbacks away. */
static bool librstun_bufferevent_is_freed(const struct librstun_bufferevent *b)
{
	bufferevent_data_cb on_read;

	bufferevent_getcb(b->bell[0], &on_read, NULL, NULL, NULL);
	return on_read == NULL;
}

static void librstun_bufferevent_on_task(void *user)
{
	struct librstun_bufferevent *b = user;
	const struct rstun_channel *ch = b->channel;

	if (librstun_bufferevent_is_freed(b))
		return;
	if (ch->end != NULL || ch->closed)
		librstun_bufferevent_tell(b, BEV_EVENT_CONNECTED, 0);
	if (ch->error != 0) {
		librstun_bufferevent_tell_failure(b);
		return;
	}
	evbuffer_drain(bufferevent_get_input(b->bell[0]), 1);
	b->moved = false;
	bufferevent_flush(b->program, EV_READ, BEV_NORMAL);
	if (b->moved)
		bufferevent_trigger(b->program, EV_READ, 0);
	if (b->ended)
		librstun_bufferevent_tell(b, BEV_EVENT_EOF, BEV_EVENT_READING);
	bufferevent_flush(b->program, EV_WRITE, BEV_NORMAL);
	if (b->refused != 0)
		librstun_bufferevent_tell_refusal(b);
	if (b->readable)
		librstun_bufferevent_ring(b);
}

/* ---- what wakes the task ---- */

static void librstun_bufferevent_on_bell(struct evbuffer *bell, const struct evbuffer_cb_info *info,
					 void *user)
{
	struct librstun_bufferevent *b = user;

	(void)bell;
	if (info->n_added > 0 && b->channel != NULL)
		loop_task_schedule(librstun_bufferevent_loop(b), &b->task);
}

static void librstun_bufferevent_on_news(struct rstun_channel *channel, void *user)
{
	struct librstun_bufferevent *b = user;

	(void)channel;
	b->readable = true;
	loop_task_schedule(librstun_bufferevent_loop(b), &b->task);
}

static void librstun_bufferevent_on_error(struct rstun_channel *channel, void *user, int error,
					  const char *text)
{
	(void)error;
	(void)text;
	librstun_bufferevent_on_news(channel, user);
}

static const struct rstun_channel_ops librstun_bufferevent_ops = {
	.size = sizeof(librstun_bufferevent_ops),
	.on_open = librstun_bufferevent_on_news,
	.on_readable = librstun_bufferevent_on_news,
	.on_writable = librstun_bufferevent_on_news,
	.on_end = librstun_bufferevent_on_news,
	.on_error = librstun_bufferevent_on_error,
};

/* ---- beginning and end ---- */

void librstun_bufferevent_detach(struct librstun_bufferevent *b)
{
	loop_task_cancel(librstun_bufferevent_loop(b), &b->task);
	b->channel->bufferevent = NULL;
	b->channel = NULL;
}

static void librstun_bufferevent_free(struct librstun_bufferevent *b)
{
	bufferevent_free(b->bell[0]);
	bufferevent_free(b->bell[1]);
	free(b);
}

/* The program has freed it. As with a socket, what went out of its output is still delivered; what
 * is left there is not, and no end of file may say that all of it was. */
static void librstun_bufferevent_on_freed(void *user)
{
	struct librstun_bufferevent *b = user;
	bool complete = evbuffer_get_length(bufferevent_get_output(b->program)) == 0;
	struct rstun_channel *ch = b->channel;

	if (ch != NULL) {
		librstun_bufferevent_detach(b);
		if (complete)
			librstun_channel_close(ch);
		else
			rstun_channel_free(ch);
	}
	librstun_bufferevent_free(b);
}

static int librstun_bufferevent_make(struct librstun_bufferevent *b, struct event_base *base)
{
	if (bufferevent_pair_new(base, 0, b->bell) != 0) {
		free(b);
		return RSTUN_E_NOMEM;
	}
	if (evbuffer_add_cb(bufferevent_get_input(b->bell[0]), librstun_bufferevent_on_bell, b) !=
	    NULL)
		b->program = bufferevent_filter_new(b->bell[0], librstun_bufferevent_in,
						    librstun_bufferevent_out,
						    BEV_OPT_DEFER_CALLBACKS,
						    librstun_bufferevent_on_freed, b);
	if (b->program == NULL) {
		librstun_bufferevent_free(b);
		return RSTUN_E_NOMEM;
	}
	return 0;
}

int rstun_channel_bufferevent(struct bufferevent **ret, struct rstun_channel *channel)
{
	struct loop *loop = &channel->owner->context->loop;
	int err = librstun_enter(channel->owner->context);
	struct librstun_bufferevent *b;

	if (err != 0)
		return err;
	if (channel->bufferevent != NULL)
		return RSTUN_E_ALREADY_EXISTS;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return RSTUN_E_NOMEM;
	b->channel = channel;
	b->readable = true;
	loop_task_init(&b->task, librstun_bufferevent_on_task, b);
	err = librstun_bufferevent_make(b, loop->base);
	if (err != 0)
		return err;
	channel->bufferevent = b;
	channel->ops = librstun_bufferevent_ops;
	channel->user = b;
	loop_task_schedule(loop, &b->task);
	*ret = b->program;
	return 0;
}
