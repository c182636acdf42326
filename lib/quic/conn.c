/* SPDX-License-Identifier: MIT */
/*
 * A QUIC connection: setting up, packets and time in, telling the users. Writing is in
 * conn_write.c, the end in conn_close.c, requests of users in conn_user.c, ngtcp2's callbacks in
 * conn_callbacks.c. The host (endpoint or test rig) owns the object; nothing here knows sockets,
 * loops or clocks.
 */
#include "quic/conn_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "tls/session.h"

#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_WINDOW_BYTES 262144 /* at first; grows to max_stream_window */
#define WINDOW_BEFORE_LOGIN_BYTES 65536
#define GLITCH_BURST 200000
#define GLITCHES_PER_S 20000
#define KEY_UPDATE_NS (3600 * CLOCK_NS_PER_S)

/* Packets that are acknowledged together (RFC 9000 section 13.2.2), unless an eighth of the round
 * trip time has passed or one is missing: where packets come one by one, each acknowledgement costs
 * both ends as much as a packet of data. */
#define ACK_PACKETS 10

/* What a path may carry: Ethernet less the headers over IPv6 and over IPv4, jumbo frames.
 * Ascending, so that growth stops where the path does; a size that the interface refuses (EMSGSIZE)
 * counts as a lost probe. */
static const uint16_t default_probes[] = {1350, 1452, 1472, 8952};
/* Loopback carries 65536: larger packets cost fewer cycles a byte; flat beyond 16000. */
static const uint16_t loopback_probes[] = {1452, 16000};

void quic_config_default(struct quic_config *config)
{
	*config = (struct quic_config){
		.idle_timeout_ns = 30 * CLOCK_NS_PER_S,
		.keep_alive_ns = 5 * CLOCK_NS_PER_S,
		.handshake_timeout_ns = 10 * CLOCK_NS_PER_S,
		.congestion = QUIC_CONGESTION_BBR,
		.max_stream_window = 16 << 20,
		.max_window = 24 << 20,
		.streams_before_login = 1,
		.send_buffer_bytes = 1 << 20,
		.send_window_max_bytes = 16 << 20,
		.held_max_bytes = 128 << 20,
		.datagram_queue_bytes = 2 << 20,
	};
}

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *ref)
{
	struct quic_conn *c = ref->user_data;

	return c->ng;
}

static void fill_settings(struct quic_conn *c, const struct quic_conn_params *p,
			  ngtcp2_settings *settings)
{
	static const ngtcp2_cc_algo algorithms[] = {
		[QUIC_CONGESTION_BBR] = NGTCP2_CC_ALGO_BBR,
		[QUIC_CONGESTION_CUBIC] = NGTCP2_CC_ALGO_CUBIC,
		[QUIC_CONGESTION_RENO] = NGTCP2_CC_ALGO_RENO,
	};
	const uint16_t *probes = default_probes;
	size_t count = sizeof(default_probes) / sizeof(default_probes[0]);

	if (p->config->pmtud_probes) {
		probes = p->config->pmtud_probes;
		count = p->config->pmtud_probe_count;
	} else if (address_is_loopback(&p->remote)) {
		probes = loopback_probes;
		count = sizeof(loopback_probes) / sizeof(loopback_probes[0]);
	}
	if (count > sizeof(c->probes) / sizeof(c->probes[0]))
		count = sizeof(c->probes) / sizeof(c->probes[0]);
	/* ngtcp2 keeps the pointer. */
	memcpy(c->probes, probes, count * sizeof(*probes));

	ngtcp2_settings_default(settings);
	settings->initial_ts = p->now_ns;
	settings->cc_algo = algorithms[p->config->congestion];
	settings->handshake_timeout = p->config->handshake_timeout_ns;
	settings->max_window = p->config->max_window;
	settings->ack_thresh = ACK_PACKETS;
	settings->max_stream_window = p->config->max_stream_window;
	settings->pmtud_probes = c->probes;
	settings->pmtud_probeslen = count;
	settings->max_tx_udp_payload_size = NGTCP2_MAX_UDP_PAYLOAD_SIZE;
	/* Every segment that comes twice counts here. A path that reorders makes thousands of them
	 * a second, and the library's 330 would end such a connection. */
	settings->glitch_ratelim_burst = GLITCH_BURST;
	settings->glitch_ratelim_rate = GLITCHES_PER_S;
	if (count == 0)
		settings->no_pmtud = 1;
	for (size_t i = 0; i < count; i++) {
		if (c->probes[i] > settings->max_tx_udp_payload_size)
			settings->max_tx_udp_payload_size = c->probes[i];
	}
	if (p->initial && p->retried) {
		settings->token = p->initial->token;
		settings->tokenlen = p->initial->tokenlen;
		settings->token_type = NGTCP2_TOKEN_TYPE_RETRY;
	}
}

