/* SPDX-License-Identifier: MIT */
/*
 * DATAGRAM frames in the rig: both ways, at their largest, with loss, on a path that shrinks,
 * beside a stream, before their stream; and what a peer sends that it should not. Every payload
 * says which one it is and is checked byte by byte.
 */
#include "quic_rig.h"

#include "base/clock.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MARK_BYTES 4
#define MARKS 16384

struct side {
	struct quic_conn *conn;
	struct quic_stream *stream; /* the first that was opened, by either */
	bool ready, holds, ignores; /* does not take them; has no interest in them */
	bool holds_stream;          /* does not take what the stream brings */
	unsigned streams;
	uint64_t datagrams, bytes, doubles, stream_bytes, empty;
	uint64_t at_end; /* datagrams that had come when the stream ended */
	uint64_t stream_bytes_before; /* the last of the datagrams came */
	bool seen[MARKS];
};

static struct side client, server;
static const uint64_t *now; /* of the rig */

static void fill(uint8_t *buf, size_t bytes, uint32_t mark)
{
	for (size_t i = 0; i < bytes; i++)
		buf[i] = (uint8_t)(i < MARK_BYTES ? mark >> (8 * i) : mark + i * 7);
}

static void check(struct side *side, const uint8_t *data, size_t bytes)
{
	static uint8_t wanted[65536];
	uint32_t mark = 0;

	side->datagrams++;
	side->bytes += bytes;
	side->stream_bytes_before = side->stream_bytes;
	if (bytes < MARK_BYTES) {
		side->empty++;
		return;
	}
	for (size_t i = 0; i < MARK_BYTES; i++)
		mark |= (uint32_t)data[i] << (8 * i);
	assert_true(mark < MARKS);
	fill(wanted, bytes, mark);
	assert_memory_equal(data, wanted, bytes);
	side->doubles += side->seen[mark];
	side->seen[mark] = true;
}

static void on_datagrams(struct quic_stream *s, void *user)
{
	static uint8_t flat[QUIC_DATAGRAM_STREAM_BYTES + 65536];
	struct side *side = user;
	size_t bytes = 0, at = 0, count = 0;
	struct iovec iov[128];
	int entries;

	if (side->holds)
		return;
	entries = quic_stream_peek_datagrams(s, iov, 128);
	for (int i = 0; i < entries; i++) {
		memcpy(flat + bytes, iov[i].iov_base, iov[i].iov_len);
		bytes += iov[i].iov_len;
	}
	for (; at < bytes; count++) {
		size_t length = ((size_t)flat[at] << 8) | flat[at + 1];

		check(side, flat + at + 2, length);
		at += 2 + length;
	}
	assert_int_equal(at, bytes);
	quic_stream_consume_datagrams(s, bytes, count);
	assert_int_equal(quic_stream_peek_datagrams(s, iov, 1), 0);
}

static void on_readable(struct quic_stream *s, void *user)
{
	struct side *side = user;

	if (side->holds_stream)
		return;
	side->stream_bytes += quic_stream_readable(s);
	quic_stream_consume(s, quic_stream_readable(s));
	if (quic_stream_at_end(s))
		side->at_end = side->datagrams;
}

static void on_stream_close(struct quic_stream *s, void *user, bool lost)
{
	struct side *side = user;

	(void)lost;
	if (side->stream == s)
		side->stream = NULL;
}

static const struct quic_stream_ops stream_ops = {
	.on_readable = on_readable,
	.on_datagrams = on_datagrams,
	.on_close = on_stream_close,
};

static const struct quic_stream_ops plain_ops = {
	.on_readable = on_readable,
	.on_close = on_stream_close,
};

static void on_ready(struct quic_conn *c, void *user)
{
	struct side *side = user;

	side->ready = true;
	quic_conn_allow_streams(c, 64);
}

static void on_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	struct side *side = user;

	(void)c;
	side->streams++;
	if (!side->stream)
		side->stream = s;
	quic_stream_set_ops(s, side->ignores ? &plain_ops : &stream_ops, side);
}

static const struct quic_conn_ops conn_ops = {.on_ready = on_ready, .on_stream = on_stream};

static void on_accept(struct rig *r, struct quic_conn *c)
{
	(void)r;
	server.conn = c;
	quic_conn_set_ops(c, &conn_ops, &server);
}

