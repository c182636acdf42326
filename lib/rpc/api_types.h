/* SPDX-License-Identifier: MIT */
/*
 * The structs that the rows of the control API describe: params, results and event bodies. The
 * names of members are those in JSON; what each means is said in the help of its row and not again
 * here. Strings, lists and arrays are owned by their struct: field_free(rows) frees them, so what a
 * handler puts into a result is strdup'ed, and NULL means that the member is left out. "Not given"
 * of other types: see FIELD_OPTIONAL. Plain data.
 */
#pragma once

#include "base/field.h"
#include "base/log.h"
#include "base/mapping.h"
#include "rpc/api_params.h"

#include <stdbool.h>
#include <stdint.h>

/* The values of enum tunnel_state, and one more. */
enum rpc_state {
	RPC_STATE_IDLE,
	RPC_STATE_CONNECTING,
	RPC_STATE_CONNECTED,
	RPC_STATE_TUNNELING,
	RPC_STATE_RECONNECTING,
	RPC_STATE_FAILED,
	RPC_STATE_STOPPED,
	RPC_STATE_PAUSED,
};

enum rpc_origin {
	RPC_ORIGIN_CONFIG,       /* of the configuration file */
	RPC_ORIGIN_COMMAND_LINE,
	RPC_ORIGIN_STATE,        /* added at run time, kept over restarts */
	RPC_ORIGIN_RUNTIME,      /* added at run time, lost at the end */
};

enum rpc_right {
	RPC_RIGHT_CHANGE,
	RPC_RIGHT_READ,
};

enum rpc_server_state {
	RPC_SERVER_STARTING,
	RPC_SERVER_LISTENING,
	RPC_SERVER_DRAINING,
	RPC_SERVER_STOPPED,
	RPC_SERVER_FAILED,
};

enum rpc_daemon_state {
	RPC_DAEMON_STARTING,
	RPC_DAEMON_RUNNING,
	RPC_DAEMON_DRAINING,
};

/* ---- Objects of results ---------------------------------------------------------------------- */

struct rpc_libraries {
	char *ngtcp2, *gnutls, *packet_protection, *libevent, *jansson;
};

struct rpc_daemon_info {
	char *software;      /* "rstund" */
	char *version;
	uint64_t api_version;
	uint64_t pid, uid;
	uint64_t workers;
	char *epoch;
	char *started;       /* RFC 3339 */
	int right;           /* enum rpc_right: of the caller */
	uint64_t caller_uid;
	char **features;
	struct rpc_libraries libraries;
};

struct rpc_state_counts {
	uint64_t total;
	uint64_t idle, connecting, connected, tunneling, reconnecting, failed, stopped, paused;
};

struct rpc_warning {
	char *kind; /* "tls_unverified", "cert_expiring", ... */
	char *about; /* id of what it is about, or NULL */
	char *text;
};

struct rpc_daemon_status {
	int state; /* enum rpc_daemon_state */
	uint64_t uptime_ms;
	struct rpc_state_counts mappings;
	uint64_t clients, servers, sessions, flows;
	uint64_t callers, subscriptions;
	uint64_t seq;                /* of the last event */
	uint64_t descriptors_max;
	uint64_t confirm_in_ms;      /* UINT64_MAX = nothing waits for mapping.confirm */
	struct field_array warnings; /* struct rpc_warning */
};

struct rpc_reload_result {
	bool dry_run;
	char **added, **changed, **removed; /* "client home", "mapping web" */
	uint64_t unchanged;
	char **warnings;
};

struct rpc_config_result {
	char *config; /* JSON text */
};

struct rpc_diagnostic {
	char *file;
	uint64_t line; /* UINT64_MAX = of none */
	char *key;
	char *message;
	char *hint;
};

struct rpc_config_check_result {
	bool ok;
	uint64_t clients, servers, mappings;
	struct field_array diagnostics; /* struct rpc_diagnostic */
};

