/* SPDX-License-Identifier: MIT */
/*
 * The tables of the control API are complete: no empty row, unique names, everything documented,
 * defaults valid, examples right, and error kinds the same as in base/error.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rpc/api.h"
#include "rpc/api_types.h"
#include "rpc/field_json.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void is_sentence(const char *text, const char *where)
{
	size_t bytes = text != NULL ? strlen(text) : 0;

	if (bytes < 5 || text[bytes - 1] != '.')
		fail_msg("%s: no sentence: %s", where, text != NULL ? text : "(none)");
}

static size_t size_of(const struct field *row)
{
	static const size_t sizes[] = {
		[FIELD_BOOL] = sizeof(bool), [FIELD_UINT] = 8, [FIELD_MS] = 8, [FIELD_CHOICE] = sizeof(int),
		[FIELD_STRING] = sizeof(char *), [FIELD_SECRET] = sizeof(char *),
		[FIELD_LIST] = sizeof(char **), [FIELD_INT] = 8, [FIELD_DOUBLE] = 8,
		[FIELD_OBJECTS] = sizeof(struct field_array), [FIELD_JSON] = sizeof(char *),
	};

	return row->type == FIELD_OBJECT ? row->rows->size : sizes[row->type];
}

/* In the schema a struct is known by its name alone. */
static void check_name(const struct field_rows *set)
{
	static const struct field_rows *seen[200];
	static size_t count;

	for (size_t i = 0; i < count; i++) {
		if (seen[i] == set)
			return;
		assert_string_not_equal(seen[i]->name, set->name);
	}
	assert_true(count < sizeof(seen) / sizeof(seen[0]));
	seen[count++] = set;
}

/* Rows of one struct and of those within it. */
static void check_rows(const struct field_rows *set, int depth)
{
	char *object = calloc(1, set->size + 1), *covered = calloc(1, set->size + 1);

	assert_true(depth < 8);
	assert_non_null(set->name);
	check_name(set);
	for (size_t i = 0; i < set->count; i++) {
		const struct field *row = &set->rows[i];
		char where[160];

		assert_non_null(row->name);
		snprintf(where, sizeof(where), "%s.%s", set->name, row->name);
		assert_true(row->name[0] != '\0');
		for (const char *p = row->name; *p != '\0'; p++)
			if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '-')
				fail_msg("%s: a name is of a-z, 0-9 and -", where);
		is_sentence(row->help, where);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(row->name, set->rows[j].name);
		/* Within the struct, and on no other row's member. */
		assert_true(row->offset + size_of(row) <= set->size);
		for (size_t at = row->offset; at < row->offset + size_of(row); at++) {
			if (covered[at] != 0)
				fail_msg("%s: shares its member with another row", where);
			covered[at] = 1;
		}
		if (row->present != 0) {
			assert_true(row->present < set->size && covered[row->present] == 0);
			covered[row->present] = 1;
		}
		if (row->type == FIELD_CHOICE)
			assert_non_null(row->choices);
		if (row->type == FIELD_MS)
			assert_string_equal(row->unit, "ms");
		if (row->type == FIELD_JSON) {
			json_t *schema = json_loads(row->schema, 0, NULL);

			assert_non_null(schema);
			json_decref(schema);
		}
		if (row->type == FIELD_OBJECT || row->type == FIELD_OBJECTS)
			check_rows(row->rows, depth + 1);
	}
	/* Every byte that no row describes is padding: less than a pointer at a time. */
	for (size_t at = 0, gap = 0; at < set->size; at++) {
		gap = covered[at] ? 0 : gap + 1;
		if (gap >= 8)
			fail_msg("%s: no row describes offset %zu", set->name, at - 7);
	}
	assert_int_equal(field_set_defaults(set->rows, set->count, object), 0);
	field_free(set->rows, set->count, object);
	free(object);
	free(covered);
}

static void methods_are_complete(void **state)
{
	(void)state;
	for (int i = 0; i < RPC_METHOD_COUNT; i++) {
		const struct rpc_method_row *row = &rpc_methods[i];

		if (row->name == NULL)
			fail_msg("method %d has no row", i);
		assert_non_null(strchr(row->name, '.'));
		is_sentence(row->help, row->name);
		if (row->remarks != NULL)
			is_sentence(row->remarks, row->name);
		assert_non_null(row->params);
		assert_true((row->result == NULL) != (row->result_schema == NULL));
		check_rows(row->params, 0);
		if (row->result != NULL)
			check_rows(row->result, 0);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(row->name, rpc_methods[j].name);
		assert_int_equal(rpc_method_find(row->name), i);
		if (row->list != NULL)
			assert_non_null(field_find(row->result->rows, row->result->count, row->list));
	}
	assert_int_equal(rpc_method_find("mapping.lst"), -1);
	assert_string_equal(rpc_method_suggest("mapping.lst"), "mapping.list");
	assert_null(rpc_method_suggest("frobnicate"));
	assert_null(rpc_method_suggest(""));
}

