/* SPDX-License-Identifier: MIT */
/*
 * DATAGRAM frames in and out of a connection. To be sent: one bounded queue of the connection's, in
 * which the newest is refused when it is full: who puts it in learns of that at once and can count
 * it where it belongs. What the path does not take in time is dropped from the head, so the queue
 * can be as large as a fast path needs it when a process has to wait for its processor, and is
 * still short in time on a slow one. Received: a bounded queue at each stream, from which its user
 * takes them in the same form as frames on a stream; those of a stream that has not come yet wait
 * in a list of the connection's.
 *
 * A datagram is too large for a packet in which something else is already, or for every packet when
 * the path has shrunk: ngtcp2 answers 0 to both, so what can never fit is dropped before it is
 * offered, and a 0 does not keep streams from the packet.
 *
 * Owned by the connection; its thread.
 */
#include "quic/conn_internal.h"

#include "base/clock.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 2 /* before each in a queue */
#define TIME_BYTES 8   /* and before that, where it waits to be sent */
#define NUMBER_BYTES 8 /* longest */
#define NUMBER_MAX ((UINT64_C(1) << 60) - 1)
#define NUMBER_BYTES_STATED 4 /* what is counted on where the stream is not known */
#define DATAGRAM_IOV 8	      /* a datagram and its length, in chunks */
#define FRAME_BYTES 3	      /* type and length */
#define VANISHED_MIN 3
#define PADDING_SHARE 8 /* at most that part of a packet */

/* ---- numbers (RFC 9000 section 16) ---- */

static size_t number_put(uint8_t *buf, uint64_t number)
{
	size_t bytes = number < 64 ? 1 : number < 16384 ? 2 : number < (1u << 30) ? 4 : 8;

	for (size_t i = bytes; i > 0; i--, number >>= 8)
		buf[i - 1] = (uint8_t)number;
	buf[0] |= (uint8_t)((bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3) << 6);
	return bytes;
}

/* Bytes used; 0 = there are not enough. */
static size_t number_get(uint64_t *ret, const uint8_t *data, size_t bytes)
{
	size_t need = bytes == 0 ? 1 : (size_t)1 << (data[0] >> 6);
	uint64_t number;

	if (bytes < need)
		return 0;
	number = data[0] & 0x3fu;
	for (size_t i = 1; i < need; i++)
		number = (number << 8) | data[i];
	*ret = number;
	return need;
}

/* ---- beginning and end ---- */

void quic_datagrams_init(struct quic_conn *c)
{
	chunk_queue_init(&c->datagrams.tx, c->pool);
	STAILQ_INIT(&c->datagrams.early);
}

static void early_pop(struct quic_datagrams *d, struct quic_early *e)
{
	STAILQ_REMOVE(&d->early, e, quic_early, link);
	d->early_count--;
	d->early_bytes -= e->bytes;
	free(e);
}

void quic_datagrams_done(struct quic_conn *c)
{
	struct quic_early *e;

	while ((e = STAILQ_FIRST(&c->datagrams.early)))
		early_pop(&c->datagrams, e);
	chunk_queue_done(&c->datagrams.tx);
}

/* ---- sizes ---- */

/* What frames share of a packet: without header, packet number, authentication tag. */
static size_t packet_room(const struct quic_conn *c)
{
	size_t packet = quic_conn_packet_bytes(c);
	size_t around = 1 + ngtcp2_conn_get_dcid2(c->ng)->datalen + 4 + 16;

	return packet > around ? packet - around : 0;
}

/* The largest payload of a frame that a packet of its own carries. */
static size_t frame_room(const struct quic_conn *c)
{
	const struct quic_datagrams *d = &c->datagrams;
	size_t room = packet_room(c);

	room = room > FRAME_BYTES ? room - FRAME_BYTES : 0;
	if (room >= 16384) /* the length takes 4 bytes */
		room -= 2;
	if (d->peer_max < room + 5)
		room = d->peer_max < 5 ? 0 : (size_t)d->peer_max - 5;
	return room;
}

size_t quic_conn_max_datagram(const struct quic_conn *c)
{
	size_t room = c->datagrams.on && !c->ended ? frame_room(c) : 0;

	return room > NUMBER_BYTES_STATED ? room - NUMBER_BYTES_STATED : 0;
}

size_t quic_stream_max_datagram(const struct quic_stream *s)
{
	uint8_t number[NUMBER_BYTES];
	size_t number_bytes = number_put(number, (uint64_t)s->id >> 2);
	size_t room = s->conn->datagrams.on && !s->conn->ended ? frame_room(s->conn) : 0;

	return room > number_bytes ? room - number_bytes : 0;
}

/* ---- sending ---- */

