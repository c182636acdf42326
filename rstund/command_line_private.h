/* SPDX-License-Identifier: MIT */
/*
 * Between command_line.c (options) and command_line_complete.c (what follows from them).
 */
#pragma once

#include "rstund/command_line.h"

#include <getopt.h>

#define COMMAND_LINE_OPTIONS_MAX 64

/* An option: its row, and the struct that it fills. */
struct command_line_option {
	const struct field *row;
	void *config;
	bool seen;
	char *text; /* what an option that adds up was given so far */
};

/* A command line while it is read. */
struct command_line_parser {
	const struct command_line_about *about;
	const struct password_process *process;
	FILE *out, *err;
	struct command_line *line;
	struct command_line_option options[COMMAND_LINE_OPTIONS_MAX];
	size_t count;
	struct option longs[COMMAND_LINE_OPTIONS_MAX + 3];
	char shorts[2 * COMMAND_LINE_OPTIONS_MAX + 8];
};

/* Prints a sentence and how to get help. */
__attribute__((format(printf, 2, 3))) enum command_line_outcome
command_line_usage(const struct command_line_parser *p, const char *format, ...);

/* Prints the sentence of a failure; what it means for the exit status. */
enum command_line_outcome command_line_complain(const struct command_line_parser *p, int rv,
						const char *error);

/* After the last option. */
enum command_line_outcome command_line_complete(struct command_line_parser *p);
