/* SPDX-License-Identifier: MIT */
/*
 * What was added at run time and survives a restart: `state.json` in the state directory, 0600,
 * because it holds passwords and keys. It is JSON with a schema version, indented, in the order of
 * the arrays given: people look at it and compare copies.
 *
 * A file that cannot be understood (cut, damaged, edited wrongly) is moved aside and told, never
 * overwritten. One of a newer rstund, and one that others can read, are refused and stay where they
 * are. The configuration file of the administrator is never written. Main thread.
 */
#pragma once

#include "base/mapping.h"
#include "rstund/state_dir.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATE_FILE_NAME "state.json"
/* Raised with every change of the form, a new member too: an older rstund would lose it. */
#define STATE_FILE_SCHEMA 1
#define STATE_FILE_BYTES_MAX ((size_t)64 << 20)

/* A client or server. */
struct saved_role {
	char *name;
	json_t *config; /* a reference; an object of all options, secrets included */
};

struct saved_mapping {
	char *name;              /* NULL = none */
	char *spec;              /* OUT^9000^ANY */
	char *client;            /* name */
	int proto;               /* enum mapping_proto */
	int64_t expires_wall_us; /* when it is removed; INT64_MAX = never */
	uint64_t expires_ms;     /* as it was asked for; UINT64_MAX = never */
	bool paused;
};

/* Owns all that it points to; all zero is an empty one. */
struct saved_state {
	struct saved_role *clients;
	size_t client_count;
	struct saved_role *servers;
	size_t server_count;
	struct saved_mapping *mappings;
	size_t mapping_count;
	/* Mappings of the configuration file that are paused: name, or "CLIENT PROTO SPEC". */
	char **paused;
	size_t paused_count;
};

void saved_state_free(struct saved_state *s); /* members only, then it is empty; accepts NULL */

/*
 * Reads the file; without one the state is empty. A damaged one is moved to
 * state.json.corrupt-TIMESTAMP: then the state is empty too, *ret_moved_aside is true and `error`
 * is a sentence for a warning (what is wrong, where the file is now).
 *
 * RSTUN_E_FILE_PERMISSIONS (others can read it; the sentence names the command to run),
 * RSTUN_E_UNSUPPORTED (of a newer rstund), RSTUN_E_PERMISSION_DENIED, RSTUN_E_STATE_WRITE_FAILED
 * (it can neither be read nor moved), RSTUN_E_NOMEM. After a failure the file must not be saved
 * over.
 */
int state_file_load(struct saved_state *ret, const struct state_dir *dir, bool *ret_moved_aside,
		    char error[STATE_DIR_ERROR_SIZE]);

/*
 * Writes the file in the place of the old one, whole and synced, or not at all.
 * RSTUN_E_STATE_WRITE_FAILED: the old file is untouched. RSTUN_E_NOMEM, RSTUN_E_MALFORMED (a text
 * is not UTF-8).
 */
int state_file_save(const struct state_dir *dir, const struct saved_state *s,
		    char error[STATE_DIR_ERROR_SIZE]);
