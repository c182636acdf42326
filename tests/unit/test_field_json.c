/* SPDX-License-Identifier: MIT */
/*
 * JSON objects into structs and back: every type, and a table of everything that is refused, with
 * the field that is named and the message. A struct made for the test has all types of rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rpc/api.h"
#include "rpc/api_types.h"
#include "rpc/field_json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct inner {
	char *word;
	uint64_t count;
};

struct thing {
	bool flag;
	bool maybe, has_maybe;
	uint64_t number, wait_ms, limit, port;
	int64_t signed_one;
	double ratio;
	int colour, mood;
	char *name, *must, *secret, *raw, *file;
	char **list, **kinds;
	bool has_one;
	struct inner one;
	struct field_array many;
};

static const char *const colours[] = {"red", "green", "blue", NULL};
static const char *const kinds[] = {"state", "log", NULL};

static int check_port(void *config, char *error, size_t size)
{
	struct thing *thing = config;

	if (thing->port != 13)
		return 0;
	snprintf(error, size, "13 brings bad luck, take 12");
	return RSTUN_E_MALFORMED;
}

#define IN(tag, member) .offset = offsetof(struct tag, member), .help = "It."
static const struct field inner_rows[] = {
	{.name = "word", .type = FIELD_STRING, .flags = FIELD_REQUIRED, IN(inner, word)},
	{.name = "count", .type = FIELD_UINT, IN(inner, count), .max = 9, .default_text = "3"},
};
static const struct field_rows inner = {"Inner", inner_rows, 2, sizeof(struct inner)};

static const struct field thing_rows[] = {
	{.name = "flag", .type = FIELD_BOOL, IN(thing, flag), .default_text = "yes"},
	{.name = "maybe", .type = FIELD_BOOL, .flags = FIELD_OPTIONAL, IN(thing, maybe),
	 .present = offsetof(struct thing, has_maybe)},
	{.name = "number", .type = FIELD_UINT, IN(thing, number), .min = 3, .max = 20,
	 .default_text = "7"},
	{.name = "wait-ms", .type = FIELD_MS, .flags = FIELD_OPTIONAL, IN(thing, wait_ms),
	 .max = 86400000, .unit = "ms"},
	{.name = "limit", .type = FIELD_UINT, IN(thing, limit), .unit = "bytes"},
	{.name = "port", .type = FIELD_UINT, IN(thing, port), .max = 65535, .check = check_port},
	{.name = "signed-one", .type = FIELD_INT, IN(thing, signed_one), .min = (uint64_t)-5,
	 .max = 5},
	{.name = "ratio", .type = FIELD_DOUBLE, .flags = FIELD_OPTIONAL, IN(thing, ratio)},
	{.name = "colour", .type = FIELD_CHOICE, IN(thing, colour), .choices = colours,
	 .default_text = "blue"},
	{.name = "mood", .type = FIELD_CHOICE, .flags = FIELD_OPTIONAL, IN(thing, mood),
	 .choices = colours},
	{.name = "name", .type = FIELD_STRING, IN(thing, name), .max = 8, .default_text = "x"},
	{.name = "must", .type = FIELD_STRING, .flags = FIELD_REQUIRED, IN(thing, must)},
	{.name = "secret", .type = FIELD_SECRET, IN(thing, secret), .max = 8},
	{.name = "raw", .type = FIELD_JSON, .flags = FIELD_API_ONLY, IN(thing, raw), .max = 16, .schema = "{}"},
	{.name = "file", .type = FIELD_STRING, .flags = FIELD_FILE, IN(thing, file)},
	{.name = "list", .type = FIELD_LIST, IN(thing, list), .max = 12, .default_text = "a,b"},
	{.name = "kinds", .type = FIELD_LIST, IN(thing, kinds), .choices = kinds},
	{.name = "one", .type = FIELD_OBJECT, .flags = FIELD_OPTIONAL, IN(thing, one),
	 .rows = &inner, .present = offsetof(struct thing, has_one)},
	{.name = "many", .type = FIELD_OBJECTS, IN(thing, many), .rows = &inner},
};
static const struct field_rows rows = {"Thing", thing_rows,
				       sizeof(thing_rows) / sizeof(thing_rows[0]),
				       sizeof(struct thing)};

static struct rpc_error error;

static int decode(struct thing *thing, const char *text)
{
	json_t *object = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	int rv;

	if (object == NULL)
		fail_msg("the test's own JSON is wrong: %s", text);
	memset(&error, 0, sizeof(error));
	memset(thing, 0x77, sizeof(*thing));
	rv = field_json_decode(&rows, thing, object, &error);
	json_decref(object);
	return rv;
}

static void done(struct thing *thing)
{
	field_free(rows.rows, rows.count, thing);
}

static void defaults(void **state)
{
	struct thing t;

	(void)state;
	assert_int_equal(decode(&t, "{\"must\":\"m\"}"), 0);
	assert_true(t.flag);
	assert_false(t.has_maybe);
	assert_int_equal(t.number, 7);
	assert_true(t.wait_ms == UINT64_MAX);
	assert_int_equal(t.limit, 0);
	assert_true(isnan(t.ratio));
	assert_int_equal(t.colour, 2);
	assert_int_equal(t.mood, -1);
	assert_string_equal(t.name, "x");
	assert_string_equal(t.must, "m");
	assert_null(t.secret);
	assert_null(t.raw);
	assert_string_equal(t.list[1], "b");
	assert_null(t.kinds);
	assert_false(t.has_one);
	assert_null(t.one.word);
	assert_int_equal(t.one.count, 3);
	assert_int_equal(t.many.count, 0);
	done(&t);
}

static void everything(void **state)
{
	struct thing t;
	json_t *back;
	char *text;

	(void)state;
	assert_int_equal(
		decode(&t, "{\"flag\":false,\"maybe\":true,\"number\":20,\"wait_ms\":86400000,"
			   "\"limit\":9223372036854775807,\"port\":5e3,\"signed_one\":-5,"
			   "\"ratio\":1.5,\"colour\":\"green\",\"mood\":\"red\",\"name\":\"n\xc3\xa4\","
			   "\"must\":\"m\",\"secret\":\"geheim\",\"raw\":[1, {}],"
			   "\"list\":[\"c\",\"d,e\"],\"kinds\":[\"log\"],"
			   "\"one\":{\"word\":\"w\"},"
			   "\"many\":[{\"word\":\"p\",\"count\":1},{\"word\":\"q\"}]}"),
		0);
	assert_false(t.flag);
	assert_true(t.has_maybe && t.maybe);
	assert_int_equal(t.port, 5000);
	assert_int_equal(t.limit, INT64_MAX);
	assert_int_equal(t.signed_one, -5);
	assert_string_equal(t.secret, "geheim");
	assert_string_equal(t.raw, "[1,{}]");
	assert_string_equal(t.list[1], "d,e");
	assert_true(t.has_one);
	assert_int_equal(t.one.count, 3);
	assert_int_equal(((struct inner *)t.many.items)[1].count, 3);
	back = field_json_encode(&rows, &t);
	text = json_dumps(back, JSON_COMPACT);
	assert_string_equal(
		text, "{\"flag\":false,\"maybe\":true,\"number\":20,\"wait_ms\":86400000,"
		      "\"limit\":9223372036854775807,\"port\":5000,\"signed_one\":-5,\"ratio\":1.5,"
		      "\"colour\":\"green\",\"mood\":\"red\",\"name\":\"n\xc3\xa4\",\"must\":\"m\","
		      "\"secret_set\":true,\"raw\":[1,{}],\"list\":[\"c\",\"d,e\"],"
		      "\"kinds\":[\"log\"],\"one\":{\"word\":\"w\",\"count\":3},"
		      "\"many\":[{\"word\":\"p\",\"count\":1},{\"word\":\"q\",\"count\":3}]}");
	done(&t);
	/* What was written can be read again: secret_set is no unknown parameter. */
	assert_int_equal(decode(&t, text), 0);
	assert_null(t.secret);
	done(&t);
	free(text);
	json_decref(back);
}

