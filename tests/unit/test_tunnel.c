/* SPDX-License-Identifier: MIT */
/*
 * Client and server of the tunnel together, on loopback with real sockets: the four kinds of
 * mapping, ends of flows, refusals, reconnecting. The daemon's tests do more of this with real
 * programs; here it is the library alone.
 */
#include "tests/unit/tunnel_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "tls/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BULK (4 << 20)

/* Rigs are static: a test that fails leaves its thread behind. */

static char *bulk(void)
{
	char *data = malloc(BULK);
	uint32_t x = 1;

	assert_non_null(data);
	for (size_t i = 0; i < BULK; i++) {
		x = x * 1664525 + 1013904223;
		data[i] = (char)(x >> 24);
	}
	return data;
}

static void set_upstream(struct target *t, const struct address *a)
{
	*t = (struct target){.kind = TARGET_ADDRESS, .address = *a};
}

/* A server whose default upstream is ours, and a client with one OUT^0^ANY mapping. */
static int start_out(struct rig *r, enum mapping_proto proto)
{
	struct address upstream;
	int fd = app_listen(proto, &upstream);

	rig_init(r);
	set_upstream(proto == MAPPING_TCP ? &r->server_config.tcp_upstream
					  : &r->server_config.udp_upstream,
		     &upstream);
	rig_start_server(r);
	rig_start_client(r);
	rig_add(r, 1, proto, "OUT^127.0.0.1:0^ANY");
	rig_wait(r, 1, TUNNEL_TUNNELING);
	return fd;
}

static int start_in(struct rig *r, enum mapping_proto proto, struct address *ret_bound)
{
	char text[128], local[ADDRESS_TEXT_SIZE];
	struct address address;
	int fd = app_listen(proto, &address);
	struct rig_mapping m;

	rig_init(r);
	rig_start_server(r);
	rig_start_client(r);
	snprintf(text, sizeof(text), "IN^%s^127.0.0.1:0",
		 address_format(local, sizeof(local), &address));
	rig_add(r, 1, proto, text);
	m = rig_wait(r, 1, TUNNEL_TUNNELING);
	assert_int_not_equal(address_port(&m.bound), 0);
	*ret_bound = m.bound;
	return fd;
}

/* Bytes both ways, then each side ends its direction while the other goes on. */
static void check_stream(int app, int far)
{
	char *data = bulk();
	size_t piece = 64 << 10;

	app_send(app, "hello", 5);
	app_expect(far, "hello", 5);
	app_send(far, "welcome", 7);
	app_expect(app, "welcome", 7);
	for (size_t at = 0; at < BULK; at += piece) {
		app_send(app, data + at, piece);
		app_expect(far, data + at, piece);
	}
	shutdown(app, SHUT_WR);
	app_expect_end(far);
	for (size_t at = 0; at < BULK; at += piece) {
		app_send(far, data + at, piece);
		app_expect(app, data + at, piece);
	}
	close(far);
	app_expect_end(app);
	close(app);
	free(data);
}

static bool one_flow_ended(struct rig *r)
{
	return r->mappings[1].flows == 1;
}

static void keep_counters(void *user, uint64_t id, const struct tunnel_counters *counters)
{
	struct rig *r = user;

	r->mappings[id].stat = *counters;
}

static void count_client(struct rig *r, void *arg)
{
	struct tunnel_counters sum;

	(void)arg;
	client_tally_begin(r->client);
	assert_false(client_tally_next(r->client, SIZE_MAX, keep_counters, r, &sum));
}

static void test_tcp_out(void **state)
{
	static struct rig r;
	int upstream = start_out(&r, MAPPING_TCP);
	int app = app_connect(MAPPING_TCP, &r.listen[1]);

	(void)state;
	check_stream(app, app_accept(upstream));
	rig_wait_for(&r, one_flow_ended);
	assert_int_equal(r.mappings[1].flow_error, 0);
	assert_true(r.mappings[1].unverified);
	assert_string_equal(r.mappings[1].software, PACKAGE_STRING);
	rig_call(&r, count_client, NULL);
	assert_int_equal(r.mappings[1].stat.total_conns, 1);
	assert_int_equal(r.mappings[1].stat.active_conns, 0);
	assert_int_equal(r.mappings[1].stat.payload_in_bytes, BULK + 5);
	assert_int_equal(r.mappings[1].stat.payload_out_bytes, BULK + 7);
	assert_true(r.mappings[1].stat.tx_bytes > BULK);
	close(upstream);
	rig_done(&r);
}

