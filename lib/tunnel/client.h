/* SPDX-License-Identifier: MIT */
/*
 * The client role on one thread: some of its mappings, each with one QUIC connection at a time over
 * the client's shared endpoint (one UDP socket per family). Per mapping: resolve, connect (Happy
 * Eyeballs), log in, tunnel, wait, again. Owns its resolver, endpoint, listeners and flows.
 *
 * OUT: accepts locally, opens streams. IN: the server opens streams, we dial the local target, or
 * a program takes them.
 */
#pragma once

#include "base/mapping.h"
#include "base/socket_hook.h"
#include "config/config.h"
#include "tunnel/env.h"
#include "tunnel/flow_program.h"

struct client;
struct flow_associate;
struct flow_channel;
struct flow_datagrams;
struct flow_info; /* flows.h */
struct tls_credentials;

struct client_params {
	struct tunnel_env *env;             /* borrowed */
	const struct client_config *config; /* borrowed, read-only, shared by threads */
	/* With roots, or NULL: made per server (system roots, unverified). */
	struct tls_credentials *credentials;
	/* One of our mappings was refused for its password (held = true), or got in again (false).
	 * The owner tells the client's other threads through client_hold, so that after auth_failed
	 * there is one attempt per client and not per mapping. May be NULL. */
	void (*on_auth)(void *user, bool held, uint64_t retry_after_ms);
	struct socket_hook hook; /* of all its sockets but those that are given to it bound */
	/* As of flows_config, for mappings IN whose local side is TARGET_DEFAULT: a program's. */
	enum flow_answer (*on_request)(void *user, struct flow_request *request,
				       struct flow_program *ret_program);
	void *user;
};

int client_new(struct client **ret, const struct client_params *params, char *error,
	       size_t error_size);

/* `fd` is the bound listener of an OUT mapping (tcp_listener_bind or udp_bind), taken over, on
 * failure too; -1 for IN. `id` is unique in the client and not 0. RSTUN_E_SHUTTING_DOWN while it
 * drains, RSTUN_E_ALREADY_EXISTS, RSTUN_E_NOMEM. */
int client_add_mapping(struct client *c, uint64_t id, const struct mapping *mapping, int fd);

/* Takes a mapping away, for good. Its listener is closed when this returns, so the port is free;
 * what waits for the tunnel is reset, UDP flows end. TCP flows may go on until deadline_ns; with a
 * deadline that is not later than loop_now they end now. Then the connection is closed with code 1,
 * the state becomes STOPPED, what was counted goes over to the client's totals, and on_removed (may
 * be NULL) is called: once, as the last thing, from the loop, never from inside this call. `final`
 * is borrowed for it. A second call while flows go on may bring a nearer deadline, and its
 * on_removed is the one that is called. client_free calls nobody. RSTUN_E_NOT_FOUND. */
int client_remove_mapping(struct client *c, uint64_t id, uint64_t deadline_ns,
			  void (*on_removed)(void *user, uint64_t id,
					     const struct tunnel_counters *final),
			  void *user);

/* Closes the mapping's connection, which resets its flows, and connects anew at once, whatever it
 * waited for; back-off begins at its first step. An OUT listener stays open. Not a failure: the
 * state goes to CONNECTING. RSTUN_E_NOT_FOUND; RSTUN_E_SHUTTING_DOWN while it is being removed or
 * the client drains. */
int client_restart_mapping(struct client *c, uint64_t id);

/* Other mappings of this client (on any thread) hold their attempts back while held. */
void client_hold(struct client *c, bool held);

/* No new flows; existing TCP flows may end. on_drained comes when none is left, or at deadline_ns;
 * then all connections have been closed with code 1 and their packets sent. */
void client_drain(struct client *c, uint64_t deadline_ns, void (*on_drained)(void *user),
		  void *user);

/* A channel (flows.h): a flow toward channel->target without a listener of a mapping's. All of them
 * share one tunnel, which is made for the first and closed when there has been none for a while; no
 * event tells of it. As flows_open_channel. */
int client_open_channel(struct client *c, const struct flow_channel *channel);
/* UDP of a program's, as flows_open_udp, through a tunnel of its own kind. *ret is NULL when the
 * tunnel is known not to come, and on_failed has been called. */
int client_open_udp(struct client *c, const struct flow_datagrams *program,
		    struct flow_associate **ret);
/* One with that `user` need not wait for a stream any more; its `done` is not called. No-op when
 * there is none that waits. */
void client_cancel_channel(struct client *c, const void *user);

/* Of all its mappings, those that were removed included: no counter ever goes back. */
void client_counters(struct client *c, struct tunnel_counters *ret);
/* Of one of them; *ret_mapping is borrowed. RSTUN_E_NOT_FOUND. */
int client_counters_of(struct client *c, uint64_t mapping_id, struct tunnel_counters *ret,
		       const struct mapping **ret_mapping);
/* All of it in pieces, so that other work of the loop comes in between: begin, then next until it
 * returns false. Each shows up to `max` mappings' counters, borrowed for the visit; no visit may
 * change the client. What comes or goes between two pieces is shown or not, but is never missing in
 * the sum that the last one returns. Beginning anew ends one that is under way. */
void client_tally_begin(struct client *c);
bool client_tally_next(struct client *c, size_t max,
		       void (*visit)(void *user, uint64_t id,
				     const struct tunnel_counters *counters),
		       void *user, struct tunnel_counters *ret_sum);

/* Shows each flow of the mapping, or of all for 0; as above. */
void client_visit_flows(struct client *c, uint64_t mapping_id,
			void (*visit)(void *user, const struct flow_info *flow), void *user);
/* Ends one flow of a mapping, or all of it for flow_id 0, now: TCP with a reset on both sides; the
 * source of a UDP flow gets a new one with its next datagram. Returns how many there were. */
size_t client_kill_flows(struct client *c, uint64_t mapping_id, uint64_t flow_id);
void client_free(struct client *c);
