/* SPDX-License-Identifier: MIT */
/*
 * A UDP opener whose near side is a program (relay/udp_flow.h), with streams of memory: flows by the
 * name of a target, every size and piece both ways, every reason to drop, what it is told, expiry.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "relay/frame.h"
#include "relay/udp_flow.h"
#include "tests/unit/fake_end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define STREAMS_MAX 8
#define LARGEST     65507

struct rig {
	struct loop loop;
	struct log log;
	struct udp_counters counters;
	struct udp_opener *opener;
	struct fake_end streams[STREAMS_MAX];
	unsigned opened, done;
	bool no_tunnel, takes_nothing;
	/* What the program was told last. */
	unsigned datagrams, refusals;
	char name[32];
	uint8_t data[LARGEST];
	size_t bytes;
	enum flow_error error;
};

static void rig_write(void *user, enum log_level level, const char *scope, const char *text)
{
	(void)user;
	(void)level;
	(void)scope;
	(void)text;
}

static struct end *rig_open(void *user, const struct address *source, uint64_t *ret_id)
{
	struct rig *rig = user;

	assert_int_equal(source->len, 0);
	if (rig->no_tunnel)
		return NULL;
	assert_in_range(rig->opened, 0, STREAMS_MAX - 1);
	fake_end_init(&rig->streams[rig->opened], true);
	*ret_id = rig->opened + 1;
	return &rig->streams[rig->opened++].end;
}

static void rig_on_done(void *user)
{
	((struct rig *)user)->done++;
}

static bool rig_on_datagram(void *user, const char *name, const struct iovec *iov, size_t iov_count)
{
	struct rig *rig = user;

	rig->datagrams++;
	snprintf(rig->name, sizeof(rig->name), "%s", name);
	rig->bytes = 0;
	for (size_t i = 0; i < iov_count; i++) {
		assert_true(rig->bytes + iov[i].iov_len <= sizeof(rig->data));
		memcpy(rig->data + rig->bytes, iov[i].iov_base, iov[i].iov_len);
		rig->bytes += iov[i].iov_len;
	}
	return !rig->takes_nothing;
}

static void rig_on_refused(void *user, const char *name, enum flow_error error)
{
	struct rig *rig = user;

	rig->refusals++;
	snprintf(rig->name, sizeof(rig->name), "%s", name);
	rig->error = error;
}

static void rig_start(struct rig *rig, uint64_t idle_ms, bool peer_is_original)
{
	const struct udp_program program = {
		.on_datagram = rig_on_datagram,
		.on_refused = rig_on_refused,
		.user = rig,
	};
	const struct udp_opener_config config = {
		.common = {
			.loop = &rig->loop,
			.log = &rig->log,
			.scope = "test",
			.idle_timeout_ms = idle_ms,
			.queue_bytes = 100,
			.peer_is_original = peer_is_original,
			.counters = &rig->counters,
		},
		.program = &program,
		.max_flows = 2,
		.open = rig_open,
		.on_flow_done = rig_on_done,
		.user = rig,
	};

	memset(rig, 0, sizeof(*rig));
	rig->log = (struct log){.level = LOG_LEVEL_TRACE, .write = rig_write};
	assert_int_equal(loop_init(&rig->loop, NULL, &rig->log), 0);
	loop_enter(&rig->loop);
	assert_int_equal(udp_opener_new(&rig->opener, &config), 0);
}

static void rig_stop(struct rig *rig)
{
	udp_opener_free(rig->opener);
	assert_int_equal(rig->done, rig->opened);
	for (unsigned i = 0; i < rig->opened; i++) {
		assert_true(rig->streams[i].freed);
		fake_end_done(&rig->streams[i]);
	}
	loop_done(&rig->loop);
}

static void rig_turn(struct rig *rig)
{
	for (int i = 0; i < 4; i++)
		event_base_loop(rig->loop.base, EVLOOP_NONBLOCK);
}

static int rig_send(struct rig *rig, const char *name, const void *data, size_t bytes)
{
	struct target target = {.kind = TARGET_DEFAULT};
	const char *why;
	size_t at;

	if (name[0] != '\0')
		assert_int_equal(target_parse(&target, name, strlen(name), &at, &why), 0);
	return udp_opener_send(rig->opener, name, &target, data, bytes);
}

