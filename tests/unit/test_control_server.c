/* SPDX-License-Identifier: MIT */
/*
 * The control socket from a caller's side: lines cut anywhere, batches, ends of one side and of
 * both, limits, rights, calls that wait and are cancelled, and one who hammers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "tests/unit/control_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PING(id) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"daemon.ping\"}"
#define PONG(id)                                                                                   \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{\"timestamp\":\"t\",\"uptime_ms\":5}}"
#define WAIT(id)                                                                                   \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"mapping.wait\",\"params\":{\"id\":\"m1\"}}"
#define CALL(id, method, params)                                                                   \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}\n"
#define KICK(id) CALL(id, "session.kick", "{\"id\":\"s1.1\"}")
#define CANCEL(id, what) CALL(id, "rpc.cancel", "{\"id\":" what "}")
#define CERTS(id) CALL(id, "cert.list", "{}")
#define DONE(id, done) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{\"done\":" done "}}"

static struct caller a, b;

/* ---- Lines ----------------------------------------------------------------------------------- */

static void split_at_every_byte(void **state)
{
	static const char text[] = "\n \r\n" PING("1") "\r\n\n[" PING("\"x\"") "," PING("2") "]\n";

	(void)state;
	rig_connect(&a, rig->path);
	for (size_t i = 1; i < sizeof(text) - 1; i++) {
		char first[sizeof(text)];

		snprintf(first, i + 1, "%s", text);
		rig_say(&a, first);
		rig_settle();
		rig_say(&a, text + i);
		rig_expect(&a, PONG("1"));
		rig_expect(&a, "[" PONG("\"x\"") "," PONG("2") "]");
	}
	rig_close(&a);
	assert_int_equal(rig->gone_count, 1);
}

static void bad_lines_cost_one_error(void **state)
{
	char *longer = malloc(RPC_LINE_MAX + 3);

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, "{\"jsonrpc\":\n" PING("1") "\n");
	rig_expect_error(&a, -32700, "parse_error");
	rig_expect(&a, PONG("1"));
	memset(longer, 'x', RPC_LINE_MAX + 1);
	snprintf(longer + RPC_LINE_MAX + 1, 2, "\n");
	rig_say(&a, longer);
	rig_say(&a, PING("2") "\n");
	rig_expect_error(&a, -32700, "parse_error");
	rig_expect(&a, PONG("2"));
	rig_say(&a, "{\"a\":1}\n[]\n[1," PING("3") "]\n");
	rig_expect_error(&a, -32600, "invalid_request");
	rig_expect_error(&a, -32600, "invalid_request");
	json_decref(rig_hear(&a));
	rig_expect_silence(&a);
	rig_close(&a);
	free(longer);
}

static void wrong_methods_and_params(void **state)
{
	json_t *json;

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, CALL("1", "daemon.pong", "{}"));
	json = rig_hear(&a);
	assert_non_null(strstr(json_string_value(json_object_get(json_object_get(json_object_get(
				       json, "error"), "data"), "hint")), "daemon.ping"));
	json_decref(json);
	rig_say(&a, CALL("1", "mapping.wait", "{\"id\":\"m1\",\"timeout\":1}"));
	json = rig_hear(&a);
	json_t *data = json_object_get(json_object_get(json, "error"), "data");
	assert_string_equal(json_string_value(json_object_get(data, "kind")), "invalid_params");
	assert_string_equal(json_string_value(json_object_get(data, "field")), "timeout");
	json_decref(json);
	rig_say(&a, CALL("1", "daemon.ping", "[1]"));
	rig_expect_error(&a, -32602, "invalid_params");
	rig_say(&a, CALL("1", "mapping.get", "{\"id\":\"m1\"}"));
	json = rig_hear(&a);
	data = json_object_get(json_object_get(json, "error"), "data");
	assert_int_equal(json_integer_value(json_object_get(data, "extra")), 7);
	json_decref(json);
	rig_say(&a, CALL("1", "rpc.discover", "{}"));
	rig_expect(&a, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"openrpc\":\"1\"}}");
	rig_close(&a);
}