static bool both_ready(struct rig *r)
{
	(void)r;
	return client.ready && server.ready;
}

/* `opener` has opened a stream; `on`: both sides have agreed. */
static void begin(struct rig *r, struct side *opener, bool on)
{
	memset(&client, 0, sizeof(client));
	memset(&server, 0, sizeof(server));
	rig_init(r);
	now = &r->now_ns;
	r->on_accept = on_accept;
	r->config.streams_before_login = 4;
	rig_connect(r, &conn_ops, &client);
	client.conn = r->client;
	assert_true(rig_run(r, both_ready, 60 * CLOCK_NS_PER_S));
	rig_run(r, NULL, CLOCK_NS_PER_S / 5);
	assert_int_equal(quic_conn_max_datagram(client.conn), 0);
	if (on) {
		quic_conn_start_datagrams(client.conn, opener == &server);
		quic_conn_start_datagrams(server.conn, opener == &server);
	}
	if (opener) {
		assert_int_equal(quic_conn_open_stream(opener->conn, &stream_ops, opener,
						       &opener->stream),
				 0);
		rig_run(r, NULL, CLOCK_NS_PER_S / 5);
		assert_non_null(client.stream);
		assert_non_null(server.stream);
	}
}

static int send_one(struct side *from, size_t bytes, uint32_t mark)
{
	static uint8_t data[65536];

	fill(data, bytes, mark);
	return quic_stream_send_datagram(from->stream, data, bytes, *now);
}

/* Whatever a peer may put into a frame. */
static void send_raw(struct side *from, const void *data, size_t bytes)
{
	struct quic_datagrams *d = &from->conn->datagrams;
	uint8_t length[2] = {(uint8_t)(bytes >> 8), (uint8_t)bytes};

	if (d->peer_max == 0)
		d->peer_max = QUIC_DATAGRAM_FRAME_MAX;
	assert_int_equal(chunk_queue_append(&d->tx, now, 8), 0);
	assert_int_equal(chunk_queue_append(&d->tx, length, 2), 0);
	assert_int_equal(chunk_queue_append(&d->tx, data, bytes), 0);
	d->tx_count++;
}

static struct quic_stats stats_of(const struct side *side)
{
	struct quic_stats stats;

	quic_conn_stats(side->conn, &stats);
	return stats;
}

static uint64_t dropped(const struct side *side)
{
	return stats_of(side).dropped_datagram_frames;
}

/* All sizes that fit, both ways, whoever opened the stream; one byte more is refused. */
static void test_both_ways(void **state)
{
	(void)state;
	for (unsigned way = 0; way < 2; way++) {
		struct side *opener = way == 0 ? &client : &server;
		struct side *other = way == 0 ? &server : &client;
		size_t most, sent = 0;
		struct rig r;

		begin(&r, opener, true);
		rig_run(&r, NULL, 5 * CLOCK_NS_PER_S); /* path MTU discovery */
		most = quic_stream_max_datagram(opener->stream);
		assert_in_range(most, 8900, 8952);
		assert_in_range(quic_conn_max_datagram(opener->conn), most - 4, most);
		for (size_t bytes = 0; bytes <= most; bytes += bytes < 20 ? 1 : 97, sent++) {
			assert_int_equal(send_one(opener, bytes, (uint32_t)bytes), 0);
			assert_int_equal(send_one(other, bytes, (uint32_t)bytes), 0);
			if (sent % 16 == 0)
				rig_run(&r, NULL, CLOCK_NS_PER_S / 20);
		}
		assert_int_equal(send_one(opener, most, (uint32_t)most), 0);
		assert_int_equal(send_one(opener, most + 1, 1), RSTUN_E_TOO_LARGE);
		assert_int_equal(send_one(opener, 65535, 1), RSTUN_E_TOO_LARGE);
		rig_run(&r, NULL, CLOCK_NS_PER_S);
		assert_int_equal(other->datagrams, sent + 1);
		assert_int_equal(opener->datagrams, sent);
		assert_int_equal(other->empty, MARK_BYTES);
		assert_int_equal(client.doubles + server.doubles, 0);
		assert_int_equal(dropped(&client) + dropped(&server), 0);
		assert_int_equal(stats_of(opener).tx_datagram_frames, sent + 1);
		assert_int_equal(stats_of(opener).rx_datagram_frames, sent);
		rig_done(&r);
	}
}

