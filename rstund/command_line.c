/* SPDX-License-Identifier: MIT */
/*
 * Parsing of the command line with getopt_long, whose table is made from the rows of the role and
 * the daemon.
 * Every refusal is one sentence that names program, role and option, and says how to get help. Main
 * thread, before others start.
 */
#include "rstund/command_line_private.h"

#include "base/error.h"
#include "base/log.h"
#include "rstund/password.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_LINE_LONG 256 /* getopt's value of row i is this + i, also for its short form */
#define COMMAND_LINE_HELP 1
#define COMMAND_LINE_VERSION 2
#define COMMAND_LINE_QUOTE_SIZE 161

static const struct {
	const char *name;
	enum command_line_role role;
} command_line_roles[] = {
	{"server", COMMAND_LINE_SERVER},
	{"s", COMMAND_LINE_SERVER},
	{"client", COMMAND_LINE_CLIENT},
	{"c", COMMAND_LINE_CLIENT},
};
#define COMMAND_LINE_ROLES (sizeof(command_line_roles) / sizeof(command_line_roles[0]))

const struct field *command_line_rows(enum command_line_role role, size_t *ret_count)
{
	switch (role) {
	case COMMAND_LINE_SERVER:
		*ret_count = server_config_field_count;
		return server_config_fields;
	case COMMAND_LINE_CLIENT:
		*ret_count = client_config_field_count;
		return client_config_fields;
	case COMMAND_LINE_NONE:
		break;
	}
	*ret_count = daemon_config_field_count;
	return daemon_config_fields;
}

const char *command_line_role_name(enum command_line_role role)
{
	static const char *const names[] = {
		[COMMAND_LINE_SERVER] = "server",
		[COMMAND_LINE_CLIENT] = "client",
		[COMMAND_LINE_NONE] = "",
	};

	return names[role];
}

int command_line_exit_status(enum command_line_outcome outcome)
{
	switch (outcome) {
	case COMMAND_LINE_RUN:
	case COMMAND_LINE_DONE:
		return 0;
	case COMMAND_LINE_USAGE:
		return 2;
	case COMMAND_LINE_FAILED:
		break;
	}
	return 1;
}

enum command_line_outcome command_line_usage(const struct command_line_parser *p,
					     const char *format, ...)
{
	const char *role = command_line_role_name(p->line->role);
	const char *blank = role[0] != '\0' ? " " : "";
	va_list args;

	fprintf(p->err, "rstund%s%s: ", blank, role);
	va_start(args, format);
	vfprintf(p->err, format, args);
	va_end(args);
	fprintf(p->err, "; try 'rstund%s%s --help'\n", blank, role);
	return COMMAND_LINE_USAGE;
}

static const char *command_line_quote(char buf[COMMAND_LINE_QUOTE_SIZE], const char *text)
{
	return log_quote(buf, COMMAND_LINE_QUOTE_SIZE, text, strlen(text));
}

static void command_line_version(FILE *out, const struct command_line_about *about)
{
	fprintf(out, "rstund %s\nngtcp2 %s (%s)\n", about->version, about->ngtcp2_version,
		about->ngtcp2_linkage);
}

/* Which options there are. False when there are too many. */
static bool command_line_make_options(struct command_line_parser *p, void *config)
{
	enum command_line_role role = p->line->role;
	size_t count;
	const struct field *rows = command_line_rows(role, &count);

	for (size_t i = 0; i < count && p->count < COMMAND_LINE_OPTIONS_MAX; i++)
		if ((rows[i].flags & FIELD_API_ONLY) == 0)
			p->options[p->count++] = (struct command_line_option){
				.row = &rows[i], .config = config};
	for (size_t i = 0; i < daemon_config_field_count && p->count < COMMAND_LINE_OPTIONS_MAX &&
			   role != COMMAND_LINE_NONE; i++)
		if (daemon_config_beside_role(&daemon_config_fields[i]))
			p->options[p->count++] = (struct command_line_option){
				.row = &daemon_config_fields[i], .config = &p->line->daemon};
	return p->count < COMMAND_LINE_OPTIONS_MAX;
}

