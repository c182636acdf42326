/* SPDX-License-Identifier: MIT */
/*
 * What server.c (the role: endpoint, table of sessions, claims, probes, drain), server_session.c
 * (the life of one session) and server_check.c (logins that only want to know) know of each other.
 * Nobody else includes it.
 */
#pragma once

#include "base/loop.h"
#include "tunnel/egress.h"
#include "tunnel/flows.h"
#include "tunnel/penalty.h"
#include "tunnel/server.h"
#include "tunnel/server_login.h"
#include "tunnel/session_stream.h"

#include <sys/queue.h>

struct quic_endpoint;
struct server_check;
struct resolver;

#define SERVER_TABLE_SIZE 1024 /* lists in the table of sessions */
#define SERVER_TEXT_SIZE 640

enum server_session_state {
	SERVER_SESSION_NEW,      /* handshake, then waiting for the login */
	SERVER_SESSION_CLAIMING, /* password right; the listening address is being asked for */
	SERVER_SESSION_CHECKING, /* password right; a probe, whose answer is being found out */
	SERVER_SESSION_UP,
	SERVER_SESSION_CLOSING,  /* refused, failed or dead */
};

/* Somebody wants to know whether a session is alive. */
struct server_probe_wait {
	STAILQ_ENTRY(server_probe_wait) link;
	uint64_t session_id;
	void (*done)(void *user, uint64_t session_id, bool alive);
	void *user;
};

STAILQ_HEAD(server_probe_list, server_probe_wait);

struct server_session {
	LIST_ENTRY(server_session) link;
	struct server *server;
	uint64_t id;
	enum server_session_state state;
	struct quic_conn *conn;
	struct session_stream control;
	bool control_live;        /* control was set up (the handshake is done) */
	bool listed;              /* its login was reported: its end will be too */
	bool listening;           /* holds a claimed address: to be released */
	struct server_login login;
	bool peer_is_original;
	struct address peer;
	struct address bound;     /* IN; len 0 = none */
	char scope[48];
	char software[WIRE_SOFTWARE_MAX + 1];
	int end_error;            /* why we close it, 0 = not */
	char end_text[SERVER_TEXT_SIZE];
	struct flows flows;
	struct server_probe_list probes;
	size_t probe_count;
	struct server_check *check; /* its login is a probe; NULL = it is not */
};

LIST_HEAD(server_session_list, server_session);

/* A look at all counters, in pieces. */
struct server_tally {
	size_t next; /* list of the table; behind the last: none is under way */
	struct tunnel_counters sum;
};

struct server {
	struct server_params params;
	struct tunnel_env *env;
	const struct server_config *config;
	struct quic_endpoint *endpoint;
	struct resolver *resolver;
	struct egress egress;
	struct penalty *penalty;
	uint8_t password_digest[32];
	struct address bound;
	struct server_session_list sessions[SERVER_TABLE_SIZE]; /* by id */
	size_t session_count;
	size_t checks; /* of probes, under way */
	uint64_t next_id;
	struct tunnel_counters closed; /* of sessions that are gone */
	struct server_tally tally;
	struct server_probe_list dead_probes; /* answered by the task */
	struct loop_task probe_task;
	bool freeing;

	bool draining;
	struct loop_timer drain_timer;
	struct loop_task drain_task;
	void (*on_drained)(void *user);
	void *drain_user;
};

/* ---- server_session.c ---- */

/* A new connection: sets its ops; it is freed by itself when it is closed. */
void server_session_new(struct server *s, struct quic_conn *conn);
/* The answer to its claim. Takes fd over. */
void server_session_claimed(struct server_session *ss, int error, int fd,
			    const struct address *bound);
/* Asks its peer for a sign of life; `wait` is taken over. */
void server_session_probe(struct server_session *ss, uint64_t timeout_ns,
			  struct server_probe_wait *wait);
/* No new flows; the connection is closed when its flows have ended, or now. */
void server_session_drain(struct server_session *ss, bool now);
/* Closes it for an administrator; `reason` NULL = a general one. Only one that is up. */
void server_session_kick(struct server_session *ss, const char *reason);
void server_session_counters(struct server_session *ss, struct tunnel_counters *ret);
void server_session_event(const struct server_session *ss, struct tunnel_event *ret,
			  enum tunnel_event_type type);

/* Notes why we are going to close it; the first reason stands. */
void server_session_note(struct server_session *ss, int error, const char *text);

/* ---- server_check.c ---- */

/* Does this login only ask (and did we offer to answer)? */
bool server_check_asked(const struct server_session *ss, const struct wire_trailer *trailer);
/* ss->login may be had: finds out what would become of it, answers, and closes. */
void server_check_start(struct server_session *ss);
/* ss->login may not be had, for a reason that is not the password. */
void server_check_refuse(struct server_session *ss, const struct server_refusal *refusal);
/* The answer to its claim. */
void server_check_claimed(struct server_session *ss, int error, const struct address *bound);
/* Its connection is gone. */
void server_check_done(struct server_session *ss);

/* ---- server.c ---- */

void server_add(struct server *s, struct server_session *ss);
void server_remove(struct server *s, struct server_session *ss);
/* It is closed; `final` is what it counted. */
void server_tally_removed(struct server_session *ss, const struct tunnel_counters *final);
struct server_session *server_find(struct server *s, uint64_t id);
/* Asks for the listening socket of a session; server_session_claimed follows, now or later. */
void server_claim_address(struct server *s, struct server_session *ss);
void server_release(struct server *s, uint64_t session_id);
/* Says "not alive" to whoever waits, from the loop. Takes the waits over. */
void server_answer_dead(struct server *s, struct server_probe_list *waits);
void server_emit(const struct server *s, const struct tunnel_event *event);
bool server_ipv6_supported(void);
