/* SPDX-License-Identifier: MIT */
/*
 * One table per truth: a row describes one option or parameter of a plain struct: name, type, where
 * it lies, what is allowed, its default, its unit, its help. Command-line flags, --help,
 * configuration keys, error messages, masking of secrets, man pages and (later) JSON and its schema
 * are all made from these rows, and from nothing else.
 *
 * The structs of the control API are described by the same rows: then they may nest (FIELD_OBJECT,
 * FIELD_OBJECTS), and names are written with `_` for `-`.
 *
 * Strings, lists and arrays are owned by the struct (malloc) and freed by field_free; secrets are
 * wiped then.
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
	/* Of the control API; field_set takes no text for the last three. */
	FIELD_INT,      /* int64_t, min..max as int64_t (both 0 = any) */
	FIELD_DOUBLE,   /* double */
	FIELD_OBJECT,   /* a struct in place, described by `rows` */
	FIELD_OBJECTS,  /* struct field_array of structs described by `rows` */
	FIELD_JSON,     /* char *: JSON as text that `schema` describes, NULL = not given */
};

/* What FIELD_OBJECTS describes: `count` structs one after the other, malloc'ed. */
struct field_array {
	void *items;
	size_t count;
};

enum field_flag {
	FIELD_REQUIRED = 1 << 0,
	FIELD_FILE = 1 << 1,     /* names a file: the control API takes its content instead */
	FIELD_CLI_ONLY = 1 << 2, /* of the command line (and the configuration file), not of the
				    control API and the state file */
	FIELD_OPTIONAL = 1 << 3, /* may be left out. "Not given", the default, is UINT64_MAX
				    (FIELD_UINT, FIELD_MS), INT64_MIN, NAN, -1 (FIELD_CHOICE),
				    and for FIELD_BOOL and FIELD_OBJECT that `present` is false */
	FIELD_REPEAT = 1 << 4,   /* FIELD_STRING: given again it adds, joined by a comma */
	FIELD_API_ONLY = 1 << 5, /* of the control API and the state file: neither an option of the
				    command line nor a key of the configuration file */
};

struct field {
	const char *name;          /* long option name, "server-addr" */
	char short_name;           /* 'a' or 0 */
	enum field_type type;
	unsigned flags;
	size_t offset;             /* of the member in the struct */
	uint64_t min, max;         /* of numbers (max 0 = none); strings: most bytes (0 = 4096) */
	const char *const *choices;      /* FIELD_CHOICE: values accepted, NULL-terminated;
					    FIELD_LIST: of its entries, NULL = any */
	const char *default_text;  /* parsed as if given; NULL = zero */
	const char *argument;      /* what --help shows for the value: "ADDR", "MS" */
	const char *unit;          /* "ms", "bytes", or NULL */
	const char *help;          /* one or two sentences */
	/* NULL, or checks (and may normalise) a value after it is parsed: 0, or RSTUN_E_MALFORMED
	 * with a sentence in error that says what is wrong and what would be right. */
	int (*check)(void *config, char *error, size_t error_size);
	const char *group;         /* heading above this row in --help; NULL = as before */
	const struct field_rows *rows; /* FIELD_OBJECT, FIELD_OBJECTS */
	size_t present;            /* offset of a bool: the member is there; 0 = it always is */
	const char *schema;        /* FIELD_JSON: JSON Schema of the value, as text */
};

/* A struct and its rows. */
struct field_rows {
	const char *name; /* "Mapping": of the struct in schema and documentation */
	const struct field *rows;
	size_t count;
	size_t size;      /* of the struct */
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

/* Copies the members of the rows, deep; what `to` held is not freed (it may be fresh memory). Not
 * for nested structs. RSTUN_E_NOMEM: then `to` holds nothing to free. */
int field_copy(const struct field *rows, size_t count, void *to, const void *from);

/* Whether all members that the rows describe are the same, secrets and FIELD_CLI_ONLY included. */
bool field_equal(const struct field *rows, size_t count, const void *a, const void *b);

const struct field *field_find(const struct field *rows, size_t count, const char *name);

/* The row whose name is nearest to `name` (edit distance at most a third of its length), or NULL:
 * for "did you mean". */
const struct field *field_suggest(const struct field *rows, size_t count, const char *name);

/* Letters to insert, drop, change or swap with their neighbour to get from a to b; SIZE_MAX when
 * either is longer than any name. */
size_t field_distance(const char *a, const char *b);
