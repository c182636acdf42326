/* SPDX-License-Identifier: MIT */
/*
 * A section of the configuration: its heading, its keys, what it must say as a whole. Keys are set
 * by the rows of the options, whose messages are put into the words of a file ("--addr: ..." is
 * key `addr`).
 */
#include "rstund/config_file_private.h"

#include "base/error.h"
#include "base/log.h"
#include "rstund/password.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_QUOTE_SIZE 161

static const struct {
	const char *word;
	enum config_kind kind;
} config_kinds[] = {
	{"daemon", CONFIG_KIND_DAEMON},
	{"client", CONFIG_KIND_CLIENT},
	{"server", CONFIG_KIND_SERVER},
	{"mapping", CONFIG_KIND_MAPPING},
};
#define CONFIG_KIND_COUNT (sizeof(config_kinds) / sizeof(config_kinds[0]))

static const char *config_quote(char buf[CONFIG_QUOTE_SIZE], const char *text)
{
	return log_quote(buf, CONFIG_QUOTE_SIZE, text, strlen(text));
}

static const struct field *config_rows(enum config_kind kind, size_t *ret_count)
{
	switch (kind) {
	case CONFIG_KIND_DAEMON:
		*ret_count = daemon_config_field_count;
		return daemon_config_fields;
	case CONFIG_KIND_CLIENT:
		*ret_count = client_config_field_count;
		return client_config_fields;
	case CONFIG_KIND_SERVER:
		*ret_count = server_config_field_count;
		return server_config_fields;
	case CONFIG_KIND_MAPPING:
		*ret_count = config_mapping_field_count;
		return config_mapping_fields;
	case CONFIG_KIND_NONE:
	case CONFIG_KIND_SKIP:
		break;
	}
	*ret_count = 0;
	return NULL;
}

char *config_plain(char *text)
{
	char *to = text;

	for (const char *from = text; *from != '\0';) {
		bool begins = from == text || strchr(" (\"", from[-1]) != NULL;

		if (begins && from[0] == '-' && from[1] == '-' && from[2] >= 'a' && from[2] <= 'z')
			from += 2;
		*to++ = *from++;
	}
	*to = '\0';
	return text;
}

void config_section_wrong(struct config_reader *r, struct config_section *s, unsigned line,
			  char *message)
{
	char *colon = strstr(message, ": "), key[64];

	if (strncmp(message, "--", 2) == 0 && colon != NULL &&
	    (size_t)(colon - message) < sizeof(key) + 2) {
		const struct field *row;

		snprintf(key, sizeof(key), "%.*s", (int)(colon - message) - 2, message + 2);
		row = field_find(s->rows, s->count, key);
		if (row != NULL) {
			if (line == 0)
				line = s->lines[row - s->rows];
			config_reader_wrong(r, line != 0 ? line : s->line, 0, key, "%s",
					    config_plain(colon + 2));
			return;
		}
	}
	config_reader_wrong(r, line != 0 ? line : s->line, 0, NULL, "%s: %s", s->label,
			    config_plain(message));
}

/* ---- The heading ----------------------------------------------------------------------------- */

void config_section_init(struct config_section *s)
{
	memset(s, 0, sizeof(*s));
}

static enum config_kind config_find_kind(const char *word, size_t bytes)
{
	for (size_t i = 0; i < CONFIG_KIND_COUNT; i++)
		if (strlen(config_kinds[i].word) == bytes &&
		    strncmp(config_kinds[i].word, word, bytes) == 0)
			return config_kinds[i].kind;
	return CONFIG_KIND_SKIP;
}

static void config_section_unknown(struct config_reader *r, struct config_section *s,
				   const char *heading, size_t word_bytes)
{
	const char *near = NULL;
	char word[32];

	if (word_bytes < sizeof(word)) {
		snprintf(word, sizeof(word), "%.*s", (int)word_bytes, heading);
		for (size_t i = 0; i < CONFIG_KIND_COUNT; i++)
			if (strcasecmp(word, config_kinds[i].word) == 0 ||
			    field_distance(word, config_kinds[i].word) <= 2)
				near = config_kinds[i].word;
	}
	if (near != NULL)
		config_reader_wrong(r, s->line, 0, NULL, "unknown section %s (did you mean "
							 "[%s%s]?)",
				    s->label, near, strcmp(near, "daemon") == 0 ? "" : " NAME");
	else
		config_reader_wrong(r, s->line, 0, NULL,
				    "unknown section %s: there are [daemon], [client NAME], "
				    "[server "
				    "NAME] and [mapping NAME]", s->label);
}

/* Whether the section is there already, which is told. */
static bool config_section_is_double(struct config_reader *r, const struct config_section *s,
				     const char *name)
{
	const struct config_name *first = config_reader_name(r, s->kind, name, s->line);

	if (first != NULL)
		config_reader_wrong(r, s->line, 0, NULL, "%s stands twice: first in line %u%s%s",
				    s->label, first->line, first->file != NULL ? " of " : "",
				    first->file != NULL ? first->file : "");
	return first != NULL;
}

