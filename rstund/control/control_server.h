/* SPDX-License-Identifier: MIT */
/*
 * The control API's server: the sockets, the connections on them with their limits and fairness,
 * calls, batches, cancellation, and subscriptions. It knows no tunnels: what a method does is the
 * owner's on_call. Main thread only, no blocking call.
 *
 * Limits: 64 connections, 16 per uid, 32 of those who may only look, 2 kept for root; 32
 * requests in flight per connection, then it is not read; nor while more than 256 KiB of output
 * wait, or a reply that may be large is on its way (call_hold). A turn of the loop serves a
 * bounded number of requests per connection, so that a script that hammers the socket holds up
 * nobody.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/api_types.h"
#include "rpc/unix_socket.h"
#include "rstund/control/call.h"
#include "rstund/control/event_bus.h"

#include <stdbool.h>
#include <stdint.h>

struct control_server;
struct log;
struct loop;

#define CONTROL_CONNECTIONS_MAX 64
#define CONTROL_CONNECTIONS_PER_UID 16
#define CONTROL_CONNECTIONS_FOR_ROOT 2
#define CONTROL_CONNECTIONS_READERS 32 /* of those who may only look, all together */
#define CONTROL_IN_FLIGHT_MAX 32
#define CONTROL_OUTPUT_MAX (256 * 1024)      /* bytes; above it nothing is read */
#define CONTROL_OUTPUT_HARD (1024 * 1024)    /* bytes; above it a subscription ends with overrun */
#define CONTROL_SUBSCRIPTIONS_PER_CALLER 16

/* Counters of one mapping, for stat events at a subscriber's own interval. */
struct control_stat {
	uint64_t mapping; /* number of its id */
	const char *name; /* or NULL */
	int mode, proto;
	struct rpc_stat stat;
};

struct control_server_params {
	struct loop *loop;     /* borrowed, as all below */
	const struct log *log;
	struct event_bus *bus;
	const char *epoch;     /* of the daemon's run */
	uid_t uid;             /* of the daemon: may change things, as root may */
	gid_t admin_group;     /* may change things, too; (gid_t)-1 = none */

	/* Params are decoded and checked, and borrowed for the call; the right to change things was
	 * checked. */
	struct answer (*on_call)(void *user, struct call *c, enum rpc_method method,
				 const void *params);
	/* A connection is gone (mappings that live as long as it are removed). */
	void (*on_gone)(void *user, uint64_t caller);
	/* Everything there is, now. RSTUN_E_NOMEM. field_free by the server. */
	int (*snapshot)(void *user, struct rpc_snapshot *ret);
	/* Number of the mapping with this id ("m3") or name; false = there is none. */
	bool (*find_mapping)(void *user, const char *id_or_name, uint64_t *ret_number);
	/* What subscribers want has changed: shortest interval of per-mapping statistics (UINT64_MAX
	 * = nobody wants any), and whether anybody wants flow events. */
	void (*on_wanted)(void *user, uint64_t stat_interval_ms, bool flows);
	/* Visits the counters of every mapping, as last known. */
	void (*visit_stats)(void *user, void (*visit)(void *arg, const struct control_stat *stat),
			    void *arg);
	void *user;
};

int control_server_new(struct control_server **ret, const struct control_server_params *params);
/* Serves a listening socket, taken over (also on failure). read_only: changes are refused with
 * permission_denied for everybody who connects there; then any uid may connect (the socket's mode
 * decides). On the other one callers who may not change anything are answered with
 * permission_denied and closed. */
int control_server_listen(struct control_server *cs, struct unix_socket *socket, bool read_only);
/* No new connections; cancels every call and answers it with shutting_down; what is queued is
 * written if it can be at once. on_gone and on_wanted are not called any more. Not from inside a
 * handler. Accepts NULL. */
void control_server_free(struct control_server *cs);

/* Fresh counters are there (the owner's sampler): sends them to the subscribers whose interval is
 * over. */
void control_server_stats(struct control_server *cs);
void control_server_counts(const struct control_server *cs, uint64_t *ret_callers,
			   uint64_t *ret_subscriptions);

/* ---- The methods that are the server's own ---- */
struct answer control_server_cancel(struct control_server *cs, struct call *c,
				    const struct rpc_cancel_params *params);
struct answer control_server_subscribe(struct control_server *cs, struct call *c,
				       const struct rpc_subscribe_params *params);
struct answer control_server_unsubscribe(struct control_server *cs, struct call *c,
					 const struct rpc_unsubscribe_params *params);
struct answer control_server_next(struct control_server *cs, struct call *c,
				  const struct rpc_next_params *params);
