/* SPDX-License-Identifier: MIT */
/*
 * The OpenRPC document. Schemas of nested structs go to components/schemas, where everything else
 * refers to them. Values that could not be made for lack of memory make the whole document NULL:
 * each jansson call fails on NULL, and `failed` remembers it.
 */
#include "rpc/schema.h"

#include "base/error.h"
#include "rpc/api_rows.h"
#include "rpc/field_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA_REF "#/components/schemas/"
#define SCHEMA_NAME_SIZE 80

struct schema {
	json_t *schemas; /* components/schemas */
	bool failed;
};

static void schema_set(struct schema *s, json_t *object, const char *name, json_t *value)
{
	if (json_object_set_new(object, name, value) != 0)
		s->failed = true;
}

static void schema_set_text(struct schema *s, json_t *object, const char *name, const char *text)
{
	if (text != NULL)
		schema_set(s, object, name, json_string(text));
}

static void schema_append(struct schema *s, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) != 0)
		s->failed = true;
}

static json_t *schema_words(struct schema *s, const char *const *words)
{
	json_t *array = json_array();

	for (; *words != NULL; words++)
		schema_append(s, array, json_string(*words));
	return array;
}

static json_t *schema_ref(const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), SCHEMA_REF "%s", name);
	return json_pack("{s:s}", "$ref", text);
}

/* ---- One member ------------------------------------------------------------------------------ */

static void schema_whole(struct schema *s, json_t *to, const struct field *row, bool input)
{
	uint64_t max = row->max == 0 || row->max > INT64_MAX ? INT64_MAX : row->max;

	schema_set_text(s, to, "type", "integer");
	schema_set(s, to, "minimum", json_integer(input ? (json_int_t)row->min : 0));
	schema_set(s, to, "maximum", json_integer(input ? (json_int_t)max : INT64_MAX));
}

/* The length in characters is never more than that in bytes, which is what counts. */
static void schema_string(struct schema *s, json_t *to, const struct field *row, bool input)
{
	schema_set_text(s, to, "type", "string");
	if (!input)
		return;
	schema_set(s, to, "maxLength", json_integer(row->max != 0 ? (json_int_t)row->max : 4096));
	if ((row->flags & FIELD_REQUIRED) != 0)
		schema_set(s, to, "minLength", json_integer(1));
	if (row->type == FIELD_SECRET)
		schema_set(s, to, "writeOnly", json_true());
}

static json_t *schema_struct(struct schema *s, const struct field_rows *rows, bool input);

/* Makes sure that the struct is among the schemas; what is read and what is written have names of
 * their own. */
static void schema_define(struct schema *s, char name[SCHEMA_NAME_SIZE],
			  const struct field_rows *rows, bool input)
{
	snprintf(name, SCHEMA_NAME_SIZE, "%s%s", rows->name, input ? "Input" : "");
	if (json_object_get(s->schemas, name) == NULL) {
		/* A place first: a struct that refers to itself would not end. */
		schema_set(s, s->schemas, name, json_object());
		schema_set(s, s->schemas, name, schema_struct(s, rows, input));
	}
}

static json_t *schema_nested(struct schema *s, const struct field_rows *rows, bool input)
{
	char name[SCHEMA_NAME_SIZE];

	schema_define(s, name, rows, input);
	return schema_ref(name);
}

