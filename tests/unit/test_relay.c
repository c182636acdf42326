/* SPDX-License-Identifier: MIT */
/*
 * The relay between ends of memory: partial writes, full sinks, ends of file in either order,
 * errors and refusals in every state, fairness, the idle timeout.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "relay/relay.h"
#include "tests/unit/fake_end.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct rig {
	struct loop loop;
	struct fake_end socket, stream;
	struct relay *relay;
	unsigned done;
	enum flow_error error;
	struct relay_counters counters;
};

static void rig_on_done(struct relay *r, void *user, enum flow_error error)
{
	struct rig *rig = user;

	rig->done++;
	rig->error = error;
	relay_get_counters(r, &rig->counters);
	assert_false(rig->socket.freed);
	assert_false(rig->stream.freed);
}

/* `socket_first`: the socket is end a; the relay must not care. */
static void rig_start(struct rig *rig, bool socket_first, uint64_t idle_ms)
{
	struct relay_config config = {
		.idle_timeout_ms = idle_ms,
		.on_done = rig_on_done,
		.user = rig,
	};

	memset(rig, 0, sizeof(*rig));
	assert_int_equal(loop_init(&rig->loop, NULL, NULL), 0);
	config.loop = &rig->loop;
	fake_end_init(&rig->socket, false);
	fake_end_init(&rig->stream, true);
	assert_int_equal(relay_start(&rig->relay, &config,
				     socket_first ? &rig->socket.end : &rig->stream.end,
				     socket_first ? &rig->stream.end : &rig->socket.end),
			 0);
	assert_int_equal(rig->done, 0);
}

/* One wake-up of the loop, or a few. */
static void rig_turn(struct rig *rig, int turns)
{
	while (turns-- > 0)
		event_base_loop(rig->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void rig_stop(struct rig *rig)
{
	if (rig->done == 0) {
		relay_abort(rig->relay, FLOW_SHUTTING_DOWN);
		rig_turn(rig, 3);
	}
	assert_int_equal(rig->done, 1);
	assert_true(rig->socket.freed);
	assert_true(rig->stream.freed);
	fake_end_done(&rig->socket);
	fake_end_done(&rig->stream);
	loop_done(&rig->loop);
}

static void rig_socket_gives(struct rig *rig, const char *text)
{
	fake_end_give(&rig->socket, text, strlen(text));
	fake_end_readable(&rig->socket);
}

static void rig_stream_gives(struct rig *rig, const char *text)
{
	fake_end_give(&rig->stream, text, strlen(text));
	fake_end_readable(&rig->stream);
}

static void rig_end_of(struct fake_end *f)
{
	f->in_fin = true;
	fake_end_readable(f);
}

static void assert_took(const struct fake_end *f, const char *text)
{
	assert_int_equal(f->out_bytes, strlen(text));
	assert_memory_equal(f->out, text, f->out_bytes);
}

static void test_both_ways(void **state)
{
	struct rig rig;

	(void)state;
	for (int order = 0; order < 2; order++) {
		rig_start(&rig, order == 0, 0);
		rig_turn(&rig, 1);
		rig_socket_gives(&rig, "hello ");
		rig_socket_gives(&rig, "there");
		assert_took(&rig.stream, "hello there"); /* at once, not a turn later */
		rig_stream_gives(&rig, "gene");
		rig_stream_gives(&rig, "ral");
		rig_turn(&rig, 1);
		assert_took(&rig.socket, "general");
		assert_int_equal(rig.socket.writes, 1);
		rig_end_of(&rig.socket);
		rig_end_of(&rig.stream);
		rig_turn(&rig, 3);
		assert_int_equal(rig.done, 1);
		assert_int_equal(rig.error, FLOW_OK);
		assert_false(rig.socket.aborted);
		assert_false(rig.stream.aborted);
		assert_int_equal(rig.counters.a_to_b_bytes, order == 0 ? 11 : 7);
		assert_int_equal(rig.counters.b_to_a_bytes, order == 0 ? 7 : 11);
		rig_stop(&rig);
	}
}

/* What came before the relay was the owner, with no signal for it. */
static void test_early_bytes(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig, true, 0);
	fake_end_give(&rig.stream, "early", 5);
	rig.stream.in_fin = true;
	rig_turn(&rig, 2);
	assert_took(&rig.socket, "early");
	assert_true(rig.socket.finished);
	assert_false(rig.stream.finished);
	assert_true(rig.socket.wants_read);
	rig_stop(&rig);
	assert_int_equal(rig.error, FLOW_SHUTTING_DOWN);
}

static void test_partial_writes(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig, true, 0);
	rig.socket.out_room = 3;
	rig_stream_gives(&rig, "0123456789");
	rig_end_of(&rig.stream);
	rig_turn(&rig, 3);
	assert_took(&rig.socket, "012");
	assert_int_equal(rig.stream.in_taken, 3); /* credit only for what the socket took */
	assert_int_equal(rig.socket.writes, 1);   /* and no trying again and again */
	assert_false(rig.socket.finished);
	for (size_t room = 1; room <= 4; room++) {
		rig.socket.out_room = room;
		fake_end_writable(&rig.socket);
		rig_turn(&rig, 2);
	}
	assert_took(&rig.socket, "0123456789");
	assert_true(rig.socket.finished);
	rig_stop(&rig);
}

