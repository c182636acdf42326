/* SPDX-License-Identifier: MIT */
/*
 * What the daemon as a whole is told, whatever roles it has: options of plain `rstund`, the keys of
 * the configuration's section [daemon], and beside a role on the command line those that make sense
 * there. One table of rows for all of them. Plain data: built on one thread, then shared read-only;
 * whoever made it frees it.
 */
#pragma once

#include "base/field.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon_config {
	char *config_file;   /* --config */
	bool check_config;
	char *socket;        /* path of the control socket; NULL = the default one */
	char *admin_group;   /* may change things; name or number, NULL = only root and our user */
	char *monitor_group; /* may read, on a socket of its own; NULL = there is none */
	char *state_dir;
	uint64_t workers;    /* 0 = cores */
	int loglevel;        /* enum log_level */
	int log_format;      /* enum log_sink_format */
	bool flow_log;       /* a line per flow that was closed */
	uint64_t drain_ms;   /* how long flows may finish when the daemon is told to end */
	uint64_t ready_fd;   /* UINT64_MAX = none */
	bool exit_on_failure;
};

#define DAEMON_CONFIG_ROWS_MAX 32

extern const struct field daemon_config_fields[];
extern const size_t daemon_config_field_count; /* at most DAEMON_CONFIG_ROWS_MAX */

/* What a row is for: its place in the table is its bit in sets of rows. */
static inline uint32_t daemon_config_bit(const struct field *row)
{
	return UINT32_C(1) << (row - daemon_config_fields);
}

/* A row that is also an option beside a role (`rstund client ... --socket PATH`): the role has no
 * row of that name itself. */
bool daemon_config_beside_role(const struct field *row);

/* A row that is a key of the section [daemon] too. */
bool daemon_config_in_file(const struct field *row);

/* Clears the struct and sets the defaults. RSTUN_E_NOMEM. */
int daemon_config_init(struct daemon_config *c);

/* Copies the members of the rows in `rows` (daemon_config_bit): what the command line says wins
 * over the file. All or nothing is not promised on RSTUN_E_NOMEM. */
int daemon_config_overlay(struct daemon_config *to, const struct daemon_config *from,
			  uint32_t rows);

void daemon_config_free(struct daemon_config *c); /* members only; accepts NULL */
