/* SPDX-License-Identifier: MIT */
/*
 * Methods that ask workers: flows, tests of clients, sessions and statistics, and certificates.
 * What is asked of whom, how answers become one reply, and what happens when things go meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/methods_rig.h"

#include "base/error.h"
#include "tunnel/client_probe.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static json_int_t number_of(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static const json_t *item_of(const json_t *result, const char *list, size_t i)
{
	return json_array_get(json_object_get(result, list), i);
}

static size_t count_of(const json_t *result, const char *list)
{
	return json_array_size(json_object_get(result, list));
}

/* ---- flow.list ------------------------------------------------------------------------------- */

/* A worker's answer: `count` flows of one owner, numbered from 1, of `total`. */
static void tell_flows(const struct role *role, uint64_t owner, size_t count, uint64_t total,
		       const char *target)
{
	struct message *m =
		methods_rig_answer(MESSAGE_FLOWS, count * sizeof(struct message_flow));
	struct message_flow *flows = (struct message_flow *)m->data;

	m->role = role->index;
	m->listed.count = count;
	m->listed.total = total;
	for (size_t i = 0; i < count; i++) {
		flows[i].flow_id = i + 1;
		flows[i].owner_id = owner;
		flows[i].in_bytes = 100 * (i + 1);
		flows[i].idle_ms = 7;
		assert_int_equal(address_parse(&flows[i].source, "127.0.0.1:4000", 14), 0);
		snprintf(flows[i].target, sizeof(flows[i].target), "%s", target);
	}
	methods_rig_tell(m);
}

static void test_list_all(void **state)
{
	const struct role *home = mrig->client->role, *front = mrig->server->role;
	const json_t *result, *flow;

	(void)state;
	methods_rig_call("flow.list", "{}");
	assert_int_equal(methods_rig_asked(0, MESSAGE_LIST_FLOWS)->flows.owner_id, 0);
	tell_flows(front, METHODS_RIG_SESSION, 1, 1, "10.0.0.9:80");
	methods_rig_gathered(0, 0);
	rig_expect_silence(&mrig->caller);
	methods_rig_asked(1, MESSAGE_LIST_FLOWS);
	tell_flows(home, mrig->web->number, 2, 2, "");
	tell_flows(home, 4711, 1, 1, ""); /* of a mapping that is gone */
	methods_rig_gathered(0, 0);
	result = methods_rig_result();
	assert_int_equal(number_of(result, "total"), 3);
	assert_int_equal(count_of(result, "flows"), 3);
	flow = item_of(result, "flows", 0);
	assert_string_equal(text_of(flow, "id"), "s1.17.1");
	assert_string_equal(text_of(flow, "session"), "s1.17");
	assert_null(json_object_get(flow, "mapping"));
	assert_string_equal(text_of(flow, "target"), "10.0.0.9:80");
	flow = item_of(result, "flows", 2);
	assert_string_equal(text_of(flow, "id"), "m1.2");
	assert_string_equal(text_of(flow, "mapping"), "m1");
	assert_string_equal(text_of(flow, "peer"), "127.0.0.1:4000");
	/* The far side dials; what the mapping says is what is known here. */
	assert_string_equal(text_of(flow, "target"), "10.0.0.5:80");
	assert_int_equal(number_of(flow, "in_bytes"), 200);
	assert_int_equal(number_of(flow, "idle_ms"), 7);
}

static void test_list_one(void **state)
{
	const struct message *m;
	const json_t *result;

	(void)state;
	methods_rig_call("flow.list", "{\"mapping\":\"web\",\"count\":2}");
	methods_rig_not_asked(0);
	m = methods_rig_asked(1, MESSAGE_LIST_FLOWS);
	assert_int_equal(m->role, mrig->client->role->index);
	assert_int_equal(m->flows.owner_id, mrig->web->number);
	assert_int_equal(m->flows.max, 2);
	tell_flows(mrig->client->role, mrig->web->number, 2, 900, "");
	methods_rig_gathered(0, 0);
	result = methods_rig_result();
	assert_int_equal(count_of(result, "flows"), 2);
	assert_int_equal(number_of(result, "total"), 900);

	methods_rig_call("flow.list", "{\"session\":\"s1.17\"}");
	m = methods_rig_asked(0, MESSAGE_LIST_FLOWS);
	assert_int_equal(m->role, mrig->server->role->index);
	assert_int_equal(m->flows.owner_id, METHODS_RIG_SESSION);
	/* The session ends before the answer comes. */
	inventory_free_session(&mrig->daemon->inventory, mrig->session);
	tell_flows(mrig->server->role, METHODS_RIG_SESSION, 1, 1, "");
	methods_rig_gathered(0, 0);
	result = methods_rig_result();
	assert_int_equal(count_of(result, "flows"), 0);
	assert_int_equal(number_of(result, "total"), 0);
}