static void not_given(void **state)
{
	struct thing t;
	json_t *back;
	char *text;

	(void)state;
	assert_int_equal(decode(&t, "{\"must\":\"m\",\"name\":null,\"list\":[],\"secret\":\"\","
				    "\"maybe\":null,\"one\":null,\"many\":[]}"),
			 0);
	assert_string_equal(t.secret, "");
	assert_null(t.list);
	free(t.name);
	t.name = NULL;
	free(t.must);
	t.must = NULL; /* required in results: always there */
	t.ratio = (double)INFINITY;
	back = field_json_encode(&rows, &t);
	text = json_dumps(back, JSON_COMPACT);
	assert_string_equal(text, "{\"flag\":true,\"number\":7,\"limit\":0,\"port\":0,"
				  "\"signed_one\":0,\"ratio\":0.0,\"colour\":\"blue\",\"must\":\"\","
				  "\"secret_set\":true,\"list\":[],\"kinds\":[],\"many\":[]}");
	free(text);
	json_decref(back);
	done(&t);
}

static void with_secrets(void **state)
{
	struct thing t;
	json_t *back;

	(void)state;
	assert_int_equal(decode(&t, "{\"must\":\"m\",\"secret\":\"geheim\"}"), 0);
	back = field_json_encode_secrets(&rows, &t);
	assert_string_equal(json_string_value(json_object_get(back, "secret")), "geheim");
	assert_null(json_object_get(back, "secret_set"));
	done(&t);
	assert_int_equal(field_json_decode(&rows, &t, back, &error), 0);
	assert_string_equal(t.secret, "geheim");
	json_decref(back);
	/* Escaping would make another secret of it. */
	t.secret[0] = '\xff';
	assert_null(field_json_encode_secrets(&rows, &t));
	done(&t);
	assert_int_equal(decode(&t, "{\"must\":\"m\"}"), 0);
	back = field_json_encode_secrets(&rows, &t);
	assert_null(json_object_get(back, "secret"));
	json_decref(back);
	done(&t);
}

