/* SPDX-License-Identifier: MIT */
/*
 * client.* and server.*: options are decoded by the roles' own rows, checked as those of the
 * command line, and given to rstund/hold.h.
 */
#include "rstund/control/methods.h"

#include "base/error.h"
#include "rpc/field_json.h"
#include "rstund/control/persist.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"
#include "rstund/hold.h"

#include <stdlib.h>
#include <string.h>

/* ---- Options --------------------------------------------------------------------------------- */

static void methods_free_client_config(struct client_config *c)
{
	client_config_free(c);
	free(c);
}

static void methods_free_server_config(struct server_config *c)
{
	server_config_free(c);
	free(c);
}

/* Messages of the checks begin with an option (--server-addr); here that is a member. */
static int methods_config_error(struct rpc_error *error, int rc, const char *why)
{
	static const char no_password[] = "a password is needed";
	size_t bytes = 0;

	if (rc == RSTUN_E_NOMEM)
		return rpc_error_from(error, rc, "%s", rstun_strerror(rc));
	/* The ways in that the sentence goes on with are those of rstund's own command line. */
	if (strncmp(why, no_password, sizeof(no_password) - 1) == 0) {
		rpc_error_set(error, RPC_INVALID_PARAMS, "password: %s", no_password);
		snprintf(error->field, sizeof(error->field), "password");
		return RSTUN_E_FAILED;
	}
	rpc_error_set(error, RPC_INVALID_PARAMS, "%s", why);
	if (strncmp(why, "--", 2) == 0)
		bytes = strspn(why + 2, "abcdefghijklmnopqrstuvwxyz0123456789-");
	snprintf(error->field, sizeof(error->field), "%.*s", (int)bytes, why + (bytes > 0 ? 2 : 0));
	for (char *p = error->field; *p != '\0'; p++)
		*p = *p == '-' ? '_' : *p;
	return RSTUN_E_FAILED;
}

/* The members to set; none where `text` is NULL. NULL: no memory. */
static json_t *methods_members(const char *text)
{
	return text != NULL ? json_loads(text, JSON_ALLOW_NUL, NULL) : json_object();
}

/* `base`: the configuration before, or NULL for the defaults. `object`: the members to set; taken
 * over. */
static int methods_client_config(struct client_config **ret, const struct client_config *base,
				 json_t *object, struct rpc_error *error)
{
	struct client_config *c = calloc(1, sizeof(*c));
	char why[FIELD_ERROR_SIZE];
	int rc = c == NULL || object == NULL ? RSTUN_E_NOMEM
		 : base != NULL ? field_copy(client_config_fields, client_config_field_count, c, base)
				: client_config_init(c);

	if (rc != 0) {
		free(c);
		json_decref(object);
		return methods_config_error(error, RSTUN_E_NOMEM, "");
	}
	rc = field_json_update(&show_client_config_rows, c, object, error);
	c->mappings_optional = true;
	if (rc == 0) {
		rc = client_config_check(c, NULL, NULL, why);
		if (rc != 0)
			methods_config_error(error, rc, why);
	}
	if (rc == 0)
		rc = field_json_check_marks(&show_client_config_rows, c, object, error);
	json_decref(object);
	if (rc != 0) {
		methods_free_client_config(c);
		return RSTUN_E_FAILED;
	}
	*ret = c;
	return 0;
}

static int methods_server_config(struct server_config **ret, const struct server_config *base,
				 json_t *object, struct rpc_error *error)
{
	struct server_config *c = calloc(1, sizeof(*c));
	char why[FIELD_ERROR_SIZE];
	int rc = c == NULL || object == NULL ? RSTUN_E_NOMEM
		 : base != NULL ? field_copy(server_config_fields, server_config_field_count, c, base)
				: server_config_init(c);

	if (rc != 0) {
		free(c);
		json_decref(object);
		return methods_config_error(error, RSTUN_E_NOMEM, "");
	}
	rc = field_json_update(&show_server_config_rows, c, object, error);
	if (rc == 0) {
		rc = server_config_check(c, NULL, NULL, why);
		if (rc != 0)
			methods_config_error(error, rc, why);
	}
	if (rc == 0)
		rc = field_json_check_marks(&show_server_config_rows, c, object, error);
	json_decref(object);
	if (rc != 0) {
		methods_free_server_config(c);
		return RSTUN_E_FAILED;
	}
	*ret = c;
	return 0;
}

