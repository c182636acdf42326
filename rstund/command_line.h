/* SPDX-License-Identifier: MIT */
/*
 * The command line of rstund: `rstund server|s|client|c OPTIONS`, `rstund --config FILE OPTIONS`,
 * or `rstund OPTIONS` for a daemon that is empty at first. Options, --help and every message about
 * them come from the rows of config/config.h and rstund/daemon_config.h. main() calls
 * command_line_parse, ends with command_line_exit_status if there is nothing to run, logs the
 * warnings once there is a log, and owns the result. Main thread, before others start (getopt, the
 * environment and the terminal are used).
 */
#pragma once

#include "rstund/config_set.h"
#include "rstund/daemon_config.h"
#include "config/config.h"

#include <stddef.h>
#include <stdio.h>

struct password_process;

enum command_line_role {
	COMMAND_LINE_SERVER,
	COMMAND_LINE_CLIENT,
	COMMAND_LINE_NONE, /* no role: what `set` says, which may be nothing */
};

enum command_line_outcome {
	COMMAND_LINE_RUN,    /* the configuration is complete and checked */
	COMMAND_LINE_DONE,   /* --help or --version was answered, or --check-config found nothing */
	COMMAND_LINE_USAGE,  /* something on the command line is wrong; a message was printed */
	COMMAND_LINE_FAILED, /* a password could not be read, or the configuration file is wrong;
			      * messages were printed */
};

/* What --version says. */
struct command_line_about {
	const char *version;        /* "0.1.0" */
	const char *ngtcp2_version; /* "1.24.0" */
	const char *ngtcp2_linkage; /* "static" or "shared" */
};

struct command_line {
	enum command_line_role role;
	struct server_config server; /* of the role that runs; the other is empty */
	struct client_config client;
	/* The daemon's options: defaults, what the file says, what the command line says. Beside a
	 * role, workers, state_dir, ready_fd, exit_on_failure and loglevel are the role's. */
	struct daemon_config daemon;
	/* Rows of daemon that stood on the command line (daemon_config_bit), for
	 * daemon_config_overlay when the file is read again. */
	uint32_t daemon_given;
	struct config_set set;       /* of --config; else nothing in it */
	char **warnings;             /* sentences to log */
	size_t warning_count;
};

/*
 * Fills *ret for COMMAND_LINE_RUN (then command_line_free it; otherwise there is nothing to free).
 * A password in argv is overwritten there. Answers go to `out`, one message to `err`.
 */
enum command_line_outcome command_line_parse(struct command_line *ret, int argc, char **argv,
					     const struct command_line_about *about,
					     const struct password_process *process, FILE *out,
					     FILE *err);

/* 0, 2 or 1: for COMMAND_LINE_DONE, _USAGE and _FAILED. */
int command_line_exit_status(enum command_line_outcome outcome);

/* Frees the members; passwords are wiped. */
void command_line_free(struct command_line *c);

/* Help for all (COMMAND_LINE_NONE) or for one role, wrapped at `width` columns. */
void command_line_help(FILE *to, enum command_line_role role, size_t width);

/* Columns of the terminal behind `to`, 80 if it is none. */
size_t command_line_width(FILE *to);

/* The rows of a role (of COMMAND_LINE_NONE: the daemon's). */
const struct field *command_line_rows(enum command_line_role role, size_t *ret_count);

/* "server", "client", "". */
const char *command_line_role_name(enum command_line_role role);
