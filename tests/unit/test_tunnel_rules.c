/* SPDX-License-Identifier: MIT */
/*
 * The rules of the tunnel that need no network: who may try to log in, who is punished, what a
 * login may have, which target counts.
 */
#include "base/clock.h"
#include "base/error.h"
#include "tls/digest.h"
#include "tunnel/client_gate.h"
#include "tunnel/counters.h"
#include "tunnel/dial.h"
#include "tunnel/server_login.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- gate ---- */

static void test_gate(void **state)
{
	struct client_gate g = {0};
	int a = 0, b = 0;

	(void)state;
	/* One goes first, the others when it got in. */
	assert_true(client_gate_enter(&g, &a));
	assert_false(client_gate_enter(&g, &b));
	assert_true(client_gate_enter(&g, &a));
	assert_int_equal(client_gate_result(&g, &a, 0), CLIENT_GATE_OPENED);
	assert_true(client_gate_enter(&g, &b));
	assert_int_equal(client_gate_result(&g, &b, RSTUN_E_REMOTE_ADDRESS_IN_USE),
			 CLIENT_GATE_SAME);
	/* The password becomes wrong: whoever finds out tries alone. */
	assert_int_equal(client_gate_result(&g, &b, RSTUN_E_AUTH_FAILED), CLIENT_GATE_CLOSED);
	assert_int_equal(client_gate_result(&g, &a, RSTUN_E_AUTH_FAILED), CLIENT_GATE_SAME);
	assert_false(client_gate_enter(&g, &a));
	assert_true(client_gate_enter(&g, &b));
	assert_int_equal(client_gate_result(&g, &b, RSTUN_E_TIMEOUT), CLIENT_GATE_SAME);
	assert_false(client_gate_enter(&g, &a));
	assert_int_equal(client_gate_result(&g, &b, 0), CLIENT_GATE_REOPENED);
	assert_true(client_gate_enter(&g, &a));
}

static void test_gate_first_fails_otherwise(void **state)
{
	struct client_gate g = {0};
	int a = 0, b = 0;

	(void)state;
	assert_true(client_gate_enter(&g, &a));
	assert_int_equal(client_gate_result(&g, &a, RSTUN_E_NO_DEFAULT_UPSTREAM),
			 CLIENT_GATE_OPENED);
	assert_true(client_gate_enter(&g, &b));

	g = (struct client_gate){0};
	assert_true(client_gate_enter(&g, &a));
	assert_int_equal(client_gate_presume(&g), CLIENT_GATE_OPENED);
	assert_int_equal(client_gate_presume(&g), CLIENT_GATE_SAME);
	assert_true(client_gate_enter(&g, &b));
}

static void test_gate_held(void **state)
{
	struct client_gate g = {0};
	int a = 0, b = 0;

	(void)state;
	assert_int_equal(client_gate_hold(&g, true), CLIENT_GATE_SAME);
	assert_false(client_gate_enter(&g, &a));
	assert_int_equal(client_gate_hold(&g, false), CLIENT_GATE_OPENED);
	assert_true(client_gate_enter(&g, &a));
	/* Its own holder goes on while it is held. */
	assert_int_equal(client_gate_result(&g, &a, RSTUN_E_RATE_LIMITED), CLIENT_GATE_CLOSED);
	client_gate_hold(&g, true);
	assert_true(client_gate_enter(&g, &a));
	assert_false(client_gate_enter(&g, &b));
	client_gate_pass(&g, &b);
	assert_true(client_gate_enter(&g, &b));
	assert_false(client_gate_enter(&g, &a));
	assert_int_equal(client_gate_hold(&g, false), CLIENT_GATE_REOPENED);
	assert_true(client_gate_enter(&g, &a));
}

