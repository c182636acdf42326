/* SPDX-License-Identifier: MIT */
/*
 * client.test: a worker tries a client, or one mapping of it, step by step (tunnel/client_probe.h),
 * beside whatever is running. The worker is the mapping's; a client that has no part anywhere gets
 * one for it. The call's struct belongs to its question to the worker until that is done or the
 * call is cancelled. Main thread.
 */
#include "rstund/control/methods.h"

#include "base/error.h"
#include "rpc/api.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"
#include "rstund/messages.h"
#include "rstund/worker.h"
#include "tunnel/client_probe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* At a time. Each logs in somewhere, and who may only look can ask for them, too. */
#define METHODS_TESTS_MAX 16
#define METHODS_TEST_GRACE_MS 2000 /* the worker ends a test in time; for the case that it hangs */

/* A step's number is the same to the engine and in the API. */
#define SAME(a, b) _Static_assert((int)(a) == (int)(b), "the order of the API")
SAME(PROBE_DNS, RPC_PROBE_DNS);
SAME(PROBE_UDP, RPC_PROBE_UDP);
SAME(PROBE_TLS, RPC_PROBE_TLS);
SAME(PROBE_LOGIN, RPC_PROBE_LOGIN);
SAME(PROBE_BIND, RPC_PROBE_BIND);
SAME(PROBE_UPSTREAM, RPC_PROBE_UPSTREAM);
SAME(PROBE_OK, RPC_PROBE_OK);
SAME(PROBE_FAILED, RPC_PROBE_FAILED);
SAME(PROBE_SKIPPED, RPC_PROBE_SKIPPED);
#undef SAME

struct methods_test {
	struct daemon *daemon;
	struct call *call;
	struct gather *gather;
	unsigned worker, role;
	struct mapping mapping;
	bool has_mapping;
	uint64_t number; /* of the mapping */
	uint64_t timeout_ms;
	struct rpc_client_test_result result; /* with room for PROBE_STEPS steps */
	int error;                            /* it could not begin, or was broken off */
	bool failed;                          /* memory was short */
};

static void methods_test_free(struct methods_test *t)
{
	const struct field_rows *rows = rpc_methods[RPC_CLIENT_TEST].result;

	t->daemon->tests--;
	field_free(rows->rows, rows->count, &t->result);
	free(t);
}

/* The worker need not go on. */
static void methods_test_stop(struct methods_test *t)
{
	struct message *m = message_new(MESSAGE_CANCEL_TEST, t->role, 0);

	if (m == NULL)
		return; /* it ends by itself */
	m->gather = gather_number(t->gather);
	worker_post(t->daemon->workers[t->worker], m);
}