static void marks_without_their_secret(void **state)
{
	static const struct {
		const char *object;
		bool fine;
	} cases[] = {
		{"{\"secret\":\"geheim\",\"secret_set\":true}", true},
		{"{\"secret_set\":false}", true},
		{"{}", true},
		{"{\"secret_set\":true}", false},
		{"{\"secret\":null,\"secret_set\":true}", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *object = json_loads(cases[i].object, 0, NULL);
		struct thing t;

		assert_int_equal(field_set_defaults(rows.rows, rows.count, &t), 0);
		assert_int_equal(field_json_update(&rows, &t, object, &error), 0);
		assert_int_equal(field_json_check_marks(&rows, &t, object, &error) == 0,
				 cases[i].fine);
		if (!cases[i].fine) {
			assert_int_equal(error.code, RPC_INVALID_PARAMS);
			assert_string_equal(error.field, "secret");
			assert_non_null(strstr(error.message, "leave secret_set out"));
		}
		json_decref(object);
		done(&t);
	}
}

static void not_utf8(void **state)
{
	json_t *one = field_json_string("a\xff\xc3\xa4"), *two = field_json_string("");

	(void)state;
	assert_string_equal(json_string_value(one), "a\\xff\xc3\xa4");
	assert_string_equal(json_string_value(two), "");
	json_decref(one);
	json_decref(two);
}

/* ---- What is refused ------------------------------------------------------------------------- */

static const struct {
	const char *text;  /* of the object, without must */
	const char *field;
	const char *value; /* as shown; "" = none */
	const char *message; /* part of it */
} wrong[] = {
	{"\"flag\":1", "flag", "1", "flag: 1 is neither true nor false"},
	{"\"flag\":\"yes\"", "flag", "\"yes\"", "neither true nor false"},
	{"\"flag\":[]", "flag", "an array", "neither true nor false"},
	{"\"maybe\":{}", "maybe", "an object", "neither true nor false"},
	{"\"number\":2", "number", "2", "number: 2 is out of range: a whole number from 3 to 20"},
	{"\"number\":21", "number", "21", "from 3 to 20"},
	{"\"number\":-1", "number", "-1", "out of range"},
	{"\"number\":\"7\"", "number", "\"7\"", "number: \"7\" is not a whole number from 3 to 20"},
	{"\"number\":7.5", "number", "7.5", "not a whole number"},
	{"\"number\":1e300", "number", "1e300", "not a whole number"},
	{"\"number\":-1e300", "number", "-1e300", "not a whole number"},
	{"\"number\":true", "number", "true", "not a whole number"},
	{"\"number\":[]", "number", "an array", "not a whole number"},
	{"\"number\":{}", "number", "an object", "not a whole number"},
	{"\"wait_ms\":\"10s\"", "wait_ms", "\"10s\"",
	 "wait_ms: \"10s\" is not a whole number of milliseconds from 0 to 86400000"},
	{"\"wait_ms\":86400001", "wait_ms", "86400001", "out of range"},
	{"\"wait_ms\":-9223372036854775808", "wait_ms", "-9223372036854775808", "out of range"},
	{"\"wait-ms\":1", "wait-ms", "", "did you mean \"wait_ms\"?"},
	{"\"limit\":9.3e18", "limit", "9.3e18", "not a whole number of bytes from 0 to 9223372036854775807"},
	{"\"limit\":-1", "limit", "-1", "from 0 to 9223372036854775807"},
	{"\"port\":65536", "port", "65536", "from 0 to 65535"},
	{"\"port\":13", "port", "13", "port: 13 is refused: 13 brings bad luck, take 12"},
	{"\"port\":13.0", "port", "13.0", "take 12"},
	{"\"signed_one\":6", "signed_one", "6", "from -5 to 5"},
	{"\"signed_one\":-6", "signed_one", "-6", "from -5 to 5"},
	{"\"signed_one\":\"0\"", "signed_one", "\"0\"", "not a whole number"},
	{"\"ratio\":\"1.5\"", "ratio", "\"1.5\"", "is not a number"},
	{"\"ratio\":false", "ratio", "false", "is not a number"},
	{"\"colour\":\"pink\"", "colour", "\"pink\"",
	 "colour: \"pink\" is not one of \"red\", \"green\", \"blue\""},
	{"\"colour\":\"Red\"", "colour", "\"Red\"", "not one of"},
	{"\"colour\":0", "colour", "0", "not one of"},
	{"\"colour\":\"\"", "colour", "\"\"", "not one of"},
	{"\"colour\":\"red\\u0000\"", "colour", "\"red\\u0000\"", ""},
	{"\"mood\":[\"red\"]", "mood", "an array", "not one of"},
	{"\"name\":\"123456789\"", "name", "", "9 bytes are too long: at most 8"},
	{"\"name\":5", "name", "5", "is not a string"},
	{"\"name\":\"a\\u0000b\"", "name", "", "contains a NUL character"},
	{"\"name\":{}", "name", "an object", "is not a string"},
	{"\"must\":\"\"", "must", "", "must: it is empty"},
	{"\"must\":null", "must", "", "must: it is missing"},
	{"\"must\":0", "must", "0", "is not a string"},
	{"\"secret\":12345", "secret", "", "secret: it is not a string"},
	{"\"secret\":\"geheim123\"", "secret", "", "9 bytes are too long"},
	{"\"secret\":\"geheim\\u0000\"", "secret", "", "NUL"},
	{"\"secret\":[\"geheim\"]", "secret", "", "not a string"},
	{"\"secret_set\":\"geheim\"", "secret_set", "", "no such parameter"},
	{"\"name_set\":true", "name_set", "", "no such parameter"},
	{"\"raw\":[1,2,3,4,5,6,7,8,9]", "raw", "", "too long: at most 16 bytes"},
	{"\"file\":\"/etc/passwd\"", "file", "", "no such parameter"},
	{"\"list\":\"a\"", "list", "\"a\"", "is not an array of strings"},
	{"\"list\":{}", "list", "an object", "is not an array of strings"},
	{"\"list\":[\"a\",1]", "list[1]", "1", "is not a string"},
	{"\"list\":[\"\"]", "list[0]", "", "it is empty"},
	{"\"list\":[\"a\",null]", "list[1]", "null", "is not a string"},
	{"\"list\":[\"a\\u0000\"]", "list[0]", "", "NUL"},
	{"\"list\":[\"1234567\",\"1234567\"]", "list[1]", "", "too long"},
	{"\"kinds\":[\"log\",\"lgo\"]", "kinds[1]", "\"lgo\"", "not one of \"state\", \"log\""},
	{"\"one\":\"w\"", "one", "\"w\"", "one: \"w\" is not an object"},
	{"\"one\":[]", "one", "an array", "is not an object"},
	{"\"one\":{}", "one.word", "", "one.word: it is missing"},
	{"\"one\":{\"word\":\"w\",\"count\":10}", "one.count", "10", "from 0 to 9"},
	{"\"one\":{\"word\":\"w\",\"conut\":1}", "one.conut", "", "did you mean \"count\"?"},
	{"\"many\":{}", "many", "an object", "is not an array of objects"},
	{"\"many\":[1]", "many[0]", "1", "is not an object"},
	{"\"many\":[{\"word\":\"w\"},{\"word\":5}]", "many[1].word", "5", "is not a string"},
	{"\"many\":[{\"word\":\"w\"},{}]", "many[1].word", "", "it is missing"},
	{"\"nubmer\":1", "nubmer", "", "nubmer: there is no such parameter; did you mean \"number\"?"},
	{"\"\":1", "", "", "no such parameter"},
	{"\"Number\":1", "Number", "", "did you mean \"number\"?"},
	{"\"frobnicate\":1", "frobnicate", "", "possible are flag, maybe, number"},
	{"\"\\u001b[31m\":1", "\\x1b[31m", "", "no such parameter"},
	{"\"colours\":1", "colours", "", "did you mean \"colour\"?"},
};

static void refused(void **state)
{
	char text[1024];
	struct thing t;

	(void)state;
	assert_true(sizeof(wrong) / sizeof(wrong[0]) >= 60);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(text, sizeof(text), "{%s%s}",
			 strstr(wrong[i].text, "\"must\"") != NULL ? "" : "\"must\":\"m\",",
			 wrong[i].text);
		if (decode(&t, text) != RSTUN_E_MALFORMED)
			fail_msg("%s was taken", text);
		assert_int_equal(error.code, RPC_INVALID_PARAMS);
		assert_string_equal(error.kind, "invalid_params");
		if (strcmp(error.field, wrong[i].field) != 0 ||
		    strcmp(error.value, wrong[i].value) != 0 ||
		    strstr(error.message, wrong[i].message) == NULL)
			fail_msg("%s: field \"%s\", value \"%s\", message \"%s\"", wrong[i].text,
				 error.field, error.value, error.message);
		assert_null(strstr(error.message, "geheim"));
		assert_null(strstr(error.value, "geheim"));
		assert_null(strstr(error.hint, "geheim"));
	}
}

