/* SPDX-License-Identifier: MIT */
/*
 * The event loop of one thread. libevent does the waiting; this file adds the time of the wake-up,
 * timers with absolute deadlines, and tasks at the end of a wake-up.
 *
 * Nothing here can starve the sockets: what a task schedules while tasks run, and a timer that arms
 * itself in the past from its own `fire`, wait for one poll (a zero timeout) instead of being
 * activated in the same turn.
 */
#include "base/loop.h"

#include "base/clock.h"
#include "base/error.h"

#include <stddef.h>
#include <sys/time.h>

static const struct timeval loop_at_once = {0, 0};

static void loop_on_tasks(evutil_socket_t fd, short what, void *user)
{
	struct loop *loop = user;
	/* A mark in the list ends this round: the list stays whole, so tasks may cancel others. */
	struct loop_task mark = {.scheduled = true};
	struct loop_task *task;
	bool gone = false;

	(void)fd;
	(void)what;
	loop_enter(loop);
	loop->gone = &gone;
	TAILQ_INSERT_TAIL(&loop->tasks, &mark, link);
	while ((task = TAILQ_FIRST(&loop->tasks)) != &mark) {
		TAILQ_REMOVE(&loop->tasks, task, link);
		task->scheduled = false;
		task->run(task->user);
		if (gone)
			return;
	}
	loop->gone = NULL;
	TAILQ_REMOVE(&loop->tasks, &mark, link);
	if (!TAILQ_EMPTY(&loop->tasks) && event_add(&loop->task_event, &loop_at_once) != 0)
		event_active(&loop->task_event, EV_TIMEOUT, 1);
}

int loop_init(struct loop *loop, struct event_base *base, const struct log *log)
{
	struct event_base *made = NULL;

	if (base == NULL) {
		struct event_config *config = event_config_new();

		if (config == NULL)
			return RSTUN_E_NOMEM;
		event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
		event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		made = event_base_new_with_config(config);
		event_config_free(config);
		if (made == NULL)
			return RSTUN_E_NOMEM;
		base = made;
	}
	*loop = (struct loop){
		.base = base,
		.owns_base = made != NULL,
		.log = log,
		.now_ns = clock_now_ns(),
	};
	TAILQ_INIT(&loop->tasks);
	event_assign(&loop->task_event, base, -1, 0, loop_on_tasks, loop);
	return 0;
}

void loop_done(struct loop *loop)
{
	struct loop_task *task;

	if (loop == NULL || loop->base == NULL)
		return;
	if (loop->gone != NULL)
		*loop->gone = true;
	while ((task = TAILQ_FIRST(&loop->tasks)) != NULL) {
		TAILQ_REMOVE(&loop->tasks, task, link);
		task->scheduled = false;
	}
	event_del(&loop->task_event);
	if (loop->owns_base)
		event_base_free(loop->base);
	loop->base = NULL;
}

void loop_run(struct loop *loop)
{
	loop_enter(loop);
	event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

void loop_stop(struct loop *loop)
{
	/* Unlike a break it lets the present turn finish, and it also counts before loop_run. */
	if (event_base_loopexit(loop->base, NULL) != 0)
		event_base_loopbreak(loop->base);
}

void loop_enter(struct loop *loop)
{
	loop->now_ns = clock_now_ns();
}

void loop_task_init(struct loop_task *task, void (*run)(void *user), void *user)
{
	*task = (struct loop_task){.run = run, .user = user};
}

void loop_task_schedule(struct loop *loop, struct loop_task *task)
{
	if (task->scheduled)
		return;
	if (TAILQ_EMPTY(&loop->tasks))
		event_active(&loop->task_event, EV_TIMEOUT, 1);
	TAILQ_INSERT_TAIL(&loop->tasks, task, link);
	task->scheduled = true;
}

void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->scheduled)
		return;
	TAILQ_REMOVE(&loop->tasks, task, link);
	task->scheduled = false;
}

/* Hands the deadline to libevent, which counts from its own idea of now: that is brought up to date
 * first, or a timer armed late in a long turn would fire early. */
static void loop_timer_add(struct loop_timer *timer)
{
	struct loop *loop = timer->loop;
	uint64_t now_ns = clock_now_ns(), us;
	struct timeval tv;

	if (timer->deadline_ns <= now_ns && loop->firing != timer) {
		event_del(&timer->event);
		event_active(&timer->event, EV_TIMEOUT, 1);
		return;
	}
	us = timer->deadline_ns <= now_ns ? 0 : (timer->deadline_ns - now_ns - 1) / 1000 + 1;
	tv.tv_sec = (time_t)(us / 1000000);
	tv.tv_usec = (suseconds_t)(us % 1000000);
	event_base_update_cache_time(loop->base);
	/* Fails only when the heap cannot grow: then too early is better than never. */
	if (event_add(&timer->event, &tv) != 0)
		event_active(&timer->event, EV_TIMEOUT, 1);
}

static void loop_on_timer(evutil_socket_t fd, short what, void *user)
{
	struct loop_timer *timer = user;
	struct loop *loop = timer->loop;

	(void)fd;
	(void)what;
	if (timer->deadline_ns == CLOCK_NEVER)
		return;
	loop_enter(loop);
	loop->firing = timer;
	if (loop->now_ns < timer->deadline_ns) { /* libevent's clock may be a little ahead */
		loop_timer_add(timer);
	} else {
		timer->deadline_ns = CLOCK_NEVER;
		timer->fire(timer->user); /* may free the timer */
	}
	loop->firing = NULL;
}

void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*fire)(void *user),
		     void *user)
{
	*timer = (struct loop_timer){
		.fire = fire,
		.user = user,
		.loop = loop,
		.deadline_ns = CLOCK_NEVER,
	};
	event_assign(&timer->event, loop->base, -1, 0, loop_on_timer, timer);
}

void loop_timer_arm(struct loop_timer *timer, uint64_t deadline_ns)
{
	if (deadline_ns == timer->deadline_ns)
		return;
	if (deadline_ns == CLOCK_NEVER) {
		loop_timer_cancel(timer);
		return;
	}
	timer->deadline_ns = deadline_ns;
	loop_timer_add(timer);
}

void loop_timer_cancel(struct loop_timer *timer)
{
	if (timer->deadline_ns == CLOCK_NEVER)
		return;
	timer->deadline_ns = CLOCK_NEVER;
	event_del(&timer->event);
}