static void test_full_stream(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig, true, 0);
	rig.stream.out_room = 4;
	rig.socket.in_fin = true;
	rig_socket_gives(&rig, "0123456789");
	rig_turn(&rig, 2);
	assert_took(&rig.stream, "0123");
	assert_false(rig.socket.wants_read);
	assert_false(rig.stream.finished);
	rig.stream.out_room = 6;
	fake_end_writable(&rig.stream);
	rig_turn(&rig, 2);
	assert_took(&rig.stream, "0123456789");
	assert_false(rig.stream.finished); /* no room to learn that nothing follows */
	rig.stream.out_room = FAKE_END_NO_LIMIT;
	fake_end_writable(&rig.stream);
	rig_turn(&rig, 2);
	assert_true(rig.stream.finished);
	assert_false(rig.stream.aborted);
	rig_stop(&rig);
}

/* Done only when both sinks have got rid of everything. */
static void test_draining(void **state)
{
	struct rig rig;

	(void)state;
	for (int last = 0; last < 2; last++) {
		struct fake_end *first_end, *last_end;

		rig_start(&rig, true, 0);
		rig.socket.drains = false;
		rig.stream.drains = false;
		rig_end_of(&rig.socket);
		rig_turn(&rig, 2);
		assert_true(rig.stream.finished);
		assert_false(rig.socket.finished);
		rig_stream_gives(&rig, "still"); /* half-closed: the other direction lives */
		rig_turn(&rig, 1);
		assert_took(&rig.socket, "still");
		rig_end_of(&rig.stream);
		rig_turn(&rig, 2);
		assert_true(rig.socket.finished);
		assert_int_equal(rig.done, 0);
		first_end = last == 0 ? &rig.socket : &rig.stream;
		last_end = last == 0 ? &rig.stream : &rig.socket;
		first_end->drained = true;
		fake_end_writable(first_end);
		rig_turn(&rig, 2);
		assert_int_equal(rig.done, 0);
		last_end->drained = true;
		fake_end_writable(last_end);
		rig_turn(&rig, 3);
		assert_int_equal(rig.done, 1);
		assert_int_equal(rig.error, FLOW_OK);
		assert_false(rig.socket.aborted);
		assert_false(rig.stream.aborted);
		rig_stop(&rig);
	}
}

enum phase {
	PHASE_NEW,
	PHASE_OPEN,
	PHASE_SOCKET_ENDED,
	PHASE_STREAM_ENDED,
	PHASE_BOTH_ENDED, /* and not drained */
	PHASE_COUNT,
};

static void rig_reach(struct rig *rig, enum phase phase)
{
	rig_start(rig, true, 0);
	rig->socket.drains = false;
	rig->stream.drains = false;
	if (phase >= PHASE_OPEN)
		rig_turn(rig, 1);
	if (phase == PHASE_SOCKET_ENDED || phase == PHASE_BOTH_ENDED)
		rig_end_of(&rig->socket);
	if (phase == PHASE_STREAM_ENDED || phase == PHASE_BOTH_ENDED)
		rig_end_of(&rig->stream);
	if (phase >= PHASE_OPEN)
		rig_turn(rig, 2);
	assert_int_equal(rig->done, 0);
}

