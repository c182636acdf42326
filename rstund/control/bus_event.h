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
	BUS_EVENT_SERVER = TUNNEL_EVENT_ROLE, /* change: enum rpc_server_change; tunnel.role */
	BUS_EVENT_MAPPING, /* change: enum rpc_change; tunnel.state.bound: where it listens, or NULL */
	BUS_EVENT_LOG,
	BUS_EVENT_CLIENT,  /* change: enum rpc_change */
	BUS_EVENT_DAEMON,  /* change: enum rpc_daemon_change; tunnel.text: more about it */
	BUS_EVENT_CERT,    /* change: enum rpc_cert_change; tunnel.text: the pin in use now, tunnel.error
			      and tunnel.state.peer_software: not_after, or why it was kept */
};

#define BUS_EVENT_MASK(type) (1u << (type))
#define BUS_EVENT_ALL (BUS_EVENT_MASK(BUS_EVENT_CERT + 1) - 1)
#define BUS_EVENT_ID_SIZE 40
#define BUS_EVENT_NAME_SIZE 65

struct bus_event {
	unsigned refs;
	enum bus_event_type type;
	uint64_t seq;      /* given by the bus: 1, 2, ... */
	int64_t wall_us;   /* when it happened */
	/* What it is about, set by the publisher before it is published: the id in the control API
	 * ("m3" of a mapping and its states, statistics and flows; "c1", "s1"; "s1.17" of a session
	 * and its flows), "" for STAT: the total; and its name, or "". */
	char id[BUS_EVENT_ID_SIZE];
	char name[BUS_EVENT_NAME_SIZE];
	int change;        /* what happened to it, where the type says so */
	/* The event as rpc_event_body makes it, made by control/event_json.c when somebody first wants
	 * it; freed with the event. */
	char *body;
	size_t body_bytes;
	unsigned role;     /* index of the role; not for LOG */
	/* Whose it is, for people: the name of the client or server (bus_event_set_scope), or the log
	 * line's scope. */
	const char *scope;
	char scope_text[BUS_EVENT_NAME_SIZE];
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
/* Of an event that is not published yet; the text is copied. */
void bus_event_set_scope(struct bus_event *e, const char *scope);
/* Where a flow led to: what its end says, or, where that side does not see it, what its mapping
 * says; "" = not known. `buf` may be used for it. */
const char *bus_event_target(const struct bus_event *e, char buf[ADDRESS_TARGET_TEXT_SIZE]);
struct bus_event *bus_event_ref(struct bus_event *e);
void bus_event_unref(struct bus_event *e); /* accepts NULL */
