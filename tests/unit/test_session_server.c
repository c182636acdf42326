/* SPDX-License-Identifier: MIT */
/*
 * The server's side of a control stream against bytes as the original's client makes them, cut at
 * every place: answers byte for byte, refusals, limits of time, garbage, and the ends of the
 * stream. One thread.
 */
#include "base/error.h"
#include "tests/unit/side.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_original_client(void **state)
{
	static struct side s;
	size_t cut, rest;

	(void)state;
	for (cut = 0; cut <= SIDE_ORIGINAL_LOGIN_BYTES; cut++) {
		side_server_init(&s, SIDE_ANSWER_ACCEPT);
		assert_int_equal(side_feed(&s, side_original_login, cut), cut);
		assert_int_equal(s.logins, cut == SIDE_ORIGINAL_LOGIN_BYTES);
		rest = SIDE_ORIGINAL_LOGIN_BYTES - cut;
		assert_int_equal(side_feed(&s, side_original_login + cut, rest), rest);
		assert_int_equal(s.logins, 1);
		assert_false(s.trailer.present);
		assert_int_equal(address_port(&s.login.local), 9000);
		SIDE_EXPECT_OUTPUT(&s, "\0\0\0\2\x04\x01"); /* byte for byte */
		SIDE_FEED(&s, "\0\0\0\2\x01\x01");
		SIDE_EXPECT_OUTPUT(&s, "\0\0\0\2\x02\x01");
		SIDE_FEED(&s, "\0\0\0\x04\x01\xfb\x2c\x01");
		SIDE_EXPECT_OUTPUT(&s, "\0\0\0\x04\x02\xfb\x2c\x01");
		side_at(&s, SIDE_T0 + 86400 * CLOCK_NS_PER_S);
		side_expect_fine(&s);
	}
}

/* With heartbeats off it ends the stream and stops reading after the login. */
static void test_original_client_without_heartbeats(void **state)
{
	static struct side s;

	(void)state;
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	session_stop_sending(&s.session, s.now_ns);
	session_end(&s.session, s.now_ns);
	session_end(&s.session, s.now_ns);
	side_at(&s, SIDE_T0 + 86400 * CLOCK_NS_PER_S);
	side_expect_fine(&s);

	/* The end may even come while the login waits for its answer. */
	side_server_init(&s, SIDE_ANSWER_LATER);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	session_end(&s.session, s.now_ns);
	assert_int_equal(session_server_accept(&s.session, false, NULL, s.now_ns), 0);
	SIDE_EXPECT_OUTPUT(&s, "\0\0\0\2\x04\x00");
	side_expect_fine(&s);

	/* Nobody reads: heartbeats are swallowed, not fatal. */
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	s.out_bytes = 0;
	s.write_error = RSTUN_E_CLOSED;
	SIDE_FEED(&s, "\0\0\0\2\x01\x01\0\0\0\2\x01\x02");
	s.write_error = 0;
	SIDE_FEED(&s, "\0\0\0\2\x01\x03");
	assert_int_equal(s.out_bytes, 0);
	side_expect_fine(&s);
}

static void test_refuse(void **state)
{
	static struct side c, s;
	size_t step;

	(void)state;
	/* To the original: nothing that its own server would not say, and no trailer. */
	side_server_init(&s, SIDE_ANSWER_LATER);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	session_server_refuse(&s.session, RSTUN_E_AUTH_FAILED, "no", 60000, s.now_ns);
	SIDE_EXPECT_OUTPUT(&s, "\0\0\0\4\x03\x02no");
	assert_int_equal(s.finished, 1);
	assert_int_equal(session_deadline(&s.session), SIDE_T0 + 1000 * SIDE_MS);
	assert_int_equal(side_feed(&s, "garbage!", 8), 8);
	assert_int_equal(session_server_accept(&s.session, true, NULL, s.now_ns), RSTUN_E_CLOSED);
	side_at(&s, SIDE_T0 + 1000 * SIDE_MS - 1);
	assert_int_equal(s.failures, 0);
	side_at(&s, SIDE_T0 + 1000 * SIDE_MS);
	assert_string_equal(s.failure_text, "no");
	assert_false(s.failure.by_peer);
	side_expect_failure(&s, RSTUN_E_AUTH_FAILED);

	for (step = 1; step < 120; step++) {
		side_client_init(&c);
		side_server_init(&s, SIDE_ANSWER_REFUSE);
		side_exchange(&c, &s, step);
		assert_int_equal(s.finished, 1);
		session_end(&c.session, c.now_ns);
		assert_string_equal(c.failure_text, "too many");
		assert_int_equal(c.failure.retry_after_ms, 3000);
		side_expect_failure(&c, RSTUN_E_RATE_LIMITED);
		session_stop_sending(&s.session, s.now_ns); /* it has read it: no need to wait */
		assert_int_equal(session_deadline(&s.session), s.now_ns);
		side_at(&s, s.now_ns);
		side_expect_failure(&s, RSTUN_E_RATE_LIMITED);
	}
	/* A text that cannot be sent is replaced, one that is too long is cut. */
	side_server_init(&s, SIDE_ANSWER_LATER);
	session_server_refuse(&s.session, RSTUN_E_SHUTTING_DOWN, "\xff", 0, s.now_ns);
	side_client_init(&c);
	side_exchange(&c, &s, SIDE_BYTES);
	assert_string_equal(c.failure_text, rstun_strerror(RSTUN_E_SHUTTING_DOWN));
	side_expect_failure(&c, RSTUN_E_LOGIN_REJECTED);
	session_done(&s.session);
}

