/* SPDX-License-Identifier: MIT */
/*
 * A whole TCP flow: two applications with real sockets, two relays, two QUIC connections in memory.
 * What one application does is what the other sees: bytes, end of file in either order, resets,
 * refusal, a lost tunnel. The connections run on the rig's fake time, the sockets on a loop; one
 * thread steps both.
 */
#include "quic_rig.h"

#include "base/clock.h"
#include "base/loop.h"
#include "relay/quic_end.h"
#include "relay/relay.h"
#include "relay/tcp_end.h"
#include "relay/tcp_listener.h"
#include "tls/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define BULK_BYTES (3 * 1024 * 1024)
#define STEPS_MAX 20000

struct party {
	struct relay *relay;
	unsigned done;
	enum flow_error error;
};

struct flow {
	struct rig rig;
	struct loop loop;
	struct party near_side, far_side; /* near: where the application connected */
	bool ready, plain;
	int listener, app, upstream; /* upstream: -1 until accepted */
	struct address target;
};

static struct flow flow;
static uint8_t bulk[BULK_BYTES];

static void on_done(struct relay *r, void *user, enum flow_error error)
{
	struct party *party = user;

	assert_ptr_equal(r, party->relay);
	party->done++;
	party->error = error;
}

static void join(struct party *party, struct end *socket, struct quic_stream *stream)
{
	struct relay_config config = {.loop = &flow.loop, .on_done = on_done, .user = party};
	struct end *end;

	assert_int_equal(quic_end_new(&end, stream, flow.plain), 0);
	assert_int_equal(relay_start(&party->relay, &config, end, socket), 0);
}

static void on_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	struct tcp_connect params = {
		.loop = &flow.loop,
		.addresses = &flow.target,
		.address_count = 1,
		.timeout_ms = 5000,
	};
	struct end *socket;

	(void)c;
	(void)user;
	assert_int_equal(tcp_end_connect(&socket, &params), 0);
	join(&flow.far_side, socket, s);
}

static void on_ready(struct quic_conn *c, void *user)
{
	(void)c;
	(void)user;
	flow.ready = true;
}

static void on_close(struct quic_conn *c, void *user, const struct quic_close *why)
{
	(void)c;
	(void)user;
	(void)why;
}

static const struct quic_conn_ops conn_ops = {
	.on_ready = on_ready,
	.on_stream = on_stream,
	.on_close = on_close,
};

static void on_accept(struct rig *r, struct quic_conn *c)
{
	(void)r;
	quic_conn_set_ops(c, &conn_ops, NULL);
}

static bool is_ready(struct rig *r)
{
	(void)r;
	return flow.ready;
}

static bool never(struct rig *r)
{
	(void)r;
	return false;
}

