/* SPDX-License-Identifier: MIT */
/*
 * What users ask of a connection: streams, credit, keep-alive, a probe, statistics. Safe in any of
 * their callbacks; whatever has to be sent is left to the next write.
 */
#include "quic/conn_internal.h"

#include "base/clock.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

int quic_conn_open_stream(struct quic_conn *c, const struct quic_stream_ops *ops, void *user,
			  struct quic_stream **ret)
{
	struct quic_stream *s;
	int64_t id;
	int rv;

	if (c->ended || c->close_requested || !c->ready)
		return RSTUN_E_CLOSED;
	if (ngtcp2_conn_get_streams_bidi_left2(c->ng) == 0) {
		c->streams_wanted = true;
		return RSTUN_E_LIMIT_REACHED;
	}
	rv = ngtcp2_conn_open_bidi_stream(c->ng, &id, NULL);
	if (rv != 0)
		return RSTUN_E_NOMEM;
	s = quic_stream_make(c, id);
	if (!s) {
		ngtcp2_conn_shutdown_stream(c->ng, 0, id, 1);
		return RSTUN_E_NOMEM;
	}
	ngtcp2_conn_set_stream_user_data(c->ng, id, s);
	quic_stream_set_ops(s, ops, user);
	s->announce = true;
	quic_stream_queue_send(s);
	*ret = s;
	return 0;
}

void quic_conn_set_ops(struct quic_conn *c, const struct quic_conn_ops *ops, void *user)
{
	c->ops = ops;
	c->user = user;
}

void *quic_conn_user(const struct quic_conn *c)
{
	return c->user;
}

void quic_conn_allow_streams(struct quic_conn *c, uint64_t streams)
{
	if (c->ended || c->close_requested)
		return;
	if (streams > c->config.streams_before_login)
		ngtcp2_conn_extend_max_streams_bidi(
			c->ng, (size_t)(streams - c->config.streams_before_login));
	if (c->server)
		ngtcp2_conn_extend_max_offset(c->ng, QUIC_WINDOW_BYTES);
	quic_conn_wake(c);
}

void quic_conn_start_keep_alive(struct quic_conn *c)
{
	if (c->ended || c->config.keep_alive_ns == 0)
		return;
	c->keep_alive_on = true;
	ngtcp2_conn_set_keep_alive_timeout(c->ng, c->config.keep_alive_ns);
	quic_conn_wake(c);
}

int quic_conn_probe(struct quic_conn *c, uint64_t timeout_ns,
		    void (*done)(struct quic_conn *c, void *user, bool alive), void *user)
{
	ngtcp2_conn_info info;

	if (c->ended || c->close_requested)
		return RSTUN_E_CLOSED;
	if (c->probe_done)
		return RSTUN_E_ALREADY_EXISTS;
	ngtcp2_conn_get_conn_info2(c->ng, &info);
	c->probe_base_packets = info.pkt_recv;
	c->probe_done = done;
	c->probe_user = user;
	/* Counts from the wake-up that this leads to: our own idea of now may be seconds old. */
	c->probe_timeout_ns = timeout_ns;
	c->probe_deadline_ns = CLOCK_NEVER;
	/* ngtcp2 sends a PING when its keep-alive time is over: make that now, for one packet. */
	c->probe_ping = true;
	ngtcp2_conn_set_keep_alive_timeout(c->ng, 1);
	quic_conn_wake(c);
	return 0;
}

void quic_conn_stats(struct quic_conn *c, struct quic_stats *ret)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info2(c->ng, &info);
	*ret = (struct quic_stats){
		.rx_bytes = c->rx_bytes,
		.tx_bytes = c->tx_bytes,
		.rx_packets = info.pkt_recv,
		.tx_packets = info.pkt_sent,
		.rx_datagrams = c->rx_datagrams,
		.tx_datagrams = c->tx_datagrams,
		.lost_packets = info.pkt_lost,
		.lost_bytes = info.bytes_lost,
		.congestion_events = c->congestion_events,
		.rtt_ns = info.smoothed_rtt,
		.min_rtt_ns = info.min_rtt == UINT64_MAX ? 0 : info.min_rtt,
		.rttvar_ns = info.rttvar,
		.cwnd_bytes = info.cwnd,
		.in_flight_bytes = info.bytes_in_flight,
		.mtu_bytes = (uint32_t)ngtcp2_conn_get_path_max_tx_udp_payload_size2(c->ng),
		.rx_datagram_frames = c->datagrams.received,
		.tx_datagram_frames = c->datagrams.sent,
		.dropped_datagram_frames = c->datagrams.dropped,
		.max_datagram = (uint32_t)quic_conn_max_datagram(c),
		.streams_open = c->stream_count,
	};
}

const struct address *quic_conn_remote(const struct quic_conn *c)
{
	return &c->remote;
}

const struct address *quic_conn_local(const struct quic_conn *c)
{
	return &c->local;
}

bool quic_conn_is_ready(const struct quic_conn *c)
{
	return c->ready && !c->ended && !c->close_requested;
}

bool quic_conn_is_server(const struct quic_conn *c)
{
	return c->server;
}

struct tls_session *quic_conn_tls(const struct quic_conn *c)
{
	return c->tls;
}

const char *quic_library_version(void)
{
	static const char prefix[] = "ngtcp2 ";
	static char text[64];

	/* Same text whoever writes it, so a race between threads is harmless; in practice main asks
	 * first. */
	if (text[0] == '\0')
		snprintf(text, sizeof(text), "%s%s%s", prefix, ngtcp2_version(0)->version_str,
#ifdef NGTCP2_STATIC
			 NGTCP2_STATIC ? " (static)" : ""
#else
			 ""
#endif
		);
	return text;
}

bool quic_library_bbr_patched(void)
{
#ifdef RSTUN_NGTCP2_BBR_PATCHED
	return RSTUN_NGTCP2_BBR_PATCHED;
#else
	return false;
#endif
}
