/* SPDX-License-Identifier: MIT */
/*
 * Packets out of a connection: one batch of equal-sized packets for one GSO send. Streams take
 * turns, a quantum each; several small ones share a packet. Also here: the watchdog against a path
 * whose MTU shrank, which ngtcp2 never repairs by itself.
 */
#include "quic/conn_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <string.h>

#define BATCH_BYTES 65000u	 /* one GSO send; below the largest UDP payload */
#define BATCH_PACKETS 64u	 /* UDP_MAX_SEGMENTS of older kernels */
#define BURST_BYTES (5 * BATCH_BYTES)
#define BURST_NS (CLOCK_NS_PER_S / 4000)
#define ALONE_NS (CLOCK_NS_PER_S / 50)
#define BLACK_HOLE_MIN_NS (2 * CLOCK_NS_PER_S)
#define SMALL_FOR_NS (600 * CLOCK_NS_PER_S)
#define WRITE_IOV 16

/* Accounts for `n` bytes (and perhaps the FIN) of the stream in the packet being built. */
static void stream_sent(struct quic_stream *s, size_t n, bool whole)
{
	s->announce = false;
	s->announced = true;
	s->tx_sent += n;
	s->conn->tx_unacked += n;
	if (s->id != s->conn->last_sent_id) {
		s->conn->last_sent_id = s->id;
		s->conn->alone_since_ns = s->conn->now_ns;
	}
	if (whole && s->tx_finish && s->tx_sent == s->tx.end)
		s->tx_fin_sent = true;
	s->quantum = n < s->quantum ? s->quantum - n : 0;
	quic_stream_note_room(s);
	if (quic_stream_has_work(s) && s->quantum > 0)
		return;
	quic_stream_unqueue_send(s);
	quic_stream_queue_send(s);
	quic_datagrams_next_turn(s->conn);
}

/* Datagrams into the packet, as long as it is their turn. 0: there is nothing in it;
 * NGTCP2_ERR_WRITE_MORE: it is to be completed. */
static ngtcp2_ssize write_datagrams(struct quic_conn *c, ngtcp2_path *path, ngtcp2_pkt_info *pi,
				    uint8_t *dest, size_t destlen, ngtcp2_tstamp ts)
{
	ngtcp2_ssize result = 0;

	while (quic_datagrams_turn(c)) {
		ngtcp2_ssize n = quic_datagrams_write(c, path, pi, dest, destlen, ts);

		if (n == 0)
			break;
		c->alone_since_ns = c->now_ns;
		result = n;
		if (n != NGTCP2_ERR_WRITE_MORE)
			break;
	}
	return result;
}

static ngtcp2_ssize write_packet(struct quic_conn *c, ngtcp2_path *path, ngtcp2_pkt_info *pi,
				 uint8_t *dest, size_t destlen, ngtcp2_tstamp ts)
{
	ngtcp2_conn *ng = c->ng;
	ngtcp2_ssize put = write_datagrams(c, path, pi, dest, destlen, ts);
	bool alone = false;
	size_t quantum;

	if (put != 0 && put != NGTCP2_ERR_WRITE_MORE)
		return put;
	for (;;) {
		struct quic_stream *s = alone ? NULL : TAILQ_FIRST(&c->send);
		struct iovec iov[WRITE_IOV];
		uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_NONE;
		ngtcp2_ssize taken = -1, n;
		size_t offered = 0;
		int iovs = 0;
		bool fin = false;

		if (s) {
			size_t unsent = (size_t)(s->tx.end - s->tx_sent);
			size_t want = unsent < destlen ? unsent : destlen;

			iovs = chunk_queue_peek(&s->tx, s->tx_sent, want, iov, WRITE_IOV);
			for (int i = 0; i < iovs; i++)
				offered += iov[i].iov_len;
			flags = NGTCP2_WRITE_STREAM_FLAG_MORE;
			if (s->tx_finish && offered == unsent && s->datagram_unsent == 0) {
				flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
				fin = true;
			}
		}
		/* struct iovec and ngtcp2_vec have the same members in the same order; a cast is
		 * what the library's own documentation suggests. */
		n = ngtcp2_conn_writev_stream(ng, path, pi, dest, destlen, &taken, flags,
					      s ? s->id : -1, (const ngtcp2_vec *)(const void *)iov,
					      (size_t)iovs, ts);
		if (s && taken >= 0)
			stream_sent(s, (size_t)taken, fin && (size_t)taken == offered);
		switch (n) {
		case NGTCP2_ERR_WRITE_MORE:
			continue;
		case NGTCP2_ERR_STREAM_DATA_BLOCKED:
			/* Out of credit: of this stream (until MAX_STREAM_DATA) or of the
			 * connection (until any packet arrives). */
			if (ngtcp2_conn_get_max_stream_data_left2(ng, s->id) == 0) {
				s->tx_blocked = true;
				quic_stream_unqueue_send(s);
			} else {
				quic_stream_hold(s);
			}
			continue;
		case NGTCP2_ERR_STREAM_SHUT_WR:
		case NGTCP2_ERR_STREAM_NOT_FOUND:
			quic_stream_end_sending(s);
			continue;
		case 0:
			/* The connection's credit is used up, of which ngtcp2 makes no error, or it
			 * is not the time to send. Datagrams need no credit. */
			if (s && offered > 0 && ngtcp2_conn_get_max_data_left2(ng) == 0) {
				quic_stream_hold(s);
				continue;
			}
			if (alone)
				return 0;
			alone = true;
			quantum = c->datagrams.quantum;
			quic_datagrams_next_turn(c);
			put = write_datagrams(c, path, pi, dest, destlen, ts);
			if (put == 0)
				c->datagrams.quantum = quantum; /* it was not the time */
			if (put != NGTCP2_ERR_WRITE_MORE)
				return put;
			continue;
		default:
			return n;
		}
	}
}

