/* SPDX-License-Identifier: MIT */
/*
 * A channel as a bufferevent (user.h): bytes both ways with small watermarks, back-pressure, ends,
 * errors.
 */
#include "tests/unit/both.h"
#include "tests/unit/user.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BULK_BYTES (1024 * 1024)

static bool user_is_full(struct program *p)
{
	size_t low, high;
	struct user *u = (struct user *)p;

	bufferevent_getwatermark(u->bev, EV_READ, &low, &high);
	return evbuffer_get_length(bufferevent_get_input(u->bev)) == high;
}

static bool much_has_come(struct program *p)
{
	struct rstun_stats stats = {.size = sizeof(stats)};

	assert_int_equal(rstun_client_stats(p->client, 0, &stats), 0);
	return stats.rx_bytes > 200000;
}

/* Whatever came before it. */
static void far_expect_reset(int fd)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	static char buf[65536];
	ssize_t n;

	do {
		event_base_loop(program_base, EVLOOP_NONBLOCK);
		poll(&poller, 1, 10);
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	} while (n > 0 || (n < 0 && errno == EAGAIN));
	assert_int_equal(n, -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

/* ---- tests ---- */

static void test_small_watermarks(void **state)
{
	struct program_upstream echo = {.takes = true, .echo = true};
	struct user u;

	(void)state;
	user_start(&u);
	bufferevent_setwatermark(u.bev, EV_READ, 0, 700);
	bufferevent_setwatermark(u.bev, EV_WRITE, 300, 0);
	u.to_send = BULK_BYTES;
	program_upstream_start(&echo);
	program_run_until(user_is_connected, &u.p);
	user_on_write(u.bev, &u);
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.what, BEV_EVENT_EOF | BEV_EVENT_READING);
	assert_int_equal(u.sent, BULK_BYTES);
	assert_int_equal(u.received, BULK_BYTES);
	assert_true(u.sent_digest == u.received_digest);
	pthread_join(echo.thread, NULL);
	/* Once each. */
	assert_int_equal(event_base_loop(program_base, EVLOOP_NONBLOCK), 0);
	assert_int_equal(u.calls[USER_CONNECTED], 1);
	assert_int_equal(u.calls[USER_EOF], 1);
	assert_int_equal(u.calls[USER_ERROR], 0);
	assert_int_equal(rstun_channel_error(u.p.channel, NULL), 0);
	user_end(&u);
}

/* Without a limit of its own: a large write at once. */
static void test_large_write(void **state)
{
	struct program_upstream echo = {.takes = true, .echo = true};
	struct user u;
	uint8_t *data = malloc(BULK_BYTES);

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < BULK_BYTES; i++)
		data[i] = (uint8_t)(i * 2654435761u >> 11);
	user_start(&u);
	bufferevent_write(u.bev, data, BULK_BYTES); /* before it is open */
	bufferevent_flush(u.bev, EV_WRITE, BEV_FINISHED);
	program_upstream_start(&echo);
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.received, BULK_BYTES);
	assert_true(u.received_digest == user_digest(0, data, BULK_BYTES));
	pthread_join(echo.thread, NULL);
	/* After the end of file nothing can be written. */
	bufferevent_write(u.bev, "x", 1);
	u.calls[USER_EOF] = 0;
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.what, BEV_EVENT_ERROR | BEV_EVENT_WRITING);
	assert_int_equal(u.error, EPIPE);
	user_end(&u);
	free(data);
}

/* The program does not read: the far side is held back. Reading may be switched on and off in any
 * order, and watermarks changed: nothing gets stuck. */
static void test_reading_off(void **state)
{
	struct program_upstream flood = {.bytes = 8 * 1024 * 1024};
	struct user u;

	(void)state;
	user_start(&u);
	bufferevent_disable(u.bev, EV_READ);
	program_upstream_start(&flood);
	program_run_until(user_is_connected, &u.p);
	program_run_until(much_has_come, &u.p);
	assert_int_equal(u.calls[USER_READ], 0);
	/* On and off again before the loop runs. */
	for (int i = 0; i < 3; i++) {
		bufferevent_enable(u.bev, EV_READ);
		bufferevent_disable(u.bev, EV_READ);
		event_base_loop(program_base, EVLOOP_NONBLOCK);
		assert_int_equal(evbuffer_get_length(bufferevent_get_input(u.bev)), 0);
	}
	/* Up to the watermark, and no byte more; higher; off while it is drained; and on. */
	u.hold = true;
	bufferevent_setwatermark(u.bev, EV_READ, 0, 1000);
	bufferevent_enable(u.bev, EV_READ);
	program_run_until(user_is_full, &u.p);
	bufferevent_setwatermark(u.bev, EV_READ, 0, 5000);
	bufferevent_enable(u.bev, EV_READ);
	program_run_until(user_is_full, &u.p);
	u.hold = false;
	user_on_read(u.bev, &u);
	assert_int_equal(u.received, 5000);
	event_base_loop(program_base, EVLOOP_NONBLOCK);
	assert_int_equal(evbuffer_get_length(bufferevent_get_input(u.bev)), 0);
	bufferevent_setwatermark(u.bev, EV_READ, 0, 0);
	bufferevent_enable(u.bev, EV_READ);
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.what, BEV_EVENT_EOF | BEV_EVENT_READING);
	pthread_join(flood.thread, NULL);
	assert_int_equal(u.received, flood.sent);
	user_end(&u);
}

