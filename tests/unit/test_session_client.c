/* SPDX-License-Identifier: MIT */
/*
 * The client's side of a control stream against bytes as the original's server makes them: answers,
 * refusals of every kind, no answer, wrong answers, and the ends of the stream. One thread.
 */
#include "base/error.h"
#include "tests/unit/side.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_original_server(void **state)
{
	static struct side c;

	(void)state;
	side_client_init(&c);
	/* It reads the body and ignores our trailer: the body is as its own client's. */
	assert_memory_equal(c.out + 4, "\x00\x04\x31\x32\x33\x34\x00\x01\x00\x00\x00", 11);
	c.out_bytes = 0;
	SIDE_FEED(&c, "\0\0\0\2\x04\x01");
	assert_int_equal(c.successes, 1);
	assert_false(c.success.peer_is_rstund);
	assert_int_equal(c.success.features, 0);
	assert_true(c.success.ipv6_supported);
	SIDE_EXPECT_OUTPUT(&c, "\0\0\0\2\x01\x01");
	side_at(&c, SIDE_T0 + 40 * SIDE_MS);
	SIDE_FEED(&c, "\0\0\0\2\x02\x01");
	side_at(&c, SIDE_T0 + 5000 * SIDE_MS);
	SIDE_EXPECT_OUTPUT(&c, "\0\0\0\2\x01\x02");
	SIDE_FEED(&c, "\0\0\0\2\x02\x09"); /* a wrong number: logged, as the original does */
	assert_int_equal(c.log_lines, 1);
	side_at(&c, SIDE_T0 + 10000 * SIDE_MS);
	SIDE_EXPECT_OUTPUT(&c, "\0\0\0\2\x01\x03");
	SIDE_FEED(&c, "\0\0\0\4\x03\x02no"); /* unexpected, and no answer */
	side_at(&c, SIDE_T0 + 25000 * SIDE_MS);
	side_expect_failure(&c, RSTUN_E_TIMEOUT);
}

static void refused(struct side *c, const char *frame, size_t bytes, int error, const char *text)
{
	side_client_init(c);
	assert_int_equal(side_feed(c, frame, bytes), bytes);
	assert_true(c->failure.by_peer);
	if (text)
		assert_string_equal(c->failure_text, text);
	side_expect_failure(c, error);
}

#define REFUSED(side, frame, error, text) refused(side, frame, sizeof(frame) - 1, error, text)
#define MAGIC "rstund\1\n"

static void test_refusals(void **state)
{
	static struct side c;
	char longest[600] = "\0\0\x02\x04\x03\xfb\x00\x02";

	(void)state;
	REFUSED(&c, "\0\0\0\4\x03\x02no", RSTUN_E_LOGIN_REJECTED, "no");
	REFUSED(&c, "\0\0\0\x2d\x03\x2btcp server failed to bind at: 0.0.0.0:18080",
		RSTUN_E_REMOTE_ADDRESS_IN_USE, "tcp server failed to bind at: 0.0.0.0:18080");
	REFUSED(&c, "\0\0\0\2\x03\x00", RSTUN_E_LOGIN_REJECTED, "the server gave no reason");
	REFUSED(&c, "\0\0\0\5\x03\x03\n\x1b\"", RSTUN_E_LOGIN_REJECTED, "\\x0a\\x1b\\x22");
	REFUSED(&c, "\0\0\0\x19\x03\x02no" MAGIC "\0\5\0\x09\x04\x4f\0\0\x0b\xb8" "bad",
		RSTUN_E_AUTH_FAILED, "bad");
	assert_int_equal(c.failure.retry_after_ms, 3000);
	REFUSED(&c, "\0\0\0\x16\x03\x02no" MAGIC "\0\5\0\x06\x04\x54\0\0\0\0", RSTUN_E_RATE_LIMITED,
		"no");
	/* Codes that we do not know, the engine's own numbers, none. */
	REFUSED(&c, "\0\0\0\x16\x03\x02no" MAGIC "\0\5\0\x06\xff\xff\0\0\0\0",
		RSTUN_E_LOGIN_REJECTED, "no");
	REFUSED(&c, "\0\0\0\x16\x03\x02no" MAGIC "\0\5\0\x06\x07\xd1\0\0\0\0",
		RSTUN_E_LOGIN_REJECTED, "no");
	REFUSED(&c, "\0\0\0\x16\x03\x02no" MAGIC "\0\5\0\x06\0\0\0\0\0\0", RSTUN_E_LOGIN_REJECTED,
		"no");
	memset(longest + 8, '\t', 512);
	refused(&c, longest, 520, RSTUN_E_LOGIN_REJECTED, NULL);
	assert_true(strlen(c.failure_text) < SESSION_TEXT_SIZE);
}

