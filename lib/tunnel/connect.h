/* SPDX-License-Identifier: MIT */
/*
 * One attempt to reach a server: looks up all names, then lets handshakes with all addresses of all
 * servers race (Happy Eyeballs, RFC 8305): the next starts 250 ms after the one before or at its
 * failure, the first that completes wins, the others are closed. Bounded in time and number. One
 * loop's thread; the endpoint and the resolver outlive it.
 */
#pragma once

#include "base/address.h"

#include <stddef.h>

struct connect;
struct quic_close;
struct quic_conn;
struct quic_endpoint;
struct resolver;
struct tls_session;
struct tunnel_env;

struct connect_result {
	int error;               /* 0, or why the most telling attempt failed */
	const char *text;        /* a sentence when error; borrowed for the call */
	struct quic_conn *conn;  /* set its ops in `done` */
	struct address address;  /* reached, or tried last; len 0 = none */
};

struct connect_params {
	const struct tunnel_env *env;
	struct quic_endpoint *endpoint;
	struct resolver *resolver;
	const struct target *servers; /* borrowed for the connect's life */
	size_t server_count;
	const char *scope;            /* for log lines; borrowed */
	/* Makes the TLS session for one address of one server. */
	int (*session)(void *user, const struct target *server, const struct address *address,
		       struct tls_session **ret);
	/* One address failed; may be NULL. `conn` and `why` are borrowed for the call, from the
	 * dispatch of the connection: only note what happened. */
	void (*failed)(void *user, const struct address *address, struct quic_conn *conn,
		       const struct quic_close *why);
	/* The last call, from the loop, not from inside connect_start; the connect is gone then. */
	void (*done)(void *user, const struct connect_result *result);
	void *user;
};

int connect_start(struct connect **ret, const struct connect_params *params); /* RSTUN_E_NOMEM */
/* No call of done after this. Accepts NULL. */
void connect_cancel(struct connect *c);
/* An address whose handshake is under way and that has sent anything at all; NULL = none. */
const struct address *connect_heard(const struct connect *c);
