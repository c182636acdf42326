/* SPDX-License-Identifier: MIT */
/*
 * Connections under attack, in the rig: packets corrupted, doubled, cut and out of order, key
 * updates under load, all packet protections, keys that can't be made, users that end streams and
 * connections inside every callback, no memory, paths that carry less in one direction, clocks that
 * stand still. What is checked is always the same: bytes arrive unchanged or not at all, every last
 * call comes once, nothing is left behind.
 */
#include "quic_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "tls/aead.h"
#include "tls/automatic.h"
#include "tls/credentials.h"
#include "tls/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FLOWS 1100

enum call {
	CALL_NONE,
	CALL_READABLE,
	CALL_WRITABLE,
	CALL_RESET,
	CALL_STOP,
	CALL_STREAM_CLOSE,
	CALL_STREAM,
	CALL_READY,
	CALL_AVAILABLE,
	CALL_PATH,
	CALL_CLOSE,
	CALLS,
};

enum action {
	ACT_ABORT,
	ACT_STOP_READING,
	ACT_RESET_SENDING,
	ACT_FINISH,
	ACT_CONSUME,
	ACT_OPEN,
	ACT_CLOSE,
	ACTIONS,
};

struct flow {
	struct quic_stream *stream;
	struct peer *peer;
	uint64_t got, sent, to_send;
	bool hold, end, reset, stopped, closed, lost;
};

struct peer {
	struct flow flows[FLOWS];
	size_t count;
	unsigned ready, closed, available;
	size_t answer; /* bytes sent on each stream of the other side, then FIN */
	bool hold;
	uint64_t allow;
};

static struct peer client, server;
static struct rig *rig;
/* What a user does when: */
static enum call act_at;
static enum action act_what;
static unsigned acted;
static void act(enum call at, struct quic_conn *c, struct flow *f);

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void pump(struct flow *f)
{
	static uint8_t buf[16384];

	while (f->stream && f->sent < f->to_send) {
		size_t room = quic_stream_room(f->stream), n = (size_t)(f->to_send - f->sent);

		if (room == 0)
			return; /* no reserve: on_writable is owed all the same */
		n = n < room ? n : room;
		n = n < sizeof(buf) ? n : sizeof(buf);
		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(f->sent + i);
		if (quic_stream_write(f->stream, buf, n) != 0)
			return;
		f->sent += n;
	}
	if (f->stream && f->to_send > 0)
		quic_stream_finish(f->stream);
}

static void take(struct flow *f)
{
	uint8_t buf[4096];
	size_t n;

	while ((n = quic_stream_read(f->stream, buf, sizeof(buf))) > 0) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf[i], pattern(f->got + i));
		f->got += n;
	}
	if (quic_stream_at_end(f->stream)) {
		f->end = true;
		if (f->to_send == 0)
			quic_stream_finish(f->stream);
	}
}

static void on_readable(struct quic_stream *s, void *user)
{
	struct flow *f = user;

	assert_false(f->closed);
	act(CALL_READABLE, quic_stream_conn(s), user);
	if (!f->hold)
		take(f);
}

static void on_writable(struct quic_stream *s, void *user)
{
	act(CALL_WRITABLE, quic_stream_conn(s), user);
	pump(user);
}

static void on_reset(struct quic_stream *s, void *user, uint64_t code)
{
	struct flow *f = user;

	(void)code;
	assert_false(f->reset);
	f->reset = true;
	act(CALL_RESET, quic_stream_conn(s), user);
}

static void on_stop(struct quic_stream *s, void *user, uint64_t code)
{
	struct flow *f = user;

	(void)code;
	assert_false(f->stopped);
	f->stopped = true;
	act(CALL_STOP, quic_stream_conn(s), user);
}

static void on_stream_close(struct quic_stream *s, void *user, bool lost)
{
	struct flow *f = user;

	assert_ptr_equal(f->stream, s);
	assert_false(f->closed);
	f->closed = true;
	f->lost = lost;
	act(CALL_STREAM_CLOSE, quic_stream_conn(s), user);
	f->stream = NULL;
}

static const struct quic_stream_ops stream_ops = {
	.on_readable = on_readable,
	.on_writable = on_writable,
	.on_reset = on_reset,
	.on_stop_sending = on_stop,
	.on_close = on_stream_close,
};

static struct flow *open_flow(struct quic_conn *c, size_t bytes)
{
	struct flow *f = &client.flows[client.count];

