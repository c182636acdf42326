/* SPDX-License-Identifier: MIT */
/*
 * The last lines of the log: numbers, what is selected, and both bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "rstund/control/log_ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
	size_t count;
	uint64_t numbers[16];
	struct log_ring_line last; /* texts are still those of the ring */
	size_t bytes;
};

static void see(void *user, const struct log_ring_line *line)
{
	struct seen *s = user;

	if (s->count > 0)
		assert_true(line->number > s->last.number);
	if (s->count < 16)
		s->numbers[s->count] = line->number;
	s->count++;
	s->bytes += strlen(line->scope) + strlen(line->text) + 2;
	s->last = *line;
}

static struct seen visit(const struct log_ring *r, uint64_t after, enum log_level min, size_t count)
{
	struct seen s = {0};
	size_t found = log_ring_visit(r, after, min, count, see, &s);

	assert_int_equal(found, s.count);
	return s;
}

static void empty(void **state)
{
	struct log_ring *r;

	(void)state;
	assert_int_equal(log_ring_new(&r), 0);
	assert_int_equal(log_ring_last(r), 0);
	assert_int_equal(log_ring_first(r), 0);
	assert_int_equal(visit(r, 0, LOG_LEVEL_TRACE, 10).count, 0);
	log_ring_free(r);
	log_ring_free(NULL);
}

static void selects(void **state)
{
	static const enum log_level levels[] = {LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVEL_ERROR,
						LOG_LEVEL_INFO, LOG_LEVEL_WARN};
	struct log_ring *r;
	struct seen s;

	(void)state;
	assert_int_equal(log_ring_new(&r), 0);
	for (size_t i = 0; i < 5; i++)
		log_ring_add(r, levels[i], "login", i == 4 ? "the end" : "", 1000 + (int64_t)i);
	assert_int_equal(log_ring_last(r), 5);
	assert_int_equal(log_ring_first(r), 1);
	s = visit(r, 0, LOG_LEVEL_TRACE, 100);
	assert_int_equal(s.count, 5);
	assert_int_equal(s.last.number, 5);
	assert_int_equal(s.last.wall_us, 1004);
	assert_int_equal(s.last.level, LOG_LEVEL_WARN);
	assert_string_equal(s.last.scope, "login");
	assert_string_equal(s.last.text, "the end");
	s = visit(r, 0, LOG_LEVEL_TRACE, 2);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.numbers[0], 4);
	s = visit(r, 0, LOG_LEVEL_WARN, 2);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.numbers[0], 3);
	assert_int_equal(s.numbers[1], 5);
	s = visit(r, 3, LOG_LEVEL_WARN, 100);
	assert_int_equal(s.count, 1);
	assert_int_equal(visit(r, 5, LOG_LEVEL_TRACE, 100).count, 0);
	assert_int_equal(visit(r, UINT64_MAX, LOG_LEVEL_TRACE, 100).count, 0);
	assert_int_equal(visit(r, 0, LOG_LEVEL_TRACE, 0).count, 0);
	log_ring_free(r);
}

static void bounded_by_lines(void **state)
{
	struct log_ring *r;
	struct seen s;
	char text[32];

	(void)state;
	assert_int_equal(log_ring_new(&r), 0);
	for (int i = 1; i <= 3 * LOG_RING_LINES + 7; i++) {
		snprintf(text, sizeof(text), "%d", i);
		log_ring_add(r, LOG_LEVEL_INFO, "a", text, i);
	}
	assert_int_equal(log_ring_last(r), 3 * LOG_RING_LINES + 7);
	assert_int_equal(log_ring_first(r), 2 * LOG_RING_LINES + 8);
	s = visit(r, 0, LOG_LEVEL_TRACE, SIZE_MAX);
	assert_int_equal(s.count, LOG_RING_LINES);
	assert_string_equal(s.last.text, text);
	assert_int_equal(s.last.number, log_ring_last(r));
	assert_int_equal(s.numbers[0], log_ring_first(r));
	log_ring_free(r);
}

static void bounded_by_bytes(void **state)
{
	static char text[3 * LOG_RING_LINE_BYTES];
	struct log_ring *r;
	struct seen s;

	(void)state;
	assert_int_equal(log_ring_new(&r), 0);
	memset(text, 'x', sizeof(text) - 1);
	for (int i = 0; i < 2000; i++)
		log_ring_add(r, LOG_LEVEL_INFO, text, text, 0);
	s = visit(r, 0, LOG_LEVEL_TRACE, SIZE_MAX);
	assert_true(s.bytes <= LOG_RING_BYTES);
	assert_true(s.bytes > LOG_RING_BYTES - 3 * LOG_RING_LINE_BYTES);
	assert_int_equal(strlen(s.last.text), LOG_RING_LINE_BYTES);
	assert_int_equal(s.last.number, 2000);
	log_ring_add(r, LOG_LEVEL_INFO, "", "short", 0);
	assert_string_equal(visit(r, 2000, LOG_LEVEL_INFO, 1).last.text, "short");
	log_ring_free(r);
}

static void cut_between_characters(void **state)
{
	static char text[LOG_RING_LINE_BYTES + 16];
	struct log_ring *r;

	(void)state;
	assert_int_equal(log_ring_new(&r), 0);
	for (size_t shift = 0; shift < 4; shift++) {
		struct seen s;

		memset(text, 0, sizeof(text));
		memset(text, 'x', shift);
		while (strlen(text) + 4 < sizeof(text))
			memcpy(text + strlen(text), "\xf0\x9f\x90\x98", 5);
		log_ring_add(r, LOG_LEVEL_INFO, "s", text, 0);
		s = visit(r, 0, LOG_LEVEL_INFO, 1);
		assert_true(utf8_valid(s.last.text, strlen(s.last.text)));
		assert_true(strlen(s.last.text) > LOG_RING_LINE_BYTES - 4);
	}
	log_ring_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(selects),
		cmocka_unit_test(bounded_by_lines),
		cmocka_unit_test(bounded_by_bytes),
		cmocka_unit_test(cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