static void test_loss(void **state)
{
	unsigned sent = 0;
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	r.loss_percent = 20;
	for (; sent < 2000; sent++) {
		assert_int_equal(send_one(&client, 1000, sent), 0);
		rig_run(&r, NULL, CLOCK_NS_PER_MS);
	}
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_in_range(server.datagrams, sent / 2, sent - 1);
	assert_int_equal(server.doubles, 0);
	assert_false(r.client_over || r.server_over);
	rig_done(&r);
}

/* A full queue refuses the newest; what it has taken arrives. */
static void test_full_queue(void **state)
{
	unsigned taken = 0;
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	client.conn->config.datagram_queue_bytes = 512 << 10;
	while (send_one(&client, 1000, taken) == 0)
		taken++;
	assert_int_equal(send_one(&client, 1000, 0), RSTUN_E_AGAIN);
	assert_in_range(taken, 500, 524);
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	assert_int_equal(server.datagrams, taken);
	/* Small ones are limited by their number. */
	for (taken = 0; send_one(&client, 0, 0) == 0; taken++)
		;
	assert_int_equal(taken, QUIC_DATAGRAM_QUEUE);
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	assert_int_equal(server.empty, taken);
	assert_int_equal(dropped(&server), 0);
	rig_done(&r);
}

static bool drop_all(struct rig *r, const struct rig_packet *p)
{
	(void)r;
	(void)p;
	return true;
}

/* What the path does not take in time is dropped, so what comes behind it is not late, too. */
static void test_late(void **state)
{
	unsigned sent = 0;
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	r.drop = drop_all;
	for (; sent < 200; sent++)
		assert_int_equal(send_one(&client, 1000, sent), 0);
	rig_run(&r, NULL, 50 * CLOCK_NS_PER_MS);
	assert_int_equal(dropped(&client), 0);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_in_range(dropped(&client), 100, sent - 10);
	assert_int_equal(client.conn->datagrams.tx_count, 0);
	r.drop = NULL;
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_int_equal(server.datagrams, 0);
	assert_int_equal(send_one(&client, 1000, sent), 0);
	rig_run(&r, NULL, 20 * CLOCK_NS_PER_MS);
	assert_int_equal(server.datagrams, 1);
	rig_done(&r);
}

/* Many streams that open at once, each with a datagram: none comes before its stream. */
static void test_many_begin(void **state)
{
	static const uint8_t target[300];
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	for (unsigned i = 0; i < 60; i++) {
		assert_int_equal(quic_conn_open_stream(client.conn, &stream_ops, &client,
						       &client.stream),
				 0);
		assert_int_equal(quic_stream_write(client.stream, target, sizeof(target)), 0);
		assert_int_equal(send_one(&client, 100, i), 0);
	}
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_int_equal(server.datagrams, 60);
	assert_int_equal(dropped(&server), 0);
	rig_done(&r);
}

/* The end of the stream does not overtake them: it is the end of the flow. */
static void test_end(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(send_one(&client, 1000, i), 0);
	assert_int_equal(quic_stream_unsent_datagrams(client.stream), 300 * 1001);
	quic_stream_finish(client.stream);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_int_equal(quic_stream_unsent_datagrams(client.stream), 0);
	assert_int_equal(server.at_end, 300);
	rig_done(&r);
}

/* A stream and datagrams that both have more than fits share the packets. */
static void test_beside_a_stream(void **state)
{
	static uint8_t bulk[400000];
	uint64_t bytes = 0;
	unsigned sent = 0;
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	client.conn->config.datagram_queue_bytes = 512 << 10;
	assert_int_equal(quic_stream_write(client.stream, bulk, sizeof(bulk)), 0);
	for (; send_one(&client, 1000, sent) == 0; sent++)
		bytes += 1000;
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	assert_int_equal(server.datagrams, sent);
	assert_int_equal(server.stream_bytes, sizeof(bulk));
	/* When the last datagram came most of the stream was there too, and the other way round
	 * the stream did not go first: then all of it would have been. */
	assert_in_range(server.stream_bytes_before, sizeof(bulk) / 2, sizeof(bulk));
	assert_true(bytes > sizeof(bulk));
	rig_done(&r);

	begin(&r, &client, true);
	for (sent = 0; sent < 300; sent++)
		assert_int_equal(send_one(&client, 1000, sent), 0);
	assert_int_equal(quic_stream_write(client.stream, bulk, sizeof(bulk)), 0);
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	assert_int_equal(server.datagrams, sent);
	assert_in_range(server.stream_bytes_before, 150000, sizeof(bulk) - 1);
	rig_done(&r);
}

