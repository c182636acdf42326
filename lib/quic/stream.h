/* SPDX-License-Identifier: MIT */
/*
 * One bidirectional QUIC stream as its user sees it (RFC 9000 section 3). Made by
 * quic_conn_open_stream or handed over by quic_conn_ops.on_stream; owned by its connection, valid
 * until on_close returns.
 *
 * Receiving: bytes lie in a queue until they are consumed; only consumed bytes give the peer new
 * credit (RFC 9000 section 4), so a user that does not consume stops the sender, and memory is
 * bounded by the stream's window. Sending: the user reserves room, fills it in place, commits; the
 * room is bounded too (quic_stream_room), so a peer that does not read stops the source. Bytes stay
 * until acknowledged.
 *
 * Callbacks come from the connection's dispatch step, never from inside ngtcp2 and never from
 * inside a call of the user's into this header. In a callback every function here may be called.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct quic_stream;
struct quic_conn;

struct quic_stream_ops {
	/* New bytes or the end of the peer's data are waiting. Edge: comes again only for news. */
	void (*on_readable)(struct quic_stream *s, void *user);
	/* DATAGRAM frames for it are waiting. Edge, too. Without it they are dropped. */
	void (*on_datagrams)(struct quic_stream *s, void *user);
	/* There is room again after quic_stream_room() was 0 (or reserve gave none). */
	void (*on_writable)(struct quic_stream *s, void *user);
	/* RESET_STREAM: the peer gave up sending; bytes not yet consumed are gone. */
	void (*on_reset)(struct quic_stream *s, void *user, uint64_t app_error);
	/* STOP_SENDING: the peer does not want more; our sending side has been reset. */
	void (*on_stop_sending)(struct quic_stream *s, void *user, uint64_t app_error);
	/* The last call: both directions have ended and all we sent is acknowledged, or the
	 * connection is lost (lost = true: nothing is known about bytes that were not
	 * acknowledged). */
	void (*on_close)(struct quic_stream *s, void *user, bool lost);
};

void quic_stream_set_ops(struct quic_stream *s, const struct quic_stream_ops *ops, void *user);
int64_t quic_stream_id(const struct quic_stream *s);
struct quic_conn *quic_stream_conn(struct quic_stream *s);
bool quic_stream_is_local(const struct quic_stream *s); /* we opened it */

/* ---- receiving ---- */
size_t quic_stream_readable(const struct quic_stream *s); /* bytes waiting */
/* Views waiting bytes from the front; entries used (0 = none). */
int quic_stream_peek(struct quic_stream *s, struct iovec *iov, int iov_max);
/* Copies waiting bytes from the front and consumes them; returns how many. */
size_t quic_stream_read(struct quic_stream *s, void *buf, size_t bytes);
/* Drops bytes from the front and gives the peer credit for them. */
void quic_stream_consume(struct quic_stream *s, size_t bytes);
/* The peer's FIN arrived and every byte before it has been consumed. */
bool quic_stream_at_end(const struct quic_stream *s);
/* It arrived: nothing follows what is waiting. */
bool quic_stream_is_whole(const struct quic_stream *s);

/* ---- sending ---- */
size_t quic_stream_room(
	const struct quic_stream *s); /* bytes that reserve may give now; 0 when full or ended */
size_t quic_stream_unsent(const struct quic_stream *s);	 /* committed, not yet in a packet */
size_t quic_stream_unacked(const struct quic_stream *s); /* committed, not yet acknowledged */
int quic_stream_reserve(struct quic_stream *s, size_t bytes, struct iovec *iov, int iov_max);
void quic_stream_commit(struct quic_stream *s, size_t bytes);
/* Copies in all of it or nothing: 0, RSTUN_E_AGAIN (no room), RSTUN_E_NOMEM, RSTUN_E_CLOSED. */
int quic_stream_write(struct quic_stream *s, const void *data, size_t bytes);
/* No more bytes: FIN after all that is committed. */
void quic_stream_finish(struct quic_stream *s);

/* ---- DATAGRAM frames (RFC 9221), after quic_conn_start_datagrams ---- */
/* The largest that can be sent now, which is what the path carries; 0 = none at all. */
size_t quic_stream_max_datagram(const struct quic_stream *s);
/* Copies it in: it leaves with the next packets, before a FIN, unless the path does not take it for
 * long, or is lost on the way. RSTUN_E_TOO_LARGE, RSTUN_E_AGAIN (the queue is full), RSTUN_E_NOMEM,
 * RSTUN_E_CLOSED (or not agreed on). */
int quic_stream_send_datagram(struct quic_stream *s, const void *data, size_t bytes,
			      uint64_t now_ns);
size_t quic_stream_unsent_datagrams(const struct quic_stream *s); /* bytes of them that wait */
/* Views waiting ones from the front, each behind its length (u16 BE); entries used. The last may be
 * cut off where iov ends. */
int quic_stream_peek_datagrams(struct quic_stream *s, struct iovec *iov, int iov_max);
/* Drops `count` whole ones from the front, `bytes` with their lengths. */
void quic_stream_consume_datagrams(struct quic_stream *s, size_t bytes, size_t count);

/* ---- ending early ---- */
/* RESET_STREAM and STOP_SENDING together (whichever still means something). on_close follows. */
void quic_stream_abort(struct quic_stream *s, uint64_t app_error);
/* STOP_SENDING only: what still arrives is thrown away. */
void quic_stream_stop_reading(struct quic_stream *s, uint64_t app_error);
/* RESET_STREAM only. */
void quic_stream_reset_sending(struct quic_stream *s, uint64_t app_error);