static void test_tcp_in(void **state)
{
	static struct rig r;
	struct address bound;
	int local = start_in(&r, MAPPING_TCP, &bound);
	int app = app_connect(MAPPING_TCP, &bound);

	(void)state;
	check_stream(app, app_accept(local));
	close(local);
	rig_done(&r);
}

/* The far side speaks first: it must see the connection before a byte was sent. */
static void test_server_first(void **state)
{
	static struct rig r;
	struct address bound;
	int listener = start_out(&r, MAPPING_TCP);
	int app = app_connect(MAPPING_TCP, &r.listen[1]), far = app_accept(listener);

	(void)state;
	app_send(far, "220 ready\r\n", 11);
	app_expect(app, "220 ready\r\n", 11);
	close(app);
	close(far);
	close(listener);
	rig_done(&r);

	listener = start_in(&r, MAPPING_TCP, &bound);
	app = app_connect(MAPPING_TCP, &bound);
	far = app_accept(listener);
	app_send(far, "220 ready\r\n", 11);
	app_expect(app, "220 ready\r\n", 11);
	close(app);
	close(far);
	close(listener);
	rig_done(&r);
}

static void check_datagrams(int app, int far)
{
	static const size_t sizes[] = {0, 1, 1200, 1472, 1501, 9000, 65507};
	char *data = bulk(), *got = malloc(65536);
	struct sockaddr_storage from;
	socklen_t len;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		len = sizeof(from);
		assert_int_equal(send(app, data + i, sizes[i], 0), sizes[i]);
		assert_int_equal(recvfrom(far, got, 65536, 0, (struct sockaddr *)&from, &len),
				 sizes[i]);
		assert_memory_equal(got, data + i, sizes[i]);
		assert_int_equal(
			sendto(far, data + 7 + i, sizes[i], 0, (struct sockaddr *)&from, len),
			sizes[i]);
		assert_int_equal(recv(app, got, 65536, 0), sizes[i]);
		assert_memory_equal(got, data + 7 + i, sizes[i]);
	}
	free(data);
	free(got);
}

static void test_udp_out(void **state)
{
	static struct rig r;
	int upstream = start_out(&r, MAPPING_UDP);
	int app = app_connect(MAPPING_UDP, &r.listen[1]);

	(void)state;
	check_datagrams(app, upstream);
	close(app);
	close(upstream);
	rig_done(&r);
}

static void test_udp_in(void **state)
{
	static struct rig r;
	struct address bound;
	int local = start_in(&r, MAPPING_UDP, &bound);
	int app = app_connect(MAPPING_UDP, &bound);

	(void)state;
	check_datagrams(app, local);
	close(app);
	close(local);
	rig_done(&r);
}

/* A reset of either application, and an upstream that is not there, reach the other side as a
 * reset. */
static void test_resets(void **state)
{
	static struct rig r;
	int upstream = start_out(&r, MAPPING_TCP);
	int app = app_connect(MAPPING_TCP, &r.listen[1]), far = app_accept(upstream);

	(void)state;
	app_send(app, "x", 1);
	app_expect(far, "x", 1);
	app_reset(far);
	app_expect_reset(app);

	app = app_connect(MAPPING_TCP, &r.listen[1]);
	far = app_accept(upstream);
	app_reset(app);
	app_expect_reset(far);

	close(upstream);
	app = app_connect(MAPPING_TCP, &r.listen[1]);
	app_expect_reset(app);
	rig_done(&r);
}

