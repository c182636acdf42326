/* SPDX-License-Identifier: MIT */
/*
 * The table of methods. Constant data, any thread.
 */
#include "rpc/api_rows.h"

#include <stdint.h>
#include <string.h>

#define API_ID_EXAMPLE "{\"id\":\"m3\"}"

const struct rpc_method_row rpc_methods[RPC_METHOD_COUNT] = {
	[RPC_DISCOVER] = {
		.name = "rpc.discover", .params = &rpc_nothing, .result = NULL,
		.result_schema = "{\"type\":\"object\",\"required\":"
				 "[\"openrpc\",\"info\",\"methods\"]}",
		.help = "The whole API as an OpenRPC document.",
		.example = "{}",
	},
	[RPC_CANCEL] = {
		.name = "rpc.cancel", .params = &rpc_cancel_params_rows,
		.result = &rpc_done_result_rows,
		.help = "Ends a call of this connection that still waits; it is answered with the "
			"error cancelled.",
		.remarks = "A call that is answered already, or that cannot be stopped, goes its "
			   "way: done is false then.",
		.example = "{\"id\":7}",
	},
	[RPC_DAEMON_INFO] = {
		.name = "daemon.info", .params = &rpc_nothing, .result = &rpc_daemon_info_rows,
		.help = "Versions, features, and what the caller may do.",
		.example = "{}",
	},
	[RPC_DAEMON_STATUS] = {
		.name = "daemon.status", .params = &rpc_nothing,
		.result = &rpc_daemon_status_rows,
		.help = "How many of everything there are, by state, and what somebody should "
			"look at.",
		.example = "{}",
	},
	[RPC_DAEMON_PING] = {
		.name = "daemon.ping", .params = &rpc_nothing, .result = &rpc_ping_result_rows,
		.help = "Answers.",
		.example = "{}",
	},
	[RPC_DAEMON_SHUTDOWN] = {
		.name = "daemon.shutdown", .change = true, .params = &rpc_shutdown_params_rows,
		.result = &rpc_shutdown_result_rows,
		.help = "Takes no new flows, lets those that are open end, then ends the daemon.",
		.remarks = "The answer comes before the end; the connection is closed by it. A "
			   "second call may shorten the time.",
		.example = "{\"drain_ms\":10000}",
	},
	[RPC_LOG_GET_LEVEL] = {
		.name = "log.get_level", .params = &rpc_nothing, .result = &rpc_level_result_rows,
		.help = "The level of the log.",
		.example = "{}",
	},
	[RPC_LOG_SET_LEVEL] = {
		.name = "log.set_level", .change = true, .params = &rpc_set_level_params_rows,
		.result = &rpc_level_result_rows,
		.help = "Changes the level of the log, for good or for a while.",
		.example = "{\"level\":\"debug\",\"revert_after_ms\":600000}",
	},
	[RPC_LOG_TAIL] = {
		.name = "log.tail", .params = &rpc_log_tail_params_rows,
		.result = &rpc_log_tail_result_rows, .list = "lines",
		.help = "The last lines of the log.",
		.remarks = "What comes after them: events.subscribe with the type log.",
		.example = "{\"count\":20}",
	},
	[RPC_CLIENT_LIST] = {
		.name = "client.list", .params = &rpc_nothing, .result = &rpc_client_list_rows,
		.list = "clients",
		.help = "The remote servers that are dialled.",
		.example = "{}",
	},
	[RPC_CLIENT_GET] = {
		.name = "client.get", .params = &rpc_which_params_rows, .result = &rpc_client_rows,
		.help = "One of them.",
		.example = "{\"id\":\"c1\"}", .check = api_check_which,
	},
	[RPC_SERVER_LIST] = {
		.name = "server.list", .params = &rpc_nothing, .result = &rpc_server_list_rows,
		.list = "servers",
		.help = "The servers that take sessions here.",
		.example = "{}",
	},
	[RPC_SERVER_GET] = {
		.name = "server.get", .params = &rpc_which_params_rows, .result = &rpc_server_rows,
		.help = "One of them.",
		.example = "{\"id\":\"s1\"}", .check = api_check_which,
	},
	[RPC_MAPPING_LIST] = {
		.name = "mapping.list", .params = &rpc_mapping_list_params_rows,
		.result = &rpc_mapping_list_rows, .list = "mappings",
		.help = "The mappings of all clients, or of one.",
		.example = "{\"state\":\"failed\"}",
	},
	[RPC_MAPPING_GET] = {
		.name = "mapping.get", .params = &rpc_which_params_rows,
		.result = &rpc_mapping_rows,
		.help = "One mapping.",
		.example = API_ID_EXAMPLE, .check = api_check_which,
	},
	[RPC_MAPPING_WAIT] = {
		.name = "mapping.wait", .waits = true, .params = &rpc_mapping_wait_params_rows,
		.result = &rpc_mapping_wait_result_rows,
		.help = "Answers when a mapping is in a state, at once if it is.",
		.remarks = "When the mapping fails for good meanwhile, the answer is that failure; "
			   "when the time is over, it is the error timeout.",
		.example = "{\"id\":\"m3\",\"state\":\"tunneling\",\"timeout_ms\":10000}",
		.check = api_check_wait,
	},
	[RPC_MAPPING_RESTART] = {
		.name = "mapping.restart", .change = true, .params = &rpc_which_params_rows,
		.result = &rpc_mapping_rows,
		.help = "Closes a mapping's connection and connects at once, whatever it was "
			"waiting for.",
		.example = API_ID_EXAMPLE, .check = api_check_which,
	},
	[RPC_SESSION_LIST] = {
		.name = "session.list", .params = &rpc_session_list_params_rows,
		.result = &rpc_session_list_rows, .list = "sessions",
		.help = "The sessions of remote clients that are logged in here.",
		.example = "{}",
	},
	[RPC_SESSION_GET] = {
		.name = "session.get", .params = &rpc_session_params_rows,
		.result = &rpc_session_rows,
		.help = "One session.",
		.example = "{\"id\":\"s1.17\"}",
	},
	[RPC_SESSION_KICK] = {
		.name = "session.kick", .change = true, .params = &rpc_session_params_rows,
		.result = &rpc_done_result_rows,
		.help = "Ends a session; its client may come back.",
		.example = "{\"id\":\"s1.17\"}",
	},
	[RPC_STATS_GET] = {
		.name = "stats.get", .params = &rpc_stats_params_rows,
		.result = &rpc_stats_result_rows,
		.help = "Counters and rates of a mapping, a client, a server, or of everything.",
		.example = "{\"mapping\":\"m3\"}", .check = api_check_stats,
	},
	[RPC_METRICS_GET] = {
		.name = "metrics.get", .params = &rpc_nothing,
		.result = &rpc_metrics_result_rows,
		.help = "All counters in the text format of Prometheus.",
		.example = "{}",
	},
	[RPC_CERT_LIST] = {
		.name = "cert.list", .params = &rpc_cert_params_rows,
		.result = &rpc_cert_list_rows, .list = "certs",
		.help = "The certificates that servers show.",
		.example = "{}",
	},
	[RPC_CERT_RELOAD] = {
		.name = "cert.reload", .change = true, .params = &rpc_cert_params_rows,
		.result = &rpc_cert_reload_result_rows, .list = "servers",
		.help = "Reads certificates and keys anew, for handshakes from now on.",
		.remarks = "Where that fails the old one stays, and error says why.",
		.example = "{\"server\":\"s1\"}",
	},
	[RPC_EVENTS_SUBSCRIBE] = {
		.name = "events.subscribe", .params = &rpc_subscribe_params_rows,
		.result = &rpc_subscribe_result_rows,
		.help = "Sends events on this connection from now on, or from a known one on.",
		.remarks = "The answer comes before the first event. Its snapshot shows exactly "
			   "what there was at seq.",
		.example = "{\"types\":[\"state\",\"log\"],\"min_level\":\"warn\"}",
	},
	[RPC_EVENTS_UNSUBSCRIBE] = {
		.name = "events.unsubscribe", .params = &rpc_unsubscribe_params_rows,
		.result = &rpc_done_result_rows,
		.help = "Ends a subscription of this connection.",
		.example = "{\"sub\":1}",
	},
	[RPC_EVENTS_NEXT] = {
		.name = "events.next", .waits = true, .params = &rpc_next_params_rows,
		.result = &rpc_next_result_rows, .list = "events",
		.help = "The events behind a cursor, for callers that cannot take them as they "
			"come.",
		.remarks = "Answers as soon as there is one, or without any when the time is over. "
			   "A cursor lives on without a connection; when its events are gone, the "
			   "error is cursor_expired.",
		.example = "{\"timeout_ms\":30000,\"types\":[\"state\"]}",
	},
};

int rpc_method_find(const char *name)
{
	for (int i = 0; i < RPC_METHOD_COUNT; i++)
		if (strcmp(rpc_methods[i].name, name) == 0)
			return i;
	return -1;
}

const char *rpc_method_suggest(const char *name)
{
	const char *nearest = NULL;
	size_t limit = strlen(name) / 3, best = SIZE_MAX;

	for (int i = 0; i < RPC_METHOD_COUNT; i++) {
		size_t distance = field_distance(name, rpc_methods[i].name);

		if (distance <= limit && distance < best) {
			best = distance;
			nearest = rpc_methods[i].name;
		}
	}
	return nearest;
}
