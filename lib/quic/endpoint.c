/* SPDX-License-Identifier: MIT */
/*
 * The endpoint: datagrams in, connections dispatched, batches out, timers. It owns its sockets, its
 * routes and through them the connections. Order within one wake-up: read everything that came,
 * then (in a task at the wake-up's end) for each connection that has news: dispatch, write,
 * dispatch, arm its timer. One loop's thread.
 */
#include "quic/endpoint_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "tls/credentials.h"
#include "tls/session.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- routes ---- */

static void on_timer(void *user)
{
	struct route *r = user;

	if (r->state != ROUTE_LIVE) {
		endpoint_route_free(r);
		return;
	}
	quic_conn_expire(r->conn, loop_now(r->ep->config.loop));
	endpoint_schedule(r);
}

struct route *endpoint_route_new(struct quic_endpoint *ep)
{
	struct route *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->ep = ep;
	LIST_INIT(&r->cids);
	LIST_INIT(&r->tokens);
	loop_timer_init(&r->timer, ep->config.loop, on_timer, r);
	TAILQ_INSERT_TAIL(&ep->routes, r, link);
	return r;
}

static void route_unready(struct route *r)
{
	if (r->in_ready)
		TAILQ_REMOVE(&r->ep->ready, r, ready_link);
	r->in_ready = false;
}

void endpoint_route_half_open(struct route *r, const struct address *source)
{
	r->half_open = true;
	r->source = *source;
	r->ep->half_open++;
	TAILQ_INSERT_TAIL(&r->ep->half, r, half_link);
}

static void route_opened(struct route *r)
{
	if (!r->half_open)
		return;
	r->half_open = false;
	r->ep->half_open--;
	TAILQ_REMOVE(&r->ep->half, r, half_link);
}

void endpoint_route_free(struct route *r)
{
	struct quic_endpoint *ep = r->ep;

	if (r->conn) {
		route_opened(r);
		ep->live--;
		r->flushing = true; /* no scheduling from what follows */
		quic_conn_free(r->conn);
	}
	route_unready(r);
	loop_timer_cancel(&r->timer);
	cid_table_remove_all(&ep->cids, &r->cids);
	cid_table_remove_all(&ep->tokens, &r->tokens);
	TAILQ_REMOVE(&ep->routes, r, link);
	free(r->close_packet);
	free(r);
}

void endpoint_route_live(struct route *r, struct quic_conn *c)
{
	r->conn = c;
	r->ep->live++;
}

void endpoint_schedule(struct route *r)
{
	if (r->flushing) {
		r->woken = true;
		return;
	}
	if (r->in_ready || r->state != ROUTE_LIVE || !r->conn)
		return;
	TAILQ_INSERT_TAIL(&r->ep->ready, r, ready_link);
	r->in_ready = true;
	loop_task_schedule(r->ep->config.loop, &r->ep->flush_task);
}

/* The connection has ended and said so to its users: free it, keep its IDs for a while. */
static void route_finish(struct route *r)
{
	struct quic_endpoint *ep = r->ep;
	struct quic_conn *c = r->conn;
	uint64_t linger = quic_conn_linger_ns(c);
	bool answer = c->close_written;

	r->state = answer ? ROUTE_CLOSING : ROUTE_DRAINING;
	r->close_local = c->local;
	r->close_remote = c->remote;
	r->close_next = 1;
	if (answer) {
		r->close_packet = malloc(c->close_packet_bytes);
		if (r->close_packet) {
			memcpy(r->close_packet, c->close_packet, c->close_packet_bytes);
			r->close_bytes = c->close_packet_bytes;
		}
	}
	route_opened(r);
	route_unready(r);
	ep->live--;
	r->conn = NULL;
	quic_conn_free(c);
	if (ep->freeing) {
		endpoint_route_free(r);
		return;
	}
	loop_timer_arm(&r->timer, clock_after(loop_now(ep->config.loop), linger));
}

/* ---- writing ---- */

static void count_sent(struct quic_endpoint *ep, const struct quic_batch *b)
{
	ep->stats.tx_bytes += b->bytes;
	ep->stats.tx_datagrams += (b->bytes + b->segment - 1) / b->segment;
}

/* Writes until nothing is left, the socket is full or the turn is over. True when there may be
 * more. */
