/* SPDX-License-Identifier: MIT */
/*
 * Lines out of a stream that is cut at every byte, lines at and beyond the limit, blank ones, the
 * end without a newline, and the bound on memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rpc/line_reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX 64

static struct line_reader r;
static char out[4096]; /* what came: "[line]" each, "!" for one that was too long */

static void take(void)
{
	char *line;
	size_t bytes, used;
	int rv;

	while ((rv = line_reader_next(&r, &line, &bytes)) != RSTUN_E_AGAIN) {
		used = strlen(out);
		if (rv == 0) {
			assert_int_equal(bytes, strlen(line));
			snprintf(out + used, sizeof(out) - used, "[%s]", line);
		} else {
			assert_int_equal(rv, RSTUN_E_TOO_LARGE);
			snprintf(out + used, sizeof(out) - used, "!");
		}
	}
}

/* As from a socket: what fits into the room. */
static void feed(const char *text, size_t bytes)
{
	while (bytes > 0) {
		size_t room;
		char *buf = line_reader_room(&r, &room);

		assert_non_null(buf);
		assert_true(room > 0);
		assert_true(r.room <= r.line_max + 1);
		room = room < bytes ? room : bytes;
		memcpy(buf, text, room);
		line_reader_filled(&r, room);
		text += room;
		bytes -= room;
		take();
	}
}

static void whole(const char *text, size_t cut, size_t cut_again, const char *want)
{
	size_t bytes = strlen(text);

	line_reader_init(&r, MAX);
	out[0] = '\0';
	feed(text, cut);
	feed(text + cut, cut_again - cut);
	feed(text + cut_again, bytes - cut_again);
	line_reader_end(&r);
	take();
	if (strcmp(out, want) != 0)
		fail_msg("cut at %zu and %zu: %s", cut, cut_again, out);
	line_reader_done(&r);
}

#define TEN "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN

static void cut_at_every_byte(void **state)
{
	static const char text[] = "one\n\n \t\r\ntwo\r\n" SIXTY "6789\n" SIXTY "67890\nthree\n"
				   SIXTY SIXTY SIXTY "\n\nfour";
	static const char want[] = "[one][two\r][" SIXTY "6789]![three]![four]";

	(void)state;
	for (size_t i = 0; i <= strlen(text); i++)
		for (size_t j = i; j <= strlen(text); j += 7)
			whole(text, i, j, want);
}

static void byte_by_byte(void **state)
{
	static const char text[] = "a\n" SIXTY SIXTY "\nb\n" SIXTY "6789\n";

	(void)state;
	line_reader_init(&r, MAX);
	out[0] = '\0';
	for (size_t i = 0; i < strlen(text); i++)
		feed(text + i, 1);
	assert_string_equal(out, "[a]![b][" SIXTY "6789]");
	line_reader_done(&r);
}

static void ends(void **state)
{
	(void)state;
	whole("", 0, 0, "");
	whole("\n\n\n", 1, 2, "");
	whole("a", 0, 1, "[a]");
	whole("  ", 0, 1, "");
	whole(SIXTY "6789", 10, 20, "[" SIXTY "6789]"); /* exactly the longest */
	whole(SIXTY "67890", 10, 20, "!");
	whole(SIXTY SIXTY, 10, 20, "!"); /* within a line that is skipped */
}

static void waiting(void **state)
{
	char *line;
	size_t bytes;

	(void)state;
	line_reader_init(&r, MAX);
	out[0] = '\0';
	assert_false(line_reader_waiting(&r));
	memcpy(line_reader_room(&r, &bytes), "a\nb\nc", 5);
	line_reader_filled(&r, 5);
	assert_true(line_reader_waiting(&r));
	assert_int_equal(line_reader_next(&r, &line, &bytes), 0);
	assert_string_equal(line, "a");
	assert_true(line_reader_waiting(&r));
	assert_int_equal(line_reader_next(&r, &line, &bytes), 0);
	assert_string_equal(line, "b");
	assert_false(line_reader_waiting(&r));
	assert_int_equal(line_reader_next(&r, &line, &bytes), RSTUN_E_AGAIN);
	assert_false(line_reader_waiting(&r));
	line_reader_end(&r);
	assert_true(line_reader_waiting(&r));
	assert_int_equal(line_reader_next(&r, &line, &bytes), 0);
	assert_string_equal(line, "c");
	assert_int_equal(line_reader_next(&r, &line, &bytes), RSTUN_E_AGAIN);
	line_reader_done(&r);
}

/* The limit of the protocol, to the byte. */
static void a_quarter_mebibyte(void **state)
{
	size_t max = 256 * 1024, bytes = 0, lines = 0, too_long = 0;
	char *text = malloc(2 * max + 4), *line;

	(void)state;
	memset(text, 'x', 2 * max + 4);
	text[max] = '\n';             /* max bytes */
	text[max + 1 + max + 1] = '\n'; /* max + 1 bytes */
	line_reader_init(&r, max);
	for (size_t at = 0; at < 2 * max + 3;) {
		size_t room;
		char *buf = line_reader_room(&r, &room);
		int rv;

		room = room < 5000 ? room : 5000;
		room = room < 2 * max + 3 - at ? room : 2 * max + 3 - at;
		memcpy(buf, text + at, room);
		line_reader_filled(&r, room);
		at += room;
		while ((rv = line_reader_next(&r, &line, &bytes)) != RSTUN_E_AGAIN) {
			lines += rv == 0;
			too_long += rv == RSTUN_E_TOO_LARGE;
			if (rv == 0)
				assert_int_equal(bytes, max);
		}
		assert_true(r.room <= max + 1);
	}
	assert_int_equal(lines, 1);
	assert_int_equal(too_long, 1);
	assert_true(r.room <= 16384); /* the large buffer is not kept */
	line_reader_done(&r);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(ends),
		cmocka_unit_test(waiting),
		cmocka_unit_test(a_quarter_mebibyte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
