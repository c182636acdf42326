/* SPDX-License-Identifier: MIT */
/*
 * daemon.reload, config.get and config.check. What is shown as config.get is made here by hand:
 * each option is an object of its value and where that comes from.
 */
#include "rstund/control/methods.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/field_json.h"
#include "rstund/config_file.h"
#include "rstund/control/show.h"
#include "rstund/daemon_config.h"
#include "rstund/daemon_private.h"
#include "rstund/reload.h"
#include "rstund/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct answer methods_daemon_reload(struct daemon *d, struct call *c,
				    const struct rpc_reload_params *p)
{
	const struct field_rows *rows = rpc_methods[RPC_DAEMON_RELOAD].result;
	struct rpc_reload_result result = {.added = NULL};
	struct rpc_error error;
	struct answer answer = reload_run(d, p->dry_run, &result, &error) == 0
				       ? call_reply(c, &result)
				       : call_fail(c, &error, NULL);

	field_free(rows->rows, rows->count, &result);
	return answer;
}

/* ---- config.get ------------------------------------------------------------------------------ */

static const char config_default[] = "default";

/* Takes `value` over; NULL: the option is not given, and not shown. */
static int config_put(json_t *to, const char *key, json_t *value, const char *origin)
{
	if (value == NULL)
		return 0;
	return json_object_set_new(to, key,
				   json_pack("{s:o, s:s}", "value", value, "origin", origin));
}

static int config_put_row(json_t *to, const struct field *row, const void *config,
			  const char *origin)
{
	char key[FIELD_JSON_NAME_SIZE];
	json_t *value = NULL;

	if (!field_json_has(row))
		return 0;
	if (row->type == FIELD_SECRET) {
		if (*(char *const *)((const char *)config + row->offset) != NULL)
			value = json_string("***");
	} else if (field_json_encode_member(&value, row, config) != 0) {
		return RSTUN_E_NOMEM;
	}
	return config_put(to, field_json_name(key, row), value, origin);
}

static const char *config_daemon_origin(const struct daemon *d, const struct field *row)
{
	const struct config_set *set = d->params->set;
	uint32_t given = d->reloaded ? d->reloaded_given : set != NULL ? set->daemon_given : 0;

	if (row->offset == offsetof(struct daemon_config, loglevel) &&
	    d->level_timer.deadline_ns != CLOCK_NEVER)
		return "runtime";
	if ((d->params->given & daemon_config_bit(row)) != 0)
		return "command_line";
	return (given & daemon_config_bit(row)) != 0 ? "config" : config_default;
}

static json_t *config_daemon(const struct daemon *d)
{
	struct daemon_config now = *d->params->config; /* borrowed strings */
	json_t *all = json_object();
	int rc = all != NULL ? 0 : RSTUN_E_NOMEM;

	now.loglevel = (int)d->level;
	for (size_t i = 0; i < daemon_config_field_count && rc == 0; i++)
		rc = config_put_row(all, &daemon_config_fields[i], &now,
				    config_daemon_origin(d, &daemon_config_fields[i]));
	if (rc == 0)
		return all;
	json_decref(all);
	return NULL;
}

/* What is as the defaults say is not known to have been given. */
static json_t *config_role(const struct field *rows, size_t count, const void *config,
			   const void *defaults, enum rpc_origin origin)
{
	json_t *all = json_object();
	int rc = all != NULL ? 0 : RSTUN_E_NOMEM;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = config_put_row(all, &rows[i], config,
				    field_equal(&rows[i], 1, config, defaults)
					    ? config_default
					    : rpc_origin_names[origin]);
	if (rc == 0)
		return all;
	json_decref(all);
	return NULL;
}

static json_t *config_clients(const struct daemon *d)
{
	json_t *all = json_object();
	const struct held_client *c;
	struct client_config defaults;
	int rc = client_config_init(&defaults);

	TAILQ_FOREACH (c, &d->inventory.clients, link)
		if (rc == 0)
			rc = json_object_set_new(all, c->name,
						 config_role(client_config_fields,
							     client_config_field_count,
							     c->role->client, &defaults,
							     c->origin));
	client_config_free(&defaults);
	if (rc == 0)
		return all;
	json_decref(all);
	return NULL;
}

static json_t *config_servers(const struct daemon *d)
{
	json_t *all = json_object();
	const struct held_server *s;
	struct server_config defaults;
	int rc = server_config_init(&defaults);

	TAILQ_FOREACH (s, &d->inventory.servers, link) {
		const struct server_config *config =
			s->config != NULL ? s->config : s->role->server;

		if (rc == 0)
			rc = json_object_set_new(all, s->name,
						 config_role(server_config_fields,
							     server_config_field_count, config,
							     &defaults, s->origin));
	}
	server_config_free(&defaults);
	if (rc == 0)
		return all;
	json_decref(all);
	return NULL;
}

static const char *config_paused_origin(const struct daemon *d, const struct held_mapping *m)
{
	if (!m->paused)
		return config_default;
	if (m->origin == RPC_ORIGIN_CONFIG && !m->config_paused)
		return d->state_dir.fd >= 0 ? "state" : "runtime";
	return rpc_origin_names[m->origin];
}

