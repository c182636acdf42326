/* SPDX-License-Identifier: MIT */
/*
 * The daemon's internal bus: what is published reaches every subscriber that wants its type, in the
 * order of publication, on the main thread. Subscribers may be added and removed, and events
 * published, from inside a subscriber: a new subscriber gets the next event, a removed one gets
 * none any more, and an event published meanwhile waits until the present one has reached
 * everybody. At most EVENT_BUS_WAITING_MAX wait so; more are dropped and counted.
 */
#pragma once

#include "rstund/control/bus_event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define EVENT_BUS_WAITING_MAX 256
#define EVENT_BUS_SUBSCRIBERS_MAX 128

/* Embedded in whoever listens; its members are the bus's from subscribe to unsubscribe. */
struct event_bus_subscriber {
	LIST_ENTRY(event_bus_subscriber) link;
	unsigned mask;      /* BUS_EVENT_MASK of each type wanted; may be changed at any time */
	uint64_t after_seq; /* gets events with a greater number */
	/* The event is borrowed; bus_event_ref keeps it. */
	void (*on_event)(void *user, struct bus_event *e);
	void *user;
};

LIST_HEAD(event_bus_list, event_bus_subscriber);

struct event_bus {
	struct event_bus_list subscribers;
	size_t subscriber_count;
	struct event_bus_subscriber *next; /* whose turn is next; moved when that one leaves */
	struct bus_event *waiting[EVENT_BUS_WAITING_MAX];
	size_t waiting_first, waiting_count;
	bool publishing;
	uint64_t seq;     /* of the last event */
	uint64_t dropped; /* events that found the queue full */
};

void event_bus_init(struct event_bus *bus);
void event_bus_done(struct event_bus *bus); /* nobody may be subscribed any more */

/* RSTUN_E_LIMIT_REACHED. */
int event_bus_subscribe(struct event_bus *bus, struct event_bus_subscriber *s, unsigned mask,
			void (*on_event)(void *user, struct bus_event *e), void *user);
void event_bus_unsubscribe(struct event_bus *bus, struct event_bus_subscriber *s);

/* Takes the reference over; NULL (an event that could not be made) counts as dropped. */
void event_bus_publish(struct event_bus *bus, struct bus_event *e);
