/* SPDX-License-Identifier: MIT */
/*
 * Adding up counters. Nothing is held here.
 */
#include "tunnel/counters.h"

#include "base/clock.h"
#include "quic/conn.h"
#include "relay/udp_flow.h"

void counters_add(struct tunnel_counters *sum, const struct tunnel_counters *one)
{
	/* Before the bytes are added: a sum with less traffic than `one` alone takes its path. */
	if (one->current_mtu != 0 &&
	    (sum->current_mtu == 0 ||
	     one->rx_bytes + one->tx_bytes > sum->rx_bytes + sum->tx_bytes)) {
		sum->rtt_ms = one->rtt_ms;
		sum->cwnd_bytes = one->cwnd_bytes;
		sum->current_mtu = one->current_mtu;
		sum->max_datagram = one->max_datagram;
	}
	sum->rx_bytes += one->rx_bytes;
	sum->tx_bytes += one->tx_bytes;
	sum->rx_dgrams += one->rx_dgrams;
	sum->tx_dgrams += one->tx_dgrams;
	sum->sent_packets += one->sent_packets;
	sum->lost_packets += one->lost_packets;
	sum->lost_bytes += one->lost_bytes;
	sum->congestion_events += one->congestion_events;
	sum->payload_in_bytes += one->payload_in_bytes;
	sum->payload_out_bytes += one->payload_out_bytes;
	sum->active_conns += one->active_conns;
	sum->total_conns += one->total_conns;
	sum->udp_dropped += one->udp_dropped;
	sum->rx_datagram_frames += one->rx_datagram_frames;
	sum->tx_datagram_frames += one->tx_datagram_frames;
}

void counters_add_conn(struct tunnel_counters *sum, struct quic_conn *conn)
{
	struct quic_stats stats;
	struct tunnel_counters one;

	quic_conn_stats(conn, &stats);
	one = (struct tunnel_counters){
		.rx_bytes = stats.rx_bytes,
		.tx_bytes = stats.tx_bytes,
		.rx_dgrams = stats.rx_datagrams,
		.tx_dgrams = stats.tx_datagrams,
		.sent_packets = stats.tx_packets,
		.lost_packets = stats.lost_packets,
		.lost_bytes = stats.lost_bytes,
		.congestion_events = stats.congestion_events,
		.rtt_ms = stats.rtt_ns / CLOCK_NS_PER_MS,
		.cwnd_bytes = stats.cwnd_bytes,
		.current_mtu = stats.mtu_bytes,
		.max_datagram = stats.max_datagram,
		.udp_dropped = stats.dropped_datagram_frames,
		.rx_datagram_frames = stats.rx_datagram_frames,
		.tx_datagram_frames = stats.tx_datagram_frames,
	};
	counters_add(sum, &one);
}

void counters_add_udp(struct tunnel_counters *sum, const struct udp_counters *udp)
{
	sum->payload_in_bytes += udp->in_bytes;
	sum->payload_out_bytes += udp->out_bytes;
	sum->udp_dropped += udp->dropped_full + udp->dropped_too_large + udp->dropped_no_tunnel +
			    udp->dropped_socket + udp->dropped_flows +
			    udp->dropped_malformed;
}
