/* SPDX-License-Identifier: MIT */
/*
 * One thread's event loop: libevent's base, the time of this wake-up, timers, and work that is put
 * off to the end of the wake-up. Everything that is created on a loop is used on its thread only.
 *
 * Time: each libevent callback of ours begins with loop_enter(), which reads the clock once;
 * everything below takes loop_now(). Tests drive code that takes `now_ns` directly.
 *
 * Put-off work (loop_task): runs once after the callbacks that are active now, in the order it was
 * scheduled; what is scheduled while it runs goes into the next round. This is how ten readable
 * sockets lead to one write of a connection, and how objects are freed outside their own callbacks.
 */
#pragma once

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct log;

struct loop_task {
	void (*run)(void *user);
	void *user;
	bool scheduled;
	TAILQ_ENTRY(loop_task) link;
};

TAILQ_HEAD(loop_task_list, loop_task);

struct loop_timer {
	struct event event;
	void (*fire)(void *user);
	void *user;
	struct loop *loop;
	uint64_t deadline_ns; /* CLOCK_NEVER when not armed */
};

struct loop {
	struct event_base *base; /* owned when loop_init made it */
	bool owns_base;
	const struct log *log;   /* borrowed */
	uint64_t now_ns;
	struct event task_event; /* activated when a task is scheduled */
	struct loop_task_list tasks;
	const struct loop_timer *firing; /* whose `fire` runs now; compared, never followed */
	bool *gone;                      /* while tasks run: set by loop_done */
};

/* With base == NULL makes one (precise timers, no locking). RSTUN_E_NOMEM. */
int loop_init(struct loop *loop, struct event_base *base, const struct log *log);
/* May be called by a task of it, unless the base is its own; not by a timer. */
void loop_done(struct loop *loop);

/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Called first in every libevent callback: reads the clock. */
void loop_enter(struct loop *loop);
static inline uint64_t loop_now(const struct loop *loop)
{
	return loop->now_ns;
}

void loop_task_init(struct loop_task *task, void (*run)(void *user), void *user);
void loop_task_schedule(struct loop *loop, struct loop_task *task); /* no-op if scheduled */
void loop_task_cancel(struct loop *loop, struct loop_task *task);   /* no-op if not scheduled */

/* `fire` runs once at or after the deadline, with loop_now() fresh. Re-arming replaces the
 * deadline; arming with the deadline it already has costs nothing; CLOCK_NEVER cancels. */
void loop_timer_init(struct loop_timer *timer, struct loop *loop, void (*fire)(void *user),
		     void *user);
void loop_timer_arm(struct loop_timer *timer, uint64_t deadline_ns);
void loop_timer_cancel(struct loop_timer *timer);
