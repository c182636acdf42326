/* SPDX-License-Identifier: MIT */
/*
 * The pump between a direct end (socket) and a buffered end (stream). It owns both, and its own
 * memory until on_done has returned.
 *
 * When work is done: socket bytes are read into the stream's room as soon as the socket says so
 * (once per wake-up by nature); stream bytes are gathered and written by a task at the end of the
 * wake-up, so that many packets make one write. Either way a direction moves a bounded amount and
 * then goes to the back of the queue of tasks: a fast flow never holds up another.
 *
 * How it ends: both directions closed after an end of file = FLOW_OK. An error of either end aborts
 * both. A sink that refuses (STOP_SENDING, EPIPE) stops only its source; the other direction runs
 * to its end, then both ends are aborted, so that the socket's peer sees a reset and not an end of
 * file. All callbacks of ends come from the loop's thread; the end of the relay is always a task.
 */
#include "relay/relay.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"

#include <assert.h>
#include <stdlib.h>

#define RELAY_IOV_MAX 64
#define RELAY_READ_MIN (16 * 1024)
#define RELAY_READ_MAX (256 * 1024)
#define RELAY_TURN_BYTES (1024 * 1024) /* most bytes of a direction per wake-up */

enum relay_state {
	RELAY_OPEN,
	RELAY_DRAINING, /* the end of file was passed on; the sink has not got rid of everything */
	RELAY_CLOSED,
};

struct relay_direction {
	struct end *source, *sink;
	enum relay_state state;
	bool readable;      /* direct source: it may have bytes */
	size_t read_bytes;  /* direct source: room to ask for next, follows what the last reads gave
			     */
	uint64_t bytes;
};

/* What an end knows as its owner: directions[side] has it as source, the other one as sink. */
struct relay_side {
	struct relay *relay;
	unsigned index;
};

struct relay {
	struct loop *loop;
	struct relay_side sides[2];
	struct relay_direction directions[2]; /* 0: a to b, 1: b to a */
	struct loop_task task;
	struct loop_timer idle_timer;
	uint64_t idle_ns;   /* CLOCK_NEVER = no limit */
	uint64_t started_ns, last_active_ns;
	enum flow_error error; /* the first thing that went wrong */
	bool ending;           /* on_done follows from the task */
	void (*on_done)(struct relay *r, void *user, enum flow_error error);
	void *user;
};

static void relay_set_state(struct relay_direction *d, enum relay_state state)
{
	assert((d->state == RELAY_OPEN && state != RELAY_OPEN) ||
	       (d->state == RELAY_DRAINING && state == RELAY_CLOSED));
	d->state = state;
}

static void relay_schedule(struct relay *r)
{
	loop_task_schedule(r->loop, &r->task);
}

static void relay_moved(struct relay *r, struct relay_direction *d, size_t bytes)
{
	d->bytes += bytes;
	r->last_active_ns = loop_now(r->loop);
}

/* Aborts both ends; on_done follows from the loop. */
static void relay_fail(struct relay *r, enum flow_error error)
{
	if (r->ending)
		return;
	if (r->error == FLOW_OK)
		r->error = error;
	r->ending = true;
	for (unsigned i = 0; i < 2; i++) {
		struct relay_direction *d = &r->directions[i];

		if (d->state != RELAY_CLOSED)
			relay_set_state(d, RELAY_CLOSED);
		d->source->ops->abort(d->source, error);
	}
	relay_schedule(r);
}

static void relay_pass_end(struct relay_direction *d)
{
	d->sink->ops->finish(d->sink);
	relay_set_state(d, RELAY_DRAINING);
}

