/* SPDX-License-Identifier: MIT */
/*
 * The life of one connection on the server: handshake, login, claim of an address, flows, end. Made
 * when the connection is accepted, freed in its on_close and nowhere else. A refusal is written,
 * delivered, and then the connection is closed; every other fault closes it at once. The reason is
 * noted first, so that the end is reported with it.
 */
#include "tunnel/server_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "quic/conn.h"
#include "tls/session.h"
#include "tunnel/counters.h"
#include "tunnel/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void server_session_event(const struct server_session *ss, struct tunnel_event *ret,
			  enum tunnel_event_type type)
{
	*ret = (struct tunnel_event){
		.type = type,
		.id = ss->id,
		.mode = ss->login.mode,
		.proto = ss->login.proto,
		.mapping = ss->state == SERVER_SESSION_NEW || ss->login.channel
				   ? NULL
				   : &ss->login.mapping,
		.peer = &ss->peer,
		.text = "",
	};
}

static void server_session_report(struct server_session *ss, enum tunnel_session_change change,
				  int error, const char *text)
{
	struct tunnel_event event;

	server_session_event(ss, &event, TUNNEL_EVENT_SESSION);
	event.error = error;
	event.text = text;
	event.session.change = change;
	event.session.bound = ss->bound.len != 0 ? &ss->bound : NULL;
	event.session.peer_software = ss->software;
	if (change == TUNNEL_SESSION_LOGIN)
		event.session.cipher = tls_session_cipher_name(quic_conn_tls(ss->conn));
	server_emit(ss->server, &event);
}

void server_session_note(struct server_session *ss, int error, const char *text)
{
	if (ss->end_error != 0)
		return;
	ss->end_error = error;
	snprintf(ss->end_text, sizeof(ss->end_text), "%s", text);
}

/* Gives the listening address back, and the socket with it. */
static void server_session_unlisten(struct server_session *ss)
{
	if (!ss->listening)
		return;
	flows_drain(&ss->flows);
	ss->listening = false;
	server_release(ss->server, ss->id);
}

/* ---- login ---- */

static void server_session_refuse(struct server_session *ss, const struct server_refusal *refusal)
{
	server_session_report(ss, TUNNEL_SESSION_REFUSED, refusal->error, refusal->text);
	server_session_note(ss, refusal->error, refusal->text);
	ss->state = SERVER_SESSION_CLOSING;
	session_stream_refuse(&ss->control, refusal->error, refusal->text, refusal->retry_after_ms);
}

/* Everything that the login asked for is there. */
static void server_session_up(struct server_session *ss)
{
	struct flows_tunnel tunnel = {
		.conn = ss->conn,
		.peer_is_original = ss->peer_is_original,
		.tcp_idle_ms = ss->login.tcp_idle_ms,
		.udp_idle_ms = ss->login.udp_idle_ms,
	};
	const struct address *bound = ss->bound.len != 0 ? &ss->bound : NULL;

	if (session_stream_accept(&ss->control, server_ipv6_supported(), bound) != 0) {
		/* Too late, or the stream is gone: the session has refused by itself. */
		server_session_note(ss, RSTUN_E_TIMEOUT, "the answer to the login came too late");
		server_session_report(ss, TUNNEL_SESSION_REFUSED, ss->end_error, ss->end_text);
		ss->state = SERVER_SESSION_CLOSING;
		server_session_unlisten(ss);
		return;
	}
	if (ss->state == SERVER_SESSION_CLOSING) /* what came behind the login was wrong */
		return;
	ss->state = SERVER_SESSION_UP;
	ss->listed = true;
	/* IN: the peer opens none, but the window grows all the same. */
	quic_conn_allow_streams(ss->conn, ss->login.mode == MAPPING_OUT ? LIMITS_STREAMS : 1);
	if (ss->login.proto == MAPPING_UDP &&
	    (session_granted(&ss->control.session) & WIRE_FEATURE_DATAGRAM))
		quic_conn_start_datagrams(ss->conn, ss->login.mode == MAPPING_IN);
	server_session_report(ss, TUNNEL_SESSION_LOGIN, 0, "");
	flows_attach(&ss->flows, &tunnel);
}

