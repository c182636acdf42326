/* SPDX-License-Identifier: MIT */
/*
 * Rows of what methods answer. Constant data, any thread.
 */
#include "rpc/api_rows.h"

static const char *const api_rights[] = {
	[RPC_RIGHT_CHANGE] = "change",
	[RPC_RIGHT_READ] = "read",
	NULL,
};

static const char *const api_daemon_states[] = {
	[RPC_DAEMON_STARTING] = "starting",
	[RPC_DAEMON_RUNNING] = "running",
	[RPC_DAEMON_DRAINING] = "draining",
	NULL,
};

static const char *const api_replays[] = {
	[RPC_REPLAY_NONE] = "none",
	[RPC_REPLAY_COMPLETE] = "complete",
	[RPC_REPLAY_GAP] = "gap",
	[RPC_REPLAY_EPOCH_CHANGED] = "epoch_changed",
	NULL,
};

/* ---- daemon, log ----------------------------------------------------------------------------- */

static const struct field libraries_rows[] = {
	ROW(STRING, rpc_libraries, "ngtcp2", ngtcp2, "The QUIC library."),
	ROW(STRING, rpc_libraries, "gnutls", gnutls, "The TLS library."),
	ROW(STRING, rpc_libraries, "packet-protection", packet_protection,
	    "The library that encrypts the payloads of packets, and its version."),
	ROW(STRING, rpc_libraries, "libevent", libevent, "The library of event loops."),
	ROW(STRING, rpc_libraries, "jansson", jansson, "The JSON library."),
};
static const struct field_rows libraries_set = ROWS("Libraries", rpc_libraries, libraries_rows);

static const struct field daemon_info_rows[] = {
	ROW(STRING, rpc_daemon_info, "software", software, "rstund.", REQUIRED),
	ROW(STRING, rpc_daemon_info, "version", version, "Its version.", REQUIRED),
	ROW(UINT, rpc_daemon_info, "api-version", api_version,
	    "Version of this API; a greater one may lack what this one has."),
	ROW(UINT, rpc_daemon_info, "pid", pid, "Its process."),
	ROW(UINT, rpc_daemon_info, "uid", uid, "The user that it runs as."),
	ROW(UINT, rpc_daemon_info, "workers", workers, "Its worker threads."),
	ROW(STRING, rpc_daemon_info, "epoch", epoch, "Changes when the daemon is restarted.",
	    REQUIRED),
	ROW(STRING, rpc_daemon_info, "started", started, "When it was started.", REQUIRED),
	ROW(CHOICE, rpc_daemon_info, "right", right, "What you may do here.",
	    .choices = api_rights),
	ROW(UINT, rpc_daemon_info, "caller-uid", caller_uid, "Who you are."),
	ROW(LIST, rpc_daemon_info, "features", features, "What it can do."),
	ROW(OBJECT, rpc_daemon_info, "libraries", libraries, "Versions of what it is built on.",
	    .rows = &libraries_set),
};
const struct field_rows rpc_daemon_info_rows =
	ROWS("DaemonInfo", rpc_daemon_info, daemon_info_rows);

static const struct field warning_rows[] = {
	ROW(STRING, rpc_warning, "kind", kind, "What scripts match.", REQUIRED),
	ROW(STRING, rpc_warning, "about", about, "Id of what it is about."),
	ROW(STRING, rpc_warning, "text", text, "What people read.", REQUIRED),
};
static const struct field_rows warning_set = ROWS("Warning", rpc_warning, warning_rows);

#define NUMBER(name, member, help) ROW(UINT, rpc_daemon_status, name, member, help)
static const struct field daemon_status_rows[] = {
	ROW(CHOICE, rpc_daemon_status, "state", state, "Whether it is up.",
	    .choices = api_daemon_states),
	ROW(MS, rpc_daemon_status, "uptime-ms", uptime_ms, "How long it has been running.",
	    .unit = "ms"),
	ROW(OBJECT, rpc_daemon_status, "mappings", mappings, "Mappings by state.",
	    .rows = &rpc_state_counts_rows),
	NUMBER("clients", clients, "Clients."),
	NUMBER("servers", servers, "Servers."),
	NUMBER("sessions", sessions, "Sessions that are logged in."),
	NUMBER("flows", flows, "Flows that are open now."),
	NUMBER("callers", callers, "Connections to the control socket."),
	NUMBER("subscriptions", subscriptions, "Subscriptions to events."),
	NUMBER("seq", seq, "Number of the last event."),
	NUMBER("descriptors-max", descriptors_max, "Open descriptors that the system allows."),
	ROW(MS, rpc_daemon_status, "confirm-in-ms", confirm_in_ms,
	    "A change is undone after so long, unless mapping.confirm comes before.", OPTIONAL,
	    .unit = "ms"),
	ROW(OBJECTS, rpc_daemon_status, "warnings", warnings, "What somebody should look at.",
	    .rows = &warning_set),
};
const struct field_rows rpc_daemon_status_rows =
	ROWS("DaemonStatus", rpc_daemon_status, daemon_status_rows);

