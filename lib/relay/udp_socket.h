/* SPDX-License-Identifier: MIT */
/*
 * Datagrams in and out of a socket in batches, and in and out of a stream in frames: what both
 * sides of a UDP flow share. Used by udp_opener and udp_acceptor only. One thread.
 */
#pragma once

#include "relay/end.h"
#include "relay/udp_flow.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define UDP_BATCH 32               /* datagrams per system call */
#define UDP_TURN_BATCHES 2         /* batches per wake-up */
#define UDP_DATAGRAM_MAX 65535     /* buffer per datagram: nothing is ever cut */
#define UDP_CONTROL_BYTES 64       /* an in_pktinfo or in6_pktinfo, and the size of segments */
#define UDP_QUEUE_BYTES (256 * 1024)
#define UDP_DATAGRAM_QUEUE_BYTES (1024 * 1024)

/* Room to receive a batch. The thread's own: 2 MiB of address space of which only what datagrams
 * touch is memory. Taken by each socket that receives, freed with the last one; contents are good
 * until the next receive of the thread. */
struct udp_batch;

struct udp_batch *udp_batch_acquire(void); /* NULL: no memory */
void udp_batch_release(struct udp_batch *batch);

/* A received datagram. */
struct udp_packet {
	const uint8_t *data;
	size_t bytes;
	struct address source; /* len 0 on a connected socket */
	struct address local;  /* that it was sent to; len 0 where the socket does not tell */
	unsigned interface;    /* of a link-local `local` */
	bool truncated;        /* cannot be with this room; counted if it is */
};

/* Receives one batch: the number of datagrams, 0 = none now, negative = -errno (an ICMP error of an
 * earlier one, mostly). `with_source`: an unconnected socket, whose packets have source and local.
 * */
int udp_batch_receive(struct udp_batch *batch, int fd, bool with_source);
void udp_batch_packet(const struct udp_batch *batch, int index, struct udp_packet *ret);

/* Where datagrams go on an unconnected socket, and from which address of ours. */
struct udp_path {
	struct address to;
	struct address from; /* len 0 = the socket's */
	unsigned interface;
	const uint8_t *head; /* goes before each of them */
	size_t head_bytes;
	const struct udp_program *program; /* it and no socket; NULL = none */
};

/* Sends as many frames of the stream as one batch holds, DATAGRAM frames first; `path` NULL =
 * connected; the head of a program's is the flow's name with its NUL. Whatever the socket does not
 * take is dropped and counted. Returns the frames taken from the stream; *ret_bytes = their payload.
 * There may be more, unless it is 0. */
int udp_forward_frames(struct end *stream, int fd, const struct udp_path *path,
		       struct udp_counters *counters, size_t *ret_bytes);

/* A datagram that is longer than the original takes: counts it, and says so once. */
void udp_drop_too_large(const struct udp_config *config, size_t bytes);

/* Sends a datagram (at most FRAME_DATAGRAM_MAX bytes) whole or not at all: in a DATAGRAM frame
 * where the end has them and it fits, else as a frame on the stream. What finds no room is counted.
 */
bool udp_put_frame(struct end *stream, const void *data, size_t bytes,
		   const struct udp_config *config);

/* Puts bytes on the stream, whole or not at all. */
bool udp_put_bytes(struct end *stream, const void *head, size_t head_bytes, const void *data,
		   size_t bytes);

/* Large buffers, so that a burst waits instead of being lost. */
void udp_tune_socket(int fd);
