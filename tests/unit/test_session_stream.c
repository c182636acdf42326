/* SPDX-License-Identifier: MIT */
/*
 * A server's session on its control stream, between two connections in memory: what a login leaves
 * in memory, and a client that asks for heartbeats and never reads the answers.
 */
#include "quic_rig.h"

#include "base/clock.h"
#include "base/loop.h"
#include "quic/stream.h"
#include "tls/credentials.h"
#include "tunnel/session_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CANARY "canary-4711"

static struct rig rig;
static struct loop loop;
static struct session_stream server;
static struct quic_stream *control; /* the client's */
static const uint8_t *login_at;     /* where the login lay at the server */
static size_t login_bytes;
static bool ready, stop;
static size_t asked_bytes;

static void on_ready(struct quic_conn *c, void *user)
{
	(void)c;
	(void)user;
	ready = true;
}

static void on_login(void *user, const struct wire_login *login, const struct wire_trailer *trailer)
{
	struct iovec iov;

	(void)user;
	(void)trailer;
	assert_string_equal(login->password, CANARY);
	assert_int_equal(quic_stream_peek(server.stream, &iov, 1), 1);
	login_at = iov.iov_base;
	login_bytes = iov.iov_len;
	assert_int_equal(session_stream_accept(&server, false, NULL), 0);
}

static void on_failure(void *user, const struct session_failure *failure)
{
	(void)user;
	fail_msg("%s", failure->text);
}

static const struct session_stream_ops server_ops = {
	.on_login = on_login,
	.on_failure = on_failure,
};

static void on_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	(void)c;
	(void)user;
	session_stream_attach(&server, s);
}

static void on_close(struct quic_conn *c, void *user, const struct quic_close *why)
{
	(void)c;
	(void)user;
	(void)why;
}

static const struct quic_conn_ops server_conn_ops = {.on_stream = on_stream, .on_close = on_close};
static const struct quic_conn_ops client_conn_ops = {.on_ready = on_ready, .on_close = on_close};

static void on_accept(struct rig *r, struct quic_conn *c)
{
	struct session_config config;

	(void)r;
	session_config_default(&config);
	quic_conn_set_ops(c, &server_conn_ops, NULL);
	session_stream_init(&server, &loop, &config, &server_ops, NULL);
	session_stream_wait(&server);
}

/* Heartbeats as long as there is room, the same one again and again. */
static void ask(struct quic_stream *s, void *user)
{
	static const uint8_t heartbeat[] = {0, 0, 0, 2, WIRE_REQ_HEARTBEAT, 1};

	(void)user;
	while (!stop && quic_stream_write(s, heartbeat, sizeof(heartbeat)) == 0)
		asked_bytes += sizeof(heartbeat);
}

static bool is_ready(struct rig *r)
{
	(void)r;
	return ready;
}

static bool never(struct rig *r)
{
	(void)r;
	return false;
}

static void log_in(void)
{
	static const struct quic_stream_ops ops = {.on_writable = ask};
	static struct wire_message message;
	uint8_t buf[WIRE_MESSAGE_MAX];
	int n;

	memset(&message, 0, sizeof(message));
	message.kind = WIRE_REQ_LOGIN;
	message.login.mode = MAPPING_OUT;
	snprintf(message.login.password, sizeof(message.login.password), CANARY);
	n = wire_encode(buf, sizeof(buf), &message);
	assert_true(n > 0);
	assert_int_equal(quic_conn_open_stream(rig.client, &ops, NULL, &control), 0);
	assert_int_equal(quic_stream_write(control, buf, (size_t)n), 0);
	rig_run(&rig, never, CLOCK_NS_PER_S);
	assert_true(session_is_up(&server.session));
}

static int set_up(void **state)
{
	(void)state;
	ready = stop = false;
	asked_bytes = 0;
	assert_int_equal(tls_global_init(), 0);
	rig_init(&rig);
	rig.config.send_buffer_bytes = 64 * 1024;
	rig.config.streams_before_login = 1;
	rig.on_accept = on_accept;
	assert_int_equal(loop_init(&loop, NULL, &rig.log), 0);
	rig_connect(&rig, &client_conn_ops, NULL);
	assert_true(rig_run(&rig, is_ready, 10 * CLOCK_NS_PER_S));
	log_in();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	session_stream_done(&server);
	rig_done(&rig);
	loop_done(&loop);
	tls_global_done();
	return 0;
}

/* The chunk is back in the pool, for anybody. */
static void test_login_is_wiped(void **state)
{
	(void)state;
	assert_in_range(login_bytes, sizeof(CANARY), CHUNK_BYTES);
	assert_null(memmem(login_at, login_bytes, CANARY, sizeof(CANARY) - 1));
}

/* Its answers fill all buffers, so it is not heard any more; when it says that it wants none, it
 * is heard again although nothing else comes from it. */
static void test_answers_nobody_reads(void **state)
{
	size_t held;

	(void)state;
	ask(control, NULL);
	rig_run(&rig, never, 20 * CLOCK_NS_PER_S);
	stop = true;
	held = quic_stream_unsent(control);
	assert_true(held > 0);
	assert_true(asked_bytes > 256 * 1024);
	assert_true(server.session.out != NULL);
	quic_stream_stop_reading(control, 0);
	rig_run(&rig, never, CLOCK_NS_PER_S);
	assert_int_equal(quic_stream_unsent(control), 0);
	assert_true(session_is_up(&server.session));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_login_is_wiped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_answers_nobody_reads, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
