/* SPDX-License-Identifier: MIT */
/*
 * The client role: what its mappings share. One endpoint (one UDP socket per family: one NAT
 * binding, and a hop moves all of them), resolvers, credentials, the gate before logins, drain.
 */
#include "tunnel/client.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "dns/resolver.h"
#include "quic/endpoint.h"
#include "tls/credentials.h"
#include "tls/session.h"
#include "tunnel/client_private.h"
#include "tunnel/counters.h"
#include "tunnel/limits.h"
#include "tunnel/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void client_emit(const struct client *c, const struct tunnel_event *event)
{
	if (c->env->on_event != NULL)
		c->env->on_event(c->env->user, event);
}

/* ---- TLS ---- */

/* --cert: its roots. A pin: the key is known, which says more than any chain. A name: the system's
 * roots. An address: nothing to check against. */
static int client_pick_credentials(struct client *c, const struct target *server,
				   struct tls_credentials **ret)
{
	char error[TLS_ERROR_SIZE];
	bool by_name = server->kind == TARGET_NAME && !c->config->has_pin;
	struct tls_credentials **made = by_name ? &c->system : &c->unverified;
	int err;

	if (c->params.credentials != NULL) {
		*ret = c->params.credentials;
		return 0;
	}
	if (*made == NULL) {
		err = by_name ? tls_credentials_new_client(made, NULL, error)
			      : tls_credentials_new_unverified(made);
		if (err != 0) {
			if (by_name)
				log_error(c->env->log, "tls", "no trust roots of the system: %s",
					  error);
			return err;
		}
	}
	*ret = *made;
	return 0;
}

/* The name sent is one of --sni-names in turn; the one that is checked is the server's own. */
static const char *client_next_sni(struct client *c)
{
	char **names = c->config->sni_names;

	size_t count = 0;

	while (names != NULL && names[count] != NULL)
		count++;
	/* Threads begin at different names, so that together they go round, too. */
	return count == 0 ? NULL : names[(c->env->worker + c->sni_turn++) % count];
}

int client_make_session(struct client *c, const struct target *server,
			const struct address *address, struct tls_session **ret)
{
	static const enum tls_cipher ciphers[] = {
		[CONFIG_CIPHER_CHACHA20_POLY1305] = TLS_CIPHER_CHACHA20_POLY1305,
		[CONFIG_CIPHER_AES_256_GCM] = TLS_CIPHER_AES_256_GCM,
		[CONFIG_CIPHER_AES_128_GCM] = TLS_CIPHER_AES_128_GCM,
		[CONFIG_CIPHER_AUTO] = TLS_CIPHER_AUTO,
	};
	bool by_name = server->kind == TARGET_NAME;
	struct tls_session_config config = {
		.cipher = ciphers[c->config->cipher],
		.verify_name = by_name ? server->name : NULL,
		.verify_ip = by_name ? NULL : address,
		.sni = client_next_sni(c),
		.pin = c->config->has_pin ? c->config->pin_sha256 : NULL,
	};
	int err = client_pick_credentials(c, server, &config.credentials);

	return err != 0 ? err : tls_session_new_client(ret, &config);
}

/* ---- the gate ---- */

/* Those who wait, and those who wait long because the password was wrong. */
static void client_wake(struct client *c)
{
	struct client_mapping *m;

	TAILQ_FOREACH(m, &c->mappings, link)
	{
		bool refused = m->state == TUNNEL_FAILED && (m->fail_error == RSTUN_E_AUTH_FAILED ||
							     m->fail_error == RSTUN_E_RATE_LIMITED);

		if (!m->stopped && (m->gated || refused))
			loop_timer_arm(&m->timer, loop_now(c->env->loop));
	}
}

static void client_gate_changed(struct client *c, enum client_gate_change change,
				uint64_t retry_after_ms)
{
	switch (change) {
	case CLIENT_GATE_SAME:
		return;
	case CLIENT_GATE_CLOSED:
		loop_timer_cancel(&c->pilot_timer);
		if (c->params.on_auth != NULL)
			c->params.on_auth(c->params.user, true, retry_after_ms);
		return;
	case CLIENT_GATE_REOPENED:
		if (c->params.on_auth != NULL)
			c->params.on_auth(c->params.user, false, 0);
		break;
	case CLIENT_GATE_OPENED:
		break;
	}
	loop_timer_cancel(&c->pilot_timer);
	client_wake(c);
}