static int methods_defined_in_config(struct rpc_error *error, const char *what, const char *name,
				     enum rpc_origin origin)
{
	if (origin == RPC_ORIGIN_CONFIG) {
		rpc_error_set(error, 1005, "%s %s is defined in the configuration file", what, name);
		rpc_error_hint(error, "change it there, then: rstunctl reload");
		return RSTUN_E_FAILED;
	}
	if (origin != RPC_ORIGIN_COMMAND_LINE)
		return 0;
	rpc_error_set(error, 1005, "%s %s is the one of the daemon's command line", what, name);
	rpc_error_hint(error, "start the daemon anew with other options");
	return RSTUN_E_FAILED;
}

/* ---- Clients --------------------------------------------------------------------------------- */

static struct answer methods_reply_client(struct daemon *d, struct call *c,
					  const struct held_client *client)
{
	struct rpc_client result = {.id = NULL};
	int rc = show_client(&result, d, client);

	return methods_reply(c, &result, rc);
}

/* A secret that is not given again is the same one. */
static bool methods_same_client(struct client_config *fresh, const struct held_client *held)
{
	const struct client_config *before = held->role->client;

	if (fresh->password == NULL && before->password != NULL)
		fresh->password = strdup(before->password);
	if (fresh->proxy_auth == NULL && before->proxy_auth != NULL)
		fresh->proxy_auth = strdup(before->proxy_auth);
	return field_equal(client_config_fields, client_config_field_count, fresh, before);
}

static struct answer methods_client_added(struct daemon *d, struct call *c,
					  const struct held_client *client, bool created)
{
	struct rpc_client_add_result result = {.created = created};
	int rc = show_client(&result.client, d, client);

	return methods_reply(c, &result, rc);
}

static void methods_put_back(json_t *object, const char *member, const char *secret)
{
	if (secret != NULL && json_object_get(object, member) == NULL)
		json_object_set_new(object, member, json_string(secret));
}

/* One of that name is there: the same is fine, another is not. */
static struct answer methods_client_exists(struct daemon *d, struct call *c,
					   const struct held_client *held,
					   const struct rpc_role_add_params *p)
{
	struct client_config *config;
	struct rpc_error error;
	char id[INVENTORY_ID_SIZE];
	json_t *object = p->config != NULL ? json_loads(p->config, JSON_ALLOW_NUL, NULL) : NULL;
	bool same;

	if (object != NULL) {
		/* What is passed back without its secrets is checked with those that are kept. */
		methods_put_back(object, "password", held->role->client->password);
		methods_put_back(object, "proxy_auth", held->role->client->proxy_auth);
		if (methods_client_config(&config, NULL, object, &error) != 0)
			return call_fail(c, &error, NULL);
		same = methods_same_client(config, held);
		methods_free_client_config(config);
		if (same)
			return methods_client_added(d, c, held, false);
	}
	inventory_client_id(id, held);
	rpc_error_set(&error, 1002, "a client named %s exists with another configuration (%s)",
		      held->name, id);
	rpc_error_hint(&error, "rstunctl client set %s changes it, rstunctl client show %s shows it",
		       held->name, held->name);
	return call_fail(c, &error, NULL);
}

