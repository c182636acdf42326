/* SPDX-License-Identifier: MIT */
/*
 * What workers say to the main thread, and what it answers. No engine object is touched here.
 */
#include "rstund/daemon_private.h"

#include "base/error.h"
#include "relay/tcp_listener.h"
#include "relay/udp_flow.h"
#include "rstund/control/log_sink.h"
#include "rstund/control/methods.h"
#include "rstund/control/registry.h"
#include "rstund/daemon_config.h"
#include "rstund/daemon_start.h"
#include "rstund/hold.h"
#include "rstund/messages.h"
#include "rstund/worker.h"

#include <stdio.h>
#include <unistd.h>

/* ---- the registry's ways out ---- */

static int daemon_registry_bind(void *user, enum mapping_proto proto, const struct address *addr,
				int *ret_fd, struct address *ret_bound)
{
	(void)user;
	return proto == MAPPING_UDP ? udp_bind(addr, ret_fd, ret_bound)
				    : tcp_listener_bind(addr, ret_fd, ret_bound);
}

static void daemon_registry_answer(void *user, const struct registry_claim *claim, int error,
				   int fd, const struct address *bound)
{
	struct daemon *d = user;
	struct message *m = message_new(MESSAGE_CLAIMED, claim->role, 0);

	if (m == NULL) { /* the session gives up by its own timeout and releases the claim */
		if (fd >= 0)
			close(fd);
		return;
	}
	m->claimed.session_id = claim->session_id;
	m->claimed.error = error;
	m->claimed.fd = fd;
	m->claimed.bound = *bound;
	worker_post(d->workers[claim->worker], m);
}

static void daemon_registry_probe(void *user, const struct registry_claim *holder)
{
	struct daemon *d = user;
	struct message *m = message_new(MESSAGE_PROBE, holder->role, 0);

	if (m == NULL)
		return;
	m->probe.session_id = holder->session_id;
	worker_post(d->workers[holder->worker], m);
}

const struct registry_ops daemon_registry_ops = {
	.bind = daemon_registry_bind,
	.answer = daemon_registry_answer,
	.probe = daemon_registry_probe,
};

/* ---- messages ---- */

static void daemon_on_start_failed(struct daemon *d, const struct message *m)
{
	struct role *role = role_find(d, m->role);
	struct held_mapping *mapping;
	struct held_server *server;

	if (d->phase == DAEMON_STARTING && daemon_is_role_line(d)) {
		daemon_fail(d, role != NULL ? role->name : "rstund", m->started.text);
		return;
	}
	if (role == NULL)
		return;
	if (m->started.id != 0) {
		mapping = inventory_mapping_by_number(&d->inventory, m->started.id);
		if (mapping != NULL && mapping->role == role)
			hold_mapping_failed(d, mapping, m->started.error, m->started.text);
		return;
	}
	/* A client's mappings say so one by one, because their worker does not know it. */
	log_error(&d->log, role->name, "%s", m->started.text);
	server = role->retired ? NULL : role->held;
	role_part_failed(role, m->worker);
	if (server != NULL)
		hold_server_failed(d, server, m->started.error, m->started.text);
}

static void daemon_on_started(struct daemon *d, const struct message *m)
{
	if (m->started.error != 0)
		daemon_on_start_failed(d, m);
	if (d->starting > 0 && --d->starting == 0)
		daemon_started(d);
}

static void daemon_on_removed(struct daemon *d, const struct message *m)
{
	struct role *role = role_find(d, m->role);
	struct held_mapping *mapping;

	daemon_on_gone(d);
	if (m->removed.id == 0) {
		if (role != NULL)
			role_part_gone(role, m->worker, &m->removed.final);
		return;
	}
	mapping = inventory_mapping_by_number(&d->inventory, m->removed.id);
	if (mapping != NULL && mapping->role == role &&
	    (m->removed.placement == 0 || m->removed.placement == mapping->placement))
		hold_mapping_displaced(d, mapping, &m->removed.final);
}

static void daemon_on_claim(struct daemon *d, const struct message *m)
{
	struct registry_claim claim = {
		.role = m->role,
		.worker = m->worker,
		.session_id = m->claim.session_id,
		.proto = m->claim.proto,
		.address = m->claim.address,
		.probe = m->claim.probe,
	};

	registry_claim(d->registry, &claim);
}

/* A password was refused, or accepted again: the client's other threads hold back, or go on. */
static void daemon_on_auth(struct daemon *d, const struct message *m)
{
	const struct role *role = role_find(d, m->role);

	for (unsigned i = 0; role != NULL && i < role->worker_count; i++) {
		struct message *hold;

		if (i == m->worker || !role->on_worker[i])
			continue;
		hold = message_new(MESSAGE_HOLD, m->role, 0);
		if (hold == NULL)
			continue;
		hold->hold.held = m->auth.held;
		hold->hold.retry_after_ms = m->auth.retry_after_ms;
		worker_post(d->workers[i], hold);
	}
}

static void daemon_check_failure(struct daemon *d, const struct held_mapping *mapping)
{
	if (!d->params->config->exit_on_failure || d->phase > DAEMON_RUNNING)
		return;
	if (mapping->state == RPC_STATE_FAILED ||
	    (mapping->state == RPC_STATE_RECONNECTING && !mapping->ever_up))
		daemon_fail(d, mapping->client != NULL ? mapping->client->name : "client",
			    "a mapping failed, and --exit-on-failure was given");
}

/* ---- events ---- */

/* A mapping's new state; false: it is no longer where that was said. */
static bool daemon_on_state(struct daemon *d, const struct role *role, struct bus_event *e,
			    struct held_mapping **ret)
{
	struct held_mapping *m = inventory_mapping_by_number(&d->inventory, e->tunnel.id);

