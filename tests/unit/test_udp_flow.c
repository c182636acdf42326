/* SPDX-License-Identifier: MIT */
/*
 * UDP flows with real sockets on loopback and streams of memory: every size, frames in any pieces,
 * the bounded queue, the rules toward the original, expiry, which address answers come from.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "relay/flow_table.h"
#include "relay/frame.h"
#include "relay/udp_flow.h"
#include "tests/unit/fake_end.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define STREAMS_MAX 40
#define HEADER_MS 60
#define LARGEST 65507 /* 65535 less the IPv4 and UDP headers */

static const size_t sizes[] = {0, 1, 1200, 1472, 1500, 1501, 9000, LARGEST};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

struct rig {
	struct loop loop;
	struct log log;
	struct udp_counters counters;
	struct udp_opener *opener;
	struct address bound;
	struct fake_end streams[STREAMS_MAX];
	struct fake_end *beside; /* of the streams that are opened */
	size_t max_datagram;
	unsigned opened, flows_done;
	bool no_tunnel;
	struct udp_acceptor *acceptor;
	struct target target;
	unsigned targets, done;
	bool late, warned;
	unsigned warnings;
	struct loop_timer timer;
};

static void rig_write(void *user, enum log_level level, const char *scope, const char *text)
{
	(void)scope;
	(void)text;
	if (level == LOG_LEVEL_WARN)
		((struct rig *)user)->warnings++;
}

static void rig_on_late(void *user)
{
	((struct rig *)user)->late = true;
}

static void rig_init(struct rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	rig->log = (struct log){.level = LOG_LEVEL_TRACE, .write = rig_write, .user = rig};
	assert_int_equal(loop_init(&rig->loop, NULL, &rig->log), 0);
	loop_timer_init(&rig->timer, &rig->loop, rig_on_late, rig);
}

static void rig_done(struct rig *rig)
{
	loop_timer_cancel(&rig->timer);
	for (unsigned i = 0; i < rig->opened; i++) {
		assert_true(rig->streams[i].freed);
		fake_end_done(&rig->streams[i]);
	}
	loop_done(&rig->loop);
}

/* Runs the loop until *what is at least `count`; ten seconds without it is a failure. */
static void rig_wait(struct rig *rig, const uint64_t *what, uint64_t count)
{
	loop_enter(&rig->loop);
	loop_timer_arm(&rig->timer, loop_now(&rig->loop) + 10 * CLOCK_NS_PER_S);
	while (*what < count && !rig->late)
		event_base_loop(rig->loop.base, EVLOOP_ONCE);
	assert_false(rig->late);
}

static void rig_wait_unsigned(struct rig *rig, const unsigned *what, unsigned count)
{
	loop_enter(&rig->loop);
	loop_timer_arm(&rig->timer, loop_now(&rig->loop) + 10 * CLOCK_NS_PER_S);
	while (*what < count && !rig->late)
		event_base_loop(rig->loop.base, EVLOOP_ONCE);
	assert_false(rig->late);
}

static void rig_turn(struct rig *rig)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(rig->loop.base, EVLOOP_NONBLOCK);
}

static struct fake_end *rig_stream(struct rig *rig)
{
	assert_true(rig->opened < STREAMS_MAX);
	fake_end_init(&rig->streams[rig->opened], true);
	rig->streams[rig->opened].beside = rig->beside;
	rig->streams[rig->opened].max_datagram = rig->max_datagram;
	return &rig->streams[rig->opened++];
}

static uint64_t *in_datagrams(struct rig *rig)
{
	return &rig->counters.in_datagrams;
}

static void fill(uint8_t *buf, size_t bytes, unsigned seed)
{
	for (size_t i = 0; i < bytes; i++)
		buf[i] = (uint8_t)(seed * 31 + i * 7 + (i >> 8));
}

