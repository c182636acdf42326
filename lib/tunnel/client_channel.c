/* SPDX-License-Identifier: MIT */
/*
 * Channels of a client that no mapping's tunnel carries: those of callers and programs (TCP), the
 * associations of SOCKS5 and programs (UDP). Those of one protocol share one tunnel: a mapping without a listener, which is
 * made for the first of them and removed when there has been none for a minute. On the client's
 * thread.
 */
#include "tunnel/client_private.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

static void client_channel_on_timer(void *user)
{
	struct client_channels *channels = user;
	struct client *c = channels->client;
	struct client_mapping *m = channels->mapping;

	if (m == NULL)
		return;
	if (!flows_is_idle(&m->flows)) { /* what only waited ends without a word */
		client_channel_on_idle(m);
		return;
	}
	channels->mapping = NULL;
	(void)client_remove_mapping(c, m->id, loop_now(c->env->loop), NULL, NULL);
}

void client_channel_init(struct client *c)
{
	for (size_t i = 0; i < 2; i++) {
		c->channels[i].client = c;
		loop_timer_init(&c->channels[i].timer, c->env->loop, client_channel_on_timer,
				&c->channels[i]);
	}
}

void client_channel_done(struct client *c)
{
	for (size_t i = 0; i < 2; i++)
		loop_timer_cancel(&c->channels[i].timer);
}

/* NULL: it is an ordinary mapping, or a tunnel that is leaving. */
static struct client_channels *client_channel_of(struct client_mapping *m)
{
	struct client_channels *channels = &m->client->channels[m->mapping.proto];

	return channels->mapping == m ? channels : NULL;
}

void client_channel_on_idle(struct client_mapping *m)
{
	struct client_channels *channels = client_channel_of(m);

	if (channels != NULL)
		loop_timer_arm(&channels->timer, clock_after(loop_now(m->client->env->loop),
							     clock_ms(LIMITS_CHANNELS_IDLE_MS)));
}

void client_channel_on_failed(struct client_mapping *m, int error, const char *text)
{
	if (client_channel_of(m) == NULL)
		return;
	log_warn(m->client->env->log, m->scope, "no tunnel for them: %s", text);
	if (m->fail_error == 0) { /* for those who come before the next attempt */
		m->fail_error = error;
		snprintf(m->fail_text, sizeof(m->fail_text), "%s", text);
	}
	flows_fail_waiting(&m->flows, error, text);
	client_channel_on_idle(m);
}

/* The tunnel, which is made if need be. */
static int client_channel_mapping(struct client *c, enum mapping_proto proto,
				  struct client_mapping **ret)
{
	/* The kind of tunnel where each flow names its target; nobody is asked here. */
	const struct mapping tunnel = {
		.mode = MAPPING_OUT,
		.proto = proto,
		.local = {.kind = TARGET_DEFAULT},
		.remote = {.kind = TARGET_SOCKS5},
	};
	uint64_t id = UINT64_MAX - c->channels_made; /* far from those of mappings */
	int err = 0;

	if (c->channels[proto].mapping == NULL) {
		err = client_add_mapping(c, id, &tunnel, -1);
		if (err != 0)
			return err;
		c->channels_made++;
		c->channels[proto].mapping = client_find(c, id);
	}
	*ret = c->channels[proto].mapping;
	return 0;
}

/* Somebody wants it now: an attempt before its time, but not more often than this. */
static bool client_channel_may_retry(struct client_mapping *m)
{
	uint64_t now_ns = loop_now(m->client->env->loop);

	if (now_ns < clock_after(m->attempt_ns, clock_ms(LIMITS_CHANNELS_RETRY_MS)))
		return false;
	client_mapping_restart(m);
	return true;
}

int client_open_channel(struct client *c, const struct flow_channel *channel)
{
	struct client_mapping *m;
	int err = client_channel_mapping(c, MAPPING_TCP, &m);

	if (err != 0)
		return err;
	if (m->state == TUNNEL_FAILED && !client_channel_may_retry(m)) {
		flow_channel_close(channel);
		channel->done(channel->user, m->fail_error, m->fail_text);
		return 0;
	}
	client_channel_on_idle(m); /* from now on */
	return flows_open_channel(&m->flows, channel);
}

struct flows *client_channel_udp(struct client *c)
{
	struct client_mapping *m;

	if (client_channel_mapping(c, MAPPING_UDP, &m) != 0 || m->stopped ||
	    (m->state == TUNNEL_FAILED && !client_channel_may_retry(m)))
		return NULL;
	client_channel_on_idle(m); /* from now on */
	return &m->flows;
}

int client_open_udp(struct client *c, const struct flow_datagrams *program,
		    struct flow_associate **ret)
{
	struct client_mapping *m;
	int err = client_channel_mapping(c, MAPPING_UDP, &m);

	if (err != 0)
		return err;
	if (m->state == TUNNEL_FAILED && !client_channel_may_retry(m)) {
		*ret = NULL;
		program->on_failed(program->program.user, m->fail_error, m->fail_text);
		return 0;
	}
	client_channel_on_idle(m); /* from now on */
	return flows_open_udp(&m->flows, program, c->config->udp_timeout_ms, ret);
}

void client_cancel_channel(struct client *c, const void *user)
{
	struct client_mapping *m = c->channels[MAPPING_TCP].mapping;

	if (m == NULL)
		return;
	flows_cancel_channel(&m->flows, user);
	client_channel_on_idle(m);
}
