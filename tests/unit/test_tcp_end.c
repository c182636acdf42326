/* SPDX-License-Identifier: MIT */
/*
 * TCP ends on loopback sockets: bytes, ends of file in every order, resets in every state, no
 * waking without cause, connecting to several addresses.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "relay/tcp_end.h"
#include "relay/tcp_listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct watcher {
	struct end *end;
	unsigned readable, writable, errors, refusals;
	enum flow_error error;
};

static struct loop loop;

static void watch_readable(void *user)
{
	((struct watcher *)user)->readable++;
}

static void watch_writable(void *user)
{
	((struct watcher *)user)->writable++;
}

static void watch_error(void *user, enum flow_error error, bool both)
{
	struct watcher *w = user;

	assert_true(both);
	w->errors++;
	w->error = error;
}

static void watch_refused(void *user, enum flow_error error)
{
	struct watcher *w = user;

	w->refusals++;
	w->error = error;
}

static const struct end_owner watcher_owner = {
	.on_readable = watch_readable,
	.on_writable = watch_writable,
	.on_error = watch_error,
	.on_refused = watch_refused,
};

static void watch(struct watcher *w, struct end *end, bool read)
{
	*w = (struct watcher){.end = end};
	end->owner = &watcher_owner;
	end->owner_user = w;
	end->ops->want_read(end, read);
}

/* Runs the loop until something is counted in *what; a second without it is a failure. */
static void on_late(void *user)
{
	*(bool *)user = true;
}

static void wait_for(const unsigned *what)
{
	bool late = false;
	struct loop_timer timer;

	loop_timer_init(&timer, &loop, on_late, &late);
	loop_enter(&loop);
	loop_timer_arm(&timer, loop_now(&loop) + 10 * CLOCK_NS_PER_S);
	while (*what == 0 && !late)
		event_base_loop(loop.base, EVLOOP_ONCE);
	loop_timer_cancel(&timer);
	assert_false(late);
}

/* How often the loop wakes within a while in which nothing happens. */
static unsigned idle_wakes(void)
{
	bool over = false;
	unsigned wakes = 0;
	struct loop_timer timer;

	loop_timer_init(&timer, &loop, on_late, &over);
	loop_enter(&loop);
	loop_timer_arm(&timer, loop_now(&loop) + 30 * CLOCK_NS_PER_MS);
	while (!over) {
		event_base_loop(loop.base, EVLOOP_ONCE);
		wakes++;
	}
	return wakes;
}

static int listen_on(struct address *bound, int backlog)
{
	struct address any;
	int fd;

	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(tcp_listener_bind(&any, &fd, bound), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void set_blocking(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
}

/* An accepted socket as an end, and the application's (blocking) socket. */
static int make_pair(struct watcher *w)
{
	struct address bound;
	int listener = listen_on(&bound, -1);
	int app = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	struct end *end;

	assert_int_equal(connect(app, &bound.sa, bound.len), 0);
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	close(listener);
	assert_int_equal(tcp_end_new(&end, &loop, fd), 0);
	watch(w, end, true);
	return app;
}

static void close_with_reset(int fd)
{
	struct linger linger = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static size_t end_read(struct end *e, void *buf, size_t bytes)
{
	struct iovec iov[2] = {
		{.iov_base = buf, .iov_len = bytes / 2},
		{.iov_base = (char *)buf + bytes / 2, .iov_len = bytes - bytes / 2},
	};

	return e->ops->read(e, iov, 2);
}

static size_t end_write(struct end *e, const void *buf, size_t bytes)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = bytes};

	return e->ops->write(e, &iov, 1);
}

static int set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_DFL); /* never raised, or the test dies */
	return loop_init(&loop, NULL, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	loop_done(&loop);
	return 0;
}

