/* SPDX-License-Identifier: MIT */
/*
 * Events through the server: the reply before the first event, replay of all four kinds, what
 * subscribers want, many who do not read, and the long poll.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "tests/unit/control_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CALL(id, method, params)                                                                   \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}"
#define SUBSCRIBE(params) CALL("1", "events.subscribe", params) "\n"
#define NEXT(params) CALL("1", "events.next", params) "\n"
#define SUBSCRIBED(sub, seq, replay, more)                                                         \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"sub\":" sub ",\"epoch\":\"e1\","    \
	"\"seq\":" seq ",\"replay\":\"" replay "\"" more "}}"
#define SNAPSHOT                                                                                   \
	",\"snapshot\":{\"mappings\":[],\"clients\":[],\"servers\":[],\"sessions\":[]}"
#define GIVEN(cursor, events)                                                                      \
	"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"cursor\":\"" cursor                        \
	"\",\"events\":" events "}}"

static struct caller a, b;

/* The next line is an event; its n, seq and type. */
static void expect_event(struct caller *c, int n, int seq, const char *type)
{
	json_t *line = rig_hear(c), *params = json_object_get(line, "params");

	assert_string_equal(json_string_value(json_object_get(line, "method")), "event");
	assert_string_equal(json_string_value(json_object_get(params, "type")), type);
	assert_int_equal(json_integer_value(json_object_get(params, "n")), n);
	assert_int_equal(json_integer_value(json_object_get(params, "seq")), seq);
	json_decref(line);
}

static void fill(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		rig_state(1, TUNNEL_CONNECTING);
}

/* ---- Subscribing ----------------------------------------------------------------------------- */

static void reply_then_events(void **state)
{
	(void)state;
	fill(3);
	rig_connect(&a, rig->path);
	rig_say(&a, SUBSCRIBE("{}"));
	rig_expect(&a, SUBSCRIBED("1", "3", "none", SNAPSHOT));
	fill(1);
	expect_event(&a, 1, 4, "state");
	rig_say(&a, SUBSCRIBE("{\"types\":[\"log\"],\"snapshot\":\"never\"}"));
	rig_expect(&a, SUBSCRIBED("2", "4", "none", ""));
	rig_log(LOG_LEVEL_INFO, "x");
	for (int i = 0; i < 2; i++) {
		json_t *line = rig_hear(&a), *params = json_object_get(line, "params");
		json_int_t sub = json_integer_value(json_object_get(params, "sub"));

		assert_int_equal(json_integer_value(json_object_get(params, "n")),
				 sub == 1 ? 2 : 1);
		json_decref(line);
	}
	rig_say(&a, CALL("1", "events.unsubscribe", "{\"sub\":1}") "\n");
	rig_expect(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"done\":true}}");
	fill(1);
	rig_expect_silence(&a);
	rig_say(&a, CALL("1", "events.unsubscribe", "{\"sub\":1}") "\n");
	rig_expect_error(&a, 1300, "unknown_subscription");
	rig_say(&a, SUBSCRIBE("{\"mappings\":[\"nobody\"]}"));
	rig_expect_error(&a, 1001, "not_found");
	rig_close(&a);
}

static void held_in_a_batch(void **state)
{
	json_t *json;

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, "[" CALL("1", "events.subscribe", "{}") "," CALL("2", "mapping.wait",
								     "{\"id\":\"m1\"}") "]\n");
	rig_settle();
	fill(2);
	rig_expect_silence(&a);
	rig_answer();
	json = rig_hear(&a);
	assert_int_equal(json_array_size(json), 2);
	json_decref(json);
	expect_event(&a, 1, 1, "state");
	expect_event(&a, 2, 2, "state");
	rig_close(&a);
}

static void too_many(void **state)
{
	(void)state;
	rig_connect(&a, rig->path);
	for (int i = 0; i < CONTROL_SUBSCRIPTIONS_PER_CALLER; i++) {
		rig_say(&a, SUBSCRIBE("{}"));
		json_decref(rig_hear(&a));
	}
	rig_say(&a, SUBSCRIBE("{}"));
	rig_expect_error(&a, 1006, "limit_reached");
	rig_close(&a);
}

/* ---- Replay ---------------------------------------------------------------------------------- */