static const struct field ping_rows[] = {
	ROW(STRING, rpc_ping_result, "timestamp", timestamp, "The time there.", REQUIRED),
	ROW(MS, rpc_ping_result, "uptime-ms", uptime_ms, "How long the daemon has been running.",
	    .unit = "ms"),
};
const struct field_rows rpc_ping_result_rows = ROWS("PingResult", rpc_ping_result, ping_rows);

static const struct field shutdown_rows[] = {
	ROW(UINT, rpc_shutdown_result, "flows", flows, "Flows that are open now."),
	ROW(MS, rpc_shutdown_result, "drain-ms", drain_ms, "How long they may go on.",
	    .unit = "ms"),
};
const struct field_rows rpc_shutdown_result_rows =
	ROWS("ShutdownResult", rpc_shutdown_result, shutdown_rows);

static const struct field level_rows[] = {
	ROW(CHOICE, rpc_level_result, "level", level, "The level now.",
	    .choices = rpc_level_names),
	ROW(CHOICE, rpc_level_result, "previous", previous, "The level before.", OPTIONAL,
	    .choices = rpc_level_names),
	ROW(MS, rpc_level_result, "revert-in-ms", revert_in_ms,
	    "After so long the level before comes back.", OPTIONAL, .unit = "ms"),
};
const struct field_rows rpc_level_result_rows = ROWS("LevelResult", rpc_level_result, level_rows);

static const struct field log_line_rows[] = {
	ROW(UINT, rpc_log_line, "number", number, "Its number: 1, 2, ... since the start."),
	ROW(STRING, rpc_log_line, "timestamp", timestamp, "When it was said.", REQUIRED),
	ROW(CHOICE, rpc_log_line, "level", level, "How serious it is.",
	    .choices = rpc_level_names),
	ROW(STRING, rpc_log_line, "scope", scope, "The part that spoke.", REQUIRED),
	ROW(STRING, rpc_log_line, "text", text, "What it said.", REQUIRED),
};
static const struct field_rows log_line_set = ROWS("LogLine", rpc_log_line, log_line_rows);

static const struct field log_tail_rows[] = {
	ROW(OBJECTS, rpc_log_tail_result, "lines", lines, "The last lines, the oldest first.",
	    .rows = &log_line_set),
	ROW(UINT, rpc_log_tail_result, "last", last,
	    "Number of the last line there is: give it as after to get what follows."),
	ROW(UINT, rpc_log_tail_result, "lost", lost, "Lines that found no room since the start."),
};
const struct field_rows rpc_log_tail_result_rows =
	ROWS("LogTailResult", rpc_log_tail_result, log_tail_rows);

/* ---- Lists of objects ------------------------------------------------------------------------ */

static const struct field client_add_rows[] = {
	ROW(BOOL, rpc_client_add_result, "created", created,
	    "false: it was there already, with this configuration."),
	ROW(OBJECT, rpc_client_add_result, "client", client, "The client.",
	    .rows = &rpc_client_rows),
};
const struct field_rows rpc_client_add_result_rows =
	ROWS("ClientAddResult", rpc_client_add_result, client_add_rows);

static const struct field server_add_rows[] = {
	ROW(BOOL, rpc_server_add_result, "created", created,
	    "false: it was there already, with this configuration."),
	ROW(OBJECT, rpc_server_add_result, "server", server, "The server.",
	    .rows = &rpc_server_rows),
};
const struct field_rows rpc_server_add_result_rows =
	ROWS("ServerAddResult", rpc_server_add_result, server_add_rows);