static struct quic_stream *stream_of(struct quic_conn *c, uint64_t number)
{
	int64_t id = (int64_t)(number << 2) | (c->datagrams.server_opens ? 1 : 0);

	return ngtcp2_conn_get_stream_user_data2(c->ng, id);
}

int quic_stream_send_datagram(struct quic_stream *s, const void *data, size_t bytes,
			      uint64_t now_ns)
{
	struct quic_conn *c = s->conn;
	struct quic_datagrams *d = &c->datagrams;
	uint8_t head[TIME_BYTES + LENGTH_BYTES + NUMBER_BYTES], *length = head + TIME_BYTES;
	size_t number_bytes = number_put(length + LENGTH_BYTES, (uint64_t)s->id >> 2);
	size_t total = number_bytes + bytes, queued = chunk_queue_bytes(&d->tx);
	struct iovec parts[2] = {
		{.iov_base = head, .iov_len = TIME_BYTES + LENGTH_BYTES + number_bytes},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = bytes},
	};
	int rv;

	if (!d->on || s->gone || s->tx_closed || c->ended || c->close_requested)
		return RSTUN_E_CLOSED;
	if (bytes > quic_stream_max_datagram(s))
		return RSTUN_E_TOO_LARGE;
	/* An empty queue takes any, however small the limit. */
	if (d->tx_count >= QUIC_DATAGRAM_QUEUE ||
	    (queued > 0 && queued + total > c->config.datagram_queue_bytes))
		return RSTUN_E_AGAIN;
	memcpy(head, &now_ns, TIME_BYTES);
	length[0] = (uint8_t)(total >> 8);
	length[1] = (uint8_t)total;
	rv = chunk_queue_append_parts(&d->tx, parts, 2);
	if (rv != 0)
		return rv;
	d->tx_count++;
	s->datagram_unsent += total;
	quic_conn_wake(c);
	return 0;
}

size_t quic_stream_unsent_datagrams(const struct quic_stream *s)
{
	return s->datagram_unsent;
}

static size_t first_bytes(struct quic_datagrams *d, uint64_t *ret_time_ns)
{
	uint8_t head[TIME_BYTES + LENGTH_BYTES], *length = head + TIME_BYTES;

	chunk_queue_copy(&d->tx, d->tx.begin, head, sizeof(head));
	memcpy(ret_time_ns, head, TIME_BYTES);
	return ((size_t)length[0] << 8) | length[1];
}

/* Whose it is; NULL = that one is gone. */
static struct quic_stream *first_stream(struct quic_conn *c, size_t bytes)
{
	struct quic_datagrams *d = &c->datagrams;
	uint8_t head[NUMBER_BYTES];
	size_t head_bytes = bytes < sizeof(head) ? bytes : sizeof(head);
	uint64_t number;

	chunk_queue_copy(&d->tx, d->tx.begin + TIME_BYTES + LENGTH_BYTES, head, head_bytes);
	if (number_get(&number, head, head_bytes) == 0 || number > NUMBER_MAX)
		return NULL;
	return stream_of(c, number);
}

static void first_drop(struct quic_conn *c, size_t bytes)
{
	struct quic_datagrams *d = &c->datagrams;
	struct quic_stream *s = first_stream(c, bytes);

	if (s && s->datagram_unsent >= bytes) {
		s->datagram_unsent -= bytes;
		quic_stream_queue_send(s); /* its FIN may go now */
	}
	chunk_queue_release(&d->tx, d->tx.begin + TIME_BYTES + LENGTH_BYTES + bytes);
	d->tx_count--;
}

static bool is_late(const struct quic_conn *c, uint64_t time_ns)
{
	uint64_t age_ns = c->now_ns > time_ns ? c->now_ns - time_ns : 0;
	ngtcp2_conn_info info;

	if (age_ns <= QUIC_DATAGRAM_AGE_NS)
		return false;
	ngtcp2_conn_get_conn_info2(c->ng, &info);
	return age_ns > 2 * info.smoothed_rtt;
}

/* Drops from the front what is not to be sent any more: it is late, or too large for the path now,
 * or its stream has ended early. True: something is left, and the peer knows its stream, or will
 * not before this is sent; few that come before their stream are kept there. */
static bool first_is_good(struct quic_conn *c)
{
	struct quic_datagrams *d = &c->datagrams;
	uint64_t time_ns;
	size_t bytes;

	for (; d->tx_count > 0; first_drop(c, bytes), d->dropped++) {
		const struct quic_stream *s;

		bytes = first_bytes(d, &time_ns);
		s = first_stream(c, bytes);
		if (bytes <= frame_room(c) && !is_late(c, time_ns) && (!s || !s->tx_closed))
			return !s || s->announced || !s->in_send || s->in_held;
	}
	return false;
}

