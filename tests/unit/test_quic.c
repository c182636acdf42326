/* SPDX-License-Identifier: MIT */
/*
 * Connections and streams in the rig: the promises of quic/conn.h and quic/stream.h, with loss,
 * blocked readers, resets, every kind of end, a path that shrinks, and hours of fake time.
 */
#include "quic_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "tls/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_STREAMS 64

/* What one side saw of one stream. */
struct seen {
	struct quic_stream *stream;
	uint64_t sum, bytes, to_send, sent;
	bool readable_blocked; /* does not consume */
	bool echo_end;	       /* finishes when the peer has */
	bool end, reset, stopped, closed, lost;
	uint64_t reset_code, stop_code;
};

struct side {
	struct seen seen[MAX_STREAMS];
	size_t count;
	bool ready, closed, hold; /* hold: streams of the peer are not consumed */
	size_t answer_bytes;	  /* sent on each stream of the peer, then FIN */
	bool probe_called, probe_alive;
	struct quic_conn *conn;
	unsigned credit_calls;
};

static struct side client, server;

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 7 + (at >> 16));
}

static void pump_out(struct seen *x)
{
	while (x->sent < x->to_send) {
		struct iovec iov[8];
		size_t left = (size_t)(x->to_send - x->sent), done = 0;
		int n = quic_stream_reserve(x->stream, left, iov, 8);

		if (n == 0)
			return;
		for (int i = 0; i < n; i++) {
			uint8_t *p = iov[i].iov_base;

			for (size_t k = 0; k < iov[i].iov_len; k++)
				p[k] = pattern(x->sent + done + k);
			done += iov[i].iov_len;
		}
		quic_stream_commit(x->stream, done);
		x->sent += done;
	}
	if (x->to_send > 0)
		quic_stream_finish(x->stream);
}

static void on_readable(struct quic_stream *s, void *user)
{
	struct seen *x = user;
	struct iovec iov[16];
	int n;

	if (x->readable_blocked)
		return;
	while ((n = quic_stream_peek(s, iov, 16)) > 0) {
		size_t all = 0;

		for (int i = 0; i < n; i++) {
			const uint8_t *p = iov[i].iov_base;

			for (size_t k = 0; k < iov[i].iov_len; k++) {
				assert_int_equal(p[k], pattern(x->bytes));
				x->bytes++;
			}
			all += iov[i].iov_len;
		}
		quic_stream_consume(s, all);
	}
	if (quic_stream_at_end(s)) {
		x->end = true;
		if (x->echo_end)
			quic_stream_finish(s);
	}
}

static void on_writable(struct quic_stream *s, void *user)
{
	(void)s;
	pump_out(user);
}

static void on_reset(struct quic_stream *s, void *user, uint64_t code)
{
	struct seen *x = user;

	(void)s;
	x->reset = true;
	x->reset_code = code;
}

static void on_stop(struct quic_stream *s, void *user, uint64_t code)
{
	struct seen *x = user;

	(void)s;
	x->stopped = true;
	x->stop_code = code;
}

static void on_stream_close(struct quic_stream *s, void *user, bool lost)
{
	struct seen *x = user;

	assert_ptr_equal(s, x->stream);
	x->closed = true;
	x->lost = lost;
	x->stream = NULL;
}

static const struct quic_stream_ops stream_ops = {
	.on_readable = on_readable,
	.on_writable = on_writable,
	.on_reset = on_reset,
	.on_stop_sending = on_stop,
	.on_close = on_stream_close,
};

static void on_ready(struct quic_conn *c, void *user)
{
	struct side *s = user;

	s->ready = true;
	if (s == &server)
		quic_conn_allow_streams(c, MAX_STREAMS);
}

static void on_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	struct side *side = user;
	struct seen *x = &side->seen[side->count++];

	(void)c;
	assert_true(side->count <= MAX_STREAMS);
	x->stream = s;
	x->readable_blocked = side->hold;
	x->to_send = side->answer_bytes;
	x->echo_end = side->answer_bytes == 0;
	quic_stream_set_ops(s, &stream_ops, x);
	pump_out(x);
}

