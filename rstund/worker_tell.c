/* SPDX-License-Identifier: MIT */
/*
 * What a worker tells the main thread (and, for a datagram that came to the wrong socket, another
 * worker): the engine's callbacks as messages.
 */
#include "rstund/worker_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "rstund/control/bus_event.h"
#include "rstund/messages.h"
#include "tunnel/client.h"
#include "tunnel/flows.h"
#include "tunnel/server.h"

#include <stdio.h>
#include <string.h>

static struct message *worker_message(struct worker *w, enum message_kind kind, unsigned role)
{
	struct message *m = message_new(kind, role, 0);

	if (m != NULL)
		m->worker = w->params.index;
	return m;
}

static void worker_tell(struct worker *w, struct message *m)
{
	mailbox_post(w->params.control, &m->item);
}

/* What a peer can cause without end is only offered. Takes the event over. */
static void worker_tell_event(struct worker *w, unsigned role, struct bus_event *event, bool must)
{
	struct message *m = event != NULL ? worker_message(w, MESSAGE_EVENT, role) : NULL;

	if (m == NULL) {
		bus_event_unref(event);
		w->lost_events++;
		return;
	}
	m->event.event = event;
	m->event.lost = w->lost_events;
	if (must) {
		worker_tell(w, m);
	} else if (!mailbox_offer(w->params.control, &m->item, MESSAGE_EVENTS_MAX)) {
		message_free(m);
		w->lost_events++;
		return;
	}
	w->lost_events = 0;
}

void worker_write_log(void *user, enum log_level level, const char *scope, const char *text)
{
	struct worker *w = user;

	worker_tell_event(w, 0, bus_event_new_log(level, scope, text, clock_wall_us()), false);
}

void worker_on_event(void *user, const struct tunnel_event *e)
{
	struct worker_role *r = user;
	bool must = e->type == TUNNEL_EVENT_STATE || (e->type == TUNNEL_EVENT_SESSION &&
						      e->session.change != TUNNEL_SESSION_REFUSED);

	/* A role's own life is told by the main thread, once for all workers. */
	if (e->type == TUNNEL_EVENT_ROLE ||
	    (e->type == TUNNEL_EVENT_FLOW && !r->worker->params.flow_events))
		return;
	worker_tell_event(r->worker, r->index,
			  bus_event_new((enum bus_event_type)e->type, e, r->index, clock_wall_us()),
			  must);
}

void worker_tell_started(struct worker *w, unsigned role, uint64_t id, int error, const char *text)
{
	struct message *m = worker_message(w, MESSAGE_STARTED, role);

	if (m == NULL) {
		log_error(&w->log, "worker", "memory ran out while a role was starting");
		return;
	}
	m->started.id = id;
	m->started.error = error;
	if (error != 0)
		snprintf(m->started.text, sizeof(m->started.text), "%s",
			 text[0] != '\0' ? text : rstun_strerror(error));
	worker_tell(w, m);
}

void worker_tell_removed(struct worker *w, unsigned role, uint64_t id, uint64_t placement,
			 const struct tunnel_counters *final)
{
	struct message *m = worker_message(w, MESSAGE_REMOVED, role);

	if (m == NULL) {
		log_error(&w->log, "worker", "memory ran out while something was removed");
		return;
	}
	m->removed.id = id;
	m->removed.placement = placement;
	m->removed.final = *final;
	worker_tell(w, m);
}

void worker_on_removed(void *user, uint64_t id, const struct tunnel_counters *final)
{
	struct worker_role *r = user;

	worker_tell_removed(r->worker, r->index, id, 0, final);
}

/* NULL when memory is short: the main thread does not wait for ever. */
static struct message *worker_gathered(struct worker *w, uint64_t gather, int error)
{
	struct message *m = worker_message(w, MESSAGE_GATHERED, 0);

	if (m == NULL)
		return NULL;
	m->gather = gather;
	m->gathered.error = error;
	return m;
}

void worker_tell_gathered(struct worker *w, uint64_t gather, uint64_t count, int error)
{
	struct message *m = worker_gathered(w, gather, error);

	if (m == NULL)
		return;
	m->gathered.count = count;
	worker_tell(w, m);
}

void worker_tell_reported(struct worker *w, uint64_t gather, uint64_t took_ns)
{
	struct message *m = worker_gathered(w, gather, 0);

	if (m == NULL)
		return;
	m->gathered.took_ns = took_ns;
	worker_tell(w, m);
}

void worker_tell_opened(struct worker *w, uint64_t gather, int error, const char *text)
{
	struct message *m = worker_gathered(w, gather, error);

	if (m == NULL)
		return;
	snprintf(m->gathered.text, sizeof(m->gathered.text), "%s", text);
	worker_tell(w, m);
}

void worker_tell_counters(struct worker_role *r)
{
	struct message *m = worker_message(r->worker, MESSAGE_COUNTERS, r->index);

	if (m == NULL)
		return;
	if (r->server != NULL)
		server_counters(r->server, &m->counters.sum);
	else
		client_counters(r->client, &m->counters.sum);
	m->counters.summed = true;
	worker_tell(r->worker, m);
}

