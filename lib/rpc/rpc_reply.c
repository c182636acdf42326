/* SPDX-License-Identifier: MIT */
/*
 * Lines out of results, errors and requests; replies read; batches put together.
 */
#include "rpc/rpc_message.h"

#include "base/error.h"
#include "rpc/field_json.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RPC_DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(12))

/* Takes `object` over. */
static char *rpc_message_line(json_t *object, size_t *ret_bytes)
{
	char *text = object != NULL ? json_dumps(object, RPC_DUMP_FLAGS) : NULL, *line;
	size_t bytes;

	json_decref(object);
	if (text == NULL)
		return NULL;
	bytes = strlen(text);
	line = realloc(text, bytes + 2);
	if (line == NULL) {
		free(text);
		return NULL;
	}
	line[bytes] = '\n';
	line[bytes + 1] = '\0';
	*ret_bytes = bytes + 1;
	return line;
}

/* {"jsonrpc":"2.0","id":...}; NULL when memory is short. */
static json_t *rpc_message_reply(const json_t *id)
{
	json_t *reply = json_object();
	json_t *value = id != NULL ? json_incref((json_t *)(uintptr_t)id) : json_null();

	if (json_object_set_new(reply, "jsonrpc", json_string("2.0")) == 0 &&
	    json_object_set(reply, "id", value) == 0) {
		json_decref(value);
		return reply;
	}
	json_decref(value);
	json_decref(reply);
	return NULL;
}

char *rpc_message_result(const json_t *id, json_t *result, size_t *ret_bytes)
{
	json_t *reply;

	if (result == NULL)
		return NULL;
	reply = rpc_message_reply(id);
	if (json_object_set_new(reply, "result", result) != 0) {
		json_decref(reply);
		return NULL;
	}
	return rpc_message_line(reply, ret_bytes);
}

static bool rpc_message_add_text(json_t *object, const char *name, const char *text)
{
	return text[0] == '\0' || json_object_set_new(object, name, field_json_string(text)) == 0;
}

static json_t *rpc_message_error_data(const struct rpc_error *e)
{
	json_t *data = json_object();

	if (json_object_set_new(data, "kind", field_json_string(e->kind)) == 0 &&
	    rpc_message_add_text(data, "field", e->field) &&
	    rpc_message_add_text(data, "value", e->value) &&
	    rpc_message_add_text(data, "hint", e->hint) &&
	    json_object_set_new(data, "retryable", json_boolean(e->retryable)) == 0 &&
	    (e->retry_after_ms > INT64_MAX ||
	     json_object_set_new(data, "retry_after_ms",
				 json_integer((json_int_t)e->retry_after_ms)) == 0))
		return data;
	json_decref(data);
	return NULL;
}

char *rpc_message_error(const json_t *id, const struct rpc_error *e, json_t *more,
			size_t *ret_bytes)
{
	json_t *reply = rpc_message_reply(id), *error = json_object();
	json_t *data = rpc_message_error_data(e);
	bool ok = data != NULL && (more == NULL || json_object_update_missing(data, more) == 0);

	json_decref(more);
	if (ok && json_object_set_new(error, "code", json_integer(e->code)) == 0 &&
	    json_object_set_new(error, "message", field_json_string(e->message)) == 0 &&
	    json_object_set(error, "data", data) == 0 &&
	    json_object_set(reply, "error", error) == 0) {
		json_decref(data);
		json_decref(error);
		return rpc_message_line(reply, ret_bytes);
	}
	json_decref(data);
	json_decref(error);
	json_decref(reply);
	return NULL;
}

char *rpc_message_request(const json_t *id, const char *method, json_t *params, size_t *ret_bytes)
{
	json_t *request = json_object();
	bool ok = json_object_set_new(request, "jsonrpc", json_string("2.0")) == 0;

	if (id != NULL)
		ok = ok && json_object_set(request, "id", (json_t *)(uintptr_t)id) == 0;
	ok = ok && json_object_set_new(request, "method", json_string(method)) == 0;
	if (params != NULL)
		ok = ok && json_object_set(request, "params", params) == 0;
	json_decref(params);
	if (ok)
		return rpc_message_line(request, ret_bytes);
	json_decref(request);
	return NULL;
}

static void rpc_message_copy(char *buf, size_t size, const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	snprintf(buf, size, "%s", text != NULL ? text : "");
}

int rpc_message_read_reply(const json_t *reply, json_t **ret_result, struct rpc_error *error)
{
	const json_t *failure = json_object_get(reply, "error");
	json_t *result = json_object_get(reply, "result");
	const json_t *data = json_object_get(failure, "data");
	json_int_t code = json_integer_value(json_object_get(failure, "code"));
	const json_t *after = json_object_get(data, "retry_after_ms");

	if ((failure == NULL) == (result == NULL))
		return RSTUN_E_MALFORMED;
	memset(error, 0, sizeof(*error));
	if (result != NULL) {
		*ret_result = json_incref(result);
		return 0;
	}
	if (!json_is_object(failure) || code == 0 || code < INT_MIN || code > INT_MAX)
		return RSTUN_E_MALFORMED;
	error->code = (int)code;
	error->retryable = json_is_true(json_object_get(data, "retryable"));
	error->retry_after_ms = json_is_integer(after) && json_integer_value(after) >= 0
					? (uint64_t)json_integer_value(after)
					: UINT64_MAX;
	rpc_message_copy(error->message, sizeof(error->message), failure, "message");
	rpc_message_copy(error->kind, sizeof(error->kind), data, "kind");
	rpc_message_copy(error->field, sizeof(error->field), data, "field");
	rpc_message_copy(error->value, sizeof(error->value), data, "value");
	rpc_message_copy(error->hint, sizeof(error->hint), data, "hint");
	if (error->kind[0] == '\0')
		snprintf(error->kind, sizeof(error->kind), "%s", rpc_error_row((int)code)->kind);
	return 0;
}

/* ---- Batches --------------------------------------------------------------------------------- */

void rpc_batch_init(struct rpc_batch *b, size_t replies)
{
	*b = (struct rpc_batch){.waiting = replies};
}

static bool rpc_batch_append(struct rpc_batch *b, const char *text, size_t bytes)
{
	if (b->room - b->bytes <= bytes) {
		size_t room = (b->bytes + bytes) * 2 + 64;
		char *more = realloc(b->text, room);

		if (more == NULL)
			return false;
		b->text = more;
		b->room = room;
	}
	memcpy(b->text + b->bytes, text, bytes);
	b->bytes += bytes;
	b->text[b->bytes] = '\0';
	return true;
}

bool rpc_batch_add(struct rpc_batch *b, const char *line, size_t bytes)
{
	if (line == NULL || !rpc_batch_append(b, b->bytes == 0 ? "[" : ",", 1) ||
	    !rpc_batch_append(b, line, bytes - 1)) /* without its newline */
		b->failed = true;
	if (b->waiting > 0)
		b->waiting--;
	if (b->waiting == 0 && b->bytes > 0 && !rpc_batch_append(b, "]\n", 2))
		b->failed = true;
	return b->waiting == 0;
}

char *rpc_batch_take(struct rpc_batch *b, size_t *ret_bytes)
{
	char *text = b->text;

	if (b->failed || b->waiting > 0 || text == NULL)
		return NULL;
	*ret_bytes = b->bytes;
	b->text = NULL;
	b->bytes = b->room = 0;
	return text;
}

void rpc_batch_done(struct rpc_batch *b)
{
	free(b->text);
	*b = (struct rpc_batch){.waiting = 0};
}
