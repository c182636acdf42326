/* SPDX-License-Identifier: MIT */
/*
 * The rig of quic_rig.h: a queue of packets in flight, ordered by arrival, and a loop that always
 * jumps to the next thing that happens (a packet or a deadline).
 */
#include "quic_rig.h"

#include "base/clock.h"
#include "base/random.h"
#include "tls/credentials.h"
#include "tls/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void quiet(void *user, enum log_level level, const char *scope, const char *text)
{
	(void)user;
	(void)level;
	(void)scope;
	(void)text;
}

static int rig_new_cid(struct quic_host *h, struct quic_conn *c, ngtcp2_cid *cid,
		       ngtcp2_stateless_reset_token *token)
{
	(void)h;
	(void)c;
	cid->datalen = QUIC_CID_BYTES;
	random_bytes(cid->data, cid->datalen);
	random_bytes(token->data, sizeof(token->data));
	return 0;
}

static void rig_remove_cid(struct quic_host *h, struct quic_conn *c, const ngtcp2_cid *cid)
{
	(void)h;
	(void)c;
	(void)cid;
}

static void rig_reset_token(struct quic_host *h, struct quic_conn *c, const uint8_t *token,
			    bool add)
{
	(void)h;
	(void)c;
	(void)token;
	(void)add;
}

static void rig_wake(struct quic_host *h, struct quic_conn *c)
{
	(void)h;
	(void)c;
}

static void rig_handshake_done(struct quic_host *h, struct quic_conn *c)
{
	(void)h;
	(void)c;
}

static const struct quic_host_ops rig_host_ops = {
	.new_cid = rig_new_cid,
	.remove_cid = rig_remove_cid,
	.reset_token = rig_reset_token,
	.wake = rig_wake,
	.handshake_done = rig_handshake_done,
};

void rig_init(struct rig *r)
{
	char error[TLS_ERROR_SIZE];
	bool made;

	memset(r, 0, sizeof(*r));
	r->client_host.ops = &rig_host_ops;
	r->server_host.ops = &rig_host_ops;
	r->log = (struct log){.level = LOG_LEVEL_ERROR, .write = quiet};
	chunk_pool_init(&r->pool, 64);
	quic_config_default(&r->config);
	TAILQ_INIT(&r->wire);
	r->delay_ns = 5 * CLOCK_NS_PER_MS;
	r->mtu_bytes = 65535;
	r->now_ns = CLOCK_NS_PER_S;
	r->seed = 1;
	assert_int_equal(address_parse(&r->client_address, "10.0.0.1:40000", 14), 0);
	assert_int_equal(address_parse(&r->server_address, "10.0.0.2:3515", 13), 0);
	assert_int_equal(
		tls_credentials_new_self_signed(&r->server_credentials, NULL, &made, error), 0);
	assert_int_equal(tls_credentials_new_unverified(&r->client_credentials), 0);
}

void rig_connect(struct rig *r, const struct quic_conn_ops *ops, void *user)
{
	struct tls_session_config config = {
		.credentials = r->client_credentials, .sni = "localhost", .cipher = r->cipher};
	struct quic_conn_params params = {
		.host = &r->client_host,
		.log = &r->log,
		.pool = &r->pool,
		.config = &r->config,
		.local = r->client_address,
		.remote = r->server_address,
		.now_ns = r->now_ns,
	};

	assert_int_equal(tls_session_new_client(&params.session, &config), 0);
	assert_int_equal(quic_conn_new(&r->client, &params), 0);
	quic_conn_set_ops(r->client, ops, user);
}

static void accept_first(struct rig *r, const struct rig_packet *p)
{
	struct quic_conn_params params = {
		.host = &r->server_host,
		.log = &r->log,
		.pool = &r->pool,
		.config = &r->config,
		.local = r->server_address,
		.remote = p->remote,
		.now_ns = r->now_ns,
	};
	ngtcp2_pkt_hd hd;

	if (ngtcp2_accept(&hd, p->data, p->bytes) != 0)
		return;
	params.initial = &hd;
	params.odcid = hd.dcid;
	assert_int_equal(tls_session_new_server(&params.session, r->server_credentials), 0);
	assert_int_equal(quic_conn_new(&r->server, &params), 0);
	/* As the endpoint does it: what comes to nothing with its first packet, nobody hears of. */
	quic_conn_read(r->server, &p->local, &p->remote, 0, p->data, p->bytes, r->now_ns);
	if (r->server->ended) {
		quic_conn_free(r->server);
		r->server = NULL;
	} else if (r->on_accept) {
		r->on_accept(r, r->server);
	}
}

static bool lose(struct rig *r, const struct rig_packet *p)
{
	if (p->bytes > r->mtu_bytes)
		return true;
	if (r->drop && r->drop(r, p))
		return true;
	r->seed = r->seed * 1103515245u + 12345u;
	return (r->seed >> 16) % 100 < r->loss_percent;
}

