/* SPDX-License-Identifier: MIT */
/*
 * Shows a JSON object in full: labels and units come from the rows.
 */
#include "rstunctl/describe.h"

#include "rpc/field_json.h"
#include "rstunctl/command.h"

#include <string.h>

#define DESCRIBE_LABEL 22 /* columns */
#define DESCRIBE_STEP 2

static void describe_members(const struct output *o, const struct field_rows *rows,
			     const json_t *object, int indent);

static const struct field *describe_row(const struct field_rows *rows, const char *name)
{
	char text[FIELD_JSON_NAME_SIZE];

	for (size_t i = 0; rows != NULL && i < rows->count; i++)
		if (strcmp(field_json_name(text, &rows->rows[i]), name) == 0)
			return &rows->rows[i];
	return NULL;
}

static enum output_kind describe_kind(const struct field *row, const char *name)
{
	if (strcmp(name, "state") == 0 || strcmp(name, "level") == 0 ||
	    strcmp(name, "outcome") == 0)
		return OUTPUT_STATE;
	if (row == NULL || row->unit == NULL)
		return OUTPUT_TEXT;
	if (strcmp(row->unit, "ms") == 0)
		return OUTPUT_TIME;
	return strcmp(row->unit, "bytes") == 0 ? OUTPUT_SIZE : OUTPUT_TEXT;
}

/* "rtt_ms" of a value that has its unit beside it is "rtt". */
static void describe_label(const struct output *o, const char *name, enum output_kind kind,
			   int indent)
{
	char label[64];
	size_t bytes;

	output_clean(label, sizeof(label), name);
	bytes = strlen(label);
	if (kind == OUTPUT_TIME && bytes > 3 && strcmp(label + bytes - 3, "_ms") == 0)
		label[bytes - 3] = '\0';
	if (kind == OUTPUT_SIZE && bytes > 6 && strcmp(label + bytes - 6, "_bytes") == 0)
		label[bytes - 6] = '\0';
	for (char *p = label; *p != '\0'; p++)
		if (*p == '_')
			*p = ' ';
	fprintf(o->to, "%*s%-*s ", indent, "",
		indent < DESCRIBE_LABEL ? DESCRIBE_LABEL - indent : 0, label);
}

/* The rows of what JSON itself holds: a role's options. */
static const struct field_rows *describe_inner(const struct field *row)
{
	if (row == NULL)
		return NULL;
	if (row->rows != NULL)
		return row->rows;
	if (row->schema != NULL && strstr(row->schema, "ClientConfig") != NULL)
		return command_role("ClientConfig");
	if (row->schema != NULL && strstr(row->schema, "ServerConfig") != NULL)
		return command_role("ServerConfig");
	return NULL;
}

static void describe_list(const struct output *o, const struct field *row, const char *name,
			  const json_t *list, int indent)
{
	size_t i;
	json_t *item;

	describe_label(o, name, OUTPUT_TEXT, indent);
	fprintf(o->to, "%zu\n", json_array_size(list));
	json_array_foreach(list, i, item) {
		if (i > 0)
			fputc('\n', o->to);
		describe_members(o, describe_inner(row), item, indent + DESCRIBE_STEP);
	}
}

static void describe_members(const struct output *o, const struct field_rows *rows,
			     const json_t *object, int indent)
{
	char text[4096];
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value) {
		const struct field *row = describe_row(rows, name);
		enum output_kind kind = describe_kind(row, name);
		enum output_hue hue = OUTPUT_PLAIN;

		if (json_is_array(value) && json_is_object(json_array_get(value, 0))) {
			describe_list(o, row, name, value, indent);
			continue;
		}
		if (json_is_object(value)) {
			output_clean(text, sizeof(text), name);
			fprintf(o->to, "%*s%s%s%s\n", indent, "", output_paint(o, OUTPUT_BOLD),
				text, output_paint(o, OUTPUT_PLAIN));
			describe_members(o, describe_inner(row), value, indent + DESCRIBE_STEP);
			continue;
		}
		describe_label(o, name, kind, indent);
		output_value(text, sizeof(text), o, kind, value, false);
		/* The size of a packet is told in bytes, whoever speaks of it. */
		if (kind == OUTPUT_SIZE && (strcmp(name, "current_mtu") == 0 ||
					    strcmp(name, "max_datagram") == 0))
			snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT " B",
				 json_integer_value(value));
		if (kind == OUTPUT_STATE)
			hue = output_state_hue(text);
		fprintf(o->to, "%s%s%s\n", hue != OUTPUT_PLAIN ? output_paint(o, hue) : "",
			text[0] != '\0' ? text : "-",
			hue != OUTPUT_PLAIN ? output_paint(o, OUTPUT_PLAIN) : "");
	}
}

void describe_object(const struct output *o, const struct field_rows *rows, const json_t *object)
{
	describe_members(o, rows, object, 0);
}
