/* SPDX-License-Identifier: MIT */
/*
 * Lists and tables of what there is. Clients and servers are few: their lists are walked. Mappings
 * and sessions are many: by number there is a table, by name the list is walked (a thousand names
 * are compared in microseconds).
 */
#include "rstund/control/inventory.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void inventory_init(struct inventory *inv)
{
	*inv = (struct inventory){.last_client = 0}; /* zeroed list heads are empty lists */
	TAILQ_INIT(&inv->clients);
	TAILQ_INIT(&inv->servers);
	TAILQ_INIT(&inv->mappings);
	TAILQ_INIT(&inv->sessions);
}

void inventory_done(struct inventory *inv)
{
	struct held_session *session;
	struct held_client *client;
	struct held_server *server;

	while ((session = TAILQ_FIRST(&inv->sessions)) != NULL)
		inventory_free_session(inv, session);
	for (size_t i = 0; i < INVENTORY_BUCKETS; i++) {
		struct held_mapping *m;

		while ((m = LIST_FIRST(&inv->mapping_hash[i])) != NULL) {
			inventory_hide_mapping(inv, m);
			inventory_free_mapping(inv, m);
		}
	}
	while ((client = TAILQ_FIRST(&inv->clients)) != NULL)
		inventory_free_client(inv, client);
	while ((server = TAILQ_FIRST(&inv->servers)) != NULL)
		inventory_free_server(inv, server);
}

/* ---- New and gone ---------------------------------------------------------------------------- */

struct held_client *inventory_new_client(struct inventory *inv, const char *name)
{
	struct held_client *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->number = ++inv->last_client;
	snprintf(c->name, sizeof(c->name), "%s", name);
	TAILQ_INSERT_TAIL(&inv->clients, c, link);
	inv->client_count++;
	return c;
}

struct held_server *inventory_new_server(struct inventory *inv, const char *name)
{
	struct held_server *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->number = ++inv->last_server;
	s->state = RPC_SERVER_STARTING;
	snprintf(s->name, sizeof(s->name), "%s", name);
	TAILQ_INSERT_TAIL(&inv->servers, s, link);
	inv->server_count++;
	return s;
}

static struct held_mapping_bucket *inventory_bucket(const struct inventory *inv, uint64_t number)
{
	return (struct held_mapping_bucket *)&inv->mapping_hash[number % INVENTORY_BUCKETS];
}

/* Where a mapping counts. */
static uint64_t *inventory_count_of(struct inventory *inv, enum rpc_state state)
{
	switch (state) {
	case RPC_STATE_IDLE:
		return &inv->states.idle;
	case RPC_STATE_CONNECTING:
		return &inv->states.connecting;
	case RPC_STATE_CONNECTED:
		return &inv->states.connected;
	case RPC_STATE_TUNNELING:
		return &inv->states.tunneling;
	case RPC_STATE_RECONNECTING:
		return &inv->states.reconnecting;
	case RPC_STATE_FAILED:
		return &inv->states.failed;
	case RPC_STATE_STOPPED:
		return &inv->states.stopped;
	case RPC_STATE_PAUSED:
		break;
	}
	return &inv->states.paused;
}

static bool inventory_awaited(const struct held_mapping *m)
{
	return !m->removed && !m->paused && !m->ever_up;
}

/* One that comes back goes to its old place. */
static void inventory_insert_mapping(struct inventory *inv, struct held_mapping *m)
{
	struct held_mapping *before;

	TAILQ_FOREACH_REVERSE (before, &inv->mappings, held_mapping_list, link)
		if (before->number < m->number)
			break;
	if (before != NULL)
		TAILQ_INSERT_AFTER(&inv->mappings, before, m, link);
	else
		TAILQ_INSERT_HEAD(&inv->mappings, m, link);
}

struct held_mapping *inventory_new_mapping(struct inventory *inv, struct held_client *client,
					   const struct mapping *mapping, uint64_t number)
{
	struct held_mapping *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->number = number != 0 ? number : ++inv->last_mapping;
	m->client = client;
	m->mapping = *mapping;
	m->expires_ms = UINT64_MAX;
	m->expires_wall_us = INT64_MAX;
	m->next_retry_ns = CLOCK_NEVER;
	inventory_insert_mapping(inv, m);
	LIST_INSERT_HEAD(inventory_bucket(inv, m->number), m, hash_link);
	client->mapping_count++;
	inv->states.total++;
	inv->states.idle++;
	inv->never_up++;
	return m;
}

void inventory_free_client(struct inventory *inv, struct held_client *c)
{
	TAILQ_REMOVE(&inv->clients, c, link);
	inv->client_count--;
	free(c);
}