static void replay(void **state)
{
	(void)state;
	fill(5);
	rig_connect(&a, rig->path);
	rig_say(&a, SUBSCRIBE("{\"since\":{\"epoch\":\"e1\",\"seq\":3}}"));
	rig_expect(&a, SUBSCRIBED("1", "3", "complete", ""));
	expect_event(&a, 1, 4, "state");
	expect_event(&a, 2, 5, "state");
	rig_say(&a, SUBSCRIBE("{\"since\":{\"epoch\":\"e0\",\"seq\":3}}"));
	rig_expect(&a, SUBSCRIBED("2", "5", "epoch_changed", SNAPSHOT));
	rig_say(&a, SUBSCRIBE("{\"since\":{\"epoch\":\"e1\",\"seq\":6}}")); /* not happened yet */
	rig_expect(&a, SUBSCRIBED("3", "5", "gap", SNAPSHOT));
	rig_say(&a, SUBSCRIBE("{\"snapshot\":\"never\",\"since\":{\"epoch\":\"e1\",\"seq\":9}}"));
	rig_expect(&a, SUBSCRIBED("4", "5", "gap", ""));
	rig_say(&a, SUBSCRIBE("{\"snapshot\":\"always\",\"since\":{\"epoch\":\"e1\",\"seq\":4}}"));
	rig_expect(&a, SUBSCRIBED("5", "5", "complete", SNAPSHOT));
	expect_event(&a, 1, 5, "state");
	rig_say(&a, SUBSCRIBE("{\"since\":{\"epoch\":\"e1\",\"seq\":5}}"));
	rig_expect(&a, SUBSCRIBED("6", "5", "complete", ""));
	rig_expect_silence(&a);
	rig_close(&a);
	fill(EVENT_RING_COUNT);
	rig_connect(&a, rig->path);
	rig_say(&a, SUBSCRIBE("{\"since\":{\"epoch\":\"e1\",\"seq\":4}}"));
	rig_expect(&a, SUBSCRIBED("1", "8197", "gap", SNAPSHOT));
	rig_close(&a);
	assert_int_equal(rig->snapshots, 4);
}

/* More than fits into the output at once: all of it arrives, and what is new behind it. */
static void large_replay(void **state)
{
	const int before = 3000, after = 200;

	(void)state;
	for (int i = 0; i < before; i++)
		rig_log(LOG_LEVEL_INFO, "a line that is neither short nor long");
	rig_connect(&a, rig->path);
	rig_say(&a, SUBSCRIBE("{\"types\":[\"log\"],\"since\":{\"epoch\":\"e1\",\"seq\":500}}"));
	rig_settle();
	for (int i = 0; i < after; i++)
		rig_log(LOG_LEVEL_INFO, "new");
	rig_expect(&a, SUBSCRIBED("1", "500", "complete", ""));
	for (int i = 1; i <= before - 500 + after; i++)
		expect_event(&a, i, 500 + i, "log");
	rig_expect_silence(&a);
	rig_close(&a);
}

/* ---- Slow and many --------------------------------------------------------------------------- */

static void slow_then_read(void **state)
{
	int seq = 0, n = 0, dropped = 0;

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, SUBSCRIBE("{\"snapshot\":\"never\"}"));
	rig_settle();
	for (int i = 0; i < 20000; i++) {
		rig_log(LOG_LEVEL_INFO, "a line");
		if (i % 100 == 99)
			rig_settle();
	}
	rig_state(1, TUNNEL_TUNNELING);
	rig_expect(&a, SUBSCRIBED("1", "0", "none", ""));
	while (seq < 20001) {
		json_t *line = rig_hear(&a), *params = json_object_get(line, "params");
		json_t *data = json_object_get(params, "data");
		int from = seq + 1;

		assert_int_equal(json_integer_value(json_object_get(params, "n")), ++n);
		seq = (int)json_integer_value(json_object_get(params, "seq"));
		if (json_is_object(data)) {
			int count = (int)json_integer_value(json_object_get(data, "count"));

			assert_int_equal(json_integer_value(json_object_get(data, "from_seq")),
					 from);
			assert_int_equal(count, seq - from + 1);
			dropped++;
		} else {
			assert_int_equal(seq, from); /* nothing is missing without a word */
		}
		json_decref(line);
	}
	assert_int_equal(dropped, 1);
	rig_close(&a);
}

/* Nobody reads: what is held is bounded, and does not grow after that. */
static void many_who_do_not_read(void **state)
{
	struct caller callers[25];
	struct control_connection *c;
	size_t held = 0, later = 0;

	(void)state;
	for (int i = 0; i < 25; i++) {
		rig->uid = (uid_t)i + 3000;
		rig_connect(&callers[i], rig->path_ro);
		for (int j = 0; j < 4; j++)
			rig_say(&callers[i], SUBSCRIBE("{\"stat_interval_ms\":100}"));
	}
	rig_settle();
	rig->mappings = 10;
	for (int i = 0; i < 20000; i++) {
		rig_log(LOG_LEVEL_INFO, "a line of the log");
		rig_total((uint64_t)i);
		if (i % 1000 == 0) {
			control_server_stats(rig->cs);
			rig_settle();
		}
		if (i == 10000)
			TAILQ_FOREACH(c, &rig->cs->connections, link)
				held += c->output_bytes;
	}
	TAILQ_FOREACH(c, &rig->cs->connections, link) {
		later += c->output_bytes;
		assert_true(c->output_bytes < CONTROL_OUTPUT_MAX + 2000);
		assert_int_equal(c->event_bytes, c->output_bytes);
	}
	assert_int_equal(held, later);
	assert_int_equal(rig->cs->subscription_count, 100);
	fill(5000);
	TAILQ_FOREACH(c, &rig->cs->connections, link)
		assert_true(c->output_bytes < CONTROL_OUTPUT_HARD + 4000);
	assert_int_equal(rig->cs->subscription_count, 0);
	assert_int_equal(rig->cs->ring.count <= EVENT_RING_COUNT, 1);
	assert_true(rig->cs->ring.bytes <= EVENT_RING_BYTES);
	for (int i = 0; i < 25; i++)
		rig_close(&callers[i]);
}

