/* SPDX-License-Identifier: MIT */
/*
 * The structs of the API's params; see api_types.h for what holds for all of them. Plain data.
 */
#pragma once

#include "base/field.h"
#include "base/log.h"
#include "base/mapping.h"

#include <stdbool.h>
#include <stdint.h>

/* One of several things: by id ("m3") or by name; the check of the method wants exactly one. */
struct rpc_which_params {
	char *id;
	char *name;
};

struct rpc_cancel_params {
	char *id; /* JSON text: 7 or "a" */
};

struct rpc_shutdown_params {
	uint64_t drain_ms;
};

struct rpc_reload_params {
	bool dry_run;
};

struct rpc_config_check_params {
	char *text;
};

/* client.add, server.add */
struct rpc_role_add_params {
	char *name;
	bool persist;
	char *config; /* JSON text: the options given, to be decoded by the role's rows */
};

/* client.set, server.set */
struct rpc_role_set_params {
	char *id;
	char *name;
	char *config; /* JSON text: the options to change */
};

struct rpc_role_remove_params {
	char *id;
	char *name;
	bool missing_ok;
	bool mappings; /* of a client: its mappings too */
	uint64_t drain_ms;
};

struct rpc_client_test_params {
	char *client;  /* id or name; NULL = the only one */
	char *mapping; /* id or name; NULL = the client alone */
	uint64_t timeout_ms;
};

struct rpc_channel_open_params {
	char *client; /* id or name; NULL = the only one */
	char *target; /* "host:port", "ANY" */
	int proto;
};

struct rpc_drain_params {
	char *id;
	char *name;
	uint64_t drain_ms;
};

enum rpc_lifetime {
	RPC_LIFETIME_DAEMON,
	RPC_LIFETIME_CONNECTION, /* ends with the connection of who added it */
};

/* How a mapping is told: by spec, or by mode, local and remote. */
struct rpc_mapping_input {
	char *spec; /* OUT^9000^ANY */
	int mode;   /* -1 = not given */
	int proto;
	char *local, *remote;
	char *name;
	char *client;         /* id or name; NULL = the only one */
	uint64_t expires_ms;  /* UINT64_MAX = never */
};

struct rpc_mapping_add_params {
	struct rpc_mapping_input input;
	bool persist;
	int lifetime;     /* enum rpc_lifetime */
	bool paused;
	uint64_t wait_ms; /* 0 = do not wait */
};

struct rpc_mapping_set_params {
	char *id;
	char *name;
	char *spec;
	int mode, proto; /* -1 = as it is */
	char *local, *remote;
	char *client;
	uint64_t expires_ms; /* UINT64_MAX = as it is; 0 = never */
};

struct rpc_mapping_remove_params {
	char *id;
	char *name;
	bool missing_ok;
	uint64_t drain_ms;
};

struct rpc_mapping_apply_params {
	struct field_array mappings; /* struct rpc_mapping_input */
	bool dry_run;
	bool prune;
	uint64_t confirm_within_s;   /* 0 = not to be confirmed */
};

struct rpc_mapping_confirm_params {
	bool revert;
};

struct rpc_flow_list_params {
	char *mapping; /* id or name */
	char *session; /* id */
	uint64_t count;
};

/* Exactly one. */
struct rpc_flow_kill_params {
	char *id;
	char *mapping;
	char *session;
};

struct rpc_set_level_params {
	int level;                /* enum log_level */
	uint64_t revert_after_ms; /* UINT64_MAX = stays */
};

struct rpc_log_tail_params {
	uint64_t count;
	int min_level;       /* -1 = not given */
	uint64_t after;      /* UINT64_MAX = not given */
	uint64_t timeout_ms; /* how long to wait for a line behind `after` */
};

struct rpc_mapping_list_params {
	char *client; /* id or name; NULL = all */
	int state;    /* -1 = all */
};

struct rpc_mapping_wait_params {
	char *id;
	char *name;
	int state;
	uint64_t timeout_ms;
};

struct rpc_session_list_params {
	char *server; /* id or name; NULL = all */
};

struct rpc_session_params {
	char *id;
};

/* At most one; none is the total of all. */
struct rpc_stats_params {
	char *mapping;
	char *client;
	char *server;
	char *session;
};

struct rpc_cert_params {
	char *server; /* id or name; NULL = all */
};

struct rpc_since {
	char *epoch;
	uint64_t seq;
};

enum rpc_snapshot_wish {
	RPC_SNAPSHOT_AUTO, /* unless `since` can be replayed without a gap */
	RPC_SNAPSHOT_ALWAYS,
	RPC_SNAPSHOT_NEVER,
};

struct rpc_subscribe_params {
	char **types;              /* of rpc_event_names (checked), NULL = those that are on */
	char **mappings;           /* ids or names, NULL = all */
	int min_level;             /* of log events: enum log_level */
	uint64_t stat_interval_ms; /* UINT64_MAX = only what the daemon sends by itself */
	int snapshot;              /* enum rpc_snapshot_wish */
	bool has_since;
	struct rpc_since since;
};

struct rpc_unsubscribe_params {
	uint64_t sub;
};

struct rpc_next_params {
	char *cursor; /* of the last answer; NULL = from now */
	char **types;
	char **mappings;
	int min_level;
	uint64_t timeout_ms;
	uint64_t count;
};
