/* SPDX-License-Identifier: MIT */
/*
 * Makes a man page: copies its prose (PAGE.in) to standard output and puts the sections that the
 * programs' tables describe in place of lines like these:
 *
 *   @ROWS options server@   command-line options: daemon, server, client
 *   @ROWS options rstunctl@ those of rstunctl that stand anywhere
 *   @ROWS commands@         sub-commands of rstunctl
 *   @ROWS options beside@   names of the daemon's options that roles have, too
 *   @ROWS keys server@      keys of the configuration file: daemon, server, client, mapping
 *   @ROWS methods@          the control API: methods, objects (that params, results and events
 *   @ROWS objects@          have), events, errors
 *   @ROWS kinds 5@          error kinds that end rstunctl with status 5
 *
 * So a page says what --help, the configuration's messages and rpc.discover say. Runs while the
 * project is built, on the machine that builds it. Exit status 1: a line that it does not know.
 */
#include "config/config.h"
#include "contrib/man/man_commands.h"
#include "contrib/man/man_options.h"
#include "contrib/man/man_text.h"
#include "rpc/api.h"
#include "rstund/config_file.h"
#include "rstund/daemon_config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The control API ------------------------------------------------------------------------- */

#define OBJECTS_MAX 128

/* Structs that were referred to so far, in that order. */
static const struct field_rows *objects[OBJECTS_MAX];
static size_t object_count;

static void rows_refer(const struct field_rows *rows)
{
	for (size_t i = 0; i < object_count; i++)
		if (objects[i] == rows)
			return;
	if (object_count == OBJECTS_MAX) {
		fputs("man_rows: more structs than OBJECTS_MAX\n", stderr);
		exit(1);
	}
	objects[object_count++] = rows;
	for (size_t i = 0; i < rows->count; i++)
		if (rows->rows[i].rows != NULL)
			rows_refer(rows->rows[i].rows);
}

/* Those that `rows` refers to, not itself. */
static void rows_refer_inner(const struct field_rows *rows)
{
	for (size_t i = 0; rows != NULL && i < rows->count; i++)
		if (rows->rows[i].rows != NULL)
			rows_refer(rows->rows[i].rows);
}

static void rows_collect_objects(void)
{
	for (int i = 0; i < RPC_METHOD_COUNT; i++) {
		rows_refer_inner(rpc_methods[i].params);
		rows_refer_inner(rpc_methods[i].result);
	}
	for (int i = 0; i < RPC_EVENT_TYPE_COUNT; i++) {
		rows_refer_inner(rpc_events[i].data);
		rows_refer_inner(rpc_events[i].detail);
	}
}

static void rows_print_choices(const char *before, const char *const *choices)
{
	fputs(before, stdout);
	for (int i = 0; choices[i] != NULL; i++) {
		fputs(i == 0 ? " " : ", ", stdout);
		man_words(choices[i], false);
	}
}

/* What a schema refers to: the name behind the last slash of "$ref". */
static void rows_print_json_type(const char *schema)
{
	static const char ref[] = "#/components/schemas/";
	const char *at = strstr(schema, ref);

	if (strstr(schema, "[\"string\",\"integer\"]") != NULL) {
		fputs("String or whole number", stdout);
	} else if (at == NULL) {
		fputs("Object", stdout);
	} else {
		at += sizeof(ref) - 1;
		printf("%s %.*s", strstr(schema, "array") != NULL ? "List of" : "Object",
		       (int)strcspn(at, "\""), at);
	}
}