static const struct field mapping_add_rows[] = {
	ROW(BOOL, rpc_mapping_add_result, "created", created,
	    "false: it was there already, with this configuration."),
	ROW(OBJECT, rpc_mapping_add_result, "mapping", mapping, "The mapping; of a range, the first.",
	    .rows = &rpc_mapping_rows),
	ROW(OBJECTS, rpc_mapping_add_result, "mappings", mappings,
	    "Only of a range of ports: all that it stands for.", .rows = &rpc_mapping_rows,
	    .present = offsetof(struct rpc_mapping_add_result, is_range)),
};
const struct field_rows rpc_mapping_add_result_rows =
	ROWS("MappingAddResult", rpc_mapping_add_result, mapping_add_rows);

static const struct field mapping_apply_rows[] = {
	ROW(BOOL, rpc_mapping_apply_result, "dry-run", dry_run, "Nothing was changed."),
	ROW(LIST, rpc_mapping_apply_result, "added", added, "Mappings that are new.",
	    .max = API_TEXT_MAX),
	ROW(LIST, rpc_mapping_apply_result, "changed", changed,
	    "Mappings that have another configuration now.", .max = API_TEXT_MAX),
	ROW(LIST, rpc_mapping_apply_result, "removed", removed, "Mappings that are gone.",
	    .max = API_TEXT_MAX),
	ROW(UINT, rpc_mapping_apply_result, "unchanged", unchanged,
	    "Mappings that keep their connection."),
	ROW(MS, rpc_mapping_apply_result, "revert-in-ms", revert_in_ms,
	    "All of it is undone after so long, unless mapping.confirm comes before.", OPTIONAL,
	    .unit = "ms"),
};
const struct field_rows rpc_mapping_apply_result_rows =
	ROWS("MappingApplyResult", rpc_mapping_apply_result, mapping_apply_rows);

/* ---- Tests of clients, flows ----------------------------------------------------------------- */

static const char *const api_probe_steps[] = {
	[RPC_PROBE_DNS] = "dns",
	[RPC_PROBE_UDP] = "udp",
	[RPC_PROBE_TLS] = "tls",
	[RPC_PROBE_LOGIN] = "login",
	[RPC_PROBE_BIND] = "bind",
	[RPC_PROBE_UPSTREAM] = "upstream",
	NULL,
};

static const char *const api_probe_outcomes[] = {
	[RPC_PROBE_OK] = "ok",
	[RPC_PROBE_FAILED] = "failed",
	[RPC_PROBE_SKIPPED] = "skipped",
	NULL,
};

static const struct field probe_rows[] = {
	ROW(CHOICE, rpc_probe, "step", step, "What was looked at.", .choices = api_probe_steps),
	ROW(CHOICE, rpc_probe, "outcome", outcome, "What came of it.",
	    .choices = api_probe_outcomes),
	ROW(MS, rpc_probe, "took-ms", took_ms, "How long it took.", .unit = "ms"),
	ROW(STRING, rpc_probe, "text", text, "What was found, or what to do about it."),
	ROW(OBJECT, rpc_probe, "error", error, "Why it failed.", PRESENT(rpc_probe, has_error),
	    .rows = &rpc_failure_rows),
};
static const struct field_rows probe_set = ROWS("ProbeStep", rpc_probe, probe_rows);

static const struct field client_test_rows[] = {
	ROW(BOOL, rpc_client_test_result, "ok", ok, "No step failed."),
	ROW(STRING, rpc_client_test_result, "client", client, "Id of the client.", REQUIRED),
	ROW(STRING, rpc_client_test_result, "mapping", mapping, "Id of the mapping."),
	ROW(BOOL, rpc_client_test_result, "live", live, "The mapping is up at the same time."),
	ROW(OBJECTS, rpc_client_test_result, "steps", steps,
	    "The steps in their order; behind one that failed they are skipped.",
	    .rows = &probe_set),
};
const struct field_rows rpc_client_test_result_rows =
	ROWS("ClientTestResult", rpc_client_test_result, client_test_rows);

static const struct field channel_open_rows[] = {
	ROW(STRING, rpc_channel_open_result, "client", client, "Id of the client.", REQUIRED),
	ROW(STRING, rpc_channel_open_result, "target", target, "The target in the normal form.",
	    REQUIRED),
};
const struct field_rows rpc_channel_open_result_rows =
	ROWS("ChannelOpenResult", rpc_channel_open_result, channel_open_rows);

