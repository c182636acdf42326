/* SPDX-License-Identifier: MIT */
/*
 * The listener: many connections, pausing and freeing inside the callback, an address in use, and
 * no descriptors left (it rests, says so once, and recovers).
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "relay/tcp_listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CLIENTS 150

struct rig {
	struct loop loop;
	struct log log;
	struct tcp_listener *listener;
	struct address bound;
	unsigned accepted, logged;
	unsigned pause_at, free_at;
	int fds[2 * CLIENTS];
};

static void rig_log(void *user, enum log_level level, const char *scope, const char *text)
{
	struct rig *rig = user;

	(void)level;
	assert_string_equal(scope, "listener");
	assert_non_null(strstr(text, "cannot accept"));
	rig->logged++;
}

static void rig_on_accept(void *user, int fd, const struct address *peer)
{
	struct rig *rig = user;

	assert_true(address_is_loopback(peer));
	rig->fds[rig->accepted++] = fd;
	if (rig->accepted == rig->pause_at)
		tcp_listener_pause(rig->listener, true);
	if (rig->accepted == rig->free_at) {
		tcp_listener_free(rig->listener);
		rig->listener = NULL;
	}
}

static void rig_start(struct rig *rig, const char *address)
{
	struct address any;
	int fd;

	memset(rig, 0, sizeof(*rig));
	rig->log = (struct log){.level = LOG_LEVEL_WARN, .write = rig_log, .user = rig};
	assert_int_equal(loop_init(&rig->loop, NULL, &rig->log), 0);
	assert_int_equal(address_parse(&any, address, strlen(address)), 0);
	assert_int_equal(tcp_listener_bind(&any, &fd, &rig->bound), 0);
	assert_true(address_port(&rig->bound) != 0);
	assert_int_equal(
		tcp_listener_new(&rig->listener, &rig->loop, &rig->log, fd, rig_on_accept, rig), 0);
}

static void rig_stop(struct rig *rig)
{
	for (unsigned i = 0; i < rig->accepted; i++)
		close(rig->fds[i]);
	tcp_listener_free(rig->listener);
	loop_done(&rig->loop);
}

static int dial(const struct rig *rig)
{
	struct address to = rig->bound;
	int fd;

	address_unspecified_to_loopback(&to);
	fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &to.sa, to.len), 0);
	return fd;
}

static void rig_accept(struct rig *rig, unsigned count)
{
	while (rig->accepted < count)
		event_base_loop(rig->loop.base, EVLOOP_ONCE);
}

static void test_many(void **state)
{
	static const char *const addresses[] = {"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"};
	struct rig rig;
	int clients[CLIENTS];

	(void)state;
	for (size_t a = 0; a < sizeof(addresses) / sizeof(addresses[0]); a++) {
		rig_start(&rig, addresses[a]);
		for (unsigned i = 0; i < CLIENTS; i++)
			clients[i] = dial(&rig);
		rig_accept(&rig, CLIENTS);
		for (unsigned i = 0; i < CLIENTS; i++)
			close(clients[i]);
		assert_int_equal(rig.logged, 0);
		rig_stop(&rig);
	}
}

static void test_pause_and_free_inside(void **state)
{
	struct rig rig;
	int clients[20];

	(void)state;
	rig_start(&rig, "127.0.0.1:0");
	rig.pause_at = 7;
	rig.free_at = 12;
	for (unsigned i = 0; i < 20; i++)
		clients[i] = dial(&rig);
	rig_accept(&rig, 7);
	for (unsigned i = 0; i < 5; i++)
		event_base_loop(rig.loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(rig.accepted, 7);
	tcp_listener_pause(rig.listener, false);
	rig_accept(&rig, 12);
	assert_null(rig.listener);
	event_base_loop(rig.loop.base, EVLOOP_NONBLOCK);
	assert_int_equal(rig.accepted, 12);
	for (unsigned i = 0; i < 20; i++)
		close(clients[i]);
	rig_stop(&rig);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

/* What is set on the listener must be on what it accepted: a flow that breaks off is told by the
 * linger of its socket. */
static void test_options_are_inherited(void **state)
{
	struct rig rig;
	struct linger linger = {0};
	socklen_t len = sizeof(linger);
	int client;

	(void)state;
	rig_start(&rig, "127.0.0.1:0");
	client = dial(&rig);
	rig_accept(&rig, 1);
	assert_int_equal(getsockopt(rig.fds[0], SOL_SOCKET, SO_LINGER, &linger, &len), 0);
	assert_int_equal(linger.l_onoff, 1);
	assert_int_equal(linger.l_linger, 0);
	assert_int_equal(option(rig.fds[0], IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option(rig.fds[0], SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option(rig.fds[0], IPPROTO_TCP, TCP_KEEPIDLE), 60);
	assert_int_equal(option(rig.fds[0], IPPROTO_TCP, TCP_KEEPINTVL), 15);
	assert_int_equal(option(rig.fds[0], IPPROTO_TCP, TCP_KEEPCNT), 4);
	close(client);
	rig_stop(&rig);
}

static void test_address_in_use(void **state)
{
	struct rig rig;
	struct address bound;
	int fd = -5;

	(void)state;
	rig_start(&rig, "127.0.0.1:0");
	assert_int_equal(tcp_listener_bind(&rig.bound, &fd, &bound), RSTUN_E_ADDRESS_IN_USE);
	assert_int_equal(fd, -5);
	rig_stop(&rig);
}

static void on_over(void *user)
{
	*(bool *)user = true;
}

static void test_no_descriptors(void **state)
{
	struct rig rig;
	struct rlimit limit, low;
	struct loop_timer timer;
	int clients[4];
	bool over = false;
	unsigned wakes = 0;

	(void)state;
	rig_start(&rig, "127.0.0.1:0");
	for (unsigned i = 0; i < 4; i++)
		clients[i] = dial(&rig);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	loop_timer_init(&timer, &rig.loop, on_over, &over);
	loop_enter(&rig.loop);
	loop_timer_arm(&timer, loop_now(&rig.loop) + 350 * CLOCK_NS_PER_MS);
	while (!over) {
		event_base_loop(rig.loop.base, EVLOOP_ONCE);
		wakes++;
	}
	assert_int_equal(rig.accepted, 0);
	assert_true(wakes < 20);
	assert_int_equal(rig.logged, 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	rig_accept(&rig, 4);
	for (unsigned i = 0; i < 4; i++)
		close(clients[i]);
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_pause_and_free_inside),
		cmocka_unit_test(test_options_are_inherited),
		cmocka_unit_test(test_address_in_use),
		cmocka_unit_test(test_no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
