/* SPDX-License-Identifier: MIT */
/*
 * JSON-RPC messages: what is a request, everything that is none, limits, replies, batches, events
 * as lines. Nothing that a line holds shows in the message that refuses it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "rpc/api_types.h"
#include "rpc/rpc_event.h"
#include "rpc/rpc_message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct rpc_message m;

static void parse(const char *text)
{
	/* Exactly as many bytes as there are, so that an overread is seen. */
	size_t bytes = strlen(text);
	char *copy = malloc(bytes > 0 ? bytes : 1);

	memcpy(copy, text, bytes);
	assert_int_equal(rpc_message_parse(&m, copy, bytes), 0);
	free(copy);
}

static void requests(void **state)
{
	(void)state;
	parse("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"daemon.ping\",\"params\":{\"a\":1},\"x\":0}");
	assert_false(m.batch);
	assert_int_equal(m.count, 1);
	assert_int_equal(m.requests[0].error.code, 0);
	assert_int_equal(json_integer_value(m.requests[0].id), 7);
	assert_string_equal(m.requests[0].method, "daemon.ping");
	assert_int_equal(json_object_size(m.requests[0].params), 1);
	rpc_message_free(&m);
	parse(" \t{\"jsonrpc\":\"2.0\",\"method\":\"a\"} \r");
	assert_null(m.requests[0].id);
	assert_null(m.requests[0].params);
	rpc_message_free(&m);
	parse("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"a\"}");
	assert_true(json_is_null(m.requests[0].id));
	rpc_message_free(&m);
	parse("{\"jsonrpc\":\"2.0\",\"id\":\"\\u0000x\",\"method\":\"a\"}");
	assert_int_equal(json_string_length(m.requests[0].id), 2);
	rpc_message_free(&m);
	parse("{\"jsonrpc\":\"2.0\",\"id\":-9223372036854775808,\"method\":\"a\"}");
	assert_true(json_integer_value(m.requests[0].id) == INT64_MIN);
	rpc_message_free(&m);
	parse("{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"a\"}");
	assert_true(json_is_real(m.requests[0].id));
	rpc_message_free(&m);
	rpc_message_free(&m); /* twice does no harm */
}

#define REQUEST "\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\""

static const struct {
	const char *text;
	int code;
	const char *message; /* part of it */
	const char *id;      /* of the reply */
} bad[] = {
	{"x", RPC_PARSE_ERROR, "not JSON", "null"},
	{"geheim", RPC_PARSE_ERROR, "not JSON", "null"},
	{"{", RPC_PARSE_ERROR, "ends too early", "null"},
	{"{" REQUEST, RPC_PARSE_ERROR, "ends too early", "null"},
	{"{\"password\":\"geheim", RPC_PARSE_ERROR, "", "null"},
	{"{\"password\":geheim}", RPC_PARSE_ERROR, "", "null"},
	{"{" REQUEST "}}", RPC_PARSE_ERROR, "something follows", "null"},
	{"{" REQUEST "}{" REQUEST "}", RPC_PARSE_ERROR, "something follows", "null"},
	{"{" REQUEST ",}", RPC_PARSE_ERROR, "not JSON", "null"},
	{"{" REQUEST ",\"id\":2}", RPC_PARSE_ERROR, "the same member twice", "null"},
	{"{" REQUEST ",\"params\":{\"p\":\"geheim\",\"p\":\"geheim\"}}", RPC_PARSE_ERROR,
	 "the same member twice", "null"},
	{"{" REQUEST ",\"params\":{\"\\u0000\":1}}", RPC_PARSE_ERROR, "NUL", "null"},
	{"{\"a\":\"\xff\"}", RPC_PARSE_ERROR, "UTF-8", "null"},
	{"{\"a\":\"\xed\xa0\x80\"}", RPC_PARSE_ERROR, "UTF-8", "null"},
	{"{\"a\":\"\\ud800\"}", RPC_PARSE_ERROR, "", "null"},
	{"{'a':1}", RPC_PARSE_ERROR, "not JSON", "null"},
	{"{\"a\":01}", RPC_PARSE_ERROR, "not JSON", "null"},
	{"{\"a\":NaN}", RPC_PARSE_ERROR, "not JSON", "null"},
	{"{\"a\":\"\n\"}", RPC_PARSE_ERROR, "", "null"},
	{"{\"id\":18446744073709551616}", RPC_PARSE_ERROR, "a number is too large", "null"},
	{"{" REQUEST ",\"params\":{\"a\":1e999}}", RPC_PARSE_ERROR, "a number is too large", "null"},
	{"{" REQUEST ",\"params\":{\"count\":18446744073709551616}}", RPC_INVALID_PARAMS,
	 "count: the number is too large", "1"},
	{"{" REQUEST ",\"params\":{\"a\":1,\"since\":{\"seq\":9223372036854775808}}}",
	 RPC_INVALID_PARAMS, "seq: the number is too large", "1"},
	{"{" REQUEST ",\"params\":[18446744073709551616]}", RPC_INVALID_PARAMS, "too large", "1"},
	{"{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"a\",\"params\":"
	 "{\"count\":-18446744073709551616}}", RPC_INVALID_PARAMS, "count: ", "\"x\""},
	{"5", RPC_INVALID_REQUEST, "a request is an object", "null"},
	{"null", RPC_INVALID_REQUEST, "a request is an object", "null"},
	{"\"x\"", RPC_INVALID_REQUEST, "a request is an object", "null"},
	{"[]", RPC_INVALID_REQUEST, "a batch of 0", "null"},
	{"[[]]", RPC_INVALID_REQUEST, "a request is an object", "null"},
	{"{}", RPC_INVALID_REQUEST, "jsonrpc must be", "null"},
	{"{\"jsonrpc\":\"1.0\",\"id\":3,\"method\":\"a\"}", RPC_INVALID_REQUEST, "jsonrpc must be", "3"},
	{"{\"jsonrpc\":2.0,\"id\":3,\"method\":\"a\"}", RPC_INVALID_REQUEST, "jsonrpc must be", "3"},
	{"{\"jsonrpc\":\"2.0\",\"id\":3}", RPC_INVALID_REQUEST, "method is missing", "3"},
	{"{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":1}", RPC_INVALID_REQUEST, "method is missing", "3"},
	{"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":4}", RPC_INVALID_REQUEST, "method must be", "3"},
	{"{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"a\\u0000\"}", RPC_INVALID_REQUEST,
	 "method must be", "3"},
	{"{\"jsonrpc\":\"2.0\",\"id\":[],\"method\":\"a\"}", RPC_INVALID_REQUEST, "id must be", "null"},
	{"{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"a\"}", RPC_INVALID_REQUEST, "id must be", "null"},
	{"{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"a\"}", RPC_INVALID_REQUEST, "id must be", "null"},
};