/* ---- Lists of unknown length: counted first, then written into the message's data ---- */

struct worker_list {
	struct message *message; /* NULL: count only */
	size_t count, room;
	uint64_t total;
};

static void worker_put_flow(void *user, const struct flow_info *flow)
{
	struct worker_list *list = user;
	struct message_flow *to;

	list->total++;
	if (list->count >= list->room)
		return;
	if (list->message != NULL) {
		to = (struct message_flow *)list->message->data + list->count;
		*to = (struct message_flow){
			.flow_id = flow->flow_id,
			.owner_id = flow->owner_id,
			.proto = flow->proto,
			.in_bytes = flow->in_bytes,
			.out_bytes = flow->out_bytes,
			.age_ms = flow->age_ms,
			.idle_ms = flow->idle_ms,
		};
		if (flow->source != NULL)
			to->source = *flow->source;
		snprintf(to->target, sizeof(to->target), "%s",
			 flow->target != NULL ? flow->target : "");
	}
	list->count++;
}

static void worker_visit_flows(struct worker_role *r, uint64_t owner_id, struct worker_list *list)
{
	if (r->server != NULL)
		server_visit_flows(r->server, owner_id, worker_put_flow, list);
	else
		client_visit_flows(r->client, owner_id, worker_put_flow, list);
}

void worker_tell_flows(struct worker_role *r, uint64_t gather, uint64_t owner_id, uint64_t max)
{
	struct worker_list list = {.room = max};
	struct message *m;

	worker_visit_flows(r, owner_id, &list);
	m = message_new(MESSAGE_FLOWS, r->index, list.count * sizeof(struct message_flow));
	if (m == NULL)
		return;
	list = (struct worker_list){.message = m, .room = list.count};
	worker_visit_flows(r, owner_id, &list);
	m->worker = r->worker->params.index;
	m->gather = gather;
	m->listed.count = list.count;
	m->listed.total = list.total;
	worker_tell(r->worker, m);
}

/* ---- what the engine asks ---- */

void worker_on_claim(void *user, const struct server_claim *claim)
{
	struct worker_role *r = user;
	struct message *m = worker_message(r->worker, MESSAGE_CLAIM, r->index);

	if (m == NULL) {
		server_claimed(r->server, claim->session_id, RSTUN_E_NOMEM, -1, &claim->address);
		return;
	}
	m->claim = *claim;
	worker_tell(r->worker, m);
}

void worker_on_release(void *user, uint64_t session_id)
{
	struct worker_role *r = user;
	struct message *m = worker_message(r->worker, MESSAGE_RELEASE, r->index);

	if (m == NULL)
		return;
	m->release.session_id = session_id;
	worker_tell(r->worker, m);
}

void worker_on_foreign(void *user, unsigned worker, const struct address *local,
		       const struct address *remote, const uint8_t *data, size_t bytes)
{
	struct worker_role *r = user;
	struct worker *w = r->worker;
	struct message *m;

	if (worker >= w->params.count || worker == w->params.index)
		return;
	m = message_new(MESSAGE_DATAGRAM, r->index, bytes);
	if (m != NULL) {
		m->datagram.local = *local;
		m->datagram.remote = *remote;
		m->datagram.bytes = bytes;
		memcpy(m->data, data, bytes);
		if (mailbox_offer(&w->params.all[worker]->mailbox, &m->item, MESSAGE_DATAGRAMS_MAX))
			return;
		message_free(m);
	}
	w->lost_datagrams++; /* QUIC sends again */
}

void worker_on_auth(void *user, bool held, uint64_t retry_after_ms)
{
	struct worker_role *r = user;
	struct message *m = worker_message(r->worker, MESSAGE_AUTH, r->index);

	if (m == NULL)
		return;
	m->auth.held = held;
	m->auth.retry_after_ms = retry_after_ms;
	worker_tell(r->worker, m);
}

void worker_tell_probed(struct worker *w, unsigned role, uint64_t session_id, bool alive)
{
	struct message *m = worker_message(w, MESSAGE_PROBED, role);

	if (m == NULL)
		return;
	m->probed.session_id = session_id;
	m->probed.alive = alive;
	worker_tell(w, m);
}

void worker_on_probed(void *user, uint64_t session_id, bool alive)
{
	struct worker_role *r = user;

	worker_tell_probed(r->worker, r->index, session_id, alive);
}

void worker_on_drained(void *user)
{
	struct worker_role *r = user;
	struct message *m;

	if (r->drained)
		return;
	r->drained = true;
	if (r->removing) {
		loop_task_schedule(&r->worker->loop, &r->remove_task);
		return;
	}
	m = worker_message(r->worker, MESSAGE_DRAINED, r->index);
	if (m != NULL)
		worker_tell(r->worker, m);
}