/* Who tries for all may be taken away, or overruled. */
static void test_gate_left(void **state)
{
	struct client_gate g = {0};
	int a = 0, b = 0;

	(void)state;
	assert_false(client_gate_leave(&g, &a));
	assert_true(client_gate_enter(&g, &a));
	assert_false(client_gate_leave(&g, &b));
	assert_true(client_gate_leave(&g, &a));
	assert_false(client_gate_forget(&g)); /* nobody else waits: nothing was known */
	assert_true(client_gate_enter(&g, &b));
	assert_int_equal(client_gate_result(&g, &b, RSTUN_E_AUTH_FAILED), CLIENT_GATE_CLOSED);
	assert_true(client_gate_leave(&g, &b));
	assert_true(client_gate_enter(&g, &a));
	assert_false(client_gate_enter(&g, &b));
	client_gate_force(&g, &b);
	assert_false(client_gate_enter(&g, &a));
	assert_true(client_gate_enter(&g, &b));
	assert_true(client_gate_leave(&g, &b));
	assert_true(client_gate_forget(&g));
	/* Another thread tries for all, and yet one of ours goes: in with it, in with all. */
	client_gate_hold(&g, true);
	assert_false(client_gate_enter(&g, &a));
	client_gate_force(&g, &a);
	assert_true(client_gate_enter(&g, &a));
	assert_int_equal(client_gate_result(&g, &a, 0), CLIENT_GATE_OPENED);
	assert_true(client_gate_enter(&g, &b));
	client_gate_force(&g, &a); /* open: there is nothing to overrule */
	assert_false(client_gate_leave(&g, &a));
}

/* ---- penalty ---- */

static struct address ip(const char *text)
{
	struct address a;

	assert_int_equal(address_parse_ip(&a, text, strlen(text), 1), 0);
	return a;
}

static void test_penalty(void **state)
{
	struct penalty *p = malloc(sizeof(*p));
	struct address bad = ip("192.0.2.1"), good = ip("192.0.2.2");
	struct address six = ip("2001:db8::1"), same = ip("2001:db8::2"),
		       other = ip("2001:db8:0:1::1");
	uint64_t now = 1000 * CLOCK_NS_PER_S;

	(void)state;
	assert_non_null(p);
	penalty_init(p, 7);
	for (int i = 0; i < LIMITS_WRONG_PASSWORDS; i++) {
		assert_int_equal(penalty_wait_ms(p, &bad, now), 0);
		penalty_wrong(p, &bad, now);
		penalty_wrong(p, i % 2 ? &six : &same, now);
	}
	assert_in_range(penalty_wait_ms(p, &bad, now), LIMITS_WRONG_PASSWORDS_PENALTY_MS,
			LIMITS_WRONG_PASSWORDS_PENALTY_MS + 1);
	assert_int_equal(penalty_wait_ms(p, &good, now), 0);
	assert_int_not_equal(penalty_wait_ms(p, &same, now), 0); /* one /64 is one source */
	assert_int_equal(penalty_wait_ms(p, &other, now), 0);
	now += clock_ms(LIMITS_WRONG_PASSWORDS_PENALTY_MS) + 1;
	assert_int_equal(penalty_wait_ms(p, &bad, now), 0);
	/* Few over a long time are forgiven, and so is the past after the right one. */
	for (int i = 0; i < 20; i++) {
		penalty_wrong(p, &good, now);
		now += clock_ms(LIMITS_WRONG_PASSWORDS_WINDOW_MS) / 2;
		assert_int_equal(penalty_wait_ms(p, &good, now), 0);
	}
	for (int i = 0; i < 20; i++) {
		penalty_wrong(p, &other, now);
		penalty_right(p, &other);
	}
	assert_int_equal(penalty_wait_ms(p, &other, now), 0);
	/* An attacker with many addresses takes no more room; his own last ones are still known. */
	for (unsigned i = 0; i < 100000; i++) {
		struct address a = ip("10.0.0.0");

		a.in.sin_addr.s_addr = htonl(0x0a000000 + i);
		for (int k = 0; k < LIMITS_WRONG_PASSWORDS; k++)
			penalty_wrong(p, &a, now + i);
		assert_int_not_equal(penalty_wait_ms(p, &a, now + i), 0);
	}
	free(p);
}

/* ---- logins ---- */

struct login_case {
	struct server_config config;
	struct wire_login login;
	struct wire_trailer trailer;
	struct server_login got;
	struct server_refusal refusal;
	struct penalty penalty;
};

static struct login_case *login_case(void)
{
	static struct login_case c;

	memset(&c, 0, sizeof(c));
	penalty_init(&c.penalty, 1);
	snprintf(c.login.password, sizeof(c.login.password), "pw");
	c.login.mode = MAPPING_OUT;
	c.login.proto = MAPPING_TCP;
	c.config.udp_timeout_ms = 5000;
	c.login.tcp_timeout_ms = 30000;
	c.login.udp_timeout_ms = 4000;
	return &c;
}

