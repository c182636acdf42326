/* SPDX-License-Identifier: MIT */
/*
 * The server role on one thread: a QUIC endpoint on its SO_REUSEPORT socket and the sessions that
 * arrive there.
 * A session logs in, then: OUT: the peer opens streams, we dial the upstream. IN: we listen, open
 * streams toward the peer. Listening addresses of IN sessions are claimed from the owner of all
 * threads, because two workers may be asked for the same one.
 */
#pragma once

#include "base/address.h"
#include "base/socket_hook.h"
#include "config/config.h"
#include "tunnel/env.h"
#include "tunnel/flow_program.h"

struct server;
struct flow_info; /* flows.h */
struct tls_credentials;

/* A wish of one session for a listening socket. */
struct server_claim {
	uint64_t session_id; /* unique among all workers of the server */
	enum mapping_proto proto;
	struct address address; /* port 0 = any */
	/* Only find out: the answer comes without a descriptor, and nothing is held or evicted. */
	bool probe;
};

struct server_params {
	struct tunnel_env *env;              /* borrowed */
	const struct server_config *config;  /* borrowed, read-only */
	struct tls_credentials *credentials; /* reference taken */
	/* Bound UDP socket (quic_endpoint_bind, server_bind), taken over, on failure too. */
	int fd;
	/* Asks for a listening socket; the owner answers now or later by server_claimed. NULL =
	 * bind on the spot. The owner finds out whether another session holds the address, and whether
	 * that one is alive (server_probe), before it refuses. */
	void (*claim)(void *user, const struct server_claim *claim);
	/* The session no longer listens there (its copy of the descriptor is closed). */
	void (*release)(void *user, uint64_t session_id);
	/* A datagram that belongs to another worker; NULL = dropped. */
	void (*foreign)(void *user, unsigned worker, const struct address *local,
			const struct address *remote, const uint8_t *data, size_t bytes);
	struct socket_hook hook; /* of all its sockets but those that are given to it bound */
	/* As of flows_config, for all sessions; NULL = nobody is asked. */
	enum flow_answer (*on_request)(void *user, struct flow_request *request,
				       struct flow_program *ret_program);
	void *user;
};

/* The socket of a server that has one worker, with the address and port that it got; `hook` may be
 * NULL. RSTUN_E_ADDRESS_IN_USE, RSTUN_E_PERMISSION_DENIED, ... */
int server_bind(const struct server_config *config, const struct socket_hook *hook, int *ret_fd,
		struct address *ret_bound);

int server_new(struct server **ret, const struct server_params *params);

/* Answer to a claim: 0 with a bound descriptor (taken over; closed if the session is gone; -1 for a
 * claim with `probe`) and its address, or an error (RSTUN_E_REMOTE_ADDRESS_IN_USE, ...). */
void server_claimed(struct server *s, uint64_t session_id, int error, int fd,
		    const struct address *bound);

/* Is that session's peer alive? `done` is called once, later: alive = an answer came within
 * timeout_ns. With alive = false the session has been closed and its address released. */
void server_probe(struct server *s, uint64_t session_id, uint64_t timeout_ns,
		  void (*done)(void *user, uint64_t session_id, bool alive), void *user);

void server_inject(struct server *s, const struct address *local, const struct address *remote,
		   const uint8_t *data, size_t bytes);

/* No new sessions or flows; as client_drain. */
void server_drain(struct server *s, uint64_t deadline_ns, void (*on_drained)(void *user),
		  void *user);
void server_set_credentials(struct server *s, struct tls_credentials *credentials);
void server_counters(struct server *s, struct tunnel_counters *ret);
/* As client_tally_begin and client_tally_next. Sessions that are logged in are shown; the sum is of
 * all. A piece shows more than `max` when the next list of the table is longer than what is left. */
void server_tally_begin(struct server *s);
bool server_tally_next(struct server *s, size_t max,
		       void (*visit)(void *user, uint64_t session_id,
				     const struct tunnel_counters *counters),
		       void *user, struct tunnel_counters *ret_sum);

/* Shows each flow of the session, or of all for 0; as above. */
void server_visit_flows(struct server *s, uint64_t session_id,
			void (*visit)(void *user, const struct flow_info *flow), void *user);
/* Ends one flow of a session, or all of it for flow_id 0; as client_kill_flows. */
size_t server_kill_flows(struct server *s, uint64_t session_id, uint64_t flow_id);

/* Closes a session that is logged in; `reason` goes to the peer (NULL: a general one). An address
 * that it listens on is released at once. It is reported as ended with RSTUN_E_CANCELLED, from the
 * loop. RSTUN_E_NOT_FOUND. */
int server_kick(struct server *s, uint64_t session_id, const char *reason);
void server_free(struct server *s);
