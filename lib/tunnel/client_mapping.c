/* SPDX-License-Identifier: MIT */
/*
 * The life of one mapping of a client: connect, session (client_session.c), wait, again. One
 * function sets its state and tells the world, one function ends an attempt whatever ended it. The
 * listener of an OUT mapping lives as long as the mapping.
 */
#include "tunnel/client_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "quic/conn.h"
#include "tunnel/connect.h"
#include "tunnel/counters.h"
#include "tunnel/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct loop *client_mapping_loop(const struct client_mapping *m)
{
	return m->client->env->loop;
}

/* The only place that changes the state. */
void client_mapping_set_state(struct client_mapping *m, enum tunnel_state now, int error,
			      const char *text, uint64_t next_retry_ms)
{
	struct tunnel_event event = {
		.type = TUNNEL_EVENT_STATE,
		.id = m->id,
		.mode = m->mapping.mode,
		.proto = m->mapping.proto,
		.mapping = &m->mapping,
		.peer = m->peer.len != 0 ? &m->peer : NULL,
		.error = error,
		.text = text,
		.state = {
			.prev = m->state,
			.now = now,
			.attempt = now == TUNNEL_TUNNELING ? 0 : m->attempt, /* since it was up */
			.next_retry_ms = next_retry_ms,
			.bound = m->bound.len != 0 ? &m->bound : NULL,
			.unverified = m->unverified,
			.cipher = m->cipher,
			.peer_software = m->software,
		},
	};

	if (now == TUNNEL_TUNNELING)
		event.state.took_ms =
			(loop_now(client_mapping_loop(m)) - m->attempt_ns) / CLOCK_NS_PER_MS;
	m->state = now;
	client_emit(m->client, &event);
}