struct answer methods_client_add(struct daemon *d, struct call *c,
				 const struct rpc_role_add_params *p)
{
	struct held_client *client = inventory_client(&d->inventory, p->name);
	struct client_config *config;
	struct rpc_error error;

	if (client != NULL)
		return methods_client_exists(d, c, client, p);
	if (methods_client_config(&config, NULL, methods_members(p->config), &error) != 0 ||
	    hold_client_add(d, p->name, persist_origin(d, p->persist), config, &client, &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_client_added(d, c, client, true);
}

struct answer methods_client_set(struct daemon *d, struct call *c,
				 const struct rpc_role_set_params *p)
{
	struct rpc_error error;
	struct held_client *client =
		methods_find_client(d, p->id != NULL ? p->id : p->name, &error);
	struct client_config *config;

	if (client == NULL ||
	    methods_defined_in_config(&error, "client", client->name, client->origin) != 0 ||
	    methods_client_config(&config, client->role->client, methods_members(p->config),
				  &error) != 0)
		return call_fail(c, &error, NULL);
	if (field_equal(client_config_fields, client_config_field_count, config,
			client->role->client)) {
		methods_free_client_config(config);
		return methods_reply_client(d, c, client);
	}
	if (hold_client_change(d, client, config, &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_reply_client(d, c, client);
}

static struct answer methods_done(struct call *c, bool done)
{
	struct rpc_done_result result = {.done = done};

	return call_reply(c, &result);
}

struct answer methods_client_remove(struct daemon *d, struct call *c,
				    const struct rpc_role_remove_params *p)
{
	struct rpc_error error;
	struct held_client *client =
		methods_find_client(d, p->id != NULL ? p->id : p->name, &error);

	if (client == NULL && p->missing_ok)
		return methods_done(c, false);
	if (client == NULL ||
	    methods_defined_in_config(&error, "client", client->name, client->origin) != 0)
		return call_fail(c, &error, NULL);
	if (client->mapping_count > 0 && !p->mappings) {
		rpc_error_set(&error, 1000, "client %s has %zu mapping%s", client->name,
			      client->mapping_count, client->mapping_count == 1 ? "" : "s");
		rpc_error_hint(&error, "rstunctl client rm %s --mappings removes them, too",
			       client->name);
		return call_fail(c, &error, NULL);
	}
	if (hold_client_remove(d, client, p->drain_ms, &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_done(c, true);
}

struct answer methods_client_get(struct daemon *d, struct call *c,
				 const struct rpc_which_params *p)
{
	struct rpc_error error;
	struct held_client *client =
		methods_find_client(d, p->id != NULL ? p->id : p->name, &error);

	return client == NULL ? call_fail(c, &error, NULL) : methods_reply_client(d, c, client);
}

static struct answer methods_client_list_now(struct daemon *d, struct call *c, void *data)
{
	struct rpc_client_list result = {.clients = {.count = 0}};
	const struct held_client *client;
	size_t i = 0;
	int rc = show_array(&result.clients, d->inventory.client_count, sizeof(struct rpc_client));

	(void)data;
	TAILQ_FOREACH (client, &d->inventory.clients, link)
		if (rc == 0)
			rc = show_client(&((struct rpc_client *)result.clients.items)[i++], d,
					 client);
	return methods_reply(c, &result, rc);
}

struct answer methods_client_list(struct daemon *d, struct call *c)
{
	return methods_after_refresh(d, c, NULL, methods_client_list_now, NULL);
}

/* ---- Servers --------------------------------------------------------------------------------- */

static struct answer methods_reply_server(struct daemon *d, struct call *c,
					  const struct held_server *server)
{
	struct rpc_server result = {.id = NULL};
	int rc = show_server(&result, d, server);

	return methods_reply(c, &result, rc);
}

static struct answer methods_server_added(struct daemon *d, struct call *c,
					  const struct held_server *server, bool created)
{
	struct rpc_server_add_result result = {.created = created};
	int rc = show_server(&result.server, d, server);

	return methods_reply(c, &result, rc);
}

static const struct server_config *methods_config_of(const struct held_server *s)
{
	if (s->config != NULL)
		return s->config;
	return s->role != NULL ? s->role->server : s->ending->server;
}

static bool methods_keep_server_secrets(struct server_config *fresh,
					const struct server_config *before)
{
	if (fresh->password == NULL && before->password != NULL)
		fresh->password = strdup(before->password);
	if (fresh->cert_pem != NULL && fresh->key_pem == NULL && before->key_pem != NULL)
		fresh->key_pem = strdup(before->key_pem);
	return field_equal(server_config_fields, server_config_field_count, fresh, before);
}

static struct answer methods_server_exists(struct daemon *d, struct call *c,
					   const struct held_server *held,
					   const struct rpc_role_add_params *p)
{
	const struct server_config *before = methods_config_of(held);
	struct server_config fresh = {.addr_text = NULL};
	struct rpc_error error;
	json_t *object = methods_members(p->config);
	bool same = false;
	int rc;

	rc = object == NULL || server_config_init(&fresh) != 0
		     ? methods_config_error(&error, RSTUN_E_NOMEM, "")
		     : field_json_update(&show_server_config_rows, &fresh, object, &error);
	if (rc == 0)
		same = methods_keep_server_secrets(&fresh, before);
	if (same)
		rc = field_json_check_marks(&show_server_config_rows, &fresh, object, &error);
	json_decref(object);
	server_config_free(&fresh);
	if (rc != 0)
		return call_fail(c, &error, NULL);
	if (same)
		return methods_server_added(d, c, held, false);
	rpc_error_set(&error, 1002, "a server named %s exists with another configuration",
		      held->name);
	rpc_error_hint(&error, "rstunctl server set %s changes it, rstunctl server show %s shows it",
		       held->name, held->name);
	return call_fail(c, &error, NULL);
}

struct answer methods_server_add(struct daemon *d, struct call *c,
				 const struct rpc_role_add_params *p)
{
	struct held_server *server = inventory_server(&d->inventory, p->name);
	struct server_config *config;
	struct rpc_error error;

	if (server != NULL)
		return methods_server_exists(d, c, server, p);
	if (methods_server_config(&config, NULL, methods_members(p->config), &error) != 0 ||
	    hold_server_add(d, p->name, persist_origin(d, p->persist), config, false, &server,
			    &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_server_added(d, c, server, true);
}

struct answer methods_server_set(struct daemon *d, struct call *c,
				 const struct rpc_role_set_params *p)
{
	struct rpc_error error;
	struct held_server *server =
		methods_find_server(d, p->id != NULL ? p->id : p->name, &error);
	struct server_config *config;

	if (server == NULL ||
	    methods_defined_in_config(&error, "server", server->name, server->origin) != 0 ||
	    methods_server_config(&config, methods_config_of(server), methods_members(p->config),
				  &error) != 0)
		return call_fail(c, &error, NULL);
	if (server->state == RPC_SERVER_LISTENING &&
	    field_equal(server_config_fields, server_config_field_count, config,
			methods_config_of(server))) {
		methods_free_server_config(config);
		return methods_reply_server(d, c, server);
	}
	if (hold_server_change(d, server, config, &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_reply_server(d, c, server);
}

struct answer methods_server_remove(struct daemon *d, struct call *c,
				    const struct rpc_role_remove_params *p)
{
	struct rpc_error error;
	struct held_server *server =
		methods_find_server(d, p->id != NULL ? p->id : p->name, &error);

	if (server == NULL && p->missing_ok)
		return methods_done(c, false);
	if (server == NULL ||
	    methods_defined_in_config(&error, "server", server->name, server->origin) != 0 ||
	    hold_server_remove(d, server, p->drain_ms, &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_done(c, true);
}

struct answer methods_server_get(struct daemon *d, struct call *c,
				 const struct rpc_which_params *p)
{
	struct rpc_error error;
	struct held_server *server =
		methods_find_server(d, p->id != NULL ? p->id : p->name, &error);

	return server == NULL ? call_fail(c, &error, NULL) : methods_reply_server(d, c, server);
}

struct answer methods_server_drain(struct daemon *d, struct call *c,
				   const struct rpc_drain_params *p)
{
	struct rpc_error error;
	struct held_server *server =
		methods_find_server(d, p->id != NULL ? p->id : p->name, &error);

	if (server == NULL)
		return call_fail(c, &error, NULL);
	hold_server_drain(d, server, p->drain_ms);
	return methods_reply_server(d, c, server);
}

static struct answer methods_server_list_now(struct daemon *d, struct call *c, void *data)
{
	struct rpc_server_list result = {.servers = {.count = 0}};
	const struct held_server *server;
	size_t i = 0;
	int rc = show_array(&result.servers, d->inventory.server_count, sizeof(struct rpc_server));

	(void)data;
	TAILQ_FOREACH (server, &d->inventory.servers, link)
		if (rc == 0)
			rc = show_server(&((struct rpc_server *)result.servers.items)[i++], d,
					 server);
	return methods_reply(c, &result, rc);
}

struct answer methods_server_list(struct daemon *d, struct call *c)
{
	return methods_after_refresh(d, c, NULL, methods_server_list_now, NULL);
}
