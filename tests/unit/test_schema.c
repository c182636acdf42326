/* SPDX-License-Identifier: MIT */
/*
 * The document of rpc.discover: valid JSON, every method, event and error in it, every reference
 * leads somewhere, and what is encoded is as its schema says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rpc/api.h"
#include "rpc/api_types.h"
#include "rpc/field_json.h"
#include "rpc/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
	char *server_addr;
	char *password;
};

static const struct field option_rows[] = {
	{.name = "server-addr", .type = FIELD_STRING, .flags = FIELD_REQUIRED,
	 .offset = offsetof(struct options, server_addr), .help = "Where."},
	{.name = "password", .type = FIELD_SECRET, .offset = offsetof(struct options, password),
	 .help = "Secret."},
};
static const struct field_rows options = {"ClientConfig", option_rows, 2, sizeof(struct options)};
static const struct field_rows *const extra[] = {&options};
static const struct schema_params params = {.version = "1.2.3", .extra = extra, .extra_count = 1};

static json_t *at(json_t *from, const char *a, const char *b)
{
	return json_object_get(json_object_get(from, a), b);
}

/* Each "$ref" anywhere names a schema that is there. */
static void check_refs(const json_t *value, json_t *schemas)
{
	static const char prefix[] = "#/components/schemas/";
	const char *key;
	json_t *one;
	size_t i;

	json_array_foreach(value, i, one)
		check_refs(one, schemas);
	json_object_foreach((json_t *)(uintptr_t)value, key, one) {
		if (strcmp(key, "$ref") == 0) {
			const char *text = json_string_value(one);

			assert_int_equal(strncmp(text, prefix, sizeof(prefix) - 1), 0);
			if (json_object_get(schemas, text + sizeof(prefix) - 1) == NULL)
				fail_msg("%s leads nowhere", text);
		}
		check_refs(one, schemas);
	}
}

static void everything_is_in_it(void **state)
{
	json_t *document = schema_document(&params), *again, *methods, *schemas;
	char *text = json_dumps(document, JSON_COMPACT);

	(void)state;
	assert_non_null(text);
	again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(again);
	assert_string_equal(json_string_value(json_object_get(again, "openrpc")), "1.2.6");
	assert_string_equal(json_string_value(at(again, "info", "version")), "1.2.3");
	methods = json_object_get(again, "methods");
	schemas = at(again, "components", "schemas");
	assert_int_equal(json_array_size(methods), RPC_METHOD_COUNT);
	for (size_t i = 0; i < RPC_METHOD_COUNT; i++) {
		json_t *method = json_array_get(methods, i);

		assert_string_equal(json_string_value(json_object_get(method, "name")),
				    rpc_methods[i].name);
		assert_int_equal(json_array_size(json_object_get(method, "params")),
				 rpc_methods[i].params->count);
		assert_true(json_is_object(at(method, "result", "schema")));
	}
	for (size_t i = 0; i < RPC_EVENT_TYPE_COUNT; i++) {
		char name[64];

		snprintf(name, sizeof(name), "Event%c%s", rpc_events[i].name[0] - 'a' + 'A',
			 rpc_events[i].name + 1);
		assert_non_null(json_object_get(schemas, name));
	}
	for (size_t i = 0; i < rpc_error_count; i++)
		assert_non_null(json_object_get(at(again, "components", "errors"), rpc_errors[i].kind));
	check_refs(again, schemas);
	json_decref(again);
	json_decref(document);
	free(text);
}

static void config_rows_of_others(void **state)
{
	json_t *document = schema_document(&params);
	json_t *schemas = at(document, "components", "schemas");
	json_t *out = json_object_get(json_object_get(schemas, "ClientConfig"), "properties");
	json_t *in = json_object_get(json_object_get(schemas, "ClientConfigInput"), "properties");

	(void)state;
	assert_non_null(json_object_get(out, "server_addr"));
	assert_non_null(json_object_get(out, "password_set"));
	assert_null(json_object_get(out, "password"));
	assert_true(json_is_true(at(in, "password", "writeOnly")));
	assert_non_null(json_object_get(schemas, "ServerConfig")); /* not given: any object */
	json_decref(document);
}

static void members_are_described(void **state)
{
	const struct field_rows *rows = rpc_methods[RPC_MAPPING_WAIT].params;
	json_t *schema = schema_object(rows, true);
	json_t *members = json_object_get(schema, "properties");

	(void)state;
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	assert_string_equal(json_string_value(at(members, "state", "default")), "tunneling");
	assert_int_equal(json_integer_value(at(members, "timeout_ms", "default")), 10000);
	assert_int_equal(json_integer_value(at(members, "timeout_ms", "maximum")), 86400000);
	assert_string_equal(json_string_value(at(members, "timeout_ms", "x-unit")), "ms");
	assert_int_equal(json_array_size(json_object_get(schema, "required")), 0);
	json_decref(schema);
	schema = schema_object(rpc_methods[RPC_SESSION_GET].params, true);
	assert_int_equal(json_array_size(json_object_get(schema, "required")), 1);
	json_decref(schema);
}

static void *filled(const struct field_rows *rows, void *object)
{
	assert_int_equal(field_set_defaults(rows->rows, rows->count, object), 0);
	return object;
}

/* Every result, as empty as it can be, has exactly the members that its schema requires. */
static void results_are_as_required(void **state)
{
	(void)state;
	for (int i = 0; i < RPC_METHOD_COUNT; i++) {
		const struct field_rows *rows = rpc_methods[i].result;
		json_t *schema, *required, *encoded, *one;
		void *object;
		size_t j;

		if (rows == NULL)
			continue;
		object = filled(rows, calloc(1, rows->size));
		schema = schema_object(rows, false);
		encoded = field_json_encode(rows, object);
		required = json_object_get(schema, "required");
		assert_int_equal(json_array_size(required), json_object_size(encoded));
		json_array_foreach(required, j, one)
			assert_non_null(json_object_get(encoded, json_string_value(one)));
		json_decref(encoded);
		json_decref(schema);
		field_free(rows->rows, rows->count, object);
		free(object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_in_it),
		cmocka_unit_test(config_rows_of_others),
		cmocka_unit_test(members_are_described),
		cmocka_unit_test(results_are_as_required),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
