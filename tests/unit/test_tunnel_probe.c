/* SPDX-License-Identifier: MIT */
/*
 * Probes of a client or a mapping against our server: each step that can fail, what it says then,
 * and that nobody else notices: no session, no listener, no flow that suffers. And probes that are
 * cancelled, or whose client or server goes, at any time.
 */
#include "tests/unit/probe_rig.h"

#include "base/error.h"
#include "quic/endpoint.h"
#include "relay/tcp_listener.h"
#include "tests/unit/pki.h"
#include "tls/credentials.h"
#include "tunnel/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void set_address(struct target *t, const struct address *a)
{
	*t = (struct target){.kind = TARGET_ADDRESS, .address = *a};
}

static void set_name(struct target *t, const char *name, uint16_t port)
{
	*t = (struct target){.kind = TARGET_NAME, .port = port};
	snprintf(t->name, sizeof(t->name), "%s", name);
}

static void start(void)
{
	memset(probe_runs, 0, sizeof(probe_runs));
	rig_start_server(&probe_rig);
	rig_start_client(&probe_rig);
}

/* No probe was a session, whatever became of it. */
static void end(void)
{
	assert_int_equal(probe_rig.logins, 0);
	assert_int_equal(probe_rig.ended, 0);
	rig_done(&probe_rig);
}

/* ---- all is well ---- */

static void test_out(void **state)
{
	const struct probe_step_result *r;
	struct address tcp, udp;
	int tcp_fd = app_listen(MAPPING_TCP, &tcp), udp_fd = app_listen(MAPPING_UDP, &udp);
	char text[128];

	(void)state;
	rig_init(&probe_rig);
	set_address(&probe_rig.server_config.tcp_upstream, &tcp);
	start();
	r = probe_expect(MAPPING_TCP, probe_out(text, &tcp), ALL_WELL, 0);
	probe_is(&r[PROBE_DNS], PROBE_SKIPPED, "an address was given");
	probe_is(&r[PROBE_UDP], PROBE_OK, "answered");
	probe_is(&r[PROBE_TLS], PROBE_OK, "NOT verified");
	probe_is(&r[PROBE_LOGIN], PROBE_OK, PACKAGE_STRING);
	probe_is(&r[PROBE_BIND], PROBE_SKIPPED, "an OUT mapping listens here");
	probe_is(&r[PROBE_UPSTREAM], PROBE_OK, "accepts connections");
	app_expect_end(app_accept(tcp_fd)); /* dialled, and let go at once */
	r = probe_expect(MAPPING_TCP, "OUT^127.0.0.1:0^ANY", ALL_WELL, 0);
	probe_is(&r[PROBE_UPSTREAM], PROBE_OK, "accepts connections");
	r = probe_expect(MAPPING_UDP, probe_out(text, &udp), ALL_WELL, 0);
	probe_is(&r[PROBE_UPSTREAM], PROBE_OK, "cannot be seen with UDP");
	r = probe_expect(MAPPING_UDP, "OUT^127.0.0.1:0^localhost:9", ALL_WELL, 0);
	probe_is(&r[PROBE_UPSTREAM], PROBE_OK, "localhost:9");
	close(tcp_fd);
	close(udp_fd);
	end();
	assert_int_equal(probe_rig.refused, 0);
}

static void test_in(void **state)
{
	const struct probe_step_result *r;
	struct address local, remote = probe_nobody(MAPPING_TCP);
	int fd = app_listen(MAPPING_TCP, &local), again;
	char text[128];

	(void)state;
	rig_init(&probe_rig);
	start();
	r = probe_expect(MAPPING_TCP, probe_in(text, &local, &remote), ALL_WELL, 0);
	probe_is(&r[PROBE_BIND], PROBE_OK, "is free on the server");
	probe_is(&r[PROBE_UPSTREAM], PROBE_OK, "accepts connections from here");
	/* It was let go. */
	assert_int_equal(tcp_listener_bind(&remote, &again, &remote), 0);
	close(again);
	r = probe_expect(MAPPING_UDP, probe_in(text, &local, &remote), ALL_WELL, 0);
	probe_is(&r[PROBE_BIND], PROBE_OK, "is free on the server");
	probe_is(&r[PROBE_UPSTREAM], PROBE_OK, "cannot be seen with UDP");
	close(fd);
	end();
	assert_int_equal(probe_rig.refused, 0);
}

