/* SPDX-License-Identifier: MIT */
/*
 * Tables: libsmartcols does the widths (of characters, not of bytes). What is cut is decided here:
 * only columns that allow it, only on a terminal, and never to nothing: an address or a mapping of
 * which half is gone is of no use, so where the rest does not fit the lines are longer than the
 * terminal.
 */
#include "rstunctl/output.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <libsmartcols.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define OUTPUT_CELL_MAX 4096
#define OUTPUT_COLUMNS_MAX 32
#define OUTPUT_BETWEEN 2   /* blanks between columns */
#define OUTPUT_CUT_LEAST 16 /* columns that a cut text keeps */

static void output_list(char *buf, size_t size, const json_t *list)
{
	size_t used = 0, i;
	json_t *item;

	buf[0] = '\0';
	json_array_foreach(list, i, item) {
		if (used + 1 >= size)
			break;
		used += (size_t)snprintf(buf + used, size - used, "%s%s", i > 0 ? "," : "",
					 json_is_string(item) ? json_string_value(item) : "?");
	}
}

/* As it is, whatever type it has. */
static void output_plain(char *buf, size_t size, const json_t *value)
{
	char text[OUTPUT_CELL_MAX];

	if (json_is_string(value)) {
		output_clean(buf, size, json_string_value(value));
	} else if (json_is_integer(value)) {
		snprintf(buf, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	} else if (json_is_real(value)) {
		snprintf(buf, size, "%.6g", json_real_value(value));
	} else if (json_is_boolean(value)) {
		snprintf(buf, size, "%s", json_is_true(value) ? "yes" : "no");
	} else if (json_is_array(value)) {
		output_list(text, sizeof(text), value);
		output_clean(buf, size, text);
	} else if (size > 0) {
		buf[0] = '\0';
	}
}

static void output_since(char *buf, size_t size, const struct output *o, const json_t *value)
{
	int64_t us;

	if (!json_is_string(value) || !output_parse_time(&us, json_string_value(value)))
		output_plain(buf, size, value);
	else
		output_ms(buf, size, us >= o->wall_us ? 0 : (uint64_t)(o->wall_us - us) / 1000);
}

const char *output_value(char *buf, size_t size, const struct output *o, enum output_kind kind,
			 const json_t *value, bool plain)
{
	double real = json_real_value(value); /* 0 when it is none */
	bool number = json_is_number(value);

	if (plain || value == NULL) {
		output_plain(buf, size, value);
		return buf;
	}
	switch (kind) {
	case OUTPUT_SIZE:
	case OUTPUT_RATE:
		if (number)
			output_bytes(buf, size, json_number_value(value));
		break;
	case OUTPUT_TIME:
		if (number)
			output_ms(buf, size, (uint64_t)json_integer_value(value));
		break;
	case OUTPUT_SINCE:
		output_since(buf, size, o, value);
		return buf;
	case OUTPUT_NUMBER:
		if (json_is_real(value)) {
			snprintf(buf, size, real > 0 && real < 10 ? "%.1f" : "%.0f", real);
			return buf;
		}
		break;
	case OUTPUT_TEXT:
	case OUTPUT_STATE:
	case OUTPUT_YESNO:
		break;
	}
	if (!number || (kind != OUTPUT_SIZE && kind != OUTPUT_RATE && kind != OUTPUT_TIME))
		output_plain(buf, size, value);
	else if (kind == OUTPUT_RATE && strlen(buf) + 3 < size)
		memcpy(buf + strlen(buf), "/s", 3);
	return buf;
}

/* The value of a column: "mapping|session" is the first of them that is there. */
static const json_t *output_cell(const json_t *row, const char *path)
{
	char name[64];

	for (;; path++) {
		size_t bytes = strcspn(path, "|");
		const json_t *value;

		snprintf(name, sizeof(name), "%.*s", (int)bytes, path);
		value = output_member(row, name);
		path += bytes;
		if (value != NULL || *path == '\0')
			return value;
	}
}

static bool output_right(enum output_kind kind)
{
	return kind == OUTPUT_NUMBER || kind == OUTPUT_SIZE || kind == OUTPUT_TIME ||
	       kind == OUTPUT_SINCE || kind == OUTPUT_RATE;
}

/* A value per column, tabs between. */
static void output_tsv(const struct output *o, const struct output_column *columns, size_t count,
		       const json_t *rows)
{
	char cell[OUTPUT_CELL_MAX];
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row)
		for (size_t j = 0; j < count; j++)
			fprintf(o->to, "%s%c",
				output_value(cell, sizeof(cell), o, columns[j].kind,
					     output_cell(row, columns[j].path), true),
				j + 1 < count ? '\t' : '\n');
}

/* ---- Widths ---------------------------------------------------------------------------------- */

/* Columns that a character takes on a terminal. *ret_bytes is how long it is. */
static size_t output_char_width(const char *text, size_t left, size_t *ret_bytes)
{
	uint32_t code = 0;
	size_t bytes = utf8_decode(&code, text, left);
	int width = bytes > 1 ? wcwidth((wchar_t)code) : 1;

	*ret_bytes = bytes > 0 ? bytes : 1;
	return width < 0 ? 1 : (size_t)width;
}

static size_t output_text_width(const char *text)
{
	size_t left = strlen(text), width = 0, bytes;

	for (; left > 0; text += bytes, left -= bytes)
		width += output_char_width(text, left, &bytes);
	return width;
}