static void test_bytes_and_half_close(void **state)
{
	struct watcher w;
	char buf[64];
	int app = make_pair(&w);

	(void)state;
	assert_int_equal(write(app, "hello", 5), 5);
	wait_for(&w.readable);
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 0);
	assert_false(w.end->ops->at_end(w.end));
	assert_int_equal(end_write(w.end, "there", 5), 5);
	assert_int_equal(read(app, buf, sizeof(buf)), 5);

	/* The application ends first; our direction stays. */
	w.readable = 0;
	shutdown(app, SHUT_WR);
	wait_for(&w.readable);
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 0);
	assert_true(w.end->ops->at_end(w.end));
	assert_true(idle_wakes() <= 3);
	assert_int_equal(end_write(w.end, "more", 4), 4);
	assert_int_equal(read(app, buf, sizeof(buf)), 4);
	w.writable = 0;
	w.end->ops->finish(w.end);
	assert_int_equal(read(app, buf, sizeof(buf)), 0);
	if (!w.end->ops->drained(w.end)) {
		wait_for(&w.writable);
		assert_true(w.end->ops->drained(w.end));
	}
	assert_true(idle_wakes() <= 3); /* a hung-up socket does not spin */
	w.end->ops->free(w.end);
	assert_int_equal(read(app, buf, sizeof(buf)), 0);
	assert_int_equal(w.errors + w.refusals, 0);
	close(app);
}

/* The last bytes and the end of file arrive in one wake-up. */
static void test_bytes_with_fin(void **state)
{
	struct watcher w;
	char buf[64];
	int app = make_pair(&w);

	(void)state;
	assert_int_equal(write(app, "bye", 3), 3);
	shutdown(app, SHUT_WR);
	wait_for(&w.readable);
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 3);
	assert_true(w.end->ops->at_end(w.end));
	/* With room for just the bytes the end comes with the next read. */
	close(app);
	w.end->ops->free(w.end);
	app = make_pair(&w);
	assert_int_equal(write(app, "bye", 3), 3);
	shutdown(app, SHUT_WR);
	wait_for(&w.readable);
	assert_int_equal(end_read(w.end, buf, 3), 3);
	assert_false(w.end->ops->at_end(w.end));
	assert_int_equal(end_read(w.end, buf, 3), 0);
	assert_true(w.end->ops->at_end(w.end));
	w.end->ops->free(w.end);
	close(app);
}

static void test_want_read(void **state)
{
	struct watcher w;
	char buf[4];
	int app = make_pair(&w);

	(void)state;
	w.end->ops->want_read(w.end, false);
	assert_int_equal(write(app, "12345678", 8), 8);
	assert_true(idle_wakes() <= 4);
	assert_int_equal(w.readable, 0);
	w.end->ops->want_read(w.end, true);
	assert_int_equal(w.readable, 0); /* never from inside */
	wait_for(&w.readable);
	assert_int_equal(end_read(w.end, buf, 4), 4);
	w.readable = 0;
	w.end->ops->want_read(w.end, true); /* there is more: asked again, told again */
	wait_for(&w.readable);
	assert_int_equal(end_read(w.end, buf, 4), 4);
	w.end->ops->free(w.end);
	close(app);
}

static void test_full_socket(void **state)
{
	static uint8_t block[65536];
	struct watcher w;
	size_t given = 0, taken = 0;
	int app = make_pair(&w);

	(void)state;
	for (size_t n = sizeof(block); n == sizeof(block); given += n)
		n = end_write(w.end, block, sizeof(block));
	assert_int_equal(end_write(w.end, block, 1), 0);
	assert_int_equal(w.writable, 0);
	assert_true(idle_wakes() <= 3);
	set_blocking(app);
	while (taken < given) {
		ssize_t n = read(app, block, sizeof(block));

		assert_true(n > 0);
		taken += (size_t)n;
	}
	wait_for(&w.writable);
	assert_int_equal(end_write(w.end, "x", 1), 1);
	w.writable = 0;
	w.end->ops->finish(w.end);
	if (!w.end->ops->drained(w.end))
		wait_for(&w.writable);
	w.end->ops->abort(w.end, FLOW_RESET);
	w.end->ops->free(w.end);
	assert_int_equal(read(app, block, 2), 1); /* a reset after drained() costs no byte */
	close(app);
}

/* An application that reads late: drained() only when it has everything, and said by a signal. */
static void test_drained(void **state)
{
	static uint8_t block[65536];
	struct watcher w;
	size_t given = 0, taken = 0;
	ssize_t n;
	int app = make_pair(&w);

	(void)state;
	for (size_t m = sizeof(block); m == sizeof(block); given += m)
		m = end_write(w.end, block, sizeof(block));
	w.end->ops->finish(w.end);
	idle_wakes();
	assert_false(w.end->ops->drained(w.end));
	while ((n = read(app, block, sizeof(block))) > 0)
		taken += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(taken, given);
	while (!w.end->ops->drained(w.end)) {
		w.writable = 0;
		wait_for(&w.writable);
	}
	w.end->ops->free(w.end);
	close(app);
}