static void on_streams_available(struct quic_conn *c, void *user)
{
	struct side *s = user;

	(void)c;
	s->credit_calls++;
}

static void on_close(struct quic_conn *c, void *user, const struct quic_close *why)
{
	struct side *s = user;

	(void)c;
	(void)why;
	s->closed = true;
}

static const struct quic_conn_ops conn_ops = {
	.on_ready = on_ready,
	.on_stream = on_stream,
	.on_streams_available = on_streams_available,
	.on_close = on_close,
};

static void accept_server(struct rig *r, struct quic_conn *c)
{
	(void)r;
	quic_conn_set_ops(c, &conn_ops, &server);
}

static bool both_ready(struct rig *r)
{
	(void)r;
	return client.ready && server.ready;
}

static void begin(struct rig *r)
{
	memset(&client, 0, sizeof(client));
	memset(&server, 0, sizeof(server));
	rig_init(r);
	r->on_accept = accept_server;
}

static void connect_both(struct rig *r)
{
	rig_connect(r, &conn_ops, &client);
	assert_true(rig_run(r, both_ready, 60 * CLOCK_NS_PER_S));
	/* Until the server's credit for streams has arrived. */
	rig_run(r, NULL, CLOCK_NS_PER_S / 5);
}

static struct seen *open_stream(struct rig *r, size_t bytes)
{
	struct seen *x = &client.seen[client.count++];

	x->to_send = bytes;
	assert_int_equal(quic_conn_open_stream(r->client, &stream_ops, x, &x->stream), 0);
	pump_out(x);
	return x;
}

static bool all_closed(struct rig *r)
{
	(void)r;
	if (client.count == 0 || server.count < client.count)
		return false;
	for (size_t i = 0; i < client.count; i++) {
		if (!client.seen[i].closed || !server.seen[i].closed)
			return false;
	}
	return true;
}

static bool server_has_streams(struct rig *r)
{
	(void)r;
	return server.count >= client.count;
}

static void test_transfer(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	server.answer_bytes = 3000000;
	connect_both(&r);
	open_stream(&r, 5000000);
	assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
	assert_int_equal(server.seen[0].bytes, 5000000);
	assert_int_equal(client.seen[0].bytes, 3000000);
	assert_true(server.seen[0].end && client.seen[0].end);
	assert_false(server.seen[0].lost);
	rig_done(&r);
}

static void test_transfer_with_loss(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 8; seed++) {
		struct rig r;

		begin(&r);
		r.seed = seed;
		r.loss_percent = 5;
		server.answer_bytes = 200000;
		connect_both(&r);
		for (int i = 0; i < 10; i++)
			open_stream(&r, 100000);
		assert_true(rig_run(&r, all_closed, 300 * CLOCK_NS_PER_S));
		for (int i = 0; i < 10; i++) {
			assert_int_equal(server.seen[i].bytes, 100000);
			assert_int_equal(client.seen[i].bytes, 200000);
		}
		rig_done(&r);
	}
}

/* The far side speaks first: it must learn of the stream though no byte was sent. */
static void test_announce(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	server.answer_bytes = 100;
	connect_both(&r);
	open_stream(&r, 0);
	assert_true(rig_run(&r, server_has_streams, CLOCK_NS_PER_S));
	rig_run(&r, NULL, CLOCK_NS_PER_S / 2);
	assert_int_equal(client.seen[0].bytes, 100);
	rig_done(&r);
}

/* A reader that takes nothing stops its own sender at its window and nobody else. */
static void test_blocked_reader(void **state)
{
	struct rig r;
	struct seen *stuck, *other;

	(void)state;
	begin(&r);
	connect_both(&r);
	server.hold = true;
	stuck = open_stream(&r, 20000000);
	assert_true(rig_run(&r, server_has_streams, 5 * CLOCK_NS_PER_S));
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	assert_true(stuck->sent < 4000000);
	assert_true(quic_stream_readable(server.seen[0].stream) <= 262144);
	server.hold = false;
	other = open_stream(&r, 10000000);
	rig_run(&r, NULL, 20 * CLOCK_NS_PER_S);
	assert_true(other->closed);
	assert_int_equal(server.seen[1].bytes, 10000000);
	/* And it goes on when it reads again. */
	server.seen[0].readable_blocked = false;
	on_readable(server.seen[0].stream, &server.seen[0]);
	assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
	assert_int_equal(server.seen[0].bytes, 20000000);
	rig_done(&r);
}

