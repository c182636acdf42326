/* SPDX-License-Identifier: MIT */
/*
 * JSON-RPC 2.0 messages. A line becomes one or several requests, each either to be dispatched or
 * already refused; replies and errors become lines. Limits (depth, batch) are checked before
 * anything is built from the text. Pure: no sockets here, any thread.
 */
#pragma once

#include "rpc/api.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct rpc_request {
	json_t *id;             /* string, number or null; NULL = a notification: never answered */
	const char *method;     /* borrowed from the message; NULL when error.code is set */
	const json_t *params;   /* an object, or NULL = none given */
	struct rpc_error error; /* code 0: fine. Else the answer, even without an id (null) */
};

struct rpc_message {
	bool batch;
	size_t count;
	struct rpc_request *requests;
	json_t *root;
};

/*
 * Always gives at least one request, but for RSTUN_E_NOMEM (then nothing is to be freed). What is
 * wrong with the line as a whole (not JSON, too deep, duplicate keys, an empty or too large batch)
 * is one refused request with the id null, and `batch` is false.
 */
int rpc_message_parse(struct rpc_message *ret, const char *text, size_t bytes);
void rpc_message_free(struct rpc_message *m); /* members; a zeroed struct is fine */

/* The message of a line that was too long (RSTUN_E_TOO_LARGE from line_reader). */
int rpc_message_too_long(struct rpc_message *ret);

/* Deepest nesting of arrays and objects in the text, strings left out; stops counting past max. */
size_t rpc_message_depth(const char *text, size_t bytes, size_t max);

/* ---- Lines; all are malloc'ed, end with a newline and a NUL, *ret_bytes counts up to the newline
 * and with it. NULL when memory is short. */

/* `id` NULL = null. Takes `result` over (NULL = memory was short while it was made: NULL). */
char *rpc_message_result(const json_t *id, json_t *result, size_t *ret_bytes);

/* `more`: NULL, or an object whose members are added to `data`; taken over. */
char *rpc_message_error(const json_t *id, const struct rpc_error *error, json_t *more,
			size_t *ret_bytes);

/* `id` NULL = a notification. Takes `params` over (NULL = none). */
char *rpc_message_request(const json_t *id, const char *method, json_t *params, size_t *ret_bytes);

/* Reads a reply: *ret_result (a new reference) or error.code. `data.kind` and the rest are kept as
 * they are sent. RSTUN_E_MALFORMED if it is no reply. */
int rpc_message_read_reply(const json_t *reply, json_t **ret_result, struct rpc_error *error);

/* ---- Replies to a batch: one line, an array, when the last one is there --------------------- */

struct rpc_batch {
	size_t waiting; /* replies that are still to come */
	char *text;
	size_t bytes, room;
	bool failed;    /* memory was short: the line will be missing */
};

void rpc_batch_init(struct rpc_batch *b, size_t replies);
/* Adds a line of rpc_message_result or _error (borrowed; NULL = it could not be made). True when it
 * was the last one. */
bool rpc_batch_add(struct rpc_batch *b, const char *line, size_t bytes);
/* The line; NULL when there is nothing to say (notifications only) or memory was short. */
char *rpc_batch_take(struct rpc_batch *b, size_t *ret_bytes);
void rpc_batch_done(struct rpc_batch *b);
