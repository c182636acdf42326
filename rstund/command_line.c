/* SPDX-License-Identifier: MIT */
/*
 * Parsing of the command line with getopt_long, whose table is made from the rows of the role.
 * Every refusal is one sentence that names program, role and option, and says how to get help. Main
 * thread, before others start.
 */
#include "rstund/command_line.h"

#include "base/error.h"
#include "base/log.h"
#include "rstund/password.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_LINE_LONG 256 /* getopt's value of row i is this + i, also for its short form */
#define COMMAND_LINE_HELP 1
#define COMMAND_LINE_VERSION 2
#define COMMAND_LINE_ROWS_MAX 64
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

/* A role's command line while it is read. */
struct command_line_parser {
	const struct command_line_about *about;
	const struct password_process *process;
	FILE *out, *err;
	struct command_line *line;
	void *config;            /* of the role, in line */
	const struct field *rows;
	size_t count;
	bool seen[COMMAND_LINE_ROWS_MAX];
	char *texts[COMMAND_LINE_ROWS_MAX]; /* what options that add up were given so far */
	struct option longs[COMMAND_LINE_ROWS_MAX + 3];
	char shorts[3 * COMMAND_LINE_ROWS_MAX + 8];
};

const struct field *command_line_rows(enum command_line_role role, size_t *ret_count)
{
	if (role == COMMAND_LINE_SERVER) {
		*ret_count = server_config_field_count;
		return server_config_fields;
	}
	*ret_count = client_config_field_count;
	return client_config_fields;
}

