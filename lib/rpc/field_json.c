/* SPDX-License-Identifier: MIT */
/*
 * From JSON to structs: types, ranges, unknown and missing members, and messages that name the
 * field, what was given and what would be right. The other way is in field_json_encode.c.
 */
#include "rpc/field_json.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_JSON_STRING_MAX 4096 /* bytes, where a row says nothing */
#define FIELD_JSON_LIST_MAX 4096   /* entries */
#define FIELD_JSON_EXACT ((double)(UINT64_C(1) << 53)) /* whole numbers below it are exact */

struct field_json {
	struct rpc_error *error;
	char path[128]; /* of the struct that is being filled: "", "since." */
	bool lenient;
};

static int field_json_members(struct field_json *d, const struct field_rows *rows, void *out,
			      const json_t *object);

/* ---- Memory ---------------------------------------------------------------------------------- */

static void field_json_forget(void *memory)
{
	if (memory != NULL)
		secret_wipe(memory, malloc_usable_size(memory));
	free(memory);
}

void field_json_wipe_memory(void)
{
	json_set_alloc_funcs(malloc, field_json_forget);
}

/* ---- Messages -------------------------------------------------------------------------------- */

/* Scalars as they were sent; the kind of anything larger. Plain ASCII: it may be cut anywhere. */
static void field_json_show(char *buf, size_t size, const json_t *value)
{
	char *text = NULL;

	if (json_is_object(value) || json_is_array(value)) {
		snprintf(buf, size, json_is_object(value) ? "an object" : "an array");
		return;
	}
	text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
	if (text != NULL && strlen(text) < size)
		snprintf(buf, size, "%s", text);
	else if (text != NULL)
		snprintf(buf, size, "%.*s...", (int)size - 4, text);
	else
		buf[0] = '\0';
	free(text);
}

/* `member`: name in JSON. A NULL value is not shown. */
__attribute__((format(printf, 4, 5))) static int field_json_fail(struct field_json *d,
								 const char *member,
								 const json_t *value,
								 const char *format, ...)
{
	char field[sizeof(d->error->field)], shown[sizeof(d->error->value)] = "";
	char text[512], quoted[200];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	log_quote(quoted, sizeof(quoted), member, strlen(member));
	snprintf(field, sizeof(field), "%s%.*s", d->path, (int)sizeof(field) / 2, quoted);
	if (value != NULL)
		field_json_show(shown, sizeof(shown), value);
	rpc_error_set(d->error, d->lenient ? RPC_INTERNAL : RPC_INVALID_PARAMS, "%s: %s%s%s", field,
		      shown, value != NULL ? " " : "", text);
	memcpy(d->error->field, field, sizeof(field));
	memcpy(d->error->value, shown, sizeof(shown));
	return RSTUN_E_MALFORMED;
}

static int field_json_nomem(struct field_json *d)
{
	rpc_error_set(d->error, RPC_INTERNAL, "%s", rstun_strerror(RSTUN_E_NOMEM));
	return RSTUN_E_NOMEM;
}

/* "name" of a row with `-` against a key with `_`. */
static bool field_json_same(const char *name, const char *key)
{
	for (; *name != '\0'; name++, key++)
		if ((*name == '-' ? '_' : *name) != *key)
			return false;
	return *key == '\0';
}

/* A configuration that is passed back has these; what is kept stays. The secret's row, NULL: it is
 * none. */
static const struct field *field_json_marked(const struct field_rows *rows, const char *key,
					     const json_t *value)
{
	size_t bytes = strlen(key);
	char name[FIELD_JSON_NAME_SIZE];

	if (!json_is_boolean(value) || bytes <= 4 || bytes >= sizeof(name) ||
	    strcmp(key + bytes - 4, "_set") != 0)
		return NULL;
	memcpy(name, key, bytes - 4);
	name[bytes - 4] = '\0';
	for (size_t i = 0; i < rows->count; i++)
		if (rows->rows[i].type == FIELD_SECRET &&
		    field_json_same(rows->rows[i].name, name))
			return &rows->rows[i];
	return NULL;
}

