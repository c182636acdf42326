/* SPDX-License-Identifier: MIT */
/*
 * Rows of options: parsing, printing and freeing, for any plain struct. A value is parsed
 * into a slot first and put in place only when it and the row's own check are right, so a refused
 * value changes nothing. The value of a secret never gets into a message. No state, any thread.
 */
#include "base/field.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_STRING_MAX 4096 /* bytes, where a row says nothing */

/* A member's value, whatever its type. */
union field_value {
	bool boolean;
	uint64_t number;
	int choice;
	char *string;
	char **list;
	int64_t integer;
	double real;
	struct field_array array;
};

static size_t field_size(enum field_type type)
{
	switch (type) {
	case FIELD_BOOL:
		return sizeof(bool);
	case FIELD_UINT:
	case FIELD_MS:
		return sizeof(uint64_t);
	case FIELD_CHOICE:
		return sizeof(int);
	case FIELD_STRING:
	case FIELD_SECRET:
	case FIELD_JSON:
		return sizeof(char *);
	case FIELD_LIST:
		return sizeof(char **);
	case FIELD_INT:
		return sizeof(int64_t);
	case FIELD_DOUBLE:
		return sizeof(double);
	case FIELD_OBJECTS:
		return sizeof(struct field_array);
	case FIELD_OBJECT: /* reached by its own rows */
		return 0;
	}
	return 0;
}

static void field_load(union field_value *ret, const struct field *row, const void *config)
{
	memcpy(ret, (const char *)config + row->offset, field_size(row->type));
}

static void field_store(const union field_value *value, const struct field *row, void *config)
{
	memcpy((char *)config + row->offset, value, field_size(row->type));
}

static void field_drop(const struct field *row, union field_value *value)
{
	switch (row->type) {
	case FIELD_SECRET:
	case FIELD_JSON: /* options of a role, with their secrets */
		if (value->string != NULL)
			secret_wipe(value->string, strlen(value->string));
		free(value->string);
		break;
	case FIELD_STRING:
		free(value->string);
		break;
	case FIELD_LIST:
		for (char **p = value->list; p != NULL && *p != NULL; p++)
			free(*p);
		free(value->list);
		break;
	case FIELD_OBJECTS:
		for (size_t i = 0; i < value->array.count; i++)
			field_free(row->rows->rows, row->rows->count,
				   (char *)value->array.items + i * row->rows->size);
		free(value->array.items);
		break;
	case FIELD_BOOL:
	case FIELD_UINT:
	case FIELD_MS:
	case FIELD_CHOICE:
	case FIELD_INT:
	case FIELD_DOUBLE:
	case FIELD_OBJECT:
		break;
	}
}

__attribute__((format(printf, 3, 4))) static int field_fail(char error[FIELD_ERROR_SIZE],
							    const struct field *row,
							    const char *format, ...)
{
	size_t used = (size_t)snprintf(error, FIELD_ERROR_SIZE, "--%s: ", row->name);
	va_list args;

	va_start(args, format);
	vsnprintf(error + used, FIELD_ERROR_SIZE - used, format, args);
	va_end(args);
	return RSTUN_E_MALFORMED;
}

static const char *field_quote(char *buf, size_t size, const char *text)
{
	return log_quote(buf, size, text, strlen(text));
}

/* ---- One parser per type; the range is checked by field_parse_number's caller ---------------- */

static int field_parse_bool(union field_value *ret, const struct field *row, const char *text,
			    char error[FIELD_ERROR_SIZE])
{
	static const char *const words[][2] = {
		{"no", "yes"}, {"false", "true"}, {"off", "on"}, {"0", "1"},
	};
	char quoted[80];

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (int value = 0; value < 2; value++) {
			if (strcasecmp(text, words[i][value]) == 0) {
				ret->boolean = value != 0;
				return 0;
			}
		}
	}
	return field_fail(error, row, "\"%s\" is neither yes nor no",
			  field_quote(quoted, sizeof(quoted), text));
}

/* Digits, or 0x and hexadecimal digits; stops at the first other byte, which is returned. NULL
 * without a digit; *ret_overflow when it does not fit 64 bits. */
static const char *field_scan_number(uint64_t *ret, bool *ret_overflow, const char *text,
				     bool hex_too)
{
	unsigned base = 10;
	const char *p = text;
	uint64_t value = 0;

	*ret_overflow = false;
	if (hex_too && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		p = text += 2;
	}
	for (;; p++) {
		unsigned digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned)(*p - '0');
		else if (base == 16 && *p >= 'a' && *p <= 'f')
			digit = (unsigned)(*p - 'a') + 10;
		else if (base == 16 && *p >= 'A' && *p <= 'F')
			digit = (unsigned)(*p - 'A') + 10;
		else
			break;
		if (value > (UINT64_MAX - digit) / base)
			*ret_overflow = true;
		else
			value = value * base + digit;
	}
	*ret = value;
	return p == text ? NULL : p;
}

