/* SPDX-License-Identifier: MIT */
/*
 * `add`: mappings that stay. Each is added, then waited for, so that its id is known whatever comes
 * of it: what fails for good is told at once, what is not up in time stays and is told, too. A range
 * is added in one call, all of it or nothing, then its mappings are waited for one by one.
 */
#include "base/clock.h"
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/call_params.h"
#include "rstunctl/commands.h"

#include <string.h>

#define ADD_WHY_MS 2000 /* to ask what a mapping that is not up says */

struct add_options {
	bool udp;
	uint64_t wait_ms;
	bool no_wait;
};

static const struct field add_fields[] = {
	{.name = "udp", .short_name = 'u', .type = FIELD_BOOL,
	 .offset = offsetof(struct add_options, udp), .help = "They carry UDP; without it, TCP."},
	{.name = "wait", .type = FIELD_MS, .offset = offsetof(struct add_options, wait_ms),
	 .max = 86400000, .default_text = "10s", .argument = "TIME",
	 .help = "Wait so long until it is up."},
	{.name = "no-wait", .type = FIELD_BOOL, .offset = offsetof(struct add_options, no_wait),
	 .help = "Do not wait."},
};

const struct field_rows add_rows = {
	.name = "AddOptions", .rows = add_fields,
	.count = sizeof(add_fields) / sizeof(add_fields[0]), .size = sizeof(struct add_options),
};

const char *add_title(char *buf, size_t size, const json_t *mapping)
{
	char text[1024];

	snprintf(text, sizeof(text), "%s%s%s %s %s", output_string(mapping, "id"),
		 output_member(mapping, "config.name") != NULL ? " " : "",
		 output_string(mapping, "config.name"), output_string(mapping, "spec"),
		 output_string(mapping, "config.proto"));
	return output_clean(buf, size, text);
}

/* Where it listens, when that could not be read from the mapping: a port that was picked, or the
 * far side. */
static void add_bound(const json_t *mapping, char *buf, size_t size)
{
	const char *bound = output_string(mapping, "runtime.bound");
	bool in = strcmp(output_string(mapping, "config.mode"), "in") == 0;
	const char *listens = output_string(mapping, in ? "config.remote" : "config.local");
	char clean[256];

	buf[0] = '\0';
	if (bound[0] == '\0' || strcmp(bound, listens) == 0)
		return;
	snprintf(buf, size, ", listening on %s%s", output_clean(clean, sizeof(clean), bound),
		 in ? " at the server" : "");
}

static void add_say(struct ctl *c, const json_t *mapping, bool created, bool waited,
		    uint64_t took_ms)
{
	char title[1024], bound[320], time[32], error[512];
	const char *state = output_string(mapping, "runtime.state");
	const char *message = output_string(mapping, "runtime.last_error.message");
	enum output_hue hue = output_state_hue(state);

	add_title(title, sizeof(title), mapping);
	add_bound(mapping, bound, sizeof(bound));
	output_ms(time, sizeof(time), took_ms);
	output_clean(error, sizeof(error), message);
	generic_say(c, "%s: %s%s%s%s%s%s%s%s%s", title, created ? "" : "it was there already, ",
		    output_paint(&c->output, hue), state, output_paint(&c->output, OUTPUT_PLAIN),
		    waited && created ? " after " : "", waited && created ? time : "", bound,
		    !waited && error[0] != '\0' ? ": " : "", !waited ? error : "");
}

/* Why a mapping is not up yet: its own words. "" when there are none. */
static void add_why(struct ctl *c, const char *id, char *state, size_t state_size, char *why,
		    size_t why_size)
{
	struct rpc_error error;
	json_t *mapping;

	state[0] = why[0] = '\0';
	if (ctl_try(c, rpc_methods[RPC_MAPPING_GET].name, json_pack("{s:s}", "id", id),
		    ADD_WHY_MS, &mapping, &error) != 0)
		return;
	output_clean(state, state_size, output_string(mapping, "runtime.state"));
	output_clean(why, why_size, output_string(mapping, "runtime.last_error.message"));
	json_decref(mapping);
}

/* It was added, but did not come up: which one, why, and what becomes of it. */
static int add_not_up(struct ctl *c, const json_t *mapping, struct rpc_error *error,
		      uint64_t wait_ms)
{
	char title[1024], id[64], time[32], state[32], why[512], message[2 * FIELD_ERROR_SIZE];

	add_title(title, sizeof(title), mapping);
	output_clean(id, sizeof(id), output_string(mapping, "id"));
	if (error->code == RPC_NO_DAEMON || error->code == -RSTUN_E_NOT_FOUND)
		return ctl_complain(c, error);
	if (error->code == -RSTUN_E_TIMEOUT) {
		add_why(c, id, state, sizeof(state), why, sizeof(why));
		snprintf(message, sizeof(message), "%s: it is %s after %s%s%s; it stays and is "
						   "tried again",
			 title, state[0] != '\0' ? state : "not up",
			 output_ms(time, sizeof(time), wait_ms), why[0] != '\0' ? ": " : "", why);
	} else {
		const char *text = error->message;
		char prefix[80];

		/* The title says which one; the daemon does, too. */
		snprintf(prefix, sizeof(prefix), "mapping %s: ", id);
		if (strncmp(text, prefix, strlen(prefix)) == 0)
			text += strlen(prefix);
		snprintf(message, sizeof(message), "%s: %s; it stays and is tried again", title,
			 text);
	}
	snprintf(error->message, sizeof(error->message), "%.*s", FIELD_ERROR_SIZE - 1, message);
	snprintf(error->hint, sizeof(error->hint),
		 "'rstunctl explain %s' looks closer, 'rstunctl rm %s' gives it up", id, id);
	return ctl_complain(c, error);
}

