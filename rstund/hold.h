/* SPDX-License-Identifier: MIT */
/*
 * Changing what there is: clients, servers and mappings are added, changed, removed, paused while
 * the daemon runs, and nothing but what is named is touched. Every way in (command line,
 * configuration file, state file, control API) goes through here.
 *
 * Each change is checked first, written to the state file where it concerns it, and only then takes
 * effect: when it is refused or cannot be written, everything is as before and `error` says why.
 * Main thread only.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/api_types.h"
#include "rstund/control/inventory.h"
#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>

struct daemon;

/* ---- Clients (hold_client.c) ---- */

/* Whether its certificates can be used: the rest of a configuration is checked already. */
int hold_client_check(const struct client_config *config, struct rpc_error *error);

/* `config` is complete and checked, and taken over, on failure too. */
int hold_client_add(struct daemon *d, const char *name, enum rpc_origin origin,
		    struct client_config *config, struct held_client **ret, struct rpc_error *error);
/* Its mappings stay and reconnect. */
int hold_client_change(struct daemon *d, struct held_client *c, struct client_config *config,
		       struct rpc_error *error);
/* With its mappings. */
int hold_client_remove(struct daemon *d, struct held_client *c, uint64_t drain_ms,
		       struct rpc_error *error);

/* ---- Servers (hold_server.c) ---- */

/* Whether its certificate and key can be used. */
int hold_server_check(const struct server_config *config, struct rpc_error *error);

/* An address that cannot be had now is tried again, the state is failed until then; with
 * `must_listen` it is an error. */
int hold_server_add(struct daemon *d, const char *name, enum rpc_origin origin,
		    struct server_config *config, bool must_listen, struct held_server **ret,
		    struct rpc_error *error);
int hold_server_change(struct daemon *d, struct held_server *s, struct server_config *config,
		       struct rpc_error *error);
int hold_server_remove(struct daemon *d, struct held_server *s, uint64_t drain_ms,
		       struct rpc_error *error);
void hold_server_drain(struct daemon *d, struct held_server *s, uint64_t drain_ms);
/* Its role is gone: what is to follow begins. */
void hold_server_role_gone(struct daemon *d, struct held_server *s);
/* A role of some server is gone: who waits for its address begins. */
void hold_server_address_free(struct daemon *d);
/* A worker could not serve it. */
void hold_server_failed(struct daemon *d, struct held_server *s, int error, const char *text);

/* ---- Mappings (hold_mapping.c) ---- */

struct hold_mapping_params {
	struct held_client *client;
	struct mapping mapping;
	const char *name;        /* NULL = none */
	enum rpc_origin origin;
	uint64_t caller;         /* 0, or the connection that it lives as long as */
	uint64_t expires_ms;     /* UINT64_MAX = never */
	int64_t expires_wall_us; /* of one that comes out of the state file; INT64_MAX = from now */
	bool paused;
	uint64_t number;         /* 0, or that of one that comes back */
	bool checked;            /* it is possible together with what else is about to change */
	bool must_listen;        /* an address that cannot be had is an error */
};

/* What there is already with the same name, or without one with the same mapping; NULL = none. */
struct held_mapping *hold_mapping_same(const struct daemon *d,
				       const struct hold_mapping_params *params);
/* Would such a mapping be possible beside the others? `but` is left out of account. */
int hold_mapping_check(const struct daemon *d, const struct hold_mapping_params *params,
		       const struct held_mapping *but, struct rpc_error *error);
int hold_mapping_add(struct daemon *d, const struct hold_mapping_params *params,
		     struct held_mapping **ret, struct rpc_error *error);
/* Another mapping, client, time of expiry; it keeps number, name and origin. */
int hold_mapping_change(struct daemon *d, struct held_mapping *m,
			const struct hold_mapping_params *params, struct rpc_error *error);
/* `why`: "" or a reason for the event. */
int hold_mapping_remove(struct daemon *d, struct held_mapping *m, uint64_t drain_ms,
			const char *why, struct rpc_error *error);
int hold_mapping_pause(struct daemon *d, struct held_mapping *m, bool paused, uint64_t drain_ms,
		       struct rpc_error *error);
/* One that was not to survive the daemon is, from now on. */
int hold_mapping_keep(struct daemon *d, struct held_mapping *m, struct rpc_error *error);
int hold_mapping_restart(struct daemon *d, struct held_mapping *m, struct rpc_error *error);
/* Its client has another role: it moves there. */
void hold_mapping_move(struct daemon *d, struct held_mapping *m);
/* Its worker has let go of it. */
void hold_mapping_displaced(struct daemon *d, struct held_mapping *m,
			    const struct tunnel_counters *final);
/* Its worker could not take it. */
void hold_mapping_failed(struct daemon *d, struct held_mapping *m, int error, const char *text);
/* Those of a connection that is gone. */
void hold_mapping_caller_gone(struct daemon *d, uint64_t caller);
/* The daemon ends: the files of UNIX sockets go, before they are listened on no more. */
void hold_mapping_shut_paths(struct daemon *d);