/* getopt's two tables. ':' first: a missing argument is then told from an unknown option. */
static void command_line_make_tables(struct command_line_parser *p)
{
	size_t used = 0;

	p->shorts[used++] = ':';
	for (size_t i = 0; i < p->count; i++) {
		const struct field *row = p->options[i].row;
		bool flag = row->type == FIELD_BOOL;

		p->longs[i] = (struct option){
			.name = row->name,
			.has_arg = flag ? optional_argument : required_argument,
			.val = COMMAND_LINE_LONG + (int)i,
		};
		if (row->short_name == 0)
			continue;
		p->shorts[used++] = row->short_name;
		if (!flag)
			p->shorts[used++] = ':';
	}
	p->shorts[used++] = 'h';
	p->shorts[used++] = 'V';
	p->shorts[used] = '\0';
	p->longs[p->count] = (struct option){.name = "help", .val = COMMAND_LINE_HELP};
	p->longs[p->count + 1] = (struct option){.name = "version", .val = COMMAND_LINE_VERSION};
	p->longs[p->count + 2] = (struct option){.name = NULL};
}

static struct command_line_option *command_line_option(struct command_line_parser *p, int value)
{
	if (value >= COMMAND_LINE_LONG)
		return &p->options[value - COMMAND_LINE_LONG];
	for (size_t i = 0; i < p->count; i++)
		if (p->options[i].row->short_name != 0 && p->options[i].row->short_name == value)
			return &p->options[i];
	return NULL;
}

/* The option that was meant by a name. */
static const char *command_line_suggest(const struct command_line_parser *p, const char *name)
{
	size_t best = SIZE_MAX;
	const char *near = NULL;

	for (size_t i = 0; i < p->count; i++) {
		size_t distance = field_distance(name, p->options[i].row->name);

		if (distance <= strlen(name) / 3 && distance < best) {
			best = distance;
			near = p->options[i].row->name;
		}
	}
	return near;
}

/* A long name, or a letter. */
static bool command_line_is_of_a_role(const char *name)
{
	static const enum command_line_role roles[] = {COMMAND_LINE_SERVER, COMMAND_LINE_CLIENT};

	for (size_t i = 0; i < 2; i++) {
		size_t count;
		const struct field *rows = command_line_rows(roles[i], &count);

		for (size_t j = 0; j < count; j++)
			if (strcmp(rows[j].name, name) == 0 ||
			    (rows[j].short_name == name[0] && name[1] == '\0'))
				return true;
	}
	return false;
}

/* The name in "--name=value", and whether it begins several options. */
static enum command_line_outcome command_line_unknown_long(const struct command_line_parser *p,
							   const char *argument)
{
	char name[128], quoted[COMMAND_LINE_QUOTE_SIZE], many[256];
	const char *near;
	size_t bytes = strcspn(argument + 2, "="), used = 0;
	unsigned matches = 0;

	snprintf(name, sizeof(name), "%.*s", (int)(bytes < sizeof(name) ? bytes : sizeof(name) - 1),
		 argument + 2);
	command_line_quote(quoted, name);
	for (size_t i = 0; p->longs[i].name != NULL && bytes > 0; i++) {
		if (strncmp(p->longs[i].name, name, bytes) != 0 || used >= sizeof(many))
			continue;
		used += (size_t)snprintf(many + used, sizeof(many) - used, "%s--%s",
					 matches++ > 0 ? " or " : "", p->longs[i].name);
	}
	if (matches > 1)
		return command_line_usage(p, "--%s could mean %s", quoted, many);
	if (matches == 1) /* --help=x */
		return command_line_usage(p, "%s takes no value", many);
	near = command_line_suggest(p, name);
	if (near != NULL)
		return command_line_usage(p, "unknown option --%s (did you mean --%s?)", quoted,
					  near);
	if (p->line->role == COMMAND_LINE_NONE && command_line_is_of_a_role(name))
		return command_line_usage(p, "--%s is an option of a role: the role, server or "
					     "client, is first", quoted);
	return command_line_usage(p, "unknown option --%s", quoted);
}