static void schema_type(struct schema *s, json_t *to, const struct field *row, bool input)
{
	json_t *items;

	switch (row->type) {
	case FIELD_BOOL:
		schema_set_text(s, to, "type", "boolean");
		break;
	case FIELD_UINT:
	case FIELD_MS:
		schema_whole(s, to, row, input);
		break;
	case FIELD_INT:
		schema_set_text(s, to, "type", "integer");
		break;
	case FIELD_DOUBLE:
		schema_set_text(s, to, "type", "number");
		break;
	case FIELD_CHOICE:
		schema_set_text(s, to, "type", "string");
		schema_set(s, to, "enum", schema_words(s, row->choices));
		break;
	case FIELD_STRING:
		schema_string(s, to, row, input);
		break;
	case FIELD_SECRET:
		if (input)
			schema_string(s, to, row, input);
		else
			schema_set_text(s, to, "type", "boolean");
		break;
	case FIELD_LIST:
		items = json_pack("{s:s}", "type", "string");
		if (row->choices != NULL)
			schema_set(s, items, "enum", schema_words(s, row->choices));
		schema_set_text(s, to, "type", "array");
		schema_set(s, to, "items", items);
		break;
	case FIELD_OBJECT:
		schema_set(s, to, "allOf", json_pack("[o]", schema_nested(s, row->rows, input)));
		break;
	case FIELD_OBJECTS:
		schema_set_text(s, to, "type", "array");
		schema_set(s, to, "items", schema_nested(s, row->rows, input));
		break;
	case FIELD_JSON:
		schema_set(s, to, "allOf", json_pack("[o]", json_loads(row->schema, 0, NULL)));
		break;
	}
}

/* The default as the value that it becomes. */
static void schema_default(struct schema *s, json_t *to, const struct field_rows *rows,
			   const struct field *row)
{
	char error[FIELD_ERROR_SIZE];
	json_t *value = NULL;
	void *object = calloc(1, rows->size);

	/* The row's check may look at other members: it is the caller's, not the default's. */
	struct field alone = *row;

	alone.check = NULL;
	if (object == NULL || field_set(&alone, object, row->default_text, error) != 0 ||
	    field_json_encode_member(&value, &alone, object) != 0)
		s->failed = true;
	else if (value != NULL)
		schema_set(s, to, "default", value);
	if (object != NULL)
		field_free(&alone, 1, object);
	free(object);
}

static json_t *schema_member(struct schema *s, const struct field_rows *rows,
			     const struct field *row, bool input)
{
	json_t *to = json_object();

	schema_type(s, to, row, input);
	schema_set_text(s, to, "description", row->help);
	if (input && row->default_text != NULL && row->type != FIELD_SECRET)
		schema_default(s, to, rows, row);
	schema_set_text(s, to, "x-unit", row->unit);
	return to;
}

/* Whether a result always has it. */
static bool schema_always(const struct field *row)
{
	if (row->type == FIELD_STRING || row->type == FIELD_JSON)
		return (row->flags & FIELD_REQUIRED) != 0;
	return (row->flags & FIELD_OPTIONAL) == 0 && row->present == 0;
}

static json_t *schema_struct(struct schema *s, const struct field_rows *rows, bool input)
{
	json_t *object = json_object(), *members = json_object(), *required = json_array();

	for (size_t i = 0; i < rows->count; i++) {
		const struct field *row = &rows->rows[i];
		char name[FIELD_JSON_NAME_SIZE + 4];

		if (!field_json_has(row))
			continue;
		field_json_name(name, row);
		if (row->type == FIELD_SECRET && !input)
			snprintf(name + strlen(name), 5, "_set");
		schema_set(s, members, name, schema_member(s, rows, row, input));
		if (input ? (row->flags & FIELD_REQUIRED) != 0 : schema_always(row))
			schema_append(s, required, json_string(name));
	}
	schema_set_text(s, object, "type", "object");
	schema_set(s, object, "properties", members);
	schema_set(s, object, "required", required);
	if (input)
		schema_set(s, object, "additionalProperties", json_false());
	return object;
}

json_t *schema_object(const struct field_rows *rows, bool input)
{
	struct schema s = {.schemas = json_object()};
	json_t *object = schema_struct(&s, rows, input);

	json_decref(s.schemas);
	if (!s.failed)
		return object;
	json_decref(object);
	return NULL;
}

/* ---- Methods --------------------------------------------------------------------------------- */

