/* SPDX-License-Identifier: MIT */
/*
 * events.next: long poll for callers that cannot take events as they come. A call waits with its
 * cursor; when an event comes that it wants, it is answered at the end of the wake-up with all that
 * came by then. Cursors are "EPOCH:SEQ" and need no memory here. Also rpc.cancel, which ends what
 * waits.
 */
#include "rstund/control/control_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/field_json.h"
#include "rstund/control/event_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONTROL_CURSOR_SIZE 128

struct control_next {
	LIST_ENTRY(control_next) link;
	struct control_server *server;
	struct call *call;
	struct event_filter filter;
	uint64_t seq;   /* of the last event that was given, or that it did not want */
	uint64_t count; /* how many it takes at most */
	struct loop_timer timer;
	struct loop_task task; /* scheduled: there is something to be given */
};

static void control_next_free(struct control_next *n)
{
	LIST_REMOVE(n, link);
	loop_timer_cancel(&n->timer);
	loop_task_cancel(n->server->loop, &n->task);
	event_filter_done(&n->filter);
	free(n);
}

/* ---- The answer ------------------------------------------------------------------------------ */

struct control_next_text {
	char *text;
	size_t bytes;
	size_t events;
};

/* False when memory is short. */
static bool control_next_add(struct control_next_text *t, const struct bus_event *e)
{
	/* Before it a bracket or comma, and the brace that it lacks; behind it bracket and NUL. */
	char *more = realloc(t->text, t->bytes + e->body_bytes + 4);

	if (more == NULL)
		return false;
	t->text = more;
	t->text[t->bytes++] = t->events++ == 0 ? '[' : ',';
	t->text[t->bytes++] = '{';
	memcpy(t->text + t->bytes, e->body, e->body_bytes);
	t->bytes += e->body_bytes;
	memcpy(t->text + t->bytes, "]", 2); /* overwritten by the next one */
	return true;
}

/* What the ring has behind *seq, which is moved on. RSTUN_E_NOMEM. */
static int control_next_collect(const struct control_server *cs, const struct event_filter *filter,
				uint64_t count, uint64_t *seq, struct control_next_text *ret)
{
	struct control_next_text t = {.text = NULL};
	struct bus_event *e;

	while (t.events < count && t.bytes < CONTROL_NEXT_BYTES &&
	       (e = event_ring_after(&cs->ring, *seq)) != NULL) {
		if (event_filter_match(filter, e) &&
		    (event_json_body(e) != 0 || !control_next_add(&t, e))) {
			free(t.text);
			return RSTUN_E_NOMEM;
		}
		*seq = e->seq;
	}
	*ret = t;
	return 0;
}

/* Takes `events` over (NULL = none). */
static struct answer control_next_reply(const struct control_server *cs, struct call *call,
					uint64_t seq, char *events)
{
	char cursor[CONTROL_CURSOR_SIZE], none[] = "[]";
	struct rpc_next_result result = {
		.cursor = cursor,
		.events = events != NULL ? events : none,
	};
	struct answer answer;

	snprintf(cursor, sizeof(cursor), "%s:%llu", cs->params.epoch, (unsigned long long)seq);
	answer = call_reply(call, &result);
	free(events);
	return answer;
}

static struct answer control_next_expired(struct call *call)
{
	struct rpc_error error;

	rpc_error_set(&error, RPC_CURSOR_EXPIRED, "events behind the cursor are gone");
	rpc_error_hint(&error, "begin anew without a cursor, and read what there is with the list "
			       "methods");
	return call_fail(call, &error, NULL);
}

static struct answer control_next_nomem(struct call *call)
{
	struct rpc_error error;