static void notifications_are_executed(void **state)
{
	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, "{\"jsonrpc\":\"2.0\",\"method\":\"daemon.ping\"}\n"
		    "{\"jsonrpc\":\"2.0\",\"method\":\"no.such\"}\n"
		    "[{\"jsonrpc\":\"2.0\",\"method\":\"daemon.ping\"}]\n" PING("null") "\n");
	rig_expect(&a, PONG("null"));
	assert_int_equal(rig->calls[RPC_DAEMON_PING], 3);
	rig_close(&a);
}

static void batches(void **state)
{
	char batch[8192] = "[";
	json_t *json;

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, "[" WAIT("1") "," PING("2") ",{\"jsonrpc\":\"2.0\",\"method\":\"daemon.ping\"},"
		    "3]\n" PING("4") "\n");
	rig_expect(&a, PONG("4"));
	rig_expect_silence(&a);
	rig_answer();
	json = rig_hear(&a);
	assert_int_equal(json_array_size(json), 3);
	json_decref(json);
	/* A whole one takes several turns. */
	for (int i = 0; i < RPC_BATCH_MAX; i++) {
		size_t end = strlen(batch);

		snprintf(batch + end, sizeof(batch) - end, "%s" PING("%d"), i > 0 ? "," : "", i);
	}
	snprintf(batch + strlen(batch), 3, "]\n");
	rig_say(&a, batch);
	json = rig_hear(&a);
	assert_int_equal(json_array_size(json), RPC_BATCH_MAX);
	json_decref(json);
	rig_close(&a);
}

static void batch_replies_are_bounded(void **state)
{
	json_t *json, *one;
	size_t i, refused = 0;

	(void)state;
	rig->big = 700000;
	rig_connect(&a, rig->path);
	rig_say(&a, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"metrics.get\"},"
		    "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"metrics.get\"},"
		    "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"metrics.get\"}]\n");
	json = rig_hear(&a);
	json_array_foreach(json, i, one)
		refused += json_object_get(one, "error") != NULL;
	assert_int_equal(refused, 1);
	assert_int_equal(rig->calls[RPC_METRICS_GET], 2);
	json_decref(json);
	rig_close(&a);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void half_closed(void **state)
{
	json_t *json;

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, WAIT("1") "\n" PING("2")); /* without a newline */
	shutdown(a.fd, SHUT_WR);
	rig_expect(&a, PONG("2"));
	rig_expect_silence(&a);
	rig_answer();
	json = rig_hear(&a);
	assert_int_equal(json_integer_value(json_object_get(json, "id")), 1);
	assert_non_null(json_object_get(json, "result"));
	json_decref(json);
	rig_expect_end(&a);
	rig_close(&a);
	/* One that is sent nothing ends at once. */
	rig_connect(&a, rig->path);
	shutdown(a.fd, SHUT_WR);
	rig_expect_end(&a);
	rig_close(&a);
	assert_int_equal(rig->gone_count, 2);
}

static void closed_both_ways(void **state)
{
	uint64_t callers, subscriptions;

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, WAIT("1") "\n[" WAIT("2") "]\n" CALL("3", "events.subscribe", "{}"));
	json_decref(rig_hear(&a));
	control_server_counts(rig->cs, &callers, &subscriptions);
	assert_int_equal(callers, 1);
	assert_int_equal(subscriptions, 1);
	rig_close(&a);
	assert_int_equal(rig->cancelled, 2);
	assert_int_equal(rig->gone_count, 1);
	control_server_counts(rig->cs, &callers, &subscriptions);
	assert_int_equal(callers, 0);
	assert_int_equal(subscriptions, 0);
	/* After a half-close as well, and while it is not read. */
	rig_connect(&a, rig->path);
	rig_say(&a, WAIT("1") "\n");
	shutdown(a.fd, SHUT_WR);
	rig_settle();
	assert_int_equal(rig->cancelled, 2);
	rig_close(&a);
	assert_int_equal(rig->cancelled, 3);
	rig_connect(&a, rig->path);
	for (int i = 0; i < CONTROL_IN_FLIGHT_MAX; i++)
		rig_say(&a, WAIT("1") "\n");
	rig_settle();
	rig_close(&a);
	assert_int_equal(rig->cancelled, 3 + CONTROL_IN_FLIGHT_MAX);
	assert_int_equal(rig->gone_count, 3);
}

