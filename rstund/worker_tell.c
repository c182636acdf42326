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

void worker_tell_started(struct worker *w, unsigned role, int error, const char *text)
{
	struct message *m = worker_message(w, MESSAGE_STARTED, role);

	if (m == NULL) {
		log_error(&w->log, "worker", "memory ran out while a role was starting");
		return;
	}
	m->started.error = error;
	if (error != 0)
		snprintf(m->started.text, sizeof(m->started.text), "%s",
			 text[0] != '\0' ? text : rstun_strerror(error));
	worker_tell(w, m);
}

void worker_tell_counters(struct worker_role *r)
{
	struct message *m = worker_message(r->worker, MESSAGE_COUNTERS, r->index);

	if (m == NULL)
		return;
	if (r->server != NULL)
		server_counters(r->server, &m->counters);
	else
		client_counters(r->client, &m->counters);
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
	m = worker_message(r->worker, MESSAGE_DRAINED, r->index);
	if (m != NULL)
		worker_tell(r->worker, m);
}
