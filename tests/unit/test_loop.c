/* SPDX-License-Identifier: MIT */
/*
 * The loop: order and rounds of tasks, cancelling from inside, timers at and behind their deadline,
 * and that neither tasks nor timers that renew themselves keep the sockets from being read. No test
 * asserts how long something took, only what never happens too early.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct rig {
	struct loop loop;
	struct loop_task tasks[4];
	struct loop_timer timers[3];
	char trace[128]; /* a letter per call */
	size_t used;
	uint64_t deadline_ns;
	int pipe[2];
	struct event read_event;
	unsigned rounds;
};

static struct rig *rig;

static void note(char c)
{
	assert_true(rig->used + 1 < sizeof(rig->trace));
	rig->trace[rig->used++] = c;
}

static int setup(void **state)
{
	(void)state;
	rig = calloc(1, sizeof(*rig));
	return rig == NULL ? -1 : loop_init(&rig->loop, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	loop_done(&rig->loop);
	free(rig);
	return 0;
}

static void stop(void *user)
{
	(void)user;
	note('.');
	loop_stop(&rig->loop);
}

static void task_a(void *user)
{
	(void)user;
	note('a');
	/* For the next round, though b has not run yet. */
	loop_task_schedule(&rig->loop, &rig->tasks[2]);
	loop_task_schedule(&rig->loop, &rig->tasks[1]); /* is scheduled: nothing */
}

static void task_b(void *user)
{
	(void)user;
	note('b');
}

static void test_task_order(void **state)
{
	(void)state;
	loop_task_init(&rig->tasks[0], task_a, NULL);
	loop_task_init(&rig->tasks[1], task_b, NULL);
	loop_task_init(&rig->tasks[2], stop, NULL);
	loop_task_schedule(&rig->loop, &rig->tasks[0]);
	loop_task_schedule(&rig->loop, &rig->tasks[1]);
	loop_task_schedule(&rig->loop, &rig->tasks[0]);
	loop_run(&rig->loop);
	assert_string_equal(rig->trace, "ab.");
	assert_false(rig->tasks[0].scheduled || rig->tasks[1].scheduled || rig->tasks[2].scheduled);
}

static void task_cancel_others(void *user)
{
	(void)user;
	note('c');
	loop_task_cancel(&rig->loop, &rig->tasks[1]);
	loop_task_cancel(&rig->loop, &rig->tasks[3]); /* the last one */
	loop_task_cancel(&rig->loop, &rig->tasks[3]);
	loop_task_cancel(&rig->loop, &rig->tasks[0]); /* itself, which is not scheduled now */
}

static void test_task_cancel(void **state)
{
	(void)state;
	loop_task_init(&rig->tasks[0], task_cancel_others, NULL);
	loop_task_init(&rig->tasks[1], task_b, NULL);
	loop_task_init(&rig->tasks[2], stop, NULL);
	loop_task_init(&rig->tasks[3], task_b, NULL);
	for (int i = 0; i < 4; i++)
		loop_task_schedule(&rig->loop, &rig->tasks[i]);
	loop_run(&rig->loop);
	assert_string_equal(rig->trace, "c.");
	/* The last of the list was taken from behind the mark: the list is still sound. */
	loop_task_schedule(&rig->loop, &rig->tasks[3]);
	loop_task_schedule(&rig->loop, &rig->tasks[2]);
	loop_run(&rig->loop);
	assert_string_equal(rig->trace, "c.b.");
}

static void task_again(void *user)
{
	(void)user;
	rig->rounds++;
	loop_task_schedule(&rig->loop, &rig->tasks[0]);
}

static void timer_again(void *user)
{
	(void)user;
	rig->rounds++;
	loop_timer_arm(&rig->timers[0], loop_now(&rig->loop) - 1);
}

static void on_readable(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	(void)user;
	loop_stop(&rig->loop);
}

static void run_until_readable(void)
{
	assert_int_equal(pipe(rig->pipe), 0);
	assert_int_equal(write(rig->pipe[1], "x", 1), 1);
	event_assign(&rig->read_event, rig->loop.base, rig->pipe[0], EV_READ, on_readable, NULL);
	event_add(&rig->read_event, NULL);
	loop_run(&rig->loop);
	event_del(&rig->read_event);
	close(rig->pipe[0]);
	close(rig->pipe[1]);
	assert_true(rig->rounds > 0 && rig->rounds < 100);
}

static void test_tasks_do_not_starve(void **state)
{
	(void)state;
	loop_task_init(&rig->tasks[0], task_again, NULL);
	loop_task_schedule(&rig->loop, &rig->tasks[0]);
	run_until_readable();
	loop_task_cancel(&rig->loop, &rig->tasks[0]);
}

static void test_timers_do_not_starve(void **state)
{
	(void)state;
	loop_timer_init(&rig->timers[0], &rig->loop, timer_again, NULL);
	loop_timer_arm(&rig->timers[0], loop_now(&rig->loop));
	run_until_readable();
	loop_timer_cancel(&rig->timers[0]);
}

static void fire_x(void *user)
{
	(void)user;
	note('x');
	assert_true(loop_now(&rig->loop) >= rig->deadline_ns);
	assert_true(rig->timers[0].deadline_ns == CLOCK_NEVER);
}

static void fire_stop(void *user)
{
	assert_true(loop_now(&rig->loop) >= rig->deadline_ns);
	stop(user);
}

static void test_timer(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		memset(rig->trace, 0, sizeof(rig->trace));
		rig->used = 0;
		loop_timer_init(&rig->timers[0], &rig->loop, fire_stop, NULL);
		loop_enter(&rig->loop);
		rig->deadline_ns = loop_now(&rig->loop) + (uint64_t)i * 54321;
		loop_timer_arm(&rig->timers[0], rig->deadline_ns);
		loop_timer_arm(&rig->timers[0], rig->deadline_ns);
		loop_run(&rig->loop);
		assert_string_equal(rig->trace, ".");
		assert_true(rig->timers[0].deadline_ns == CLOCK_NEVER);
	}
}

