/* SPDX-License-Identifier: MIT */
/*
 * The command line: global options anywhere, a sub-command of one or two words, its options by the
 * rows of command_options, plain words. A long option may be shortened as long as it is clear.
 * Parsed by hand because which options there are is known only in the middle of it.
 */
#include "rstunctl/command.h"

#include "base/error.h"
#include "rstunctl/call_params.h"

#include <stdlib.h>
#include <string.h>

struct arguments_parser {
	struct ctl *c;
	struct command_input *in;
	int argc, at; /* the word that is looked at */
	char **argv;
	char group[32]; /* "client" was read, its sub-command was not */
	bool fixed;     /* an option of the sub-command was read */
	struct command_option options[COMMAND_OPTIONS_MAX];
	size_t option_count;
	char *texts[COMMAND_OPTIONS_MAX]; /* what was given so far, where options add up */
	bool seen[COMMAND_OPTIONS_MAX];
};

static const char *arguments_quote(char *buf, size_t size, const char *text)
{
	return output_clean(buf, size, text);
}

/* "; try 'rstunctl help add'" */
static const char *arguments_try(char buf[80], const struct arguments_parser *p)
{
	if (p->in->command != NULL)
		snprintf(buf, 80, "; try 'rstunctl help %s'", p->in->command->name);
	else
		snprintf(buf, 80, "; try 'rstunctl --help'");
	return buf;
}

/* ---- Sub-commands ---------------------------------------------------------------------------- */

/* Values of global options are kept, those of a sub-command begin anew. */
static int arguments_take_command(struct arguments_parser *p, const struct command *command)
{
	struct command_input *in = p->in;

	if (in->own != NULL) {
		field_free(in->command->own->rows, in->command->own->count, in->own);
		free(in->own);
		in->own = NULL;
	}
	in->command = command;
	p->group[0] = '\0';
	for (size_t i = 0; i < COMMAND_OPTIONS_MAX; i++) {
		free(p->texts[i]);
		p->texts[i] = NULL;
		p->seen[i] = false;
	}
	p->option_count = command_options(p->options, command);
	if (command->own == NULL)
		return 0;
	in->own = calloc(1, command->own->size);
	if (in->own == NULL ||
	    field_set_defaults(command->own->rows, command->own->count, in->own) != 0) {
		free(in->own);
		in->own = NULL;
		return ctl_no_memory(p->c);
	}
	return 0;
}

static int arguments_unknown_command(struct arguments_parser *p, const char *name)
{
	const char *near = command_suggest(name);
	char quoted[128], more[80];

	arguments_quote(quoted, sizeof(quoted), name);
	if (strchr(name, '^') != NULL)
		return ctl_usage(p->c,
				 "\"%s\" is no sub-command; a mapping is added with: rstunctl "
				 "add '%s'",
				 quoted, quoted);
	if (near != NULL)
		return ctl_usage(p->c, "there is no sub-command \"%s\" (did you mean %s?)%s",
				 quoted, near, arguments_try(more, p));
	return ctl_usage(p->c, "there is no sub-command \"%s\"%s", quoted,
			 arguments_try(more, p));
}

static int arguments_word(struct arguments_parser *p, char *word)
{
	const struct command *command;
	char name[96];

	if (p->in->command != NULL) {
		/* "log" is one, "log level" is another. */
		snprintf(name, sizeof(name), "%s %s", p->in->command->name, word);
		command = p->in->arg_count == 0 && !p->fixed ? command_find(name) : NULL;
		if (command != NULL)
			return arguments_take_command(p, command);
		p->in->args[p->in->arg_count++] = word;
		return 0;
	}
	if (p->group[0] != '\0')
		snprintf(name, sizeof(name), "%s %s", p->group, word);
	else
		snprintf(name, sizeof(name), "%s", word);
	command = command_find(name);
	if (command != NULL)
		return arguments_take_command(p, command);
	if (p->group[0] == '\0' && command_is_group(word)) {
		snprintf(p->group, sizeof(p->group), "%s", word);
		return 0;
	}
	return arguments_unknown_command(p, name);
}

