/* SPDX-License-Identifier: MIT */
/*
 * flow.list and flow.kill. Flows are the workers': each call is one question to those that may have
 * some (rstund/gather.h). What it is about is found again when the answers come, since mappings and
 * sessions may go meanwhile. A call's struct belongs to its question until that is done or the call
 * is cancelled. Main thread.
 *
 * A flow's id is that of its mapping or session, a dot, and its number there: m3.17, s1.17.5.
 */
#include "rstund/control/methods.h"

#include "base/error.h"
#include "rpc/api.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"
#include "rstund/messages.h"
#include "rstund/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHODS_FLOW_TIMEOUT_MS 2000 /* a worker that hangs */

/* Whose flows. */
struct methods_flow_owner {
	unsigned role, worker;
	uint64_t id;     /* number of the mapping, or of the session in its role; 0 = all flows */
	uint64_t flow;   /* 0 = all of it */
	bool nowhere;    /* the mapping is on no worker: it has none */
};

struct methods_flow {
	struct daemon *daemon;
	struct call *call;
	struct gather *gather;
	struct methods_flow_owner owner;
	char name[128];              /* as the caller named what it is about, for errors */
	uint64_t max, killed;
	struct rpc_flow_list result; /* of flow.list */
	bool failed;                 /* memory was short */
};

static void methods_flow_free(struct methods_flow *f)
{
	const struct field_rows *rows = rpc_methods[RPC_FLOW_LIST].result;

	field_free(rows->rows, rows->count, &f->result);
	free(f);
}

static void methods_flow_on_cancel(struct call *c, void *user)
{
	struct methods_flow *f = user;

	(void)c;
	gather_cancel(f->gather);
	methods_flow_free(f);
}

static struct methods_flow *methods_flow_new(struct daemon *d, struct call *c,
					     const struct methods_flow_owner *owner,
					     const char *name, const struct gather_ops *ops)
{
	struct methods_flow *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return NULL;
	f->daemon = d;
	f->call = c;
	f->owner = *owner;
	snprintf(f->name, sizeof(f->name), "%s", name != NULL ? name : "");
	if (gather_new(&f->gather, &d->gathers, ops, f, METHODS_FLOW_TIMEOUT_MS) != 0) {
		free(f);
		return NULL;
	}
	return f;
}

/* ---- Whose they are -------------------------------------------------------------------------- */

static int methods_flow_of_mapping(struct daemon *d, const char *text,
				   struct methods_flow_owner *ret, struct rpc_error *error)
{
	const struct held_mapping *m = methods_find_mapping(d, text, error);

	if (m == NULL)
		return RSTUN_E_FAILED;
	*ret = (struct methods_flow_owner){.id = m->number, .nowhere = m->role == NULL};
	if (m->role != NULL) {
		ret->role = m->role->index;
		ret->worker = m->worker;
	}
	return 0;
}

static int methods_flow_of_session(struct daemon *d, const char *text,
				   struct methods_flow_owner *ret, struct rpc_error *error)
{
	const struct held_session *s = methods_find_session(d, text, error);

	if (s == NULL)
		return RSTUN_E_FAILED;
	*ret = (struct methods_flow_owner){.role = s->role, .worker = s->worker, .id = s->id};
	return 0;
}

static int methods_flow_not_found(struct rpc_error *error, const char *field, const char *id)
{
	rpc_error_from(error, RSTUN_E_NOT_FOUND, "there is no flow %s", id);
	snprintf(error->field, sizeof(error->field), "%s", field);
	snprintf(error->value, sizeof(error->value), "%s", id);
	rpc_error_hint(error, "rstunctl flows shows those that are open");
	return RSTUN_E_FAILED;
}

/* "m3.17", "s1.17.5" */
static int methods_flow_parse(struct daemon *d, const char *id, struct methods_flow_owner *ret,
			      struct rpc_error *error)
{
	const char *dot = strrchr(id, '.');
	size_t digits = dot != NULL ? strspn(dot + 1, "0123456789") : 0;
	char owner[INVENTORY_ID_SIZE];
	int rc;

