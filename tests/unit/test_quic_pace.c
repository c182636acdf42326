/* SPDX-License-Identifier: MIT */
/*
 * How a bulk flow uses a line with a rate and a queue, in fake time: what it sends at once, and
 * what losses that say nothing leave of it.
 */
#include "quic_rig.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECONDS(n) ((n)*CLOCK_NS_PER_S)

#define BATCH 44 /* packets that one GSO send takes here */

static uint64_t received;
static bool filling;
static bool ready[2];

/* The line toward the server; its queue holds what it carries in `delay_ns`, there and back. */
static uint64_t byte_ns, free_at_ns; /* per byte; when the queue is empty */
static uint64_t burst_at_ns, burst, largest_burst;

static void through_line(struct rig *r, struct rig_packet *p)
{
	if (!p->to_server)
		return;
	if (burst_at_ns != r->now_ns)
		burst = 0;
	burst_at_ns = r->now_ns;
	if (++burst > largest_burst)
		largest_burst = burst;
	if (free_at_ns < r->now_ns)
		free_at_ns = r->now_ns;
	if (free_at_ns - r->now_ns > 2 * r->delay_ns) {
		p->bytes = 1; /* as good as lost */
		return;
	}
	free_at_ns += p->bytes * byte_ns;
	p->at_ns = free_at_ns + r->delay_ns;
}

static void fill(struct quic_stream *s, void *user)
{
	static const uint8_t zeros[16384];

	(void)user;
	while (filling && quic_stream_write(s, zeros, sizeof(zeros)) == 0)
		;
}

static void drain(struct quic_stream *s, void *user)
{
	size_t n = quic_stream_readable(s);

	(void)user;
	quic_stream_consume(s, n);
	received += n;
}

static void on_stream_close(struct quic_stream *s, void *user, bool lost)
{
	(void)s, (void)user, (void)lost;
}

static const struct quic_stream_ops stream_ops = {
	.on_readable = drain,
	.on_writable = fill,
	.on_close = on_stream_close,
};

static void on_ready(struct quic_conn *c, void *user)
{
	*(bool *)user = true;
	if (user == &ready[1])
		quic_conn_allow_streams(c, 4);
}

static void on_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	(void)c, (void)user;
	quic_stream_set_ops(s, &stream_ops, NULL);
}

static void on_close(struct quic_conn *c, void *user, const struct quic_close *why)
{
	(void)c, (void)user, (void)why;
}

static const struct quic_conn_ops conn_ops = {
	.on_ready = on_ready,
	.on_stream = on_stream,
	.on_close = on_close,
};

static void accept_server(struct rig *r, struct quic_conn *c)
{
	(void)r;
	quic_conn_set_ops(c, &conn_ops, &ready[1]);
}

static bool both_ready(struct rig *r)
{
	(void)r;
	return ready[0] && ready[1];
}

/* A flow on an empty line of that rate and round trip time, past its start. */
static struct quic_stream *begin(struct rig *r, uint64_t mbit_s, uint64_t rtt_ms,
				 unsigned loss_percent)
{
	struct quic_stream *s;

	filling = true;
	rig_init(r);
	r->cipher = TLS_CIPHER_AES_128_GCM;
	r->on_accept = accept_server;
	r->mtu_bytes = 1472;
	r->delay_ns = rtt_ms * CLOCK_NS_PER_MS / 2;
	byte_ns = 8000 / mbit_s;
	free_at_ns = 0;
	ready[0] = ready[1] = false;
	rig_connect(r, &conn_ops, &ready[0]);
	assert_true(rig_run(r, both_ready, SECONDS(10)));
	r->mutate = through_line;
	r->loss_percent = loss_percent;
	assert_int_equal(quic_conn_open_stream(r->client, &stream_ops, NULL, &s), 0);
	fill(s, NULL);
	rig_run(r, NULL, SECONDS(1));
	return s;
}

/* What is sent at once is a millisecond's worth and a little more: in a full queue most of a burst
 * is lost. */
static void test_bursts(void **state)
{
	struct rig r;

	(void)state;
	begin(&r, 20, 40, 0);
	rig_run(&r, NULL, SECONDS(3));
	largest_burst = 0;
	rig_run(&r, NULL, SECONDS(3));
	assert_in_range(largest_burst, 1, 5);
	rig_done(&r);
}

/* What the two streams send at once when they have been idle, and the line is fast and free. */
static uint64_t burst_after_idle(struct rig *r, struct quic_stream *a, struct quic_stream *b)
{
	static const uint8_t zeros[400000];

	rig_run(r, NULL, SECONDS(1) / 10);
	largest_burst = 0;
	assert_int_equal(quic_stream_write(a, zeros, sizeof(zeros)), 0);
	if (b)
		assert_int_equal(quic_stream_write(b, zeros, 100), 0);
	rig_run(r, NULL, SECONDS(1) / 2000);
	return largest_burst;
}

/* On a fast line several batches go out at once, but not in front of another stream. */
static void test_bursts_alone(void **state)
{
	struct quic_stream *a, *b;
	struct rig r;

	(void)state;
	a = begin(&r, 8000, 1, 0);
	assert_int_equal(quic_conn_open_stream(r.client, &stream_ops, NULL, &b), 0);
	rig_run(&r, NULL, SECONDS(1) / 10);
	filling = false;
	assert_true(burst_after_idle(&r, a, NULL) > BATCH);
	assert_true(burst_after_idle(&r, a, b) <= BATCH + 1);
	assert_true(burst_after_idle(&r, a, NULL) > BATCH);
	rig_done(&r);
}

/* Two of a hundred lost at random leave most of the line in use, between probes too. */
static void test_random_loss(void **state)
{
	struct rig r;

	(void)state;
	if (!quic_library_bbr_patched())
		skip();
	begin(&r, 100, 20, 2);
	rig_run(&r, NULL, SECONDS(3));
	received = 0;
	rig_run(&r, NULL, SECONDS(10));
	assert_true(received > 10 * 12500000ull * 85 / 100);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_bursts_alone),
		cmocka_unit_test(test_random_loss),
	};

	tls_global_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
