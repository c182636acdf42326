/* SPDX-License-Identifier: MIT */
/*
 * The calling side against a process that plays the daemon: results, errors, events in between,
 * time that runs out, an end in the middle, and what is no answer at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rpc/api_types.h"
#include "rpc/line_reader.h"
#include "rpc/rpc_caller.h"
#include "rpc/rpc_message.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON 10000 /* ms: a bound for what comes at once */

static struct rpc_caller *caller;
static struct rpc_error error;
static pid_t child;

static void say(int fd, const char *text)
{
	size_t bytes = strlen(text);

	while (bytes > 0) {
		ssize_t n = write(fd, text, bytes);

		if (n <= 0)
			_exit(0);
		text += n;
		bytes -= (size_t)n;
	}
}

static void say_result(int fd, const json_t *id, json_t *result)
{
	size_t bytes;
	char *line = rpc_message_result(id, result, &bytes);

	say(fd, line);
	free(line);
}

#define EVENT(n) "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"n\":" n "}}\n"

/* What the daemon does with each request is in the request's name. */
static void serve_one(int fd, const struct rpc_request *r)
{
	const char *method = r->method != NULL ? r->method : "";
	static json_t *late, *cancelled;

	if (strcmp(method, "echo") == 0) {
		say_result(fd, r->id, json_deep_copy(r->params));
	} else if (strcmp(method, "daemon.ping") == 0) {
		say_result(fd, r->id, json_pack("{s:s,s:i,s:i}", "timestamp", "t", "uptime_ms", 5, "new", 1));
	} else if (strcmp(method, "mapping.get") == 0) {
		struct rpc_error e;
		size_t bytes;
		char *line;

		rpc_error_from(&e, RSTUN_E_NOT_FOUND, "no mapping %s",
			       json_string_value(json_object_get(r->params, "id")));
		rpc_error_hint(&e, "see mapping.list");
		line = rpc_message_error(r->id, &e, NULL, &bytes);
		say(fd, line);
		free(line);
	} else if (strcmp(method, "events") == 0) {
		say(fd, EVENT("1") EVENT("2"));
		say_result(fd, r->id, json_true());
		say(fd, EVENT("3"));
	} else if (strcmp(method, "never") == 0) {
		late = json_incref(r->id);
	} else if (strcmp(method, "rpc.cancel") == 0) {
		cancelled = json_incref(json_object_get(r->params, "id"));
	} else if (strcmp(method, "cancelled") == 0) {
		say_result(fd, late, json_string("late")); /* of a call that was given up */
		say_result(fd, r->id, json_incref(cancelled));
	} else if (strcmp(method, "end") == 0) {
		_exit(0);
	} else if (strcmp(method, "torn") == 0) {
		say(fd, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":tr");
		_exit(0);
	} else if (strcmp(method, "garbage") == 0) {
		say(fd, "garbage\n");
	} else if (strcmp(method, "neither") == 0) {
		say(fd, "{\"jsonrpc\":\"2.0\",\"id\":null}\n");
	} else if (strcmp(method, "big") == 0) {
		char *text = malloc(3 << 20);

		memset(text, 'x', 3 << 20);
		say_result(fd, r->id, json_stringn(text, 3 << 20));
		free(text);
	} else if (strcmp(method, "stop") == 0) {
		say_result(fd, r->id, json_true());
		for (;;)
			pause(); /* reads no more */
	}
}

static void serve(int fd)
{
	struct line_reader r;
	char *line;
	size_t bytes;

	line_reader_init(&r, RPC_LINE_MAX);
	for (;;) {
		size_t room;
		char *buf = line_reader_room(&r, &room);
		ssize_t n = read(fd, buf, room);
		struct rpc_message m;

		if (n <= 0)
			_exit(0);
		line_reader_filled(&r, (size_t)n);
		while (line_reader_next(&r, &line, &bytes) == 0) {
			if (rpc_message_parse(&m, line, bytes) != 0)
				_exit(1);
			serve_one(fd, &m.requests[0]);
			rpc_message_free(&m);
		}
	}
}