void inventory_free_server(struct inventory *inv, struct held_server *s)
{
	struct held_session *session, *next;

	for (session = TAILQ_FIRST(&inv->sessions); session != NULL; session = next) {
		next = TAILQ_NEXT(session, link);
		if (session->server == s)
			inventory_free_session(inv, session);
	}
	TAILQ_REMOVE(&inv->servers, s, link);
	inv->server_count--;
	free(s);
}

void inventory_hide_mapping(struct inventory *inv, struct held_mapping *m)
{
	if (m->removed)
		return;
	inv->never_up -= inventory_awaited(m);
	inv->states.total--;
	--*inventory_count_of(inv, m->state);
	m->removed = true;
	m->client->mapping_count--;
	m->client = NULL;
	TAILQ_REMOVE(&inv->mappings, m, link);
}

void inventory_bring_back(struct inventory *inv, struct held_mapping *m, struct held_client *client)
{
	m->removed = m->unsaved = m->ever_up = false;
	m->client = client;
	m->state = RPC_STATE_IDLE;
	client->mapping_count++;
	inventory_insert_mapping(inv, m);
	inv->states.total++;
	inv->states.idle++;
	inv->never_up += inventory_awaited(m);
}

void inventory_free_mapping(struct inventory *inv, struct held_mapping *m)
{
	(void)inv;
	LIST_REMOVE(m, hash_link);
	free(m);
}

void inventory_move_mapping(struct held_mapping *m, struct held_client *client)
{
	m->client->mapping_count--;
	m->client = client;
	client->mapping_count++;
}

/* ---- Lookups --------------------------------------------------------------------------------- */

/* "m3" -> 3; 0 if it is no such id. */
static uint64_t inventory_parse_id(const char *text, char letter)
{
	uint64_t number = 0;

	if (text[0] != letter || text[1] == '\0' || strlen(text) > 18)
		return 0;
	for (const char *p = text + 1; *p != '\0'; p++) {
		if (*p < '0' || *p > '9')
			return 0;
		number = number * 10 + (uint64_t)(*p - '0');
	}
	return number;
}

struct held_client *inventory_client(const struct inventory *inv, const char *text)
{
	uint64_t number = text != NULL ? inventory_parse_id(text, 'c') : 0;
	struct held_client *c;

	if (text == NULL)
		return NULL;
	TAILQ_FOREACH (c, &inv->clients, link)
		if (strcmp(c->name, text) == 0 || c->number == number)
			return c;
	return NULL;
}

struct held_server *inventory_server(const struct inventory *inv, const char *text)
{
	uint64_t number = text != NULL ? inventory_parse_id(text, 's') : 0;
	struct held_server *s;

	if (text == NULL)
		return NULL;
	TAILQ_FOREACH (s, &inv->servers, link)
		if (strcmp(s->name, text) == 0 || s->number == number)
			return s;
	return NULL;
}

struct held_mapping *inventory_mapping_by_number(const struct inventory *inv, uint64_t number)
{
	struct held_mapping *m;

	LIST_FOREACH (m, inventory_bucket(inv, number), hash_link)
		if (m->number == number)
			return m;
	return NULL;
}

struct held_mapping *inventory_mapping(const struct inventory *inv, const char *text)
{
	uint64_t number = text != NULL ? inventory_parse_id(text, 'm') : 0;
	struct held_mapping *m;

	if (text == NULL || text[0] == '\0')
		return NULL;
	if (number != 0) {
		m = inventory_mapping_by_number(inv, number);
		if (m != NULL && !m->removed)
			return m;
	}
	TAILQ_FOREACH (m, &inv->mappings, link)
		if (strcmp(m->name, text) == 0)
			return m;
	return NULL;
}

static struct held_session_bucket *inventory_session_bucket(const struct inventory *inv,
							    uint64_t id)
{
	return (struct held_session_bucket *)&inv->session_hash[id % INVENTORY_BUCKETS];
}

struct held_session *inventory_session_of_role(const struct inventory *inv, unsigned role,
					       uint64_t id)
{
	struct held_session *s;

	LIST_FOREACH (s, inventory_session_bucket(inv, id), hash_link)
		if (s->role == role && s->id == id)
			return s;
	return NULL;
}

struct held_session *inventory_session(const struct inventory *inv, const char *text)
{
	char id[INVENTORY_ID_SIZE];
	struct held_session *s;

	if (text == NULL)
		return NULL;
	TAILQ_FOREACH (s, &inv->sessions, link)
		if (strcmp(inventory_session_id(id, s), text) == 0)
			return s;
	return NULL;
}

