/* SPDX-License-Identifier: MIT */
/*
 * Glue between a session and its stream. The session is fed from one function only, which is not
 * entered twice: an answer given inside on_login is followed by the rest of the input when that
 * call returns.
 */
#include "tunnel/session_stream.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "quic/conn.h"
#include "quic/stream.h"
#include "tunnel/limits.h"

static void session_stream_arm(struct session_stream *ss)
{
	uint64_t deadline_ns = session_deadline(&ss->session);

	/* Nobody tells when a refusal is acknowledged, so it is looked at for a round trip. */
	if (ss->session.state == SESSION_REFUSED)
		deadline_ns = clock_min(deadline_ns, clock_after(loop_now(ss->loop),
								 clock_ms(LIMITS_LINGER_POLL_MS)));
	loop_timer_arm(&ss->timer, ss->done ? CLOCK_NEVER : deadline_ns);
}

static void session_stream_drive(struct session_stream *ss)
{
	uint64_t now_ns = loop_now(ss->loop);
	struct iovec iov;

	if (ss->driving)
		return;
	ss->driving = true;
	while (!ss->done && ss->stream != NULL && quic_stream_peek(ss->stream, &iov, 1) > 0) {
		bool login = ss->session.state == SESSION_LOGIN;
		size_t used = session_feed(&ss->session, iov.iov_base, iov.iov_len, now_ns);

		/* The memory goes back to the pool; what a login was in it must not. A client's own
		 * login is not wiped behind it: that one keeps its password for the next time. */
		if (login && ss->session.server)
			secret_wipe(iov.iov_base, used);

		if (ss->stream != NULL)
			quic_stream_consume(ss->stream, used);
		if (used < iov.iov_len)
			break;
	}
	if (!ss->done && ss->stream != NULL && quic_stream_at_end(ss->stream))
		session_end(&ss->session, now_ns);
	ss->driving = false;
	session_stream_arm(ss);
}

static void session_stream_on_timer(void *user)
{
	struct session_stream *ss = user;
	uint64_t now_ns = loop_now(ss->loop);

	if (ss->session.state == SESSION_REFUSED && ss->session.out == NULL &&
	    (ss->stream == NULL || quic_stream_unacked(ss->stream) == 0)) {
		ss->done = true;
		ss->ops->on_delivered(ss->user);
		return;
	}
	if (session_deadline(&ss->session) <= now_ns)
		session_expire(&ss->session, now_ns);
	session_stream_arm(ss);
}

/* ---- the stream's callbacks ---- */

static void session_stream_on_readable(struct quic_stream *s, void *user)
{
	(void)s;
	session_stream_drive(user);
}

static void session_stream_on_writable(struct quic_stream *s, void *user)
{
	struct session_stream *ss = user;

	(void)s;
	session_writable(&ss->session, loop_now(ss->loop));
	session_stream_drive(ss);
}

static void session_stream_on_reset(struct quic_stream *s, void *user, uint64_t app_error)
{
	struct session_stream *ss = user;

	(void)s;
	(void)app_error;
	session_reset(&ss->session, loop_now(ss->loop));
	session_stream_arm(ss);
}

static void session_stream_on_stop_sending(struct quic_stream *s, void *user, uint64_t app_error)
{
	struct session_stream *ss = user;

	(void)s;
	(void)app_error;
	session_stop_sending(&ss->session, loop_now(ss->loop));
	session_stream_drive(ss); /* nothing waits for room any more */
}

static void session_stream_on_close(struct quic_stream *s, void *user, bool lost)
{
	struct session_stream *ss = user;

	(void)s;
	(void)lost; /* the connection's own on_close says what happened to it */
	ss->stream = NULL;
}

static const struct quic_stream_ops session_stream_quic_ops = {
	.on_readable = session_stream_on_readable,
	.on_writable = session_stream_on_writable,
	.on_reset = session_stream_on_reset,
	.on_stop_sending = session_stream_on_stop_sending,
	.on_close = session_stream_on_close,
};

/* After session_stream_done the stream belongs to nobody: its connection is being closed. */
static const struct quic_stream_ops session_stream_orphan_ops = {0};

/* ---- the session's callbacks ---- */

static int session_stream_put(void *user, const void *data, size_t bytes)
{
	struct session_stream *ss = user;

	return ss->stream == NULL ? RSTUN_E_CLOSED : quic_stream_write(ss->stream, data, bytes);
}

static void session_stream_finish(void *user)
{
	struct session_stream *ss = user;

	if (ss->stream != NULL)
		quic_stream_finish(ss->stream);
}

static void session_stream_on_success(void *user, const struct session_success *success)
{
	struct session_stream *ss = user;

	ss->ops->on_success(ss->user, success);
}

static void session_stream_on_login(void *user, const struct wire_login *login,
				    const struct wire_trailer *trailer)
{
	struct session_stream *ss = user;

	ss->ops->on_login(ss->user, login, trailer);
}

static void session_stream_on_failure(void *user, const struct session_failure *failure)
{
	struct session_stream *ss = user;

	ss->done = true;
	ss->ops->on_failure(ss->user, failure);
}

static const struct session_ops session_stream_session_ops = {
	.write = session_stream_put,
	.finish = session_stream_finish,
	.on_success = session_stream_on_success,
	.on_login = session_stream_on_login,
	.on_failure = session_stream_on_failure,
};

/* ---- what owners call ---- */

void session_stream_init(struct session_stream *ss, struct loop *loop,
			 const struct session_config *config, const struct session_stream_ops *ops,
			 void *user)
{
	*ss = (struct session_stream){.loop = loop, .ops = ops, .user = user};
	loop_timer_init(&ss->timer, loop, session_stream_on_timer, ss);
	session_init(&ss->session, config, &session_stream_session_ops, ss);
}

int session_stream_login(struct session_stream *ss, struct quic_conn *conn,
			 const struct wire_login *login, const char *name,
			 const struct target *target)
{
	int err = quic_conn_open_stream(conn, &session_stream_quic_ops, ss, &ss->stream);

	if (err == 0)
		err = session_client_start(&ss->session, login, name, target, loop_now(ss->loop));
	if (err != 0)
		ss->done = true;
	session_stream_arm(ss);
	return err;
}

void session_stream_wait(struct session_stream *ss)
{
	session_server_start(&ss->session, loop_now(ss->loop));
	session_stream_arm(ss);
}

void session_stream_attach(struct session_stream *ss, struct quic_stream *stream)
{
	ss->stream = stream;
	quic_stream_set_ops(stream, &session_stream_quic_ops, ss);
	session_stream_drive(ss);
}

int session_stream_accept(struct session_stream *ss, bool ipv6_supported,
			  const struct address *bound)
{
	int err = session_server_accept(&ss->session, ipv6_supported, bound, loop_now(ss->loop));

	session_stream_drive(ss);
	return err;
}

void session_stream_refuse(struct session_stream *ss, int error, const char *text,
			   uint32_t retry_after_ms)
{
	session_server_refuse(&ss->session, error, text, retry_after_ms, loop_now(ss->loop));
	session_stream_drive(ss);
}

void session_stream_done(struct session_stream *ss)
{
	ss->done = true;
	loop_timer_cancel(&ss->timer);
	if (ss->stream != NULL)
		quic_stream_set_ops(ss->stream, &session_stream_orphan_ops, NULL);
	ss->stream = NULL;
	session_done(&ss->session);
}
