/* SPDX-License-Identifier: MIT */
/*
 * Completion scripts, made from the table of sub-commands and the rows of their options. Ids and
 * names are asked of the daemon when they are wanted. Pure.
 */
#pragma once

#include "rstunctl/command.h"

#include <stdbool.h>
#include <stdio.h>

/* What a value or word can be. */
enum completion_value {
	COMPLETION_NONE,
	COMPLETION_CHOICES,
	COMPLETION_FILES,
	COMPLETION_MAPPINGS,
	COMPLETION_CLIENTS,
	COMPLETION_SERVERS,
	COMPLETION_SESSIONS,
	COMPLETION_METHODS,
	COMPLETION_COMMANDS,
};

extern const char *const completion_shells[]; /* "bash", "zsh", "fish", NULL at the end */

/* False = there is no such shell. */
bool completion_write(FILE *to, const char *shell);

/* ---- Between the files ----------------------------------------------------------------------- */

enum completion_value completion_of_option(const struct command_option *o);
enum completion_value completion_of_words(const struct command *command);
/* The word that stands for it in the scripts: "mappings"; "" for none and choices. */
const char *completion_kind(enum completion_value value);
/* "table wide tsv json" of an option, or of the words of a command. */
void completion_choices(FILE *to, const char *const *choices);
const char *const *completion_word_choices(const struct command *command);
/* Names of one word that have sub-commands, and global options that have a value, separated by
 * `between`. */
void completion_groups(FILE *to, const char *between);
void completion_global_values(FILE *to, const char *between);
/* `text` for use between single quotes of bash and zsh, or (fish) of fish. */
void completion_quote(FILE *to, const char *text, bool fish);
/* The first word of each name, once. `help` is that of the command, or one for the group. */
void completion_first_words(void (*visit)(FILE *to, const char *word, const char *help), FILE *to);

void completion_bash(FILE *to);
void completion_zsh(FILE *to);
void completion_fish(FILE *to);