static void step(void)
{
	uint64_t until_ns = flow.rig.now_ns + 2 * CLOCK_NS_PER_MS;

	event_base_loop(flow.loop.base, EVLOOP_NONBLOCK);
	rig_run(&flow.rig, never, 2 * CLOCK_NS_PER_MS);
	if (flow.rig.now_ns < until_ns)
		flow.rig.now_ns = until_ns; /* nothing happens so soon: time goes on all the same */
	if (flow.upstream < 0 && flow.listener >= 0)
		flow.upstream = accept4(flow.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/* Steps until `cond` holds. */
#define UNTIL(cond)                                                                                \
	do {                                                                                       \
		unsigned steps_left = STEPS_MAX;                                                   \
		while (!(cond) && steps_left-- > 0)                                                \
			step();                                                                    \
		assert_true(cond);                                                                 \
	} while (0)

static int listen_free(struct address *bound)
{
	struct address any;
	int fd;

	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(tcp_listener_bind(&any, &fd, bound), 0);
	return fd;
}

static void flow_start(bool somebody_listens)
{
	struct address entrance;
	struct quic_stream *stream;
	struct end *socket_end;
	int door;

	memset(&flow, 0, sizeof(flow));
	flow.upstream = -1;
	rig_init(&flow.rig);
	flow.rig.delay_ns = CLOCK_NS_PER_MS;
	flow.rig.on_accept = on_accept;
	assert_int_equal(loop_init(&flow.loop, NULL, NULL), 0);
	rig_connect(&flow.rig, &conn_ops, NULL);
	assert_true(rig_run(&flow.rig, is_ready, CLOCK_NS_PER_S));
	flow.listener = listen_free(&flow.target);
	if (!somebody_listens) {
		close(flow.listener);
		flow.listener = -1;
	}
	door = listen_free(&entrance);
	flow.app = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(flow.app, &entrance.sa, entrance.len), 0);
	assert_int_equal(fcntl(flow.app, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(tcp_end_new(&socket_end, &flow.loop,
				     accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)),
			 0);
	close(door);
	assert_int_equal(quic_conn_open_stream(flow.rig.client, NULL, NULL, &stream), 0);
	join(&flow.near_side, socket_end, stream);
	if (somebody_listens)
		UNTIL(flow.upstream >= 0); /* before a byte was sent */
}

static void flow_stop(void)
{
	UNTIL(flow.near_side.done == 1 && flow.far_side.done == 1);
	close(flow.app);
	if (flow.upstream >= 0)
		close(flow.upstream);
	if (flow.listener >= 0)
		close(flow.listener);
	rig_run(&flow.rig, never, CLOCK_NS_PER_S);
	rig_done(&flow.rig);
	loop_done(&flow.loop);
}

/* Reads until the end: the number of bytes, which must be those of bulk[]; *ret_errno = 0 for an
 * end of file. */
static size_t read_all(int fd, int *ret_errno)
{
	static uint8_t buf[65536];
	size_t got = 0;

	for (unsigned i = 0; i < STEPS_MAX; step(), i++) {
		ssize_t n;

		while ((n = read(fd, buf, sizeof(buf))) > 0) {
			assert_memory_equal(buf, bulk + got, (size_t)n);
			got += (size_t)n;
		}
		if (n == 0 || errno != EAGAIN) {
			*ret_errno = n == 0 ? 0 : errno;
			return got;
		}
	}
	fail_msg("neither end nor error after %zu bytes", got);
	return 0;
}

static void write_all(int fd, size_t bytes, int reader)
{
	static uint8_t buf[65536];
	size_t given = 0, got = 0;

	for (unsigned i = 0; given < bytes || got < bytes; step(), i++) {
		ssize_t n;

		assert_true(i < STEPS_MAX);
		while (given < bytes &&
		       (n = send(fd, bulk + given, bytes - given, MSG_NOSIGNAL)) > 0)
			given += (size_t)n;
		while (got < bytes && (n = read(reader, buf, sizeof(buf))) > 0) {
			assert_memory_equal(buf, bulk + got, (size_t)n);
			got += (size_t)n;
		}
	}
}

static void reset(int *fd)
{
	struct linger linger = {.l_onoff = 1};

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(*fd);
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* so that it can be closed again */
}

static void test_half_close_in_both_orders(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		int first, second, err = -1;

		flow_start(true);
		first = round % 2 == 0 ? flow.app : flow.upstream;
		second = round % 2 == 0 ? flow.upstream : flow.app;
		flow.rig.loss_percent = round < 2 ? 0 : 3;
		write_all(first, BULK_BYTES, second);
		shutdown(first, SHUT_WR);
		assert_int_equal(read_all(second, &err), 0);
		assert_int_equal(err, 0);
		write_all(second, BULK_BYTES, first); /* the other direction lives on */
		assert_int_equal(flow.near_side.done + flow.far_side.done, 0);
		close(second);
		if (round % 2 == 0)
			flow.upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		else
			flow.app = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(read_all(first, &err), 0);
		assert_int_equal(err, 0);
		flow_stop();
		assert_int_equal(flow.near_side.error, FLOW_OK);
		assert_int_equal(flow.far_side.error, FLOW_OK);
	}
}

/* close() right behind the last byte, in front of a reader that has not begun. */
static void test_close_behind_bytes(void **state)
{
	int err = -1;
	ssize_t given;

	(void)state;
	flow_start(true);
	given = send(flow.upstream, bulk, 200000, MSG_NOSIGNAL);
	assert_true(given > 0);
	close(flow.upstream);
	flow.upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(read_all(flow.app, &err), given);
	assert_int_equal(err, 0);
	close(flow.app);
	flow.app = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	flow_stop();
	assert_int_equal(flow.near_side.error, FLOW_OK);
}

static void test_resets(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		bool app_resets = round % 2 == 0, half_closed = round >= 2;
		int err = -1, *who, reader;

		flow_start(true);
		who = app_resets ? &flow.app : &flow.upstream;
		reader = app_resets ? flow.upstream : flow.app;
		write_all(*who, 1000, reader);
		if (half_closed) { /* the other one has ended its direction, and waits */
			shutdown(reader, SHUT_WR);
			read_all(*who, &err);
			assert_int_equal(err, 0);
		}
		reset(who);
		read_all(reader, &err);
		assert_int_equal(err, ECONNRESET);
		flow_stop();
		assert_int_equal(flow.near_side.error, FLOW_RESET);
		assert_int_equal(flow.far_side.error, FLOW_RESET);
	}
}