/* By time of arrival; those of the same time in the order they were sent. */
static void insert(struct rig *r, struct rig_packet *p)
{
	struct rig_packet *before = TAILQ_LAST(&r->wire, rig_packet_list);

	while (before && before->at_ns > p->at_ns)
		before = TAILQ_PREV(before, rig_packet_list, link);
	if (before)
		TAILQ_INSERT_AFTER(&r->wire, before, p, link);
	else
		TAILQ_INSERT_HEAD(&r->wire, p, link);
}

static void put_on_wire(struct rig *r, bool to_server, const struct quic_batch *b)
{
	for (size_t at = 0; at < b->bytes; at += b->segment) {
		size_t n = b->bytes - at < b->segment ? b->bytes - at : b->segment;
		struct rig_packet *p = malloc(sizeof(*p) + n);

		r->sent++;
		if (!p) { /* a test that takes memory away */
			r->dropped++;
			continue;
		}
		p->at_ns = r->now_ns + r->delay_ns;
		p->to_server = to_server;
		p->local = b->remote;
		p->remote = b->local;
		p->copies = 1;
		p->bytes = n;
		memcpy(p->data, b->buf + at, n);
		if (lose(r, p)) {
			r->dropped++;
			free(p);
			continue;
		}
		if (r->mutate)
			r->mutate(r, p);
		for (unsigned i = 1; i < p->copies; i++) {
			struct rig_packet *copy = malloc(sizeof(*p) + p->bytes);

			if (!copy)
				break;
			memcpy(copy, p, sizeof(*p) + p->bytes);
			insert(r, copy);
		}
		insert(r, p);
	}
}

static void end(struct rig *r, bool server)
{
	if (server) {
		r->server_over = true;
		r->server_close = r->server->close;
		quic_conn_free(r->server);
		r->server = NULL;
	} else {
		r->client_over = true;
		r->client_close = r->client->close;
		quic_conn_free(r->client);
		r->client = NULL;
	}
}

static void turn(struct rig *r, bool server)
{
	static uint8_t buf[QUIC_PACKET_MAX];
	struct quic_conn *c = server ? r->server : r->client;
	struct quic_batch b = {.buf = buf, .size = sizeof(buf)};

	if (!c)
		return;
	if (quic_conn_dispatch(c, r->now_ns)) {
		end(r, server);
		return;
	}
	for (int i = 0; i < 64 && quic_conn_write(c, &b, r->now_ns); i++)
		put_on_wire(r, !server, &b);
	if (quic_conn_dispatch(c, r->now_ns))
		end(r, server);
}

static void deliver(struct rig *r, struct rig_packet *p)
{
	if (p->to_server && !r->server && !r->server_over)
		accept_first(r, p);
	else if (p->to_server && r->server)
		quic_conn_read(r->server, &p->local, &p->remote, 0, p->data, p->bytes, r->now_ns);
	else if (!p->to_server && r->client)
		quic_conn_read(r->client, &p->local, &p->remote, 0, p->data, p->bytes, r->now_ns);
}

bool rig_run(struct rig *r, bool (*done)(struct rig *r), uint64_t limit_ns)
{
	uint64_t until = r->now_ns + limit_ns;

	for (;;) {
		struct rig_packet *p;
		uint64_t next = until;

		r->turns++;
		turn(r, false);
		turn(r, true);
		if (done && done(r))
			return true;
		if (r->client)
			next = clock_min(next, quic_conn_deadline(r->client));
		if (r->server)
			next = clock_min(next, quic_conn_deadline(r->server));
		if ((p = TAILQ_FIRST(&r->wire)))
			next = clock_min(next, p->at_ns);
		if (next >= until || (!r->client && !r->server)) {
			r->now_ns = until;
			return false;
		}
		if (next > r->now_ns)
			r->now_ns = next;
		while ((p = TAILQ_FIRST(&r->wire)) && p->at_ns <= r->now_ns) {
			TAILQ_REMOVE(&r->wire, p, link);
			deliver(r, p);
			free(p);
		}
		if (r->client && quic_conn_deadline(r->client) <= r->now_ns)
			quic_conn_expire(r->client, r->now_ns);
		if (r->server && quic_conn_deadline(r->server) <= r->now_ns)
			quic_conn_expire(r->server, r->now_ns);
	}
}

void rig_done(struct rig *r)
{
	struct rig_packet *p;

	quic_conn_free(r->client);
	quic_conn_free(r->server);
	while ((p = TAILQ_FIRST(&r->wire))) {
		TAILQ_REMOVE(&r->wire, p, link);
		free(p);
	}
	tls_credentials_unref(r->server_credentials);
	tls_credentials_unref(r->client_credentials);
	assert_int_equal(r->pool.in_use, 0);
	chunk_pool_done(&r->pool);
}
