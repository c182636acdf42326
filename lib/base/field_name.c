/* SPDX-License-Identifier: MIT */
/*
 * Finding a row by its name, and the name that was meant. No state, any thread.
 */
#include "base/field.h"

#include <stdint.h>
#include <string.h>

#define FIELD_NAME_MAX 64 /* longest name that a suggestion is looked for */

const struct field *field_find(const struct field *rows, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	return NULL;
}

size_t field_distance(const char *a, const char *b)
{
	size_t a_bytes = strlen(a), b_bytes = strlen(b);
	size_t rows[3][FIELD_NAME_MAX + 1]; /* two lines back, the last line, this one */
	size_t *before = rows[0], *last = rows[1], *line = rows[2], *spare;

	if (a_bytes > FIELD_NAME_MAX || b_bytes > FIELD_NAME_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= b_bytes; j++)
		last[j] = before[j] = j;
	for (size_t i = 1; i <= a_bytes; i++) {
		line[0] = i;
		for (size_t j = 1; j <= b_bytes; j++) {
			size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (line[j - 1] + 1 < best)
				best = line[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1; /* two letters in the wrong order */
			line[j] = best;
		}
		spare = before;
		before = last;
		last = line;
		line = spare;
	}
	return last[b_bytes];
}

const struct field *field_suggest(const struct field *rows, size_t count, const char *name)
{
	const struct field *nearest = NULL;
	size_t limit = strlen(name) / 3, best = SIZE_MAX;

	for (size_t i = 0; i < count; i++) {
		size_t distance = field_distance(name, rows[i].name);

		if (distance <= limit && distance < best) {
			best = distance;
			nearest = &rows[i];
		}
	}
	return nearest;
}
