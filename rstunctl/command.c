/* SPDX-License-Identifier: MIT */
/*
 * The table of sub-commands, and what is made from it. Constant data.
 */
#include "rstunctl/command.h"

#include "rstunctl/commands.h"
#include "config/config.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define COMMAND_ANY SIZE_MAX
#define COMMAND_IDS " id name "

const struct command commands[] = {
	/* ---- Mappings ---- */
	{"add", "SPEC...", "Adds mappings and says what became of each.",
	 "A mapping is 'OUT^9000^ANY' in quotes, or three words. One that fails for good is told "
	 "at "
	 "once; when the time is over the mapping stays all the same and the exit status is 6. Of "
	 "a range of ports all are added or none.",
	 "add out 9000 any --name web", true, RPC_MAPPING_ADD, RPC_MAPPING_WAIT,
	 " spec mode local remote proto lifetime wait-ms ", &add_rows, 1, COMMAND_ANY,
	 COMMAND_SPECS, add_command},
	{"run", "SPEC...", "Adds mappings for as long as this command runs.",
	 "Shows what they do until it is ended with Ctrl-C; then they are removed.",
	 "run 'IN^3000^0.0.0.0:18080'", true, RPC_MAPPING_ADD, -1,
	 " spec mode local remote proto lifetime wait-ms persist paused expires-ms ", &run_rows, 1,
	 COMMAND_ANY, COMMAND_SPECS, run_command},
	{"rm", "ID...", "Removes mappings.", NULL, "rm web --missing-ok", true, RPC_MAPPING_REMOVE,
	 -1, COMMAND_IDS, NULL, 1, COMMAND_ANY, COMMAND_MAPPINGS, mapping_each},
	{"pause", "ID...|--all", "Stops mappings until resume; they listen no more.", NULL,
	 "pause web", true, RPC_MAPPING_PAUSE, -1, COMMAND_IDS, &mapping_all_rows, 0, COMMAND_ANY,
	 COMMAND_MAPPINGS, mapping_each},
	{"resume", "ID...|--all", "Starts mappings that are paused.", NULL, "resume web", true,
	 RPC_MAPPING_RESUME, -1, COMMAND_IDS, &mapping_all_rows, 0, COMMAND_ANY, COMMAND_MAPPINGS,
	 mapping_each},
	{"restart", "ID...|--all", "Closes the connections of mappings and connects at once.", NULL,
	 "restart --all", true, RPC_MAPPING_RESTART, -1, COMMAND_IDS, &mapping_all_rows, 0,
	 COMMAND_ANY, COMMAND_MAPPINGS, mapping_each},
	{"drain", "ID...|--all", "Pauses mappings, but lets their open flows end first.", NULL,
	 "drain web --drain 1m", true, RPC_MAPPING_DRAIN, -1, COMMAND_IDS, &mapping_all_rows, 0,
	 COMMAND_ANY, COMMAND_MAPPINGS, mapping_each},
	{"show", "ID...", "Shows all about mappings; ids of others (c1, s1, s1.17) are fine, too.",
	 NULL, "show m3", false, RPC_MAPPING_GET, -1, COMMAND_IDS, NULL, 1, COMMAND_ANY,
	 COMMAND_MAPPINGS, generic_show},
	{"set", "ID [SPEC]", "Changes a mapping, which keeps its id; what is not given stays.",
	 NULL, "set web --remote 10.0.0.5:22", true, RPC_MAPPING_SET, -1, " id name spec ", NULL, 1,
	 4, COMMAND_MAPPINGS, mapping_set},
	{"list", "", "Lists the mappings.", NULL, "list --state failed -o wide", false,
	 RPC_MAPPING_LIST, -1, "", NULL, 0, 0, COMMAND_NOTHING, generic_call},
	{"wait", "ID", "Waits until a mapping is in a state.", "At most ten seconds, or --timeout.",
	 "wait web --for tunneling --timeout 30s", false, RPC_MAPPING_WAIT, -1,
	 " id name state timeout-ms ", &mapping_wait_rows, 1, 1, COMMAND_MAPPINGS, mapping_wait},
	{"apply", "FILE", "Makes the mappings what a file says, by its differences.",
	 "The file (- is standard input) is a JSON array of mappings, what export writes, or lines "
	 "with [NAME] SPEC [udp]. With --confirm all of it is undone unless 'rstunctl confirm' "
	 "comes "
	 "in time.",
	 "apply mappings.json --dry-run", true, RPC_MAPPING_APPLY, -1,
	 " mappings confirm-within-s ", &apply_rows, 1, 1, COMMAND_FILE, apply_command},
	{"confirm", "", "Keeps what apply changed with --confirm.", NULL, "confirm", true,
	 RPC_MAPPING_CONFIRM, -1, "", NULL, 0, 0, COMMAND_NOTHING, generic_call},
	{"export", "", "Writes the mappings as JSON, for apply.",
	 "It is always JSON, whatever --output says. Passwords and keys are never in it: secrets do "
	 "not leave the daemon, so no option asks for them.",
	 "export > mappings.json", false, RPC_MAPPING_LIST, -1, "", &apply_export_rows, 0, 0,
	 COMMAND_NOTHING, apply_export},

	/* ---- Watching ---- */
	{"status", "", "Says how the daemon and its tunnels are.",
	 "--check is for health checks: one line, exit status 0 when all mappings are up (paused "
	 "ones count as right) and all servers listen, 1 when some do not, 3 without a daemon.",
	 "status --check", false, RPC_DAEMON_STATUS, RPC_DAEMON_INFO, "", &status_rows, 0, 0,
	 COMMAND_NOTHING, status_command},
	{"events", "", "Shows what happens, as it happens.",
	 "Reconnects when the daemon goes, and goes on where it was: nothing is left out, or it "
	 "says what. With --json each line is one event: the params of its notification, with the "
	 "fields that rstund-api(7) describes.",
	 "events --json --since 5m", false, RPC_EVENTS_SUBSCRIBE, -1,
	 " types mappings min-level stat-interval-ms snapshot since ", &events_rows, 0, 0,
	 COMMAND_NOTHING, events_command},
	{"top", "", "Shows rates, round trips, loss and flows of every mapping, live; q quits.",
	 NULL, "top", false, COMMAND_NO_METHOD, RPC_EVENTS_SUBSCRIBE, "", &top_rows, 0, 0,
	 COMMAND_NOTHING, top_command},
	{"stats", "[ID]", "Shows the counters of a mapping, client, server or session, or of all.",
	 NULL, "stats web", false, RPC_STATS_GET, -1, "", NULL, 0, 1, COMMAND_MAPPINGS,
	 stats_command},
	{"flows", "[ID]", "Lists the flows that are open, or ends some.", NULL,
	 "flows web --kill m3.17", false, RPC_FLOW_LIST, RPC_FLOW_KILL, " mapping session ",
	 &stats_flows_rows, 0, 1, COMMAND_MAPPINGS, stats_flows},
	{"explain", "[ID|CLIENT]", "Tries a mapping or a client step by step and names what fails.",
	 "It binds nothing and disturbs nobody: a mapping that is up stays up.", "explain web",
	 true, RPC_CLIENT_TEST, -1, " client mapping timeout-ms ", NULL, 0, 1, COMMAND_MAPPINGS,
	 explain_command},
	{"connect", "TARGET", "Joins standard input and output to a target beyond a tunnel.",
	 "Made for ssh: -o ProxyCommand='rstunctl connect %h:%p'. The target is [ip:]port, name:port "
	 "(resolved by the server) or ANY, its default.", "connect 10.0.0.5:22 --client home", true,
	 RPC_CHANNEL_OPEN, -1, " target proto ", &connect_rows, 1, 1, COMMAND_OTHER,
	 connect_command},
	{"log", "", "Shows the last lines of the daemon's log.", NULL, "log -f --level warn", false,
	 RPC_LOG_TAIL, -1, " count after timeout-ms min-level ", &tail_rows, 0, 0, COMMAND_NOTHING,
	 tail_command},
	{"log level", "[LEVEL]", "Shows or changes the level of the log.", NULL,
	 "log level debug --for 10m", false, COMMAND_NO_METHOD, RPC_LOG_SET_LEVEL, "",
	 &tail_level_rows, 0, 1, COMMAND_LEVEL, tail_level},
	{"metrics", "", "Shows all counters in the text format of Prometheus.", NULL,
	 "metrics --write /var/lib/node_exporter/rstund.prom", false, RPC_METRICS_GET, -1, "",
	 &call_metrics_rows, 0, 0, COMMAND_NOTHING, call_metrics},

	/* ---- Clients, servers, sessions, certificates ---- */
	{"client add", "NAME ADDR", "Adds a remote server to dial.",
	 "The password comes from --password-file or --password-stdin.",
	 "client add home 192.0.2.7:3515 --password-file pw", true, RPC_CLIENT_ADD, -1,
	 " name config server-addr ", NULL, 2, 2, COMMAND_OTHER, role_add},
	{"client set", "ID", "Changes options of a client; its mappings stay and reconnect.",
	 "What is not given stays; an empty value sets one back to its default.",
	 "client set home --cipher aes-128-gcm", true, RPC_CLIENT_SET, -1, " id name config ", NULL,
	 1, 1, COMMAND_CLIENTS, role_set},
	{"client rm", "ID...", "Removes clients.", NULL, "client rm home --mappings", true,
	 RPC_CLIENT_REMOVE, -1, COMMAND_IDS, NULL, 1, COMMAND_ANY, COMMAND_CLIENTS, generic_each},
	{"client list", "", "Lists the remote servers that are dialled.", NULL, "client list",
	 false, RPC_CLIENT_LIST, -1, "", NULL, 0, 0, COMMAND_NOTHING, generic_call},
	{"client show", "ID...", "Shows all about clients.", NULL, "client show home", false,
	 RPC_CLIENT_GET, -1, COMMAND_IDS, NULL, 1, COMMAND_ANY, COMMAND_CLIENTS, generic_each},
	{"client test", "[ID]", "Tries a client step by step, as explain does.", NULL,
	 "client test home", true, RPC_CLIENT_TEST, -1, " client mapping timeout-ms ", NULL, 0, 1,
	 COMMAND_CLIENTS, explain_command},
	{"server add", "NAME ADDR", "Adds a server that takes sessions here.",
	 "The password comes from --password-file or --password-stdin.",
	 "server add front 0.0.0.0:3515 --password-file pw --tcp-upstream 8080", true,
	 RPC_SERVER_ADD, -1, " name config addr ", NULL, 2, 2, COMMAND_OTHER, role_add},
	{"server set", "ID", "Changes options of a server; its sessions end and come back.",
	 "What is not given stays; an empty value sets one back to its default.",
	 "server set front --tcp-upstream 127.0.0.1:8080", true, RPC_SERVER_SET, -1,
	 " id name config ", NULL, 1, 1, COMMAND_SERVERS, role_set},
	{"server rm", "ID...", "Removes servers; their sessions end.", NULL, "server rm front",
	 true, RPC_SERVER_REMOVE, -1, COMMAND_IDS, NULL, 1, COMMAND_ANY, COMMAND_SERVERS,
	 generic_each},
	{"server list", "", "Lists the servers that take sessions here.", NULL, "server list",
	 false, RPC_SERVER_LIST, -1, "", NULL, 0, 0, COMMAND_NOTHING, generic_call},
	{"server show", "ID...", "Shows all about servers.", NULL, "server show front", false,
	 RPC_SERVER_GET, -1, COMMAND_IDS, NULL, 1, COMMAND_ANY, COMMAND_SERVERS, generic_each},
	{"server drain", "ID...", "Takes no new sessions; those that are open may end.", NULL,
	 "server drain front --drain 1m", true, RPC_SERVER_DRAIN, -1, COMMAND_IDS, NULL, 1,
	 COMMAND_ANY, COMMAND_SERVERS, generic_each},
	{"session list", "", "Lists the sessions of remote clients.", NULL, "session list", false,
	 RPC_SESSION_LIST, -1, "", NULL, 0, 0, COMMAND_NOTHING, generic_call},
	{"session show", "ID...", "Shows all about sessions.", NULL, "session show s1.17", false,
	 RPC_SESSION_GET, -1, COMMAND_IDS, NULL, 1, COMMAND_ANY, COMMAND_SESSIONS, generic_each},
	{"session kick", "ID...", "Ends sessions; their clients may come back.", NULL,
	 "session kick s1.17", true, RPC_SESSION_KICK, -1, COMMAND_IDS, NULL, 1, COMMAND_ANY,
	 COMMAND_SESSIONS, generic_each},
	{"cert list", "", "Lists the certificates that servers show.", NULL, "cert list", false,
	 RPC_CERT_LIST, -1, "", NULL, 0, 0, COMMAND_NOTHING, generic_call},
	{"cert reload", "", "Reads certificates and keys anew.", NULL, "cert reload", true,
	 RPC_CERT_RELOAD, -1, "", NULL, 0, 0, COMMAND_NOTHING, generic_call},

	/* ---- The daemon ---- */
	{"config get", "", "Shows the values in effect and where each comes from.",
	 "It is always JSON, whatever --output says; secrets are masked.", "config get",
	 false, RPC_CONFIG_GET, -1, "", NULL, 0, 0, COMMAND_NOTHING, call_config_get},
	{"config check", "FILE", "Says what is wrong with a configuration file.", NULL,
	 "config check rstund.conf", false, RPC_CONFIG_CHECK, -1, " text ", NULL, 1, 1,
	 COMMAND_FILE, call_config_check},
	{"reload", "", "Makes the daemon read its configuration file anew.", NULL,
	 "reload --dry-run", true, RPC_DAEMON_RELOAD, -1, "", NULL, 0, 0, COMMAND_NOTHING,
	 call_reload},
	{"stop", "", "Ends the daemon, after its open flows.", NULL, "stop --drain 0", true,
	 RPC_DAEMON_SHUTDOWN, -1, "", NULL, 0, 0, COMMAND_NOTHING, call_stop},
	{"ping", "", "Asks the daemon for a sign of life.", NULL, "ping", false, RPC_DAEMON_PING,
	 -1, "", NULL, 0, 0, COMMAND_NOTHING, generic_call},
	{"info", "", "Shows the daemon's versions and features.", NULL, "info", false,
	 RPC_DAEMON_INFO, -1, "", NULL, 0, 0, COMMAND_NOTHING, status_info},
	{"call", "METHOD [JSON|KEY=VALUE...]", "Calls any method and shows its result as JSON.",
	 "KEY=@FILE is a file's content, KEY:=JSON a value as it is; @FILE or - instead of JSON is "
	 "read. 'rstunctl help METHOD' shows a method's parameters.",
	 "call mapping.list state=failed", false, COMMAND_NO_METHOD, -1, "", NULL, 1, COMMAND_ANY,
	 COMMAND_METHOD, call_command},
	{"discover", "", "Shows the whole API as an OpenRPC document.", NULL, "discover", false,
	 RPC_DISCOVER, -1, "", NULL, 0, 0, COMMAND_NOTHING, call_discover},

	/* ---- This program ---- */
	{"completion", "SHELL", "Writes the completion script for bash, zsh or fish.", NULL,
	 "completion bash", false, COMMAND_NO_METHOD, -1, "", NULL, 1, 1, COMMAND_SHELL,
	 completion_command},
	{"version", "", "Shows the versions of this program and of the daemon.", NULL, "version",
	 false, COMMAND_NO_METHOD, RPC_DAEMON_INFO, "", NULL, 0, 0, COMMAND_NOTHING,
	 status_version},
	{"help", "[COMMAND|METHOD]", "Explains a sub-command, or a method of the API.", NULL,
	 "help add", false, COMMAND_NO_METHOD, -1, "", NULL, 0, 2, COMMAND_COMMAND, help_command},
};