/* Only the client: a server without upstreams is as good as any. */
static void test_client_alone(void **state)
{
	const struct probe_step_result *r;

	(void)state;
	rig_init(&probe_rig);
	start();
	r = probe_expect(MAPPING_TCP, NULL, ALL_WELL, 0);
	probe_is(&r[PROBE_LOGIN], PROBE_OK, "logged in");
	probe_is(&r[PROBE_BIND], PROBE_SKIPPED, "no mapping");
	probe_is(&r[PROBE_UPSTREAM], PROBE_SKIPPED, "no mapping");
	end();
}

/* ---- names, reach, trust ---- */

static void test_names(void **state)
{
	const struct probe_step_result *r;
	struct address dns = probe_nobody(MAPPING_UDP);
	char text[64], *list[] = {text, NULL};

	(void)state;
	snprintf(text, sizeof(text), "127.0.0.1:%u", address_port(&dns));
	rig_init(&probe_rig);
	probe_rig.client_config.dns_servers = list;
	set_name(&probe_rig.servers[0], "nobody.example", 3515);
	probe_rig.client_config.server_count = 1;
	start();
	r = probe_expect(MAPPING_TCP, NULL, PROBE_DNS, RSTUN_E_DNS_FAILED);
	probe_says(r, "nobody.example has no address");
	probe_says(r, "--dns 127.0.0.1:");
	end();
}

static void test_two_servers(void **state)
{
	const struct probe_step_result *r;
	struct address dead = probe_nobody(MAPPING_UDP);

	(void)state;
	rig_init(&probe_rig);
	rig_start_server(&probe_rig);
	set_name(&probe_rig.servers[0], "localhost", address_port(&dead));
	set_address(&probe_rig.servers[1], &probe_rig.server_address);
	probe_rig.client_config.server_count = 2;
	memset(probe_runs, 0, sizeof(probe_runs));
	rig_start_client(&probe_rig);
	r = probe_expect(MAPPING_TCP, NULL, ALL_WELL, 0);
	probe_is(&r[PROBE_DNS], PROBE_OK, "localhost is ");
	probe_is(&r[PROBE_UDP], PROBE_OK, "but not so");
	end();
}

static void test_nobody_listens(void **state)
{
	const struct probe_step_result *r;

	(void)state;
	rig_init(&probe_rig);
	rig_reserve(&probe_rig);
	memset(probe_runs, 0, sizeof(probe_runs));
	rig_start_client(&probe_rig);
	r = probe_expect(MAPPING_TCP, NULL, PROBE_UDP, RSTUN_E_UNREACHABLE);
	probe_says(r, "nothing listens on that UDP port: is the server running");
	end();
}

static void test_silence(void **state)
{
	const struct probe_step_result *r;
	int fd;

	(void)state;
	rig_init(&probe_rig);
	fd = app_listen(MAPPING_UDP, &probe_rig.server_address);
	memset(probe_runs, 0, sizeof(probe_runs));
	probe_runs[0].timeout_ms = 300;
	rig_start_client(&probe_rig);
	r = probe_expect(MAPPING_TCP, NULL, PROBE_UDP, RSTUN_E_UNREACHABLE);
	probe_says(r, " s: UDP may be blocked");
	close(fd);
	end();
}

