/* SPDX-License-Identifier: MIT */
/*
 * session.list, session.get, session.kick: the sessions that are logged in at this daemon's
 * servers. The first two answer when the workers have told their counters; what a session is named
 * by is looked up before (a wrong name is an error at once) and again then, since it may have
 * ended. Main thread.
 */
#include "rstund/control/methods.h"

#include "base/error.h"
#include "rpc/api.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"
#include "rstund/messages.h"
#include "rstund/worker.h"

#include <stdlib.h>
#include <string.h>

/* ---- session.list ---------------------------------------------------------------------------- */

/* `data`: number of the server, or NULL for all. */
static struct answer methods_session_listed(struct daemon *d, struct call *c, void *data)
{
	const unsigned *server = data;
	struct rpc_session_list result = {.sessions = {.items = NULL}};
	const struct held_session *s;
	struct rpc_session *to;
	size_t count = 0, at = 0;
	int rc;

	TAILQ_FOREACH (s, &d->inventory.sessions, link)
		count += server == NULL || s->server->number == *server;
	rc = show_array(&result.sessions, count, sizeof(struct rpc_session));
	to = result.sessions.items;
	TAILQ_FOREACH (s, &d->inventory.sessions, link)
		if (rc == 0 && (server == NULL || s->server->number == *server))
			rc = show_session(&to[at++], s);
	return methods_reply(c, &result, rc);
}

struct answer methods_session_list(struct daemon *d, struct call *c,
				   const struct rpc_session_list_params *p)
{
	const struct held_server *server;
	struct rpc_error error;
	unsigned *number = NULL;

	if (p->server != NULL) {
		server = methods_find_server(d, p->server, &error);
		if (server == NULL)
			return call_fail(c, &error, NULL);
		number = malloc(sizeof(*number));
		if (number == NULL)
			return methods_nomem(c);
		*number = server->number;
	}
	return methods_after_refresh(d, c, number, methods_session_listed, NULL);
}

/* ---- session.get ----------------------------------------------------------------------------- */

/* `data`: its id. */
static struct answer methods_session_got(struct daemon *d, struct call *c, void *data)
{
	struct rpc_session result;
	struct rpc_error error;
	const struct held_session *s = methods_find_session(d, data, &error);

	if (s == NULL)
		return call_fail(c, &error, NULL);
	memset(&result, 0, sizeof(result));
	return methods_reply(c, &result, show_session(&result, s));
}

struct answer methods_session_get(struct daemon *d, struct call *c,
				  const struct rpc_session_params *p)
{
	struct rpc_error error;
	char *id;

	if (methods_find_session(d, p->id, &error) == NULL)
		return call_fail(c, &error, NULL);
	id = strdup(p->id);
	if (id == NULL)
		return methods_nomem(c);
	return methods_after_refresh(d, c, id, methods_session_got, NULL);
}

/* ---- session.kick ---------------------------------------------------------------------------- */

struct answer methods_session_kick(struct daemon *d, struct call *c,
				   const struct rpc_session_params *p)
{
	const struct rpc_done_result done = {.done = true};
	const struct held_session *s;
	struct rpc_error error;
	struct message *m;

	s = methods_find_session(d, p->id, &error);
	if (s == NULL)
		return call_fail(c, &error, NULL);
	m = message_new(MESSAGE_KICK, s->role, 0);
	if (m == NULL)
		return methods_nomem(c);
	m->kick.session_id = s->id;
	worker_post(d->workers[s->worker], m);
	return call_reply(c, &done);
}