/* The far side does not read: what is written waits in the program's own buffer. */
static void test_far_does_not_read(void **state)
{
	static uint8_t zeros[16 * 1024 * 1024];
	struct user u;
	size_t left;
	int far;

	(void)state;
	user_start(&u);
	program_run_until(user_is_connected, &u.p);
	far = program_far_accept();
	bufferevent_write(u.bev, zeros, sizeof(zeros));
	left = evbuffer_get_length(bufferevent_get_output(u.bev));
	assert_in_range(left, 1, sizeof(zeros) - 1);
	/* Given up: the far side must not take it for the end. */
	bufferevent_free(u.bev);
	far_expect_reset(far);
	user_let_go(&u);
}

static void test_half_close(void **state)
{
	struct user u;
	int far;

	(void)state;
	user_start(&u);
	bufferevent_write(u.bev, "hello", 5);
	bufferevent_flush(u.bev, EV_WRITE, BEV_FINISHED);
	far = program_far_accept();
	program_far_expect(far, "hello");
	program_far_expect_end(dup(far));
	app_send(far, "world", 5);
	program_run_until(user_has_read, &u.p);
	assert_int_equal(u.received, 5);
	assert_int_equal(u.calls[USER_EOF], 0);
	close(far);
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.what, BEV_EVENT_EOF | BEV_EVENT_READING);
	user_end(&u);
}

/* The far side ends first; the program may go on writing. */
static void test_far_end_first(void **state)
{
	struct user u;
	int far;

	(void)state;
	user_start(&u);
	far = program_far_accept();
	shutdown(far, SHUT_WR);
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.calls[USER_EOF], 1);
	bufferevent_write(u.bev, "late", 4);
	program_far_expect(far, "late");
	bufferevent_free(u.bev);
	program_far_expect_end(far);
	user_let_go(&u);
}

/* Freed when its output is empty: what was written arrives, and an end of file, though the far side
 * has more to say. */
static void test_free_is_close(void **state)
{
	struct user u;
	int far;

	(void)state;
	user_start(&u);
	program_run_until(user_is_connected, &u.p);
	bufferevent_disable(u.bev, EV_READ);
	far = program_far_accept();
	app_send(far, "unread", 6);
	bufferevent_write(u.bev, "bye", 3);
	program_run_until(user_has_written, &u.p);
	bufferevent_free(u.bev);
	program_far_expect(far, "bye");
	program_far_expect_end(far);
	user_let_go(&u);
}

/* The same, and the client is stopped at once: it waits until all is delivered. */
static void test_free_and_stop(void **state)
{
	static const uint8_t zeros[200000];
	struct program_upstream sink = {.takes = true};
	struct user u;

	(void)state;
	user_start(&u);
	program_run_until(user_is_connected, &u.p);
	bufferevent_write(u.bev, zeros, sizeof(zeros));
	program_run_until(user_has_written, &u.p);
	bufferevent_free(u.bev);
	event_base_loop(program_base, EVLOOP_NONBLOCK);
	rstun_client_stop(u.p.client, 60000);
	program_upstream_start(&sink); /* which accepts only now */
	program_run_until(program_is_stopped, &u.p);
	pthread_join(sink.thread, NULL);
	assert_int_equal(sink.received, sizeof(zeros));
	user_let_go(&u);
}