static int udp_socket_to(const struct address *to, const char *local)
{
	struct address from;
	int fd = socket(to->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {.tv_sec = 10};

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (local != NULL) {
		assert_int_equal(address_parse(&from, local, strlen(local)), 0);
		assert_int_equal(bind(fd, &from.sa, from.len), 0);
	}
	assert_int_equal(connect(fd, &to->sa, to->len), 0);
	return fd;
}

/* The frames that a stream was given, behind `head` bytes. */
static void assert_frames(const struct fake_end *f, size_t head, const size_t *expected,
			  size_t count)
{
	static uint8_t wanted[LARGEST];
	size_t at = head;

	for (size_t i = 0; i < count; i++) {
		fill(wanted, expected[i], (unsigned)i);
		assert_true(at + 2 + expected[i] <= f->out_bytes);
		assert_int_equal(frame_get_header(f->out + at), expected[i]);
		assert_memory_equal(f->out + at + 2, wanted, expected[i]);
		at += 2 + expected[i];
	}
	assert_int_equal(at, f->out_bytes);
}

static void give_frame(struct fake_end *f, size_t bytes, unsigned seed)
{
	static uint8_t frame[2 + LARGEST];

	frame_put_header(frame, (uint16_t)bytes);
	fill(frame + 2, bytes, seed);
	fake_end_give(f, frame, 2 + bytes);
}

static void assert_received(int fd, size_t bytes, unsigned seed)
{
	static uint8_t got[LARGEST + 1], wanted[LARGEST];

	fill(wanted, bytes, seed);
	assert_int_equal(recv(fd, got, sizeof(got), 0), (ssize_t)bytes);
	assert_memory_equal(got, wanted, bytes);
}

/* ---- opener ---- */

static struct end *rig_open(void *user, const struct address *source, uint64_t *ret_id)
{
	struct rig *rig = user;

	assert_true(source->len != 0);
	*ret_id = rig->opened + 1;
	return rig->no_tunnel ? NULL : &rig_stream(rig)->end;
}

static void rig_on_flow_done(void *user)
{
	((struct rig *)user)->flows_done++;
}

static void rig_start_opener(struct rig *rig, const char *address, struct udp_opener_config *config)
{
	struct address any;

	rig_init(rig);
	assert_int_equal(address_parse(&any, address, strlen(address)), 0);
	assert_int_equal(udp_bind(&any, &config->fd, &rig->bound), 0);
	config->common.loop = &rig->loop;
	config->common.log = &rig->log;
	config->common.counters = &rig->counters;
	if (config->common.idle_timeout_ms == 0)
		config->common.idle_timeout_ms = 60000;
	config->open = rig_open;
	config->on_flow_done = rig_on_flow_done;
	config->user = rig;
	assert_int_equal(udp_opener_new(&rig->opener, config), 0);
}

static void rig_stop_opener(struct rig *rig)
{
	udp_opener_free(rig->opener);
	assert_int_equal(rig->flows_done, rig->opened);
	rig_done(rig);
}

static void test_opener_sizes(void **state)
{
	static uint8_t data[LARGEST];
	struct udp_opener_config config = {.common.queue_bytes = 1 << 20};
	struct rig rig;
	int app;

	(void)state;
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	app = udp_socket_to(&rig.bound, NULL);
	for (unsigned i = 0; i < SIZES; i++) {
		fill(data, sizes[i], i);
		assert_int_equal(send(app, data, sizes[i], 0), (ssize_t)sizes[i]);
		rig_wait(&rig, in_datagrams(&rig), i + 1);
	}
	assert_int_equal(rig.opened, 1);
	assert_int_equal(rig.streams[0].out[0], 0);
	assert_frames(&rig.streams[0], 1, sizes, SIZES);
	assert_int_equal(udp_opener_flows(rig.opener), 1);
	/* And back, in whole chunks, then in pieces that cut headers and payloads. */
	for (unsigned round = 0; round < 2; round++) {
		rig.streams[0].piece = round == 0 ? 16384 : 4093;
		for (unsigned i = 0; i < SIZES; i++) {
			give_frame(&rig.streams[0], sizes[i], i);
			fake_end_readable(&rig.streams[0]);
			rig_wait(&rig, &rig.counters.out_datagrams, round * SIZES + i + 1);
			assert_received(app, sizes[i], i);
		}
	}
	assert_int_equal(rig.streams[0].in_taken, rig.streams[0].in_bytes);
	close(app);
	rig_stop_opener(&rig);
	assert_true(rig.streams[0].aborted || rig.streams[0].freed);
}

/* Frames arrive byte by byte: nothing is sent before one is whole. */
static void test_opener_split_frames(void **state)
{
	struct udp_opener_config config = {0};
	struct rig rig;
	uint8_t frame[2 + 5];
	int app;

	(void)state;
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	app = udp_socket_to(&rig.bound, NULL);
	assert_int_equal(send(app, "", 0, 0), 0);
	rig_wait(&rig, in_datagrams(&rig), 1);
	rig.streams[0].piece = 1;
	for (unsigned n = 0; n < 6; n++) {
		frame_put_header(frame, (uint16_t)n);
		fill(frame + 2, n, n);
		for (size_t i = 0; i < 2 + n; i++) {
			assert_int_equal(rig.counters.out_datagrams, n);
			fake_end_give(&rig.streams[0], frame + i, 1);
			fake_end_readable(&rig.streams[0]);
			rig_turn(&rig);
		}
		assert_int_equal(rig.counters.out_datagrams, n + 1);
		assert_received(app, n, n);
	}
	/* Many at once: more than one batch, no other signal. */
	rig.streams[0].piece = 16384;
	for (unsigned i = 0; i < 150; i++)
		give_frame(&rig.streams[0], 100, i);
	fake_end_readable(&rig.streams[0]);
	rig_wait(&rig, &rig.counters.out_datagrams, 6 + 150);
	for (unsigned i = 0; i < 150; i++)
		assert_received(app, 100, i);
	close(app);
	rig_stop_opener(&rig);
}

#define SOCKS_ONE "\0\0\0\x01\x7f\0\0\x01\0\x35"  /* 127.0.0.1:53 */
#define SOCKS_TWO "\0\0\0\x03\x01" "a" "\0\x07"      /* a:7 */

static void send_bytes(int fd, const char *data, size_t bytes)
{
	assert_int_equal(send(fd, data, bytes, 0), (ssize_t)bytes);
}

/* Each datagram says where it goes: a flow per target, and answers begin with what the source
 * called it. What says nothing, is a fragment or comes from somebody else is dropped. */
static void test_opener_socks(void **state)
{
	static const struct {
		const char *data;
		size_t bytes;
	} wrong[] = {
		{"", 0},
		{"\0\0\0", 3},
		{"\0\0\x01\x01\x7f\0\0\x01\0\x35x", 11}, /* a fragment */
		{"\0\0\0\x02\x7f\0\0\x01\0\x35x", 11},   /* no family */
		{"\0\0\0\x01\x7f\0\0\x01\0\0x", 11},     /* port 0 */
		{"\0\0\0\x01\x7f\0\0\x01\0", 9},
		{"\0\0\0\x03\x03" "a%b\0\x07x", 11},
	};
	struct udp_opener_config config = {.socks = true, .max_flows = 2};
	struct rig rig;
	char got[64];
	int app, other;

	(void)state;
	assert_int_equal(address_parse(&config.only, "127.0.0.1:0", 11), 0);
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	app = udp_socket_to(&rig.bound, "127.0.0.1:0");
	other = udp_socket_to(&rig.bound, "127.0.0.2:0");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		send_bytes(app, wrong[i].data, wrong[i].bytes);
	send_bytes(other, SOCKS_ONE "x", 11);
	rig_wait(&rig, &rig.counters.dropped_malformed, sizeof(wrong) / sizeof(wrong[0]) + 1);
	assert_int_equal(rig.opened, 0);
	send_bytes(app, SOCKS_ONE "one", 13);
	send_bytes(app, SOCKS_TWO "two", 11);
	send_bytes(app, SOCKS_ONE, 10);
	send_bytes(app, "\0\0\0\x01\x7f\0\0\x01\0\x36x", 11);
	rig_wait(&rig, &rig.counters.dropped_flows, 1);
	assert_int_equal(rig.opened, 2);
	assert_int_equal(rig.counters.in_bytes, 6);
	assert_int_equal(rig.streams[0].out_bytes, 7 + 2 + 3 + 2);
	assert_memory_equal(rig.streams[0].out, "\x04\x7f\0\0\x01\0\x35\0\x03one\0\0", 14);
	assert_int_equal(rig.streams[1].out_bytes, 5 + 2 + 3);
	assert_memory_equal(rig.streams[1].out, "\x03\x01" "a\0\x07\0\x03two", 10);
	fake_end_give(&rig.streams[1], "\0\x02" "hi\0\0", 6);
	fake_end_readable(&rig.streams[1]);
	rig_wait(&rig, &rig.counters.out_datagrams, 2);
	assert_int_equal(rig.counters.out_bytes, 2);
	assert_int_equal(recv(app, got, sizeof(got), 0), 10);
	assert_memory_equal(got, SOCKS_TWO "hi", 10);
	assert_int_equal(recv(app, got, sizeof(got), 0), 8);
	assert_memory_equal(got, SOCKS_TWO, 8);
	close(app);
	close(other);
	rig_stop_opener(&rig);
}

static void test_opener_flows(void **state)
{
	struct udp_opener_config config = {.max_flows = 30};
	struct rig rig;
	int apps[32];

	(void)state;
	target_parse(&config.target, "example.org:53", 14, &(size_t){0}, &(const char *){NULL});
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	for (unsigned i = 0; i < 32; i++) {
		apps[i] = udp_socket_to(&rig.bound, NULL);
		assert_int_equal(send(apps[i], &i, sizeof(i), 0), sizeof(i));
	}
	rig_wait(&rig, &rig.counters.dropped_flows, 2);
	assert_int_equal(udp_opener_flows(rig.opener), 30);
	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(rig.streams[i].out_bytes, 15 + 2 + sizeof(i));
		assert_memory_equal(rig.streams[i].out, "\x03\x0b" "example.org\0\x35", 15);
		assert_memory_equal(rig.streams[i].out + 17, &i, sizeof(i));
	}
	/* Each answer to its own source. */
	for (unsigned i = 0; i < 30; i++) {
		give_frame(&rig.streams[i], i, i);
		fake_end_readable(&rig.streams[i]);
	}
	rig_wait(&rig, &rig.counters.out_datagrams, 30);
	for (unsigned i = 0; i < 30; i++)
		assert_received(apps[i], i, i);
	/* The far side ends flows: FIN after a last answer, RESET_STREAM, STOP_SENDING. */
	give_frame(&rig.streams[0], 3, 3);
	rig.streams[0].in_fin = true;
	fake_end_readable(&rig.streams[0]);
	fake_end_error(&rig.streams[1], FLOW_REFUSED, false);
	fake_end_refuse(&rig.streams[2], FLOW_RESET);
	rig_turn(&rig);
	assert_received(apps[0], 3, 3);
	assert_int_equal(rig.flows_done, 3);
	assert_true(rig.streams[0].finished);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(rig.streams[i].freed, i < 3);
	assert_int_equal(send(apps[1], "again", 5, 0), 5);
	rig_wait_unsigned(&rig, &rig.opened, 31);
	assert_int_equal(udp_opener_flows(rig.opener), 28);
	udp_opener_reset(rig.opener, false);
	assert_int_equal(udp_opener_flows(rig.opener), 0);
	rig.no_tunnel = true;
	assert_int_equal(send(apps[3], "lost", 4, 0), 4);
	rig_wait(&rig, &rig.counters.dropped_no_tunnel, 1);
	for (unsigned i = 0; i < 32; i++)
		close(apps[i]);
	rig_stop_opener(&rig);
}

