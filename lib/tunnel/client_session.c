/* SPDX-License-Identifier: MIT */
/*
 * One session of a mapping, from the finished handshake to the close of its connection: login, what
 * its answer means, streams of the server's, what the end means. The connection's on_close is where
 * it ends: whoever finds a fault notes it (client_session_fail) and closes the connection, the rest
 * follows.
 */
#include "tunnel/client_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "quic/conn.h"
#include "tls/session.h"
#include "tunnel/counters.h"
#include "tunnel/limits.h"

#include <stdio.h>
#include <string.h>

static const char unverified_text[] =
	"the server's certificate is not verified: whoever is on the way can pose as it (--cert or "
	"--pin closes that)";

static const char vague_text[] =
	"the server refused the login without a reason: wrong password, no default upstream, or an "
	"address that it does not allow";

static void client_session_fail(struct client_mapping *m, int error, const char *text,
				uint32_t retry_ms)
{
	if (m->fail_error != 0)
		return;
	m->fail_error = error;
	m->fail_retry_ms = retry_ms;
	snprintf(m->fail_text, sizeof(m->fail_text), "%s", text);
}

/* ---- streams of the server's ---- */

static void client_session_forget_early(struct quic_stream *s, void *user, bool lost)
{
	struct client_mapping *m = user;

	(void)lost;
	for (size_t i = 0; i < m->early_count; i++) {
		if (m->early[i] == s) {
			m->early[i] = m->early[--m->early_count];
			return;
		}
	}
}

/* Half a flow that nobody has looked at yet is of no use. */
static void client_session_early_ends(struct quic_stream *s, void *user, uint64_t app_error)
{
	(void)user;
	(void)app_error;
	quic_stream_abort(s, FLOW_RESET);
}

/* They wait for the login as the stream does. */
static void client_session_early_datagrams(struct quic_stream *s, void *user)
{
	(void)s;
	(void)user;
}

static const struct quic_stream_ops client_session_early_ops = {
	.on_datagrams = client_session_early_datagrams,
	.on_reset = client_session_early_ends,
	.on_stop_sending = client_session_early_ends,
	.on_close = client_session_forget_early,
};

static void client_session_serve(struct client_mapping *m, struct quic_stream *s)
{
	if (m->mapping.mode == MAPPING_OUT)
		flows_refuse(&m->flows, s, FLOW_DENIED);
	else if (m->mapping.proto == MAPPING_TCP)
		flows_dial_tcp(&m->flows, s, &m->mapping.local, false, NULL);
	else
		flows_dial_udp(&m->flows, s, &m->mapping.local, NULL);
}

static void client_session_serve_early(struct client_mapping *m)
{
	for (size_t i = 0; i < m->early_count; i++)
		client_session_serve(m, m->early[i]);
	m->early_count = 0;
}

/* ---- login ---- */

static void client_session_on_success(void *user, const struct session_success *success)
{
	struct client_mapping *m = user;
	const struct client_config *config = m->client->config;
	struct flows_tunnel tunnel = {
		.conn = m->conn,
		.peer_is_original = !success->peer_is_rstund,
		.tcp_idle_ms = config->tcp_timeout_ms,
		.udp_idle_ms = config->udp_timeout_ms,
	};

	/* It came while the connection is being closed, for a removal or a restart. */
	if (m->stopped || m->again)
		return;
	if (success->target_ignored && !m->resolve_here) {
		m->resolve_here = true;
		m->again = true;
		log_info(m->client->env->log, m->scope,
			 "the server is the original, which takes no names: %s is resolved here",
			 m->mapping.remote.name);
		quic_conn_close(m->conn, 1, "logging in again with an address");
		return;
	}
	if (success->peer_is_rstund)
		m->resolve_here = false;
	log_quote(m->software, sizeof(m->software), success->trailer->software,
		  strlen(success->trailer->software));
	if (m->mapping.mode == MAPPING_IN) {
		if (success->trailer->has_bound)
			m->bound = success->trailer->bound;
		else if (address_port(&m->mapping.remote.address) != 0)
			m->bound = m->mapping.remote.address;
		quic_conn_allow_streams(m->conn, LIMITS_STREAMS);
	}
	if (m->mapping.proto == MAPPING_UDP && (success->features & WIRE_FEATURE_DATAGRAM))
		quic_conn_start_datagrams(m->conn, m->mapping.mode == MAPPING_IN);
	quic_conn_start_keep_alive(m->conn);
	m->logged_in = true;
	client_end_attempt(m->client, m);
	backoff_up(&m->backoff, loop_now(m->client->env->loop));
	client_mapping_set_state(m, TUNNEL_TUNNELING, 0, "", 0);
	flows_attach(&m->flows, &tunnel);
	client_session_serve_early(m);
	client_attempted(m->client, m, 0, 0);
}

static void client_session_on_failure(void *user, const struct session_failure *failure)
{
	struct client_mapping *m = user;

	client_session_fail(m, failure->error, failure->text, failure->retry_after_ms);
	quic_conn_close(m->conn, 1, failure->by_peer ? "refused" : failure->text);
}

static const struct session_stream_ops client_session_control_ops = {
	.on_success = client_session_on_success,
	.on_failure = client_session_on_failure,
};