static void params_say_what_their_value_is(void **state)
{
	(void)state;
	for (int i = 0; i < RPC_METHOD_COUNT; i++)
		for (size_t j = 0; j < rpc_methods[i].params->count; j++) {
			const struct field *row = &rpc_methods[i].params->rows[j];

			if (row->type != FIELD_BOOL && row->type != FIELD_OBJECT)
				assert_non_null(row->argument);
		}
}

static void examples_are_right(void **state)
{
	(void)state;
	for (int i = 0; i < RPC_METHOD_COUNT; i++) {
		const struct rpc_method_row *row = &rpc_methods[i];
		void *params = calloc(1, row->params->size + 1);
		json_t *example = json_loads(row->example, 0, NULL);
		struct rpc_error error;

		assert_non_null(example);
		if (field_json_decode_params(row, params, example, &error) != 0)
			fail_msg("%s: %s", row->name, error.message);
		field_free(row->params->rows, row->params->count, params);
		json_decref(example);
		free(params);
	}
	for (int i = 0; i < RPC_EVENT_TYPE_COUNT; i++) {
		json_t *example = json_loads(rpc_events[i].example, 0, NULL);

		assert_non_null(example);
		assert_string_equal(json_string_value(json_object_get(example, "type")),
				    rpc_events[i].name);
		json_decref(example);
	}
}

static void event_rows_are_complete(void **state)
{
	(void)state;
	for (int i = 0; i < RPC_EVENT_TYPE_COUNT; i++) {
		const struct rpc_event_row *row = &rpc_events[i];

		assert_non_null(row->name);
		is_sentence(row->help, row->name);
		assert_string_equal(row->name, rpc_event_names[i]);
		assert_int_equal(rpc_event_find(row->name), i);
		assert_true(row->data == NULL || row->words == NULL);
		if (row->data != NULL)
			check_rows(row->data, 0);
		if (row->detail != NULL)
			check_rows(row->detail, 0);
	}
	assert_null(rpc_event_names[RPC_EVENT_TYPE_COUNT]);
	assert_int_equal(rpc_event_find("staet"), -1);
}

static void errors_are_those_of_the_engine(void **state)
{
	(void)state;
	for (size_t i = 0; i < rpc_error_count; i++) {
		const struct rpc_error_row *row = &rpc_errors[i];

		is_sentence(row->help, row->kind);
		for (size_t j = 0; j < i; j++) {
			assert_int_not_equal(row->code, rpc_errors[j].code);
			assert_string_not_equal(row->kind, rpc_errors[j].kind);
		}
		assert_ptr_equal(rpc_error_row(row->code), row);
		assert_ptr_equal(rpc_error_find(row->kind), row);
		if (row->code >= 1000 && row->code < 1300)
			assert_string_equal(row->kind, rstun_error_kind(-row->code));
	}
	/* And the other way round: whatever the engine says has a row. */
	for (int code = 1000; code < 1300; code++)
		if (strcmp(rstun_error_kind(-code), "internal") != 0)
			assert_int_equal(rpc_error_row(code)->code, code);
	assert_string_equal(rpc_error_row(4711)->kind, "internal");
	assert_null(rpc_error_find("nonsense"));
}

static void errors_are_made(void **state)
{
	struct rpc_error e;

	(void)state;
	assert_int_equal(rpc_error_from(&e, RSTUN_E_NOT_FOUND, "no mapping \"%s\"", "m9"),
			 RSTUN_E_FAILED);
	assert_int_equal(e.code, 1001);
	assert_string_equal(e.kind, "not_found");
	assert_string_equal(e.message, "no mapping \"m9\"");
	assert_false(e.retryable);
	rpc_error_from(&e, RSTUN_E_TIMEOUT, "late");
	assert_true(e.retryable);
	rpc_error_from(&e, RSTUN_E_NOMEM, "none");
	assert_int_equal(e.code, RPC_INTERNAL);
	rpc_error_from(&e, RSTUN_E_CANCELLED, "stop");
	assert_int_equal(e.code, RPC_CANCELLED);
	rpc_error_set(&e, RPC_CURSOR_EXPIRED, "gone");
	rpc_error_hint(&e, "begin %s", "anew");
	assert_string_equal(e.hint, "begin anew");
	assert_true(e.retry_after_ms == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(methods_are_complete),
		cmocka_unit_test(params_say_what_their_value_is),
		cmocka_unit_test(examples_are_right),
		cmocka_unit_test(event_rows_are_complete),
		cmocka_unit_test(errors_are_those_of_the_engine),
		cmocka_unit_test(errors_are_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
