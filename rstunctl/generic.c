/* SPDX-License-Identifier: MIT */
/*
 * Sub-commands that are one call, or one call for each word: most of them. Lists are tables with
 * the columns below, all else is shown by the rows of the result.
 */
#include "rpc/api_types.h"
#include "rstunctl/commands.h"
#include "rstunctl/describe.h"

#include <stdarg.h>
#include <string.h>

#define GENERIC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct output_column generic_mappings[] = {
	{"ID", "id", OUTPUT_TEXT, false, false},
	{"NAME", "config.name", OUTPUT_TEXT, false, false},
	{"SPEC", "spec", OUTPUT_TEXT, false, false},
	{"PROTO", "config.proto", OUTPUT_TEXT, false, false},
	{"CLIENT", "config.client", OUTPUT_TEXT, false, false},
	{"STATE", "runtime.state", OUTPUT_STATE, false, false},
	{"SINCE", "runtime.since", OUTPUT_SINCE, false, false},
	{"FLOWS", "runtime.active_flows", OUTPUT_NUMBER, false, false},
	{"BOUND", "runtime.bound", OUTPUT_TEXT, true, false},
	{"RTT", "runtime.rtt_ms", OUTPUT_TIME, true, false},
	{"CIPHER", "runtime.cipher", OUTPUT_TEXT, true, false},
	{"ORIGIN", "runtime.origin", OUTPUT_TEXT, true, false},
	{"PEER", "runtime.peer", OUTPUT_TEXT, true, false},
	{"ERROR", "runtime.last_error.message", OUTPUT_TEXT, true, true},
};

static const struct output_column generic_clients[] = {
	{"ID", "id", OUTPUT_TEXT, false, false},
	{"NAME", "name", OUTPUT_TEXT, false, false},
	{"SERVER", "config.server_addr", OUTPUT_TEXT, false, false},
	{"MAPPINGS", "runtime.mappings.total", OUTPUT_NUMBER, false, false},
	{"UP", "runtime.mappings.tunneling", OUTPUT_NUMBER, false, false},
	{"FAILED", "runtime.mappings.failed", OUTPUT_NUMBER, false, false},
	{"FLOWS", "runtime.flows", OUTPUT_NUMBER, false, false},
	{"ORIGIN", "runtime.origin", OUTPUT_TEXT, true, false},
	{"CIPHER", "config.cipher", OUTPUT_TEXT, true, false},
};

static const struct output_column generic_servers[] = {
	{"ID", "id", OUTPUT_TEXT, false, false},
	{"NAME", "name", OUTPUT_TEXT, false, false},
	{"ADDR", "config.addr", OUTPUT_TEXT, false, false},
	{"BOUND", "runtime.bound", OUTPUT_TEXT, false, false},
	{"STATE", "runtime.state", OUTPUT_STATE, false, false},
	{"SESSIONS", "runtime.sessions", OUTPUT_NUMBER, false, false},
	{"FLOWS", "runtime.flows", OUTPUT_NUMBER, false, false},
	{"ORIGIN", "runtime.origin", OUTPUT_TEXT, true, false},
	{"PIN", "runtime.pin", OUTPUT_TEXT, true, false},
	{"ERROR", "runtime.last_error.message", OUTPUT_TEXT, true, true},
};

static const struct output_column generic_sessions[] = {
	{"ID", "id", OUTPUT_TEXT, false, false},
	{"SERVER", "server", OUTPUT_TEXT, false, false},
	{"REMOTE", "remote", OUTPUT_TEXT, false, false},
	{"MODE", "mode", OUTPUT_TEXT, false, false},
	{"PROTO", "proto", OUTPUT_TEXT, false, false},
	{"SINCE", "since", OUTPUT_SINCE, false, false},
	{"FLOWS", "active_flows", OUTPUT_NUMBER, false, false},
	{"IN", "payload_in_bytes", OUTPUT_SIZE, false, false},
	{"OUT", "payload_out_bytes", OUTPUT_SIZE, false, false},
	{"RTT", "rtt_ms", OUTPUT_TIME, false, false},
	{"BOUND", "bound", OUTPUT_TEXT, true, false},
	{"LOST", "lost_packets", OUTPUT_NUMBER, true, false},
	{"CWND", "cwnd_bytes", OUTPUT_SIZE, true, false},
	{"CIPHER", "cipher", OUTPUT_TEXT, true, false},
	{"MAPPING", "mapping", OUTPUT_TEXT, true, false},
	{"SOFTWARE", "software", OUTPUT_TEXT, true, true},
};