	assert_true(client.count < FLOWS);
	*f = (struct flow){.peer = &client, .to_send = bytes, .hold = client.hold};
	if (quic_conn_open_stream(c, &stream_ops, f, &f->stream) != 0)
		return NULL;
	client.count++;
	pump(f);
	return f;
}

static void act(enum call at, struct quic_conn *c, struct flow *f)
{
	struct quic_stream *s = f ? f->stream : NULL, *extra;

	if (at != act_at || acted++ > 2)
		return;
	switch (act_what) {
	case ACT_ABORT:
		if (s)
			quic_stream_abort(s, 3);
		break;
	case ACT_STOP_READING:
		if (s)
			quic_stream_stop_reading(s, 3);
		break;
	case ACT_RESET_SENDING:
		if (s)
			quic_stream_reset_sending(s, 3);
		break;
	case ACT_FINISH:
		if (s)
			quic_stream_finish(s);
		break;
	case ACT_CONSUME:
		if (s) {
			size_t n = quic_stream_readable(s) / 2;

			quic_stream_consume(s, n);
			f->got += n;
		}
		break;
	case ACT_OPEN:
		/* No ops: nobody wants it. Whatever comes of it, it is gone in the end. */
		if (quic_conn_open_stream(c, NULL, NULL, &extra) == 0)
			quic_stream_abort(extra, 4);
		break;
	default:
		quic_conn_close(c, 5, "in a callback");
		quic_conn_close(c, 6, "only the first counts");
	}
}

static void on_ready(struct quic_conn *c, void *user)
{
	struct peer *p = user;

	p->ready++;
	if (p->allow)
		quic_conn_allow_streams(c, p->allow);
	act(CALL_READY, c, NULL);
}

static void on_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	struct peer *p = user;
	struct flow *f = &p->flows[p->count++];

	assert_true(p->count <= FLOWS);
	*f = (struct flow){.peer = p, .stream = s, .to_send = p->answer, .hold = p->hold};
	quic_stream_set_ops(s, &stream_ops, f);
	act(CALL_STREAM, c, f);
	pump(f);
}

static void on_available(struct quic_conn *c, void *user)
{
	struct peer *p = user;

	p->available++;
	act(CALL_AVAILABLE, c, NULL);
}

static void on_path(struct quic_conn *c, void *user)
{
	(void)user;
	act(CALL_PATH, c, NULL);
}

static void on_close(struct quic_conn *c, void *user, const struct quic_close *why)
{
	struct peer *p = user;

	assert_non_null(why);
	p->closed++;
	assert_int_equal(p->closed, 1);
	for (size_t i = 0; i < p->count; i++)
		assert_true(p->flows[i].closed);
	act(CALL_CLOSE, c, NULL);
}

static const struct quic_conn_ops conn_ops = {
	.on_ready = on_ready,
	.on_stream = on_stream,
	.on_streams_available = on_available,
	.on_path = on_path,
	.on_close = on_close,
};

static void accept_server(struct rig *r, struct quic_conn *c)
{
	(void)r;
	quic_conn_set_ops(c, &conn_ops, &server);
}

static void begin(struct rig *r)
{
	memset(&client, 0, sizeof(client));
	memset(&server, 0, sizeof(server));
	act_at = CALL_NONE;
	acted = 0;
	rig_init(r);
	r->on_accept = accept_server;
	server.allow = FLOWS;
	rig = r;
}

static bool both_ready(struct rig *r)
{
	(void)r;
	return client.ready && server.ready;
}

static void connect_both(struct rig *r)
{
	rig_connect(r, &conn_ops, &client);
	assert_true(rig_run(r, both_ready, 60 * CLOCK_NS_PER_S));
	rig_run(r, NULL, CLOCK_NS_PER_S / 5);
}

static bool all_closed(struct rig *r)
{
	if (server.count < client.count)
		return r->client_over && r->server_over;
	for (size_t i = 0; i < client.count; i++) {
		if (!client.flows[i].closed)
			return false;
	}
	for (size_t i = 0; i < server.count; i++) {
		if (!server.flows[i].closed)
			return false;
	}
	return true;
}

static void expect_whole(size_t i, size_t up, size_t down)
{
	assert_int_equal(server.flows[i].got, up);
	assert_int_equal(client.flows[i].got, down);
	assert_true(server.flows[i].end && client.flows[i].end);
}

/* ---- what the link does ---- */

