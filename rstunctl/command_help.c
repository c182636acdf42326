/* SPDX-License-Identifier: MIT */
/*
 * --help, made from the table of sub-commands and the rows of their options.
 */
#include "rstunctl/commands.h"

#include "base/help.h"
#include "rpc/field_json.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#define HELP_INDENT 26 /* where the text begins */

/* What there is to say about a value: choices, default. */
static size_t help_value(char *text, size_t size, const struct field *row, bool with_default)
{
	size_t used = (size_t)snprintf(text, size, "%s", row->help);

	for (int i = 0; row->choices != NULL && row->choices[i] != NULL && used < size; i++)
		used += (size_t)snprintf(text + used, size - used, "%s%s",
					 i == 0 ? (row->type == FIELD_LIST ? " Of " : " One of ")
						: ", ",
					 row->choices[i]);
	if (row->choices != NULL && used < size)
		used += (size_t)snprintf(text + used, size - used, ".");
	if (with_default && row->default_text != NULL && row->type != FIELD_BOOL && used < size)
		used += (size_t)snprintf(text + used, size - used, " [default: %s]",
					 row->default_text);
	return used;
}

const char *command_option_argument(const struct command_option *option)
{
	if (option->row->type == FIELD_BOOL)
		return "";
	if (option->row->type == FIELD_MS && strcmp(option->row->name, option->name) != 0)
		return "TIME"; /* without its unit's name, so in any unit */
	return option->row->argument != NULL ? option->row->argument : "VALUE";
}

/* The help of a switch that is on by default says what it does: "Keep it over a restart." */
static void help_negated(char *text, size_t size, const char *help)
{
	snprintf(text, size, "Do not %c%s", tolower((unsigned char)help[0]), help + 1);
}

static void help_option(FILE *to, const struct command_option *o, bool with_default, size_t width)
{
	const char *argument = command_option_argument(o);
	char label[120], text[1024];
	size_t used;

	if (o->row->short_name != 0 && o->content == NULL)
		used = (size_t)snprintf(label, sizeof(label), "  -%c, --%s", o->row->short_name,
					o->name);
	else
		used = (size_t)snprintf(label, sizeof(label), "      --%s", o->name);
	if (argument[0] != '\0' && used < sizeof(label))
		snprintf(label + used, sizeof(label) - used, " %s", argument);
	if (o->negated)
		help_negated(text, sizeof(text), o->row->help);
	else
		help_value(text, sizeof(text), o->row, with_default);
	help_pair(to, label, text, HELP_INDENT, width);
}

static void help_options(FILE *to, const struct command *command, size_t width)
{
	struct command_option options[COMMAND_OPTIONS_MAX];
	size_t count = command_options(options, command);
	/* What is not given to `set` stays as it is: a default would be wrong. */
	bool set = command != NULL &&
		   (command->method == RPC_CLIENT_SET || command->method == RPC_SERVER_SET);
	bool global = false;

	for (size_t i = 0; i < count; i++) {
		if (options[i].global && !global) {
			fprintf(to, command != NULL ? "\nGeneral options:\n" : "\nOptions:\n");
			global = true;
		} else if (i == 0) {
			fprintf(to, "\nOptions:\n");
		}
		help_option(to, &options[i], !set, width);
	}
}

static void help_one(FILE *to, const struct command *command, size_t width)
{
	fprintf(to, "Usage: rstunctl %s%s%s [OPTION...]\n\n", command->name,
		command->arguments[0] != '\0' ? " " : "", command->arguments);
	help_wrap(to, command->help, 0, 0, width);
	if (command->remarks != NULL)
		help_wrap(to, command->remarks, 0, 0, width);
	help_options(to, command, width);
	fprintf(to, "\nExample:\n  rstunctl %s\n", command->example);
}

static void help_list(FILE *to, const char *group, size_t width)
{
	size_t bytes = group != NULL ? strlen(group) : 0;

	for (size_t i = 0; i < command_count; i++) {
		char label[80];

		if (group != NULL && (strncmp(commands[i].name, group, bytes) != 0 ||
				      (commands[i].name[bytes] != ' ' &&
				       commands[i].name[bytes] != '\0')))
			continue;
		snprintf(label, sizeof(label), "  %s%s%s", commands[i].name,
			 commands[i].arguments[0] != '\0' ? " " : "", commands[i].arguments);
		help_pair(to, label, commands[i].help, HELP_INDENT, width);
	}
}

