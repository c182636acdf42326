/* SPDX-License-Identifier: MIT */
/*
 * Rows of the things that results and events show: mappings, clients, servers, sessions, counters,
 * failures, and the words of their choices. Constant data, any thread.
 */
#include "rpc/api_rows.h"

#define API_REF(name) "{\"$ref\":\"#/components/schemas/" name "\"}"

const char *const rpc_state_names[] = {
	[RPC_STATE_IDLE] = "idle",
	[RPC_STATE_CONNECTING] = "connecting",
	[RPC_STATE_CONNECTED] = "connected",
	[RPC_STATE_TUNNELING] = "tunneling",
	[RPC_STATE_RECONNECTING] = "reconnecting",
	[RPC_STATE_FAILED] = "failed",
	[RPC_STATE_STOPPED] = "stopped",
	[RPC_STATE_PAUSED] = "paused",
	NULL,
};

const char *const rpc_origin_names[] = {
	[RPC_ORIGIN_CONFIG] = "config",
	[RPC_ORIGIN_COMMAND_LINE] = "command_line",
	[RPC_ORIGIN_STATE] = "state",
	[RPC_ORIGIN_RUNTIME] = "runtime",
	NULL,
};

const char *const rpc_level_names[] = {
	[LOG_LEVEL_TRACE] = "trace",
	[LOG_LEVEL_DEBUG] = "debug",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_ERROR] = "error",
	NULL,
};

const char *const rpc_mode_names[] = {
	[MAPPING_IN] = "in",
	[MAPPING_OUT] = "out",
	NULL,
};

const char *const rpc_proto_names[] = {
	[MAPPING_TCP] = "tcp",
	[MAPPING_UDP] = "udp",
	NULL,
};

const char *const rpc_server_state_names[] = {
	[RPC_SERVER_STARTING] = "starting",
	[RPC_SERVER_LISTENING] = "listening",
	[RPC_SERVER_DRAINING] = "draining",
	[RPC_SERVER_STOPPED] = "stopped",
	[RPC_SERVER_FAILED] = "failed",
	NULL,
};

static const char *const api_sources[] = {
	[RPC_SOURCE_NETWORK] = "network",
	[RPC_SOURCE_CHANNEL] = "channel",
	NULL,
};

static const struct field failure_rows[] = {
	ROW(STRING, rpc_failure, "kind", kind, "What scripts match: one of the error kinds.",
	    REQUIRED),
	ROW(STRING, rpc_failure, "message", message, "What people read.", REQUIRED),
};
const struct field_rows rpc_failure_rows = ROWS("Failure", rpc_failure, failure_rows);

#define COUNT(name, member, help) ROW(UINT, rpc_state_counts, name, member, help)
static const struct field state_counts_rows[] = {
	COUNT("total", total, "All of them."),
	COUNT("idle", idle, "Not started."),
	COUNT("connecting", connecting, "On their way to the server."),
	COUNT("connected", connected, "Connected, the login is not answered yet."),
	COUNT("tunneling", tunneling, "Logged in: traffic flows."),
	COUNT("reconnecting", reconnecting, "Waiting for the next attempt."),
	COUNT("failed", failed, "Retried slowly: authentication or configuration."),
	COUNT("stopped", stopped, "Ended."),
	COUNT("paused", paused, "Paused by an administrator."),
};
const struct field_rows rpc_state_counts_rows =
	ROWS("StateCounts", rpc_state_counts, state_counts_rows);

/* ---- Clients and servers --------------------------------------------------------------------- */

static const struct field client_runtime_rows[] = {
	ROW(CHOICE, rpc_client_runtime, "origin", origin, "Where it was defined.",
	    .choices = rpc_origin_names),
	ROW(OBJECT, rpc_client_runtime, "mappings", mappings, "Its mappings by state.",
	    .rows = &rpc_state_counts_rows),
	ROW(UINT, rpc_client_runtime, "flows", flows, "Flows that are open now."),
};
static const struct field_rows client_runtime_set =
	ROWS("ClientRuntime", rpc_client_runtime, client_runtime_rows);

static const struct field client_rows[] = {
	ROW(STRING, rpc_client, "id", id, "Its id, unique while the daemon runs.", REQUIRED),
	ROW(STRING, rpc_client, "name", name, "Its name."),
	ROW(JSON, rpc_client, "config", config, "Its options, secrets left out.", REQUIRED,
	    .schema = API_REF("ClientConfig")),
	ROW(OBJECT, rpc_client, "runtime", runtime, "What it is doing.",
	    .rows = &client_runtime_set),
};
const struct field_rows rpc_client_rows = ROWS("Client", rpc_client, client_rows);