static void test_refused(void **state)
{
	int err = -1;

	(void)state;
	for (int plain = 0; plain < 2; plain++) {
		flow_start(false);
		flow.plain = plain != 0;
		assert_int_equal(read_all(flow.app, &err), 0);
		assert_int_equal(err, ECONNRESET);
		flow_stop();
		assert_int_equal(flow.far_side.error, FLOW_REFUSED);
		assert_int_equal(flow.near_side.error, plain ? FLOW_RESET : FLOW_REFUSED);
	}
}

/* The upstream answers, ends, and does not take what still comes: the answer arrives whole, with
 * its end of file, and then the application learns that nobody reads any more. */
static void test_refused_after_answer(void **state)
{
	int err = -1;

	(void)state;
	flow_start(true);
	assert_int_equal(send(flow.upstream, bulk, 50000, MSG_NOSIGNAL), 50000);
	close(flow.upstream);
	flow.upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(read_all(flow.app, &err), 50000);
	assert_int_equal(err, 0);
	assert_int_equal(send(flow.app, "more", 4, MSG_NOSIGNAL), 4);
	UNTIL(flow.near_side.done == 1);
	assert_int_not_equal(flow.near_side.error, FLOW_OK);
	assert_int_equal(send(flow.app, "more", 4, MSG_NOSIGNAL), -1);
	flow_stop();
}

static void test_lost_tunnel(void **state)
{
	(void)state;
	for (int whole = 0; whole < 2; whole++) {
		int err = -1;

		flow_start(true);
		write_all(flow.app, 5000, flow.upstream);
		if (whole == 1)
			shutdown(flow.app, SHUT_WR);
		quic_conn_close(flow.rig.client, 1, "gone");
		read_all(flow.upstream, &err);
		assert_int_equal(err, ECONNRESET); /* never an end of file */
		read_all(flow.app, &err);
		assert_int_equal(err, ECONNRESET);
		flow_stop();
	}
}

/* A reader that stands still stops its writer; memory is what the ends hold. */
static void test_slow_reader(void **state)
{
	size_t given = 0;
	unsigned still = 0;
	int err = -1;

	(void)state;
	flow_start(true);
	while (still < 200 && given < BULK_BYTES) {
		ssize_t n = send(flow.app, bulk + given, BULK_BYTES - given, MSG_NOSIGNAL);

		still = n > 0 ? 0 : still + 1;
		given += n > 0 ? (size_t)n : 0;
		step();
	}
	assert_true(flow.rig.pool.in_use * CHUNK_BYTES <=
		    flow.rig.config.send_buffer_bytes + flow.rig.config.max_stream_window);
	shutdown(flow.app, SHUT_WR);
	assert_int_equal(read_all(flow.upstream, &err), given);
	assert_int_equal(err, 0);
	close(flow.upstream);
	flow.upstream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	flow_stop();
	assert_int_equal(flow.far_side.error, FLOW_OK);
}

static int set_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < BULK_BYTES; i++)
		bulk[i] = (uint8_t)(i * 131 + (i >> 8) * 17 + (i >> 16));
	return tls_global_init();
}

static int tear_down(void **state)
{
	(void)state;
	tls_global_done();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_half_close_in_both_orders),
		cmocka_unit_test(test_close_behind_bytes),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_after_answer),
		cmocka_unit_test(test_lost_tunnel),
		cmocka_unit_test(test_slow_reader),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