const char *inventory_client_id(char buf[INVENTORY_ID_SIZE], const struct held_client *c)
{
	snprintf(buf, INVENTORY_ID_SIZE, "c%u", c->number);
	return buf;
}

const char *inventory_server_id(char buf[INVENTORY_ID_SIZE], const struct held_server *s)
{
	snprintf(buf, INVENTORY_ID_SIZE, "s%u", s->number);
	return buf;
}

const char *inventory_mapping_id(char buf[INVENTORY_ID_SIZE], const struct held_mapping *m)
{
	snprintf(buf, INVENTORY_ID_SIZE, "m%" PRIu64, m->number);
	return buf;
}

const char *inventory_session_id(char buf[INVENTORY_ID_SIZE], const struct held_session *s)
{
	snprintf(buf, INVENTORY_ID_SIZE, "s%u.%" PRIu64, s->server->number, s->number);
	return buf;
}

/* ---- What workers say ------------------------------------------------------------------------ */

void inventory_set_state(struct inventory *inv, struct held_mapping *m, enum rpc_state state,
			 int64_t wall_us)
{
	if (!m->removed) {
		--*inventory_count_of(inv, m->state);
		++*inventory_count_of(inv, state);
	}
	m->state = state;
	m->since_wall_us = wall_us;
	if (state == RPC_STATE_TUNNELING && !m->ever_up) {
		inv->never_up -= inventory_awaited(m);
		m->ever_up = true;
	}
}

void inventory_set_paused(struct inventory *inv, struct held_mapping *m, bool paused)
{
	inv->never_up -= inventory_awaited(m);
	m->paused = paused;
	inv->never_up += inventory_awaited(m);
}

static void inventory_keep_error(struct held_mapping *m, const struct tunnel_event *t)
{
	if (t->state.now == TUNNEL_TUNNELING) {
		m->last_error = 0;
		m->last_text[0] = '\0';
	} else if (t->error != 0) {
		m->last_error = t->error;
		snprintf(m->last_text, sizeof(m->last_text), "%s", t->text);
	}
}

void inventory_update(struct inventory *inv, struct held_mapping *m, const struct bus_event *e,
		      uint64_t now_ns)
{
	const struct tunnel_event *t = &e->tunnel;
	bool waits = t->state.now == TUNNEL_RECONNECTING || t->state.now == TUNNEL_FAILED;

	/* The values of enum tunnel_state are those of enum rpc_state. */
	inventory_set_state(inv, m, (enum rpc_state)t->state.now, e->wall_us);
	m->attempt = t->state.attempt;
	m->next_retry_ns = waits ? clock_after(now_ns, clock_ms(t->state.next_retry_ms))
				 : CLOCK_NEVER;
	inventory_keep_error(m, t);
	if (t->state.bound != NULL)
		m->bound = *t->state.bound;
	else if (m->mapping.mode == MAPPING_IN)
		m->bound.len = 0;
	if (t->peer != NULL)
		m->peer = *t->peer;
	m->unverified = t->state.unverified;
	m->cipher = t->state.cipher;
	snprintf(m->software, sizeof(m->software), "%s", t->state.peer_software);
}

struct held_session *inventory_login(struct inventory *inv, struct held_server *server,
				     const struct bus_event *e, unsigned worker)
{
	const struct tunnel_event *t = &e->tunnel;
	struct held_session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->server = server;
	s->role = e->role;
	s->worker = worker;
	s->id = t->id;
	s->number = server->session_base + t->id;
	if (s->number > server->session_last)
		server->session_last = s->number;
	s->mode = t->mode;
	s->proto = t->proto;
	s->since_wall_us = e->wall_us;
	if (t->mapping != NULL)
		mapping_format(s->mapping, sizeof(s->mapping), t->mapping);
	if (t->peer != NULL)
		s->peer = *t->peer;
	if (t->session.bound != NULL)
		s->bound = *t->session.bound;
	snprintf(s->software, sizeof(s->software), "%s", t->session.peer_software);
	s->cipher = t->session.cipher;
	TAILQ_INSERT_TAIL(&inv->sessions, s, link);
	LIST_INSERT_HEAD(inventory_session_bucket(inv, s->id), s, hash_link);
	inv->session_count++;
	server->session_count++;
	return s;
}

void inventory_free_session(struct inventory *inv, struct held_session *s)
{
	TAILQ_REMOVE(&inv->sessions, s, link);
	LIST_REMOVE(s, hash_link);
	inv->session_count--;
	s->server->session_count--;
	free(s);
}