/* More than were asked for, from two workers. */
static void test_list_count(void **state)
{
	const json_t *result;

	(void)state;
	methods_rig_call("flow.list", "{\"count\":3}");
	methods_rig_asked(0, MESSAGE_LIST_FLOWS);
	tell_flows(mrig->client->role, mrig->web->number, 2, 2, "");
	methods_rig_gathered(0, 0);
	methods_rig_asked(1, MESSAGE_LIST_FLOWS);
	tell_flows(mrig->client->role, mrig->web->number, 3, 5, "");
	methods_rig_gathered(0, 0);
	result = methods_rig_result();
	assert_int_equal(count_of(result, "flows"), 3);
	assert_int_equal(number_of(result, "total"), 7);
}

static void test_list_of_nothing(void **state)
{
	(void)state;
	methods_rig_call("flow.list", "{\"mapping\":\"m2\"}"); /* paused: on no worker */
	methods_rig_not_asked(0);
	methods_rig_not_asked(1);
	assert_int_equal(count_of(methods_rig_result(), "flows"), 0);
	methods_rig_call("flow.list", "{\"mapping\":\"nothing\"}");
	assert_int_equal(methods_rig_error(), 1001);
	methods_rig_call("flow.list", "{\"session\":\"s1.18\"}");
	assert_int_equal(methods_rig_error(), 1001);
}

/* Nobody waits any more; the answers that come then are nobody's. */
static void test_list_cancelled(void **state)
{
	struct message *m;

	(void)state;
	methods_rig_call("flow.list", "{}");
	rig_close(&mrig->caller);
	rig_connect(&mrig->caller, rig->path);
	assert_true(LIST_EMPTY(&mrig->daemon->gathers.list));
	methods_rig_asked(0, MESSAGE_LIST_FLOWS);
	m = methods_rig_answer(MESSAGE_FLOWS, 0);
	methods_rig_tell(m);
	methods_rig_gathered(0, 0);
	rig_expect_silence(&mrig->caller);
}

/* ---- flow.kill ------------------------------------------------------------------------------- */

static void test_kill_one(void **state)
{
	const struct message *m;

	(void)state;
	methods_rig_call("flow.kill", "{\"id\":\"m1.17\"}");
	methods_rig_not_asked(0);
	m = methods_rig_asked(1, MESSAGE_KILL_FLOWS);
	assert_int_equal(m->role, mrig->client->role->index);
	assert_int_equal(m->flows.owner_id, mrig->web->number);
	assert_int_equal(m->flows.flow_id, 17);
	methods_rig_gathered(1, 0);
	assert_int_equal(number_of(methods_rig_result(), "killed"), 1);

	methods_rig_call("flow.kill", "{\"id\":\"s1.17.5\"}");
	m = methods_rig_asked(0, MESSAGE_KILL_FLOWS);
	assert_int_equal(m->role, mrig->server->role->index);
	assert_int_equal(m->flows.owner_id, METHODS_RIG_SESSION);
	assert_int_equal(m->flows.flow_id, 5);
	methods_rig_gathered(0, 0); /* it has ended before */
	assert_int_equal(methods_rig_error(), 1001);
}

static void test_kill_all(void **state)
{
	const struct message *m;

	(void)state;
	methods_rig_call("flow.kill", "{\"mapping\":\"web\"}");
	m = methods_rig_asked(1, MESSAGE_KILL_FLOWS);
	assert_int_equal(m->flows.owner_id, mrig->web->number);
	assert_int_equal(m->flows.flow_id, 0);
	methods_rig_gathered(0, 0); /* that there are none is no error */
	assert_int_equal(number_of(methods_rig_result(), "killed"), 0);
	methods_rig_call("flow.kill", "{\"session\":\"s1.17\"}");
	m = methods_rig_asked(0, MESSAGE_KILL_FLOWS);
	assert_int_equal(m->flows.owner_id, METHODS_RIG_SESSION);
	methods_rig_gathered(12, 0);
	assert_int_equal(number_of(methods_rig_result(), "killed"), 12);
}