static const struct output_column generic_flows[] = {
	{"ID", "id", OUTPUT_TEXT, false, false},
	{"OF", "mapping|session", OUTPUT_TEXT, false, false},
	{"PROTO", "proto", OUTPUT_TEXT, false, false},
	{"PEER", "peer", OUTPUT_TEXT, false, false},
	{"TARGET", "target", OUTPUT_TEXT, false, false},
	{"IN", "in_bytes", OUTPUT_SIZE, false, false},
	{"OUT", "out_bytes", OUTPUT_SIZE, false, false},
	{"AGE", "age_ms", OUTPUT_TIME, false, false},
	{"IDLE", "idle_ms", OUTPUT_TIME, false, false},
};

static const struct output_column generic_certs[] = {
	{"SERVER", "server", OUTPUT_TEXT, false, false},
	{"SUBJECT", "subject", OUTPUT_TEXT, false, true},
	{"NOT AFTER", "not_after", OUTPUT_TEXT, false, false},
	{"EXPIRED", "expired", OUTPUT_YESNO, false, false},
	{"SELF-SIGNED", "self_signed", OUTPUT_YESNO, false, false},
	{"PIN", "pin", OUTPUT_TEXT, false, false},
	{"NAMES", "names", OUTPUT_TEXT, true, true},
};

static const struct output_column generic_reloads[] = {
	{"SERVER", "server", OUTPUT_TEXT, false, false},
	{"CHANGED", "changed", OUTPUT_YESNO, false, false},
	{"PIN", "pin", OUTPUT_TEXT, false, false},
	{"ERROR", "error.message", OUTPUT_TEXT, false, true},
};

const struct output_column *generic_columns(enum rpc_method method, size_t *ret_count)
{
	static const struct {
		enum rpc_method method;
		const struct output_column *columns;
		size_t count;
	} lists[] = {
		{RPC_MAPPING_LIST, generic_mappings, GENERIC_COUNT(generic_mappings)},
		{RPC_CLIENT_LIST, generic_clients, GENERIC_COUNT(generic_clients)},
		{RPC_SERVER_LIST, generic_servers, GENERIC_COUNT(generic_servers)},
		{RPC_SESSION_LIST, generic_sessions, GENERIC_COUNT(generic_sessions)},
		{RPC_FLOW_LIST, generic_flows, GENERIC_COUNT(generic_flows)},
		{RPC_CERT_LIST, generic_certs, GENERIC_COUNT(generic_certs)},
		{RPC_CERT_RELOAD, generic_reloads, GENERIC_COUNT(generic_reloads)},
	};

	for (size_t i = 0; i < GENERIC_COUNT(lists); i++) {
		if (lists[i].method == method) {
			*ret_count = lists[i].count;
			return lists[i].columns;
		}
	}
	return NULL;
}

void generic_say(const struct ctl *c, const char *format, ...)
{
	va_list args;

	if (c->options.quiet)
		return;
	va_start(args, format);
	vfprintf(c->out, format, args);
	va_end(args);
	fputc('\n', c->out);
}

/* What is told of a list with nothing in it: not on `out`, where scripts read. */
static void generic_empty(const struct ctl *c, enum rpc_method method)
{
	switch (method) {
	case RPC_MAPPING_LIST:
		ctl_note(c, "no mappings; one is added with: rstunctl add 'OUT^9000^ANY'");
		break;
	case RPC_CLIENT_LIST:
		ctl_note(c, "no clients; one is added with: rstunctl client add NAME ADDR "
			    "--password-file FILE");
		break;
	case RPC_CERT_LIST:
		ctl_note(c, "no certificates");
		break;
	default:
		ctl_note(c, "no %s", rpc_methods[method].list);
		break;
	}
}