static unsigned chaos;

static unsigned dice(unsigned sides)
{
	static uint32_t seed = 12345;

	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % sides;
}

enum { CORRUPT = 1, DOUBLE = 2, SHUFFLE = 4, CUT = 8 };

static void mutate(struct rig *r, struct rig_packet *p)
{
	if ((chaos & CORRUPT) && dice(20) == 0)
		p->data[dice((unsigned)p->bytes)] ^= (uint8_t)(1u << dice(8));
	if ((chaos & CUT) && dice(20) == 0)
		p->bytes = 1 + dice((unsigned)p->bytes);
	if ((chaos & DOUBLE) && dice(4) == 0)
		p->copies = 2 + dice(3);
	if ((chaos & SHUFFLE) && dice(10) == 0)
		p->at_ns += dice(20) * CLOCK_NS_PER_MS;
	(void)r;
}

static void test_hostile_link(void **state)
{
	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		struct rig r;

		begin(&r);
		chaos = bits;
		r.mutate = mutate;
		r.config.handshake_timeout_ns = 60 * CLOCK_NS_PER_S;
		server.answer = 300000;
		connect_both(&r);
		for (int i = 0; i < 4; i++)
			open_flow(r.client, 200000);
		assert_true(rig_run(&r, all_closed, 300 * CLOCK_NS_PER_S));
		for (size_t i = 0; i < 4; i++)
			expect_whole(i, 200000, 300000);
		rig_done(&r);
	}
}

/* Packets that overtake others make the sender repeat itself, thousands of times a second: no
 * reason to end. */
static void late(struct rig *r, struct rig_packet *p)
{
	(void)r;
	if (p->bytes > 1000 && dice(4) == 0)
		p->at_ns += 2 * CLOCK_NS_PER_MS;
}

static void test_reordering_survives(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	r.config.congestion = QUIC_CONGESTION_BBR;
	r.delay_ns = CLOCK_NS_PER_MS;
	connect_both(&r);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	r.mutate = late;
	open_flow(r.client, 120000000);
	assert_true(rig_run(&r, all_closed, 600 * CLOCK_NS_PER_S));
	assert_false(r.client_over || r.server_over);
	assert_int_equal(server.flows[0].got, 120000000);
	rig_done(&r);
}

/* ---- keys ---- */

static void connect_with(struct rig *r, enum tls_cipher cipher)
{
	r->cipher = cipher;
	rig_connect(r, &conn_ops, &client);
	assert_true(rig_run(r, both_ready, 60 * CLOCK_NS_PER_S));
	rig_run(r, NULL, CLOCK_NS_PER_S / 5);
}

static void test_ciphers_and_key_updates(void **state)
{
	static const enum tls_cipher ciphers[] = {TLS_CIPHER_CHACHA20_POLY1305,
						  TLS_CIPHER_AES_256_GCM, TLS_CIPHER_AES_128_GCM};
	static const char *const names[] = {"chacha20-poly1305", "aes-256-gcm", "aes-128-gcm"};

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		struct rig r;
		unsigned updates = 0;

		begin(&r);
		chaos = SHUFFLE | DOUBLE;
		r.mutate = mutate;
		server.answer = 100000;
		connect_with(&r, ciphers[k]);
		assert_string_equal(tls_session_cipher_name(quic_conn_tls(r.client)), names[k]);
		for (int i = 0; i < 100; i++) {
			struct quic_conn *c = i % 2 ? r.client : r.server;

			open_flow(r.client, 100000);
			updates += ngtcp2_conn_initiate_key_update(c->ng, r.now_ns) == 0;
			rig_run(&r, NULL, CLOCK_NS_PER_S / 20);
		}
		assert_true(updates > 20);
		assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
		for (size_t i = 0; i < 100; i++)
			expect_whole(i, 100000, 100000);
		rig_done(&r);
	}
}

static unsigned updates[2]; /* begun by client, server */

/* As often as the protocol allows, which is at the same time on both ends. */
static bool update_both(struct rig *r)
{
	struct quic_conn *ends[] = {r->client, r->server};

	for (int i = 0; i < 2; i++)
		updates[i] += ends[i] && ngtcp2_conn_initiate_key_update(ends[i]->ng, r->now_ns) == 0;
	return all_closed(r);
}