bool quic_datagrams_turn(struct quic_conn *c)
{
	struct quic_datagrams *d = &c->datagrams;

	/* A stream that comes while only datagrams are sent has the next turn: it may be what they
	 * belong to. */
	if (TAILQ_EMPTY(&c->send))
		d->quantum = 0;
	else if (d->quantum == 0)
		return false;
	return first_is_good(c);
}

void quic_datagrams_next_turn(struct quic_conn *c)
{
	c->datagrams.quantum = QUIC_STREAM_QUANTUM;
}

/* Packets of the path's size go out many at a time (GSO), any other alone. So one that is nearly
 * full, because the next datagram does not fit, is filled up. */
static bool wants_padding(const struct quic_conn *c, size_t next_bytes)
{
	size_t room = packet_room(c), used = c->datagrams.packet_bytes;

	return used > 0 && used + FRAME_BYTES + next_bytes > room &&
	       room - (used < room ? used : room) <= room / PADDING_SHARE;
}

ngtcp2_ssize quic_datagrams_write(struct quic_conn *c, ngtcp2_path *path, ngtcp2_pkt_info *pi,
				  uint8_t *dest, size_t destlen, ngtcp2_tstamp ts)
{
	struct quic_datagrams *d = &c->datagrams;
	uint64_t time_ns;
	size_t bytes = first_bytes(d, &time_ns);
	struct iovec iov[DATAGRAM_IOV];
	int taken = 0;
	int iovs = chunk_queue_peek(&d->tx, d->tx.begin + TIME_BYTES + LENGTH_BYTES, bytes, iov,
				    DATAGRAM_IOV);
	uint32_t flags = NGTCP2_WRITE_DATAGRAM_FLAG_MORE;
	ngtcp2_ssize n;

	if (wants_padding(c, bytes))
		flags |= NGTCP2_WRITE_DATAGRAM_FLAG_PADDING;
	n = ngtcp2_conn_writev_datagram(c->ng, path, pi, dest, destlen, &taken, flags, d->packet,
					(const ngtcp2_vec *)(const void *)iov, (size_t)iovs, ts);
	if (taken) {
		first_drop(c, bytes);
		d->quantum = bytes < d->quantum ? d->quantum - bytes : 0;
		d->packet_bytes += FRAME_BYTES + bytes;
		d->sent++;
	}
	return n;
}

/* ---- the watchdog ---- */

void quic_datagrams_packet(struct quic_conn *c, size_t bytes)
{
	struct quic_datagrams *d = &c->datagrams;

	if (d->packet_bytes == 0)
		return;
	d->packet_bytes = 0;
	if (bytes > QUIC_SMALL_PACKET_BYTES && !d->watching) {
		d->watching = true;
		d->watched = d->packet;
		d->watched_since_ns = c->now_ns;
		if (d->vanished == 0)
			d->vanishing_since_ns = c->now_ns;
	}
	d->packet++;
}

void quic_datagrams_acked(struct quic_conn *c, uint64_t packet)
{
	c->datagrams.acked_ns = c->now_ns;
	if (c->datagrams.watching && packet == c->datagrams.watched)
		quic_datagrams_forget_path(c);
}

void quic_datagrams_lost(struct quic_conn *c, uint64_t packet)
{
	struct quic_datagrams *d = &c->datagrams;

	if (!d->watching || packet != d->watched)
		return;
	d->watching = false;
	d->vanished++;
}

bool quic_datagrams_vanish(struct quic_conn *c, uint64_t limit_ns)
{
	struct quic_datagrams *d = &c->datagrams;

	/* Nothing at all is acknowledged, or small packets are, which tells of the loss of large
	 * ones. Two that are lost a long time from each other are only that. */
	if (d->watching && c->now_ns - d->watched_since_ns >= limit_ns) {
		if (d->acked_ns < d->watched_since_ns && d->packet - d->watched > VANISHED_MIN)
			return true;
		/* It alone was lost, of which ngtcp2 does not tell when it has probed for it. */
		d->watching = false;
		d->vanished++;
	}
	return d->vanished >= VANISHED_MIN && c->now_ns - d->vanishing_since_ns >= limit_ns;
}

void quic_datagrams_forget_path(struct quic_conn *c)
{
	c->datagrams.watching = false;
	c->datagrams.vanished = 0;
}

/* ---- receiving ---- */

static bool peer_opens(const struct quic_conn *c)
{
	return c->datagrams.server_opens != c->server;
}

