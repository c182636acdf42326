/* SPDX-License-Identifier: MIT */
/*
 * Events of what the main thread does itself: things that come, change and go, states that no
 * worker has anything to do with.
 */
#include "rstund/daemon_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "rstund/control/methods.h"
#include "rstund/role.h"
#include "tls/credentials.h"

#include <stdio.h>

static struct bus_event *daemon_event(enum bus_event_type type, const struct tunnel_event *t,
				      unsigned role, const char *scope, const char *name)
{
	struct bus_event *e = bus_event_new(type, t, role, clock_wall_us());

	if (e == NULL)
		return NULL;
	bus_event_set_scope(e, scope);
	snprintf(e->name, sizeof(e->name), "%s", name);
	return e;
}

static void daemon_publish(struct daemon *d, struct bus_event *e, int change)
{
	if (e != NULL)
		e->change = change;
	event_bus_publish(&d->bus, e);
}

void daemon_publish_client(struct daemon *d, const struct held_client *c, enum rpc_change change)
{
	struct tunnel_event t = {.type = TUNNEL_EVENT_ROLE, .text = ""};
	struct bus_event *e =
		daemon_event(BUS_EVENT_CLIENT, &t, c->role->index, c->role->name, c->name);

	if (e != NULL)
		inventory_client_id(e->id, c);
	daemon_publish(d, e, (int)change);
}

/* " (udp, 2 workers), pin sha256/...": behind the address in the log. */
static void daemon_server_text(char *buf, size_t size, const struct role *role)
{
	char pin_text[PIN_TEXT_SIZE];
	uint8_t pin[PIN_BYTES];

	tls_credentials_pin(role->credentials, pin);
	snprintf(buf, size, " (udp, %u worker%s), pin %s", role->worker_count,
		 role->worker_count == 1 ? "" : "s", pin_format(pin_text, pin));
}

void daemon_publish_server(struct daemon *d, const struct held_server *s,
			   enum rpc_server_change change, int error, const char *text)
{
	const struct role *role = s->role;
	struct tunnel_event t = {.type = TUNNEL_EVENT_ROLE, .error = error, .text = text};
	struct bus_event *e;
	char more[128];

	t.role.now = TUNNEL_IDLE;
	if (change == RPC_SERVER_CHANGE_LISTENING && role != NULL) {
		daemon_server_text(more, sizeof(more), role);
		t.text = more;
		t.role.now = TUNNEL_TUNNELING;
		t.role.bound = &role->bound;
	} else if (change == RPC_SERVER_CHANGE_STOPPED) {
		t.role.now = TUNNEL_STOPPED;
	} else if (change == RPC_SERVER_CHANGE_FAILED) {
		t.role.now = TUNNEL_FAILED;
	}
	e = daemon_event(BUS_EVENT_SERVER, &t, role != NULL ? role->index : 0, s->name, s->name);
	if (e != NULL)
		inventory_server_id(e->id, s);
	daemon_publish(d, e, (int)change);
}

static struct tunnel_event daemon_mapping_event(const struct held_mapping *m, int error,
						const char *text)
{
	return (struct tunnel_event){
		.type = TUNNEL_EVENT_STATE,
		.id = m->number,
		.mode = m->mapping.mode,
		.proto = m->mapping.proto,
		.mapping = &m->mapping,
		.error = error,
		.text = text,
		.state = {.bound = m->bound.len != 0 ? &m->bound : NULL, .peer_software = ""},
	};
}

void daemon_publish_mapping(struct daemon *d, const struct held_mapping *m, enum rpc_change change,
			    int error, const char *text)
{
	struct tunnel_event t = daemon_mapping_event(m, error, text);
	const struct role *role = m->client->role;
	struct bus_event *e;

	if (change == RPC_CHANGE_REMOVED || m->leaving)
		t.state.bound = NULL; /* not for long */
	e = daemon_event(BUS_EVENT_MAPPING, &t, role->index, role->name, m->name);
	if (e != NULL)
		inventory_mapping_id(e->id, m);
	daemon_publish(d, e, (int)change);
}

void daemon_publish_state(struct daemon *d, struct held_mapping *m, enum rpc_state state, int error,
			  const char *text)
{
	struct tunnel_event t = daemon_mapping_event(m, error, text);
	const struct role *role = m->client->role;
	uint64_t now_ns = loop_now(&d->loop);
	struct bus_event *e;

	/* The values of enum tunnel_state are those of enum rpc_state, which has one more. */
	t.state.prev = (enum tunnel_state)m->state;
	t.state.now = (enum tunnel_state)state;
	t.state.attempt = m->attempt;
	if (m->next_retry_ns != CLOCK_NEVER && m->next_retry_ns > now_ns)
		t.state.next_retry_ms = (m->next_retry_ns - now_ns) / CLOCK_NS_PER_MS;
	e = daemon_event(BUS_EVENT_STATE, &t, role->index, role->name, m->name);
	inventory_set_state(&d->inventory, m, state, clock_wall_us());
	m->last_error = error;
	snprintf(m->last_text, sizeof(m->last_text), "%s", text);
	if (e != NULL)
		inventory_mapping_id(e->id, m);
	daemon_publish(d, e, 0);
	methods_wait_changed(d, m);
}

void daemon_publish_session_end(struct daemon *d, const struct held_session *s, const char *text)
{
	struct tunnel_event t = {
		.type = TUNNEL_EVENT_SESSION,
		.id = s->id,
		.mode = s->mode,
		.proto = s->proto,
		.peer = s->peer.len != 0 ? &s->peer : NULL,
		.error = RSTUN_E_SHUTTING_DOWN,
		.text = text,
		.session = {.change = TUNNEL_SESSION_ENDED, .peer_software = s->software},
	};
	struct bus_event *e =
		daemon_event(BUS_EVENT_SESSION, &t, s->role, s->server->name, s->server->name);

	if (e != NULL)
		inventory_session_id(e->id, s);
	daemon_publish(d, e, RPC_SESSION_ENDED);
}

void daemon_publish_daemon(struct daemon *d, enum rpc_daemon_change change, const char *text)
{
	struct tunnel_event t = {.type = TUNNEL_EVENT_ROLE, .text = text};

	daemon_publish(d, daemon_event(BUS_EVENT_DAEMON, &t, 0, "rstund", ""), (int)change);
}

void daemon_publish_cert(struct daemon *d, const struct held_server *s,
			 enum rpc_cert_change change, const char *pin, int error, const char *text)
{
	struct tunnel_event t = {.type = TUNNEL_EVENT_ROLE, .error = error, .text = pin};
	struct bus_event *e;

	t.state.peer_software = text;
	e = daemon_event(BUS_EVENT_CERT, &t, 0, s->name, s->name);
	if (e != NULL)
		inventory_server_id(e->id, s);
	daemon_publish(d, e, (int)change);
}
