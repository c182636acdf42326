/* SPDX-License-Identifier: MIT */
/*
 * Probes against servers that are not ours, or older: the original and rstunds that know no probes
 * must never be sent an IN login, the original's silence is found out about, and a server that says
 * nothing costs a bounded time.
 */
#include "tests/unit/probe_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "quic/endpoint.h"
#include "tls/credentials.h"
#include "tunnel/session_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum raw_kind { RAW_OLD, RAW_ORIGINAL, RAW_VAGUE, RAW_WRONG, RAW_MUTE };

struct raw_conn {
	struct session_stream control;
	struct quic_conn *conn;
	bool live;
};

static struct quic_endpoint *raw_endpoint;
static enum raw_kind raw_kind;
static unsigned raw_logins, raw_in_logins;

static void raw_on_login(void *user, const struct wire_login *login,
			 const struct wire_trailer *trailer)
{
	static const char success[] = {0, 0, 0, 2, WIRE_RESP_SUCCESS, 0};
	struct raw_conn *c = user;
	bool refused = !login->channel && !login->has_upstream;

	(void)trailer;
	raw_logins++;
	raw_in_logins += !login->channel && login->mode == MAPPING_IN;
	switch (raw_kind) {
	case RAW_OLD:
		session_stream_accept(&c->control, false, NULL);
		break;
	case RAW_ORIGINAL:
	case RAW_VAGUE:
		if (raw_kind == RAW_VAGUE && refused)
			quic_conn_close(c->conn, 0, "");
		else
			quic_stream_write(c->control.stream, success, sizeof(success));
		break;
	case RAW_WRONG:
		quic_conn_close(c->conn, 0, "");
		break;
	case RAW_MUTE:
		break;
	}
}

static void raw_on_failure(void *user, const struct session_failure *failure)
{
	(void)user;
	(void)failure;
}

static void raw_on_delivered(void *user)
{
	(void)user;
}

static const struct session_stream_ops raw_control_ops = {
	.on_login = raw_on_login,
	.on_failure = raw_on_failure,
	.on_delivered = raw_on_delivered,
};

static void raw_on_ready(struct quic_conn *conn, void *user)
{
	struct raw_conn *c = user;
	struct session_config config;

	(void)conn;
	session_config_default(&config); /* without the feature */
	config.software = "rstund 0.0";
	config.answer_timeout_ns = 60 * CLOCK_NS_PER_S;
	session_stream_init(&c->control, &probe_rig.loop, &config, &raw_control_ops, c);
	c->live = true;
	session_stream_wait(&c->control);
}

static void raw_on_stream(struct quic_conn *conn, void *user, struct quic_stream *s)
{
	struct raw_conn *c = user;

	(void)conn;
	session_stream_attach(&c->control, s);
}

static void raw_on_close(struct quic_conn *conn, void *user, const struct quic_close *why)
{
	struct raw_conn *c = user;

	(void)conn;
	(void)why;
	if (c->live)
		session_stream_done(&c->control);
	free(c);
}

static const struct quic_conn_ops raw_conn_ops = {
	.on_ready = raw_on_ready,
	.on_stream = raw_on_stream,
	.on_close = raw_on_close,
};

static void raw_on_accept(struct quic_endpoint *ep, void *user, struct quic_conn *conn)
{
	struct raw_conn *c = calloc(1, sizeof(*c));

	(void)ep;
	(void)user;
	assert_non_null(c);
	c->conn = conn;
	quic_conn_set_ops(conn, &raw_conn_ops, c);
}

static void start_raw(struct rig *r, void *arg)
{
	static const struct quic_endpoint_ops ops = {.on_accept = raw_on_accept};
	struct quic_endpoint_config config = {
		.loop = &r->loop,
		.log = &r->log,
		.pool = &r->pool,
		.worker_count = 1,
		.credentials = r->credentials,
		.ops = &ops,
	};
	struct address any;
	int fd;

	(void)arg;
	quic_config_default(&config.quic);
	random_bytes(config.secret, sizeof(config.secret));
	assert_int_equal(quic_endpoint_new(&raw_endpoint, &config), 0);
	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(quic_endpoint_bind(&any, false, &fd, &r->server_address), 0);
	assert_int_equal(quic_endpoint_listen(raw_endpoint, fd), 0);
}

