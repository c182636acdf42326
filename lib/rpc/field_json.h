/* SPDX-License-Identifier: MIT */
/*
 * Structs from JSON objects and back, by their rows. Names are written with `_` for `-`. Rows that
 * are FIELD_CLI_ONLY or name a file (FIELD_FILE) have no JSON form: no path crosses the socket.
 * A secret is read and never written (but into the state file): an object has `password_set` in its
 * place, and no message shows its value. Durations are integers of milliseconds. Integers end at
 * 2^63 - 1. No state, any thread.
 */
#pragma once

#include "base/field.h"
#include "rpc/api.h"

#include <jansson.h>

#define FIELD_JSON_NAME_SIZE 64

/* From now on JSON leaves nothing behind in freed memory: lines with passwords become trees, and
 * state files are made of them. Before the first value, while there is one thread. */
void field_json_wipe_memory(void);

/*
 * Sets the defaults, then every member that `object` has (NULL = an empty object). An unknown
 * member is refused with the nearest name, null stands for "not given" where a row is not required.
 * Every row's check is run. On failure `out` holds nothing to free, `error` is set
 * (RPC_INVALID_PARAMS with field and value, or RPC_INTERNAL), and a negative value is returned.
 */
int field_json_decode(const struct field_rows *rows, void *out, const json_t *object,
		      struct rpc_error *error);

/*
 * The same for what a daemon of another version sends: unknown members are ignored, an unknown
 * choice is -1, lengths and missing members are not looked at. A wrong type is RPC_INTERNAL.
 */
int field_json_read(const struct field_rows *rows, void *out, const json_t *object,
		    struct rpc_error *error);

/* Only the members that `object` has; null sets one to its default. On failure `error` is set and
 * some members may have changed: work on a copy (field_copy). */
int field_json_update(const struct field_rows *rows, void *out, const json_t *object,
		      struct rpc_error *error);

/* Whether `out` has each secret that a `_set` mark in the object says to be there: who passes a
 * configuration back relies on it, and there may be none to keep. RPC_INVALID_PARAMS. */
int field_json_check_marks(const struct field_rows *rows, const void *out, const json_t *object,
			   struct rpc_error *error);

/* The params of a method: its `config` (struct rpc_method_row) put in order, decoded as above, and
 * the method's own check. */
int field_json_decode_params(const struct rpc_method_row *method, void *out, const json_t *params,
			     struct rpc_error *error);

/* A new reference; NULL when memory is short. Members that are not given are left out. What is not
 * UTF-8 in a string is escaped as \xHH. */
json_t *field_json_encode(const struct field_rows *rows, const void *in);

/* The same with the secrets themselves in place of the `_set` marks, so that the object can be
 * decoded into the same struct again. For the daemon's state file only: what this returns never
 * goes to a caller, an event or a log line. NULL also when a secret is not UTF-8. */
json_t *field_json_encode_secrets(const struct field_rows *rows, const void *in);

/* One member by itself; *ret stays NULL when it is not given. RSTUN_E_NOMEM. */
int field_json_encode_member(json_t **ret, const struct field *row, const void *in);

/* A JSON string of any bytes; what is not UTF-8 becomes \xHH. NULL when memory is short. */
json_t *field_json_string(const char *text);

/* The row's name in JSON. Returns buf. */
const char *field_json_name(char buf[FIELD_JSON_NAME_SIZE], const struct field *row);

/* The row of a member's name, NULL = none. */
const struct field *field_json_find(const struct field_rows *rows, const char *key);

/* Whether the row has a JSON form at all. */
bool field_json_has(const struct field *row);
