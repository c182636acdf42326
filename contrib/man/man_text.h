/* SPDX-License-Identifier: MIT */
/*
 * Text as mdoc source on standard output: what is special there is escaped, a sentence begins on a
 * line of its own, JSON is folded at commas so that it fits a terminal. For the program that makes
 * the man pages (man_rows.c); one thread.
 */
#pragma once

#include <stdbool.h>

/* The text within a line; `macro` when the line begins with a macro. No newline. */
void man_words(const char *text, bool macro);

/* Whole lines, one for each sentence. */
void man_sentences(const char *text);

/* A display of one example: `before`, the JSON, `after`. Between them, and not inside, a line may
 * end where JSON allows a blank. With `shell` the JSON stands in single quotes of a shell. */
void man_json(const char *before, const char *json, const char *after, bool shell);

/* A display of one line, as it is. */
void man_example(const char *before, const char *text);