static void stop_raw(struct rig *r, void *arg)
{
	(void)r;
	(void)arg;
	quic_endpoint_free(raw_endpoint);
}

static void begin_raw(enum raw_kind kind)
{
	raw_kind = kind;
	raw_logins = raw_in_logins = 0;
	rig_init(&probe_rig);
	rig_call(&probe_rig, start_raw, NULL);
	memset(probe_runs, 0, sizeof(probe_runs));
	rig_start_client(&probe_rig);
}

static void end_raw(unsigned logins)
{
	rig_stop_client(&probe_rig);
	rig_call(&probe_rig, stop_raw, NULL);
	assert_int_equal(raw_logins, logins);
	assert_int_equal(raw_in_logins, 0); /* that one would have bound something */
	rig_done(&probe_rig);
}

static void probe_without_feature(enum raw_kind kind, const char *software)
{
	const struct probe_step_result *r;
	struct address local, remote = probe_nobody(MAPPING_TCP);
	int fd = app_listen(MAPPING_TCP, &local);
	char text[128];

	begin_raw(kind);
	r = probe_expect(MAPPING_TCP, probe_out(text, &local), ALL_WELL, 0);
	probe_is(&r[PROBE_LOGIN], PROBE_OK, software);
	probe_is(&r[PROBE_BIND], PROBE_SKIPPED, "listens here");
	probe_is(&r[PROBE_UPSTREAM], PROBE_SKIPPED, software);
	r = probe_expect(MAPPING_TCP, probe_in(text, &local, &remote), ALL_WELL, 0);
	probe_is(&r[PROBE_BIND], PROBE_SKIPPED, software);
	probe_is(&r[PROBE_UPSTREAM], PROBE_OK, "accepts connections from here");
	probe_expect(MAPPING_TCP, NULL, ALL_WELL, 0);
	close(fd);
	end_raw(3);
}

static void test_older_server(void **state)
{
	(void)state;
	probe_without_feature(RAW_OLD, "rstund 0.0");
}

static void test_original(void **state)
{
	(void)state;
	probe_without_feature(RAW_ORIGINAL, "the original");
}

/* The original without default upstreams says nothing; that the password is right is found out. */
static void test_vague_refusal(void **state)
{
	const struct probe_step_result *r;

	(void)state;
	begin_raw(RAW_VAGUE);
	r = probe_expect(MAPPING_TCP, "OUT^127.0.0.1:0^ANY", PROBE_UPSTREAM,
			 RSTUN_E_NO_DEFAULT_UPSTREAM);
	probe_says(r, "--tcp-upstream");
	assert_int_equal(probe_runs[0].steps[PROBE_LOGIN].outcome, PROBE_OK);
	r = probe_expect(MAPPING_UDP, "OUT^127.0.0.1:0^localhost:9", ALL_WELL, 0);
	probe_is(&r[PROBE_UPSTREAM], PROBE_SKIPPED, "takes no names");
	end_raw(4);
}

static void test_wrong_password_at_original(void **state)
{
	const struct probe_step_result *r;

	(void)state;
	begin_raw(RAW_WRONG);
	r = probe_expect(MAPPING_TCP, "OUT^127.0.0.1:0^ANY", PROBE_LOGIN, RSTUN_E_AUTH_FAILED);
	probe_says(r, "as the original does for a wrong password");
	probe_expect(MAPPING_TCP, NULL, PROBE_LOGIN, RSTUN_E_AUTH_FAILED);
	probe_expect(MAPPING_TCP, "IN^127.0.0.1:9^127.0.0.1:9", PROBE_LOGIN, RSTUN_E_AUTH_FAILED);
	end_raw(4);
}

static void test_mute_server(void **state)
{
	const struct probe_step_result *r;

	(void)state;
	begin_raw(RAW_MUTE);
	probe_runs[0].timeout_ms = 1000;
	r = probe_expect(MAPPING_TCP, NULL, PROBE_LOGIN, RSTUN_E_TIMEOUT);
	probe_says(r, "did not answer within 1 s");
	end_raw(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_older_server),
		cmocka_unit_test(test_original),
		cmocka_unit_test(test_vague_refusal),
		cmocka_unit_test(test_wrong_password_at_original),
		cmocka_unit_test(test_mute_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