	if ((id[0] != 'm' && id[0] != 's') || digits == 0 || digits > 19 ||
	    dot[1 + digits] != '\0' || (size_t)(dot - id) >= sizeof(owner)) {
		rpc_error_set(error, RPC_INVALID_PARAMS,
			      "id: it is no id of a flow: they look like m3.17 or s1.17.5");
		snprintf(error->field, sizeof(error->field), "id");
		snprintf(error->value, sizeof(error->value), "%s", id);
		rpc_error_hint(error, "rstunctl flows shows them");
		return RSTUN_E_FAILED;
	}
	memcpy(owner, id, (size_t)(dot - id));
	owner[dot - id] = '\0';
	rc = id[0] == 'm' ? methods_flow_of_mapping(d, owner, ret, error)
			  : methods_flow_of_session(d, owner, ret, error);
	if (rc != 0)
		return rc;
	ret->flow = strtoull(dot + 1, NULL, 10);
	if (ret->flow == 0 || ret->nowhere)
		return methods_flow_not_found(error, "id", id);
	return 0;
}

static int methods_flow_owner_of(struct daemon *d, const char *mapping, const char *session,
				 struct methods_flow_owner *ret, struct rpc_error *error)
{
	*ret = (struct methods_flow_owner){.id = 0};
	if (mapping != NULL)
		return methods_flow_of_mapping(d, mapping, ret, error);
	return session != NULL ? methods_flow_of_session(d, session, ret, error) : 0;
}

/* One question per worker that may have some. False when memory is short: nothing was asked. */
static bool methods_flow_ask(struct methods_flow *f, enum message_kind kind)
{
	struct daemon *d = f->daemon;
	unsigned first = f->owner.id != 0 ? f->owner.worker : 0;
	unsigned end = f->owner.id != 0 ? first + 1 : d->worker_count;
	unsigned asked = 0;

	for (unsigned i = first; i < end; i++) {
		struct message *m = message_new(kind, f->owner.role, 0);

		if (m == NULL) {
			f->failed = true;
			continue;
		}
		m->flows.owner_id = f->owner.id;
		m->flows.flow_id = f->owner.flow;
		m->flows.max = f->max;
		gather_ask(f->gather, d->workers[i], m);
		asked++;
	}
	return asked > 0;
}

/* Asks, and keeps the call. */
static struct answer methods_flow_begin(struct methods_flow *f, enum message_kind kind)
{
	struct call *c = f->call;

	if (methods_flow_ask(f, kind))
		return call_later(c, methods_flow_on_cancel, f);
	gather_cancel(f->gather);
	methods_flow_free(f);
	return methods_nomem(c);
}

/* What did not go well; true when the call was answered. */
static bool methods_flow_fail(struct methods_flow *f, bool complete)
{
	struct rpc_error error;

	if (complete && !f->failed)
		return false;
	if (f->failed) {
		call_end(methods_nomem(f->call));
	} else {
		rpc_error_from(&error, RSTUN_E_TIMEOUT, "%s: a worker did not answer within %d ms",
			       rpc_methods[call_method(f->call)].name, METHODS_FLOW_TIMEOUT_MS);
		call_end(call_fail(f->call, &error, NULL));
	}
	return true;
}

/* ---- flow.list ------------------------------------------------------------------------------- */

static char *methods_flow_id(const char *owner, uint64_t flow)
{
	char text[INVENTORY_ID_SIZE + 24];

	snprintf(text, sizeof(text), "%s.%" PRIu64, owner, flow);
	return strdup(text);
}

/* The side that the worker does not see, or not yet. */
static void methods_flow_target(char *buf, size_t size, const struct held_mapping *m)
{
	const struct mapping *mapping = &m->mapping;

	target_format(buf, size, mapping->mode == MAPPING_OUT ? &mapping->remote : &mapping->local);
}

/* False: nobody knows whose it is any more. */
static bool methods_flow_show(struct methods_flow *f, const struct message *message,
			      const struct message_flow *flow, struct rpc_flow *to)
{
	const struct inventory *inv = &f->daemon->inventory;
	const struct role *role = role_find(f->daemon, message->role);
	const struct held_session *session;
	const struct held_mapping *mapping;
	char owner[INVENTORY_ID_SIZE], target[MESSAGE_FLOW_TARGET_SIZE];

	if (role == NULL)
		return false;
	*to = (struct rpc_flow){
		.proto = (int)flow->proto,
		.in_bytes = flow->in_bytes,
		.out_bytes = flow->out_bytes,
		.age_ms = flow->age_ms,
		.idle_ms = flow->idle_ms,
	};
	snprintf(target, sizeof(target), "%s", flow->target);
	if (role->client != NULL) {
		mapping = inventory_mapping_by_number(inv, flow->owner_id);
		if (mapping == NULL || mapping->removed)
			return false;
		to->mapping = strdup(inventory_mapping_id(owner, mapping));
		if (target[0] == '\0')
			methods_flow_target(target, sizeof(target), mapping);
		f->failed |= to->mapping == NULL;
	} else {
		session = inventory_session_of_role(inv, message->role, flow->owner_id);
		if (session == NULL)
			return false;
		to->session = strdup(inventory_session_id(owner, session));
		f->failed |= to->session == NULL;
	}
	to->id = methods_flow_id(owner, flow->flow_id);
	to->peer = show_address(&flow->source);
	to->target = target[0] != '\0' ? strdup(target) : NULL;
	f->failed |= to->id == NULL;
	return true;
}