/* A name as target is resolved on the dialling side; an explicit upstream wins over the default. */
static void test_names(void **state)
{
	static struct rig r;
	struct address upstream;
	char text[128];
	int listener = app_listen(MAPPING_TCP, &upstream), app, far;

	(void)state;
	rig_init(&r);
	rig_start_server(&r);
	rig_start_client(&r);
	snprintf(text, sizeof(text), "OUT^127.0.0.1:0^localhost:%u", address_port(&upstream));
	rig_add(&r, 1, MAPPING_TCP, text);
	snprintf(text, sizeof(text), "IN^localhost:%u^0", address_port(&upstream));
	rig_add(&r, 2, MAPPING_TCP, text);
	rig_wait(&r, 1, TUNNEL_TUNNELING);
	rig_wait(&r, 2, TUNNEL_TUNNELING);
	app = app_connect(MAPPING_TCP, &r.listen[1]);
	far = app_accept(listener);
	app_send(far, "one", 3);
	app_expect(app, "one", 3);
	close(app);
	close(far);
	app = app_connect(MAPPING_TCP, &r.mappings[2].bound);
	far = app_accept(listener);
	app_send(far, "two", 3);
	app_expect(app, "two", 3);
	close(app);
	close(far);
	close(listener);
	rig_done(&r);
}

/* ---- refusals ---- */

static bool auth_held(struct rig *r)
{
	return r->auth_held;
}

static void test_wrong_password(void **state)
{
	static struct rig r;
	struct rig_mapping m;

	(void)state;
	rig_init(&r);
	free(r.client_config.password);
	r.client_config.password = strdup("wrong");
	rig_start_server(&r);
	rig_start_client(&r);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^127.0.0.1:9");
	rig_add(&r, 2, MAPPING_TCP, "OUT^127.0.0.1:0^127.0.0.1:9");
	m = rig_wait(&r, 1, TUNNEL_FAILED);
	rig_wait_for(&r, auth_held);
	assert_int_equal(m.error, RSTUN_E_AUTH_FAILED);
	assert_true(m.next_retry_ms >= 30000);
	assert_non_null(strstr(m.text, "wrong password"));
	/* The other one has not been tried. */
	assert_int_equal(r.refused, 1);
	assert_int_equal(r.refused_error, RSTUN_E_AUTH_FAILED);
	assert_int_equal(r.mappings[2].tunnels, 0);
	assert_int_equal(r.mappings[2].changes, 0);
	rig_done(&r);
}

static void check_refused(const char *text, enum mapping_proto proto, int error,
			  enum tunnel_state state, const char *words)
{
	static struct rig r;
	struct rig_mapping m;

