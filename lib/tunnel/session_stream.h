/* SPDX-License-Identifier: MIT */
/*
 * A session on its control stream: moves bytes between session.c and QUIC stream 0 and runs the
 * session's clock. Both roles embed one per connection. Callbacks come from the loop or the
 * connection's dispatch, on_success and on_login also from inside session_stream_ calls;
 * session_stream_done is not called in them.
 */
#pragma once

#include "base/loop.h"
#include "tunnel/session.h"

#include <stdbool.h>

struct quic_conn;
struct quic_stream;

struct session_stream_ops {
	void (*on_success)(void *user, const struct session_success *success); /* client */
	void (*on_login)(void *user, const struct wire_login *login,
			 const struct wire_trailer *trailer);
	/* The session is over: close the connection with code 1. The last callback. */
	void (*on_failure)(void *user, const struct session_failure *failure);
	/* Server: a refusal has been read by the peer; the connection may be closed. */
	void (*on_delivered)(void *user);
};

struct session_stream {
	struct session session;
	struct loop *loop;
	struct loop_timer timer;
	struct quic_stream *stream; /* NULL = not there yet, or gone */
	const struct session_stream_ops *ops;
	void *user;
	bool driving; /* the session is being fed: its callbacks must not feed it again */
	bool done;
};

void session_stream_init(struct session_stream *ss, struct loop *loop,
			 const struct session_config *config, const struct session_stream_ops *ops,
			 void *user);

/* Client: opens the stream and sends the login. An error of it; then nothing more is called. */
int session_stream_login(struct session_stream *ss, struct quic_conn *conn,
			 const struct wire_login *login, const char *name,
			 const struct target *target);

/* Server: the clock of the login starts; then the peer's first stream. */
void session_stream_wait(struct session_stream *ss);
void session_stream_attach(struct session_stream *ss, struct quic_stream *stream);

/* As session_server_accept and session_server_refuse. */
int session_stream_accept(struct session_stream *ss, bool ipv6_supported,
			  const struct address *bound);
void session_stream_refuse(struct session_stream *ss, int error, const char *text,
			   uint32_t retry_after_ms);

/* No callback after this; the stream is left to its connection. */
void session_stream_done(struct session_stream *ss);