/* "s" -> 1000 and so on; 0 if it is no unit of time. */
static uint64_t field_time_unit(const char *text)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {
		{"", 1},	 {"ms", 1},	  {"s", 1000},
		{"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 24 * 3600 * 1000},
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(text, units[i].name) == 0)
			return units[i].ms;
	return 0;
}

static int field_parse_number(union field_value *ret, const struct field *row, const char *text,
			      char error[FIELD_ERROR_SIZE])
{
	const char *of = row->unit != NULL ? " of " : "";
	const char *unit = row->unit == NULL ? "" : row->unit;
	uint64_t max = row->max != 0 ? row->max : UINT64_MAX;
	uint64_t value, factor = 1;
	char quoted[80];
	const char *rest;
	bool overflow;

	if (strcmp(unit, "ms") == 0)
		unit = "milliseconds";
	field_quote(quoted, sizeof(quoted), text);
	rest = field_scan_number(&value, &overflow, text, row->type == FIELD_UINT);
	if (rest != NULL && row->type == FIELD_MS)
		factor = field_time_unit(rest);
	if (rest == NULL || factor == 0 || (row->type == FIELD_UINT && *rest != '\0'))
		return field_fail(error, row,
				  "\"%s\" is not a number%s%s (%" PRIu64 " to %" PRIu64 ")", quoted,
				  of, unit, row->min, max);
	if (overflow || value > UINT64_MAX / factor || value * factor > max ||
	    value * factor < row->min)
		return field_fail(error, row, "\"%s\" is out of range: a number%s%s from %" PRIu64
				  " to %" PRIu64, quoted, of, unit, row->min, max);
	ret->number = value * factor;
	return 0;
}

static int field_parse_int(union field_value *ret, const struct field *row, const char *text,
			   char error[FIELD_ERROR_SIZE])
{
	bool bounded = row->min != 0 || row->max != 0;
	int64_t min = bounded ? (int64_t)row->min : INT64_MIN;
	int64_t max = bounded ? (int64_t)row->max : INT64_MAX;
	bool negative = text[0] == '-', overflow;
	char quoted[80];
	uint64_t size;
	const char *rest = field_scan_number(&size, &overflow, text + negative, false);
	uint64_t limit = (uint64_t)INT64_MAX + negative;

	if (rest == NULL || *rest != '\0' || overflow || size > limit)
		goto wrong;
	ret->integer = negative ? (int64_t)(0 - size) : (int64_t)size;
	if (ret->integer >= min && ret->integer <= max)
		return 0;
wrong:
	return field_fail(error, row, "\"%s\" is not a whole number from %" PRId64 " to %" PRId64,
			  field_quote(quoted, sizeof(quoted), text), min, max);
}

static int field_parse_double(union field_value *ret, const struct field *row, const char *text,
			      char error[FIELD_ERROR_SIZE])
{
	char quoted[80], *end;
	double value = strtod(text, &end);

	if (end == text || *end != '\0' || !isfinite(value))
		return field_fail(error, row, "\"%s\" is not a number",
				  field_quote(quoted, sizeof(quoted), text));
	ret->real = value;
	return 0;
}

static int field_parse_choice(union field_value *ret, const struct field *row, const char *text,
			      char error[FIELD_ERROR_SIZE])
{
	char quoted[80], all[256];
	size_t used = 0;

	for (int i = 0; row->choices[i] != NULL; i++) {
		if (strcasecmp(text, row->choices[i]) == 0) {
			ret->choice = i;
			return 0;
		}
	}
	all[0] = '\0';
	for (int i = 0; row->choices[i] != NULL && used < sizeof(all); i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? ", " : "",
					 row->choices[i]);
	return field_fail(error, row, "\"%s\" is not one of %s",
			  field_quote(quoted, sizeof(quoted), text), all);
}

static int field_check_length(const struct field *row, const char *text,
			      char error[FIELD_ERROR_SIZE])
{
	uint64_t max = row->max != 0 ? row->max : FIELD_STRING_MAX;

	if (strlen(text) <= max)
		return 0;
	return field_fail(error, row, "%zu bytes are too long: at most %" PRIu64 " are allowed",
			  strlen(text), max);
}

