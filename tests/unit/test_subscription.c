/* SPDX-License-Identifier: MIT */
/*
 * One subscriber against a sink that takes nothing, little or all: numbers without holes, filters,
 * what is kept, thinned and given up, feeding from the ring, and the edges of the ring itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "rstund/control/subscription.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 100000

static struct event_ring ring;
static struct subscription *s;
static uint64_t seq;      /* of the last event */
static size_t waiting;    /* what the subscription is told */
static bool count_bytes;  /* lines add to it */
static char *lines[LINES_MAX];
static size_t line_count, looked_at;
static size_t mapping_count;

static size_t on_waiting(void *user)
{
	(void)user;
	return waiting;
}

static void on_put(void *user, char *line, size_t bytes)
{
	(void)user;
	assert_int_equal(strlen(line), bytes);
	assert_true(line_count < LINES_MAX);
	lines[line_count++] = line;
	if (count_bytes)
		waiting += bytes;
}

static void on_visit(void *user, void (*visit)(void *arg, const struct control_stat *stat),
		     void *arg)
{
	(void)user;
	for (size_t i = 1; i <= mapping_count; i++) {
		struct control_stat stat = {.mapping = i, .stat = {.rx_bytes = 10 * i}};

		visit(arg, &stat);
	}
}

static bool find(void *user, const char *text, uint64_t *ret)
{
	(void)user;
	*ret = strtoull(text + 1, NULL, 10);
	return text[0] == 'm';
}

static void on_leave(void *user, struct bus_event *e)
{
	(void)user;
	subscription_leave(s, e);
}

static int setup(void **state)
{
	(void)state;
	seq = waiting = line_count = looked_at = mapping_count = 0;
	count_bytes = false;
	s = NULL;
	return event_ring_init(&ring, 16, EVENT_RING_BYTES, 0);
}

static int teardown(void **state)
{
	(void)state;
	subscription_free(s);
	event_ring_done(&ring);
	while (line_count > 0)
		free(lines[--line_count]);
	return 0;
}

/* Held. `from`: the last event that it knows. */
static void begin_held(char *const *types, char *const *mappings, int min_level, uint64_t from)
{
	struct subscription_params params = {
		.sub = 5,
		.seq = from,
		.stat_interval_ms = 1000,
		.ring = &ring,
		.waiting = on_waiting,
		.put = on_put,
		.visit_stats = on_visit,
	};
	struct rpc_error error;

	assert_int_equal(event_filter_init(&params.filter, types, mappings, min_level, find, NULL,
					   &error),
			 0);
	assert_int_equal(subscription_new(&s, &params), 0);
	ring.on_leave = on_leave;
}

static void begin(char *const *types, char *const *mappings, int min_level)
{
	begin_held(types, mappings, min_level, seq);
	subscription_start(s);
}

static void publish(struct bus_event *e)
{
	assert_non_null(e);
	e->seq = ++seq;
	event_ring_add(&ring, e);
	if (s != NULL && !s->ended)
		subscription_event(s, e);
	bus_event_unref(e);
}

static void say(enum log_level level, const char *text)
{
	publish(bus_event_new_log(level, "t", text, 0));
}

static void about(enum bus_event_type type, unsigned mapping)
{
	const struct tunnel_event t = {.text = "", .flow = {.target = ""}};
	struct bus_event *e = bus_event_new(type, &t, 0, 0);

	if (mapping != 0)
		snprintf(e->id, sizeof(e->id), "m%u", mapping);
	publish(e);
}

static void change(unsigned mapping)
{
	const struct tunnel_event t = {
		.text = "", .state = {.now = TUNNEL_CONNECTING, .peer_software = ""}};
	struct bus_event *e = bus_event_new(BUS_EVENT_STATE, &t, 0, 0);

	snprintf(e->id, sizeof(e->id), "m%u", mapping);
	publish(e);
}

static void total(uint64_t rx)
{
	const struct tunnel_event t = {.text = "", .stat = {.rx_bytes = rx}};

	publish(bus_event_new(BUS_EVENT_STAT, &t, 0, 0));
}

/* The next line: its n is right, and its type and seq are these. Borrowed until the next call. */
static json_t *next(const char *type, uint64_t its_seq)
{
	static json_t *line;
	json_t *params;

	json_decref(line);
	line = NULL;
	assert_true(looked_at < line_count);
	line = json_loads(lines[looked_at++], 0, NULL);
	params = json_object_get(line, "params");
	assert_int_equal(json_integer_value(json_object_get(params, "sub")), 5);
	assert_int_equal(json_integer_value(json_object_get(params, "n")), looked_at);
	assert_string_equal(json_string_value(json_object_get(params, "type")), type);
	if (its_seq != 0)
		assert_int_equal(json_integer_value(json_object_get(params, "seq")), its_seq);
	return params;
}

