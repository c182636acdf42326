/* SPDX-License-Identifier: MIT */
/*
 * The table of event types and the rows of their details. Constant data, any thread.
 */
#include "rpc/api_rows.h"

#include <string.h>

const char *const rpc_event_names[] = {
	[RPC_EVENT_STATE] = "state",
	[RPC_EVENT_LOG] = "log",
	[RPC_EVENT_STAT] = "stat",
	[RPC_EVENT_MAPPING] = "mapping",
	[RPC_EVENT_CLIENT] = "client",
	[RPC_EVENT_SERVER] = "server",
	[RPC_EVENT_SESSION] = "session",
	[RPC_EVENT_FLOW] = "flow",
	[RPC_EVENT_DAEMON] = "daemon",
	[RPC_EVENT_CERT] = "cert",
	[RPC_EVENT_DROPPED] = "dropped",
	[RPC_EVENT_OVERRUN] = "overrun",
	NULL,
};

static const char *const api_changes[] = {
	[RPC_CHANGE_ADDED] = "added",
	[RPC_CHANGE_CHANGED] = "changed",
	[RPC_CHANGE_REMOVED] = "removed",
	NULL,
};

static const char *const api_server_changes[] = {
	[RPC_SERVER_CHANGE_ADDED] = "added",
	[RPC_SERVER_CHANGE_CHANGED] = "changed",
	[RPC_SERVER_CHANGE_REMOVED] = "removed",
	[RPC_SERVER_CHANGE_LISTENING] = "listening",
	[RPC_SERVER_CHANGE_DRAINING] = "draining",
	[RPC_SERVER_CHANGE_STOPPED] = "stopped",
	[RPC_SERVER_CHANGE_FAILED] = "failed",
	NULL,
};

static const char *const api_session_changes[] = {
	[RPC_SESSION_LOGIN] = "login",
	[RPC_SESSION_REFUSED] = "refused",
	[RPC_SESSION_ENDED] = "ended",
	NULL,
};

static const char *const api_flow_changes[] = {"ended", NULL};

static const char *const api_daemon_changes[] = {
	[RPC_DAEMON_CHANGE_RUNNING] = "running",
	[RPC_DAEMON_CHANGE_DRAINING] = "draining",
	[RPC_DAEMON_CHANGE_LEVEL] = "level",
	NULL,
};

static const char *const api_cert_changes[] = {
	[RPC_CERT_RELOADED] = "reloaded",
	[RPC_CERT_FAILED] = "failed",
	[RPC_CERT_EXPIRING] = "expiring",
	NULL,
};

/* ---- Details --------------------------------------------------------------------------------- */

static const struct field state_rows[] = {
	ROW(CHOICE, rpc_state_detail, "prev", prev, "The state before.",
	    .choices = rpc_state_names),
	ROW(UINT, rpc_state_detail, "attempt", attempt, "Attempts since it was last up."),
	ROW(MS, rpc_state_detail, "next-retry-ms", next_retry_ms,
	    "The next attempt is so far away.", OPTIONAL, .unit = "ms"),
	ROW(MS, rpc_state_detail, "took-ms", took_ms, "How long it took to come up.", OPTIONAL,
	    .unit = "ms"),
	ROW(STRING, rpc_state_detail, "bound", bound, "The address that is listened on."),
	ROW(STRING, rpc_state_detail, "peer", peer, "Address of the server."),
	ROW(STRING, rpc_state_detail, "peer-software", peer_software,
	    "What the server says it is."),
	ROW(BOOL, rpc_state_detail, "unverified", unverified,
	    "The server's certificate was not verified."),
	ROW(OBJECT, rpc_state_detail, "error", error, "Why it is not up.",
	    PRESENT(rpc_state_detail, has_error), .rows = &rpc_failure_rows),
};
static const struct field_rows state_set = ROWS("StateDetail", rpc_state_detail, state_rows);

static const struct field log_rows[] = {
	ROW(CHOICE, rpc_log_detail, "level", level, "How serious it is.",
	    .choices = rpc_level_names),
	ROW(STRING, rpc_log_detail, "scope", scope, "The part that spoke.", REQUIRED),
};
static const struct field_rows log_set = ROWS("LogDetail", rpc_log_detail, log_rows);