/* Socket to stream. True: the turn is used up and there is more. */
static bool relay_pump_direct(struct relay *r, struct relay_direction *d)
{
	struct end *source = d->source, *sink = d->sink;
	struct iovec iov[RELAY_IOV_MAX];
	size_t moved = 0;

	while (d->readable && d->state == RELAY_OPEN) {
		size_t room = 0, got;
		int count;

		if (moved >= RELAY_TURN_BYTES)
			return true;
		count = sink->ops->reserve(sink, d->read_bytes, iov, RELAY_IOV_MAX);
		if (count == 0) {
			source->ops->want_read(source, false);
			return false;
		}
		for (int i = 0; i < count; i++)
			room += iov[i].iov_len;
		got = source->ops->read(source, iov, count);
		sink->ops->commit(sink, got);
		if (got > 0) {
			moved += got;
			relay_moved(r, d, got);
		}
		if (source->ops->at_end(source)) {
			relay_pass_end(d);
			return false;
		}
		if (got < room) {
			if (d->read_bytes > RELAY_READ_MIN && got < d->read_bytes / 2)
				d->read_bytes /= 2;
			d->readable = false;
			source->ops->want_read(source, true);
		} else if (d->read_bytes < RELAY_READ_MAX) {
			d->read_bytes *= 2;
		}
	}
	return false;
}

/* Stream to socket: one write. True: there is more than that write could carry. */
static bool relay_pump_buffered(struct relay *r, struct relay_direction *d)
{
	struct end *source = d->source, *sink = d->sink;
	struct iovec iov[RELAY_IOV_MAX];
	size_t bytes = 0, taken;
	int count;

	if (d->state != RELAY_OPEN)
		return false;
	count = source->ops->peek(source, iov, RELAY_IOV_MAX);
	if (count > 0) {
		for (int i = 0; i < count; i++) {
			size_t left = RELAY_TURN_BYTES - bytes;

			if (iov[i].iov_len >= left) {
				iov[i].iov_len = left;
				count = i + 1;
			}
			bytes += iov[i].iov_len;
		}
		taken = sink->ops->write(sink, iov, count);
		if (taken > 0) {
			source->ops->consume(source, taken);
			relay_moved(r, d, taken);
		}
		if (taken < bytes)
			return false; /* on_writable follows */
	}
	if (source->ops->at_end(source)) {
		relay_pass_end(d);
		return false;
	}
	return count > 0 && source->ops->peek(source, iov, 1) > 0;
}

/* After anything that may have closed a direction. */
static void relay_settle(struct relay *r)
{
	if (r->ending)
		return;
	for (unsigned i = 0; i < 2; i++) {
		struct relay_direction *d = &r->directions[i];

		if (d->state == RELAY_DRAINING && d->sink->ops->drained(d->sink))
			relay_set_state(d, RELAY_CLOSED);
	}
	if (r->directions[0].state != RELAY_CLOSED || r->directions[1].state != RELAY_CLOSED)
		return;
	if (r->error != FLOW_OK) {
		relay_fail(r, r->error);
		return;
	}
	r->ending = true;
	relay_schedule(r);
}

static void relay_destroy(struct relay *r)
{
	loop_timer_cancel(&r->idle_timer);
	loop_task_cancel(r->loop, &r->task);
	for (unsigned i = 0; i < 2; i++)
		r->directions[i].source->ops->free(r->directions[i].source);
	free(r);
}

static void relay_finish(struct relay *r)
{
	r->on_done(r, r->user, r->error);
	relay_destroy(r);
}

static void relay_run(void *user)
{
	struct relay *r = user;
	bool more = false;

	for (unsigned i = 0; i < 2 && !r->ending; i++) {
		struct relay_direction *d = &r->directions[i];

		if (d->source->ops->buffered ? relay_pump_buffered(r, d) : relay_pump_direct(r, d))
			more = true;
	}
	if (r->ending) {
		relay_finish(r);
		return;
	}
	relay_settle(r);
	if (more)
		relay_schedule(r);
}

