/* SPDX-License-Identifier: MIT */
/*
 * A question of the main thread to one or several workers, from the first message asked to the last
 * answer. Each worker that was asked says GATHERED when it has nothing more to say; the question is
 * done when all have, or when its time is over (a worker that hangs holds up nobody). Main thread
 * only; a question frees itself after `done`.
 */
#pragma once

#include "base/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct gather;
struct message;
struct worker;

LIST_HEAD(gather_list, gather);

/* All questions that wait. */
struct gathers {
	struct loop *loop;
	struct gather_list list;
	uint64_t last; /* number of the last one */
};

struct gather_ops {
	/* COUNTERS, FLOWS, TESTED, GATHERED of a worker; borrowed. May be NULL. */
	void (*on_message)(void *user, const struct message *m);
	/* The last call. `complete`: all have answered. */
	void (*done)(void *user, bool complete);
};

void gathers_init(struct gathers *set, struct loop *loop);
/* Forgets what waits, calling nobody. */
void gathers_done(struct gathers *set);

/* RSTUN_E_NOMEM. Nothing is called before gather_ask was. */
int gather_new(struct gather **ret, struct gathers *set, const struct gather_ops *ops, void *user,
	       uint64_t timeout_ms);
/* Posts `m`, taken over, to a worker; its answer is waited for. */
void gather_ask(struct gather *g, struct worker *w, struct message *m);
uint64_t gather_number(const struct gather *g);
/* Nobody waits for it any more: it is forgotten, `done` is not called. Accepts NULL. */
void gather_cancel(struct gather *g);

/* A worker's answer; borrowed. */
void gathers_on_message(struct gathers *set, const struct message *m);