static const struct field flow_rows[] = {
	ROW(STRING, rpc_flow, "id", id, "Its id.", REQUIRED),
	ROW(STRING, rpc_flow, "mapping", mapping, "Id of its mapping, on a client."),
	ROW(STRING, rpc_flow, "session", session, "Id of its session, on a server."),
	ROW(CHOICE, rpc_flow, "proto", proto, "What it carries.", .choices = rpc_proto_names),
	ROW(STRING, rpc_flow, "peer", peer, "The application's address, where it is known."),
	ROW(STRING, rpc_flow, "target", target, "Where it leads, where that is known."),
	ROW(UINT, rpc_flow, "in-bytes", in_bytes, "What was sent into the tunnel.",
	    .unit = "bytes"),
	ROW(UINT, rpc_flow, "out-bytes", out_bytes, "What came out of the tunnel.",
	    .unit = "bytes"),
	ROW(MS, rpc_flow, "age-ms", age_ms, "How long it has been open.", .unit = "ms"),
	ROW(MS, rpc_flow, "idle-ms", idle_ms, "How long nothing has moved.", .unit = "ms"),
};
static const struct field_rows flow_set = ROWS("Flow", rpc_flow, flow_rows);

static const struct field flow_list_rows[] = {
	ROW(OBJECTS, rpc_flow_list, "flows", flows, "The flows asked for.", .rows = &flow_set),
	ROW(UINT, rpc_flow_list, "total", total, "How many there are; more than are shown."),
};
const struct field_rows rpc_flow_list_rows = ROWS("FlowList", rpc_flow_list, flow_list_rows);

static const struct field flow_kill_rows[] = {
	ROW(UINT, rpc_flow_kill_result, "killed", killed, "How many were ended."),
};
const struct field_rows rpc_flow_kill_result_rows =
	ROWS("FlowKillResult", rpc_flow_kill_result, flow_kill_rows);

/* ---- Configuration --------------------------------------------------------------------------- */

static const struct field reload_rows[] = {
	ROW(BOOL, rpc_reload_result, "dry-run", dry_run, "Nothing was changed."),
	ROW(LIST, rpc_reload_result, "added", added, "What is new: client home, mapping web.",
	    .max = API_TEXT_MAX),
	ROW(LIST, rpc_reload_result, "changed", changed, "What has another configuration now.",
	    .max = API_TEXT_MAX),
	ROW(LIST, rpc_reload_result, "removed", removed, "What is gone.", .max = API_TEXT_MAX),
	ROW(UINT, rpc_reload_result, "unchanged", unchanged, "What keeps its connections."),
	ROW(LIST, rpc_reload_result, "warnings", warnings,
	    "What an administrator should know, such as a change that needs a restart.",
	    .max = API_TEXT_MAX),
};
const struct field_rows rpc_reload_result_rows =
	ROWS("ReloadResult", rpc_reload_result, reload_rows);

static const struct field config_rows[] = {
	ROW(JSON, rpc_config_result, "config", config,
	    "The daemon's options, and those of each client, server and mapping by name: a value and "
	    "its origin each, secrets masked.",
	    REQUIRED, .schema = "{\"type\":\"object\"}", .max = API_TEXT_MAX),
};
const struct field_rows rpc_config_result_rows =
	ROWS("ConfigResult", rpc_config_result, config_rows);

static const struct field diagnostic_rows[] = {
	ROW(STRING, rpc_diagnostic, "file", file, "The file, where it is not the text itself."),
	ROW(UINT, rpc_diagnostic, "line", line, "The line.", OPTIONAL),
	ROW(STRING, rpc_diagnostic, "key", key, "The key."),
	ROW(STRING, rpc_diagnostic, "message", message, "What is wrong.", REQUIRED),
	ROW(STRING, rpc_diagnostic, "hint", hint, "What would be right."),
};
static const struct field_rows diagnostic_set =
	ROWS("Diagnostic", rpc_diagnostic, diagnostic_rows);