static json_t *config_mapping(const struct daemon *d, const struct held_mapping *m)
{
	const char *origin = rpc_origin_names[m->origin];
	bool expires = m->expires_ms != UINT64_MAX;
	char spec[MAPPING_TEXT_SIZE];
	json_t *one = json_object();
	int rc = 0;

	mapping_format(spec, sizeof(spec), &m->mapping);
	rc |= config_put(one, "spec", field_json_string(spec), origin);
	rc |= config_put(one, "proto", json_string(mapping_proto_name(m->mapping.proto)), origin);
	rc |= config_put(one, "client", field_json_string(m->client->name), origin);
	rc |= config_put(one, "expires_ms",
			 expires ? json_integer((json_int_t)m->expires_ms) : NULL, origin);
	rc |= config_put(one, "paused", json_boolean(m->paused), config_paused_origin(d, m));
	if (rc == 0)
		return one;
	json_decref(one);
	return NULL;
}

static json_t *config_mappings(const struct daemon *d)
{
	json_t *all = json_object();
	const struct held_mapping *m;
	int rc = 0;

	TAILQ_FOREACH (m, &d->inventory.mappings, link) {
		char id[INVENTORY_ID_SIZE];

		inventory_mapping_id(id, m);
		if (rc == 0)
			rc = json_object_set_new(all, m->name[0] != '\0' ? m->name : id,
						 config_mapping(d, m));
	}
	if (rc == 0)
		return all;
	json_decref(all);
	return NULL;
}

struct answer methods_config_get(struct daemon *d, struct call *c)
{
	struct rpc_config_result result = {.config = NULL};
	json_t *all = json_object();
	int rc = 0;

	rc |= json_object_set_new(all, "daemon", config_daemon(d));
	rc |= json_object_set_new(all, "clients", config_clients(d));
	rc |= json_object_set_new(all, "servers", config_servers(d));
	rc |= json_object_set_new(all, "mappings", config_mappings(d));
	if (rc == 0)
		result.config = json_dumps(all, JSON_COMPACT);
	json_decref(all);
	return methods_reply(c, &result, result.config != NULL ? 0 : RSTUN_E_NOMEM);
}

/* ---- config.check ---------------------------------------------------------------------------- */

static char *config_copy(const char *text)
{
	return text != NULL ? strdup(text) : NULL;
}

/* A warning is told as one: it does not make the text wrong. */
static int config_show_diagnostic(struct rpc_diagnostic *ret, const struct config_diagnostic *from)
{
	bool warning = from->error == 0;

	*ret = (struct rpc_diagnostic){
		.file = config_copy(from->file),
		.line = from->line > 0 ? from->line : UINT64_MAX,
		.key = config_copy(from->key),
	};
	if (asprintf(&ret->message, "%s%s", warning ? "warning: " : "", from->message) < 0)
		ret->message = NULL;
	if (from->error == RSTUN_E_FILE_PERMISSIONS)
		ret->hint = config_copy("change the mode of the file as the message says");
	return ret->message != NULL ? 0 : RSTUN_E_NOMEM;
}

static int config_show_check(struct rpc_config_check_result *ret, const struct config_set *set,
			     const struct config_diagnostics *diags)
{
	size_t count = diags->error_count + (diags->more > 0) + diags->warning_count, n = 0;
	struct rpc_diagnostic *list;
	int rc = show_array(&ret->diagnostics, count, sizeof(*list));

	if (rc != 0)
		return rc;
	list = ret->diagnostics.items;
	for (size_t i = 0; i < diags->error_count && rc == 0; i++)
		rc = config_show_diagnostic(&list[n++], &diags->errors[i]);
	if (diags->more > 0 && rc == 0) {
		list[n].line = UINT64_MAX;
		if (asprintf(&list[n].message, "and %zu more", diags->more) < 0) {
			list[n].message = NULL;
			rc = RSTUN_E_NOMEM;
		}
		n++;
	}
	for (size_t i = 0; i < diags->warning_count && rc == 0; i++)
		rc = config_show_diagnostic(&list[n++], &diags->warnings[i]);
	ret->ok = diags->error_count == 0;
	ret->clients = set->client_count;
	ret->servers = set->server_count;
	ret->mappings = set->mapping_count;
	return rc;
}

struct answer methods_config_check(struct daemon *d, struct call *c,
				   const struct rpc_config_check_params *p)
{
	struct rpc_config_check_result result = {.ok = false};
	struct config_diagnostics diags;
	struct config_set set = {.client_count = 0};
	struct answer answer;
	const char *text = p->text != NULL ? p->text : "";
	int rc = config_file_parse_text(&set, text, strlen(text), &diags);
	bool nomem = rc == RSTUN_E_NOMEM && diags.error_count == 0;

	(void)d;
	answer = methods_reply(c, &result, nomem ? rc : config_show_check(&result, &set, &diags));
	config_diagnostics_free(&diags);
	if (rc == 0)
		config_set_free(&set);
	return answer;
}