/* A client that asked for no structured failures gets the plain message. */
static void test_refuse_plain(void **state)
{
	static struct side c, s;

	(void)state;
	side_config.features = WIRE_FEATURE_DATAGRAM;
	side_client_init(&c);
	side_config.features |= WIRE_FEATURE_FAILURES;
	side_server_init(&s, SIDE_ANSWER_REFUSE);
	side_setup(NULL);
	side_move(&c, &s, SIDE_BYTES);
	SIDE_EXPECT_OUTPUT(&s, "\0\0\0\x0a\x03\x08too many");
	session_done(&c.session);
	session_done(&s.session);
}

static void test_server_limits(void **state)
{
	static struct side s;
	size_t i;

	(void)state;
	side_server_init(&s, SIDE_ANSWER_LATER);
	side_at(&s, SIDE_T0 + 5000 * SIDE_MS - 1);
	assert_int_equal(s.failures, 0);
	side_at(&s, SIDE_T0 + 5000 * SIDE_MS);
	side_expect_failure(&s, RSTUN_E_TIMEOUT);

	/* Bytes do not put the limit off. */
	side_server_init(&s, SIDE_ANSWER_LATER);
	for (i = 0; i < 20; i++) {
		side_feed(&s, side_original_login + i, 1);
		assert_int_equal(session_deadline(&s.session), SIDE_T0 + 5000 * SIDE_MS);
		side_at(&s, s.now_ns + 200 * SIDE_MS);
	}
	side_at(&s, SIDE_T0 + 5000 * SIDE_MS);
	side_expect_failure(&s, RSTUN_E_TIMEOUT);

	/* No answer of the owner's: a refusal within 2 s, then the end. */
	side_server_init(&s, SIDE_ANSWER_LATER);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	assert_int_equal(session_deadline(&s.session), SIDE_T0 + 1800 * SIDE_MS);
	side_at(&s, SIDE_T0 + 1800 * SIDE_MS);
	assert_int_equal(s.finished, 1);
	assert_true(s.out_bytes > 0 && s.out[4] == WIRE_RESP_FAILURE);
	assert_int_equal(session_server_accept(&s.session, true, NULL, s.now_ns), RSTUN_E_CLOSED);
	session_server_refuse(&s.session, RSTUN_E_AUTH_FAILED, "late", 0, s.now_ns);
	side_at(&s, SIDE_T0 + 2800 * SIDE_MS);
	side_expect_failure(&s, RSTUN_E_TIMEOUT);
}

static void test_server_garbage(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
		int error;
	} wrong[] = {
		{ "\0\0\0\2\x01\x01", 6, RSTUN_E_PROTOCOL_MISMATCH }, /* before its time */
		{ "\0\0\0\2\x04\x01", 6, RSTUN_E_PROTOCOL_MISMATCH },
		{ "\0\0\0\4\x03\x02no", 8, RSTUN_E_PROTOCOL_MISMATCH },
		{ "\0\0\0\1\x80", 5, RSTUN_E_MALFORMED }, /* not negotiated */
		{ "\0\0\0\0", 4, RSTUN_E_MALFORMED },
		{ "\0\1\0\1", 4, RSTUN_E_TOO_LARGE },
		{ "GET ", 4, RSTUN_E_TOO_LARGE },
		{ "\0\0\0\x02\x00\x04", 6, RSTUN_E_MALFORMED }, /* cut inside its frame */
	};
	static struct side s;
	size_t i, step;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		for (step = 1; step <= wrong[i].count; step++) {
			size_t done = 0;

			side_server_init(&s, SIDE_ANSWER_ACCEPT);
			while (done < wrong[i].count && s.failures == 0) {
				size_t n = wrong[i].count - done < step ? wrong[i].count - done :
									  step;

				done += side_feed(&s, wrong[i].bytes + done, n);
			}
			assert_int_equal(s.logins, 0);
			assert_int_equal(s.out_bytes, 0);
			side_expect_failure(&s, wrong[i].error);

			/* The same after the login, except that proper messages are only odd. */
			side_server_init(&s, SIDE_ANSWER_ACCEPT);
			side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
			side_feed(&s, wrong[i].bytes, wrong[i].count);
			if (wrong[i].error == RSTUN_E_PROTOCOL_MISMATCH)
				side_expect_fine(&s);
			else
				side_expect_failure(&s, wrong[i].error);
		}
}

static void test_server_ends(void **state)
{
	static struct side s;

	(void)state;
	side_server_init(&s, SIDE_ANSWER_LATER);
	session_end(&s.session, s.now_ns);
	side_expect_failure(&s, RSTUN_E_PROTOCOL_MISMATCH);
	side_server_init(&s, SIDE_ANSWER_LATER);
	session_reset(&s.session, s.now_ns);
	side_expect_failure(&s, RSTUN_E_RESET);
	side_server_init(&s, SIDE_ANSWER_LATER);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	session_stop_sending(&s.session, s.now_ns); /* it cannot be answered any more */
	side_expect_failure(&s, RSTUN_E_RESET);
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	session_reset(&s.session, s.now_ns);
	side_expect_failure(&s, RSTUN_E_RESET);
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	SIDE_FEED(&s, "\0\0\0\2\x01");
	session_end(&s.session, s.now_ns); /* within a message */
	side_expect_failure(&s, RSTUN_E_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_original_client),
		cmocka_unit_test(test_original_client_without_heartbeats),
		cmocka_unit_test(test_refuse),
		cmocka_unit_test(test_refuse_plain),
		cmocka_unit_test(test_server_limits),
		cmocka_unit_test(test_server_garbage),
		cmocka_unit_test(test_server_ends),
	};

	return cmocka_run_group_tests(tests, side_setup, NULL);
}