	rpc_error_set(&error, RPC_INTERNAL, "memory is short");
	return call_fail(call, &error, NULL);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

/* Answers the call with what there is, and forgets it. */
static void control_next_answer(struct control_next *n)
{
	struct control_server *cs = n->server;
	struct control_next_text t;
	struct call *call = n->call;
	uint64_t seq = n->seq;
	bool reach = control_events_reach(cs, &n->filter, seq);
	int rv = reach ? control_next_collect(cs, &n->filter, n->count, &seq, &t) : 0;

	control_next_free(n);
	if (!reach)
		call_end(control_next_expired(call));
	else if (rv != 0)
		call_end(control_next_nomem(call));
	else
		call_end(control_next_reply(cs, call, seq, t.text));
}

static void control_next_on_due(void *user)
{
	control_next_answer(user);
}

static void control_next_on_cancel(struct call *call, void *user)
{
	(void)call;
	control_next_free(user);
}

void control_next_event(struct control_server *cs, const struct bus_event *e)
{
	struct control_next *n;

	LIST_FOREACH(n, &cs->nexts, link) {
		if (event_filter_match(&n->filter, e))
			loop_task_schedule(cs->loop, &n->task);
		else if (!n->task.scheduled)
			n->seq = e->seq;
	}
}

static struct answer control_next_wait(struct control_server *cs, struct call *call,
				       struct event_filter *filter,
				       const struct rpc_next_params *params, uint64_t seq)
{
	struct control_next *n = calloc(1, sizeof(*n));

	if (n == NULL) {
		event_filter_done(filter);
		return control_next_nomem(call);
	}
	n->server = cs;
	n->call = call;
	n->filter = *filter;
	n->seq = seq;
	n->count = params->count;
	LIST_INSERT_HEAD(&cs->nexts, n, link);
	loop_timer_init(&n->timer, cs->loop, control_next_on_due, n);
	loop_task_init(&n->task, control_next_on_due, n);
	loop_timer_arm(&n->timer,
		       clock_after(loop_now(cs->loop), clock_ms(params->timeout_ms)));
	return call_later(call, control_next_on_cancel, n);
}

/* ---- The methods ----------------------------------------------------------------------------- */

/* False: it is no cursor. One of another run of the daemon gives UINT64_MAX. */
static bool control_next_parse(const struct control_server *cs, const char *cursor,
			       uint64_t *ret_seq)
{
	const char *colon = strrchr(cursor, ':');
	size_t epoch = colon != NULL ? (size_t)(colon - cursor) : 0;
	size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;

	if (epoch == 0 || digits == 0 || digits > 19 || colon[1 + digits] != '\0')
		return false;
	*ret_seq = UINT64_MAX;
	if (strlen(cs->params.epoch) == epoch && memcmp(cursor, cs->params.epoch, epoch) == 0)
		*ret_seq = strtoull(colon + 1, NULL, 10);
	return true;
}

struct answer control_server_next(struct control_server *cs, struct call *call,
				  const struct rpc_next_params *params)
{
	struct control_next_text t;
	struct event_filter filter;
	struct rpc_error error;
	uint64_t seq = cs->params.bus->seq;
	int rv;

	if (params->cursor != NULL && !control_next_parse(cs, params->cursor, &seq)) {
		rpc_error_set(&error, RPC_INVALID_PARAMS,
			      "cursor: it is none: it must be what the last answer gave");
		snprintf(error.field, sizeof(error.field), "cursor");
		return call_fail(call, &error, NULL);
	}
	if (event_filter_init(&filter, params->types, params->mappings, params->min_level,
			      cs->params.find_mapping, cs->params.user, &error) != 0)
		return call_fail(call, &error, NULL);
	if (event_filter_type(&filter, RPC_EVENT_FLOW)) {
		control_events_hold_flows(cs);
		control_events_wanted(cs);
	}
	if (!control_events_reach(cs, &filter, seq)) {
		event_filter_done(&filter);
		return control_next_expired(call);
	}
	rv = control_next_collect(cs, &filter, params->count, &seq, &t);
	if (rv == 0 && t.events == 0 && params->cursor != NULL && params->timeout_ms > 0)
		return control_next_wait(cs, call, &filter, params, seq);
	event_filter_done(&filter);
	return rv == 0 ? control_next_reply(cs, call, seq, t.text) : control_next_nomem(call);
}

struct answer control_server_cancel(struct control_server *cs, struct call *call,
				    const struct rpc_cancel_params *params)
{
	json_t *id = json_loads(params->id, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	struct rpc_done_result result = {.done = false};
	struct rpc_error error;
	struct call *c;

	(void)cs;
	LIST_FOREACH(c, &call->connection->calls, link) {
		if (c == call || c->cancel == NULL || !json_equal(c->id, id))
			continue;
		rpc_error_set(&error, RPC_CANCELLED, "rpc.cancel ended the call");
		call_cancel(c, &error);
		result.done = true;
		break;
	}
	json_decref(id);
	return call_reply(call, &result);
}