static void rig_on_visit(void *user, const struct udp_opener_info *flow)
{
	struct udp_opener_info *seen = user;

	assert_in_range(flow->id, 1, 3);
	assert_true(flow->source->len != 0);
	seen[flow->id] = *flow;
}

/* Who asks sees each source's flow; one that is dropped begins anew with its next datagram. */
static void test_opener_kill(void **state)
{
	struct udp_opener_config config = {0};
	struct udp_opener_info seen[4];
	struct rig rig;
	int apps[2];

	(void)state;
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	for (unsigned i = 0; i < 2; i++) {
		apps[i] = udp_socket_to(&rig.bound, NULL);
		assert_int_equal(send(apps[i], "12345", 3 + i, 0), 3 + i);
		rig_wait_unsigned(&rig, &rig.opened, i + 1);
	}
	give_frame(&rig.streams[1], 9, 1);
	fake_end_readable(&rig.streams[1]);
	rig_wait(&rig, &rig.counters.out_datagrams, 1);
	memset(seen, 0, sizeof(seen));
	udp_opener_visit(rig.opener, rig_on_visit, seen);
	assert_int_equal(seen[1].in_bytes, 3);
	assert_int_equal(seen[1].out_bytes, 0);
	assert_int_equal(seen[2].in_bytes, 4);
	assert_int_equal(seen[2].out_bytes, 9);
	assert_true(seen[1].started_ns != 0 && seen[1].started_ns <= seen[1].active_ns);
	assert_true(seen[2].active_ns >= seen[1].active_ns);
	assert_int_equal(udp_opener_kill(rig.opener, 3), 0);
	assert_int_equal(udp_opener_kill(rig.opener, 1), 1);
	assert_true(rig.streams[0].freed);
	assert_false(rig.streams[1].freed);
	assert_int_equal(udp_opener_flows(rig.opener), 1);
	assert_int_equal(send(apps[0], "12345", 5, 0), 5);
	rig_wait_unsigned(&rig, &rig.opened, 3);
	memset(seen, 0, sizeof(seen));
	udp_opener_visit(rig.opener, rig_on_visit, seen);
	assert_int_equal(seen[1].id, 0);
	assert_int_equal(seen[3].in_bytes, 5);
	assert_int_equal(udp_opener_kill(rig.opener, 0), 2);
	assert_int_equal(udp_opener_flows(rig.opener), 0);
	close(apps[0]);
	close(apps[1]);
	rig_stop_opener(&rig);
}