static int setup(void **state)
{
	int fds[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		return -1;
	child = fork();
	if (child == 0) {
		close(fds[0]);
		serve(fds[1]);
	}
	close(fds[1]);
	memset(&error, 0, sizeof(error));
	return rpc_caller_new(&caller, fds[0]);
}

static int teardown(void **state)
{
	(void)state;
	rpc_caller_free(caller);
	kill(child, SIGKILL);
	return waitpid(child, NULL, 0) == child ? 0 : -1;
}

static int call(const char *method, json_t *params, uint64_t timeout_ms, json_t **result)
{
	return rpc_caller_call(caller, method, params, timeout_ms, result, &error);
}

static void results(void **state)
{
	json_t *result;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(call("echo", json_pack("{s:i}", "a", i), SOON, &result), 0);
		assert_int_equal(json_integer_value(json_object_get(result, "a")), i);
		json_decref(result);
	}
	assert_int_equal(call("big", NULL, RPC_CALLER_FOREVER, &result), 0);
	assert_int_equal(json_string_length(result), 3 << 20);
	json_decref(result);
	assert_int_equal(rpc_caller_exit(&error), RPC_EXIT_OK);
}

static void structs(void **state)
{
	struct rpc_ping_result pong;
	struct rpc_which_params which = {.id = (char *)(uintptr_t)"m9"};
	struct rpc_mapping mapping;
	const struct field_rows *rows = rpc_methods[RPC_DAEMON_PING].result;

	(void)state;
	assert_int_equal(rpc_caller_call_method(caller, RPC_DAEMON_PING, NULL, SOON, &pong, &error), 0);
	assert_string_equal(pong.timestamp, "t");
	assert_int_equal(pong.uptime_ms, 5);
	field_free(rows->rows, rows->count, &pong);
	assert_int_equal(
		rpc_caller_call_method(caller, RPC_MAPPING_GET, &which, SOON, &mapping, &error),
		RSTUN_E_FAILED);
	assert_string_equal(error.kind, "not_found");
	assert_string_equal(error.message, "no mapping m9");
	assert_string_equal(error.hint, "see mapping.list");
	assert_int_equal(rpc_caller_exit(&error), RPC_EXIT_NOT_FOUND);
}

static void events_in_between(void **state)
{
	json_t *result, *event;

	(void)state;
	assert_int_equal(call("events", NULL, SOON, &result), 0);
	json_decref(result);
	assert_true(rpc_caller_has_event(caller));
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(rpc_caller_next_event(caller, SOON, &event), 0);
		assert_int_equal(json_integer_value(json_object_get(event, "n")), i);
		json_decref(event);
	}
	assert_false(rpc_caller_has_event(caller));
	assert_int_equal(rpc_caller_next_event(caller, 1, &event), RSTUN_E_TIMEOUT);
	assert_int_equal(call("events", NULL, SOON, &result), 0); /* those left are freed */
	json_decref(result);
	assert_true(rpc_caller_fd(caller) >= 0);
}

static void time_runs_out(void **state)
{
	json_t *result;

	(void)state;
	assert_int_equal(call("never", NULL, 20, &result), RSTUN_E_TIMEOUT);
	assert_string_equal(error.kind, "timeout");
	assert_int_equal(rpc_caller_exit(&error), RPC_EXIT_TIMEOUT);
	/* It was cancelled by its number, its late answer is not taken for another one. */
	assert_int_equal(call("cancelled", NULL, SOON, &result), 0);
	assert_int_equal(json_integer_value(result), 1);
	json_decref(result);
}

static void ends(void **state)
{
	json_t *result;

	(void)state;
	assert_int_equal(call("end", NULL, SOON, &result), RSTUN_E_CLOSED);
	assert_string_equal(error.kind, "no_daemon");
	assert_int_equal(rpc_caller_exit(&error), RPC_EXIT_NO_DAEMON);
	assert_int_equal(call("echo", NULL, SOON, &result), RSTUN_E_CLOSED);
	assert_int_equal(rpc_caller_next_event(caller, SOON, &result), RSTUN_E_CLOSED);
}