static void no_object(void **state)
{
	static const char *const texts[] = {"[]", "[1]", "5", "null", "\"x\"", "true"};
	struct thing t;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(decode(&t, texts[i]), RSTUN_E_MALFORMED);
		assert_int_equal(error.code, RPC_INVALID_PARAMS);
		assert_non_null(strstr(error.message, "must be an object"));
	}
	memset(&error, 0, sizeof(error));
	assert_int_equal(field_json_decode(&rows, &t, NULL, &error), RSTUN_E_MALFORMED);
	assert_string_equal(error.field, "must");
}

static void long_values_are_cut(void **state)
{
	char text[2048], many[1500];
	struct thing t;

	(void)state;
	memset(many, 'x', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	snprintf(text, sizeof(text), "{\"must\":\"m\",\"number\":\"%s\"}", many);
	assert_int_equal(decode(&t, text), RSTUN_E_MALFORMED);
	assert_true(strlen(error.value) < sizeof(error.value));
	assert_non_null(strstr(error.value, "..."));
	assert_non_null(strstr(error.message, "is not a whole number from 3 to 20"));
	snprintf(text, sizeof(text), "{\"must\":\"m\",\"%s\":1}", many);
	assert_int_equal(decode(&t, text), RSTUN_E_MALFORMED);
	assert_non_null(strstr(error.message, "no such parameter"));
}

static void methods_check(void **state)
{
	static const struct {
		enum rpc_method method;
		const char *params;
		const char *message; /* NULL = right */
	} cases[] = {
		{RPC_MAPPING_GET, "{}", "id or name is missing"},
		{RPC_MAPPING_GET, "{\"id\":\"m1\",\"name\":\"a\"}", "only one of them"},
		{RPC_MAPPING_GET, "{\"id\":\"m1\"}", NULL},
		{RPC_MAPPING_GET, "{\"id\":\"\"}", "id or name is missing"},
		{RPC_MAPPING_WAIT, "{}", "id or name is missing"},
		{RPC_MAPPING_WAIT, "{\"name\":\"a\",\"state\":\"up\"}", "is not one of"},
		{RPC_MAPPING_WAIT, "{\"name\":\"a\",\"timeout_ms\":0}", NULL},
		{RPC_STATS_GET, "{\"mapping\":\"a\",\"client\":\"b\"}", "only one of"},
		{RPC_STATS_GET, "{}", NULL},
		{RPC_SESSION_KICK, "{}", "id: it is missing: Id of the session."},
		{RPC_DAEMON_PING, "{\"a\":1}", "there are none"},
		{RPC_DAEMON_SHUTDOWN, "{\"drain\":1}", "possible are drain_ms"},
		{RPC_CANCEL, "{\"id\":7}", NULL},
		{RPC_CANCEL, "{\"id\":\"7\"}", NULL},
		{RPC_CANCEL, "{\"id\":1.5}", "neither a string nor a whole number"},
		{RPC_CANCEL, "{\"id\":[]}", "neither a string nor a whole number"},
		{RPC_CANCEL, "{}", "missing"},
		{RPC_EVENTS_SUBSCRIBE, "{\"types\":[\"stat\",\"staet\"]}", "types[1]"},
		{RPC_EVENTS_SUBSCRIBE, "{\"since\":{\"epoch\":\"e\"}}", "since.seq: it is missing"},
		{RPC_EVENTS_SUBSCRIBE, "{\"since\":{\"epoch\":\"e\",\"seq\":5}}", NULL},
		{RPC_EVENTS_SUBSCRIBE, "{\"stat_interval_ms\":99}", "from 100 to"},
		{RPC_LOG_SET_LEVEL, "{}", "level: it is missing"},
		{RPC_LOG_SET_LEVEL, "{\"level\":\"verbose\"}", "\"trace\", \"debug\""},
		{RPC_LOG_TAIL, "{\"count\":0}", "from 1 to 10000"},
		{RPC_EVENTS_NEXT, "{\"count\":1001}", "from 1 to 1000"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct rpc_method_row *row = &rpc_methods[cases[i].method];
		void *params = calloc(1, row->params->size + 1);
		json_t *object = json_loads(cases[i].params, 0, NULL);
		int rv = field_json_decode_params(row, params, object, &error);

		if (cases[i].message == NULL)
			assert_int_equal(rv, 0);
		else if (rv == 0 || strstr(error.message, cases[i].message) == NULL)
			fail_msg("%s %s: %d \"%s\"", row->name, cases[i].params, rv, error.message);
		if (rv == 0)
			field_free(row->params->rows, row->params->count, params);
		json_decref(object);
		free(params);
	}
}

static void reading_is_lenient(void **state)
{
	static const char text[] = "{\"new\":1,\"number\":99,\"colour\":\"mauve\","
				   "\"name\":\"longer than eight\",\"many\":[{\"x\":1}]}";
	json_t *object = json_loads(text, 0, NULL);
	struct thing t;

	(void)state;
	assert_int_equal(field_json_read(&rows, &t, object, &error), 0);
	assert_int_equal(t.number, 99);
	assert_int_equal(t.colour, -1);
	assert_string_equal(t.name, "longer than eight");
	assert_int_equal(t.many.count, 1);
	done(&t);
	json_decref(object);
	object = json_loads("{\"number\":\"many\"}", 0, NULL);
	assert_int_equal(field_json_read(&rows, &t, object, &error), RSTUN_E_MALFORMED);
	assert_int_equal(error.code, RPC_INTERNAL);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(everything),
		cmocka_unit_test(not_given),
		cmocka_unit_test(with_secrets),
		cmocka_unit_test(marks_without_their_secret),
		cmocka_unit_test(not_utf8),
		cmocka_unit_test(refused),
		cmocka_unit_test(no_object),
		cmocka_unit_test(long_values_are_cut),
		cmocka_unit_test(methods_check),
		cmocka_unit_test(reading_is_lenient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
