/* SPDX-License-Identifier: MIT */
/*
 * From the rows of options to lists of options and of the configuration's keys.
 */
#include "contrib/man/man_options.h"

#include "contrib/man/man_text.h"
#include "rstund/daemon_config.h"

#include <stdio.h>
#include <string.h>

void man_option_help(const struct field *row, bool key)
{
	char text[2048];
	size_t used = 0;

	for (const char *at = row->help; *at != '\0' && used + 1 < sizeof(text); at++) {
		if (key && at[0] == '-' && at[1] == '-')
			at += 2;
		text[used++] = *at;
	}
	text[used] = '\0';
	man_sentences(text);
	if (row->type == FIELD_CHOICE) {
		fputs("One of", stdout);
		for (int i = 0; row->choices[i] != NULL; i++) {
			fputs(i == 0 ? " " : ", ", stdout);
			man_words(row->choices[i], false);
		}
		puts(".");
	}
	if (row->default_text != NULL) {
		fputs("The default is ", stdout);
		man_words(row->default_text, false);
		puts(".");
	}
	if ((row->flags & FIELD_REQUIRED) != 0)
		puts("Required.");
}

void man_options(const struct field *rows, size_t count)
{
	bool open = false;

	for (size_t i = 0; i < count; i++) {
		const struct field *row = &rows[i];

		if ((row->flags & FIELD_API_ONLY) != 0)
			continue;
		if (row->group != NULL || !open) {
			if (open)
				puts(".El\n.Pp");
			if (row->group != NULL)
				printf(".Em %s :\n", row->group);
			puts(".Bl -tag -width Ds");
			open = true;
		}
		fputs(".It ", stdout);
		if (row->short_name != 0)
			printf("Fl %c , ", row->short_name);
		printf("Fl -%s", row->name);
		if (row->argument != NULL) {
			fputs(" Ar ", stdout);
			man_words(row->argument, true);
		}
		putchar('\n');
		man_option_help(row, false);
	}
	if (open)
		puts(".El");
}

/* Not the options of a role that the file has in [daemon]. */
static bool man_is_key(const struct field *rows, const struct field *row)
{
	if (rows == daemon_config_fields)
		return daemon_config_in_file(row);
	return (row->flags & FIELD_API_ONLY) == 0 &&
	       field_find(daemon_config_fields, daemon_config_field_count, row->name) == NULL;
}

/* What is another matter in a file than on the command line. NULL: nothing. */
static const char *man_key_help(const struct field *row)
{
	if (strcmp(row->name, "password") == 0)
		return "The password that server and client share. There are other ways to give "
		       "it: see above.";
	if (strcmp(row->name, "password-file") == 0)
		return "Read the password from FILE, which only its owner may read.";
	return NULL;
}

void man_keys(const struct field *rows, size_t count)
{
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < count; i++) {
		const struct field *row = &rows[i];

		if (!man_is_key(rows, row))
			continue;
		printf(".It Ic %s No = Ar ", row->name);
		man_words(row->argument != NULL ? row->argument : "yes|no", true);
		putchar('\n');
		if (man_key_help(row) != NULL)
			man_sentences(man_key_help(row));
		else
			man_option_help(row, true);
	}
	puts(".El");
}

void man_options_beside(void)
{
	const char *macro = ".Fl -";

	for (size_t i = 0; i < daemon_config_field_count; i++) {
		if (!daemon_config_beside_role(&daemon_config_fields[i]))
			continue;
		printf("%s%s", macro, daemon_config_fields[i].name);
		macro = " , -";
	}
	putchar('\n');
}