static void torn(void **state)
{
	json_t *result;

	(void)state;
	assert_int_equal(call("torn", NULL, SOON, &result), RSTUN_E_CLOSED);
}

static void no_answer_at_all(void **state)
{
	json_t *result;

	(void)state;
	assert_int_equal(call("garbage", NULL, SOON, &result), RSTUN_E_MALFORMED);
	assert_string_equal(error.kind, "internal");
	assert_int_equal(call("neither", NULL, SOON, &result), RSTUN_E_MALFORMED);
	assert_int_equal(call("echo", json_object(), SOON, &result), 0); /* the stream goes on */
	json_decref(result);
}

static void too_large(void **state)
{
	char *text = malloc(RPC_LINE_MAX);
	json_t *result;

	(void)state;
	memset(text, 'x', RPC_LINE_MAX);
	assert_int_equal(
		call("echo", json_pack("{s:o}", "a", json_stringn(text, RPC_LINE_MAX)), SOON, &result),
		RSTUN_E_TOO_LARGE);
	assert_non_null(strstr(error.message, "too large"));
	free(text);
}

/* A daemon that reads no more: sending gives up too, and the connection with half a line on it is
 * not used again. */
static void reads_no_more(void **state)
{
	char *text = malloc(200000);
	json_t *result;
	int rv = 0;

	(void)state;
	memset(text, 'x', 200000);
	assert_int_equal(call("stop", NULL, SOON, &result), 0);
	json_decref(result);
	for (int i = 0; i < 50 && rpc_caller_fd(caller) >= 0; i++) {
		rv = call("echo", json_pack("{s:o}", "a", json_stringn(text, 200000)), 5, &result);
		if (rv == RSTUN_E_CLOSED)
			break;
		assert_int_equal(rv, RSTUN_E_TIMEOUT);
	}
	assert_int_equal(rv, RSTUN_E_CLOSED);
	free(text);
}

static void nobody(void **state)
{
	struct unix_socket_env env = {.system_dir = "/nonexistent", .uid = 0};
	struct rpc_caller *none;

	(void)state;
	assert_int_equal(rpc_caller_open(&none, &env, &error), RSTUN_E_UNREACHABLE);
	assert_string_equal(error.kind, "no_daemon");
	assert_int_equal(rpc_caller_exit(&error), RPC_EXIT_NO_DAEMON);
	assert_non_null(strstr(error.message, "/nonexistent/rstund.sock"));
	rpc_caller_free(NULL);
}

static void exit_statuses(void **state)
{
	static const struct {
		int code;
		enum rpc_exit exit;
	} cases[] = {
		{1000, RPC_EXIT_REFUSED},	 {1001, RPC_EXIT_NOT_FOUND}, {1002, RPC_EXIT_CONFLICT},
		{1004, RPC_EXIT_PERMISSION},	 {1005, RPC_EXIT_CONFLICT},  {1007, RPC_EXIT_TIMEOUT},
		{RPC_INVALID_PARAMS, RPC_EXIT_USAGE}, {1103, RPC_EXIT_REFUSED}, {RPC_NO_DAEMON, RPC_EXIT_NO_DAEMON},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rpc_error_set(&error, cases[i].code, "x");
		assert_int_equal(rpc_caller_exit(&error), cases[i].exit);
	}
	/* A kind of the future: by its code, else just refused. */
	rpc_error_set(&error, 1001, "x");
	snprintf(error.kind, sizeof(error.kind), "brand_new");
	assert_int_equal(rpc_caller_exit(&error), RPC_EXIT_NOT_FOUND);
	error.code = 1999;
	assert_int_equal(rpc_caller_exit(&error), RPC_EXIT_REFUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(results),	TEST(structs),		TEST(events_in_between), TEST(time_runs_out),
		TEST(ends),	TEST(torn),		TEST(no_answer_at_all),	 TEST(too_large),
		TEST(reads_no_more), cmocka_unit_test(nobody), cmocka_unit_test(exit_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
