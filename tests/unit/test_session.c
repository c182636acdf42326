/* SPDX-License-Identifier: MIT */
/*
 * The control stream's state machine without a network: both roles against each other, and what a
 * peer that floods, declares too much or does not read can make either hold. Time is a number. One
 * thread.
 */
#include "base/error.h"
#include "tests/unit/side.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_login(void **state)
{
	static struct side c, s;
	size_t step;

	(void)state;
	for (step = 1; step < 200; step++) {
		side_login_both(&c, &s, step);
		assert_string_equal(s.login.password, "1234");
		assert_int_equal(s.login.mode, MAPPING_OUT);
		assert_true(s.trailer.present);
		assert_string_equal(s.trailer.software, "rstund test");
		assert_string_equal(s.trailer.name, "web");
		assert_int_equal(s.trailer.features, WIRE_FEATURE_FAILURES | WIRE_FEATURE_DATAGRAM);
		assert_true(c.success.ipv6_supported);
		assert_true(c.success.peer_is_rstund);
		assert_false(c.success.target_ignored);
		assert_int_equal(c.success.features, WIRE_FEATURE_FAILURES | WIRE_FEATURE_DATAGRAM);
		assert_int_equal(session_granted(&s.session), c.success.features);
		assert_true(c.trailer.has_bound && address_equal(&c.trailer.bound, &s.bound));
		assert_string_equal(c.trailer.software, "rstund test");
		assert_int_equal(c.log_lines + s.log_lines, 0);
		/* The first heartbeat was exchanged too: the next is due an interval later. */
		assert_int_equal(session_deadline(&c.session), SIDE_T0 + 5000 * SIDE_MS);
		assert_int_equal(session_deadline(&s.session), CLOCK_NEVER);
		side_expect_fine(&c);
		side_expect_fine(&s);
	}
}

/* Offered is not granted: the server answers with what both have. */
static void test_features(void **state)
{
	static struct side c, s;

	(void)state;
	side_config.features = WIRE_FEATURE_FAILURES | WIRE_FEATURE_DATAGRAM | WIRE_FEATURE_PROBE;
	side_client_init(&c);
	side_config.features = WIRE_FEATURE_DATAGRAM | WIRE_FEATURE_RESUME;
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_exchange(&c, &s, SIDE_BYTES);
	assert_int_equal(c.success.features, WIRE_FEATURE_DATAGRAM);
	assert_int_equal(session_granted(&s.session), WIRE_FEATURE_DATAGRAM);
	assert_false(c.trailer.has_bound); /* the server had none to tell */
	side_expect_fine(&c);
	side_expect_fine(&s);
	side_setup(NULL);
}

static void test_heartbeats(void **state)
{
	static struct side c, s;
	uint64_t beat;

	(void)state;
	side_login_both(&c, &s, SIDE_BYTES);
	for (beat = 1; beat < 300; beat++) {
		uint64_t due = SIDE_T0 + beat * 5000 * SIDE_MS;

		assert_int_equal(session_deadline(&c.session), due);
		side_at(&c, due - 1);
		assert_int_equal(c.out_bytes, 0);
		side_at(&c, due);
		assert_true(c.out_bytes > 0);
		side_at(&c, due + 100 * SIDE_MS); /* one outstanding */
		assert_int_equal(session_deadline(&c.session), due + 15000 * SIDE_MS);
		s.now_ns = c.now_ns;
		side_exchange(&c, &s, 1);
		assert_int_equal(c.session.heartbeat_seq, beat + 1);
	}
	/* A late answer is good until the limit; the next request follows at once. */
	side_at(&c, c.now_ns + 5000 * SIDE_MS);
	side_at(&c, c.now_ns + 14000 * SIDE_MS);
	side_exchange(&c, &s, 1);
	assert_int_equal(session_deadline(&c.session), c.now_ns);
	side_at(&c, c.now_ns);
	assert_true(c.out_bytes > 0);
	side_at(&c, c.now_ns + 15000 * SIDE_MS - 1);
	assert_int_equal(c.failures, 0);
	side_at(&c, c.now_ns + 1);
	side_expect_failure(&c, RSTUN_E_TIMEOUT);
	assert_non_null(strstr(c.failure_text, "heartbeat"));
	assert_int_equal(c.log_lines + s.log_lines, 0);
	side_expect_fine(&s);
}

