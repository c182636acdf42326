/* SPDX-License-Identifier: MIT */
/*
 * One subscriber of events: what it wants, what it was given, and what happens when it does not
 * read. Its lines go into a sink (the output of its connection), which is bounded by what is asked
 * of it before each line:
 *
 *   below CONTROL_OUTPUT_MAX      everything is put
 *   above it                      the latest total is kept aside and counters of mappings are owed,
 *                                 log and flow events are counted, and a `dropped` marker stands
 *                                 in their place; everything else is still put
 *   above CONTROL_OUTPUT_HARD     one `overrun`, then it has ended
 *
 * One that begins in the past, or whose reply is not out yet, is `behind`: it is fed from the ring
 * as there is room, and what leaves the ring before it was given is treated as above. Nothing of
 * its own grows. Main thread only; the owner frees it when `ended` is set.
 */
#pragma once

#include "rpc/api_types.h"
#include "rstund/control/control_server.h"
#include "rstund/control/event_filter.h"
#include "rstund/control/event_ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct subscription_params {
	uint64_t sub;                /* its number */
	uint64_t seq;                /* of the last event that it knows */
	struct event_filter filter;  /* taken over */
	uint64_t stat_interval_ms;   /* UINT64_MAX = none */
	/* Borrowed. */
	const struct event_ring *ring;
	/* Bytes of events that wait to be written. */
	size_t (*waiting)(void *user);
	/* Takes a line over (malloc'ed). */
	void (*put)(void *user, char *line, size_t bytes);
	/* Visits the counters of every mapping, as in control_server_params. */
	void (*visit_stats)(void *user, void (*visit)(void *arg, const struct control_stat *stat),
			    void *arg);
	void *user;
};

struct subscription {
	LIST_ENTRY(subscription) link;          /* the owner's */
	LIST_ENTRY(subscription) of_connection; /* the owner's */
	void *held_for;                         /* the owner's */
	struct subscription_params params;
	uint64_t n;                 /* lines put so far */
	uint64_t seq;               /* of the last event that it was offered */
	bool held;                  /* its reply is not out yet: nothing is put */
	bool behind;                /* is fed from the ring */
	bool ended;
	struct rpc_dropped dropped; /* count 0 = none since the last marker */
	struct bus_event *total;    /* the latest total, kept aside; or NULL */
	uint64_t due_ns;            /* when counters of mappings are due; CLOCK_NEVER = never */
	bool owed;                  /* they are, but for the first `owed_from` of them */
	size_t owed_from;
};

/* Begins held. RSTUN_E_NOMEM; then the filter is freed, too. */
int subscription_new(struct subscription **ret, const struct subscription_params *params);
void subscription_free(struct subscription *s); /* accepts NULL */

/* Its reply is out. */
void subscription_start(struct subscription *s);
/* An event that has just been added to the ring. */
void subscription_event(struct subscription *s, struct bus_event *e);
/* So many events were lost before they got a number, who knows which. */
void subscription_lost(struct subscription *s, uint64_t count);
/* The ring gives up an event. */
void subscription_leave(struct subscription *s, struct bus_event *e);
/* There may be room. */
void subscription_pump(struct subscription *s);
/* Counters are fresh. */
void subscription_stats(struct subscription *s, uint64_t now_ns);

/* Wants counters of mappings so often; UINT64_MAX = never. */
uint64_t subscription_interval_ms(const struct subscription *s);