const size_t command_count = sizeof(commands) / sizeof(commands[0]);

const char *const command_call_only[] = {
	"rpc.cancel",         /* of a call on the same connection: Ctrl-C does it */
	"log.get_level",      /* `log level` without a level */
	"events.unsubscribe", /* ending the command does it */
	"events.next",        /* for callers that cannot take events as they come */
	NULL,
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

bool command_is_group(const char *word)
{
	size_t bytes = strlen(word);

	for (size_t i = 0; i < command_count; i++)
		if (strncmp(commands[i].name, word, bytes) == 0 && commands[i].name[bytes] == ' ')
			return true;
	return false;
}

const char *command_suggest(const char *name)
{
	static const char *const others[][2] = {
		{"remove", "rm"}, {"delete", "rm"}, {"del", "rm"}, {"ls", "list"},
		{"start", "resume"}, {"get", "show"}, {"kill", "flows --kill"},
		{"shutdown", "stop"},
		{"watch", "events"}, {"monitor", "events"}, {"test", "explain"}, {"logs", "log"},
		{"sessions", "session list"}, {"clients", "client list"},
		{"servers", "server list"}, {"certs", "cert list"}, {"mappings", "list"},
	};
	size_t limit = strlen(name) / 3 + 1, best = SIZE_MAX;
	const char *nearest = NULL;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(others[i][0], name) == 0)
			return others[i][1];
	for (size_t i = 0; i < command_count; i++) {
		char group[32]; /* "clinet" alone is near to "client add" */
		size_t distance = field_distance(commands[i].name, name), of_group;

		snprintf(group, sizeof(group), "%.*s", (int)strcspn(commands[i].name, " "),
			 commands[i].name);
		of_group = field_distance(group, name);
		if (of_group < distance)
			distance = of_group;
		if (distance <= limit && distance < best) {
			best = distance;
			nearest = commands[i].name;
		}
	}
	return nearest;
}