static void fill(uint8_t *buf, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		buf[i] = (uint8_t)(bytes + i * 7 + (i >> 8));
}

/* A flow per name, letter by letter; what comes back is told under it. */
static void test_names(void **state)
{
	static struct rig rig;

	(void)state;
	rig_start(&rig, 60000, false);
	assert_int_equal(rig_send(&rig, "", "one", 3), 0);
	assert_int_equal(rig_send(&rig, "127.0.0.1:53", "two", 3), 0);
	assert_int_equal(rig_send(&rig, "", "3", 1), 0);
	assert_int_equal(rig_send(&rig, "53", "x", 1), RSTUN_E_LIMIT_REACHED);
	assert_int_equal(rig.counters.dropped_flows, 1);
	assert_int_equal(rig.opened, 2);
	assert_int_equal(udp_opener_flows(rig.opener), 2);
	assert_int_equal(rig.counters.in_datagrams, 3);
	assert_int_equal(rig.counters.in_bytes, 7);
	assert_int_equal(rig.streams[0].out_bytes, 1 + 5 + 3);
	assert_memory_equal(rig.streams[0].out, "\0\0\x03one\0\x01" "3", 9);
	assert_int_equal(rig.streams[1].out_bytes, 7 + 5);
	assert_memory_equal(rig.streams[1].out, "\x04\x7f\0\0\x01\0\x35\0\x03two", 12);
	fake_end_give(&rig.streams[1], "\0\x02hi", 4);
	fake_end_readable(&rig.streams[1]);
	rig_turn(&rig);
	assert_int_equal(rig.datagrams, 1);
	assert_string_equal(rig.name, "127.0.0.1:53");
	assert_int_equal(rig.bytes, 2);
	assert_memory_equal(rig.data, "hi", 2);
	fake_end_give(&rig.streams[0], "\0\0", 2);
	fake_end_readable(&rig.streams[0]);
	rig_turn(&rig);
	assert_int_equal(rig.datagrams, 2);
	assert_string_equal(rig.name, "");
	assert_int_equal(rig.bytes, 0);
	assert_int_equal(rig.counters.out_datagrams, 2);
	assert_int_equal(rig.counters.out_bytes, 2);
	rig_stop(&rig);
	assert_true(rig.streams[0].finished); /* what it took is delivered */
	assert_false(rig.streams[0].aborted);
}

/* Whole datagrams, however the stream has them. */
static void test_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 1472, 1501, 16384, LARGEST};
	static const size_t pieces[] = {4500, 16384, FAKE_END_BYTES};
	static uint8_t frame[2 + LARGEST];
	static struct rig rig;
	unsigned told = 0;

	(void)state;
	rig_start(&rig, 60000, false);
	assert_int_equal(rig_send(&rig, "", NULL, 0), 0);
	for (size_t p = 0; p < sizeof(pieces) / sizeof(pieces[0]); p++) {
		rig.streams[0].piece = pieces[p];
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			size_t before = rig.streams[0].out_bytes;

			fill(frame + 2, sizes[i]);
			frame_put_header(frame, (uint16_t)sizes[i]);
			assert_int_equal(rig_send(&rig, "", frame + 2, sizes[i]), 0);
			assert_int_equal(rig.streams[0].out_bytes - before, 2 + sizes[i]);
			assert_memory_equal(rig.streams[0].out + before, frame, 2 + sizes[i]);
			fake_end_give(&rig.streams[0], frame, 2 + sizes[i]);
			fake_end_readable(&rig.streams[0]);
			rig_turn(&rig);
			assert_int_equal(rig.datagrams, ++told);
			assert_int_equal(rig.bytes, sizes[i]);
			assert_memory_equal(rig.data, frame + 2, sizes[i]);
		}
	}
	rig_stop(&rig);
}

