/* SPDX-License-Identifier: MIT */
/*
 * From the engine's structs to the API's, one function per type of event. The structs made here
 * borrow everything from the event and from buffers of the caller, so nothing of them is freed.
 */
#include "rstund/control/event_json.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/rpc_event.h"
#include "rstund/control/control_server.h"
#include "rstund/control/show.h"

#include <stdio.h>
#include <stdlib.h>

/* What an event's struct borrows from while it is encoded. */
struct event_json {
	struct rpc_event event;
	struct rpc_event_tunnel tunnel;
	char timestamp[32], mapping[BUS_EVENT_ID_SIZE];
	char addresses[2][ADDRESS_TEXT_SIZE];
	char target[ADDRESS_TARGET_TEXT_SIZE];
	union {
		struct rpc_state_detail state;
		struct rpc_log_detail log;
		struct rpc_thing_detail thing;
		struct rpc_flow_detail flow;
		struct rpc_daemon_detail daemon;
		struct rpc_cert_detail cert;
		struct rpc_stat stat;
	};
};

/* The API's structs own their strings as a rule; these are only read. */
static char *event_json_borrow(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* NULL = left out. */
static char *event_json_text(const char *text)
{
	return text != NULL && text[0] != '\0' ? event_json_borrow(text) : NULL;
}

static char *event_json_address(char buf[ADDRESS_TEXT_SIZE], const struct address *address)
{
	if (address == NULL || address->len == 0)
		return NULL;
	return event_json_borrow(address_format(buf, ADDRESS_TEXT_SIZE, address));
}

static bool event_json_failure(struct rpc_failure *ret, int error, const char *text)
{
	if (error == 0)
		return false;
	ret->kind = event_json_borrow(rpc_error_failure(error));
	ret->message = event_json_borrow(text != NULL && text[0] != '\0' ? text
									 : rstun_strerror(error));
	return true;
}

int event_json_type(const struct bus_event *e)
{
	switch (e->type) {
	case BUS_EVENT_STATE:
		return RPC_EVENT_STATE;
	case BUS_EVENT_STAT:
		return e->id[0] == '\0' ? (int)RPC_EVENT_STAT : -1;
	case BUS_EVENT_SESSION:
		return RPC_EVENT_SESSION;
	case BUS_EVENT_FLOW:
		return RPC_EVENT_FLOW;
	case BUS_EVENT_SERVER:
		return RPC_EVENT_SERVER;
	case BUS_EVENT_MAPPING:
		return RPC_EVENT_MAPPING;
	case BUS_EVENT_LOG:
		return RPC_EVENT_LOG;
	case BUS_EVENT_CLIENT:
		return RPC_EVENT_CLIENT;
	case BUS_EVENT_DAEMON:
		return RPC_EVENT_DAEMON;
	case BUS_EVENT_CERT:
		return RPC_EVENT_CERT;
	}
	return -1;
}

bool event_json_mapping(const struct bus_event *e, uint64_t *ret_number)
{
	if (e->type != BUS_EVENT_STATE && e->type != BUS_EVENT_MAPPING && e->type != BUS_EVENT_FLOW)
		return false;
	if (e->id[0] != 'm')
		return false;
	*ret_number = strtoull(e->id + 1, NULL, 10);
	return true;
}

/* ---- One function per type ------------------------------------------------------------------- */

static void event_json_tunnel(struct event_json *j, const struct bus_event *e)
{
	uint64_t number = e->tunnel.id;

	event_json_mapping(e, &number);
	j->tunnel = (struct rpc_event_tunnel){
		.source = e->tunnel.mapping != NULL ? RPC_SOURCE_NETWORK : RPC_SOURCE_CHANNEL,
		.id = number,
		.proto = (int)e->tunnel.proto,
		.mode = (int)e->tunnel.mode,
	};
	j->event.tunnel = &j->tunnel;
}

/* The mapping of a client that the event is about. */
static void event_json_about(struct event_json *j, const struct bus_event *e)
{
	uint64_t number;

	event_json_tunnel(j, e);
	if (event_json_mapping(e, &number))
		j->event.mapping = e->id;
	j->event.name = event_json_text(e->name);
}

static void event_json_state(struct event_json *j, const struct bus_event *e)
{
	const struct tunnel_event *t = &e->tunnel;
	bool waits = t->state.now == TUNNEL_RECONNECTING || t->state.now == TUNNEL_FAILED;

	event_json_about(j, e);
	j->event.word = rpc_state_names[t->state.now];
	j->state = (struct rpc_state_detail){
		.prev = (int)t->state.prev,
		.attempt = t->state.attempt,
		.next_retry_ms = waits ? t->state.next_retry_ms : UINT64_MAX,
		.took_ms = t->state.now == TUNNEL_TUNNELING ? t->state.took_ms : UINT64_MAX,
		.bound = event_json_address(j->addresses[0], t->state.bound),
		.peer = event_json_address(j->addresses[1], t->peer),
		.peer_software = event_json_text(t->state.peer_software),
		.unverified = t->state.unverified,
	};
	j->state.has_error = event_json_failure(&j->state.error, t->error, t->text);
	j->event.detail = &j->state;
}

static void event_json_session(struct event_json *j, const struct bus_event *e)
{
	const struct tunnel_event *t = &e->tunnel;

	/* Of one that was refused it may not be known what it wanted. */
	if (t->mapping != NULL || t->session.change != TUNNEL_SESSION_REFUSED)
		event_json_tunnel(j, e);
	j->event.word = rpc_events[RPC_EVENT_SESSION].words[t->session.change];
	j->thing = (struct rpc_thing_detail){
		.id = event_json_borrow(e->id),
		.name = event_json_text(e->name),
		.bound = event_json_address(j->addresses[0], t->session.bound),
		.remote = event_json_address(j->addresses[1], t->peer),
		.software = event_json_text(t->session.peer_software),
	};
	j->thing.has_error = event_json_failure(&j->thing.error, t->error, t->text);
	j->event.detail = &j->thing;
}

static void event_json_flow(struct event_json *j, const struct bus_event *e)
{
	const struct tunnel_event *t = &e->tunnel;

	event_json_about(j, e);
	j->event.word = rpc_events[RPC_EVENT_FLOW].words[0];
	j->flow = (struct rpc_flow_detail){
		.session = j->event.mapping == NULL ? event_json_text(e->id) : NULL,
		.peer = event_json_address(j->addresses[0], t->flow.source),
		.target = event_json_borrow(bus_event_target(e, j->target)),
		.in_bytes = t->flow.in_bytes,
		.out_bytes = t->flow.out_bytes,
		.duration_ms = t->flow.duration_ms,
	};
	j->flow.has_error = event_json_failure(&j->flow.error, t->error, t->text);
	j->event.detail = &j->flow;
}

/* mapping, client and server. */
static void event_json_thing(struct event_json *j, const struct bus_event *e,
			     const struct address *bound)
{
	j->event.word = rpc_events[j->event.type].words[e->change];
	j->thing = (struct rpc_thing_detail){
		.id = event_json_borrow(e->id),
		.name = event_json_text(e->name),
		.bound = event_json_address(j->addresses[0], bound),
	};
	j->thing.has_error = event_json_failure(&j->thing.error, e->tunnel.error, e->tunnel.text);
	j->event.detail = &j->thing;
}

static void event_json_cert(struct event_json *j, const struct bus_event *e)
{
	const char *more = e->tunnel.state.peer_software;

	j->event.word = rpc_events[RPC_EVENT_CERT].words[e->change];
	j->cert = (struct rpc_cert_detail){
		.server = event_json_borrow(e->id),
		.pin = event_json_text(e->tunnel.text),
	};
	j->cert.has_error = event_json_failure(&j->cert.error, e->tunnel.error, more);
	if (!j->cert.has_error)
		j->cert.not_after = event_json_text(more);
	j->event.detail = &j->cert;
}

static void event_json_log(struct event_json *j, const struct bus_event *e)
{
	j->event.word = e->log.text;
	j->log = (struct rpc_log_detail){
		.level = (int)e->log.level,
		.scope = event_json_borrow(e->scope),
	};
	j->event.detail = &j->log;
}

static void event_json_fill(struct event_json *j, const struct bus_event *e)
{
	switch (e->type) {
	case BUS_EVENT_STATE:
		event_json_state(j, e);
		break;
	case BUS_EVENT_STAT:
		show_stat(&j->stat, &e->tunnel.stat);
		j->event.data = &j->stat;
		break;
	case BUS_EVENT_SESSION:
		event_json_session(j, e);
		break;
	case BUS_EVENT_FLOW:
		event_json_flow(j, e);
		break;
	case BUS_EVENT_SERVER:
		event_json_thing(j, e, e->tunnel.role.bound);
		break;
	case BUS_EVENT_MAPPING:
		event_json_about(j, e);
		event_json_thing(j, e, e->tunnel.state.bound);
		break;
	case BUS_EVENT_CLIENT:
		event_json_thing(j, e, NULL);
		break;
	case BUS_EVENT_DAEMON:
		j->event.word = rpc_events[RPC_EVENT_DAEMON].words[e->change];
		j->daemon.text = event_json_borrow(e->tunnel.text);
		j->event.detail = &j->daemon;
		break;
	case BUS_EVENT_CERT:
		event_json_cert(j, e);
		break;
	case BUS_EVENT_LOG:
		event_json_log(j, e);
		break;
	}
}

/* ---- Bodies ---------------------------------------------------------------------------------- */

static void event_json_begin(struct event_json *j, enum rpc_event_type type, uint64_t seq,
			     int64_t wall_us)
{
	j->event = (struct rpc_event){
		.type = type,
		.seq = seq,
		.timestamp = clock_format(j->timestamp, sizeof(j->timestamp), wall_us),
	};
}

char *event_json_make(const struct bus_event *e, uint64_t seq, size_t *ret_bytes)
{
	struct event_json j;

	event_json_begin(&j, (enum rpc_event_type)event_json_type(e), seq, e->wall_us);
	event_json_fill(&j, e);
	return rpc_event_body(&j.event, ret_bytes);
}

int event_json_body(struct bus_event *e)
{
	if (e->body == NULL)
		e->body = event_json_make(e, e->seq, &e->body_bytes);
	return e->body != NULL ? 0 : RSTUN_E_NOMEM;
}

char *event_json_stat(const struct control_stat *stat, uint64_t seq, int64_t wall_us,
		      size_t *ret_bytes)
{
	struct event_json j;

	event_json_begin(&j, RPC_EVENT_STAT, seq, wall_us);
	j.tunnel = (struct rpc_event_tunnel){
		.source = RPC_SOURCE_NETWORK,
		.id = stat->mapping,
		.proto = stat->proto,
		.mode = stat->mode,
	};
	snprintf(j.mapping, sizeof(j.mapping), "m%llu", (unsigned long long)stat->mapping);
	j.event.tunnel = &j.tunnel;
	j.event.mapping = j.mapping;
	j.event.name = event_json_text(stat->name);
	j.event.data = &stat->stat;
	return rpc_event_body(&j.event, ret_bytes);
}

char *event_json_dropped(enum rpc_event_type type, const struct rpc_dropped *dropped,
			 int64_t wall_us, size_t *ret_bytes)
{
	struct event_json j;

	event_json_begin(&j, type, dropped->to_seq, wall_us);
	j.event.data = dropped;
	return rpc_event_body(&j.event, ret_bytes);
}
