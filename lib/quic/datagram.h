/* SPDX-License-Identifier: MIT */
/*
 * DATAGRAM frames of a connection (RFC 9221), each of which belongs to a stream: its payload begins
 * with the stream's number, its ID divided by four, as a variable-length integer (the quarter
 * stream ID of RFC 9297). Users see them at the stream (stream.h). Here is what conn_*.c and
 * stream.c call. Included by conn_internal.h only.
 */
#pragma once

#include "base/chunk.h"
#include "base/clock.h"

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define QUIC_DATAGRAM_FRAME_MAX 65535	    /* that we take; our transport parameter */
#define QUIC_DATAGRAM_QUEUE 2048	    /* most that wait to be sent; bytes: quic_config */
#define QUIC_DATAGRAM_AGE_NS (100 * CLOCK_NS_PER_MS) /* older, by two round trips, is late */
#define QUIC_DATAGRAM_STREAM_BYTES 1048576  /* most that wait at one stream for its user */
#define QUIC_DATAGRAM_HELD_CHUNKS 1024	    /* the same for all of them, memory: 16 MiB */
#define QUIC_DATAGRAM_EARLY 16		    /* most that came before their stream */
#define QUIC_DATAGRAM_EARLY_BYTES 32768

struct quic_conn;
struct quic_stream;

/* One that came before its stream. */
struct quic_early {
	STAILQ_ENTRY(quic_early) link;
	uint64_t number, deadline_ns;
	size_t bytes;
	uint8_t data[];
};

STAILQ_HEAD(quic_early_list, quic_early);

struct quic_datagrams {
	bool on;	   /* agreed on by both sides */
	bool server_opens; /* whose the streams are that they belong to */
	uint64_t peer_max; /* largest frame that the peer takes */

	struct chunk_queue tx; /* number and payload, each behind its time and length */
	size_t tx_count;
	size_t quantum; /* bytes that they may send before it is a stream's turn */

	size_t held_chunks; /* at all streams, received and not taken */
	struct quic_early_list early;
	size_t early_count, early_bytes;

	/* Watchdog: one large packet after the other is watched until one arrives. */
	uint64_t packet;   /* number of the packet that is being built; no QUIC packet number */
	size_t packet_bytes; /* of frames with datagrams in it */
	bool watching;
	uint64_t watched, watched_since_ns;
	uint64_t acked_ns; /* when the last packet with datagrams arrived, whichever */
	unsigned vanished; /* of those watched, since one arrived */
	uint64_t vanishing_since_ns;

	uint64_t sent, received;
	uint64_t dropped; /* received: malformed, too early, of no stream, too many; to be sent: too
			     old, or the path carries less now */
};

void quic_datagrams_init(struct quic_conn *c);
void quic_datagrams_done(struct quic_conn *c);

/* From ngtcp2's callbacks. */
void quic_datagrams_receive(struct quic_conn *c, const uint8_t *data, size_t bytes);
void quic_datagrams_opened(struct quic_conn *c); /* a stream of the peer's */
void quic_datagrams_acked(struct quic_conn *c, uint64_t packet);
void quic_datagrams_lost(struct quic_conn *c, uint64_t packet);

/* Some wait, and it is their turn. */
bool quic_datagrams_turn(struct quic_conn *c);
/* A stream has had its turn: it is theirs again. */
void quic_datagrams_next_turn(struct quic_conn *c);
/* Puts the first into the packet; the result is ngtcp2's. */
ngtcp2_ssize quic_datagrams_write(struct quic_conn *c, ngtcp2_path *path, ngtcp2_pkt_info *pi,
				  uint8_t *dest, size_t destlen, ngtcp2_tstamp ts);
/* The packet is complete. */
void quic_datagrams_packet(struct quic_conn *c, size_t bytes);
/* Large packets with datagrams have not arrived for that long. */
bool quic_datagrams_vanish(struct quic_conn *c, uint64_t limit_ns);
/* What is known of large packets does not count any more. */
void quic_datagrams_forget_path(struct quic_conn *c);

/* Early ones have a deadline. */
uint64_t quic_datagrams_deadline(const struct quic_conn *c);
void quic_datagrams_expire(struct quic_conn *c);

/* What waits at the stream is dropped. */
void quic_datagrams_drop(struct quic_stream *s);
