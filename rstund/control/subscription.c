/* SPDX-License-Identifier: MIT */
/*
 * The policy of one subscriber. subscription_take() decides about one event; everything that is put
 * goes through subscription_put(), which counts n. A marker of dropped events is put before the
 * next line of any kind, so that numbers rise and no range reaches over an event that was given.
 */
#include "rstund/control/subscription.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/rpc_event.h"
#include "rstund/control/event_json.h"

#include <stdlib.h>

int subscription_new(struct subscription **ret, const struct subscription_params *params)
{
	struct subscription *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		struct event_filter filter = params->filter;

		event_filter_done(&filter);
		return RSTUN_E_NOMEM;
	}
	s->params = *params;
	s->seq = params->seq;
	s->held = true;
	s->behind = true;
	s->due_ns = subscription_interval_ms(s) != UINT64_MAX ? 0 : CLOCK_NEVER;
	*ret = s;
	return 0;
}

void subscription_free(struct subscription *s)
{
	if (s == NULL)
		return;
	event_filter_done(&s->params.filter);
	bus_event_unref(s->total);
	free(s);
}

uint64_t subscription_interval_ms(const struct subscription *s)
{
	return event_filter_type(&s->params.filter, RPC_EVENT_STAT) ? s->params.stat_interval_ms
								    : UINT64_MAX;
}

static size_t subscription_waiting(const struct subscription *s)
{
	return s->params.waiting(s->params.user);
}

static bool subscription_room(const struct subscription *s)
{
	return subscription_waiting(s) <= CONTROL_OUTPUT_MAX;
}

/* False when memory is short: then n does not move. */
static bool subscription_put(struct subscription *s, const char *body, size_t body_bytes)
{
	size_t bytes;
	char *line;

	if (body == NULL)
		return false;
	line = rpc_event_line(s->params.sub, s->n + 1, body, body_bytes, &bytes);
	if (line == NULL)
		return false;
	s->n++;
	s->params.put(s->params.user, line, bytes);
	return true;
}

static void subscription_drop(struct subscription *s, uint64_t seq)
{
	if (s->dropped.count == 0)
		s->dropped.from_seq = seq;
	s->dropped.to_seq = seq;
	s->dropped.count++;
}

/* Says what was dropped. False when it could not be said. */
static bool subscription_mark(struct subscription *s, enum rpc_event_type type)
{
	size_t bytes = 0;
	char *body;
	bool done;

	if (s->dropped.count == 0)
		return true;
	body = event_json_dropped(type, &s->dropped, clock_wall_us(), &bytes);
	done = subscription_put(s, body, bytes);
	free(body);
	if (done)
		s->dropped = (struct rpc_dropped){.count = 0};
	return done;
}

/* The total kept aside goes out under the number of the last event, because that is where it stands
 * among the others. */
static void subscription_put_total(struct subscription *s)
{
	size_t bytes = 0;
	char *body;

	if (s->total == NULL)
		return;
	body = event_json_make(s->total, s->seq, &bytes);
	if (!subscription_put(s, body, bytes))
		subscription_drop(s, s->total->seq);
	free(body);
	bus_event_unref(s->total);
	s->total = NULL;
}

static void subscription_overrun(struct subscription *s, uint64_t seq)
{
	subscription_drop(s, seq);
	subscription_mark(s, RPC_EVENT_OVERRUN);
	s->ended = true;
}

/* Whether the event is to be put now. */
static bool subscription_decide(struct subscription *s, struct bus_event *e)
{
	bool room = subscription_room(s);

	switch (e->type) {
	case BUS_EVENT_STAT:
		bus_event_unref(s->total); /* an older one says nothing any more */
		s->total = room ? NULL : bus_event_ref(e);
		return room;
	case BUS_EVENT_LOG:
	case BUS_EVENT_FLOW:
		if (!room)
			subscription_drop(s, e->seq);
		return room;
	case BUS_EVENT_STATE:
	case BUS_EVENT_SESSION:
	case BUS_EVENT_SERVER:
	case BUS_EVENT_MAPPING:
	case BUS_EVENT_CLIENT:
	case BUS_EVENT_DAEMON:
	case BUS_EVENT_CERT:
		if (subscription_waiting(s) <= CONTROL_OUTPUT_HARD)
			return true;
		subscription_overrun(s, e->seq);
		return false;
	}
	return false;
}