static const struct field server_runtime_rows[] = {
	ROW(CHOICE, rpc_server_runtime, "origin", origin, "Where it was defined.",
	    .choices = rpc_origin_names),
	ROW(CHOICE, rpc_server_runtime, "state", state, "Whether it takes sessions.",
	    .choices = rpc_server_state_names),
	ROW(OBJECT, rpc_server_runtime, "last-error", last_error, "Why it does not listen.",
	    PRESENT(rpc_server_runtime, has_last_error), .rows = &rpc_failure_rows),
	ROW(STRING, rpc_server_runtime, "bound", bound, "The address that it listens on."),
	ROW(UINT, rpc_server_runtime, "sessions", sessions, "Sessions that are logged in."),
	ROW(UINT, rpc_server_runtime, "flows", flows, "Flows that are open now."),
	ROW(STRING, rpc_server_runtime, "pin", pin,
	    "Pin of its certificate's key, for clients: sha256/BASE64."),
};
static const struct field_rows server_runtime_set =
	ROWS("ServerRuntime", rpc_server_runtime, server_runtime_rows);

static const struct field server_rows[] = {
	ROW(STRING, rpc_server, "id", id, "Its id, unique while the daemon runs.", REQUIRED),
	ROW(STRING, rpc_server, "name", name, "Its name."),
	ROW(JSON, rpc_server, "config", config, "Its options, secrets left out.", REQUIRED,
	    .schema = API_REF("ServerConfig")),
	ROW(OBJECT, rpc_server, "runtime", runtime, "What it is doing.",
	    .rows = &server_runtime_set),
};
const struct field_rows rpc_server_rows = ROWS("Server", rpc_server, server_rows);

/* ---- Mappings and sessions ------------------------------------------------------------------- */

static const struct field mapping_config_rows[] = {
	ROW(CHOICE, rpc_mapping_config, "mode", mode,
	    "out: listens here, leads there; in: listens there, leads here.",
	    .choices = rpc_mode_names),
	ROW(CHOICE, rpc_mapping_config, "proto", proto, "What it carries.",
	    .choices = rpc_proto_names),
	ROW(STRING, rpc_mapping_config, "local", local,
	    "Address on this side: where out listens, what in connects to.", REQUIRED),
	ROW(STRING, rpc_mapping_config, "remote", remote,
	    "Address on the server's side; ANY is its default upstream.", REQUIRED),
	ROW(STRING, rpc_mapping_config, "name", name, "Its name, if it has one."),
	ROW(STRING, rpc_mapping_config, "client", client, "Name of its client.", REQUIRED),
	ROW(MS, rpc_mapping_config, "expires-ms", expires_ms,
	    "It is removed so long after it was added.", OPTIONAL, .unit = "ms"),
};
static const struct field_rows mapping_config_set =
	ROWS("MappingConfig", rpc_mapping_config, mapping_config_rows);

static const struct field mapping_runtime_rows[] = {
	ROW(CHOICE, rpc_mapping_runtime, "origin", origin, "Where it was defined.",
	    .choices = rpc_origin_names),
	ROW(CHOICE, rpc_mapping_runtime, "state", state, "Its state.",
	    .choices = rpc_state_names),
	ROW(STRING, rpc_mapping_runtime, "since", since, "When it got into that state.", REQUIRED),
	ROW(UINT, rpc_mapping_runtime, "attempt", attempt,
	    "Attempts to connect since it was last up."),
	ROW(MS, rpc_mapping_runtime, "next-retry-ms", next_retry_ms,
	    "The next attempt is so far away.", OPTIONAL, .unit = "ms"),
	ROW(OBJECT, rpc_mapping_runtime, "last-error", last_error, "Why it was last not up.",
	    PRESENT(rpc_mapping_runtime, has_last_error), .rows = &rpc_failure_rows),
	ROW(STRING, rpc_mapping_runtime, "bound", bound,
	    "The address that is listened on: here for out, at the server for in."),
	ROW(UINT, rpc_mapping_runtime, "active-flows", active_flows, "Flows that are open now."),
	ROW(STRING, rpc_mapping_runtime, "expires", expires, "When it will be removed."),
	ROW(STRING, rpc_mapping_runtime, "peer", peer, "Address of the server."),
	ROW(STRING, rpc_mapping_runtime, "peer-software", peer_software,
	    "What the server says it is."),
	ROW(UINT, rpc_mapping_runtime, "rtt-ms", rtt_ms, "Round trip time to the server.",
	    OPTIONAL, .unit = "ms"),
	ROW(BOOL, rpc_mapping_runtime, "unverified", unverified,
	    "The server's certificate was not verified."),
	ROW(STRING, rpc_mapping_runtime, "cipher", cipher,
	    "What its connection is encrypted with."),
};
static const struct field_rows mapping_runtime_set =
	ROWS("MappingRuntime", rpc_mapping_runtime, mapping_runtime_rows);

static const struct field mapping_rows[] = {
	ROW(STRING, rpc_mapping, "id", id, "Its id, unique while the daemon runs.", REQUIRED),
	ROW(STRING, rpc_mapping, "spec", spec, "Its three parts in the normal form.", REQUIRED),
	ROW(OBJECT, rpc_mapping, "config", config, "How it was defined.",
	    .rows = &mapping_config_set),
	ROW(OBJECT, rpc_mapping, "runtime", runtime, "What it is doing.",
	    .rows = &mapping_runtime_set),
};
const struct field_rows rpc_mapping_rows = ROWS("Mapping", rpc_mapping, mapping_rows);