/* One peer cannot make us hold a window for each of its streams: the connection's credit stops
 * first. */
static void test_held_bytes(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	r.config.held_max_bytes = 2 << 20;
	r.config.max_window = QUIC_WINDOW_BYTES; /* what may still come then */
	connect_both(&r);
	server.hold = true;
	for (int i = 0; i < 60; i++)
		open_stream(&r, 250000);
	rig_run(&r, NULL, 10 * CLOCK_NS_PER_S);
	assert_true(r.server->held_bytes >= 2 << 20);
	assert_true(r.server->held_bytes <= (2 << 20) + 2 * QUIC_WINDOW_BYTES);
	/* They are read: everything arrives. */
	server.hold = false;
	for (size_t i = 0; i < MAX_STREAMS; i++)
		server.seen[i].readable_blocked = false;
	for (size_t i = 0; i < server.count; i++)
		on_readable(server.seen[i].stream, &server.seen[i]);
	assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
	for (int i = 0; i < 60; i++)
		assert_int_equal(server.seen[i].bytes, 250000);
	assert_int_equal(r.server->held_bytes, 0);
	rig_done(&r);
}

static void test_reset_both(void **state)
{
	struct rig r;
	struct seen *x;

	(void)state;
	begin(&r);
	connect_both(&r);
	x = open_stream(&r, 0);
	assert_true(rig_run(&r, server_has_streams, CLOCK_NS_PER_S));
	quic_stream_abort(server.seen[0].stream, 2);
	assert_true(rig_run(&r, all_closed, 5 * CLOCK_NS_PER_S));
	assert_true(x->reset);
	assert_int_equal(x->reset_code, 2);
	assert_false(x->end);
	assert_false(x->lost);
	rig_done(&r);
}

static void test_stop_sending_only(void **state)
{
	struct rig r;
	struct seen *x;

	(void)state;
	begin(&r);
	server.answer_bytes = 50000;
	connect_both(&r);
	x = open_stream(&r, 0);
	assert_true(rig_run(&r, server_has_streams, CLOCK_NS_PER_S));
	quic_stream_stop_reading(server.seen[0].stream, 7);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_true(x->stopped);
	assert_int_equal(x->stop_code, 7);
	/* The other direction came through to its end. */
	assert_int_equal(x->bytes, 50000);
	assert_true(x->end);
	rig_done(&r);
}

/* Data that was complete before the stream closed in the library is still there for a late reader.
 */
static void test_late_reader(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	connect_both(&r);
	server.hold = true;
	open_stream(&r, 1000);
	assert_true(rig_run(&r, server_has_streams, CLOCK_NS_PER_S));
	quic_stream_finish(server.seen[0].stream);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_false(server.seen[0].closed);
	server.seen[0].readable_blocked = false;
	on_readable(server.seen[0].stream, &server.seen[0]);
	assert_int_equal(server.seen[0].bytes, 1000);
	assert_true(server.seen[0].end);
	assert_true(rig_run(&r, all_closed, CLOCK_NS_PER_S));
	rig_done(&r);
}

static void test_stream_credit(void **state)
{
	struct rig r;
	struct seen extra = {0};

	(void)state;
	begin(&r);
	connect_both(&r);
	for (int i = 0; i < MAX_STREAMS - 1; i++)
		open_stream(&r, 0);
	open_stream(&r, 10);
	assert_int_equal(quic_conn_open_stream(r.client, &stream_ops, &extra, &extra.stream),
			 RSTUN_E_LIMIT_REACHED);
	assert_int_equal(client.credit_calls, 0);
	/* One ends: one may be opened. */
	rig_run(&r, NULL, 2 * CLOCK_NS_PER_S);
	assert_int_equal(client.credit_calls, 1);
	assert_int_equal(quic_conn_open_stream(r.client, &stream_ops, &extra, &extra.stream), 0);
	rig_done(&r);
}

