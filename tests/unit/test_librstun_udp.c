/* SPDX-License-Identifier: MIT */
/*
 * UDP objects of librstun (program.h): every size to several targets and back, what is not taken,
 * what goes wrong behind the server, tunnels that do not come, end and come again, the original
 * server, and everything freed in each callback.
 */
#include "base/random.h"
#include "quic/conn.h"
#include "quic/endpoint.h"
#include "tests/unit/program.h"
#include "tls/credentials.h"
#include "tunnel/limits.h"
#include "tunnel/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OBJECTS LIMITS_ASSOCIATES
#define TARGETS LIMITS_ASSOCIATE_FLOWS

enum udp_call { UDP_OPEN, UDP_DATAGRAM, UDP_TARGET_ERROR, UDP_ERROR, UDP_CALLS };

/* A program with a UDP object, and what that was told. */
struct udp_test {
	struct program p; /* first */
	struct rstun_udp *udp;
	unsigned calls[UDP_CALLS];
	unsigned wait_for[UDP_CALLS]; /* by run() */
	char target[64];              /* of the last call; "-" = NULL */
	uint8_t data[RSTUN_UDP_DATAGRAM_MAX];
	size_t bytes;
	int error;
	char text[256];
	enum program_freeing freeing; /* in the call `in`; PROGRAM_FREE_CHANNEL = the object */
	enum udp_call in;
};

static struct udp_test u;

/* ---- callbacks ---- */

static void called(enum udp_call call, const char *target)
{
	assert_false(u.p.freed); /* nothing comes after that */
	u.calls[call]++;
	snprintf(u.target, sizeof(u.target), "%s", target == NULL ? "-" : target);
	if (u.freeing == PROGRAM_FREE_NOTHING || u.in != call)
		return;
	if (u.freeing == PROGRAM_FREE_CHANNEL)
		rstun_udp_free(u.udp);
	program_free(&u.p, u.freeing);
	u.udp = NULL;
}

static void on_open(struct rstun_udp *udp, void *user)
{
	(void)udp;
	assert_ptr_equal(user, &u);
	called(UDP_OPEN, NULL);
}

static void on_datagram(struct rstun_udp *udp, void *user, const char *target, const void *data,
			size_t bytes)
{
	(void)udp;
	assert_ptr_equal(user, &u);
	assert_in_range(bytes, 0, sizeof(u.data));
	called(UDP_DATAGRAM, target);
	u.bytes = bytes;
	memcpy(u.data, data, bytes); /* still good, whatever was freed */
}

static void on_target_error(struct rstun_udp *udp, void *user, const char *target, int error,
			    const char *text)
{
	(void)udp;
	assert_ptr_equal(user, &u);
	called(UDP_TARGET_ERROR, target);
	u.error = error;
	snprintf(u.text, sizeof(u.text), "%s", text);
}

static void on_error(struct rstun_udp *udp, void *user, int error, const char *text)
{
	(void)udp;
	assert_ptr_equal(user, &u);
	called(UDP_ERROR, NULL);
	u.error = error;
	snprintf(u.text, sizeof(u.text), "%s", text);
}

static const struct rstun_udp_ops ops = {
	.size = sizeof(ops),
	.on_open = on_open,
	.on_datagram = on_datagram,
	.on_target_error = on_target_error,
	.on_error = on_error,
};

/* ---- running ---- */

static bool is_called(struct program *p)
{
	(void)p;
	for (int i = 0; i < UDP_CALLS; i++)
		if (u.calls[i] < u.wait_for[i])
			return false;
	return true;
}

/* Runs the loop until there was one more such call than by now. */
static void run(enum udp_call call)
{
	memcpy(u.wait_for, u.calls, sizeof(u.wait_for));
	u.wait_for[call]++;
	program_run_until(is_called, &u.p);
}

static void start(const char *password)
{
	memset(&u, 0, sizeof(u));
	program_start(&u.p, password);
}

