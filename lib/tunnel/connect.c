/* SPDX-License-Identifier: MIT */
/*
 * The race. Addresses are kept per server in the order given, so that fail-over follows the order
 * of the configuration; a server whose name is still being looked up is waited for only for the
 * stagger time. A try outlives the race that it lost: it is the user of its connection until that
 * is closed.
 */
#include "tunnel/connect.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "dns/resolver.h"
#include "quic/endpoint.h"
#include "tls/session.h"
#include "tunnel/dial.h"
#include "tunnel/env.h"
#include "tunnel/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct connect_server {
	struct connect *connect;
	const struct target *target;
	struct dial dial;
	bool resolving;
	size_t count, next; /* of addresses; the next to try */
	struct address addresses[RESOLVER_ADDRESSES_MAX];
};

struct connect_try {
	TAILQ_ENTRY(connect_try) link;
	struct connect *connect; /* NULL: the race is over, without it */
	struct quic_conn *conn;
	struct address address;
};

TAILQ_HEAD(connect_try_list, connect_try);

struct connect {
	struct connect_params params;
	struct loop *loop;
	struct loop_task task;    /* the next step, never inside a call of the owner's */
	struct loop_timer stagger; /* the next try */
	struct loop_timer limit;  /* of all */
	uint64_t started_ns;
	uint64_t next_ns;         /* not before, while a try runs */
	struct connect_try_list tries;
	size_t tried;
	int error;
	char text[512];
	struct address last;
	struct connect_server servers[];
};

static void connect_free(struct connect *c)
{
	struct connect_try *try;

	for (size_t i = 0; i < c->params.server_count; i++)
		dial_cancel(&c->servers[i].dial);
	loop_task_cancel(c->loop, &c->task);
	loop_timer_cancel(&c->stagger);
	loop_timer_cancel(&c->limit);
	while ((try = TAILQ_FIRST(&c->tries)) != NULL) {
		TAILQ_REMOVE(&c->tries, try, link);
		try->connect = NULL;
		quic_conn_close(try->conn, 1, "another address was faster");
	}
	free(c);
}

void connect_cancel(struct connect *c)
{
	if (c != NULL)
		connect_free(c);
}

static void connect_finish(struct connect *c, int error, struct quic_conn *conn,
			   const struct address *address)
{
	void (*done)(void *user, const struct connect_result *result) = c->params.done;
	void *user = c->params.user;
	struct connect_result result = {.error = error, .conn = conn, .address = *address};
	char text[sizeof(c->text)];

	memcpy(text, c->text, sizeof(text));
	result.text = error != 0 ? text : "";
	connect_free(c);
	done(user, &result);
}

/* Keeps what helps most: an error that trying again does not cure before one that it may, else the
 * last. */
static void connect_note(struct connect *c, int error, const char *where, const char *why)
{
	log_debug(c->params.env->log, c->params.scope, "%s: %s", where, why);
	if (c->error != 0 && backoff_is_slow(c->error) && !backoff_is_slow(error))
		return;
	c->error = error;
	snprintf(c->text, sizeof(c->text), "%s: %s", where, why);
}

/* ---- one try ---- */

static void connect_on_ready(struct quic_conn *conn, void *user)
{
	struct connect_try *try = user;
	struct connect *c = try->connect;
	struct address address = try->address;

	if (c == NULL) /* lost already; the close is under way */
		return;
	TAILQ_REMOVE(&c->tries, try, link);
	free(try);
	connect_finish(c, 0, conn, &address);
}

static void connect_on_close(struct quic_conn *conn, void *user, const struct quic_close *why)
{
	struct connect_try *try = user;
	struct connect *c = try->connect;
	struct tls_session *session = quic_conn_tls(conn);
	const char *text = session != NULL ? tls_session_failure(session) : "";
	char where[ADDRESS_TEXT_SIZE];
	int error = why->error != 0 ? why->error : RSTUN_E_UNREACHABLE;

	if (c != NULL) {
		TAILQ_REMOVE(&c->tries, try, link);
		if (c->params.failed != NULL)
			c->params.failed(c->params.user, &try->address, conn, why);
		address_format(where, sizeof(where), &try->address);
		if (text[0] != '\0')
			error = RSTUN_E_TLS_VERIFY_FAILED;
		else
			text = why->reason[0] != '\0' ? why->reason : rstun_strerror(error);
		connect_note(c, error, where, text);
		c->next_ns = 0;
		loop_task_schedule(c->loop, &c->task);
	}
	free(try);
}

static const struct quic_conn_ops connect_conn_ops = {
	.on_ready = connect_on_ready,
	.on_close = connect_on_close,
};

static int connect_try_start(struct connect *c, const struct target *server,
			     const struct address *address)
{
	struct quic_connect params = {.remote = *address, .ops = &connect_conn_ops};
	struct connect_try *try = calloc(1, sizeof(*try));
	int err;

	if (try == NULL)
		return RSTUN_E_NOMEM;
	try->connect = c;
	try->address = *address;
	params.user = try;
	err = c->params.session(c->params.user, server, address, &params.session);
	if (err != 0) {
		free(try);
		return err;
	}
	err = quic_endpoint_connect(c->params.endpoint, &params, &try->conn);
	if (err != 0) {
		tls_session_free(params.session);
		free(try);
		return err;
	}
	TAILQ_INSERT_TAIL(&c->tries, try, link);
	return 0;
}