int generic_print(struct ctl *c, enum rpc_method method, const json_t *result)
{
	const struct rpc_method_row *row = &rpc_methods[method];
	const struct output_column *columns;
	size_t count;

	if (c->output.format == OUTPUT_JSON) {
		output_json(&c->output, result);
		return 0;
	}
	columns = generic_columns(method, &count);
	if (columns != NULL && row->list != NULL) {
		const json_t *list = json_object_get(result, row->list);

		if (json_array_size(list) == 0 && c->output.format != OUTPUT_TSV) {
			generic_empty(c, method);
			return 0;
		}
		return output_table(&c->output, columns, count, list) ? 0 : ctl_no_memory(c);
	}
	describe_object(&c->output, row->result, result);
	return 0;
}

/* What a change did, in a word or two; a read shows its result. */
static int generic_done(struct ctl *c, enum rpc_method method, const char *which,
			const json_t *result)
{
	const json_t *done = json_object_get(result, "done");
	char quoted[128];

	if (c->output.format == OUTPUT_JSON) {
		output_json(&c->output, result);
		return 0;
	}
	if (!rpc_methods[method].change)
		return generic_print(c, method, result);
	output_clean(quoted, sizeof(quoted), which != NULL ? which : "");
	if (method == RPC_MAPPING_CONFIRM)
		generic_say(c, json_is_false(done) ? "there was nothing to confirm" : "done");
	else if (json_is_boolean(done))
		generic_say(c, "%s: %s", quoted,
			    json_is_false(done) ? "there was nothing to do" : "done");
	else if (which != NULL)
		generic_say(c, "%s: done", quoted);
	else
		return generic_print(c, method, result);
	return 0;
}

int generic_call(struct ctl *c, struct command_input *in)
{
	enum rpc_method method = (enum rpc_method)in->command->method;
	json_t *result;
	int status = ctl_call(c, method, json_incref(in->params), ctl_timeout(c, CTL_TIMEOUT_MS),
			      &result);

	if (status != 0)
		return status;
	status = generic_done(c, method, NULL, result);
	json_decref(result);
	return status;
}

/* Params for one of several words: the options, and which one. */
static json_t *generic_params(const struct command_input *in, const char *word)
{
	json_t *params = json_deep_copy(in->params), *which;

	/* Sessions have no names. */
	which = in->command->words == COMMAND_SESSIONS ? json_pack("{s:s}", "id", word)
						       : ctl_which(word);
	if (params == NULL || which == NULL || json_object_update(params, which) != 0) {
		json_decref(params);
		params = NULL;
	}
	json_decref(which);
	return params;
}

/* Each is tried, whatever became of the others; the first failure is the exit status. */
int generic_each(struct ctl *c, struct command_input *in)
{
	enum rpc_method method = (enum rpc_method)in->command->method;
	int first = 0;

	for (size_t i = 0; i < in->arg_count; i++) {
		json_t *params = generic_params(in, in->args[i]), *result;
		int status = params == NULL ? ctl_no_memory(c)
					    : ctl_call(c, method, params,
						       ctl_timeout(c, CTL_TIMEOUT_MS), &result);

		if (status == 0) {
			if (i > 0 && !rpc_methods[method].change &&
			    c->output.format != OUTPUT_JSON)
				fputc('\n', c->out);
			status = generic_done(c, method, in->args[i], result);
			json_decref(result);
		}
		if (first == 0)
			first = status;
		if (status == RPC_EXIT_NO_DAEMON)
			break;
	}
	return first;
}

/* `show` takes any id: its letter says what it is of. */
int generic_show(struct ctl *c, struct command_input *in)
{
	int first = 0;

	for (size_t i = 0; i < in->arg_count; i++) {
		const char *word = in->args[i];
		enum rpc_method method = RPC_MAPPING_GET;
		json_t *result;
		int status;

		if (ctl_is_id(word) && word[0] == 'c')
			method = RPC_CLIENT_GET;
		else if (ctl_is_id(word) && word[0] == 's')
			method = strchr(word, '.') != NULL ? RPC_SESSION_GET : RPC_SERVER_GET;
		status = ctl_call(c, method, ctl_which(word), ctl_timeout(c, CTL_TIMEOUT_MS),
				  &result);
		if (status == 0) {
			if (i > 0 && c->output.format != OUTPUT_JSON)
				fputc('\n', c->out);
			status = generic_print(c, method, result);
			json_decref(result);
		}
		if (first == 0)
			first = status;
		if (status == RPC_EXIT_NO_DAEMON)
			break;
	}
	return first;
}