static void bad_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char id[64];
		size_t bytes = 0;
		char *line;

		parse(bad[i].text);
		assert_int_equal(m.count, 1);
		if (m.requests[0].error.code != bad[i].code ||
		    strstr(m.requests[0].error.message, bad[i].message) == NULL)
			fail_msg("%s: %d \"%s\"", bad[i].text, m.requests[0].error.code,
				 m.requests[0].error.message);
		assert_null(strstr(m.requests[0].error.message, "geheim"));
		assert_null(m.requests[0].method);
		line = rpc_message_error(m.requests[0].id, &m.requests[0].error, NULL, &bytes);
		assert_int_equal(bytes, strlen(line));
		snprintf(id, sizeof(id), "{\"jsonrpc\":\"2.0\",\"id\":%s,\"error\":{\"code\":%d,",
			 bad[i].id, bad[i].code);
		if (strncmp(line, id, strlen(id)) != 0)
			fail_msg("%s: %s", bad[i].text, line);
		free(line);
		rpc_message_free(&m);
	}
}

/* `depth` arrays within each other as the value of a parameter; 2 objects are around it. */
static char *nested(size_t depth, char open, char close)
{
	static const char before[] = "{" REQUEST ",\"params\":{\"a\":";
	char *text = calloc(1, sizeof(before) + 2 * depth * 5 + 8), *p = text;

	memcpy(p, before, sizeof(before) - 1);
	p += sizeof(before) - 1;
	for (size_t i = 0; i < depth; i++)
		p += snprintf(p, 6, open == '{' && i > 0 ? "\"a\":%c" : "%c", open);
	for (size_t i = 0; i < depth; i++)
		*p++ = close;
	memcpy(p, "}}", 3);
	return text;
}

static void depth(void **state)
{
	static const size_t bombs[] = {31, 100, 5000, 50000};

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		char *fits = nested(30, "[{"[kind], "]}"[kind]);

		parse(fits);
		assert_int_equal(m.requests[0].error.code, 0);
		rpc_message_free(&m);
		free(fits);
		for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
			char *bomb = nested(bombs[i], "[{"[kind], "]}"[kind]);

			parse(bomb);
			assert_int_equal(m.requests[0].error.code, RPC_PARSE_ERROR);
			assert_non_null(strstr(m.requests[0].error.message, "nests too deep"));
			rpc_message_free(&m);
			free(bomb);
		}
	}
	/* Brackets in strings are none, and quotes that are escaped end no string. */
	assert_int_equal(rpc_message_depth("\"[[[\"", 5, 32), 0);
	assert_int_equal(rpc_message_depth("\"\\\"[[\"[", 7, 32), 1);
	assert_int_equal(rpc_message_depth("\"\\\\\"[[", 6, 32), 2);
	assert_int_equal(rpc_message_depth("]]]][", 5, 32), 1);
	assert_int_equal(rpc_message_depth("[[][][[]]]", 10, 32), 3);
	assert_int_equal(rpc_message_depth("\"\\", 2, 32), 0);
	assert_int_equal(rpc_message_depth(NULL, 0, 32), 0);
}