static int check(struct login_case *c)
{
	struct address source = ip("192.0.2.9");
	uint8_t digest[DIGEST_SHA256_BYTES];

	digest_sha256(digest, "pw", 2);
	return server_login_check(&c->got, &c->refusal, &c->config, digest, &c->penalty, &source,
				  &c->login, &c->trailer, 1);
}

static void set_address(struct target *t, const char *text)
{
	*t = (struct target){.kind = TARGET_ADDRESS, .address = ip(text)};
}

static void test_login_password(void **state)
{
	struct login_case *c = login_case();

	(void)state;
	set_address(&c->config.tcp_upstream, "127.0.0.1");
	assert_int_equal(check(c), 0);
	c->trailer.present = c->trailer.has_user = true;
	snprintf(c->trailer.user, sizeof(c->trailer.user), "default");
	assert_int_equal(check(c), 0);
	snprintf(c->trailer.user, sizeof(c->trailer.user), "alice");
	assert_int_equal(check(c), RSTUN_E_AUTH_FAILED);
	c->trailer.present = false;
	c->login.password[2] = 'x';
	for (int i = 0; i < LIMITS_WRONG_PASSWORDS - 1; i++)
		assert_int_equal(check(c), RSTUN_E_AUTH_FAILED);
	c->login.password[2] = '\0';
	assert_int_equal(check(c), RSTUN_E_RATE_LIMITED);
	assert_in_range(c->refusal.retry_after_ms, 1, LIMITS_WRONG_PASSWORDS_PENALTY_MS + 1);
}

static void test_login_out(void **state)
{
	struct login_case *c = login_case();

	(void)state;
	assert_int_equal(check(c), RSTUN_E_NO_DEFAULT_UPSTREAM);
	set_address(&c->config.tcp_upstream, "192.0.2.1");
	assert_int_equal(check(c), 0);
	assert_true(target_equal(&c->got.upstream, &c->config.tcp_upstream));
	c->trailer.present = c->trailer.has_target = true;
	c->trailer.target =
		(struct target){.kind = TARGET_NAME, .port = 80, .name = "example.test"};
	assert_int_equal(check(c), 0);
	assert_true(target_equal(&c->got.upstream, &c->trailer.target));
	c->login.has_upstream = true;
	c->login.upstream = ip("192.0.2.3");
	assert_int_equal(check(c), 0);
	assert_true(address_equal(&c->got.upstream.address, &c->login.upstream));
	c->login.proto = MAPPING_UDP;
	c->login.has_upstream = c->trailer.present = false;
	assert_int_equal(check(c), RSTUN_E_NO_DEFAULT_UPSTREAM);
	c->login.channel = true;
	assert_int_equal(check(c), 0);
	assert_int_equal(c->got.upstream.kind, TARGET_DEFAULT);
}