static void server_session_on_login(void *user, const struct wire_login *login,
				    const struct wire_trailer *trailer)
{
	struct server_session *ss = user;
	struct server *s = ss->server;
	struct server_refusal refusal;

	ss->peer_is_original = !trailer->present;
	log_quote(ss->software, sizeof(ss->software), trailer->software, strlen(trailer->software));
	if (s->draining) {
		refusal = (struct server_refusal){.error = RSTUN_E_SHUTTING_DOWN};
		snprintf(refusal.text, sizeof(refusal.text), "the server is shutting down");
		server_session_refuse(ss, &refusal);
		return;
	}
	if (server_login_check(&ss->login, &refusal, s->config, s->password_digest, s->penalty,
			       &ss->peer, login, trailer, loop_now(s->env->loop)) != 0) {
		if (refusal.error != RSTUN_E_AUTH_FAILED &&
		    refusal.error != RSTUN_E_RATE_LIMITED && server_check_asked(ss, trailer))
			server_check_refuse(ss, &refusal);
		else
			server_session_refuse(ss, &refusal);
		return;
	}
	if (server_check_asked(ss, trailer)) {
		server_check_start(ss);
		return;
	}
	ss->state = SERVER_SESSION_CLAIMING;
	if (ss->login.mode == MAPPING_IN)
		server_claim_address(s, ss);
	else
		server_session_up(ss);
}

static int server_session_listen(struct server_session *ss, int fd)
{
	if (ss->login.proto == MAPPING_UDP)
		return flows_listen_udp(&ss->flows, fd, ss->login.udp_idle_ms);
	if (config_proxies_in(ss->server->config, address_port(&ss->bound)))
		return flows_listen_proxied(&ss->flows, fd);
	return flows_listen_tcp(&ss->flows, fd);
}

void server_session_claimed(struct server_session *ss, int error, int fd,
			    const struct address *bound)
{
	struct server_refusal refusal;

	if (ss->check != NULL) { /* fd is -1 */
		server_check_claimed(ss, error, bound);
		return;
	}
	if (error == 0 && ss->state != SERVER_SESSION_CLAIMING) {
		close(fd);
		server_release(ss->server, ss->id);
		return;
	}
	if (ss->state != SERVER_SESSION_CLAIMING)
		return;
	if (error == 0) {
		ss->listening = true;
		ss->bound = *bound;
		error = server_session_listen(ss, fd);
	}
	if (error == 0) {
		server_session_up(ss);
		return;
	}
	server_session_unlisten(ss);
	server_login_bind_failed(&refusal, ss->login.proto, &ss->login.listen, error);
	server_session_refuse(ss, &refusal);
}

/* The session is over: a peer that does not log in or sends garbage, or after a refusal. */
static void server_session_on_failure(void *user, const struct session_failure *failure)
{
	struct server_session *ss = user;

	if (ss->state == SERVER_SESSION_NEW || ss->state == SERVER_SESSION_CLAIMING)
		server_session_report(ss, TUNNEL_SESSION_REFUSED, failure->error, failure->text);
	server_session_note(ss, failure->error, failure->text);
	ss->state = SERVER_SESSION_CLOSING;
	quic_conn_close(ss->conn, 1, failure->text);
}

static void server_session_on_delivered(void *user)
{
	struct server_session *ss = user;

	quic_conn_close(ss->conn, 1, "refused");
}

static const struct session_stream_ops server_session_control_ops = {
	.on_login = server_session_on_login,
	.on_failure = server_session_on_failure,
	.on_delivered = server_session_on_delivered,
};

/* ---- the connection ---- */

static void server_session_on_ready(struct quic_conn *conn, void *user)
{
	struct server_session *ss = user;
	struct session_config config;

	ss->peer = *quic_conn_remote(conn);
	session_config_default(&config);
	config.features |= WIRE_FEATURE_PROBE;
	config.software = PACKAGE_STRING;
	config.login_timeout_ns = clock_ms(LIMITS_LOGIN_MS);
	config.answer_timeout_ns = clock_ms(LIMITS_ANSWER_MS);
	config.linger_ns = clock_ms(LIMITS_LINGER_MS);
	config.log = ss->server->env->log;
	config.scope = ss->scope;
	session_stream_init(&ss->control, ss->server->env->loop, &config,
			    &server_session_control_ops, ss);
	ss->control_live = true;
	session_stream_wait(&ss->control);
}