static int field_parse_string(union field_value *ret, const struct field *row, const char *text,
			      char error[FIELD_ERROR_SIZE])
{
	int rv = field_check_length(row, text, error);

	if (rv != 0)
		return rv;
	/* An empty secret is kept, so that it can be refused as empty and not as missing. */
	if (row->type == FIELD_STRING && text[0] == '\0') {
		ret->string = NULL;
		return 0;
	}
	ret->string = strdup(text);
	if (ret->string == NULL) {
		field_fail(error, row, "%s", rstun_strerror(RSTUN_E_NOMEM));
		return RSTUN_E_NOMEM;
	}
	return 0;
}

static bool field_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* An entry of a list whose row has choices must be one of them. */
static int field_check_entry(const struct field *row, const char *text,
			     char error[FIELD_ERROR_SIZE])
{
	union field_value ignored;

	return row->choices == NULL ? 0 : field_parse_choice(&ignored, row, text, error);
}

static int field_parse_list(union field_value *ret, const struct field *row, const char *text,
			    char error[FIELD_ERROR_SIZE])
{
	union field_value value = {.list = NULL};
	size_t count = 0, room = 2;
	int rv = field_check_length(row, text, error);

	if (rv != 0)
		return rv;
	for (const char *p = text; *p != '\0'; p++)
		room += *p == ',';
	value.list = calloc(room, sizeof(*value.list));
	if (value.list == NULL)
		goto nomem;
	while (true) {
		size_t bytes = strcspn(text, ",");
		const char *next = text + bytes;

		while (bytes > 0 && field_is_blank(text[0])) {
			text++;
			bytes--;
		}
		while (bytes > 0 && field_is_blank(text[bytes - 1]))
			bytes--;
		if (bytes > 0) {
			value.list[count] = strndup(text, bytes);
			if (value.list[count++] == NULL)
				goto nomem;
			rv = field_check_entry(row, value.list[count - 1], error);
			if (rv != 0) {
				field_drop(row, &value);
				return rv;
			}
		}
		if (*next == '\0')
			break;
		text = next + 1;
	}
	if (count == 0) {
		free(value.list);
		value.list = NULL;
	}
	*ret = value;
	return 0;
nomem:
	field_drop(row, &value);
	field_fail(error, row, "%s", rstun_strerror(RSTUN_E_NOMEM));
	return RSTUN_E_NOMEM;
}

static int field_parse(union field_value *ret, const struct field *row, const char *text,
		       char error[FIELD_ERROR_SIZE])
{
	switch (row->type) {
	case FIELD_BOOL:
		return field_parse_bool(ret, row, text, error);
	case FIELD_UINT:
	case FIELD_MS:
		return field_parse_number(ret, row, text, error);
	case FIELD_CHOICE:
		return field_parse_choice(ret, row, text, error);
	case FIELD_STRING:
	case FIELD_SECRET:
		return field_parse_string(ret, row, text, error);
	case FIELD_LIST:
		return field_parse_list(ret, row, text, error);
	case FIELD_INT:
		return field_parse_int(ret, row, text, error);
	case FIELD_DOUBLE:
		return field_parse_double(ret, row, text, error);
	case FIELD_OBJECT:
	case FIELD_OBJECTS:
	case FIELD_JSON:
		break;
	}
	return field_fail(error, row, "it has no form as plain text");
}

/* ---- The interface --------------------------------------------------------------------------- */

static void field_set_present(const struct field *row, void *config, bool present)
{
	if (row->present != 0)
		memcpy((char *)config + row->present, &present, sizeof(present));
}

static void field_set_nothing(const struct field *rows, size_t count, void *config)
{
	for (size_t i = 0; i < count; i++) {
		const struct field *row = &rows[i];
		bool optional = (row->flags & FIELD_OPTIONAL) != 0;
		union field_value value;

		field_set_present(row, config, false);
		if (row->type == FIELD_OBJECT) {
			field_set_nothing(row->rows->rows, row->rows->count,
					  (char *)config + row->offset);
			continue;
		}
		memset(&value, 0, sizeof(value));
		if (optional && (row->type == FIELD_UINT || row->type == FIELD_MS))
			value.number = UINT64_MAX;
		else if (optional && row->type == FIELD_CHOICE)
			value.choice = -1;
		else if (optional && row->type == FIELD_INT)
			value.integer = INT64_MIN;
		else if (optional && row->type == FIELD_DOUBLE)
			value.real = (double)NAN;
		field_store(&value, row, config);
	}
}

int field_set_defaults(const struct field *rows, size_t count, void *config)
{
	char error[FIELD_ERROR_SIZE];
	int rv = 0;

	field_set_nothing(rows, count, config);
	for (size_t i = 0; i < count && rv == 0; i++)
		if (rows[i].type == FIELD_OBJECT)
			rv = field_set_defaults(rows[i].rows->rows, rows[i].rows->count,
						(char *)config + rows[i].offset);
	for (size_t i = 0; i < count && rv == 0; i++)
		if (rows[i].default_text != NULL)
			rv = field_set(&rows[i], config, rows[i].default_text, error);
	if (rv != 0)
		field_free(rows, count, config);
	return rv;
}