struct rpc_ping_result {
	char *timestamp;
	uint64_t uptime_ms;
};

struct rpc_shutdown_result {
	uint64_t flows; /* open now */
	uint64_t drain_ms;
};

struct rpc_level_result {
	int level;
	int previous;          /* -1 = not given */
	uint64_t revert_in_ms; /* UINT64_MAX = stays */
};

struct rpc_log_line {
	uint64_t number;
	char *timestamp;
	int level;
	char *scope;
	char *text;
};

struct rpc_log_tail_result {
	struct field_array lines; /* struct rpc_log_line, the oldest first */
	uint64_t last;            /* number of the last line there is */
	uint64_t lost;
};

struct rpc_failure {
	char *kind;
	char *message;
};

struct rpc_client_runtime {
	int origin;
	struct rpc_state_counts mappings;
	uint64_t flows;
};

struct rpc_client {
	char *id;     /* "c1" */
	char *name;
	char *config; /* JSON text: the option rows of a client, schema "ClientConfig" */
	struct rpc_client_runtime runtime;
};

struct rpc_client_add_result {
	bool created;
	struct rpc_client client;
};

struct rpc_client_list {
	struct field_array clients; /* struct rpc_client */
};

enum rpc_probe_step {
	RPC_PROBE_DNS,
	RPC_PROBE_UDP,
	RPC_PROBE_TLS,
	RPC_PROBE_LOGIN,
	RPC_PROBE_BIND,
	RPC_PROBE_UPSTREAM,
};

enum rpc_probe_outcome {
	RPC_PROBE_OK,
	RPC_PROBE_FAILED,
	RPC_PROBE_SKIPPED,
};

struct rpc_probe {
	int step;
	int outcome;
	uint64_t took_ms;
	char *text;
	bool has_error;
	struct rpc_failure error;
};

struct rpc_channel_open_result {
	char *client; /* id */
	char *target; /* in the normal form */
};

struct rpc_client_test_result {
	bool ok;
	char *client;  /* id */
	char *mapping; /* id, or NULL */
	bool live;     /* the mapping is up now: shown beside the probe */
	struct field_array steps; /* struct rpc_probe */
};

struct rpc_server_runtime {
	int origin;
	int state;   /* enum rpc_server_state */
	bool has_last_error;
	struct rpc_failure last_error;
	char *bound; /* "0.0.0.0:3515" */
	uint64_t sessions, flows;
	char *pin;   /* of its certificate: sha256/BASE64 */
};

struct rpc_server {
	char *id;     /* "s1" */
	char *name;
	char *config; /* JSON text, schema "ServerConfig" */
	struct rpc_server_runtime runtime;
};

struct rpc_server_add_result {
	bool created;
	struct rpc_server server;
};

struct rpc_server_list {
	struct field_array servers; /* struct rpc_server */
};

struct rpc_mapping_config {
	int mode;     /* enum mapping_mode */
	int proto;    /* enum mapping_proto */
	char *local;
	char *remote;
	char *name;
	char *client; /* name of the client */
	uint64_t expires_ms; /* UINT64_MAX = never */
};

struct rpc_mapping_runtime {
	int origin;
	int state;              /* enum rpc_state */
	char *since;            /* RFC 3339: of the state */
	uint64_t attempt;
	uint64_t next_retry_ms; /* UINT64_MAX = none is planned */
	bool has_last_error;
	struct rpc_failure last_error;
	char *bound;
	uint64_t active_flows;
	char *expires;          /* RFC 3339: when it is removed, or NULL */
	char *peer;             /* address of the server */
	char *peer_software;
	uint64_t rtt_ms;        /* UINT64_MAX = not known */
	bool unverified;        /* TLS: the server's certificate was not verified */
	char *cipher;           /* of the connection, or NULL */
};

struct rpc_mapping {
	char *id;   /* "m3" */
	char *spec; /* OUT^127.0.0.1:9000^ANY */
	struct rpc_mapping_config config;
	struct rpc_mapping_runtime runtime;
};