/* A bulk transfer each way over a link that loses, doubles and reorders, while the keys change. */
static void test_key_updates_under_load(void **state)
{
	static const enum tls_cipher ciphers[] = {TLS_CIPHER_CHACHA20_POLY1305,
						  TLS_CIPHER_AES_128_GCM};
	const size_t bytes = 60000000;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct rig r;

		begin(&r);
		server.answer = bytes;
		connect_with(&r, ciphers[k]);
		chaos = SHUFFLE | DOUBLE;
		r.mutate = mutate;
		r.loss_percent = 1;
		updates[0] = updates[1] = 0;
		open_flow(r.client, bytes);
		assert_true(rig_run(&r, update_both, 600 * CLOCK_NS_PER_S));
		assert_false(r.client_over || r.server_over);
		assert_true(updates[0] > 1 && updates[1] > 1);
		expect_whole(0, bytes, bytes);
		rig_done(&r);
	}
}

static bool no_aes; /* in hardware, where a session is made */
bool __wrap_automatic_has_aes(void);

bool __wrap_automatic_has_aes(void)
{
	return !no_aes;
}

/* The server's session is made when the client's first packet is there. */
static void test_cipher_auto(void **state)
{
	static const char *const names[] = {"aes-128-gcm", "chacha20-poly1305"};

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct rig r;

		begin(&r);
		server.answer = 100000;
		r.cipher = TLS_CIPHER_AUTO;
		rig_connect(&r, &conn_ops, &client);
		no_aes = k == 1;
		assert_true(rig_run(&r, both_ready, 60 * CLOCK_NS_PER_S));
		no_aes = false;
		assert_string_equal(tls_session_cipher_name(quic_conn_tls(r.client)), names[k]);
		assert_string_equal(tls_session_cipher_name(quic_conn_tls(r.server)), names[k]);
		rig_run(&r, NULL, CLOCK_NS_PER_S / 5);
		open_flow(r.client, 100000);
		assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
		expect_whole(0, 100000, 100000);
		rig_done(&r);
	}
}

static unsigned keys_made, key_that_fails; /* the latter counts from 1; 0 = none */

int __real_tls_aead_new(struct tls_aead **ret, enum tls_aead_suite suite, const uint8_t *key,
			bool mask);
int __wrap_tls_aead_new(struct tls_aead **ret, enum tls_aead_suite suite, const uint8_t *key,
			bool mask);

int __wrap_tls_aead_new(struct tls_aead **ret, enum tls_aead_suite suite, const uint8_t *key,
			bool mask)
{
	return ++keys_made == key_that_fails ? RSTUN_E_NOMEM
					     : __real_tls_aead_new(ret, suite, key, mask);
}

/* One of them ran out of memory and told the other. */
static void assert_no_memory(const struct quic_close *a, const struct quic_close *b)
{
	const struct quic_close *own = a->kind == QUIC_CLOSE_PEER_TRANSPORT ? b : a;
	const struct quic_close *told = own == a ? b : a;

	assert_true(own->kind == QUIC_CLOSE_TLS || own->kind == QUIC_CLOSE_ERROR);
	assert_int_equal(own->error,
			 own->kind == QUIC_CLOSE_TLS ? RSTUN_E_FAILED : RSTUN_E_NOMEM);
	assert_int_equal(told->kind, QUIC_CLOSE_PEER_TRANSPORT);
	assert_int_equal(told->error,
			 own->kind == QUIC_CLOSE_TLS ? RSTUN_E_FAILED : RSTUN_E_CLOSED);
}

/* Each key of a connection's life that can't be made, on either side: that side ends and knows why,
 * the other one hears of it, nothing says that they don't fit together, and nothing is left. */
static void keys_without_memory(enum tls_cipher cipher)
{
	for (key_that_fails = 1;; key_that_fails++) {
		struct rig r;

		begin(&r);
		r.cipher = cipher;
		r.config.idle_timeout_ns = 5 * CLOCK_NS_PER_S;
		keys_made = 0;
		rig_connect(&r, &conn_ops, &client);
		if (rig_run(&r, both_ready, 30 * CLOCK_NS_PER_S)) {
			open_flow(r.client, 3000000);
			rig_run(&r, update_both, 60 * CLOCK_NS_PER_S);
		}
		if (keys_made < key_that_fails) {
			expect_whole(0, 3000000, 0);
			rig_done(&r);
			break;
		}
		assert_true(r.client_over && r.server_over);
		assert_no_memory(&r.client_close, &r.server_close);
		rig_done(&r);
	}
	assert_true(key_that_fails > 8 + 8 + 4); /* handshake, 1-RTT, updates */
	key_that_fails = 0;
}

