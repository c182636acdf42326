/* SPDX-License-Identifier: MIT */
/*
 * What workers say to the main thread, and what it answers. No engine object is touched here.
 */
#include "rstund/daemon_private.h"

#include "base/error.h"
#include "relay/tcp_listener.h"
#include "relay/udp_flow.h"
#include "rstund/control/log_sink.h"
#include "rstund/control/registry.h"
#include "rstund/messages.h"
#include "rstund/worker.h"

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

static void daemon_on_started(struct daemon *d, const struct message *m)
{
	if (d->starting > 0)
		d->starting--;
	if (m->started.error != 0) {
		daemon_fail(d, d->roles[m->role].name, m->started.text);
		return;
	}
	if (d->starting == 0 && d->phase == DAEMON_STARTING) {
		d->phase = DAEMON_RUNNING;
		daemon_check_ready(d);
	}
}

static void daemon_on_claim(struct daemon *d, const struct message *m)
{
	struct registry_claim claim = {
		.role = m->role,
		.worker = m->worker,
		.session_id = m->claim.session_id,
		.proto = m->claim.proto,
		.address = m->claim.address,
	};

	registry_claim(d->registry, &claim);
}

/* A password was refused, or accepted again: the client's other threads hold back, or go on. */
static void daemon_on_auth(struct daemon *d, const struct message *m)
{
	for (unsigned i = 0; i < d->roles[m->role].worker_count; i++) {
		struct message *hold;

		if (i == m->worker)
			continue;
		hold = message_new(MESSAGE_HOLD, m->role, 0);
		if (hold == NULL)
			continue;
		hold->hold.held = m->auth.held;
		hold->hold.retry_after_ms = m->auth.retry_after_ms;
		worker_post(d->workers[i], hold);
	}
}

static void daemon_check_failure(struct daemon *d, const struct registry_mapping *mapping)
{
	if (!d->params->exit_on_failure || d->phase > DAEMON_RUNNING)
		return;
	if (mapping->state == TUNNEL_FAILED ||
	    (mapping->state == TUNNEL_RECONNECTING && !mapping->ever_up))
		daemon_fail(d, d->roles[mapping->role].name,
			    "a mapping failed, and --exit-on-failure was given");
}

static void daemon_on_event(struct daemon *d, struct message *m)
{
	struct bus_event *event = m->event.event;
	const struct registry_mapping *mapping;

	m->event.event = NULL;
	log_sink_lost(d->sink, m->event.lost);
	if (event->type != BUS_EVENT_LOG)
		event->scope = d->roles[m->role].name;
	mapping = registry_update(d->registry, event);
	event_bus_publish(&d->bus, event);
	if (mapping == NULL)
		return;
	daemon_check_failure(d, mapping);
	daemon_check_ready(d);
}

void daemon_on_item(void *user, struct mailbox_item *item)
{
	struct daemon *d = user;
	struct message *m = message_of(item);

	switch (m->kind) {
	case MESSAGE_STARTED:
		daemon_on_started(d, m);
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
		if (role_counted(&d->roles[m->role], m->worker, &m->counters))
			role_publish_counters(&d->roles[m->role], &d->bus);
		break;
	case MESSAGE_DRAINED:
		daemon_on_drained(d);
		break;
	case MESSAGE_ADD_SERVER:
	case MESSAGE_ADD_CLIENT:
	case MESSAGE_ADD_MAPPING:
	case MESSAGE_CLAIMED:
	case MESSAGE_PROBE:
	case MESSAGE_SET_CREDENTIALS:
	case MESSAGE_HOLD:
	case MESSAGE_REPORT:
	case MESSAGE_DRAIN:
	case MESSAGE_STOP:
	case MESSAGE_DATAGRAM:
		break; /* the other way */
	}
	message_free(m);
}