static void server_session_on_stream(struct quic_conn *conn, void *user, struct quic_stream *s)
{
	struct server_session *ss = user;
	const struct server_login *login = &ss->login;

	if (ss->control_live && quic_stream_id(s) == 0) {
		session_stream_attach(&ss->control, s);
		return;
	}
	if (ss->state != SERVER_SESSION_UP) {
		/* QUIC allows one stream before login, so this is a second one behind a refusal, or
		 * a peer that does not begin with stream 0. */
		server_session_note(ss, RSTUN_E_PROTOCOL_MISMATCH, "a stream before the login");
		ss->state = SERVER_SESSION_CLOSING;
		quic_conn_close(conn, 1, "a stream before the login");
	} else if (login->mode == MAPPING_IN) {
		flows_refuse(&ss->flows, s, FLOW_DENIED);
	} else if (login->proto == MAPPING_TCP) {
		flows_dial_tcp(&ss->flows, s, login->channel ? NULL : &login->mapping.remote,
			       login->channel, &login->upstream);
	} else {
		flows_dial_udp(&ss->flows, s, login->channel ? NULL : &login->upstream,
			       &login->upstream);
	}
}

static void server_session_on_streams_available(struct quic_conn *conn, void *user)
{
	struct server_session *ss = user;

	(void)conn;
	flows_resume(&ss->flows);
}

static void server_session_on_path(struct quic_conn *conn, void *user)
{
	struct server_session *ss = user;
	char from[ADDRESS_TEXT_SIZE], to[ADDRESS_TEXT_SIZE];

	if (address_equal(&ss->peer, quic_conn_remote(conn)))
		return;
	log_debug(ss->server->env->log, ss->scope, "the peer moved from %s to %s",
		  address_format(from, sizeof(from), &ss->peer),
		  address_format(to, sizeof(to), quic_conn_remote(conn)));
	ss->peer = *quic_conn_remote(conn);
}

static void server_session_on_close(struct quic_conn *conn, void *user,
				    const struct quic_close *why)
{
	struct server_session *ss = user;
	struct server *s = ss->server;
	/* A peer that goes is no error, whatever its reason. */
	bool meant = why->kind == QUIC_CLOSE_PEER_APP || why->kind == QUIC_CLOSE_LOCAL;
	int error = meant ? 0 : why->error;
	struct tunnel_counters counters;

	(void)conn;
	server_session_counters(ss, &counters);
	counters.active_conns = 0;
	/* The path of a connection that is gone says nothing about now. */
	counters.rtt_ms = counters.cwnd_bytes = 0;
	counters.current_mtu = counters.max_datagram = 0;
	counters_add(&s->closed, &counters);
	server_tally_removed(ss, &counters);
	server_session_unlisten(ss);
	flows_done(&ss->flows, s->draining ? FLOW_SHUTTING_DOWN : FLOW_RESET);
	if (ss->control_live)
		session_stream_done(&ss->control);
	server_check_done(ss);
	if (ss->listed)
		server_session_report(ss, TUNNEL_SESSION_ENDED,
				      ss->end_error != 0 ? ss->end_error : error,
				      ss->end_error != 0 ? ss->end_text : why->reason);
	else
		log_debug(s->env->log, ss->scope,
			  "connection closed before a login was accepted: %s", why->reason);
	server_answer_dead(s, &ss->probes);
	server_remove(s, ss);
	free(ss);
}

static const struct quic_conn_ops server_session_conn_ops = {
	.on_ready = server_session_on_ready,
	.on_stream = server_session_on_stream,
	.on_streams_available = server_session_on_streams_available,
	.on_path = server_session_on_path,
	.on_close = server_session_on_close,
};

/* ---- flows ---- */

static void server_session_on_flow(void *user, const struct flow_end *end)
{
	struct server_session *ss = user;
	struct tunnel_event event;

	server_session_event(ss, &event, TUNNEL_EVENT_FLOW);
	event.error = flow_error_to_rstun(end->error);
	event.text = end->error == FLOW_OK ? "" : flow_error_text(end->error);
	event.flow.id = end->id;
	event.flow.source = end->source;
	event.flow.target = end->target;
	event.flow.in_bytes = end->in_bytes;
	event.flow.out_bytes = end->out_bytes;
	event.flow.duration_ms = end->duration_ms;
	server_emit(ss->server, &event);
}