static int field_json_unknown(struct field_json *d, const struct field_rows *rows, const char *key)
{
	char text[FIELD_JSON_NAME_SIZE], name[FIELD_JSON_NAME_SIZE], hint[400] = "";
	const struct field *near;
	size_t used = 0;
	int rv;

	snprintf(text, sizeof(text), "%s", key);
	for (char *p = text; *p != '\0'; p++)
		*p = *p == '_' ? '-' : *p;
	near = strlen(key) < sizeof(text) ? field_suggest(rows->rows, rows->count, text) : NULL;
	if (near != NULL && field_json_has(near)) {
		snprintf(hint, sizeof(hint), "did you mean \"%s\"?", field_json_name(name, near));
	} else {
		for (size_t i = 0; i < rows->count && used < sizeof(hint); i++)
			if (field_json_has(&rows->rows[i]))
				used += (size_t)snprintf(hint + used, sizeof(hint) - used, "%s%s",
							 used > 0 ? ", " : "possible are ",
							 field_json_name(name, &rows->rows[i]));
		if (used == 0)
			snprintf(hint, sizeof(hint), "there are none");
	}
	rv = field_json_fail(d, key, NULL, "there is no such parameter; %s", hint);
	rpc_error_hint(d->error, "%s", hint);
	return rv;
}

/* ---- One reader per type; what the slot held is freed by it ---------------------------------- */

/* A whole number, also when it is written as 5.0 or 5e3. */
static bool field_json_whole(int64_t *ret, const json_t *value)
{
	double real = json_real_value(value);

	if (json_is_integer(value)) {
		*ret = json_integer_value(value);
		return true;
	}
	if (!json_is_real(value) || real <= -FIELD_JSON_EXACT || real >= FIELD_JSON_EXACT ||
	    (double)(int64_t)real != real)
		return false;
	*ret = (int64_t)real;
	return true;
}

static int field_json_uint(struct field_json *d, const struct field *row, uint64_t *slot,
			   const char *name, const json_t *value)
{
	uint64_t max = row->max == 0 || row->max > INT64_MAX ? INT64_MAX : row->max;
	const char *of = row->unit == NULL		   ? ""
			 : strcmp(row->unit, "ms") == 0 ? " of milliseconds"
							   : " of ";
	const char *unit = row->unit == NULL || strcmp(row->unit, "ms") == 0 ? "" : row->unit;
	int64_t number;

	if (!field_json_whole(&number, value))
		return field_json_fail(d, name, value,
				       "is not a whole number%s%s from %" PRIu64 " to %" PRIu64, of,
				       unit, row->min, max);
	if (number < 0 || (!d->lenient && ((uint64_t)number > max || (uint64_t)number < row->min)))
		return field_json_fail(d, name, value,
				       "is out of range: a whole number%s%s from %" PRIu64
				       " to %" PRIu64,
				       of, unit, row->min, max);
	*slot = (uint64_t)number;
	return 0;
}

static int field_json_int(struct field_json *d, const struct field *row, int64_t *slot,
			  const char *name, const json_t *value)
{
	bool bounded = row->min != 0 || row->max != 0;
	int64_t min = bounded ? (int64_t)row->min : INT64_MIN + 1;
	int64_t max = bounded ? (int64_t)row->max : INT64_MAX;
	int64_t number;

	if (!field_json_whole(&number, value) || (!d->lenient && (number < min || number > max)))
		return field_json_fail(d, name, value,
				       "is not a whole number from %" PRId64 " to %" PRId64, min,
				       max);
	*slot = number;
	return 0;
}

static int field_json_choice(struct field_json *d, const struct field *row, int *slot,
			     const char *name, const json_t *value)
{
	char all[400] = "";
	size_t used = 0;

	if (json_is_string(value) &&
	    strlen(json_string_value(value)) == json_string_length(value)) {
		for (int i = 0; row->choices[i] != NULL; i++) {
			if (strcmp(json_string_value(value), row->choices[i]) == 0) {
				*slot = i;
				return 0;
			}
		}
		if (d->lenient) {
			*slot = -1; /* a newer daemon's word */
			return 0;
		}
	}
	for (int i = 0; row->choices[i] != NULL && used < sizeof(all); i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s\"%s\"",
					 i > 0 ? ", " : "", row->choices[i]);
	return field_json_fail(d, name, value, "is not one of %s", all);
}

