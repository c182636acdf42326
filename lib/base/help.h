/* SPDX-License-Identifier: MIT */
/*
 * Text of --help in columns: labels on the left, their text wrapped on the right. Pure but for the
 * writing; nothing is kept. Widths and columns count characters of ASCII text.
 */
#pragma once

#include <stddef.h>
#include <stdio.h>

#define HELP_HARD_BLANK '\x1f' /* in a text: a blank at which no line ends */

/* A terminal's width, or what is read well if it is narrower or wider than that. */
size_t help_width(size_t width);

/* Prints `text` in lines of at most `width` columns; the first one goes on at column `at`, each
 * begins at column `indent` at the earliest. */
void help_wrap(FILE *to, const char *text, size_t at, size_t indent, size_t width);

/* A label on the left, and the text from column `indent`, or below where the label is too long. */
void help_pair(FILE *to, const char *label, const char *text, size_t indent, size_t width);