void client_end_attempt(struct client *c, struct client_mapping *m)
{
	struct client_mapping *next;

	if (m->queued)
		TAILQ_REMOVE(&c->queue, m, queue_link);
	m->queued = false;
	if (!m->attempting)
		return;
	m->attempting = false;
	c->attempts--;
	for (size_t i = c->attempts; i < LIMITS_ATTEMPTS && !c->freeing; i++) {
		next = TAILQ_FIRST(&c->queue);
		if (next == NULL)
			break;
		TAILQ_REMOVE(&c->queue, next, queue_link);
		next->queued = false;
		loop_timer_arm(&next->timer, loop_now(c->env->loop));
	}
}

bool client_begin_attempt(struct client *c, struct client_mapping *m)
{
	bool may = client_gate_enter(&c->gate, m);

	if (!may && c->vague_open && !m->fail_vague) {
		/* Came after the refusals, of which it is not known what they were about. */
		c->vague_open = false;
		client_gate_pass(&c->gate, m);
		may = client_gate_enter(&c->gate, m);
	}
	m->gated = !may;
	if (may && c->attempts >= LIMITS_ATTEMPTS) {
		if (!m->queued)
			TAILQ_INSERT_TAIL(&c->queue, m, queue_link);
		m->queued = true;
		return false;
	}
	if (may && c->gate.state == CLIENT_GATE_UNKNOWN &&
	    c->pilot_timer.deadline_ns == CLOCK_NEVER)
		loop_timer_arm(&c->pilot_timer,
			       clock_after(loop_now(c->env->loop), clock_ms(LIMITS_PILOT_MS)));
	if (may) {
		m->attempting = true;
		c->attempts++;
	}
	return may;
}

static void client_on_pilot(void *user)
{
	struct client *c = user;

	client_gate_changed(c, client_gate_presume(&c->gate), 0);
}

/* Refused without a reason. If others got in it is not the password, and their gate stays open.
 * Else one of those that wait goes next, one at a time; only when many in a row fared alike all
 * wait for the slow retry. */
static void client_refused_vaguely(struct client *c, struct client_mapping *m)
{
	struct client_mapping *next;

	c->vague_open = false;
	if (c->gate.state == CLIENT_GATE_OPEN)
		return;
	(void)client_gate_result(&c->gate, m, RSTUN_E_AUTH_FAILED);
	loop_timer_cancel(&c->pilot_timer);
	if (c->gate.holder != m || ++c->vague_refusals >= LIMITS_VAGUE_REFUSALS)
		return;
	TAILQ_FOREACH(next, &c->mappings, link)
	{
		if (next->gated && !next->fail_vague) {
			client_gate_pass(&c->gate, next);
			loop_timer_arm(&next->timer, loop_now(c->env->loop));
			return;
		}
	}
	c->vague_open = true;
}

void client_attempted(struct client *c, struct client_mapping *m, int error,
		      uint64_t retry_after_ms)
{
	if (error == RSTUN_E_AUTH_FAILED && m->fail_vague) {
		client_refused_vaguely(c, m);
		return;
	}
	if (error == 0)
		c->vague_refusals = 0;
	client_gate_changed(c, client_gate_result(&c->gate, m, error), retry_after_ms);
}

void client_leave(struct client *c, struct client_mapping *m)
{
	uint64_t turn_ns = m->timer.deadline_ns;
	struct client_mapping *next, *other = NULL;

	client_end_attempt(c, m);
	m->gated = false;
	if (!client_gate_leave(&c->gate, m))
		return;
	if (turn_ns == CLOCK_NEVER) /* it was trying */
		turn_ns = loop_now(c->env->loop);
	TAILQ_FOREACH(next, &c->mappings, link)
	{
		if (next == m || next->stopped || next->conn != NULL)
			continue;
		other = next;
		if (next->gated && !next->fail_vague)
			break;
	}
	if (other != NULL) {
		/* At the turn of the one that left: the server sees no more attempts. */
		client_gate_pass(&c->gate, other);
		if (other->connect == NULL && other->dial.lookup == NULL)
			loop_timer_arm(&other->timer,
				       clock_min(other->timer.deadline_ns, turn_ns));
		return;
	}
	loop_timer_cancel(&c->pilot_timer);
	if (client_gate_forget(&c->gate) && c->params.on_auth != NULL)
		c->params.on_auth(c->params.user, false, 0);
}

