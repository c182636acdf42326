/* SPDX-License-Identifier: MIT */
/*
 * The control stream of one connection as a state machine, for both roles: login, its answer,
 * heartbeats (WIRE.md, section 1). Bytes come in by session_feed, bytes go out through session_ops,
 * time is a parameter; no loop and no QUIC here. The owner (client.c, server.c) moves bytes between
 * this and QUIC stream 0, arms session_deadline, and embeds the struct. One thread, the owner's.
 *
 * How an owner drives it, in one function that it calls from on_readable, from on_writable (after
 * session_writable) and after session_server_accept:
 *
 *	while (quic_stream_peek(stream, &iov, 1) > 0) {
 *		size_t used = session_feed(&s, iov.iov_base, iov.iov_len, now);
 *		quic_stream_consume(stream, used);
 *		if (used < iov.iov_len)
 *			break;          // held back: session_wants_input() is false
 *	}
 *	if (quic_stream_at_end(stream))
 *		session_end(&s, now);
 *	timer at session_deadline(&s) -> session_expire(&s, now)
 *
 * Callbacks come from inside session_ calls. In them session_server_accept and _refuse and the
 * getters may be called; session_done may not. After on_failure nothing more is called.
 */
#pragma once

#include "tunnel/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log;

#define SESSION_TEXT_SIZE 256

/* A client's login was accepted. Borrowed for the callback. */
struct session_success {
	bool ipv6_supported;
	bool peer_is_rstund; /* a trailer was there: extensions of ours may be used */
	uint64_t features;   /* of those offered, what the server granted; 0 for the original */
	/* The upstream was given by name, but the far side is the original and ignored that: it
	 * took its default upstream. Close, resolve here and log in again with the address. */
	bool target_ignored;
	const struct wire_trailer *trailer; /* bound, software; present = peer_is_rstund */
};

/* Why a session ended or never began. Borrowed for the callback. */
struct session_failure {
	int error;               /* enum rstun_error */
	bool by_peer;            /* the far side said so in RespFailure */
	uint32_t retry_after_ms; /* what the server asks for; 0 = nothing asked */
	const char *text; /* for people, never empty; text of a peer's is already quoted and cut */
};

struct session_ops {
	/* Takes all of it or nothing: 0; RSTUN_E_AGAIN (call session_writable when there is room);
	 * RSTUN_E_CLOSED when the peer stopped reading; other errors end the session. As
	 * quic_stream_write. */
	int (*write)(void *user, const void *data, size_t bytes);
	/* No more bytes: FIN. Only a server calls it, after RespFailure; as quic_stream_finish. */
	void (*finish)(void *user);
	/* Client: logged in. */
	void (*on_success)(void *user, const struct session_success *success);
	/* Server: a login is there. Answer with session_server_accept or session_server_refuse now
	 * or later; without an answer in time the session refuses by itself, and then accept
	 * returns an error. Both are borrowed for the callback and wiped after it: copy what is
	 * needed, and wipe a copy of the password. */
	void (*on_login)(void *user, const struct wire_login *login,
			 const struct wire_trailer *trailer);
	/* Both: the session is over, close the connection (application error 1). The last callback.
	 * A server gets it for a refused session too, once the peer has had time to read the
	 * refusal; it may close before that, as soon as all that was written is acknowledged. */
	void (*on_failure)(void *user, const struct session_failure *failure);
};

struct session_config {
	const char *software;       /* sent to an rstund, "rstund 1.0"; NULL = not sent; borrowed */
	uint64_t features;          /* enum wire_feature: offered, or granted when asked for */
	uint64_t login_timeout_ns;  /* client: for the answer; server: for a whole ReqLogin */
	uint64_t answer_timeout_ns; /* server: for the owner's answer */
	uint64_t linger_ns;         /* server: from RespFailure to on_failure */
	uint64_t heartbeat_interval_ns, heartbeat_timeout_ns; /* client; either 0 = off */
	const struct log *log;                                /* borrowed */
	const char *scope;                                    /* for log lines; borrowed */
};

enum session_state {
	SESSION_IDLE,      /* not started */
	SESSION_LOGIN,     /* client: login sent; server: waiting for it */
	SESSION_ANSWERING, /* server: the owner has the login */
	SESSION_UP,
	SESSION_REFUSED, /* server: RespFailure written or waiting for room */
	SESSION_OVER,    /* on_failure was called */
};

