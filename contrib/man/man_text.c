/* SPDX-License-Identifier: MIT */
/*
 * mdoc source: escapes, sentences, folded JSON. A hyphen is written as a minus sign where it will
 * be copied to a command line or a program (options, JSON), and stays a hyphen in prose. `^` and
 * the quotes have escapes of their own, or they would come out as typographic ones.
 */
#include "contrib/man/man_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define MAN_COLUMNS 70 /* of a line in a display, which is indented */

static void man_char(char c, bool minus, bool macro)
{
	switch (c) {
	case '\\':
		fputs("\\e", stdout);
		break;
	case '^':
		fputs("\\(ha", stdout);
		break;
	case '~':
		fputs("\\(ti", stdout);
		break;
	case '`':
		fputs("\\(ga", stdout);
		break;
	case '\'':
		fputs("\\(aq", stdout);
		break;
	case '-':
		fputs(minus ? "\\-" : "-", stdout);
		break;
	case '"':
		fputs(macro ? "\\(dq" : "\"", stdout);
		break;
	default:
		putchar(c);
	}
}

void man_words(const char *text, bool macro)
{
	bool start = true, minus = false;

	for (const char *at = text; *at != '\0'; at++) {
		if (start) {
			minus = *at == '-';
			/* Alone, punctuation and names of macros are special in macro lines. */
			if (macro || *at == '.' || *at == '\'')
				fputs("\\&", stdout);
		}
		start = *at == ' ' || *at == '(' || *at == '"';
		man_char(*at, minus, macro);
	}
}

/* Bytes of the first sentence, without the blank behind it. */
static size_t man_sentence(const char *text)
{
	const char *at = text;

	for (; *at != '\0'; at++)
		if (strchr(".?!", *at) != NULL && at[1] == ' ' &&
		    (isupper((unsigned char)at[2]) || at[2] == '-' || at[2] == '$'))
			return (size_t)(at + 1 - text);
	return (size_t)(at - text);
}

void man_sentences(const char *text)
{
	char line[2048];

	while (*text != '\0') {
		size_t bytes = man_sentence(text);

		snprintf(line, sizeof(line), "%.*s", (int)bytes, text);
		man_words(line, false);
		putchar('\n');
		text += bytes;
		text += strspn(text, " ");
	}
}

/* Bytes up to where a line may end: behind a comma outside strings. */
static size_t man_json_piece(const char *json)
{
	bool string = false;
	const char *at = json;

	for (; *at != '\0'; at++) {
		if (*at == '\\' && at[1] != '\0')
			at++;
		else if (*at == '"')
			string = !string;
		else if (*at == ',' && !string)
			return (size_t)(at + 1 - json);
	}
	return (size_t)(at - json);
}

static void man_literal(const char *text, size_t bytes, bool shell)
{
	for (size_t i = 0; i < bytes; i++) {
		if (shell && text[i] == '\'')
			fputs("\\(aq\\e\\(aq\\(aq", stdout);
		else
			man_char(text[i], true, false);
	}
}

void man_json(const char *before, const char *json, const char *after, bool shell)
{
	size_t column = strlen(before);
	bool first = true;

	puts(".Bd -literal -offset 2n");
	fputs("\\&", stdout);
	man_literal(before, strlen(before), false);
	while (*json != '\0') {
		size_t bytes = man_json_piece(json);

		if (!first && column + bytes > MAN_COLUMNS) {
			fputs("\n  ", stdout);
			column = 2;
		}
		man_literal(json, bytes, shell);
		column += bytes;
		json += bytes;
		first = false;
	}
	man_literal(after, strlen(after), false);
	puts("\n.Ed");
}

void man_example(const char *before, const char *text)
{
	puts(".Bd -literal -offset 2n");
	fputs("\\&", stdout);
	man_literal(before, strlen(before), false);
	man_literal(text, strlen(text), false);
	puts("\n.Ed");
}
