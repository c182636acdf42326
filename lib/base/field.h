/* SPDX-License-Identifier: MIT */
/*
 * One table per truth: a row describes one option or parameter of a plain struct: name, type, where
 * it lies, what is allowed, its default, its unit, its help. Command-line flags, --help,
 * configuration keys, error messages, masking of secrets, man pages and (later) JSON and its schema
 * are all made from these rows, and from nothing else.
 *
 * Strings and lists are owned by the struct (malloc) and freed by field_free; secrets are wiped
 * then.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_type {
	FIELD_BOOL,     /* bool */
	FIELD_UINT,     /* uint64_t, min..max */
	FIELD_MS,       /* uint64_t milliseconds, min..max; text may carry ms, s, m, h, d */
	FIELD_CHOICE,   /* int: index into choices */
	FIELD_STRING,   /* char *, NULL = not given */
	FIELD_SECRET,   /* char *, wiped when freed, shown as *** */
	FIELD_LIST,     /* char **, NULL-terminated; text is separated by commas, blanks trimmed,
			   empty entries dropped */
};

enum field_flag {
	FIELD_REQUIRED = 1 << 0,
	FIELD_FILE = 1 << 1,     /* names a file: the control API takes its content instead */
	FIELD_CLI_ONLY = 1 << 2, /* of the command line, not part of a stored configuration */
	FIELD_OPTIONAL = 1 << 3, /* FIELD_UINT: UINT64_MAX is "not given", and the default */
	FIELD_REPEAT = 1 << 4,   /* FIELD_STRING: given again it adds, joined by a comma */
};

struct field {
	const char *name;          /* long option name, "server-addr" */
	char short_name;           /* 'a' or 0 */
	enum field_type type;
	unsigned flags;
	size_t offset;             /* of the member in the struct */
	uint64_t min, max;         /* of numbers (max 0 = none); strings: most bytes (0 = 4096) */
	const char *const *choices;      /* FIELD_CHOICE: values accepted, NULL-terminated */
	const char *default_text;  /* parsed as if given; NULL = zero */
	const char *argument;      /* what --help shows for the value: "ADDR", "MS" */
	const char *unit;          /* "ms", "bytes", or NULL */
	const char *help;          /* one or two sentences */
	/* NULL, or checks (and may normalise) a value after it is parsed: 0, or RSTUN_E_MALFORMED
	 * with a sentence in error that says what is wrong and what would be right. */
	int (*check)(void *config, char *error, size_t error_size);
	const char *group;         /* heading above this row in --help; NULL = as before */
};

#define FIELD_ERROR_SIZE 768

/* Sets every member to its default (what it held is not freed). RSTUN_E_NOMEM. */
int field_set_defaults(const struct field *rows, size_t count, void *config);

/* Parses `text` into the member of `row` in place of what it held; an empty FIELD_STRING or
 * FIELD_LIST means not given. On failure the member is as before and `error` names option, value
 * and allowed range:
 *   --quic-timeout-ms: "x" is not a number of milliseconds (0 to 86400000) */
int field_set(const struct field *row, void *config, const char *text,
	      char error[FIELD_ERROR_SIZE]);

/* The member as text (a secret as "***"), for status and --help. Returns buf. */
const char *field_get(const struct field *row, const void *config, char *buf, size_t size);

void field_free(const struct field *rows, size_t count, void *config);

const struct field *field_find(const struct field *rows, size_t count, const char *name);

/* The row whose name is nearest to `name` (edit distance at most a third of its length), or NULL:
 * for "did you mean". */
const struct field *field_suggest(const struct field *rows, size_t count, const char *name);

/* Letters to insert, drop, change or swap with their neighbour to get from a to b; SIZE_MAX when
 * either is longer than any name. */
size_t field_distance(const char *a, const char *b);