static enum flow_answer server_session_on_request(void *user, struct flow_request *request,
						  struct flow_program *ret_program)
{
	struct server_session *ss = user;
	const struct server_params *params = &ss->server->params;

	if (params->on_request == NULL)
		return FLOW_ANSWER_DIAL;
	request->owner_id = ss->id;
	request->peer = &ss->peer;
	return params->on_request(params->user, request, ret_program);
}

static void server_session_on_idle(void *user)
{
	struct server_session *ss = user;

	if (ss->server->draining && ss->state == SERVER_SESSION_UP)
		quic_conn_close(ss->conn, 1, "the server is shutting down");
}

void server_session_counters(struct server_session *ss, struct tunnel_counters *ret)
{
	*ret = (struct tunnel_counters){0};
	counters_add_conn(ret, ss->conn);
	flows_counters(&ss->flows, ret);
}

/* ---- probes ---- */

static void server_session_on_probe(struct quic_conn *conn, void *user, bool alive)
{
	struct server_session *ss = user;
	struct server_probe_list waits = STAILQ_HEAD_INITIALIZER(waits);
	struct server_probe_wait *wait;

	STAILQ_CONCAT(&waits, &ss->probes);
	ss->probe_count = 0;
	if (!alive) {
		server_session_note(ss, RSTUN_E_TIMEOUT,
				    "the client does not answer and its address is wanted");
		ss->state = SERVER_SESSION_CLOSING;
		server_session_unlisten(ss);
		quic_conn_close(conn, 1, "no answer");
		server_answer_dead(ss->server, &waits);
		return;
	}
	while ((wait = STAILQ_FIRST(&waits)) != NULL) {
		STAILQ_REMOVE_HEAD(&waits, link);
		wait->done(wait->user, wait->session_id, true);
		free(wait);
	}
}

void server_session_probe(struct server_session *ss, uint64_t timeout_ns,
			  struct server_probe_wait *wait)
{
	bool running = ss->probe_count > 0;

	STAILQ_INSERT_TAIL(&ss->probes, wait, link);
	ss->probe_count++;
	if (!running && quic_conn_probe(ss->conn, timeout_ns, server_session_on_probe, ss) != 0)
		server_session_on_probe(ss->conn, ss, false); /* it is closing already */
}

/* ---- beginning and end ---- */

void server_session_drain(struct server_session *ss, bool now)
{
	if (ss->state == SERVER_SESSION_UP) {
		server_session_unlisten(ss);
		flows_drain(&ss->flows); /* closes the connection when there is none */
	}
	if (now || ss->state < SERVER_SESSION_UP) /* no login was answered yet */
		quic_conn_close(ss->conn, 1, "the server is shutting down");
}

void server_session_kick(struct server_session *ss, const char *reason)
{
	static const char text[] = "closed by an administrator";

	server_session_note(ss, RSTUN_E_CANCELLED, text);
	ss->state = SERVER_SESSION_CLOSING;
	server_session_unlisten(ss);
	quic_conn_close(ss->conn, 1, reason != NULL ? reason : text);
}

void server_session_new(struct server *s, struct quic_conn *conn)
{
	struct server_session *ss = NULL;
	struct flows_config flows = {
		.env = s->env,
		.resolver = s->resolver,
		.egress = &s->egress,
		.on_flow = server_session_on_flow,
		.on_idle = server_session_on_idle,
		.on_request = server_session_on_request,
	};

	if (s->config->proxy_protocol == CONFIG_PROXY_PROTOCOL_V2)
		flows.proxy_target = &s->config->tcp_upstream;
	if (s->session_count < LIMITS_SESSIONS)
		ss = calloc(1, sizeof(*ss));
	if (ss == NULL) {
		quic_conn_close(conn, 1, "too many connections");
		return;
	}
	ss->server = s;
	ss->conn = conn;
	ss->peer = *quic_conn_remote(conn);
	STAILQ_INIT(&ss->probes);
	server_add(s, ss);
	snprintf(ss->scope, sizeof(ss->scope), "session %llu", (unsigned long long)ss->id);
	flows.scope = ss->scope;
	flows.user = ss;
	flows_init(&ss->flows, &flows);
	quic_conn_set_ops(conn, &server_session_conn_ops, ss);
}