/* A stream that has no credit, of its own or of the connection, does not hold up datagrams. */
static void test_beside_a_blocked_stream(void **state)
{
	static uint8_t bulk[3000000];
	struct rig r;

	(void)state;
	for (unsigned others = 0; others <= 10; others += 10) {
		begin(&r, &client, true);
		server.holds_stream = true;
		server.conn->config.held_max_bytes = 1; /* no more credit of the connection */
		assert_int_equal(quic_stream_write(client.stream, bulk, sizeof(bulk)), 0);
		for (unsigned i = 0; i < others; i++) {
			struct quic_stream *s;

			assert_int_equal(quic_conn_open_stream(client.conn, &plain_ops, &client, &s),
					 0);
			assert_int_equal(quic_stream_write(s, bulk, sizeof(bulk)), 0);
		}
		assert_int_equal(send_one(&client, 1000, 0), 0);
		rig_run(&r, NULL, CLOCK_NS_PER_S);
		assert_int_equal(server.datagrams, 1);
		assert_true(quic_stream_unsent(client.stream) > 0);
		for (unsigned i = 1; i < 100; i++) {
			assert_int_equal(send_one(&client, 1000, i), 0);
			rig_run(&r, NULL, 10 * CLOCK_NS_PER_MS);
		}
		rig_run(&r, NULL, 100 * CLOCK_NS_PER_MS);
		assert_int_equal(server.datagrams, 100);
		assert_int_equal(dropped(&client), 0);
		rig_done(&r);
	}
}

/* Too large for the path as it is now: noticed in a few seconds, also when small ones arrive. */
static void test_shrinking_path(void **state)
{
	struct rig r;

	(void)state;
	for (unsigned small = 0; small < 2; small++) {
		unsigned mark = 0;
		uint64_t before;

		begin(&r, &client, true);
		rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
		assert_true(quic_stream_max_datagram(client.stream) > 1400);
		r.mtu_bytes = 1250;
		for (unsigned i = 0; i < (small ? 150 : 250); i++) {
			if (small)
				assert_int_equal(send_one(&client, 100, mark++), 0);
			rig_run(&r, NULL, 10 * CLOCK_NS_PER_MS);
			(void)send_one(&client, 1400, mark++);
			rig_run(&r, NULL, 10 * CLOCK_NS_PER_MS);
		}
		assert_in_range(quic_stream_max_datagram(client.stream), 1100, 1200);
		rig_run(&r, NULL, 2 * CLOCK_NS_PER_S);
		before = server.datagrams;
		for (unsigned i = 0; i < 50; i++) {
			assert_int_equal(send_one(&client, 1100, mark++), 0);
			assert_int_equal(send_one(&client, 1400, mark), RSTUN_E_TOO_LARGE);
			rig_run(&r, NULL, 20 * CLOCK_NS_PER_MS);
		}
		/* The first may wait until what was lost counts as lost. */
		assert_in_range(server.datagrams, before + 40, before + 50);
		rig_done(&r);
	}

	/* What waits while the path shrinks is dropped, and holds up nothing. */
	begin(&r, &client, true);
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	assert_int_equal(send_one(&client, 1400, 1), 0);
	client.conn->small_until_ns = r.now_ns + 600 * CLOCK_NS_PER_S;
	assert_int_equal(send_one(&client, 1000, 2), 0);
	assert_int_equal(quic_stream_write(client.stream, "behind", 6), 0);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_int_equal(dropped(&client), 1);
	assert_int_equal(server.datagrams, 1);
	assert_int_equal(server.stream_bytes, 6);
	rig_done(&r);
}

/* Large ones that random loss takes now and then are no path that shrank. */
static void test_loss_is_no_shrinking(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	r.loss_percent = 30;
	for (unsigned i = 0; i < 3000; i++) {
		assert_int_equal(send_one(&client, 1400, i), 0);
		rig_run(&r, NULL, 10 * CLOCK_NS_PER_MS);
	}
	assert_true(quic_stream_max_datagram(client.stream) > 1400);
	rig_done(&r);
}

static unsigned large_seen;

