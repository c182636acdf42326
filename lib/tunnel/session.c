/* SPDX-License-Identifier: MIT */
/*
 * The control stream as a state machine (session.h). What a peer can make this hold is bounded: one
 * frame in parts as far as it has arrived, and one message that waits for room, during which
 * nothing more is read. Peers' text goes into lines and errors through log_quote only, and messages
 * that are merely odd are logged ever more rarely, so a peer cannot fill a log. Buffers that may
 * have held a password are wiped. One thread, the owner's.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "tunnel/session_private.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_IN_MIN 64 /* first size of the buffer for a frame in parts */

void session_config_default(struct session_config *config)
{
	*config = (struct session_config){
		.features = WIRE_FEATURE_FAILURES | WIRE_FEATURE_DATAGRAM,
		.login_timeout_ns = 5 * CLOCK_NS_PER_S,
		.answer_timeout_ns = 1800 * CLOCK_NS_PER_MS,
		.linger_ns = CLOCK_NS_PER_S,
		.heartbeat_interval_ns = 5 * CLOCK_NS_PER_S,
		.heartbeat_timeout_ns = 15 * CLOCK_NS_PER_S,
		.scope = "session",
	};
}

void session_init(struct session *s, const struct session_config *config,
		  const struct session_ops *ops, void *user)
{
	*s = (struct session){
		.config = *config,
		.ops = ops,
		.user = user,
		.deadline_ns = CLOCK_NEVER,
	};
}

void session_drop_input(struct session *s)
{
	if (s->in)
		secret_wipe(s->in, s->in_size);
	free(s->in);
	s->in = NULL;
	s->in_bytes = s->in_size = s->in_need = 0;
}

static void drop_output(struct session *s)
{
	if (s->out)
		secret_wipe(s->out, s->out_bytes);
	free(s->out);
	s->out = NULL;
	s->out_bytes = 0;
}

void session_done(struct session *s)
{
	session_drop_input(s);
	drop_output(s);
	s->state = SESSION_OVER;
	s->deadline_ns = CLOCK_NEVER;
}

void session_fail_with(struct session *s, const struct session_failure *failure)
{
	session_drop_input(s);
	drop_output(s);
	s->state = SESSION_OVER;
	s->deadline_ns = CLOCK_NEVER;
	s->ops->on_failure(s->user, failure);
}

void session_fail(struct session *s, int error, const char *text)
{
	session_fail_with(s, &(struct session_failure){ .error = error, .text = text });
}

__attribute__((format(printf, 2, 3))) void session_log_odd(struct session *s, const char *format,
							   ...)
{
	char text[SESSION_TEXT_SIZE];
	va_list args;

	s->unexpected++;
	if (!s->config.log || (s->unexpected & (s->unexpected - 1)) != 0)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_warn(s->config.log, s->config.scope, "control stream: %s (%" PRIu64 " so far)", text,
		 s->unexpected);
}

/* ---- output ---- */

/* Hands a message to the owner or keeps it until there is room. */
static int put(struct session *s, const uint8_t *data, size_t bytes)
{
	int err;

	if (s->output_closed)
		return RSTUN_E_CLOSED;
	if (s->out)
		return RSTUN_E_FAILED; /* nothing is made while one waits */
	err = s->ops->write(s->user, data, bytes);
	if (err != RSTUN_E_AGAIN)
		return err;
	s->out = malloc(bytes);
	if (!s->out)
		return RSTUN_E_NOMEM;
	memcpy(s->out, data, bytes);
	s->out_bytes = bytes;
	return 0;
}

int session_put_message(struct session *s, const struct wire_message *message)
{
	uint8_t buf[WIRE_MESSAGE_MAX];
	int n = wire_encode(buf, sizeof(buf), message);
	int err = n < 0 ? n : put(s, buf, (size_t)n);

	secret_wipe(buf, sizeof(buf));
	return err;
}

void session_put_heartbeat(struct session *s, enum wire_kind kind, uint64_t seq)
{
	uint8_t buf[32];
	struct wire_message message;
	int n, err;

	message.kind = kind; /* the rest is large and not looked at */
	message.seq = seq;
	n = wire_encode(buf, sizeof(buf), &message);
	err = n < 0 ? n : put(s, buf, (size_t)n);
	if (err == RSTUN_E_CLOSED && s->server) {
		s->output_closed = true;
		return;
	}
	if (err)
		session_fail(s, err, "a heartbeat could not be written");
}

void session_writable(struct session *s, uint64_t now_ns)
{
	int err;

	if (!s->out)
		return;
	err = s->ops->write(s->user, s->out, s->out_bytes);
	if (err == RSTUN_E_AGAIN)
		return;
	drop_output(s);
	if (err == RSTUN_E_CLOSED)
		session_stop_sending(s, now_ns);
	else if (err)
		session_fail(s, err, "the control stream could not be written");
	else if (s->state == SESSION_REFUSED)
		session_finish_refusal(s);
}

/* ---- input ---- */

static bool discards_input(const struct session *s)
{
	return s->state == SESSION_REFUSED || s->state == SESSION_OVER;
}

bool session_wants_input(const struct session *s)
{
	if (discards_input(s))
		return true;
	return (s->state == SESSION_LOGIN || s->state == SESSION_UP) && !s->out;
}

static void fail_decode(struct session *s, int error)
{
	const char *text = error == RSTUN_E_TOO_LARGE ? "a message that is too long"
						      : "a message that cannot be read";

	if (!s->server && s->state == SESSION_LOGIN)
		error = RSTUN_E_PROTOCOL_MISMATCH;
	session_fail(s, error, text);
}