/* Whoever sends something and leaves has said it. */
static void said_and_gone(void **state)
{
	(void)state;
	rig_connect(&a, rig->path);
	for (int i = 0; i < 100; i++)
		rig_say(&a, i % 2 == 0 ? KICK("1") : WAIT("2") "\n");
	rig_close(&a);
	rig_settle();
	assert_int_equal(rig->calls[RPC_SESSION_KICK], 50);
	assert_int_equal(rig->calls[RPC_MAPPING_WAIT], 50);
	assert_int_equal(rig->cancelled, 50);
	assert_int_equal(rig->gone_count, 1);
	/* With a reply that nobody has read (the socket says reset first). */
	rig_connect(&a, rig->path);
	rig_say(&a, PING("1") "\n");
	rig_settle();
	rig_say(&a, KICK("1"));
	rig_close(&a);
	rig_settle();
	assert_int_equal(rig->calls[RPC_SESSION_KICK], 51);
	assert_int_equal(rig->gone_count, 2);
}

static void late_reply(void **state)
{
	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, CERTS("1") "[" PING("2")
		    ",{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"cert.list\"}]\n");
	rig_settle();
	assert_int_equal(rig->waiting_count, 2);
	rig_close(&a);
	assert_int_equal(rig->gone_count, 1);
	rig_answer();
	rig_answer();
	rig_settle();
}