static void test_trust(void **state)
{
	char directory[PKI_PATH_SIZE], error[TLS_ERROR_SIZE], path[PKI_PATH_SIZE + 16];
	const struct probe_step_result *r;
	bool made;

	(void)state;
	pki_directory(directory);
	rig_init(&probe_rig);
	tls_credentials_unref(probe_rig.credentials);
	assert_int_equal(tls_credentials_new_self_signed(&probe_rig.credentials, directory, &made,
							 error),
			 0);
	rig_start_server(&probe_rig);
	set_name(&probe_rig.servers[0], "localhost", address_port(&probe_rig.server_address));
	probe_rig.client_config.server_count = 1;
	memset(probe_runs, 0, sizeof(probe_runs));
	/* The system does not know it. */
	rig_start_client(&probe_rig);
	r = probe_expect(MAPPING_TCP, NULL, PROBE_TLS, RSTUN_E_TLS_VERIFY_FAILED);
	probe_says(r, "which this system does not trust");
	assert_int_equal(probe_runs[0].steps[PROBE_UDP].outcome, PROBE_OK);
	rig_stop_client(&probe_rig);
	/* --cert */
	snprintf(path, sizeof(path), "%s/cert.pem", directory);
	assert_int_equal(tls_credentials_new_client(&probe_rig.roots, path, error), 0);
	rig_start_client(&probe_rig);
	r = probe_expect(MAPPING_TCP, NULL, ALL_WELL, 0);
	probe_is(&r[PROBE_TLS], PROBE_OK, "verified for localhost");
	rig_stop_client(&probe_rig);
	/* --pin */
	tls_credentials_unref(probe_rig.roots);
	probe_rig.roots = NULL;
	probe_rig.client_config.has_pin = true;
	tls_credentials_pin(probe_rig.credentials, probe_rig.client_config.pin_sha256);
	rig_start_client(&probe_rig);
	r = probe_expect(MAPPING_TCP, NULL, ALL_WELL, 0);
	probe_is(&r[PROBE_TLS], PROBE_OK, "is the pinned one");
	rig_stop_client(&probe_rig);
	probe_rig.client_config.pin_sha256[0] ^= 1;
	rig_start_client(&probe_rig);
	r = probe_expect(MAPPING_TCP, NULL, PROBE_TLS, RSTUN_E_PEER_KEY_CHANGED);
	probe_says(r, "not the expected sha256/");
	end();
	pki_directory_remove(directory);
}

/* ---- what the server says no to ---- */

/* The client's mappings go on trying, or tunnelling, as if nothing had been. */
static void test_wrong_password(void **state)
{
	const struct probe_step_result *r;
	char text[128], *right;
	struct address upstream = probe_nobody(MAPPING_TCP);

	(void)state;
	rig_init(&probe_rig);
	start();
	rig_add(&probe_rig, 1, MAPPING_TCP, probe_out(text, &upstream));
	rig_wait(&probe_rig, 1, TUNNEL_TUNNELING);
	right = probe_rig.client_config.password;
	probe_rig.client_config.password = strdup("wrong");
	for (int i = 0; i < LIMITS_WRONG_PASSWORDS; i++) {
		r = probe_expect(MAPPING_TCP, i % 2 ? NULL : text, PROBE_LOGIN,
				 RSTUN_E_AUTH_FAILED);
		probe_says(r, "wrong password: both sides");
	}
	free(probe_rig.client_config.password);
	probe_rig.client_config.password = right;
	r = probe_expect(MAPPING_TCP, NULL, PROBE_LOGIN, RSTUN_E_RATE_LIMITED);
	probe_says(r, "try again in");
	assert_int_equal(probe_rig.refused, LIMITS_WRONG_PASSWORDS + 1); /* those are reported */
	assert_int_equal(probe_rig.mappings[1].state, TUNNEL_TUNNELING);
	assert_int_equal(probe_rig.mappings[1].tunnels, 1);
	assert_false(probe_rig.auth_held);
	assert_int_equal(probe_rig.logins, 1);
	rig_done(&probe_rig);
}