/* Members belong to session.c. */
struct session {
	struct session_config config;
	const struct session_ops *ops;
	void *user;
	bool server;
	enum session_state state;
	bool ending;        /* client: the stream ended before an answer; waiting for a close */
	bool output_closed; /* the peer does not read any more, or our FIN is out */
	bool target_sent;
	bool peer_trailer;      /* server: the login had a trailer */
	uint64_t peer_features; /* of the login */
	uint64_t deadline_ns;   /* of the state; while up: of the heartbeat */
	bool heartbeat_due;     /* deadline_ns is the next request; else the answer's limit */
	uint64_t heartbeat_seq;
	uint64_t heartbeat_sent_ns;
	uint64_t unexpected; /* messages that were only logged */
	uint8_t *in;         /* a frame that came in parts; NULL most of the time */
	size_t in_bytes, in_size;
	size_t in_need; /* bytes of the whole frame, as far as known */
	uint8_t *out;   /* the one message that waits for room; NULL most of the time */
	size_t out_bytes;
	int refuse_error; /* server: what on_failure will say */
	char refuse_text[SESSION_TEXT_SIZE];
};

/* The values of WIRE.md: login 5 s, answer 1.8 s, linger 1 s, heartbeats 5 s and 15 s, no log. */
void session_config_default(struct session_config *config);

void session_init(struct session *s, const struct session_config *config,
		  const struct session_ops *ops, void *user);
void session_done(struct session *s);

/*
 * Client: sends ReqLogin. `name` is the mapping's name (NULL = none; cut at WIRE_NAME_MAX).
 * `target` is an upstream given by name, NULL or another kind = none; then the login's own upstream
 * is left out. The login is not kept; the caller wipes its own. Error of `write`,
 * RSTUN_E_TOO_LARGE, RSTUN_E_NOMEM: the session is over then, without on_failure.
 */
int session_client_start(struct session *s, const struct wire_login *login, const char *name,
			 const struct target *target, uint64_t now_ns);

/* Server: waits for ReqLogin. */
void session_server_start(struct session *s, uint64_t now_ns);

/* Server: RespSuccess. `bound` (NULL = none) is the address that it listens on, told to an rstund
 * only. RSTUN_E_CLOSED when no login waits for an answer (any more), or the error of `write`: undo
 * what was done for the login; on_failure comes from session_expire. */
int session_server_accept(struct session *s, bool ipv6_supported, const struct address *bound,
			  uint64_t now_ns);

/* Server: RespFailure with `text`, then FIN; from start until the login is answered. No-op else.
 * The code and retry_after_ms go to clients that asked for structured failures. on_failure with the
 * same error comes linger_ns later, always from session_expire. */
void session_server_refuse(struct session *s, int error, const char *text, uint32_t retry_after_ms,
			   uint64_t now_ns);

/*
 * Bytes from the peer; returns how many are consumed. Fewer than given: the session holds the peer
 * back (a login waits for its answer, or output waits for room); what is left must come again after
 * session_server_accept, session_writable or session_stop_sending. A message in parts is kept here,
 * never more of it than has arrived. Garbage ends the session.
 */
size_t session_feed(struct session *s, const void *data, size_t bytes, uint64_t now_ns);
bool session_wants_input(const struct session *s);

/* The peer's FIN, after all bytes before it were consumed. A server bears it once the login is
 * there. */
void session_end(struct session *s, uint64_t now_ns);
/* RESET_STREAM of the peer's. */
void session_reset(struct session *s, uint64_t now_ns);
/* STOP_SENDING of the peer's. A server bears it after login: heartbeats are then not answered. */
void session_stop_sending(struct session *s, uint64_t now_ns);
/* There is room for output again. */
void session_writable(struct session *s, uint64_t now_ns);

/* When session_expire is to be called; CLOCK_NEVER for never. Changes in any call above. */
uint64_t session_deadline(const struct session *s);
void session_expire(struct session *s, uint64_t now_ns);

/* Server: what the login asked for of that which we have. */
static inline uint64_t session_granted(const struct session *s)
{
	return s->peer_features & s->config.features;
}

static inline bool session_is_up(const struct session *s)
{
	return s->state == SESSION_UP;
}