static void server_ends(void **state)
{
	struct rig *kept = rig;

	(void)state;
	rig_connect(&a, rig->path);
	rig_say(&a, PING("1") "\n" WAIT("2") "\n" CERTS("3")
		    CALL("4", "events.next", "{\"cursor\":\"e1:0\"}"));
	rig_settle();
	control_server_free(rig->cs);
	rig->cs = NULL;
	rig_expect(&a, PONG("1"));
	for (int i = 0; i < 3; i++)
		rig_expect_error(&a, 1008, "shutting_down");
	rig_expect_end(&a);
	assert_int_equal(kept->cancelled, 1);
	rig_answer(); /* cert.list: to nowhere */
	rig_close(&a);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static void in_flight(void **state)
{
	(void)state;
	rig_connect(&a, rig->path);
	for (int i = 0; i < CONTROL_IN_FLIGHT_MAX; i++)
		rig_say(&a, WAIT("1") "\n");
	rig_say(&a, PING("2") "\n");
	rig_expect_silence(&a);
	assert_int_equal(rig->waiting_count, CONTROL_IN_FLIGHT_MAX);
	rig_answer();
	json_decref(rig_hear(&a));
	rig_expect(&a, PONG("2"));
	rig_close(&a);
}

/* A caller that does not read is not read, and costs a bounded amount. */
static void output_stops_reading(void **state)
{
	const unsigned sent = 100;
	struct control_connection *c;

	(void)state;
	rig->big = 100000;
	rig_connect(&a, rig->path);
	for (unsigned i = 0; i < sent; i++)
		rig_say(&a, CALL("1", "metrics.get", "{}"));
	rig_settle();
	c = TAILQ_FIRST(&rig->cs->connections);
	assert_true(rig->calls[RPC_METRICS_GET] < 12);
	assert_in_range(c->output_bytes, CONTROL_OUTPUT_MAX, CONTROL_OUTPUT_MAX + 101000);
	for (unsigned i = 0; i < sent; i++)
		json_decref(rig_hear(&a));
	assert_int_equal(rig->calls[RPC_METRICS_GET], sent);
	assert_int_equal(c->output_bytes, 0);
	rig_close(&a);
}

static void expect_limit(const char *path)
{
	rig_connect(&a, path);
	rig_expect_error(&a, 1006, "limit_reached");
	rig_expect_end(&a);
	rig_close(&a);
}

static void connections_per_uid_and_for_root(void **state)
{
	struct caller callers[CONTROL_CONNECTIONS_MAX + 4];
	uint64_t count, subscriptions;
	int n = 0;

	(void)state;
	for (uid_t uid = 3000; n < CONTROL_CONNECTIONS_READERS; uid++) {
		rig->uid = uid;
		for (int i = 0; i < CONTROL_CONNECTIONS_PER_UID; i++)
			rig_connect(&callers[n++], rig->path_ro);
		expect_limit(rig->path_ro);
	}
	/* Whoever may only look leaves room for those who have something to do. */
	rig->uid = 4000;
	expect_limit(rig->path_ro);
	rig->uid = 1000; /* the daemon's */
	for (int i = 0; i < CONTROL_CONNECTIONS_PER_UID; i++)
		rig_connect(&callers[n++], rig->path);
	expect_limit(rig->path);
	rig->uid = 2000; /* of the admin group */
	while (n < CONTROL_CONNECTIONS_MAX - CONTROL_CONNECTIONS_FOR_ROOT)
		rig_connect(&callers[n++], rig->path);
	expect_limit(rig->path);
	rig->uid = 0;
	rig_connect(&callers[n++], rig->path);
	rig_connect(&callers[n++], rig->path);
	rig_say(&callers[n - 1], PING("1") "\n");
	rig_expect(&callers[n - 1], PONG("1"));
	rig_connect(&a, rig->path);
	rig_expect_error(&a, 1006, "limit_reached");
	rig_close(&a);
	control_server_counts(rig->cs, &count, &subscriptions);
	assert_int_equal(count, CONTROL_CONNECTIONS_MAX);
	assert_int_equal(rig->gone_count, 0);
	while (n > 0)
		rig_close(&callers[--n]);
}

/* Without a descriptor left the reserve is used, and given back when the caller has gone. */
static void out_of_descriptors(void **state)
{
	struct rlimit limit, few;
	struct caller callers[CONTROL_RESERVE + 1];
	int fds[256], used = 0;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	/* Their own descriptors are made before there are none; connecting needs none. */
	for (int i = 0; i <= CONTROL_RESERVE; i++)
		callers[i].fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	few = limit;
	few.rlim_cur = 128;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (used < 256 && (fds[used] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		used++;
	assert_true(used < 256);
	for (int i = 0; i <= CONTROL_RESERVE; i++) {
		int fd = callers[i].fd;
		struct sockaddr_un to = {.sun_family = AF_UNIX};

		callers[i] = (struct caller){.fd = fd};
		line_reader_init(&callers[i].reader, RPC_LINE_MAX);
		snprintf(to.sun_path, sizeof(to.sun_path), "%s", rig->path);
		assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
		rig_say(&callers[i], PING("1") "\n");
		if (i < CONTROL_RESERVE)
			rig_expect(&callers[i], PONG("1"));
	}
	rig_expect_silence(&callers[CONTROL_RESERVE]);
	assert_int_equal(rig->cs->reserve_count, 0);
	assert_true(rig->cs->rest_timer.deadline_ns != UINT64_MAX);
	while (used > 0)
		close(fds[--used]);
	setrlimit(RLIMIT_NOFILE, &limit);
	rig_expect(&callers[CONTROL_RESERVE], PONG("1")); /* after its rest */
	for (int i = 0; i <= CONTROL_RESERVE; i++)
		rig_close(&callers[i]);
	assert_int_equal(rig->cs->reserve_count, CONTROL_RESERVE);
}

/* ---- Rights ---------------------------------------------------------------------------------- */

static void rights(void **state)
{
	static const uid_t trusted[] = {0, 1000, 2000}; /* the rig gives a uid the same group */
	json_t *json;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		rig->uid = trusted[i];
		rig_connect(&a, rig->path);
		rig_say(&a, KICK("1"));
		rig_expect(&a, DONE("1", "true"));
		rig_close(&a);
	}
	rig->uid = 1001;
	rig_connect(&a, rig->path);
	rig_expect_error(&a, 1004, "permission_denied");
	rig_expect_end(&a);
	rig_close(&a);
	assert_int_equal(rig->gone_count, 3);
	for (uid_t uid = 0; uid <= 1001; uid += 1001) {
		rig->uid = uid;
		rig_connect(&a, rig->path_ro);
		rig_say(&a, PING("1") "\n" KICK("2") CALL("3", "session.kick", "{\"x\":1}"));
		rig_expect(&a, PONG("1"));
		json = rig_hear(&a);
		assert_string_equal(
			json_string_value(json_object_get(
				json_object_get(json_object_get(json, "error"), "data"), "kind")),
			"permission_denied");
		json_decref(json);
		rig_expect_error(&a, 1004, "permission_denied");
		rig_close(&a);
	}
	assert_int_equal(rig->calls[RPC_SESSION_KICK], 3);
	/* As who we are. */
	rig->uid = (uid_t)-1;
	rig_connect(&a, rig->path_ro);
	rig_say(&a, PING("1") "\n");
	rig_expect(&a, PONG("1"));
	assert_int_equal(TAILQ_FIRST(&rig->cs->connections)->caller.uid, getuid());
	assert_int_equal(TAILQ_FIRST(&rig->cs->connections)->caller.pid, getpid());
	rig_close(&a);
}

/* ---- Cancelling ------------------------------------------------------------------------------ */

static void cancelling(void **state)
{
	(void)state;
	rig_connect(&a, rig->path);
	rig_connect(&b, rig->path);
	rig_say(&a, WAIT("7") "\n" WAIT("\"7\"") "\n" CERTS("8"));
	rig_settle();
	rig_say(&b, CANCEL("1", "7")); /* not of this connection */
	rig_expect(&b, DONE("1", "false"));
	rig_say(&a, CANCEL("1", "\"7\""));
	rig_expect(&a, "{\"jsonrpc\":\"2.0\",\"id\":\"7\",\"error\":{\"code\":-32800,\"message\":"
		       "\"rpc.cancel ended the call\",\"data\":{\"kind\":\"cancelled\","
		       "\"retryable\":true}}}");
	rig_expect(&a, DONE("1", "true"));
	assert_int_equal(rig->cancelled, 1);
	rig_say(&a, CANCEL("2", "8") CANCEL("3", "2") CANCEL("4", "7"));
	rig_expect(&a, DONE("2", "false")); /* cannot be stopped */
	rig_expect(&a, DONE("3", "false"));
	rig_expect_error(&a, -32800, "cancelled");
	rig_expect(&a, DONE("4", "true"));
	rig_answer();
	rig_expect(&a, "{\"jsonrpc\":\"2.0\",\"id\":8,\"result\":{\"certs\":[]}}");
	rig_say(&a, "[" WAIT("1") "]\n" CANCEL("2", "1"));
	json_decref(rig_hear(&a));
	rig_expect(&a, DONE("2", "true"));
	rig_close(&a);
	rig_close(&b);
}

/* ---- Fairness -------------------------------------------------------------------------------- */

/* With thousands of requests of one caller in the socket, another one's is answered within a few
 * turns, and so is everything else on the loop. */
static void hammering(void **state)
{
	static const char ping[] = PING("1") "\n";
	size_t sent = 0, before;

	(void)state;
	rig_connect(&a, rig->path);
	rig_connect(&b, rig->path);
	while (send(a.fd, ping, sizeof(ping) - 1, MSG_NOSIGNAL) == (ssize_t)sizeof(ping) - 1)
		sent++;
	assert_true(sent > 100);
	rig_say(&b, PING("2") "\n");
	before = rig->calls[RPC_DAEMON_PING];
	rig_expect(&b, PONG("2"));
	assert_true(rig->calls[RPC_DAEMON_PING] - before < 5 * CONTROL_TURN_REQUESTS);
	/* One turn of the loop serves a bounded number. */
	before = rig->calls[RPC_DAEMON_PING];
	event_base_loop(rig->loop.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	assert_true(rig->calls[RPC_DAEMON_PING] - before <= 2 * CONTROL_TURN_REQUESTS);
	rig_close(&a);
	rig_close(&b);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(split_at_every_byte),
		TEST(bad_lines_cost_one_error),
		TEST(wrong_methods_and_params),
		TEST(notifications_are_executed),
		TEST(batches),
		TEST(batch_replies_are_bounded),
		TEST(half_closed),
		TEST(closed_both_ways),
		TEST(said_and_gone),
		TEST(late_reply),
		TEST(server_ends),
		TEST(in_flight),
		TEST(output_stops_reading),
		TEST(connections_per_uid_and_for_root),
		TEST(out_of_descriptors),
		TEST(rights),
		TEST(cancelling),
		TEST(hammering),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
