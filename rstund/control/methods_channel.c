/* SPDX-License-Identifier: MIT */
/*
 * channel.open: the caller's connection becomes a flow through a client's tunnel. The worker that
 * has the flow writes the reply, so that no byte of the flow can come before it; while it waits for
 * the tunnel the connection stays here, and an error is a reply as any other. Main thread.
 */
#include "rstund/control/methods.h"

#include "base/clock.h"
#include "base/error.h"
#include "config/config.h"
#include "rpc/api.h"
#include "rstund/daemon_private.h"
#include "rstund/messages.h"
#include "rstund/worker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The worker gives up after CONFIG_CONNECT_TIMEOUT_MS; for the case that it hangs. */
#define METHODS_CHANNEL_GRACE_MS 2000

struct methods_channel {
	struct call *call;
	struct gather *gather;
	int error;
	char text[MESSAGE_TEXT_SIZE];
	char client[INVENTORY_ID_SIZE];
};

static void methods_channel_on_cancel(struct call *c, void *user)
{
	struct methods_channel *mc = user;

	(void)c;
	gather_cancel(mc->gather);
	free(mc);
}

static void methods_channel_on_message(void *user, const struct message *m)
{
	struct methods_channel *mc = user;

	mc->error = m->gathered.error;
	snprintf(mc->text, sizeof(mc->text), "%s", m->gathered.text);
}

static void methods_channel_on_done(void *user, bool complete)
{
	struct methods_channel *mc = user;
	struct rpc_error error;

	if (complete && mc->error == 0) {
		call_handed_over(mc->call);
	} else {
		rpc_error_from(&error, complete ? mc->error : RSTUN_E_TIMEOUT,
			       "channel.open: no channel through client %s: %s", mc->client,
			       complete ? mc->text : "its worker did not answer in time");
		rpc_error_hint(&error, "rstunctl explain %s", mc->client);
		call_end(call_fail(mc->call, &error, NULL));
	}
	free(mc);
}

static const struct gather_ops methods_channel_ops = {
	.on_message = methods_channel_on_message,
	.done = methods_channel_on_done,
};

static int methods_channel_target(struct target *ret, const char *text, enum mapping_proto proto,
				  struct rpc_error *error)
{
	char why[FIELD_ERROR_SIZE];
	struct target target = {.kind = TARGET_DEFAULT};

	if (strcasecmp(text, "ANY") != 0 &&
	    config_check_upstream(&target, proto, text, why, sizeof(why)) != 0) {
		rpc_error_set(error, RPC_INVALID_PARAMS, "target: %s", why);
		return RSTUN_E_MALFORMED;
	}
	if (target.kind == TARGET_UNIX) {
		rpc_error_set(error, RPC_INVALID_PARAMS,
			      "target: a server connects to no path that a client names: make it the "
			      "server's --tcp-upstream and write ANY");
		return RSTUN_E_MALFORMED;
	}
	*ret = target;
	return 0;
}

/* The message with what goes before the flow's bytes; it owns the socket. */
static struct message *methods_channel_message(const struct held_client *client,
					       const struct target *target,
					       enum mapping_proto proto,
					       const struct call_socket *s)
{
	struct message *m = message_new(MESSAGE_OPEN_CHANNEL, client->role->index,
					s->early_bytes + s->reply_bytes);

	if (m == NULL) {
		close(s->fd);
		return NULL;
	}
	m->open_channel.fd = s->fd;
	m->open_channel.target = *target;
	m->open_channel.proto = proto;
	m->open_channel.early_bytes = s->early_bytes;
	m->open_channel.reply_bytes = s->reply_bytes;
	memcpy(m->data, s->early, s->early_bytes);
	memcpy(m->data + s->early_bytes, s->reply, s->reply_bytes);
	return m;
}

static int methods_channel_ask(struct daemon *d, struct methods_channel *mc,
			       struct held_client *client, struct message *m)
{
	unsigned worker;

	if (role_ensure_part(client->role, &worker) != 0 ||
	    gather_new(&mc->gather, &d->gathers, &methods_channel_ops, mc,
		       CONFIG_CONNECT_TIMEOUT_MS + METHODS_CHANNEL_GRACE_MS) != 0)
		return RSTUN_E_NOMEM;
	gather_ask(mc->gather, d->workers[worker], m);
	return 0;
}

struct answer methods_channel_open(struct daemon *d, struct call *c,
				   const struct rpc_channel_open_params *p)
{
	enum mapping_proto proto = (enum mapping_proto)p->proto;
	char text[ADDRESS_TARGET_TEXT_SIZE];
	struct rpc_channel_open_result result = {0};
	struct methods_channel *mc;
	struct held_client *client;
	struct call_socket s;
	struct target target;
	struct rpc_error error;
	struct message *m;

	if (methods_channel_target(&target, p->target, proto, &error) != 0)
		return call_fail(c, &error, NULL);
	client = methods_the_client(d, p->client, &error);
	if (client == NULL)
		return call_fail(c, &error, NULL);
	mc = calloc(1, sizeof(*mc));
	if (mc == NULL)
		return methods_nomem(c);
	mc->call = c;
	inventory_client_id(mc->client, client);
	result.client = mc->client;
	target_format(text, sizeof(text), &target);
	result.target = text;
	if (call_hand_over(c, &result, &s, &error) != 0) {
		free(mc);
		return call_fail(c, &error, NULL);
	}
	m = methods_channel_message(client, &target, proto, &s);
	free(s.reply);
	if (m == NULL || methods_channel_ask(d, mc, client, m) != 0) {
		message_free(m);
		free(mc);
		return methods_nomem(c);
	}
	return call_later(c, methods_channel_on_cancel, mc);
}