static void open_udp(void)
{
	assert_int_equal(rstun_udp_open(&u.udp, u.p.client, &ops, &u), 0);
	assert_int_equal(u.calls[UDP_OPEN] + u.calls[UDP_ERROR], 0); /* not from inside */
}

static void start_open(void)
{
	start("secret");
	open_udp();
	run(UDP_OPEN);
}

static void expect_datagram(const char *target, const void *data, size_t bytes)
{
	run(UDP_DATAGRAM);
	assert_string_equal(u.target, target);
	assert_int_equal(u.bytes, bytes);
	assert_memory_equal(u.data, data, bytes);
}

/* The far side gets exactly that, and sends it back; returns the port that it came from. */
static uint16_t far_echo(int fd, const void *data, size_t bytes)
{
	static uint8_t got[RSTUN_UDP_DATAGRAM_MAX + 1];
	struct sockaddr_in from;
	socklen_t len = sizeof(from);

	program_far_wait(fd);
	assert_int_equal(recvfrom(fd, got, sizeof(got), 0, (struct sockaddr *)&from, &len),
			 (ssize_t)bytes);
	assert_memory_equal(got, data, bytes);
	assert_int_equal(sendto(fd, got, bytes, 0, (struct sockaddr *)&from, len), (ssize_t)bytes);
	return from.sin_port;
}

/* ---- what works ---- */

static void test_sizes(void **state)
{
	static const size_t sizes[] = {4, 0, 1, 1472, 1501, 9000, RSTUN_UDP_DATAGRAM_MAX};
	static const char *const malformed[] = {
		"", "x", "127.0.0.1:0", "127.0.0.1:70000", "unix:/x", "a b:1",
	};
	static uint8_t data[RSTUN_UDP_DATAGRAM_MAX + 1];
	char zeros[300] = "127.0.0.1:";
	uint16_t port = 0;

	(void)state;
	start("secret");
	open_udp();
	assert_int_equal(rstun_udp_send(u.udp, NULL, "early", 5), RSTUN_E_AGAIN);
	run(UDP_OPEN);
	assert_int_equal(u.p.last.mapping, 0);
	assert_int_equal(u.p.last.proto, RSTUN_UDP);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const void *sent = sizes[i] > 0 ? data : NULL;

		assert_int_equal(rstun_udp_send(u.udp, NULL, sent, sizes[i]), 0);
		if (i == 0)
			port = far_echo(pair_upstream[1], data, sizes[i]);
		else
			assert_int_equal(far_echo(pair_upstream[1], data, sizes[i]), port);
		expect_datagram("-", data, sizes[i]);
	}
	assert_int_equal(rstun_udp_send(u.udp, NULL, data, sizeof(data)), RSTUN_E_TOO_LARGE);
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		assert_int_equal(rstun_udp_send(u.udp, malformed[i], data, 1), RSTUN_E_MALFORMED);
	memset(zeros + 10, '0', sizeof(zeros) - 10);
	memcpy(zeros + sizeof(zeros) - 2, "9", 2);
	assert_int_equal(rstun_udp_send(u.udp, zeros, data, 1), RSTUN_E_MALFORMED);
	assert_int_equal(u.calls[UDP_ERROR] + u.calls[UDP_TARGET_ERROR], 0);
	program_end(&u.p);
}

/* Each under the name that it was written to, from a port of its own. */
static void test_targets(void **state)
{
	struct address address;
	char one[ADDRESS_TEXT_SIZE], two[16];
	int far = app_listen(MAPPING_UDP, &address);
	uint16_t ports[2];

	(void)state;
	address_format(one, sizeof(one), &address);
	snprintf(two, sizeof(two), "%u", address_port(&address)); /* the same */
	start_open();
	assert_int_equal(rstun_udp_send(u.udp, one, "one", 3), 0);
	ports[0] = far_echo(far, "one", 3);
	expect_datagram(one, "one", 3);
	assert_int_equal(rstun_udp_send(u.udp, two, "two", 3), 0);
	ports[1] = far_echo(far, "two", 3);
	expect_datagram(two, "two", 3);
	assert_int_not_equal(ports[0], ports[1]);
	assert_int_equal(rstun_udp_send(u.udp, NULL, "three", 5), 0);
	far_echo(pair_upstream[1], "three", 5);
	expect_datagram("-", "three", 5);
	assert_int_equal(rstun_udp_send(u.udp, one, "four", 4), 0);
	assert_int_equal(far_echo(far, "four", 4), ports[0]);
	expect_datagram(one, "four", 4);
	close(far);
	program_end(&u.p);
}

