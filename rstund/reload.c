/* SPDX-License-Identifier: MIT */
/*
 * The configuration file is read anew, and what is told about it: to a caller as a result, to the
 * administrator as lines of the log. Certificates, which are files too, are read at the same time.
 */
#include "rstund/reload.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/pin.h"
#include "rstund/config_file.h"
#include "rstund/control/persist.h"
#include "rstund/daemon_config.h"
#include "rstund/daemon_private.h"
#include "rstund/password.h"
#include "rstund/reload_private.h"
#include "rstund/role.h"
#include "tls/credentials.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int reload_nomem(struct rpc_error *error)
{
	return rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
}

/* ---- What is told ---------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void reload_list_add(char ***list, const char *format,
								  ...)
{
	size_t count = 0;
	va_list args;
	char **more, *text;

	while (*list != NULL && (*list)[count] != NULL)
		count++;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	more = text != NULL ? reallocarray(*list, count + 2, sizeof(*more)) : NULL;
	if (more == NULL) { /* what is told is less then, what is done is the same */
		free(text);
		return;
	}
	more[count] = text;
	more[count + 1] = NULL;
	*list = more;
}

static void reload_tell_kind(struct rpc_reload_result *ret, enum reload_kind kind, const char *what,
			     const char *name)
{
	if (kind == RELOAD_SAME)
		ret->unchanged++;
	else
		reload_list_add(kind == RELOAD_NEW ? &ret->added : &ret->changed, "%s %s", what,
				name);
}

static void reload_tell(struct rpc_reload_result *ret, const struct reload *r)
{
	char text[MAPPING_TEXT_SIZE];

	for (size_t i = 0; i < r->set->client_count; i++)
		reload_tell_kind(ret, r->clients[i].kind, "client", r->clients[i].wanted->name);
	for (size_t i = 0; i < r->set->server_count; i++)
		reload_tell_kind(ret, r->servers[i].kind, "server", r->servers[i].wanted->name);
	for (size_t i = 0; i < r->plan.count; i++) {
		const struct plan_item *item = &r->plan.items[i];

		reload_tell_kind(ret,
				 item->held == NULL ? RELOAD_NEW
				 : item->same	    ? RELOAD_SAME
						    : RELOAD_CHANGED,
				 "mapping", plan_item_text(text, item));
	}
	for (size_t i = 0; i < r->client_gone_count; i++)
		reload_list_add(&ret->removed, "client %s", r->clients_gone[i]->name);
	for (size_t i = 0; i < r->server_gone_count; i++)
		reload_list_add(&ret->removed, "server %s", r->servers_gone[i]->name);
	for (size_t i = 0; i < r->plan.gone_count; i++)
		reload_list_add(&ret->removed, "mapping %s",
				plan_held_text(text, r->plan.gone[i]));
}

static size_t reload_list_count(char *const *list)
{
	size_t count = 0;

	while (list != NULL && list[count] != NULL)
		count++;
	return count;
}

static void reload_log(struct daemon *d, const struct rpc_reload_result *ret)
{
	log_info(&d->log, "rstund", "reload: %zu added, %zu changed, %zu removed, %llu unchanged",
		 reload_list_count(ret->added), reload_list_count(ret->changed),
		 reload_list_count(ret->removed), (unsigned long long)ret->unchanged);
	for (size_t i = 0; ret->warnings != NULL && ret->warnings[i] != NULL; i++)
		log_warn(&d->log, "rstund", "reload: %s", ret->warnings[i]);
}

/* All of them in one message, as far as there is room; each by itself in the log. */
static int reload_wrong(struct daemon *d, const struct config_diagnostics *diags, int rc,
			struct rpc_error *error)
{
	char text[CONFIG_DIAGNOSTIC_SIZE];
	size_t used = 0;

	if (diags->error_count == 0)
		return rc == RSTUN_E_NOMEM ? reload_nomem(error)
					   : rpc_error_set(error, 1200, "%s", rstun_strerror(rc));
	rpc_error_set(error, 1200, "%s", "");
	for (size_t i = 0; i < diags->error_count; i++) {
		config_diagnostic_format(text, sizeof(text), &diags->errors[i]);
		log_error(&d->log, "rstund", "reload: %s", text);
		if (used < sizeof(error->message))
			used += (size_t)snprintf(error->message + used,
						 sizeof(error->message) - used, "%s%s",
						 i > 0 ? "; " : "", text);
	}
	if (diags->errors[0].key != NULL)
		snprintf(error->field, sizeof(error->field), "%s", diags->errors[0].key);
	snprintf(error->value, sizeof(error->value), "%s:%u",
		 diags->errors[0].file != NULL ? diags->errors[0].file : "", diags->errors[0].line);
	rpc_error_hint(error, "nothing was changed; mend the file, then: rstunctl reload");
	return RSTUN_E_FAILED;
}