static void fill_transport_params(const struct quic_conn_params *p, ngtcp2_transport_params *params)
{
	ngtcp2_transport_params_default(params);
	params->initial_max_stream_data_bidi_local = STREAM_WINDOW_BYTES;
	params->initial_max_stream_data_bidi_remote = STREAM_WINDOW_BYTES;
	params->initial_max_data = p->initial ? WINDOW_BEFORE_LOGIN_BYTES : QUIC_WINDOW_BYTES;
	params->initial_max_streams_bidi = p->config->streams_before_login;
	params->initial_max_streams_uni = 0;
	params->max_idle_timeout = p->config->idle_timeout_ns;
	params->max_datagram_frame_size = QUIC_DATAGRAM_FRAME_MAX;
	params->active_connection_id_limit = 8;
}

static int make_server(struct quic_conn *c, const struct quic_conn_params *p,
		       const ngtcp2_path *path)
{
	ngtcp2_settings settings;
	ngtcp2_transport_params params;
	ngtcp2_stateless_reset_token token;
	ngtcp2_cid scid;

	fill_settings(c, p, &settings);
	fill_transport_params(p, &params);
	if (c->host->ops->new_cid(c->host, c, &scid, &token) != 0)
		return NGTCP2_ERR_NOMEM;
	params.original_dcid = p->odcid;
	params.original_dcid_present = 1;
	if (p->retried) {
		params.retry_scid = p->initial->dcid;
		params.retry_scid_present = 1;
	}
	/* Without it a client that never migrated could not recognise our stateless reset. */
	params.stateless_reset_token_present = 1;
	memcpy(params.stateless_reset_token, token.data, sizeof(params.stateless_reset_token));
	return ngtcp2_conn_server_new(&c->ng, &p->initial->scid, &scid, path, p->initial->version,
				      &quic_conn_server_callbacks, &settings, &params, NULL, c);
}

static int make_client(struct quic_conn *c, const struct quic_conn_params *p,
		       const ngtcp2_path *path)
{
	ngtcp2_settings settings;
	ngtcp2_transport_params params;
	ngtcp2_stateless_reset_token token;
	ngtcp2_cid scid, dcid;

	fill_settings(c, p, &settings);
	fill_transport_params(p, &params);
	if (c->host->ops->new_cid(c->host, c, &scid, &token) != 0)
		return NGTCP2_ERR_NOMEM;
	dcid.datalen = NGTCP2_MIN_INITIAL_DCIDLEN + 8;
	random_bytes(dcid.data, dcid.datalen);
	return ngtcp2_conn_client_new(&c->ng, &dcid, &scid, path, NGTCP2_PROTO_VER_V1,
				      &quic_conn_client_callbacks, &settings, &params, NULL, c);
}

int quic_conn_new(struct quic_conn **ret, const struct quic_conn_params *p)
{
	struct quic_conn *c = calloc(1, sizeof(*c));
	gnutls_session_t session;
	ngtcp2_path path;
	int rv;

	if (!c)
		return RSTUN_E_NOMEM;
	c->host = p->host;
	c->host_data = p->host_data;
	c->log = p->log;
	c->pool = p->pool;
	c->config = *p->config;
	c->server = p->initial != NULL;
	c->now_ns = p->now_ns;
	c->local = p->local;
	c->remote = p->remote;
	c->probe_deadline_ns = CLOCK_NEVER;
	c->black_hole_since_ns = CLOCK_NEVER;
	c->key_update_ns = clock_after(p->now_ns, KEY_UPDATE_NS);
	TAILQ_INIT(&c->streams);
	TAILQ_INIT(&c->notify);
	TAILQ_INIT(&c->send);
	TAILQ_INIT(&c->held);
	quic_datagrams_init(c);
	ngtcp2_ccerr_default(&c->ccerr);

	path = (ngtcp2_path){
		.local = {.addr = &c->local.sa, .addrlen = c->local.len},
		.remote = {.addr = &c->remote.sa, .addrlen = c->remote.len},
	};
	rv = c->server ? make_server(c, p, &path) : make_client(c, p, &path);
	if (rv != 0)
		goto fail;

	session = tls_session_gnutls(p->session);
	c->ref = (ngtcp2_crypto_conn_ref){.get_conn = get_conn, .user_data = c};
	gnutls_session_set_ptr(session, &c->ref);
	rv = c->server ? ngtcp2_crypto_gnutls_configure_server_session(session)
		       : ngtcp2_crypto_gnutls_configure_client_session(session);
	if (rv != 0)
		goto fail;
	quic_crypto_attach(session);
	ngtcp2_conn_set_tls_native_handle(c->ng, session);
	c->tls = p->session;
	*ret = c;
	return 0;
fail:
	if (c->ng)
		ngtcp2_conn_del(c->ng);
	free(c);
	return RSTUN_E_NOMEM;
}

