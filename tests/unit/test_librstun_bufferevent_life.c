/* SPDX-License-Identifier: MIT */
/*
 * Beginnings and ends of a channel as a bufferevent (user.h): made late, freed early, in each
 * callback, and what it belongs to freed first.
 */
#include "tests/unit/user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* One that was read and written before it became a bufferevent. */
static void test_late(void **state)
{
	struct user u = {.error = 0};
	char byte;
	int far;

	(void)state;
	program_start(&u.p, "secret");
	program_open(&u.p, NULL);
	program_run_until(program_is_open, &u.p);
	far = program_far_accept();
	app_send(far, "abc", 3);
	program_run_until(program_is_readable, &u.p);
	assert_int_equal(rstun_channel_read(u.p.channel, &byte, 1), 1);
	assert_int_equal(rstun_channel_bufferevent(&u.bev, u.p.channel), 0);
	bufferevent_setcb(u.bev, user_on_read, NULL, user_on_event, &u);
	bufferevent_enable(u.bev, EV_READ);
	program_run_until(user_has_read, &u.p);
	assert_int_equal(u.calls[USER_CONNECTED], 1);
	assert_int_equal(u.received, 2);
	close(far);
	program_run_until(user_is_over, &u.p);
	assert_int_equal(u.p.calls[PROGRAM_END], 0);
	user_end(&u);
}

/* The channel goes first: nothing more is said, and the bufferevent can be freed at any time. */
static void test_client_first(void **state)
{
	struct user u;
	int far;

	(void)state;
	user_start(&u);
	program_run_until(user_is_connected, &u.p);
	far = program_far_accept();
	program_free(&u.p, PROGRAM_FREE_CLIENT);
	u.freed = true; /* no call from now on */
	program_far_expect_reset(far);
	bufferevent_disable(u.bev, EV_READ);
	bufferevent_enable(u.bev, EV_READ);
	event_base_loop(program_base, EVLOOP_NONBLOCK);
	program_free(&u.p, PROGRAM_FREE_CONTEXT);
	bufferevent_free(u.bev);
	user_let_go(&u);
}

/* Freed while it waits for the tunnel, and with what was written. */
static void test_free_before_open(void **state)
{
	struct user u;

	(void)state;
	user_start(&u);
	bufferevent_write(u.bev, "never", 5);
	bufferevent_free(u.bev);
	user_let_go(&u);
	user_start(&u);
	rstun_channel_free(u.p.channel); /* by who has it still */
	bufferevent_free(u.bev);
	user_let_go(&u);
}

/* Everything may be freed in every callback. */
static void test_free_in_calls(void **state)
{
	char nobody[ADDRESS_TEXT_SIZE], listener[ADDRESS_TEXT_SIZE];
	struct address bound;
	int fd = app_listen(MAPPING_TCP, &bound);

	(void)state;
	program_nobody(nobody);
	address_format(listener, sizeof(listener), &bound);
	for (enum user_call in = USER_CONNECTED; in <= USER_ERROR; in++) {
		bool far = in == USER_READ || in == USER_EOF; /* it is dialled, and answers */
		bool quiet = in == USER_CONNECTED || in == USER_WRITE; /* it is dialled */

		for (int what = USER_FREE_BUFFEREVENT; what < USER_FREEINGS; what++) {
			struct program_upstream upstream = {.bytes = 1};
			struct user u = {.in = in, .freeing = (enum user_freeing)what};

			user_open(&u, "secret", far ? NULL : quiet ? listener : nobody);
			if (!far) /* unread, it would be a reset */
				bufferevent_write(u.bev, "x", 1);
			if (far)
				program_upstream_start(&upstream);
			program_run_until(user_is_freed, &u.p);
			user_let_go(&u);
			if (far)
				pthread_join(upstream.thread, NULL);
		}
	}
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_late),
		TEST(test_client_first),
		TEST(test_free_before_open),
		TEST(test_free_in_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
