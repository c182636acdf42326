/* SPDX-License-Identifier: MIT */
/*
 * From a method to its handler, finding what a call names, replies, and calls that wait for fresh
 * counters.
 */
#include "rstund/control/methods.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/field.h"
#include "base/log.h"
#include "rstund/control/control_server.h"
#include "rstund/daemon_private.h"
#include "rstund/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHODS_WORKER_TIMEOUT_MS 1000

/* ---- Who changed what ------------------------------------------------------------------------ */

/* " name=web client=home": what the params name; never a secret, never long. */
static void methods_audit_params(char *buf, size_t size, const struct field_rows *rows,
				 const void *params)
{
	static const char *const names[] = {"id",     "name",    "spec",   "mapping",
					    "client", "session", "server", "level"};
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < rows->count; i++) {
		const struct field *row = &rows->rows[i];
		char value[200], quoted[160];
		bool wanted = false;

		for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++)
			wanted |= strcmp(row->name, names[j]) == 0;
		if (!wanted || (row->type != FIELD_STRING && row->type != FIELD_CHOICE))
			continue;
		field_get(row, params, value, sizeof(value));
		if (value[0] == '\0' || used >= size)
			continue;
		used += (size_t)snprintf(buf + used, size - used, " %s=%s", row->name,
					 log_quote(quoted, sizeof(quoted), value, strlen(value)));
	}
}

static void methods_audit(struct call *c, const struct rpc_method_row *method, const void *params)
{
	const struct call_caller *caller = call_caller(c);
	char what[512], note[640];

	methods_audit_params(what, sizeof(what), method->params, params);
	snprintf(note, sizeof(note), "uid %ld, pid %ld: %s%s", (long)caller->uid,
		 (long)caller->pid, method->name, what);
	call_note(c, note);
}

/* ---- The table ------------------------------------------------------------------------------- */

static struct answer methods_dispatch(struct daemon *d, struct call *c, enum rpc_method method,
				      const void *p)
{
	switch (method) {
	case RPC_DISCOVER:
		return methods_discover(d, c);
	case RPC_CANCEL:
		return control_server_cancel(d->control, c, p);
	case RPC_DAEMON_INFO:
		return methods_daemon_info(d, c);
	case RPC_DAEMON_STATUS:
		return methods_daemon_status(d, c);
	case RPC_DAEMON_PING:
		return methods_daemon_ping(d, c);
	case RPC_DAEMON_RELOAD:
		return methods_daemon_reload(d, c, p);
	case RPC_DAEMON_SHUTDOWN:
		return methods_daemon_shutdown(d, c, p);
	case RPC_CONFIG_GET:
		return methods_config_get(d, c);
	case RPC_CONFIG_CHECK:
		return methods_config_check(d, c, p);
	case RPC_LOG_GET_LEVEL:
		return methods_log_get_level(d, c);
	case RPC_LOG_SET_LEVEL:
		return methods_log_set_level(d, c, p);
	case RPC_LOG_TAIL:
		return methods_log_tail(d, c, p);
	case RPC_CLIENT_ADD:
		return methods_client_add(d, c, p);
	case RPC_CLIENT_SET:
		return methods_client_set(d, c, p);
	case RPC_CLIENT_REMOVE:
		return methods_client_remove(d, c, p);
	case RPC_CLIENT_LIST:
		return methods_client_list(d, c);
	case RPC_CLIENT_GET:
		return methods_client_get(d, c, p);
	case RPC_CLIENT_TEST:
		return methods_client_test(d, c, p);
	case RPC_SERVER_ADD:
		return methods_server_add(d, c, p);
	case RPC_SERVER_SET:
		return methods_server_set(d, c, p);
	case RPC_SERVER_REMOVE:
		return methods_server_remove(d, c, p);
	case RPC_SERVER_LIST:
		return methods_server_list(d, c);
	case RPC_SERVER_GET:
		return methods_server_get(d, c, p);
	case RPC_SERVER_DRAIN:
		return methods_server_drain(d, c, p);
	case RPC_MAPPING_ADD:
		return methods_mapping_add(d, c, p);
	case RPC_MAPPING_SET:
		return methods_mapping_set(d, c, p);
	case RPC_MAPPING_REMOVE:
		return methods_mapping_remove(d, c, p);
	case RPC_MAPPING_LIST:
		return methods_mapping_list(d, c, p);
	case RPC_MAPPING_GET:
		return methods_mapping_get(d, c, p);
	case RPC_MAPPING_WAIT:
		return methods_mapping_wait(d, c, p);
	case RPC_MAPPING_PAUSE:
		return methods_mapping_pause(d, c, p, true);
	case RPC_MAPPING_RESUME:
		return methods_mapping_pause(d, c, p, false);
	case RPC_MAPPING_RESTART:
		return methods_mapping_restart(d, c, p);
	case RPC_MAPPING_DRAIN:
		return methods_mapping_drain(d, c, p);
	case RPC_MAPPING_APPLY:
		return methods_mapping_apply(d, c, p);
	case RPC_MAPPING_CONFIRM:
		return methods_mapping_confirm(d, c, p);
	case RPC_CHANNEL_OPEN:
		return methods_channel_open(d, c, p);
	case RPC_FLOW_LIST:
		return methods_flow_list(d, c, p);
	case RPC_FLOW_KILL:
		return methods_flow_kill(d, c, p);
	case RPC_SESSION_LIST:
		return methods_session_list(d, c, p);
	case RPC_SESSION_GET:
		return methods_session_get(d, c, p);
	case RPC_SESSION_KICK:
		return methods_session_kick(d, c, p);
	case RPC_STATS_GET:
		return methods_stats_get(d, c, p);
	case RPC_METRICS_GET:
		return methods_metrics_get(d, c);
	case RPC_CERT_LIST:
		return methods_cert_list(d, c, p);
	case RPC_CERT_RELOAD:
		return methods_cert_reload(d, c, p);
	case RPC_EVENTS_SUBSCRIBE:
		return control_server_subscribe(d->control, c, p);
	case RPC_EVENTS_UNSUBSCRIBE:
		return control_server_unsubscribe(d->control, c, p);
	case RPC_EVENTS_NEXT:
		break;
	}
	return control_server_next(d->control, c, p);
}

