/* SPDX-License-Identifier: MIT */
/*
 * Whether two structs that the same rows describe say the same: what a new configuration changed,
 * and whether something that is added is there already. No state, any thread.
 */
#include "base/field.h"

#include <math.h>
#include <string.h>

static bool field_equal_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool field_equal_list(char *const *a, char *const *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	while (*a != NULL && *b != NULL && strcmp(*a, *b) == 0) {
		a++;
		b++;
	}
	return *a == NULL && *b == NULL;
}

static bool field_equal_objects(const struct field_rows *rows, const struct field_array *a,
				const struct field_array *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!field_equal(rows->rows, rows->count, (const char *)a->items + i * rows->size,
				 (const char *)b->items + i * rows->size))
			return false;
	return true;
}

/* NAN is "not given", and equals itself here. */
static bool field_equal_double(double a, double b)
{
	if (isnan(a) || isnan(b))
		return isnan(a) && isnan(b);
	return a <= b && a >= b;
}

/* a and b: the members. */
static bool field_equal_member(const struct field *row, const void *a, const void *b)
{
	switch (row->type) {
	case FIELD_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case FIELD_UINT:
	case FIELD_MS:
		return *(const uint64_t *)a == *(const uint64_t *)b;
	case FIELD_CHOICE:
		return *(const int *)a == *(const int *)b;
	case FIELD_INT:
		return *(const int64_t *)a == *(const int64_t *)b;
	case FIELD_DOUBLE:
		return field_equal_double(*(const double *)a, *(const double *)b);
	case FIELD_STRING:
	case FIELD_SECRET:
	case FIELD_JSON:
		return field_equal_text(*(char *const *)a, *(char *const *)b);
	case FIELD_LIST:
		return field_equal_list(*(char **const *)a, *(char **const *)b);
	case FIELD_OBJECT:
		return field_equal(row->rows->rows, row->rows->count, a, b);
	case FIELD_OBJECTS:
		return field_equal_objects(row->rows, a, b);
	}
	return false;
}

static bool field_is_present(const struct field *row, const void *config)
{
	return row->present == 0 || *(const bool *)((const char *)config + row->present);
}

bool field_equal(const struct field *rows, size_t count, const void *a, const void *b)
{
	for (size_t i = 0; i < count; i++) {
		const struct field *row = &rows[i];
		bool present = field_is_present(row, a);

		if (present != field_is_present(row, b))
			return false;
		if (present && !field_equal_member(row, (const char *)a + row->offset,
						   (const char *)b + row->offset))
			return false;
	}
	return true;
}