static const struct field config_check_rows[] = {
	ROW(BOOL, rpc_config_check_result, "ok", ok, "A daemon would take it."),
	ROW(UINT, rpc_config_check_result, "clients", clients, "Clients in it."),
	ROW(UINT, rpc_config_check_result, "servers", servers, "Servers in it."),
	ROW(UINT, rpc_config_check_result, "mappings", mappings, "Mappings in it."),
	ROW(OBJECTS, rpc_config_check_result, "diagnostics", diagnostics, "What is wrong with it.",
	    .rows = &diagnostic_set),
};
const struct field_rows rpc_config_check_result_rows =
	ROWS("ConfigCheckResult", rpc_config_check_result, config_check_rows);

static const struct field client_list_rows[] = {
	ROW(OBJECTS, rpc_client_list, "clients", clients, "All clients.",
	    .rows = &rpc_client_rows),
};
const struct field_rows rpc_client_list_rows =
	ROWS("ClientList", rpc_client_list, client_list_rows);

static const struct field server_list_rows[] = {
	ROW(OBJECTS, rpc_server_list, "servers", servers, "All servers.",
	    .rows = &rpc_server_rows),
};
const struct field_rows rpc_server_list_rows =
	ROWS("ServerList", rpc_server_list, server_list_rows);

static const struct field mapping_list_rows[] = {
	ROW(OBJECTS, rpc_mapping_list, "mappings", mappings, "The mappings asked for.",
	    .rows = &rpc_mapping_rows),
};
const struct field_rows rpc_mapping_list_rows =
	ROWS("MappingList", rpc_mapping_list, mapping_list_rows);

static const struct field mapping_wait_rows[] = {
	ROW(MS, rpc_mapping_wait_result, "waited-ms", waited_ms, "How long it took.",
	    .unit = "ms"),
	ROW(OBJECT, rpc_mapping_wait_result, "mapping", mapping, "The mapping now.",
	    .rows = &rpc_mapping_rows),
};
const struct field_rows rpc_mapping_wait_result_rows =
	ROWS("MappingWaitResult", rpc_mapping_wait_result, mapping_wait_rows);

static const struct field done_rows[] = {
	ROW(BOOL, rpc_done_result, "done", done, "false: there was nothing to do."),
};
const struct field_rows rpc_done_result_rows = ROWS("DoneResult", rpc_done_result, done_rows);

static const struct field session_list_rows[] = {
	ROW(OBJECTS, rpc_session_list, "sessions", sessions, "Sessions that are logged in.",
	    .rows = &rpc_session_rows),
};
const struct field_rows rpc_session_list_rows =
	ROWS("SessionList", rpc_session_list, session_list_rows);

/* ---- Counters, certificates ------------------------------------------------------------------ */

#define RATE(name, member, help) ROW(DOUBLE, rpc_rate, name, member, help)
static const struct field rate_rows[] = {
	RATE("rx-bytes", rx_bytes, "Bytes of QUIC received per second."),
	RATE("tx-bytes", tx_bytes, "Bytes of QUIC sent per second."),
	RATE("payload-in-bytes", payload_in_bytes, "Payload into the tunnel per second."),
	RATE("payload-out-bytes", payload_out_bytes, "Payload out of the tunnel per second."),
	RATE("sent-packets", sent_packets, "Packets sent per second."),
	RATE("lost-packets", lost_packets, "Packets lost per second."),
};
static const struct field_rows rate_set = ROWS("Rate", rpc_rate, rate_rows);

static const struct field stats_rows[] = {
	ROW(STRING, rpc_stats_result, "of", of, "Id of what was counted, or total.", REQUIRED),
	ROW(OBJECT, rpc_stats_result, "stat", stat, "The counters.", .rows = &rpc_stat_rows),
	ROW(OBJECT, rpc_stats_result, "rate-1s", rate_1s, "Averages of the last second.",
	    .rows = &rate_set),
	ROW(OBJECT, rpc_stats_result, "rate-10s", rate_10s, "Averages of the last ten seconds.",
	    .rows = &rate_set),
};
const struct field_rows rpc_stats_result_rows = ROWS("StatsResult", rpc_stats_result, stats_rows);

static const struct field metrics_rows[] = {
	ROW(STRING, rpc_metrics_result, "text", text,
	    "All counters in the text format of Prometheus.", REQUIRED, .max = API_TEXT_MAX),
};
const struct field_rows rpc_metrics_result_rows =
	ROWS("MetricsResult", rpc_metrics_result, metrics_rows);