static int add_wait(struct ctl *c, const json_t *added, uint64_t wait_ms, uint64_t start_ns)
{
	const json_t *mapping = json_object_get(added, "mapping");
	bool created = output_flag(added, "created");
	struct rpc_error error;
	uint64_t took_ms;
	json_t *result;

	if (ctl_try_long(c, rpc_methods[RPC_MAPPING_WAIT].name,
			 json_pack("{s:s,s:s,s:I}", "id", output_string(mapping, "id"), "state",
				   "tunneling", "timeout_ms", (json_int_t)wait_ms),
			 wait_ms + CTL_GRACE_MS, &result, &error) != 0)
		return add_not_up(c, mapping, &error, wait_ms);
	took_ms = (clock_now_ns() - start_ns) / CLOCK_NS_PER_MS;
	add_say(c, json_object_get(result, "mapping"), created, true, took_ms);
	json_decref(result);
	return 0;
}

/* Of a range: the answer that adding this one alone would have had. */
static int add_waited_json(struct ctl *c, json_t *one, uint64_t wait_ms)
{
	const json_t *mapping = json_object_get(one, "mapping");
	struct rpc_error error;
	json_t *result;

	if (wait_ms > 0) {
		if (ctl_try_long(c, rpc_methods[RPC_MAPPING_WAIT].name,
				 json_pack("{s:s,s:s,s:I}", "id", output_string(mapping, "id"),
					   "state", "tunneling", "timeout_ms",
					   (json_int_t)wait_ms),
				 wait_ms + CTL_GRACE_MS, &result, &error) != 0)
			return ctl_complain(c, &error);
		json_object_set(one, "mapping", json_object_get(result, "mapping"));
		json_decref(result);
	}
	output_json(&c->output, one);
	return 0;
}

static int add_range(struct ctl *c, const json_t *added, uint64_t wait_ms, uint64_t start_ns)
{
	bool created = output_flag(added, "created");
	int first = 0, status;
	json_t *mapping;
	size_t i;

	json_array_foreach(json_object_get(added, "mappings"), i, mapping) {
		json_t *one = json_pack("{s:b,s:O}", "created", created, "mapping", mapping);

		if (one == NULL)
			return ctl_no_memory(c);
		status = 0;
		if (c->output.format == OUTPUT_JSON)
			status = add_waited_json(c, one, wait_ms);
		else if (wait_ms > 0)
			status = add_wait(c, one, wait_ms, start_ns);
		else
			add_say(c, mapping, created, false, 0);
		fflush(c->out);
		json_decref(one);
		if (first == 0)
			first = status;
		if (status == RPC_EXIT_NO_DAEMON)
			break;
	}
	return first;
}

static int add_one(struct ctl *c, struct command_input *in, const char *spec)
{
	const struct add_options *options = in->own;
	uint64_t wait_ms = options->no_wait || output_flag(in->params, "paused") ? 0
										 : options->wait_ms;
	uint64_t start_ns = clock_now_ns();
	json_t *params = json_deep_copy(in->params), *result;
	bool json = c->output.format == OUTPUT_JSON, range = call_params_is_range(spec);
	int status;

	json_object_set_new(params, "spec", json_string(spec));
	if (options->udp)
		json_object_set_new(params, "proto", json_string("udp"));
	/* As JSON, the answer of one call is the result. */
	if (json && wait_ms > 0 && !range)
		json_object_set_new(params, "wait_ms", json_integer((json_int_t)wait_ms));
	status = ctl_call(c, RPC_MAPPING_ADD, params,
			  ctl_timeout(c, CTL_TIMEOUT_MS) + (json ? wait_ms : 0), &result);
	if (status != 0)
		return status;
	if (range)
		status = add_range(c, result, wait_ms, start_ns);
	else if (json)
		output_json(&c->output, result);
	else if (wait_ms > 0)
		status = add_wait(c, result, wait_ms, start_ns);
	else
		add_say(c, json_object_get(result, "mapping"), output_flag(result, "created"),
			false, 0);
	fflush(c->out);
	json_decref(result);
	return status;
}

int add_command(struct ctl *c, struct command_input *in)
{
	const struct add_options *options = in->own;
	char error[FIELD_ERROR_SIZE];
	char **specs;
	size_t count;
	int first = 0;

	if (call_params_specs(&specs, &count, options->udp, true, in->args, in->arg_count,
			      error) != 0)
		return ctl_usage(c, "%s", error);
	if (count > 1 && json_object_get(in->params, "name") != NULL) {
		call_params_free(specs);
		return ctl_usage(c, "--name is for one mapping or range, and %zu are given", count);
	}
	for (size_t i = 0; i < count; i++) {
		int status = add_one(c, in, specs[i]);

		if (first == 0)
			first = status;
		if (status == RPC_EXIT_NO_DAEMON)
			break;
	}
	call_params_free(specs);
	return first;
}
