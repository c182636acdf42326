/* SPDX-License-Identifier: MIT */
/*
 * Differences between a configuration and what there is of it. The order of carrying out: what goes
 * makes room first; a client comes before the mappings that move to it, and goes when none is left
 * on it.
 */
#include "rstund/reload_private.h"

#include "base/error.h"
#include "base/field.h"
#include "rstund/control/persist.h"
#include "rstund/daemon_private.h"
#include "rstund/hold.h"
#include "rstund/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int reload_nomem(struct rpc_error *error)
{
	return rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* Exactly this name: no id. */
static struct held_client *reload_find_client(const struct inventory *inv, const char *name)
{
	struct held_client *c = inventory_client(inv, name);

	return c != NULL && strcmp(c->name, name) == 0 ? c : NULL;
}

static struct held_server *reload_find_server(const struct inventory *inv, const char *name)
{
	struct held_server *s = inventory_server(inv, name);

	return s != NULL && strcmp(s->name, name) == 0 ? s : NULL;
}

static enum reload_kind reload_client_kind(const struct reload_client *c)
{
	if (c->held == NULL)
		return RELOAD_NEW;
	return field_equal(client_config_fields, client_config_field_count, &c->wanted->config,
			   c->held->role->client)
		       ? RELOAD_SAME
		       : RELOAD_CHANGED;
}

static enum reload_kind reload_server_kind(const struct reload_server *s)
{
	const struct server_config *before;

	if (s->held == NULL)
		return RELOAD_NEW;
	before = s->held->config != NULL ? s->held->config : s->held->role->server;
	return field_equal(server_config_fields, server_config_field_count, &s->wanted->config,
			   before)
		       ? RELOAD_SAME
		       : RELOAD_CHANGED;
}

static bool reload_fits(const struct held_mapping *m)
{
	return m->origin == RPC_ORIGIN_CONFIG && m->name[0] == '\0';
}

static bool reload_goes(const struct held_mapping *m)
{
	return m->origin == RPC_ORIGIN_CONFIG;
}

static const struct plan_rules reload_rules = {
	.fits = reload_fits,
	.goes = reload_goes,
	.code = 1200,
};

static int reload_compare_mappings(struct reload *r, struct daemon *d, struct rpc_error *error)
{
	const struct config_set *set = r->set;

	for (size_t i = 0; i < set->mapping_count; i++) {
		const struct config_mapping *m = &set->mappings[i];

		r->plan.items[i] = (struct plan_item){
			.name = m->name,
			.client = m->client,
			.mapping = m->mapping,
			.expires_ms = m->expires_ms,
			.paused = m->paused,
		};
	}
	if (plan_match(&r->plan, &d->inventory, &reload_rules, error) != 0)
		return RSTUN_E_FAILED;
	for (size_t i = 0; i < r->plan.count; i++) {
		struct plan_item *item = &r->plan.items[i];

		if (item->held == NULL || !item->same ||
		    item->held->config_paused == item->paused)
			continue;
		item->same = false;
		r->plan.changed++;
	}
	return 0;
}

static void reload_compare_roles(struct reload *r, const struct inventory *inv)
{
	struct config_set *set = r->set;
	struct held_client *c;
	struct held_server *s;

	for (size_t i = 0; i < set->client_count; i++) {
		r->clients[i].wanted = &set->clients[i];
		r->clients[i].held = reload_find_client(inv, set->clients[i].name);
		r->clients[i].kind = reload_client_kind(&r->clients[i]);
	}
	for (size_t i = 0; i < set->server_count; i++) {
		r->servers[i].wanted = &set->servers[i];
		r->servers[i].held = reload_find_server(inv, set->servers[i].name);
		r->servers[i].kind = reload_server_kind(&r->servers[i]);
	}
	TAILQ_FOREACH (c, &inv->clients, link)
		if (c->origin == RPC_ORIGIN_CONFIG && config_set_client(set, c->name) == NULL)
			r->clients_gone[r->client_gone_count++] = c;
	TAILQ_FOREACH (s, &inv->servers, link) {
		bool there = s->origin != RPC_ORIGIN_CONFIG;

		for (size_t i = 0; i < set->server_count && !there; i++)
			there = strcmp(set->servers[i].name, s->name) == 0;
		if (!there)
			r->servers_gone[r->server_gone_count++] = s;
	}
}

/* ---- Whether it is possible ------------------------------------------------------------------ */

static int reload_taken(const struct config_origin *at, const char *what, const char *name,
			const char *id, const char *command, struct rpc_error *error)
{
	rpc_error_set(error, 1002, "%s:%u: %s %s is there already (%s), added while the daemon runs",
		      at->file != NULL ? at->file : "line", at->line, what, name, id);
	rpc_error_hint(error, "remove it first: rstunctl %s %s; or give this one another name",
		       command, id);
	return RSTUN_E_FAILED;
}

static int reload_check_names(const struct reload *r, struct rpc_error *error)
{
	char id[INVENTORY_ID_SIZE];

	for (size_t i = 0; i < r->set->client_count; i++) {
		const struct reload_client *c = &r->clients[i];

		if (c->held != NULL && c->held->origin != RPC_ORIGIN_CONFIG)
			return reload_taken(&c->wanted->origin, "client", c->wanted->name,
					    inventory_client_id(id, c->held), "client rm", error);
	}
	for (size_t i = 0; i < r->set->server_count; i++) {
		const struct reload_server *s = &r->servers[i];

		if (s->held != NULL && s->held->origin != RPC_ORIGIN_CONFIG)
			return reload_taken(&s->wanted->origin, "server", s->wanted->name,
					    inventory_server_id(id, s->held), "server rm", error);
	}
	for (size_t i = 0; i < r->plan.count; i++) {
		const struct plan_item *item = &r->plan.items[i];

		if (item->held != NULL && item->held->origin != RPC_ORIGIN_CONFIG)
			return reload_taken(&r->set->mappings[i].origin, "mapping", item->name,
					    inventory_mapping_id(id, item->held), "rm", error);
	}
	return 0;
}

/* What somebody added is not thrown away because its client is gone from a file. */
static int reload_check_orphans(const struct reload *r, const struct daemon *d,
				struct rpc_error *error)
{
	char id[INVENTORY_ID_SIZE];
	struct held_mapping *m;

	for (size_t i = 0; i < r->client_gone_count; i++) {
		TAILQ_FOREACH (m, &d->inventory.mappings, link) {
			if (m->client != r->clients_gone[i] || m->origin == RPC_ORIGIN_CONFIG)
				continue;
			inventory_mapping_id(id, m);
			rpc_error_set(error, 1000,
				      "client %s is gone from the configuration, but mapping %s, "
				      "which was added while the daemon runs, needs it",
				      r->clients_gone[i]->name, id);
			rpc_error_hint(error, "remove that first: rstunctl rm %s; or give it "
					      "another client: rstunctl set %s --client NAME",
				       id, id);
			return RSTUN_E_FAILED;
		}
	}
	return 0;
}

static int reload_check_certificates(const struct reload *r, struct rpc_error *error)
{
	int rc = 0;

	for (size_t i = 0; i < r->set->client_count && rc == 0; i++)
		if (r->clients[i].kind != RELOAD_SAME)
			rc = hold_client_check(&r->clients[i].wanted->config, error);
	for (size_t i = 0; i < r->set->server_count && rc == 0; i++)
		if (r->servers[i].kind != RELOAD_SAME)
			rc = hold_server_check(&r->servers[i].wanted->config, error);
	return rc;
}

int reload_compare(struct reload *r, struct daemon *d, struct config_set *set,
		   struct rpc_error *error)
{
	const struct inventory *inv = &d->inventory;
	int rc;

	*r = (struct reload){.set = set};
	r->clients = calloc(set->client_count + 1, sizeof(*r->clients));
	r->servers = calloc(set->server_count + 1, sizeof(*r->servers));
	r->clients_gone = calloc(inv->client_count + 1, sizeof(struct held_client *));
	r->servers_gone = calloc(inv->server_count + 1, sizeof(struct held_server *));
	if (r->clients == NULL || r->servers == NULL || r->clients_gone == NULL ||
	    r->servers_gone == NULL || plan_init(&r->plan, set->mapping_count) != 0)
		return reload_nomem(error);
	reload_compare_roles(r, inv);
	rc = reload_compare_mappings(r, d, error);
	if (rc == 0)
		rc = reload_check_names(r, error);
	if (rc == 0)
		rc = reload_check_orphans(r, d, error);
	if (rc == 0)
		rc = plan_check(&r->plan, inv, &reload_rules, error);
	if (rc == 0)
		rc = reload_check_certificates(r, error);
	return rc;
}

void reload_done(struct reload *r)
{
	free(r->clients);
	free(r->servers);
	free(r->clients_gone);
	free(r->servers_gone);
	plan_done(&r->plan);
}

/* ---- Carrying it out ------------------------------------------------------------------------- */

/* The configuration leaves the set, which keeps an empty one. */
static struct client_config *reload_take_client(struct config_client *from)
{
	struct client_config *config = malloc(sizeof(*config));

	if (config == NULL)
		return NULL;
	*config = from->config;
	memset(&from->config, 0, sizeof(from->config));
	return config;
}

static struct server_config *reload_take_server(struct config_server *from)
{
	struct server_config *config = malloc(sizeof(*config));

	if (config == NULL)
		return NULL;
	*config = from->config;
	memset(&from->config, 0, sizeof(from->config));
	return config;
}

static int reload_clients(struct reload *r, struct daemon *d, struct rpc_error *error)
{
	int rc = 0;

	for (size_t i = 0; i < r->set->client_count && rc == 0; i++) {
		struct reload_client *c = &r->clients[i];
		struct client_config *config;

		if (c->kind == RELOAD_SAME)
			continue;
		config = reload_take_client(c->wanted);
		if (config == NULL)
			return reload_nomem(error);
		if (c->kind == RELOAD_NEW)
			rc = hold_client_add(d, c->wanted->name, RPC_ORIGIN_CONFIG, config,
					     &c->held, error);
		else
			rc = hold_client_change(d, c->held, config, error);
	}
	return rc;
}

static int reload_servers(struct reload *r, struct daemon *d, bool must_listen,
			  struct rpc_error *error)
{
	int rc = 0;

	for (size_t i = 0; i < r->server_gone_count && rc == 0; i++)
		rc = hold_server_remove(d, r->servers_gone[i], 0, error);
	for (size_t i = 0; i < r->set->server_count && rc == 0; i++) {
		struct reload_server *s = &r->servers[i];
		struct server_config *config;

		if (s->kind == RELOAD_SAME)
			continue;
		config = reload_take_server(s->wanted);
		if (config == NULL)
			return reload_nomem(error);
		if (s->kind == RELOAD_NEW)
			rc = hold_server_add(d, s->wanted->name, RPC_ORIGIN_CONFIG, config,
					     must_listen, &s->held, error);
		else
			rc = hold_server_change(d, s->held, config, error);
	}
	return rc;
}

static int reload_mapping(struct daemon *d, struct plan_item *item, bool must_listen,
			  struct rpc_error *error)
{
	struct hold_mapping_params p = {
		.client = inventory_client(&d->inventory, item->client),
		.mapping = item->mapping,
		.name = item->name,
		.origin = RPC_ORIGIN_CONFIG,
		.expires_ms = item->expires_ms,
		.expires_wall_us = INT64_MAX,
		.paused = item->paused,
		.checked = true,
		.must_listen = must_listen,
	};
	struct held_mapping *m = item->held;
	int rc = 0;

	if (m == NULL) {
		rc = hold_mapping_add(d, &p, &m, error);
	} else if (m->client != p.client || !mapping_equal(&m->mapping, &item->mapping) ||
		   m->expires_ms != item->expires_ms) {
		rc = hold_mapping_change(d, m, &p, error);
	}
	if (rc == 0 && item->held != NULL && m->config_paused != item->paused)
		rc = hold_mapping_pause(d, m, item->paused, 0, error);
	if (rc == 0)
		m->config_paused = item->paused;
	return rc;
}

static int reload_steps(struct reload *r, struct daemon *d, bool must_listen,
			struct rpc_error *error)
{
	int rc = 0;

	for (size_t i = 0; i < r->plan.gone_count && rc == 0; i++)
		rc = hold_mapping_remove(d, r->plan.gone[i], 0, "it is gone from the configuration",
					 error);
	if (rc == 0)
		rc = reload_servers(r, d, must_listen, error);
	if (rc == 0)
		rc = reload_clients(r, d, error);
	for (int pass = 0; pass < 2; pass++) /* changes first: they free addresses */
		for (size_t i = 0; i < r->plan.count && rc == 0; i++)
			if (!r->plan.items[i].same && (r->plan.items[i].held == NULL) == (pass == 1))
				rc = reload_mapping(d, &r->plan.items[i], must_listen, error);
	for (size_t i = 0; i < r->client_gone_count && rc == 0; i++)
		rc = hold_client_remove(d, r->clients_gone[i], 0, error);
	return rc;
}

int reload_carry_out(struct reload *r, struct daemon *d, bool must_listen, struct rpc_error *error)
{
	int rc;

	persist_hold(d);
	rc = reload_steps(r, d, must_listen, error);
	persist_release(d);
	return rc;
}