static void test_errors_in_every_phase(void **state)
{
	struct rig rig;

	(void)state;
	for (enum phase phase = 0; phase < PHASE_COUNT; phase++) {
		for (int who = 0; who < 5; who++) {
			rig_reach(&rig, phase);
			switch (who) {
			case 0:
			case 1:
				fake_end_error(&rig.socket, FLOW_REFUSED, who == 0);
				break;
			case 2:
			case 3:
				fake_end_error(&rig.stream, FLOW_REFUSED, who == 2);
				break;
			default:
				relay_abort(rig.relay, FLOW_REFUSED);
				relay_abort(rig.relay, FLOW_DENIED); /* the first one counts */
				break;
			}
			assert_true(rig.socket.aborted);
			assert_true(rig.stream.aborted);
			assert_int_equal(rig.stream.abort_error, FLOW_REFUSED);
			assert_int_equal(rig.done, 0); /* from the loop */
			rig_turn(&rig, 2);
			assert_int_equal(rig.error, FLOW_REFUSED);
			rig_stop(&rig);
		}
	}
}

/* A lost tunnel with bytes that the socket has not taken: never an end of file. */
static void test_error_with_bytes_left(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig, true, 0);
	rig.socket.out_room = 2;
	rig_stream_gives(&rig, "0123");
	rig.stream.in_fin = true;
	rig_turn(&rig, 2);
	fake_end_error(&rig.stream, FLOW_RESET, true);
	rig_turn(&rig, 2);
	assert_false(rig.socket.finished);
	assert_true(rig.socket.aborted);
	rig_stop(&rig);
}

static void test_refused(void **state)
{
	struct rig rig;

	(void)state;
	for (int stream_refuses = 0; stream_refuses < 2; stream_refuses++) {
		struct fake_end *sink, *source;

		rig_start(&rig, true, 0);
		rig_turn(&rig, 1);
		sink = stream_refuses ? &rig.stream : &rig.socket;
		source = stream_refuses ? &rig.socket : &rig.stream;
		fake_end_refuse(sink, FLOW_TIMEOUT);
		assert_true(source->stopped);
		assert_int_equal(source->stop_error, FLOW_TIMEOUT);
		/* The other direction goes on to its end. */
		fake_end_give(sink, "rest", 4);
		fake_end_readable(sink);
		rig_turn(&rig, 2);
		assert_took(source, "rest");
		assert_int_equal(rig.done, 0);
		source->drains = false;
		rig_end_of(sink);
		rig_turn(&rig, 2);
		assert_true(source->finished);
		assert_false(source->aborted); /* not before its bytes are out */
		source->drained = true;
		fake_end_writable(source);
		rig_turn(&rig, 3);
		assert_true(source->aborted);
		assert_true(sink->aborted);
		assert_int_equal(rig.error, FLOW_TIMEOUT);
		rig_stop(&rig);
	}
}

static void test_refused_in_every_phase(void **state)
{
	struct rig rig;

	(void)state;
	for (enum phase phase = 0; phase < PHASE_COUNT; phase++) {
		rig_reach(&rig, phase);
		fake_end_refuse(&rig.stream, FLOW_RESET);
		fake_end_refuse(&rig.stream, FLOW_RESET);
		rig_turn(&rig, 2);
		fake_end_refuse(&rig.socket, FLOW_DENIED);
		rig_turn(&rig, 3);
		assert_int_equal(rig.done, 1);
		assert_int_equal(rig.error, FLOW_RESET);
		assert_true(rig.socket.aborted);
		rig_stop(&rig);
	}
}

static void test_fairness(void **state)
{
	static uint8_t bulk[3 * 1024 * 1024];
	struct rig rig;

	(void)state;
	rig_start(&rig, true, 0);
	rig_turn(&rig, 1);
	fake_end_give(&rig.socket, bulk, sizeof(bulk));
	fake_end_readable(&rig.socket);
	assert_true(rig.stream.out_bytes >= 1024 * 1024);
	assert_true(rig.stream.out_bytes <= 1024 * 1024 + 256 * 1024);
	fake_end_give(&rig.stream, bulk, sizeof(bulk));
	fake_end_readable(&rig.stream);
	rig_turn(&rig, 1);
	assert_true(rig.socket.out_bytes <= 1024 * 1024);
	rig_turn(&rig, 5);
	assert_int_equal(rig.stream.out_bytes, sizeof(bulk)); /* without another signal */
	assert_int_equal(rig.socket.out_bytes, sizeof(bulk));
	rig_stop(&rig);
}