static void test_opener_full_queue(void **state)
{
	static uint8_t data[1000];
	struct udp_opener_config config = {.common.queue_bytes = 5000};
	struct rig rig;
	int app;

	(void)state;
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	app = udp_socket_to(&rig.bound, NULL);
	send(app, data, sizeof(data), 0);
	rig_wait(&rig, in_datagrams(&rig), 1);
	rig.streams[0].waiting = 4500; /* by the limit of the queue */
	send(app, data, sizeof(data), 0);
	rig_wait(&rig, &rig.counters.dropped_full, 1);
	rig.streams[0].waiting = 4000;
	send(app, data, sizeof(data), 0);
	rig_wait(&rig, in_datagrams(&rig), 2);
	rig.streams[0].out_room = 1001; /* by the stream: never half a frame */
	send(app, data, sizeof(data), 0);
	rig_wait(&rig, &rig.counters.dropped_full, 2);
	assert_int_equal(rig.streams[0].out_bytes, 1 + 2 * 1002);
	rig.streams[0].out_room = 1002;
	send(app, data, sizeof(data), 0);
	rig_wait(&rig, in_datagrams(&rig), 3);
	assert_int_equal(rig.streams[0].out_bytes, 1 + 3 * 1002);
	close(app);
	rig_stop_opener(&rig);
}

static void test_opener_to_original(void **state)
{
	static uint8_t data[1501];
	struct udp_opener_config config = {
		.common.idle_timeout_ms = 40,
		.common.peer_is_original = true,
	};
	struct rig rig;
	int app;

	(void)state;
	config.common.warned = &rig.warned;
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	app = udp_socket_to(&rig.bound, NULL);
	send(app, data, 1501, 0);
	rig_wait(&rig, &rig.counters.dropped_too_large, 1);
	assert_int_equal(rig.warnings, 1); /* and not again */
	send(app, data, 1501, 0);
	rig_wait(&rig, &rig.counters.dropped_too_large, 2);
	assert_int_equal(rig.warnings, 1);
	assert_int_equal(rig.opened, 0);
	send(app, data, 1500, 0);
	rig_wait(&rig, in_datagrams(&rig), 1);
	/* Kept busy from our side, never answered: another stream, and the old one ends in order.
	 * */
	while (rig.opened < 2) {
		uint64_t before = rig.counters.in_datagrams;

		assert_true(before < 1000000);
		send(app, data, 10, 0);
		rig_wait(&rig, in_datagrams(&rig), before + 1);
	}
	assert_true(rig.streams[0].finished);
	assert_true(rig.streams[0].stopped);
	assert_true(rig.streams[0].freed);
	assert_false(rig.streams[0].aborted);
	assert_int_equal(udp_opener_flows(rig.opener), 1);
	close(app);
	rig_stop_opener(&rig);
}

static void test_opener_idle(void **state)
{
	struct udp_opener_config config = {.common.idle_timeout_ms = 30};
	struct rig rig;
	int apps[3];

	(void)state;
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	for (unsigned i = 0; i < 3; i++) {
		apps[i] = udp_socket_to(&rig.bound, NULL);
		send(apps[i], "x", 1, 0);
	}
	rig_wait(&rig, in_datagrams(&rig), 3);
	rig_wait_unsigned(&rig, &rig.flows_done, 3);
	assert_int_equal(udp_opener_flows(rig.opener), 0);
	send(apps[1], "x", 1, 0);
	rig_wait_unsigned(&rig, &rig.opened, 4);
	for (unsigned i = 0; i < 3; i++)
		close(apps[i]);
	rig_stop_opener(&rig);
}