static ngtcp2_ssize write_one(ngtcp2_conn *ng, ngtcp2_path *path, ngtcp2_pkt_info *pi,
			      uint8_t *dest, size_t destlen, ngtcp2_tstamp ts, void *user_data)
{
	struct quic_conn *c = user_data;
	ngtcp2_ssize n;

	(void)ng;
	if (c->small_until_ns > ts && destlen > QUIC_SMALL_PACKET_BYTES)
		destlen = QUIC_SMALL_PACKET_BYTES;
	n = write_packet(c, path, pi, dest, destlen, ts);
	if (n > 0)
		quic_datagrams_packet(c, (size_t)n);
	return n;
}

/* Where the packets of a batch go, which are all of one path; false when ngtcp2 named none. */
static bool set_path(struct quic_conn *c, struct quic_batch *batch, const ngtcp2_path *path)
{
	if (address_from_sockaddr(&batch->local, path->local.addr,
				  (socklen_t)path->local.addrlen) != 0 ||
	    address_from_sockaddr(&batch->remote, path->remote.addr,
				  (socklen_t)path->remote.addrlen) != 0)
		return false;
	c->tx_bytes += batch->bytes;
	return true;
}

/* A close says nothing about what came before it: without an acknowledgement a peer whose last
 * bytes arrived would have to take them for lost. ngtcp2 holds acknowledgements back for a while,
 * so it is told that this while is over; the connection has no later time. */
static bool write_last_acks(struct quic_conn *c, struct quic_batch *batch)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi = {0};
	ngtcp2_ssize n;

	if (c->acks_written || !c->ready || c->close.kind != QUIC_CLOSE_LOCAL)
		return false;
	c->acks_written = true;
	c->now_ns += NGTCP2_DEFAULT_MAX_ACK_DELAY;
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_pkt(c->ng, &ps.path, &pi, batch->buf, QUIC_SMALL_PACKET_BYTES,
				  c->now_ns);
	if (n <= 0)
		return false;
	batch->bytes = batch->segment = (size_t)n;
	batch->ecn = pi.ecn;
	c->tx_datagrams++;
	return set_path(c, batch, &ps.path);
}

static bool write_close(struct quic_conn *c, struct quic_batch *batch)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi;
	ngtcp2_ssize n;

	c->ended = true;
	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_connection_close(c->ng, &ps.path, &pi, c->close_packet,
					       sizeof(c->close_packet), &c->ccerr, c->now_ns);
	if (n <= 0)
		return false;
	c->close_written = true;
	c->close_packet_bytes = (size_t)n;
	memcpy(batch->buf, c->close_packet, (size_t)n);
	batch->bytes = batch->segment = (size_t)n;
	batch->ecn = 0;
	batch->local = c->local;
	batch->remote = c->remote;
	c->tx_bytes += (size_t)n;
	c->tx_datagrams++;
	return true;
}

static void send_small(struct quic_conn *c)
{
	c->black_hole_since_ns = CLOCK_NEVER;
	c->large_sent = false;
	quic_datagrams_forget_path(c);
	c->small_until_ns = clock_after(c->now_ns, SMALL_FOR_NS);
	log_info(c->log, "quic",
		 "large packets do not arrive any more: sending %u bytes for 10 minutes",
		 QUIC_SMALL_PACKET_BYTES);
}

