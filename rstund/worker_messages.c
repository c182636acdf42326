/* SPDX-License-Identifier: MIT */
/*
 * What the main thread says to a worker: messages as calls of the engine (tunnel/server.h,
 * tunnel/client.h).
 */
#include "rstund/worker_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "rstund/messages.h"
#include "tunnel/client.h"
#include "tunnel/server.h"

#include <stdlib.h>
#include <string.h>

#define WORKER_PROBE_NS (1 * CLOCK_NS_PER_S) /* WIRE.md, take-over */

struct worker_role *worker_find(struct worker *w, unsigned role)
{
	struct worker_role *r;

	LIST_FOREACH (r, &w->roles, link)
		if (r->index == role)
			return r;
	return NULL;
}

static void worker_free_role(struct worker_role *r);

/* A role that was to go has been drained: outside of its own callback it can be freed. */
static void worker_on_remove_task(void *user)
{
	struct worker_role *r = user;
	struct worker *w = r->worker;
	unsigned role = r->index;
	struct tunnel_counters final;

	if (r->server != NULL)
		server_counters(r->server, &final);
	else
		client_counters(r->client, &final);
	worker_report_skip(w, r);
	LIST_REMOVE(r, link);
	worker_free_role(r);
	worker_tell_removed(w, role, 0, 0, &final);
}

static struct worker_role *worker_new_role(struct worker *w, unsigned role, unsigned worker_count,
					   uint8_t secret[32])
{
	struct worker_role *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->worker = w;
	r->index = role;
	r->env = (struct tunnel_env){
		.loop = &w->loop,
		.log = &w->log,
		.pool = &w->pool,
		.worker = w->params.index,
		.worker_count = worker_count,
		.on_event = worker_on_event,
		.user = r,
	};
	memcpy(r->env.secret, secret, sizeof(r->env.secret));
	loop_task_init(&r->remove_task, worker_on_remove_task, r);
	return r;
}

static void worker_free_role(struct worker_role *r)
{
	loop_task_cancel(&r->worker->loop, &r->remove_task);
	worker_test_end_role(r->worker, r->index);
	server_free(r->server);
	client_free(r->client);
	secret_wipe(r->env.secret, sizeof(r->env.secret));
	free(r);
}

static void worker_add_server(struct worker *w, struct message *m)
{
	struct worker_role *r =
		worker_new_role(w, m->role, m->add_server.worker_count, m->add_server.secret);
	struct server_params params = {
		.config = m->add_server.config,
		.credentials = m->add_server.credentials,
		.fd = m->add_server.fd,
		.claim = worker_on_claim,
		.release = worker_on_release,
		.foreign = worker_on_foreign,
	};
	int rc;

	if (r == NULL) {
		worker_tell_started(w, m->role, 0, RSTUN_E_NOMEM, "");
		return;
	}
	params.env = &r->env;
	params.user = r;
	m->add_server.fd = -1; /* server_new owns it, whatever it returns */
	rc = server_new(&r->server, &params);
	if (rc == 0)
		LIST_INSERT_HEAD(&w->roles, r, link);
	else
		worker_free_role(r);
	worker_tell_started(w, m->role, 0, rc, "");
}

static void worker_add_client(struct worker *w, struct message *m)
{
	struct worker_role *r =
		worker_new_role(w, m->role, m->add_client.worker_count, m->add_client.secret);
	struct client_params params = {
		.config = m->add_client.config,
		.credentials = m->add_client.credentials,
		.on_auth = worker_on_auth,
	};
	char error[MESSAGE_TEXT_SIZE] = "";
	int rc;

	if (r == NULL) {
		worker_tell_started(w, m->role, 0, RSTUN_E_NOMEM, "");
		return;
	}
	params.env = &r->env;
	params.user = r;
	rc = client_new(&r->client, &params, error, sizeof(error));
	if (rc == 0)
		LIST_INSERT_HEAD(&w->roles, r, link);
	else
		worker_free_role(r);
	worker_tell_started(w, m->role, 0, rc, error);
}