/* What a string may be. `shown` is NULL for secrets. */
static int field_json_text(struct field_json *d, const struct field *row, const char *name,
			   const json_t *value, const json_t *shown)
{
	size_t max = row->max != 0 ? (size_t)row->max : FIELD_JSON_STRING_MAX;
	size_t bytes = json_string_length(value);

	if (!json_is_string(value))
		return field_json_fail(d, name, shown, "%s",
				       shown != NULL ? "is not a string" : "it is not a string");
	if (strlen(json_string_value(value)) != bytes)
		return field_json_fail(d, name, NULL, "it contains a NUL character");
	if (d->lenient)
		return 0;
	if (bytes > max)
		return field_json_fail(d, name, NULL,
				       "%zu bytes are too long: at most %zu are allowed", bytes,
				       max);
	if (bytes == 0 && (row->flags & FIELD_REQUIRED) != 0)
		return field_json_fail(d, name, NULL, "it is empty");
	return 0;
}

static int field_json_string_in(struct field_json *d, const struct field *row, char **slot,
				const char *name, const json_t *value)
{
	bool secret = row->type == FIELD_SECRET;
	int rv = field_json_text(d, row, name, value, secret ? NULL : value);
	char *copy = NULL;

	if (rv != 0)
		return rv;
	/* As on the command line: an empty string is "not given", an empty secret an empty one. */
	if (json_string_length(value) > 0 || secret) {
		copy = strdup(json_string_value(value));
		if (copy == NULL)
			return field_json_nomem(d);
	}
	if (secret && *slot != NULL)
		secret_wipe(*slot, strlen(*slot));
	free(*slot);
	*slot = copy;
	return 0;
}

static int field_json_list(struct field_json *d, const struct field *row, char ***slot,
			   const char *name, const json_t *value)
{
	struct field entry = *row;
	size_t count = json_array_size(value), bytes = 0;
	char **list = NULL;
	int rv = 0, ignored;

	if (!json_is_array(value))
		return field_json_fail(d, name, value, "is not an array of strings");
	if (count > FIELD_JSON_LIST_MAX)
		return field_json_fail(d, name, NULL, "%zu entries are too many: at most %d", count,
				       FIELD_JSON_LIST_MAX);
	list = calloc(count + 1, sizeof(*list));
	if (list == NULL)
		return field_json_nomem(d);
	entry.flags |= FIELD_REQUIRED; /* no entry is empty */
	for (size_t i = 0; i < count && rv == 0; i++) {
		const json_t *one = json_array_get(value, i);
		char where[FIELD_JSON_NAME_SIZE + 24];

		snprintf(where, sizeof(where), "%s[%zu]", name, i);
		rv = field_json_text(d, &entry, where, one, one);
		if (rv == 0 && row->choices != NULL && !d->lenient)
			rv = field_json_choice(d, row, &ignored, where, one);
		bytes += json_string_length(one) + 1;
		if (rv == 0 && !d->lenient && row->max != 0 && bytes > row->max)
			rv = field_json_fail(d, where, NULL,
					     "the list is too long: at most %" PRIu64 " bytes",
					     row->max);
		if (rv == 0 && (list[i] = strdup(json_string_value(one))) == NULL)
			rv = field_json_nomem(d);
	}
	if (rv == 0) {
		char **old = *slot;

		*slot = count > 0 ? list : NULL;
		list = count > 0 ? old : (free(list), old);
	}
	for (char **p = list; p != NULL && *p != NULL; p++)
		free(*p);
	free(list);
	return rv;
}

/* Opens the path of a nested struct; `ret_end` closes it. False: too deep to be named. */
static bool field_json_enter(struct field_json *d, size_t *ret_end, const char *name)
{
	size_t end = strlen(d->path);
	int n = snprintf(d->path + end, sizeof(d->path) - end, "%s.", name);

	*ret_end = end;
	return n > 0 && (size_t)n < sizeof(d->path) - end;
}