static void next_dropped(const char *type, uint64_t from, uint64_t to, uint64_t count)
{
	json_t *data = json_object_get(next(type, to), "data");

	assert_int_equal(json_integer_value(json_object_get(data, "from_seq")), from);
	assert_int_equal(json_integer_value(json_object_get(data, "to_seq")), to);
	assert_int_equal(json_integer_value(json_object_get(data, "count")), count);
}

static void no_more(void)
{
	assert_int_equal(looked_at, line_count);
}

/* ---- The ring -------------------------------------------------------------------------------- */

static void ring_edges(void **state)
{
	(void)state;
	assert_true(event_ring_reaches(&ring, 0));
	assert_null(event_ring_after(&ring, 0));
	for (int i = 0; i < 16; i++)
		say(LOG_LEVEL_INFO, "x");
	assert_true(event_ring_reaches(&ring, 0));
	assert_int_equal(event_ring_after(&ring, 0)->seq, 1);
	assert_int_equal(event_ring_after(&ring, 15)->seq, 16);
	assert_null(event_ring_after(&ring, 16));
	seq += 10; /* others are no events of the API */
	say(LOG_LEVEL_INFO, "x");
	assert_false(event_ring_reaches(&ring, 0));
	assert_true(event_ring_reaches(&ring, 1));
	assert_int_equal(event_ring_after(&ring, 16)->seq, 27);
	assert_int_equal(event_ring_after(&ring, 20)->seq, 27);
	for (int i = 0; i < 100; i++) {
		say(LOG_LEVEL_INFO, "x");
		assert_int_equal(ring.count, 16);
		assert_int_equal(event_ring_after(&ring, ring.lost_seq)->seq, ring.lost_seq + 1 +
				 (ring.lost_seq == 16 ? 10 : 0));
	}
	event_ring_done(&ring);
	/* By bytes; one that is larger than all is kept alone. */
	assert_int_equal(event_ring_init(&ring, 100, 8000, seq), 0);
	assert_false(event_ring_reaches(&ring, seq - 1));
	for (int i = 0; i < 50; i++)
		say(LOG_LEVEL_INFO, "x");
	assert_in_range(ring.count, 2, 20);
	assert_in_range(ring.bytes, 4000, 8000);
	char *text = calloc(1, 10000);
	memset(text, 'y', 9999);
	say(LOG_LEVEL_INFO, text);
	free(text);
	assert_int_equal(ring.count, 1);
	say(LOG_LEVEL_INFO, "x");
	assert_int_equal(ring.count, 1);
	assert_int_equal(ring.lost_seq, seq - 1);
}

/* ---- Filters --------------------------------------------------------------------------------- */

static void types_that_are_on(void **state)
{
	(void)state;
	begin(NULL, NULL, LOG_LEVEL_INFO);
	say(LOG_LEVEL_DEBUG, "no");
	say(LOG_LEVEL_INFO, "yes");
	about(BUS_EVENT_FLOW, 1);
	change(1);
	total(7);
	about(BUS_EVENT_STAT, 1); /* no event of the API */
	about(BUS_EVENT_DAEMON, 0);
	next("log", 2);
	next("state", 4);
	next("stat", 5);
	next("daemon", 7);
	no_more();
}

static void chosen_types(void **state)
{
	char *types[] = {"flow", "log", NULL};

	(void)state;
	begin(types, NULL, LOG_LEVEL_WARN);
	change(1);
	about(BUS_EVENT_FLOW, 1);
	say(LOG_LEVEL_INFO, "no");
	say(LOG_LEVEL_ERROR, "yes");
	total(1);
	subscription_stats(s, 1);
	next("flow", 2);
	next("log", 4);
	no_more();
	assert_int_equal(subscription_interval_ms(s), UINT64_MAX);
}

static void chosen_mappings(void **state)
{
	char *mappings[] = {"m30", "m4", "m7", NULL}, *unknown[] = {"m1", "x9", NULL};
	struct event_filter filter;
	struct rpc_error error;
	json_t *params;

	(void)state;
	mapping_count = 9;
	begin(NULL, mappings, LOG_LEVEL_INFO);
	change(4);
	change(5);
	change(30);
	about(BUS_EVENT_MAPPING, 3);
	say(LOG_LEVEL_INFO, "about none");
	subscription_stats(s, 1);
	next("state", 1);
	next("state", 3);
	next("log", 5);
	params = next("stat", 5);
	assert_string_equal(json_string_value(json_object_get(params, "mapping")), "m4");
	next("stat", 5);
	no_more();
	assert_true(event_filter_init(&filter, NULL, unknown, 0, find, NULL, &error) < 0);
	assert_int_equal(error.code, 1001);
	assert_string_equal(error.field, "mappings");
}

