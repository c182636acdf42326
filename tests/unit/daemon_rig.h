/* SPDX-License-Identifier: MIT */
/*
 * A daemon without threads: everything the main thread holds is real, but its workers were never
 * started, so what they are told stays in their mailboxes and what they would answer is said by the
 * test. The clock is the loop's, which the test sets. Failures abort the test.
 */
#pragma once

#include "rstund/daemon_config.h"
#include "rstund/daemon_private.h"

#include <stdbool.h>

#define DAEMON_RIG_WORKERS 2
#define DAEMON_RIG_LOG_SIZE 16384

struct daemon_rig {
	struct daemon d;
	struct daemon_config config;
	struct daemon_params params;
	char log[DAEMON_RIG_LOG_SIZE]; /* "warn text\n" of each line */
	size_t log_bytes;
};

/* With state_dir NULL nothing is kept. */
void daemon_rig_init(struct daemon_rig *r, const char *state_dir);
void daemon_rig_done(struct daemon_rig *r);

/* A client of that name, which dials where nobody is. */
struct held_client *daemon_rig_client(struct daemon_rig *r, const char *name,
				      enum rpc_origin origin);
/* NULL: no name. */
struct held_mapping *daemon_rig_mapping(struct daemon_rig *r, const char *client, const char *name,
					const char *spec, enum rpc_origin origin);
/* Its worker lets go of it. */
void daemon_rig_let_go(struct daemon_rig *r, uint64_t number);
/* By name or spec; NULL = it is not there. */
struct held_mapping *daemon_rig_find(struct daemon_rig *r, const char *name_or_spec);
/* The entries, with ", " between them. */
void daemon_rig_assert_list(char *const *list, const char *joined);
/* The mapping says this, "OUT^9000^ANY". */
void daemon_rig_assert_spec(const struct held_mapping *m, const char *spec);