static void test_keys_without_memory(void **state)
{
	(void)state;
	if (!tls_aead_available())
		skip();
	keys_without_memory(TLS_CIPHER_CHACHA20_POLY1305);
	keys_without_memory(TLS_CIPHER_AES_128_GCM);
	keys_without_memory(TLS_CIPHER_AES_256_GCM);
}

/* The hourly one is ours. */
static void test_hourly_key_update(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	server.answer = 1000;
	connect_both(&r);
	quic_conn_start_keep_alive(r.client);
	rig_run(&r, NULL, 4 * 3600 * CLOCK_NS_PER_S);
	assert_false(r.client_over || r.server_over);
	open_flow(r.client, 1000);
	assert_true(rig_run(&r, all_closed, 5 * CLOCK_NS_PER_S));
	expect_whole(0, 1000, 1000);
	rig_done(&r);
}

/* ---- users in callbacks ---- */

/* Traffic in which every callback comes on both sides. */
static void everything(struct rig *r)
{
	struct address elsewhere;
	struct flow *f;

	server.answer = 400000;
	server.allow = 8;
	r->config.send_buffer_bytes = 100000;
	rig_connect(r, &conn_ops, &client);
	rig_run(r, both_ready, 20 * CLOCK_NS_PER_S);
	rig_run(r, NULL, CLOCK_NS_PER_S / 10);
	for (int i = 0; i < 10 && r->client; i++)
		open_flow(r->client, 300000);
	rig_run(r, NULL, CLOCK_NS_PER_S / 40);
	if (client.count > 1 && (f = &client.flows[1])->stream)
		quic_stream_abort(f->stream, 1);
	if (server.count > 2 && (f = &server.flows[2])->stream)
		quic_stream_abort(f->stream, 1);
	if (client.count > 3 && (f = &client.flows[3])->stream)
		quic_stream_stop_reading(f->stream, 1);
	if (server.count > 4 && (f = &server.flows[4])->stream)
		quic_stream_reset_sending(f->stream, 1);
	assert_int_equal(address_parse(&elsewhere, "10.0.0.9:40009", 14), 0);
	if (r->client)
		quic_conn_migrate(r->client, &elsewhere, r->now_ns);
	rig_run(r, all_closed, 60 * CLOCK_NS_PER_S);
	if (r->server)
		quic_conn_close(r->server, 1, "end");
	rig_run(r, NULL, 40 * CLOCK_NS_PER_S);
}

static void test_users_in_callbacks(void **state)
{
	(void)state;
	for (enum call at = CALL_NONE; at < CALLS; at++) {
		for (enum action what = 0; what < ACTIONS; what++) {
			struct rig r;

			begin(&r);
			act_at = at;
			act_what = what;
			everything(&r);
			assert_true(at == CALL_NONE || acted > 0);
			assert_true(r.client_over);
			assert_true(r.server_over || !r.server);
			assert_int_equal(client.closed, 1);
			assert_true(server.closed == 1 || server.count == 0);
			for (size_t i = 0; i < client.count; i++)
				assert_true(client.flows[i].closed);
			for (size_t i = 0; i < server.count; i++)
				assert_true(server.flows[i].closed);
			rig_done(&r);
		}
	}
}

static bool server_has_all(struct rig *r)
{
	(void)r;
	return server.count >= client.count;
}

static void test_close_with_many_streams(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	connect_both(&r);
	for (int i = 0; i < 1000; i++)
		assert_non_null(open_flow(r.client, 10 + (size_t)i));
	assert_true(rig_run(&r, server_has_all, 20 * CLOCK_NS_PER_S));
	quic_conn_close(r.client, 1, "all at once");
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	assert_true(r.client_over && r.server_over);
	assert_true(all_closed(&r));
	rig_done(&r);
}

/* Every way and state in which a stream is given up; after each the connection still carries
 * others. */
