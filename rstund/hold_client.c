/* SPDX-License-Identifier: MIT */
/*
 * Clients: another configuration is another role, to which the mappings move one by one.
 */
#include "rstund/hold.h"

#include "base/error.h"
#include "rstund/control/persist.h"
#include "rstund/daemon_private.h"
#include "tls/credentials.h"

static bool hold_client_is_saved(const struct held_client *c)
{
	return c->origin == RPC_ORIGIN_STATE;
}

int hold_client_check(const struct client_config *c, struct rpc_error *error)
{
	char why[TLS_ERROR_SIZE] = "";
	struct tls_credentials *credentials = NULL;
	int rc = 0;

	if (c->cert_file != NULL)
		rc = tls_credentials_new_client(&credentials, c->cert_file, why);
	else if (c->cert_pem != NULL)
		rc = tls_credentials_new_client_pem(&credentials, c->cert_pem, why);
	tls_credentials_unref(credentials);
	return rc == 0 ? 0
		       : rpc_error_from(error, rc, "%s", why[0] != '\0' ? why : rstun_strerror(rc));
}

int hold_client_add(struct daemon *d, const char *name, enum rpc_origin origin,
		    struct client_config *config, struct held_client **ret, struct rpc_error *error)
{
	struct held_client *c;
	struct role *role;
	int rc = role_new(&role, d, name, NULL, config);

	if (rc != 0)
		return rpc_error_from(error, rc, "%s", rstun_strerror(rc));
	rc = role_load(role, error);
	if (rc != 0) {
		role_free(role);
		return RSTUN_E_FAILED;
	}
	c = inventory_new_client(&d->inventory, name);
	if (c == NULL) {
		role_free(role);
		return rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
	}
	c->daemon = d;
	c->origin = origin;
	c->role = role;
	role->owner = c->number;
	if (hold_client_is_saved(c) && persist_save(d, error) != 0) {
		inventory_free_client(&d->inventory, c);
		role_free(role);
		return RSTUN_E_FAILED;
	}
	daemon_publish_client(d, c, RPC_CHANGE_ADDED);
	*ret = c;
	return 0;
}

int hold_client_change(struct daemon *d, struct held_client *c, struct client_config *config,
		       struct rpc_error *error)
{
	struct role *before = c->role, *role;
	struct held_mapping *m;
	int rc = role_new(&role, d, c->name, NULL, config);

	if (rc != 0)
		return rpc_error_from(error, rc, "%s", rstun_strerror(rc));
	rc = role_load(role, error);
	c->role = role;
	role->owner = c->number;
	if (rc == 0 && hold_client_is_saved(c))
		rc = persist_save(d, error);
	if (rc != 0) {
		c->role = before;
		role_free(role);
		return RSTUN_E_FAILED;
	}
	daemon_publish_client(d, c, RPC_CHANGE_CHANGED);
	TAILQ_FOREACH (m, &d->inventory.mappings, link)
		if (m->client == c)
			hold_mapping_move(d, m);
	role_retire(before, loop_now(&d->loop));
	return 0;
}

int hold_client_remove(struct daemon *d, struct held_client *c, uint64_t drain_ms,
		       struct rpc_error *error)
{
	struct held_mapping *m, *next;
	bool saved = hold_client_is_saved(c);

	c->unsaved = true;
	TAILQ_FOREACH (m, &d->inventory.mappings, link) {
		if (m->client != c)
			continue;
		m->unsaved = true;
		saved |= m->origin == RPC_ORIGIN_STATE;
	}
	if (saved && persist_save(d, error) != 0) {
		c->unsaved = false;
		TAILQ_FOREACH (m, &d->inventory.mappings, link)
			if (m->client == c)
				m->unsaved = false;
		return RSTUN_E_FAILED;
	}
	for (m = TAILQ_FIRST(&d->inventory.mappings); m != NULL; m = next) {
		next = TAILQ_NEXT(m, link);
		/* It is out of the state file already, so nothing can fail. */
		if (m->client == c)
			(void)hold_mapping_remove(d, m, drain_ms, "its client is removed", error);
	}
	daemon_publish_client(d, c, RPC_CHANGE_REMOVED);
	role_retire(c->role, loop_now(&d->loop));
	inventory_free_client(&d->inventory, c);
	return 0;
}
