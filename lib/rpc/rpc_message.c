/* SPDX-License-Identifier: MIT */
/*
 * Requests out of lines. Messages about a line that is not JSON never quote it: it may hold a
 * password. Replies and batches are in rpc_reply.c.
 */
#include "rpc/rpc_message.h"

#include "base/error.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RPC_PARSE_FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL)
#define RPC_TOO_BIG 9223372036854775807.0 /* as a double: 2^63 */
#define RPC_EXACT ((double)(UINT64_C(1) << 53))

size_t rpc_message_depth(const char *text, size_t bytes, size_t max)
{
	size_t depth = 0, deepest = 0;
	bool string = false;

	for (size_t i = 0; i < bytes && deepest <= max; i++) {
		switch (text[i]) {
		case '"':
			string = !string;
			break;
		case '\\':
			i += string; /* what follows is no quote that ends it */
			break;
		case '[':
		case '{':
			depth += !string;
			deepest = depth > deepest ? depth : deepest;
			break;
		case ']':
		case '}':
			depth -= !string && depth > 0;
			break;
		default:
			break;
		}
	}
	return deepest;
}

/* ---- What is wrong with a line as a whole ---------------------------------------------------- */

static int rpc_message_one(struct rpc_message *ret, struct rpc_request **ret_request)
{
	*ret = (struct rpc_message){.count = 1, .requests = calloc(1, sizeof(struct rpc_request))};
	*ret_request = ret->requests;
	return ret->requests != NULL ? 0 : RSTUN_E_NOMEM;
}

static const char *rpc_message_why(enum json_error_code code)
{
	switch (code) {
	case json_error_premature_end_of_input:
		return "it ends too early";
	case json_error_end_of_input_expected:
		return "something follows the end of the JSON text";
	case json_error_invalid_utf8:
		return "it is not valid UTF-8";
	case json_error_duplicate_key:
		return "an object has the same member twice";
	case json_error_numeric_overflow:
		return "a number is too large";
	case json_error_null_character:
	case json_error_null_byte_in_key:
		return "it contains a NUL character";
	case json_error_stack_overflow:
		return "it nests too deep";
	default:
		return "it is not JSON";
	}
}

/* The first number that is beyond 64 bits, with the name of the member that it is, or is within. */
static bool rpc_message_find_big(const json_t *value, const char **name)
{
	const char *key, *inner;
	json_t *one;
	size_t i;

	if (json_is_real(value))
		return json_real_value(value) >= RPC_TOO_BIG ||
		       json_real_value(value) < -RPC_TOO_BIG;
	if (json_is_array(value)) {
		json_array_foreach(value, i, one)
			if (rpc_message_find_big(one, name))
				return true;
		return false;
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, one) {
		inner = key;
		if (rpc_message_find_big(one, &inner)) {
			*name = inner;
			return true;
		}
	}
	return false;
}

/* An integer beyond 2^63: the text is read again with all numbers as reals, to find which one. */
static void rpc_message_overflow(struct rpc_message *m, const char *text, size_t bytes)
{
	struct rpc_request *r = &m->requests[0];
	const char *name = "";
	const json_t *params, *id;
	double number;

	m->root = json_loadb(text, bytes, RPC_PARSE_FLAGS | JSON_DECODE_INT_AS_REAL, NULL);
	params = json_object_get(m->root, "params");
	id = json_object_get(m->root, "id");
	if (params == NULL || !rpc_message_find_big(params, &name)) {
		rpc_error_set(&r->error, RPC_PARSE_ERROR,
			      "a number is too large: whole numbers end at 9223372036854775807");
		return;
	}
	rpc_error_set(&r->error, RPC_INVALID_PARAMS,
		      "a number is too large: whole numbers end at 9223372036854775807");
	if (name[0] != '\0') {
		char quoted[100];

		log_quote(quoted, sizeof(quoted), name, strlen(name));
		rpc_error_set(&r->error, RPC_INVALID_PARAMS,
			      "%s: the number is too large, whole numbers end at "
			      "9223372036854775807", quoted);
		snprintf(r->error.field, sizeof(r->error.field), "%s", quoted);
	}
	number = json_real_value(id);
	if (json_is_string(id))
		r->id = json_incref((json_t *)(uintptr_t)id);
	else if (json_is_real(id) && number > -RPC_EXACT && number < RPC_EXACT &&
		 (double)(json_int_t)number == number)
		r->id = json_integer((json_int_t)number);
}

static int rpc_message_refuse(struct rpc_message *ret, int code, const char *text)
{
	struct rpc_request *r;
	int rv = rpc_message_one(ret, &r);

	if (rv == 0)
		rpc_error_set(&r->error, code, "%s", text);
	return rv;
}