struct rpc_mapping_list {
	struct field_array mappings; /* struct rpc_mapping */
};

struct rpc_mapping_add_result {
	bool created;
	struct rpc_mapping mapping;
	bool is_range;
	struct field_array mappings; /* struct rpc_mapping: all of a range; else none */
};

struct rpc_mapping_apply_result {
	bool dry_run;
	char **added, **changed, **removed; /* names or specs */
	uint64_t unchanged;
	uint64_t revert_in_ms; /* UINT64_MAX = nothing to confirm */
};

struct rpc_flow {
	char *id;      /* "m3.17", "s1.17.5" */
	char *mapping; /* id, or */
	char *session; /* id */
	int proto;
	char *peer;    /* the application's address, where it is known */
	char *target;
	uint64_t in_bytes, out_bytes;
	uint64_t age_ms, idle_ms;
};

struct rpc_flow_list {
	struct field_array flows; /* struct rpc_flow */
	uint64_t total;
};

struct rpc_flow_kill_result {
	uint64_t killed;
};

struct rpc_mapping_wait_result {
	uint64_t waited_ms;
	struct rpc_mapping mapping;
};

struct rpc_done_result {
	bool done; /* false: there was nothing to do */
};

struct rpc_session {
	char *id;      /* "s1.17" */
	char *server;  /* id */
	char *remote;  /* address of the peer */
	int mode;
	int proto;
	char *mapping; /* as the client asked for it: OUT^...^..., or NULL */
	char *bound;   /* IN: our listener */
	char *since;
	char *software;
	char *cipher;  /* "aes-128-gcm" */
	uint64_t active_flows;
	uint64_t rx_bytes, tx_bytes;
	uint64_t payload_in_bytes, payload_out_bytes;
	uint64_t lost_packets;
	uint64_t rtt_ms, cwnd_bytes;
};

struct rpc_session_list {
	struct field_array sessions; /* struct rpc_session */
};

/* The members of the original's statistics, and ours. */
struct rpc_stat {
	uint64_t rx_bytes, tx_bytes, rx_dgrams, tx_dgrams;
	uint64_t sent_packets, lost_packets, lost_bytes, congestion_events;
	uint64_t active_conns, total_conns;
	uint64_t rtt_ms, cwnd_bytes, current_mtu, max_datagram;
	uint64_t payload_in_bytes, payload_out_bytes;
	uint64_t udp_dropped;
	uint64_t rx_datagram_frames, tx_datagram_frames;
};

struct rpc_rate {
	double rx_bytes, tx_bytes; /* per second */
	double payload_in_bytes, payload_out_bytes;
	double sent_packets, lost_packets;
};

struct rpc_stats_result {
	char *of; /* id, or "total" */
	struct rpc_stat stat;
	struct rpc_rate rate_1s, rate_10s;
};

struct rpc_metrics_result {
	char *text;
};

struct rpc_cert {
	char *server; /* id of the server or client that uses it */
	char *subject;
	char **names;
	char *not_before, *not_after; /* RFC 3339 */
	char *pin;
	bool self_signed;
	bool expired;
};

struct rpc_cert_list {
	struct field_array certs; /* struct rpc_cert */
};

struct rpc_cert_reload {
	char *server;
	bool changed;
	char *pin; /* of the one in use now */
	bool has_error;
	struct rpc_failure error; /* then the old one stays */
};

struct rpc_cert_reload_result {
	struct field_array servers; /* struct rpc_cert_reload */
};

/* What there is, as of an event's number. */
struct rpc_snapshot {
	struct field_array mappings, clients, servers, sessions;
};

enum rpc_replay {
	RPC_REPLAY_NONE, /* `since` was not given */
	RPC_REPLAY_COMPLETE,
	RPC_REPLAY_GAP,
	RPC_REPLAY_EPOCH_CHANGED,
};