/* What was sent before it was freed is delivered. */
static void test_send_and_free(void **state)
{
	char got[8];

	(void)state;
	start_open();
	assert_int_equal(rstun_udp_send(u.udp, NULL, "last", 4), 0);
	rstun_udp_free(u.udp);
	program_far_wait(pair_upstream[1]);
	assert_int_equal(recv(pair_upstream[1], got, sizeof(got), 0), 4);
	rstun_udp_free(NULL);
	program_end(&u.p);
}

/* ---- limits ---- */

static void test_full(void **state)
{
	static const uint8_t data[1000];
	unsigned taken = 0;

	(void)state;
	start_open();
	while (rstun_udp_send(u.udp, "127.0.0.1:9", data, sizeof(data)) == 0)
		taken++;
	assert_in_range(taken, 100, LIMITS_UDP_QUEUE_BYTES / sizeof(data) + 1);
	assert_int_equal(rstun_udp_send(u.udp, "127.0.0.1:9", data, sizeof(data)), RSTUN_E_AGAIN);
	/* Of that target alone. */
	assert_int_equal(rstun_udp_send(u.udp, NULL, "ping", 4), 0);
	far_echo(pair_upstream[1], "ping", 4);
	expect_datagram("-", "ping", 4);
	program_end(&u.p);
}

static void test_too_many(void **state)
{
	static struct rstun_udp *objects[OBJECTS];
	char target[TARGETS] = "9"; /* 9, 09, 009, ... are different names, of two addresses */
	struct rstun_udp *one_more = NULL;

	(void)state;
	start_open();
	for (unsigned i = 0; i < TARGETS; i++) {
		snprintf(target, sizeof(target), i < TARGETS / 2 ? "%0*d" : "127.0.0.1:%0*d",
			 (int)(i % (TARGETS / 2)) + 1, 9);
		assert_int_equal(rstun_udp_send(u.udp, target, "x", 1), 0);
	}
	assert_int_equal(rstun_udp_send(u.udp, NULL, "x", 1), RSTUN_E_LIMIT_REACHED);
	for (unsigned i = 0; i + 1 < OBJECTS; i++)
		assert_int_equal(rstun_udp_open(&objects[i], u.p.client, &ops, &u), 0);
	assert_int_equal(rstun_udp_open(&one_more, u.p.client, &ops, &u), RSTUN_E_LIMIT_REACHED);
	assert_null(one_more);
	rstun_udp_free(objects[0]);
	assert_int_equal(rstun_udp_open(&one_more, u.p.client, &ops, &u), 0);
	assert_int_equal(rstun_udp_send(one_more, NULL, "ping", 4), 0);
	far_echo(pair_upstream[1], "ping", 4);
	expect_datagram("-", "ping", 4);
	program_end(&u.p);
}

/* ---- what goes wrong ---- */

