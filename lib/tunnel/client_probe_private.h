/* SPDX-License-Identifier: MIT */
/*
 * What client_probe.c (names, telling, time), client_probe_reach.c (handshakes) and
 * client_probe_login.c (from there on) know of each other. Nobody else includes it.
 */
#pragma once

#include "dns/resolver.h"
#include "tunnel/client_private.h"
#include "tunnel/client_probe.h"
#include "tunnel/connect.h"
#include "tunnel/dial.h"

struct tcp_connector;

/* A server of the client's, by name or address. */
struct client_probe_name {
	struct client_probe *probe;
	const struct target *server;
	struct dial dial;
	size_t count;
	struct address addresses[RESOLVER_ADDRESSES_MAX];
};

/* How far an address got that failed; a later one says more. */
enum client_probe_reach {
	CLIENT_PROBE_NOTHING, /* no address failed */
	CLIENT_PROBE_SILENT,  /* nothing came back */
	CLIENT_PROBE_REFUSED, /* this machine, or one on the way, said that nobody is there */
	CLIENT_PROBE_HEARD,   /* it answered, and then the handshake failed */
	CLIENT_PROBE_UNTRUSTED,
};

/* What a connection is for. */
enum client_probe_turn {
	CLIENT_PROBE_FIRST,  /* the OUT mapping; else a channel, which asks for nothing */
	CLIENT_PROBE_LISTEN, /* the IN mapping, at a server that knows probes */
	CLIENT_PROBE_AGAIN,  /* a channel: was the password right, where nothing was said? */
};

/* What the server said to a login. */
struct client_probe_answer {
	enum { CLIENT_PROBE_NO_ANSWER, CLIENT_PROBE_YES, CLIENT_PROBE_NO } kind;
	bool peer_is_rstund;
	bool granted;          /* it knows probes: nothing was done but looked */
	struct address bound;  /* len 0 = none */
	char software[WIRE_SOFTWARE_MAX + 1]; /* quoted */
	int error;             /* of NO; of NO_ANSWER when our side found the fault */
	char text[PROBE_TEXT_SIZE];
};

struct client_probe {
	LIST_ENTRY(client_probe) link;
	struct client *client;
	bool has_mapping;
	struct mapping mapping;
	uint64_t timeout_ms;
	void (*on_step)(void *user, const struct probe_step_result *r);
	void (*on_done)(void *user);
	void *user;
	char scope[MAPPING_TEXT_SIZE + 16];

	struct probe_step_result results[PROBE_STEPS];
	unsigned known, told;    /* of the results */
	uint64_t step_ns;        /* when the step that runs began */
	struct loop_task task;   /* begins; then tells what is known */
	struct loop_timer limit; /* of all */
	bool begun;
	bool telling, cancelled; /* cancelled while it tells: freed behind that */

	/* names */
	struct client_probe_name *names; /* one per server of the client's */
	size_t resolving;
	/* addresses: what connect is given, and whose each is */
	struct target *targets;
	const struct target **origins;
	size_t target_count;
	char asked[128]; /* name servers, in words */

	/* a connection */
	struct connect *connect; /* NULL = none under way */
	enum client_probe_turn turn;
	struct target server;    /* reached first: it gets the second connection, too */
	const struct target *server_origin;
	enum client_probe_reach reach; /* of the best of those that failed, and what it was */
	int reach_error;
	char reach_where[ADDRESS_TEXT_SIZE];
	char reach_text[PROBE_TEXT_SIZE];
	int session_error;       /* no TLS session could be made; 0 = not so */
	struct quic_conn *conn;  /* from the handshake on until its on_close */
	struct session_stream control;
	struct client_probe_answer answer;

	/* IN: the local target */
	struct dial dial;
	struct tcp_connector *connector;
	char target[ADDRESS_TARGET_TEXT_SIZE];
};

/* ---- client_probe.c ---- */

/* The result of the step that runs; the next one begins. Failed: it was the last. */
__attribute__((format(printf, 4, 5))) void client_probe_report(struct client_probe *p,
							       enum probe_outcome outcome,
							       int error, const char *format, ...);

/* ---- client_probe_reach.c ---- */

/* The addresses are known: UDP and TLS are reported, client_probe_login follows. */
void client_probe_connect(struct client_probe *p);
/* The time for all is up meanwhile. */
void client_probe_reach_limit(struct client_probe *p, unsigned limit_s);
/* A connection to the one server that was reached. */
void client_probe_connect_again(struct client_probe *p, enum client_probe_turn turn);

/* ---- client_probe_login.c ---- */

/* The handshake is done: logs in; client_probe_report follows. */
void client_probe_login(struct client_probe *p, struct quic_conn *conn);
/* Closes its connection and stops dialling, without a word. */
void client_probe_login_stop(struct client_probe *p);
