/* SPDX-License-Identifier: MIT */
/*
 * cert.list and cert.reload: the certificates that this daemon's servers show. Reading them anew
 * blocks the main thread for the time of a few small files. Main thread.
 */
#include "rstund/control/methods.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/api.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"
#include "rstund/reload.h"
#include "tls/credentials.h"

#include <stdlib.h>
#include <string.h>

/* Those with a role: a server that is stopped shows nothing. */
static bool methods_cert_has(const struct held_server *s)
{
	return s->role != NULL && s->role->credentials != NULL;
}

static bool methods_cert_wanted(const struct held_server *s, const struct held_server *only)
{
	return (only == NULL || s == only) && methods_cert_has(s);
}

static size_t methods_cert_count(const struct daemon *d, const struct held_server *only)
{
	const struct held_server *s;
	size_t count = 0;

	TAILQ_FOREACH (s, &d->inventory.servers, link)
		count += methods_cert_wanted(s, only);
	return count;
}

/* *ret_only is NULL when no server is named. */
static int methods_cert_find(struct daemon *d, const struct rpc_cert_params *p,
			     struct held_server **ret_only, struct rpc_error *error)
{
	struct held_server *only = NULL;

	if (p->server != NULL) {
		only = methods_find_server(d, p->server, error);
		if (only == NULL)
			return RSTUN_E_FAILED;
	}
	*ret_only = only;
	return 0;
}

static char *methods_cert_id(const struct held_server *s)
{
	char id[INVENTORY_ID_SIZE];

	return strdup(inventory_server_id(id, s));
}

static char *methods_cert_pin(const struct held_server *s)
{
	uint8_t pin[PIN_BYTES];
	char text[PIN_TEXT_SIZE];

	tls_credentials_pin(s->role->credentials, pin);
	return strdup(pin_format(text, pin));
}

static int methods_cert_show(struct rpc_cert *ret, const struct held_server *s)
{
	struct tls_description description;

	ret->server = methods_cert_id(s);
	ret->pin = methods_cert_pin(s);
	if (ret->server == NULL || ret->pin == NULL ||
	    tls_credentials_describe(s->role->credentials, &description) != 0)
		return RSTUN_E_NOMEM;
	ret->not_before = show_time(description.not_before_us);
	ret->not_after = show_time(description.not_after_us);
	ret->self_signed = description.self_signed;
	ret->expired = description.not_after_us < clock_wall_us();
	ret->subject = description.subject;
	ret->names = description.names;
	description.subject = NULL;
	description.names = NULL;
	tls_description_done(&description);
	return ret->not_before != NULL && ret->not_after != NULL ? 0 : RSTUN_E_NOMEM;
}

struct answer methods_cert_list(struct daemon *d, struct call *c, const struct rpc_cert_params *p)
{
	struct rpc_cert_list result = {.certs = {.items = NULL}};
	struct held_server *only, *s;
	struct rpc_error error;
	struct rpc_cert *to;
	int rc;

	if (methods_cert_find(d, p, &only, &error) != 0)
		return call_fail(c, &error, NULL);
	rc = show_array(&result.certs, methods_cert_count(d, only), sizeof(*to));
	to = result.certs.items;
	TAILQ_FOREACH (s, &d->inventory.servers, link)
		if (rc == 0 && methods_cert_wanted(s, only))
			rc = methods_cert_show(to++, s);
	return methods_reply(c, &result, rc);
}

static int methods_cert_reload_one(struct daemon *d, struct held_server *s,
				   struct rpc_cert_reload *ret)
{
	struct rpc_error error;

	ret->server = methods_cert_id(s);
	if (reload_certificate(d, s, &ret->changed, &error) != 0) {
		ret->has_error = true;
		ret->error.kind = strdup(error.kind);
		ret->error.message = strdup(error.message);
		if (ret->error.kind == NULL || ret->error.message == NULL)
			return RSTUN_E_NOMEM;
	}
	ret->pin = methods_cert_pin(s);
	return ret->server != NULL && ret->pin != NULL ? 0 : RSTUN_E_NOMEM;
}

struct answer methods_cert_reload(struct daemon *d, struct call *c,
				  const struct rpc_cert_params *p)
{
	struct rpc_cert_reload_result result = {.servers = {.items = NULL}};
	struct held_server *only, *s;
	struct rpc_cert_reload *to;
	struct rpc_error error;
	int rc;

	if (methods_cert_find(d, p, &only, &error) != 0)
		return call_fail(c, &error, NULL);
	rc = show_array(&result.servers, methods_cert_count(d, only), sizeof(*to));
	to = result.servers.items;
	TAILQ_FOREACH (s, &d->inventory.servers, link)
		if (rc == 0 && methods_cert_wanted(s, only))
			rc = methods_cert_reload_one(d, s, to++);
	return methods_reply(c, &result, rc);
}