void quic_conn_free(struct quic_conn *c)
{
	struct quic_stream *s;

	if (!c)
		return;
	c->ended = true;
	while ((s = TAILQ_FIRST(&c->streams)))
		quic_stream_lose(s);
	quic_datagrams_done(c);
	ngtcp2_conn_del(c->ng);
	tls_session_free(c->tls);
	free(c);
}

void quic_conn_wake(struct quic_conn *c)
{
	c->host->ops->wake(c->host, c);
}

size_t quic_conn_packet_bytes(const struct quic_conn *c)
{
	size_t bytes = ngtcp2_conn_get_path_max_tx_udp_payload_size2(c->ng);

	if (c->small_until_ns > c->now_ns && bytes > QUIC_SMALL_PACKET_BYTES)
		return QUIC_SMALL_PACKET_BYTES;
	return bytes;
}

/* ---- packets and time in ---- */

void quic_conn_give_credit(struct quic_conn *c, size_t bytes)
{
	c->withheld_bytes += bytes;
	if (c->withheld_bytes == 0 || c->held_bytes > c->config.held_max_bytes)
		return;
	ngtcp2_conn_extend_max_offset(c->ng, c->withheld_bytes);
	c->withheld_bytes = 0;
}

/* ngtcp2 counts lost packets only; a round trip with losses is what others call a congestion event.
 */
static void count_losses(struct quic_conn *c)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info2(c->ng, &info);
	c->cwnd_bytes = info.cwnd;
	if (info.pkt_lost > c->lost_seen) {
		c->lost_seen = info.pkt_lost;
		if (c->now_ns >= c->loss_round_end_ns) {
			c->congestion_events++;
			c->loss_round_end_ns = clock_after(c->now_ns, info.smoothed_rtt);
		}
	}
	if (c->probe_done && info.pkt_recv > c->probe_base_packets) {
		void (*done)(struct quic_conn *, void *, bool) = c->probe_done;

		c->probe_done = NULL;
		c->probe_deadline_ns = CLOCK_NEVER;
		done(c, c->probe_user, true);
	}
}

/* Time never goes back for ngtcp2 (it asserts). */
static void set_now(struct quic_conn *c, uint64_t now_ns)
{
	if (now_ns > c->now_ns)
		c->now_ns = now_ns;
}

void quic_conn_read(struct quic_conn *c, const struct address *local, const struct address *remote,
		    unsigned ecn, const uint8_t *data, size_t bytes, uint64_t now_ns)
{
	/* ngtcp2 only reads them. */
	ngtcp2_path path = {
		.local = {.addr = (ngtcp2_sockaddr *)(uintptr_t)&local->sa, .addrlen = local->len},
		.remote = {.addr = (ngtcp2_sockaddr *)(uintptr_t)&remote->sa,
			   .addrlen = remote->len},
	};
	ngtcp2_pkt_info pi = {.ecn = (uint8_t)ecn};
	int rv;

	if (c->ended || c->close_requested)
		return;
	set_now(c, now_ns);
	c->rx_bytes += bytes;
	c->rx_datagrams++;
	rv = ngtcp2_conn_read_pkt(c->ng, &path, &pi, data, bytes, c->now_ns);
	if (rv != 0) {
		quic_conn_fail(c, rv);
		return;
	}
	/* There is no callback for credit of the connection as a whole: any packet may have brought
	 * it. */
	c->credit_maybe = true;
	quic_conn_wake(c);
}