static enum command_line_outcome command_line_unknown(const struct command_line_parser *p,
						      char **argv)
{
	char quoted[COMMAND_LINE_QUOTE_SIZE];
	char letter[2] = {(char)optopt, '\0'};

	if (optopt == 0)
		return command_line_unknown_long(p, argv[optind - 1]);
	if (optopt >= COMMAND_LINE_HELP && optopt <= COMMAND_LINE_VERSION)
		return command_line_unknown_long(p, argv[optind - 1]);
	if (p->line->role == COMMAND_LINE_NONE && command_line_is_of_a_role(letter))
		return command_line_usage(p, "-%s is an option of a role: the role, server or "
					     "client, is first", letter);
	return command_line_usage(p, "unknown option -%s", command_line_quote(quoted, letter));
}

/* What an option that adds up is set to. NULL without memory. */
static const char *command_line_join(struct command_line_option *o, const char *text)
{
	const char *before = o->text;
	char *joined;

	if (before == NULL || before[0] == '\0')
		joined = strdup(text);
	else if (text[0] == '\0')
		joined = strdup(before);
	else if (asprintf(&joined, "%s,%s", before, text) < 0)
		joined = NULL;
	free(o->text);
	o->text = joined;
	return joined;
}

/* One option with its value. A password is taken out of argv whatever comes of it. */
static enum command_line_outcome command_line_set(struct command_line_parser *p,
						  struct command_line_option *o, char *text)
{
	const struct field *row = o->row;
	bool adds = row->type == FIELD_LIST || (row->flags & FIELD_REPEAT) != 0;
	const char *value = text != NULL ? text : "yes";
	char error[FIELD_ERROR_SIZE];
	int rv;

	if (o->seen && !adds) {
		if (row->type == FIELD_SECRET && text != NULL)
			password_wipe_argument(text);
		return command_line_usage(p, "--%s is given twice", row->name);
	}
	o->seen = true;
	if (adds)
		value = command_line_join(o, value);
	if (value == NULL)
		return command_line_usage(p, "%s", rstun_strerror(RSTUN_E_NOMEM));
	rv = field_set(row, o->config, value, error);
	if (row->type == FIELD_SECRET)
		password_wipe_argument(text);
	if (o->config == &p->line->daemon)
		p->line->daemon_given |= daemon_config_bit(row);
	return rv == 0 ? COMMAND_LINE_RUN : command_line_usage(p, "%s", error);
}

static enum command_line_outcome command_line_options(struct command_line_parser *p, int argc,
						      char **argv)
{
	char quoted[COMMAND_LINE_QUOTE_SIZE];
	enum command_line_outcome outcome;
	int value;

	opterr = 0;
	optind = 0; /* GNU: begin anew, with new tables */
	while ((value = getopt_long(argc, argv, p->shorts, p->longs, NULL)) != -1) {
		struct command_line_option *o = NULL;

		switch (value) {
		case 'h':
		case COMMAND_LINE_HELP:
			command_line_help(p->out, p->line->role, command_line_width(p->out));
			return COMMAND_LINE_DONE;
		case 'V':
		case COMMAND_LINE_VERSION:
			command_line_version(p->out, p->about);
			return COMMAND_LINE_DONE;
		case ':':
			o = command_line_option(p, optopt);
			return command_line_usage(p, "--%s needs a value: %s", o->row->name,
						  o->row->argument);
		case '?':
			return command_line_unknown(p, argv);
		default:
			o = command_line_option(p, value);
		}
		outcome = command_line_set(p, o, optarg);
		if (outcome != COMMAND_LINE_RUN)
			return outcome;
	}
	if (optind == argc)
		return COMMAND_LINE_RUN;
	command_line_quote(quoted, argv[optind]);
	if (p->line->role == COMMAND_LINE_NONE)
		return command_line_usage(p, "unexpected \"%s\": a role, server or client, is "
					     "first",
					  quoted);
	if (strchr(argv[optind], '^') != NULL)
		return command_line_usage(p,
					  "unexpected \"%s\": mappings follow -t (TCP) or -u (UDP)",
					  quoted);
	return command_line_usage(p, "unexpected \"%s\"", quoted);
}

