/* SPDX-License-Identifier: MIT */
/*
 * run: mappings that live as long as this connection. The daemon removes them when it ends, however
 * that happens, so there is nothing to clean up here.
 */
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/call_params.h"
#include "rstunctl/commands.h"
#include "rstunctl/event_line.h"
#include "rstunctl/interrupt.h"

#include <errno.h>
#include <string.h>

struct run_options {
	bool udp;
};

static const struct field run_fields[] = {
	{.name = "udp", .short_name = 'u', .type = FIELD_BOOL,
	 .offset = offsetof(struct run_options, udp), .help = "They carry UDP; without it, TCP."},
};

const struct field_rows run_rows = {
	.name = "RunOptions", .rows = run_fields, .count = 1, .size = sizeof(struct run_options),
};

static void run_print(const struct ctl *c, const json_t *event)
{
	if (c->output.format == OUTPUT_JSON) {
		json_dumpf(event, c->out, JSON_COMPACT);
		fputc('\n', c->out);
	} else if (!c->options.quiet) {
		event_line_print(&c->output, event);
	}
}

/* Adds one; its id goes to `ids`. */
static int run_add(struct ctl *c, struct command_input *in, const char *spec, json_t *ids)
{
	const struct run_options *options = in->own;
	json_t *params = json_deep_copy(in->params), *result;
	char title[1024];
	int status;

	json_object_set_new(params, "spec", json_string(spec));
	json_object_set_new(params, "lifetime", json_string("connection"));
	json_object_set_new(params, "persist", json_false());
	if (options->udp)
		json_object_set_new(params, "proto", json_string("udp"));
	status = ctl_call(c, RPC_MAPPING_ADD, params, ctl_timeout(c, CTL_TIMEOUT_MS), &result);
	if (status != 0)
		return status;
	if (!output_flag(result, "created")) {
		status = ctl_fail(
			c, RSTUN_E_ALREADY_EXISTS,
			"%s: it is there already, and would not end "
			"with this command",
			add_title(title, sizeof(title), json_object_get(result, "mapping")));
	} else {
		json_array_append(ids, json_object_get(json_object_get(result, "mapping"), "id"));
		if (c->output.format == OUTPUT_JSON) {
			json_dumpf(result, c->out, JSON_COMPACT);
			fputc('\n', c->out);
		} else {
			generic_say(c, "%s: until Ctrl-C",
				    add_title(title, sizeof(title),
					      json_object_get(result, "mapping")));
		}
	}
	json_decref(result);
	return status;
}

/* What happened before the subscription stands in its snapshot. */
static void run_snapshot(struct ctl *c, const json_t *answer, const json_t *ids)
{
	char title[1024], message[512];
	size_t i, j;
	json_t *mapping, *id;

	json_array_foreach(json_object_get(json_object_get(answer, "snapshot"), "mappings"), i,
			   mapping) {
		const char *state = output_string(mapping, "runtime.state");
		const char *error = output_string(mapping, "runtime.last_error.message");

		json_array_foreach(ids, j, id) {
			if (!json_equal(id, json_object_get(mapping, "id")) ||
			    c->output.format == OUTPUT_JSON)
				continue;
			generic_say(c, "%s: %s%s%s%s%s", add_title(title, sizeof(title), mapping),
				    output_paint(&c->output, output_state_hue(state)), state,
				    output_paint(&c->output, OUTPUT_PLAIN),
				    error[0] != '\0' ? ": " : "",
				    output_clean(message, sizeof(message), error));
		}
	}
}

/* Takes a mapping that is gone out of `ids`. */
static void run_forget(const json_t *event, json_t *ids)
{
	size_t i;
	json_t *id;

	if (strcmp(output_string(event, "type"), "mapping") != 0 ||
	    strcmp(output_string(event, "data"), "removed") != 0)
		return;
	json_array_foreach(ids, i, id) {
		if (json_equal(id, json_object_get(event, "mapping"))) {
			json_array_remove(ids, i);
			return;
		}
	}
}

/* All events that are there. What rpc_caller_next_event says in the end. */
static int run_events(struct ctl *c, json_t *ids)
{
	json_t *event;
	int rv;

	while ((rv = rpc_caller_next_event(c->caller, 0, &event)) == 0) {
		run_print(c, event);
		run_forget(event, ids);
		json_decref(event);
	}
	fflush(c->out);
	return rv;
}

/* Until a signal comes (0), the daemon goes (RPC_EXIT_NO_DAEMON) or others removed all of them. */
static int run_watch(struct ctl *c, struct interrupt *interrupt, json_t *ids)
{
	for (;;) {
		struct rpc_error error;
		unsigned what;

		if (run_events(c, ids) != RSTUN_E_TIMEOUT) {
			rpc_error_set(&error, RPC_NO_DAEMON, "the daemon is gone, and the mappings "
							     "with it");
			return ctl_complain(c, &error);
		}
		if (json_array_size(ids) == 0)
			return ctl_fail(c, RSTUN_E_FAILED, "somebody removed what was running");
		/* That nobody reads any more is no reason to end a tunnel. */
		what = interrupt_wait(interrupt, rpc_caller_fd(c->caller), -1, -1, UINT64_MAX);
		if ((what & INTERRUPT_END) != 0)
			return 0;
	}
}

static int run_all(struct ctl *c, struct command_input *in, char **specs, json_t *ids)
{
	struct interrupt interrupt;
	json_t *answer;
	int status = 0;

	for (char **spec = specs; *spec != NULL && status == 0; spec++)
		status = run_add(c, in, *spec, ids);
	if (status != 0)
		return status; /* those before are removed: the connection ends */
	/* Before anything is shown: who reads that it is there may press Ctrl-C. */
	if (interrupt_init(&interrupt, false) != 0)
		return ctl_fail(c, RSTUN_E_FAILED, "cannot wait for signals: %s", strerror(errno));
	status = ctl_call(c, RPC_EVENTS_SUBSCRIBE,
			  json_pack("{s:[s,s],s:O,s:s}", "types", "state", "mapping", "mappings",
				    ids, "snapshot", "always"),
			  ctl_timeout(c, CTL_TIMEOUT_MS), &answer);
	if (status == 0) {
		run_snapshot(c, answer, ids);
		json_decref(answer);
		status = run_watch(c, &interrupt, ids);
	}
	interrupt_done(&interrupt);
	return status;
}

int run_command(struct ctl *c, struct command_input *in)
{
	const struct run_options *options = in->own;
	char error[FIELD_ERROR_SIZE];
	json_t *ids;
	char **specs;
	size_t count;
	int status;

	if (call_params_specs(&specs, &count, options->udp, false, in->args, in->arg_count,
			      error) != 0)
		return ctl_usage(c, "%s", error);
	if (count > 1 && json_object_get(in->params, "name") != NULL) {
		call_params_free(specs);
		return ctl_usage(c, "--name is for one mapping, and %zu are given", count);
	}
	ids = json_array();
	status = ids == NULL ? ctl_no_memory(c) : run_all(c, in, specs, ids);
	json_decref(ids);
	call_params_free(specs);
	return status;
}