static void assert_reset(int app)
{
	char byte;

	assert_int_equal(read(app, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(app);
}

static void test_abort_and_free_reset(void **state)
{
	struct watcher w;
	int app = make_pair(&w);

	(void)state;
	w.end->ops->abort(w.end, FLOW_TIMEOUT);
	assert_int_equal(end_write(w.end, "x", 1), 0);
	w.end->ops->free(w.end);
	assert_reset(app);

	app = make_pair(&w);
	w.end->ops->free(w.end); /* not ended: a reset, not an end of file */
	assert_reset(app);

	app = make_pair(&w);
	shutdown(app, SHUT_WR);
	wait_for(&w.readable);
	end_read(w.end, &app + 1, 0);
	w.end->ops->free(w.end); /* only half of it ended */
	assert_reset(app);
}

static void test_resets_are_noticed(void **state)
{
	static uint8_t block[65536];
	struct watcher w;
	char buf[16];
	int app;

	(void)state;
	/* While bytes are awaited. */
	app = make_pair(&w);
	close_with_reset(app);
	wait_for(&w.errors);
	assert_int_equal(w.error, FLOW_RESET);
	assert_true(idle_wakes() <= 3);
	assert_int_equal(w.errors, 1);
	w.end->ops->free(w.end);
	/* While nobody reads, with bytes waiting. */
	app = make_pair(&w);
	w.end->ops->want_read(w.end, false);
	assert_int_equal(write(app, "x", 1), 1);
	idle_wakes();
	close_with_reset(app);
	wait_for(&w.errors);
	w.end->ops->free(w.end);
	/* Half-closed by us and idle. */
	app = make_pair(&w);
	w.end->ops->finish(w.end);
	idle_wakes();
	close_with_reset(app);
	wait_for(&w.errors);
	w.end->ops->free(w.end);
	/* While full. */
	app = make_pair(&w);
	while (end_write(w.end, block, sizeof(block)) == sizeof(block))
		;
	close_with_reset(app);
	wait_for(&w.errors);
	w.end->ops->free(w.end);
	/* Half-closed by the application and idle: what it sent is whole, it only takes no more. */
	app = make_pair(&w);
	assert_int_equal(write(app, "whole", 5), 5);
	shutdown(app, SHUT_WR);
	wait_for(&w.readable);
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 5);
	assert_true(w.end->ops->at_end(w.end));
	close_with_reset(app);
	wait_for(&w.refusals);
	assert_int_equal(w.errors, 0);
	assert_true(idle_wakes() <= 3);
	w.end->ops->free(w.end);
}

/* close() of an application that has not read all: its own bytes and end of file still count. */
static void test_refused_by_write(void **state)
{
	struct watcher w;
	char buf[16];
	int app = make_pair(&w);

	(void)state;
	assert_int_equal(write(app, "whole", 5), 5);
	close(app);
	wait_for(&w.readable);
	assert_int_equal(end_write(w.end, "x", 1), 1); /* answered by a reset */
	wait_for(&w.refusals);
	assert_int_equal(w.errors, 0);
	assert_int_equal(end_write(w.end, "x", 1), 0);
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 5);
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 0);
	assert_true(w.end->ops->at_end(w.end));
	w.end->ops->free(w.end);
}

/* ---- connecting ---- */

static int start_connect(struct watcher *w, const struct address *to, size_t count,
			 uint64_t timeout_ms)
{
	struct tcp_connect params = {
		.loop = &loop,
		.addresses = to,
		.address_count = count,
		.timeout_ms = timeout_ms,
	};
	struct end *end;
	int rc;

	loop_enter(&loop);
	rc = tcp_end_connect(&end, &params);
	if (rc == 0)
		watch(w, end, true);
	return rc;
}

/* An address on which connecting neither succeeds nor fails: its backlog is full. */
static int make_black_hole(struct address *bound, int *filler)
{
	int listener = listen_on(bound, 0);

	*filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*filler, &bound->sa, bound->len), 0);
	return listener;
}