static const struct field cert_rows[] = {
	ROW(STRING, rpc_cert, "server", server, "Id of the server that shows it.", REQUIRED),
	ROW(STRING, rpc_cert, "subject", subject, "Whose it is."),
	ROW(LIST, rpc_cert, "names", names, "Host names and addresses that it is for."),
	ROW(STRING, rpc_cert, "not-before", not_before, "Valid from."),
	ROW(STRING, rpc_cert, "not-after", not_after, "Valid until."),
	ROW(STRING, rpc_cert, "pin", pin, "Pin of its key, for clients: sha256/BASE64.",
	    REQUIRED),
	ROW(BOOL, rpc_cert, "self-signed", self_signed, "It was made by its owner."),
	ROW(BOOL, rpc_cert, "expired", expired, "It is no longer valid."),
};
static const struct field_rows cert_set = ROWS("Cert", rpc_cert, cert_rows);

static const struct field cert_list_rows[] = {
	ROW(OBJECTS, rpc_cert_list, "certs", certs, "The certificates in use.", .rows = &cert_set),
};
const struct field_rows rpc_cert_list_rows = ROWS("CertList", rpc_cert_list, cert_list_rows);

static const struct field cert_reload_rows[] = {
	ROW(STRING, rpc_cert_reload, "server", server, "Id of the server.", REQUIRED),
	ROW(BOOL, rpc_cert_reload, "changed", changed, "New handshakes use another certificate."),
	ROW(STRING, rpc_cert_reload, "pin", pin, "Pin of the one in use now."),
	ROW(OBJECT, rpc_cert_reload, "error", error, "Why the old one was kept.",
	    PRESENT(rpc_cert_reload, has_error), .rows = &rpc_failure_rows),
};
static const struct field_rows cert_reload_set =
	ROWS("CertReload", rpc_cert_reload, cert_reload_rows);

static const struct field cert_reload_result_rows[] = {
	ROW(OBJECTS, rpc_cert_reload_result, "servers", servers, "What became of each server's.",
	    .rows = &cert_reload_set),
};
const struct field_rows rpc_cert_reload_result_rows =
	ROWS("CertReloadResult", rpc_cert_reload_result, cert_reload_result_rows);

/* ---- Events ---------------------------------------------------------------------------------- */

static const struct field snapshot_rows[] = {
	ROW(OBJECTS, rpc_snapshot, "mappings", mappings, "All mappings.",
	    .rows = &rpc_mapping_rows),
	ROW(OBJECTS, rpc_snapshot, "clients", clients, "All clients.", .rows = &rpc_client_rows),
	ROW(OBJECTS, rpc_snapshot, "servers", servers, "All servers.", .rows = &rpc_server_rows),
	ROW(OBJECTS, rpc_snapshot, "sessions", sessions, "All sessions.",
	    .rows = &rpc_session_rows),
};
static const struct field_rows snapshot_set = ROWS("Snapshot", rpc_snapshot, snapshot_rows);

static const struct field subscribe_rows[] = {
	ROW(UINT, rpc_subscribe_result, "sub", sub, "Number of the subscription."),
	ROW(STRING, rpc_subscribe_result, "epoch", epoch, "Changes when the daemon is restarted.",
	    REQUIRED),
	ROW(UINT, rpc_subscribe_result, "seq", seq,
	    "Number of the last event that the snapshot includes, or that is known already."),
	ROW(CHOICE, rpc_subscribe_result, "replay", replay,
	    "Whether all events since the number given follow: none when none was given.",
	    .choices = api_replays),
	ROW(OBJECT, rpc_subscribe_result, "snapshot", snapshot, "Everything there is, as of seq.",
	    PRESENT(rpc_subscribe_result, has_snapshot), .rows = &snapshot_set),
};
const struct field_rows rpc_subscribe_result_rows =
	ROWS("SubscribeResult", rpc_subscribe_result, subscribe_rows);

static const struct field next_rows[] = {
	ROW(STRING, rpc_next_result, "cursor", cursor, "To be given with the next call.",
	    REQUIRED),
	ROW(JSON, rpc_next_result, "events", events,
	    "The events, as a subscriber gets them but without sub and n.", REQUIRED,
	    .schema = "{\"type\":\"array\",\"items\":"
		      "{\"$ref\":\"#/components/schemas/Event\"}}",
	    .max = API_TEXT_MAX),
};
const struct field_rows rpc_next_result_rows = ROWS("NextResult", rpc_next_result, next_rows);