/* The same form as a frame on a stream has. */
static void put(struct quic_stream *s, const uint8_t *data, size_t bytes)
{
	struct quic_datagrams *d = &s->conn->datagrams;
	uint8_t length[LENGTH_BYTES] = {(uint8_t)(bytes >> 8), (uint8_t)bytes};
	struct iovec parts[2] = {
		{.iov_base = length, .iov_len = sizeof(length)},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = bytes},
	};
	size_t before = s->datagrams.chunk_count;

	if (s->rx_discard || d->held_chunks >= QUIC_DATAGRAM_HELD_CHUNKS ||
	    chunk_queue_bytes(&s->datagrams) + bytes > QUIC_DATAGRAM_STREAM_BYTES ||
	    chunk_queue_append_parts(&s->datagrams, parts, 2) != 0) {
		d->dropped++;
		return;
	}
	s->datagram_count++;
	d->held_chunks += s->datagrams.chunk_count - before;
	d->received++;
	quic_stream_note(s, STREAM_FACT_DATAGRAMS);
}

static bool keep_early(struct quic_conn *c, uint64_t number, const uint8_t *data, size_t bytes)
{
	struct quic_datagrams *d = &c->datagrams;
	struct quic_early *e;

	if (d->early_count >= QUIC_DATAGRAM_EARLY ||
	    d->early_bytes + bytes > QUIC_DATAGRAM_EARLY_BYTES)
		return false;
	e = malloc(sizeof(*e) + bytes);
	if (!e)
		return false;
	e->number = number;
	/* A round trip as it may be at worst, RFC 9002 section 6.2.1. */
	e->deadline_ns = clock_after(c->now_ns, ngtcp2_conn_get_pto2(c->ng));
	e->bytes = bytes;
	memcpy(e->data, data, bytes);
	STAILQ_INSERT_TAIL(&d->early, e, link);
	d->early_count++;
	d->early_bytes += bytes;
	return true;
}

void quic_datagrams_receive(struct quic_conn *c, const uint8_t *data, size_t bytes)
{
	struct quic_datagrams *d = &c->datagrams;
	uint64_t number;
	size_t used = number_get(&number, data, bytes);
	struct quic_stream *s = NULL;
	/* A client may hear of the login's success a little later than of what follows it. */
	bool waits = d->on ? peer_opens(c) : !c->server;

	if (used == 0 || number > NUMBER_MAX) {
		d->dropped++;
		return;
	}
	if (d->on)
		s = stream_of(c, number);
	if (s)
		put(s, data + used, bytes - used);
	else if (!waits || !keep_early(c, number, data + used, bytes - used))
		d->dropped++;
}

/* Those whose stream is there go to it. */
static void take_early(struct quic_conn *c)
{
	struct quic_datagrams *d = &c->datagrams;
	struct quic_early *e, *next;

	for (e = STAILQ_FIRST(&d->early); e; e = next) {
		struct quic_stream *s = stream_of(c, e->number);

		next = STAILQ_NEXT(e, link);
		if (!s)
			continue;
		put(s, e->data, e->bytes);
		early_pop(d, e);
	}
}

void quic_datagrams_opened(struct quic_conn *c)
{
	if (c->datagrams.on)
		take_early(c);
}

void quic_conn_start_datagrams(struct quic_conn *c, bool server_opens)
{
	const ngtcp2_transport_params *peer = ngtcp2_conn_get_remote_transport_params2(c->ng);
	struct quic_datagrams *d = &c->datagrams;

	if (c->ended || d->on || !peer)
		return;
	d->on = true;
	d->server_opens = server_opens;
	d->peer_max = peer->max_datagram_frame_size;
	take_early(c);
}

uint64_t quic_datagrams_deadline(const struct quic_conn *c)
{
	const struct quic_early *e = STAILQ_FIRST(&c->datagrams.early);

	return e ? e->deadline_ns : CLOCK_NEVER;
}

void quic_datagrams_expire(struct quic_conn *c)
{
	struct quic_datagrams *d = &c->datagrams;

	while (quic_datagrams_deadline(c) <= c->now_ns) {
		early_pop(d, STAILQ_FIRST(&d->early));
		d->dropped++;
	}
}

/* ---- to the user ---- */

int quic_stream_peek_datagrams(struct quic_stream *s, struct iovec *iov, int iov_max)
{
	return chunk_queue_peek(&s->datagrams, s->datagrams.begin, chunk_queue_bytes(&s->datagrams),
				iov, iov_max);
}

static void release(struct quic_stream *s, size_t bytes)
{
	size_t before = s->datagrams.chunk_count;

	chunk_queue_release(&s->datagrams, s->datagrams.begin + bytes);
	s->conn->datagrams.held_chunks -= before - s->datagrams.chunk_count;
}

void quic_stream_consume_datagrams(struct quic_stream *s, size_t bytes, size_t count)
{
	release(s, bytes);
	s->datagram_count -= count;
}

void quic_datagrams_drop(struct quic_stream *s)
{
	s->conn->datagrams.dropped += s->datagram_count;
	s->datagram_count = 0;
	release(s, chunk_queue_bytes(&s->datagrams));
}