static void test_connect(void **state)
{
	struct watcher w;
	struct address bound;
	char buf[16];
	int listener = listen_on(&bound, -1), app;

	(void)state;
	assert_int_equal(start_connect(&w, &bound, 1, 5000), 0);
	assert_int_equal(end_write(w.end, "early", 5), 0); /* a full sink while connecting */
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 0);
	assert_false(w.end->ops->at_end(w.end));
	wait_for(&w.writable);
	assert_int_equal(end_write(w.end, "early", 5), 5);
	app = accept(listener, NULL, NULL);
	assert_int_equal(read(app, buf, sizeof(buf)), 5);
	assert_int_equal(write(app, "answer", 6), 6);
	wait_for(&w.readable);
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 6);
	close(app);
	w.end->ops->free(w.end);
	/* An end of file given while connecting. */
	assert_int_equal(start_connect(&w, &bound, 1, 5000), 0);
	w.end->ops->finish(w.end);
	wait_for(&w.writable);
	app = accept(listener, NULL, NULL);
	assert_int_equal(read(app, buf, sizeof(buf)), 0);
	w.end->ops->free(w.end);
	close(app);
	/* Freed and aborted while connecting. */
	assert_int_equal(start_connect(&w, &bound, 1, 5000), 0);
	w.end->ops->free(w.end);
	assert_int_equal(start_connect(&w, &bound, 1, 5000), 0);
	w.end->ops->abort(w.end, FLOW_RESET);
	idle_wakes();
	assert_int_equal(w.errors + w.writable, 0);
	w.end->ops->free(w.end);
	close(listener);
	/* Nobody listens any more. */
	assert_int_equal(start_connect(&w, &bound, 1, 5000), 0);
	assert_int_equal(w.errors, 0);
	wait_for(&w.errors);
	assert_int_equal(w.error, FLOW_REFUSED);
	w.end->ops->free(w.end);
	assert_int_equal(start_connect(&w, &bound, 0, 5000), 0);
	wait_for(&w.errors);
	assert_int_equal(w.error, FLOW_UNREACHABLE);
	w.end->ops->free(w.end);
}

/* ---- a preface ---- */

#define PREFACE_BYTES (1 << 20) /* far more than a socket takes at once */