static void test_target_errors(void **state)
{
	(void)state;
	rig_stop_server(&program_rig);
	program_rig.server_config.udp_upstream.kind = TARGET_DEFAULT; /* there is none */
	rig_start_server(&program_rig);
	start_open();
	assert_int_equal(rstun_udp_send(u.udp, "a-name-that-nobody-has.invalid:9", "x", 1), 0);
	run(UDP_TARGET_ERROR);
	assert_string_equal(u.target, "a-name-that-nobody-has.invalid:9");
	assert_int_equal(u.error, RSTUN_E_DNS_FAILED);
	assert_string_equal(u.text, "name not found");
	assert_int_equal(rstun_udp_send(u.udp, NULL, "x", 1), 0);
	run(UDP_TARGET_ERROR);
	assert_string_equal(u.target, "-");
	assert_int_equal(u.error, RSTUN_E_ACCESS_DENIED);
	/* And again. */
	assert_int_equal(rstun_udp_send(u.udp, NULL, "x", 1), 0);
	run(UDP_TARGET_ERROR);
	assert_int_equal(u.calls[UDP_ERROR] + u.calls[UDP_DATAGRAM], 0);
	program_end(&u.p);
}

static void test_no_tunnel(void **state)
{
	(void)state;
	start("wrong password");
	for (int i = 0; i < 2; i++) { /* the second one need not wait */
		memset(u.calls, 0, sizeof(u.calls));
		open_udp();
		run(UDP_ERROR);
		assert_int_equal(u.error, RSTUN_E_AUTH_FAILED);
		assert_int_equal(rstun_udp_send(u.udp, NULL, "x", 1), RSTUN_E_AUTH_FAILED);
		assert_int_equal(u.calls[UDP_OPEN], 0);
		rstun_udp_free(u.udp);
	}
	program_end(&u.p);
}

static void test_no_server(void **state)
{
	(void)state;
	rig_stop_server(&program_rig);
	start("secret");
	open_udp();
	run(UDP_ERROR);
	assert_int_equal(u.error, RSTUN_E_TIMEOUT);
	assert_string_equal(u.text, "the tunnel did not come up in time");
	program_end(&u.p);
	rig_start_server(&program_rig);
}

static bool is_down(struct program *p)
{
	return p->changes[RSTUN_STATE_RECONNECTING] > 0;
}

/* It outlives a tunnel, but does not wait for another one for ever. */
static void test_lost_tunnel(void **state)
{
	(void)state;
	start_open();
	assert_int_equal(rstun_udp_send(u.udp, NULL, "ping", 4), 0);
	far_echo(pair_upstream[1], "ping", 4);
	expect_datagram("-", "ping", 4);
	rig_stop_server(&program_rig);
	program_run_until(is_down, &u.p);
	assert_int_equal(rstun_udp_send(u.udp, NULL, "lost", 4), RSTUN_E_AGAIN);
	rig_start_server(&program_rig);
	run(UDP_OPEN);
	assert_int_equal(rstun_udp_send(u.udp, NULL, "pong", 4), 0);
	far_echo(pair_upstream[1], "pong", 4);
	expect_datagram("-", "pong", 4);
	assert_int_equal(u.calls[UDP_ERROR] + u.calls[UDP_TARGET_ERROR], 0);
	rig_stop_server(&program_rig);
	run(UDP_ERROR);
	assert_int_equal(u.error, RSTUN_E_TIMEOUT);
	assert_int_equal(rstun_udp_send(u.udp, NULL, "x", 1), RSTUN_E_TIMEOUT);
	program_end(&u.p);
	rig_start_server(&program_rig);
}