/* Appends to the frame in parts. The buffer follows what has arrived (at most twice that), never
 * what the peer declares. */
static int keep_input(struct session *s, const uint8_t *data, size_t bytes)
{
	size_t want = s->in_bytes + bytes;

	if (want > s->in_size) {
		size_t size = s->in_size ? s->in_size * 2 : SESSION_IN_MIN;
		uint8_t *in;

		if (size < want)
			size = want;
		in = malloc(size);
		if (!in)
			return RSTUN_E_NOMEM;
		if (s->in) {
			memcpy(in, s->in, s->in_bytes);
			secret_wipe(s->in, s->in_size); /* realloc would leave a copy behind */
			free(s->in);
		}
		s->in = in;
		s->in_size = size;
	}
	memcpy(s->in + s->in_bytes, data, bytes);
	s->in_bytes += bytes;
	return 0;
}

/* Takes bytes up to the end of one message at most; returns how many. */
static size_t feed_some(struct session *s, const uint8_t *data, size_t bytes, uint64_t now_ns)
{
	struct wire_message message;
	size_t used = 0;
	int err;

	if (s->in) {
		if (bytes > s->in_need - s->in_bytes)
			bytes = s->in_need - s->in_bytes;
		err = keep_input(s, data, bytes);
		if (!err)
			err = wire_decode(&message, &used, s->in, s->in_bytes);
		if (err == RSTUN_E_AGAIN) {
			s->in_need = used;
			return bytes;
		}
		used = bytes;
		session_drop_input(s);
	} else {
		err = wire_decode(&message, &used, data, bytes);
		if (err == RSTUN_E_AGAIN) {
			s->in_need = used;
			err = keep_input(s, data, bytes);
			if (err)
				session_fail(s, err, "no memory for a message");
			return bytes;
		}
	}
	if (err) {
		if (err == RSTUN_E_NOMEM)
			session_fail(s, err, "no memory for a message");
		else
			fail_decode(s, err);
		return bytes;
	}
	if (s->server)
		session_server_message(s, &message, now_ns);
	else
		session_client_message(s, &message, now_ns);
	secret_wipe(&message, sizeof(message));
	return used;
}

size_t session_feed(struct session *s, const void *data, size_t bytes, uint64_t now_ns)
{
	const uint8_t *at = data;
	size_t left = bytes;

	while (left > 0 && session_wants_input(s)) {
		size_t used = discards_input(s) ? left : feed_some(s, at, left, now_ns);

		at += used;
		left -= used;
	}
	return bytes - left;
}

void session_end(struct session *s, uint64_t now_ns)
{
	if (s->state == SESSION_IDLE || discards_input(s))
		return;
	if (!s->server) {
		if (s->state == SESSION_LOGIN)
			session_client_ending(s, now_ns);
		else
			session_fail(s, RSTUN_E_RESET, "the server ended the control stream");
		return;
	}
	if (s->state == SESSION_LOGIN)
		session_fail(s, RSTUN_E_PROTOCOL_MISMATCH,
			     "the control stream ended before the login");
	else if (s->in)
		session_fail(s, RSTUN_E_MALFORMED, "the control stream ended within a message");
	/* Else it is the original's client with heartbeats off, and all is well. */
}

void session_reset(struct session *s, uint64_t now_ns)
{
	if (s->state == SESSION_IDLE || discards_input(s))
		return;
	if (!s->server && s->state == SESSION_LOGIN)
		session_client_ending(s, now_ns);
	else
		session_fail(s, RSTUN_E_RESET, "the control stream was reset");
}

void session_stop_sending(struct session *s, uint64_t now_ns)
{
	if (s->state == SESSION_IDLE || s->state == SESSION_OVER)
		return;
	s->output_closed = true;
	drop_output(s);
	if (s->state == SESSION_REFUSED)
		s->deadline_ns = clock_min(s->deadline_ns, now_ns);
	else if (!s->server && s->state == SESSION_LOGIN)
		session_client_ending(s, now_ns);
	else if (!s->server || s->state != SESSION_UP)
		session_fail(s, RSTUN_E_RESET, "the far side stopped reading the control stream");
}

/* ---- time ---- */

uint64_t session_deadline(const struct session *s)
{
	return s->deadline_ns;
}

static void expire_login(struct session *s)
{
	char text[SESSION_TEXT_SIZE];

	if (s->ending) {
		session_fail(s, RSTUN_E_LOGIN_REJECTED,
			     "the server ended the control stream without an answer");
		return;
	}
	snprintf(text, sizeof(text), "no %s within %" PRIu64 " ms",
		 s->server ? "login" : "answer to the login",
		 s->config.login_timeout_ns / CLOCK_NS_PER_MS);
	session_fail(s, RSTUN_E_TIMEOUT, text);
}

void session_expire(struct session *s, uint64_t now_ns)
{
	if (now_ns < s->deadline_ns || s->deadline_ns == CLOCK_NEVER)
		return;
	switch (s->state) {
	case SESSION_LOGIN:
		expire_login(s);
		break;
	case SESSION_ANSWERING:
		session_server_refuse(s, RSTUN_E_TIMEOUT, "the login could not be answered in time",
				      0, now_ns);
		break;
	case SESSION_UP:
		session_client_expire(s, now_ns);
		break;
	case SESSION_REFUSED:
		session_fail(s, s->refuse_error, s->refuse_text);
		break;
	case SESSION_IDLE:
	case SESSION_OVER:
		break;
	}
}
