/* SPDX-License-Identifier: MIT */
/*
 * Delays between attempts, with time and randomness as numbers: the two rows, their caps, the
 * jitter, and that only a session that lasted resets them.
 */
#include "base/backoff.h"
#include "base/clock.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS CLOCK_NS_PER_MS
#define S CLOCK_NS_PER_S

/* The longest delay; jitter takes at most half of it away. Random 0 gives the shortest, half the
 * delay the longest (all delays here are even numbers). */
static uint64_t longest(struct backoff *b, int error, uint64_t now)
{
	struct backoff copy = *b;
	uint64_t shortest = backoff_down(&copy, error, now, 0), most;

	most = backoff_down(b, error, now, shortest);
	assert_int_equal(2 * shortest, most);
	return most;
}

static void test_fast_row(void **state)
{
	static const uint64_t want_ms[] = {300, 600, 1200, 2400, 4800, 5000, 5000, 5000};
	struct backoff b;

	(void)state;
	backoff_init(&b, 5000);
	for (unsigned i = 0; i < 8; i++) {
		assert_int_equal(backoff_attempts(&b), i);
		assert_int_equal(longest(&b, RSTUN_E_UNREACHABLE, 0), want_ms[i] * MS);
	}
	for (int i = 0; i < 10000; i++)
		assert_true(backoff_down(&b, RSTUN_E_TIMEOUT, 0, (uint64_t)i) <= 5000 * MS);
}

static void test_slow_row(void **state)
{
	static const uint64_t want_s[] = {60, 120, 240, 480, 900, 900};
	struct backoff b;

	(void)state;
	backoff_init(&b, 5000);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(longest(&b, RSTUN_E_AUTH_FAILED, 0), want_s[i] * S);
	/* The rows are apart: the network failing in between starts its own row. */
	assert_int_equal(longest(&b, RSTUN_E_UNREACHABLE, 0), 300 * MS);
	assert_int_equal(longest(&b, RSTUN_E_AUTH_FAILED, 0), 900 * S);
	assert_int_equal(backoff_attempts(&b), 8);
}

static void test_caps(void **state)
{
	struct backoff b;

	(void)state;
	backoff_init(&b, 0); /* lower than 300 is 300 */
	for (int i = 0; i < 5; i++)
		assert_int_equal(longest(&b, RSTUN_E_UNREACHABLE, 0), 300 * MS);
	backoff_init(&b, UINT64_MAX);
	for (int i = 0; i < 200; i++)
		assert_true(backoff_down(&b, RSTUN_E_UNREACHABLE, 0, 0) >= 150 * MS);
	backoff_init(&b, 301);
	longest(&b, RSTUN_E_UNREACHABLE, 0);
	assert_int_equal(longest(&b, RSTUN_E_UNREACHABLE, 0), 301 * MS);
}

static void test_reset(void **state)
{
	struct backoff b;
	uint64_t now = 1000 * S;

	(void)state;
	backoff_init(&b, 5000);
	for (int i = 0; i < 6; i++)
		backoff_down(&b, RSTUN_E_UNREACHABLE, now, 0);
	/* Dropped at once: hammering goes on growing. */
	backoff_up(&b, now);
	assert_int_equal(longest(&b, RSTUN_E_CLOSED, now + 10 * S - 1), 5000 * MS);
	assert_int_equal(backoff_attempts(&b), 7);
	/* It lasted. */
	backoff_up(&b, now);
	assert_int_equal(longest(&b, RSTUN_E_CLOSED, now + 10 * S), 300 * MS);
	assert_int_equal(backoff_attempts(&b), 1);
	/* That session counts once. */
	assert_int_equal(longest(&b, RSTUN_E_CLOSED, now + 100 * S), 600 * MS);
}

static void test_instant_drops(void **state)
{
	struct backoff b;
	uint64_t now = 0, spent = 0;

	(void)state;
	backoff_init(&b, 5000);
	for (int i = 0; i < 100; i++) {
		uint64_t delay;

		backoff_up(&b, now);
		delay = backoff_down(&b, RSTUN_E_CLOSED, now + MS, 0);
		assert_true(delay >= 150 * MS);
		now += delay + MS;
		spent += delay;
	}
	assert_true(spent > 230 * S); /* even with the least jitter: no hot loop */
}

static void test_which_are_slow(void **state)
{
	static const int slow[] = {
		RSTUN_E_AUTH_FAILED, RSTUN_E_LOGIN_REJECTED, RSTUN_E_ACCESS_DENIED,
		RSTUN_E_NO_DEFAULT_UPSTREAM, RSTUN_E_TLS_VERIFY_FAILED, RSTUN_E_SUPERSEDED,
		RSTUN_E_PROTOCOL_MISMATCH, RSTUN_E_PEER_KEY_CHANGED, RSTUN_E_CONFIG_INVALID,
		RSTUN_E_CERT_INVALID, RSTUN_E_RATE_LIMITED,
	};
	static const int fast[] = {
		RSTUN_E_UNREACHABLE, RSTUN_E_TIMEOUT, RSTUN_E_DNS_FAILED, RSTUN_E_RESET,
		RSTUN_E_CLOSED, RSTUN_E_SHUTTING_DOWN, RSTUN_E_NOMEM, RSTUN_E_FAILED,
		RSTUN_E_REMOTE_ADDRESS_IN_USE, RSTUN_E_LIMIT_REACHED, 0,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(slow) / sizeof(slow[0]); i++)
		assert_true(backoff_is_slow(slow[i]));
	for (size_t i = 0; i < sizeof(fast) / sizeof(fast[0]); i++)
		assert_false(backoff_is_slow(fast[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fast_row),      cmocka_unit_test(test_slow_row),
		cmocka_unit_test(test_caps),	      cmocka_unit_test(test_reset),
		cmocka_unit_test(test_instant_drops), cmocka_unit_test(test_which_are_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
