/* SPDX-License-Identifier: MIT */
/*
 * What the files of the endpoint share: endpoint.c (connections, timers, reading, writing),
 * endpoint_life.c, endpoint_accept.c (packets that lead to no connection: new clients, Retry,
 * version negotiation, resets), endpoint_hop.c (client sockets and moving between them).
 */
#pragma once

#include "base/loop.h"
#include "quic/cid.h"
#include "quic/conn_internal.h"
#include "quic/endpoint.h"
#include "quic/quic_socket.h"

#define ENDPOINT_RETRY_AT 100 /* half-open connections from which a client must show its address \
			       */
#define ENDPOINT_HALF_OPEN_MAX 2048   /* half-open connections beyond which new ones are dropped */
#define ENDPOINT_SOURCE_HALF_OPEN 512 /* the same from one IP address */
/* Answers a second, so that nobody makes us a tool or busy. Each kind for itself: a flood of strays
 * must not cost a real client its Retry. */
#define ENDPOINT_RESETS_PER_S 200
#define ENDPOINT_GREETINGS_PER_S 2000
#define ENDPOINT_CLOSES_PER_S 1000
#define ENDPOINT_BATCHES 16 /* one connection may send in one turn */
#define ENDPOINT_SOCKETS 3  /* of one family at a time (hop) */
#define ENDPOINT_RETRY_VALID_NS (10 * UINT64_C(1000000000))

enum endpoint_answer {
	ENDPOINT_ANSWER_RESET,	  /* stateless reset */
	ENDPOINT_ANSWER_GREETING, /* Retry, version negotiation, refusal: to at least 1200 bytes */
	ENDPOINT_ANSWER_CLOSE,	  /* of the closing period */
	ENDPOINT_ANSWER_KINDS,
};

enum route_state {
	ROUTE_LIVE,
	ROUTE_CLOSING,	/* answers packets with its CONNECTION_CLOSE, RFC 9000 section 10.2.1 */
	ROUTE_DRAINING, /* answers nothing, section 10.2.2 */
};

/* One connection as the endpoint sees it; outlives the quic_conn by 3 PTO. */
struct route {
	struct quic_endpoint *ep;
	enum route_state state;
	struct quic_conn *conn; /* NULL unless live */
	struct cid_list cids, tokens;
	struct loop_timer timer;
	bool in_ready; /* on the list of those to dispatch and write */
	bool flushing, woken;
	bool blocked;	/* its turn ended because the socket was full */
	bool half_open; /* server: handshake not done */
	struct address source;
	/* closing period */
	uint8_t *close_packet;
	size_t close_bytes;
	unsigned close_triggers, close_next; /* answered at 1, 2, 4, 8 ... packets */
	size_t close_budget; /* bytes: three times what came, RFC 9000 section 8.1 */
	struct address close_local, close_remote;
	TAILQ_ENTRY(route) link, ready_link, half_link;
};

TAILQ_HEAD(route_list, route);

struct quic_endpoint {
	struct quic_host host; /* first member: connections come back through it */
	struct quic_endpoint_config config;
	struct cid_table cids;
	struct cid_table tokens; /* stateless reset tokens of our peers */
	struct route_list routes, ready;
	struct route_list half; /* half-open ones */
	struct loop_task flush_task;
	struct loop_timer sweep_timer;	 /* frees sockets that a hop left behind */
	struct quic_socket_list sockets; /* the newest of each family first */
	struct quic_socket_buffers *buffers;
	uint8_t *batch;
	size_t live, half_open;
	bool accepting, freeing;
	uint64_t answer_second_ns;
	unsigned answers[ENDPOINT_ANSWER_KINDS];
	struct quic_endpoint_stats stats;
};

/* endpoint.c */
extern const struct quic_host_ops endpoint_host_ops;
void endpoint_flush(void *user); /* the task at the end of a wake-up */
/* Says goodbye and frees at once, whether or not the packet could be sent. */
void endpoint_route_kill(struct route *r);
struct route *endpoint_route_new(struct quic_endpoint *ep);
void endpoint_route_free(struct route *r);
void endpoint_schedule(struct route *r);
void endpoint_route_live(struct route *r, struct quic_conn *c);
void endpoint_route_half_open(struct route *r, const struct address *source);
struct quic_socket *endpoint_socket_for(struct quic_endpoint *ep, const struct address *local);
void endpoint_random_cid(struct quic_endpoint *ep, ngtcp2_cid *cid);

/* endpoint_accept.c: a datagram that leads to no connection of ours. */
void endpoint_stranger(struct quic_endpoint *ep, const struct address *local,
		       const struct address *remote, unsigned ecn, const uint8_t *data,
		       size_t bytes, const ngtcp2_version_cid *vc);
void endpoint_negotiate_version(struct quic_endpoint *ep, const struct address *local,
				const struct address *remote, const ngtcp2_version_cid *vc);
/* A packet outside of any connection; false when too many of them were sent this second. */
bool endpoint_answer(struct quic_endpoint *ep, enum endpoint_answer kind,
		     const struct address *local, const struct address *remote, const uint8_t *data,
		     size_t bytes);

/* endpoint_hop.c */
int endpoint_client_socket(struct quic_endpoint *ep, const struct address *remote,
			   struct quic_socket **ret);
void endpoint_sweep(struct quic_endpoint *ep);
void endpoint_on_sweep(void *user); /* its timer */
extern const struct quic_socket_ops endpoint_socket_ops;