static void worker_add_mapping(struct worker *w, struct message *m)
{
	struct worker_role *r = worker_find(w, m->role);
	int rc = RSTUN_E_NOT_FOUND;

	if (r != NULL && r->client != NULL) {
		int fd = m->add_mapping.fd;

		m->add_mapping.fd = -1; /* taken over on failure too */
		rc = client_add_mapping(r->client, m->add_mapping.id, &m->add_mapping.mapping, fd);
	}
	worker_tell_started(w, m->role, m->add_mapping.id, rc, "");
}

static void worker_remove_mapping(struct worker *w, const struct message *m)
{
	static const struct tunnel_counters none;
	struct worker_role *r = worker_find(w, m->role);

	/* What is not there is gone. */
	if (r == NULL || r->client == NULL ||
	    client_remove_mapping(r->client, m->remove.id, m->remove.deadline_ns,
				  worker_on_removed, r) != 0)
		worker_tell_removed(w, m->role, m->remove.id, m->remove.placement, &none);
}

static void worker_remove_role(struct worker *w, const struct message *m)
{
	static const struct tunnel_counters none;
	struct worker_role *r = worker_find(w, m->role);

	if (r == NULL) {
		worker_tell_removed(w, m->role, 0, 0, &none);
		return;
	}
	r->removing = true;
	worker_test_end_role(w, m->role);
	if (r->drained)
		loop_task_schedule(&w->loop, &r->remove_task);
	else if (r->server != NULL)
		server_drain(r->server, m->remove.deadline_ns, worker_on_drained, r);
	else
		client_drain(r->client, m->remove.deadline_ns, worker_on_drained, r);
}

static void worker_claimed(struct worker_role *r, struct message *m)
{
	int fd = m->claimed.fd;

	m->claimed.fd = -1;
	server_claimed(r->server, m->claimed.session_id, m->claimed.error, fd, &m->claimed.bound);
}

static void worker_drain(struct worker_role *r, uint64_t deadline_ns)
{
	if (r->drained)
		return;
	if (r->server != NULL)
		server_drain(r->server, deadline_ns, worker_on_drained, r);
	else
		client_drain(r->client, deadline_ns, worker_on_drained, r);
}

static void worker_list_flows(struct worker *w, const struct message *m)
{
	struct worker_role *r;

	LIST_FOREACH (r, &w->roles, link)
		if (m->flows.owner_id == 0 || r->index == m->role)
			worker_tell_flows(r, m->gather, m->flows.owner_id, m->flows.max);
	worker_tell_gathered(w, m->gather, 0, 0);
}

static void worker_kill_flows(struct worker *w, const struct message *m)
{
	struct worker_role *r = worker_find(w, m->role);
	size_t killed = 0;

	if (r != NULL && r->server != NULL)
		killed = server_kill_flows(r->server, m->flows.owner_id, m->flows.flow_id);
	else if (r != NULL)
		killed = client_kill_flows(r->client, m->flows.owner_id, m->flows.flow_id);
	worker_tell_gathered(w, m->gather, killed, 0);
}

static void worker_set(struct worker *w, const struct message *m)
{
	w->log.level = m->settings.level;
	w->params.flow_events = m->settings.flow_events;
}

static void worker_report(struct worker *w, const struct message *m)
{
	worker_report_start(w, m->gather);
	if (w->lost_datagrams == 0)
		return;
	log_warn(&w->log, "worker", "%llu datagrams for other workers found their mailboxes full",
		 (unsigned long long)w->lost_datagrams);
	w->lost_datagrams = 0;
}

static void worker_stop(struct worker *w)
{
	struct worker_role *r;

	while ((r = LIST_FIRST(&w->roles)) != NULL) {
		worker_tell_counters(r);
		worker_report_skip(w, r);
		LIST_REMOVE(r, link);
		worker_free_role(r);
	}
	worker_udp_end_all(w);
	loop_stop(&w->loop);
}

