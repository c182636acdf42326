/* SPDX-License-Identifier: MIT */
/*
 * --help, made from the rows of the options: a heading per group, the option on the left, its help
 * wrapped on the right with default and choices behind it.
 */
#include "rstund/command_line.h"

#include "base/help.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define HELP_WIDTH_UNKNOWN 80
#define HELP_INDENT 30 /* where the text begins */

size_t command_line_width(FILE *to)
{
	struct winsize size;
	int fd = fileno(to);

	if (fd < 0 || ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return HELP_WIDTH_UNKNOWN;
	return size.ws_col;
}

static void help_row(FILE *to, const struct field *row, size_t width)
{
	char label[80], text[1024];
	size_t used;

	if (row->short_name != 0)
		used = (size_t)snprintf(label, sizeof(label), "  -%c, --%s", row->short_name,
					row->name);
	else
		used = (size_t)snprintf(label, sizeof(label), "      --%s", row->name);
	if (row->argument != NULL && used < sizeof(label))
		snprintf(label + used, sizeof(label) - used, " %s", row->argument);
	used = (size_t)snprintf(text, sizeof(text), "%s", row->help);
	if (row->type == FIELD_CHOICE) {
		for (int i = 0; row->choices[i] != NULL && used < sizeof(text); i++)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 i == 0 ? " One of " : ", ", row->choices[i]);
		if (used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, ".");
	}
	if (row->default_text != NULL && used < sizeof(text))
		used += (size_t)snprintf(text + used, sizeof(text) - used, " [default:%c%s]",
					 HELP_HARD_BLANK, row->default_text);
	if ((row->flags & FIELD_REQUIRED) != 0 && used < sizeof(text))
		snprintf(text + used, sizeof(text) - used, " [required]");
	help_pair(to, label, text, HELP_INDENT, width);
}

static void help_row_of_group(FILE *to, const struct field *row, size_t width)
{
	if (row->group != NULL)
		fprintf(to, "\n%s:\n", row->group);
	help_row(to, row, width);
}

static void help_rows(FILE *to, enum command_line_role role, size_t width)
{
	size_t count;
	const struct field *rows = command_line_rows(role, &count);
	bool first = true;

	for (size_t i = 0; i < count; i++)
		if ((rows[i].flags & FIELD_API_ONLY) == 0)
			help_row_of_group(to, &rows[i], width);
	for (size_t i = 0; i < daemon_config_field_count && role != COMMAND_LINE_NONE; i++) {
		struct field row = daemon_config_fields[i];

		if (!daemon_config_beside_role(&row))
			continue;
		row.group = first ? "Daemon" : NULL;
		first = false;
		help_row_of_group(to, &row, width);
	}
	fprintf(to, "\nGeneral:\n");
	help_row(to, &(struct field){.name = "help", .short_name = 'h', .help = "Show this text."},
		 width);
	help_row(to,
		 &(struct field){.name = "version", .short_name = 'V', .help = "Show versions."},
		 width);
	fputc('\n', to);
	help_wrap(to,
		  "Times in MS are milliseconds; with a unit (500ms, 30s, 5m, 2h, 1d) they may be "
		  "written shorter.",
		  0, 0, width);
}

static void help_client(FILE *to, size_t width)
{
	fputs("Usage: rstund client -a HOST[:PORT] [-t MAPPINGS] [-u MAPPINGS] [OPTION...]\n\n",
	      to);
	help_wrap(to,
		  "Connects to an rstun server, sets mappings up through it, and reconnects when "
		  "the connection is lost.",
		  0, 0, width);
	help_rows(to, COMMAND_LINE_CLIENT, width);
	fputs("\nExamples:\n"
	      "  rstund client -a example.com --password-file pw -t 'OUT^9000^ANY'\n"
	      "  rstund client -a 192.0.2.7:3515 --password-file pw \\\n"
	      "                -t 'IN^3000^0.0.0.0:18080' -u 'OUT^1053^10.0.0.53:53'\n", to);
}

static void help_server(FILE *to, size_t width)
{
	fputs("Usage: rstund server -a [IP:]PORT [OPTION...]\n\n", to);
	help_wrap(to,
		  "Accepts the tunnels of clients that know the password, and forwards their "
		  "traffic.",
		  0, 0, width);
	help_rows(to, COMMAND_LINE_SERVER, width);
	fputs("\nExample:\n"
	      "  rstund server -a 0.0.0.0:3515 --password-file pw -t 8080 \\\n"
	      "                -c cert.pem -k key.pem\n", to);
}

static void help_all(FILE *to, size_t width)
{
	help_wrap(to, "rstund carries TCP and UDP through tunnels over QUIC.", 0, 0, width);
	fputs("\nUsage: rstund [--config FILE] [OPTION...]   run what a file says, or start empty\n"
	      "       rstund server [OPTION...]      accept tunnels, forward traffic (short: s)\n"
	      "       rstund client [OPTION...]      connect, set mappings up (short: c)\n"
	      "       rstund server|client --help\n",
	      to);
	help_rows(to, COMMAND_LINE_NONE, width);
	fputs("\nTo try it on one machine, with something that listens on port 8080:\n"
	      "  rstund server -a 3515 -p 1234 -t 8080\n"
	      "  rstund client -a 127.0.0.1:3515 -p 1234 -t 'OUT^9000^ANY'\n",
	      to);
}

void command_line_help(FILE *to, enum command_line_role role, size_t width)
{
	width = help_width(width);
	switch (role) {
	case COMMAND_LINE_NONE:
		help_all(to, width);
		break;
	case COMMAND_LINE_SERVER:
		help_server(to, width);
		break;
	case COMMAND_LINE_CLIENT:
		help_client(to, width);
		break;
	}
}