static void test_bad_upstreams(void **state)
{
	const struct probe_step_result *r;
	struct address gone = probe_nobody(MAPPING_TCP), remote = probe_nobody(MAPPING_TCP);
	char text[128];

	(void)state;
	rig_init(&probe_rig);
	start();
	r = probe_expect(MAPPING_TCP, "OUT^127.0.0.1:0^ANY", PROBE_UPSTREAM,
			 RSTUN_E_NO_DEFAULT_UPSTREAM);
	probe_says(r, "--tcp-upstream");
	assert_int_equal(probe_runs[0].steps[PROBE_LOGIN].outcome, PROBE_OK);
	r = probe_expect(MAPPING_UDP, "OUT^127.0.0.1:0^ANY", PROBE_UPSTREAM,
			 RSTUN_E_NO_DEFAULT_UPSTREAM);
	probe_says(r, "--udp-upstream");
	r = probe_expect(MAPPING_TCP, probe_out(text, &gone), PROBE_UPSTREAM,
			 RSTUN_E_TARGET_REFUSED);
	probe_says(r, "refused the connection of the server: is the service there running");
	/* IN: from here. */
	r = probe_expect(MAPPING_TCP, probe_in(text, &gone, &remote), PROBE_UPSTREAM,
			 RSTUN_E_TARGET_REFUSED);
	probe_says(r, "refused the connection from here");
	assert_int_equal(probe_runs[0].steps[PROBE_BIND].outcome, PROBE_OK);
	end();
	assert_int_equal(probe_rig.refused, 0);
}

static void test_busy_address(void **state)
{
	const struct probe_step_result *r;
	struct address local, other, remote, here;
	int local_fd = app_listen(MAPPING_TCP, &local), other_fd = app_listen(MAPPING_TCP, &other);
	int busy = app_listen(MAPPING_TCP, &remote);
	char text[128];

	(void)state;
	rig_init(&probe_rig);
	start();
	/* by another program */
	r = probe_expect(MAPPING_TCP, probe_in(text, &local, &remote), PROBE_BIND,
			 RSTUN_E_REMOTE_ADDRESS_IN_USE);
	probe_says(r, "the address is in use");
	close(busy);
	/* by this very mapping, which is up */
	rig_add(&probe_rig, 1, MAPPING_TCP, text);
	here = rig_wait(&probe_rig, 1, TUNNEL_TUNNELING).bound;
	assert_true(address_equal(&here, &remote));
	r = probe_expect(MAPPING_TCP, text, ALL_WELL, 0);
	probe_is(&r[PROBE_BIND], PROBE_OK, "the mapping is up");
	/* by another session */
	probe_expect(MAPPING_TCP, probe_in(text, &other, &remote), PROBE_BIND,
		     RSTUN_E_REMOTE_ADDRESS_IN_USE);
	assert_int_equal(probe_rig.mappings[1].tunnels, 1);
	assert_int_equal(probe_rig.logins, 1);
	assert_int_equal(probe_rig.ended, 0);
	close(local_fd);
	close(other_fd);
	rig_done(&probe_rig);
}

