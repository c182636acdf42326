/* SPDX-License-Identifier: MIT */
/*
 * Streams: two byte queues and their half-states. A stream object lives from its first frame until
 * ngtcp2 has closed it AND its user has taken what arrived; then its last call is made from
 * dispatch and it is freed there, nowhere else. Owned by its connection; runs on that connection's
 * thread.
 */
#include "quic/conn_internal.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define SEND_WINDOW_ROUNDS 4 /* congestion windows that a stream may hold unacknowledged */

static const struct quic_stream_ops inert_ops;

struct quic_stream *quic_stream_make(struct quic_conn *c, int64_t id)
{
	struct quic_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->conn = c;
	s->id = id;
	s->ops = &inert_ops;
	chunk_queue_init(&s->rx, c->pool);
	chunk_queue_init(&s->tx, c->pool);
	chunk_queue_init(&s->datagrams, c->pool);
	TAILQ_INSERT_TAIL(&c->streams, s, link);
	c->stream_count++;
	return s;
}

/* Bytes from the front are not held any more. */
static void drop_received(struct quic_stream *s, size_t bytes)
{
	struct quic_conn *c = s->conn;

	chunk_queue_release(&s->rx, s->rx.begin + bytes);
	c->held_bytes -= bytes;
	if (c->withheld_bytes > 0 && !c->ended) {
		quic_conn_give_credit(c, 0);
		quic_conn_wake(c);
	}
}

static void stream_free(struct quic_stream *s)
{
	struct quic_conn *c = s->conn;

	quic_stream_unqueue_send(s);
	if (s->in_notify)
		TAILQ_REMOVE(&c->notify, s, notify_link);
	TAILQ_REMOVE(&c->streams, s, link);
	c->stream_count--;
	/* The peer may open another one only now that this one holds no memory. */
	if (!c->ended && !quic_stream_is_local(s)) {
		ngtcp2_conn_extend_max_streams_bidi(c->ng, 1);
		quic_conn_wake(c);
	}
	drop_received(s, chunk_queue_bytes(&s->rx));
	quic_datagrams_drop(s);
	chunk_queue_done(&s->rx);
	chunk_queue_done(&s->tx);
	free(s);
}

void quic_stream_note(struct quic_stream *s, unsigned facts)
{
	s->facts |= facts;
	if (!s->in_notify) {
		TAILQ_INSERT_TAIL(&s->conn->notify, s, notify_link);
		s->in_notify = true;
	}
	quic_conn_wake(s->conn);
}

bool quic_stream_has_work(const struct quic_stream *s)
{
	if (s->gone || s->tx_closed)
		return false;
	return s->announce || s->tx_sent < s->tx.end ||
	       (s->tx_finish && !s->tx_fin_sent && s->datagram_unsent == 0);
}

void quic_stream_queue_send(struct quic_stream *s)
{
	if (s->in_send || s->tx_blocked || !quic_stream_has_work(s))
		return;
	s->quantum = QUIC_STREAM_QUANTUM;
	TAILQ_INSERT_TAIL(&s->conn->send, s, send_link);
	s->in_send = true;
	quic_conn_wake(s->conn);
}

void quic_stream_unqueue_send(struct quic_stream *s)
{
	if (!s->in_send)
		return;
	TAILQ_REMOVE(s->in_held ? &s->conn->held : &s->conn->send, s, send_link);
	s->in_send = false;
	s->in_held = false;
}

void quic_stream_hold(struct quic_stream *s)
{
	quic_stream_unqueue_send(s);
	TAILQ_INSERT_TAIL(&s->conn->held, s, send_link);
	s->in_send = true;
	s->in_held = true;
}

void quic_conn_release_held(struct quic_conn *c)
{
	struct quic_stream *s;

	TAILQ_FOREACH(s, &c->held, send_link)
	s->in_held = false;
	TAILQ_CONCAT(&c->send, &c->held, send_link);
}

void quic_stream_end_sending(struct quic_stream *s)
{
	if (s->tx_closed)
		return;
	s->tx_closed = true;
	s->conn->tx_unacked -= s->tx_sent - s->tx.begin;
	quic_stream_unqueue_send(s);
}

/* Nothing that the user could still want is left. */
static bool stream_is_over(const struct quic_stream *s)
{
	return s->gone && (s->rx_discard || chunk_queue_bytes(&s->rx) == 0);
}