static bool write_batches(struct route *r, uint64_t now_ns)
{
	struct quic_endpoint *ep = r->ep;

	for (int i = 0; i < ENDPOINT_BATCHES; i++) {
		struct quic_batch b = {.buf = ep->batch, .size = QUIC_PACKET_MAX};
		struct quic_socket *s;
		int rv;

		s = endpoint_socket_for(ep, quic_conn_local(r->conn));
		if (s && s->blocked) {
			r->blocked = true; /* on_writable schedules it again */
			return false;
		}
		if (!quic_conn_write(r->conn, &b, now_ns))
			return false;
		s = endpoint_socket_for(ep, &b.local);
		if (!s)
			continue;
		count_sent(ep, &b);
		rv = quic_socket_send(s, &b);
		if (rv == RSTUN_E_AGAIN) {
			r->blocked = true;
			return false;
		}
		if (rv == RSTUN_E_UNREACHABLE)
			quic_conn_abandon(r->conn, rv, "no route to the server's address");
	}
	return true;
}

static void flush_route(struct route *r, uint64_t now_ns)
{
	bool more = false, ended;

	route_unready(r);
	r->flushing = true;
	ended = quic_conn_dispatch(r->conn, now_ns);
	r->woken = false; /* what that led to is written now */
	if (!ended) {
		more = write_batches(r, now_ns);
		ended = quic_conn_dispatch(r->conn, now_ns);
	}
	r->flushing = false;
	if (ended) {
		route_finish(r);
		return;
	}
	loop_timer_arm(&r->timer, quic_conn_deadline(r->conn));
	if (more || r->woken)
		endpoint_schedule(r);
}

void endpoint_flush(void *user)
{
	struct quic_endpoint *ep = user;
	struct route *r;
	size_t due = 0;

	/* Those woken meanwhile stand behind and have their turn in the next round, so no
	 * connection keeps the loop busy. One list only, whatever a user does meanwhile. */
	TAILQ_FOREACH(r, &ep->ready, ready_link)
	due++;
	for (; due > 0 && (r = TAILQ_FIRST(&ep->ready)); due--)
		flush_route(r, loop_now(ep->config.loop));
}

/* Says goodbye and frees at once, whether or not the packet could be sent. */
void endpoint_route_kill(struct route *r)
{
	uint64_t now = loop_now(r->ep->config.loop);

	r->flushing = true;
	quic_conn_close(r->conn, 1, "shutting down");
	write_batches(r, now);
	r->conn->ended = true;
	quic_conn_dispatch(r->conn, now);
	route_finish(r);
}

/* ---- reading ---- */

/* A packet that nobody knows may be the last word of a peer that forgot us: it ends with a token
 * that only the peer could know. */
static struct route *reset_of(struct quic_endpoint *ep, const uint8_t *data, size_t bytes)
{
	if (data[0] & 0x80)
		return NULL;
	return cid_table_find(&ep->tokens, data + bytes - NGTCP2_STATELESS_RESET_TOKENLEN,
			      NGTCP2_STATELESS_RESET_TOKENLEN);
}

static void closing_packet(struct route *r, size_t bytes)
{
	if (r->state != ROUTE_CLOSING || !r->close_packet)
		return;
	/* Its address may never have been validated. */
	r->close_budget += 3 * bytes;
	if (++r->close_triggers < r->close_next || r->close_budget < r->close_bytes)
		return;
	r->close_next *= 2;
	r->close_budget -= r->close_bytes;
	endpoint_answer(r->ep, ENDPOINT_ANSWER_CLOSE, &r->close_local, &r->close_remote,
			r->close_packet, r->close_bytes);
}

static void receive(struct quic_endpoint *ep, const struct address *local,
		    const struct address *remote, unsigned ecn, const uint8_t *data, size_t bytes,
		    bool injected)
{
	const struct quic_endpoint_config *config = &ep->config;
	ngtcp2_version_cid vc;
	struct route *r;
	int rv;

	ep->stats.rx_datagrams++;
	ep->stats.rx_bytes += bytes;
	if (bytes < 21) { /* no QUIC packet is shorter: header, one byte, authentication tag */
		ep->stats.rx_dropped++;
		return;
	}
	rv = ngtcp2_pkt_decode_version_cid(&vc, data, bytes, QUIC_CID_BYTES);
	if (rv == NGTCP2_ERR_VERSION_NEGOTIATION) {
		endpoint_negotiate_version(ep, local, remote, &vc);
		return;
	}
	if (rv != 0) {
		ep->stats.rx_dropped++;
		return;
	}
	r = cid_table_find(&ep->cids, vc.dcid, vc.dcidlen);
	if (!r)
		r = reset_of(ep, data, bytes);
	if (r && r->state == ROUTE_LIVE) {
		quic_conn_read(r->conn, local, remote, ecn, data, bytes, loop_now(config->loop));
		endpoint_schedule(r);
		return;
	}
	if (r) {
		closing_packet(r, bytes);
		return;
	}
	if (!injected && config->worker_count > 1 && config->ops->on_foreign &&
	    vc.dcidlen == QUIC_CID_BYTES && vc.dcid[0] % config->worker_count != config->worker) {
		ep->stats.forwarded++;
		config->ops->on_foreign(ep, config->user, vc.dcid[0] % config->worker_count, local,
					remote, data, bytes);
		return;
	}
	endpoint_stranger(ep, local, remote, ecn, data, bytes, &vc);
}