static void methods_test_on_cancel(struct call *c, void *user)
{
	struct methods_test *t = user;

	(void)c;
	methods_test_stop(t);
	gather_cancel(t->gather);
	methods_test_free(t);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void methods_test_on_step(struct methods_test *t, const struct message *m)
{
	struct rpc_probe *steps = t->result.steps.items, *to;

	if (t->result.steps.count == PROBE_STEPS)
		return;
	to = &steps[t->result.steps.count++];
	to->step = m->tested.step;
	to->outcome = m->tested.outcome;
	to->took_ms = m->tested.took_ms;
	if (m->tested.outcome == PROBE_FAILED) {
		t->result.ok = false;
		to->has_error = true;
		show_failure(&to->error, m->tested.error, m->tested.text);
		t->failed |= to->error.kind == NULL || to->error.message == NULL;
	} else if (m->tested.text[0] != '\0') {
		to->text = strdup(m->tested.text);
		t->failed |= to->text == NULL;
	}
}

static void methods_test_on_message(void *user, const struct message *m)
{
	struct methods_test *t = user;

	if (m->kind == MESSAGE_TESTED)
		methods_test_on_step(t, m);
	else if (m->kind == MESSAGE_GATHERED)
		t->error = m->gathered.error;
}

/* Why there is no result. False: there is one. */
static bool methods_test_fail(struct methods_test *t, bool complete, struct rpc_error *ret)
{
	if (!complete)
		rpc_error_from(ret, RSTUN_E_TIMEOUT,
			       "client.test: the worker did not end the test within %" PRIu64 " ms",
			       t->timeout_ms + METHODS_TEST_GRACE_MS);
	else if (t->failed)
		rpc_error_from(ret, RSTUN_E_NOMEM, "client.test: memory is short");
	else if (t->error == RSTUN_E_CANCELLED || t->error == RSTUN_E_NOT_FOUND)
		rpc_error_from(ret, RSTUN_E_FAILED,
			       "client.test: client %s was changed or removed during the test",
			       t->result.client);
	else if (t->error != 0)
		rpc_error_from(ret, t->error, "client.test: %s", rstun_strerror(t->error));
	else
		return false;
	return true;
}

static void methods_test_on_done(void *user, bool complete)
{
	struct methods_test *t = user;
	const struct held_mapping *m;
	struct rpc_error error;

	if (methods_test_fail(t, complete, &error)) {
		call_end(call_fail(t->call, &error, NULL));
	} else {
		m = inventory_mapping_by_number(&t->daemon->inventory, t->number);
		t->result.live = t->has_mapping && m != NULL && !m->removed &&
				 m->state == RPC_STATE_TUNNELING;
		call_end(call_reply(t->call, &t->result));
	}
	methods_test_free(t);
}

static const struct gather_ops methods_test_ops = {
	.on_message = methods_test_on_message,
	.done = methods_test_on_done,
};

/* ---- The call -------------------------------------------------------------------------------- */

/* What is to be tested. Without a mapping *ret_mapping is NULL. */
static int methods_test_find(struct daemon *d, const struct rpc_client_test_params *p,
			     struct held_client **ret_client, struct held_mapping **ret_mapping,
			     struct rpc_error *error)
{
	struct held_mapping *m = NULL;
	struct held_client *client;
	char id[INVENTORY_ID_SIZE];

	if (p->mapping != NULL) {
		m = methods_find_mapping(d, p->mapping, error);
		if (m == NULL)
			return RSTUN_E_FAILED;
	}
	client = m != NULL && p->client == NULL ? m->client
						: methods_the_client(d, p->client, error);
	if (client == NULL)
		return RSTUN_E_FAILED;
	if (m != NULL && m->client != client) {
		inventory_mapping_id(id, m);
		rpc_error_from(error, RSTUN_E_NOT_FOUND,
			       "mapping: %s belongs to client %s, not to %s", id, m->client->name,
			       client->name);
		rpc_error_hint(error, "leave client out");
		return RSTUN_E_FAILED;
	}
	*ret_client = client;
	*ret_mapping = m;
	return 0;
}

/* NULL when memory is short. */
static struct methods_test *methods_test_new(struct daemon *d, const struct held_client *client,
					     const struct held_mapping *m)
{
	struct methods_test *t = calloc(1, sizeof(*t));
	char id[INVENTORY_ID_SIZE];

	if (t == NULL)
		return NULL;
	t->daemon = d;
	d->tests++;
	t->result.ok = true;
	t->result.client = strdup(inventory_client_id(id, client));
	t->result.steps.items = calloc(PROBE_STEPS, sizeof(struct rpc_probe));
	if (m != NULL) {
		t->has_mapping = true;
		t->mapping = m->mapping;
		t->number = m->number;
		t->result.mapping = strdup(inventory_mapping_id(id, m));
	}
	if (t->result.client == NULL || t->result.steps.items == NULL ||
	    (m != NULL && t->result.mapping == NULL)) {
		methods_test_free(t);
		return NULL;
	}
	return t;
}

/* Where: the mapping's worker, or any with a part of the client. */
static int methods_test_place(struct methods_test *t, const struct held_client *client,
			      const struct held_mapping *m)
{
	if (m != NULL && m->role != NULL && m->role == client->role) {
		t->role = m->role->index;
		t->worker = m->worker;
		return 0;
	}
	t->role = client->role->index;
	return role_ensure_part(client->role, &t->worker);
}

static int methods_test_ask(struct methods_test *t)
{
	struct daemon *d = t->daemon;
	struct message *m = message_new(MESSAGE_TEST, t->role, 0);

	if (m == NULL || gather_new(&t->gather, &d->gathers, &methods_test_ops, t,
				    t->timeout_ms + METHODS_TEST_GRACE_MS) != 0) {
		message_free(m);
		return RSTUN_E_NOMEM;
	}
	m->test.mapping = t->mapping;
	m->test.has_mapping = t->has_mapping;
	m->test.timeout_ms = t->timeout_ms;
	gather_ask(t->gather, d->workers[t->worker], m);
	return 0;
}

struct answer methods_client_test(struct daemon *d, struct call *c,
				  const struct rpc_client_test_params *p)
{
	struct held_client *client;
	struct held_mapping *m;
	struct methods_test *t;
	struct rpc_error error;

	if (methods_test_find(d, p, &client, &m, &error) != 0)
		return call_fail(c, &error, NULL);
	if (d->tests >= METHODS_TESTS_MAX) {
		rpc_error_from(&error, RSTUN_E_LIMIT_REACHED,
			       "client.test: %u tests are under way, and at most %u are possible at a "
			       "time", d->tests, METHODS_TESTS_MAX);
		rpc_error_hint(&error, "try again in a few seconds");
		return call_fail(c, &error, NULL);
	}
	t = methods_test_new(d, client, m);
	if (t == NULL)
		return methods_nomem(c);
	t->call = c;
	t->timeout_ms = p->timeout_ms;
	if (methods_test_place(t, client, m) != 0 || methods_test_ask(t) != 0) {
		methods_test_free(t);
		return methods_nomem(c);
	}
	return call_later(c, methods_test_on_cancel, t);
}