static void test_errors(void **state)
{
	char target[ADDRESS_TEXT_SIZE];
	const char *text = NULL;
	struct user u = {.error = 0};

	(void)state;
	user_open(&u, "secret", program_nobody(target));
	assert_int_equal(rstun_channel_error(u.p.channel, &text), 0);
	assert_string_equal(text, "");
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.what, BEV_EVENT_ERROR | BEV_EVENT_READING); /* it was open by then */
	assert_int_equal(u.error, ECONNREFUSED);
	assert_int_equal(rstun_channel_error(u.p.channel, &text), RSTUN_E_TARGET_REFUSED);
	assert_string_equal(text, "connection refused");
	bufferevent_write(u.bev, "x", 1); /* changes nothing */
	event_base_loop(program_base, EVLOOP_NONBLOCK);
	assert_int_equal(u.calls[USER_ERROR], 1);
	user_end(&u);

	memset(&u, 0, sizeof(u));
	user_open(&u, "wrong password", NULL);
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.what, BEV_EVENT_ERROR);
	assert_int_equal(u.error, EACCES);
	assert_int_equal(u.calls[USER_CONNECTED], 0);
	assert_int_equal(rstun_channel_error(u.p.channel, NULL), RSTUN_E_AUTH_FAILED);
	user_end(&u);
}

static void test_reset(void **state)
{
	struct user u;
	int far;

	(void)state;
	user_start(&u);
	far = program_far_accept();
	app_reset(far);
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.what & (BEV_EVENT_ERROR | BEV_EVENT_EOF), BEV_EVENT_ERROR);
	assert_int_equal(u.error, ECONNRESET);
	assert_int_equal(rstun_channel_error(u.p.channel, NULL), RSTUN_E_RESET);
	user_end(&u);
}

static bool user_has_failed(struct program *p)
{
	return ((struct user *)p)->calls[USER_ERROR] > 0;
}

static bool user_is_refused(struct program *p)
{
	bufferevent_write(((struct user *)p)->bev, "x", 1);
	return user_has_failed(p);
}

/* The far side takes no more, and is lost later: both are told, once each. */
static void test_refused_and_lost(void **state)
{
	struct bufferevent *far;
	struct program s;
	struct user u;

	(void)state;
	program_serve(&s, true, NULL);
	both_far = &s;
	user_start(&u);
	bufferevent_disable(u.bev, EV_READ); /* else the far side's end is read, and it is over */
	bufferevent_write(u.bev, "unread", 6);
	program_run_until(both_far_was_asked, &u.p);
	program_run_until(program_is_readable, &s);
	both_send(&s, "unread");
	assert_int_equal(rstun_channel_bufferevent(&far, s.channel), 0);
	s.freed = true; /* no call from now on */
	bufferevent_free(far);
	program_run_until(user_is_refused, &u.p);
	assert_int_equal(u.what, BEV_EVENT_ERROR | BEV_EVENT_WRITING);
	assert_int_equal(u.error, ECONNRESET);
	assert_true(user_is_refused(&u.p));
	event_base_loop(program_base, EVLOOP_NONBLOCK);
	assert_int_equal(u.calls[USER_ERROR], 1);

	u.calls[USER_ERROR] = 0;
	program_leave(&s);
	program_run_until(user_has_failed, &u.p);
	assert_int_equal(u.what, BEV_EVENT_ERROR | BEV_EVENT_READING);
	assert_int_equal(u.error, ECONNRESET);
	assert_true(user_is_refused(&u.p));
	event_base_loop(program_base, EVLOOP_NONBLOCK);
	assert_int_equal(u.calls[USER_ERROR], 1);
	user_end(&u);
}

static void test_timeout(void **state)
{
	const struct timeval soon = {.tv_usec = 20000};
	struct user u;
	int far;

	(void)state;
	user_start(&u);
	program_run_until(user_is_connected, &u.p);
	bufferevent_set_timeouts(u.bev, &soon, NULL);
	far = program_far_accept();
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.what, BEV_EVENT_TIMEOUT | BEV_EVENT_READING);
	bufferevent_set_timeouts(u.bev, NULL, NULL);
	bufferevent_enable(u.bev, EV_READ); /* which the timeout took away */
	app_send(far, "still", 5);
	program_run_until(user_has_read, &u.p);
	assert_int_equal(u.received, 5);
	user_end(&u);
	close(far);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_small_watermarks),
		TEST(test_large_write),
		TEST(test_reading_off),
		TEST(test_far_does_not_read),
		TEST(test_half_close),
		TEST(test_far_end_first),
		TEST(test_free_is_close),
		TEST(test_free_and_stop),
		TEST(test_errors),
		TEST(test_reset),
		cmocka_unit_test_setup_teardown(test_refused_and_lost, program_setup_alone,
						program_teardown),
		TEST(test_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