static int field_json_object(struct field_json *d, const struct field *row, void *slot,
			     const char *name, const json_t *value)
{
	size_t end;
	int rv;

	if (!json_is_object(value))
		return field_json_fail(d, name, value, "is not an object");
	field_json_enter(d, &end, name);
	rv = field_json_members(d, row->rows, slot, value);
	d->path[end] = '\0';
	return rv;
}

static int field_json_objects(struct field_json *d, const struct field *row,
			      struct field_array *slot, const char *name, const json_t *value)
{
	size_t count = json_array_size(value), size = row->rows->size;
	struct field_array array = {.items = NULL};
	struct field freed = *row;
	int rv = 0;

	if (!json_is_array(value))
		return field_json_fail(d, name, value, "is not an array of objects");
	array.items = calloc(count > 0 ? count : 1, size);
	if (array.items == NULL)
		return field_json_nomem(d);
	for (size_t i = 0; i < count && rv == 0; i++) {
		char where[FIELD_JSON_NAME_SIZE + 24], *item = (char *)array.items + i * size;
		struct field one = {.rows = row->rows};

		snprintf(where, sizeof(where), "%s[%zu]", name, i);
		rv = field_set_defaults(row->rows->rows, row->rows->count, item);
		if (rv != 0) {
			rv = field_json_nomem(d);
			break;
		}
		array.count++;
		rv = field_json_object(d, &one, item, where, json_array_get(value, i));
	}
	freed.offset = 0;
	freed.present = 0;
	if (rv != 0) {
		field_free(&freed, 1, &array);
		return rv;
	}
	field_free(&freed, 1, slot);
	*slot = array;
	return 0;
}

static int field_json_raw(struct field_json *d, const struct field *row, char **slot,
			  const char *name, const json_t *value)
{
	size_t max = row->max != 0 ? (size_t)row->max : FIELD_JSON_STRING_MAX;
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

	if (text == NULL)
		return field_json_nomem(d);
	if (!d->lenient && strlen(text) > max) {
		secret_wipe(text, strlen(text));
		free(text);
		return field_json_fail(d, name, NULL, "it is too long: at most %zu bytes", max);
	}
	if (*slot != NULL)
		secret_wipe(*slot, strlen(*slot));
	free(*slot);
	*slot = text;
	return 0;
}

/* ---- A member, a struct ---------------------------------------------------------------------- */

static int field_json_value(struct field_json *d, const struct field *row, void *slot,
			    const char *name, const json_t *value)
{
	switch (row->type) {
	case FIELD_BOOL:
		if (!json_is_boolean(value))
			return field_json_fail(d, name, value, "is neither true nor false");
		*(bool *)slot = json_is_true(value);
		return 0;
	case FIELD_UINT:
	case FIELD_MS:
		return field_json_uint(d, row, slot, name, value);
	case FIELD_INT:
		return field_json_int(d, row, slot, name, value);
	case FIELD_DOUBLE:
		if (!json_is_number(value))
			return field_json_fail(d, name, value, "is not a number");
		*(double *)slot = json_number_value(value);
		return 0;
	case FIELD_CHOICE:
		return field_json_choice(d, row, slot, name, value);
	case FIELD_STRING:
	case FIELD_SECRET:
		return field_json_string_in(d, row, slot, name, value);
	case FIELD_LIST:
		return field_json_list(d, row, slot, name, value);
	case FIELD_OBJECT:
		return field_json_object(d, row, slot, name, value);
	case FIELD_OBJECTS:
		return field_json_objects(d, row, slot, name, value);
	case FIELD_JSON:
		return field_json_raw(d, row, slot, name, value);
	}
	return field_json_fail(d, name, NULL, "it has no form in JSON");
}

static int field_json_member(struct field_json *d, const struct field *row, void *out,
			     const char *name, const json_t *value)
{
	char why[FIELD_ERROR_SIZE / 2] = "";
	int rv = field_json_value(d, row, (char *)out + row->offset, name, value);

	if (rv != 0)
		return rv;
	if (row->present != 0)
		*(bool *)((char *)out + row->present) = true;
	/* A check looks at a value; where a string was "not given" after all, there is none. */
	if (row->check == NULL || d->lenient ||
	    (row->type == FIELD_STRING && json_string_length(value) == 0))
		return 0;
	rv = row->check(out, why, sizeof(why));
	return rv == 0 ? 0
		       : field_json_fail(d, name, row->type == FIELD_SECRET ? NULL : value,
					 "is refused: %s", why);
}

