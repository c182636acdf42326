/* SPDX-License-Identifier: MIT */
/*
 * The UDP side of QUIC on one thread: sockets (batched reads with GRO, one GSO send per batch), the
 * table from connection ID to connection, stateless resets, Retry, version negotiation, one timer
 * per connection, and the write step at the end of each wake-up. A worker's server has one endpoint
 * with one SO_REUSEPORT socket; a client has one endpoint with one socket per address family.
 */
#pragma once

#include "base/address.h"
#include "quic/conn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunk_pool;
struct loop;
struct log;
struct quic_endpoint;
struct socket_hook; /* base/socket_hook.h */
struct tls_credentials;

#define QUIC_ENDPOINT_SECRET_BYTES 32

struct quic_endpoint_stats {
	uint64_t rx_datagrams, tx_datagrams, rx_bytes, tx_bytes;
	uint64_t rx_dropped; /* runts, empty, not QUIC, unknown connection */
	uint64_t resets_sent, retries_sent;
	uint64_t connections, half_open;
	uint64_t forwarded; /* datagrams of another worker's connections */
};

struct quic_endpoint_ops {
	/* Server: a new connection is being set up; call quic_conn_set_ops in it. Its on_ready
	 * follows when the handshake is done, or on_close. */
	void (*on_accept)(struct quic_endpoint *ep, void *user, struct quic_conn *c);
	/* A socket of ours is about to be bound or connected (SO_MARK, device); may be NULL.
	 * Non-zero aborts. */
	int (*on_socket)(struct quic_endpoint *ep, void *user, int fd);
	/* A datagram whose connection ID names worker `worker`, not us; may be NULL (then it is
	 * dropped). */
	void (*on_foreign)(struct quic_endpoint *ep, void *user, unsigned worker,
			   const struct address *local, const struct address *remote,
			   const uint8_t *data, size_t bytes);
};

struct quic_endpoint_config {
	struct loop *loop;
	const struct log *log;
	struct chunk_pool *pool;
	struct quic_config quic;       /* for every connection of it */
	unsigned worker, worker_count; /* first byte of our connection IDs modulo count = worker */
	uint8_t secret[QUIC_ENDPOINT_SECRET_BYTES]; /* stateless reset tokens and Retry tokens; the
						       same for all workers and across restarts */
	struct tls_credentials
		*credentials; /* server: certificate; NULL for a client endpoint. Reference taken */
	const struct quic_endpoint_ops *ops;
	void *user;
};

struct quic_connect {
	struct address remote;
	struct tls_session
		*session; /* client session; taken over on success, untouched on failure */
	const struct quic_conn_ops *ops;
	void *user;
};

/* RSTUN_E_NOMEM. */
int quic_endpoint_new(struct quic_endpoint **ret, const struct quic_endpoint_config *config);

/* Closes what is left without waiting (connections get on_close) and frees. Not from a callback of
 * it. */
void quic_endpoint_free(struct quic_endpoint *ep);

/* Makes the non-blocking UDP socket of a server: SO_REUSEPORT when `reuse_port`, IP_PKTINFO on
 * wildcard addresses, don't-fragment, buffers of 4 MiB. The caller may steer it
 * (quic_endpoint_steer) before use. */
int quic_endpoint_bind(const struct address *addr, bool reuse_port, int *ret_fd,
		       struct address *ret_bound);
/* The same; `hook` is asked first. */
int quic_endpoint_bind_hooked(const struct address *addr, bool reuse_port,
			      const struct socket_hook *hook, int *ret_fd,
			      struct address *ret_bound);

/* Attaches the classic BPF program that sends a datagram to socket number (first CID byte %
 * workers) of the SO_REUSEPORT group that `fd` belongs to. */
int quic_endpoint_steer(int fd, unsigned workers);

/* Server: serves a bound UDP socket; takes the descriptor over, on failure too. */
int quic_endpoint_listen(struct quic_endpoint *ep, int fd);

/* Client: begins a handshake. Failures of the network arrive through on_close. */
int quic_endpoint_connect(struct quic_endpoint *ep, const struct quic_connect *params,
			  struct quic_conn **ret);

/* Client: moves all connections to new sockets (RFC 9000 section 9.2), keeping each old socket
 * until no connection uses it. */
void quic_endpoint_hop(struct quic_endpoint *ep);

/* A datagram that another worker received for us (on_foreign there). */
void quic_endpoint_inject(struct quic_endpoint *ep, const struct address *local,
			  const struct address *remote, const uint8_t *data, size_t bytes);

/* Server: new connections are refused (CONNECTION_REFUSED) from now on. */
void quic_endpoint_stop_accepting(struct quic_endpoint *ep);

/* Server: new handshakes use these credentials. Reference taken. */
void quic_endpoint_set_credentials(struct quic_endpoint *ep, struct tls_credentials *credentials);

void quic_endpoint_stats(const struct quic_endpoint *ep, struct quic_endpoint_stats *ret);
/* Connections that are not closed yet. */
size_t quic_endpoint_connections(const struct quic_endpoint *ep);