static enum command_line_outcome command_line_parse_role(struct command_line_parser *p, int argc,
							 char **argv)
{
	struct command_line *line = p->line;
	enum command_line_outcome outcome;
	void *config = &line->daemon;
	int rv = daemon_config_init(&line->daemon);

	if (rv == 0)
		rv = config_set_init(&line->set);
	if (rv == 0 && line->role == COMMAND_LINE_SERVER) {
		config = &line->server;
		rv = server_config_init(&line->server);
	} else if (rv == 0 && line->role == COMMAND_LINE_CLIENT) {
		config = &line->client;
		rv = client_config_init(&line->client);
	}
	if (rv != 0 || !command_line_make_options(p, config))
		return command_line_complain(p, RSTUN_E_NOMEM, rstun_strerror(RSTUN_E_NOMEM));
	command_line_make_tables(p);
	outcome = command_line_options(p, argc, argv);
	if (outcome == COMMAND_LINE_RUN)
		outcome = command_line_complete(p);
	for (size_t i = 0; i < p->count; i++)
		free(p->options[i].text);
	return outcome;
}

/* What stands first is no role. */
static enum command_line_outcome command_line_no_role(const char *word, FILE *err)
{
	char quoted[COMMAND_LINE_QUOTE_SIZE];
	const char *near = NULL;

	command_line_quote(quoted, word);
	for (size_t i = 0; i < COMMAND_LINE_ROLES; i++) {
		const char *name = command_line_roles[i].name;

		if (strlen(name) > 1 && field_distance(word, name) <= 2)
			near = name;
	}
	if (near != NULL)
		fprintf(err, "rstund: \"%s\" is neither server nor client (did you mean %s?); "
			     "try 'rstund --help'\n", quoted, near);
	else
		fprintf(err, "rstund: \"%s\" is neither server nor client; try 'rstund --help'\n",
			quoted);
	return COMMAND_LINE_USAGE;
}

enum command_line_outcome command_line_parse(struct command_line *ret, int argc, char **argv,
					     const struct command_line_about *about,
					     const struct password_process *process, FILE *out,
					     FILE *err)
{
	struct command_line line;
	struct command_line_parser p = {
		.about = about, .process = process, .out = out, .err = err, .line = &line,
	};
	enum command_line_outcome outcome;

	memset(&line, 0, sizeof(line));
	line.role = COMMAND_LINE_NONE;
	if (argc > 1 && argv[1][0] != '-') {
		size_t i = 0;

		while (i < COMMAND_LINE_ROLES && strcmp(argv[1], command_line_roles[i].name) != 0)
			i++;
		if (i == COMMAND_LINE_ROLES)
			return command_line_no_role(argv[1], err);
		line.role = command_line_roles[i].role;
		argc--;
		argv++;
	}
	outcome = command_line_parse_role(&p, argc, argv);
	if (outcome == COMMAND_LINE_RUN)
		*ret = line;
	else
		command_line_free(&line);
	return outcome;
}

void command_line_free(struct command_line *c)
{
	if (c == NULL)
		return;
	server_config_free(&c->server);
	client_config_free(&c->client);
	daemon_config_free(&c->daemon);
	config_set_free(&c->set);
	for (size_t i = 0; i < c->warning_count; i++)
		free(c->warnings[i]);
	free(c->warnings);
	c->warnings = NULL;
	c->warning_count = 0;
}
