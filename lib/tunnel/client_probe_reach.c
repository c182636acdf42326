/* SPDX-License-Identifier: MIT */
/*
 * A probe between its addresses and the finished handshake: the race of connect.c, and what UDP and
 * TLS have to say about those that did not win it. Of several failures the one that came furthest
 * is told.
 */
#include "tunnel/client_probe_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "quic/conn.h"
#include "tls/session.h"

#include <stdio.h>
#include <string.h>

static void client_probe_on_failed(void *user, const struct address *address,
				   struct quic_conn *conn, const struct quic_close *why)
{
	struct client_probe *p = user;
	const struct client_config *config = p->client->config;
	struct tls_session *tls = quic_conn_tls(conn);
	const char *distrust = tls != NULL ? tls_session_failure(tls) : "";
	enum client_probe_reach reach = CLIENT_PROBE_SILENT;
	int error = why->error != 0 ? why->error : RSTUN_E_UNREACHABLE;
	uint8_t pin[PIN_BYTES];
	struct quic_stats stats;

	quic_conn_stats(conn, &stats);
	if (distrust[0] != '\0') {
		reach = CLIENT_PROBE_UNTRUSTED;
		error = RSTUN_E_TLS_VERIFY_FAILED;
		if (config->has_pin && tls_session_peer_pin(tls, pin) &&
		    memcmp(pin, config->pin_sha256, sizeof(pin)) != 0)
			error = RSTUN_E_PEER_KEY_CHANGED;
	} else if (stats.rx_datagrams != 0) {
		reach = CLIENT_PROBE_HEARD;
	} else if (why->kind == QUIC_CLOSE_ERROR) {
		reach = CLIENT_PROBE_REFUSED;
	}
	if (reach <= p->reach)
		return;
	p->reach = reach;
	p->reach_error = error;
	address_format(p->reach_where, sizeof(p->reach_where), address);
	snprintf(p->reach_text, sizeof(p->reach_text), "%s",
		 distrust[0] != '\0' ? distrust : why->reason);
}

static void client_probe_report_silence(struct client_probe *p, const char *where)
{
	uint64_t took_ms = (loop_now(p->client->env->loop) - p->step_ns) / CLOCK_NS_PER_MS;

	client_probe_report(p, PROBE_FAILED, RSTUN_E_UNREACHABLE,
			    "no answer from %s within %u.%u s: UDP may be blocked by a firewall on "
			    "the way, or the server is down",
			    where, (unsigned)(took_ms / 1000), (unsigned)(took_ms / 100 % 10));
}

/* No address let us in: what the one that came furthest says. */
static void client_probe_report_unreached(struct client_probe *p,
					  const struct connect_result *result)
{
	switch (p->reach) {
	case CLIENT_PROBE_NOTHING: /* it did not even come to a packet */
		if (p->session_error != 0) {
			client_probe_report(p, PROBE_SKIPPED, 0, "nothing was sent");
			client_probe_report(p, PROBE_FAILED, p->session_error,
					    "no TLS session could be set up (%s): are the trust "
					    "roots of --cert, or those of this system, readable?",
					    rstun_strerror(p->session_error));
			return;
		}
		client_probe_report(p, PROBE_FAILED, result->error, "%s", result->text);
		return;
	case CLIENT_PROBE_SILENT:
		client_probe_report_silence(p, p->reach_where);
		return;
	case CLIENT_PROBE_REFUSED:
		client_probe_report(p, PROBE_FAILED, RSTUN_E_UNREACHABLE,
				    "UDP %s: %s: is the server running there, and are the address "
				    "and the port right?",
				    p->reach_where, p->reach_text);
		return;
	case CLIENT_PROBE_HEARD:
	case CLIENT_PROBE_UNTRUSTED:
		client_probe_report(p, PROBE_OK, 0, "%s answered", p->reach_where);
		client_probe_report(p, PROBE_FAILED, p->reach_error, "%s: %s", p->reach_where,
				    p->reach_text);
		return;
	}
}