/* The name in the heading: a section without a usable one is read, for its errors, and not kept. */
static void config_section_take_name(struct config_reader *r, struct config_section *s,
				     const char *word, const char *name)
{
	char why[256];

	if (*name == '\0') {
		config_reader_wrong(r, s->line, 0, NULL, "%s needs a name: write [%s NAME]",
				    s->label, word);
		return;
	}
	if (config_name_check(name, why, sizeof(why)) != 0) {
		config_reader_wrong(r, s->line, 0, NULL, "%s: %s", s->label, why);
		return;
	}
	if (config_section_is_double(r, s, name))
		return;
	s->name = strdup(name);
	r->nomem = r->nomem || s->name == NULL;
}

static void config_section_begin_daemon(struct config_reader *r, struct config_section *s,
					const char *name)
{
	s->config = &r->set->daemon;
	if (*name != '\0')
		config_reader_wrong(r, s->line, 0, NULL, "%s: there is one daemon, and it has no "
							 "name: write [daemon]", s->label);
	config_section_is_double(r, s, "");
}

void config_section_begin(struct config_reader *r, struct config_section *s, unsigned line,
			  const char *heading)
{
	size_t word_bytes = strcspn(heading, " \t");
	const char *name = heading + word_bytes + strspn(heading + word_bytes, " \t");
	char quoted[CONFIG_QUOTE_SIZE];
	int rv = 0;

	config_section_end(r, s);
	config_section_init(s);
	s->line = line;
	s->kind = config_find_kind(heading, word_bytes);
	snprintf(s->label, sizeof(s->label), "[%s]", config_quote(quoted, heading));
	s->rows = config_rows(s->kind, &s->count);
	switch (s->kind) {
	case CONFIG_KIND_DAEMON:
		config_section_begin_daemon(r, s, name);
		break;
	case CONFIG_KIND_CLIENT:
		config_section_take_name(r, s, "client", name);
		s->config = &s->client;
		rv = client_config_init(&s->client);
		break;
	case CONFIG_KIND_SERVER:
		config_section_take_name(r, s, "server", name);
		s->config = &s->server;
		rv = server_config_init(&s->server);
		break;
	case CONFIG_KIND_MAPPING:
		config_section_take_name(r, s, "mapping", name);
		s->config = &s->mapping;
		rv = field_set_defaults(s->rows, s->count, &s->mapping);
		break;
	case CONFIG_KIND_NONE:
	case CONFIG_KIND_SKIP:
		s->kind = CONFIG_KIND_SKIP;
		config_section_unknown(r, s, heading, word_bytes);
		break;
	}
	r->nomem = r->nomem || rv != 0;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

/* Whether a row is a key of this section. */
static bool config_row_belongs(enum config_kind kind, const struct field *row)
{
	static const char *const of_the_daemon[] = {"workers", "loglevel", "state-dir",
						    "exit-on-failure", "ready-fd"};

	if ((row->flags & FIELD_API_ONLY) != 0)
		return false;
	if (kind == CONFIG_KIND_DAEMON)
		return daemon_config_in_file(row);
	for (size_t i = 0; i < sizeof(of_the_daemon) / sizeof(of_the_daemon[0]); i++)
		if (strcmp(row->name, of_the_daemon[i]) == 0)
			return false;
	return true;
}

static void config_key_unknown(struct config_reader *r, struct config_section *s, unsigned line,
			       const char *key)
{
	const struct field *row = field_find(daemon_config_fields, daemon_config_field_count, key);
	const struct field *near = NULL;
	char quoted[CONFIG_QUOTE_SIZE];
	size_t best = SIZE_MAX;

	config_quote(quoted, key);
	if (row != NULL && !daemon_config_in_file(row)) {
		config_reader_wrong(r, line, 0, quoted, "this is an option of the command line "
							"only");
		return;
	}
	for (size_t i = 0; i < CONFIG_KIND_COUNT; i++) {
		size_t count;
		const struct field *rows = config_rows(config_kinds[i].kind, &count);

		row = field_find(rows, count, key);
		if (row == NULL || !config_row_belongs(config_kinds[i].kind, row))
			continue;
		config_reader_wrong(r, line, 0, quoted, "it has no place in %s: it belongs in "
							"[%s%s]",
				    s->label, config_kinds[i].word,
				    config_kinds[i].kind == CONFIG_KIND_DAEMON ? "" : " NAME");
		return;
	}
	for (size_t i = 0; i < s->count; i++) {
		size_t distance = field_distance(key, s->rows[i].name);

		if (!config_row_belongs(s->kind, &s->rows[i]) || distance > strlen(key) / 3 ||
		    distance >= best)
			continue;
		best = distance;
		near = &s->rows[i];
	}
	if (near == NULL && s->kind == CONFIG_KIND_DAEMON && field_distance(key, "include") <= 2)
		config_reader_wrong(r, line, 0, quoted, "unknown key (did you mean include?)");
	else if (near == NULL && s->kind == CONFIG_KIND_MAPPING && strncmp(key, "map", 3) == 0)
		config_reader_wrong(r, line, 0, quoted, "unknown key (did you mean spec?)");
	else if (near != NULL)
		config_reader_wrong(r, line, 0, quoted, "unknown key (did you mean "
							"%s?)", near->name);
	else
		config_reader_wrong(r, line, 0, quoted, "unknown key in %s", s->label);
}

/* A file with a secret in it, which the command line takes from standard input, too. */
static bool config_is_secret_file(const struct field *row)
{
	return strcmp(row->name, "password-file") == 0 || strcmp(row->name, "proxy-auth-file") == 0;
}

static bool config_is_path(const struct field *row)
{
	return (row->flags & FIELD_FILE) != 0 || strcmp(row->name, "socket") == 0 ||
	       strcmp(row->name, "state-dir") == 0;
}

/* The text that a row is set to: with what was given before, or from where the process is.
 * malloc'ed; NULL without memory. */
static char *config_key_text(struct config_reader *r, struct config_section *s,
			     const struct field *row, const char *value)
{
	size_t i = (size_t)(row - s->rows);
	char *joined;

	if (row->type != FIELD_LIST && (row->flags & FIELD_REPEAT) == 0)
		return config_is_path(row) && value[0] != '\0' ? config_reader_path(r, value)
							       : strdup(value);
	if (s->texts[i] == NULL || s->texts[i][0] == '\0')
		joined = strdup(value);
	else if (value[0] == '\0')
		joined = strdup(s->texts[i]);
	else if (asprintf(&joined, "%s,%s", s->texts[i], value) < 0)
		joined = NULL;
	if (joined == NULL)
		return NULL;
	free(s->texts[i]);
	s->texts[i] = joined;
	return strdup(joined);
}

static void config_key_set(struct config_reader *r, struct config_section *s, unsigned line,
			   const struct field *row, const char *value)
{
	size_t i = (size_t)(row - s->rows), bytes = strlen(value);
	bool adds = row->type == FIELD_LIST || (row->flags & FIELD_REPEAT) != 0;
	char error[FIELD_ERROR_SIZE], *text;
	int rv;

	if (s->lines[i] != 0 && !adds) {
		config_reader_wrong(r, line, 0, row->name, "it is given twice: first in line %u",
				    s->lines[i]);
		s->wrong = true;
		return;
	}
	s->lines[i] = line;
	if (row->type == FIELD_SECRET && bytes > 0)
		r->has_secret = true;
	if (bytes >= 2 && (value[0] == '"' || value[0] == '\'') && value[bytes - 1] == value[0])
		config_diagnostics_add(r->diags, 0, r->file, line, 0, row->name,
				       "the quotes are part of the value: leave them out if they "
				       "are "
				       "not meant");
	if (config_is_secret_file(row) && strcmp(value, "-") == 0) {
		config_reader_wrong(r, line, 0, row->name, "- is standard input, which a "
							   "configuration file cannot use: name a "
							   "file");
		s->wrong = true;
		return;
	}
	text = config_key_text(r, s, row, value);
	if (text == NULL) {
		r->nomem = true;
		return;
	}
	rv = field_set(row, s->config, text, error);
	if (row->type == FIELD_SECRET)
		password_free(text);
	else
		free(text);
	if (rv != 0) {
		config_section_wrong(r, s, line, error);
		s->wrong = true;
	} else if (s->kind == CONFIG_KIND_DAEMON) {
		r->set->daemon_given |= daemon_config_bit(row);
	}
}

void config_section_key(struct config_reader *r, struct config_section *s, unsigned line,
			const char *key, const char *value)
{
	const struct field *row = field_find(s->rows, s->count, key);
	char quoted[CONFIG_QUOTE_SIZE];

	if (s->kind == CONFIG_KIND_SKIP)
		return;
	if (strcmp(key, "include") == 0) {
		if (s->kind == CONFIG_KIND_NONE || s->kind == CONFIG_KIND_DAEMON)
			config_file_include(r, line, value);
		else
			config_reader_wrong(r, line, 0, key, "it has no place in %s: it belongs in "
							     "[daemon] or before the first section",
					    s->label);
		return;
	}
	if (s->kind == CONFIG_KIND_NONE) {
		config_reader_wrong(r, line, 0, config_quote(quoted, key),
				    "only include can stand before the first section: begin with "
				    "[client NAME], [server NAME], [mapping NAME] or [daemon]");
		return;
	}
	if (row == NULL || !config_row_belongs(s->kind, row)) {
		config_key_unknown(r, s, line, key);
		s->wrong = true;
		return;
	}
	config_key_set(r, s, line, row, value);
}

/* ---- The end --------------------------------------------------------------------------------- */

void config_section_end(struct config_reader *r, struct config_section *s)
{
	if (s->kind == CONFIG_KIND_CLIENT)
		config_role_end_client(r, s);
	else if (s->kind == CONFIG_KIND_SERVER)
		config_role_end_server(r, s);
	else if (s->kind == CONFIG_KIND_MAPPING)
		config_mapping_end(r, s);
	for (size_t i = 0; i < s->count; i++)
		free(s->texts[i]);
	free(s->name);
	config_section_init(s);
}
