/* SPDX-License-Identifier: MIT */
/*
 * Rows of options against a struct made for the test: every type, its range and its message, values
 * that are refused leave the old one, secrets never show, defaults, freeing, and suggestions.
 */
#include "base/error.h"
#include "base/field.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct thing {
	bool flag;
	uint64_t number;
	uint64_t limit;
	uint64_t descriptor;
	uint64_t wait_ms;
	int colour;
	char *name;
	char *secret;
	char **list;
};

static const char *const colours[] = {"red", "Green", "blue", NULL};

static int check_name(void *config, char *error, size_t size)
{
	struct thing *thing = config;

	if (thing->name != NULL && strcmp(thing->name, "bad") == 0) {
		snprintf(error, size, "\"%s\" is bad: write good", thing->name);
		return RSTUN_E_MALFORMED;
	}
	return 0;
}

static int check_secret(void *config, char *error, size_t size)
{
	struct thing *thing = config;

	if (thing->secret[0] != '\0')
		return 0;
	snprintf(error, size, "it is empty");
	return RSTUN_E_MALFORMED;
}

#define AT(member) .offset = offsetof(struct thing, member)

static const struct field rows[] = {
	{.name = "flag", .type = FIELD_BOOL, AT(flag), .default_text = "yes"},
	{.name = "number",
	 .type = FIELD_UINT,
	 AT(number),
	 .min = 3,
	 .max = 20,
	 .default_text = "7"},
	{.name = "limit", .type = FIELD_UINT, AT(limit), .unit = "bytes"},
	{.name = "descriptor",
	 .type = FIELD_UINT,
	 .flags = FIELD_OPTIONAL,
	 AT(descriptor),
	 .max = 99},
	{.name = "wait-ms", .type = FIELD_MS, AT(wait_ms), .max = 86400000, .unit = "ms"},
	{.name = "colour",
	 .type = FIELD_CHOICE,
	 AT(colour),
	 .choices = colours,
	 .default_text = "blue"},
	{.name = "name", .type = FIELD_STRING, AT(name), .max = 8, .check = check_name},
	{.name = "secret", .type = FIELD_SECRET, AT(secret), .check = check_secret},
	{.name = "list", .type = FIELD_LIST, AT(list), .default_text = "a,b"},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static struct thing thing;
static char error[FIELD_ERROR_SIZE];

static int setup(void **state)
{
	(void)state;
	memset(&thing, 0x77, sizeof(thing));
	return field_set_defaults(rows, ROWS, &thing);
}

static int teardown(void **state)
{
	(void)state;
	field_free(rows, ROWS, &thing);
	return 0;
}

static const char *get(const char *name)
{
	static char buf[256];

	return field_get(field_find(rows, ROWS, name), &thing, buf, sizeof(buf));
}

/* `want`: how the member prints afterwards. */
static void right(const char *name, const char *text, const char *want)
{
	if (field_set(field_find(rows, ROWS, name), &thing, text, error) != 0)
		fail_msg("%s", error);
	assert_string_equal(get(name), want);
}

static void wrong(const char *name, const char *text, const char *message)
{
	char before[256];

	snprintf(before, sizeof(before), "%s", get(name));
	assert_int_equal(field_set(field_find(rows, ROWS, name), &thing, text, error),
			 RSTUN_E_MALFORMED);
	assert_string_equal(error, message);
	assert_string_equal(get(name), before);
}

static void test_defaults(void **state)
{
	(void)state;
	assert_true(thing.flag);
	assert_int_equal(thing.number, 7);
	assert_int_equal(thing.limit, 0);
	assert_true(thing.descriptor == UINT64_MAX);
	assert_string_equal(get("descriptor"), "");
	assert_int_equal(thing.wait_ms, 0);
	assert_int_equal(thing.colour, 2);
	assert_null(thing.name);
	assert_null(thing.secret);
	assert_string_equal(get("list"), "a,b");
}

static void test_bool(void **state)
{
	(void)state;
	right("flag", "no", "no");
	right("flag", "TRUE", "yes");
	right("flag", "off", "no");
	right("flag", "1", "yes");
	right("flag", "0", "no");
	wrong("flag", "", "--flag: \"\" is neither yes nor no");
	wrong("flag", "ja", "--flag: \"ja\" is neither yes nor no");
}

static void test_numbers(void **state)
{
	(void)state;
	right("number", "3", "3");
	right("number", "20", "20");
	right("number", "0x10", "16");
	right("number", "007", "7");
	wrong("number", "2", "--number: \"2\" is out of range: a number from 3 to 20");
	wrong("number", "21", "--number: \"21\" is out of range: a number from 3 to 20");
	wrong("number", "", "--number: \"\" is not a number (3 to 20)");
	wrong("number", "-4", "--number: \"-4\" is not a number (3 to 20)");
	wrong("number", "+4", "--number: \"+4\" is not a number (3 to 20)");
	wrong("number", " 4", "--number: \" 4\" is not a number (3 to 20)");
	wrong("number", "4 ", "--number: \"4 \" is not a number (3 to 20)");
	wrong("number", "4.5", "--number: \"4.5\" is not a number (3 to 20)");
	wrong("number", "0x", "--number: \"0x\" is not a number (3 to 20)");
	wrong("number", "4s", "--number: \"4s\" is not a number (3 to 20)");
	wrong("number", "99999999999999999999",
	      "--number: \"99999999999999999999\" is out of range: a number from 3 to 20");
	right("limit", "18446744073709551615", "18446744073709551615");
	wrong("limit", "18446744073709551616",
	      "--limit: \"18446744073709551616\" is out of range: a number of bytes from 0 to "
	      "18446744073709551615");
	right("descriptor", "0", "0");
	right("descriptor", "99", "99");
}

static void test_durations(void **state)
{
	(void)state;
	right("wait-ms", "1500", "1500");
	right("wait-ms", "250ms", "250");
	right("wait-ms", "30s", "30000");
	right("wait-ms", "5m", "300000");
	right("wait-ms", "2h", "7200000");
	right("wait-ms", "1d", "86400000");
	right("wait-ms", "0", "0");
	wrong("wait-ms", "x", "--wait-ms: \"x\" is not a number of milliseconds (0 to 86400000)");
	wrong("wait-ms", "5 s",
	      "--wait-ms: \"5 s\" is not a number of milliseconds (0 to 86400000)");
	wrong("wait-ms", "5y", "--wait-ms: \"5y\" is not a number of milliseconds (0 to 86400000)");
	wrong("wait-ms", "s", "--wait-ms: \"s\" is not a number of milliseconds (0 to 86400000)");
	wrong("wait-ms", "0x10",
	      "--wait-ms: \"0x10\" is not a number of milliseconds (0 to 86400000)");
	wrong("wait-ms", "2d",
	      "--wait-ms: \"2d\" is out of range: a number of milliseconds from 0 to 86400000");
	/* Times its unit it does not fit 64 bits. */
	wrong("wait-ms", "213503982334602d",
	      "--wait-ms: \"213503982334602d\" is out of range: a number of milliseconds from 0 to "
	      "86400000");
}

static void test_choice(void **state)
{
	(void)state;
	right("colour", "green", "Green");
	right("colour", "RED", "red");
	wrong("colour", "pink", "--colour: \"pink\" is not one of red, Green, blue");
	wrong("colour", "", "--colour: \"\" is not one of red, Green, blue");
}

static void test_string(void **state)
{
	(void)state;
	right("name", "12345678", "12345678");
	wrong("name", "123456789", "--name: 9 bytes are too long: at most 8 are allowed");
	wrong("name", "bad", "--name: \"bad\" is bad: write good");
	right("name", "", "");
	assert_null(thing.name);
	wrong("number", "\x1b[31m", "--number: \"\\x1b[31m\" is not a number (3 to 20)");
}

static void test_secret(void **state)
{
	char *huge = malloc(5001);

	(void)state;
	assert_non_null(huge);
	right("secret", "canary", "***");
	assert_string_equal(thing.secret, "canary");
	wrong("secret", "", "--secret: it is empty");
	assert_string_equal(thing.secret, "canary");
	memset(huge, 'c', 5000);
	huge[5000] = '\0';
	wrong("secret", huge, "--secret: 5000 bytes are too long: at most 4096 are allowed");
	right("secret", "other", "***");
	free(huge);
}

static void test_list(void **state)
{
	(void)state;
	right("list", " x ,, y z\t,w,", "x,y z,w");
	assert_null(thing.list[3]);
	right("list", "one", "one");
	right("list", " , ,", "");
	assert_null(thing.list);
	right("list", "", "");
}

static void test_get_small_buffers(void **state)
{
	char buf[4];

	(void)state;
	right("list", "abc,def,ghi", "abc,def,ghi");
	assert_string_equal(field_get(&rows[8], &thing, buf, sizeof(buf)), "abc");
	right("name", "longish", "longish");
	assert_string_equal(field_get(&rows[6], &thing, buf, sizeof(buf)), "lon");
}

static void test_find_and_suggest(void **state)
{
	(void)state;
	assert_ptr_equal(field_find(rows, ROWS, "wait-ms"), &rows[4]);
	assert_null(field_find(rows, ROWS, "wait"));
	assert_null(field_find(rows, ROWS, ""));
	assert_ptr_equal(field_suggest(rows, ROWS, "wiat-ms"), &rows[4]);
	assert_ptr_equal(field_suggest(rows, ROWS, "color"), &rows[5]);
	assert_ptr_equal(field_suggest(rows, ROWS, "nmae"), &rows[6]);
	assert_ptr_equal(field_suggest(rows, ROWS, "descripter"), &rows[3]);
	assert_null(field_suggest(rows, ROWS, "zebra"));
	assert_null(field_suggest(rows, ROWS, "x"));
	assert_null(field_suggest(rows, ROWS, ""));
	assert_int_equal(field_distance("", ""), 0);
	assert_int_equal(field_distance("abc", ""), 3);
	assert_int_equal(field_distance("abc", "acb"), 1);
	assert_int_equal(field_distance("kitten", "sitting"), 3);
	assert_true(field_distance("a",
				   "0123456789012345678901234567890123456789012345678901234567890"
				   "123456789") == SIZE_MAX);
}

static void test_free_twice(void **state)
{
	(void)state;
	right("secret", "s", "***");
	field_free(rows, ROWS, &thing);
	assert_null(thing.secret);
	assert_null(thing.list);
	field_free(rows, ROWS, &thing);
	field_free(rows, ROWS, NULL);
}

/* ---- Types of the control API ---------------------------------------------------------------- */

struct inner {
	char *word;
	uint64_t count;
};

struct outer {
	int64_t number;
	int64_t any;
	double ratio;
	int colour;
	bool flag, has_flag;
	bool has_inner;
	struct inner inner;
	struct field_array many;
	char *json;
	char **kinds;
};

static const struct field inner_rows[] = {
	{.name = "word", .type = FIELD_STRING, .offset = offsetof(struct inner, word),
	 .default_text = "w"},
	{.name = "count", .type = FIELD_UINT, .flags = FIELD_OPTIONAL,
	 .offset = offsetof(struct inner, count)},
};
static const struct field_rows inner_set = {"Inner", inner_rows, 2, sizeof(struct inner)};

#define OUT(member) .offset = offsetof(struct outer, member)
static const struct field outer_rows[] = {
	{.name = "number", .type = FIELD_INT, OUT(number), .min = (uint64_t)-5, .max = 5},
	{.name = "any", .type = FIELD_INT, .flags = FIELD_OPTIONAL, OUT(any)},
	{.name = "ratio", .type = FIELD_DOUBLE, .flags = FIELD_OPTIONAL, OUT(ratio)},
	{.name = "colour", .type = FIELD_CHOICE, .flags = FIELD_OPTIONAL, OUT(colour),
	 .choices = colours},
	{.name = "flag", .type = FIELD_BOOL, .flags = FIELD_OPTIONAL, OUT(flag),
	 .present = offsetof(struct outer, has_flag)},
	{.name = "inner", .type = FIELD_OBJECT, .flags = FIELD_OPTIONAL, OUT(inner),
	 .rows = &inner_set, .present = offsetof(struct outer, has_inner)},
	{.name = "many", .type = FIELD_OBJECTS, OUT(many), .rows = &inner_set},
	{.name = "json", .type = FIELD_JSON, OUT(json), .schema = "{}"},
	{.name = "kinds", .type = FIELD_LIST, OUT(kinds), .choices = colours},
};
#define OUTER_ROWS (sizeof(outer_rows) / sizeof(outer_rows[0]))

static void outer_check(struct outer *outer, const char *name, const char *text, int want,
			const char *shown)
{
	const struct field *row = field_find(outer_rows, OUTER_ROWS, name);
	char buf[64];

	assert_int_equal(field_set(row, outer, text, error), want);
	assert_string_equal(want == 0 ? field_get(row, outer, buf, sizeof(buf)) : error, shown);
}

static void types_of_the_control_api(void **state)
{
	struct outer outer;
	struct inner *items = calloc(2, sizeof(*items));
	char buf[8];

	(void)state;
	memset(&outer, 0x77, sizeof(outer));
	assert_int_equal(field_set_defaults(outer_rows, OUTER_ROWS, &outer), 0);
	assert_true(outer.any == INT64_MIN && outer.colour == -1 && outer.ratio != outer.ratio);
	assert_false(outer.has_flag || outer.has_inner);
	assert_string_equal(outer.inner.word, "w");
	assert_true(outer.inner.count == UINT64_MAX);
	for (size_t i = 0; i < OUTER_ROWS; i++) /* nothing is shown of what is not given */
		if (outer_rows[i].type != FIELD_BOOL && i > 0)
			assert_string_equal(field_get(&outer_rows[i], &outer, buf, sizeof(buf)), "");
	outer_check(&outer, "number", "-5", 0, "-5");
	outer_check(&outer, "number", "6", RSTUN_E_MALFORMED,
		    "--number: \"6\" is not a whole number from -5 to 5");
	outer_check(&outer, "number", "-", RSTUN_E_MALFORMED,
		    "--number: \"-\" is not a whole number from -5 to 5");
	outer_check(&outer, "any", "9223372036854775807", 0, "9223372036854775807");
	outer_check(&outer, "any", "-9223372036854775807", 0, "-9223372036854775807");
	outer_check(&outer, "any", "9223372036854775808", RSTUN_E_MALFORMED,
		    "--any: \"9223372036854775808\" is not a whole number from "
		    "-9223372036854775808 to 9223372036854775807");
	outer_check(&outer, "ratio", "1.5", 0, "1.5");
	outer_check(&outer, "ratio", "nan", RSTUN_E_MALFORMED, "--ratio: \"nan\" is not a number");
	outer_check(&outer, "ratio", "1x", RSTUN_E_MALFORMED, "--ratio: \"1x\" is not a number");
	outer_check(&outer, "flag", "no", 0, "no");
	assert_true(outer.has_flag);
	outer_check(&outer, "kinds", "red, blue", 0, "red,blue");
	outer_check(&outer, "kinds", "red,pink", RSTUN_E_MALFORMED,
		    "--kinds: \"pink\" is not one of red, Green, blue");
	outer_check(&outer, "inner", "x", RSTUN_E_MALFORMED,
		    "--inner: it has no form as plain text");
	items[1].word = strdup("second");
	outer.many = (struct field_array){.items = items, .count = 2};
	outer.json = strdup("{}");
	field_free(outer_rows, OUTER_ROWS, &outer);
	assert_true(outer.many.items == NULL && outer.many.count == 0 && outer.json == NULL);
	assert_null(outer.inner.word);
}

static const struct field *outer_row(const char *name)
{
	return field_find(outer_rows, OUTER_ROWS, name);
}

static bool things_equal(const struct thing *other)
{
	bool there = field_equal(rows, ROWS, &thing, other);

	assert_int_equal(there, field_equal(rows, ROWS, other, &thing));
	return there;
}

static void test_equal(void **state)
{
	static const struct {
		const char *name, *text;
	} changes[] = {
		{"flag", "no"}, {"number", "8"}, {"descriptor", "1"}, {"wait-ms", "1"},
		{"colour", "red"}, {"name", "x"}, {"secret", "y"}, {"list", "a"}, {"list", "a,b,c"},
		{"list", ""}, {"list", "a,c"},
	};
	struct thing other;

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		const struct field *row = field_find(rows, ROWS, changes[i].name);

		assert_int_equal(field_set_defaults(rows, ROWS, &other), 0);
		assert_true(things_equal(&other));
		assert_int_equal(field_set(row, &other, changes[i].text, error), 0);
		assert_false(things_equal(&other));
		field_free(rows, ROWS, &other);
	}
	assert_int_equal(field_set_defaults(rows, ROWS, &other), 0);
	assert_int_equal(field_set(&rows[7], &other, "canary", error), 0);
	right("secret", "canary", "***");
	assert_true(things_equal(&other));
	right("secret", "Canary", "***");
	assert_false(things_equal(&other));
	field_free(rows, ROWS, &other);
}

