/* SPDX-License-Identifier: MIT */
/*
 * The JSON writer: what it writes is compared byte for byte and read back by jansson; buffers of
 * every size.
 */
#include "base/text_json.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t write_sample(char *buffer, size_t size)
{
	struct text_json json;

	text_json_init(&json, buffer, size);
	text_json_string(&json, "a", "x\"y");
	text_json_open(&json, "o");
	text_json_close(&json);
	text_json_open(&json, "p");
	text_json_number(&json, "n", UINT64_MAX);
	text_json_string(&json, "s", "");
	text_json_close(&json);
	text_json_number(&json, "z", 0);
	return text_json_done(&json);
}

static const char sample[] =
	"{\"a\":\"x\\\"y\",\"o\":{},\"p\":{\"n\":18446744073709551615,\"s\":\"\"},\"z\":0}";

static void test_object(void **state)
{
	struct text_json json;
	char buffer[256];

	(void)state;
	assert_int_equal(write_sample(buffer, sizeof(buffer)), strlen(sample));
	assert_string_equal(buffer, sample);
	text_json_init(&json, buffer, sizeof(buffer));
	assert_int_equal(text_json_done(&json), 2);
	assert_string_equal(buffer, "{}");
}

/* All of it or nothing, and never a byte behind the buffer. */
static void test_sizes(void **state)
{
	const size_t needed = strlen(sample);

	(void)state;
	assert_int_equal(write_sample(NULL, 0), needed);
	for (size_t size = 1; size <= needed + 2; size++) {
		char *buffer = malloc(size);

		assert_non_null(buffer);
		assert_int_equal(write_sample(buffer, size), needed);
		assert_string_equal(buffer, size > needed ? sample : "");
		free(buffer);
	}
}

static void expect_text(const char *text, const char *written, const char *read)
{
	struct text_json json;
	char buffer[512], want[512];
	json_t *object;

	text_json_init(&json, buffer, sizeof(buffer));
	text_json_string(&json, "k", text);
	text_json_done(&json);
	snprintf(want, sizeof(want), "{\"k\":\"%s\"}", written);
	assert_string_equal(buffer, want);
	object = json_loads(buffer, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(object);
	assert_string_equal(json_string_value(json_object_get(object, "k")), read);
	json_decref(object);
}

static void test_strings(void **state)
{
	(void)state;
	expect_text("", "", "");
	expect_text("\"\\/", "\\\"\\\\/", "\"\\/");
	expect_text("\b\f\n\r\t", "\\b\\f\\n\\r\\t", "\b\f\n\r\t");
	expect_text("\x01\x1f\x7f", "\\u0001\\u001f\x7f", "\x01\x1f\x7f");
	expect_text("gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x87", "gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x87",
		    "gr\xc3\xbc\xc3\x9f \xf0\x9f\x9a\x87");
	/* Not UTF-8: a lone byte, an overlong form, a surrogate, one that is cut off. */
	expect_text("a\xff" "b", "a\xef\xbf\xbd" "b", "a\xef\xbf\xbd" "b");
	expect_text("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd");
	expect_text("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
		    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	expect_text("\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_object),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