static void on_datagram(void *user, const struct address *local, const struct address *remote,
			unsigned ecn, const uint8_t *data, size_t bytes)
{
	receive(user, local, remote, ecn, data, bytes, false);
}

static void on_read_done(void *user)
{
	(void)user; /* the flush task is scheduled already by whoever has news */
}

static void on_writable(void *user)
{
	struct quic_endpoint *ep = user;
	struct route *r;

	TAILQ_FOREACH(r, &ep->routes, link)
	{
		if (!r->blocked)
			continue;
		r->blocked = false;
		endpoint_schedule(r);
	}
}

static void on_unreachable(void *user, const struct address *remote, int err)
{
	struct quic_endpoint *ep = user;
	struct route *r;
	char why[128];

	if (ep->config.credentials)
		return;
	/* Only believed while nothing has come from there: an ICMP message can be forged. */
	TAILQ_FOREACH(r, &ep->routes, link)
	{
		if (r->state != ROUTE_LIVE || !address_equal(quic_conn_remote(r->conn), remote))
			continue;
		snprintf(why, sizeof(why), "%s",
			 err == ECONNREFUSED ? "nothing listens on that UDP port" : strerror(err));
		quic_conn_abandon(r->conn, RSTUN_E_UNREACHABLE, why);
	}
}

const struct quic_socket_ops endpoint_socket_ops = {
	.on_datagram = on_datagram,
	.on_read_done = on_read_done,
	.on_writable = on_writable,
	.on_unreachable = on_unreachable,
};

void quic_endpoint_inject(struct quic_endpoint *ep, const struct address *local,
			  const struct address *remote, const uint8_t *data, size_t bytes)
{
	receive(ep, local, remote, 0, data, bytes, true);
}

/* ---- as host of its connections ---- */

void endpoint_random_cid(struct quic_endpoint *ep, ngtcp2_cid *cid)
{
	unsigned count = ep->config.worker_count ? ep->config.worker_count : 1;
	unsigned first;

	cid->datalen = QUIC_CID_BYTES;
	random_bytes(cid->data, cid->datalen);
	/* The nearest lower value that is ours modulo the number of workers. */
	first = cid->data[0] - cid->data[0] % count + ep->config.worker;
	if (first > 255)
		first -= count;
	cid->data[0] = (uint8_t)first;
}

static int host_new_cid(struct quic_host *h, struct quic_conn *c, ngtcp2_cid *cid,
			ngtcp2_stateless_reset_token *token)
{
	struct quic_endpoint *ep = (struct quic_endpoint *)h;
	struct route *r = c->host_data;

	endpoint_random_cid(ep, cid);
	if (ngtcp2_crypto_generate_stateless_reset_token(token->data, ep->config.secret,
							 sizeof(ep->config.secret), cid) != 0)
		return RSTUN_E_FAILED;
	return cid_table_add(&ep->cids, &r->cids, cid->data, cid->datalen, r);
}

static void host_remove_cid(struct quic_host *h, struct quic_conn *c, const ngtcp2_cid *cid)
{
	struct quic_endpoint *ep = (struct quic_endpoint *)h;

	(void)c;
	cid_table_remove(&ep->cids, cid->data, cid->datalen);
}

static void host_reset_token(struct quic_host *h, struct quic_conn *c, const uint8_t *token,
			     bool add)
{
	struct quic_endpoint *ep = (struct quic_endpoint *)h;
	struct route *r = c->host_data;

	/* Without it we would learn of a restarted peer at the idle timeout only: no reason to
	 * fail. */
	if (add)
		(void)cid_table_add(&ep->tokens, &r->tokens, token, NGTCP2_STATELESS_RESET_TOKENLEN,
				    r);
	else if (cid_table_find(&ep->tokens, token, NGTCP2_STATELESS_RESET_TOKENLEN) == r)
		cid_table_remove(&ep->tokens, token, NGTCP2_STATELESS_RESET_TOKENLEN);
}

static void host_wake(struct quic_host *h, struct quic_conn *c)
{
	(void)h;
	endpoint_schedule(c->host_data);
}

static void host_handshake_done(struct quic_host *h, struct quic_conn *c)
{
	(void)h;
	route_opened(c->host_data);
}

const struct quic_host_ops endpoint_host_ops = {
	.new_cid = host_new_cid,
	.remove_cid = host_remove_cid,
	.reset_token = host_reset_token,
	.wake = host_wake,
	.handshake_done = host_handshake_done,
};
