/* SPDX-License-Identifier: MIT */
/*
 * export and apply: all mappings as a file, and a file as all mappings.
 */
#include "base/error.h"
#include "rpc/api_types.h"
#include "rstunctl/call_params.h"
#include "rstunctl/commands.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct apply_options {
	uint64_t confirm_ms;
};

static const struct field apply_fields[] = {
	{.name = "confirm", .type = FIELD_MS, .offset = offsetof(struct apply_options, confirm_ms),
	 .max = 86400000, .argument = "TIME",
	 .help = "Undo all of it after so long, unless 'rstunctl confirm' comes before."},
};

const struct field_rows apply_rows = {
	.name = "ApplyOptions", .rows = apply_fields, .count = 1,
	.size = sizeof(struct apply_options),
};

struct apply_export_options {
	bool all;
};

static const struct field apply_export_fields[] = {
	{.name = "all", .short_name = 'a', .type = FIELD_BOOL,
	 .offset = offsetof(struct apply_export_options, all),
	 .help = "Clients and servers too, without their passwords and keys; apply does not read "
		 "them."},
};

const struct field_rows apply_export_rows = {
	.name = "ExportOptions", .rows = apply_export_fields, .count = 1,
	.size = sizeof(struct apply_export_options),
};

/* ---- Reading --------------------------------------------------------------------------------- */

/* A line: [NAME] SPEC [udp|tcp]. NULL with *ret_error_at where it is none. */
static json_t *apply_line(char *line)
{
	const char *name = NULL, *spec = NULL, *proto = NULL;
	char *save = NULL;

	for (char *word = strtok_r(line, " \t\r", &save); word != NULL;
	     word = strtok_r(NULL, " \t\r", &save)) {
		bool is_proto = strcmp(word, "udp") == 0 || strcmp(word, "tcp") == 0;

		if (strchr(word, '^') != NULL && spec == NULL)
			spec = word;
		else if (spec == NULL && name == NULL)
			name = word;
		else if (spec != NULL && proto == NULL && is_proto)
			proto = word;
		else
			return NULL;
	}
	if (spec == NULL)
		return NULL;
	return json_pack("{s:s,s:s*,s:s*}", "spec", spec, "name", name, "proto", proto);
}

static int apply_lines(struct ctl *c, char *text, const char *file, json_t *list)
{
	unsigned number = 1;

	for (char *line = text, *end; line != NULL; line = end, number++) {
		json_t *mapping;

		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		line[strcspn(line, "#")] = '\0';
		if (line[strspn(line, " \t\r")] == '\0')
			continue;
		mapping = apply_line(line);
		if (mapping == NULL)
			return ctl_usage(c,
					 "%s, line %u: this is no mapping: [NAME] SPEC [udp], such "
					 "as: web OUT^9000^ANY",
					 file, number);
		if (json_array_append_new(list, mapping) != 0)
			return ctl_no_memory(c);
	}
	return 0;
}

/* Each is a mapping's params, its config, a whole mapping of mapping.list, or a spec. */
static int apply_objects(struct ctl *c, const json_t *from, const char *file, json_t *list)
{
	size_t i;
	json_t *item;

	json_array_foreach(from, i, item) {
		json_t *config = json_object_get(item, "config"), *mapping;

		if (json_is_string(item))
			mapping = json_pack("{s:O}", "spec", item);
		else if (json_is_object(config))
			mapping = json_incref(config);
		else if (json_is_object(item))
			mapping = json_incref(item);
		else
			return ctl_usage(c, "%s: mapping %zu is neither an object nor a text "
					    "such as \"OUT^9000^ANY\"", file, i + 1);
		if (json_array_append_new(list, mapping) != 0)
			return ctl_no_memory(c);
	}
	return 0;
}

static int apply_json(struct ctl *c, const char *text, const char *file, json_t *list)
{
	json_error_t why;
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	const json_t *from = json_is_object(root) ? json_object_get(root, "mappings") : root;
	int status;

	if (root == NULL)
		return ctl_usage(c, "%s, line %d, column %d: %s", file, why.line, why.column,
				 why.text);
	if (!json_is_array(from)) {
		json_decref(root);
		return ctl_usage(c, "%s: it is neither an array of mappings nor an object with "
				    "\"mappings\"", file);
	}
	if (json_object_get(root, "clients") != NULL || json_object_get(root, "servers") != NULL)
		ctl_note(c, "%s: clients and servers are not applied, only mappings are", file);
	status = apply_objects(c, from, file, list);
	json_decref(root);
	return status;
}