/* ---- Slow ones ------------------------------------------------------------------------------- */

static void logs_are_dropped(void **state)
{
	(void)state;
	begin(NULL, NULL, LOG_LEVEL_INFO);
	waiting = CONTROL_OUTPUT_MAX + 1;
	for (int i = 0; i < 10; i++) {
		say(LOG_LEVEL_INFO, "x");
		say(LOG_LEVEL_DEBUG, "not wanted");
	}
	no_more();
	subscription_pump(s); /* no room yet */
	no_more();
	waiting = CONTROL_OUTPUT_MAX;
	say(LOG_LEVEL_INFO, "y");
	next_dropped("dropped", 1, 19, 10);
	next("log", 21);
	no_more();
	waiting++;
	say(LOG_LEVEL_INFO, "x");
	waiting = 0;
	subscription_pump(s);
	next_dropped("dropped", 22, 22, 1);
	no_more();
}

static void states_are_kept_in_their_place(void **state)
{
	(void)state;
	begin(NULL, NULL, LOG_LEVEL_INFO);
	waiting = CONTROL_OUTPUT_MAX + 1;
	say(LOG_LEVEL_INFO, "x");
	say(LOG_LEVEL_INFO, "x");
	change(1);
	change(2);
	say(LOG_LEVEL_INFO, "x");
	waiting = 0;
	subscription_pump(s);
	next_dropped("dropped", 1, 2, 2);
	next("state", 3);
	next("state", 4);
	next_dropped("dropped", 5, 5, 1);
	no_more();
}

static void totals_are_coalesced(void **state)
{
	json_t *params;

	(void)state;
	begin(NULL, NULL, LOG_LEVEL_INFO);
	waiting = CONTROL_OUTPUT_MAX + 1;
	total(1);
	total(2);
	change(1);
	waiting = 0;
	subscription_pump(s);
	next("state", 3);
	params = next("stat", 3); /* stands where it is given, so that numbers rise */
	assert_int_equal(json_integer_value(
				 json_object_get(json_object_get(params, "data"), "rx_bytes")), 2);
	no_more();
	waiting = CONTROL_OUTPUT_MAX + 1;
	total(3);
	waiting = 0;
	total(4); /* the older one says nothing any more */
	next("stat", 5);
	subscription_pump(s);
	no_more();
}

static void counters_of_mappings(void **state)
{
	uint64_t now_ns = 50 * CLOCK_NS_PER_S;

	(void)state;
	begin(NULL, NULL, LOG_LEVEL_INFO);
	mapping_count = 3;
	subscription_stats(s, now_ns);
	assert_int_equal(line_count, 3);
	subscription_stats(s, now_ns + clock_ms(500));
	assert_int_equal(line_count, 3);
	subscription_stats(s, now_ns + clock_ms(990)); /* a tick that is early */
	assert_int_equal(line_count, 6);
	subscription_stats(s, now_ns + clock_ms(2010));
	assert_int_equal(line_count, 9);
	/* No room: they are owed once, as they are then. */
	waiting = CONTROL_OUTPUT_MAX + 1;
	for (int i = 3; i < 20; i++)
		subscription_stats(s, now_ns + clock_ms((uint64_t)i * 1000));
	assert_int_equal(line_count, 9);
	waiting = 0;
	subscription_pump(s);
	assert_int_equal(line_count, 12);
	subscription_pump(s);
	assert_int_equal(line_count, 12);
	/* Room for some at a time: every mapping once, in order. */
	mapping_count = 2000;
	count_bytes = true;
	waiting = 0;
	subscription_stats(s, now_ns + clock_ms(21000));
	assert_in_range(line_count, 12 + 100, 12 + 1900);
	while (line_count < 12 + 2000) {
		size_t before = line_count;

		waiting = 0;
		subscription_pump(s);
		assert_true(line_count > before);
	}
	waiting = 0;
	subscription_pump(s);
	assert_int_equal(line_count, 12 + 2000);
	looked_at = 12;
	for (unsigned i = 1; i <= 2000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "m%u", i);
		assert_string_equal(json_string_value(json_object_get(next("stat", 0), "mapping")),
				    id);
	}
}

