/* SPDX-License-Identifier: MIT */
/*
 * Servers: another configuration is another role, which begins when the one before has ended,
 * because both may want the same address and the same folder of the state directory.
 */
#include "rstund/hold.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "rstund/control/persist.h"
#include "rstund/daemon_private.h"
#include "tls/credentials.h"

#include <stdio.h>
#include <stdlib.h>

#define HOLD_SERVER_RETRY_MS 30000 /* cap of the back-off */

static void hold_server_free_config(struct server_config *config)
{
	server_config_free(config);
	free(config);
}

static void hold_server_set_error(struct held_server *s, int code, const char *text)
{
	s->last_error = code;
	snprintf(s->last_text, sizeof(s->last_text), "%s", text);
}

/* Said once in the log, and then only when it is another reason. */
static void hold_server_fail(struct daemon *d, struct held_server *s, const struct rpc_error *error)
{
	uint64_t now_ns = loop_now(&d->loop);
	bool news = s->state != RPC_SERVER_FAILED || s->last_error != -error->code;

	hold_server_set_error(s, -error->code, error->message);
	s->state = RPC_SERVER_FAILED;
	loop_timer_arm(&s->retry_timer,
		       clock_after(now_ns, backoff_down(&s->backoff, RSTUN_E_ADDRESS_IN_USE, now_ns,
							random_u64())));
	if (news)
		daemon_publish_server(d, s, RPC_SERVER_CHANGE_FAILED, s->last_error, s->last_text);
}

/* A server that was removed or changed a moment ago may still have the address, and with it the
 * folder that keeps the key: a role that began beside it would show another certificate. */
static bool hold_server_address_leaves(const struct daemon *d, const struct address *addr)
{
	const struct role *r;

	LIST_FOREACH (r, &d->roles, link)
		if (r->server != NULL && r->retired && address_port(addr) != 0 &&
		    address_equal(&r->server->addr, addr))
			return true;
	return false;
}

/* Until hold_server_address_free. */
static void hold_server_wait(struct daemon *d, struct held_server *s)
{
	s->state = RPC_SERVER_STARTING;
	log_info(&d->log, s->name, "waits until the server that has its address has ended");
}

void hold_server_address_free(struct daemon *d)
{
	struct held_server *s;

	TAILQ_FOREACH (s, &d->inventory.servers, link)
		if (s->state == RPC_SERVER_STARTING && s->role == NULL && s->ending == NULL)
			loop_timer_arm(&s->retry_timer, loop_now(&d->loop));
}

/* Binds, loads, starts. The role is freed on failure. */
static int hold_server_begin(struct daemon *d, struct held_server *s, struct role *role,
			     struct rpc_error *error)
{
	/* First the address: while another program has it, the state folder is that one's, too. */
	int rc = role_bind(role, error);

	if (rc == 0)
		rc = role_load(role, error);
	if (rc == 0 && role_start_server(role) != 0)
		rc = rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
	if (rc != 0) {
		if (role->parts > 0) {
			role->held = NULL;
			role_retire(role, loop_now(&d->loop));
		} else {
			role_free(role);
		}
		return RSTUN_E_FAILED;
	}
	role->held = s;
	role->owner = s->number;
	s->role = role;
	s->state = RPC_SERVER_LISTENING;
	s->session_base = s->session_last;
	hold_server_set_error(s, 0, "");
	backoff_init(&s->backoff, HOLD_SERVER_RETRY_MS);
	return 0;
}

/* s->config becomes a role; a copy stays for the next attempt when that fails. */
static int hold_server_try(struct daemon *d, struct held_server *s, struct rpc_error *error)
{
	struct server_config *config = calloc(1, sizeof(*config));
	char ignored[FIELD_ERROR_SIZE];
	struct role *role;
	int rc = config == NULL ? RSTUN_E_NOMEM
				: field_copy(server_config_fields, server_config_field_count,
					     config, s->config);

	if (rc == 0)
		rc = server_config_check(config, NULL, NULL, ignored);
	if (rc != 0) {
		hold_server_free_config(config);
		return rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
	}
	rc = role_new(&role, d, s->name, config, NULL);
	if (rc != 0)
		return rpc_error_from(error, rc, "%s", rstun_strerror(rc));
	rc = hold_server_begin(d, s, role, error);
	if (rc != 0)
		return rc;
	hold_server_free_config(s->config);
	s->config = NULL;
	loop_timer_cancel(&s->retry_timer);
	return 0;
}