static int client_session_login(struct client_mapping *m)
{
	const struct client_config *config = m->client->config;
	const struct mapping *mapping = &m->mapping;
	struct session_config session;
	struct wire_login login = {
		.channel = target_is_asked(&mapping->remote),
		.mode = mapping->mode,
		.proto = mapping->proto,
		.has_local = mapping->local.kind == TARGET_ADDRESS,
		.local = mapping->local.address,
		.has_upstream = mapping->remote.kind == TARGET_ADDRESS,
		.upstream = mapping->remote.address,
		/* The far side's kind is not known before it answers. The original takes 0 as its
		 * own 30 s, so "never" goes out as a year, which our server takes as never. */
		.tcp_timeout_ms =
			config->tcp_timeout_ms == 0 ? WIRE_NEVER_MS : config->tcp_timeout_ms,
		.udp_timeout_ms =
			config->udp_timeout_ms == 0 ? WIRE_NEVER_MS : config->udp_timeout_ms,
	};
	int err;

	if (mapping->remote.kind == TARGET_NAME && m->resolve_here) {
		login.has_upstream = true;
		login.upstream = m->upstream;
	}
	snprintf(login.password, sizeof(login.password), "%s", config->password);
	session_config_default(&session);
	session.software = PACKAGE_STRING;
	session.login_timeout_ns = clock_ms(LIMITS_LOGIN_MS);
	session.heartbeat_interval_ns = clock_ms(config->heartbeat_interval_ms);
	session.heartbeat_timeout_ns = clock_ms(config->heartbeat_timeout_ms);
	session.log = m->client->env->log;
	session.scope = m->scope;
	session_stream_init(&m->control, m->client->env->loop, &session,
			    &client_session_control_ops, m);
	err = session_stream_login(&m->control, m->conn, &login, NULL,
				   m->resolve_here ? NULL : &mapping->remote);
	secret_wipe(&login, sizeof(login));
	return err;
}

/* ---- the connection ---- */

static void client_session_on_stream(struct quic_conn *conn, void *user, struct quic_stream *s)
{
	struct client_mapping *m = user;

	(void)conn;
	if (m->logged_in) {
		client_session_serve(m, s);
	} else if (m->early_count < LIMITS_EARLY_STREAMS) {
		m->early[m->early_count++] = s;
		quic_stream_set_ops(s, &client_session_early_ops, m);
	} else {
		quic_stream_abort(s, FLOW_RESET);
	}
}

static void client_session_on_streams_available(struct quic_conn *conn, void *user)
{
	struct client_mapping *m = user;

	(void)conn;
	flows_resume(&m->flows);
}

/* What the end of a connection means (WIRE.md, "Close"). */
static void client_session_explain(struct client_mapping *m, const struct quic_close *why)
{
	bool refused = why->kind == QUIC_CLOSE_PEER_APP && !m->logged_in;

	if (refused && why->code == 0) {
		/* The original says neither what it is nor what it does not like; without a default
		 * upstream it refuses a login that names none, which is how a name looks to it. */
		if (m->mapping.remote.kind == TARGET_NAME && !m->resolve_here &&
		    m->fail_error == 0) {
			m->resolve_here = true;
			m->again = true;
			log_info(m->client->env->log, m->scope,
				 "the server may be the original, which takes no names: trying "
				 "again "
				 "with %s resolved here",
				 m->mapping.remote.name);
		}
		client_session_fail(m, RSTUN_E_AUTH_FAILED, vague_text, 0);
		m->fail_vague = true;
	} else if (refused) {
		client_session_fail(m, RSTUN_E_LOGIN_REJECTED, why->reason, 0);
	}
	client_session_fail(m, why->error != 0 ? why->error : RSTUN_E_CLOSED, why->reason, 0);
}

static void client_session_on_close(struct quic_conn *conn, void *user,
				    const struct quic_close *why)
{
	struct client_mapping *m = user;
	char text[CLIENT_TEXT_SIZE];

	client_session_explain(m, why);
	counters_add_conn(&m->closed, conn);
	m->conn = NULL;
	session_stream_done(&m->control);
	flows_detach(&m->flows);
	memcpy(text, m->fail_text, sizeof(text));
	client_mapping_ended(m, m->fail_error, text, m->fail_retry_ms);
}

static const struct quic_conn_ops client_session_conn_ops = {
	.on_stream = client_session_on_stream,
	.on_streams_available = client_session_on_streams_available,
	.on_close = client_session_on_close,
};

/* ---- beginning ---- */

void client_session_start(struct client_mapping *m, struct quic_conn *conn)
{
	struct tls_session *tls = quic_conn_tls(conn);
	int err;

	m->conn = conn;
	quic_conn_set_ops(conn, &client_session_conn_ops, m);
	m->unverified = tls != NULL && tls_session_verified(tls) == TLS_VERIFY_NONE;
	m->cipher = tls != NULL ? tls_session_cipher_name(tls) : NULL;
	client_mapping_set_state(m, TUNNEL_CONNECTED, 0, m->unverified ? unverified_text : "", 0);
	err = client_session_login(m);
	if (err != 0) {
		client_session_fail(m, err, "the login could not be sent", 0);
		quic_conn_close(conn, 1, "no login");
	}
}
