/* SPDX-License-Identifier: MIT */
/*
 * The sections of rstunctl(1): its sub-commands and the options that all of them have, from the
 * same table that parses them.
 */
#include "contrib/man/man_commands.h"

#include "contrib/man/man_options.h"
#include "contrib/man/man_text.h"
#include "rstunctl/command.h"

#include <ctype.h>
#include <stdio.h>

static void man_command_options(const struct command *command)
{
	static struct command_option options[COMMAND_OPTIONS_MAX];
	size_t count = command_options(options, command);
	bool open = false;

	for (size_t i = 0; i < count; i++) {
		const struct command_option *o = &options[i];

		if (o->global)
			continue;
		if (!open)
			puts(".Pp\n.Bl -tag -width Ds -compact");
		open = true;
		fputs(".It ", stdout);
		if (o->row->short_name != 0 && o->own)
			printf("Fl %c , ", o->row->short_name);
		printf("Fl -%s", o->name);
		if (command_option_argument(o)[0] != '\0') {
			fputs(" Ar ", stdout);
			man_words(command_option_argument(o), true);
		}
		putchar('\n');
		if (o->negated) {
			printf("Do not %c", tolower((unsigned char)o->row->help[0]));
			man_sentences(o->row->help + 1);
		} else {
			man_option_help(o->row, false);
		}
	}
	if (open)
		puts(".El");
}

void man_commands(void)
{
	for (size_t i = 0; i < command_count; i++) {
		const struct command *c = &commands[i];

		printf(".Ss %s\n.Nm\n.Ic %s\n", c->name, c->name);
		if (c->arguments[0] != '\0') {
			fputs(".Ar ", stdout);
			man_words(c->arguments, true);
			putchar('\n');
		}
		puts(".Pp");
		man_sentences(c->help);
		if (c->remarks != NULL)
			man_sentences(c->remarks);
		man_command_options(c);
		man_example("rstunctl ", c->example);
	}
}

void man_command_globals(void)
{
	man_options(ctl_rows.rows, ctl_rows.count);
}