static void rows_print_type(const struct field *row, bool input)
{
	switch (row->type) {
	case FIELD_BOOL:
		fputs("True or false", stdout);
		break;
	case FIELD_UINT:
	case FIELD_INT:
	case FIELD_MS:
		fputs("Whole number", stdout);
		break;
	case FIELD_DOUBLE:
		fputs("Number", stdout);
		break;
	case FIELD_CHOICE:
		rows_print_choices("One of", row->choices);
		break;
	case FIELD_STRING:
	case FIELD_SECRET:
		fputs("String", stdout);
		break;
	case FIELD_LIST:
		if (row->choices != NULL)
			rows_print_choices("List of strings, each one of", row->choices);
		else
			fputs("List of strings", stdout);
		break;
	case FIELD_OBJECT:
		printf("Object %s", row->rows->name);
		break;
	case FIELD_OBJECTS:
		printf("List of objects %s", row->rows->name);
		break;
	case FIELD_JSON:
		rows_print_json_type(row->schema);
		break;
	}
	if (row->unit != NULL)
		printf(" (%s)", strcmp(row->unit, "s") == 0 ? "seconds" :
				strcmp(row->unit, "ms") == 0 ? "milliseconds" : row->unit);
	if (input && (row->type == FIELD_UINT || row->type == FIELD_MS) && row->max != 0)
		printf(", %" PRIu64 " to %" PRIu64, row->min, row->max);
}

static void rows_members(const struct field_rows *rows, bool input)
{
	char name[64];

	puts(".Bl -tag -width Ds -compact -offset 2n");
	for (size_t i = 0; i < rows->count; i++) {
		const struct field *row = &rows->rows[i];

		snprintf(name, sizeof(name), "%s", row->name);
		for (char *at = name; *at != '\0'; at++)
			if (*at == '-')
				*at = '_';
		printf(".It Va %s\n", name);
		man_sentences(row->help);
		rows_print_type(row, input);
		if (input && (row->flags & FIELD_REQUIRED) != 0)
			fputs("; required", stdout);
		if (input && row->default_text != NULL) {
			fputs("; default ", stdout);
			man_words(strcmp(row->default_text, "yes") == 0 ? "true" : row->default_text,
				  false);
		}
		puts(".");
	}
	puts(".El");
}

static void rows_members_or_none(const char *title, const struct field_rows *rows, bool input)
{
	if (rows == NULL || rows->count == 0)
		return;
	printf(".Pp\n%s:\n", title);
	rows_members(rows, input);
}

static void rows_method(const struct rpc_method_row *m)
{
	char before[128];

	printf(".Ss %s\n", m->name);
	man_sentences(m->help);
	if (m->remarks != NULL)
		man_sentences(m->remarks);
	if (m->change)
		puts("It changes something: callers of the reading socket may not.");
	if (m->waits)
		puts("The answer may take a while;\n.Ic rpc.cancel\nends the wait.");
	rows_members_or_none("Params", m->params, true);
	if (m->config != NULL && m->config[0] != '\0')
		printf("The members of %s may stand beside these or in\n.Va config .\n", m->config);
	else if (m->config != NULL)
		puts("They may also stand in an object\n.Va config ,\n"
		     "as a result shows it.");
	if (m->result != NULL)
		rows_members_or_none("Result", m->result, false);
	else
		puts(".Pp\nThe result is the document.");
	puts(".Pp\nExample:");
	snprintf(before, sizeof(before), "rstunctl call %s%s", m->name,
		 strcmp(m->example, "{}") == 0 ? "" : " '");
	if (strcmp(m->example, "{}") == 0)
		man_json(before, "", "", false);
	else
		man_json(before, m->example, "'", true);
}

static void rows_methods(void)
{
	for (int i = 0; i < RPC_METHOD_COUNT; i++)
		rows_method(&rpc_methods[i]);
}

static void rows_objects(void)
{
	rows_collect_objects();
	for (size_t i = 0; i < object_count; i++) {
		printf(".Ss %s\n", objects[i]->name);
		rows_members(objects[i], false);
	}
}