void quic_stream_dispatch(struct quic_stream *s)
{
	unsigned facts = s->facts;

	s->facts = 0;
	if (facts & STREAM_FACT_NEW) {
		if (s->conn->ops && s->conn->ops->on_stream)
			s->conn->ops->on_stream(s->conn, s->conn->user, s);
		if (s->ops == &inert_ops)
			quic_stream_abort(s, 1);
	}
	if ((facts & STREAM_FACT_DATAGRAMS) && !s->ops->on_datagrams)
		quic_datagrams_drop(s);
	else if (facts & STREAM_FACT_DATAGRAMS)
		s->ops->on_datagrams(s, s->user);
	if ((facts & STREAM_FACT_READABLE) && !s->rx_discard && s->ops->on_readable)
		s->ops->on_readable(s, s->user);
	if ((facts & STREAM_FACT_RESET) && !s->rx_discard) {
		s->rx_discard = true;
		drop_received(s, chunk_queue_bytes(&s->rx));
		quic_datagrams_drop(s);
		if (s->ops->on_reset)
			s->ops->on_reset(s, s->user, s->reset_code);
	}
	if ((facts & STREAM_FACT_STOP) && s->ops->on_stop_sending)
		s->ops->on_stop_sending(s, s->user, s->stop_code);
	if ((facts & STREAM_FACT_WRITABLE) && !s->tx_closed && s->ops->on_writable)
		s->ops->on_writable(s, s->user);
	if (s->facts == 0 && stream_is_over(s)) {
		if (s->ops->on_close)
			s->ops->on_close(s, s->user, false);
		stream_free(s);
	}
}

void quic_stream_lose(struct quic_stream *s)
{
	s->gone = true;
	quic_stream_end_sending(s);
	if (s->ops->on_close)
		s->ops->on_close(s, s->user, true);
	stream_free(s);
}

void quic_stream_set_ops(struct quic_stream *s, const struct quic_stream_ops *ops, void *user)
{
	s->ops = ops ? ops : &inert_ops;
	s->user = user;
}

int64_t quic_stream_id(const struct quic_stream *s)
{
	return s->id;
}

struct quic_conn *quic_stream_conn(struct quic_stream *s)
{
	return s->conn;
}

bool quic_stream_is_local(const struct quic_stream *s)
{
	/* RFC 9000 section 2.1: the lowest bit is 0 for streams that the client opened. */
	return (s->id & 1) == (s->conn->server ? 1 : 0);
}

/* ---- receiving ---- */

size_t quic_stream_readable(const struct quic_stream *s)
{
	return chunk_queue_bytes(&s->rx);
}

int quic_stream_peek(struct quic_stream *s, struct iovec *iov, int iov_max)
{
	return chunk_queue_peek(&s->rx, s->rx.begin, chunk_queue_bytes(&s->rx), iov, iov_max);
}

size_t quic_stream_read(struct quic_stream *s, void *buf, size_t bytes)
{
	size_t n = chunk_queue_copy(&s->rx, s->rx.begin, buf, bytes);

	quic_stream_consume(s, n);
	return n;
}

void quic_stream_consume(struct quic_stream *s, size_t bytes)
{
	if (bytes == 0)
		return;
	drop_received(s, bytes);
	if (!s->gone && !s->rx_fin && !s->conn->ended) {
		ngtcp2_conn_extend_max_stream_offset(s->conn->ng, s->id, bytes);
		quic_conn_wake(s->conn);
	}
	if (stream_is_over(s))
		quic_stream_note(s, 0);
}

bool quic_stream_at_end(const struct quic_stream *s)
{
	return s->rx_fin && !s->rx_discard && chunk_queue_bytes(&s->rx) == 0;
}

bool quic_stream_is_whole(const struct quic_stream *s)
{
	return s->rx_fin && !s->rx_discard;
}

/* ---- sending ---- */

/* Most bytes that a stream holds for the peer. What was sent is held until it is acknowledged with
 * all before it: behind a loss that is what a congestion window carries in the two or three round
 * trips that the repair takes. A window that is too small holds up a long path with losses (200
 * Mbit/s, 40 ms, 1 %: 100 Mbit/s with 2 MiB); one that is larger than that does nothing. */
