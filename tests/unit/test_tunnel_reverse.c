/* SPDX-License-Identifier: MIT */
/*
 * IN^SOCKS5^... and IN^HTTP^... on loopback with real sockets: the dialogue, what a permit stops,
 * and every state that a mapping, a flow or the peer can end it in. One thread plays applications.
 */
#include "tests/unit/tunnel_rig.h"

#include "base/error.h"
#include "tunnel/flows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HELLO "\x05\x01\x00"
#define CHOSEN "\x05\x00"
#define ZERO "\0\x01\0\0\0\0\0\0" /* behind REP */
#define BYTES(text) text, sizeof(text) - 1

/* Static: a test that fails leaves its thread behind. */
static struct permit everything = {.kind = PERMIT_ANY};
static struct address target;
static int listener;
static size_t flows_seen;

static void begin(struct rig *r, const char *kind, size_t permits)
{
	char text[64];

	rig_init(r);
	r->client_config.permits = &everything;
	r->client_config.permit_count = permits;
	rig_start_server(r);
	rig_start_client(r);
	listener = app_listen(MAPPING_TCP, &target);
	snprintf(text, sizeof(text), "IN^%s^127.0.0.1:0", kind);
	rig_add(r, 1, MAPPING_TCP, text);
	rig_wait(r, 1, TUNNEL_TUNNELING);
}

static void end(struct rig *r)
{
	rig_done(r);
	close(listener);
}

static int come(struct rig *r)
{
	return app_connect(MAPPING_TCP, &r->mappings[1].bound);
}

static void say_hello(int app)
{
	app_send(app, BYTES(HELLO));
	app_expect(app, BYTES(CHOSEN));
}

static void ask(int app)
{
	uint8_t request[] = {5, 1, 0, 1, 127, 0, 0, 1, 0, 0};

	memcpy(request + 8, &target.in.sin_port, 2);
	app_send(app, request, sizeof(request));
}

static bool has_ended(struct rig *r)
{
	return r->mappings[1].flows == 1;
}

static void expect_flow_error(struct rig *r, int error)
{
	rig_wait_for(r, has_ended);
	assert_int_equal(r->mappings[1].flow_error, error);
}

static void see(void *user, const struct flow_info *flow)
{
	(void)user;
	(void)flow;
	flows_seen++;
}

static void kill_all(struct rig *r, void *arg)
{
	size_t *ret = arg;

	flows_seen = 0;
	client_visit_flows(r->client, 1, see, NULL);
	*ret = client_kill_flows(r->client, 1, 0);
}

static void test_joined(void **state)
{
	static struct rig r;
	int app, far;

	(void)state;
	begin(&r, "SOCKS5", 1);
	app = come(&r);
	say_hello(app);
	ask(app);
	app_send(app, "early", 5);
	far = app_accept(listener);
	app_expect(app, BYTES("\5\0" ZERO));
	app_expect(far, "early", 5);
	app_send(far, "answer", 6);
	app_expect(app, "answer", 6);
	shutdown(app, SHUT_WR);
	app_expect_end(far);
	app_send(far, "late", 4);
	close(far);
	app_expect(app, "late", 4);
	app_expect_end(app);
	expect_flow_error(&r, 0);
	close(app);
	end(&r);
}

static void test_http(void **state)
{
	static const char ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	static struct rig r;
	char text[128];
	int app, far;

	(void)state;
	begin(&r, "HTTP", 1);
	app = come(&r);
	snprintf(text, sizeof(text), "CONNECT 127.0.0.1:%u HTTP/1.1\r\nHost: x\r\n\r\nearly",
		 address_port(&target));
	for (size_t i = 0; i < strlen(text); i++)
		app_send(app, text + i, 1);
	far = app_accept(listener);
	app_expect(app, ok, strlen(ok));
	app_expect(far, "early", 5);
	close(app);
	close(far);
	end(&r);
}

static void test_not_permitted(void **state)
{
	static struct rig r;
	int app;

	(void)state;
	begin(&r, "SOCKS5", 0);
	app = come(&r);
	say_hello(app);
	ask(app);
	app_send(app, "what nobody reads", 17);
	app_expect(app, BYTES("\5\2" ZERO));
	app_expect_end(app);
	close(app);
	expect_flow_error(&r, RSTUN_E_ACCESS_DENIED);
	end(&r);
}

/* One that does not end its side is let go after a while, and what was told has arrived. */
static void test_refused_and_silent(void **state)
{
	static struct rig r;
	int app;

	(void)state;
	begin(&r, "SOCKS5", 1);
	app = come(&r);
	say_hello(app);
	app_send(app, BYTES("\5\3\0\1\0\0\0\0\0\0"));
	app_expect(app, BYTES("\5\7" ZERO));
	app_expect_end(app);
	expect_flow_error(&r, RSTUN_E_ACCESS_DENIED);
	close(app);
	end(&r);
}

static void test_killed_and_removed(void **state)
{
	static struct rig r;
	int one, two;
	size_t killed;

	(void)state;
	begin(&r, "SOCKS5", 1);
	one = come(&r);
	say_hello(one);
	rig_call(&r, kill_all, &killed);
	assert_int_equal(flows_seen, 1);
	assert_int_equal(killed, 1);
	app_expect_reset(one);
	expect_flow_error(&r, RSTUN_E_RESET);
	two = come(&r);
	say_hello(two);
	rig_stop_client(&r);
	app_expect_reset(two);
	end(&r);
}

/* The server goes away while one is asked, and while one is told no. */
static void test_server_goes(void **state)
{
	static struct rig r;
	int one, two;

	(void)state;
	begin(&r, "SOCKS5", 1);
	one = come(&r);
	two = come(&r);
	say_hello(one);
	say_hello(two);
	app_send(two, BYTES("\5\3\0\1\0\0\0\0\0\0"));
	app_expect(two, BYTES("\5\7" ZERO));
	rig_stop_server(&r);
	app_expect_reset(one);
	close(two);
	rig_wait(&r, 1, TUNNEL_RECONNECTING);
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_joined),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_not_permitted),
		cmocka_unit_test(test_refused_and_silent),
		cmocka_unit_test(test_killed_and_removed),
		cmocka_unit_test(test_server_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