static void test_stop_and_reset_in_every_state(void **state)
{
	(void)state;
	for (unsigned when = 0; when < 6; when++) {
		for (unsigned how = 0; how < 6; how++) {
			struct rig r;
			struct flow *f, *g;
			struct quic_stream *s;

			begin(&r);
			server.answer = when == 1 ? 0 : 500000;
			server.hold = when == 2;
			connect_both(&r);
			f = open_flow(r.client, when == 0 ? 0 : 500000);
			if (when == 3 || when == 4)
				rig_run(&r, NULL, CLOCK_NS_PER_S / 100);
			else if (when != 0)
				rig_run(&r, NULL, CLOCK_NS_PER_S / 12);
			g = &server.flows[0];
			s = how < 3 ? f->stream : server.count ? g->stream : NULL;
			for (unsigned twice = 0; s && twice < 2; twice++) {
				if (how % 3 == 0)
					quic_stream_abort(s, 9);
				else if (how % 3 == 1)
					quic_stream_stop_reading(s, 9);
				else
					quic_stream_reset_sending(s, 9);
			}
			rig_run(&r, NULL, 10 * CLOCK_NS_PER_S);
			/* A half that nobody ended may live on; end it. */
			if (f->stream)
				quic_stream_abort(f->stream, 1);
			if (server.count && g->stream)
				quic_stream_abort(g->stream, 1);
			assert_true(rig_run(&r, all_closed, 10 * CLOCK_NS_PER_S));
			assert_int_equal(r.client->tx_unacked, 0);
			assert_int_equal(r.server->tx_unacked, 0);
			server.hold = false;
			server.answer = 700000;
			g = open_flow(r.client, 700000);
			assert_true(rig_run(&r, all_closed, 20 * CLOCK_NS_PER_S));
			assert_true(g->end && g->got == 700000);
			rig_done(&r);
		}
	}
}

/* ---- credit ---- */

/* The connection's window is used up by streams in turn: all of them end, none is forgotten. */
static void test_connection_credit(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	r.config.max_window = 1 << 20;
	r.delay_ns = 50 * CLOCK_NS_PER_MS;
	server.answer = 200000;
	connect_both(&r);
	for (int i = 0; i < 60; i++)
		open_flow(r.client, 200000);
	assert_true(rig_run(&r, all_closed, 120 * CLOCK_NS_PER_S));
	for (size_t i = 0; i < 60; i++)
		expect_whole(i, 200000, 200000);
	rig_done(&r);
}

/* Who found no room by asking, not by reserving, is told when there is some. */
static void test_room_is_announced(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	r.config.send_buffer_bytes = 20000;
	connect_both(&r);
	open_flow(r.client, 1000000);
	assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
	assert_int_equal(server.flows[0].got, 1000000);
	rig_done(&r);
}

static size_t most_unacked, most_unsent;

static bool watch_window(struct rig *r)
{
	struct quic_stream *s = client.flows[0].stream;

	if (s != NULL && quic_stream_unacked(s) > most_unacked)
		most_unacked = quic_stream_unacked(s);
	if (s != NULL && quic_stream_unsent(s) > most_unsent)
		most_unsent = quic_stream_unsent(s);
	return all_closed(r);
}

/* What waits to be sent is bounded; what is under way grows with the congestion window, so that
 * losses on a long path do not stop the sender, up to its own bound. */
static void test_send_window(void **state)
{
	static const size_t bounds[] = {16 << 20, 300000};
	const size_t bytes = 20000000;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rig r;

		begin(&r);
		r.delay_ns = CLOCK_NS_PER_S / 20;
		r.loss_percent = 1;
		r.config.send_buffer_bytes = 100000;
		r.config.send_window_max_bytes = bounds[i];
		connect_both(&r);
		most_unacked = most_unsent = 0;
		open_flow(r.client, bytes);
		assert_true(rig_run(&r, watch_window, 600 * CLOCK_NS_PER_S));
		expect_whole(0, bytes, 0);
		assert_true(most_unsent <= r.config.send_buffer_bytes);
		assert_true(most_unacked > 2 * r.config.send_buffer_bytes);
		assert_true(most_unacked <= bounds[i]);
		assert_int_equal(most_unacked > 1000000, i == 0);
		rig_done(&r);
	}
}

/* A write larger than the whole buffer goes when the buffer is empty, and on_writable comes until
 * then. */
static void test_large_write(void **state)
{
	static uint8_t data[50000];
	struct rig r;
	struct flow *f;

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	begin(&r);
	r.config.send_buffer_bytes = 20000;
	connect_both(&r);
	f = open_flow(r.client, 0);
	assert_int_equal(quic_stream_write(f->stream, data, 50000), 0);
	assert_int_equal(quic_stream_write(f->stream, data, 1), RSTUN_E_AGAIN);
	act_at = CALL_WRITABLE;
	act_what = ACT_FINISH;
	assert_true(rig_run(&r, all_closed, 10 * CLOCK_NS_PER_S));
	assert_int_equal(server.flows[0].got, 50000);
	rig_done(&r);
}

