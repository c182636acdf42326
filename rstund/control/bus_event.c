/* SPDX-License-Identifier: MIT */
/*
 * Deep copies of events: one allocation holds the struct and every string it names.
 */
#include "rstund/control/bus_event.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Copies `text` (NULL = empty) to *at and moves *at behind it. */
static const char *bus_event_put(char **at, const char *text)
{
	size_t bytes = text != NULL ? strlen(text) : 0;
	char *start = *at;

	if (bytes > 0)
		memcpy(start, text, bytes);
	start[bytes] = '\0';
	*at = start + bytes + 1;
	return start;
}

static size_t bus_event_room(const char *text)
{
	return text != NULL ? strlen(text) + 1 : 1;
}

static const struct address *bus_event_keep(struct address *to, const struct address *from)
{
	if (from == NULL)
		return NULL;
	*to = *from;
	return to;
}

/* The second string that an event of this type carries. */
static const char *bus_event_extra(enum bus_event_type type, const struct tunnel_event *e)
{
	switch (type) {
	case BUS_EVENT_STATE:
	case BUS_EVENT_CERT:
		return e->state.peer_software;
	case BUS_EVENT_SESSION:
		return e->session.peer_software;
	case BUS_EVENT_FLOW:
		return e->flow.target;
	case BUS_EVENT_STAT:
	case BUS_EVENT_SERVER:
	case BUS_EVENT_MAPPING:
	case BUS_EVENT_CLIENT:
	case BUS_EVENT_DAEMON:
	case BUS_EVENT_LOG:
		break;
	}
	return NULL;
}

struct bus_event *bus_event_new(enum bus_event_type type, const struct tunnel_event *e,
				unsigned role, int64_t wall_us)
{
	const char *extra = bus_event_extra(type, e);
	struct bus_event *copy =
		calloc(1, sizeof(*copy) + bus_event_room(e->text) + bus_event_room(extra));
	char *at;

	if (copy == NULL)
		return NULL;
	at = copy->strings;
	copy->refs = 1;
	copy->type = type;
	copy->role = role;
	copy->wall_us = wall_us;
	copy->scope = "";
	copy->tunnel = *e;
	if (e->mapping != NULL) {
		copy->mapping = *e->mapping;
		copy->tunnel.mapping = &copy->mapping;
	}
	copy->tunnel.peer = bus_event_keep(&copy->peer, e->peer);
	copy->tunnel.text = bus_event_put(&at, e->text);
	extra = bus_event_put(&at, extra);
	switch (type) {
	case BUS_EVENT_STATE:
		copy->tunnel.state.bound = bus_event_keep(&copy->bound, e->state.bound);
		copy->tunnel.state.peer_software = extra;
		break;
	case BUS_EVENT_MAPPING:
		copy->tunnel.state.bound = bus_event_keep(&copy->bound, e->state.bound);
		break;
	case BUS_EVENT_SESSION:
		copy->tunnel.session.bound = bus_event_keep(&copy->bound, e->session.bound);
		copy->tunnel.session.peer_software = extra;
		break;
	case BUS_EVENT_SERVER:
		copy->tunnel.role.bound = bus_event_keep(&copy->bound, e->role.bound);
		break;
	case BUS_EVENT_FLOW:
		copy->tunnel.flow.source = bus_event_keep(&copy->bound, e->flow.source);
		copy->tunnel.flow.target = extra;
		break;
	case BUS_EVENT_CERT:
		copy->tunnel.state.peer_software = extra;
		break;
	case BUS_EVENT_STAT:
	case BUS_EVENT_CLIENT:
	case BUS_EVENT_DAEMON:
	case BUS_EVENT_LOG:
		break;
	}
	return copy;
}

struct bus_event *bus_event_new_log(enum log_level level, const char *scope, const char *text,
				    int64_t wall_us)
{
	struct bus_event *e = calloc(1, sizeof(*e) + bus_event_room(scope) + bus_event_room(text));
	char *at;

	if (e == NULL)
		return NULL;
	at = e->strings;
	e->refs = 1;
	e->type = BUS_EVENT_LOG;
	e->wall_us = wall_us;
	e->scope = bus_event_put(&at, scope);
	e->log.level = level;
	e->log.text = bus_event_put(&at, text);
	return e;
}

void bus_event_set_scope(struct bus_event *e, const char *scope)
{
	snprintf(e->scope_text, sizeof(e->scope_text), "%s", scope);
	e->scope = e->scope_text;
}

const char *bus_event_target(const struct bus_event *e, char buf[ADDRESS_TARGET_TEXT_SIZE])
{
	const struct mapping *mapping = e->tunnel.mapping;

	if (e->tunnel.flow.target[0] != '\0' || mapping == NULL)
		return e->tunnel.flow.target;
	return target_format(buf, ADDRESS_TARGET_TEXT_SIZE,
			     mapping->mode == MAPPING_OUT ? &mapping->remote : &mapping->local);
}

struct bus_event *bus_event_ref(struct bus_event *e)
{
	e->refs++;
	return e;
}

void bus_event_unref(struct bus_event *e)
{
	if (e == NULL || --e->refs > 0)
		return;
	free(e->body);
	free(e);
}