static int apply_read(struct ctl *c, const char *file, json_t *list)
{
	struct rpc_error error;
	char *text;
	int status;

	if (call_params_file(&text, file, CALL_FILE_MAX, &error) != 0)
		return ctl_complain(c, &error);
	if (strchr("[{", text[strspn(text, " \t\r\n")]) != NULL && text[0] != '\0')
		status = apply_json(c, text, file, list);
	else
		status = apply_lines(c, text, file, list);
	free(text);
	return status;
}

/* ---- apply ----------------------------------------------------------------------------------- */

static void apply_sign(const struct ctl *c, const json_t *result, const char *member, char sign,
		       enum output_hue hue)
{
	char text[512];
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(result, member), i, item) {
		output_clean(text, sizeof(text),
			     json_is_string(item) ? json_string_value(item) : "?");
		generic_say(c, "%s%c %s%s", output_paint(&c->output, hue), sign, text,
			    output_paint(&c->output, OUTPUT_PLAIN));
	}
}

static void apply_say(const struct ctl *c, const json_t *result)
{
	const json_t *revert = json_object_get(result, "revert_in_ms");
	char time[32];

	apply_sign(c, result, "added", '+', OUTPUT_GOOD);
	apply_sign(c, result, "changed", '~', OUTPUT_BUSY);
	apply_sign(c, result, "removed", '-', OUTPUT_BAD);
	generic_say(c, "%s%" PRIu64 " unchanged",
		    output_flag(result, "dry_run") ? "nothing was done; " : "",
		    output_number(result, "unchanged"));
	if (json_is_integer(revert))
		generic_say(c, "all of it is undone in %s unless you say: rstunctl confirm",
			    output_ms(time, sizeof(time), (uint64_t)json_integer_value(revert)));
}

int apply_command(struct ctl *c, struct command_input *in)
{
	const struct apply_options *options = in->own;
	json_t *list = json_array(), *result;
	int status;

	if (list == NULL || json_object_set(in->params, "mappings", list) != 0) {
		json_decref(list);
		return ctl_no_memory(c);
	}
	status = apply_read(c, in->args[0], list);
	json_decref(list);
	if (status != 0)
		return status;
	if (options->confirm_ms > 0)
		json_object_set_new(in->params, "confirm_within_s",
				    json_integer((json_int_t)((options->confirm_ms + 999) / 1000)));
	status = ctl_call(c, RPC_MAPPING_APPLY, json_incref(in->params),
			  ctl_timeout(c, CTL_TIMEOUT_MS), &result);
	if (status != 0)
		return status;
	if (c->output.format == OUTPUT_JSON)
		output_json(&c->output, result);
	else
		apply_say(c, result);
	json_decref(result);
	return 0;
}

/* ---- export ---------------------------------------------------------------------------------- */

/* The configurations of a list; those of roles with their name beside the options. */
static int apply_take(struct ctl *c, enum rpc_method method, json_t *params, json_t *to)
{
	const char *member = rpc_methods[method].list;
	json_t *configs = json_array(), *result, *item;
	size_t i;
	int status = ctl_call(c, method, params, ctl_timeout(c, CTL_TIMEOUT_MS), &result);

	if (status != 0) {
		json_decref(configs);
		return status;
	}
	json_array_foreach(json_object_get(result, member), i, item) {
		json_t *config = json_deep_copy(json_object_get(item, "config"));
		json_t *name = json_object_get(item, "name");

		if (name != NULL)
			json_object_set(config, "name", name);
		json_array_append_new(configs, config);
	}
	json_decref(result);
	return json_object_set_new(to, member, configs) == 0 ? 0 : ctl_no_memory(c);
}

int apply_export(struct ctl *c, struct command_input *in)
{
	const struct apply_export_options *options = in->own;
	json_t *all = json_object();
	int status = apply_take(c, RPC_MAPPING_LIST, json_incref(in->params), all);

	if (status == 0 && options->all)
		status = apply_take(c, RPC_CLIENT_LIST, NULL, all);
	if (status == 0 && options->all)
		status = apply_take(c, RPC_SERVER_LIST, NULL, all);
	if (status == 0) {
		json_dumpf(all, c->out, JSON_INDENT(2));
		fputc('\n', c->out);
	}
	json_decref(all);
	return status;
}