void client_mapping_ended(struct client_mapping *m, int error, const char *text,
			  uint64_t retry_after_ms)
{
	uint64_t now_ns = loop_now(client_mapping_loop(m));
	uint64_t delay_ns, delay_ms;
	bool logged_in = m->logged_in;

	m->logged_in = false;
	client_end_attempt(m->client, m);
	if (m->mapping.mode == MAPPING_IN)
		m->bound.len = 0;
	if (m->client->freeing)
		return;
	if (m->stopped) {
		client_mapping_set_state(m, TUNNEL_STOPPED, 0, text, 0);
		client_mapping_gone(m);
		return;
	}
	if (m->again) {
		m->again = false;
		loop_timer_arm(&m->timer, now_ns);
		return;
	}
	if (retry_after_ms > LIMITS_RETRY_AFTER_MS)
		retry_after_ms = LIMITS_RETRY_AFTER_MS;
	delay_ns = backoff_down(&m->backoff, error, now_ns, random_u64());
	if (clock_ms(retry_after_ms) > delay_ns)
		delay_ns = clock_ms(retry_after_ms);
	delay_ms = (delay_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
	loop_timer_arm(&m->timer, clock_after(now_ns, delay_ns));
	client_mapping_set_state(m, backoff_is_slow(error) ? TUNNEL_FAILED : TUNNEL_RECONNECTING,
				 error, text, delay_ms);
	if (backoff_is_slow(error))
		client_channel_on_failed(m, error, text);
	if (!logged_in)
		client_attempted(m->client, m, error, delay_ms);
}

/* ---- an attempt ---- */

static void client_mapping_on_connected(void *user, const struct connect_result *result)
{
	struct client_mapping *m = user;

	m->connect = NULL;
	m->peer = result->address;
	if (result->error != 0)
		client_mapping_ended(m, result->error, result->text, 0);
	else
		client_session_start(m, result->conn);
}

static int client_mapping_on_session(void *user, const struct target *server,
				     const struct address *address, struct tls_session **ret)
{
	struct client_mapping *m = user;

	return client_make_session(m->client, server, address, ret);
}

static void client_mapping_connect(struct client_mapping *m)
{
	struct client *c = m->client;
	struct connect_params params = {
		.env = c->env,
		.endpoint = c->endpoint,
		.resolver = c->resolver,
		.servers = c->config->servers,
		.server_count = c->config->server_count,
		.scope = m->scope,
		.session = client_mapping_on_session,
		.done = client_mapping_on_connected,
		.user = m,
	};
	int err = connect_start(&m->connect, &params);

	if (err != 0)
		client_mapping_ended(m, err, rstun_strerror(err), 0);
}

static void client_mapping_on_upstream(void *user, const struct dial_result *result)
{
	struct client_mapping *m = user;

	if (result->error != 0) {
		client_mapping_ended(m, result->error, result->why, 0);
		return;
	}
	m->upstream = *dial_pick(result);
	client_mapping_connect(m);
}

void client_mapping_go(struct client_mapping *m)
{
	if (m->stopped || m->connect != NULL || m->conn != NULL || m->dial.lookup != NULL)
		return;
	if (!client_begin_attempt(m->client, m)) {
		if (m->gated && m->state != TUNNEL_IDLE && m->state != TUNNEL_FAILED)
			client_mapping_set_state(
				m, TUNNEL_FAILED, RSTUN_E_AUTH_FAILED,
				"waits until another mapping has got in with the password", 0);
		return;
	}
	loop_timer_cancel(&m->timer);
	m->attempt = backoff_attempts(&m->backoff) + 1;
	m->attempt_ns = loop_now(client_mapping_loop(m));
	m->peer.len = 0;
	m->unverified = false;
	m->cipher = NULL;
	m->software[0] = '\0';
	m->fail_error = 0;
	m->fail_retry_ms = 0;
	m->fail_vague = false;
	m->fail_text[0] = '\0';
	client_mapping_set_state(m, TUNNEL_CONNECTING, 0, "", 0);
	if (m->mapping.remote.kind == TARGET_NAME && m->resolve_here)
		dial_resolve(&m->dial, m->client->dial_resolver, &m->mapping.remote,
			     client_mapping_on_upstream, m);
	else
		client_mapping_connect(m);
}

static void client_mapping_on_timer(void *user)
{
	client_mapping_go(user);
}

/* ---- flows ---- */

static void client_mapping_close(struct client_mapping *m)
{
	quic_conn_close(m->conn, 1,
			m->removal.asked ? "the mapping was removed" : "shutting down");
}

static void client_mapping_on_flow(void *user, const struct flow_end *end)
{
	struct client_mapping *m = user;
	struct tunnel_event event = {
		.type = TUNNEL_EVENT_FLOW,
		.id = m->id,
		.mode = m->mapping.mode,
		.proto = end->proto,
		.mapping = &m->mapping,
		.peer = m->peer.len != 0 ? &m->peer : NULL,
		.error = flow_error_to_rstun(end->error),
		.text = end->error == FLOW_OK ? "" : flow_error_text(end->error),
		.flow = {
			.id = end->id,
			.source = end->source,
			.target = end->target,
			.in_bytes = end->in_bytes,
			.out_bytes = end->out_bytes,
			.duration_ms = end->duration_ms,
		},
	};

	client_emit(m->client, &event);
}

static void client_mapping_on_idle(void *user)
{
	struct client_mapping *m = user;

	if (m->stopped && m->conn != NULL)
		client_mapping_close(m);
	else
		client_channel_on_idle(m);
}

static struct flows *client_mapping_on_associate(void *user)
{
	struct client_mapping *m = user;

	return client_channel_udp(m->client);
}

/* Only of a mapping whose local side is a program. */
static enum flow_answer client_mapping_on_request(void *user, struct flow_request *request,
						  struct flow_program *ret_program)
{
	struct client_mapping *m = user;

	request->owner_id = m->id;
	request->peer = &m->peer;
	return m->client->params.on_request(m->client->params.user, request, ret_program);
}

static bool client_mapping_is_of_program(const struct client_mapping *m)
{
	return m->mapping.mode == MAPPING_IN && m->mapping.local.kind == TARGET_DEFAULT;
}

/* ---- beginning and end ---- */

/* What works for nobody, or for everybody, is most likely not what was meant. */
static void client_mapping_warn_shut(const struct client_mapping *m)
{
	if (m->client->config->permit_count == 0)
		log_warn(m->client->env->log, m->scope,
			 "whoever connects to it reaches nothing: --permit-remote-open says what "
			 "may be reached");
}

static void client_mapping_warn_open(const struct client_mapping *m)
{
	char text[ADDRESS_TEXT_SIZE];

	if (m->client->config->proxy_auth == NULL && m->bound.len != 0 &&
	    !address_is_loopback(&m->bound))
		log_warn(m->client->env->log, m->scope,
			 "whoever reaches %s may use it: --proxy-auth-file asks for a password",
			 address_format(text, sizeof(text), &m->bound));
}

static int client_mapping_listen(struct client_mapping *m, int fd)
{
	if (target_is_asked(&m->mapping.local))
		client_mapping_warn_shut(m);
	if (m->mapping.mode == MAPPING_IN || m->mapping.local.kind == TARGET_DEFAULT) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	(void)address_of_socket(&m->bound, fd);
	if (target_is_asked(&m->mapping.remote)) {
		client_mapping_warn_open(m);
		return flows_listen_asking(&m->flows, fd, m->mapping.remote.kind);
	}
	if (m->mapping.proto == MAPPING_TCP)
		return flows_listen_tcp(&m->flows, fd);
	return flows_listen_udp(&m->flows, fd, m->client->config->udp_timeout_ms);
}

int client_mapping_new(struct client_mapping **ret, struct client *c, uint64_t id,
		       const struct mapping *mapping, int fd)
{
	struct client_mapping *m = calloc(1, sizeof(*m));
	struct flows_config flows = {
		.env = c->env,
		.resolver = c->dial_resolver,
		.egress = &c->egress,
		.on_flow = client_mapping_on_flow,
		.on_idle = client_mapping_on_idle,
		.on_associate = client_mapping_on_associate,
		.proxy_auth = c->config->proxy_auth,
		.permits = c->config->permits,
		.permit_count = c->config->permit_count,
		.user = m,
	};
	char text[MAPPING_TEXT_SIZE];
	int err;

	if (m == NULL) {
		if (fd >= 0)
			close(fd);
		return RSTUN_E_NOMEM;
	}
	m->client = c;
	m->id = id;
	m->mapping = *mapping;
	snprintf(m->scope, sizeof(m->scope), "%s %s", mapping_proto_name(mapping->proto),
		 mapping->mode == MAPPING_OUT && mapping->local.kind == TARGET_DEFAULT
			 ? "channels"
			 : mapping_format(text, sizeof(text), mapping));
	flows.scope = m->scope;
	if (client_mapping_is_of_program(m))
		flows.on_request = client_mapping_on_request;
	flows_init(&m->flows, &flows);
	backoff_init(&m->backoff, c->config->wait_before_retry_ms);
	loop_timer_init(&m->timer, c->env->loop, client_mapping_on_timer, m);
	client_change_init(m);
	err = client_mapping_listen(m, fd);
	if (err != 0) {
		free(m);
		return err;
	}
	loop_timer_arm(&m->timer, loop_now(c->env->loop));
	*ret = m;
	return 0;
}

/* The attempt that it makes or waits for; a connection that is there is another matter. */
static void client_mapping_cancel(struct client_mapping *m)
{
	client_end_attempt(m->client, m);
	loop_timer_cancel(&m->timer);
	dial_cancel(&m->dial);
	connect_cancel(m->connect);
	m->connect = NULL;
}

void client_mapping_restart(struct client_mapping *m)
{
	client_mapping_cancel(m);
	backoff_init(&m->backoff, m->client->config->wait_before_retry_ms);
	client_gate_force(&m->client->gate, m);
	if (m->conn != NULL) {
		m->again = true;
		quic_conn_close(m->conn, 1, "the mapping was restarted");
	} else {
		loop_timer_arm(&m->timer, loop_now(client_mapping_loop(m)));
	}
}

void client_mapping_stop(struct client_mapping *m, bool now)
{
	bool first = !m->stopped;

	m->stopped = true;
	client_mapping_cancel(m);
	flows_drain(&m->flows);
	if (m->conn != NULL) {
		if (now || !m->logged_in || flows_tcp_count(&m->flows) == 0)
			client_mapping_close(m);
	} else if (first) {
		client_mapping_set_state(m, TUNNEL_STOPPED, 0, "", 0);
	}
}

void client_mapping_counters(struct client_mapping *m, struct tunnel_counters *ret)
{
	*ret = m->closed;
	/* The path of a connection that is gone says nothing about now. */
	ret->rtt_ms = ret->cwnd_bytes = 0;
	ret->current_mtu = ret->max_datagram = 0;
	if (m->conn != NULL)
		counters_add_conn(ret, m->conn);
	flows_counters(&m->flows, ret);
}

void client_mapping_shut(struct client_mapping *m)
{
	m->stopped = true;
	client_change_done(m);
	loop_timer_cancel(&m->timer);
	dial_cancel(&m->dial);
	connect_cancel(m->connect);
	m->connect = NULL;
	flows_done(&m->flows, FLOW_SHUTTING_DOWN);
}

void client_mapping_free(struct client_mapping *m)
{
	free(m);
}
