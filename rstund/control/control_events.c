/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions of the control API: the bus's events go into the ring and from there or directly to
 * each subscriber. The server is one subscriber of the bus; nothing here logs, because a log line
 * is an event, too.
 *
 * Flow events are only made while somebody wants them, so the ring has all of them only behind
 * flows_seq. They stay on for a minute after the last one who wanted them has gone, for those who
 * come back.
 */
#include "rstund/control/control_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/field_json.h"
#include "rstund/control/event_json.h"

#include <stdlib.h>
#include <string.h>

/* ---- Subscribers ----------------------------------------------------------------------------- */

static void control_events_end_one(struct control_connection *c, struct subscription *s)
{
	struct control_server *cs = c->server;

	if (event_filter_type(&s->params.filter, RPC_EVENT_FLOW))
		control_events_hold_flows(cs);
	LIST_REMOVE(s, link);
	LIST_REMOVE(s, of_connection);
	cs->subscription_count--;
	c->subscription_count--;
	subscription_free(s);
}

void control_events_end(struct control_connection *c)
{
	struct subscription *s;

	if (LIST_EMPTY(&c->subscriptions))
		return;
	while ((s = LIST_FIRST(&c->subscriptions)) != NULL)
		control_events_end_one(c, s);
	control_events_wanted(c->server);
}

/* Calls one function of each subscription, and frees those that have ended with it. */
static void control_events_each(struct control_server *cs,
				void (*visit)(struct subscription *s, void *arg), void *arg)
{
	struct subscription *s, *next;
	bool ended = false;

	for (s = LIST_FIRST(&cs->subscriptions); s != NULL; s = next) {
		next = LIST_NEXT(s, link);
		visit(s, arg);
		if (s->ended) {
			control_events_end_one(s->params.user, s);
			ended = true;
		}
	}
	if (ended)
		control_events_wanted(cs);
}

static void control_events_give(struct subscription *s, void *arg)
{
	subscription_event(s, arg);
}

static void control_events_leave(struct subscription *s, void *arg)
{
	subscription_leave(s, arg);
}

static void control_events_lost(struct subscription *s, void *arg)
{
	subscription_lost(s, *(const uint64_t *)arg);
}

static void control_events_sample(struct subscription *s, void *arg)
{
	subscription_stats(s, *(const uint64_t *)arg);
}

static void control_events_on_leave(void *user, struct bus_event *e)
{
	control_events_each(user, control_events_leave, e);
}

/* The bus itself may lose events: when memory is short, or too many wait. That is said, too. */
static void control_events_notice(struct control_server *cs)
{
	const struct event_bus *bus = cs->params.bus;
	uint64_t lost = bus->dropped - cs->bus_dropped;

	if (lost == 0)
		return;
	cs->bus_dropped = bus->dropped;
	event_ring_lose(&cs->ring, bus->seq);
	control_events_each(cs, control_events_lost, &lost);
}

static void control_events_on_event(void *user, struct bus_event *e)
{
	struct control_server *cs = user;

	control_events_notice(cs);
	if (event_json_type(e) < 0)
		return;
	event_ring_add(&cs->ring, e);
	control_events_each(cs, control_events_give, e);
	control_next_event(cs, e);
}

void control_server_stats(struct control_server *cs)
{
	uint64_t now_ns = loop_now(cs->loop);

	control_events_each(cs, control_events_sample, &now_ns);
}

void control_events_start(struct control_connection *c, const struct call_batch *batch)
{
	struct subscription *s, *next;

	for (s = LIST_FIRST(&c->subscriptions); s != NULL; s = next) {
		next = LIST_NEXT(s, of_connection);
		if (s->held_for != batch)
			continue;
		s->held_for = NULL;
		subscription_start(s);
		if (s->ended)
			control_events_end_one(c, s);
	}
	control_events_wanted(c->server);
}

void control_events_pump(struct control_connection *c)
{
	struct subscription *s, *next;
	bool ended = false;

	for (s = LIST_FIRST(&c->subscriptions); s != NULL; s = next) {
		next = LIST_NEXT(s, of_connection);
		subscription_pump(s);
		if (s->ended) {
			control_events_end_one(c, s);
			ended = true;
		}
	}
	if (ended)
		control_events_wanted(c->server);
}

/* ---- What is wanted -------------------------------------------------------------------------- */