static void test_kill_wrong_id(void **state)
{
	static const char *const wrong[] = {"17",    "m1",     "m1.",   "m1.x", "m1.-1",
					    "x1.17", "web.17", "m1.17x", "",     ".1"};
	static const char *const absent[] = {"m9.1", "m2.1", "m1.0", "s1.18.1", "s9.1.1", "s1.5"};
	char params[64];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(params, sizeof(params), "{\"id\":\"%s\"}", wrong[i]);
		methods_rig_call("flow.kill", params);
		assert_int_equal(methods_rig_error(), RPC_INVALID_PARAMS);
	}
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
		snprintf(params, sizeof(params), "{\"id\":\"%s\"}", absent[i]);
		methods_rig_call("flow.kill", params);
		assert_int_equal(methods_rig_error(), 1001);
	}
	methods_rig_not_asked(0);
	methods_rig_not_asked(1);
}

/* ---- client.test ----------------------------------------------------------------------------- */

static void tell_step(enum probe_step step, enum probe_outcome outcome, int error, const char *text)
{
	struct message *m = methods_rig_answer(MESSAGE_TESTED, 0);

	m->tested.step = (int)step;
	m->tested.outcome = (int)outcome;
	m->tested.error = error;
	m->tested.took_ms = 12;
	snprintf(m->tested.text, sizeof(m->tested.text), "%s", text);
	methods_rig_tell(m);
}

static void test_probe(void **state)
{
	const json_t *result, *step;
	const struct message *m;

	(void)state;
	inventory_set_state(&mrig->daemon->inventory, mrig->web, RPC_STATE_TUNNELING, 0);
	methods_rig_call("client.test", "{\"mapping\":\"web\",\"timeout_ms\":5000}");
	m = methods_rig_asked(1, MESSAGE_TEST); /* the mapping's worker */
	assert_int_equal(m->role, mrig->client->role->index);
	assert_true(m->test.has_mapping);
	assert_true(target_equal(&m->test.mapping.remote, &mrig->web->mapping.remote));
	assert_int_equal(m->test.timeout_ms, 5000);
	tell_step(PROBE_DNS, PROBE_OK, 0, "198.51.100.7");
	tell_step(PROBE_UDP, PROBE_FAILED, RSTUN_E_UNREACHABLE, "nobody answers");
	tell_step(PROBE_TLS, PROBE_SKIPPED, 0, "");
	methods_rig_gathered(0, 0);
	result = methods_rig_result();
	assert_true(json_is_false(json_object_get(result, "ok")));
	assert_true(json_is_true(json_object_get(result, "live")));
	assert_string_equal(text_of(result, "client"), "c1");
	assert_string_equal(text_of(result, "mapping"), "m1");
	assert_int_equal(count_of(result, "steps"), 3);
	step = item_of(result, "steps", 0);
	assert_string_equal(text_of(step, "step"), "dns");
	assert_string_equal(text_of(step, "outcome"), "ok");
	assert_string_equal(text_of(step, "text"), "198.51.100.7");
	assert_int_equal(number_of(step, "took_ms"), 12);
	assert_null(json_object_get(step, "error"));
	step = item_of(result, "steps", 1);
	assert_string_equal(text_of(step, "outcome"), "failed");
	assert_string_equal(text_of(json_object_get(step, "error"), "kind"), "unreachable");
	assert_string_equal(text_of(json_object_get(step, "error"), "message"), "nobody answers");
	assert_string_equal(text_of(item_of(result, "steps", 2), "outcome"), "skipped");
}

/* A client that runs nowhere gets a part for it, once. */
static void test_probe_client(void **state)
{
	struct role *role = mrig->client->role;
	const json_t *result;

	(void)state;
	methods_rig_call("client.test", "{}");
	methods_rig_asked(0, MESSAGE_ADD_CLIENT);
	assert_false(methods_rig_asked(0, MESSAGE_TEST)->test.has_mapping);
	assert_true(role->on_worker[0]);
	assert_int_equal(role->parts, 1);
	assert_int_equal(role->placed, 0);
	methods_rig_gathered(0, 0);
	result = methods_rig_result();
	assert_true(json_is_true(json_object_get(result, "ok")));
	assert_true(json_is_false(json_object_get(result, "live")));
	assert_null(json_object_get(result, "mapping"));
	/* A paused mapping, on no worker: where there is a part of its client. */
	methods_rig_call("client.test", "{\"client\":\"home\",\"mapping\":\"m2\"}");
	assert_true(methods_rig_asked(0, MESSAGE_TEST)->test.has_mapping);
	assert_int_equal(role->parts, 1);
	methods_rig_gathered(0, RSTUN_E_CANCELLED); /* the client was changed */
	assert_int_equal(methods_rig_error(), 1000);
}