const struct field *field_json_find(const struct field_rows *rows, const char *key)
{
	for (size_t i = 0; i < rows->count; i++)
		if (field_json_has(&rows->rows[i]) && field_json_same(rows->rows[i].name, key))
			return &rows->rows[i];
	return NULL;
}

/* The members of `out` are at their defaults. Unknown ones first: a name that is misspelt explains
 * why another is missing. */
static int field_json_members(struct field_json *d, const struct field_rows *rows, void *out,
			      const json_t *object)
{
	char name[FIELD_JSON_NAME_SIZE];
	const char *key;
	json_t *value;
	int rv;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		if (!d->lenient && field_json_find(rows, key) == NULL &&
		    field_json_marked(rows, key, value) == NULL)
			return field_json_unknown(d, rows, key);
	}
	for (size_t i = 0; i < rows->count; i++) {
		const struct field *row = &rows->rows[i];

		if (!field_json_has(row))
			continue;
		value = json_object_get(object, field_json_name(name, row));
		if (value != NULL && !json_is_null(value))
			rv = field_json_member(d, row, out, name, value);
		else if ((row->flags & FIELD_REQUIRED) != 0 && !d->lenient)
			rv = field_json_fail(d, name, NULL, "it is missing: %s", row->help);
		else
			rv = 0;
		if (rv != 0)
			return rv;
	}
	return 0;
}

int field_json_update(const struct field_rows *rows, void *out, const json_t *object,
		      struct rpc_error *error)
{
	struct field_json d = {.error = error};
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		const struct field *row = field_json_find(rows, key);
		int rv = 0;

		if (row == NULL && field_json_marked(rows, key, value) == NULL)
			return field_json_unknown(&d, rows, key);
		if (row != NULL && json_is_null(value)) {
			field_free(row, 1, out);
			rv = field_set_defaults(row, 1, out);
			if (rv != 0)
				return field_json_nomem(&d);
		} else if (row != NULL) {
			rv = field_json_member(&d, row, out, key, value);
		}
		if (rv != 0)
			return rv;
	}
	return 0;
}

int field_json_check_marks(const struct field_rows *rows, const void *out, const json_t *object,
			   struct rpc_error *error)
{
	struct field_json d = {.error = error};
	char name[FIELD_JSON_NAME_SIZE];
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		const struct field *row = field_json_marked(rows, key, value);

		if (row == NULL || json_is_false(value) ||
		    *(char *const *)((const char *)out + row->offset) != NULL)
			continue;
		field_json_name(name, row);
		return field_json_fail(&d, name, NULL,
				       "%s says that there is one, and none is kept here: give %s, "
				       "or leave %s out", key, name, key);
	}
	return 0;
}

static int field_json_start(struct field_json *d, const struct field_rows *rows, void *out,
			    const json_t *object)
{
	int rv = field_set_defaults(rows->rows, rows->count, out);

	if (rv != 0)
		return field_json_nomem(d);
	if (object == NULL || json_is_object(object)) {
		rv = field_json_members(d, rows, out, object);
	} else {
		rpc_error_set(d->error, d->lenient ? RPC_INTERNAL : RPC_INVALID_PARAMS,
			      "params is %s: it must be an object, parameters are given by name",
			      json_is_array(object) ? "an array" : "no object");
		rv = RSTUN_E_MALFORMED;
	}
	if (rv != 0)
		field_free(rows->rows, rows->count, out);
	return rv;
}

int field_json_decode(const struct field_rows *rows, void *out, const json_t *object,
		      struct rpc_error *error)
{
	struct field_json d = {.error = error};

	return field_json_start(&d, rows, out, object);
}

int field_json_read(const struct field_rows *rows, void *out, const json_t *object,
		    struct rpc_error *error)
{
	struct field_json d = {.error = error, .lenient = true};

	return field_json_start(&d, rows, out, object);
}
