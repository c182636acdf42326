/* SPDX-License-Identifier: MIT */
/*
 * Counters from the workers. They are asked for when somebody wants to know: a call that shows
 * numbers (sampler_refresh), a subscriber with an interval of its own, and every 30 s for the log.
 * After a call that wanted rates the workers are asked every second for a minute, so that rates of
 * a second and of ten are what they say. A daemon that nobody looks at is left asleep.
 *
 * Workers are asked at most a fifth of the time, so that a script that asks without end does not
 * hold up the tunnels.
 *
 * Main thread; embedded in the daemon.
 */
#pragma once

#include "base/loop.h"
#include "rstund/control/rates.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct daemon;
struct gather;

/* Somebody who waits for fresh counters; embedded in the waiter. */
struct sampler_wait {
	TAILQ_ENTRY(sampler_wait) link;
	void (*done)(void *user);
	void *user;
	bool waiting;
};

TAILQ_HEAD(sampler_waits, sampler_wait);

struct sampler {
	struct daemon *daemon;
	struct gather *gather;       /* the question that is on its way */
	struct sampler_waits answered; /* are being called now */
	struct sampler_waits asked;  /* wait for that one */
	struct sampler_waits next;   /* came after it was asked: wait for the one after */
	struct loop_timer timer, rest_timer;
	uint64_t interval_ns;        /* subscribers' shortest; CLOCK_NEVER = none */
	uint64_t rates_until_ns;     /* until then once a second */
	uint64_t sampled_ns;         /* when the last counters came; 0 = never */
	uint64_t took_ns;    /* the workers together, for the last answer */
	uint64_t rest_until_ns;      /* the workers are left alone until then */
	struct rates total;          /* of everything; the others are in control/inventory.h */
};

void sampler_init(struct sampler *s, struct daemon *d);
void sampler_done(struct sampler *s); /* waiters are forgotten */

/* `done` is called when counters are there that are no older than this call (a few milliseconds
 * later, at most a second when a worker hangs); never from inside. */
void sampler_refresh(struct sampler *s, struct sampler_wait *wait, void (*done)(void *user),
		     void *user);
void sampler_cancel(struct sampler *s, struct sampler_wait *wait); /* no-op when not waiting */
/* Somebody looks at rates. */
void sampler_want_rates(struct sampler *s);
/* The shortest interval of subscribers, UINT64_MAX = none. */
void sampler_want_interval(struct sampler *s, uint64_t interval_ms);