static void test_idle_timeout(void **state)
{
	struct rig rig;

	(void)state;
	rig_start(&rig, true, 20);
	rig_turn(&rig, 1);
	rig_socket_gives(&rig, "x");
	while (rig.done == 0)
		event_base_loop(rig.loop.base, EVLOOP_ONCE);
	assert_int_equal(rig.error, FLOW_TIMEOUT);
	assert_true(rig.counters.last_active_ns >= rig.counters.started_ns);
	rig_stop(&rig);
}

/* Any order of pieces, room and signals: the bytes arrive as they were, then the end of file. */
/* Its owner goes away with everything: nothing is left for the loop, nobody is told. */
static void test_freed(void **state)
{
	for (int ending = 0; ending < 2; ending++) {
		struct rig rig;

		(void)state;
		rig_start(&rig, true, 1000);
		rig_turn(&rig, 1);
		rig_socket_gives(&rig, "some");
		rig_stream_gives(&rig, "more");
		if (ending == 1)
			relay_abort(rig.relay, FLOW_REFUSED);
		relay_free(rig.relay, FLOW_SHUTTING_DOWN);
		assert_int_equal(rig.done, 0);
		assert_true(TAILQ_EMPTY(&rig.loop.tasks));
		assert_true(rig.socket.freed && rig.socket.aborted);
		assert_true(rig.stream.freed && rig.stream.aborted);
		assert_int_equal(rig.stream.abort_error,
				 ending == 1 ? FLOW_REFUSED : FLOW_SHUTTING_DOWN);
		rig_turn(&rig, 2);
		fake_end_done(&rig.socket);
		fake_end_done(&rig.stream);
		loop_done(&rig.loop);
	}
	relay_free(NULL, FLOW_RESET);
}

static void test_random_walks(void **state)
{
	static uint8_t data[2][40000];
	struct rig rig;

	(void)state;
	for (unsigned seed = 1; seed <= 200; seed++) {
		size_t given[2] = {0, 0};

		srand(seed);
		rig_start(&rig, seed % 2 == 0, 0);
		rig.socket.piece = (size_t)(1 + rand() % 5000);
		rig.stream.piece = (size_t)(1 + rand() % 5000);
		rig.socket.out_room = 0;
		rig.stream.out_room = 0;
		for (size_t i = 0; i < sizeof(data[0]); i++) {
			data[0][i] = (uint8_t)rand();
			data[1][i] = (uint8_t)rand();
		}
		for (unsigned step = 0; rig.done == 0; step++) {
			int side = rand() % 2;
			struct fake_end *f = side == 0 ? &rig.socket : &rig.stream;
			size_t n = (size_t)(rand() % 3000);

			assert_true(step < 100000);
			if (n > sizeof(data[0]) - given[side])
				n = sizeof(data[0]) - given[side];
			fake_end_give(f, data[side] + given[side], n);
			given[side] += n;
			if (given[side] == sizeof(data[0]))
				f->in_fin = true;
			if (rand() % 2 == 0)
				fake_end_readable(f);
			if (!f->freed && f->out_room < 100000) {
				f->out_room += (size_t)(rand() % 3000);
				fake_end_writable(f);
			}
			if (rand() % 3 == 0)
				rig_turn(&rig, 1);
		}
		assert_int_equal(rig.error, FLOW_OK);
		assert_int_equal(rig.stream.out_bytes, sizeof(data[0]));
		assert_memory_equal(rig.stream.out, data[0], sizeof(data[0]));
		assert_memory_equal(rig.socket.out, data[1], sizeof(data[1]));
		rig_stop(&rig);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_early_bytes),
		cmocka_unit_test(test_partial_writes),
		cmocka_unit_test(test_full_stream),
		cmocka_unit_test(test_draining),
		cmocka_unit_test(test_errors_in_every_phase),
		cmocka_unit_test(test_error_with_bytes_left),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_in_every_phase),
		cmocka_unit_test(test_fairness),
		cmocka_unit_test(test_idle_timeout),
		cmocka_unit_test(test_freed),
		cmocka_unit_test(test_random_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