static void test_login_in(void **state)
{
	struct login_case *c = login_case();

	(void)state;
	c->login.mode = MAPPING_IN;
	assert_int_equal(check(c), RSTUN_E_CONFIG_INVALID);
	c->login.has_upstream = true;
	c->login.upstream = ip("192.0.2.1");
	assert_int_equal(check(c), RSTUN_E_ACCESS_DENIED);
	c->login.upstream = ip("127.0.0.2");
	assert_int_equal(check(c), 0);
	c->login.upstream = ip("::");
	assert_int_equal(check(c), 0);
	assert_true(address_equal(&c->got.listen, &c->login.upstream));
	server_login_bind_failed(&c->refusal, MAPPING_UDP, &c->login.upstream,
				 RSTUN_E_ADDRESS_IN_USE);
	assert_int_equal(c->refusal.error, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	assert_string_equal(c->refusal.text,
			    "udp server failed to bind at: [::]:1: the address is in use: stop what "
			    "listens there, or choose another port");
	server_login_bind_failed(&c->refusal, MAPPING_TCP, &c->login.upstream,
				 RSTUN_E_PERMISSION_DENIED);
	assert_int_equal(c->refusal.error, RSTUN_E_PERMISSION_DENIED);
	assert_non_null(strstr(c->refusal.text, "failed to bind"));
}

static void check_idle(uint64_t asked, uint64_t own, uint64_t cap, uint64_t tcp, uint64_t udp)
{
	struct login_case *c = login_case();

	set_address(&c->config.tcp_upstream, "127.0.0.1");
	c->config.tcp_timeout_ms = c->config.udp_timeout_ms = own;
	c->config.max_idle_ms = cap;
	c->login.tcp_timeout_ms = c->login.udp_timeout_ms = asked;
	assert_int_equal(check(c), 0);
	assert_int_equal(c->got.tcp_idle_ms, tcp);
	assert_int_equal(c->got.udp_idle_ms, udp);
}

static void test_login_idle(void **state)
{
	(void)state;
	check_idle(30000, 5000, 0, 30000, 30000);
	check_idle(3000, 5000, 0, 5000, 5000);
	check_idle(0, 5000, 0, 0, 5000);
	check_idle(30000, 0, 0, 0, 30000);
	check_idle(WIRE_NEVER_MS, 5000, 0, 0, WIRE_NEVER_MS);
	check_idle(UINT64_MAX, 5000, 0, 0, WIRE_NEVER_MS);
	check_idle(0, 5000, 60000, 60000, 5000);
	check_idle(90000, 5000, 60000, 60000, 60000);
	check_idle(30000, 5000, 60000, 30000, 30000);
}

/* ---- targets, counters ---- */

static void test_choose(void **state)
{
	struct target fixed, named, fallback, none = {.kind = TARGET_DEFAULT}, got;

	(void)state;
	set_address(&fixed, "192.0.2.1");
	set_address(&named, "192.0.2.2");
	set_address(&fallback, "192.0.2.3");
	dial_choose(&got, &fixed, &named, &fallback);
	assert_true(target_equal(&got, &fixed));
	dial_choose(&got, &none, &named, &fallback);
	assert_true(target_equal(&got, &named));
	dial_choose(&got, NULL, &none, &fallback);
	assert_true(target_equal(&got, &fallback));
	dial_choose(&got, NULL, NULL, &none);
	assert_int_equal(got.kind, TARGET_DEFAULT);
}

static void test_counters(void **state)
{
	struct tunnel_counters sum = {0};
	struct tunnel_counters small = {
		.rx_bytes = 10, .tx_bytes = 1, .rtt_ms = 5, .current_mtu = 1200,
		.max_datagram = 1100, .rx_datagram_frames = 2, .tx_datagram_frames = 3};
	struct tunnel_counters large = {
		.rx_bytes = 99, .tx_bytes = 1, .rtt_ms = 7, .current_mtu = 1452,
		.max_datagram = 1400, .rx_datagram_frames = 4, .tx_datagram_frames = 5};

	(void)state;
	counters_add(&sum, &small);
	assert_int_equal(sum.rtt_ms, 5);
	counters_add(&sum, &large);
	counters_add(&sum, &small);
	assert_int_equal(sum.rx_bytes, 119);
	assert_int_equal(sum.rtt_ms, 7);
	assert_int_equal(sum.current_mtu, 1452);
	assert_int_equal(sum.max_datagram, 1400);
	assert_int_equal(sum.rx_datagram_frames, 2 + 4 + 2);
	assert_int_equal(sum.tx_datagram_frames, 3 + 5 + 3);
}

/* Where only one address can be tried it is the IPv4 one, whatever the order. */
static void test_dial_pick(void **state)
{
	struct address addresses[2];
	struct dial_result result = {.addresses = addresses, .count = 2};

	(void)state;
	assert_int_equal(address_parse_ip(&addresses[0], "::1", 3, 53), 0);
	assert_int_equal(address_parse_ip(&addresses[1], "127.0.0.1", 9, 53), 0);
	assert_ptr_equal(dial_pick(&result), &addresses[1]);
	result.count = 1;
	assert_ptr_equal(dial_pick(&result), &addresses[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate),
		cmocka_unit_test(test_gate_first_fails_otherwise),
		cmocka_unit_test(test_gate_held),
		cmocka_unit_test(test_gate_left),
		cmocka_unit_test(test_penalty),
		cmocka_unit_test(test_login_password),
		cmocka_unit_test(test_login_out),
		cmocka_unit_test(test_login_in),
		cmocka_unit_test(test_login_idle),
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_dial_pick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