static size_t stream_window(const struct quic_stream *s)
{
	const struct quic_config *config = &s->conn->config;
	uint64_t window = SEND_WINDOW_ROUNDS * s->conn->cwnd_bytes;

	if (window > config->send_window_max_bytes)
		window = config->send_window_max_bytes;
	return window > config->send_buffer_bytes ? (size_t)window : config->send_buffer_bytes;
}

size_t quic_stream_room(const struct quic_stream *s)
{
	size_t window = stream_window(s), held = chunk_queue_bytes(&s->tx);
	size_t buffer = s->conn->config.send_buffer_bytes, unsent = quic_stream_unsent(s);

	if (s->tx_closed || s->tx_finish || s->gone || held >= window || unsent >= buffer)
		return 0;
	return window - held < buffer - unsent ? window - held : buffer - unsent;
}

void quic_stream_note_room(struct quic_stream *s)
{
	if (!s->tx_full || quic_stream_room(s) < s->conn->config.send_buffer_bytes / 2)
		return;
	s->tx_full = false;
	quic_stream_note(s, STREAM_FACT_WRITABLE);
}

size_t quic_stream_unsent(const struct quic_stream *s)
{
	return (size_t)(s->tx.end - s->tx_sent);
}

size_t quic_stream_unacked(const struct quic_stream *s)
{
	return chunk_queue_bytes(&s->tx);
}

int quic_stream_reserve(struct quic_stream *s, size_t bytes, struct iovec *iov, int iov_max)
{
	size_t room = quic_stream_room(s);
	int n = 0;

	if (room > 0)
		n = chunk_queue_reserve(&s->tx, bytes < room ? bytes : room, iov, iov_max);
	if (n == 0)
		s->tx_full = true;
	return n;
}

/* Who finds no room is owed on_writable, whether or not he asks for some. */
static void note_full(struct quic_stream *s)
{
	if (quic_stream_room(s) == 0)
		s->tx_full = true;
}

void quic_stream_commit(struct quic_stream *s, size_t bytes)
{
	chunk_queue_commit(&s->tx, bytes);
	note_full(s);
	quic_stream_queue_send(s);
}

int quic_stream_write(struct quic_stream *s, const void *data, size_t bytes)
{
	int rv;

	if (s->tx_closed || s->tx_finish || s->gone)
		return RSTUN_E_CLOSED;
	/* What is larger than the whole buffer goes into an empty one, or it would never go. */
	if (quic_stream_room(s) < bytes && chunk_queue_bytes(&s->tx) > 0) {
		s->tx_full = true;
		return RSTUN_E_AGAIN;
	}
	rv = chunk_queue_append(&s->tx, data, bytes);
	if (rv == 0) {
		note_full(s);
		quic_stream_queue_send(s);
	}
	return rv;
}

void quic_stream_finish(struct quic_stream *s)
{
	if (s->tx_finish || s->tx_closed)
		return;
	s->tx_finish = true;
	quic_stream_queue_send(s);
}

/* ---- ending early ---- */

void quic_stream_stop_reading(struct quic_stream *s, uint64_t app_error)
{
	if (s->rx_discard)
		return;
	s->rx_discard = true;
	drop_received(s, chunk_queue_bytes(&s->rx));
	quic_datagrams_drop(s);
	if (!s->gone && !s->conn->ended) {
		/* Harmless where the peer's data is complete: then there is nothing to stop. */
		if (!s->rx_fin && !s->rx_reset)
			ngtcp2_conn_shutdown_stream_read(s->conn->ng, 0, s->id, app_error);
		quic_conn_wake(s->conn);
	}
	quic_stream_note(s, 0);
}

void quic_stream_reset_sending(struct quic_stream *s, uint64_t app_error)
{
	if (s->tx_closed)
		return;
	quic_stream_end_sending(s);
	if (!s->gone && !s->conn->ended) {
		ngtcp2_conn_shutdown_stream_write(s->conn->ng, 0, s->id, app_error);
		quic_conn_wake(s->conn);
	}
	quic_stream_note(s, 0);
}

void quic_stream_abort(struct quic_stream *s, uint64_t app_error)
{
	quic_stream_reset_sending(s, app_error);
	quic_stream_stop_reading(s, app_error);
}