void client_hold(struct client *c, bool held)
{
	enum client_gate_change change = client_gate_hold(&c->gate, held);

	/* Who says so knows it already: the other threads need not be told. */
	if (change != CLIENT_GATE_SAME)
		client_wake(c);
}

/* ---- hop ---- */

static void client_on_hop(void *user)
{
	struct client *c = user;
	struct client_mapping *m;

	TAILQ_FOREACH(m, &c->mappings, link)
	{
		if (m->state == TUNNEL_TUNNELING) {
			quic_endpoint_hop(c->endpoint);
			break;
		}
	}
	loop_timer_arm(&c->hop_timer,
		       clock_after(loop_now(c->env->loop), clock_ms(c->config->hop_interval_ms)));
}

/* ---- drain ---- */

static void client_on_drain_task(void *user)
{
	struct client *c = user;
	struct client_mapping *m;

	TAILQ_FOREACH(m, &c->mappings, link)
	if (m->conn != NULL)
		return;
	loop_timer_cancel(&c->drain_timer);
	if (c->on_drained != NULL) {
		void (*on_drained)(void *user) = c->on_drained;

		c->on_drained = NULL;
		on_drained(c->drain_user);
	}
}

void client_mapping_gone(struct client_mapping *m)
{
	if (m->client->draining)
		loop_task_schedule(m->client->env->loop, &m->client->drain_task);
	if (m->removal.asked)
		loop_task_schedule(m->client->env->loop, &m->removal.task);
}

static void client_on_drain_deadline(void *user)
{
	struct client *c = user;
	struct client_mapping *m;

	TAILQ_FOREACH(m, &c->mappings, link)
	client_mapping_stop(m, true);
}

void client_drain(struct client *c, uint64_t deadline_ns, void (*on_drained)(void *user),
		  void *user)
{
	struct client_mapping *m;

	c->draining = true;
	c->on_drained = on_drained;
	c->drain_user = user;
	loop_timer_cancel(&c->hop_timer);
	TAILQ_FOREACH(m, &c->mappings, link)
	client_mapping_stop(m, false);
	loop_timer_arm(&c->drain_timer, deadline_ns);
	loop_task_schedule(c->env->loop, &c->drain_task);
}

/* ---- counters ---- */

void client_counters(struct client *c, struct tunnel_counters *ret)
{
	struct tunnel_counters sum = c->removed;
	struct client_mapping *m;

	TAILQ_FOREACH(m, &c->mappings, link)
	{
		struct tunnel_counters one;

		client_mapping_counters(m, &one);
		counters_add(&sum, &one);
	}
	*ret = sum;
}

void client_tally_begin(struct client *c)
{
	c->tally = (struct client_tally){
		.number = c->tally.number + 1,
		.next = TAILQ_FIRST(&c->mappings),
		.sum = c->removed,
	};
}

bool client_tally_next(struct client *c, size_t max,
		       void (*visit)(void *user, uint64_t id,
				     const struct tunnel_counters *counters),
		       void *user, struct tunnel_counters *ret_sum)
{
	struct client_tally *tally = &c->tally;

	for (; tally->next != NULL && max > 0; max--) {
		struct client_mapping *m = tally->next;
		struct tunnel_counters counters;

		tally->next = TAILQ_NEXT(m, link);
		m->tally = tally->number;
		client_mapping_counters(m, &counters);
		counters_add(&tally->sum, &counters);
		visit(user, m->id, &counters);
	}
	*ret_sum = tally->sum;
	return tally->next != NULL;
}

void client_tally_removed(struct client_mapping *m, const struct tunnel_counters *final)
{
	struct client_tally *tally = &m->client->tally;

	if (tally->next == m)
		tally->next = TAILQ_NEXT(m, link);
	if (m->tally != tally->number)
		counters_add(&tally->sum, final);
}

/* ---- beginning and end ---- */

static int client_on_socket(struct quic_endpoint *ep, void *user, int fd)
{
	struct client *c = user;

	(void)ep;
	return egress_apply(&c->egress, fd, NULL);
}

static int client_on_dns_socket(void *user, int fd)
{
	struct client *c = user;

	return egress_apply_mark(&c->egress, fd);
}