static void methods_flow_on_flows(void *user, const struct message *m)
{
	struct methods_flow *f = user;
	const struct message_flow *flows = (const struct message_flow *)m->data;
	struct rpc_flow_list *result = &f->result;
	size_t room, i;
	struct rpc_flow *items;

	if (m->kind != MESSAGE_FLOWS || f->failed)
		return;
	result->total += m->listed.total;
	room = f->max - result->flows.count;
	if (room > m->listed.count)
		room = m->listed.count;
	if (room == 0)
		return;
	items = realloc(result->flows.items, (result->flows.count + room) * sizeof(*items));
	if (items == NULL) {
		f->failed = true;
		return;
	}
	result->flows.items = items;
	for (i = 0; i < room; i++) {
		if (methods_flow_show(f, m, &flows[i], &items[result->flows.count]))
			result->flows.count++;
		else
			result->total--;
	}
}

static void methods_flow_on_listed(void *user, bool complete)
{
	struct methods_flow *f = user;

	if (!methods_flow_fail(f, complete))
		call_end(call_reply(f->call, &f->result));
	methods_flow_free(f);
}

static const struct gather_ops methods_flow_list_ops = {
	.on_message = methods_flow_on_flows,
	.done = methods_flow_on_listed,
};

struct answer methods_flow_list(struct daemon *d, struct call *c,
				const struct rpc_flow_list_params *p)
{
	const struct rpc_flow_list none = {.total = 0};
	struct methods_flow_owner owner;
	struct methods_flow *f;
	struct rpc_error error;

	if (methods_flow_owner_of(d, p->mapping, p->session, &owner, &error) != 0)
		return call_fail(c, &error, NULL);
	if (owner.nowhere)
		return call_reply(c, &none);
	f = methods_flow_new(d, c, &owner, p->mapping, &methods_flow_list_ops);
	if (f == NULL)
		return methods_nomem(c);
	f->max = p->count;
	call_hold(c);
	return methods_flow_begin(f, MESSAGE_LIST_FLOWS);
}

/* ---- flow.kill ------------------------------------------------------------------------------- */

static void methods_flow_on_gathered(void *user, const struct message *m)
{
	struct methods_flow *f = user;

	if (m->kind == MESSAGE_GATHERED)
		f->killed += m->gathered.count;
}

static void methods_flow_on_killed(void *user, bool complete)
{
	struct methods_flow *f = user;
	struct rpc_flow_kill_result result = {.killed = f->killed};
	struct rpc_error error;

	if (methods_flow_fail(f, complete)) {
		/* answered */
	} else if (f->killed == 0 && f->owner.flow != 0) {
		methods_flow_not_found(&error, "id", f->name);
		call_end(call_fail(f->call, &error, NULL));
	} else {
		call_end(call_reply(f->call, &result));
	}
	methods_flow_free(f);
}

static const struct gather_ops methods_flow_kill_ops = {
	.on_message = methods_flow_on_gathered,
	.done = methods_flow_on_killed,
};

struct answer methods_flow_kill(struct daemon *d, struct call *c,
				const struct rpc_flow_kill_params *p)
{
	const struct rpc_flow_kill_result none = {.killed = 0};
	struct methods_flow_owner owner;
	struct methods_flow *f;
	struct rpc_error error;
	int rc;

	rc = p->id != NULL ? methods_flow_parse(d, p->id, &owner, &error)
			   : methods_flow_owner_of(d, p->mapping, p->session, &owner, &error);
	if (rc != 0)
		return call_fail(c, &error, NULL);
	if (owner.nowhere)
		return call_reply(c, &none);
	f = methods_flow_new(d, c, &owner, p->id, &methods_flow_kill_ops);
	if (f == NULL)
		return methods_nomem(c);
	return methods_flow_begin(f, MESSAGE_KILL_FLOWS);
}