const struct address *connect_heard(const struct connect *c)
{
	struct connect_try *try;

	TAILQ_FOREACH(try, &c->tries, link)
	{
		struct quic_stats stats;

		quic_conn_stats(try->conn, &stats);
		if (stats.rx_datagrams != 0)
			return &try->address;
	}
	return NULL;
}

/* ---- the race ---- */

/* The next address in the order of the configuration; false when there is none now. */
static bool connect_pick(struct connect *c, struct connect_server **ret_server, bool *ret_wait)
{
	bool patient = loop_now(c->loop) < c->started_ns + clock_ms(LIMITS_STAGGER_MS);

	*ret_wait = false;
	for (size_t i = 0; i < c->params.server_count; i++) {
		struct connect_server *server = &c->servers[i];

		if (server->next < server->count) {
			*ret_server = server;
			return true;
		}
		if (server->resolving && patient) {
			*ret_wait = true;
			return false;
		}
	}
	return false;
}

static bool connect_resolving(const struct connect *c)
{
	for (size_t i = 0; i < c->params.server_count; i++)
		if (c->servers[i].resolving)
			return true;
	return false;
}

static void connect_step(void *user)
{
	struct connect *c = user;
	uint64_t now_ns = loop_now(c->loop);
	struct connect_server *server = NULL;
	bool wait = false;

	while (c->tried < LIMITS_CONNECT_ADDRESSES &&
	       (TAILQ_EMPTY(&c->tries) || c->next_ns <= now_ns) &&
	       connect_pick(c, &server, &wait)) {
		const struct address *address = &server->addresses[server->next++];
		char where[ADDRESS_TEXT_SIZE];
		int err = connect_try_start(c, server->target, address);

		c->tried++;
		c->last = *address;
		address_format(where, sizeof(where), address);
		if (err != 0) {
			connect_note(c, err, where, rstun_strerror(err));
			continue;
		}
		log_debug(c->params.env->log, c->params.scope, "trying %s", where);
		c->next_ns = now_ns + clock_ms(LIMITS_STAGGER_MS);
	}
	if (!TAILQ_EMPTY(&c->tries)) {
		bool more = c->tried < LIMITS_CONNECT_ADDRESSES && connect_pick(c, &server, &wait);

		if (wait)
			loop_timer_arm(&c->stagger, c->started_ns + clock_ms(LIMITS_STAGGER_MS));
		else
			loop_timer_arm(&c->stagger, more ? c->next_ns : CLOCK_NEVER);
		return;
	}
	if (wait)
		loop_timer_arm(&c->stagger, c->started_ns + clock_ms(LIMITS_STAGGER_MS));
	else if (!connect_resolving(c))
		connect_finish(c, c->error != 0 ? c->error : RSTUN_E_UNREACHABLE, NULL, &c->last);
}

static void connect_on_limit(void *user)
{
	struct connect *c = user;

	connect_note(c, RSTUN_E_TIMEOUT, "connecting", "no server answered in time");
	connect_finish(c, c->error, NULL, &c->last);
}

static void connect_on_resolved(void *user, const struct dial_result *result)
{
	struct connect_server *server = user;
	struct connect *c = server->connect;

	server->resolving = false;
	server->next = 0;
	server->count = 0;
	if (result->error != 0)
		connect_note(c, result->error, "no address of the server", result->why);
	for (size_t i = 0; result->error == 0 && i < result->count && i < RESOLVER_ADDRESSES_MAX;
	     i++)
		server->addresses[server->count++] = result->addresses[i];
	loop_task_schedule(c->loop, &c->task);
}

int connect_start(struct connect **ret, const struct connect_params *params)
{
	struct connect *c = calloc(1, sizeof(*c) + params->server_count * sizeof(c->servers[0]));

	if (c == NULL)
		return RSTUN_E_NOMEM;
	c->params = *params;
	c->loop = params->env->loop;
	c->started_ns = loop_now(c->loop);
	TAILQ_INIT(&c->tries);
	loop_task_init(&c->task, connect_step, c);
	loop_timer_init(&c->stagger, c->loop, connect_step, c);
	loop_timer_init(&c->limit, c->loop, connect_on_limit, c);
	loop_timer_arm(&c->limit, c->started_ns + clock_ms(LIMITS_CONNECT_MS));
	for (size_t i = 0; i < params->server_count; i++) {
		struct connect_server *server = &c->servers[i];

		server->connect = c;
		server->target = &params->servers[i];
		server->resolving = true;
		dial_resolve(&server->dial, params->resolver, server->target, connect_on_resolved,
			     server);
	}
	loop_task_schedule(c->loop, &c->task);
	*ret = c;
	return 0;
}