/* ---- Options --------------------------------------------------------------------------------- */

static bool arguments_named(const struct command_option *o, const char *name, size_t bytes)
{
	return (strncmp(o->name, name, bytes) == 0 && o->name[bytes] == '\0') ||
	       (!o->negated && strncmp(o->row->name, name, bytes) == 0 &&
		o->row->name[bytes] == '\0');
}

static int arguments_unknown_option(struct arguments_parser *p, const char *name)
{
	size_t limit = strlen(name) / 3 + 1, best = SIZE_MAX;
	char quoted[128], more[80];
	const char *near = NULL;

	for (size_t i = 0; i < p->option_count; i++) {
		size_t distance = field_distance(p->options[i].name, name);

		if (distance <= limit && distance < best) {
			best = distance;
			near = p->options[i].name;
		}
	}
	arguments_quote(quoted, sizeof(quoted), name);
	if (near != NULL)
		return ctl_usage(p->c, "unknown option --%s (did you mean --%s?)%s", quoted, near,
				 arguments_try(more, p));
	if (p->in->command == NULL)
		return ctl_usage(p->c, "unknown option --%s: options of a sub-command stand behind "
				       "it%s", quoted, arguments_try(more, p));
	return ctl_usage(p->c, "%s has no option --%s%s", p->in->command->name, quoted,
			 arguments_try(more, p));
}

/* By its name, or by the beginning of it where only one begins so. *ret_status is 0 and the result
 * is NULL never at once. */
static struct command_option *arguments_find(struct arguments_parser *p, const char *text,
						int *ret_status)
{
	struct command_option *found = NULL;
	size_t bytes = strcspn(text, "="), matches = 0, used = 0;
	char name[128], many[256];

	*ret_status = 0;
	for (size_t i = 0; i < p->option_count; i++)
		if (arguments_named(&p->options[i], text, bytes))
			return &p->options[i];
	if ((bytes == 8 && strncmp(text, "password", 8) == 0) ||
	    (bytes == 10 && strncmp(text, "proxy-auth", 10) == 0)) {
		*ret_status = ctl_usage(p->c, "a password on the command line is seen by everybody "
					      "on this machine: give --%.*s-file FILE%s",
					(int)bytes, text,
					bytes == 8 ? " or --password-stdin" : "");
		return NULL;
	}
	for (size_t i = 0; i < p->option_count && bytes > 0; i++) {
		if (strncmp(p->options[i].name, text, bytes) != 0)
			continue;
		found = &p->options[i];
		if (used < sizeof(many))
			used += (size_t)snprintf(many + used, sizeof(many) - used, "%s--%s",
						 matches > 0 ? " or " : "", found->name);
		matches++;
	}
	if (matches == 1)
		return found;
	snprintf(name, sizeof(name), "%.*s", (int)(bytes < 100 ? bytes : 100), text);
	if (matches > 1) {
		char quoted[128];

		*ret_status = ctl_usage(p->c, "--%s could mean %s",
					arguments_quote(quoted, sizeof(quoted), name), many);
	} else {
		*ret_status = arguments_unknown_option(p, name);
	}
	return NULL;
}

/* Lists, and what may be repeated, add up. *ret is what is to be parsed, borrowed. */
static int arguments_join(struct arguments_parser *p, size_t i, const char *text,
			     const char **ret)
{
	const struct field *row = p->options[i].row;
	bool adds = row->type == FIELD_LIST || (row->flags & FIELD_REPEAT) != 0;
	char *joined = NULL;

	*ret = text;
	if (p->seen[i] && !adds)
		return ctl_usage(p->c, "--%s is given twice", p->options[i].name);
	p->seen[i] = true;
	if (!adds)
		return 0;
	if (asprintf(&joined, "%s%s%s", p->texts[i] != NULL ? p->texts[i] : "",
		     p->texts[i] != NULL ? "," : "", text) < 0)
		return ctl_no_memory(p->c);
	free(p->texts[i]);
	p->texts[i] = joined;
	*ret = joined;
	return 0;
}