static void overrun(void **state)
{
	(void)state;
	begin(NULL, NULL, LOG_LEVEL_INFO);
	waiting = CONTROL_OUTPUT_HARD;
	change(1);
	waiting++;
	say(LOG_LEVEL_INFO, "x");
	assert_false(s->ended);
	change(2);
	assert_true(s->ended);
	next("state", 1);
	next_dropped("overrun", 2, 3, 2);
	no_more();
	waiting = 0;
	change(3);
	subscription_pump(s);
	subscription_stats(s, 1);
	no_more();
}

/* A hundred thousand events that nobody reads: what waits ends at its bound. */
static void memory_is_bounded(void **state)
{
	(void)state;
	count_bytes = true;
	mapping_count = 10;
	begin(NULL, NULL, LOG_LEVEL_INFO);
	for (uint64_t i = 0; i < 100000; i++) {
		say(LOG_LEVEL_INFO, "a line of the log");
		total(i);
		if (i % 100 == 0)
			subscription_stats(s, i * CLOCK_NS_PER_S);
	}
	assert_false(s->ended);
	assert_in_range(waiting, CONTROL_OUTPUT_MAX, CONTROL_OUTPUT_MAX + 1000);
	for (int i = 0; i < 100000 && !s->ended; i++)
		change(1);
	assert_true(s->ended);
	assert_in_range(waiting, CONTROL_OUTPUT_HARD, CONTROL_OUTPUT_HARD + 1000);
	while (looked_at + 1 < line_count) /* n has no holes over all of it */
		next(strstr(lines[looked_at], "\"type\":\"log\"") != NULL     ? "log"
		     : strstr(lines[looked_at], "\"type\":\"stat\"") != NULL  ? "stat"
		     : strstr(lines[looked_at], "\"type\":\"state\"") != NULL ? "state"
									     : "dropped", 0);
	next("overrun", 0);
}

/* ---- From the ring --------------------------------------------------------------------------- */

static void replay_then_live(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		change(1);
	begin_held(NULL, NULL, LOG_LEVEL_INFO, 4);
	change(2); /* while its reply is not out */
	no_more();
	subscription_start(s);
	change(3);
	for (uint64_t i = 5; i <= 12; i++)
		next("state", i);
	no_more();
	assert_false(s->behind);
}

/* A replay larger than the room loses nothing: it waits in the ring. */
static void replay_in_pieces(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++)
		say(LOG_LEVEL_INFO, "x");
	begin_held(NULL, NULL, LOG_LEVEL_INFO, 0);
	waiting = CONTROL_OUTPUT_MAX - 300; /* two lines */
	count_bytes = true;
	subscription_start(s);
	assert_in_range(line_count, 1, 4);
	say(LOG_LEVEL_INFO, "y");
	mapping_count = 1;
	subscription_stats(s, 1); /* not before the past is told */
	assert_in_range(line_count, 1, 4);
	waiting = 0;
	subscription_pump(s);
	for (uint64_t i = 1; i <= 13; i++)
		next("log", i);
	next("stat", 13);
	no_more();
}

/* What leaves the ring before it was given: log lines are dropped, states are put at once. */
static void overtaken_by_the_ring(void **state)
{
	(void)state;
	begin_held(NULL, NULL, LOG_LEVEL_INFO, 0);
	waiting = CONTROL_OUTPUT_MAX + 1;
	subscription_start(s);
	assert_true(s->behind);
	say(LOG_LEVEL_INFO, "x");
	say(LOG_LEVEL_INFO, "x");
	change(1);
	for (int i = 0; i < 16; i++)
		say(LOG_LEVEL_INFO, "y");
	next_dropped("dropped", 1, 2, 2);
	next("state", 3);
	no_more();
	waiting = 0;
	subscription_pump(s);
	for (uint64_t i = 4; i <= 19; i++)
		next("log", i);
	no_more();
}

static void overtaken_while_held(void **state)
{
	(void)state;
	begin_held(NULL, NULL, LOG_LEVEL_INFO, 0);
	for (int i = 0; i < 20; i++)
		change(1);
	no_more();
	subscription_start(s);
	next_dropped("dropped", 1, 4, 4);
	for (uint64_t i = 5; i <= 20; i++)
		next("state", i);
	no_more();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(ring_edges),
		TEST(types_that_are_on),
		TEST(chosen_types),
		TEST(chosen_mappings),
		TEST(logs_are_dropped),
		TEST(states_are_kept_in_their_place),
		TEST(totals_are_coalesced),
		TEST(counters_of_mappings),
		TEST(overrun),
		TEST(memory_is_bounded),
		TEST(replay_then_live),
		TEST(replay_in_pieces),
		TEST(overtaken_by_the_ring),
		TEST(overtaken_while_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
