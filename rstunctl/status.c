/* SPDX-License-Identifier: MIT */
/*
 * status, status --check, info, version: how the daemon is, and what it is.
 */
#include "rpc/api_types.h"
#include "rstunctl/commands.h"
#include "rstunctl/describe.h"

#include <inttypes.h>
#include <string.h>

#define STATUS_CHECK_MS 5000 /* a health check has to end */
#define STATUS_SERVER_STATES (RPC_SERVER_FAILED + 1)

struct status_options {
	bool check;
};

static const struct field status_fields[] = {
	{.name = "check", .type = FIELD_BOOL, .offset = offsetof(struct status_options, check),
	 .help = "Say in one line and by the exit status whether all is up."},
};

const struct field_rows status_rows = {
	.name = "StatusOptions", .rows = status_fields, .count = 1,
	.size = sizeof(struct status_options),
};

/* "4 tunneling, 1 failed" in the order of the states. */
static void status_counts(char *buf, size_t size, const json_t *counts)
{
	size_t used = 0;

	buf[0] = '\0';
	for (int i = 0; rpc_state_names[i] != NULL && used < size; i++) {
		uint64_t count = output_number(counts, rpc_state_names[i]);

		if (count > 0)
			used += (size_t)snprintf(buf + used, size - used, "%s%" PRIu64 " %s",
						 used > 0 ? ", " : "", count, rpc_state_names[i]);
	}
}

/* "2 listening, 1 failed" in the order of the states. Returns how many do not listen. */
static size_t status_servers(char *buf, size_t size, const json_t *servers)
{
	size_t counts[STATUS_SERVER_STATES] = {0}, used = 0, down = 0, i;
	json_t *server;

	buf[0] = '\0';
	json_array_foreach(servers, i, server) {
		const char *state = output_string(server, "runtime.state");

		for (int j = 0; rpc_server_state_names[j] != NULL; j++)
			counts[j] += strcmp(state, rpc_server_state_names[j]) == 0;
		down += strcmp(state, rpc_server_state_names[RPC_SERVER_LISTENING]) != 0;
	}
	for (int j = 0; rpc_server_state_names[j] != NULL && used < size; j++)
		if (counts[j] > 0)
			used += (size_t)snprintf(buf + used, size - used, "%s%zu %s",
						 used > 0 ? ", " : "", counts[j],
						 rpc_server_state_names[j]);
	return down;
}

static void status_say(struct ctl *c, bool ok, const json_t *status, const json_t *servers)
{
	const json_t *counts = json_object_get(status, "mappings");
	uint64_t total = output_number(counts, "total");
	size_t server_count = json_array_size(servers);
	char states[256], of_mappings[320] = "no mappings", of_servers[320] = "";

	status_counts(states, sizeof(states), counts);
	if (total > 0)
		snprintf(of_mappings, sizeof(of_mappings), "%" PRIu64 " mapping%s: %s", total,
			 total == 1 ? "" : "s", states);
	status_servers(states, sizeof(states), servers);
	if (server_count > 0)
		snprintf(of_servers, sizeof(of_servers), "; %zu server%s: %s", server_count,
			 server_count == 1 ? "" : "s", states);
	generic_say(c, "%s: %s%s", ok ? "ok" : "not all up", of_mappings, of_servers);
}

/* Paused is what somebody wanted; all others but tunneling are not up, and neither is a server that
 * does not listen. */
static int status_check(struct ctl *c)
{
	json_t *result, *listed;
	const json_t *counts, *servers;
	uint64_t up;
	char states[256];
	bool ok;
	int status = ctl_call(c, RPC_DAEMON_STATUS, NULL, ctl_timeout(c, STATUS_CHECK_MS), &result);

	if (status != 0)
		return status;
	status = ctl_call(c, RPC_SERVER_LIST, NULL, ctl_timeout(c, STATUS_CHECK_MS), &listed);
	if (status != 0) {
		json_decref(result);
		return status;
	}
	counts = json_object_get(result, "mappings");
	servers = json_object_get(listed, "servers");
	up = output_number(counts, "tunneling") + output_number(counts, "paused");
	ok = up >= output_number(counts, "total") &&
	     status_servers(states, sizeof(states), servers) == 0;
	if (c->output.format == OUTPUT_JSON)
		output_json(&c->output, result);
	else
		status_say(c, ok, result, servers);
	json_decref(result);
	json_decref(listed);
	return ok ? 0 : 1;
}

