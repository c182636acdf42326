/* SPDX-License-Identifier: MIT */
/*
 * The end of a control stream that the tests of sessions share (side.h). The owner's part is played
 * by callbacks that count, copy what they are told, and answer a login as the test wished. One
 * thread.
 */
#include "tests/unit/side.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const char side_original_login[SIDE_ORIGINAL_LOGIN_BYTES + 1] =
	"\0\0\0\x19\x00\x04\x31\x32\x33\x34\x00\x01\x01\x00\x7f\x00\x00\x01\xfb\x28\x23\x00\x00\xfb"
	"\x30\x75\xfb\x88\x13";

static int on_write(void *user, const void *data, size_t bytes)
{
	struct side *s = user;

	assert_true(bytes > 0);
	assert_int_equal(s->finished, 0);
	if (s->write_error)
		return s->write_error;
	if (bytes > s->room - s->out_bytes)
		return RSTUN_E_AGAIN;
	memcpy(s->out + s->out_bytes, data, bytes);
	s->out_bytes += bytes;
	return 0;
}

static void on_finish(void *user)
{
	((struct side *)user)->finished++;
}

static void on_success(void *user, const struct session_success *success)
{
	struct side *s = user;

	assert_true(session_is_up(&s->session));
	s->successes++;
	s->success = *success;
	s->trailer = *success->trailer;
}

static void on_login(void *user, const struct wire_login *login, const struct wire_trailer *trailer)
{
	struct side *s = user;

	s->logins++;
	s->login = *login;
	s->trailer = *trailer;
	if (s->answer == SIDE_ANSWER_ACCEPT)
		assert_int_equal(session_server_accept(&s->session, true, &s->bound, s->now_ns), 0);
	else if (s->answer == SIDE_ANSWER_REFUSE)
		session_server_refuse(&s->session, RSTUN_E_RATE_LIMITED, "too many", 3000,
				      s->now_ns);
}

static void on_failure(void *user, const struct session_failure *failure)
{
	struct side *s = user;

	assert_int_equal(s->session.state, SESSION_OVER);
	assert_null(s->session.in);
	assert_null(s->session.out);
	assert_true(failure->error < 0);
	assert_true(failure->text && failure->text[0]);
	s->failures++;
	s->failure = *failure;
	snprintf(s->failure_text, sizeof(s->failure_text), "%s", failure->text);
}

static void on_log(void *user, enum log_level level, const char *scope, const char *text)
{
	struct side *s = user;

	(void)level;
	(void)scope;
	s->log_lines++;
	snprintf(s->log_text, sizeof(s->log_text), "%s", text);
}

static const struct session_ops side_ops = {
	.write = on_write,
	.finish = on_finish,
	.on_success = on_success,
	.on_login = on_login,
	.on_failure = on_failure,
};

struct session_config side_config;

void side_init(struct side *s)
{
	memset(s, 0, sizeof(*s));
	s->now_ns = SIDE_T0;
	s->room = SIDE_BYTES;
	s->log = (struct log){ .level = LOG_LEVEL_TRACE, .write = on_log, .user = s };
	side_config.log = &s->log;
	session_init(&s->session, &side_config, &side_ops, s);
}

void side_server_init(struct side *s, enum side_answer answer)
{
	side_init(s);
	s->answer = answer;
	session_server_start(&s->session, s->now_ns);
	assert_int_equal(session_deadline(&s->session), SIDE_T0 + 5000 * SIDE_MS);
}

const struct wire_login side_plain_login = {
	.password = "1234",
	.mode = MAPPING_OUT,
	.tcp_timeout_ms = 30000,
	.udp_timeout_ms = 5000,
};

void side_client_init(struct side *s)
{
	side_init(s);
	assert_int_equal(session_client_start(&s->session, &side_plain_login, "web", NULL, SIDE_T0),
			 0);
	assert_true(s->out_bytes > 0);
}

int side_setup(void **state)
{
	(void)state;
	session_config_default(&side_config);
	side_config.software = "rstund test";
	return 0;
}

size_t side_feed(struct side *s, const void *data, size_t bytes)
{
	uint8_t *copy = malloc(bytes ? bytes : 1); /* its end is the sanitizer's */
	size_t used;

	assert_non_null(copy);
	memcpy(copy, data, bytes);
	used = session_feed(&s->session, copy, bytes, s->now_ns);
	assert_true(used <= bytes);
	free(copy);
	return used;
}

void side_move(struct side *from, struct side *to, size_t step)
{
	while (from->out_bytes > 0 && session_wants_input(&to->session)) {
		size_t bytes = from->out_bytes < step ? from->out_bytes : step;
		size_t used = side_feed(to, from->out, bytes);

		memmove(from->out, from->out + used, from->out_bytes - used);
		from->out_bytes -= used;
		session_writable(&from->session, from->now_ns);
	}
}

void side_exchange(struct side *a, struct side *b, size_t step)
{
	while ((a->out_bytes && session_wants_input(&b->session)) ||
	       (b->out_bytes && session_wants_input(&a->session))) {
		side_move(a, b, step);
		side_move(b, a, step);
	}
}

void side_at(struct side *s, uint64_t now_ns)
{
	s->now_ns = now_ns;
	session_expire(&s->session, now_ns);
}

void side_expect_failure(struct side *s, int error)
{
	assert_int_equal(s->failures, 1);
	assert_int_equal(s->failure.error, error);
	assert_int_equal(session_deadline(&s->session), CLOCK_NEVER);
	/* The last callback: nothing that comes later does anything. */
	assert_int_equal(side_feed(s, "\0\0\0\2\1\1", 6), 6);
	session_end(&s->session, s->now_ns);
	session_reset(&s->session, s->now_ns);
	session_stop_sending(&s->session, s->now_ns);
	session_writable(&s->session, s->now_ns);
	session_server_refuse(&s->session, RSTUN_E_FAILED, "late", 0, s->now_ns);
	assert_int_equal(session_server_accept(&s->session, true, NULL, s->now_ns), RSTUN_E_CLOSED);
	session_expire(&s->session, CLOCK_NEVER - 1);
	assert_int_equal(s->failures, 1);
	session_done(&s->session);
}

void side_expect_fine(struct side *s)
{
	assert_int_equal(s->failures, 0);
	assert_true(session_is_up(&s->session));
	session_done(&s->session);
}

void side_expect_output(struct side *s, const char *bytes, size_t count)
{
	assert_int_equal(s->out_bytes, count);
	assert_memory_equal(s->out, bytes, count);
	s->out_bytes = 0;
}

void side_login_both(struct side *c, struct side *s, size_t step)
{
	side_client_init(c);
	side_server_init(s, SIDE_ANSWER_ACCEPT);
	assert_int_equal(address_parse(&s->bound, "127.0.0.1:18080", 15), 0);
	side_exchange(c, s, step);
	assert_int_equal(c->successes, 1);
	assert_int_equal(s->logins, 1);
	assert_true(session_is_up(&c->session) && session_is_up(&s->session));
}
