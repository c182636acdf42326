/* SPDX-License-Identifier: MIT */
/*
 * UDP through a stream: one stream per (source, target), datagrams framed (relay/frame.h). UDP is
 * not a relay: datagrams never pause their source; what does not fit is dropped (the newest) and
 * counted.
 *
 * udp_opener: the side that receives the first datagram, from one bound socket or from a program. A
 * flow per source address, or per target that the program names, each with a stream end that the
 * owner opens. Answers leave from the address that the source wrote to (IP_PKTINFO), so a wildcard
 * socket on a host with two addresses answers from the right one.
 *
 * udp_acceptor: the far side. One connected socket per flow, so the source port is stable for its
 * life.
 *
 * Idle expiry counts both directions; the time is `now` of the loop. Where the end has DATAGRAM
 * frames, what fits travels in those and not on the stream. Everything on one loop's thread.
 */
#pragma once

#include "base/address.h"
#include "relay/end.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log;
struct loop;
struct socket_hook; /* base/socket_hook.h */
struct udp_acceptor;
struct udp_opener;

struct udp_counters {
	uint64_t in_datagrams, in_bytes;   /* from sockets into the tunnel */
	uint64_t out_datagrams, out_bytes; /* from the tunnel to sockets */
	uint64_t dropped_full;      /* the queue of a flow was full */
	uint64_t dropped_too_large; /* longer than the peer takes (the original: 1500) */
	uint64_t dropped_no_tunnel; /* no session at the time */
	/* The socket refused it (EMSGSIZE, ENOBUFS, ECONNREFUSED), or the program did not take it. */
	uint64_t dropped_socket;
	uint64_t dropped_flows;     /* first datagrams beyond max_flows */
	uint64_t dropped_malformed; /* SOCKS5: no target, or a fragment; or from somebody else */
};

struct udp_config {
	struct loop *loop;
	const struct log *log;
	const char *scope; /* for log lines; borrowed */
	uint64_t idle_timeout_ms;
	size_t queue_bytes; /* most bytes that wait for one flow's stream; 0 = 256 KiB */
	/* The same for what goes in DATAGRAM frames, which all flows together bound; 0 = 1 MiB. */
	size_t datagram_queue_bytes;
	/* 1500 limit; retire a stream when nothing came back for idle_timeout_ms and open a new one
	 * with the next datagram. */
	bool peer_is_original;
	struct udp_counters *counters; /* borrowed, added to */
	/* Set by the first flow that says aloud that a datagram was too large; borrowed, shared by
	 * the flows of a mapping; NULL = nobody says so. */
	bool *warned;
};

/* ---- opener ---- */

/* A near side that is no socket but a program, which sends by udp_opener_send. Its flows are told
 * apart by `name`: what it calls a target, letter by letter. No call may end a flow or the opener;
 * what they get is borrowed. */
struct udp_program {
	/* A datagram came back, in pieces. False: not taken, dropped. */
	bool (*on_datagram)(void *user, const char *name, const struct iovec *iov,
			    size_t iov_count);
	/* The far side ended a flow and said why; the next datagram opens another. */
	void (*on_refused)(void *user, const char *name, enum flow_error error);
	void (*on_done)(void *user); /* a flow has ended, however it did; may be NULL */
	void *user;
};

struct udp_opener_config {
	struct udp_config common;
	/* Bound, non-blocking, with IP_PKTINFO when wildcard; taken over, on failure too. Not looked
	 * at when there is a program. */
	int fd;
	const struct udp_program *program; /* copied; NULL = a socket */
	size_t max_flows;     /* 0 = 4096 */
	struct target target; /* the header's target; TARGET_DEFAULT on network mappings */
	/* Not `target`: each datagram begins with its own (RFC 1928 section 7), and so does each
	 * answer, with what its source called the target. A flow per source and target. */
	bool socks;
	struct address only; /* whose datagrams are taken, whatever the port; len 0 = everybody's */
	/* A new flow: opens a stream, returns its end and the number that the flow is known by, or
	 * NULL (no tunnel now: the datagram is dropped and counted). */
	struct end *(*open)(void *user, const struct address *source, uint64_t *ret_id);
	void (*on_flow_done)(void *user); /* a flow ended (for counts); may be NULL */
	void *user;
};

/* What is known of one source's flow. */
struct udp_opener_info {
	uint64_t id;                  /* from `open` */
	const struct address *source; /* borrowed for the visit; NULL = a program */
	const char *name;             /* a program's; NULL = a socket's */
	uint64_t in_bytes, out_bytes; /* payload: source to tunnel, tunnel to source */
	uint64_t started_ns, active_ns; /* a datagram last moved, either way */
};

int udp_bind(const struct address *addr, int *ret_fd, struct address *ret_bound);
/* The same; `hook` is asked first. */
int udp_bind_hooked(const struct address *addr, const struct socket_hook *hook, int *ret_fd,
		    struct address *ret_bound);
int udp_opener_new(struct udp_opener **ret, const struct udp_opener_config *config);
/* The session is gone or another one came (its kind of peer): all flows end, the socket stays. */
void udp_opener_reset(struct udp_opener *o, bool peer_is_original);
/* A program's datagram (at most FRAME_DATAGRAM_MAX bytes). Not 0: it was dropped, and counted.
 * RSTUN_E_AGAIN = the flow's queue is full, or there is no tunnel; RSTUN_E_TOO_LARGE = for the
 * original; RSTUN_E_LIMIT_REACHED = flows; RSTUN_E_NOMEM. */
int udp_opener_send(struct udp_opener *o, const char *name, const struct target *target,
		    const void *data, size_t bytes);
size_t udp_opener_flows(const struct udp_opener *o);
/* Shows each flow; a visit must not end any. */
void udp_opener_visit(const struct udp_opener *o,
		      void (*visit)(void *user, const struct udp_opener_info *flow), void *user);
/* Drops the flow with that number, or all for 0: the stream is aborted, and the next datagram of
 * the source opens another flow. Returns how many there were. */
size_t udp_opener_kill(struct udp_opener *o, uint64_t id);
/* What it has taken is still delivered, if the tunnel stays. Accepts NULL. */
void udp_opener_free(struct udp_opener *o);

/* ---- acceptor ---- */
struct udp_acceptor_config {
	struct udp_config common;
	/* The header has been read: choose the address and answer by udp_acceptor_dial, now or
	 * later, or end the flow by udp_acceptor_abort. Datagrams that come meanwhile wait in the
	 * stream. */
	void (*on_target)(struct udp_acceptor *a, void *user, const struct target *target);
	/* For the socket before connect (mark, source); may be NULL. */
	int (*on_socket)(void *user, int fd, const struct address *to);
	/* The last call; freed after it. */
	void (*on_done)(struct udp_acceptor *a, void *user);
	void *user;
	uint64_t header_timeout_ms; /* the target must have come by then; 0 = the idle timeout */
};

/* Takes the stream's end over, on failure too. */
int udp_acceptor_new(struct udp_acceptor **ret, const struct udp_acceptor_config *config,
		     struct end *stream);
void udp_acceptor_dial(struct udp_acceptor *a, const struct address *upstream);
/* When a datagram last moved, either way; at first when the flow began. */
uint64_t udp_acceptor_active_ns(const struct udp_acceptor *a);
/* on_done follows from the loop. */
void udp_acceptor_abort(struct udp_acceptor *a, enum flow_error error);
/* The same at once and without on_done; not from inside a callback of it. Accepts NULL. */
void udp_acceptor_free(struct udp_acceptor *a, enum flow_error error);
