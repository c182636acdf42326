/* SPDX-License-Identifier: MIT */
/*
 * One end of a flow, as the relay (and a UDP flow) sees it. There are two natures of ends:
 *   buffered (a QUIC stream): holds bytes itself. As a source it lets them be viewed (peek,
 *     consume), as a sink it gives room to fill (reserve, commit).
 *   direct (a socket): the kernel holds the bytes. As a source it reads into given space (read), as
 *     a sink it takes what it can (write).
 * A relay joins one of each: socket bytes are read straight into the stream's room, and a wake-up's
 * worth of stream bytes goes to the socket in one writev. Nothing is copied between.
 *
 * The four signals go to whoever owns the end (relay or UDP flow) through `struct end_owner`; they
 * come from the loop or from the connection's dispatch, never from inside a call into the end. The
 * owner may free the end inside one of them. Runs on the thread of its loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct end;

/* Why a flow ended early: RESET_STREAM and STOP_SENDING codes between two rstunds (WIRE.md's "Flow
 * error codes"); an unknown code counts as 1, and toward the original 1 is all that is sent. */
enum flow_error {
	FLOW_OK = 0,
	FLOW_RESET = 1,
	FLOW_REFUSED = 2,
	FLOW_UNREACHABLE = 3,
	FLOW_TIMEOUT = 4,
	FLOW_DENIED = 5,
	FLOW_LIMIT = 6,
	FLOW_NAME_NOT_FOUND = 7,
	FLOW_SHUTTING_DOWN = 8,
};

const char *flow_error_text(enum flow_error error); /* "connection refused", ... */
int flow_error_to_rstun(enum flow_error error);     /* enum rstun_error */
enum flow_error flow_error_from_rstun(int error);   /* the other way; FLOW_RESET for others */
enum flow_error flow_error_from_errno(int err);

struct end_owner {
	void (*on_readable)(void *user); /* bytes or end of data are waiting */
	void (*on_writable)(void *user); /* a sink that was full takes bytes again */
	/* Peer reset its sending side, or the end is lost as a whole (both = true). */
	void (*on_error)(void *user, enum flow_error error, bool both);
	/* The peer does not want more bytes from us (STOP_SENDING, EPIPE). */
	void (*on_refused)(void *user, enum flow_error error);
};

struct end_ops {
	bool buffered;
	/* Source, buffered: view from the front (entries used), drop from the front. */
	int (*peek)(struct end *e, struct iovec *iov, int iov_max);
	void (*consume)(struct end *e, size_t bytes);
	/* Source, direct: bytes read; 0 = nothing now; see at_end. Errors are signalled by on_error
	 * later. */
	size_t (*read)(struct end *e, const struct iovec *iov, int iov_count);
	/* Source: everything came and was taken, and the other side said so (FIN). */
	bool (*at_end)(const struct end *e);
	/* Sink, buffered. reserve: entries used, 0 = full now (on_writable follows). */
	int (*reserve)(struct end *e, size_t bytes, struct iovec *iov, int iov_max);
	void (*commit)(struct end *e, size_t bytes);
	/* Sink, buffered: what reserve may give now. */
	size_t (*room)(const struct end *e);
	/* Sink, buffered: bytes committed, and of datagrams, that have not left this process yet (a
	 * UDP flow bounds them). */
	size_t (*waiting)(const struct end *e);
	/* Datagrams beside a buffered end's bytes, whole and out of order; all four or none. Sink: the
	 * largest that may be sent now (0 = none at all); sends it, false = dropped, it was full.
	 * Source: view of those that came, as frames (relay/frame.h); drops `count` of them from the
	 * front, `bytes` with headers. on_readable tells of them, too. */
	size_t (*max_datagram)(const struct end *e);
	bool (*send_datagram)(struct end *e, const void *data, size_t bytes, uint64_t now_ns);
	int (*peek_datagrams)(struct end *e, struct iovec *iov, int iov_max);
	void (*consume_datagrams)(struct end *e, size_t bytes, size_t count);
	/* Sink, direct: bytes taken; fewer than given = full now (on_writable follows). */
	size_t (*write)(struct end *e, const struct iovec *iov, int iov_count);
	/* Sink: end of file after all bytes given so far. */
	void (*finish)(struct end *e);
	/* Sink: all given bytes and the end of file have left this process (socket) or were
	 * acknowledged (stream). */
	bool (*drained)(const struct end *e);
	/* Ends one or both directions without an end of file: RST, RESET_STREAM + STOP_SENDING. */
	void (*abort)(struct end *e, enum flow_error error);
	/* Only our reading side: STOP_SENDING; a socket just stops being read. */
	void (*stop_reading)(struct end *e, enum flow_error error);
	/* Whether the owner wants on_readable now (derived interest: a direct source is not polled
	 * otherwise). */
	void (*want_read)(struct end *e, bool want);
	/* Frees the end; what is not ended yet is aborted with FLOW_RESET. No signal after this. */
	void (*free)(struct end *e);
};

struct end {
	const struct end_ops *ops;
	const struct end_owner *owner; /* set by whoever takes the end over */
	void *owner_user;
	/* udp_socket.c's: a datagram has fitted into a DATAGRAM frame; one has not, since then (0 =
	 * never). */
	bool datagrams_fit;
	uint64_t too_large_since_ns;
};