static void test_stop(void **state)
{
	struct rstun_udp *late = NULL;

	(void)state;
	start_open();
	assert_int_equal(rstun_client_stop(u.p.client, 60000), 0);
	assert_int_equal(rstun_udp_open(&late, u.p.client, &ops, &u), RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(u.calls[UDP_ERROR], 0);
	run(UDP_ERROR);
	assert_int_equal(u.error, RSTUN_E_SHUTTING_DOWN);
	assert_string_equal(u.text, "the client was stopped");
	program_run_until(program_is_stopped, &u.p);
	assert_null(late);
	program_end(&u.p);
}

/* ---- idle ---- */

static void on_passed(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	*(bool *)user = true;
}

/* A flow that was idle has ended at the server, too: what the target sends to its port is for
 * nobody. The next datagram comes from another port. */
static void test_idle(void **state)
{
	const struct rstun_client_ops client_ops = {.size = sizeof(client_ops)};
	const struct timeval turn = {.tv_usec = 20000};
	char server[ADDRESS_TEXT_SIZE];
	const struct rstun_option options[] = {
		{"server-addr", program_server(server)},
		{"password", "secret"},
		{"udp-timeout-ms", "50"},
	};
	uint16_t port, next;

	(void)state;
	memset(&u, 0, sizeof(u));
	assert_int_equal(rstun_context_new(&u.p.context, program_base), 0);
	assert_int_equal(rstun_client_new(&u.p.client, u.p.context, options, 3, &client_ops, &u,
					  NULL, 0),
			 0);
	open_udp();
	run(UDP_OPEN);
	assert_int_equal(rstun_udp_send(u.udp, NULL, "ping", 4), 0);
	port = far_echo(pair_upstream[1], "ping", 4);
	expect_datagram("-", "ping", 4);
	/* Nothing tells when the time is over: ask with pauses that grow. */
	next = port;
	for (int turns = 1; next == port; turns++) {
		for (int i = 0; i < turns; i++) {
			bool passed = false;

			event_base_once(program_base, -1, EV_TIMEOUT, on_passed, &passed, &turn);
			while (!passed)
				event_base_loop(program_base, EVLOOP_ONCE);
		}
		assert_int_equal(rstun_udp_send(u.udp, NULL, "ping", 4), 0);
		next = far_echo(pair_upstream[1], "ping", 4);
		expect_datagram("-", "ping", 4);
		assert_in_range(turns, 1, 100);
	}
	assert_int_equal(u.calls[UDP_ERROR] + u.calls[UDP_TARGET_ERROR], 0);
	program_end(&u.p);
}

/* ---- the original server ---- */

static struct quic_endpoint *original;

/* Answers a login without a word of what it is; what comes on other streams it sends back, behind
 * the target at its beginning. */
static void original_on_readable(struct quic_stream *s, void *user)
{
	static const char success[] = {0, 0, 0, 2, WIRE_RESP_SUCCESS, 0};
	uint8_t data[4096];
	size_t bytes = quic_stream_read(s, data, sizeof(data)), at;
	bool *begun = user;

	if (begun == NULL && bytes > 4 && data[4] == WIRE_REQ_LOGIN)
		quic_stream_write(s, success, sizeof(success));
	if (begun == NULL || bytes == 0)
		return;
	at = *begun || data[0] != 0 ? 0 : 1; /* no target */
	*begun = true;
	quic_stream_write(s, data + at, bytes - at);
}

static const struct quic_stream_ops original_stream_ops = {.on_readable = original_on_readable};

static void original_on_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	static bool begun;

	(void)c;
	(void)user;
	begun = false;
	quic_stream_set_ops(s, &original_stream_ops, quic_stream_id(s) == 0 ? NULL : &begun);
}

static const struct quic_conn_ops original_conn_ops = {.on_stream = original_on_stream};

static void original_on_accept(struct quic_endpoint *endpoint, void *user, struct quic_conn *c)
{
	(void)endpoint;
	(void)user;
	quic_conn_set_ops(c, &original_conn_ops, NULL);
}

static void original_start(struct rig *r, void *arg)
{
	static const struct quic_endpoint_ops endpoint_ops = {.on_accept = original_on_accept};
	struct quic_endpoint_config config = {
		.loop = &r->loop,
		.log = &r->log,
		.pool = &r->pool,
		.worker_count = 1,
		.credentials = r->credentials,
		.ops = &endpoint_ops,
	};
	struct address any;
	int fd;

	(void)arg;
	quic_config_default(&config.quic);
	config.quic.streams_before_login = 8;
	random_bytes(config.secret, sizeof(config.secret));
	assert_int_equal(quic_endpoint_new(&original, &config), 0);
	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(quic_endpoint_bind(&any, false, &fd, &r->server_address), 0);
	assert_int_equal(quic_endpoint_listen(original, fd), 0);
}

