/* SPDX-License-Identifier: MIT */
/*
 * log.get_level, log.set_level and log.tail: levels that go back, lines of the past, and calls that
 * wait for lines to come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/methods_rig.h"

#include "base/clock.h"
#include "rstund/control/log_ring.h"

#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static json_int_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const json_t *line_of(const json_t *result, size_t i)
{
	return json_array_get(json_object_get(result, "lines"), i);
}

static size_t lines_in(const json_t *result)
{
	return json_array_size(json_object_get(result, "lines"));
}

static size_t waiting(void)
{
	struct log_tail_wait *first = LIST_FIRST(&mrig->daemon->log_waits);

	return first != NULL;
}

/* ---- Levels ---------------------------------------------------------------------------------- */

static void test_level(void **state)
{
	const json_t *result;

	(void)state;
	methods_rig_call("log.get_level", "{}");
	result = methods_rig_result();
	assert_string_equal(text_of(result, "level"), "info");
	assert_null(json_object_get(result, "previous"));
	assert_null(json_object_get(result, "revert_in_ms"));
	methods_rig_call("log.set_level", "{\"level\":\"warn\"}");
	result = methods_rig_result();
	assert_string_equal(text_of(result, "level"), "warn");
	assert_string_equal(text_of(result, "previous"), "info");
	assert_null(json_object_get(result, "revert_in_ms"));
	assert_int_equal(mrig->daemon->level, LOG_LEVEL_WARN);
	assert_int_equal(mrig->daemon->log.level, LOG_LEVEL_WARN);
}

static void test_level_goes_back(void **state)
{
	struct daemon *d = mrig->daemon;
	const json_t *result;

	(void)state;
	methods_rig_call("log.set_level", "{\"level\":\"debug\",\"revert_after_ms\":60000}");
	result = methods_rig_result();
	assert_string_equal(text_of(result, "previous"), "info");
	assert_in_range(number_of(result, "revert_in_ms"), 1, 60000);
	methods_rig_call("log.get_level", "{}");
	result = methods_rig_result();
	assert_string_equal(text_of(result, "level"), "debug");
	assert_string_equal(text_of(result, "previous"), "info");
	/* Another one for a time: what comes back is still the first. */
	methods_rig_call("log.set_level", "{\"level\":\"trace\",\"revert_after_ms\":1000}");
	result = methods_rig_result();
	assert_string_equal(text_of(result, "previous"), "debug");
	assert_in_range(number_of(result, "revert_in_ms"), 1, 1000);
	assert_int_equal(d->level_before, LOG_LEVEL_INFO);
	d->level_timer.fire(d->level_timer.user);
	assert_int_equal(d->level, LOG_LEVEL_INFO);
}

static void test_level_stays(void **state)
{
	struct daemon *d = mrig->daemon;

	(void)state;
	methods_rig_call("log.set_level", "{\"level\":\"debug\",\"revert_after_ms\":60000}");
	methods_rig_result();
	methods_rig_call("log.set_level", "{\"level\":\"error\"}");
	methods_rig_result();
	assert_true(d->level_timer.deadline_ns == CLOCK_NEVER);
	/* And one for a time after that goes back to it. */
	methods_rig_call("log.set_level", "{\"level\":\"debug\",\"revert_after_ms\":60000}");
	methods_rig_result();
	assert_int_equal(d->level_before, LOG_LEVEL_ERROR);
}

/* ---- The last lines -------------------------------------------------------------------------- */

