/* SPDX-License-Identifier: MIT */
/*
 * Events as lines of text, one per change of state, with mapping, peer and reason. Peers' text was
 * quoted by the engine before it came here.
 */
#include "rstund/control/event_text.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

struct event_text {
	const struct bus_event *event;
	void (*line)(void *user, enum log_level level, const char *scope, const char *text);
	void *user;
};

__attribute__((format(printf, 3, 4))) static void
event_text_line(struct event_text *t, enum log_level level, const char *format, ...)
{
	char text[EVENT_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	t->line(t->user, level, t->event->scope, text);
}

static const char *event_text_address(char buf[ADDRESS_TEXT_SIZE], const struct address *address)
{
	return address != NULL ? address_format(buf, ADDRESS_TEXT_SIZE, address) : "-";
}

/* "OUT^127.0.0.1:9000^ANY tcp". */
static const char *event_text_mapping(char *buf, size_t size, const struct tunnel_event *e)
{
	char mapping[MAPPING_TEXT_SIZE];

	if (e->mapping != NULL)
		snprintf(buf, size, "%s %s", mapping_format(mapping, sizeof(mapping), e->mapping),
			 mapping_proto_name(e->proto));
	else
		snprintf(buf, size, "channel %s", mapping_proto_name(e->proto));
	return buf;
}

static const char *event_text_reason(const struct tunnel_event *e, const char *otherwise)
{
	if (e->text != NULL && e->text[0] != '\0')
		return e->text;
	return e->error != 0 ? rstun_strerror(e->error) : otherwise;
}

/* "0.3", "60": seconds with a tenth where it tells something. */
static const char *event_text_seconds(char buf[32], uint64_t ms)
{
	if (ms < 10000 && ms % 1000 != 0)
		snprintf(buf, 32, "%llu.%llu", (unsigned long long)(ms / 1000),
			 (unsigned long long)(ms % 1000 / 100));
	else
		snprintf(buf, 32, "%llu", (unsigned long long)((ms + 500) / 1000));
	return buf;
}

static void event_text_tunneling(struct event_text *t, const char *mapping)
{
	const struct tunnel_event *e = &t->event->tunnel;
	unsigned long long took_ms = e->state.took_ms;
	char peer[ADDRESS_TEXT_SIZE], bound[ADDRESS_TEXT_SIZE];

	event_text_address(peer, e->peer);
	if (e->mode == MAPPING_IN && e->state.bound != NULL)
		event_text_line(t, LOG_LEVEL_INFO,
				"%s: tunneling, server listens on %s (server %s, took %llu ms)",
				mapping, event_text_address(bound, e->state.bound),
				event_text_address(peer, e->peer), took_ms);
	else
		event_text_line(t, LOG_LEVEL_INFO, "%s: tunneling, server %s, took %llu ms",
				mapping, event_text_address(peer, e->peer), took_ms);
	if (e->state.unverified)
		event_text_line(
			t, LOG_LEVEL_WARN,
			"%s: the certificate of server %s is NOT verified: anybody on the way can "
			"pose as it; use --cert FILE or --pin sha256/...",
			mapping, event_text_address(peer, e->peer));
}

static void event_text_state(struct event_text *t)
{
	const struct tunnel_event *e = &t->event->tunnel;
	char mapping[MAPPING_TEXT_SIZE + 8], peer[ADDRESS_TEXT_SIZE], wait[32];

	event_text_mapping(mapping, sizeof(mapping), e);
	switch (e->state.now) {
	case TUNNEL_IDLE:
		break;
	case TUNNEL_CONNECTING:
		event_text_line(t, LOG_LEVEL_DEBUG, "%s: connecting, attempt %u", mapping,
				e->state.attempt);
		break;
	case TUNNEL_CONNECTED:
		event_text_line(t, LOG_LEVEL_DEBUG, "%s: connected to %s, logging in", mapping,
				event_text_address(peer, e->peer));
		break;
	case TUNNEL_TUNNELING:
		event_text_tunneling(t, mapping);
		break;
	case TUNNEL_RECONNECTING:
		event_text_line(t, LOG_LEVEL_WARN, "%s: reconnecting in %s s: %s", mapping,
				event_text_seconds(wait, e->state.next_retry_ms),
				event_text_reason(e, "connection lost"));
		break;
	case TUNNEL_FAILED:
		event_text_line(t, LOG_LEVEL_ERROR, "%s: failed, next try in %s s: %s", mapping,
				event_text_seconds(wait, e->state.next_retry_ms),
				event_text_reason(e, "connection lost"));
		break;
	case TUNNEL_STOPPED:
		event_text_line(t, LOG_LEVEL_DEBUG, "%s: stopped", mapping);
		break;
	}
}

static void event_text_session(struct event_text *t)
{
	const struct tunnel_event *e = &t->event->tunnel;
	unsigned long long id = e->id;
	const char *software = e->session.peer_software;
	char peer[ADDRESS_TEXT_SIZE], bound[ADDRESS_TEXT_SIZE],
		listens[ADDRESS_TEXT_SIZE + 16] = "";

	event_text_address(peer, e->peer);
	switch (e->session.change) {
	case TUNNEL_SESSION_LOGIN:
		if (e->session.bound != NULL)
			snprintf(listens, sizeof(listens), ", listens on %s",
				 event_text_address(bound, e->session.bound));
		event_text_line(t, LOG_LEVEL_INFO, "session %llu: login of %s %s from %s%s%s%s%s",
				id, e->mapping != NULL ? mapping_mode_name(e->mode) : "channel",
				mapping_proto_name(e->proto), peer, software[0] != '\0' ? " (" : "",
				software, software[0] != '\0' ? ")" : "", listens);
		break;
	case TUNNEL_SESSION_REFUSED:
		event_text_line(t, LOG_LEVEL_WARN, "session refused: %s, from %s",
				event_text_reason(e, "refused"), peer);
		break;
	case TUNNEL_SESSION_ENDED:
		event_text_line(t, LOG_LEVEL_INFO, "session %llu: ended: %s", id,
				event_text_reason(e, "closed"));
		break;
	}
}

static void event_text_role(struct event_text *t)
{
	const struct tunnel_event *e = &t->event->tunnel;
	char bound[ADDRESS_TEXT_SIZE];

	switch (e->role.now) {
	case TUNNEL_TUNNELING:
		event_text_line(t, LOG_LEVEL_INFO, "listening on %s%s",
				event_text_address(bound, e->role.bound), e->text);
		break;
	case TUNNEL_STOPPED:
		event_text_line(t, LOG_LEVEL_INFO, "%s", event_text_reason(e, "stopped"));
		break;
	case TUNNEL_FAILED:
		event_text_line(t, LOG_LEVEL_ERROR, "failed, it is tried again: %s",
				event_text_reason(e, "not listening"));
		break;
	case TUNNEL_IDLE:
	case TUNNEL_CONNECTING:
	case TUNNEL_CONNECTED:
	case TUNNEL_RECONNECTING:
		break;
	}
}

/* At trace level: a busy server ends thousands of flows in a second. */
static void event_text_flow(struct event_text *t)
{
	const struct tunnel_event *e = &t->event->tunnel;
	char mapping[MAPPING_TEXT_SIZE + 8], source[ADDRESS_TEXT_SIZE];
	char buf[ADDRESS_TARGET_TEXT_SIZE];
	const char *target = bus_event_target(t->event, buf);

	event_text_line(t, LOG_LEVEL_TRACE,
			"%s: flow%s%s%s%s ended after %llu ms, %llu bytes in, %llu out: %s",
			event_text_mapping(mapping, sizeof(mapping), e),
			e->flow.source != NULL ? " from " : "",
			e->flow.source != NULL ? event_text_address(source, e->flow.source) : "",
			target[0] != '\0' ? " to " : "", target,
			(unsigned long long)e->flow.duration_ms,
			(unsigned long long)e->flow.in_bytes, (unsigned long long)e->flow.out_bytes,
			event_text_reason(e, "done"));
}

/* The original's counters, by their names. */
static void event_text_traffic(struct event_text *t)
{
	const struct tunnel_counters *c = &t->event->tunnel.stat;

	if (t->event->tunnel.id != 0 || t->event->id[0] == '\0')
		return; /* of a mapping, or of everything: for the control API */
	event_text_line(
		t, LOG_LEVEL_INFO,
		"traffic rx_bytes=%llu tx_bytes=%llu rx_dgrams=%llu tx_dgrams=%llu "
		"sent_packets=%llu "
		"lost_packets=%llu lost_bytes=%llu congestion_events=%llu active_conns=%llu "
		"rtt_ms=%llu cwnd_bytes=%llu current_mtu=%llu",
		(unsigned long long)c->rx_bytes, (unsigned long long)c->tx_bytes,
		(unsigned long long)c->rx_dgrams, (unsigned long long)c->tx_dgrams,
		(unsigned long long)c->sent_packets, (unsigned long long)c->lost_packets,
		(unsigned long long)c->lost_bytes, (unsigned long long)c->congestion_events,
		(unsigned long long)c->active_conns, (unsigned long long)c->rtt_ms,
		(unsigned long long)c->cwnd_bytes, (unsigned long long)c->current_mtu);
}

void event_text_lines(const struct bus_event *e,
		      void (*line)(void *user, enum log_level level, const char *scope,
				   const char *text),
		      void *user)
{
	struct event_text t = {.event = e, .line = line, .user = user};
	char mapping[MAPPING_TEXT_SIZE + 8], bound[ADDRESS_TEXT_SIZE];

	switch (e->type) {
	case BUS_EVENT_STATE:
		event_text_state(&t);
		break;
	case BUS_EVENT_STAT:
		event_text_traffic(&t);
		break;
	case BUS_EVENT_SESSION:
		event_text_session(&t);
		break;
	case BUS_EVENT_FLOW:
		event_text_flow(&t);
		break;
	case BUS_EVENT_SERVER:
		event_text_role(&t);
		break;
	case BUS_EVENT_MAPPING:
		if (e->tunnel.state.bound != NULL)
			event_text_line(&t, LOG_LEVEL_INFO, "%s: listening on %s",
					event_text_mapping(mapping, sizeof(mapping), &e->tunnel),
					event_text_address(bound, e->tunnel.state.bound));
		break;
	case BUS_EVENT_CLIENT:
	case BUS_EVENT_DAEMON:
	case BUS_EVENT_CERT:
		break;
	case BUS_EVENT_LOG:
		line(user, e->log.level, e->scope, e->log.text);
		break;
	}
}