void control_events_wanted(struct control_server *cs)
{
	uint64_t interval_ms = UINT64_MAX;
	bool flows = cs->flows_timer.deadline_ns != CLOCK_NEVER;
	const struct subscription *s;

	if (cs->freeing)
		return;
	LIST_FOREACH(s, &cs->subscriptions, link) {
		interval_ms = clock_min(interval_ms, subscription_interval_ms(s));
		flows = flows || event_filter_type(&s->params.filter, RPC_EVENT_FLOW);
	}
	if (interval_ms == cs->wanted_interval_ms && flows == cs->wanted_flows)
		return;
	if (flows && !cs->wanted_flows)
		cs->flows_seq = cs->params.bus->seq;
	cs->wanted_interval_ms = interval_ms;
	cs->wanted_flows = flows;
	cs->params.on_wanted(cs->params.user, interval_ms, flows);
}

void control_events_hold_flows(struct control_server *cs)
{
	if (!cs->freeing)
		loop_timer_arm(&cs->flows_timer,
			       clock_after(loop_now(cs->loop), clock_ms(CONTROL_FLOWS_HOLD_MS)));
}

static void control_events_on_hold_over(void *user)
{
	control_events_wanted(user);
}

bool control_events_reach(struct control_server *cs, const struct event_filter *filter,
			  uint64_t seq)
{
	control_events_notice(cs);
	if (seq > cs->params.bus->seq || !event_ring_reaches(&cs->ring, seq))
		return false;
	return !event_filter_type(filter, RPC_EVENT_FLOW) ||
	       (cs->wanted_flows && seq >= cs->flows_seq);
}

/* ---- The methods ----------------------------------------------------------------------------- */

static size_t control_events_waiting(void *user)
{
	const struct control_connection *c = user;

	return c->event_bytes;
}

static void control_events_put(void *user, char *line, size_t bytes)
{
	control_output_put(user, line, bytes, true);
}

static void control_events_visit(void *user,
				 void (*visit)(void *arg, const struct control_stat *stat),
				 void *arg)
{
	const struct control_connection *c = user;
	const struct control_server_params *p = &c->server->params;

	p->visit_stats(p->user, visit, arg);
}

/* Where it begins: the replay word, and the number of the last event that it knows. */
static int control_events_replay(struct control_server *cs, const struct event_filter *filter,
				 const struct rpc_subscribe_params *params, uint64_t *ret_seq)
{
	*ret_seq = cs->params.bus->seq;
	if (!params->has_since)
		return RPC_REPLAY_NONE;
	if (strcmp(params->since.epoch, cs->params.epoch) != 0)
		return RPC_REPLAY_EPOCH_CHANGED;
	if (!control_events_reach(cs, filter, params->since.seq))
		return RPC_REPLAY_GAP;
	*ret_seq = params->since.seq;
	return RPC_REPLAY_COMPLETE;
}

static bool control_events_wants_snapshot(int wish, int replay)
{
	return wish == RPC_SNAPSHOT_ALWAYS ||
	       (wish == RPC_SNAPSHOT_AUTO && replay != RPC_REPLAY_COMPLETE);
}

/* The subscription, held, and in the lists. */
static int control_events_add(struct control_connection *c, struct event_filter *filter,
			      uint64_t seq, uint64_t stat_interval_ms, struct subscription **ret)
{
	struct control_server *cs = c->server;
	const struct subscription_params params = {
		.sub = c->last_sub + 1,
		.seq = seq,
		.filter = *filter,
		.stat_interval_ms = stat_interval_ms,
		.ring = &cs->ring,
		.waiting = control_events_waiting,
		.put = control_events_put,
		.visit_stats = control_events_visit,
		.user = c,
	};
	struct subscription *s;
	int rv = subscription_new(&s, &params);

	if (rv != 0)
		return rv;
	c->last_sub++;
	LIST_INSERT_HEAD(&cs->subscriptions, s, link);
	LIST_INSERT_HEAD(&c->subscriptions, s, of_connection);
	cs->subscription_count++;
	c->subscription_count++;
	*ret = s;
	return 0;
}

static struct answer control_events_internal(struct call *c)
{
	struct rpc_error error;

	rpc_error_set(&error, RPC_INTERNAL, "memory is short");
	return call_fail(c, &error, NULL);
}