static void relay_on_readable(void *user)
{
	struct relay_side *side = user;
	struct relay *r = side->relay;
	struct relay_direction *d = &r->directions[side->index];

	if (r->ending || d->state != RELAY_OPEN)
		return;
	if (d->source->ops->buffered) {
		relay_schedule(r);
		return;
	}
	d->readable = true;
	if (relay_pump_direct(r, d))
		relay_schedule(r);
	relay_settle(r);
}

static void relay_on_writable(void *user)
{
	struct relay_side *side = user;

	if (!side->relay->ending)
		relay_schedule(side->relay);
}

static void relay_on_error(void *user, enum flow_error error, bool both)
{
	struct relay_side *side = user;

	/* One lost direction is enough: a socket can only be reset as a whole. */
	(void)both;
	relay_fail(side->relay, error);
}

static void relay_on_refused(void *user, enum flow_error error)
{
	struct relay_side *side = user;
	struct relay *r = side->relay;
	struct relay_direction *d = &r->directions[1 - side->index];

	if (r->ending || d->state == RELAY_CLOSED)
		return;
	if (r->error == FLOW_OK)
		r->error = error;
	if (d->state == RELAY_OPEN)
		d->source->ops->stop_reading(d->source, error);
	relay_set_state(d, RELAY_CLOSED);
	relay_settle(r);
}

static void relay_on_idle(void *user)
{
	struct relay *r = user;
	uint64_t deadline_ns = clock_after(r->last_active_ns, r->idle_ns);

	if (loop_now(r->loop) >= deadline_ns)
		relay_fail(r, FLOW_TIMEOUT);
	else
		loop_timer_arm(&r->idle_timer, deadline_ns);
}

static const struct end_owner relay_owner = {
	.on_readable = relay_on_readable,
	.on_writable = relay_on_writable,
	.on_error = relay_on_error,
	.on_refused = relay_on_refused,
};

int relay_start(struct relay **ret, const struct relay_config *config, struct end *a,
		struct end *b)
{
	struct relay *r = calloc(1, sizeof(*r));
	struct end *ends[2] = {a, b};

	assert(a->ops->buffered != b->ops->buffered);
	if (r == NULL) {
		a->ops->free(a);
		b->ops->free(b);
		return RSTUN_E_NOMEM;
	}
	r->loop = config->loop;
	r->on_done = config->on_done;
	r->user = config->user;
	r->started_ns = loop_now(r->loop);
	r->last_active_ns = r->started_ns;
	r->idle_ns = config->idle_timeout_ms == 0 ? CLOCK_NEVER : clock_ms(config->idle_timeout_ms);
	loop_task_init(&r->task, relay_run, r);
	loop_timer_init(&r->idle_timer, r->loop, relay_on_idle, r);
	for (unsigned i = 0; i < 2; i++) {
		r->sides[i] = (struct relay_side){.relay = r, .index = i};
		r->directions[i] = (struct relay_direction){
			.source = ends[i],
			.sink = ends[1 - i],
			.read_bytes = RELAY_READ_MIN,
		};
		ends[i]->owner = &relay_owner;
		ends[i]->owner_user = &r->sides[i];
	}
	for (unsigned i = 0; i < 2; i++)
		ends[i]->ops->want_read(ends[i], true);
	loop_timer_arm(&r->idle_timer, clock_after(r->started_ns, r->idle_ns));
	relay_schedule(r); /* what came before we were the owner */
	*ret = r;
	return 0;
}

void relay_abort(struct relay *r, enum flow_error error)
{
	relay_fail(r, error);
}

void relay_free(struct relay *r, enum flow_error error)
{
	if (r == NULL)
		return;
	relay_fail(r, error);
	relay_destroy(r);
}

void relay_get_counters(const struct relay *r, struct relay_counters *ret)
{
	*ret = (struct relay_counters){
		.a_to_b_bytes = r->directions[0].bytes,
		.b_to_a_bytes = r->directions[1].bytes,
		.started_ns = r->started_ns,
		.last_active_ns = r->last_active_ns,
	};
}