/* Nothing waits: what is not taken is dropped and counted. */
static void test_drops(void **state)
{
	static const uint8_t data[2000];
	static struct rig rig;

	(void)state;
	rig_start(&rig, 60000, false);
	rig.no_tunnel = true;
	assert_int_equal(rig_send(&rig, "", data, 1), RSTUN_E_AGAIN);
	assert_int_equal(rig.counters.dropped_no_tunnel, 1);
	rig.no_tunnel = false;
	assert_int_equal(rig_send(&rig, "", data, 1), 0);
	rig.streams[0].waiting = 90; /* of 100 */
	assert_int_equal(rig_send(&rig, "", data, 11), RSTUN_E_AGAIN);
	assert_int_equal(rig.counters.dropped_full, 1);
	assert_int_equal(rig_send(&rig, "", data, 10), 0);
	rig.takes_nothing = true;
	fake_end_give(&rig.streams[0], "\0\x01x", 3);
	fake_end_readable(&rig.streams[0]);
	rig_turn(&rig);
	assert_int_equal(rig.datagrams, 1);
	assert_int_equal(rig.counters.dropped_socket, 1);
	assert_int_equal(rig.counters.out_datagrams, 0);
	assert_int_equal(rig.counters.in_datagrams, 2);
	udp_opener_reset(rig.opener, true); /* another tunnel, to the original */
	assert_int_equal(udp_opener_flows(rig.opener), 0);
	assert_int_equal(rig_send(&rig, "", data, 1501), RSTUN_E_TOO_LARGE);
	assert_int_equal(rig.counters.dropped_too_large, 1);
	assert_int_equal(rig.opened, 1);
	assert_int_equal(rig_send(&rig, "", data, 1500), 0);
	assert_int_equal(rig.opened, 2);
	rig_stop(&rig);
}

/* The far side ends flows: with a reason the program is told, without one (it was idle there, or
 * the tunnel is lost) it is not. Either way the next datagram opens another. */
static void test_refusals(void **state)
{
	static struct rig rig;

	(void)state;
	rig_start(&rig, 60000, false);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(rig_send(&rig, "a:1", "x", 1), 0);
		assert_int_equal(rig.opened, i + 1);
		if (i == 0)
			fake_end_error(&rig.streams[i], FLOW_NAME_NOT_FOUND, false);
		else if (i == 1)
			fake_end_refuse(&rig.streams[i], FLOW_DENIED);
		else if (i == 2)
			fake_end_refuse(&rig.streams[i], FLOW_RESET);
		else
			fake_end_error(&rig.streams[i], FLOW_RESET, i == 3);
		assert_int_equal(rig.refusals, i == 0 ? 1 : 2);
		assert_int_equal(rig.error, i == 0 ? FLOW_NAME_NOT_FOUND : FLOW_DENIED);
		assert_string_equal(rig.name, "a:1");
		assert_int_equal(udp_opener_flows(rig.opener), 0);
	}
	/* An end after a last datagram. */
	assert_int_equal(rig_send(&rig, "a:1", "x", 1), 0);
	fake_end_give(&rig.streams[5], "\0\x01y", 3);
	rig.streams[5].in_fin = true;
	fake_end_readable(&rig.streams[5]);
	rig_turn(&rig);
	assert_int_equal(rig.datagrams, 1);
	assert_int_equal(udp_opener_flows(rig.opener), 0);
	assert_int_equal(rig.refusals, 2);
	rig_stop(&rig);
}

static void rig_on_visit(void *user, const struct udp_opener_info *flow)
{
	struct udp_opener_info *seen = user;

	assert_null(flow->source);
	assert_string_equal(flow->name, "a:1");
	*seen = *flow;
}

static void test_idle(void **state)
{
	struct udp_opener_info seen = {.id = 0};
	static struct rig rig;

	(void)state;
	rig_start(&rig, 1, false);
	assert_int_equal(rig_send(&rig, "a:1", "abc", 3), 0);
	udp_opener_visit(rig.opener, rig_on_visit, &seen);
	assert_int_equal(seen.id, 1);
	assert_int_equal(seen.in_bytes, 3);
	while (udp_opener_flows(rig.opener) > 0)
		event_base_loop(rig.loop.base, EVLOOP_ONCE);
	assert_true(rig.streams[0].finished);
	assert_int_equal(rig_send(&rig, "a:1", "abc", 3), 0);
	assert_int_equal(rig.opened, 2);
	assert_int_equal(udp_opener_kill(rig.opener, 2), 1);
	assert_int_equal(rig.refusals, 0);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),    cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_drops),    cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
