/* SPDX-License-Identifier: MIT */
/*
 * A connection to a daemon for a program that may block. What arrives is either the reply that is
 * waited for, a late reply (dropped), or an event (kept in order).
 */
#include "rpc/rpc_caller.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/field_json.h"
#include "rpc/line_reader.h"
#include "rpc/rpc_message.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

struct rpc_caller_event {
	STAILQ_ENTRY(rpc_caller_event) link;
	json_t *params;
};

struct rpc_caller {
	int fd;
	json_int_t last_id;
	struct line_reader reader;
	STAILQ_HEAD(, rpc_caller_event) events;
	size_t event_count;
	bool ended; /* the daemon sends no more */
	int passed; /* a descriptor that came with a reply; -1 = none */
	void (*on_wait)(void *user, uint64_t waited_ms);
	void *user;
};

int rpc_caller_new(struct rpc_caller **ret, int fd)
{
	struct rpc_caller *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		close(fd);
		return RSTUN_E_NOMEM;
	}
	c->fd = fd;
	c->passed = -1;
	line_reader_init(&c->reader, RPC_CALLER_REPLY_MAX);
	STAILQ_INIT(&c->events);
	*ret = c;
	return 0;
}

int rpc_caller_open(struct rpc_caller **ret, const struct unix_socket_env *env,
		    struct rpc_error *error)
{
	char text[UNIX_SOCKET_ERROR_SIZE], *path = NULL;
	int fd, rv = unix_socket_connect(&fd, &path, env, text);

	if (rv == 0) {
		free(path);
		rv = rpc_caller_new(ret, fd);
	}
	if (rv == RSTUN_E_NOMEM) {
		rpc_error_from(error, rv, "%s", rstun_strerror(rv));
	} else if (rv == RSTUN_E_PERMISSION_DENIED) {
		rpc_error_from(error, rv, "%s", text);
		rpc_error_hint(error, "the daemon's user, root, and the members of its admin group "
				      "may use the socket");
	} else if (rv != 0) {
		rpc_error_set(error, RPC_NO_DAEMON, "%s", text);
		rpc_error_hint(error, "is rstund running? --socket names another socket");
	}
	return rv;
}

