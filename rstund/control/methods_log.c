/* SPDX-License-Identifier: MIT */
/*
 * log.get_level, log.set_level, log.tail. A call of log.tail that waits is in the daemon's list
 * log_waits and owned by it; whichever comes first ends it: a line, its timer, or its cancellation.
 * Lines are said from anywhere, so the answer is made at the end of the wake-up, for all lines of
 * it at once. Main thread.
 */
#include "rstund/control/methods.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/api.h"
#include "rstund/control/log_ring.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- Level ----------------------------------------------------------------------------------- */

/* Until the level goes back; UINT64_MAX = it stays. */
static uint64_t methods_log_revert_in(const struct daemon *d)
{
	uint64_t now_ns = loop_now(&d->loop), deadline_ns = d->level_timer.deadline_ns;

	if (deadline_ns == CLOCK_NEVER)
		return UINT64_MAX;
	return deadline_ns > now_ns ? (deadline_ns - now_ns) / CLOCK_NS_PER_MS : 0;
}

struct answer methods_log_get_level(struct daemon *d, struct call *c)
{
	struct rpc_level_result result = {
		.level = (int)d->level,
		.previous = -1,
		.revert_in_ms = methods_log_revert_in(d),
	};

	if (result.revert_in_ms != UINT64_MAX)
		result.previous = (int)d->level_before;
	return call_reply(c, &result);
}

struct answer methods_log_set_level(struct daemon *d, struct call *c,
				    const struct rpc_set_level_params *p)
{
	struct rpc_level_result result = {.level = p->level, .previous = (int)d->level};

	if (p->revert_after_ms == UINT64_MAX) {
		loop_timer_cancel(&d->level_timer);
	} else {
		/* A level that was to go itself is none to go back to. */
		if (d->level_timer.deadline_ns == CLOCK_NEVER)
			d->level_before = d->level;
		loop_timer_arm(&d->level_timer,
			       clock_after(loop_now(&d->loop), clock_ms(p->revert_after_ms)));
	}
	daemon_set_level(d, (enum log_level)p->level);
	result.revert_in_ms = methods_log_revert_in(d);
	return call_reply(c, &result);
}

/* ---- The last lines -------------------------------------------------------------------------- */

struct log_tail_wait {
	LIST_ENTRY(log_tail_wait) link;
	struct daemon *daemon;
	struct call *call;
	struct rpc_log_tail_params params;
	uint64_t seen; /* lines up to this number were looked at */
	struct loop_timer timer;
	struct loop_task task; /* scheduled: there is a line */
};

struct methods_log_lines {
	struct rpc_log_line *lines;
	size_t count, room;
	bool failed; /* memory was short */
};

static enum log_level methods_log_min(const struct rpc_log_tail_params *p)
{
	return p->min_level < 0 ? LOG_LEVEL_TRACE : (enum log_level)p->min_level;
}

static uint64_t methods_log_after(const struct rpc_log_tail_params *p)
{
	return p->after == UINT64_MAX ? 0 : p->after;
}

static void methods_log_on_line(void *user, const struct log_ring_line *line)
{
	struct methods_log_lines *to = user;
	struct rpc_log_line *at;

	if (to->failed)
		return;
	if (to->count == to->room) {
		size_t room = to->room != 0 ? 2 * to->room : 64;
		struct rpc_log_line *lines = realloc(to->lines, room * sizeof(*lines));

		if (lines == NULL) {
			to->failed = true;
			return;
		}
		to->lines = lines;
		to->room = room;
	}
	at = &to->lines[to->count++];
	*at = (struct rpc_log_line){
		.number = line->number,
		.timestamp = show_time(line->wall_us),
		.level = (int)line->level,
		.scope = strdup(line->scope),
		.text = strdup(line->text),
	};
	to->failed = at->timestamp == NULL || at->scope == NULL || at->text == NULL;
}

static struct answer methods_log_reply(struct daemon *d, struct call *c,
				       const struct rpc_log_tail_params *p)
{
	struct methods_log_lines lines = {.lines = NULL};
	struct rpc_log_tail_result result = {.lost = d->lost_lines};

	log_ring_visit(d->lines, methods_log_after(p), methods_log_min(p), p->count,
		       methods_log_on_line, &lines);
	result.lines = (struct field_array){.items = lines.lines, .count = lines.count};
	result.last = log_ring_last(d->lines);
	return methods_reply(c, &result, lines.failed ? RSTUN_E_NOMEM : 0);
}

static void methods_log_forget(struct log_tail_wait *wait)
{
	loop_timer_cancel(&wait->timer);
	loop_task_cancel(&wait->daemon->loop, &wait->task);
	LIST_REMOVE(wait, link);
	free(wait);
}

static void methods_log_on_cancel(struct call *c, void *user)
{
	(void)c;
	methods_log_forget(user);
}

/* A line came, or the time is over: what there is, is the answer. */
static void methods_log_on_end(void *user)
{
	struct log_tail_wait *wait = user;
	struct rpc_log_tail_params params = wait->params;
	struct daemon *d = wait->daemon;
	struct call *c = wait->call;

	methods_log_forget(wait);
	call_end(methods_log_reply(d, c, &params));
}

static void methods_log_ignore(void *user, const struct log_ring_line *line)
{
	(void)user;
	(void)line;
}

static bool methods_log_any(const struct daemon *d, uint64_t after, enum log_level level)
{
	return log_ring_visit(d->lines, after, level, 1, methods_log_ignore, NULL) > 0;
}

struct answer methods_log_tail(struct daemon *d, struct call *c,
			       const struct rpc_log_tail_params *p)
{
	uint64_t last = log_ring_last(d->lines);
	struct log_tail_wait *wait;

	/* A number that is not there yet is of another run: `last` tells the caller so at once. */
	if (p->after == UINT64_MAX || p->after > last || p->timeout_ms == 0 ||
	    methods_log_any(d, p->after, methods_log_min(p)))
		return methods_log_reply(d, c, p);
	wait = calloc(1, sizeof(*wait));
	if (wait == NULL)
		return methods_nomem(c);
	wait->daemon = d;
	wait->call = c;
	wait->params = *p;
	wait->seen = last;
	loop_timer_init(&wait->timer, &d->loop, methods_log_on_end, wait);
	loop_timer_arm(&wait->timer, clock_after(loop_now(&d->loop), clock_ms(p->timeout_ms)));
	loop_task_init(&wait->task, methods_log_on_end, wait);
	LIST_INSERT_HEAD(&d->log_waits, wait, link);
	return call_later(c, methods_log_on_cancel, wait);
}

void methods_log_added(struct daemon *d)
{
	uint64_t last = log_ring_last(d->lines);
	struct log_tail_wait *wait;

	LIST_FOREACH (wait, &d->log_waits, link) {
		/* Only what is new is looked at: a line costs the same however long one waits. */
		if (methods_log_any(d, wait->seen, methods_log_min(&wait->params)))
			loop_task_schedule(&d->loop, &wait->task);
		wait->seen = last;
	}
}
