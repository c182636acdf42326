/* SPDX-License-Identifier: MIT */
/*
 * One connection on the control socket: lines in, requests dispatched, replies out. Its event is
 * edge-triggered and stays on, so that an end on both sides is heard even while nothing is read;
 * `readable` and `blocked` remember what the last edge said. A caller that is gone altogether still
 * has executed what it had sent.
 */
#include "rstund/control/control_private.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "rpc/field_json.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_LOG "control"

/* ---- Replies --------------------------------------------------------------------------------- */

static void control_connection_batch_free(struct call_batch *batch)
{
	LIST_REMOVE(batch, link);
	rpc_batch_done(&batch->replies);
	free(batch);
}

void control_connection_reply(struct control_connection *c, struct call_batch *batch, char *line,
			      size_t bytes)
{
	if (batch != NULL) {
		bool last = rpc_batch_add(&batch->replies, line, bytes);

		free(line);
		if (!last)
			return;
		line = rpc_batch_take(&batch->replies, &bytes);
	}
	if (line != NULL)
		control_output_put(c, line, bytes, false);
	else if (!c->hung_up)
		c->broken = true;
	control_connection_wake(c);
	if (batch != NULL) {
		control_events_start(c, batch);
		if (c->batch == batch)
			c->batch = NULL;
		control_connection_batch_free(batch);
	}
}

static void control_connection_refuse(struct control_connection *c, struct call_batch *batch,
				      const json_t *id, const struct rpc_error *error)
{
	size_t bytes = 0;
	char *line = rpc_message_error(id, error, NULL, &bytes);

	control_connection_reply(c, batch, line, bytes);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static void control_connection_no_method(const char *name, struct rpc_error *error)
{
	const char *nearest = rpc_method_suggest(name);
	char quoted[100];

	log_quote(quoted, sizeof(quoted), name, strlen(name));
	rpc_error_set(error, RPC_METHOD_NOT_FOUND, "there is no method %s", quoted);
	if (nearest != NULL)
		rpc_error_hint(error, "did you mean %s?", nearest);
	else
		rpc_error_hint(error, "rpc.discover names all methods");
}

static void control_connection_no_right(const char *method, struct rpc_error *error)
{
	rpc_error_from(error, RSTUN_E_PERMISSION_DENIED,
		       "%s changes something, and this socket is for reading only", method);
	rpc_error_hint(error, "use the main control socket: as root, as the daemon's user, or as a "
			      "member of its admin group");
}

/* What speaks against it before its params are looked at; error->code 0 = nothing. */
static int control_connection_check(struct control_connection *c, const struct rpc_request *r,
				    const struct call_batch *batch, struct rpc_error *error)
{
	int method;

	error->code = 0;
	if (r->error.code != 0) {
		*error = r->error;
		return -1;
	}
	method = rpc_method_find(r->method);
	if (method < 0)
		control_connection_no_method(r->method, error);
	else if (rpc_methods[method].change && !c->caller.may_change)
		control_connection_no_right(r->method, error);
	else if (batch != NULL && batch->replies.bytes > CONTROL_OUTPUT_HARD)
		rpc_error_from(error, RSTUN_E_LIMIT_REACHED,
			       "the replies of this batch are too large together: at most %d bytes "
			       "before the last one", CONTROL_OUTPUT_HARD);
	return method;
}

static struct call *control_connection_call(struct control_connection *c,
					    const struct rpc_request *r, struct call_batch *batch,
					    enum rpc_method method)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->connection = c;
	call->batch = r->id != NULL ? batch : NULL;
	call->caller = c->caller;
	call->log = c->server->params.log;
	call->method = method;
	call->id = json_incref(r->id);
	LIST_INSERT_HEAD(&c->calls, call, link);
	c->call_count++;
	return call;
}

static void control_connection_dispatch(struct control_connection *c, const struct rpc_request *r,
					struct call_batch *batch)
{
	const struct control_server_params *p = &c->server->params;
	const struct rpc_method_row *row;
	struct rpc_error error;
	struct call *call = NULL;
	void *params = NULL;
	bool decoded = false;
	int method = control_connection_check(c, r, batch, &error);