static void test_close_reaches_peer(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	connect_both(&r);
	open_stream(&r, 0);
	assert_true(rig_run(&r, server_has_streams, CLOCK_NS_PER_S));
	quic_conn_close(r.server, 1, "done here");
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_true(r.client_over && r.server_over);
	assert_int_equal(r.client_close.kind, QUIC_CLOSE_PEER_APP);
	assert_int_equal(r.client_close.code, 1);
	assert_non_null(strstr(r.client_close.reason, "done here"));
	assert_true(client.seen[0].closed && client.seen[0].lost);
	assert_true(client.closed && server.closed);
	rig_done(&r);
}

static bool server_has_end(struct rig *r)
{
	(void)r;
	return server.count > 0 && server.seen[0].end;
}

/* Who closes when the peer's last bytes have come lets it know that they have. */
static void test_close_acknowledges(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	server.answer_bytes = 1;
	connect_both(&r);
	open_stream(&r, 0);
	rig_run(&r, NULL, CLOCK_NS_PER_S); /* the server's direction is over */
	assert_true(client.seen[0].end);
	quic_stream_finish(client.seen[0].stream);
	assert_true(rig_run(&r, server_has_end, CLOCK_NS_PER_S));
	quic_conn_close(r.server, 1, "done here");
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_true(r.client_over);
	assert_int_equal(r.client_close.kind, QUIC_CLOSE_PEER_APP);
	assert_true(client.seen[0].closed && !client.seen[0].lost);
	rig_done(&r);
}

static bool drop_all(struct rig *r, const struct rig_packet *p)
{
	(void)r;
	(void)p;
	return true;
}

static bool over(struct rig *r)
{
	return r->client_over;
}

static void test_idle_timeout(void **state)
{
	struct rig r;
	uint64_t began;

	(void)state;
	begin(&r);
	connect_both(&r);
	quic_conn_start_keep_alive(r.client);
	/* An hour of silence: keep-alive holds it. */
	rig_run(&r, NULL, 3600 * CLOCK_NS_PER_S);
	assert_false(r.client_over);
	assert_true(r.sent < 5000);
	r.drop = drop_all;
	began = r.now_ns;
	assert_true(rig_run(&r, over, 120 * CLOCK_NS_PER_S));
	assert_int_equal(r.client_close.kind, QUIC_CLOSE_IDLE);
	assert_true(r.now_ns - began <= 45 * CLOCK_NS_PER_S);
	rig_done(&r);
}

static void test_handshake_timeout(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	r.drop = drop_all;
	rig_connect(&r, &conn_ops, &client);
	assert_true(rig_run(&r, over, 60 * CLOCK_NS_PER_S));
	assert_int_equal(r.client_close.kind, QUIC_CLOSE_HANDSHAKE_TIMEOUT);
	assert_false(r.client_close.handshake_done);
	rig_done(&r);
}

static void test_handshake_with_loss(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 20; seed++) {
		struct rig r;

		begin(&r);
		r.seed = seed;
		r.loss_percent = 30;
		r.config.handshake_timeout_ns = 60 * CLOCK_NS_PER_S;
		rig_connect(&r, &conn_ops, &client);
		assert_true(rig_run(&r, both_ready, 60 * CLOCK_NS_PER_S));
		rig_done(&r);
	}
}

/* The path carries less from now on, and nobody says so: the watchdog repairs both directions. */
static void test_shrinking_path(void **state)
{
	struct rig r;
	uint64_t before;

	(void)state;
	begin(&r);
	server.answer_bytes = 8000000;
	connect_both(&r);
	rig_run(&r, NULL, 2 * CLOCK_NS_PER_S); /* path MTU discovery */
	open_stream(&r, 8000000);
	assert_true(rig_run(&r, server_has_streams, CLOCK_NS_PER_S));
	r.mtu_bytes = 1250;
	before = server.seen[0].bytes;
	assert_true(before < 8000000);
	assert_true(rig_run(&r, all_closed, 120 * CLOCK_NS_PER_S));
	assert_int_equal(server.seen[0].bytes, 8000000);
	assert_int_equal(client.seen[0].bytes, 8000000);
	assert_false(r.client_over);
	rig_done(&r);
}

