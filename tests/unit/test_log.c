/* SPDX-License-Identifier: MIT */
/*
 * Log lines: levels, cutting, one line per message, errno kept; and the quoting of peers' text at
 * every buffer size, so that no size writes too far, cuts a character or forgets the dots.
 */
#include "base/log.h"
#include "base/utf8.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct sink {
	unsigned calls;
	enum log_level level;
	char scope[32];
	char text[4096];
};

static void sink_write(void *user, enum log_level level, const char *scope, const char *text)
{
	struct sink *sink = user;

	sink->calls++;
	sink->level = level;
	strncpy(sink->scope, scope, sizeof(sink->scope) - 1);
	strncpy(sink->text, text, sizeof(sink->text) - 1);
	errno = EIO;
}

static void test_levels(void **state)
{
	struct sink sink = {0};
	struct log log = {.level = LOG_LEVEL_WARN, .write = sink_write, .user = &sink};

	(void)state;
	errno = ENOENT;
	log_trace(&log, "a", "one");
	log_debug(&log, "a", "one");
	log_info(&log, "a", "one");
	assert_int_equal(sink.calls, 0);
	log_warn(&log, "quic", "%d of %s", 3, "four");
	assert_int_equal(sink.calls, 1);
	assert_int_equal(sink.level, LOG_LEVEL_WARN);
	assert_string_equal(sink.scope, "quic");
	assert_string_equal(sink.text, "3 of four");
	log_error(&log, "x", "y");
	assert_int_equal(sink.calls, 2);
	assert_int_equal(errno, ENOENT);
	log_print(&log, LOG_LEVEL_INFO, "x", "below the level");
	assert_int_equal(sink.calls, 2);
	log_print(&(struct log){.level = LOG_LEVEL_TRACE}, LOG_LEVEL_ERROR, "x", "no sink");
}

static void test_one_line(void **state)
{
	struct sink sink = {0};
	struct log log = {.write = sink_write, .user = &sink};
	char *huge = malloc(10001);
	size_t length;

	(void)state;
	assert_non_null(huge);
	log_info(&log, "x", "a\nb\r\nc");
	assert_string_equal(sink.text, "a b  c");
	memset(huge, 'z', 10000);
	huge[10000] = '\0';
	log_info(&log, "x", "%s", huge);
	length = strlen(sink.text);
	assert_int_equal(length, 2047);
	assert_string_equal(sink.text + length - 3, "...");
	free(huge);
}

static void test_level_names(void **state)
{
	(void)state;
	assert_string_equal(log_level_name(LOG_LEVEL_TRACE), "trace");
	assert_string_equal(log_level_name(LOG_LEVEL_DEBUG), "debug");
	assert_string_equal(log_level_name(LOG_LEVEL_INFO), "info");
	assert_string_equal(log_level_name(LOG_LEVEL_WARN), "warn");
	assert_string_equal(log_level_name(LOG_LEVEL_ERROR), "error");
}

static const struct {
	const char *text;
	size_t bytes;
	const char *want;
} quotes[] = {
	{"", 0, ""},
	{"plain text", 10, "plain text"},
	{"p\xc3\xa4sswort \xf0\x9f\x9a\x87", 14, "p\xc3\xa4sswort \xf0\x9f\x9a\x87"},
	{"a\nb", 3, "a\\x0ab"},
	{"\0", 1, "\\x00"},
	{"\"quoted\" 'too'", 14, "\\x22quoted\\x22 \\x27too\\x27"},
	{"back\\slash", 10, "back\\x5cslash"},
	{"\x1b[31m\x7f", 6, "\\x1b[31m\\x7f"},
	{"\xff\xc3", 2, "\\xff\\xc3"},
	{"\xc2\x9b", 2, "\\xc2\\x9b"},                 /* a control code beyond ASCII */
	{"\xe2\x80\xae" "evil", 7, "\\xe2\\x80\\xae" "evil"}, /* right to left */
	{"\xe2\x80\xa8", 3, "\\xe2\\x80\\xa8"},        /* line separator */
	{"\xef\xbb\xbf", 3, "\\xef\\xbb\\xbf"},
};

static void test_quote(void **state)
{
	char buf[256];

	(void)state;
	for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++)
		assert_string_equal(log_quote(buf, sizeof(buf), quotes[i].text, quotes[i].bytes),
				    quotes[i].want);
}

static void test_quote_every_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(quotes) / sizeof(quotes[0]); i++) {
		size_t full = strlen(quotes[i].want);

		for (size_t size = 1; size <= full + 2; size++) {
			char *buf = malloc(size); /* the exact size, for the address sanitizer */
			size_t length;

			assert_non_null(buf);
			log_quote(buf, size, quotes[i].text, quotes[i].bytes);
			length = strlen(buf);
			assert_true(length <= size - 1);
			assert_true(utf8_valid(buf, length));
			if (size > full) {
				assert_string_equal(buf, quotes[i].want);
			} else {
				size_t dots = size - 1 < 3 ? size - 1 : 3;

				assert_true(length >= dots);
				assert_memory_equal(buf + length - dots, "...", dots);
				assert_memory_equal(buf, quotes[i].want, length - dots);
			}
			free(buf);
		}
	}
	assert_null(log_quote(NULL, 0, "abc", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels), cmocka_unit_test(test_one_line),
		cmocka_unit_test(test_level_names), cmocka_unit_test(test_quote),
		cmocka_unit_test(test_quote_every_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