static int client_make_resolvers(struct client *c, char *error, size_t error_size)
{
	struct resolver_config config = {
		.loop = c->env->loop,
		.log = c->env->log,
		.dot_servers = c->config->dot_servers,
		.dns_servers = c->config->dns_servers,
		.on_socket = client_on_dns_socket,
		.user = c,
	};
	int err = resolver_new(&c->resolver, &config, error, error_size);

	if (err != 0)
		return err;
	if (config.dot_servers == NULL && config.dns_servers == NULL) {
		c->dial_resolver = c->resolver;
		return 0;
	}
	config.dot_servers = NULL;
	config.dns_servers = NULL;
	return resolver_new(&c->dial_resolver, &config, error, error_size);
}

static int client_make_endpoint(struct client *c, char *error, size_t error_size)
{
	static const struct quic_endpoint_ops ops = {.on_socket = client_on_socket};
	struct quic_endpoint_config config;
	int err;

	transport_config(&config, c->env, c->config->quic_timeout_ms, c->config->congestion);
	config.quic.keep_alive_ns =
		clock_min(clock_ms(LIMITS_KEEP_ALIVE_MS), config.quic.idle_timeout_ns / 3);
	config.quic.streams_before_login = LIMITS_EARLY_STREAMS;
	config.ops = &ops;
	config.user = c;
	err = quic_endpoint_new(&c->endpoint, &config);
	if (err != 0)
		snprintf(error, error_size, "no QUIC endpoint: %s", rstun_strerror(err));
	return err;
}

int client_new(struct client **ret, const struct client_params *params, char *error,
	       size_t error_size)
{
	struct client *c = calloc(1, sizeof(*c));
	int err;

	if (c == NULL) {
		snprintf(error, error_size, "%s", rstun_strerror(RSTUN_E_NOMEM));
		return RSTUN_E_NOMEM;
	}
	c->params = *params;
	if (c->params.credentials != NULL)
		tls_credentials_ref(c->params.credentials);
	c->env = params->env;
	c->config = params->config;
	TAILQ_INIT(&c->mappings);
	TAILQ_INIT(&c->queue);
	egress_init(&c->egress, c->config->bind_device, &c->config->bind_address, c->config->fwmark,
		    &params->hook, c->env->log);
	loop_timer_init(&c->pilot_timer, c->env->loop, client_on_pilot, c);
	loop_timer_init(&c->hop_timer, c->env->loop, client_on_hop, c);
	loop_timer_init(&c->drain_timer, c->env->loop, client_on_drain_deadline, c);
	loop_task_init(&c->drain_task, client_on_drain_task, c);
	client_channel_init(c);
	err = client_make_resolvers(c, error, error_size);
	if (err == 0)
		err = client_make_endpoint(c, error, error_size);
	if (err != 0) {
		client_free(c);
		return err;
	}
	if (c->config->hop_interval_ms != 0)
		loop_timer_arm(&c->hop_timer, clock_after(loop_now(c->env->loop),
							  clock_ms(c->config->hop_interval_ms)));
	*ret = c;
	return 0;
}

int client_add_mapping(struct client *c, uint64_t id, const struct mapping *mapping, int fd)
{
	struct client_mapping *m;
	int err = 0;

	if (c->draining)
		err = RSTUN_E_SHUTTING_DOWN;
	else if (client_find(c, id) != NULL)
		err = RSTUN_E_ALREADY_EXISTS;
	if (err != 0) {
		if (fd >= 0)
			close(fd);
		return err;
	}
	err = client_mapping_new(&m, c, id, mapping, fd);
	if (err != 0)
		return err;
	TAILQ_INSERT_TAIL(&c->mappings, m, link);
	return 0;
}

void client_free(struct client *c)
{
	struct client_mapping *m;

	if (c == NULL)
		return;
	c->freeing = true;
	loop_timer_cancel(&c->pilot_timer);
	loop_timer_cancel(&c->hop_timer);
	loop_timer_cancel(&c->drain_timer);
	client_channel_done(c);
	loop_task_cancel(c->env->loop, &c->drain_task);
	client_probe_cancel_all(c);
	TAILQ_FOREACH(m, &c->mappings, link)
	client_mapping_shut(m);
	/* Connections tell their users that they are gone; so mappings go after the endpoint. */
	quic_endpoint_free(c->endpoint);
	while ((m = TAILQ_FIRST(&c->mappings)) != NULL) {
		TAILQ_REMOVE(&c->mappings, m, link);
		client_mapping_free(m);
	}
	if (c->dial_resolver != c->resolver)
		resolver_free(c->dial_resolver);
	resolver_free(c->resolver);
	tls_credentials_unref(c->system);
	tls_credentials_unref(c->unverified);
	tls_credentials_unref(c->params.credentials);
	free(c);
}