static void probed(struct quic_conn *c, void *user, bool alive)
{
	struct side *s = user;

	(void)c;
	s->probe_called = true;
	s->probe_alive = alive;
}

static void test_probe(void **state)
{
	struct rig r;

	(void)state;
	begin(&r);
	connect_both(&r);
	assert_int_equal(quic_conn_probe(r.server, CLOCK_NS_PER_S, probed, &server), 0);
	assert_int_equal(quic_conn_probe(r.server, CLOCK_NS_PER_S, probed, &server),
			 RSTUN_E_ALREADY_EXISTS);
	rig_run(&r, NULL, CLOCK_NS_PER_S / 5);
	assert_true(server.probe_called && server.probe_alive);

	server.probe_called = false;
	r.drop = drop_all;
	assert_int_equal(quic_conn_probe(r.server, CLOCK_NS_PER_S, probed, &server), 0);
	rig_run(&r, NULL, 2 * CLOCK_NS_PER_S);
	assert_true(server.probe_called && !server.probe_alive);
	rig_done(&r);
}

static void test_migration(void **state)
{
	struct rig r;
	struct address elsewhere;

	(void)state;
	begin(&r);
	server.answer_bytes = 3000000;
	connect_both(&r);
	open_stream(&r, 3000000);
	assert_true(rig_run(&r, server_has_streams, CLOCK_NS_PER_S));
	assert_int_equal(address_parse(&elsewhere, "10.0.0.9:40009", 14), 0);
	assert_int_equal(quic_conn_migrate(r.client, &elsewhere, r.now_ns), 0);
	assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
	assert_int_equal(client.seen[0].bytes, 3000000);
	assert_int_equal(server.seen[0].bytes, 3000000);
	assert_true(address_equal(quic_conn_local(r.client), &elsewhere));
	assert_true(address_equal(quic_conn_remote(r.server), &elsewhere));
	rig_done(&r);
}

/* Streams that are reset in mid-transfer leave the connection's window as it was. */
static void test_reset_flood(void **state)
{
	struct rig r;
	struct seen *last;

	(void)state;
	begin(&r);
	connect_both(&r);
	for (int round = 0; round < 500; round++) {
		client.count = server.count = 0;
		memset(client.seen, 0, sizeof(client.seen));
		memset(server.seen, 0, sizeof(server.seen));
		server.hold = true;
		open_stream(&r, 300000);
		assert_true(rig_run(&r, server_has_streams, 5 * CLOCK_NS_PER_S));
		rig_run(&r, NULL, CLOCK_NS_PER_S / 50);
		quic_stream_abort(client.seen[0].stream, 1);
		assert_true(rig_run(&r, all_closed, 5 * CLOCK_NS_PER_S));
	}
	client.count = server.count = 0;
	memset(client.seen, 0, sizeof(client.seen));
	memset(server.seen, 0, sizeof(server.seen));
	server.hold = false;
	last = open_stream(&r, 5000000);
	assert_true(rig_run(&r, all_closed, 60 * CLOCK_NS_PER_S));
	assert_int_equal(server.seen[0].bytes, 5000000);
	assert_true(last->closed);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_transfer_with_loss),
		cmocka_unit_test(test_announce),
		cmocka_unit_test(test_blocked_reader),
		cmocka_unit_test(test_held_bytes),
		cmocka_unit_test(test_reset_both),
		cmocka_unit_test(test_stop_sending_only),
		cmocka_unit_test(test_late_reader),
		cmocka_unit_test(test_stream_credit),
		cmocka_unit_test(test_close_reaches_peer),
		cmocka_unit_test(test_close_acknowledges),
		cmocka_unit_test(test_idle_timeout),
		cmocka_unit_test(test_handshake_timeout),
		cmocka_unit_test(test_handshake_with_loss),
		cmocka_unit_test(test_shrinking_path),
		cmocka_unit_test(test_probe),
		cmocka_unit_test(test_migration),
		cmocka_unit_test(test_reset_flood),
	};

	tls_global_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