/* What is no answer to a login. */
static void test_no_answer(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
	} wrong[] = {
		{ "\0\0\0\2\x01\x01", 6 },         /* a heartbeat request */
		{ "\0\0\0\2\x02\x01", 6 },         /* an answer to none */
		{ "\0\0\0\2\x04\x02", 6 },         /* success, but a bool of 2 */
		{ "\0\0\0\1\x05", 5 },             /* unknown */
		{ "\0\0\0\0", 4 },
		{ "\0\1\0\1", 4 },                 /* too long */
		{ "HTTP", 4 },
		{ "\0\0\0\x0b\x04\x01" MAGIC "\0", 15 }, /* a broken trailer */
		{ side_original_login, SIDE_ORIGINAL_LOGIN_BYTES },
	};
	static struct side c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		side_client_init(&c);
		side_feed(&c, wrong[i].bytes, wrong[i].count);
		assert_int_equal(c.successes, 0);
		assert_false(c.failure.by_peer);
		side_expect_failure(&c, RSTUN_E_PROTOCOL_MISMATCH);
	}
	side_client_init(&c);
	side_at(&c, SIDE_T0 + 5000 * SIDE_MS - 1);
	assert_int_equal(c.failures, 0);
	side_at(&c, SIDE_T0 + 5000 * SIDE_MS);
	side_expect_failure(&c, RSTUN_E_TIMEOUT);
}

/* A stream that ends before the answer: the original's refusal; its close may come in a moment. */
static void test_end_before_answer(void **state)
{
	static struct side c;
	unsigned which;

	(void)state;
	for (which = 0; which < 3; which++) {
		side_client_init(&c);
		c.now_ns = SIDE_T0 + 100 * SIDE_MS;
		if (which == 0)
			session_end(&c.session, c.now_ns);
		else if (which == 1)
			session_reset(&c.session, c.now_ns);
		else
			session_stop_sending(&c.session, c.now_ns);
		assert_int_equal(c.failures, 0);
		assert_int_equal(session_deadline(&c.session), SIDE_T0 + 600 * SIDE_MS);
		c.now_ns = SIDE_T0 + 300 * SIDE_MS;
		session_end(&c.session, c.now_ns); /* does not put it off */
		side_at(&c, SIDE_T0 + 600 * SIDE_MS);
		side_expect_failure(&c, RSTUN_E_LOGIN_REJECTED);
	}
	/* An answer that was already on its way is taken. */
	side_client_init(&c);
	session_stop_sending(&c.session, SIDE_T0);
	SIDE_FEED(&c, "\0\0\0\4\x03\x02no");
	side_expect_failure(&c, RSTUN_E_LOGIN_REJECTED);
	assert_string_equal(c.failure_text, "no");
	side_client_init(&c);
	session_stop_sending(&c.session, SIDE_T0);
	SIDE_FEED(&c, "\0\0\0\2\x04\x01");
	assert_int_equal(c.successes, 0);
	side_expect_failure(&c, RSTUN_E_RESET);
}

static void test_end_after_success(void **state)
{
	static struct side c, s;
	unsigned which;

	(void)state;
	for (which = 0; which < 3; which++) {
		side_login_both(&c, &s, SIDE_BYTES);
		if (which == 0)
			session_end(&c.session, c.now_ns);
		else if (which == 1)
			session_reset(&c.session, c.now_ns);
		else
			session_stop_sending(&c.session, c.now_ns);
		side_expect_failure(&c, RSTUN_E_RESET);
		side_expect_fine(&s);
	}
	/* FIN behind RespFailure is nothing new. */
	side_client_init(&c);
	SIDE_FEED(&c, "\0\0\0\4\x03\x02no");
	session_end(&c.session, c.now_ns);
	side_expect_failure(&c, RSTUN_E_LOGIN_REJECTED);
}

static void test_target_by_name(void **state)
{
	struct target target = { .kind = TARGET_NAME, .port = 53, .name = "dns.example" };
	struct wire_login login = side_plain_login;
	static struct side c, s;

	(void)state;
	assert_int_equal(address_parse(&login.upstream, "127.0.0.1:9", 11), 0);
	login.has_upstream = true;
	side_init(&c);
	assert_int_equal(session_client_start(&c.session, &login, NULL, &target, SIDE_T0), 0);
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_exchange(&c, &s, SIDE_BYTES);
	assert_false(s.login.has_upstream);
	assert_true(s.trailer.has_target);
	assert_string_equal(s.trailer.target.name, "dns.example");
	assert_int_equal(s.trailer.target.port, 53);
	assert_false(s.trailer.has_name);
	assert_false(c.success.target_ignored);
	side_expect_fine(&c);
	side_expect_fine(&s);

	side_init(&c);
	assert_int_equal(session_client_start(&c.session, &login, NULL, &target, SIDE_T0), 0);
	SIDE_FEED(&c, "\0\0\0\2\x04\x01");
	assert_true(c.success.target_ignored);
	side_expect_fine(&c);

	target.kind = TARGET_DEFAULT;
	side_init(&c);
	assert_int_equal(session_client_start(&c.session, &login, NULL, &target, SIDE_T0), 0);
	side_server_init(&s, SIDE_ANSWER_ACCEPT);
	side_exchange(&c, &s, SIDE_BYTES);
	assert_true(s.login.has_upstream);
	assert_false(s.trailer.has_target);
	side_expect_fine(&c);
	side_expect_fine(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_original_server),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_end_before_answer),
		cmocka_unit_test(test_end_after_success),
		cmocka_unit_test(test_target_by_name),
	};

	return cmocka_run_group_tests(tests, side_setup, NULL);
}
