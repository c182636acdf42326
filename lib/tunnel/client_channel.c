/* SPDX-License-Identifier: MIT */
/*
 * Channels of a client that no listener accepted. They share one tunnel: a mapping without a
 * listener, which is made for the first channel and removed when there has been none for a minute.
 * On the client's thread.
 */
#include "tunnel/client_private.h"

#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

static void client_channel_on_timer(void *user)
{
	struct client *c = user;
	struct client_mapping *m = c->channels;

	if (m == NULL || !flows_is_idle(&m->flows))
		return;
	c->channels = NULL;
	(void)client_remove_mapping(c, m->id, loop_now(c->env->loop), NULL, NULL);
}

void client_channel_init(struct client *c)
{
	loop_timer_init(&c->channels_timer, c->env->loop, client_channel_on_timer, c);
}

void client_channel_on_idle(struct client *c)
{
	loop_timer_arm(&c->channels_timer, clock_after(loop_now(c->env->loop),
						       clock_ms(LIMITS_CHANNELS_IDLE_MS)));
}

void client_channel_on_failed(struct client *c, int error, const char *text)
{
	struct client_mapping *m = c->channels;

	if (m->fail_error == 0) { /* for those who come before the next attempt */
		m->fail_error = error;
		snprintf(m->fail_text, sizeof(m->fail_text), "%s", text);
	}
	flows_fail_waiting(&m->flows, error, text);
	client_channel_on_idle(c);
}

/* Somebody wants it now: an attempt before its time, but not more often than this. */
static bool client_channel_may_retry(struct client *c)
{
	uint64_t now_ns = loop_now(c->env->loop);

	if (now_ns < clock_after(c->channels->attempt_ns, clock_ms(LIMITS_CHANNELS_RETRY_MS)))
		return false;
	client_mapping_restart(c->channels);
	return true;
}

int client_open_channel(struct client *c, const struct flow_channel *channel)
{
	/* The kind of tunnel where each flow names its target; nobody is asked here. */
	static const struct mapping tunnel = {
		.mode = MAPPING_OUT,
		.proto = MAPPING_TCP,
		.local = {.kind = TARGET_DEFAULT},
		.remote = {.kind = TARGET_SOCKS5},
	};
	uint64_t id = UINT64_MAX - c->channels_made; /* far from those of mappings */
	int err;

	if (c->channels == NULL) {
		err = client_add_mapping(c, id, &tunnel, -1);
		if (err != 0)
			return err;
		c->channels_made++;
		c->channels = client_find(c, id);
	} else if (c->channels->state == TUNNEL_FAILED && !client_channel_may_retry(c)) {
		flow_channel_close(channel);
		channel->done(channel->user, c->channels->fail_error, c->channels->fail_text);
		return 0;
	}
	loop_timer_cancel(&c->channels_timer);
	err = flows_open_channel(&c->channels->flows, channel);
	if (err != 0)
		client_channel_on_idle(c);
	return err;
}