static void hold_server_on_retry(void *user)
{
	struct held_server *s = user;
	struct rpc_error error;

	/* While a role of its own ends that one's end is waited for: hold_server_role_gone. */
	if (s->config == NULL || s->role != NULL || s->ending != NULL ||
	    s->daemon->phase > DAEMON_RUNNING)
		return;
	if (hold_server_address_leaves(s->daemon, &s->config->addr))
		hold_server_wait(s->daemon, s);
	else if (hold_server_try(s->daemon, s, &error) != 0)
		hold_server_fail(s->daemon, s, &error);
	else
		daemon_publish_server(s->daemon, s, RPC_SERVER_CHANGE_LISTENING, 0, "");
}

/* What is wrong with certificates given as text or file is said before anything is changed. */
int hold_server_check(const struct server_config *c, struct rpc_error *error)
{
	char why[TLS_ERROR_SIZE] = "", warning[TLS_ERROR_SIZE] = "";
	struct tls_credentials *credentials = NULL;
	int rc = 0;

	if (c->cert_file != NULL)
		rc = tls_credentials_new_server(&credentials, c->cert_file, c->key_file, why,
						warning);
	else if (c->cert_pem != NULL)
		rc = tls_credentials_new_server_pem(&credentials, c->cert_pem, c->key_pem, why,
						    warning);
	tls_credentials_unref(credentials);
	return rc == 0 ? 0
		       : rpc_error_from(error, rc, "%s", why[0] != '\0' ? why : rstun_strerror(rc));
}

int hold_server_add(struct daemon *d, const char *name, enum rpc_origin origin,
		    struct server_config *config, bool must_listen, struct held_server **ret,
		    struct rpc_error *error)
{
	struct held_server *s = NULL;
	int rc = hold_server_check(config, error);

	if (rc == 0) {
		s = inventory_new_server(&d->inventory, name);
		if (s == NULL)
			rc = rpc_error_from(error, RSTUN_E_NOMEM, "%s",
					    rstun_strerror(RSTUN_E_NOMEM));
	}
	if (rc != 0) {
		hold_server_free_config(config);
		return rc;
	}
	s->daemon = d;
	s->origin = origin;
	s->config = config;
	backoff_init(&s->backoff, HOLD_SERVER_RETRY_MS);
	loop_timer_init(&s->retry_timer, &d->loop, hold_server_on_retry, s);
	if (origin == RPC_ORIGIN_STATE && d->phase != DAEMON_STARTING)
		rc = persist_save(d, error);
	if (rc == 0 && hold_server_address_leaves(d, &config->addr)) {
		daemon_publish_server(d, s, RPC_SERVER_CHANGE_ADDED, 0, "");
		hold_server_wait(d, s);
		*ret = s;
		return 0;
	}
	if (rc == 0) {
		rc = hold_server_try(d, s, error);
		if (rc != 0 && !must_listen) {
			daemon_publish_server(d, s, RPC_SERVER_CHANGE_ADDED, 0, "");
			hold_server_fail(d, s, error);
			*ret = s;
			return 0;
		}
	}
	if (rc != 0) {
		hold_server_free_config(s->config);
		loop_timer_cancel(&s->retry_timer);
		inventory_free_server(&d->inventory, s);
		return RSTUN_E_FAILED;
	}
	daemon_publish_server(d, s, RPC_SERVER_CHANGE_ADDED, 0, "");
	daemon_publish_server(d, s, RPC_SERVER_CHANGE_LISTENING, 0, "");
	*ret = s;
	return 0;
}

int hold_server_change(struct daemon *d, struct held_server *s, struct server_config *config,
		       struct rpc_error *error)
{
	struct server_config *before = s->config;
	int rc = hold_server_check(config, error);

