/* SPDX-License-Identifier: MIT */
/*
 * The last events of the API, for those who come back and want what they missed. Holds references
 * to bus events, at most EVENT_RING_COUNT and about EVENT_RING_BYTES of them: the oldest leave
 * first. Main thread only.
 */
#pragma once

#include "rstund/control/bus_event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_RING_COUNT 8192
#define EVENT_RING_BYTES ((size_t)12 * 1024 * 1024)

struct event_ring {
	struct bus_event **events; /* in the order of their numbers, from `first` around */
	size_t first, count, room;
	size_t bytes, bytes_max;
	uint64_t lost_seq;         /* behind this number all are here */
	/* NULL, or told of each event that leaves, just before; not in event_ring_done. */
	void (*on_leave)(void *user, struct bus_event *e);
	void *user;
};

/* `seq`: of the last event before the first that will be added. RSTUN_E_NOMEM. */
int event_ring_init(struct event_ring *ring, size_t count_max, size_t bytes_max, uint64_t seq);
void event_ring_done(struct event_ring *ring); /* also of a zeroed struct */

/* Takes a reference of its own. Numbers rise. */
void event_ring_add(struct event_ring *ring, struct bus_event *e);

/* Events were lost before they got a number: nobody can be given all that came behind a number
 * below this one. */
void event_ring_lose(struct event_ring *ring, uint64_t seq);

/* Whether every event behind this number is here. */
bool event_ring_reaches(const struct event_ring *ring, uint64_t seq);

/* The first event behind this number, borrowed; NULL = there is none. */
struct bus_event *event_ring_after(const struct event_ring *ring, uint64_t seq);