/* What the bus itself loses is not passed over in silence. */
static void lost_by_the_bus(void **state)
{
	json_t *line, *data;

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, SUBSCRIBE("{}"));
	json_decref(rig_hear(&a));
	fill(2);
	event_bus_publish(&rig->bus, NULL);
	event_bus_publish(&rig->bus, NULL);
	rig_connect(&b, rig->path);
	rig_say(&b, SUBSCRIBE("{\"since\":{\"epoch\":\"e1\",\"seq\":1}}"));
	rig_expect(&b, SUBSCRIBED("1", "2", "gap", SNAPSHOT));
	fill(1);
	expect_event(&b, 1, 3, "state");
	expect_event(&a, 1, 1, "state");
	expect_event(&a, 2, 2, "state");
	line = rig_hear(&a);
	data = json_object_get(json_object_get(line, "params"), "data");
	assert_int_equal(json_integer_value(json_object_get(data, "count")), 2);
	json_decref(line);
	expect_event(&a, 4, 3, "state");
	rig_close(&a);
	rig_close(&b);
}

/* ---- What is wanted -------------------------------------------------------------------------- */

static void wanted(void **state)
{
	(void)state;
	rig_connect(&a, rig->path);
	rig_connect(&b, rig->path);
	rig_say(&a, SUBSCRIBE("{\"stat_interval_ms\":5000}"));
	json_decref(rig_hear(&a));
	assert_int_equal(rig->wanted_count, 1);
	assert_int_equal(rig->wanted_ms, 5000);
	assert_false(rig->wanted_flows);
	rig_say(&b, SUBSCRIBE("{\"stat_interval_ms\":200,\"types\":[\"stat\",\"flow\"]}"));
	json_decref(rig_hear(&b));
	assert_int_equal(rig->wanted_ms, 200);
	assert_true(rig->wanted_flows);
	rig_say(&b, SUBSCRIBE("{\"stat_interval_ms\":100,\"types\":[\"log\"]}"));
	json_decref(rig_hear(&b));
	assert_int_equal(rig->wanted_ms, 200);
	rig_close(&b);
	assert_int_equal(rig->wanted_ms, 5000);
	assert_true(rig->wanted_flows); /* for a while */
	rig_close(&a);
	assert_int_equal(rig->wanted_ms, UINT64_MAX);
	loop_timer_cancel(&rig->cs->flows_timer);
	control_events_wanted(rig->cs);
	assert_false(rig->wanted_flows);
}

/* Flow events that were not made cannot be replayed. */
static void flows_have_a_gap(void **state)
{
	(void)state;
	fill(2);
	rig_connect(&a, rig->path);
	rig_say(&a, SUBSCRIBE("{\"types\":[\"flow\"],\"since\":{\"epoch\":\"e1\",\"seq\":1}}"));
	rig_expect(&a, SUBSCRIBED("1", "2", "gap", SNAPSHOT));
	rig_flow(1);
	expect_event(&a, 1, 3, "flow");
	rig_close(&a);
	rig_connect(&a, rig->path);
	rig_flow(1);
	rig_say(&a, SUBSCRIBE("{\"types\":[\"flow\"],\"since\":{\"epoch\":\"e1\",\"seq\":3}}"));
	rig_expect(&a, SUBSCRIBED("1", "3", "complete", ""));
	expect_event(&a, 1, 4, "flow");
	rig_close(&a);
}

static void counters_at_an_interval(void **state)
{
	(void)state;
	rig->mappings = 3;
	fill(1);
	rig_connect(&a, rig->path);
	rig_say(&a, SUBSCRIBE("{\"stat_interval_ms\":100,\"mappings\":[\"two\",\"m3\"],"
			      "\"snapshot\":\"never\"}"));
	rig_expect(&a, SUBSCRIBED("1", "1", "none", ""));
	control_server_stats(rig->cs);
	expect_event(&a, 1, 1, "stat");
	expect_event(&a, 2, 1, "stat");
	control_server_stats(rig->cs); /* too early */
	rig_expect_silence(&a);
	rig_close(&a);
}