/* For messages to a server's part; ignored when it is gone. */
static void worker_on_server_message(struct worker *w, struct message *m)
{
	struct worker_role *r = worker_find(w, m->role);

	if (r == NULL || r->server == NULL) {
		if (m->kind == MESSAGE_PROBE) /* nobody there can be alive */
			worker_tell_probed(w, m->role, m->probe.session_id, false);
		return;
	}
	if (m->kind == MESSAGE_CLAIMED)
		worker_claimed(r, m);
	else if (m->kind == MESSAGE_PROBE)
		server_probe(r->server, m->probe.session_id, WORKER_PROBE_NS, worker_on_probed, r);
	else if (m->kind == MESSAGE_KICK)
		server_kick(r->server, m->kick.session_id, "closed by an administrator");
	else if (m->kind == MESSAGE_SET_CREDENTIALS)
		server_set_credentials(r->server, m->set_credentials.credentials);
	else if (m->kind == MESSAGE_DATAGRAM)
		server_inject(r->server, &m->datagram.local, &m->datagram.remote, m->data,
			      m->datagram.bytes);
}

void worker_on_item(void *user, struct mailbox_item *item)
{
	struct worker *w = user;
	struct message *m = message_of(item);
	struct worker_role *r;

	switch (m->kind) {
	case MESSAGE_ADD_SERVER:
		worker_add_server(w, m);
		break;
	case MESSAGE_ADD_CLIENT:
		worker_add_client(w, m);
		break;
	case MESSAGE_ADD_MAPPING:
		worker_add_mapping(w, m);
		break;
	case MESSAGE_REMOVE_ROLE:
		worker_remove_role(w, m);
		break;
	case MESSAGE_REMOVE_MAPPING:
		worker_remove_mapping(w, m);
		break;
	case MESSAGE_RESTART_MAPPING:
		r = worker_find(w, m->role);
		if (r != NULL && r->client != NULL)
			client_restart_mapping(r->client, m->restart.id);
		break;
	case MESSAGE_CLAIMED:
	case MESSAGE_PROBE:
	case MESSAGE_KICK:
	case MESSAGE_SET_CREDENTIALS:
	case MESSAGE_DATAGRAM:
		worker_on_server_message(w, m);
		break;
	case MESSAGE_HOLD:
		r = worker_find(w, m->role);
		if (r != NULL && r->client != NULL)
			client_hold(r->client, m->hold.held);
		break;
	case MESSAGE_SETTINGS:
		worker_set(w, m);
		break;
	case MESSAGE_PING:
		worker_tell_gathered(w, m->gather, 0, 0);
		break;
	case MESSAGE_REPORT:
		worker_report(w, m);
		break;
	case MESSAGE_LIST_FLOWS:
		worker_list_flows(w, m);
		break;
	case MESSAGE_KILL_FLOWS:
		worker_kill_flows(w, m);
		break;
	case MESSAGE_TEST:
		worker_test_start(w, m);
		break;
	case MESSAGE_OPEN_CHANNEL:
		worker_channel_open(w, m);
		break;
	case MESSAGE_CANCEL_TEST:
		worker_test_cancel(w, m->gather);
		break;
	case MESSAGE_DRAIN:
		LIST_FOREACH (r, &w->roles, link)
			worker_drain(r, m->drain.deadline_ns);
		break;
	case MESSAGE_STOP:
		worker_stop(w);
		break;
	case MESSAGE_STARTED:
	case MESSAGE_REMOVED:
	case MESSAGE_FLOWS:
	case MESSAGE_TESTED:
	case MESSAGE_GATHERED:
	case MESSAGE_CLAIM:
	case MESSAGE_RELEASE:
	case MESSAGE_PROBED:
	case MESSAGE_AUTH:
	case MESSAGE_EVENT:
	case MESSAGE_COUNTERS:
	case MESSAGE_DRAINED:
		break; /* the other way */
	}
	message_free(m);
}
