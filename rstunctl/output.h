/* SPDX-License-Identifier: MIT */
/*
 * How results are shown: tables (libsmartcols) that are made from JSON by a list of columns, the
 * same as lines with tabs, or the JSON itself; colours, always beside a word that says the same;
 * numbers with units. Text that others chose is cleaned of control characters before it gets to a
 * terminal. No state besides struct output.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum output_format {
	OUTPUT_TABLE,
	OUTPUT_WIDE, /* more columns */
	OUTPUT_TSV,  /* all columns, no headings, plain values */
	OUTPUT_JSON,
};

enum output_color {
	OUTPUT_AUTO, /* on a terminal, unless NO_COLOR is set or TERM is dumb */
	OUTPUT_ALWAYS,
	OUTPUT_NEVER,
};

extern const char *const output_format_names[];
extern const char *const output_color_names[];

struct output {
	FILE *to;
	enum output_format format;
	bool terminal;   /* `to` is one */
	bool color;
	bool ascii;      /* the locale has no UTF-8 */
	size_t width;    /* columns of the terminal; 0 = nothing is ever cut */
	int64_t wall_us; /* what "since" is counted from */
};

void output_init(struct output *o, FILE *to, enum output_format format, enum output_color color);

enum output_hue {
	OUTPUT_PLAIN,
	OUTPUT_GOOD,
	OUTPUT_BUSY,
	OUTPUT_BAD,
	OUTPUT_DIM,
	OUTPUT_BOLD,
};

/* The hue of a state's word: tunneling, listening, ok are good ones. */
enum output_hue output_state_hue(const char *state);
/* Escape sequence that begins a hue, OUTPUT_PLAIN ends it; "" without colours. */
const char *output_paint(const struct output *o, enum output_hue hue);

/* Copies text; control characters, those that turn the direction of writing, and what is not UTF-8
 * become \xHH. "..." at the end when cut. Returns buf. */
const char *output_clean(char *buf, size_t size, const char *text);

/* "512 B", "1.5 MiB". Returns buf. */
const char *output_bytes(char *buf, size_t size, double bytes);
/* "23 ms", "1.5 s", "3m 12s", "2h 5m", "4d 3h". Returns buf. */
const char *output_ms(char *buf, size_t size, uint64_t ms);
/* RFC 3339 in UTC to microseconds since the epoch; false = it is no such time. */
bool output_parse_time(int64_t *ret_us, const char *text);

/* ---- JSON ------------------------------------------------------------------------------------ */

/* The member at "runtime.state"; NULL = it is not there. */
const json_t *output_member(const json_t *object, const char *path);
/* As string or number; "" and 0 when it is not there or of another type. */
const char *output_string(const json_t *object, const char *path);
uint64_t output_number(const json_t *object, const char *path);
double output_real(const json_t *object, const char *path);
bool output_flag(const json_t *object, const char *path);

/* One line, or indented on a terminal. */
void output_json(const struct output *o, const json_t *value);

/* ---- Tables ---------------------------------------------------------------------------------- */

enum output_kind {
	OUTPUT_TEXT,
	OUTPUT_STATE,   /* a word with its colour */
	OUTPUT_NUMBER,
	OUTPUT_SIZE,    /* bytes */
	OUTPUT_TIME,    /* a duration in milliseconds */
	OUTPUT_SINCE,   /* a time of day: how long ago */
	OUTPUT_YESNO,
	OUTPUT_RATE,    /* bytes per second */
};

struct output_column {
	const char *title;
	const char *path; /* "runtime.state"; "mapping|session": the first that is there */
	enum output_kind kind;
	bool wide;        /* only in OUTPUT_WIDE and OUTPUT_TSV */
	bool cut;         /* prose: may be shortened where the terminal is too narrow */
};

/* Text of a value for people, or (plain) for scripts: numbers as they are. Returns buf. */
const char *output_value(char *buf, size_t size, const struct output *o, enum output_kind kind,
			 const json_t *value, bool plain);

/* `rows` is an array of objects. Never for OUTPUT_JSON. False when memory is short. */
bool output_table(const struct output *o, const struct output_column *columns, size_t count,
		  const json_t *rows);

/* Columns for a terminal from the environment and the terminal: at least 40; 80 = not known. */
size_t output_terminal_width(FILE *to);