/* One source writes to two addresses of a wildcard socket: each answer comes from the right one. */
static void test_opener_wildcard(void **state)
{
	static const struct {
		const char *bind, *to[2], *source;
	} cases[] = {
		{"0.0.0.0:0", {"127.0.0.1:0", "127.0.0.2:0"}, "127.0.0.1:0"},
		{"[::]:0", {"127.0.0.1:0", "127.0.0.3:0"}, "127.0.0.1:0"},
		{"[::]:0", {"[::1]:0", "[::1]:0"}, "[::1]:0"},
	};
	struct rig rig;

	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		struct udp_opener_config config = {0};
		struct address to[2], from;
		struct sockaddr_storage peer;
		socklen_t len;
		unsigned flows = c == 2 ? 1 : 2;
		uint8_t buf[16];
		int app;

		rig_start_opener(&rig, cases[c].bind, &config);
		assert_int_equal(address_parse(&from, cases[c].source, strlen(cases[c].source)), 0);
		app = socket(from.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(app, &from.sa, from.len), 0);
		for (unsigned i = 0; i < flows; i++) {
			assert_int_equal(
				address_parse(&to[i], cases[c].to[i], strlen(cases[c].to[i])), 0);
			address_set_port(&to[i], address_port(&rig.bound));
			assert_int_equal(sendto(app, "x", 1, 0, &to[i].sa, to[i].len), 1);
			rig_wait(&rig, in_datagrams(&rig), i + 1);
		}
		assert_int_equal(rig.opened, flows);
		for (unsigned i = 0; i < flows; i++) {
			give_frame(&rig.streams[i], 4, i);
			fake_end_readable(&rig.streams[i]);
			rig_wait(&rig, &rig.counters.out_datagrams, i + 1);
			len = sizeof(peer);
			assert_int_equal(
				recvfrom(app, buf, sizeof(buf), 0, (struct sockaddr *)&peer, &len),
				4);
			assert_int_equal(
				address_from_sockaddr(&from, (struct sockaddr *)&peer, len), 0);
			assert_true(address_equal(&from, &to[i]));
		}
		close(app);
		rig_stop_opener(&rig);
	}
}

/* What fits goes beside the stream, what does not on it; both come back, in whatever order. */
static void test_opener_datagrams(void **state)
{
	static const size_t fit[] = {0, 1, 1200}, large[] = {1201, 9000, LARGEST};
	static uint8_t data[LARGEST];
	struct udp_opener_config config = {.common.queue_bytes = 1 << 20};
	struct fake_end beside;
	struct rig rig;
	int app;

	(void)state;
	fake_end_init(&beside, true);
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	rig.beside = &beside;
	rig.max_datagram = 1200;
	app = udp_socket_to(&rig.bound, NULL);
	for (unsigned i = 0; i < 3; i++) {
		fill(data, fit[i], i);
		assert_int_equal(send(app, data, fit[i], 0), (ssize_t)fit[i]);
		fill(data, large[i], i);
		assert_int_equal(send(app, data, large[i], 0), (ssize_t)large[i]);
		rig_wait(&rig, in_datagrams(&rig), 2 * i + 2);
	}
	assert_int_equal(rig.opened, 1);
	assert_frames(&beside, 0, fit, 3);
	assert_frames(&rig.streams[0], 1, large, 3);
	assert_int_equal(rig.counters.in_bytes, 1201 + 10201 + LARGEST);

	beside.piece = 700; /* frames that lie in several pieces */
	for (unsigned i = 0; i < 20; i++)
		give_frame(&beside, 1000 + i, i);
	for (unsigned i = 0; i < 20; i++)
		give_frame(&rig.streams[0], 2000 + i, 20 + i);
	fake_end_readable(&rig.streams[0]);
	rig_wait(&rig, &rig.counters.out_datagrams, 40);
	for (unsigned i = 0; i < 20; i++)
		assert_received(app, 1000 + i, i);
	for (unsigned i = 0; i < 20; i++)
		assert_received(app, 2000 + i, 20 + i);
	assert_int_equal(beside.in_taken, beside.in_bytes);
	assert_int_equal(rig.streams[0].in_taken, rig.streams[0].in_bytes);

	/* Full: dropped, not put on the stream; the path carries none: on the stream. */
	beside.out_room = 0;
	assert_int_equal(send(app, "x", 1, 0), 1);
	rig_wait(&rig, &rig.counters.dropped_full, 1);
	rig.streams[0].max_datagram = 0;
	rig.streams[0].out_bytes = 0;
	assert_int_equal(send(app, "x", 1, 0), 1);
	rig_wait(&rig, in_datagrams(&rig), 7);
	assert_int_equal(rig.streams[0].out_bytes, 3);
	close(app);
	rig_stop_opener(&rig);
	fake_end_done(&beside);
}

/* Neighbours of one size go to the kernel as one message: they arrive as they were, also where the
 * kernel refuses that. */
static void test_opener_runs(void **state)
{
	static const size_t batch[] = {500, 500, 500, 300, 300, 0, 0, 700, 700, 701, 1, 1, 1,
				       9000, 9000, 9000, 9000, 9000, 9000, 9000, 9000, 40};
	const unsigned count = sizeof(batch) / sizeof(batch[0]);

	(void)state;
	for (int refused = 0; refused < 3; refused++) {
		struct udp_opener_config config = {0};
		struct address to;
		struct rig rig;
		int app;

		/* On a wildcard socket there is an address of ours in the control message, too. */
		rig_start_opener(&rig, refused == 2 ? "0.0.0.0:0" : "127.0.0.1:0", &config);
		if (refused == 1) /* segments need a checksum */
			assert_int_equal(setsockopt(config.fd, SOL_SOCKET, SO_NO_CHECK, &(int){1},
						    sizeof(int)),
					 0);
		assert_int_equal(address_parse(&to, "127.0.0.1:1", 11), 0);
		address_set_port(&to, address_port(&rig.bound));
		app = udp_socket_to(&to, NULL);
		assert_int_equal(send(app, "x", 1, 0), 1);
		rig_wait(&rig, in_datagrams(&rig), 1);
		for (unsigned i = 0; i < count; i++)
			give_frame(&rig.streams[0], batch[i], i);
		fake_end_readable(&rig.streams[0]);
		rig_wait(&rig, &rig.counters.out_datagrams, count);
		for (unsigned i = 0; i < count; i++)
			assert_received(app, batch[i], i);
		assert_int_equal(rig.counters.dropped_socket, 0);
		close(app);
		rig_stop_opener(&rig);
	}
}