/* In one turn: what is late comes at its end, before timers of the future. */
static void test_timer_in_the_past(void **state)
{
	(void)state;
	loop_timer_init(&rig->timers[0], &rig->loop, fire_x, NULL);
	loop_timer_init(&rig->timers[1], &rig->loop, fire_stop, NULL);
	loop_timer_arm(&rig->timers[1], loop_now(&rig->loop) + 2 * CLOCK_NS_PER_MS);
	loop_timer_arm(&rig->timers[0], 0);
	loop_run(&rig->loop);
	assert_string_equal(rig->trace, "x.");
}

static void test_timer_rearm_and_cancel(void **state)
{
	uint64_t now;

	(void)state;
	loop_timer_init(&rig->timers[0], &rig->loop, fire_x, NULL);
	loop_timer_init(&rig->timers[1], &rig->loop, stop, NULL);
	loop_timer_init(&rig->timers[2], &rig->loop, fire_x, NULL);
	loop_timer_cancel(&rig->timers[0]);
	loop_enter(&rig->loop);
	now = loop_now(&rig->loop);

	/* Later, then cancelled; due, then later; due, then cancelled. */
	loop_timer_arm(&rig->timers[0], now + CLOCK_NS_PER_MS);
	loop_timer_arm(&rig->timers[0], CLOCK_NEVER);
	loop_timer_arm(&rig->timers[2], now - 1);
	loop_timer_cancel(&rig->timers[2]);
	rig->deadline_ns = now + 2 * CLOCK_NS_PER_MS;
	loop_timer_arm(&rig->timers[0], now - 1);
	loop_timer_arm(&rig->timers[0], rig->deadline_ns);
	loop_timer_arm(&rig->timers[1], now + 4 * CLOCK_NS_PER_MS);
	loop_run(&rig->loop);
	assert_string_equal(rig->trace, "x.");
}

static struct loop_timer *heap_timer;

static void fire_and_free(void *user)
{
	(void)user;
	note('f');
	free(heap_timer);
	heap_timer = NULL;
	loop_stop(&rig->loop);
}

static void test_timer_freed_by_fire(void **state)
{
	(void)state;
	heap_timer = malloc(sizeof(*heap_timer));
	assert_non_null(heap_timer);
	loop_timer_init(heap_timer, &rig->loop, fire_and_free, NULL);
	loop_timer_arm(heap_timer, loop_now(&rig->loop) + 1);
	loop_run(&rig->loop);
	assert_null(heap_timer);
}

static void test_stop_before_run(void **state)
{
	(void)state;
	loop_stop(&rig->loop);
	loop_run(&rig->loop);
}

static void test_borrowed_base(void **state)
{
	struct event_base *base = event_base_new();
	struct loop loop;

	(void)state;
	assert_non_null(base);
	assert_int_equal(loop_init(&loop, base, NULL), 0);
	loop_task_init(&rig->tasks[0], task_b, NULL);
	loop_task_schedule(&loop, &rig->tasks[0]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_string_equal(rig->trace, "b");
	loop_task_schedule(&loop, &rig->tasks[0]);
	loop_done(&loop); /* with a task that did not run */
	assert_false(rig->tasks[0].scheduled);
	event_base_free(base);
	loop_done(NULL);
}

static void done_in_task(void *user)
{
	note('d');
	loop_done(user);
	free(user);
}

/* A task may end the loop, with those behind it; nothing of the loop is touched after that. */
static void test_done_in_a_task(void **state)
{
	struct event_base *base = event_base_new();
	struct loop *loop = malloc(sizeof(*loop));

	(void)state;
	assert_non_null(loop);
	assert_int_equal(loop_init(loop, base, NULL), 0);
	loop_task_init(&rig->tasks[0], done_in_task, loop);
	loop_task_init(&rig->tasks[1], task_b, NULL);
	loop_task_schedule(loop, &rig->tasks[0]);
	loop_task_schedule(loop, &rig->tasks[1]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	assert_string_equal(rig->trace, "d");
	assert_false(rig->tasks[1].scheduled);
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_free(base);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_task_order),
		T(test_task_cancel),
		T(test_tasks_do_not_starve),
		T(test_timers_do_not_starve),
		T(test_timer),
		T(test_timer_in_the_past),
		T(test_timer_rearm_and_cancel),
		T(test_timer_freed_by_fire),
		T(test_stop_before_run),
		T(test_borrowed_base),
		T(test_done_in_a_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