static void subscription_take(struct subscription *s, struct bus_event *e)
{
	s->seq = e->seq;
	if (!event_filter_match(&s->params.filter, e) || !subscription_decide(s, e))
		return;
	if (!subscription_mark(s, RPC_EVENT_DROPPED) || event_json_body(e) != 0 ||
	    !subscription_put(s, e->body, e->body_bytes))
		subscription_drop(s, e->seq);
}

/* ---- Counters of mappings -------------------------------------------------------------------- */

struct subscription_visit {
	struct subscription *s;
	size_t at;    /* how many were visited */
	bool blocked;
};

static void subscription_on_stat(void *arg, const struct control_stat *stat)
{
	struct subscription_visit *v = arg;
	struct subscription *s = v->s;
	size_t bytes = 0;
	char *body;

	if (v->at++ < s->owed_from || v->blocked)
		return;
	if (!subscription_room(s)) {
		v->blocked = true;
		return;
	}
	s->owed_from = v->at;
	if (!event_filter_mapping(&s->params.filter, stat->mapping))
		return;
	/* When memory is short it is left out: the next one says more. */
	body = event_json_stat(stat, s->seq, clock_wall_us(), &bytes);
	subscription_put(s, body, bytes);
	free(body);
}

/* They are taken as they are now, so what was owed for long is still the latest. */
static void subscription_put_stats(struct subscription *s)
{
	struct subscription_visit v = {.s = s};

	if (!s->owed || !subscription_room(s))
		return;
	s->params.visit_stats(s->params.user, subscription_on_stat, &v);
	if (!v.blocked) {
		s->owed = false;
		s->owed_from = 0;
	}
}

void subscription_stats(struct subscription *s, uint64_t now_ns)
{
	uint64_t interval_ns = clock_ms(subscription_interval_ms(s));

	/* The sampler's ticks are not exact: one that comes a little early is the right one. */
	if (s->ended || s->due_ns == CLOCK_NEVER || now_ns + interval_ns / 8 < s->due_ns)
		return;
	s->due_ns += interval_ns;
	if (s->due_ns < now_ns)
		s->due_ns = now_ns + interval_ns;
	s->owed = true;
	subscription_pump(s);
}

/* ---- What the owner calls -------------------------------------------------------------------- */

void subscription_pump(struct subscription *s)
{
	while (s->behind && !s->held && !s->ended && subscription_room(s)) {
		struct bus_event *e = event_ring_after(s->params.ring, s->seq);

		if (e != NULL)
			subscription_take(s, e);
		else
			s->behind = false;
	}
	if (s->behind || s->ended || !subscription_room(s))
		return;
	if (!subscription_mark(s, RPC_EVENT_DROPPED))
		return;
	subscription_put_total(s);
	subscription_put_stats(s);
}

void subscription_start(struct subscription *s)
{
	s->held = false;
	subscription_pump(s);
}

void subscription_event(struct subscription *s, struct bus_event *e)
{
	if (!s->behind && !s->ended && e->seq > s->seq)
		subscription_take(s, e);
}

void subscription_lost(struct subscription *s, uint64_t count)
{
	if (s->ended)
		return;
	if (s->dropped.count == 0)
		s->dropped.from_seq = s->seq;
	s->dropped.to_seq = s->seq;
	s->dropped.count += count;
}

void subscription_leave(struct subscription *s, struct bus_event *e)
{
	if (!s->behind || s->ended || e->seq <= s->seq)
		return;
	if (!s->held) {
		subscription_take(s, e);
		return;
	}
	s->seq = e->seq;
	if (event_filter_match(&s->params.filter, e))
		subscription_drop(s, e->seq);
}