static bool drop_second_large(struct rig *r, const struct rig_packet *p)
{
	(void)r;
	return p->bytes > 1250 && ++large_seen == 2;
}

/* One that is lost behind everything else, together with a piece of a stream, is none either: the
 * piece is sent again by a probe, and ngtcp2 says nothing of the datagram. */
static void test_loss_at_the_tail(void **state)
{
	static uint8_t bulk[65536];
	struct quic_stream *other;
	size_t most;
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	assert_int_equal(quic_conn_open_stream(client.conn, &plain_ops, &client, &other), 0);
	rig_run(&r, NULL, 5 * CLOCK_NS_PER_S);
	most = quic_stream_max_datagram(client.stream);
	large_seen = 0;
	r.drop = drop_second_large;
	assert_int_equal(quic_stream_write(client.stream, bulk, 100), 0);
	assert_int_equal(quic_stream_write(other, bulk, most + most / 4), 0);
	assert_int_equal(send_one(&client, most / 2, 0), 0);
	rig_run(&r, NULL, 4 * CLOCK_NS_PER_S);
	assert_true(large_seen >= 2);
	assert_int_equal(server.stream_bytes, 100 + most + most / 4);
	assert_int_equal(server.datagrams, 0);
	for (unsigned i = 1; i <= 10; i++) {
		assert_int_equal(send_one(&client, most, i), 0);
		rig_run(&r, NULL, 20 * CLOCK_NS_PER_MS);
	}
	assert_int_equal(server.datagrams, 10);
	assert_int_equal(quic_stream_max_datagram(client.stream), most);
	rig_done(&r);
}

/* Before their stream: some wait for a round trip. */
static void test_early(void **state)
{
	uint8_t data[64 + 2];
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	data[0] = 1; /* the number of the client's second stream */
	for (uint32_t i = 0; i < QUIC_DATAGRAM_EARLY + 4; i++) {
		fill(data + 1, 64, i);
		send_raw(&client, data, 65);
	}
	quic_conn_wake(client.conn);
	rig_run(&r, NULL, 6 * CLOCK_NS_PER_MS); /* they are there now, half a round trip later */
	assert_int_equal(server.datagrams, 0);
	assert_int_equal(dropped(&server), 4);
	assert_int_equal(server.conn->datagrams.early_count, QUIC_DATAGRAM_EARLY);
	assert_int_equal(quic_conn_open_stream(client.conn, &stream_ops, &client, &client.stream),
			 0);
	rig_run(&r, NULL, 6 * CLOCK_NS_PER_MS);
	assert_int_equal(server.streams, 2);
	assert_int_equal(server.datagrams, QUIC_DATAGRAM_EARLY);
	assert_int_equal(server.conn->datagrams.early_bytes, 0);

	/* By bytes. */
	data[0] = 2;
	for (unsigned i = 0; i < 33; i++) {
		static uint8_t large[1101] = {2};

		send_raw(&client, large, sizeof(large));
	}
	rig_run(&r, NULL, 6 * CLOCK_NS_PER_MS);
	assert_int_equal(server.conn->datagrams.early_count, QUIC_DATAGRAM_EARLY);
	/* Nobody opens it. */
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_int_equal(server.conn->datagrams.early_count, 0);
	assert_int_equal(dropped(&server), 4 + 33);
	/* What the client itself would open is not waited for. */
	send_raw(&server, data, 65);
	quic_conn_wake(server.conn);
	rig_run(&r, NULL, 6 * CLOCK_NS_PER_MS);
	assert_int_equal(dropped(&client), 1);
	rig_done(&r);
}

/* A client that has not heard of the login's success yet keeps a few, as it does with streams. */
static void test_early_for_the_login(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, NULL, false);
	quic_conn_start_datagrams(server.conn, true);
	assert_int_equal(quic_conn_open_stream(server.conn, &stream_ops, &server, &server.stream),
			 0);
	assert_int_equal(send_one(&server, 100, 7), 0);
	rig_run(&r, NULL, 6 * CLOCK_NS_PER_MS);
	assert_int_equal(client.streams, 1);
	assert_int_equal(client.datagrams, 0);
	quic_conn_start_datagrams(client.conn, true);
	rig_run(&r, NULL, CLOCK_NS_PER_MS);
	assert_int_equal(client.datagrams, 1);
	rig_done(&r);
}

