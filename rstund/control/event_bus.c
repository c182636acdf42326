/* SPDX-License-Identifier: MIT */
/*
 * The internal bus. Delivery is a plain walk over a list; `next` is the one pointer that could
 * dangle while a subscriber runs, so unsubscribe moves it on. Main thread only.
 */
#include "rstund/control/event_bus.h"

#include "base/error.h"

void event_bus_init(struct event_bus *bus)
{
	*bus = (struct event_bus){.seq = 0};
	LIST_INIT(&bus->subscribers);
}

void event_bus_done(struct event_bus *bus)
{
	while (bus->waiting_count > 0) {
		bus_event_unref(bus->waiting[bus->waiting_first]);
		bus->waiting_first = (bus->waiting_first + 1) % EVENT_BUS_WAITING_MAX;
		bus->waiting_count--;
	}
}

int event_bus_subscribe(struct event_bus *bus, struct event_bus_subscriber *s, unsigned mask,
			void (*on_event)(void *user, struct bus_event *e), void *user)
{
	if (bus->subscriber_count >= EVENT_BUS_SUBSCRIBERS_MAX)
		return RSTUN_E_LIMIT_REACHED;
	*s = (struct event_bus_subscriber){
		.mask = mask,
		.after_seq = bus->seq,
		.on_event = on_event,
		.user = user,
	};
	LIST_INSERT_HEAD(&bus->subscribers, s, link);
	bus->subscriber_count++;
	return 0;
}

void event_bus_unsubscribe(struct event_bus *bus, struct event_bus_subscriber *s)
{
	if (bus->next == s)
		bus->next = LIST_NEXT(s, link);
	LIST_REMOVE(s, link);
	bus->subscriber_count--;
}

static void event_bus_deliver(struct event_bus *bus, struct bus_event *e)
{
	struct event_bus_subscriber *s = LIST_FIRST(&bus->subscribers);

	while (s != NULL) {
		bus->next = LIST_NEXT(s, link);
		if ((s->mask & BUS_EVENT_MASK(e->type)) != 0 && s->after_seq < e->seq)
			s->on_event(s->user, e);
		s = bus->next;
	}
	bus->next = NULL;
	bus_event_unref(e);
}

void event_bus_publish(struct event_bus *bus, struct bus_event *e)
{
	if (e == NULL) {
		bus->dropped++;
		return;
	}
	if (bus->publishing) {
		size_t at = (bus->waiting_first + bus->waiting_count) % EVENT_BUS_WAITING_MAX;

		if (bus->waiting_count == EVENT_BUS_WAITING_MAX) {
			bus->dropped++;
			bus_event_unref(e);
			return;
		}
		e->seq = ++bus->seq;
		bus->waiting[at] = e;
		bus->waiting_count++;
		return;
	}
	e->seq = ++bus->seq;
	bus->publishing = true;
	event_bus_deliver(bus, e);
	while (bus->waiting_count > 0) {
		e = bus->waiting[bus->waiting_first];
		bus->waiting_first = (bus->waiting_first + 1) % EVENT_BUS_WAITING_MAX;
		bus->waiting_count--;
		event_bus_deliver(bus, e);
	}
	bus->publishing = false;
}