static void too_long(void **state)
{
	(void)state;
	assert_int_equal(rpc_message_too_long(&m), 0);
	assert_int_equal(m.requests[0].error.code, RPC_PARSE_ERROR);
	assert_non_null(strstr(m.requests[0].error.message, "262144"));
	rpc_message_free(&m);
}

static char *batch_of(size_t count)
{
	char *text = calloc(1, 100 * count + 3), *p = text;

	*p++ = '[';
	for (size_t i = 0; i < count; i++)
		p += snprintf(p, 100, "%s{\"jsonrpc\":\"2.0\",\"id\":%zu,\"method\":\"a\"}",
			      i > 0 ? "," : "", i);
	*p = ']';
	return text;
}

static void batches(void **state)
{
	char *text = batch_of(64);

	(void)state;
	parse(text);
	free(text);
	assert_true(m.batch);
	assert_int_equal(m.count, 64);
	assert_int_equal(json_integer_value(m.requests[63].id), 63);
	rpc_message_free(&m);
	text = batch_of(65);
	parse(text);
	free(text);
	assert_false(m.batch);
	assert_int_equal(m.requests[0].error.code, RPC_INVALID_REQUEST);
	assert_non_null(strstr(m.requests[0].error.message, "a batch of 65"));
	rpc_message_free(&m);
	parse("[{" REQUEST "},1,{\"jsonrpc\":\"2.0\",\"method\":\"n\"},{}]");
	assert_int_equal(m.count, 4);
	assert_int_equal(m.requests[0].error.code, 0);
	assert_int_equal(m.requests[1].error.code, RPC_INVALID_REQUEST);
	assert_int_equal(m.requests[2].error.code, 0);
	assert_null(m.requests[2].id);
	assert_int_equal(m.requests[3].error.code, RPC_INVALID_REQUEST);
	rpc_message_free(&m);
}

static void batch_replies(void **state)
{
	struct rpc_batch b;
	json_t *id = json_integer(1);
	size_t bytes;
	char *line = rpc_message_result(id, json_true(), &bytes), *all;

	(void)state;
	assert_string_equal(line, "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}\n");
	rpc_batch_init(&b, 2);
	assert_false(rpc_batch_add(&b, line, bytes));
	assert_null(rpc_batch_take(&b, &bytes));
	bytes = strlen(line);
	assert_true(rpc_batch_add(&b, line, bytes));
	all = rpc_batch_take(&b, &bytes);
	assert_string_equal(all, "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true},"
				 "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":true}]\n");
	assert_int_equal(bytes, strlen(all));
	free(all);
	rpc_batch_done(&b);
	rpc_batch_init(&b, 0); /* notifications only */
	assert_null(rpc_batch_take(&b, &bytes));
	rpc_batch_done(&b);
	rpc_batch_init(&b, 1); /* a reply that could not be made */
	assert_true(rpc_batch_add(&b, NULL, 0));
	assert_null(rpc_batch_take(&b, &bytes));
	rpc_batch_done(&b);
	free(line);
	json_decref(id);
}

static void errors_go_and_come(void **state)
{
	struct rpc_error e, back;
	json_t *id = json_string("q"), *reply, *result = NULL;
	size_t bytes;
	char *line;

	(void)state;
	rpc_error_from(&e, RSTUN_E_RATE_LIMITED, "too fast \xff");
	rpc_error_hint(&e, "wait");
	e.retry_after_ms = 1500;
	snprintf(e.field, sizeof(e.field), "password");
	line = rpc_message_error(id, &e, json_pack("{s:i,s:s}", "line", 3, "kind", "other"), &bytes);
	assert_string_equal(line, "{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"error\":{\"code\":1108,"
				  "\"message\":\"too fast \\\\xff\",\"data\":{\"kind\":\"rate_limited\","
				  "\"field\":\"password\",\"hint\":\"wait\",\"retryable\":true,"
				  "\"retry_after_ms\":1500,\"line\":3}}}\n");
	reply = json_loadb(line, bytes, 0, NULL);
	assert_int_equal(rpc_message_read_reply(reply, &result, &back), 0);
	assert_null(result);
	assert_int_equal(back.code, 1108);
	assert_string_equal(back.kind, "rate_limited");
	assert_string_equal(back.hint, "wait");
	assert_true(back.retryable);
	assert_true(back.retry_after_ms == 1500);
	json_decref(reply);
	free(line);
	json_decref(id);
}