static void help_all(FILE *to, size_t width)
{
	fprintf(to, "Usage: rstunctl [OPTION...] COMMAND [ARGUMENT...]\n\n");
	help_wrap(to, "Asks and tells a running rstund: adds and removes tunnels, watches and "
		      "explains them.", 0, 0, width);
	fprintf(to, "\nCommands:\n");
	help_list(to, NULL, width);
	help_options(to, NULL, width);
	fprintf(to, "\nExit status: 0 done, 1 the daemon said no, 2 usage, 3 no daemon, 4 not "
		    "allowed,\n"
		    "5 not found, 6 timeout, 7 conflict.\n"
		    "\nExamples:\n"
		    "  rstunctl client add home 192.0.2.7:3515 --password-file pw\n"
		    "  rstunctl add 'OUT^9000^ANY'\n"
		    "  rstunctl list\n");
}

void command_help(FILE *to, const struct command *command, const char *group, size_t width)
{
	width = help_width(width);
	if (command != NULL) {
		help_one(to, command, width);
	} else if (group != NULL) {
		fprintf(to, "Usage: rstunctl %s COMMAND [ARGUMENT...]\n\nCommands:\n", group);
		help_list(to, group, width);
	} else {
		help_all(to, width);
	}
}

/* ---- help ------------------------------------------------------------------------------------ */

static void help_method(FILE *to, const struct rpc_method_row *method, size_t width)
{
	char name[FIELD_JSON_NAME_SIZE], label[120], text[1024];

	width = help_width(width);
	fprintf(to, "%s\n\n", method->name);
	help_wrap(to, method->help, 0, 0, width);
	if (method->remarks != NULL)
		help_wrap(to, method->remarks, 0, 0, width);
	if (method->params->count > 0)
		fprintf(to, "\nParameters:\n");
	for (size_t i = 0; i < method->params->count; i++) {
		const struct field *row = &method->params->rows[i];

		snprintf(label, sizeof(label), "  %s", field_json_name(name, row));
		help_value(text, sizeof(text), row, true);
		help_pair(to, label, text, HELP_INDENT, width);
	}
	if (method->config != NULL && method->config[0] != '\0')
		fprintf(to,
			"\nBeside them: the options that 'rstunctl help %s add' shows, with _ for "
			"-.\n",
			strncmp(method->config, "Client", 6) == 0 ? "client" : "server");
	fprintf(to, "\nExample:\n  rstunctl call %s '%s'\n", method->name, method->example);
}

int help_command(struct ctl *c, struct command_input *in)
{
	size_t width = output_terminal_width(c->out);
	const struct command *command;
	char name[96], quoted[96];
	const char *near;
	int method;

	if (in->arg_count == 0) {
		command_help(c->out, NULL, NULL, width);
		return 0;
	}
	snprintf(name, sizeof(name), "%s%s%s", in->args[0], in->arg_count > 1 ? " " : "",
		 in->arg_count > 1 ? in->args[1] : "");
	command = command_find(name);
	method = rpc_method_find(name);
	if (command != NULL) {
		command_help(c->out, command, NULL, width);
		return 0;
	}
	if (in->arg_count == 1 && command_is_group(name)) {
		command_help(c->out, NULL, name, width);
		return 0;
	}
	if (method >= 0) {
		help_method(c->out, &rpc_methods[method], width);
		return 0;
	}
	near = strchr(name, '.') != NULL ? rpc_method_suggest(name) : command_suggest(name);
	output_clean(quoted, sizeof(quoted), name);
	if (near != NULL)
		return ctl_usage(c, "there is no sub-command or method \"%s\" (did you mean %s?)",
				 quoted, near);
	return ctl_usage(c, "there is no sub-command or method \"%s\"; try 'rstunctl help'",
			 quoted);
}