const char *command_line_role_name(enum command_line_role role)
{
	return role == COMMAND_LINE_SERVER ? "server" : "client";
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

__attribute__((format(printf, 2, 3))) static enum command_line_outcome
command_line_usage(const struct command_line_parser *p, const char *format, ...)
{
	const char *role = command_line_role_name(p->line->role);
	va_list args;

	fprintf(p->err, "rstund %s: ", role);
	va_start(args, format);
	vfprintf(p->err, format, args);
	va_end(args);
	fprintf(p->err, "; try 'rstund %s --help'\n", role);
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

static void command_line_warn(void *user, const char *text)
{
	struct command_line *line = user;
	char **more = realloc(line->warnings, (line->warning_count + 1) * sizeof(*more));

	if (more == NULL)
		return;
	line->warnings = more;
	more[line->warning_count] = strdup(text);
	if (more[line->warning_count] != NULL)
		line->warning_count++;
}

/* getopt's two tables. ':' first: a missing argument is then told from an unknown option. */
static void command_line_make_tables(struct command_line_parser *p)
{
	size_t used = 0;

	p->shorts[used++] = ':';
	for (size_t i = 0; i < p->count; i++) {
		bool flag = p->rows[i].type == FIELD_BOOL;

		p->longs[i] = (struct option){
			.name = p->rows[i].name,
			.has_arg = flag ? optional_argument : required_argument,
			.val = COMMAND_LINE_LONG + (int)i,
		};
		if (p->rows[i].short_name == 0)
			continue;
		p->shorts[used++] = p->rows[i].short_name;
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

static const struct field *command_line_row(const struct command_line_parser *p, int value)
{
	if (value >= COMMAND_LINE_LONG)
		return &p->rows[value - COMMAND_LINE_LONG];
	for (size_t i = 0; i < p->count; i++)
		if (p->rows[i].short_name != 0 && p->rows[i].short_name == value)
			return &p->rows[i];
	return NULL;
}

/* The name in "--name=value", and whether it begins several options. */
static enum command_line_outcome command_line_unknown_long(const struct command_line_parser *p,
							   const char *argument)
{
	char name[128], quoted[COMMAND_LINE_QUOTE_SIZE], many[256];
	const struct field *near;
	size_t bytes = strcspn(argument + 2, "="), used = 0;
	unsigned matches = 0;

	snprintf(name, sizeof(name), "%.*s", (int)(bytes < sizeof(name) ? bytes : sizeof(name) - 1),
		 argument + 2);
	command_line_quote(quoted, name);
	for (size_t i = 0; i < p->count + 2 && bytes > 0; i++) {
		if (strncmp(p->longs[i].name, name, bytes) != 0 || used >= sizeof(many))
			continue;
		used += (size_t)snprintf(many + used, sizeof(many) - used, "%s--%s",
					 matches++ > 0 ? " or " : "", p->longs[i].name);
	}
	if (matches > 1)
		return command_line_usage(p, "--%s could mean %s", quoted, many);
	if (matches == 1) /* --help=x */
		return command_line_usage(p, "%s takes no value", many);
	near = field_suggest(p->rows, p->count, name);
	if (near != NULL)
		return command_line_usage(p, "unknown option --%s (did you mean --%s?)", quoted,
					  near->name);
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
	return command_line_usage(p, "unknown option -%s", command_line_quote(quoted, letter));
}

/* One option with its value. A password is taken out of argv whatever comes of it. */
static enum command_line_outcome command_line_set(struct command_line_parser *p,
						  const struct field *row, char *text)
{
	size_t i = (size_t)(row - p->rows);
	bool adds = row->type == FIELD_LIST || (row->flags & FIELD_REPEAT) != 0;
	char error[FIELD_ERROR_SIZE];
	char *joined;
	int rv;

	if (p->seen[i] && !adds) {
		if (row->type == FIELD_SECRET && text != NULL)
			password_wipe_argument(text);
		return command_line_usage(p, "--%s is given twice", row->name);
	}
	p->seen[i] = true;
	if (adds) {
		const char *before = p->texts[i];

		if (before == NULL || before[0] == '\0')
			joined = strdup(text);
		else if (text[0] == '\0')
			joined = strdup(before);
		else if (asprintf(&joined, "%s,%s", before, text) < 0)
			joined = NULL;
		free(p->texts[i]);
		p->texts[i] = joined;
		if (joined == NULL)
			return command_line_usage(p, "%s", rstun_strerror(RSTUN_E_NOMEM));
		text = joined;
	}
	rv = field_set(row, p->config, text != NULL ? text : "yes", error);
	if (row->type == FIELD_SECRET)
		password_wipe_argument(text);
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
		const struct field *row = NULL;

		switch (value) {
		case 'h':
		case COMMAND_LINE_HELP:
			command_line_help(p->out, &p->line->role, command_line_width(p->out));
			return COMMAND_LINE_DONE;
		case 'V':
		case COMMAND_LINE_VERSION:
			command_line_version(p->out, p->about);
			return COMMAND_LINE_DONE;
		case ':':
			row = command_line_row(p, optopt);
			return command_line_usage(p, "--%s needs a value: %s", row->name,
						  row->argument);
		case '?':
			return command_line_unknown(p, argv);
		default:
			row = command_line_row(p, value);
		}
		outcome = command_line_set(p, row, optarg);
		if (outcome != COMMAND_LINE_RUN)
			return outcome;
	}
	if (optind == argc)
		return COMMAND_LINE_RUN;
	command_line_quote(quoted, argv[optind]);
	if (strchr(argv[optind], '^') != NULL)
		return command_line_usage(p,
					  "unexpected \"%s\": mappings follow -t (TCP) or -u (UDP)",
					  quoted);
	return command_line_usage(p, "unexpected \"%s\"", quoted);
}

static int command_line_check(struct command_line_parser *p, bool warn,
			      char error[FIELD_ERROR_SIZE])
{
	struct command_line *line = p->line;
	void (*call)(void *user, const char *text) = warn ? command_line_warn : NULL;

	return line->role == COMMAND_LINE_SERVER
		       ? server_config_check(&line->server, call, line, error)
		       : client_config_check(&line->client, call, line, error);
}

static enum command_line_outcome command_line_complain(const struct command_line_parser *p, int rv,
						       const char *error)
{
	if (rv == RSTUN_E_CONFIG_INVALID)
		return command_line_usage(p, "%s", error);
	fprintf(p->err, "rstund %s: %s\n", command_line_role_name(p->line->role), error);
	return COMMAND_LINE_FAILED;
}

/* The password, and the checks of the whole. */
static enum command_line_outcome command_line_complete(struct command_line_parser *p)
{
	struct command_line *line = p->line;
	bool server = line->role == COMMAND_LINE_SERVER;
	char **password = server ? &line->server.password : &line->client.password;
	const char *file = server ? line->server.password_file : line->client.password_file;
	char error[FIELD_ERROR_SIZE];
	int rv;

	_Static_assert(FIELD_ERROR_SIZE >= PASSWORD_ERROR_SIZE, "one buffer for both");
	if (*password != NULL)
		command_line_warn(line, "--password: the list of processes showed the password "
					"until now, and the shell's history keeps it: use "
					"--password-file");
	rv = password_find(password, file, p->process, error);
	if (rv == 0 && *password == NULL && password_can_ask(p->process)) {
		/* Nobody wants to be asked for a password and then told that a mapping is wrong:
		 * all else is checked first, with a password that is none. */
		*password = strdup("?");
		rv = *password == NULL ? RSTUN_E_NOMEM : command_line_check(p, false, error);
		password_free(*password);
		*password = NULL;
		if (rv == 0)
			rv = password_ask(password, "Password: ", p->process, error);
	}
	if (rv == 0)
		rv = command_line_check(p, true, error);
	return rv == 0 ? COMMAND_LINE_RUN : command_line_complain(p, rv, error);
}

static enum command_line_outcome command_line_parse_role(struct command_line_parser *p, int argc,
							 char **argv)
{
	enum command_line_outcome outcome;
	int rv;

	p->rows = command_line_rows(p->line->role, &p->count);
	if (p->line->role == COMMAND_LINE_SERVER) {
		p->config = &p->line->server;
		rv = server_config_init(&p->line->server);
	} else {
		p->config = &p->line->client;
		rv = client_config_init(&p->line->client);
	}
	if (rv != 0 || p->count > COMMAND_LINE_ROWS_MAX)
		return command_line_complain(p, RSTUN_E_NOMEM, rstun_strerror(RSTUN_E_NOMEM));
	command_line_make_tables(p);
	outcome = command_line_options(p, argc, argv);
	if (outcome == COMMAND_LINE_RUN)
		outcome = command_line_complete(p);
	for (size_t i = 0; i < p->count; i++)
		free(p->texts[i]);
	return outcome;
}

/* What stands first is no role. */
static enum command_line_outcome command_line_no_role(const char *word, FILE *err)
{
	char quoted[COMMAND_LINE_QUOTE_SIZE];
	const char *near = NULL;

	command_line_quote(quoted, word);
	for (size_t i = 0; i < sizeof(command_line_roles) / sizeof(command_line_roles[0]); i++) {
		const char *name = command_line_roles[i].name;

		if (strlen(name) > 1 && field_distance(word, name) <= 2)
			near = name;
	}
	if (word[0] == '-')
		fprintf(err,
			"rstund: \"%s\" comes too early: the role, server or client, is first; try "
			"'rstund --help'\n",
			quoted);
	else if (near != NULL)
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
	if (argc < 2) {
		command_line_help(err, NULL, command_line_width(err));
		return COMMAND_LINE_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		command_line_help(out, NULL, command_line_width(out));
		return COMMAND_LINE_DONE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		command_line_version(out, about);
		return COMMAND_LINE_DONE;
	}
	for (size_t i = 0; i < sizeof(command_line_roles) / sizeof(command_line_roles[0]); i++) {
		if (strcmp(argv[1], command_line_roles[i].name) != 0)
			continue;
		line.role = command_line_roles[i].role;
		outcome = command_line_parse_role(&p, argc - 1, argv + 1);
		if (outcome == COMMAND_LINE_RUN)
			*ret = line;
		else
			command_line_free(&line);
		return outcome;
	}
	return command_line_no_role(argv[1], err);
}

void command_line_free(struct command_line *c)
{
	if (c == NULL)
		return;
	server_config_free(&c->server);
	client_config_free(&c->client);
	for (size_t i = 0; i < c->warning_count; i++)
		free(c->warnings[i]);
	free(c->warnings);
	c->warnings = NULL;
	c->warning_count = 0;
}