static const struct field thing_rows[] = {
	ROW(STRING, rpc_thing_detail, "id", id, "Its id.", REQUIRED),
	ROW(STRING, rpc_thing_detail, "name", name, "Its name."),
	ROW(OBJECT, rpc_thing_detail, "error", error, "Why it was refused, failed or ended.",
	    PRESENT(rpc_thing_detail, has_error), .rows = &rpc_failure_rows),
	ROW(STRING, rpc_thing_detail, "bound", bound, "The address that it listens on."),
	ROW(STRING, rpc_thing_detail, "remote", remote, "Address of the other side."),
	ROW(STRING, rpc_thing_detail, "software", software, "What the other side says it is."),
};
static const struct field_rows thing_set = ROWS("ThingDetail", rpc_thing_detail, thing_rows);

static const struct field flow_rows[] = {
	ROW(STRING, rpc_flow_detail, "session", session,
	    "Id of the session that it belongs to, at a server."),
	ROW(STRING, rpc_flow_detail, "peer", peer, "The application's address.", REQUIRED),
	ROW(STRING, rpc_flow_detail, "target", target, "Where it was led to.", REQUIRED),
	ROW(UINT, rpc_flow_detail, "in-bytes", in_bytes, "What it sent into the tunnel.",
	    .unit = "bytes"),
	ROW(UINT, rpc_flow_detail, "out-bytes", out_bytes, "What it got out of the tunnel.",
	    .unit = "bytes"),
	ROW(MS, rpc_flow_detail, "duration-ms", duration_ms, "How long it was open.",
	    .unit = "ms"),
	ROW(OBJECT, rpc_flow_detail, "error", error, "Why it ended, if not by itself.",
	    PRESENT(rpc_flow_detail, has_error), .rows = &rpc_failure_rows),
};
static const struct field_rows flow_set = ROWS("FlowDetail", rpc_flow_detail, flow_rows);

static const struct field daemon_rows[] = {
	ROW(STRING, rpc_daemon_detail, "text", text, "More about it.", REQUIRED),
};
static const struct field_rows daemon_set = ROWS("DaemonDetail", rpc_daemon_detail, daemon_rows);

static const struct field cert_rows[] = {
	ROW(STRING, rpc_cert_detail, "server", server, "Id of the server.", REQUIRED),
	ROW(STRING, rpc_cert_detail, "pin", pin, "Pin of the one in use now."),
	ROW(STRING, rpc_cert_detail, "not-after", not_after, "Valid until."),
	ROW(OBJECT, rpc_cert_detail, "error", error, "Why the old one was kept.",
	    PRESENT(rpc_cert_detail, has_error), .rows = &rpc_failure_rows),
};
static const struct field_rows cert_set = ROWS("CertDetail", rpc_cert_detail, cert_rows);

static const struct field dropped_rows[] = {
	ROW(UINT, rpc_dropped, "from-seq", from_seq, "Number of the first event that is missing."),
	ROW(UINT, rpc_dropped, "to-seq", to_seq, "Number of the last one."),
	ROW(UINT, rpc_dropped, "count", count, "How many were left out."),
};
static const struct field_rows dropped_set = ROWS("Dropped", rpc_dropped, dropped_rows);

/* ---- The table ------------------------------------------------------------------------------- */

#define API_EXAMPLE(rest)                                                                          \
	"{\"sub\":1,\"n\":1,\"seq\":4711,\"timestamp\":\"2026-11-22T10:11:12.345Z\"," rest "}"
#define API_TUNNEL                                                                                 \
	"\"tunnel\":{\"source\":\"network\",\"id\":3,\"proto\":\"tcp\",\"mode\":\"out\"},"        \
	"\"mapping\":\"m3\",\"name\":\"web\""