struct answer methods_call(void *user, struct call *c, enum rpc_method method, const void *params)
{
	const struct rpc_method_row *row = &rpc_methods[method];
	struct daemon *d = user;
	struct rpc_error error;

	if (row->change && d->phase > DAEMON_RUNNING && method != RPC_DAEMON_SHUTDOWN) {
		rpc_error_set(&error, 1008, "the daemon is ending");
		return call_fail(c, &error, NULL);
	}
	if (row->change)
		methods_audit(c, row, params);
	return methods_dispatch(d, c, method, params);
}

/* ---- Finding --------------------------------------------------------------------------------- */

/* The nearest of several names, for "did you mean". */
struct methods_nearest {
	const char *wanted;
	const char *name;
	size_t distance;
};

static void methods_try_name(struct methods_nearest *n, const char *name)
{
	size_t distance = name[0] != '\0' ? field_distance(n->wanted, name) : SIZE_MAX;

	if (distance <= 2 && distance < strlen(n->wanted) && distance < n->distance) {
		n->distance = distance;
		n->name = name;
	}
}

static void methods_not_found(struct rpc_error *error, const char *what, const char *text,
			      const char *nearest, const char *list)
{
	char quoted[160];

	rpc_error_set(error, 1001, "there is no %s %s%s%s%s", what,
		      log_quote(quoted, sizeof(quoted), text, strlen(text)),
		      nearest != NULL ? " (did you mean " : "", nearest != NULL ? nearest : "",
		      nearest != NULL ? "?)" : "");
	rpc_error_hint(error, "rstunctl %s shows what there is", list);
}

struct held_client *methods_find_client(struct daemon *d, const char *text, struct rpc_error *error)
{
	struct held_client *found = inventory_client(&d->inventory, text), *c;
	struct methods_nearest nearest = {.wanted = text, .distance = SIZE_MAX};

	if (found != NULL)
		return found;
	TAILQ_FOREACH (c, &d->inventory.clients, link)
		methods_try_name(&nearest, c->name);
	methods_not_found(error, "client", text, nearest.name, "client list");
	return NULL;
}

struct held_client *methods_the_client(struct daemon *d, const char *text, struct rpc_error *error)
{
	struct held_client *only = TAILQ_FIRST(&d->inventory.clients), *c;
	char all[400] = "";
	size_t used = 0;

	if (text != NULL)
		return methods_find_client(d, text, error);
	if (only == NULL) {
		rpc_error_set(error, 1001, "there is no client yet: no server to dial");
		rpc_error_hint(error,
			       "rstunctl client add NAME HOST:PORT --password-file FILE adds one");
		return NULL;
	}
	if (TAILQ_NEXT(only, link) == NULL)
		return only;
	TAILQ_FOREACH (c, &d->inventory.clients, link)
		if (used < sizeof(all))
			used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s",
						 used > 0 ? ", " : "", c->name);
	rpc_error_set(error, RPC_INVALID_PARAMS, "there are several clients: say which one (%s)",
		      all);
	snprintf(error->field, sizeof(error->field), "client");
	rpc_error_hint(error, "--client NAME");
	return NULL;
}

struct held_server *methods_find_server(struct daemon *d, const char *text, struct rpc_error *error)
{
	struct held_server *found = inventory_server(&d->inventory, text), *s;
	struct methods_nearest nearest = {.wanted = text, .distance = SIZE_MAX};

	if (found != NULL)
		return found;
	TAILQ_FOREACH (s, &d->inventory.servers, link)
		methods_try_name(&nearest, s->name);
	methods_not_found(error, "server", text, nearest.name, "server list");
	return NULL;
}