/* ---- Certificates ---------------------------------------------------------------------------- */

static void reload_tell_certificate(struct daemon *d, struct held_server *s, bool changed)
{
	const struct role *role = s->role;
	char pin_text[PIN_TEXT_SIZE], until[32] = "";
	struct tls_description description;
	uint8_t pin[PIN_BYTES];

	tls_credentials_pin(role->credentials, pin);
	pin_format(pin_text, pin);
	log_info(&d->log, role->name, "reload: new connections get the certificate from %s, pin %s",
		 role->server->cert_file, pin_text);
	if (!changed)
		return;
	if (tls_credentials_describe(role->credentials, &description) == 0) {
		clock_format(until, sizeof(until), description.not_after_us);
		tls_description_done(&description);
	}
	daemon_publish_cert(d, s, RPC_CERT_RELOADED, pin_text, 0, until);
}

int reload_certificate(struct daemon *d, struct held_server *s, bool *ret_changed,
		       struct rpc_error *error)
{
	char pin_text[PIN_TEXT_SIZE];
	uint8_t pin[PIN_BYTES];
	bool changed = false;

	if (s->role == NULL) { /* it reads them when it begins */
		*ret_changed = false;
		return 0;
	}
	if (s->role->server->cert_file == NULL) {
		log_info(&d->log, s->role->name,
			 "reload: there is no certificate file to read again");
		*ret_changed = false;
		return 0;
	}
	if (role_reload(s->role, &changed, error) != 0) {
		log_error(&d->log, s->role->name, "%s", error->message);
		log_error(&d->log, s->role->name,
			  "reload: the certificate in use stays as it is");
		tls_credentials_pin(s->role->credentials, pin);
		daemon_publish_cert(d, s, RPC_CERT_FAILED, pin_format(pin_text, pin),
				    -error->code, error->message);
		return RSTUN_E_FAILED;
	}
	reload_tell_certificate(d, s, changed);
	*ret_changed = changed;
	return 0;
}

/* Those of all servers that have files. `warnings` may be NULL. */
static void reload_certificates(struct daemon *d, char ***warnings)
{
	struct held_server *s;

	TAILQ_FOREACH (s, &d->inventory.servers, link) {
		struct rpc_error error;
		bool changed;

		if (s->role == NULL || s->role->server->cert_file == NULL)
			continue;
		if (reload_certificate(d, s, &changed, &error) != 0 && warnings != NULL)
			reload_list_add(warnings,
					"server %s: the certificate in use stays as it is: %s",
					s->name, error.message);
	}
}

/* ---- Options of the daemon ------------------------------------------------------------------- */

/* The temporary level of log.set_level goes on until its time is over. */
static void reload_level(struct daemon *d, enum log_level level)
{
	if (d->level_timer.deadline_ns != CLOCK_NEVER)
		d->level_before = level;
	else
		daemon_set_level(d, level);
}

static void reload_daemon(struct daemon *d, const struct config_set *set, bool dry_run,
			  char ***warnings)
{
	const struct daemon_config *now = d->params->config;

	if (!dry_run) {
		d->reloaded = true;
		d->reloaded_given = set->daemon_given;
	}
	for (size_t i = 0; i < daemon_config_field_count; i++) {
		const struct field *row = &daemon_config_fields[i];

		if (!daemon_config_in_file(row) || (d->params->given & daemon_config_bit(row)) != 0)
			continue;
		if (row->offset == offsetof(struct daemon_config, loglevel)) {
			if (!dry_run)
				reload_level(d, (enum log_level)set->daemon.loglevel);
		} else if (!field_equal(row, 1, now, &set->daemon)) {
			reload_list_add(warnings,
					"%s is another one in the file: it takes effect when the "
					"daemon is started anew", row->name);
		}
	}
}

/* ---- The whole ------------------------------------------------------------------------------- */