static void test_probe_cancelled(void **state)
{
	uint64_t gather;

	(void)state;
	methods_rig_call("client.test", "{\"mapping\":\"m1\"}");
	gather = methods_rig_asked(1, MESSAGE_TEST)->gather;
	tell_step(PROBE_DNS, PROBE_OK, 0, "198.51.100.7");
	rig_close(&mrig->caller);
	rig_connect(&mrig->caller, rig->path);
	assert_int_equal(methods_rig_asked(1, MESSAGE_CANCEL_TEST)->gather, gather);
	methods_rig_gathered(0, 0);
	rig_expect_silence(&mrig->caller);
}

/* Each logs in somewhere: there are not any number of them. */
static void test_probes_are_few(void **state)
{
	unsigned count = 0;

	(void)state;
	do {
		methods_rig_call("client.test", "{\"mapping\":\"m1\"}");
		count++;
	} while (mrig->daemon->tests == count);
	assert_int_equal(methods_rig_error(), 1006);
	assert_int_equal(count, 17);
	methods_rig_asked(1, MESSAGE_TEST);
	methods_rig_gathered(0, 0);
	methods_rig_result();
	methods_rig_call("client.test", "{\"mapping\":\"m1\"}");
	rig_expect_silence(&mrig->caller);
	rig_close(&mrig->caller);
	assert_int_equal(mrig->daemon->tests, 0);
	rig_connect(&mrig->caller, rig->path);
}

static void test_probe_wrong(void **state)
{
	struct daemon *d = mrig->daemon;
	struct held_client *other = inventory_new_client(&d->inventory, "other");

	(void)state;
	other->role = mrig->client->role;
	methods_rig_call("client.test", "{\"client\":\"other\",\"mapping\":\"web\"}");
	assert_int_equal(methods_rig_error(), 1001);
	methods_rig_call("client.test", "{}"); /* which one? */
	assert_int_equal(methods_rig_error(), RPC_INVALID_PARAMS);
	methods_rig_call("client.test", "{\"mapping\":\"nothing\"}");
	assert_int_equal(methods_rig_error(), 1001);
	methods_rig_not_asked(0);
	methods_rig_not_asked(1);
}

/* ---- Sessions -------------------------------------------------------------------------------- */

/* Both workers tell their counters: worker 0 the session's, worker 1 the mapping's. */
static void tell_counters(uint64_t rx_bytes)
{
	const unsigned roles[] = {mrig->server->role->index, mrig->client->role->index};
	const uint64_t ids[] = {METHODS_RIG_SESSION, mrig->web->number};

	for (unsigned i = 0; i < METHODS_RIG_WORKERS; i++) {
		struct message_counters *one;
		struct message *m;

		methods_rig_asked(i, MESSAGE_REPORT);
		m = methods_rig_answer(MESSAGE_COUNTERS, sizeof(*one));
		one = (struct message_counters *)m->data;
		m->role = roles[i];
		m->worker = i;
		m->counters.count = 1;
		m->counters.sum.rx_bytes = rx_bytes;
		m->counters.summed = true;
		*one = (struct message_counters){.id = ids[i], .counters = {.rx_bytes = rx_bytes}};
		methods_rig_tell(m);
		methods_rig_gathered(0, 0);
	}
}

static void test_sessions(void **state)
{
	const json_t *result;

	(void)state;
	methods_rig_call("session.list", "{\"server\":\"front\"}");
	tell_counters(1234);
	result = methods_rig_result();
	assert_int_equal(count_of(result, "sessions"), 1);
	assert_string_equal(text_of(item_of(result, "sessions", 0), "id"), "s1.17");
	assert_string_equal(text_of(item_of(result, "sessions", 0), "server"), "s1");
	assert_int_equal(number_of(item_of(result, "sessions", 0), "rx_bytes"), 1234);
	methods_rig_call("session.get", "{\"id\":\"s1.17\"}");
	tell_counters(1235);
	assert_int_equal(number_of(methods_rig_result(), "rx_bytes"), 1235);
	methods_rig_call("session.list", "{\"server\":\"nothing\"}");
	assert_int_equal(methods_rig_error(), 1001);
	methods_rig_call("session.get", "{\"id\":\"s1.18\"}");
	assert_int_equal(methods_rig_error(), 1001);
	/* It ends while the counters come. */
	methods_rig_call("session.get", "{\"id\":\"s1.17\"}");
	inventory_free_session(&mrig->daemon->inventory, mrig->session);
	tell_counters(1236);
	assert_int_equal(methods_rig_error(), 1001);
	methods_rig_call("session.list", "{}");
	tell_counters(1237);
	assert_int_equal(count_of(methods_rig_result(), "sessions"), 0);
}

