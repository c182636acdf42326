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
	[RPC_DAEMON_RELOAD] = {
		.name = "daemon.reload", .change = true, .params = &rpc_reload_params_rows,
		.result = &rpc_reload_result_rows,
		.help = "Reads the configuration file anew and applies what is different.",
		.remarks = "All or nothing: what is wrong is said and nothing is changed. What did "
			   "not change keeps its connections. Certificates are read anew, too.",
		.example = "{\"dry_run\":true}",
	},
	[RPC_CONFIG_GET] = {
		.name = "config.get", .params = &rpc_nothing, .result = &rpc_config_result_rows,
		.help = "The values in effect and where each comes from, secrets masked.",
		.example = "{}",
	},
	[RPC_CONFIG_CHECK] = {
		.name = "config.check", .params = &rpc_config_check_params_rows,
		.result = &rpc_config_check_result_rows, .list = "diagnostics",
		.help = "Says what is wrong with the text of a configuration file.",
		.example = "{\"text\":\"[client home]\\nserver-addr = 192.0.2.1\\n\"}",
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
		.name = "log.tail", .waits = true, .params = &rpc_log_tail_params_rows,
		.result = &rpc_log_tail_result_rows, .list = "lines",
		.help = "The last lines of the log.",
		.remarks = "To follow the log, call again with after and timeout_ms.",
		.example = "{\"count\":20}",
	},
	[RPC_CLIENT_ADD] = {
		.name = "client.add", .change = true, .params = &rpc_client_add_params_rows,
		.config = "ClientConfig", .result = &rpc_client_add_result_rows,
		.help = "Adds a remote server to dial.",
		.remarks = "Its options are those of the command line with _ for -; those that name "
			   "a file are given as contents: password, cert_pem. The same name with "
			   "the same options is no error: created is false then.",
		.example = "{\"name\":\"home\",\"server_addr\":\"192.0.2.1:3515\","
			   "\"password\":\"secret\"}",
	},
	[RPC_CLIENT_SET] = {
		.name = "client.set", .change = true, .params = &rpc_role_set_params_rows,
		.config = "ClientConfig", .result = &rpc_client_rows,
		.help = "Changes options of a client; its mappings stay and reconnect.",
		.remarks = "Options that are not given stay; null sets one back to its default.",
		.example = "{\"name\":\"home\",\"cipher\":\"aes-128-gcm\"}",
		.check = api_check_role_set,
	},
	[RPC_CLIENT_REMOVE] = {
		.name = "client.remove", .change = true, .params = &rpc_client_remove_params_rows,
		.result = &rpc_done_result_rows,
		.help = "Removes a client.",
		.example = "{\"name\":\"home\",\"mappings\":true}", .check = api_check_role_remove,
	},
	[RPC_CLIENT_TEST] = {
		.name = "client.test", .change = true, .waits = true, .params = &rpc_client_test_params_rows,
		.result = &rpc_client_test_result_rows, .list = "steps",
		.help = "Tries a client, or one of its mappings, step by step: name, UDP, TLS, login, "
			"address, upstream.",
		.remarks = "It binds nothing and disturbs nobody: a mapping that is up stays up.",
		.example = "{\"mapping\":\"m3\"}",
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
	[RPC_SERVER_ADD] = {
		.name = "server.add", .change = true, .params = &rpc_server_add_params_rows,
		.config = "ServerConfig", .result = &rpc_server_add_result_rows,
		.help = "Adds a server that takes sessions here.",
		.remarks = "As client.add. An address that cannot be had now is tried again: the "
			   "state is failed until then.",
		.example = "{\"name\":\"front\",\"addr\":\"0.0.0.0:3515\",\"password\":\"secret\"}",
	},
	[RPC_SERVER_SET] = {
		.name = "server.set", .change = true, .params = &rpc_role_set_params_rows,
		.config = "ServerConfig", .result = &rpc_server_rows,
		.help = "Changes options of a server; its sessions end and come back.",
		.example = "{\"name\":\"front\",\"tcp_upstream\":\"127.0.0.1:8080\"}",
		.check = api_check_role_set,
	},
	[RPC_SERVER_REMOVE] = {
		.name = "server.remove", .change = true, .params = &rpc_server_remove_params_rows,
		.result = &rpc_done_result_rows,
		.help = "Removes a server; its sessions end.",
		.example = "{\"name\":\"front\"}", .check = api_check_role_remove,
	},
	[RPC_SERVER_DRAIN] = {
		.name = "server.drain", .change = true, .params = &rpc_drain_params_rows,
		.result = &rpc_server_rows,
		.help = "Takes no new sessions or flows; those that are open may end. Then it is "
			"stopped.",
		.example = "{\"name\":\"front\",\"drain_ms\":60000}", .check = api_check_drain,
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
	[RPC_MAPPING_ADD] = {
		.name = "mapping.add", .change = true, .waits = true,
		.params = &rpc_mapping_add_params_rows, .config = "",
		.result = &rpc_mapping_add_result_rows,
		.help = "Adds a mapping.",
		.remarks = "The same name (or, without one, the same mapping) with the same "
			   "configuration is no error: created is false then. With a range of "
			   "ports (OUT^9000-9009^ANY) each port is a mapping, named NAME-9000 if "
			   "there is a name. They are added all or not at all: one that cannot "
			   "listen here leaves none of them behind.",
		.example = "{\"spec\":\"OUT^9000^ANY\",\"name\":\"web\"}",
		.check = api_check_mapping_add,
	},
	[RPC_MAPPING_SET] = {
		.name = "mapping.set", .change = true, .params = &rpc_mapping_set_params_rows,
		.config = "", .result = &rpc_mapping_rows,
		.help = "Changes a mapping, which keeps its id; what is not given stays.",
		.example = "{\"id\":\"m3\",\"remote\":\"10.0.0.5:22\"}",
		.check = api_check_mapping_set,
	},
	[RPC_MAPPING_REMOVE] = {
		.name = "mapping.remove", .change = true, .params = &rpc_mapping_remove_params_rows,
		.result = &rpc_done_result_rows,
		.help = "Removes a mapping.",
		.example = "{\"id\":\"m3\",\"drain_ms\":10000}", .check = api_check_mapping_remove,
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
	[RPC_MAPPING_PAUSE] = {
		.name = "mapping.pause", .change = true, .params = &rpc_which_params_rows,
		.result = &rpc_mapping_rows,
		.help = "Stops a mapping until mapping.resume; it listens no more.",
		.remarks = "That a mapping is paused survives a restart of the daemon.",
		.example = API_ID_EXAMPLE, .check = api_check_which,
	},
	[RPC_MAPPING_RESUME] = {
		.name = "mapping.resume", .change = true, .params = &rpc_which_params_rows,
		.result = &rpc_mapping_rows,
		.help = "Starts a paused mapping.",
		.example = API_ID_EXAMPLE, .check = api_check_which,
	},
	[RPC_MAPPING_RESTART] = {
		.name = "mapping.restart", .change = true, .params = &rpc_which_params_rows,
		.result = &rpc_mapping_rows,
		.help = "Closes a mapping's connection and connects at once, whatever it was "
			"waiting for.",
		.example = API_ID_EXAMPLE, .check = api_check_which,
	},
	[RPC_MAPPING_DRAIN] = {
		.name = "mapping.drain", .change = true, .params = &rpc_drain_params_rows,
		.result = &rpc_mapping_rows,
		.help = "Pauses a mapping, but lets its open flows end first.",
		.example = "{\"id\":\"m3\",\"drain_ms\":60000}", .check = api_check_drain,
	},
	[RPC_MAPPING_APPLY] = {
		.name = "mapping.apply", .change = true, .params = &rpc_mapping_apply_params_rows,
		.result = &rpc_mapping_apply_result_rows,
		.help = "Makes the mappings what a whole list says, by its differences.",
		.remarks = "All or nothing. What is in the list and there already keeps its "
			   "connection. With confirm_within_s everything is undone unless "
			   "mapping.confirm comes in time: for changes to what you are connected "
			   "through.",
		.example = "{\"mappings\":[{\"spec\":\"OUT^9000^ANY\",\"name\":\"web\"}],"
			   "\"prune\":true,\"confirm_within_s\":60}",
		.check = api_check_mapping_apply,
	},
	[RPC_MAPPING_CONFIRM] = {
		.name = "mapping.confirm", .change = true,
		.params = &rpc_mapping_confirm_params_rows, .result = &rpc_done_result_rows,
		.help = "Keeps what mapping.apply changed with confirm_within_s.",
		.example = "{}",
	},
	[RPC_CHANNEL_OPEN] = {
		.name = "channel.open", .change = true, .waits = true,
		.params = &rpc_channel_open_params_rows, .result = &rpc_channel_open_result_rows,
		.help = "Turns this connection into one through the tunnel.",
		.remarks = "Behind the newline of the reply it carries raw bytes to the target and back "
			   "until both sides have ended it, and is no connection of the API any more; "
			   "for udp it carries datagrams, each behind its length in two bytes, the "
			   "higher first. "
			   "Up to 8 KiB may be sent behind the request before the reply is there. "
			   "It must have nothing else under way: no batch, no other call, no "
			   "subscription. A target that cannot be reached ends it without a byte.",
		.example = "{\"target\":\"10.0.0.5:22\"}",
	},
	[RPC_FLOW_LIST] = {
		.name = "flow.list", .waits = true, .params = &rpc_flow_list_params_rows,
		.result = &rpc_flow_list_rows, .list = "flows",
		.help = "Flows that are open now: who, where to, how much, how long idle.",
		.example = "{\"mapping\":\"m3\"}", .check = api_check_flow_list,
	},
	[RPC_FLOW_KILL] = {
		.name = "flow.kill", .change = true, .waits = true,
		.params = &rpc_flow_kill_params_rows, .result = &rpc_flow_kill_result_rows,
		.help = "Resets one flow, or all of a mapping or session.",
		.example = "{\"id\":\"m3.17\"}", .check = api_check_flow_kill,
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