static void original_stop(struct rig *r, void *arg)
{
	(void)r;
	(void)arg;
	quic_endpoint_free(original);
}

/* It would lead what is named elsewhere; to its own upstream is fine. */
static void test_original(void **state)
{
	static uint8_t data[1501];

	(void)state;
	rig_stop_server(&program_rig);
	rig_call(&program_rig, original_start, NULL);
	start_open();
	assert_int_equal(rstun_udp_send(u.udp, "127.0.0.1:53", "x", 1),
			 RSTUN_E_PEER_LACKS_FEATURE);
	assert_int_equal(rstun_udp_send(u.udp, NULL, data, sizeof(data)), RSTUN_E_TOO_LARGE);
	assert_int_equal(rstun_udp_send(u.udp, NULL, "ping", 4), 0);
	expect_datagram("-", "ping", 4);
	program_end(&u.p);
	rig_call(&program_rig, original_stop, NULL);
	program_rig.server_address.len = 0;
	rig_start_server(&program_rig);
}

/* ---- freeing ---- */

static bool is_freed(struct program *p)
{
	return p->freed;
}

/* Everything may be freed in every callback, also with more to tell. */
static void test_free_in_calls(void **state)
{
	static const char nobody[] = "a-name-that-nobody-has.invalid:9";

	(void)state;
	for (int in = UDP_OPEN; in < UDP_CALLS; in++) {
		for (int what = PROGRAM_FREE_CHANNEL; what <= PROGRAM_FREE_CONTEXT; what++) {
			start(in == UDP_ERROR ? "wrong password" : "secret");
			u.freeing = (enum program_freeing)what;
			u.in = (enum udp_call)in;
			open_udp();
			if (in == UDP_DATAGRAM || in == UDP_TARGET_ERROR)
				run(UDP_OPEN);
			if (in == UDP_TARGET_ERROR)
				assert_int_equal(rstun_udp_send(u.udp, nobody, "x", 1), 0);
			for (int i = 0; in == UDP_DATAGRAM && i < 3; i++)
				assert_int_equal(rstun_udp_send(u.udp, NULL, "ping", 4), 0);
			for (int i = 0; in == UDP_DATAGRAM && i < 3 && !u.p.freed; i++)
				far_echo(pair_upstream[1], "ping", 4);
			program_run_until(is_freed, &u.p);
			if (in == UDP_DATAGRAM)
				assert_memory_equal(u.data, "ping", 4);
			program_end(&u.p);
		}
	}
}

/* No callbacks at all. */
static void test_no_ops(void **state)
{
	const struct rstun_udp_ops none = {.size = sizeof(none)}, no_size = {.size = 0};

	(void)state;
	start("secret");
	assert_int_equal(rstun_udp_open(&u.udp, u.p.client, &no_size, &u), RSTUN_E_MALFORMED);
	assert_int_equal(rstun_udp_open(&u.udp, u.p.client, &none, &u), 0);
	while (rstun_udp_send(u.udp, NULL, "ping", 4) == RSTUN_E_AGAIN)
		event_base_loop(program_base, EVLOOP_ONCE);
	assert_int_equal(rstun_udp_send(u.udp, "a-name-that-nobody-has.invalid:9", "x", 1), 0);
	far_echo(pair_upstream[1], "ping", 4);
	rstun_client_stop(u.p.client, 0);
	program_run_until(program_is_stopped, &u.p);
	assert_int_equal(rstun_udp_send(u.udp, NULL, "x", 1), RSTUN_E_SHUTTING_DOWN);
	program_end(&u.p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_sizes),
		TEST(test_targets),
		TEST(test_send_and_free),
		TEST(test_full),
		TEST(test_too_many),
		TEST(test_target_errors),
		TEST(test_no_tunnel),
		TEST(test_no_server),
		TEST(test_lost_tunnel),
		TEST(test_stop),
		TEST(test_idle),
		TEST(test_original),
		TEST(test_free_in_calls),
		TEST(test_no_ops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