/* ---- Options --------------------------------------------------------------------------------- */

const struct field_rows *command_role(const char *name)
{
	static struct field_rows client = {.name = "ClientConfig", .rows = client_config_fields,
					   .size = sizeof(struct client_config)};
	static struct field_rows server = {.name = "ServerConfig", .rows = server_config_fields,
					   .size = sizeof(struct server_config)};

	client.count = client_config_field_count; /* no constant there */
	server.count = server_config_field_count;
	if (name != NULL && strcmp(name, client.name) == 0)
		return &client;
	if (name != NULL && strcmp(name, server.name) == 0)
		return &server;
	return NULL;
}

/* " id name " has "id". */
static bool command_left_out(const struct command *command, const char *name)
{
	const char *p = command->leave_out;
	size_t bytes = strlen(name);

	while ((p = strstr(p, name)) != NULL) {
		if (p > command->leave_out && p[-1] == ' ' && p[bytes] == ' ')
			return true;
		p += bytes;
	}
	return false;
}

/* The name on the command line: times are told without their unit's name, as they may have any. */
static void command_option_name(struct command_option *o, bool role)
{
	size_t bytes = strlen(o->row->name);

	o->negated = o->row->type == FIELD_BOOL && o->row->default_text != NULL &&
		     strcmp(o->row->default_text, "yes") == 0;
	if (!role && !o->global && o->row->type == FIELD_MS && bytes > 3 &&
	    strcmp(o->row->name + bytes - 3, "-ms") == 0)
		bytes -= 3;
	snprintf(o->name, sizeof(o->name), "%s%.*s", o->negated ? "no-" : "", (int)bytes,
		 o->row->name);
}

