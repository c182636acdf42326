/* SPDX-License-Identifier: MIT */
/*
 * A ring of references. What an event costs is counted when it is added: the struct, its text, and
 * the JSON that will be made of it when somebody wants it (an estimate; a log line's is exact
 * within a few hundred bytes).
 */
#include "rstund/control/event_ring.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define EVENT_RING_BODY 384 /* bytes of JSON beside the text */

int event_ring_init(struct event_ring *ring, size_t count_max, size_t bytes_max, uint64_t seq)
{
	struct bus_event **events = calloc(count_max, sizeof(struct bus_event *));

	if (events == NULL)
		return RSTUN_E_NOMEM;
	*ring = (struct event_ring){
		.events = events,
		.room = count_max,
		.bytes_max = bytes_max,
		.lost_seq = seq,
	};
	return 0;
}

void event_ring_lose(struct event_ring *ring, uint64_t seq)
{
	ring->lost_seq = seq > ring->lost_seq ? seq : ring->lost_seq;
}

static size_t event_ring_cost(const struct bus_event *e)
{
	const char *text = e->type == BUS_EVENT_LOG ? e->log.text : e->tunnel.text;

	return sizeof(*e) + EVENT_RING_BODY + 2 * (text != NULL ? strlen(text) : 0);
}

static struct bus_event *event_ring_at(const struct event_ring *ring, size_t i)
{
	return ring->events[(ring->first + i) % ring->room];
}

static void event_ring_leave(struct event_ring *ring)
{
	struct bus_event *e = event_ring_at(ring, 0);

	if (ring->on_leave != NULL)
		ring->on_leave(ring->user, e);
	event_ring_lose(ring, e->seq);
	ring->bytes -= event_ring_cost(e);
	ring->first = (ring->first + 1) % ring->room;
	ring->count--;
	bus_event_unref(e);
}

void event_ring_done(struct event_ring *ring)
{
	ring->on_leave = NULL;
	while (ring->count > 0)
		event_ring_leave(ring);
	free(ring->events);
	*ring = (struct event_ring){.count = 0};
}

void event_ring_add(struct event_ring *ring, struct bus_event *e)
{
	size_t cost = event_ring_cost(e);

	while (ring->count > 0 &&
	       (ring->count == ring->room || ring->bytes + cost > ring->bytes_max))
		event_ring_leave(ring);
	ring->events[(ring->first + ring->count) % ring->room] = bus_event_ref(e);
	ring->count++;
	ring->bytes += cost;
}

bool event_ring_reaches(const struct event_ring *ring, uint64_t seq)
{
	return seq >= ring->lost_seq;
}

struct bus_event *event_ring_after(const struct event_ring *ring, uint64_t seq)
{
	size_t low = 0, high = ring->count; /* what is before low is not behind seq */

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (event_ring_at(ring, middle)->seq > seq)
			high = middle;
		else
			low = middle + 1;
	}
	return low < ring->count ? event_ring_at(ring, low) : NULL;
}