static void test_equal_types_of_the_control_api(void **state)
{
	struct inner items[] = {{.count = 1}, {.count = 2}}, more[] = {{.count = 1}, {.count = 3}};
	struct outer a, b;

	(void)state;
	assert_int_equal(field_set_defaults(outer_rows, OUTER_ROWS, &a), 0);
	assert_int_equal(field_set_defaults(outer_rows, OUTER_ROWS, &b), 0);
	assert_true(field_equal(outer_rows, OUTER_ROWS, &a, &b)); /* NAN and NAN */
	assert_int_equal(field_set(outer_row("ratio"), &a, "1.5", error), 0);
	assert_false(field_equal(outer_rows, OUTER_ROWS, &a, &b));
	assert_int_equal(field_set(outer_row("ratio"), &b, "1.5", error), 0);
	assert_int_equal(field_set(outer_row("flag"), &a, "no", error), 0);
	assert_false(field_equal(outer_rows, OUTER_ROWS, &a, &b)); /* given or not */
	assert_int_equal(field_set(outer_row("flag"), &b, "no", error), 0);
	b.inner.count = 9; /* not there, so it does not count */
	assert_true(field_equal(outer_rows, OUTER_ROWS, &a, &b));
	a.has_inner = b.has_inner = true;
	assert_false(field_equal(outer_rows, OUTER_ROWS, &a, &b));
	a.inner.count = 9;
	a.many = (struct field_array){items, 2};
	assert_false(field_equal(outer_rows, OUTER_ROWS, &a, &b));
	b.many = (struct field_array){more, 2};
	assert_false(field_equal(outer_rows, OUTER_ROWS, &a, &b));
	more[1].count = 2;
	assert_true(field_equal(outer_rows, OUTER_ROWS, &a, &b));
	a.many = b.many = (struct field_array){NULL, 0};
	field_free(outer_rows, OUTER_ROWS, &a);
	field_free(outer_rows, OUTER_ROWS, &b);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_defaults), T(test_bool),	  T(test_numbers), T(test_durations),
		T(test_choice),	  T(test_string), T(test_secret),  T(test_list),
		T(test_get_small_buffers), T(test_find_and_suggest), T(test_free_twice),
		T(test_equal), cmocka_unit_test(test_equal_types_of_the_control_api),
		cmocka_unit_test(types_of_the_control_api),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