static void test_kick(void **state)
{
	const struct message *m;
	const json_t *result;

	(void)state;
	methods_rig_call("session.kick", "{\"id\":\"s1.17\"}");
	m = methods_rig_asked(0, MESSAGE_KICK);
	assert_int_equal(m->role, mrig->server->role->index);
	assert_int_equal(m->kick.session_id, METHODS_RIG_SESSION);
	result = methods_rig_result(); /* json_is_true looks at it twice */
	assert_true(json_is_true(json_object_get(result, "done")));
	methods_rig_call("session.kick", "{\"id\":\"s1.18\"}");
	assert_int_equal(methods_rig_error(), 1001);
	methods_rig_not_asked(0);
}

/* ---- Statistics ------------------------------------------------------------------------------ */

static void expect_stats(const char *params, const char *of, json_int_t rx_bytes)
{
	const json_t *result;

	methods_rig_call("stats.get", params);
	tell_counters(1000);
	result = methods_rig_result();
	assert_string_equal(text_of(result, "of"), of);
	assert_int_equal(number_of(json_object_get(result, "stat"), "rx_bytes"), rx_bytes);
	assert_non_null(json_object_get(json_object_get(result, "rate_1s"), "rx_bytes"));
	assert_non_null(json_object_get(json_object_get(result, "rate_10s"), "rx_bytes"));
}

static void test_stats(void **state)
{
	(void)state;
	expect_stats("{\"mapping\":\"web\"}", "m1", 1000);
	expect_stats("{\"client\":\"home\"}", "c1", 1000);
	expect_stats("{\"server\":\"s1\"}", "s1", 1000);
	expect_stats("{\"session\":\"s1.17\"}", "s1.17", 1000);
	expect_stats("{}", "total", 2000);
	assert_true(mrig->daemon->sampler.total.started);
	/* Somebody looks at rates: the sampler goes on by itself. */
	assert_true(mrig->daemon->sampler.rates_until_ns > loop_now(&mrig->daemon->loop));
	methods_rig_call("stats.get", "{\"mapping\":\"nothing\"}");
	assert_int_equal(methods_rig_error(), 1001);
}

static bool has_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	return at != NULL && (at == text || at[-1] == '\n') && at[strlen(line)] == '\n';
}

static void test_metrics(void **state)
{
	const char *text;

	(void)state;
	methods_rig_call("metrics.get", "{}");
	tell_counters(1000);
	text = text_of(methods_rig_result(), "text");
	assert_non_null(text);
	assert_true(has_line(text, "rstund_rx_bytes_total 2000"));
	assert_true(has_line(text, "rstund_sessions{server=\"s1\",name=\"front\"} 1"));
	assert_true(has_line(text, "rstund_mappings{state=\"paused\"} 1"));
	assert_true(has_line(text, "rstund_mapping_rx_bytes_total{mapping=\"m1\",name=\"web\","
				   "client=\"home\",proto=\"tcp\"} 1000"));
	assert_true(has_line(text, "rstund_server_state{server=\"s1\",name=\"front\","
				   "state=\"listening\"} 1"));
	assert_true(has_line(text, "rstund_client_rx_bytes_total{client=\"c1\","
				   "name=\"home\"} 1000"));
}

/* ---- Certificates ---------------------------------------------------------------------------- */