	if (m == NULL || m->removed || m->paused || m->leaving || m->role != role)
		return false;
	/* What people last heard: to the worker every placement is a new mapping. */
	e->tunnel.state.prev = (enum tunnel_state)m->state;
	inventory_update(&d->inventory, m, e, loop_now(&d->loop));
	inventory_mapping_id(e->id, m);
	snprintf(e->name, sizeof(e->name), "%s", m->name);
	*ret = m;
	return true;
}

static bool daemon_on_session(struct daemon *d, const struct role *role, struct bus_event *e,
			      unsigned worker, struct held_session **ret_ended)
{
	struct held_server *server = role->held;
	struct held_session *s = NULL;

	if (server == NULL)
		return false;
	e->change = (int)e->tunnel.session.change;
	snprintf(e->id, sizeof(e->id), "s%u.%llu", server->number,
		 (unsigned long long)(server->session_base + e->tunnel.id));
	if (e->tunnel.session.change == TUNNEL_SESSION_LOGIN)
		return inventory_login(&d->inventory, server, e, worker) != NULL;
	if (e->tunnel.session.change == TUNNEL_SESSION_REFUSED)
		return true;
	s = inventory_session_of_role(&d->inventory, role->index, e->tunnel.id);
	*ret_ended = s;
	return s != NULL;
}

static bool daemon_on_flow(struct daemon *d, const struct role *role, struct bus_event *e)
{
	struct held_session *s;
	struct held_mapping *m;

	if (role->client != NULL) {
		m = inventory_mapping_by_number(&d->inventory, e->tunnel.id);
		if (m == NULL)
			return false;
		inventory_mapping_id(e->id, m);
		snprintf(e->name, sizeof(e->name), "%s", m->name);
		return true;
	}
	s = inventory_session_of_role(&d->inventory, role->index, e->tunnel.id);
	if (s == NULL)
		return false;
	inventory_session_id(e->id, s);
	return true;
}

static void daemon_on_event(struct daemon *d, struct message *m)
{
	struct bus_event *event = m->event.event;
	struct role *role = event->type != BUS_EVENT_LOG ? role_find(d, m->role) : NULL;
	struct held_mapping *mapping = NULL;
	struct held_session *ended = NULL;
	bool known = event->type == BUS_EVENT_LOG;

	m->event.event = NULL;
	d->lost_lines += m->event.lost;
	log_sink_lost(d->sink, m->event.lost);
	if (role != NULL) {
		bus_event_set_scope(event, role->name);
		if (event->type == BUS_EVENT_STATE)
			known = daemon_on_state(d, role, event, &mapping);
		else if (event->type == BUS_EVENT_SESSION)
			known = daemon_on_session(d, role, event, m->worker, &ended);
		else if (event->type == BUS_EVENT_FLOW)
			known = daemon_on_flow(d, role, event);
	}
	if (known)
		event_bus_publish(&d->bus, event);
	else
		bus_event_unref(event);
	if (ended != NULL) {
		inventory_free_session(&d->inventory, ended);
		daemon_on_gone(d);
	}
	if (mapping == NULL)
		return;
	daemon_check_failure(d, mapping);
	methods_wait_changed(d, mapping);
	daemon_check_ready(d);
}

static void daemon_on_counters(struct daemon *d, const struct message *m)
{
	struct role *role = role_find(d, m->role);

	if (m->gather != 0)
		gathers_on_message(&d->gathers, m);
	else if (role != NULL) /* a worker's last words */
		role_counted(role, m->worker, &m->counters.sum);
}

void daemon_on_item(void *user, struct mailbox_item *item)
{
	struct daemon *d = user;
	struct message *m = message_of(item);

	switch (m->kind) {
	case MESSAGE_STARTED:
		daemon_on_started(d, m);
		break;
	case MESSAGE_REMOVED:
		daemon_on_removed(d, m);
		break;
	case MESSAGE_CLAIM:
		daemon_on_claim(d, m);
		break;
	case MESSAGE_RELEASE:
		registry_release(d->registry, m->role, m->release.session_id);
		break;
	case MESSAGE_PROBED:
		registry_probed(d->registry, m->role, m->probed.session_id, m->probed.alive);
		break;
	case MESSAGE_AUTH:
		daemon_on_auth(d, m);
		break;
	case MESSAGE_EVENT:
		daemon_on_event(d, m);
		break;
	case MESSAGE_COUNTERS:
		daemon_on_counters(d, m);
		break;
	case MESSAGE_FLOWS:
	case MESSAGE_TESTED:
	case MESSAGE_GATHERED:
		gathers_on_message(&d->gathers, m);
		break;
	case MESSAGE_DRAINED:
		daemon_on_drained(d);
		break;
	case MESSAGE_ADD_SERVER:
	case MESSAGE_ADD_CLIENT:
	case MESSAGE_ADD_MAPPING:
	case MESSAGE_REMOVE_ROLE:
	case MESSAGE_REMOVE_MAPPING:
	case MESSAGE_RESTART_MAPPING:
	case MESSAGE_KICK:
	case MESSAGE_CLAIMED:
	case MESSAGE_PROBE:
	case MESSAGE_SET_CREDENTIALS:
	case MESSAGE_HOLD:
	case MESSAGE_SETTINGS:
	case MESSAGE_PING:
	case MESSAGE_REPORT:
	case MESSAGE_LIST_FLOWS:
	case MESSAGE_KILL_FLOWS:
	case MESSAGE_TEST:
	case MESSAGE_OPEN_CHANNEL:
	case MESSAGE_CANCEL_TEST:
	case MESSAGE_DRAIN:
	case MESSAGE_STOP:
	case MESSAGE_DATAGRAM:
		break; /* the other way */
	}
	message_free(m);
}