/* The content of a file as a parameter. */
static int arguments_content(struct arguments_parser *p, const struct command_option *o,
				const char *path)
{
	bool password = call_params_is_password(o->content);
	struct rpc_error error;
	char *text = NULL;
	json_t *value;
	int rv;

	if (json_object_get(p->in->params, o->content) != NULL)
		return ctl_usage(p->c, "--%s: the %s is given twice", o->name,
				 password ? "password" : "file");
	if (path[0] == '\0') /* back to the default */
		return json_object_set_new(p->in->params, o->content, json_null()) == 0
			       ? 0
			       : ctl_no_memory(p->c);
	rv = password ? call_params_password(&text, path, &error)
		      : call_params_file(&text, path, CALL_FILE_MAX, &error);
	if (rv != 0)
		return ctl_complain(p->c, &error);
	value = json_string(text);
	call_params_wipe(text);
	if (value == NULL)
		return ctl_usage(p->c, "--%s: %s is no UTF-8", o->name, path);
	return json_object_set_new(p->in->params, o->content, value) == 0 ? 0
									   : ctl_no_memory(p->c);
}

/* An error of a row names it as the API does; people typed another name. */
static int arguments_wrong(struct arguments_parser *p, const struct command_option *o,
			      const char *error)
{
	const char *colon = strncmp(error, "--", 2) == 0 ? strstr(error, ": ") : NULL;
	const char *units = o->row->type != FIELD_MS
				    ? ""
				    : "; ms, s, m, h or d may stand behind the number: 500ms, 10s";

	return ctl_usage(p->c, "--%s%s%s%s", o->name, colon != NULL ? "" : ": ",
			 colon != NULL ? colon : error, units);
}

static int arguments_set(struct arguments_parser *p, struct command_option *o,
			    const char *text)
{
	char error[FIELD_ERROR_SIZE];
	int rv, status = arguments_join(p, (size_t)(o - p->options), text, &text);

	if (status != 0)
		return status;
	if (!o->global)
		p->fixed = true;
	if (o->content != NULL)
		return arguments_content(p, o, o->from_stdin ? "-" : text);
	if (o->negated)
		text = strcmp(text, "yes") == 0 ? "no" : "yes";
	if (o->global)
		rv = field_set(o->row, &p->c->options, text, error);
	else if (o->own)
		rv = field_set(o->row, p->in->own, text, error);
	else
		rv = call_params_set(p->in->params, o->rows, o->row, text, error);
	return rv == 0 ? 0 : arguments_wrong(p, o, error);
}

/* Where the value of an option is the next word. NULL = there is none. */
static char *arguments_next(struct arguments_parser *p)
{
	return p->at + 1 < p->argc ? p->argv[++p->at] : NULL;
}

static int arguments_needs(struct arguments_parser *p, const struct command_option *o)
{
	return ctl_usage(p->c, "--%s needs a value: %s", o->name, command_option_argument(o));
}

static int arguments_long(struct arguments_parser *p, char *text)
{
	char *equals = strchr(text, '=');
	struct command_option *o;
	const char *value;
	int status;

	o = arguments_find(p, text, &status);
	if (o == NULL)
		return status;
	if (o->row->type == FIELD_BOOL)
		return arguments_set(p, o, equals != NULL ? equals + 1 : "yes");
	value = equals != NULL ? equals + 1 : arguments_next(p);
	return value != NULL ? arguments_set(p, o, value) : arguments_needs(p, o);
}