struct held_mapping *methods_find_mapping(struct daemon *d, const char *text,
					  struct rpc_error *error)
{
	struct held_mapping *found = inventory_mapping(&d->inventory, text), *m;
	struct methods_nearest nearest = {.wanted = text, .distance = SIZE_MAX};

	if (found != NULL)
		return found;
	TAILQ_FOREACH (m, &d->inventory.mappings, link)
		methods_try_name(&nearest, m->name);
	methods_not_found(error, "mapping", text, nearest.name, "list");
	return NULL;
}

struct held_session *methods_find_session(struct daemon *d, const char *text,
					  struct rpc_error *error)
{
	struct held_session *found = inventory_session(&d->inventory, text);

	if (found == NULL)
		methods_not_found(error, "session", text, NULL, "session list");
	return found;
}

/* ---- Replies --------------------------------------------------------------------------------- */

struct answer methods_nomem(struct call *c)
{
	struct rpc_error error;

	rpc_error_from(&error, RSTUN_E_NOMEM, "%s: memory is short",
		       rpc_methods[call_method(c)].name);
	return call_fail(c, &error, NULL);
}

struct answer methods_reply(struct call *c, void *result, int rc)
{
	const struct field_rows *rows = rpc_methods[call_method(c)].result;
	struct answer answer = rc == 0 ? call_reply(c, result) : methods_nomem(c);

	field_free(rows->rows, rows->count, result);
	return answer;
}

/* ---- Fresh counters -------------------------------------------------------------------------- */

struct methods_refresh {
	struct sampler_wait wait;
	struct daemon *daemon;
	struct call *call;
	void *data;
	struct answer (*reply)(struct daemon *d, struct call *c, void *data);
	void (*release)(void *data);
};

static void methods_refresh_free(struct methods_refresh *r)
{
	if (r->release != NULL)
		r->release(r->data);
	else
		free(r->data);
	free(r);
}

static void methods_refreshed(void *user)
{
	struct methods_refresh *r = user;

	call_end(r->reply(r->daemon, r->call, r->data));
	methods_refresh_free(r);
}

static void methods_refresh_cancel(struct call *c, void *user)
{
	struct methods_refresh *r = user;

	(void)c;
	sampler_cancel(&r->daemon->sampler, &r->wait);
	methods_refresh_free(r);
}

struct answer methods_after_refresh(struct daemon *d, struct call *c, void *data,
				    struct answer (*reply)(struct daemon *d, struct call *c,
							   void *data),
				    void (*release)(void *data))
{
	struct methods_refresh *r = calloc(1, sizeof(*r));
	struct answer answer;

	if (r == NULL) { /* then with what is known */
		answer = reply(d, c, data);
		if (release != NULL)
			release(data);
		else
			free(data);
		return answer;
	}
	*r = (struct methods_refresh){
		.daemon = d, .call = c, .data = data, .reply = reply, .release = release};
	answer = call_later(c, methods_refresh_cancel, r);
	call_hold(c); /* 32 lists of a thousand mappings would be 20 MB at once */
	sampler_refresh(&d->sampler, &r->wait, methods_refreshed, r);
	return answer;
}

/* ---- A worker that is through ---------------------------------------------------------------- */

struct methods_worker {
	struct gather *gather;
	struct daemon *daemon;
	struct call *call;
	void *data;
	struct answer (*reply)(struct daemon *d, struct call *c, void *data);
	void (*release)(void *data);
};

static void methods_worker_free(struct methods_worker *w)
{
	if (w->release != NULL)
		w->release(w->data);
	else
		free(w->data);
	free(w);
}

static void methods_worker_done(void *user, bool complete)
{
	struct methods_worker *w = user;

	(void)complete;
	call_end(w->reply(w->daemon, w->call, w->data));
	methods_worker_free(w);
}

static const struct gather_ops methods_worker_ops = {.done = methods_worker_done};

static void methods_worker_cancel(struct call *c, void *user)
{
	struct methods_worker *w = user;

	(void)c;
	gather_cancel(w->gather);
	methods_worker_free(w);
}

struct answer methods_after_worker(struct daemon *d, struct call *c, unsigned worker, void *data,
				   struct answer (*reply)(struct daemon *d, struct call *c,
							  void *data),
				   void (*release)(void *data))
{
	struct methods_worker *w = calloc(1, sizeof(*w));
	struct message *ping = message_new(MESSAGE_PING, 0, 0);
	struct answer answer;

	if (w == NULL || ping == NULL ||
	    gather_new(&w->gather, &d->gathers, &methods_worker_ops, w,
		       METHODS_WORKER_TIMEOUT_MS) != 0) { /* then without waiting */
		free(w);
		message_free(ping);
		answer = reply(d, c, data);
		if (release != NULL)
			release(data);
		else
			free(data);
		return answer;
	}
	w->daemon = d;
	w->call = c;
	w->data = data;
	w->reply = reply;
	w->release = release;
	answer = call_later(c, methods_worker_cancel, w);
	/* Messages are handled in order: what was told before is done when this one is answered. */
	gather_ask(w->gather, d->workers[worker], ping);
	return answer;
}