static const struct field session_rows[] = {
	ROW(STRING, rpc_session, "id", id, "Its id, unique while the daemon runs.", REQUIRED),
	ROW(STRING, rpc_session, "server", server, "Id of the server.", REQUIRED),
	ROW(STRING, rpc_session, "remote", remote, "Address of the client.", REQUIRED),
	ROW(CHOICE, rpc_session, "mode", mode, "Which side listens: in is this one.",
	    .choices = rpc_mode_names),
	ROW(CHOICE, rpc_session, "proto", proto, "What it carries.", .choices = rpc_proto_names),
	ROW(STRING, rpc_session, "mapping", mapping, "What the client asked for."),
	ROW(STRING, rpc_session, "bound", bound, "The address that it listens on here."),
	ROW(STRING, rpc_session, "since", since, "When it logged in.", REQUIRED),
	ROW(STRING, rpc_session, "software", software, "What the client says it is."),
	ROW(STRING, rpc_session, "cipher", cipher, "What it is encrypted with."),
	ROW(UINT, rpc_session, "active-flows", active_flows, "Flows that are open now."),
	ROW(UINT, rpc_session, "rx-bytes", rx_bytes, "Bytes of QUIC received.", .unit = "bytes"),
	ROW(UINT, rpc_session, "tx-bytes", tx_bytes, "Bytes of QUIC sent.", .unit = "bytes"),
	ROW(UINT, rpc_session, "payload-in-bytes", payload_in_bytes,
	    "What applications sent into the tunnel.", .unit = "bytes"),
	ROW(UINT, rpc_session, "payload-out-bytes", payload_out_bytes,
	    "What applications got out of it.", .unit = "bytes"),
	ROW(UINT, rpc_session, "lost-packets", lost_packets, "QUIC packets lost."),
	ROW(UINT, rpc_session, "rtt-ms", rtt_ms, "Round trip time.", .unit = "ms"),
	ROW(UINT, rpc_session, "cwnd-bytes", cwnd_bytes, "Congestion window.", .unit = "bytes"),
};
const struct field_rows rpc_session_rows = ROWS("Session", rpc_session, session_rows);

/* ---- Counters -------------------------------------------------------------------------------- */

#define STAT(name, member, help, ...) ROW(UINT, rpc_stat, name, member, help, __VA_ARGS__)
static const struct field stat_rows[] = {
	STAT("rx-bytes", rx_bytes, "Bytes of QUIC received, closed connections included.",
	     .unit = "bytes"),
	STAT("tx-bytes", tx_bytes, "Bytes of QUIC sent.", .unit = "bytes"),
	STAT("rx-dgrams", rx_dgrams, "UDP datagrams received."),
	STAT("tx-dgrams", tx_dgrams, "UDP datagrams sent."),
	STAT("sent-packets", sent_packets, "QUIC packets sent."),
	STAT("lost-packets", lost_packets, "QUIC packets lost."),
	STAT("lost-bytes", lost_bytes, "Bytes in lost packets.", .unit = "bytes"),
	STAT("congestion-events", congestion_events,
	     "Round trips in which the number of lost packets rose."),
	STAT("active-conns", active_conns, "Flows that are open now."),
	STAT("total-conns", total_conns, "Flows since the start."),
	STAT("rtt-ms", rtt_ms, "Round trip time of the connection with the most traffic.",
	     .unit = "ms"),
	STAT("cwnd-bytes", cwnd_bytes, "Its congestion window.", .unit = "bytes"),
	STAT("current-mtu", current_mtu, "Its largest packet.", .unit = "bytes"),
	STAT("max-datagram", max_datagram,
	     "The largest UDP payload that it carries in a DATAGRAM frame; 0 = all go on streams.",
	     .unit = "bytes"),
	STAT("payload-in-bytes", payload_in_bytes, "What applications sent into the tunnel.",
	     .unit = "bytes"),
	STAT("payload-out-bytes", payload_out_bytes, "What applications got out of it.",
	     .unit = "bytes"),
	STAT("udp-dropped", udp_dropped, "UDP payloads that found no room."),
	STAT("rx-datagram-frames", rx_datagram_frames,
	     "UDP payloads that came in DATAGRAM frames, not on a stream."),
	STAT("tx-datagram-frames", tx_datagram_frames, "UDP payloads that were sent so."),
};
const struct field_rows rpc_stat_rows = ROWS("Stat", rpc_stat, stat_rows);

static const struct field event_tunnel_rows[] = {
	ROW(CHOICE, rpc_event_tunnel, "source", source, "network: a mapping; channel: a program.",
	    .choices = api_sources),
	ROW(UINT, rpc_event_tunnel, "id", id, "Its number."),
	ROW(CHOICE, rpc_event_tunnel, "proto", proto, "What it carries.",
	    .choices = rpc_proto_names),
	ROW(CHOICE, rpc_event_tunnel, "mode", mode, "Which side listens.",
	    .choices = rpc_mode_names),
};
const struct field_rows rpc_event_tunnel_rows =
	ROWS("EventTunnel", rpc_event_tunnel, event_tunnel_rows);