/* A flow whose datagrams are always too large is told of once, and not at its first ones. */
static void test_opener_always_too_large(void **state)
{
	struct rig rig;
	struct udp_opener_config config = {.common.warned = &rig.warned};
	struct fake_end beside;
	int app;

	(void)state;
	fake_end_init(&beside, true);
	rig_start_opener(&rig, "127.0.0.1:0", &config);
	rig.beside = &beside;
	rig.max_datagram = 2;
	app = udp_socket_to(&rig.bound, NULL);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(send(app, "abc", 3, 0), 3);
		rig_wait(&rig, in_datagrams(&rig), i + 1);
		assert_int_equal(rig.warnings, i > 1);
		if (i == 1) /* long ago */
			rig.streams[0].end.too_large_since_ns = 1;
	}
	close(app);
	rig_stop_opener(&rig);
	fake_end_done(&beside);
}

/* ---- acceptor ---- */

static void rig_on_target(struct udp_acceptor *a, void *user, const struct target *target)
{
	struct rig *rig = user;

	assert_ptr_equal(a, rig->acceptor);
	rig->targets++;
	rig->target = *target;
}

static void rig_on_done(struct udp_acceptor *a, void *user)
{
	struct rig *rig = user;

	assert_ptr_equal(a, rig->acceptor);
	assert_false(rig->streams[0].freed);
	rig->done++;
}

static void rig_start_acceptor(struct rig *rig, struct udp_config common)
{
	struct udp_acceptor_config config = {
		.common = common,
		.on_target = rig_on_target,
		.header_timeout_ms = HEADER_MS,
		.on_done = rig_on_done,
		.user = rig,
	};

	rig_init(rig);
	config.common.loop = &rig->loop;
	config.common.log = &rig->log;
	config.common.counters = &rig->counters;
	assert_int_equal(udp_acceptor_new(&rig->acceptor, &config, &rig_stream(rig)->end), 0);
}

static void rig_stop_acceptor(struct rig *rig)
{
	if (rig->done == 0)
		udp_acceptor_abort(rig->acceptor, FLOW_SHUTTING_DOWN);
	rig_turn(rig);
	assert_int_equal(rig->done, 1);
	rig_done(rig);
}

