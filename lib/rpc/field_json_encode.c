/* SPDX-License-Identifier: MIT */
/*
 * From structs to JSON, and the names of rows there. What is not given is left out; a secret is
 * only said to be set, but for field_json_encode_secrets.
 */
#include "rpc/field_json.h"

#include "base/error.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *field_json_encode_rows(const struct field_rows *rows, const void *in, bool secrets);

bool field_json_has(const struct field *row)
{
	return (row->flags & (FIELD_FILE | FIELD_CLI_ONLY)) == 0;
}

const char *field_json_name(char buf[FIELD_JSON_NAME_SIZE], const struct field *row)
{
	snprintf(buf, FIELD_JSON_NAME_SIZE, "%s", row->name);
	for (char *p = buf; *p != '\0'; p++)
		*p = *p == '-' ? '_' : *p;
	return buf;
}

json_t *field_json_string(const char *text)
{
	size_t bytes = strlen(text), used = 0;
	char *escaped;
	json_t *ret;

	if (utf8_valid(text, bytes))
		return json_stringn(text, bytes);
	escaped = malloc(4 * bytes + 1);
	if (escaped == NULL)
		return NULL;
	while (*text != '\0') {
		size_t one = utf8_decode(NULL, text, strlen(text));

		if (one == 0) {
			used += (size_t)snprintf(escaped + used, 5, "\\x%02x",
						 (unsigned char)*text++);
			continue;
		}
		memcpy(escaped + used, text, one);
		used += one;
		text += one;
	}
	ret = json_stringn(escaped, used);
	free(escaped);
	return ret;
}

static json_t *field_json_encode_list(char **list)
{
	json_t *array = json_array();

	for (char **p = list; p != NULL && *p != NULL; p++) {
		if (json_array_append_new(array, field_json_string(*p)) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *field_json_encode_objects(const struct field_rows *rows,
					 const struct field_array *from, bool secrets)
{
	json_t *array = json_array();

	for (size_t i = 0; i < from->count; i++) {
		const char *item = (const char *)from->items + i * rows->size;

		if (json_array_append_new(array, field_json_encode_rows(rows, item, secrets)) != 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* Whether there is a value to be written. */
static bool field_json_given(const struct field *row, const void *in)
{
	const void *slot = (const char *)in + row->offset;
	bool optional = (row->flags & FIELD_OPTIONAL) != 0;

	if (row->present != 0 && !*(const bool *)((const char *)in + row->present))
		return false;
	switch (row->type) {
	case FIELD_STRING:
	case FIELD_JSON:
		return *(char *const *)slot != NULL || (row->flags & FIELD_REQUIRED) != 0;
	case FIELD_UINT:
	case FIELD_MS:
		return !optional || *(const uint64_t *)slot != UINT64_MAX;
	case FIELD_INT:
		return !optional || *(const int64_t *)slot != INT64_MIN;
	case FIELD_CHOICE:
		return *(const int *)slot >= 0;
	case FIELD_DOUBLE:
		return !optional || !isnan(*(const double *)slot);
	case FIELD_BOOL:
	case FIELD_SECRET:
	case FIELD_LIST:
	case FIELD_OBJECT:
	case FIELD_OBJECTS:
		return true;
	}
	return false;
}

static json_t *field_json_encode_value(const struct field *row, const void *slot, bool secrets)
{
	const char *text;
	uint64_t number;
	double real;

	switch (row->type) {
	case FIELD_BOOL:
		return json_boolean(*(const bool *)slot);
	case FIELD_UINT:
	case FIELD_MS:
		number = *(const uint64_t *)slot;
		return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
	case FIELD_INT:
		return json_integer(*(const int64_t *)slot);
	case FIELD_DOUBLE:
		real = *(const double *)slot;
		return json_real(isfinite(real) ? real : 0.0);
	case FIELD_CHOICE:
		return json_string(row->choices[*(const int *)slot]);
	case FIELD_STRING:
		text = *(char *const *)slot;
		return field_json_string(text != NULL ? text : "");
	case FIELD_SECRET:
		text = *(char *const *)slot;
		/* Never escaped: another secret would be read back. */
		return secrets ? json_string(text) : json_boolean(text != NULL);
	case FIELD_LIST:
		return field_json_encode_list(*(char **const *)slot);
	case FIELD_OBJECT:
		return field_json_encode_rows(row->rows, slot, secrets);
	case FIELD_OBJECTS:
		return field_json_encode_objects(row->rows, slot, secrets);
	case FIELD_JSON:
		text = *(char *const *)slot;
		return text != NULL ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)
				    : json_null();
	}
	return NULL;
}

static int field_json_encode_slot(json_t **ret, const struct field *row, const void *in,
				  bool secrets)
{
	const void *slot = (const char *)in + row->offset;
	bool given = field_json_given(row, in);
	json_t *value = NULL;

	if (secrets && row->type == FIELD_SECRET)
		given = given && *(char *const *)slot != NULL;
	if (given) {
		value = field_json_encode_value(row, slot, secrets);
		if (value == NULL)
			return RSTUN_E_NOMEM;
	}
	*ret = value;
	return 0;
}

int field_json_encode_member(json_t **ret, const struct field *row, const void *in)
{
	return field_json_encode_slot(ret, row, in, false);
}

static json_t *field_json_encode_rows(const struct field_rows *rows, const void *in, bool secrets)
{
	json_t *object = json_object();

	for (size_t i = 0; i < rows->count; i++) {
		const struct field *row = &rows->rows[i];
		char name[FIELD_JSON_NAME_SIZE + 4];
		json_t *value = NULL;

		if (!field_json_has(row))
			continue;
		if (field_json_encode_slot(&value, row, in, secrets) != 0)
			goto nomem;
		if (value == NULL)
			continue;
		field_json_name(name, row);
		if (row->type == FIELD_SECRET && !secrets)
			snprintf(name + strlen(name), 5, "_set");
		if (json_object_set_new(object, name, value) != 0)
			goto nomem;
	}
	return object;
nomem:
	json_decref(object);
	return NULL;
}

json_t *field_json_encode(const struct field_rows *rows, const void *in)
{
	return field_json_encode_rows(rows, in, false);
}

json_t *field_json_encode_secrets(const struct field_rows *rows, const void *in)
{
	return field_json_encode_rows(rows, in, true);
}