static void client_probe_report_trust(struct client_probe *p, const struct tls_session *tls)
{
	char pin_text[PIN_TEXT_SIZE], name[ADDRESS_TARGET_TEXT_SIZE];
	uint8_t pin[PIN_BYTES] = {0};

	(void)tls_session_peer_pin(tls, pin);
	pin_format(pin_text, pin);
	switch (tls_session_verified(tls)) {
	case TLS_VERIFY_NONE:
		client_probe_report(p, PROBE_OK, 0,
				    "NOT verified: whoever is on the way can pose as the server; "
				    "--cert, or --pin %s if that is its key, closes that",
				    pin_text);
		return;
	case TLS_VERIFY_CHAIN:
		client_probe_report(p, PROBE_OK, 0, "certificate verified for %s",
				    p->server_origin->kind == TARGET_NAME
					    ? p->server_origin->name
					    : address_format_ip(name, sizeof(name),
								&p->server_origin->address));
		return;
	case TLS_VERIFY_PIN:
		client_probe_report(p, PROBE_OK, 0, "the server's key is the pinned one, %s",
				    pin_text);
		return;
	}
}

/* The first connection stands. */
static void client_probe_report_reached(struct client_probe *p, struct quic_conn *conn)
{
	uint64_t began_ns = p->step_ns;
	char where[ADDRESS_TEXT_SIZE];
	struct quic_stats stats;

	quic_conn_stats(conn, &stats);
	address_format(where, sizeof(where), &p->server.address);
	if (p->reach == CLIENT_PROBE_NOTHING)
		client_probe_report(p, PROBE_OK, 0, "%s answered", where);
	else
		client_probe_report(p, PROBE_OK, 0, "%s answered (but not so %s: %s)", where,
				    p->reach_where, p->reach_text);
	/* One round trip was the network's, the rest the handshake's. */
	p->results[PROBE_UDP].took_ms = stats.min_rtt_ns / CLOCK_NS_PER_MS;
	p->step_ns = clock_min(clock_after(began_ns, stats.min_rtt_ns), p->step_ns);
	client_probe_report_trust(p, quic_conn_tls(conn));
}

static void client_probe_on_connected(void *user, const struct connect_result *result)
{
	struct client_probe *p = user;

	p->connect = NULL;
	if (result->error == 0 && p->turn == CLIENT_PROBE_FIRST) {
		p->server = (struct target){.kind = TARGET_ADDRESS, .address = result->address};
		for (size_t i = 0; i < p->target_count; i++) {
			p->server_origin = p->origins[i];
			if (address_equal(&p->targets[i].address, &result->address))
				break;
		}
		client_probe_report_reached(p, result->conn);
	}
	if (result->error == 0)
		client_probe_login(p, result->conn);
	else if (p->turn == CLIENT_PROBE_FIRST)
		client_probe_report_unreached(p, result);
	else
		client_probe_report(p, PROBE_FAILED, result->error,
				    "a second connection to the server failed: %s", result->text);
}

static int client_probe_on_session(void *user, const struct target *server,
				   const struct address *address, struct tls_session **ret)
{
	struct client_probe *p = user;
	const struct target *origin =
		server == &p->server ? p->server_origin : p->origins[server - p->targets];
	int err = client_make_session(p->client, origin, address, ret);

	if (err != 0)
		p->session_error = err;
	return err;
}

static void client_probe_race(struct client_probe *p, const struct target *servers, size_t count)
{
	struct connect_params params = {
		.env = p->client->env,
		.endpoint = p->client->endpoint,
		.resolver = p->client->resolver,
		.servers = servers,
		.server_count = count,
		.scope = p->scope,
		.session = client_probe_on_session,
		.failed = client_probe_on_failed,
		.done = client_probe_on_connected,
		.user = p,
	};
	int err;

	p->reach = CLIENT_PROBE_NOTHING;
	err = connect_start(&p->connect, &params);
	if (err != 0)
		client_probe_report(p, PROBE_FAILED, err, "%s", rstun_strerror(err));
}

void client_probe_connect(struct client_probe *p)
{
	client_probe_race(p, p->targets, p->target_count);
}

void client_probe_connect_again(struct client_probe *p, enum client_probe_turn turn)
{
	p->turn = turn;
	client_probe_race(p, &p->server, 1);
}

void client_probe_reach_limit(struct client_probe *p, unsigned limit_s)
{
	const struct address *heard = p->connect != NULL ? connect_heard(p->connect) : NULL;
	char where[ADDRESS_TEXT_SIZE];

	if (heard == NULL) {
		client_probe_report_silence(
			p, address_format(where, sizeof(where), &p->targets[0].address));
		return;
	}
	address_format(where, sizeof(where), heard);
	client_probe_report(p, PROBE_OK, 0, "%s answered", where);
	client_probe_report(p, PROBE_FAILED, RSTUN_E_TIMEOUT,
			    "the handshake with %s was not done within %u s: large packets may be "
			    "lost on the way, or the server is overloaded",
			    where, limit_s);
}