	if (rc == 0) {
		s->config = config; /* that is what is saved */
		if (s->origin == RPC_ORIGIN_STATE)
			rc = persist_save(d, error);
		if (rc != 0)
			s->config = before;
	}
	if (rc != 0) {
		hold_server_free_config(config);
		return RSTUN_E_FAILED;
	}
	hold_server_free_config(before);
	daemon_publish_server(d, s, RPC_SERVER_CHANGE_CHANGED, 0, "");
	if (s->role != NULL) {
		s->ending = s->role;
		s->role = NULL;
		s->state = RPC_SERVER_STARTING;
		role_retire(s->ending, loop_now(&d->loop));
	} else if (s->ending != NULL) {
		s->state = RPC_SERVER_STARTING; /* also when it was to stay stopped */
	} else {
		s->state = RPC_SERVER_STARTING;
		loop_timer_arm(&s->retry_timer, loop_now(&d->loop));
	}
	return 0;
}

void hold_server_role_gone(struct daemon *d, struct held_server *s)
{
	s->role = NULL;
	s->ending = NULL;
	s->session_base = s->session_last;
	if (d->phase > DAEMON_RUNNING)
		return;
	if (s->config != NULL && s->state != RPC_SERVER_DRAINING) {
		/* One that failed keeps its pause. */
		if (s->state == RPC_SERVER_FAILED && s->retry_timer.deadline_ns != CLOCK_NEVER)
			return;
		s->state = RPC_SERVER_STARTING;
		loop_timer_arm(&s->retry_timer, loop_now(&d->loop));
		return;
	}
	s->state = RPC_SERVER_STOPPED;
	daemon_publish_server(d, s, RPC_SERVER_CHANGE_STOPPED, 0, "");
}

/* The configuration lives on in s->config, so that server.set can start it again. */
static int hold_server_keep_config(struct held_server *s)
{
	struct server_config *copy;

	if (s->config != NULL || s->role == NULL)
		return 0;
	copy = calloc(1, sizeof(*copy));
	if (copy == NULL || field_copy(server_config_fields, server_config_field_count, copy,
				       s->role->server) != 0) {
		free(copy);
		return RSTUN_E_NOMEM;
	}
	s->config = copy;
	return 0;
}

void hold_server_drain(struct daemon *d, struct held_server *s, uint64_t drain_ms)
{
	uint64_t deadline_ns = clock_after(loop_now(&d->loop), clock_ms(drain_ms));
	struct role *role = s->role != NULL ? s->role : s->ending;

	loop_timer_cancel(&s->retry_timer);
	if (role == NULL) {
		s->state = RPC_SERVER_STOPPED;
		daemon_publish_server(d, s, RPC_SERVER_CHANGE_STOPPED, 0, "");
		return;
	}
	if (hold_server_keep_config(s) != 0) {
		log_error(&d->log, s->name, "memory ran out: it is not drained");
		return;
	}
	if (s->state != RPC_SERVER_DRAINING) {
		s->state = RPC_SERVER_DRAINING;
		daemon_publish_server(d, s, RPC_SERVER_CHANGE_DRAINING, 0, "");
	}
	role_retire(role, deadline_ns);
}

int hold_server_remove(struct daemon *d, struct held_server *s, uint64_t drain_ms,
		       struct rpc_error *error)
{
	struct role *role = s->role != NULL ? s->role : s->ending;
	const struct held_session *session;

	s->unsaved = true;
	if (s->origin == RPC_ORIGIN_STATE && persist_save(d, error) != 0) {
		s->unsaved = false;
		return RSTUN_E_FAILED;
	}
	TAILQ_FOREACH (session, &d->inventory.sessions, link)
		if (session->server == s)
			daemon_publish_session_end(d, session, "its server is removed");
	daemon_publish_server(d, s, RPC_SERVER_CHANGE_REMOVED, 0, "");
	loop_timer_cancel(&s->retry_timer);
	hold_server_free_config(s->config);
	inventory_free_server(&d->inventory, s);
	if (role != NULL) {
		role->held = NULL;
		role_retire(role, clock_after(loop_now(&d->loop), clock_ms(drain_ms)));
	}
	return 0;
}

void hold_server_failed(struct daemon *d, struct held_server *s, int error, const char *text)
{
	struct rpc_error why;

	if (s->role == NULL || s->state == RPC_SERVER_DRAINING || hold_server_keep_config(s) != 0)
		return;
	rpc_error_from(&why, error, "%s", text);
	s->ending = s->role;
	s->role = NULL;
	role_retire(s->ending, loop_now(&d->loop));
	hold_server_fail(d, s, &why);
}