static int make_upstream(struct address *bound)
{
	struct address any;
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	struct timeval patience = {.tv_sec = 10};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(bind(fd, &any.sa, any.len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&local, &len), 0);
	assert_int_equal(address_from_sockaddr(bound, (struct sockaddr *)&local, len), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void test_acceptor_both_ways(void **state)
{
	static uint8_t data[LARGEST];
	struct rig rig;
	struct address upstream;
	struct sockaddr_storage from;
	socklen_t len;
	int app = make_upstream(&upstream);

	(void)state;
	rig_start_acceptor(&rig, (struct udp_config){.queue_bytes = 1 << 20});
	rig.streams[0].piece = 1;
	for (size_t i = 0; i < 7; i++) { /* the target, byte by byte */
		assert_int_equal(rig.targets, 0);
		fake_end_give(&rig.streams[0], &"\x04\x7f\0\0\x01\0\x35"[i], 1);
		fake_end_readable(&rig.streams[0]);
		rig_turn(&rig);
	}
	assert_int_equal(rig.targets, 1);
	assert_int_equal(address_port(&rig.target.address), 53);
	rig.streams[0].piece = 5000;
	give_frame(&rig.streams[0], 9, 9); /* before the dial: it waits */
	fake_end_readable(&rig.streams[0]);
	rig_turn(&rig);
	assert_int_equal(rig.streams[0].in_taken, 7);
	udp_acceptor_dial(rig.acceptor, &upstream);
	rig_wait(&rig, &rig.counters.out_datagrams, 1);
	len = sizeof(from);
	assert_int_equal(recvfrom(app, data, sizeof(data), 0, (struct sockaddr *)&from, &len), 9);
	assert_int_equal(connect(app, (struct sockaddr *)&from, len),
			 0); /* one source port for all */
	for (unsigned i = 0; i < SIZES; i++) {
		give_frame(&rig.streams[0], sizes[i], i);
		fake_end_readable(&rig.streams[0]);
		rig_wait(&rig, &rig.counters.out_datagrams, i + 2);
		assert_received(app, sizes[i], i);
		fill(data, sizes[i], i);
		assert_int_equal(send(app, data, sizes[i], 0), (ssize_t)sizes[i]);
		rig_wait(&rig, in_datagrams(&rig), i + 1);
	}
	assert_frames(&rig.streams[0], 0, sizes, SIZES);
	assert_int_equal(rig.counters.out_bytes, rig.counters.in_bytes + 9);
	/* STOP_SENDING, a last datagram, FIN: it still goes out. */
	fake_end_refuse(&rig.streams[0], FLOW_RESET);
	give_frame(&rig.streams[0], 2, 2);
	rig.streams[0].in_fin = true;
	fake_end_readable(&rig.streams[0]);
	rig_wait_unsigned(&rig, &rig.done, 1);
	assert_received(app, 2, 2);
	assert_true(rig.streams[0].finished);
	assert_false(rig.streams[0].aborted);
	close(app);
	rig_stop_acceptor(&rig);
}

/* Datagrams beside the stream wait for the upstream, too, and are not the target. */
static void test_acceptor_datagrams(void **state)
{
	static const size_t answers[] = {300, 5};
	static uint8_t data[LARGEST];
	struct fake_end beside;
	struct address upstream;
	struct sockaddr_storage from;
	struct rig rig;
	socklen_t len = sizeof(from);
	int app = make_upstream(&upstream);

	(void)state;
	fake_end_init(&beside, true);
	rig_start_acceptor(&rig, (struct udp_config){0});
	rig.streams[0].beside = &beside;
	rig.streams[0].max_datagram = 300;
	give_frame(&beside, 9, 9);
	fake_end_readable(&rig.streams[0]);
	rig_turn(&rig);
	assert_int_equal(rig.targets, 0);
	fake_end_give(&rig.streams[0], "\x04\x7f\0\0\x01\0\x35", 7);
	fake_end_readable(&rig.streams[0]);
	rig_turn(&rig);
	assert_int_equal(rig.targets, 1);
	assert_int_equal(beside.in_taken, 0);
	udp_acceptor_dial(rig.acceptor, &upstream);
	rig_wait(&rig, &rig.counters.out_datagrams, 1);
	assert_int_equal(recvfrom(app, data, sizeof(data), 0, (struct sockaddr *)&from, &len), 9);
	assert_int_equal(connect(app, (struct sockaddr *)&from, len), 0);
	for (unsigned i = 0; i < 2; i++) {
		fill(data, answers[i], i);
		assert_int_equal(send(app, data, answers[i], 0), (ssize_t)answers[i]);
	}
	rig_wait(&rig, in_datagrams(&rig), 2);
	assert_frames(&beside, 0, answers, 2);
	assert_int_equal(rig.streams[0].out_bytes, 0);
	close(app);
	rig_stop_acceptor(&rig);
	fake_end_done(&beside);
}

static void test_acceptor_bad_targets(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
		bool fin;
	} cases[] = {
		{"\x01", 1, false}, {"\x03\x00", 2, false}, {"\x04\x7f", 2, true}, {"", 0, true}};
	struct rig rig;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_start_acceptor(&rig, (struct udp_config){0});
		fake_end_give(&rig.streams[0], cases[i].bytes, cases[i].count);
		rig.streams[0].in_fin = cases[i].fin;
		fake_end_readable(&rig.streams[0]);
		rig_wait_unsigned(&rig, &rig.done, 1);
		assert_int_equal(rig.targets, 0);
		assert_true(rig.streams[0].aborted);
		rig_stop_acceptor(&rig);
	}
}

/* An upstream that is not there: counted, and the flow lives on until it is. */
static void test_acceptor_icmp(void **state)
{
	struct rig rig;
	struct address upstream;
	int app = make_upstream(&upstream);

	(void)state;
	close(app);
	rig_start_acceptor(&rig, (struct udp_config){0});
	fake_end_give(&rig.streams[0], "", 1);
	rig_wait_unsigned(&rig, &rig.targets, 1);
	assert_int_equal(rig.target.kind, TARGET_DEFAULT);
	udp_acceptor_dial(rig.acceptor, &upstream);
	give_frame(&rig.streams[0], 1, 1);
	rig_wait(&rig, &rig.counters.dropped_socket, 1);
	assert_int_equal(rig.done, 0);
	app = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(app, &upstream.sa, upstream.len), 0);
	give_frame(&rig.streams[0], 5, 5);
	fake_end_readable(&rig.streams[0]);
	rig_wait(&rig, &rig.counters.out_datagrams, 2);
	assert_received(app, 5, 5);
	close(app);
	rig_stop_acceptor(&rig);
	assert_true(rig.streams[0].aborted);
	assert_int_equal(rig.streams[0].abort_error, FLOW_SHUTTING_DOWN);
}

static void test_acceptor_endings(void **state)
{
	struct rig rig;
	struct address upstream;
	int app = make_upstream(&upstream);

	(void)state;
	for (int how = 0; how < 4; how++) {
		bool idle = how < 2;

		rig_start_acceptor(&rig, (struct udp_config){.idle_timeout_ms = idle ? 20 : 0});
		if (how > 0) {
			fake_end_give(&rig.streams[0], "", 1);
			rig_wait_unsigned(&rig, &rig.targets, 1);
			udp_acceptor_dial(rig.acceptor, &upstream);
		}
		if (how == 2)
			fake_end_error(&rig.streams[0], FLOW_RESET, true);
		if (how == 3)
			udp_acceptor_abort(rig.acceptor, FLOW_DENIED);
		assert_int_equal(rig.done, 0);
		rig_wait_unsigned(&rig, &rig.done, 1);
		assert_int_equal(rig.streams[0].aborted, how != 1);
		if (how == 0)
			assert_int_equal(rig.streams[0].abort_error, FLOW_TIMEOUT);
		rig_stop_acceptor(&rig);
	}
	close(app);
}

