/* SPDX-License-Identifier: MIT */
/*
 * Channels that a program lets go of while the far side holds back what was written (both.h, two
 * programs on one base). Minutes pass by a clock of the test's own, which the library reads, too.
 */
#include "tests/unit/both.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <event2/bufferevent.h>

#include <cmocka.h>

#define PIECE_BYTES 65536
#define TURNS 20 /* of the loop in a second: both sides have nothing to do any more by then */

static _Atomic time_t skipped_s; /* the far side's thread reads it, too */

/* Instead of the C library's, for all of this process. */
__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ret)
{
	long rc = syscall(SYS_clock_gettime, id, ret);

	ret->tv_sec += skipped_s;
	return (int)rc;
}

static void pass(unsigned seconds)
{
	for (unsigned i = 0; i < seconds; i++) {
		skipped_s++;
		for (int turn = 0; turn < TURNS; turn++)
			event_base_loop(program_base, EVLOOP_NONBLOCK);
	}
}

/* Writes until nothing more is taken, however long that lasts: the far side holds back the rest. */
static size_t fill(struct program *p)
{
	static const char zeros[PIECE_BYTES];
	size_t total = 0, before;
	ssize_t n;

	do {
		before = total;
		while ((n = rstun_channel_write(p->channel, zeros, sizeof(zeros))) > 0)
			total += (size_t)n;
		assert_int_equal(n, 0);
		pass(1);
	} while (total > before);
	return total;
}

static size_t take(struct program *p, size_t most)
{
	static char buf[PIECE_BYTES];
	size_t total = 0;
	ssize_t n;

	while (total < most &&
	       (n = rstun_channel_read(p->channel, buf,
				       most - total < sizeof(buf) ? most - total : sizeof(buf))) >
		       0)
		total += (size_t)n;
	return total;
}

static bool takes_all(struct program *p)
{
	p->moved += take(p, SIZE_MAX);
	return program_is_ended(p) || program_has_failed(p);
}

static void expect_all(struct program *p, size_t bytes)
{
	program_run_until(takes_all, p);
	assert_int_equal(p->calls[PROGRAM_ERROR], 0);
	assert_int_equal(p->moved, bytes);
}

static void open_both(struct program *s, struct program *c)
{
	both_start(s, c);
	program_open(c, NULL);
	program_run_until(both_far_was_asked, c);
	program_run_until(program_is_open, c);
}

/* p's channel, which writes until it is full, is over both ways then, and gone. */
static size_t answer_and_free(struct program *p, struct program *far)
{
	size_t bytes = fill(p);

	rstun_channel_finish(far->channel);
	program_run_until(program_is_ended, p);
	rstun_channel_finish(p->channel);
	program_free(p, PROGRAM_FREE_CHANNEL);
	return bytes;
}

/* As bufferevent_free does it. */
static void close_channel(struct program *p)
{
	struct bufferevent *bev;

	assert_int_equal(rstun_channel_bufferevent(&bev, p->channel), 0);
	bufferevent_free(bev);
}

static uint64_t count_flows(struct program *p)
{
	struct rstun_stats stats = {.size = sizeof(stats)};

	assert_int_equal(rstun_client_stats(p->client, 0, &stats), 0);
	return stats.active_conns;
}

/* ---- tests ---- */

/* A stop waits for what a freed channel has written. */
static void test_free_and_stop(void **state)
{
	struct program s, c;
	size_t bytes;

	(void)state;
	open_both(&s, &c);
	bytes = answer_and_free(&s, &c);
	s.freed = false; /* its server goes on */
	assert_int_equal(rstun_server_stop(s.server, 600000), 0);
	pass(1);
	assert_int_equal(s.stopped, 0);
	expect_all(&c, bytes);
	program_run_until(program_is_stopped, &s);
	both_end(&s, &c);
}

static void test_stop_and_free(void **state)
{
	struct program s, c;
	size_t bytes;

	(void)state;
	open_both(&s, &c);
	assert_int_equal(rstun_server_stop(s.server, 600000), 0);
	bytes = answer_and_free(&s, &c);
	s.freed = false;
	pass(1);
	assert_int_equal(s.stopped, 0);
	expect_all(&c, bytes);
	program_run_until(program_is_stopped, &s);
	both_end(&s, &c);
}

/* ... and so does the tunnel, which goes when it has had no channels for a minute. */
static void test_free_and_idle(void **state)
{
	struct program s, c;
	size_t bytes;

	(void)state;
	open_both(&s, &c);
	bytes = answer_and_free(&c, &s);
	pass(70);
	assert_int_equal(count_flows(&c), 1);
	expect_all(&s, bytes);
	pass(1);
	assert_int_equal(count_flows(&c), 0);
	both_end(&s, &c);
}

/* One that a bufferevent has; and in on_end, with the client behind it. */
static void test_free_everywhere(void **state)
{
	struct bufferevent *bev;
	struct program s, c;
	size_t bytes;

	(void)state;
	open_both(&s, &c);
	bytes = fill(&c);
	rstun_channel_finish(s.channel);
	program_run_until(program_is_ended, &c);
	rstun_channel_finish(c.channel);
	assert_int_equal(rstun_channel_bufferevent(&bev, c.channel), 0);
	program_free(&c, PROGRAM_FREE_CHANNEL);
	bufferevent_write(bev, "x", 1); /* it leads nowhere */
	bufferevent_free(bev);
	expect_all(&s, bytes);
	both_end(&s, &c);

	open_both(&s, &c);
	fill(&c);
	c.freeing = PROGRAM_FREE_CHANNEL;
	c.in = PROGRAM_END;
	rstun_channel_finish(c.channel);
	rstun_channel_finish(s.channel);
	program_run_until(program_is_ended, &c);
	pass(1);
	assert_int_equal(count_flows(&c), 1);
	program_leave(&c);
	program_run_until(program_has_failed, &s);
	program_end(&s);
}

/* A far side that never reads: it is not waited for without end. */
static void test_far_takes_nothing(void **state)
{
	(void)state;
	for (int both_over = 0; both_over < 2; both_over++) {
		struct program s, c;

		open_both(&s, &c);
		if (both_over) {
			answer_and_free(&c, &s);
		} else {
			fill(&c);
			close_channel(&c);
		}
		pass(110);
		assert_int_equal(count_flows(&c), 1);
		pass(20);
		assert_int_equal(count_flows(&c), 0);
		assert_int_equal(s.calls[PROGRAM_ERROR], 1);
		assert_int_equal(s.error, RSTUN_E_TIMEOUT);
		both_end(&s, &c);
	}
}

/* One that is slow has all the time that it needs. */
static void test_far_is_slow(void **state)
{
	struct program s, c;
	size_t bytes;

	(void)state;
	open_both(&s, &c);
	bytes = fill(&c);
	close_channel(&c);
	for (int i = 0; i < 8; i++) {
		pass(50);
		s.moved += take(&s, bytes / 10);
	}
	assert_int_equal(s.moved, bytes / 10 * 8);
	expect_all(&s, bytes);
	rstun_channel_finish(s.channel);
	pass(1);
	assert_int_equal(count_flows(&c), 0);
	both_end(&s, &c);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup_alone, program_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_free_and_stop),
		TEST(test_stop_and_free),
		TEST(test_free_and_idle),
		TEST(test_free_everywhere),
		TEST(test_far_takes_nothing),
		TEST(test_far_is_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