/* A port that drops what comes: its one waiting place is taken. */
static int full_listener(struct address *ret, int *ret_taken)
{
	struct address any;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(bind(fd, &any.sa, any.len), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(address_of_socket(ret, fd), 0);
	*ret_taken = app_connect(MAPPING_TCP, ret);
	return fd;
}

/* Checks take a bounded time, and a bounded number runs. */
static void test_limits(void **state)
{
	struct address full;
	unsigned unreachable = 0, limited = 0;
	int taken, fd = full_listener(&full, &taken);
	char text[128];

	(void)state;
	rig_init(&probe_rig);
	start();
	probe_out(text, &full);
	for (unsigned i = 0; i < LIMITS_CHECKS + 2; i++) {
		probe_run_begin(&probe_runs[i], MAPPING_TCP, text);
		rig_call(&probe_rig, probe_run_start, &probe_runs[i]);
	}
	rig_wait_for(&probe_rig, probe_runs_done);
	for (unsigned i = 0; i < LIMITS_CHECKS + 2; i++) {
		const struct probe_step_result *r = &probe_runs[i].steps[PROBE_UPSTREAM];

		assert_int_equal(r->outcome, PROBE_FAILED);
		unreachable += r->error == RSTUN_E_TARGET_UNREACHABLE;
		limited += r->error == RSTUN_E_LIMIT_REACHED;
	}
	assert_int_equal(unreachable, LIMITS_CHECKS);
	assert_int_equal(limited, 2);
	close(taken);
	close(fd);
	end();
}

/* ---- addresses that have an owner ---- */

static struct server_claim claim;
static unsigned claims, releases;
static int claim_error;
static bool claim_silent;

static void on_claim(void *user, const struct server_claim *asked)
{
	(void)user;
	claim = *asked;
	claims++;
	if (!claim_silent)
		server_claimed(probe_rig.server, claim.session_id, claim_error, -1, &claim.address);
}

static void on_release(void *user, uint64_t session_id)
{
	(void)user;
	(void)session_id;
	releases++;
}

static void make_owned_server(struct rig *r, void *arg)
{
	struct server_params params = {
		.env = &r->server_env,
		.config = &r->server_config,
		.credentials = r->credentials,
		.claim = on_claim,
		.release = on_release,
	};
	struct address any;

	(void)arg;
	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(quic_endpoint_bind(&any, false, &params.fd, &r->server_address), 0);
	assert_int_equal(server_new(&r->server, &params), 0);
}

static void answer_late(struct rig *r, void *arg)
{
	(void)arg;
	server_claimed(r->server, claim.session_id, 0, -1, &claim.address);
}

static void test_claim(void **state)
{
	const struct probe_step_result *r;
	struct address local, remote = probe_nobody(MAPPING_TCP);
	int fd = app_listen(MAPPING_TCP, &local);
	char text[128];

	(void)state;
	claims = releases = 0;
	rig_init(&probe_rig);
	rig_call(&probe_rig, make_owned_server, NULL);
	memset(probe_runs, 0, sizeof(probe_runs));
	rig_start_client(&probe_rig);
	claim_error = 0;
	claim_silent = false;
	r = probe_expect(MAPPING_TCP, probe_in(text, &local, &remote), ALL_WELL, 0);
	probe_is(&r[PROBE_BIND], PROBE_OK, "is free on the server");
	assert_int_equal(claims, 1);
	assert_true(claim.probe);
	assert_true(address_equal(&claim.address, &remote));
	claim_error = RSTUN_E_REMOTE_ADDRESS_IN_USE;
	probe_expect(MAPPING_TCP, text, PROBE_BIND, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	claim_error = RSTUN_E_PERMISSION_DENIED;
	probe_expect(MAPPING_TCP, text, PROBE_BIND, RSTUN_E_PERMISSION_DENIED);
	claim_silent = true;
	probe_expect(MAPPING_TCP, text, PROBE_BIND, RSTUN_E_TIMEOUT);
	rig_call(&probe_rig, answer_late, NULL);
	assert_int_equal(claims, 4);
	assert_int_equal(releases, 0);
	close(fd);
	end();
}

/* ---- beside others, and ends ---- */

static void test_beside_a_flow(void **state)
{
	struct address upstream, local, other, remote = probe_nobody(MAPPING_TCP);
	int up = app_listen(MAPPING_TCP, &upstream), in = app_listen(MAPPING_TCP, &local);
	int third = app_listen(MAPPING_TCP, &other), a, b, c, d;
	char text[128], out[128];

	(void)state;
	rig_init(&probe_rig);
	set_address(&probe_rig.server_config.tcp_upstream, &upstream);
	start();
	rig_add(&probe_rig, 1, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	rig_add(&probe_rig, 2, MAPPING_TCP, probe_in(text, &local, &remote));
	rig_wait(&probe_rig, 1, TUNNEL_TUNNELING);
	rig_wait(&probe_rig, 2, TUNNEL_TUNNELING);
	a = app_connect(MAPPING_TCP, &probe_rig.listen[1]);
	b = app_accept(up);
	c = app_connect(MAPPING_TCP, &remote);
	d = app_accept(in);
	probe_in(text, &other, &remote);
	probe_out(out, &other);
	for (int i = 0; i < 20; i++) {
		if (i % 2)
			probe_expect(MAPPING_TCP, text, PROBE_BIND, RSTUN_E_REMOTE_ADDRESS_IN_USE);
		else
			probe_expect(MAPPING_TCP, out, ALL_WELL, 0);
		app_send(a, "there", 5);
		app_expect(b, "there", 5);
		app_send(d, "back", 4);
		app_expect(c, "back", 4);
	}
	close(a);
	app_expect_end(b);
	assert_int_equal(probe_rig.logins, 2);
	assert_int_equal(probe_rig.ended, 0);
	assert_int_equal(probe_rig.refused, 0);
	for (int i = 1; i <= 2; i++)
		assert_int_equal(probe_rig.mappings[i].tunnels, 1);
	close(b);
	close(c);
	close(d);
	close(up);
	close(in);
	close(third);
	rig_done(&probe_rig);
}

static bool has_left(struct rig *r)
{
	(void)r;
	return probe_runs[0].left;
}

/* In the call of each step, and from outside when a step has been told. */
static void test_cancel(void **state)
{
	struct address local, remote = probe_nobody(MAPPING_TCP);
	int fd = app_listen(MAPPING_TCP, &local);
	char text[128];

	(void)state;
	rig_init(&probe_rig);
	start();
	probe_in(text, &local, &remote);
	for (int at = 0; at < PROBE_STEPS; at++) {
		probe_run_begin(&probe_runs[0], MAPPING_TCP, text);
		probe_runs[0].cancel_at = at;
		rig_call(&probe_rig, probe_run_start, &probe_runs[0]);
		rig_wait_for(&probe_rig, has_left);
		assert_int_equal(probe_runs[0].count, at + 1);
		probe_expect(MAPPING_TCP, NULL, ALL_WELL, 0); /* nothing came behind it */
	}
	client_probe_cancel(NULL);
	for (int turns = 0; turns < 40; turns++) {
		probe_run_begin(&probe_runs[1], MAPPING_TCP, text);
		rig_call(&probe_rig, probe_run_start, &probe_runs[1]);
		for (int i = 0; i < turns; i++)
			rig_call(&probe_rig, NULL, NULL);
		rig_call(&probe_rig, probe_run_cancel, &probe_runs[1]);
	}
	probe_expect(MAPPING_TCP, text, ALL_WELL, 0);
	close(fd);
	end();
}

static void test_client_goes(void **state)
{
	struct address local, remote = probe_nobody(MAPPING_TCP);
	int fd = app_listen(MAPPING_TCP, &local);
	char text[128];

	(void)state;
	rig_init(&probe_rig);
	start();
	probe_in(text, &local, &remote);
	for (int at = 0; at <= PROBE_STEPS; at++) {
		probe_run_begin(&probe_runs[0], MAPPING_TCP, text);
		probe_runs[0].free_at = at;
		rig_call(&probe_rig, probe_run_start, &probe_runs[0]);
		rig_wait_for(&probe_rig, has_left);
		assert_int_equal(probe_runs[0].done, at == PROBE_STEPS);
		rig_start_client(&probe_rig);
	}
	for (int turns = 0; turns < 40; turns++) {
		probe_run_begin(&probe_runs[0], MAPPING_TCP, text);
		rig_call(&probe_rig, probe_run_start, &probe_runs[0]);
		for (int i = 0; i < turns; i++)
			rig_call(&probe_rig, NULL, NULL);
		rig_stop_client(&probe_rig);
		rig_start_client(&probe_rig);
	}
	close(fd);
	end();
}

static void test_server_goes(void **state)
{
	struct address full;
	int taken, fd = full_listener(&full, &taken);
	char text[128];

	(void)state;
	rig_init(&probe_rig);
	start();
	probe_run_begin(&probe_runs[0], MAPPING_TCP, probe_out(text, &full));
	probe_runs[0].cancel_at = PROBE_TLS; /* the login is on its way */
	rig_call(&probe_rig, probe_run_start, &probe_runs[0]);
	rig_wait_for(&probe_rig, has_left);
	probe_run_begin(&probe_runs[1], MAPPING_TCP, text);
	rig_call(&probe_rig, probe_run_start, &probe_runs[1]);
	for (int i = 0; i < 20; i++)
		rig_call(&probe_rig, NULL, NULL);
	rig_stop_server(&probe_rig);
	rig_wait_for(&probe_rig, probe_runs_done);
	close(taken);
	close(fd);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_out),
		cmocka_unit_test(test_in),
		cmocka_unit_test(test_client_alone),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_two_servers),
		cmocka_unit_test(test_nobody_listens),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_wrong_password),
		cmocka_unit_test(test_bad_upstreams),
		cmocka_unit_test(test_busy_address),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_claim),
		cmocka_unit_test(test_beside_a_flow),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_client_goes),
		cmocka_unit_test(test_server_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