/* ---- time ---- */

static void probed(struct quic_conn *c, void *user, bool alive)
{
	(void)c;
	*(int *)user = alive ? 1 : 0;
}

/* The connection has slept for seconds: the time allowed begins with the question. */
static void test_probe_after_silence(void **state)
{
	struct rig r;
	int alive = -1;

	(void)state;
	begin(&r);
	r.config.idle_timeout_ns = 100 * CLOCK_NS_PER_S;
	connect_both(&r);
	rig_run(&r, NULL, 20 * CLOCK_NS_PER_S);
	assert_int_equal(quic_conn_probe(r.server, CLOCK_NS_PER_S, probed, &alive), 0);
	rig_run(&r, NULL, CLOCK_NS_PER_S / 2);
	assert_int_equal(alive, 1);
	rig_done(&r);
}

/* A close that cannot be written yet (the socket is full) waits for the socket and not for a clock.
 */
static void test_closing_has_no_deadline(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	connect_both(&r);
	open_flow(r.client, 1000000);
	quic_conn_close(r.client, 1, "later");
	assert_true(quic_conn_deadline(r.client) == CLOCK_NEVER);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_true(r.client_over && r.server_over);
	rig_done(&r);
}

static void test_time_goes_back(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	connect_both(&r);
	open_flow(r.client, 100000);
	for (int i = 0; i < 50; i++) {
		rig_run(&r, NULL, CLOCK_NS_PER_MS);
		quic_conn_expire(r.client, r.now_ns - CLOCK_NS_PER_S / 2);
		quic_conn_dispatch(r.client, 0);
	}
	assert_true(rig_run(&r, all_closed, 10 * CLOCK_NS_PER_S));
	rig_done(&r);
}

/* Nothing wakes for nothing: an idle connection without keep-alive costs a handful of turns until
 * it ends. */
static void test_idle_is_quiet(void **state)
{
	struct rig r;
	uint64_t turns;

	(void)state;
	begin(&r);
	server.answer = 100000;
	connect_both(&r);
	open_flow(r.client, 100000);
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	turns = r.turns;
	rig_run(&r, NULL, 60 * CLOCK_NS_PER_S);
	assert_true(r.client_over && r.server_over);
	assert_true(r.turns - turns < 20);
	rig_done(&r);
}

/* ---- paths ---- */

static size_t up_mtu, down_mtu;

static bool drop_large(struct rig *r, const struct rig_packet *p)
{
	(void)r;
	return p->bytes > (p->to_server ? up_mtu : down_mtu);
}

static void test_black_hole(void **state)
{
	(void)state;
	/* Which direction shrinks, and whether more bytes follow those that were lost. */
	for (unsigned way = 0; way < 6; way++) {
		struct rig r;
		size_t bytes = way < 3 ? 6000000 : 60000;

		begin(&r);
		server.answer = bytes;
		connect_both(&r);
		rig_run(&r, NULL, 2 * CLOCK_NS_PER_S);
		up_mtu = way % 3 != 1 ? 1250 : 65535;
		down_mtu = way % 3 != 0 ? 1250 : 65535;
		if (way < 3) {
			open_flow(r.client, bytes);
			rig_run(&r, server_has_all, CLOCK_NS_PER_S);
		}
		r.drop = drop_large;
		if (way >= 3)
			open_flow(r.client, bytes);
		assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
		expect_whole(0, bytes, bytes);
		rig_done(&r);
	}
}

/* The tail is lost just after its neighbours were acknowledged, and nothing follows. */
static bool tail_lost;

static bool drop_tail(struct rig *r, const struct rig_packet *p)
{
	(void)r;
	if (p->to_server && p->bytes > 1250 && client.flows[0].stream &&
	    quic_stream_unsent(client.flows[0].stream) == 0)
		tail_lost = true;
	return tail_lost && p->bytes > 1250;
}

static void test_black_hole_at_the_tail(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	tail_lost = false;
	connect_both(&r);
	quic_conn_start_keep_alive(r.client);
	rig_run(&r, NULL, 2 * CLOCK_NS_PER_S);
	r.drop = drop_tail;
	open_flow(r.client, 300000);
	assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
	assert_true(tail_lost);
	assert_int_equal(server.flows[0].got, 300000);
	rig_done(&r);
}

