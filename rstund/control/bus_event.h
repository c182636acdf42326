/* SPDX-License-Identifier: MIT */
/*
 * A happening on its way from the thread where it happened to everybody who wants to know: a deep
 * copy of the engine's struct in one allocation, or a log line. Made on any thread, handed over by
 * message, published on the main thread; from then on reference-counted there (the count is not
 * atomic, and the content does not change any more).
 */
#pragma once

#include "base/log.h"
#include "tunnel/event.h"

#include <stdint.h>

enum bus_event_type {
	BUS_EVENT_STATE = TUNNEL_EVENT_STATE,
	BUS_EVENT_STAT = TUNNEL_EVENT_STAT, /* id 0: the total of a role */
	BUS_EVENT_SESSION = TUNNEL_EVENT_SESSION,
	BUS_EVENT_FLOW = TUNNEL_EVENT_FLOW,
	BUS_EVENT_ROLE = TUNNEL_EVENT_ROLE,
	BUS_EVENT_MAPPING, /* a mapping exists now; tunnel.state.bound: where it listens, or NULL */
	BUS_EVENT_LOG,
};

#define BUS_EVENT_MASK(type) (1u << (type))
#define BUS_EVENT_ALL (BUS_EVENT_MASK(BUS_EVENT_LOG + 1) - 1)

struct bus_event {
	unsigned refs;
	enum bus_event_type type;
	uint64_t seq;      /* given by the bus: 1, 2, ... */
	int64_t wall_us;   /* when it happened */
	unsigned role;     /* index of the role; not for LOG */
	const char *scope; /* whose it is, for people: the role's name, or the log line's scope; set
			      by the publisher for all but LOG, valid while the daemon runs */
	union {
		struct tunnel_event tunnel; /* its pointers lead into this allocation */
		struct {
			enum log_level level;
			const char *text;
		} log;
	};
	/* What the pointers of `tunnel` lead to. */
	struct mapping mapping;
	struct address peer, bound;
	char strings[];
};

/* NULL when memory is short. One reference, the caller's. */
struct bus_event *bus_event_new(enum bus_event_type type, const struct tunnel_event *e,
				unsigned role, int64_t wall_us);
struct bus_event *bus_event_new_log(enum log_level level, const char *scope, const char *text,
				    int64_t wall_us);
struct bus_event *bus_event_ref(struct bus_event *e);
void bus_event_unref(struct bus_event *e); /* accepts NULL */
