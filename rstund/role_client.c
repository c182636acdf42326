/* SPDX-License-Identifier: MIT */
/*
 * The client role on the main thread: trust roots, the listeners of its OUT mappings, and the
 * spreading of mappings over workers.
 */
#include "rstund/role.h"

#include "base/clock.h"
#include "base/error.h"
#include "relay/tcp_listener.h"
#include "relay/udp_flow.h"
#include "rstund/control/event_bus.h"
#include "rstund/control/registry.h"
#include "rstund/messages.h"
#include "rstund/worker.h"
#include "tls/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int role_client_bind_one(struct role *r, size_t i)
{
	const struct mapping *m = &r->client->mappings[i];
	bool udp = m->proto == MAPPING_UDP;
	char text[MAPPING_TEXT_SIZE], option[MAPPING_TEXT_SIZE + 32];
	int rc;

	if (m->mode != MAPPING_OUT)
		return 0;
	rc = udp ? udp_bind(&m->local.address, &r->fds[i], &r->bound[i])
		 : tcp_listener_bind(&m->local.address, &r->fds[i], &r->bound[i]);
	if (rc == 0)
		return 0;
	snprintf(option, sizeof(option), "--%s-mappings %s", mapping_proto_name(m->proto),
		 mapping_format(text, sizeof(text), m));
	role_log_bind_error(r, option, &m->local.address, udp, rc);
	return rc;
}

int role_client_open(struct role *r)
{
	char error[TLS_ERROR_SIZE] = "";
	int rc;

	if (r->client->cert_file != NULL) {
		rc = tls_credentials_new_client(&r->credentials, r->client->cert_file, error);
		if (rc != 0) {
			log_error(r->log, r->name, "%s",
				  error[0] != '\0' ? error : rstun_strerror(rc));
			return rc;
		}
	}
	rc = role_new_fds(r, r->client->mapping_count);
	if (rc != 0)
		return rc;
	r->bound = calloc(r->client->mapping_count, sizeof(*r->bound));
	if (r->bound == NULL)
		return RSTUN_E_NOMEM;
	for (size_t i = 0; i < r->client->mapping_count && rc == 0; i++)
		rc = role_client_bind_one(r, i);
	return rc;
}

static void role_client_publish(struct role *r, struct event_bus *bus, size_t i)
{
	const struct mapping *mapping = &r->client->mappings[i];
	struct tunnel_event e = {
		.type = TUNNEL_EVENT_STATE,
		.id = i + 1,
		.mode = mapping->mode,
		.proto = mapping->proto,
		.mapping = mapping,
		.text = "",
	};
	struct bus_event *copy;

	e.state.bound = r->bound[i].len != 0 ? &r->bound[i] : NULL;
	copy = bus_event_new(BUS_EVENT_MAPPING, &e, r->index, clock_wall_us());
	if (copy != NULL)
		copy->scope = r->name;
	event_bus_publish(bus, copy);
}

int role_client_start(struct role *r, struct worker **workers, struct registry *registry,
		      struct event_bus *bus)
{
	struct message *m;
	size_t i;

	for (i = 0; i < r->client->mapping_count; i++) {
		if (registry_add_mapping(registry, r->index, i + 1, &r->client->mappings[i]) != 0)
			return RSTUN_E_NOMEM;
		role_client_publish(r, bus, i);
	}
	for (i = 0; i < r->worker_count; i++) {
		m = message_new(MESSAGE_ADD_CLIENT, r->index, 0);
		if (m == NULL)
			return RSTUN_E_NOMEM;
		m->add_client.config = r->client;
		if (r->credentials != NULL)
			m->add_client.credentials = tls_credentials_ref(r->credentials);
		m->add_client.worker_count = r->worker_count;
		memcpy(m->add_client.secret, r->secret, sizeof(r->secret));
		worker_post(workers[i], m);
	}
	for (i = 0; i < r->client->mapping_count; i++) {
		m = message_new(MESSAGE_ADD_MAPPING, r->index, 0);
		if (m == NULL)
			return RSTUN_E_NOMEM;
		m->add_mapping.id = i + 1;
		m->add_mapping.mapping = r->client->mappings[i];
		m->add_mapping.fd = r->fds[i];
		r->fds[i] = -1;
		worker_post(workers[i % r->worker_count], m);
	}
	return (int)(r->worker_count + r->client->mapping_count);
}