static void test_heartbeats_off(void **state)
{
	static struct side c, s;
	unsigned which;

	(void)state;
	for (which = 0; which < 3; which++) {
		side_setup(NULL);
		if (which != 1)
			side_config.heartbeat_interval_ns = 0;
		if (which != 0)
			side_config.heartbeat_timeout_ns = 0;
		side_login_both(&c, &s, SIDE_BYTES);
		assert_int_equal(c.session.heartbeat_seq, 0);
		assert_int_equal(session_deadline(&c.session), CLOCK_NEVER);
		side_at(&c, SIDE_T0 + 86400 * CLOCK_NS_PER_S);
		assert_int_equal(c.out_bytes, 0);
		SIDE_FEED(&c, "\0\0\0\2\2\1"); /* an answer to nothing is only logged */
		assert_int_equal(c.log_lines, 1);
		assert_int_equal(session_deadline(&c.session), CLOCK_NEVER);
		side_expect_fine(&c);
		side_expect_fine(&s);
	}
	side_setup(NULL);
}

/* ---- what a peer can make us hold ---- */

/* Behind the login everything stays with the stream until the login is answered. */
static void test_held_back(void **state)
{
	static struct side s;
	char bytes[SIDE_ORIGINAL_LOGIN_BYTES + 600];
	size_t used, i;

	(void)state;
	memcpy(bytes, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	for (i = 0; i < 100; i++)
		memcpy(bytes + SIDE_ORIGINAL_LOGIN_BYTES + 6 * i, "\0\0\0\2\x01\x07", 6);
	side_server_init(&s, SIDE_ANSWER_LATER);
	used = side_feed(&s, bytes, sizeof(bytes));
	assert_int_equal(used, SIDE_ORIGINAL_LOGIN_BYTES);
	assert_false(session_wants_input(&s.session));
	assert_int_equal(side_feed(&s, bytes + used, 600), 0);
	assert_null(s.session.in);
	assert_int_equal(session_server_accept(&s.session, true, NULL, s.now_ns), 0);
	assert_true(session_wants_input(&s.session));
	assert_int_equal(side_feed(&s, bytes + used, 600), 600);
	assert_int_equal(s.out_bytes, 6 + 600);
	side_expect_fine(&s);
}

/* A second login is odd, not a login. */
static void test_second_login(void **state)
{
	static struct side s;
	size_t i;

	(void)state;
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	for (i = 0; i < 1000; i++)
		side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	assert_int_equal(s.logins, 1);
	assert_int_equal(s.out_bytes, 6);
	assert_int_equal(s.log_lines, 10); /* 1, 2, 4, ... 512: a flood does not fill the log */
	assert_null(strstr(s.log_text, "1234"));
	side_expect_fine(&s);
}

/* Heartbeats faster than the answers drain: one answer waits, and reading stops. */
static void test_flood(void **state)
{
	static struct side s;
	static char flood[6 * 1000];
	size_t i, done = 0, answers = 0;

	(void)state;
	for (i = 0; i < 1000; i++) {
		memcpy(flood + 6 * i, "\0\0\0\2\x01\0", 6);
		flood[6 * i + 5] = (char)(i % 250);
	}
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	s.out_bytes = 0;
	s.room = 20; /* three answers */
	while (answers < 1000) {
		done += side_feed(&s, flood + done, sizeof(flood) - done);
		assert_true(done <= 6 * (answers + 4));
		assert_true(s.session.out_bytes <= 6);
		if (done < sizeof(flood)) {
			assert_false(session_wants_input(&s.session));
			assert_int_equal(side_feed(&s, flood + done, sizeof(flood) - done), 0);
		}
		for (i = 0; i < s.out_bytes; i += 6, answers++) {
			assert_memory_equal(s.out + i, "\0\0\0\2\x02", 5);
			assert_int_equal(s.out[i + 5], answers % 250);
		}
		s.out_bytes = 0;
		session_writable(&s.session, s.now_ns);
	}
	assert_int_equal(done, sizeof(flood));
	assert_null(s.session.out);
	side_expect_fine(&s);

	/* The peer stops reading while one waits: it is dropped, reading goes on. */
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	s.room = s.out_bytes;
	SIDE_FEED(&s, "\0\0\0\2\x01\x01");
	assert_false(session_wants_input(&s.session));
	session_stop_sending(&s.session, s.now_ns);
	assert_true(session_wants_input(&s.session));
	side_expect_fine(&s);
}

/* The buffer follows what arrives and not what is declared. */
static void test_memory(void **state)
{
	static struct side s;
	size_t i;

	(void)state;
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	SIDE_FEED(&s, "\0\1\0\0\x03");
	assert_true(s.session.in_size <= 64);
	for (i = 5; i < 4 + 65535; i++) {
		side_feed(&s, "", 1);
		assert_true(s.session.in_size <= 2 * (i + 1) || s.session.in_size <= 64);
	}
	assert_int_equal(s.failures, 0);
	side_feed(&s, "", 1); /* whole: RespFailure with an empty reason is no login */
	side_expect_failure(&s, RSTUN_E_PROTOCOL_MISMATCH);
}

static void test_no_room(void **state)
{
	static struct side c, s;

	(void)state;
	/* The login waits for room; the answer to it is not read before. */
	side_init(&c);
	c.room = 0;
	assert_int_equal(session_client_start(&c.session, &side_plain_login, NULL, NULL, SIDE_T0),
			 0);
	assert_int_equal(c.out_bytes, 0);
	assert_int_equal(side_feed(&c, "\0\0\0\2\x04\x01", 6), 0);
	session_writable(&c.session, SIDE_T0);
	assert_int_equal(c.out_bytes, 0);
	c.room = SIDE_BYTES;
	session_writable(&c.session, SIDE_T0);
	assert_true(c.out_bytes > 0);
	SIDE_FEED(&c, "\0\0\0\2\x04\x01");
	side_expect_fine(&c);

	/* A refusal waits for room: FIN only behind it, and the end in any case. */
	side_server_init(&s, SIDE_ANSWER_LATER);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	s.room = 0;
	session_server_refuse(&s.session, RSTUN_E_AUTH_FAILED, "no", 0, s.now_ns);
	assert_int_equal(s.finished, 0);
	s.room = SIDE_BYTES;
	session_writable(&s.session, s.now_ns);
	SIDE_EXPECT_OUTPUT(&s, "\0\0\0\4\x03\x02no");
	assert_int_equal(s.finished, 1);
	side_at(&s, SIDE_T0 + 1000 * SIDE_MS);
	side_expect_failure(&s, RSTUN_E_AUTH_FAILED);
	side_server_init(&s, SIDE_ANSWER_LATER);
	s.room = 0;
	session_server_refuse(&s.session, RSTUN_E_AUTH_FAILED, "no", 0, s.now_ns);
	side_at(&s, SIDE_T0 + 1000 * SIDE_MS);
	assert_int_equal(s.finished, 0);
	side_expect_failure(&s, RSTUN_E_AUTH_FAILED);

	/* A success waits for room. */
	side_server_init(&s, SIDE_ANSWER_LATER);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	s.room = 0;
	assert_int_equal(session_server_accept(&s.session, true, NULL, s.now_ns), 0);
	assert_false(session_wants_input(&s.session));
	s.room = SIDE_BYTES;
	session_writable(&s.session, s.now_ns);
	SIDE_EXPECT_OUTPUT(&s, "\0\0\0\2\x04\x01");
	assert_true(session_wants_input(&s.session));
	side_expect_fine(&s);
}

static void test_write_errors(void **state)
{
	static struct side c, s;

	(void)state;
	side_init(&c);
	c.write_error = RSTUN_E_CLOSED;
	assert_int_equal(session_client_start(&c.session, &side_plain_login, NULL, NULL, SIDE_T0),
			 RSTUN_E_CLOSED);
	assert_int_equal(session_deadline(&c.session), CLOCK_NEVER);
	assert_int_equal(c.failures, 0);
	session_done(&c.session);

	/* An answer that cannot be written: the owner hears it, then on_failure comes by itself. */
	side_server_init(&s, SIDE_ANSWER_LATER);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	s.write_error = RSTUN_E_NOMEM;
	assert_int_equal(session_server_accept(&s.session, true, NULL, s.now_ns), RSTUN_E_NOMEM);
	assert_int_equal(s.failures, 0);
	side_at(&s, session_deadline(&s.session));
	side_expect_failure(&s, RSTUN_E_NOMEM);

	side_server_init(&s, SIDE_ANSWER_LATER);
	side_feed(&s, side_original_login, SIDE_ORIGINAL_LOGIN_BYTES);
	s.write_error = RSTUN_E_CLOSED;
	session_server_refuse(&s.session, RSTUN_E_AUTH_FAILED, "no", 0, s.now_ns);
	assert_int_equal(s.failures, 0);
	side_at(&s, s.now_ns);
	side_expect_failure(&s, RSTUN_E_AUTH_FAILED);

	/* A heartbeat that cannot be written is a loss for a client. */
	side_login_both(&c, &s, SIDE_BYTES);
	c.write_error = RSTUN_E_CLOSED;
	side_at(&c, session_deadline(&c.session));
	side_expect_failure(&c, RSTUN_E_CLOSED);
	s.write_error = RSTUN_E_NOMEM;
	SIDE_FEED(&s, "\0\0\0\2\x01\x01");
	side_expect_failure(&s, RSTUN_E_NOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_heartbeats),
		cmocka_unit_test(test_heartbeats_off),
		cmocka_unit_test(test_held_back),
		cmocka_unit_test(test_second_login),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_write_errors),
	};

	return cmocka_run_group_tests(tests, side_setup, NULL);
}