/* Large packets unanswered for max(3 PTO, 2 s): the path may carry less than it did. */
static void watch_black_hole(struct quic_conn *c)
{
	uint64_t limit = quic_conn_linger_ns(c);

	if (limit < BLACK_HOLE_MIN_NS)
		limit = BLACK_HOLE_MIN_NS;
	if (quic_datagrams_vanish(c, limit)) {
		send_small(c);
		return;
	}
	if (c->tx_unacked == 0)
		c->large_sent = false;
	if (c->ack_progress || !c->large_sent || c->small_until_ns > c->now_ns) {
		/* What is in flight from here on is waited for anew; no new bytes need follow it.
		 */
		c->ack_progress = false;
		c->black_hole_since_ns = c->large_sent ? c->now_ns : CLOCK_NEVER;
		return;
	}
	if (c->black_hole_since_ns != CLOCK_NEVER && c->now_ns - c->black_hole_since_ns >= limit)
		send_small(c);
}

/* ---- pacing ---- */

/* What may go out before the pacer is told: a quarter of a millisecond's worth. One wake-up then
 * sends several batches where a batch takes less than that, and the peer finds several in one; both
 * together are an eighth of the CPU time of a bulk flow at MTU 1500. Only while one stream sends:
 * what others have to say would stand behind it. */
static size_t burst_limit(const struct quic_conn *c)
{
	ngtcp2_conn_info info;
	uint64_t bytes;

	if (c->now_ns - c->alone_since_ns < ALONE_NS)
		return 0;
	ngtcp2_conn_get_conn_info2(c->ng, &info);
	bytes = info.smoothed_rtt > 0 ? info.cwnd * BURST_NS / info.smoothed_rtt : 0;
	return bytes < BURST_BYTES ? (size_t)bytes : BURST_BYTES;
}

static void burst_end(struct quic_conn *c)
{
	c->burst_bytes = 0;
	ngtcp2_conn_update_pkt_tx_time(c->ng, c->now_ns);
}

bool quic_conn_write(struct quic_conn *c, struct quic_batch *batch, uint64_t now_ns)
{
	ngtcp2_path_storage ps;
	ngtcp2_pkt_info pi = {0};
	size_t segment = 0, packets, mtu, quantum;
	ngtcp2_ssize n;

	if (now_ns > c->now_ns)
		c->now_ns = now_ns;
	if (c->ended)
		return false;
	if (c->close_requested)
		return write_last_acks(c, batch) || write_close(c, batch);

	if (c->credit_maybe) {
		c->credit_maybe = false;
		quic_conn_release_held(c);
	}
	watch_black_hole(c);
	mtu = ngtcp2_conn_get_path_max_tx_udp_payload_size2(c->ng);
	/* What the pacer sends in a millisecond, at least two packets (with BBR; the library has ten
	 * for the others). Not more: in a full queue most of a burst is lost, and a flow that is
	 * paced in bursts of ten gets a third of its share beside one of TCP. */
	quantum = ngtcp2_conn_get_send_quantum2(c->ng);
	packets = (quantum < BATCH_BYTES ? quantum : BATCH_BYTES) / mtu;
	if (packets == 0)
		packets = 1;
	if (packets > BATCH_PACKETS)
		packets = BATCH_PACKETS;
	if (packets * mtu > BATCH_BYTES)
		packets = mtu >= BATCH_BYTES ? 1 : BATCH_BYTES / mtu;

	ngtcp2_path_storage_zero(&ps);
	n = ngtcp2_conn_write_aggregate_pkt2(c->ng, &ps.path, &pi, batch->buf, batch->size,
					     &segment, write_one, packets, c->now_ns);
	if (c->probe_ping) {
		c->probe_ping = false;
		ngtcp2_conn_set_keep_alive_timeout(c->ng, c->keep_alive_on ? c->config.keep_alive_ns
									   : UINT64_MAX);
	}
	if (n < 0) {
		quic_conn_fail(c, (int)n);
		return c->close_requested && !c->ended && write_close(c, batch);
	}
	c->burst_bytes += (size_t)n;
	/* An attempt with nothing to send would count as limited by the application. */
	if (n == 0 || TAILQ_EMPTY(&c->send) || c->burst_bytes >= burst_limit(c))
		burst_end(c);
	if (n == 0)
		return false;
	batch->bytes = (size_t)n;
	batch->segment = segment;
	batch->ecn = pi.ecn;
	if (!set_path(c, batch, &ps.path))
		return false;
	c->tx_datagrams += ((size_t)n + segment - 1) / segment;
	/* Probes of path MTU discovery are large too: alone, their loss means nothing. */
	if (c->tx_unacked > 0 && segment > QUIC_SMALL_PACKET_BYTES && !c->large_sent) {
		c->large_sent = true;
		c->black_hole_since_ns = c->now_ns;
	}
	return true;
}