static json_t *schema_params(struct schema *s, const struct field_rows *rows)
{
	json_t *params = json_array();

	for (size_t i = 0; i < rows->count; i++) {
		const struct field *row = &rows->rows[i];
		char name[FIELD_JSON_NAME_SIZE];
		json_t *param = json_object();

		schema_set_text(s, param, "name", field_json_name(name, row));
		schema_set_text(s, param, "description", row->help);
		schema_set(s, param, "required",
			   json_boolean((row->flags & FIELD_REQUIRED) != 0));
		schema_set(s, param, "schema", schema_member(s, rows, row, true));
		schema_append(s, params, param);
	}
	return params;
}

static json_t *schema_method(struct schema *s, const struct rpc_method_row *row)
{
	json_t *method = json_object(), *result = json_object();
	const char *dot = strchr(row->name, '.');

	schema_set_text(s, method, "name", row->name);
	schema_set_text(s, method, "summary", row->help);
	schema_set_text(s, method, "description", row->remarks);
	schema_set(s, method, "tags",
		   json_pack("[{s:s%}]", "name", row->name, (size_t)(dot - row->name)));
	schema_set_text(s, method, "paramStructure", "by-name");
	schema_set(s, method, "params", schema_params(s, row->params));
	schema_set_text(s, result, "name", row->result != NULL ? row->result->name : "Result");
	schema_set(s, result, "schema",
		   row->result != NULL ? schema_nested(s, row->result, false)
				       : json_loads(row->result_schema, 0, NULL));
	schema_set(s, method, "result", result);
	/* All of them as one object, for validators. */
	schema_set(s, method, "x-params", schema_nested(s, row->params, true));
	if (row->config != NULL && row->config[0] != '\0')
		schema_set(s, method, "x-config", schema_ref(row->config));
	schema_set(s, method, "x-change", json_boolean(row->change));
	schema_set(s, method, "x-waits", json_boolean(row->waits));
	schema_set(s, method, "x-example", json_loads(row->example, 0, NULL));
	return method;
}

/* ---- Events ---------------------------------------------------------------------------------- */

static json_t *schema_number(void)
{
	return json_pack("{s:s, s:i}", "type", "integer", "minimum", 0);
}

static json_t *schema_event(struct schema *s, const struct rpc_event_row *row)
{
	json_t *event, *members = json_object(), *data = json_object();

	if (row->data != NULL) {
		json_decref(data);
		data = schema_nested(s, row->data, false);
	} else {
		schema_set_text(s, data, "type", "string");
		if (row->words != NULL)
			schema_set(s, data, "enum", schema_words(s, row->words));
	}
	schema_set(s, members, "sub", schema_number());
	schema_set(s, members, "n", schema_number());
	schema_set(s, members, "seq", schema_number());
	schema_set(s, members, "timestamp",
		   json_pack("{s:s, s:s}", "type", "string", "format", "date-time"));
	schema_set(s, members, "type", json_pack("{s:s}", "const", row->name));
	schema_set(s, members, "data", data);
	if (row->tunnel)
		schema_set(s, members, "tunnel", schema_nested(s, &rpc_event_tunnel_rows, false));
	schema_set(s, members, "mapping", json_pack("{s:s}", "type", "string"));
	schema_set(s, members, "name", json_pack("{s:s}", "type", "string"));
	if (row->detail != NULL)
		schema_set(s, members, "detail", schema_nested(s, row->detail, false));
	event = json_pack("{s:s, s:s, s:o, s:[s,s,s,s]}", "type", "object", "description",
			  row->help, "properties", members, "required", "seq", "timestamp", "type",
			  "data");
	schema_set(s, event, "x-on", json_boolean(row->on));
	schema_set(s, event, "x-example", json_loads(row->example, 0, NULL));
	return event;
}