static void test_acceptor_to_original(void **state)
{
	static uint8_t data[1501];
	struct rig rig;
	struct address upstream;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int app = make_upstream(&upstream);

	(void)state;
	rig_start_acceptor(&rig, (struct udp_config){.peer_is_original = true,
						     .warned = &rig.warned});
	fake_end_give(&rig.streams[0], "", 1);
	give_frame(&rig.streams[0], 0, 0);
	rig_wait_unsigned(&rig, &rig.targets, 1);
	udp_acceptor_dial(rig.acceptor, &upstream);
	rig_wait(&rig, &rig.counters.out_datagrams, 1);
	assert_int_equal(recvfrom(app, data, 10, 0, (struct sockaddr *)&from, &len), 0);
	sendto(app, data, 1501, 0, (struct sockaddr *)&from, len);
	rig_wait(&rig, &rig.counters.dropped_too_large, 1);
	assert_int_equal(rig.warnings, 1);
	sendto(app, data, 1500, 0, (struct sockaddr *)&from, len);
	rig_wait(&rig, in_datagrams(&rig), 1);
	assert_int_equal(rig.streams[0].out_bytes, 1502);
	close(app);
	rig_stop_acceptor(&rig);
}

/* A target that does not come is not waited for as long as datagrams are, here for ever. */
static void test_acceptor_no_target(void **state)
{
	struct rig rig;

	(void)state;
	rig_start_acceptor(&rig, (struct udp_config){.idle_timeout_ms = 0});
	fake_end_give(&rig.streams[0], "\x04\x7f", 2);
	fake_end_readable(&rig.streams[0]);
	rig_wait_unsigned(&rig, &rig.done, 1);
	assert_true(rig.streams[0].aborted);
	assert_int_equal(rig.streams[0].abort_error, FLOW_TIMEOUT);
	rig_stop_acceptor(&rig);
}

static void test_acceptor_free(void **state)
{
	struct address upstream;
	int app = make_upstream(&upstream);

	for (int phase = 0; phase < 3; phase++) {
		struct rig rig;

		(void)state;
		rig_start_acceptor(&rig, (struct udp_config){.idle_timeout_ms = 1000});
		if (phase > 0) {
			fake_end_give(&rig.streams[0], "", 1);
			rig_turn(&rig);
			assert_int_equal(rig.targets, 1);
			udp_acceptor_dial(rig.acceptor, &upstream);
		}
		if (phase > 1)
			udp_acceptor_abort(rig.acceptor, FLOW_RESET);
		udp_acceptor_free(rig.acceptor, FLOW_SHUTTING_DOWN);
		assert_int_equal(rig.done, 0);
		assert_true(TAILQ_EMPTY(&rig.loop.tasks));
		assert_true(rig.streams[0].freed && rig.streams[0].aborted);
		rig_done(&rig);
	}
	udp_acceptor_free(NULL, FLOW_RESET);
	close(app);
}

/* ---- the table ---- */

static void test_flow_table(void **state)
{
	enum { COUNT = 3000 };
	struct flow_entry *entries = calloc(COUNT, sizeof(*entries));
	struct flow_table table;
	struct flow_entry key;

	(void)state;
	assert_int_equal(flow_table_init(&table), 0);
	for (unsigned i = 0; i < COUNT; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.0.%u.%u:%u", i % 7, i % 250, 1000 + i);
		assert_int_equal(address_parse(&entries[i].source, text, strlen(text)), 0);
		assert_null(flow_table_find(&table, &entries[i]));
		flow_table_add(&table, &entries[i], i);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		key = (struct flow_entry){.source = entries[i].source};
		assert_ptr_equal(flow_table_find(&table, &key), &entries[i]);
		key.local = entries[0].source;
		assert_null(flow_table_find(&table, &key));
		key = (struct flow_entry){
			.source = entries[i].source, .head = (const uint8_t *)"a", .head_bytes = 1};
		assert_null(flow_table_find(&table, &key));
	}
	flow_table_touch(&table, &entries[0], COUNT);
	for (unsigned i = 1; i < COUNT; i++) {
		assert_ptr_equal(flow_table_oldest(&table), &entries[i]);
		flow_table_remove(&table, &entries[i]);
		assert_null(flow_table_find(&table, &entries[i]));
	}
	assert_ptr_equal(flow_table_oldest(&table), &entries[0]);
	flow_table_remove(&table, &entries[0]);
	assert_int_equal(table.count, 0);
	flow_table_done(&table);
	free(entries);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opener_sizes),
		cmocka_unit_test(test_opener_split_frames),
		cmocka_unit_test(test_opener_socks),
		cmocka_unit_test(test_opener_flows),
		cmocka_unit_test(test_opener_kill),
		cmocka_unit_test(test_opener_full_queue),
		cmocka_unit_test(test_opener_to_original),
		cmocka_unit_test(test_opener_idle),
		cmocka_unit_test(test_opener_wildcard),
		cmocka_unit_test(test_opener_datagrams),
		cmocka_unit_test(test_opener_runs),
		cmocka_unit_test(test_opener_always_too_large),
		cmocka_unit_test(test_acceptor_both_ways),
		cmocka_unit_test(test_acceptor_datagrams),
		cmocka_unit_test(test_acceptor_bad_targets),
		cmocka_unit_test(test_acceptor_icmp),
		cmocka_unit_test(test_acceptor_endings),
		cmocka_unit_test(test_acceptor_to_original),
		cmocka_unit_test(test_acceptor_no_target),
		cmocka_unit_test(test_acceptor_free),
		cmocka_unit_test(test_flow_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
