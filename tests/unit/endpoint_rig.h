/* SPDX-License-Identifier: MIT */
/*
 * Endpoints on loopback: real UDP sockets, a real loop, one thread, no sleeping. Servers echo what streams bring;
 * clients send a known amount and check it. Also a bare UDP socket for hostile datagrams, and a sendmsg that
 * can be made to fail (link with -Wl,--wrap=sendmsg).
 */
#pragma once

#include "base/chunk.h"
#include "base/log.h"
#include "quic/endpoint_internal.h"

#define ERIG_LINKS 200

/* One connection of ours, either side. */
struct erig_link {
	struct quic_conn *conn; /* NULL after on_close */
	struct quic_stream *stream;
	bool ready;
	unsigned closed;
	struct quic_close close;
	uint64_t to_send, sent, got;
	bool end;
};

struct erig_end {
	struct erig *rig;
	struct quic_endpoint *ep;
	struct address bound;
	int fd;
	int sndbuf;            /* client: SO_SNDBUF of its sockets; 0 = as made */
	bool refuse;           /* server: closes in on_accept */
	struct erig_end *other; /* where on_foreign injects */
	struct erig_link *links[ERIG_LINKS];
	size_t count;
};

struct erig {
	struct loop loop;
	struct log log;
	struct chunk_pool pool;
	struct quic_config config;
	struct tls_credentials *server_credentials, *client_credentials;
	int raw; /* bare UDP socket on 127.0.0.1 */
};

void erig_init(struct erig *g);
void erig_done(struct erig *g);

/* A server at `text` ("127.0.0.1:0"). */
void erig_server(struct erig *g, struct erig_end *e, const char *text, bool reuse, unsigned worker,
		 unsigned workers);
void erig_client(struct erig *g, struct erig_end *e);
void erig_free(struct erig_end *e);
/* Dials; sends `bytes` on one stream when it is ready, and FIN. */
struct erig_link *erig_dial(struct erig_end *e, const struct address *to, uint64_t bytes);

/* Turns the loop until `done` or the time is over; true when done. */
bool erig_until(struct erig *g, bool (*done)(void *arg), void *arg, unsigned ms);
bool erig_ready(void *link);
bool erig_closed(void *link);
bool erig_whole(void *link); /* all was echoed */
bool erig_all_whole(void *end);
void erig_turns(struct erig *g, unsigned ms); /* lets so much time pass */
/* How often the loop turned in that time. */
unsigned erig_count_turns(struct erig *g, unsigned ms);

/* Stops reading the sockets of an endpoint: it is deaf from now on. */
void erig_deafen(struct erig_end *e);
/* From the bare socket; `bytes` of 0 is an empty datagram. */
void erig_raw_send(struct erig *g, const struct address *to, const void *data, size_t bytes);
/* The next datagram at the bare socket within that time; 0 = none. */
size_t erig_raw_receive(struct erig *g, void *buf, size_t size, unsigned ms);

/* sendmsg: the next so many calls fail with that errno. */
extern unsigned erig_fail_sends;
extern int erig_fail_errno;
/* sendmsg and setsockopt: UDP_SEGMENT and UDP_GRO fail, until the next erig_init. */
extern bool erig_refuse_offload;
extern unsigned erig_sends;