	if (error.code != 0)
		goto refuse;
	row = &rpc_methods[method];
	params = calloc(1, row->params->size + 1); /* some have no members */
	if (params != NULL)
		decoded = field_json_decode_params(row, params, r->params, &error) == 0;
	if (decoded)
		call = control_connection_call(c, r, batch, (enum rpc_method)method);
	if (call != NULL) {
		call_end(p->on_call(p->user, call, (enum rpc_method)method, params));
	} else if (params == NULL || decoded) {
		rpc_error_set(&error, RPC_INTERNAL, "memory is short");
	}
	if (decoded)
		field_free(row->params->rows, row->params->count, params);
	free(params);
	if (call != NULL)
		return;
refuse:
	/* A request that is none is answered even if it has no id. */
	if (r->id != NULL || r->error.code != 0)
		control_connection_refuse(c, batch, r->id, &error);
}

/* A line has become a message. */
static void control_connection_begin(struct control_connection *c)
{
	size_t replies = 0;

	c->message_next = 0;
	c->batch = NULL;
	if (!c->message.batch)
		return;
	for (size_t i = 0; i < c->message.count; i++)
		replies += c->message.requests[i].id != NULL ||
			   c->message.requests[i].error.code != 0;
	if (replies == 0)
		return;
	c->batch = calloc(1, sizeof(*c->batch));
	if (c->batch == NULL) {
		c->broken = true;
		return;
	}
	rpc_batch_init(&c->batch->replies, replies);
	LIST_INSERT_HEAD(&c->batches, c->batch, link);
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* Both sides are shut: nobody waits for replies. */
static bool control_connection_is_shut(const struct control_connection *c)
{
	struct pollfd p = {.fd = c->fd};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0;
}

/* Ends what only makes sense for somebody who listens. */
static void control_connection_hang_up(struct control_connection *c)
{
	struct call *call;

	c->hung_up = true;
	control_output_discard(c);
	control_events_end(c);
	while ((call = LIST_FIRST(&c->calls)) != NULL)
		call_cancel(call, NULL);
}

/* How many bytes were read. */
static size_t control_connection_read(struct control_connection *c)
{
	size_t room;
	char *buf = line_reader_room(&c->reader, &room);
	ssize_t n;

	if (buf == NULL) {
		c->broken = true;
		return 0;
	}
	do
		n = recv(c->fd, buf, room, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		line_reader_filled(&c->reader, (size_t)n);
		return (size_t)n;
	}
	if (n < 0 && errno == ECONNRESET) { /* said once; what it had written can still be read */
		if (!c->hung_up)
			control_connection_hang_up(c);
		return 0;
	}
	c->readable = false;
	if (n == 0 || errno != EAGAIN) {
		c->ended = true;
		line_reader_end(&c->reader);
		if (!c->hung_up && (n < 0 || control_connection_is_shut(c)))
			control_connection_hang_up(c);
	}
	return 0;
}

/* The next message, if there is one. `budget`: bytes that may be read. */
static bool control_connection_next(struct control_connection *c, size_t *budget)
{
	for (;;) {
		struct rpc_message message;
		char *line = NULL;
		size_t bytes = 0;
		int rv = line_reader_next(&c->reader, &line, &bytes);

		if (rv == RSTUN_E_AGAIN) {
			size_t n;

			if (!c->readable || c->broken || *budget == 0)
				return false;
			n = control_connection_read(c);
			*budget -= n < *budget ? n : *budget;
			continue;
		}
		rv = rv == 0 ? rpc_message_parse(&message, line, bytes)
			     : rpc_message_too_long(&message);
		if (line != NULL)
			secret_wipe(line, bytes); /* there may be a password in it */
		if (rv != 0) {
			c->broken = true;
			return false;
		}
		c->message = message;
		control_connection_begin(c);
		return true;
	}
}

/* Whether another request may be dispatched. */
static bool control_connection_may(const struct control_connection *c)
{
	return !c->broken && c->held_by == 0 && c->call_count < CONTROL_IN_FLIGHT_MAX &&
	       c->output_bytes <= CONTROL_OUTPUT_MAX;
}

static bool control_connection_has(const struct control_connection *c)
{
	return c->message.count > 0 || c->readable || line_reader_waiting(&c->reader);
}

/* A turn's share of requests. */
static void control_connection_serve(struct control_connection *c)
{
	size_t bytes = CONTROL_TURN_BYTES;

	for (int i = 0; i < CONTROL_TURN_REQUESTS && control_connection_may(c); i++) {
		if (c->message.count == 0 && !control_connection_next(c, &bytes))
			return;
		if (c->broken)
			return;
		control_connection_dispatch(c, &c->message.requests[c->message_next], c->batch);
		if (++c->message_next == c->message.count) {
			rpc_message_free(&c->message);
			c->batch = NULL;
		}
		if (c->hung_up)
			control_connection_hang_up(c); /* also of what has just begun */
	}
}

/* ---- The task -------------------------------------------------------------------------------- */

void control_connection_wake(struct control_connection *c)
{
	if (!c->closing)
		loop_task_schedule(c->server->loop, &c->task);
}

/* Writes, and lets subscriptions fill the room. */
static void control_connection_write(struct control_connection *c)
{
	if (c->hung_up)
		return;
	if (!control_output_write(c)) {
		control_connection_hang_up(c);
		return;
	}
	if (c->event_bytes <= CONTROL_OUTPUT_MAX / 2)
		control_events_pump(c);
}

static void control_connection_on_task(void *user)
{
	struct control_connection *c = user;
	bool idle;

	if (c->handed_over) {
		control_connection_free(c, true);
		return;
	}
	control_connection_write(c);
	control_connection_serve(c);
	control_connection_write(c);
	idle = !control_connection_has(c) && c->call_count == 0;
	if (c->broken || (c->ended && idle && STAILQ_EMPTY(&c->output))) {
		control_connection_free(c, true);
		return;
	}
	/* Else it waits for its caller, or for a handler. */
	if ((control_connection_has(c) && control_connection_may(c)) ||
	    (!STAILQ_EMPTY(&c->output) && !c->blocked))
		control_connection_wake(c);
}

static void control_connection_on_event(evutil_socket_t fd, short what, void *user)
{
	struct control_connection *c = user;

	(void)fd;
	loop_enter(c->server->loop);
	if ((what & EV_READ) != 0)
		c->readable = true;
	if ((what & EV_WRITE) != 0)
		c->blocked = false;
	/* While nothing is read, nothing else tells that the caller is gone. */
	if (!c->hung_up && (c->ended || !control_connection_may(c)) &&
	    control_connection_is_shut(c))
		control_connection_hang_up(c);
	control_connection_wake(c);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

int control_connection_new(struct control_server *cs, int fd, const struct call_caller *caller)
{
	struct control_connection *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		close(fd);
		return RSTUN_E_NOMEM;
	}
	c->server = cs;
	c->caller = *caller;
	c->caller.id = ++cs->last_caller;
	c->fd = fd;
	c->readable = true;
	line_reader_init(&c->reader, RPC_LINE_MAX);
	LIST_INIT(&c->calls);
	LIST_INIT(&c->batches);
	LIST_INIT(&c->subscriptions);
	STAILQ_INIT(&c->output);
	loop_task_init(&c->task, control_connection_on_task, c);
	event_assign(&c->event, cs->loop->base, fd, EV_READ | EV_WRITE | EV_PERSIST | EV_ET,
		     control_connection_on_event, c);
	if (event_add(&c->event, NULL) != 0) {
		close(fd);
		free(c);
		return RSTUN_E_NOMEM;
	}
	TAILQ_INSERT_TAIL(&cs->connections, c, link);
	cs->connection_count++;
	control_connection_wake(c);
	return 0;
}

void control_connection_free(struct control_connection *c, bool tell)
{
	struct control_server *cs = c->server;
	uint64_t id = c->caller.id;
	struct call_batch *batch;

	c->closing = true;
	control_connection_hang_up(c);
	while ((batch = LIST_FIRST(&c->batches)) != NULL)
		control_connection_batch_free(batch);
	rpc_message_free(&c->message);
	line_reader_done(&c->reader);
	event_del(&c->event);
	loop_task_cancel(cs->loop, &c->task);
	close(c->fd);
	TAILQ_REMOVE(&cs->connections, c, link);
	cs->connection_count--;
	free(c);
	control_server_refill(cs);
	if (tell)
		cs->params.on_gone(cs->params.user, id);
}