static void test_tail(void **state)
{
	struct daemon *d = mrig->daemon;
	const json_t *result;

	(void)state;
	d->lost_lines = 3;
	log_info(&d->log, "quic", "one");
	log_warn(&d->log, "login", "two");
	log_info(&d->log, "quic", "three");
	methods_rig_call("log.tail", "{}");
	result = methods_rig_result();
	assert_int_equal(lines_in(result), 3);
	assert_int_equal(number_of(result, "last"), 3);
	assert_int_equal(number_of(result, "lost"), 3);
	assert_int_equal(number_of(line_of(result, 1), "number"), 2);
	assert_string_equal(text_of(line_of(result, 1), "level"), "warn");
	assert_string_equal(text_of(line_of(result, 1), "scope"), "login");
	assert_string_equal(text_of(line_of(result, 1), "text"), "two");
	assert_non_null(text_of(line_of(result, 1), "timestamp"));
	methods_rig_call("log.tail", "{\"count\":1}");
	result = methods_rig_result();
	assert_int_equal(lines_in(result), 1);
	assert_string_equal(text_of(line_of(result, 0), "text"), "three");
	methods_rig_call("log.tail", "{\"min_level\":\"warn\",\"after\":0,\"timeout_ms\":60000}");
	result = methods_rig_result();
	assert_int_equal(lines_in(result), 1);
	assert_string_equal(text_of(line_of(result, 0), "text"), "two");
	methods_rig_call("log.tail", "{\"after\":3}");
	result = methods_rig_result();
	assert_int_equal(lines_in(result), 0);
	assert_int_equal(number_of(result, "last"), 3);
}

/* A number of another run of the daemon: the answer comes at once and tells the last one. */
static void test_tail_of_another_run(void **state)
{
	const json_t *result;

	(void)state;
	log_info(&mrig->daemon->log, "quic", "one");
	methods_rig_call("log.tail", "{\"after\":500,\"timeout_ms\":60000}");
	result = methods_rig_result();
	assert_int_equal(lines_in(result), 0);
	assert_int_equal(number_of(result, "last"), 1);
}

static void test_tail_waits(void **state)
{
	struct daemon *d = mrig->daemon;
	const json_t *result;

	(void)state;
	d->log.level = LOG_LEVEL_DEBUG;
	methods_rig_call("log.tail", "{\"after\":0,\"timeout_ms\":60000,\"min_level\":\"warn\"}");
	rig_expect_silence(&mrig->caller);
	assert_int_equal(waiting(), 1);
	log_debug(&d->log, "quic", "too low");
	log_info(&d->log, "quic", "still too low");
	rig_expect_silence(&mrig->caller);
	/* All lines of a wake-up are one answer. */
	log_error(&d->log, "quic", "high");
	log_info(&d->log, "quic", "between");
	log_warn(&d->log, "quic", "higher");
	result = methods_rig_result();
	assert_int_equal(lines_in(result), 2);
	assert_string_equal(text_of(line_of(result, 0), "text"), "high");
	assert_string_equal(text_of(line_of(result, 1), "text"), "higher");
	assert_int_equal(number_of(result, "last"), 5);
	assert_int_equal(waiting(), 0);
	rig_expect_silence(&mrig->caller);
}

static void test_tail_gives_up(void **state)
{
	const json_t *result;

	(void)state;
	methods_rig_call("log.tail", "{\"after\":0,\"timeout_ms\":1}");
	result = methods_rig_result();
	assert_int_equal(lines_in(result), 0);
	assert_int_equal(number_of(result, "last"), 0);
	assert_int_equal(waiting(), 0);
}

static void test_tail_cancelled(void **state)
{
	struct daemon *d = mrig->daemon;

	(void)state;
	methods_rig_call("log.tail", "{\"after\":0,\"timeout_ms\":60000}");
	assert_int_equal(waiting(), 1);
	log_info(&d->log, "quic", "its answer is on the way when nobody wants it any more");
	rig_close(&mrig->caller);
	assert_int_equal(waiting(), 0);
	rig_connect(&mrig->caller, rig->path);
	methods_rig_call("log.tail", "{\"after\":1,\"timeout_ms\":60000}");
	assert_int_equal(waiting(), 1);
	rig_say(&mrig->caller, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"rpc.cancel\",\"params\":"
			       "{\"id\":1}}\n");
	assert_int_equal(methods_rig_error(), -32800);
	assert_int_equal(waiting(), 0);
	log_info(&d->log, "quic", "nobody waits for this one");
	methods_rig_result(); /* of rpc.cancel */
	rig_expect_silence(&mrig->caller);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, methods_rig_setup, methods_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_level),
		TEST(test_level_goes_back),
		TEST(test_level_stays),
		TEST(test_tail),
		TEST(test_tail_of_another_run),
		TEST(test_tail_waits),
		TEST(test_tail_gives_up),
		TEST(test_tail_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