static size_t command_add_rows(struct command_option *ret, size_t count,
			       const struct command *command, const struct field_rows *rows,
			       bool own, bool global)
{
	for (size_t i = 0; rows != NULL && i < rows->count && count < COMMAND_OPTIONS_MAX; i++) {
		struct command_option *o = &ret[count];

		if (!own && !global && command_left_out(command, rows->rows[i].name))
			continue;
		*o = (struct command_option){
			.row = &rows->rows[i], .rows = rows, .own = own, .global = global};
		command_option_name(o, false);
		count++;
	}
	return count;
}

static const struct field command_password_stdin = {
	.name = "password-stdin", .type = FIELD_BOOL,
	.help = "Read the password from standard input.",
};

/* Options of a role. Those that name a file are sent as contents, and a password has no option. */
static size_t command_add_role(struct command_option *ret, size_t count,
			       const struct command *command, const struct field_rows *role)
{
	for (size_t i = 0; role != NULL && i < role->count && count + 1 < COMMAND_OPTIONS_MAX;
	     i++) {
		const struct field *row = &role->rows[i];
		struct command_option *o = &ret[count];
		const char *name = row->name;
		size_t bytes = strlen(name);

		if ((row->flags & FIELD_CLI_ONLY) != 0 || row->type == FIELD_SECRET ||
		    command_left_out(command, name) || strcmp(name, "tcp-mappings") == 0 ||
		    strcmp(name, "udp-mappings") == 0 || strcmp(name, "workers") == 0 ||
		    strcmp(name, "loglevel") == 0 ||
		    (bytes > 4 && strcmp(name + bytes - 4, "-pem") == 0))
			continue;
		*o = (struct command_option){.row = row, .rows = role};
		command_option_name(o, true);
		count++;
		if ((row->flags & FIELD_FILE) == 0)
			continue;
		o->content = strcmp(name, "cert") == 0		    ? "cert_pem"
			     : strcmp(name, "key") == 0		    ? "key_pem"
			     : strcmp(name, "proxy-auth-file") == 0 ? "proxy_auth"
								    : "password";
		if (strcmp(name, "password-file") != 0)
			continue;
		ret[count] = (struct command_option){.row = &command_password_stdin,
						     .content = "password", .from_stdin = true};
		command_option_name(&ret[count++], true);
	}
	return count;
}

size_t command_options(struct command_option ret[COMMAND_OPTIONS_MAX],
		       const struct command *command)
{
	size_t count = 0;

	if (command != NULL) {
		count = command_add_rows(ret, count, command, command->own, true, false);
		if (command->method >= 0) {
			const struct rpc_method_row *method = &rpc_methods[command->method];
			const char *config = method->config;

			count = command_add_rows(ret, count, command, method->params, false,
						 false);
			count = command_add_role(ret, count, command, command_role(config));
		}
	}
	return command_add_rows(ret, count, command, &ctl_rows, false, true);
}