int field_set(const struct field *row, void *config, const char *text, char error[FIELD_ERROR_SIZE])
{
	union field_value old, value;
	int rv;

	memset(&value, 0, sizeof(value));
	rv = field_parse(&value, row, text, error);
	if (rv != 0)
		return rv;
	memset(&old, 0, sizeof(old));
	field_load(&old, row, config);
	field_store(&value, row, config);
	if (row->check != NULL) {
		char why[FIELD_ERROR_SIZE / 4 * 3] = "";

		rv = row->check(config, why, sizeof(why));
		if (rv != 0) {
			field_store(&old, row, config);
			field_drop(row, &value);
			field_fail(error, row, "%s", why);
			return rv;
		}
	}
	field_drop(row, &old);
	field_set_present(row, config, true);
	return 0;
}

const char *field_get(const struct field *row, const void *config, char *buf, size_t size)
{
	union field_value value;
	size_t used = 0;

	memset(&value, 0, sizeof(value));
	field_load(&value, row, config);
	if (size > 0)
		buf[0] = '\0';
	switch (row->type) {
	case FIELD_BOOL:
		snprintf(buf, size, "%s", value.boolean ? "yes" : "no");
		break;
	case FIELD_UINT:
	case FIELD_MS:
		if ((row->flags & FIELD_OPTIONAL) == 0 || value.number != UINT64_MAX)
			snprintf(buf, size, "%" PRIu64, value.number);
		break;
	case FIELD_CHOICE:
		if (value.choice >= 0)
			snprintf(buf, size, "%s", row->choices[value.choice]);
		break;
	case FIELD_INT:
		if ((row->flags & FIELD_OPTIONAL) == 0 || value.integer != INT64_MIN)
			snprintf(buf, size, "%" PRId64, value.integer);
		break;
	case FIELD_DOUBLE:
		if (!isnan(value.real))
			snprintf(buf, size, "%g", value.real);
		break;
	case FIELD_OBJECT:
	case FIELD_OBJECTS: /* who shows them walks their rows */
		break;
	case FIELD_STRING:
	case FIELD_JSON:
		snprintf(buf, size, "%s", value.string != NULL ? value.string : "");
		break;
	case FIELD_SECRET:
		snprintf(buf, size, "%s", value.string != NULL ? "***" : "");
		break;
	case FIELD_LIST:
		for (char **p = value.list; p != NULL && *p != NULL && used < size; p++)
			used += (size_t)snprintf(buf + used, size - used, "%s%s",
						 p != value.list ? "," : "", *p);
		break;
	}
	return buf;
}

void field_free(const struct field *rows, size_t count, void *config)
{
	if (config == NULL)
		return;
	for (size_t i = 0; i < count; i++) {
		union field_value value;

		if (rows[i].type == FIELD_OBJECT) {
			field_free(rows[i].rows->rows, rows[i].rows->count,
				   (char *)config + rows[i].offset);
			continue;
		}
		memset(&value, 0, sizeof(value));
		field_load(&value, &rows[i], config);
		field_drop(&rows[i], &value);
		memset(&value, 0, sizeof(value));
		field_store(&value, &rows[i], config);
	}
}

static int field_copy_list(char ***ret, char *const *list)
{
	size_t count = 0;
	char **copy;

	while (list != NULL && list[count] != NULL)
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	if (copy == NULL)
		return RSTUN_E_NOMEM;
	for (size_t i = 0; i < count; i++) {
		copy[i] = strdup(list[i]);
		if (copy[i] == NULL) {
			while (i-- > 0)
				free(copy[i]);
			free(copy);
			return RSTUN_E_NOMEM;
		}
	}
	*ret = copy;
	return 0;
}

int field_copy(const struct field *rows, size_t count, void *to, const void *from)
{
	for (size_t i = 0; i < count; i++) {
		bool text = rows[i].type == FIELD_STRING || rows[i].type == FIELD_SECRET ||
			    rows[i].type == FIELD_JSON;
		union field_value value;
		int rv = 0;

		field_load(&value, &rows[i], from);
		if (text && value.string != NULL && (value.string = strdup(value.string)) == NULL)
			rv = RSTUN_E_NOMEM;
		else if (rows[i].type == FIELD_LIST && value.list != NULL)
			rv = field_copy_list(&value.list, value.list);
		if (rv != 0) {
			field_free(rows, i, to);
			return rv;
		}
		field_store(&value, &rows[i], to);
	}
	return 0;
}
