/* SPDX-License-Identifier: MIT */
/*
 * The table of sub-commands. Each is a row: most of its options are the rows of the method that it
 * calls, so that a parameter is described once for the API, the command line, --help and
 * completion. Parsing is in arguments.c, help in command_help.c. Constant data.
 */
#pragma once

#include "base/field.h"
#include "rpc/api.h"
#include "rstunctl/ctl.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What the plain words of a sub-command are: for completion. */
enum command_words {
	COMMAND_NOTHING,
	COMMAND_MAPPINGS,  /* ids or names */
	COMMAND_CLIENTS,
	COMMAND_SERVERS,
	COMMAND_SESSIONS,
	COMMAND_SPECS,     /* OUT^9000^ANY, or three words */
	COMMAND_FILE,
	COMMAND_METHOD,
	COMMAND_SHELL,
	COMMAND_COMMAND,
	COMMAND_LEVEL,
	COMMAND_OTHER,
};

/* What was on the command line of a sub-command. */
struct command_input {
	const struct command *command;
	json_t *params;  /* of the method, by options: an object, never NULL */
	void *own;       /* struct of command->own, filled; NULL without */
	char **args;     /* plain words, NULL-terminated */
	size_t arg_count;
};

struct command {
	const char *name;          /* "add", "client add" */
	const char *arguments;     /* "NAME ADDR", for the usage line; "" = none */
	const char *help;          /* one sentence */
	const char *remarks;       /* more of them, or NULL */
	const char *example;       /* without "rstunctl " */
	bool change;               /* it changes something, whatever its method says */
	int method;                /* enum rpc_method whose rows are options; -1 = none */
	int more;                  /* another method that it calls, or -1 */
	const char *leave_out;     /* rows of the method that are no options: " id name " */
	const struct field_rows *own; /* options of its own, or NULL */
	size_t args_min, args_max; /* plain words */
	enum command_words words;
	int (*run)(struct ctl *c, struct command_input *in); /* an exit status */
};

#define COMMAND_NO_METHOD (-1)

extern const struct command commands[];
extern const size_t command_count;

/* Methods that have no sub-command of their own, only `call`. NULL at the end. */
extern const char *const command_call_only[];

/* By full name; NULL = none. */
const struct command *command_find(const char *name);
/* Whether `word` begins names of two words. */
bool command_is_group(const char *word);
/* The nearest name, NULL = none is near. */
const char *command_suggest(const char *name);

/* Rows that are options of the sub-command besides its own: those of the method, and those of the
 * role that is added or set. */
struct command_option {
	const struct field *row;
	const struct field_rows *rows; /* the set that it is from; NULL = a file, see below */
	bool own, global;
	const char *content;           /* names a file whose content is this parameter */
	bool from_stdin;               /* ... or takes it from standard input */
	bool negated;                  /* --no-persist: the row is on by default */
	char name[64];                 /* as it is on the command line */
};

#define COMMAND_OPTIONS_MAX 96

/* All options of a sub-command (NULL = only the global ones), in the order of --help. Returns how
 * many. */
size_t command_options(struct command_option ret[COMMAND_OPTIONS_MAX],
		       const struct command *command);

/* Rows of a role by the name that methods use ("ClientConfig"); NULL = none. */
const struct field_rows *command_role(const char *name);

/* ---- arguments.c -------------------------------------------------------------------------- */

/*
 * Fills c->options and *ret. `ret->command` NULL: nothing is to be run (help or version was asked
 * for, or there is no sub-command). What is wrong is said.
 */
int arguments_parse(struct ctl *c, struct command_input *ret, int argc, char **argv);
void arguments_free(struct ctl *c, struct command_input *in);

/* ---- command_help.c -------------------------------------------------------------------------- */

/* Of a sub-command, of a group ("client"), or (NULL, NULL) of the program. */
void command_help(FILE *to, const struct command *command, const char *group, size_t width);
/* What is written behind an option: its argument, or "". */
const char *command_option_argument(const struct command_option *option);