static void schema_events(struct schema *s)
{
	json_t *any = json_array();

	for (int i = 0; i < RPC_EVENT_TYPE_COUNT; i++) {
		char name[64];

		snprintf(name, sizeof(name), "Event%s", rpc_events[i].name);
		name[5] = (char)(name[5] - 'a' + 'A');
		schema_set(s, s->schemas, name, schema_event(s, &rpc_events[i]));
		schema_append(s, any, schema_ref(name));
	}
	schema_set(s, s->schemas, "Event", json_pack("{s:o}", "oneOf", any));
	schema_set(s, s->schemas, "Notification",
		   json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:o}, s:[s,s,s]}", "type", "object",
			     "properties", "jsonrpc", "const", "2.0", "method", "const", "event",
			     "params", schema_ref("Event"), "required", "jsonrpc", "method",
			     "params"));
}

/* ---- Errors ---------------------------------------------------------------------------------- */

static json_t *schema_errors(struct schema *s)
{
	json_t *errors = json_object(), *kinds = json_array(), *codes = json_array();

	for (size_t i = 0; i < rpc_error_count; i++) {
		const struct rpc_error_row *row = &rpc_errors[i];

		schema_set(s, errors, row->kind,
			   json_pack("{s:i, s:s, s:b, s:i}", "code", row->code, "message",
				     row->help, "x-retryable", row->retryable, "x-exit",
				     (int)row->exit));
		schema_append(s, kinds, json_string(row->kind));
		schema_append(s, codes, json_integer(row->code));
	}
	/* `mapping`: what is there instead (already_exists), or how it is (timeout). */
	schema_set(s, s->schemas, "ErrorData",
		   json_pack("{s:s, s:{s:{s:o}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:o, s:o}, s:[s,s]}",
			     "type", "object", "properties", "kind", "enum", kinds, "field", "type",
			     "string", "value", "type", "string", "hint", "type", "string",
			     "retryable", "type", "boolean", "retry_after_ms", schema_number(),
			     "mapping", schema_nested(s, &rpc_mapping_rows, false), "required", "kind",
			     "retryable"));
	schema_set(s, s->schemas, "Error",
		   json_pack("{s:s, s:{s:{s:o}, s:{s:s}, s:o}, s:[s,s,s]}", "type", "object",
			     "properties", "code", "enum", codes, "message", "type", "string",
			     "data", schema_ref("ErrorData"), "required", "code", "message",
			     "data"));
	return errors;
}

/* ---- The document ---------------------------------------------------------------------------- */

/* Rows of others, and an open object for each name that is referred to without them. */
static void schema_extras(struct schema *s, const struct schema_params *p)
{
	static const char *const needed[] = {"ClientConfig", "ServerConfig"};
	char name[SCHEMA_NAME_SIZE];

	for (size_t i = 0; i < p->extra_count; i++) {
		schema_define(s, name, p->extra[i], false);
		schema_define(s, name, p->extra[i], true);
	}
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (json_object_get(s->schemas, needed[i]) == NULL)
			schema_set(s, s->schemas, needed[i], json_pack("{s:s}", "type", "object"));
}

json_t *schema_document(const struct schema_params *p)
{
	struct schema s = {.schemas = json_object()};
	json_t *document = json_object(), *methods = json_array(), *errors;

	for (int i = 0; i < RPC_METHOD_COUNT; i++)
		schema_append(&s, methods, schema_method(&s, &rpc_methods[i]));
	schema_events(&s);
	errors = schema_errors(&s);
	schema_extras(&s, p);
	schema_set_text(&s, document, "openrpc", "1.2.6");
	schema_set(&s, document, "info",
		   json_pack("{s:s, s:s, s:s, s:i}", "title", "rstund control API", "version",
			     p->version, "description",
			     "JSON-RPC 2.0 over a UNIX stream socket, one object in a line. Events "
			     "are notifications of the method \"event\" (schema Notification).",
			     "x-api-version", RPC_API_VERSION));
	schema_set(&s, document, "methods", methods);
	schema_set(&s, document, "components",
		   json_pack("{s:o, s:o}", "schemas", s.schemas, "errors", errors));
	if (!s.failed)
		return document;
	json_decref(document);
	return NULL;
}