/* -f, -fn20, -o json */
static int arguments_short(struct arguments_parser *p, const char *text)
{
	for (; *text != '\0'; text++) {
		struct command_option *o = NULL;
		char letter[2] = {*text, '\0'}, quoted[16], more[80];
		const char *value;
		int status;

		for (size_t i = 0; i < p->option_count && o == NULL; i++)
			if (p->options[i].row->short_name == *text && p->options[i].content == NULL)
				o = &p->options[i];
		if (o == NULL)
			return ctl_usage(p->c, "unknown option -%s%s",
					 arguments_quote(quoted, sizeof(quoted), letter),
					 arguments_try(more, p));
		if (o->row->type == FIELD_BOOL) {
			status = arguments_set(p, o, "yes");
			if (status != 0)
				return status;
			continue;
		}
		value = text[1] != '\0' ? text + 1 : arguments_next(p);
		return value != NULL ? arguments_set(p, o, value) : arguments_needs(p, o);
	}
	return 0;
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* So that even a wrong command line is answered in JSON. */
static bool arguments_wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "-ojson") == 0 ||
		    strcmp(argv[i], "--output=json") == 0 ||
		    (i + 1 < argc && strcmp(argv[i + 1], "json") == 0 &&
		     (strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0)))
			return true;
	return false;
}

static int arguments_words(struct arguments_parser *p)
{
	bool ended = false;
	int status = 0;

	for (p->at = 1; p->at < p->argc && status == 0; p->at++) {
		char *word = p->argv[p->at];

		if (ended || word[0] != '-' || word[1] == '\0')
			status = arguments_word(p, word);
		else if (strcmp(word, "--") == 0)
			ended = true;
		else if (word[1] == '-')
			status = arguments_long(p, word + 2);
		else
			status = arguments_short(p, word + 1);
	}
	return status;
}

static int arguments_count(const struct arguments_parser *p)
{
	const struct command *command = p->in->command;
	char quoted[128];

	if (p->in->arg_count < command->args_min)
		return ctl_usage(p->c, "%s needs %s: rstunctl %s %s; try 'rstunctl help %s'",
				 command->name,
				 command->args_min == 1 ? "an argument" : "arguments",
				 command->name, command->arguments, command->name);
	if (p->in->arg_count > command->args_max)
		return ctl_usage(p->c, "unexpected \"%s\": rstunctl %s%s%s",
				 arguments_quote(quoted, sizeof(quoted),
						    p->in->args[command->args_max]),
				 command->name, command->arguments[0] != '\0' ? " " : "",
				 command->arguments);
	return 0;
}

static int arguments_finish(struct arguments_parser *p)
{
	struct ctl *c = p->c;
	const struct command *command = p->in->command;
	bool asked = c->options.help || c->options.version;

	if (c->options.help) {
		command_help(c->out, command, p->group[0] != '\0' ? p->group : NULL,
			     output_terminal_width(c->out));
	} else if (c->options.version) {
		fprintf(c->out, "rstunctl %s (API %d)\n", PACKAGE_VERSION, RPC_API_VERSION);
	} else if (command == NULL) {
		command_help(c->err, NULL, p->group[0] != '\0' ? p->group : NULL,
			     output_terminal_width(c->err));
		return RPC_EXIT_USAGE;
	}
	if (asked) {
		p->in->command = NULL;
		if (command != NULL && command->own != NULL && p->in->own != NULL) {
			field_free(command->own->rows, command->own->count, p->in->own);
			free(p->in->own);
			p->in->own = NULL;
		}
		return 0;
	}
	return arguments_count(p);
}

int arguments_parse(struct ctl *c, struct command_input *ret, int argc, char **argv)
{
	struct arguments_parser p = {.c = c, .in = ret, .argc = argc, .argv = argv};
	int status;

	*ret = (struct command_input){.command = NULL};
	c->options.json = arguments_wants_json(argc, argv);
	ret->params = json_object();
	ret->args = calloc((size_t)argc + 1, sizeof(*ret->args));
	if (ret->params == NULL || ret->args == NULL)
		return ctl_no_memory(c);
	p.option_count = command_options(p.options, NULL);
	status = arguments_words(&p);
	if (status == 0)
		status = arguments_finish(&p);
	for (size_t i = 0; i < COMMAND_OPTIONS_MAX; i++)
		free(p.texts[i]);
	return status;
}

void arguments_free(struct ctl *c, struct command_input *in)
{
	(void)c;
	if (in->own != NULL) {
		field_free(in->command->own->rows, in->command->own->count, in->own);
		free(in->own);
	}
	json_decref(in->params);
	free(in->args);
	*in = (struct command_input){.command = NULL};
}