static int small_buffer(void *user, int fd, const struct address *to)
{
	int bytes = 4096;

	(void)user;
	(void)to;
	return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static void connect_with_preface(struct watcher *w, const struct address *to, const char *preface,
				 size_t bytes)
{
	struct tcp_connect params = {
		.loop = &loop,
		.addresses = to,
		.address_count = 1,
		.timeout_ms = 5000,
		.preface = preface,
		.preface_bytes = bytes,
		.on_socket = small_buffer,
	};
	struct end *end;

	loop_enter(&loop);
	assert_int_equal(tcp_end_connect(&end, &params), 0);
	watch(w, end, true);
}

/* Turns of the loop until the application has got so many bytes. */
static void read_in_turns(int app, char *buf, size_t bytes)
{
	size_t got = 0;

	while (got < bytes) {
		ssize_t n = recv(app, buf + got, bytes - got, MSG_DONTWAIT);

		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		got += n > 0 ? (size_t)n : 0;
		if (n < 0)
			event_base_loop(loop.base, EVLOOP_NONBLOCK);
	}
}

/* Nobody has to write for it to go out. */
static void test_preface(void **state)
{
	struct watcher w;
	struct address bound;
	char buf[16];
	int listener = listen_on(&bound, -1), app;

	(void)state;
	connect_with_preface(&w, &bound, "HELLO ", 6);
	app = accept(listener, NULL, NULL);
	read_in_turns(app, buf, 6);
	assert_memory_equal(buf, "HELLO ", 6);
	assert_int_equal(w.writable, 0);
	assert_int_equal(end_write(w.end, "there", 5), 5);
	read_in_turns(app, buf, 5);
	assert_memory_equal(buf, "there", 5);
	w.end->ops->free(w.end);
	close(app);
	/* Bytes and the end of file that were given before it was out come behind it. */
	connect_with_preface(&w, &bound, "HELLO ", 6);
	assert_int_equal(end_write(w.end, "early", 5), 0);
	w.end->ops->finish(w.end);
	app = accept(listener, NULL, NULL);
	read_in_turns(app, buf, 6);
	wait_for(&w.writable);
	assert_int_equal(read(app, buf, sizeof(buf)), 0);
	w.end->ops->free(w.end);
	close(app);
	close(listener);
}

static void test_preface_in_pieces(void **state)
{
	struct watcher w;
	struct address bound;
	char *preface = malloc(PREFACE_BYTES), *got = malloc(PREFACE_BYTES), buf[16];
	int listener = listen_on(&bound, -1), app;

	(void)state;
	assert_non_null(preface);
	assert_non_null(got);
	for (size_t i = 0; i < PREFACE_BYTES; i++)
		preface[i] = (char)(i % 251);
	connect_with_preface(&w, &bound, preface, PREFACE_BYTES);
	app = accept(listener, NULL, NULL);
	/* What the far side says meanwhile is heard. */
	assert_int_equal(write(app, "220", 3), 3);
	wait_for(&w.readable);
	assert_int_equal(end_read(w.end, buf, sizeof(buf)), 3);
	assert_int_equal(end_write(w.end, "early", 5), 0);
	assert_int_equal(w.writable, 0);
	w.end->ops->finish(w.end);
	read_in_turns(app, got, PREFACE_BYTES);
	assert_memory_equal(got, preface, PREFACE_BYTES);
	wait_for(&w.writable);
	assert_int_equal(read(app, buf, sizeof(buf)), 0);
	w.end->ops->free(w.end);
	close(app);
	/* Freed amid it: a reset. */
	connect_with_preface(&w, &bound, preface, PREFACE_BYTES);
	app = accept(listener, NULL, NULL);
	read_in_turns(app, got, 100);
	w.end->ops->free(w.end);
	while (recv(app, got, PREFACE_BYTES, 0) > 0)
		;
	assert_int_equal(errno, ECONNRESET);
	close(app);
	close(listener);
	free(preface);
	free(got);
}

static void test_connect_timeout(void **state)
{
	struct watcher w;
	struct address hole;
	int filler, listener = make_black_hole(&hole, &filler);

	(void)state;
	assert_int_equal(start_connect(&w, &hole, 1, 50), 0);
	wait_for(&w.errors);
	assert_int_equal(w.error, FLOW_TIMEOUT);
	w.end->ops->free(w.end);
	close(filler);
	close(listener);
}

static void test_connect_next_address(void **state)
{
	struct watcher w;
	struct address to[4];
	int filler, hole = make_black_hole(&to[1], &filler);
	int gone = listen_on(&to[0], -1), listener = listen_on(&to[2], -1), app;
	char byte;

	(void)state;
	close(gone);
	to[3] = to[2];
	/* The first refuses, the second is silent, the third answers. */
	assert_int_equal(start_connect(&w, to, 4, 5000), 0);
	end_write(w.end, "x", 1);
	wait_for(&w.writable);
	assert_int_equal(end_write(w.end, "x", 1), 1);
	app = accept(listener, NULL, NULL);
	assert_int_equal(read(app, &byte, 1), 1);
	assert_int_equal(w.errors, 0);
	close(app);
	w.end->ops->free(w.end);
	close(filler);
	close(hole);
	close(listener);
}

static int refuse_socket(void *user, int fd, const struct address *to)
{
	assert_true(fd >= 0);
	assert_true(address_port(to) != 0);
	return ++*(int *)user == 1 ? -1 : 0;
}

static void test_connect_local_trouble(void **state)
{
	struct watcher w;
	struct address to[2];
	struct tcp_connect params = {.loop = &loop, .addresses = to, .address_count = 2};
	struct rlimit limit, low;
	struct end *end;
	int listener = listen_on(&to[0], -1), asked = 0, rc;

	(void)state;
	to[1] = to[0];
	params.on_socket = refuse_socket;
	params.user = &asked;
	assert_int_equal(tcp_end_connect(&end, &params), 0);
	watch(&w, end, true);
	end_write(w.end, "x", 1);
	wait_for(&w.writable);
	assert_int_equal(asked, 2);
	w.end->ops->free(w.end);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	rc = start_connect(&w, to, 2, 5000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(rc, RSTUN_E_LIMIT_REACHED);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bytes_and_half_close, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bytes_with_fin, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_want_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_drained, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_abort_and_free_reset, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resets_are_noticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused_by_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connect, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_preface, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_preface_in_pieces, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connect_timeout, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connect_next_address, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_connect_local_trouble, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
