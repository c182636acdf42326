/* SPDX-License-Identifier: MIT */
/*
 * Calls: from their reply to a line of their connection, or to nowhere.
 */
#include "rstund/control/call.h"

#include "base/error.h"
#include "base/log.h"
#include "rpc/field_json.h"
#include "rstund/control/control_private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const struct answer call_answer = {0};

const struct call_caller *call_caller(const struct call *c)
{
	return &c->caller;
}

enum rpc_method call_method(const struct call *c)
{
	return c->method;
}

bool call_is_unheard(const struct call *c)
{
	return c->connection == NULL || c->connection->hung_up;
}

void *call_user(const struct call *c)
{
	return c->user;
}

/* Cuts it off from its connection, which does not wait for it any more. */
static struct control_connection *call_cut(struct call *c)
{
	struct control_connection *connection = c->connection;

	if (connection != NULL) {
		LIST_REMOVE(c, link);
		connection->call_count--;
		connection->held_by -= c->holds;
		c->connection = NULL;
	}
	return connection;
}

void call_note(struct call *c, const char *note)
{
	free(c->note);
	c->note = strdup(note);
}

static void call_said(struct call *c, const char *outcome, const char *kind)
{
	if (c->note == NULL)
		return;
	log_info(c->log, "audit", "%s: %s%s%s%s", c->note, outcome, kind[0] != '\0' ? " (" : "", kind,
		 kind[0] != '\0' ? ")" : "");
	free(c->note);
	c->note = NULL;
}

/* Frees the call. The line is taken over; not used for a notification. */
static void call_finish(struct call *c, char *line, size_t bytes)
{
	struct control_connection *connection = call_cut(c);

	if (connection != NULL && c->id != NULL)
		control_connection_reply(connection, c->batch, line, bytes);
	else
		free(line);
	if (connection != NULL)
		control_connection_wake(connection);
	call_said(c, "its caller has gone", "");
	json_decref(c->id);
	free(c);
}

struct answer call_fail(struct call *c, const struct rpc_error *error, json_t *more)
{
	size_t bytes = 0;
	char *line = NULL;

	call_said(c, "refused", error->kind);
	if (c->connection != NULL && c->id != NULL)
		line = rpc_message_error(c->id, error, more, &bytes);
	else
		json_decref(more);
	call_finish(c, line, bytes);
	return call_answer;
}

struct answer call_reply_json(struct call *c, json_t *result)
{
	struct rpc_error error;
	size_t bytes = 0;
	char *line;

	call_said(c, "done", "");
	if (c->connection == NULL || c->id == NULL) {
		json_decref(result);
		call_finish(c, NULL, 0);
		return call_answer;
	}
	line = rpc_message_result(c->id, result, &bytes);
	if (line == NULL) {
		rpc_error_set(&error, RPC_INTERNAL, "memory is short: the reply could not be made");
		return call_fail(c, &error, NULL);
	}
	call_finish(c, line, bytes);
	return call_answer;
}

struct answer call_reply(struct call *c, const void *result)
{
	const struct field_rows *rows = rpc_methods[c->method].result;
	bool heard = c->connection != NULL && c->id != NULL && rows != NULL;

	return call_reply_json(c, heard ? field_json_encode(rows, result) : NULL);
}

int call_hand_over(struct call *c, const void *result, struct call_socket *ret,
		   struct rpc_error *error)
{
	const struct field_rows *rows = rpc_methods[c->method].result;
	struct control_connection *connection = c->connection;
	struct call_socket s = {.fd = -1};

	if (connection == NULL || c->id == NULL || c->batch != NULL ||
	    connection->call_count != 1 || connection->subscription_count != 0 ||
	    !STAILQ_EMPTY(&connection->output)) {
		rpc_error_set(error, RPC_INVALID_REQUEST,
			      "%s needs a connection of its own: no batch, no other call, no "
			      "subscription, and an id", rpc_methods[c->method].name);
		return RSTUN_E_FAILED;
	}
	s.early = line_reader_rest(&connection->reader, &s.early_bytes);
	if (s.early_bytes > CALL_EARLY_MAX) {
		rpc_error_set(error, RPC_INVALID_REQUEST,
			      "%s: more than %d bytes came behind the request before its reply",
			      rpc_methods[c->method].name, CALL_EARLY_MAX);
		return RSTUN_E_FAILED;
	}
	s.reply = rpc_message_result(c->id, field_json_encode(rows, result), &s.reply_bytes);
	if (s.reply != NULL)
		s.fd = fcntl(connection->fd, F_DUPFD_CLOEXEC, 0);
	if (s.fd < 0) {
		rpc_error_from(error, s.reply == NULL ? RSTUN_E_NOMEM : RSTUN_E_LIMIT_REACHED,
			       "%s: %s", rpc_methods[c->method].name,
			       s.reply == NULL ? "memory is short" : "no descriptor is left");
		free(s.reply);
		return RSTUN_E_FAILED;
	}
	call_hold(c);
	*ret = s;
	return 0;
}

void call_handed_over(struct call *c)
{
	if (c->connection != NULL) {
		c->connection->handed_over = true;
		control_connection_wake(c->connection);
	}
	call_said(c, "done", "");
	call_cut(c);
	json_decref(c->id);
	free(c);
}

struct answer call_later(struct call *c, void (*cancel)(struct call *c, void *user), void *user)
{
	c->cancel = cancel;
	c->user = user;
	return call_answer;
}

void call_hold(struct call *c)
{
	if (c->connection == NULL || c->holds)
		return;
	c->holds = true;
	c->connection->held_by++;
}

void call_cancel(struct call *c, const struct rpc_error *error)
{
	void (*cancel)(struct call *c, void *user) = c->cancel;

	c->cancel = NULL;
	if (cancel != NULL) {
		cancel(c, c->user);
		if (error != NULL)
			call_fail(c, error, NULL);
		else
			call_finish(c, NULL, 0);
		return;
	}
	if (error != NULL && c->connection != NULL && c->id != NULL) {
		size_t bytes = 0;
		char *line = rpc_message_error(c->id, error, NULL, &bytes);

		control_connection_reply(c->connection, c->batch, line, bytes);
	}
	call_cut(c);
}