/* Shortens a text that is wider than `most` columns, with an ellipsis. */
static void output_cut(char *text, size_t most, bool ascii)
{
	const char *end = ascii ? "..." : "…";
	size_t room = most - (ascii ? 3 : 1), left = strlen(text), at = 0, width = 0, bytes = 0;

	if (output_text_width(text) <= most)
		return;
	for (; left > 0; at += bytes, left -= bytes) {
		size_t next = output_char_width(text + at, left, &bytes);

		if (width + next > room)
			break;
		width += next;
	}
	snprintf(text + at, OUTPUT_CELL_MAX - at, "%s", end);
}

static bool output_shown(const struct output *o, const struct output_column *column)
{
	return !column->wide || o->format != OUTPUT_TABLE;
}

/* How wide each column may be at most; SIZE_MAX = as it is. */
static void output_fit(size_t most[OUTPUT_COLUMNS_MAX], const struct output *o,
		       const struct output_column *columns, size_t count, const json_t *rows)
{
	size_t widths[OUTPUT_COLUMNS_MAX], total = 0, i;
	char text[OUTPUT_CELL_MAX];
	json_t *row;

	for (size_t j = 0; j < count; j++) {
		most[j] = SIZE_MAX;
		widths[j] = output_shown(o, &columns[j]) ? strlen(columns[j].title) : 0;
	}
	if (o->width == 0)
		return;
	json_array_foreach(rows, i, row) {
		for (size_t j = 0; j < count; j++) {
			size_t width;

			if (!output_shown(o, &columns[j]))
				continue;
			output_value(text, sizeof(text), o, columns[j].kind,
				     output_cell(row, columns[j].path), false);
			width = output_text_width(text);
			widths[j] = width > widths[j] ? width : widths[j];
		}
	}
	for (size_t j = 0; j < count; j++)
		total += widths[j] + (total > 0 && widths[j] > 0 ? OUTPUT_BETWEEN : 0);
	for (size_t j = count; j-- > 0 && total > o->width;) {
		size_t over = total - o->width;

		if (!columns[j].cut || widths[j] <= OUTPUT_CUT_LEAST)
			continue;
		most[j] = widths[j] - OUTPUT_CUT_LEAST > over ? widths[j] - over : OUTPUT_CUT_LEAST;
		total -= widths[j] - most[j];
	}
}

/* ---- The table ------------------------------------------------------------------------------- */

static struct libscols_table *output_new_table(const struct output *o,
					       const struct output_column *columns, size_t count)
{
	struct libscols_table *table = scols_new_table();
	bool ok = table != NULL;

	if (!ok)
		return NULL;
	scols_table_set_stream(table, o->to);
	scols_table_enable_colors(table, o->color);
	scols_table_set_column_separator(table, "  ");
	scols_table_enable_ascii(table, o->ascii);
	scols_table_set_termforce(table, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < count && ok; i++) {
		int flags = output_right(columns[i].kind) ? SCOLS_FL_RIGHT : 0;
		struct libscols_column *column;

		if (!output_shown(o, &columns[i]))
			continue;
		column = scols_table_new_column(table, columns[i].title, 0, flags);
		/* What is escaped already (\x1b) is not to be escaped again. */
		ok = column != NULL && scols_column_set_safechars(column, "\\") == 0;
	}
	if (ok)
		return table;
	scols_unref_table(table);
	return NULL;
}

static bool output_add_line(struct libscols_table *table, const struct output *o,
			    const struct output_column *columns, size_t count,
			    const size_t most[OUTPUT_COLUMNS_MAX], const json_t *row)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[OUTPUT_CELL_MAX];
	size_t cell = 0;

	for (size_t i = 0; i < count && line != NULL; i++) {
		const json_t *value = output_cell(row, columns[i].path);
		enum output_hue hue = OUTPUT_PLAIN;

		if (!output_shown(o, &columns[i]))
			continue;
		output_value(text, sizeof(text), o, columns[i].kind, value, false);
		output_cut(text, most[i], o->ascii);
		if (columns[i].kind == OUTPUT_STATE)
			hue = output_state_hue(text);
		if (scols_line_set_data(line, cell, text[0] != '\0' ? text : "-") != 0)
			return false;
		if (hue != OUTPUT_PLAIN && o->color &&
		    scols_cell_set_color(scols_line_get_cell(line, cell),
					 output_paint(o, hue)) != 0)
			return false;
		cell++;
	}
	return line != NULL;
}

bool output_table(const struct output *o, const struct output_column *columns, size_t count,
		  const json_t *rows)
{
	struct libscols_table *table;
	size_t most[OUTPUT_COLUMNS_MAX], i;
	bool ok = true;
	json_t *row;

	if (o->format == OUTPUT_TSV) {
		output_tsv(o, columns, count, rows);
		return true;
	}
	if (count > OUTPUT_COLUMNS_MAX)
		count = OUTPUT_COLUMNS_MAX;
	output_fit(most, o, columns, count, rows);
	table = output_new_table(o, columns, count);
	if (table == NULL)
		return false;
	json_array_foreach(rows, i, row)
		ok = ok && output_add_line(table, o, columns, count, most, row);
	ok = ok && scols_print_table(table) == 0;
	scols_unref_table(table);
	return ok;
}