	rig_init(&r);
	rig_start_server(&r);
	rig_start_client(&r);
	rig_add(&r, 1, proto, text);
	m = rig_wait(&r, 1, state);
	assert_int_equal(m.error, error);
	if (strstr(m.text, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, m.text);
	assert_int_equal(m.tunnels, 0);
	rig_done(&r);
}

static void test_refused(void **state)
{
	struct address busy;
	char text[128], where[ADDRESS_TEXT_SIZE];
	int fd;

	(void)state;
	check_refused("OUT^127.0.0.1:0^ANY", MAPPING_TCP, RSTUN_E_NO_DEFAULT_UPSTREAM,
		      TUNNEL_FAILED, "default tcp upstream");
	check_refused("OUT^127.0.0.1:0^ANY", MAPPING_UDP, RSTUN_E_NO_DEFAULT_UPSTREAM,
		      TUNNEL_FAILED, "default udp upstream");
	fd = app_listen(MAPPING_TCP, &busy);
	snprintf(text, sizeof(text), "IN^127.0.0.1:9^%s",
		 address_format(where, sizeof(where), &busy));
	check_refused(text, MAPPING_TCP, RSTUN_E_REMOTE_ADDRESS_IN_USE, TUNNEL_RECONNECTING,
		      "tcp server failed to bind at: 127.0.0.1:");
	close(fd);
	fd = app_listen(MAPPING_UDP, &busy);
	snprintf(text, sizeof(text), "IN^127.0.0.1:9^%s",
		 address_format(where, sizeof(where), &busy));
	check_refused(text, MAPPING_UDP, RSTUN_E_REMOTE_ADDRESS_IN_USE, TUNNEL_RECONNECTING,
		      "udp server failed to bind at: 127.0.0.1:");
	close(fd);
}

/* ---- trust ---- */

static void test_pin(void **state)
{
	static struct rig r;
	struct rig_mapping m;

	(void)state;
	rig_init(&r);
	tls_credentials_pin(r.credentials, r.client_config.pin_sha256);
	r.client_config.has_pin = true;
	rig_start_server(&r);
	rig_start_client(&r);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^127.0.0.1:9");
	m = rig_wait(&r, 1, TUNNEL_TUNNELING);
	assert_false(m.unverified);
	rig_stop_client(&r);
	r.client_config.pin_sha256[0] ^= 1;
	rig_start_client(&r);
	rig_add(&r, 2, MAPPING_TCP, "OUT^127.0.0.1:0^127.0.0.1:9");
	m = rig_wait(&r, 2, TUNNEL_FAILED);
	assert_int_equal(m.error, RSTUN_E_TLS_VERIFY_FAILED);
	assert_int_equal(m.tunnels, 0);
	rig_done(&r);
}

/* ---- coming and going ---- */

static bool tunnel_twice(struct rig *r)
{
	return r->mappings[1].tunnels == 2;
}

static bool client_lost(struct rig *r)
{
	return r->mappings[1].state == TUNNEL_RECONNECTING;
}

/* A connection that was accepted before there is a server is served when it comes; a lost tunnel
 * resets its flows and comes back by itself. */
static void test_reconnect(void **state)
{
	static struct rig r;
	struct address upstream;
	int listener = app_listen(MAPPING_TCP, &upstream), app, far;

	(void)state;
	rig_init(&r);
	set_upstream(&r.server_config.tcp_upstream, &upstream);
	rig_reserve(&r);
	rig_start_client(&r);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	rig_wait_for(&r, client_lost);
	app = app_connect(MAPPING_TCP, &r.listen[1]);
	app_send(app, "early", 5);
	rig_start_server(&r);
	far = app_accept(listener);
	app_expect(far, "early", 5);

	rig_stop_server(&r);
	app_expect_reset(app);
	app_expect_reset(far);
	rig_start_server(&r);
	rig_wait_for(&r, tunnel_twice);
	app = app_connect(MAPPING_TCP, &r.listen[1]);
	far = app_accept(listener);
	check_stream(app, far);
	close(listener);
	rig_done(&r);
}

/* The first of two addresses is dead: the second is used without waiting for a timeout. */
static void test_race(void **state)
{
	static struct rig r;

	(void)state;
	rig_init(&r);
	rig_reserve(&r);
	r.servers[0] = (struct target){.kind = TARGET_ADDRESS, .address = r.server_address};
	r.server_address.len = 0;
	rig_start_server(&r);
	r.servers[1] =
		(struct target){.kind = TARGET_NAME, .port = address_port(&r.server_address)};
	snprintf(r.servers[1].name, sizeof(r.servers[1].name), "localhost");
	r.servers[2] = (struct target){.kind = TARGET_ADDRESS, .address = r.server_address};
	r.client_config.server_count = 3;
	rig_start_client(&r);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^127.0.0.1:9");
	rig_wait(&r, 1, TUNNEL_TUNNELING);
	rig_done(&r);
}

/* New sockets again and again while bytes flow: same connection, no byte lost. */
static void test_hop(void **state)
{
	static struct rig r;
	struct address upstream;
	int listener = app_listen(MAPPING_TCP, &upstream), app, far;

	(void)state;
	rig_init(&r);
	set_upstream(&r.server_config.tcp_upstream, &upstream);
	r.client_config.hop_interval_ms = 20;
	rig_start_server(&r);
	rig_start_client(&r);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	rig_wait(&r, 1, TUNNEL_TUNNELING);
	for (int i = 0; i < 4; i++) {
		app = app_connect(MAPPING_TCP, &r.listen[1]);
		far = app_accept(listener);
		check_stream(app, far);
	}
	assert_int_equal(r.mappings[1].tunnels, 1);
	close(listener);
	rig_done(&r);
}

static void on_server_drained(void *user)
{
	struct rig *r = user;

	pthread_mutex_lock(&r->mutex);
	r->server_drained = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

static void on_client_drained(void *user)
{
	struct rig *r = user;

	pthread_mutex_lock(&r->mutex);
	r->client_drained = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

static void drain_server(struct rig *r, void *arg)
{
	server_drain(r->server, clock_after(loop_now(&r->loop), 15 * CLOCK_NS_PER_S),
		     on_server_drained, r);
	(void)arg;
}

static void drain_client(struct rig *r, void *arg)
{
	client_drain(r->client, clock_after(loop_now(&r->loop), *(uint64_t *)arg),
		     on_client_drained, r);
}

static bool is_server_drained(struct rig *r)
{
	return r->server_drained;
}

static bool is_client_drained(struct rig *r)
{
	return r->client_drained;
}

static bool session_ended(struct rig *r)
{
	return r->ended == 1;
}

/* Existing flows may end; then the sides are told so and nothing is left. */
static void test_drain(void **state)
{
	static struct rig r;
	uint64_t patience_ns = 15 * CLOCK_NS_PER_S;
	int upstream = start_out(&r, MAPPING_TCP);
	int app = app_connect(MAPPING_TCP, &r.listen[1]), far = app_accept(upstream);

	(void)state;
	rig_call(&r, drain_client, &patience_ns);
	assert_false(r.client_drained);
	check_stream(app, far);
	rig_wait_for(&r, is_client_drained);
	assert_int_equal(rig_wait(&r, 1, TUNNEL_STOPPED).error, 0);
	rig_wait_for(&r, session_ended);
	assert_int_equal(r.ended_error, 0);
	rig_call(&r, drain_server, NULL);
	rig_wait_for(&r, is_server_drained);
	close(upstream);
	rig_done(&r);
}

static bool all_up(struct rig *r)
{
	return r->mappings[1].tunnels > 0 && r->mappings[2].tunnels > 0;
}

/* Roles that go while flows of all kinds are open take them with them: rig_done looks. */
static void test_free_with_flows(void **state)
{
	static struct rig r;
	char byte;
	struct address tcp, udp;
	int tcp_fd = app_listen(MAPPING_TCP, &tcp), udp_fd = app_listen(MAPPING_UDP, &udp), app, far,
	    udp_app;

	(void)state;
	rig_init(&r);
	set_upstream(&r.server_config.tcp_upstream, &tcp);
	set_upstream(&r.server_config.udp_upstream, &udp);
	rig_start_server(&r);
	rig_start_client(&r);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	rig_add(&r, 2, MAPPING_UDP, "OUT^127.0.0.1:0^ANY");
	rig_wait_for(&r, all_up);
	app = app_connect(MAPPING_TCP, &r.listen[1]);
	far = app_accept(tcp_fd);
	udp_app = app_connect(MAPPING_UDP, &r.listen[2]);
	app_send(udp_app, "x", 1);
	assert_int_equal(recv(udp_fd, &byte, 1, 0), 1);
	rig_done(&r);
	app_expect_reset(app);
	app_expect_reset(far);
	close(udp_app);
	close(tcp_fd);
	close(udp_fd);
}

/* The deadline of a drain ends what does not end by itself. */
static void test_drain_deadline(void **state)
{
	static struct rig r;
	uint64_t patience_ns = 1;
	int upstream = start_out(&r, MAPPING_TCP);
	int app = app_connect(MAPPING_TCP, &r.listen[1]), far = app_accept(upstream);

	(void)state;
	rig_call(&r, drain_client, &patience_ns);
	rig_wait_for(&r, is_client_drained);
	app_expect_reset(app);
	app_expect_reset(far);
	close(upstream);
	rig_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp_out),     cmocka_unit_test(test_tcp_in),
		cmocka_unit_test(test_server_first), cmocka_unit_test(test_udp_out),
		cmocka_unit_test(test_udp_in),      cmocka_unit_test(test_resets),
		cmocka_unit_test(test_names),       cmocka_unit_test(test_wrong_password),
		cmocka_unit_test(test_refused),     cmocka_unit_test(test_pin),
		cmocka_unit_test(test_reconnect),   cmocka_unit_test(test_race),
		cmocka_unit_test(test_hop),         cmocka_unit_test(test_drain),
		cmocka_unit_test(test_drain_deadline), cmocka_unit_test(test_free_with_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