void quic_conn_expire(struct quic_conn *c, uint64_t now_ns)
{
	int rv;

	if (c->ended || c->close_requested)
		return;
	set_now(c, now_ns);
	if (ngtcp2_conn_get_expiry2(c->ng) <= c->now_ns) {
		rv = ngtcp2_conn_handle_expiry(c->ng, c->now_ns);
		if (rv != 0) {
			quic_conn_fail(c, rv);
			return;
		}
	}
	quic_datagrams_expire(c);
	if (c->key_update_ns <= c->now_ns) {
		c->key_update_ns = clock_after(c->now_ns, KEY_UPDATE_NS);
		/* Refused while one is under way: then the next hour does. */
		if (c->handshake_confirmed)
			ngtcp2_conn_initiate_key_update(c->ng, c->now_ns);
	}
	quic_conn_wake(c);
}

uint64_t quic_conn_deadline(struct quic_conn *c)
{
	uint64_t deadline;

	/* Only the close packet is left: a clock does not make the socket ready. */
	if (c->ended || c->close_requested)
		return CLOCK_NEVER;
	deadline = clock_min(ngtcp2_conn_get_expiry2(c->ng), c->probe_deadline_ns);
	deadline = clock_min(deadline, quic_datagrams_deadline(c));
	return clock_min(deadline, c->key_update_ns);
}

int quic_conn_migrate(struct quic_conn *c, const struct address *local, uint64_t now_ns)
{
	struct address l = *local, r = c->remote;
	ngtcp2_path path = {
		.local = {.addr = &l.sa, .addrlen = l.len},
		.remote = {.addr = &r.sa, .addrlen = r.len},
	};

	if (c->ended || c->close_requested || !c->handshake_confirmed)
		return RSTUN_E_AGAIN;
	set_now(c, now_ns);
	if (ngtcp2_conn_initiate_migration(c->ng, &path, c->now_ns) != 0)
		return RSTUN_E_AGAIN;
	quic_conn_wake(c);
	return 0;
}

/* ---- telling the users ---- */

static void update_path(struct quic_conn *c)
{
	const ngtcp2_path *path = ngtcp2_conn_get_path2(c->ng);

	address_from_sockaddr(&c->local, path->local.addr, (socklen_t)path->local.addrlen);
	address_from_sockaddr(&c->remote, path->remote.addr, (socklen_t)path->remote.addrlen);
	/* What an old path could not carry a new one may. */
	c->small_until_ns = 0;
	c->black_hole_since_ns = CLOCK_NEVER;
	c->large_sent = false;
	quic_datagrams_forget_path(c);
}

static void dispatch_end(struct quic_conn *c)
{
	struct quic_stream *s;

	if (c->probe_done) {
		void (*done)(struct quic_conn *, void *, bool) = c->probe_done;

		c->probe_done = NULL;
		done(c, c->probe_user, false);
	}
	while ((s = TAILQ_FIRST(&c->streams)))
		quic_stream_lose(s);
	if (c->ops && c->ops->on_close)
		c->ops->on_close(c, c->user, &c->close);
}

bool quic_conn_dispatch(struct quic_conn *c, uint64_t now_ns)
{
	struct quic_stream *s;
	unsigned facts;

	set_now(c, now_ns);
	if (!c->ended && !c->close_requested) {
		count_losses(c);
		if (c->probe_done && c->probe_deadline_ns == CLOCK_NEVER)
			c->probe_deadline_ns = clock_after(c->now_ns, c->probe_timeout_ns);
		if (c->probe_deadline_ns <= c->now_ns && c->probe_done) {
			void (*done)(struct quic_conn *, void *, bool) = c->probe_done;

			c->probe_done = NULL;
			c->probe_deadline_ns = CLOCK_NEVER;
			done(c, c->probe_user, false);
		}
	}
	facts = c->facts;
	c->facts = 0;
	if (facts & CONN_FACT_PATH) {
		update_path(c);
		if (c->ops && c->ops->on_path)
			c->ops->on_path(c, c->user);
	}
	if ((facts & CONN_FACT_READY) && !c->close_requested && c->ops && c->ops->on_ready)
		c->ops->on_ready(c, c->user);
	/* What arrived before an end still counts: a flow's last bytes may be among it. */
	while ((s = TAILQ_FIRST(&c->notify))) {
		TAILQ_REMOVE(&c->notify, s, notify_link);
		s->in_notify = false;
		quic_stream_dispatch(s);
	}
	if ((facts & CONN_FACT_STREAMS) && !c->ended && c->ops && c->ops->on_streams_available) {
		c->streams_wanted = false;
		c->ops->on_streams_available(c, c->user);
	}
	if (c->ended)
		dispatch_end(c);
	return c->ended;
}