/* The reply; NULL when memory is short. */
static json_t *control_events_result(struct control_server *cs, const struct subscription *s,
				     int replay, bool snapshot)
{
	const struct field_rows *rows = rpc_methods[RPC_EVENTS_SUBSCRIBE].result;
	struct rpc_subscribe_result result = {
		.sub = s->params.sub,
		.epoch = strdup(cs->params.epoch),
		.seq = snapshot ? cs->params.bus->seq : s->seq,
		.replay = replay,
		.has_snapshot = snapshot,
	};
	json_t *json = NULL;

	if (result.epoch != NULL &&
	    (!snapshot || cs->params.snapshot(cs->params.user, &result.snapshot) == 0))
		json = field_json_encode(rows, &result);
	field_free(rows->rows, rows->count, &result);
	return json;
}

struct answer control_server_subscribe(struct control_server *cs, struct call *call,
				       const struct rpc_subscribe_params *params)
{
	struct control_connection *c = call->connection;
	struct call_batch *batch = call->batch;
	struct event_filter filter;
	struct subscription *s;
	struct rpc_error error;
	struct answer answer;
	uint64_t seq;
	json_t *json;
	int replay;

	if (c->subscription_count >= CONTROL_SUBSCRIPTIONS_PER_CALLER) {
		rpc_error_from(&error, RSTUN_E_LIMIT_REACHED,
			       "this connection has %zu subscriptions already, and may not have "
			       "more",
			       c->subscription_count);
		rpc_error_hint(&error, "end one with events.unsubscribe");
		return call_fail(call, &error, NULL);
	}
	if (event_filter_init(&filter, params->types, params->mappings, params->min_level,
			      cs->params.find_mapping, cs->params.user, &error) != 0)
		return call_fail(call, &error, NULL);
	replay = control_events_replay(cs, &filter, params, &seq);
	if (control_events_add(c, &filter, seq, params->stat_interval_ms, &s) != 0)
		return control_events_internal(call);
	json = control_events_result(cs, s, replay,
				     control_events_wants_snapshot(params->snapshot, replay));
	if (json == NULL) {
		control_events_end_one(c, s);
		return control_events_internal(call);
	}
	s->held_for = batch;
	answer = call_reply_json(call, json);
	/* In a batch the reply waits for the others; control_events_start() comes with the last. */
	if (batch == NULL)
		control_events_start(c, NULL);
	else
		control_events_wanted(cs);
	return answer;
}

struct answer control_server_unsubscribe(struct control_server *cs, struct call *call,
					 const struct rpc_unsubscribe_params *params)
{
	const struct rpc_done_result result = {.done = true};
	struct control_connection *c = call->connection;
	struct subscription *s;
	struct rpc_error error;

	LIST_FOREACH(s, &c->subscriptions, of_connection) {
		if (s->params.sub != params->sub)
			continue;
		control_events_end_one(c, s);
		control_events_wanted(cs);
		return call_reply(call, &result);
	}
	rpc_error_set(&error, RPC_UNKNOWN_SUBSCRIPTION,
		      "this connection has no subscription %llu",
		      (unsigned long long)params->sub);
	return call_fail(call, &error, NULL);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

int control_events_init(struct control_server *cs)
{
	struct event_bus *bus = cs->params.bus;
	int rv = event_ring_init(&cs->ring, EVENT_RING_COUNT, EVENT_RING_BYTES, bus->seq);

	if (rv != 0)
		return rv;
	rv = event_bus_subscribe(bus, &cs->subscriber, BUS_EVENT_ALL, control_events_on_event, cs);
	if (rv != 0) {
		event_ring_done(&cs->ring);
		return rv;
	}
	cs->ring.on_leave = control_events_on_leave;
	cs->ring.user = cs;
	LIST_INIT(&cs->subscriptions);
	LIST_INIT(&cs->nexts);
	cs->bus_dropped = bus->dropped;
	cs->wanted_interval_ms = UINT64_MAX;
	loop_timer_init(&cs->flows_timer, cs->loop, control_events_on_hold_over, cs);
	return 0;
}

void control_events_done(struct control_server *cs)
{
	event_bus_unsubscribe(cs->params.bus, &cs->subscriber);
	loop_timer_cancel(&cs->flows_timer);
	event_ring_done(&cs->ring);
}