struct rpc_subscribe_result {
	uint64_t sub;
	char *epoch;
	uint64_t seq;
	int replay;
	bool has_snapshot;
	struct rpc_snapshot snapshot;
};

struct rpc_next_result {
	char *cursor;
	char *events; /* JSON text: an array of events' params */
};

/* ---- Events ---------------------------------------------------------------------------------- */

enum rpc_source {
	RPC_SOURCE_NETWORK,
	RPC_SOURCE_CHANNEL, /* opened by a program through the library */
};

struct rpc_event_tunnel {
	int source;
	uint64_t id;
	int proto;
	int mode;
};

struct rpc_state_detail {
	int prev; /* enum rpc_state */
	uint64_t attempt;
	uint64_t next_retry_ms; /* UINT64_MAX = none */
	uint64_t took_ms;       /* UINT64_MAX = not given */
	char *bound;
	char *peer;
	char *peer_software;
	bool unverified;
	bool has_error;
	struct rpc_failure error;
};

struct rpc_log_detail {
	int level;
	char *scope;
};

/* mapping, client, server, session: what happened is the event's data, the thing is its detail. */
struct rpc_thing_detail {
	char *id;
	char *name;
	bool has_error;
	struct rpc_failure error;
	char *bound;
	char *remote;
	char *software;
};

struct rpc_flow_detail {
	char *session; /* of a server's session: its id */
	char *peer;
	char *target;
	uint64_t in_bytes, out_bytes;
	uint64_t duration_ms;
	bool has_error;
	struct rpc_failure error;
};

struct rpc_daemon_detail {
	char *text;
};

struct rpc_cert_detail {
	char *server;
	char *pin;
	char *not_after;
	bool has_error;
	struct rpc_failure error;
};

/* Data of `dropped` and `overrun`. */
struct rpc_dropped {
	uint64_t from_seq, to_seq, count;
};

/* ---- Their rows ------------------------------------------------------------------------------ */

/* Objects that are made and read outside replies too. */
extern const struct field_rows rpc_mapping_rows;
extern const struct field_rows rpc_client_rows;
extern const struct field_rows rpc_server_rows;
extern const struct field_rows rpc_session_rows;
extern const struct field_rows rpc_stat_rows;
extern const struct field_rows rpc_failure_rows;
extern const struct field_rows rpc_event_tunnel_rows;

/* The words of the enums above, NULL at the end. */
extern const char *const rpc_state_names[];
extern const char *const rpc_server_state_names[];
extern const char *const rpc_origin_names[];
extern const char *const rpc_level_names[]; /* enum log_level */
extern const char *const rpc_mode_names[];  /* enum mapping_mode: "in", "out" */
extern const char *const rpc_proto_names[]; /* enum mapping_proto */

/* What happened, in events of type mapping, client, server, session, daemon, cert; their words are
 * rpc_events[type].words[value]. A flow's is always "ended". */
enum rpc_change {
	RPC_CHANGE_ADDED,
	RPC_CHANGE_CHANGED,
	RPC_CHANGE_REMOVED,
};

enum rpc_server_change {
	RPC_SERVER_CHANGE_ADDED,
	RPC_SERVER_CHANGE_CHANGED,
	RPC_SERVER_CHANGE_REMOVED,
	RPC_SERVER_CHANGE_LISTENING,
	RPC_SERVER_CHANGE_DRAINING,
	RPC_SERVER_CHANGE_STOPPED,
	RPC_SERVER_CHANGE_FAILED,
};

enum rpc_session_change {
	RPC_SESSION_LOGIN,
	RPC_SESSION_REFUSED,
	RPC_SESSION_ENDED,
};

enum rpc_daemon_change {
	RPC_DAEMON_CHANGE_RUNNING,
	RPC_DAEMON_CHANGE_DRAINING,
	RPC_DAEMON_CHANGE_LEVEL, /* of the log */
};

enum rpc_cert_change {
	RPC_CERT_RELOADED,
	RPC_CERT_FAILED,
	RPC_CERT_EXPIRING,
};