static void replies_read(void **state)
{
	static const char *const none[] = {
		"{}", "[]", "{\"id\":1}", "{\"result\":1,\"error\":{\"code\":1}}", "{\"error\":5}",
		"{\"error\":{}}", "{\"error\":{\"code\":\"1\"}}", "{\"error\":{\"code\":4294967296}}",
	};
	struct rpc_error e;
	json_t *result = NULL, *reply;

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		reply = json_loads(none[i], 0, NULL);
		assert_int_equal(rpc_message_read_reply(reply, &result, &e), RSTUN_E_MALFORMED);
		json_decref(reply);
	}
	reply = json_loads("{\"error\":{\"code\":1001}}", 0, NULL);
	assert_int_equal(rpc_message_read_reply(reply, &result, &e), 0);
	assert_string_equal(e.kind, "not_found");
	json_decref(reply);
	reply = json_loads("{\"result\":null}", 0, NULL);
	assert_int_equal(rpc_message_read_reply(reply, &result, &e), 0);
	assert_int_equal(e.code, 0);
	assert_true(json_is_null(result));
	json_decref(result);
	json_decref(reply);
}

static void requests_written(void **state)
{
	json_t *id = json_integer(3);
	size_t bytes;
	char *line = rpc_message_request(id, "a.b", json_pack("{s:i}", "x", 1), &bytes);

	(void)state;
	assert_string_equal(line, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"a.b\",\"params\":{\"x\":1}}\n");
	free(line);
	line = rpc_message_request(NULL, "a.b", NULL, &bytes);
	assert_string_equal(line, "{\"jsonrpc\":\"2.0\",\"method\":\"a.b\"}\n");
	free(line);
	assert_null(rpc_message_result(id, NULL, &bytes));
	json_decref(id);
}

static void events_as_lines(void **state)
{
	static const struct rpc_state_detail detail = {
		.prev = RPC_STATE_CONNECTED, .next_retry_ms = UINT64_MAX, .took_ms = 12};
	static const struct rpc_event_tunnel tunnel = {
		.source = RPC_SOURCE_NETWORK, .id = 3, .proto = MAPPING_TCP, .mode = MAPPING_OUT};
	static const struct rpc_stat stat = {.rx_bytes = 5, .rtt_ms = 23};
	struct rpc_event e = {
		.type = RPC_EVENT_STATE, .seq = 4711, .timestamp = "2026-11-22T10:11:12.345Z",
		.word = "tunneling", .tunnel = &tunnel, .mapping = "m3", .name = "web", .detail = &detail};
	size_t bytes, line_bytes;
	char *body = rpc_event_body(&e, &bytes), *line;

	(void)state;
	assert_int_equal(bytes, strlen(body));
	line = rpc_event_line(1, 2, body, bytes, &line_bytes);
	assert_string_equal(
		line, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"sub\":1,\"n\":2,"
		      "\"seq\":4711,\"timestamp\":\"2026-11-22T10:11:12.345Z\",\"type\":\"state\","
		      "\"data\":\"tunneling\",\"tunnel\":{\"source\":\"network\",\"id\":3,"
		      "\"proto\":\"tcp\",\"mode\":\"out\"},\"mapping\":\"m3\",\"name\":\"web\","
		      "\"detail\":{\"prev\":\"connected\",\"attempt\":0,\"took_ms\":12,"
		      "\"unverified\":false}}}\n");
	assert_int_equal(line_bytes, strlen(line));
	free(line);
	free(body);
	e = (struct rpc_event){.type = RPC_EVENT_STAT, .seq = 1, .timestamp = "t", .data = &stat};
	body = rpc_event_body(&e, &bytes);
	line = rpc_event_line(UINT64_MAX, UINT64_MAX, body, bytes, &line_bytes);
	assert_non_null(strstr(line, "\"data\":{\"rx_bytes\":5,"));
	assert_null(strstr(line, "tunnel"));
	free(line);
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(depth),
		cmocka_unit_test(too_long),
		cmocka_unit_test(batches),
		cmocka_unit_test(batch_replies),
		cmocka_unit_test(errors_go_and_come),
		cmocka_unit_test(replies_read),
		cmocka_unit_test(requests_written),
		cmocka_unit_test(events_as_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
