/* SPDX-License-Identifier: MIT */
/*
 * Words are put into lines as they come: one that does not fit begins the next line.
 */
#include "base/help.h"

#include <stdbool.h>
#include <string.h>

#define HELP_WIDTH_LEAST 50
#define HELP_WIDTH_MOST 110 /* longer lines are hard to read */

size_t help_width(size_t width)
{
	if (width < HELP_WIDTH_LEAST)
		return HELP_WIDTH_LEAST;
	return width > HELP_WIDTH_MOST ? HELP_WIDTH_MOST : width;
}

void help_wrap(FILE *to, const char *text, size_t at, size_t indent, size_t width)
{
	bool first = true;

	while (*text != '\0') {
		size_t word = strcspn(text, " ");

		if (!first && at + 1 + word > width) {
			fputc('\n', to);
			at = 0;
			first = true;
		}
		if (first && at < indent) {
			fprintf(to, "%*s", (int)(indent - at), "");
			at = indent;
		}
		if (!first) {
			fputc(' ', to);
			at++;
		}
		for (size_t i = 0; i < word; i++)
			fputc(text[i] == HELP_HARD_BLANK ? ' ' : text[i], to);
		at += word;
		first = false;
		text += word;
		text += strspn(text, " ");
	}
	fputc('\n', to);
}

void help_pair(FILE *to, const char *label, const char *text, size_t indent, size_t width)
{
	size_t at = strlen(label);

	fputs(label, to);
	if (at + 2 > indent) {
		fputc('\n', to);
		at = 0;
	}
	help_wrap(to, text, at, indent, width);
}
