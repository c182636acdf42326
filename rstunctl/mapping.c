/* SPDX-License-Identifier: MIT */
/*
 * rm, pause, resume, restart, drain (of several mappings, or of all), set, wait.
 */
#include "rpc/api_types.h"
#include "rstunctl/call_params.h"
#include "rstunctl/commands.h"

#include <stdlib.h>
#include <string.h>

#define MAPPING_WAIT_MS 10000

struct mapping_all_options {
	bool all;
};

static const struct field mapping_all_fields[] = {
	{.name = "all", .short_name = 'a', .type = FIELD_BOOL,
	 .offset = offsetof(struct mapping_all_options, all), .help = "All mappings."},
};

const struct field_rows mapping_all_rows = {
	.name = "AllOptions", .rows = mapping_all_fields, .count = 1,
	.size = sizeof(struct mapping_all_options),
};

struct mapping_wait_options {
	int state;
};

static const struct field mapping_wait_fields[] = {
	{.name = "for", .type = FIELD_CHOICE,
	 .offset = offsetof(struct mapping_wait_options, state),
	 .choices = rpc_state_names, .default_text = "tunneling", .argument = "STATE",
	 .help = "The state to wait for."},
};

const struct field_rows mapping_wait_rows = {
	.name = "WaitOptions", .rows = mapping_wait_fields, .count = 1,
	.size = sizeof(struct mapping_wait_options),
};

/* What a change left behind: "m3 web OUT^... tcp: paused". */
static void mapping_say(struct ctl *c, enum rpc_method method, const char *word,
			const json_t *result)
{
	const char *state = output_string(result, "runtime.state");
	char title[1024];

	if (c->output.format == OUTPUT_JSON) {
		output_json(&c->output, result);
	} else if (method == RPC_MAPPING_REMOVE) {
		output_clean(title, sizeof(title), word);
		generic_say(c, "%s: %s", title,
			    json_is_false(json_object_get(result, "done")) ? "there was none"
									   : "removed");
	} else {
		generic_say(c, "%s: %s%s%s", add_title(title, sizeof(title), result),
			    output_paint(&c->output, output_state_hue(state)), state,
			    output_paint(&c->output, OUTPUT_PLAIN));
	}
}

static int mapping_one(struct ctl *c, struct command_input *in, const char *word)
{
	enum rpc_method method = (enum rpc_method)in->command->method;
	json_t *params = json_deep_copy(in->params), *which = ctl_which(word), *result;
	int status;

	if (params == NULL || which == NULL || json_object_update(params, which) != 0) {
		json_decref(params);
		json_decref(which);
		return ctl_no_memory(c);
	}
	json_decref(which);
	status = ctl_call(c, method, params, ctl_timeout(c, CTL_TIMEOUT_MS), &result);
	if (status != 0)
		return status;
	mapping_say(c, method, word, result);
	json_decref(result);
	return 0;
}

static int mapping_all(struct ctl *c, struct command_input *in)
{
	json_t *result, *mapping;
	int first = 0;
	size_t i;
	int status = ctl_call(c, RPC_MAPPING_LIST, NULL, ctl_timeout(c, CTL_TIMEOUT_MS), &result);

	if (status != 0)
		return status;
	json_array_foreach(json_object_get(result, "mappings"), i, mapping) {
		status = mapping_one(c, in, output_string(mapping, "id"));
		/* One that ended meanwhile is no failure. */
		if (first == 0 && status != RPC_EXIT_NOT_FOUND)
			first = status;
		if (status == RPC_EXIT_NO_DAEMON)
			break;
	}
	if (i == 0)
		ctl_note(c, "there is no mapping");
	json_decref(result);
	return first;
}

int mapping_each(struct ctl *c, struct command_input *in)
{
	const struct mapping_all_options *options = in->own;
	bool all = options != NULL && options->all;
	int first = 0;

	if (all && in->arg_count > 0)
		return ctl_usage(c, "%s: either --all or some of them", in->command->name);
	if (all)
		return mapping_all(c, in);
	if (in->arg_count == 0)
		return ctl_usage(c, "%s needs an argument: rstunctl %s %s", in->command->name,
				 in->command->name, in->command->arguments);
	for (size_t i = 0; i < in->arg_count; i++) {
		int status = mapping_one(c, in, in->args[i]);

		if (first == 0)
			first = status;
		if (status == RPC_EXIT_NO_DAEMON)
			break;
	}
	return first;
}

/* set ID [SPEC]: the words behind ID are a mapping. */
int mapping_set(struct ctl *c, struct command_input *in)
{
	const char *proto = output_string(in->params, "proto");
	char error[FIELD_ERROR_SIZE];
	char **specs = NULL;
	size_t count;

	if (in->arg_count > 1) {
		if (call_params_specs(&specs, &count, strcmp(proto, "udp") == 0, false,
				      in->args + 1, in->arg_count - 1, error) != 0)
			return ctl_usage(c, "%s", error);
		if (count == 1)
			json_object_set_new(in->params, "spec", json_string(specs[0]));
		call_params_free(specs);
		if (count != 1)
			return ctl_usage(c,
					 "set changes one mapping to one: rstunctl set ID [SPEC]");
	}
	if (json_object_size(in->params) == 0)
		return ctl_usage(c, "set: nothing to change is given; try 'rstunctl help set'");
	return mapping_one(c, in, in->args[0]);
}

int mapping_wait(struct ctl *c, struct command_input *in)
{
	const struct mapping_wait_options *options = in->own;
	uint64_t wait_ms = ctl_timeout(c, MAPPING_WAIT_MS);
	json_t *params = ctl_which(in->args[0]), *result;
	char time[32], title[1024];
	int status;

	json_object_set_new(params, "state", json_string(rpc_state_names[options->state]));
	json_object_set_new(params, "timeout_ms", json_integer((json_int_t)wait_ms));
	status = ctl_call(c, RPC_MAPPING_WAIT, params, wait_ms + CTL_GRACE_MS, &result);
	if (status != 0)
		return status;
	if (c->output.format == OUTPUT_JSON)
		output_json(&c->output, result);
	else
		generic_say(c, "%s: %s after %s",
			    add_title(title, sizeof(title), json_object_get(result, "mapping")),
			    output_string(result, "mapping.runtime.state"),
			    output_ms(time, sizeof(time), output_number(result, "waited_ms")));
	json_decref(result);
	return 0;
}