static void rows_events(void)
{
	for (int i = 0; i < RPC_EVENT_TYPE_COUNT; i++) {
		const struct rpc_event_row *e = &rpc_events[i];

		printf(".Ss %s\n", e->name);
		man_sentences(e->help);
		if (e->always)
			puts("Always sent.");
		else if (!e->on)
			puts("Not among those that are sent when no types are named.");
		if (e->tunnel)
			puts("With\n.Va tunnel , mapping\nand\n.Va name\n"
			     "where it is about a mapping.");
		fputs(".Pp\n", stdout);
		if (e->data != NULL) {
			puts("The members of\n.Va data :");
			rows_members(e->data, false);
		} else if (e->words != NULL) {
			rows_print_choices(".Va data\nis one of", e->words);
			puts(".");
		} else {
			puts(".Va data\nis a text.");
		}
		if (e->detail != NULL) {
			puts(".Pp\nThe members of\n.Va detail :");
			rows_members(e->detail, false);
		}
		puts(".Pp\nExample, the\n.Va params\nof the notification:");
		man_json("", e->example, "", false);
	}
}

static void rows_errors(void)
{
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < rpc_error_count; i++) {
		const struct rpc_error_row *e = &rpc_errors[i];

		printf(".It Sy %s Pq \\&%d , exit status %d%s\n", e->kind, e->code, (int)e->exit,
		       e->retryable ? " , retryable" : "");
		man_sentences(e->help);
	}
	puts(".El");
}

static void rows_kinds(int status)
{
	const char *between = "";

	for (size_t i = 0; i < rpc_error_count; i++) {
		if ((int)rpc_errors[i].exit != status)
			continue;
		printf("%s%s", between, rpc_errors[i].kind);
		between = ", ";
	}
	puts(".");
}

/* ---- The page -------------------------------------------------------------------------------- */

static const struct page_section {
	const char *name;
	void (*print)(void);
	/* Or of a set of rows: */
	void (*print_rows)(const struct field *rows, size_t count);
	const struct field *rows;
	const size_t *count;
} page_sections[] = {
	{"options daemon", NULL, man_options, daemon_config_fields, &daemon_config_field_count},
	{"options server", NULL, man_options, server_config_fields, &server_config_field_count},
	{"options client", NULL, man_options, client_config_fields, &client_config_field_count},
	{"keys daemon", NULL, man_keys, daemon_config_fields, &daemon_config_field_count},
	{"keys server", NULL, man_keys, server_config_fields, &server_config_field_count},
	{"keys client", NULL, man_keys, client_config_fields, &client_config_field_count},
	{"keys mapping", NULL, man_keys, config_mapping_fields, &config_mapping_field_count},
	{.name = "options beside", .print = man_options_beside},
	{.name = "options rstunctl", .print = man_command_globals},
	{.name = "commands", .print = man_commands},
	{.name = "methods", .print = rows_methods},
	{.name = "objects", .print = rows_objects},
	{.name = "events", .print = rows_events},
	{.name = "errors", .print = rows_errors},
};

static bool page_section(const char *name)
{
	int status;

	if (sscanf(name, "kinds %d", &status) == 1) {
		rows_kinds(status);
		return true;
	}
	for (size_t i = 0; i < sizeof(page_sections) / sizeof(page_sections[0]); i++) {
		const struct page_section *s = &page_sections[i];

		if (strcmp(name, s->name) != 0)
			continue;
		if (s->print != NULL)
			s->print();
		else
			s->print_rows(s->rows, *s->count);
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	static const char marker[] = "@ROWS ";
	char line[4096], *end;
	FILE *page;
	int status = 0;

	if (argc != 2) {
		fputs("Usage: man_rows PAGE.in >PAGE\n", stderr);
		return 2;
	}
	page = fopen(argv[1], "r");
	if (page == NULL) {
		perror(argv[1]);
		return 1;
	}
	while (status == 0 && fgets(line, sizeof(line), page) != NULL) {
		if (strncmp(line, marker, sizeof(marker) - 1) != 0) {
			fputs(line, stdout);
			continue;
		}
		end = strchr(line + 1, '@');
		if (end != NULL)
			*end = '\0';
		if (end == NULL || !page_section(line + sizeof(marker) - 1)) {
			fprintf(stderr, "man_rows: %s: there is no section \"%s\"\n", argv[1],
				line + sizeof(marker) - 1);
			status = 1;
		}
	}
	if (ferror(page) || fflush(stdout) != 0 || ferror(stdout)) {
		perror("man_rows");
		status = 1;
	}
	fclose(page);
	return status;
}
