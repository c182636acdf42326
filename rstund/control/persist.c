/* SPDX-License-Identifier: MIT */
/*
 * Between the inventory and the state file (control/state_file.h).
 */
#include "rstund/control/persist.h"

#include "base/error.h"
#include "base/log.h"
#include "rpc/field_json.h"
#include "rstund/control/state_file.h"
#include "rstund/daemon_private.h"
#include "rstund/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct field_rows persist_client_rows = {.name = "ClientConfig"};

/* Rows of a role's options as a set; counts are no constants of other files. */
static struct field_rows persist_rows(bool server)
{
	struct field_rows rows = persist_client_rows;

	rows.rows = server ? server_config_fields : client_config_fields;
	rows.count = server ? server_config_field_count : client_config_field_count;
	rows.size = server ? sizeof(struct server_config) : sizeof(struct client_config);
	return rows;
}

enum rpc_origin persist_origin(const struct daemon *d, bool wanted)
{
	return wanted && d->state_dir.fd >= 0 ? RPC_ORIGIN_STATE : RPC_ORIGIN_RUNTIME;
}

/* What a mapping of the configuration file is called in the list of paused ones. malloc'ed. */
static char *persist_key(const struct held_mapping *m)
{
	char spec[MAPPING_TEXT_SIZE], *key;

	if (m->name[0] != '\0')
		return strdup(m->name);
	mapping_format(spec, sizeof(spec), &m->mapping);
	return asprintf(&key, "%s %s %s", m->client->name, mapping_proto_name(m->mapping.proto),
			spec) < 0
		       ? NULL
		       : key;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static int persist_put_role(struct saved_role *to, const char *name, bool server,
			    const void *config)
{
	struct field_rows rows = persist_rows(server);

	to->name = strdup(name);
	to->config = field_json_encode_secrets(&rows, config);
	return to->name != NULL && to->config != NULL ? 0 : RSTUN_E_NOMEM;
}

static int persist_put_roles(struct saved_state *state, const struct inventory *inv)
{
	const struct held_client *c;
	const struct held_server *s;
	int rc = 0;

	TAILQ_FOREACH (c, &inv->clients, link)
		if (rc == 0 && c->origin == RPC_ORIGIN_STATE && !c->unsaved)
			rc = persist_put_role(&state->clients[state->client_count++], c->name, false,
					      c->role->client);
	TAILQ_FOREACH (s, &inv->servers, link)
		if (rc == 0 && s->origin == RPC_ORIGIN_STATE && !s->unsaved)
			rc = persist_put_role(&state->servers[state->server_count++], s->name, true,
					      s->config != NULL ? s->config : s->role->server);
	return rc;
}

static int persist_put_mapping(struct saved_mapping *to, const struct held_mapping *m)
{
	char spec[MAPPING_TEXT_SIZE];

	to->name = m->name[0] != '\0' ? strdup(m->name) : NULL;
	to->spec = strdup(mapping_format(spec, sizeof(spec), &m->mapping));
	to->client = strdup(m->client->name);
	to->proto = (int)m->mapping.proto;
	to->expires_ms = m->expires_ms;
	to->expires_wall_us = m->expires_wall_us;
	to->paused = m->paused;
	return to->spec != NULL && to->client != NULL &&
			       (to->name != NULL || m->name[0] == '\0')
		       ? 0
		       : RSTUN_E_NOMEM;
}

static int persist_put_entry(struct saved_mapping *to, const struct persist_entry *e)
{
	char spec[MAPPING_TEXT_SIZE];

	to->name = e->name[0] != '\0' ? strdup(e->name) : NULL;
	to->spec = strdup(mapping_format(spec, sizeof(spec), &e->mapping));
	to->client = strdup(e->client);
	to->proto = (int)e->mapping.proto;
	to->expires_ms = e->expires_ms;
	to->expires_wall_us = e->expires_wall_us;
	to->paused = e->paused;
	return to->spec != NULL && to->client != NULL &&
			       (to->name != NULL || e->name[0] == '\0')
		       ? 0
		       : RSTUN_E_NOMEM;
}

/* What stands for a mapping; NULL: it does itself. */
static const struct persist_entry *persist_entry_of(const struct persist *p, uint64_t number)
{
	for (size_t i = 0; i < p->entry_count; i++)
		if (p->entries[i].number == number && p->entries[i].kind != PERSIST_BESIDE)
			return &p->entries[i];
	return NULL;
}

static int persist_put_saved(struct saved_state *state, const struct persist *p,
			     const struct held_mapping *m)
{
	const struct persist_entry *e = persist_entry_of(p, m->number);

	if (e == NULL)
		return persist_put_mapping(&state->mappings[state->mapping_count++], m);
	if (e->kind == PERSIST_LEFT_OUT)
		return 0;
	return persist_put_entry(&state->mappings[state->mapping_count++], e);
}

/* Those that stand before `number`, from *next on: the file is in the order of numbers. */
static int persist_put_beside(struct saved_state *state, const struct persist *p, size_t *next,
			      uint64_t number)
{
	for (; *next < p->entry_count; ++*next) {
		const struct persist_entry *e = &p->entries[*next];
		int rc;

		if (e->kind != PERSIST_BESIDE)
			continue;
		if (number != UINT64_MAX && (e->number == 0 || e->number > number))
			return 0;
		rc = persist_put_entry(&state->mappings[state->mapping_count++], e);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int persist_put_mappings(struct saved_state *state, const struct inventory *inv,
				const struct persist *p)
{
	const struct held_mapping *m;
	size_t beside = 0;
	int rc = 0;

	TAILQ_FOREACH (m, &inv->mappings, link) {
		if (rc == 0)
			rc = persist_put_beside(state, p, &beside, m->number);
		if (rc != 0)
			break;
		if (m->origin == RPC_ORIGIN_STATE && !m->unsaved) {
			rc = persist_put_saved(state, p, m);
		} else if (m->origin == RPC_ORIGIN_CONFIG && m->paused && !m->config_paused) {
			state->paused[state->paused_count] = persist_key(m);
			if (state->paused[state->paused_count++] == NULL)
				rc = RSTUN_E_NOMEM;
		}
	}
	return rc == 0 ? persist_put_beside(state, p, &beside, UINT64_MAX) : rc;
}

int persist_save(struct daemon *d, struct rpc_error *error)
{
	const struct inventory *inv = &d->inventory;
	char why[STATE_DIR_ERROR_SIZE] = "";
	struct saved_state state = {.clients = NULL};
	int rc = RSTUN_E_NOMEM;

	if (d->state_dir.fd < 0 || d->persist.held > 0)
		return 0;
	state.clients = calloc(inv->client_count + 1, sizeof(*state.clients));
	state.servers = calloc(inv->server_count + 1, sizeof(*state.servers));
	state.mappings = calloc(inv->states.total + d->persist.entry_count + 1,
				sizeof(*state.mappings));
	state.paused = calloc(inv->states.total + 1, sizeof(*state.paused));
	if (state.clients != NULL && state.servers != NULL && state.mappings != NULL &&
	    state.paused != NULL)
		rc = persist_put_roles(&state, inv);
	if (rc == 0)
		rc = persist_put_mappings(&state, inv, &d->persist);
	if (rc == 0)
		rc = state_file_save(&d->state_dir, &state, why);
	saved_state_free(&state);
	if (rc == 0)
		return 0;
	rpc_error_from(error, rc, "nothing was changed: %s",
		       why[0] != '\0' ? why : rstun_strerror(rc));
	if (rc == RSTUN_E_STATE_WRITE_FAILED)
		rpc_error_hint(error,
			       "make room there, or leave it out of the state file (rstunctl: "
			       "--no-persist)");
	return rc;
}

void persist_hold(struct daemon *d)
{
	d->persist.held++;
}

void persist_release(struct daemon *d)
{
	d->persist.held--;
}

void persist_set_entries(struct daemon *d, const struct persist_entry *entries, size_t count)
{
	d->persist.entries = entries;
	d->persist.entry_count = count;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static void persist_warn(struct daemon *d, const char *what, const char *name, const char *why)
{
	log_error(&d->log, "rstund", "%s %s of the state file is left out: %s", what,
		  name != NULL ? name : "", why);
}

static void persist_restore_client(struct daemon *d, const struct saved_role *saved)
{
	struct field_rows rows = persist_rows(false);
	struct client_config *config = calloc(1, sizeof(*config));
	char why[FIELD_ERROR_SIZE];
	struct rpc_error error;
	struct held_client *c;

	if (config == NULL)
		return;
	if (field_json_decode(&rows, config, saved->config, &error) != 0) {
		persist_warn(d, "client", saved->name, error.message);
		free(config);
		return;
	}
	config->mappings_optional = true;
	if (inventory_client(&d->inventory, saved->name) != NULL) {
		persist_warn(d, "client", saved->name, "the configuration has one of that name");
	} else if (client_config_check(config, NULL, NULL, why) != 0) {
		persist_warn(d, "client", saved->name, why);
	} else {
		if (hold_client_add(d, saved->name, RPC_ORIGIN_STATE, config, &c, &error) != 0)
			persist_warn(d, "client", saved->name, error.message);
		return;
	}
	client_config_free(config);
	free(config);
}

static void persist_restore_server(struct daemon *d, const struct saved_role *saved)
{
	struct field_rows rows = persist_rows(true);
	struct server_config *config = calloc(1, sizeof(*config));
	char why[FIELD_ERROR_SIZE];
	struct rpc_error error;
	struct held_server *s;

	if (config == NULL)
		return;
	if (field_json_decode(&rows, config, saved->config, &error) != 0) {
		persist_warn(d, "server", saved->name, error.message);
		free(config);
		return;
	}
	if (inventory_server(&d->inventory, saved->name) != NULL) {
		persist_warn(d, "server", saved->name, "the configuration has one of that name");
	} else if (server_config_check(config, NULL, NULL, why) != 0) {
		persist_warn(d, "server", saved->name, why);
	} else {
		if (hold_server_add(d, saved->name, RPC_ORIGIN_STATE, config, false, &s, &error) !=
		    0)
			persist_warn(d, "server", saved->name, error.message);
		return;
	}
	server_config_free(config);
	free(config);
}

static void persist_restore_mapping(struct daemon *d, const struct saved_mapping *saved)
{
	struct hold_mapping_params params = {
		.client = inventory_client(&d->inventory, saved->client),
		.name = saved->name,
		.origin = RPC_ORIGIN_STATE,
		.expires_ms = saved->expires_ms,
		.expires_wall_us = saved->expires_wall_us,
		.paused = saved->paused,
	};
	char why[MAPPING_ERROR_SIZE];
	struct rpc_error error;
	struct held_mapping *m;

	if (params.client == NULL) {
		persist_warn(d, "mapping", saved->spec, "its client is not there");
	} else if (mapping_parse(&params.mapping, (enum mapping_proto)saved->proto, saved->spec,
				 strlen(saved->spec), why) != 0) {
		persist_warn(d, "mapping", saved->spec, why);
	} else if (hold_mapping_add(d, &params, &m, &error) != 0) {
		persist_warn(d, "mapping", saved->spec, error.message);
	}
}

static void persist_restore_all(struct daemon *d, const struct saved_state *state)
{
	struct state_dir dir = d->state_dir;

	for (size_t i = 0; i < state->paused_count; i++) {
		struct held_mapping *m;
		struct rpc_error error;

		TAILQ_FOREACH (m, &d->inventory.mappings, link) {
			char *key = m->origin == RPC_ORIGIN_CONFIG ? persist_key(m) : NULL;
			bool same = key != NULL && strcmp(key, state->paused[i]) == 0;

			free(key);
			/* Without a state directory for the moment: it is all there already. */
			d->state_dir.fd = -1;
			if (same)
				(void)hold_mapping_pause(d, m, true, 0, &error);
			d->state_dir = dir;
		}
	}
	d->state_dir.fd = -1;
	for (size_t i = 0; i < state->client_count; i++)
		persist_restore_client(d, &state->clients[i]);
	for (size_t i = 0; i < state->server_count; i++)
		persist_restore_server(d, &state->servers[i]);
	for (size_t i = 0; i < state->mapping_count; i++)
		persist_restore_mapping(d, &state->mappings[i]);
	d->state_dir = dir;
}

int persist_restore(struct daemon *d, struct rpc_error *error)
{
	char why[STATE_DIR_ERROR_SIZE] = "";
	struct saved_state state;
	bool aside = false;
	int rc = state_dir_open_top(&d->state_dir, daemon_state_dir(d), why);

	if (rc != 0) {
		log_warn(&d->log, "rstund",
			 "what is added while the daemon runs is lost when it ends: %s; until that "
			 "is mended (--state-dir) put it into the configuration file",
			 why);
		return 0;
	}
	rc = state_file_load(&state, &d->state_dir, &aside, why);
	if (rc != 0) {
		state_dir_close(&d->state_dir);
		rpc_error_from(error, rc, "%s", why[0] != '\0' ? why : rstun_strerror(rc));
		return rc;
	}
	if (aside)
		log_error(&d->log, "rstund", "%s", why);
	persist_restore_all(d, &state);
	saved_state_free(&state);
	return 0;
}

void persist_close(struct daemon *d)
{
	state_dir_close(&d->state_dir);
}
