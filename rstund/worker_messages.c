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

static struct worker_role *worker_find(struct worker *w, unsigned role)
{
	struct worker_role *r;

	LIST_FOREACH (r, &w->roles, link)
		if (r->index == role)
			return r;
	return NULL;
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
	return r;
}

static void worker_free_role(struct worker_role *r)
{
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
		worker_tell_started(w, m->role, RSTUN_E_NOMEM, "");
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
	worker_tell_started(w, m->role, rc, "");
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
		worker_tell_started(w, m->role, RSTUN_E_NOMEM, "");
		return;
	}
	params.env = &r->env;
	params.user = r;
	rc = client_new(&r->client, &params, error, sizeof(error));
	if (rc == 0)
		LIST_INSERT_HEAD(&w->roles, r, link);
	else
		worker_free_role(r);
	worker_tell_started(w, m->role, rc, error);
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
	worker_tell_started(w, m->role, rc, "");
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

static void worker_report(struct worker *w)
{
	struct worker_role *r;

	LIST_FOREACH (r, &w->roles, link)
		worker_tell_counters(r);
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
		LIST_REMOVE(r, link);
		worker_free_role(r);
	}
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
	case MESSAGE_CLAIMED:
	case MESSAGE_PROBE:
	case MESSAGE_SET_CREDENTIALS:
	case MESSAGE_DATAGRAM:
		worker_on_server_message(w, m);
		break;
	case MESSAGE_HOLD:
		r = worker_find(w, m->role);
		if (r != NULL && r->client != NULL)
			client_hold(r->client, m->hold.held);
		break;
	case MESSAGE_REPORT:
		worker_report(w);
		break;
	case MESSAGE_DRAIN:
		LIST_FOREACH (r, &w->roles, link)
			worker_drain(r, m->drain.deadline_ns);
		break;
	case MESSAGE_STOP:
		worker_stop(w);
		break;
	case MESSAGE_STARTED:
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