static void test_certs(void **state)
{
	const json_t *result, *cert;

	(void)state;
	methods_rig_call("cert.list", "{}");
	result = methods_rig_result();
	assert_int_equal(count_of(result, "certs"), 1);
	cert = item_of(result, "certs", 0);
	assert_string_equal(text_of(cert, "server"), "s1");
	assert_string_equal(text_of(cert, "subject"), "CN=localhost");
	assert_int_equal(count_of(cert, "names"), 3);
	assert_memory_equal(text_of(cert, "pin"), "sha256/", 7);
	assert_true(json_is_true(json_object_get(cert, "self_signed")));
	assert_true(json_is_false(json_object_get(cert, "expired")));
	assert_true(strcmp(text_of(cert, "not_before"), text_of(cert, "not_after")) < 0);
	methods_rig_call("cert.list", "{\"server\":\"nothing\"}");
	assert_int_equal(methods_rig_error(), 1001);
	/* A server that is stopped shows none. */
	mrig->server->role = NULL;
	methods_rig_call("cert.list", "{\"server\":\"front\"}");
	assert_int_equal(count_of(methods_rig_result(), "certs"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, methods_rig_setup, methods_rig_teardown)

/* ---- Order ----------------------------------------------------------------------------------- */

/* What may be large is answered before the next one is looked at. */
static void test_one_list_at_a_time(void **state)
{
	(void)state;
	rig_say(&mrig->caller,
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session.list\"}\n"
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"log.get_level\"}\n"
		"[{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"flow.list\"},"
		"{\"jsonrpc\":\"2.0\",\"id\":4,\"method\":\"flow.list\"}]\n");
	rig_expect_silence(&mrig->caller);
	for (unsigned i = 0; i < METHODS_RIG_WORKERS; i++) {
		methods_rig_asked(i, MESSAGE_REPORT);
		methods_rig_gathered(0, 0);
	}
	assert_int_equal(count_of(methods_rig_result(), "sessions"), 1);
	assert_string_equal(text_of(methods_rig_result(), "level"), "info");
	for (int k = 0; k < 2; k++) {
		rig_settle();
		for (unsigned i = 0; i < METHODS_RIG_WORKERS; i++) {
			methods_rig_asked(i, MESSAGE_LIST_FLOWS);
			methods_rig_not_asked(i);
			methods_rig_gathered(0, 0);
		}
	}
	json_decref(rig_hear(&mrig->caller));
}

/* ---- daemon.shutdown ------------------------------------------------------------------------- */

static void test_shutdown(void **state)
{
	(void)state;
	methods_rig_call("daemon.shutdown", "{\"drain_ms\":5000}");
	methods_rig_asked(0, MESSAGE_REPORT);
	methods_rig_gathered(0, 0);
	methods_rig_asked(1, MESSAGE_REPORT);
	assert_int_equal(mrig->daemon->phase, DAEMON_RUNNING);
	methods_rig_gathered(0, 0);
	assert_int_equal(number_of(methods_rig_result(), "drain_ms"), 5000);
	assert_int_equal(mrig->daemon->phase, DAEMON_DRAINING);
	methods_rig_asked(0, MESSAGE_DRAIN);
	/* Now, and then there is no way back to draining. */
	daemon_shutdown(mrig->daemon, 0, "test");
	daemon_shutdown(mrig->daemon, 5000, "test");
	assert_int_equal(mrig->daemon->phase, DAEMON_CLOSING);
}

/* A script says it and does not wait for the answer. */
static void test_shutdown_unheard(void **state)
{
	(void)state;
	rig_say(&mrig->caller, "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.shutdown\"}\n");
	rig_close(&mrig->caller);
	rig_settle();
	assert_int_equal(mrig->daemon->phase, DAEMON_DRAINING);
	rig_connect(&mrig->caller, rig->path);
}

static void test_shutdown_cancelled(void **state)
{
	(void)state;
	methods_rig_call("daemon.shutdown", "{}");
	rig_say(&mrig->caller, "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"rpc.cancel\","
			       "\"params\":{\"id\":1}}\n");
	rig_expect_error(&mrig->caller, RPC_CANCELLED, "cancelled");
	assert_int_equal(mrig->daemon->phase, DAEMON_RUNNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_list_all),
		TEST(test_list_one),
		TEST(test_list_count),
		TEST(test_list_of_nothing),
		TEST(test_list_cancelled),
		TEST(test_kill_one),
		TEST(test_kill_all),
		TEST(test_kill_wrong_id),
		TEST(test_probe),
		TEST(test_probe_client),
		TEST(test_probe_cancelled),
		TEST(test_probes_are_few),
		TEST(test_probe_wrong),
		TEST(test_sessions),
		TEST(test_kick),
		TEST(test_stats),
		TEST(test_metrics),
		TEST(test_certs),
		TEST(test_one_list_at_a_time),
		TEST(test_shutdown),
		TEST(test_shutdown_unheard),
		TEST(test_shutdown_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