void rpc_caller_free(struct rpc_caller *c)
{
	struct rpc_caller_event *e;

	if (c == NULL)
		return;
	while ((e = STAILQ_FIRST(&c->events)) != NULL) {
		STAILQ_REMOVE_HEAD(&c->events, link);
		json_decref(e->params);
		free(e);
	}
	line_reader_done(&c->reader);
	if (c->passed >= 0)
		close(c->passed);
	close(c->fd);
	free(c);
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static uint64_t rpc_caller_deadline(uint64_t timeout_ms)
{
	if (timeout_ms == RPC_CALLER_FOREVER)
		return CLOCK_NEVER;
	return clock_after(clock_now_ns(), clock_ms(timeout_ms));
}

/* For poll(): until the deadline, rounded up. */
static int rpc_caller_left(uint64_t deadline_ns, uint64_t now_ns)
{
	uint64_t left_ms;

	if (deadline_ns == CLOCK_NEVER)
		return -1;
	if (deadline_ns <= now_ns)
		return 0;
	left_ms = (deadline_ns - now_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
	return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

/* 0 when one of `events` is there. RSTUN_E_TIMEOUT, RSTUN_E_FAILED. */
static int rpc_caller_poll(struct rpc_caller *c, short events, uint64_t deadline_ns)
{
	uint64_t began_ns = clock_now_ns(), now_ns = began_ns, tick_ns = CLOCK_NEVER;

	if (c->on_wait != NULL)
		tick_ns = clock_after(now_ns, CLOCK_NS_PER_S);
	for (;;) {
		struct pollfd p = {.fd = c->fd, .events = events};
		int n = poll(&p, 1, rpc_caller_left(clock_min(deadline_ns, tick_ns), now_ns));

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return RSTUN_E_FAILED;
		now_ns = clock_now_ns();
		if (n == 0 && now_ns >= deadline_ns)
			return RSTUN_E_TIMEOUT;
		if (now_ns >= tick_ns) {
			c->on_wait(c->user, (now_ns - began_ns) / CLOCK_NS_PER_MS);
			tick_ns = clock_after(now_ns, CLOCK_NS_PER_S);
		}
	}
}

static int rpc_caller_send(struct rpc_caller *c, const char *line, size_t bytes,
			   uint64_t deadline_ns)
{
	while (bytes > 0) {
		ssize_t n = send(c->fd, line, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
		int rv;

		if (n >= 0) {
			line += n;
			bytes -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return RSTUN_E_CLOSED;
		rv = rpc_caller_poll(c, POLLOUT, deadline_ns);
		if (rv != 0) {
			/* Half a line may be out: nothing that follows could be understood. */
			shutdown(c->fd, SHUT_RDWR);
			c->ended = true;
			return rv;
		}
	}
	return 0;
}

/* Bytes, and a descriptor that may come with them; the first one is kept. */
static ssize_t rpc_caller_recv(struct rpc_caller *c, char *buf, size_t bytes)
{
	struct iovec iov = {.iov_base = buf, .iov_len = bytes};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	int fd;

	if (cmsg == NULL || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
		return n;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	if (c->passed < 0)
		c->passed = fd;
	else
		close(fd);
	return n;
}

/* Waits for bytes and reads what is there. */
static int rpc_caller_fill(struct rpc_caller *c, uint64_t deadline_ns)
{
	size_t room;
	char *buf;
	ssize_t n;
	int rv;

	if (c->ended)
		return RSTUN_E_CLOSED;
	rv = rpc_caller_poll(c, POLLIN, deadline_ns);
	if (rv != 0)
		return rv;
	buf = line_reader_room(&c->reader, &room);
	if (buf == NULL)
		return RSTUN_E_NOMEM;
	n = rpc_caller_recv(c, buf, room);
	if (n > 0)
		line_reader_filled(&c->reader, (size_t)n);
	else if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK))
		c->ended = true; /* a line without its newline is a torn one: no line_reader_end */
	return 0;
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* Takes `params` over. */
static int rpc_caller_keep(struct rpc_caller *c, json_t *params)
{
	struct rpc_caller_event *e;

	if (c->event_count >= RPC_CALLER_EVENTS_MAX) {
		json_decref(params);
		return RSTUN_E_LIMIT_REACHED;
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL) {
		json_decref(params);
		return RSTUN_E_NOMEM;
	}
	e->params = params;
	STAILQ_INSERT_TAIL(&c->events, e, link);
	c->event_count++;
	return 0;
}

/*
 * The next message that was read already: an event is kept, a reply is *ret_reply. RSTUN_E_AGAIN:
 * none is complete. Replies without an id are about a line that the daemon could not read: they
 * belong to the call that waits.
 */
static int rpc_caller_take(struct rpc_caller *c, json_t **ret_reply)
{
	json_t *message;
	size_t bytes;
	char *line;
	int rv = line_reader_next(&c->reader, &line, &bytes);

	if (rv != 0)
		return rv;
	message = json_loadb(line, bytes, JSON_ALLOW_NUL, NULL);
	if (!json_is_object(message)) {
		json_decref(message);
		return RSTUN_E_MALFORMED;
	}
	if (json_object_get(message, "method") == NULL) {
		*ret_reply = message;
		return 0;
	}
	rv = json_is_object(json_object_get(message, "params"))
		     ? rpc_caller_keep(c, json_incref(json_object_get(message, "params")))
		     : RSTUN_E_MALFORMED;
	json_decref(message);
	return rv;
}

static int rpc_caller_wait_reply(struct rpc_caller *c, json_int_t id, uint64_t deadline_ns,
				 json_t **ret_reply)
{
	for (;;) {
		json_t *reply = NULL;
		const json_t *its_id;
		int rv = rpc_caller_take(c, &reply);

		if (rv == RSTUN_E_AGAIN)
			rv = rpc_caller_fill(c, deadline_ns);
		if (rv != 0)
			return rv;
		if (reply == NULL)
			continue;
		its_id = json_object_get(reply, "id");
		if (json_is_null(its_id) ||
		    (json_is_integer(its_id) && json_integer_value(its_id) == id)) {
			*ret_reply = reply;
			return 0;
		}
		json_decref(reply); /* of a call that was given up */
	}
}

/* Takes `params` over. */
static int rpc_caller_request(struct rpc_caller *c, json_int_t id, const char *method,
			      json_t *params, uint64_t deadline_ns)
{
	json_t *number = json_integer(id);
	size_t bytes;
	char *line = rpc_message_request(number, method, params, &bytes);
	int rv = RSTUN_E_NOMEM;

	json_decref(number);
	if (line == NULL)
		return rv;
	if (bytes - 1 > RPC_LINE_MAX)
		rv = RSTUN_E_TOO_LARGE;
	else
		rv = rpc_caller_send(c, line, bytes, deadline_ns);
	free(line);
	return rv;
}

/* A call that went wrong on our side. */
static int rpc_caller_fail(struct rpc_error *error, int rv, const char *method)
{
	switch (rv) {
	case RSTUN_E_TIMEOUT:
		rpc_error_from(error, rv, "%s: no answer came in time", method);
		break;
	case RSTUN_E_CLOSED:
		rpc_error_set(error, RPC_NO_DAEMON,
			      "%s: rstund closed the connection before it answered", method);
		break;
	case RSTUN_E_TOO_LARGE:
		rpc_error_set(error, RPC_INVALID_PARAMS,
			      "%s: the request is too large, at most %d bytes are possible", method,
			      RPC_LINE_MAX);
		break;
	case RSTUN_E_MALFORMED:
		rpc_error_set(error, RPC_INTERNAL, "%s: what came is no JSON-RPC answer", method);
		break;
	case RSTUN_E_LIMIT_REACHED:
		rpc_error_from(error, rv, "%s: more events came before the answer than are kept",
			       method);
		break;
	default:
		rpc_error_from(error, rv, "%s: %s", method, rstun_strerror(rv));
		break;
	}
	return rv;
}

int rpc_caller_call(struct rpc_caller *c, const char *method, json_t *params, uint64_t timeout_ms,
		    json_t **ret_result, struct rpc_error *error)
{
	uint64_t deadline_ns = rpc_caller_deadline(timeout_ms);
	json_int_t id = ++c->last_id;
	json_t *reply = NULL;
	int rv = rpc_caller_request(c, id, method, params, deadline_ns);

	/* What it had to say before it closed is read all the same. */
	if (rv == 0 || rv == RSTUN_E_CLOSED)
		rv = rpc_caller_wait_reply(c, id, deadline_ns, &reply);
	if (rv == RSTUN_E_TIMEOUT && !c->ended) {
		json_t *which = json_pack("{s:I}", "id", id);

		/* Politeness: if there is no room for it either, nothing is lost. */
		rpc_caller_request(c, ++c->last_id, "rpc.cancel", which, 0);
	}
	if (rv != 0)
		return rpc_caller_fail(error, rv, method);
	rv = rpc_message_read_reply(reply, ret_result, error);
	if (rv != 0)
		rpc_caller_fail(error, rv, method);
	else if (error->code != 0)
		rv = RSTUN_E_FAILED;
	json_decref(reply);
	return rv;
}

int rpc_caller_call_method(struct rpc_caller *c, enum rpc_method method, const void *params,
			   uint64_t timeout_ms, void *result, struct rpc_error *error)
{
	const struct rpc_method_row *row = &rpc_methods[method];
	json_t *object = NULL, *answer;
	int rv;

	if (params != NULL) {
		object = field_json_encode(row->params, params);
		if (object == NULL)
			return rpc_caller_fail(error, RSTUN_E_NOMEM, row->name);
	}
	rv = rpc_caller_call(c, row->name, object, timeout_ms, &answer, error);
	if (rv != 0)
		return rv;
	if (row->result != NULL)
		rv = field_json_read(row->result, result, answer, error);
	json_decref(answer);
	return rv;
}

int rpc_caller_next_event(struct rpc_caller *c, uint64_t timeout_ms, json_t **ret_params)
{
	uint64_t deadline_ns = rpc_caller_deadline(timeout_ms);

	for (;;) {
		struct rpc_caller_event *e = STAILQ_FIRST(&c->events);
		json_t *reply = NULL;
		int rv;

		if (e != NULL) {
			STAILQ_REMOVE_HEAD(&c->events, link);
			c->event_count--;
			*ret_params = e->params;
			free(e);
			return 0;
		}
		rv = rpc_caller_take(c, &reply);
		json_decref(reply); /* of a call that was given up */
		if (rv == RSTUN_E_AGAIN)
			rv = rpc_caller_fill(c, deadline_ns);
		if (rv != 0)
			return rv;
	}
}

void rpc_caller_on_wait(struct rpc_caller *c, void (*on_wait)(void *user, uint64_t waited_ms),
			void *user)
{
	c->on_wait = on_wait;
	c->user = user;
}

int rpc_caller_fd(const struct rpc_caller *c)
{
	return c->fd;
}

int rpc_caller_passed(const struct rpc_caller *c)
{
	return c->passed;
}

const char *rpc_caller_rest(const struct rpc_caller *c, size_t *ret_bytes)
{
	return line_reader_rest(&c->reader, ret_bytes);
}

bool rpc_caller_has_event(const struct rpc_caller *c)
{
	return !STAILQ_EMPTY(&c->events) || line_reader_waiting(&c->reader);
}

enum rpc_exit rpc_caller_exit(const struct rpc_error *error)
{
	const struct rpc_error_row *row = rpc_error_find(error->kind);

	if (error->code == 0)
		return RPC_EXIT_OK;
	return row != NULL ? row->exit : rpc_error_row(error->code)->exit;
}