/* ---- Long poll ------------------------------------------------------------------------------- */

static void next_events(void **state)
{
	json_t *json, *result;

	(void)state;
	fill(2);
	rig_connect(&a, rig->path);
	rig_say(&a, NEXT("{}"));
	rig_expect(&a, GIVEN("e1:2", "[]"));
	rig_say(&a, NEXT("{\"cursor\":\"e1:2\",\"types\":[\"state\"]}"));
	rig_expect_silence(&a);
	rig_log(LOG_LEVEL_INFO, "not wanted");
	rig_expect_silence(&a);
	fill(3);
	json = rig_hear(&a);
	result = json_object_get(json, "result");
	assert_string_equal(json_string_value(json_object_get(result, "cursor")), "e1:6");
	assert_int_equal(json_array_size(json_object_get(result, "events")), 3);
	assert_null(json_object_get(json_array_get(json_object_get(result, "events"), 0), "n"));
	json_decref(json);
	/* At once, and so many at a time. */
	for (int i = 1; i <= 3; i++) {
		char text[200];

		snprintf(text, sizeof(text),
			 NEXT("{\"cursor\":\"e1:%d\",\"types\":[\"state\"],\"count\":1}"), i);
		rig_say(&a, text);
		json = rig_hear(&a);
		result = json_object_get(json, "result");
		assert_int_equal(json_array_size(json_object_get(result, "events")), 1);
		snprintf(text, sizeof(text), "e1:%d", i == 1 ? 2 : i == 2 ? 4 : 4);
		assert_string_equal(json_string_value(json_object_get(result, "cursor")), text);
		json_decref(json);
	}
	rig_close(&a);
}

static void next_without_events(void **state)
{
	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, NEXT("{\"cursor\":\"e1:0\",\"timeout_ms\":0}"));
	rig_expect(&a, GIVEN("e1:0", "[]"));
	rig_say(&a, NEXT("{\"cursor\":\"e1:0\",\"timeout_ms\":1}"));
	rig_expect(&a, GIVEN("e1:0", "[]"));
	/* Cancelled, and with its connection. */
	rig_say(&a, NEXT("{\"cursor\":\"e1:0\"}"));
	rig_settle();
	rig_say(&a, CALL("2", "rpc.cancel", "{\"id\":1}") "\n");
	rig_expect_error(&a, -32800, "cancelled");
	rig_expect(&a, "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"done\":true}}");
	rig_say(&a, NEXT("{\"cursor\":\"e1:0\"}"));
	rig_close(&a);
	assert_true(LIST_EMPTY(&rig->cs->nexts));
}

static void cursors(void **state)
{
	static const char *const wrong[] = {"", "e1", "e1:", ":1", "e1:x", "e1:1x", "e1:-1",
					    "e1:99999999999999999999"};

	(void)state;
	rig_connect(&a, rig->path);
	for (size_t i = 1; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char text[200];

		snprintf(text, sizeof(text), NEXT("{\"cursor\":\"%s\"}"), wrong[i]);
		rig_say(&a, text);
		rig_expect_error(&a, -32602, "invalid_params");
	}
	rig_say(&a, NEXT("{\"cursor\":\"e0:0\"}"));
	rig_expect_error(&a, 1301, "cursor_expired");
	rig_say(&a, NEXT("{\"cursor\":\"e1:1\"}"));
	rig_expect_error(&a, 1301, "cursor_expired");
	fill(EVENT_RING_COUNT + 1);
	rig_say(&a, NEXT("{\"cursor\":\"e1:0\"}"));
	rig_expect_error(&a, 1301, "cursor_expired");
	rig_close(&a);
}

/* One that waits for what is rare keeps its place while the ring goes round. */
static void next_waits_through_the_ring(void **state)
{
	json_t *json;

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, NEXT("{\"cursor\":\"e1:0\",\"types\":[\"log\"]}"));
	rig_settle();
	fill(2 * EVENT_RING_COUNT);
	rig_log(LOG_LEVEL_INFO, "x");
	json = rig_hear(&a);
	assert_int_equal(json_array_size(json_object_get(json_object_get(json, "result"),
							 "events")), 1);
	json_decref(json);
	rig_close(&a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(reply_then_events),
		TEST(held_in_a_batch),
		TEST(too_many),
		TEST(replay),
		TEST(large_replay),
		TEST(slow_then_read),
		TEST(many_who_do_not_read),
		TEST(lost_by_the_bus),
		TEST(wanted),
		TEST(flows_have_a_gap),
		TEST(counters_at_an_interval),
		TEST(next_events),
		TEST(next_without_events),
		TEST(cursors),
		TEST(next_waits_through_the_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