const struct rpc_event_row rpc_events[RPC_EVENT_TYPE_COUNT] = {
	[RPC_EVENT_STATE] = {
		.name = "state", .on = true, .tunnel = true, .words = rpc_state_names,
		.detail = &state_set,
		.help = "A mapping changed its state.",
		.example = API_EXAMPLE("\"type\":\"state\",\"data\":\"tunneling\"," API_TUNNEL
				       ",\"detail\":{\"prev\":\"connected\",\"attempt\":0,"
				       "\"unverified\":false}"),
	},
	[RPC_EVENT_LOG] = {
		.name = "log", .on = true, .tunnel = true, .detail = &log_set,
		.help = "A line of the log.",
		.example = API_EXAMPLE("\"type\":\"log\",\"data\":\"login succeeded\","
				       "\"detail\":{\"level\":\"info\",\"scope\":\"login\"}"),
	},
	[RPC_EVENT_STAT] = {
		.name = "stat", .on = true, .tunnel = true, .data = &rpc_stat_rows,
		.help = "Counters of a mapping; without tunnel, of everything.",
		.example = API_EXAMPLE(
			"\"type\":\"stat\",\"data\":{\"rx_bytes\":90210,\"tx_bytes\":1123,"
			"\"rx_dgrams\":88,\"tx_dgrams\":21,\"sent_packets\":21,\"lost_packets\":0,"
			"\"lost_bytes\":0,\"congestion_events\":0,\"active_conns\":1,"
			"\"total_conns\":1,\"rtt_ms\":23,\"cwnd_bytes\":14520,"
			"\"current_mtu\":1452,\"max_datagram\":0,\"payload_in_bytes\":800,"
			"\"payload_out_bytes\":88000,\"udp_dropped\":0,"
			"\"rx_datagram_frames\":0,\"tx_datagram_frames\":0}"),
	},
	[RPC_EVENT_MAPPING] = {
		.name = "mapping", .on = true, .tunnel = true, .words = api_changes,
		.detail = &thing_set,
		.help = "A mapping was added, changed or removed.",
		.example = API_EXAMPLE("\"type\":\"mapping\",\"data\":\"added\"," API_TUNNEL
				       ",\"detail\":{\"id\":\"m3\",\"name\":\"web\"}"),
	},
	[RPC_EVENT_CLIENT] = {
		.name = "client", .on = true, .words = api_changes, .detail = &thing_set,
		.help = "A client was added, changed or removed.",
		.example = API_EXAMPLE("\"type\":\"client\",\"data\":\"added\","
				       "\"detail\":{\"id\":\"c1\",\"name\":\"home\"}"),
	},
	[RPC_EVENT_SERVER] = {
		.name = "server", .on = true, .words = api_server_changes, .detail = &thing_set,
		.help = "A server was added, changed or removed, or came into another state.",
		.example = API_EXAMPLE("\"type\":\"server\",\"data\":\"listening\",\"detail\":"
				       "{\"id\":\"s1\",\"bound\":\"0.0.0.0:3515\"}"),
	},
	[RPC_EVENT_SESSION] = {
		.name = "session", .on = true, .tunnel = true, .words = api_session_changes,
		.detail = &thing_set,
		.help = "A session of a server logged in, was refused or ended.",
		.example = API_EXAMPLE("\"type\":\"session\",\"data\":\"login\",\"detail\":"
				       "{\"id\":\"s1.17\",\"remote\":\"192.0.2.7:40112\"}"),
	},
	[RPC_EVENT_FLOW] = {
		.name = "flow", .tunnel = true, .words = api_flow_changes, .detail = &flow_set,
		.help = "A flow ended. Sent only to those who name this type.",
		.example = API_EXAMPLE("\"type\":\"flow\",\"data\":\"ended\"," API_TUNNEL
				       ",\"detail\":{\"peer\":\"127.0.0.1:40112\","
				       "\"target\":\"192.0.2.1:80\",\"in_bytes\":80,"
				       "\"out_bytes\":2048,\"duration_ms\":31}"),
	},
	[RPC_EVENT_DAEMON] = {
		.name = "daemon", .on = true, .words = api_daemon_changes, .detail = &daemon_set,
		.help = "Something about the daemon itself changed.",
		.example = API_EXAMPLE("\"type\":\"daemon\",\"data\":\"draining\","
				       "\"detail\":{\"text\":\"SIGTERM\"}"),
	},
	[RPC_EVENT_CERT] = {
		.name = "cert", .on = true, .words = api_cert_changes, .detail = &cert_set,
		.help = "A certificate was reloaded, could not be, or ends soon.",
		.example = API_EXAMPLE("\"type\":\"cert\",\"data\":\"reloaded\","
				       "\"detail\":{\"server\":\"s1\"}"),
	},
	[RPC_EVENT_DROPPED] = {
		.name = "dropped", .on = true, .always = true, .data = &dropped_set,
		.help = "The subscriber was too slow: log lines between these numbers are "
			"left out.",
		.example = API_EXAMPLE("\"type\":\"dropped\",\"data\":{\"from_seq\":4001,"
				       "\"to_seq\":4700,\"count\":612}"),
	},
	[RPC_EVENT_OVERRUN] = {
		.name = "overrun", .on = true, .always = true, .data = &dropped_set,
		.help = "The subscriber was far too slow: the subscription ends here.",
		.example = API_EXAMPLE("\"type\":\"overrun\",\"data\":{\"from_seq\":4001,"
				       "\"to_seq\":4711,\"count\":711}"),
	},
};

int rpc_event_find(const char *name)
{
	for (int i = 0; i < RPC_EVENT_TYPE_COUNT; i++)
		if (strcmp(rpc_events[i].name, name) == 0)
			return i;
	return -1;
}