int reload_start(struct daemon *d, struct config_set *set, struct rpc_error *error)
{
	struct reload r;
	int rc = reload_compare(&r, d, set, error);

	if (rc == 0)
		rc = reload_carry_out(&r, d, d->params->config->exit_on_failure, error);
	reload_done(&r);
	return rc;
}

static int reload_apply(struct daemon *d, struct config_set *set, bool dry_run,
			struct rpc_reload_result *ret, struct rpc_error *error)
{
	struct rpc_error save_error;
	struct reload r;
	int rc = reload_compare(&r, d, set, error);

	if (rc != 0) {
		log_error(&d->log, "rstund", "reload: nothing was changed: %s", error->message);
		reload_done(&r);
		return rc;
	}
	reload_tell(ret, &r);
	reload_daemon(d, set, dry_run, &ret->warnings);
	if (!dry_run) {
		rc = reload_carry_out(&r, d, false, error);
		if (rc != 0)
			log_error(&d->log, "rstund", "reload: only a part of it was done: %s",
				  error->message);
		/* Which mappings are paused stands in the state file. */
		if (persist_save(d, &save_error) != 0)
			reload_list_add(&ret->warnings, "the state file: %s", save_error.message);
	}
	reload_done(&r);
	return rc;
}

static int reload_without_file(struct daemon *d, bool dry_run, struct rpc_reload_result *ret,
			       struct rpc_error *error)
{
	if (!dry_run)
		reload_certificates(d, &ret->warnings);
	if (daemon_is_role_line(d))
		return 0;
	rpc_error_set(error, 1000, "no configuration file was given: %s",
		      dry_run ? "there is nothing to read" : "only certificates were read anew");
	rpc_error_hint(error, "start the daemon with --config FILE");
	return RSTUN_E_FAILED;
}

int reload_run(struct daemon *d, bool dry_run, struct rpc_reload_result *ret,
	       struct rpc_error *error)
{
	const char *path = d->params->config->config_file;
	char text[CONFIG_DIAGNOSTIC_SIZE];
	struct config_diagnostics diags;
	struct config_set set;
	int rc;

	ret->dry_run = dry_run;
	if (d->phase > DAEMON_RUNNING)
		return rpc_error_set(error, 1008, "the daemon is ending");
	if (path == NULL)
		return reload_without_file(d, dry_run, ret, error);
	rc = config_file_load(&set, path, &password_process_default, &diags);
	if (rc != 0) {
		rc = reload_wrong(d, &diags, rc, error);
		config_diagnostics_free(&diags);
		return rc;
	}
	for (size_t i = 0; i < diags.warning_count; i++)
		reload_list_add(&ret->warnings, "%s",
				config_diagnostic_format(text, sizeof(text), &diags.warnings[i]));
	config_diagnostics_free(&diags);
	rc = reload_apply(d, &set, dry_run, ret, error);
	config_set_free(&set);
	if (rc != 0 || dry_run)
		return rc;
	reload_certificates(d, &ret->warnings);
	reload_log(d, ret);
	return 0;
}

/* A role's command line: nothing but a server's certificate can be read again. */
static void reload_role_line(struct daemon *d)
{
	struct rpc_error error;
	struct held_client *c;
	struct held_server *s;
	bool changed;

	TAILQ_FOREACH (s, &d->inventory.servers, link)
		(void)reload_certificate(d, s, &changed, &error); /* it has logged it */
	TAILQ_FOREACH (c, &d->inventory.clients, link)
		log_info(&d->log, c->role->name,
			 "reload: there is no certificate file to read again");
}

void reload_on_signal(struct daemon *d)
{
	const struct field_rows *rows = rpc_methods[RPC_DAEMON_RELOAD].result;
	struct rpc_reload_result result = {.added = NULL};
	struct rpc_error error;

	if (d->phase > DAEMON_RUNNING)
		return;
	if (daemon_is_role_line(d)) {
		reload_role_line(d);
		return;
	}
	notify_reloading(&d->notify, loop_now(&d->loop));
	log_info(&d->log, "rstund", "reload: SIGHUP");
	if (reload_run(d, false, &result, &error) != 0 && d->params->config->config_file == NULL)
		log_warn(&d->log, "rstund", "reload: %s", error.message);
	field_free(rows->rows, rows->count, &result);
	notify_ready(&d->notify, NULL);
}