int rpc_message_too_long(struct rpc_message *ret)
{
	char text[100];

	snprintf(text, sizeof(text), "the line is too long: at most %d bytes", RPC_LINE_MAX);
	return rpc_message_refuse(ret, RPC_PARSE_ERROR, text);
}

static int rpc_message_not_json(struct rpc_message *ret, const json_error_t *e, const char *text,
				size_t bytes)
{
	enum json_error_code code = json_error_code(e);
	struct rpc_request *r;
	int rv;

	if (code == json_error_out_of_memory)
		return RSTUN_E_NOMEM;
	rv = rpc_message_one(ret, &r);
	if (rv != 0)
		return rv;
	if (code == json_error_numeric_overflow)
		rpc_message_overflow(ret, text, bytes);
	else
		rpc_error_set(&r->error, RPC_PARSE_ERROR, "%s (column %d)", rpc_message_why(code),
			      e->column);
	if (code == json_error_duplicate_key)
		rpc_error_hint(&r->error, "leave all but one of them out");
	else if (r->error.code == RPC_PARSE_ERROR && code != json_error_numeric_overflow)
		rpc_error_hint(&r->error, "one request in a line, like "
			       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.ping\"}");
	return 0;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static void rpc_message_request_in(struct rpc_request *r, json_t *value)
{
	const json_t *version = json_object_get(value, "jsonrpc");
	const json_t *method = json_object_get(value, "method");
	json_t *id = json_object_get(value, "id");
	const char *why = NULL;

	if (json_is_string(id) || json_is_number(id) || json_is_null(id))
		r->id = json_incref(id);
	if (!json_is_object(value))
		why = "a request is an object";
	else if (!json_is_string(version) || strcmp(json_string_value(version), "2.0") != 0)
		why = "jsonrpc must be \"2.0\"";
	else if (id != NULL && r->id == NULL)
		why = "id must be a string, a number or null";
	else if (method == NULL)
		why = "method is missing";
	else if (!json_is_string(method) ||
		 strlen(json_string_value(method)) != json_string_length(method))
		why = "method must be a string without NUL";
	if (why != NULL) {
		rpc_error_set(&r->error, RPC_INVALID_REQUEST, "no request: %s", why);
		rpc_error_hint(&r->error, "a request is like "
			       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"daemon.ping\"}");
		return;
	}
	r->method = json_string_value(method);
	r->params = json_object_get(value, "params"); /* what is no object, its decoder refuses */
}

static int rpc_message_batch(struct rpc_message *ret, json_t *root)
{
	size_t count = json_array_size(root);
	char text[100];

	if (count == 0 || count > RPC_BATCH_MAX) {
		snprintf(text, sizeof(text), "a batch of %zu: it has 1 to %d requests", count,
			 RPC_BATCH_MAX);
		json_decref(root);
		return rpc_message_refuse(ret, RPC_INVALID_REQUEST, text);
	}
	*ret = (struct rpc_message){
		.batch = true,
		.count = count,
		.requests = calloc(count, sizeof(struct rpc_request)),
		.root = root,
	};
	if (ret->requests == NULL) {
		json_decref(root);
		return RSTUN_E_NOMEM;
	}
	for (size_t i = 0; i < count; i++)
		rpc_message_request_in(&ret->requests[i], json_array_get(root, i));
	return 0;
}

int rpc_message_parse(struct rpc_message *ret, const char *text, size_t bytes)
{
	char why[100];
	struct rpc_request *r;
	json_error_t error;
	json_t *root;
	int rv;

	if (rpc_message_depth(text, bytes, RPC_DEPTH_MAX) > RPC_DEPTH_MAX) {
		snprintf(why, sizeof(why), "it nests too deep: at most %d arrays and objects",
			 RPC_DEPTH_MAX);
		return rpc_message_refuse(ret, RPC_PARSE_ERROR, why);
	}
	root = json_loadb(text, bytes, RPC_PARSE_FLAGS, &error);
	if (root == NULL)
		return rpc_message_not_json(ret, &error, text, bytes);
	if (json_is_array(root))
		return rpc_message_batch(ret, root);
	rv = rpc_message_one(ret, &r);
	if (rv != 0) {
		json_decref(root);
		return rv;
	}
	ret->root = root;
	rpc_message_request_in(r, root);
	return 0;
}

void rpc_message_free(struct rpc_message *m)
{
	for (size_t i = 0; i < m->count; i++)
		json_decref(m->requests[i].id);
	free(m->requests);
	json_decref(m->root);
	*m = (struct rpc_message){.count = 0};
}
