/* SPDX-License-Identifier: MIT */
/*
 * log and log level: the daemon's log through the socket.
 */
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/commands.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#define TAIL_WAIT_MS 30000 /* one call of --follow */

struct tail_options {
	bool follow;
	uint64_t count;
	int level;
};

static const struct field tail_fields[] = {
	{.name = "follow", .short_name = 'f', .type = FIELD_BOOL,
	 .offset = offsetof(struct tail_options, follow),
	 .help = "Go on with new lines as they come, until Ctrl-C."},
	{.name = "lines", .short_name = 'n', .type = FIELD_UINT,
	 .offset = offsetof(struct tail_options, count), .max = 10000, .default_text = "100",
	 .argument = "N", .help = "How many of the last lines."},
	{.name = "level", .short_name = 'l', .type = FIELD_CHOICE, .flags = FIELD_OPTIONAL,
	 .offset = offsetof(struct tail_options, level), .choices = rpc_level_names,
	 .argument = "LEVEL", .help = "Only lines of this level and above."},
};

const struct field_rows tail_rows = {
	.name = "LogOptions", .rows = tail_fields,
	.count = sizeof(tail_fields) / sizeof(tail_fields[0]), .size = sizeof(struct tail_options),
};

struct tail_level_options {
	uint64_t for_ms;
};

static const struct field tail_level_fields[] = {
	{.name = "for", .type = FIELD_MS, .flags = FIELD_OPTIONAL,
	 .offset = offsetof(struct tail_level_options, for_ms), .min = 1, .max = 86400000,
	 .argument = "TIME", .help = "Go back to the level before after so long."},
};

const struct field_rows tail_level_rows = {
	.name = "LogLevelOptions", .rows = tail_level_fields, .count = 1,
	.size = sizeof(struct tail_level_options),
};

static void tail_print(const struct ctl *c, const json_t *lines)
{
	char time[40], scope[64], text[8192];
	size_t i;
	json_t *line;

	json_array_foreach(lines, i, line) {
		const char *level = output_string(line, "level");
		enum output_hue hue = output_state_hue(level);

		if (c->output.format == OUTPUT_JSON) {
			json_dumpf(line, c->out, JSON_COMPACT);
			fputc('\n', c->out);
			continue;
		}
		output_clean(time, sizeof(time), output_string(line, "timestamp"));
		output_clean(scope, sizeof(scope), output_string(line, "scope"));
		output_clean(text, sizeof(text), output_string(line, "text"));
		fprintf(c->out, "%s %s%-5s%s %s: %s\n", time,
			hue != OUTPUT_PLAIN ? output_paint(&c->output, hue) : "", level,
			hue != OUTPUT_PLAIN ? output_paint(&c->output, OUTPUT_PLAIN) : "", scope,
			text);
	}
}

static json_t *tail_params(const struct tail_options *options, uint64_t count)
{
	json_t *params = json_pack("{s:I}", "count", (json_int_t)count);

	if (options->level >= 0)
		json_object_set_new(params, "min_level",
				    json_string(rpc_level_names[options->level]));
	return params;
}

/* Waits for what is behind `after`, again and again. The daemon's end is the end. */
static int tail_follow(struct ctl *c, const struct tail_options *options, uint64_t after)
{
	for (;;) {
		json_t *params = tail_params(options, 1000), *result;
		struct rpc_error error;

		json_object_set_new(params, "after", json_integer((json_int_t)after));
		json_object_set_new(params, "timeout_ms", json_integer(TAIL_WAIT_MS));
		fflush(c->out);
		if (ferror(c->out))
			return 0; /* whoever reads went away */
		if (ctl_try(c, rpc_methods[RPC_LOG_TAIL].name, params, TAIL_WAIT_MS + CTL_GRACE_MS,
			    &result, &error) != 0) {
			if (error.code == -RSTUN_E_TIMEOUT)
				continue;
			return ctl_complain(c, &error);
		}
		tail_print(c, json_object_get(result, "lines"));
		after = output_number(result, "last");
		json_decref(result);
	}
}

int tail_command(struct ctl *c, struct command_input *in)
{
	const struct tail_options *options = in->own;
	uint64_t last;
	json_t *result;
	int status = ctl_call(c, RPC_LOG_TAIL,
			      tail_params(options, options->count > 0 ? options->count : 1),
			      ctl_timeout(c, CTL_TIMEOUT_MS), &result);

	if (status != 0)
		return status;
	if (c->output.format == OUTPUT_JSON && !options->follow)
		output_json(&c->output, result);
	else if (options->count > 0)
		tail_print(c, json_object_get(result, "lines"));
	last = output_number(result, "last");
	json_decref(result);
	return options->follow ? tail_follow(c, options, last) : 0;
}

int tail_level(struct ctl *c, struct command_input *in)
{
	const struct tail_level_options *options = in->own;
	const char *word = in->arg_count > 0 ? in->args[0] : NULL, *level;
	json_t *result, *params = NULL;
	char time[32], quoted[80];
	int status, known = -1;

	for (int i = 0; word != NULL && rpc_level_names[i] != NULL; i++)
		if (strcasecmp(word, rpc_level_names[i]) == 0 ||
		    (strlen(word) == 1 && strncasecmp(word, rpc_level_names[i], 1) == 0))
			known = i;
	if (word == NULL && options->for_ms != UINT64_MAX)
		return ctl_usage(c, "--for needs a level: rstunctl log level debug --for 10m");
	if (word != NULL && known < 0)
		return ctl_usage(c,
				 "there is no level \"%s\": trace, debug, info, warn or error, or "
				 "the first letter of one (T, D, I, W, E)",
				 output_clean(quoted, sizeof(quoted), word));
	c->change = word != NULL;
	if (word != NULL)
		params = json_pack("{s:s}", "level", rpc_level_names[known]);
	if (options->for_ms != UINT64_MAX)
		json_object_set_new(params, "revert_after_ms",
				    json_integer((json_int_t)options->for_ms));
	status = ctl_call(c, word != NULL ? RPC_LOG_SET_LEVEL : RPC_LOG_GET_LEVEL, params,
			  ctl_timeout(c, CTL_TIMEOUT_MS), &result);
	if (status != 0)
		return status;
	level = output_string(result, "level");
	if (c->output.format == OUTPUT_JSON)
		output_json(&c->output, result);
	else if (json_object_get(result, "revert_in_ms") != NULL)
		fprintf(c->out, "%s, for %s\n", level,
			output_ms(time, sizeof(time), output_number(result, "revert_in_ms")));
	else
		fprintf(c->out, "%s\n", level);
	json_decref(result);
	return 0;
}