/* Not agreed on: nothing is sent, and what comes is dropped and counted, and ends nothing. */
static void test_not_agreed(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, &client, false);
	assert_int_equal(send_one(&client, 10, 0), RSTUN_E_CLOSED);
	assert_int_equal(quic_stream_max_datagram(client.stream), 0);
	for (unsigned i = 0; i < 2000; i++) {
		uint8_t data[1000] = {0};

		send_raw(&client, data, sizeof(data));
		quic_conn_wake(client.conn);
		rig_run(&r, NULL, CLOCK_NS_PER_MS / 10);
	}
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_int_equal(dropped(&server), 2000);
	assert_int_equal(server.datagrams, 0);
	assert_int_equal(server.conn->datagrams.held_chunks, 0);
	assert_false(r.client_over || r.server_over);
	rig_done(&r);
}

/* No number, half a number, no stream's number, a stream that takes none. */
static void test_malformed(void **state)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
	static const uint8_t far_off[] = {0xc0, 0, 0, 1, 0, 0, 0, 0, 1};
	static const uint8_t long_zero[] = {0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x1c};
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	send_raw(&client, "", 0);
	send_raw(&client, "\x40", 1);
	send_raw(&client, "\x80\0\0", 3);
	send_raw(&client, huge, 7);
	send_raw(&client, huge, sizeof(huge));
	quic_conn_wake(client.conn);
	rig_run(&r, NULL, 6 * CLOCK_NS_PER_MS);
	assert_int_equal(dropped(&server), 5);
	send_raw(&client, far_off, sizeof(far_off));
	quic_conn_wake(client.conn);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_int_equal(dropped(&server), 6);
	/* Numbers may be longer than they need be (RFC 9000 section 16); this one has no payload
	 * but a mark. */
	server.ignores = true;
	send_raw(&client, long_zero, sizeof(long_zero));
	quic_conn_wake(client.conn);
	rig_run(&r, NULL, 6 * CLOCK_NS_PER_MS);
	assert_int_equal(server.datagrams, 1);
	assert_int_equal(quic_conn_open_stream(client.conn, &stream_ops, &client, &client.stream),
			 0);
	assert_int_equal(send_one(&client, 100, 1), 0);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_int_equal(server.datagrams, 1);
	assert_int_equal(dropped(&server), 7);
	assert_int_equal(server.conn->datagrams.held_chunks, 0);
	assert_false(r.client_over || r.server_over);
	rig_done(&r);
}

/* A user that does not take them holds a bounded number; what the end leaves is counted. */
static void test_flood(void **state)
{
	uint64_t sent = 0;
	struct rig r;

	(void)state;
	begin(&r, &client, true);
	server.holds = true;
	for (; sent < 4000; sent++) {
		assert_int_equal(send_one(&client, 1000, 0), 0);
		if (sent % 100 == 0)
			rig_run(&r, NULL, 20 * CLOCK_NS_PER_MS);
	}
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	assert_in_range(chunk_queue_bytes(&server.stream->datagrams), 1000000,
			QUIC_DATAGRAM_STREAM_BYTES);
	assert_in_range(dropped(&server), sent - 1100, sent - 1000);
	quic_stream_abort(client.stream, 1);
	assert_int_equal(send_one(&client, 1000, 0), RSTUN_E_CLOSED);
	quic_stream_abort(server.stream, 1);
	assert_int_equal(dropped(&server), sent);
	assert_int_equal(server.conn->datagrams.held_chunks, 0);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	rig_done(&r);

	/* Its end and they come together. */
	begin(&r, &client, true);
	server.holds = true;
	assert_int_equal(send_one(&client, 1000, 0), 0);
	rig_run(&r, NULL, CLOCK_NS_PER_S);
	rig_done(&r); /* nothing is left of the one that was not taken */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_loss),
		cmocka_unit_test(test_full_queue),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_many_begin),
		cmocka_unit_test(test_beside_a_stream),
		cmocka_unit_test(test_beside_a_blocked_stream),
		cmocka_unit_test(test_shrinking_path),
		cmocka_unit_test(test_loss_is_no_shrinking),
		cmocka_unit_test(test_loss_at_the_tail),
		cmocka_unit_test(test_early),
		cmocka_unit_test(test_early_for_the_login),
		cmocka_unit_test(test_not_agreed),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_flood),
	};

	tls_global_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