/* Away and back to the address it came from. */
static void test_there_and_back(void **state)
{
	struct rig r;
	struct address b;

	(void)state;
	begin(&r);
	server.answer = 3000000;
	connect_both(&r);
	open_flow(r.client, 3000000);
	assert_int_equal(address_parse(&b, "10.0.0.9:40009", 14), 0);
	rig_run(&r, NULL, CLOCK_NS_PER_S / 20);
	assert_int_equal(quic_conn_migrate(r.client, &b, r.now_ns), 0);
	rig_run(&r, NULL, CLOCK_NS_PER_S / 4);
	assert_true(address_equal(quic_conn_local(r.client), &b));
	if (r.client && !client.flows[0].closed)
		quic_conn_migrate(r.client, &r.client_address, r.now_ns);
	assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
	expect_whole(0, 3000000, 3000000);
	rig_done(&r);
}

/* ---- memory ---- */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);

static bool counting;
static unsigned allocations, fail_at, fail_count;

static bool refused(void)
{
	if (!counting)
		return false;
	allocations++;
	return allocations >= fail_at && allocations < fail_at + fail_count;
}

void *__wrap_malloc(size_t bytes)
{
	return refused() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return refused() ? NULL : __real_calloc(n, bytes);
}

static void test_no_memory(void **state)
{
	unsigned most = 0;

	(void)state;
	for (unsigned n = 1; n < 600; n += n < 150 ? 1 : 7) {
		struct rig r;

		begin(&r);
		server.answer = 100000;
		r.config.idle_timeout_ns = 5 * CLOCK_NS_PER_S;
		chunk_pool_done(&r.pool);
		chunk_pool_init(&r.pool, 0);
		connect_both(&r);
		fail_at = n;
		fail_count = n % 2 ? 1 : 5;
		allocations = 0;
		counting = true;
		for (int i = 0; i < 5 && r.client; i++)
			open_flow(r.client, 50000);
		rig_run(&r, all_closed, 30 * CLOCK_NS_PER_S);
		counting = false;
		most = allocations > most ? allocations : most;
		rig_done(&r);
		for (size_t i = 0; i < client.count; i++)
			assert_true(client.flows[i].closed);
	}
	assert_true(most > 200);
}

static void test_no_memory_to_begin(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 60; n++) {
		struct rig r;
		struct quic_conn_params params;
		struct tls_session_config config;
		struct quic_conn *c = NULL;
		int rv;

		begin(&r);
		config = (struct tls_session_config){.credentials = r.client_credentials,
						     .sni = "localhost"};
		params = (struct quic_conn_params){
			.host = &r.client_host,
			.log = &r.log,
			.pool = &r.pool,
			.config = &r.config,
			.local = r.client_address,
			.remote = r.server_address,
			.now_ns = r.now_ns,
		};
		assert_int_equal(tls_session_new_client(&params.session, &config), 0);
		fail_at = n;
		fail_count = 1;
		allocations = 0;
		counting = true;
		rv = quic_conn_new(&c, &params);
		counting = false;
		if (rv != 0)
			tls_session_free(params.session);
		else
			quic_conn_free(c);
		rig_done(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile_link),
		cmocka_unit_test(test_reordering_survives),
		cmocka_unit_test(test_ciphers_and_key_updates),
		cmocka_unit_test(test_key_updates_under_load),
		cmocka_unit_test(test_cipher_auto),
		cmocka_unit_test(test_keys_without_memory),
		cmocka_unit_test(test_hourly_key_update),
		cmocka_unit_test(test_users_in_callbacks),
		cmocka_unit_test(test_close_with_many_streams),
		cmocka_unit_test(test_stop_and_reset_in_every_state),
		cmocka_unit_test(test_connection_credit),
		cmocka_unit_test(test_room_is_announced),
		cmocka_unit_test(test_send_window),
		cmocka_unit_test(test_large_write),
		cmocka_unit_test(test_probe_after_silence),
		cmocka_unit_test(test_closing_has_no_deadline),
		cmocka_unit_test(test_time_goes_back),
		cmocka_unit_test(test_idle_is_quiet),
		cmocka_unit_test(test_black_hole),
		cmocka_unit_test(test_black_hole_at_the_tail),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_no_memory_to_begin),
	};

	tls_global_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