static void status_line(const struct ctl *c, const char *label, uint64_t count, const char *more)
{
	fprintf(c->out, "%-11s%" PRIu64 "%s%s\n", label, count, more[0] != '\0' ? ": " : "", more);
}

static void status_warnings(const struct ctl *c, const json_t *status)
{
	char text[1024], about[128];
	size_t i;
	json_t *warning;

	json_array_foreach(json_object_get(status, "warnings"), i, warning) {
		const char *of = output_string(warning, "about");

		fprintf(c->out, "%swarning%s    %s%s%s\n", output_paint(&c->output, OUTPUT_BUSY),
			output_paint(&c->output, OUTPUT_PLAIN),
			output_clean(about, sizeof(about), of), of[0] != '\0' ? ": " : "",
			output_clean(text, sizeof(text), output_string(warning, "text")));
	}
}

static void status_show(const struct ctl *c, const json_t *info, const json_t *status)
{
	const char *state = output_string(status, "state");
	const json_t *left = json_object_get(status, "confirm_in_ms");
	char version[64], time[32], counts[256];

	output_clean(version, sizeof(version), output_string(info, "version"));
	output_ms(time, sizeof(time), output_number(status, "uptime_ms"));
	status_counts(counts, sizeof(counts), json_object_get(status, "mappings"));
	fprintf(c->out, "rstund %s (API %" PRIu64 "), pid %" PRIu64 ": %s%s%s for %s\n", version,
		output_number(info, "api_version"), output_number(info, "pid"),
		output_paint(&c->output, output_state_hue(state)), state,
		output_paint(&c->output, OUTPUT_PLAIN), time);
	status_line(c, "mappings", output_number(status, "mappings.total"), counts);
	status_line(c, "clients", output_number(status, "clients"), "");
	status_line(c, "servers", output_number(status, "servers"), "");
	status_line(c, "sessions", output_number(status, "sessions"), "");
	status_line(c, "flows", output_number(status, "flows"), "");
	if (c->output.format == OUTPUT_WIDE || c->options.verbose) {
		status_line(c, "callers", output_number(status, "callers"), "");
		status_line(c, "events", output_number(status, "seq"), "");
	}
	if (json_is_integer(left))
		fprintf(c->out,
			"confirm    a change is undone in %s, unless 'rstunctl confirm' comes "
			"before\n",
			output_ms(time, sizeof(time), (uint64_t)json_integer_value(left)));
	status_warnings(c, status);
}

int status_command(struct ctl *c, struct command_input *in)
{
	const struct status_options *options = in->own;
	json_t *info, *result;
	int status;

	if (options->check)
		return status_check(c);
	status = ctl_call(c, RPC_DAEMON_STATUS, NULL, ctl_timeout(c, CTL_TIMEOUT_MS), &result);
	if (status != 0)
		return status;
	if (c->output.format == OUTPUT_JSON) {
		output_json(&c->output, result);
		json_decref(result);
		return 0;
	}
	status = ctl_call(c, RPC_DAEMON_INFO, NULL, ctl_timeout(c, CTL_TIMEOUT_MS), &info);
	if (status == 0) {
		status_show(c, info, result);
		json_decref(info);
	}
	json_decref(result);
	return status;
}

int status_info(struct ctl *c, struct command_input *in)
{
	return generic_call(c, in);
}

/* Ours is shown in any case. */
int status_version(struct ctl *c, struct command_input *in)
{
	bool json = c->output.format == OUTPUT_JSON;
	char version[64];
	json_t *info;
	int status;

	(void)in;
	if (!json) {
		fprintf(c->out, "rstunctl %s (API %d)\n", PACKAGE_VERSION, RPC_API_VERSION);
		fflush(c->out);
	}
	status = ctl_call(c, RPC_DAEMON_INFO, NULL, ctl_timeout(c, CTL_TIMEOUT_MS), &info);
	if (status != 0)
		return status;
	if (json)
		output_json(&c->output, info);
	else
		fprintf(c->out, "rstund %s (API %" PRIu64 ")\n",
			output_clean(version, sizeof(version), output_string(info, "version")),
			output_number(info, "api_version"));
	json_decref(info);
	return 0;
}
