/* SPDX-License-Identifier: MIT */
/*
 * One non-blocking UDP socket on a loop, tuned for QUIC: batched reads with GRO, one GSO send per
 * batch, ECN, the local address of each datagram (IP_PKTINFO), no fragmentation. A batch that the
 * kernel cannot take yet is kept and sent when it can.
 */
#pragma once

#include "base/address.h"

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct log;
struct loop;
struct quic_batch;

#define QUIC_SOCKET_READ_MESSAGES 8
#define QUIC_SOCKET_READ_BYTES 65536

/* Buffers that the sockets of one thread share, since only one is read at a time. */
struct quic_socket_buffers {
	uint8_t data[QUIC_SOCKET_READ_MESSAGES][QUIC_SOCKET_READ_BYTES];
};

struct quic_socket_ops {
	/* One datagram; everything is borrowed for the call. */
	void (*on_datagram)(void *user, const struct address *local, const struct address *remote,
			    unsigned ecn, const uint8_t *data, size_t bytes);
	/* After the datagrams of a wake-up. */
	void (*on_read_done)(void *user);
	/* A kept batch went out: more may be sent. */
	void (*on_writable)(void *user);
	/* ICMP told that `remote` cannot be reached (errno). */
	void (*on_unreachable)(void *user, const struct address *remote, int err);
};

struct quic_socket {
	struct loop *loop;
	const struct log *log;
	const struct quic_socket_ops *ops;
	void *user;
	struct quic_socket_buffers *buffers;
	int fd;
	struct address local; /* as bound; its IP may be unspecified */
	bool gso;	      /* false once the kernel refused it */
	bool blocked;	      /* `kept` waits for EV_WRITE */
	uint8_t *kept;
	size_t kept_bytes, kept_segment;
	unsigned kept_ecn;
	struct address kept_local, kept_remote;
	uint64_t idle_since_ns; /* for the owner: no connection uses it since */
	struct event read_event, write_event;
	TAILQ_ENTRY(quic_socket) link;
};

TAILQ_HEAD(quic_socket_list, quic_socket);

/* Makes a socket of that family with the options set that need nothing of ours, not bound. Negative
 * error. */
int quic_socket_open(sa_family_t family, bool reuse_port, bool wildcard);

/* Serves a bound descriptor; takes it over, on failure too. */
int quic_socket_new(struct quic_socket **ret, struct loop *loop, const struct log *log, int fd,
		    struct quic_socket_buffers *buffers, const struct quic_socket_ops *ops,
		    void *user);
void quic_socket_free(struct quic_socket *s);

/* 0 = taken (sent, kept, or lost on the way: UDP), RSTUN_E_AGAIN = kept and nothing more may be
 * sent until on_writable, RSTUN_E_UNREACHABLE = the kernel has no way there now. */
int quic_socket_send(struct quic_socket *s, const struct quic_batch *batch);
