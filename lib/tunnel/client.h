/* SPDX-License-Identifier: MIT */
/*
 * The client role on one thread: some of its mappings, each with one QUIC connection at a time over
 * the client's shared endpoint (one UDP socket per family). Per mapping: resolve, connect (Happy
 * Eyeballs), log in, tunnel, wait, again. Owns its resolver, endpoint, listeners and flows.
 *
 * OUT: accepts locally, opens streams. IN: the server opens streams, we dial the local target.
 */
#pragma once

#include "base/mapping.h"
#include "tunnel/config.h"
#include "tunnel/env.h"

struct client;
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
	void *user;
};

int client_new(struct client **ret, const struct client_params *params, char *error,
	       size_t error_size);

/* `fd` is the bound listener of an OUT mapping (tcp_listener_bind or udp_bind), taken over, on
 * failure too; -1 for IN. `id` is unique in the client. */
int client_add_mapping(struct client *c, uint64_t id, const struct mapping *mapping, int fd);

/* Other mappings of this client (on any thread) hold their attempts back while held. */
void client_hold(struct client *c, bool held);

/* No new flows; existing TCP flows may end. on_drained comes when none is left, or at deadline_ns;
 * then all connections have been closed with code 1 and their packets sent. */
void client_drain(struct client *c, uint64_t deadline_ns, void (*on_drained)(void *user),
		  void *user);

void client_counters(struct client *c, struct tunnel_counters *ret);
/* Calls on_event with a STAT event per mapping. */
void client_report(struct client *c);
void client_free(struct client *c);
