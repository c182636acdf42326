/* SPDX-License-Identifier: MIT */
/*
 * librstun as a program uses it: the shared library, with an event_base of the test's own, against
 * a server in another thread (tunnel_rig.h) and upstreams that the test plays.
 */
#include "rstun.h"
#include "tests/unit/tunnel_pair.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_S 20
#define BULK_BYTES (10 * 1024 * 1024)

enum freeing { FREE_NOTHING, FREE_CHANNEL, FREE_CLIENT, FREE_CONTEXT };
enum call { CALL_OPEN, CALL_READABLE, CALL_WRITABLE, CALL_END, CALL_CLOSED, CALL_ERROR, CALLS };

/* A program: a context with one client, and a channel. */
struct program {
	struct rstun_context *context;
	struct rstun_client *client;
	struct rstun_channel *channel;
	unsigned changes[RSTUN_STATE_STOPPED + 1];
	struct rstun_state_change last; /* without its texts */
	char bound[64];
	unsigned sockets, stopped, lines;
	bool refuse_sockets;
	unsigned calls[CALLS];
	int error;
	char text[256];
	enum freeing freeing; /* in the call `in` */
	enum call in;
	bool freed;
};

static struct rig rig;
static struct event_base *base;

/* ---- callbacks ---- */

static void program_free(struct program *p, enum freeing what)
{
	p->freed = true;
	if (what == FREE_CHANNEL)
		rstun_channel_free(p->channel);
	if (what == FREE_CLIENT)
		rstun_client_free(p->client);
	if (what == FREE_CONTEXT)
		rstun_context_free(p->context);
	p->channel = NULL;
	if (what >= FREE_CLIENT)
		p->client = NULL;
	if (what == FREE_CONTEXT)
		p->context = NULL;
}

static void program_called(struct program *p, enum call call)
{
	assert_false(p->freed); /* nothing comes after that */
	p->calls[call]++;
	if (p->freeing != FREE_NOTHING && p->in == call)
		program_free(p, p->freeing);
}

static void on_open(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, CALL_OPEN);
}

static void on_readable(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, CALL_READABLE);
}

static void on_writable(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, CALL_WRITABLE);
}

static void on_end(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, CALL_END);
}

static void on_closed(struct rstun_channel *channel, void *user)
{
	(void)channel;
	program_called(user, CALL_CLOSED);
}

static void on_error(struct rstun_channel *channel, void *user, int error, const char *text)
{
	struct program *p = user;

	(void)channel;
	p->error = error;
	program_called(p, CALL_ERROR);
	snprintf(p->text, sizeof(p->text), "%s", text); /* still good, whatever was freed */
}

static const struct rstun_channel_ops channel_ops = {
	.size = sizeof(struct rstun_channel_ops),
	.on_open = on_open,
	.on_readable = on_readable,
	.on_writable = on_writable,
	.on_end = on_end,
	.on_closed = on_closed,
	.on_error = on_error,
};

static void on_state(struct rstun_client *client, void *user,
		     const struct rstun_state_change *change)
{
	struct program *p = user;

	(void)client;
	p->changes[change->now]++;
	p->last = *change;
	snprintf(p->bound, sizeof(p->bound), "%s", change->bound);
}

static void on_stopped(struct rstun_client *client, void *user)
{
	struct program *p = user;

	assert_ptr_equal(client, p->client);
	p->stopped++;
}

static void on_log(void *user, enum rstun_log_level level, const char *scope, const char *text)
{
	struct program *p = user;

	(void)level;
	assert_null(strstr(text, "secret"));
	assert_non_null(scope);
	p->lines++;
}

static int on_socket(void *user, int fd)
{
	struct program *p = user;

	assert_true(fcntl(fd, F_GETFD) >= 0);
	p->sockets++;
	return p->refuse_sockets;
}

/* ---- running ---- */

static void on_limit(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	*(bool *)user = true;
}

/* Runs the loop until `test` is true. */
static void run_until(bool (*test)(struct program *p), struct program *p)
{
	const struct timeval limit = {.tv_sec = LIMIT_S};
	struct event *timer;
	bool late = false;

	timer = event_new(base, -1, 0, on_limit, &late);
	event_add(timer, &limit);
	while (!test(p) && !late)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(timer);
	if (late)
		fail_msg("nothing happened in %d s; error %d %s", LIMIT_S, p->error, p->text);
}

static bool is_open(struct program *p)
{
	return p->calls[CALL_OPEN] > 0;
}

static bool is_readable(struct program *p)
{
	return p->calls[CALL_READABLE] > 0;
}

static bool is_ended(struct program *p)
{
	return p->calls[CALL_END] > 0;
}

static bool is_closed(struct program *p)
{
	return p->calls[CALL_CLOSED] > 0;
}

static bool has_failed(struct program *p)
{
	return p->calls[CALL_ERROR] > 0;
}

static bool is_up(struct program *p)
{
	return p->changes[RSTUN_STATE_TUNNELING] > 0;
}

static bool is_stopped(struct program *p)
{
	return p->stopped > 0;
}

/* ---- the far side: blocking sockets, while the loop runs ---- */

static void on_fd(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	*(bool *)user = true;
}

static void run_until_readable(int fd)
{
	const struct timeval limit = {.tv_sec = LIMIT_S};
	struct event *event;
	bool done = false;

	event = event_new(base, fd, EV_READ, on_fd, &done);
	event_add(event, &limit);
	while (!done)
		event_base_loop(base, EVLOOP_ONCE);
	event_free(event);
}

static int far_accept(void)
{
	run_until_readable(pair_upstream[0]);
	return app_accept(pair_upstream[0]);
}

static void far_expect(int fd, const char *text)
{
	run_until_readable(fd);
	app_expect(fd, text, strlen(text));
}

static void far_expect_end(int fd)
{
	run_until_readable(fd);
	app_expect_end(fd);
	close(fd);
}

static void far_expect_reset(int fd)
{
	run_until_readable(fd);
	app_expect_reset(fd);
	close(fd);
}

/* ---- beginning and end ---- */

static void program_start(struct program *p, const char *password)
{
	static const struct rstun_client_ops ops = {
		.size = sizeof(ops),
		.on_state = on_state,
		.on_stopped = on_stopped,
	};
	char server[ADDRESS_TEXT_SIZE], error[256] = "";
	const struct rstun_option options[] = {
		{"server-addr", address_format(server, sizeof(server), &rig.server_address)},
		{"password", password},
		{"cipher", "aes-128-gcm"},
	};

	memset(p, 0, sizeof(*p));
	assert_int_equal(rstun_context_new(&p->context, base), 0);
	rstun_context_set_log(p->context, RSTUN_LOG_TRACE, on_log, p);
	rstun_context_set_socket_hook(p->context, on_socket, p);
	if (rstun_client_new(&p->client, p->context, options, 3, &ops, p, error, sizeof(error)))
		fail_msg("%s", error);
}

static void program_open(struct program *p, const char *target)
{
	assert_int_equal(rstun_channel_open(&p->channel, p->client, target, &channel_ops, p), 0);
	for (int i = 0; i < CALLS; i++) /* nothing comes from inside */
		assert_int_equal(p->calls[i], 0);
}

static void program_end(struct program *p)
{
	rstun_context_free(p->context);
	p->context = NULL;
	/* Nothing of it is left in the program's base. */
	assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
}

static int setup(void **state)
{
	(void)state;
	base = event_base_new();
	assert_non_null(base);
	memset(&rig, 0, sizeof(rig));
	rig_init(&rig);
	rig.server_config.tcp_upstream = (struct target){.kind = TARGET_ADDRESS};
	pair_upstream[0] = app_listen(MAPPING_TCP, &rig.server_config.tcp_upstream.address);
	rig_start_server(&rig);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_done(&rig);
	close(pair_upstream[0]);
	event_base_free(base);
	return 0;
}

/* An address of this machine where nobody listens. */
static const char *nobody(char buf[ADDRESS_TEXT_SIZE])
{
	struct address address;

	close(app_listen(MAPPING_TCP, &address));
	return address_format(buf, ADDRESS_TEXT_SIZE, &address);
}

/* ---- upstreams in threads ---- */

struct upstream {
	pthread_t thread;
	bool takes;   /* reads until the end, or sends only */
	bool echo;    /* what it takes */
	size_t bytes; /* to send when it does not take */
	size_t sent;  /* good when joined */
};

static void *upstream_run(void *user)
{
	struct upstream *u = user;
	int fd = app_accept(pair_upstream[0]);
	static uint8_t zeros[65536];
	uint8_t buf[65536];
	ssize_t n;

	while (u->takes && (n = recv(fd, buf, sizeof(buf), 0)) > 0)
		if (u->echo && send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	while (!u->takes && u->sent < u->bytes &&
	       (n = send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL)) > 0)
		u->sent += (size_t)n;
	close(fd);
	return NULL;
}

static void upstream_start(struct upstream *u)
{
	assert_int_equal(pthread_create(&u->thread, NULL, upstream_run, u), 0);
}

/* ---- tests ---- */

static void test_options(void **state)
{
	static const struct {
		struct rstun_option option;
		const char *says;
	} wrong[] = {
		{{"pasword", "x"}, "there is no option pasword; did you mean password?"},
		{{"zzzzzzzzzz", "x"}, "there is no option zzzzzzzzzz"},
		{{"workers", "2"}, "workers: an option of the daemon, not of the library"},
		{{"password-file", "x"}, "password-file: an option of the daemon"},
		{{"quic-timeout-ms", "soon"}, "--quic-timeout-ms: \"soon\""},
	};
	struct rstun_option options[3] = {{"server-addr", "1"}, {"password", "secret"}};
	struct rstun_client_ops no_size = {.size = 0};
	struct rstun_context *context;
	struct rstun_client *client = NULL;
	char error[512];

	(void)state;
	assert_int_equal(rstun_context_new(&context, base), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		options[2] = wrong[i].option;
		assert_int_equal(rstun_client_new(&client, context, options, 3, NULL, NULL, error,
						  sizeof(error)),
				 RSTUN_E_CONFIG_INVALID);
		if (strstr(error, wrong[i].says) == NULL)
			fail_msg("%s", error);
	}
	assert_int_equal(rstun_client_new(&client, context, options, 0, NULL, NULL, NULL, 0),
			 RSTUN_E_CONFIG_INVALID);
	assert_int_equal(rstun_client_new(&client, context, options, 2, &no_size, NULL, NULL, 0),
			 RSTUN_E_MALFORMED);
	options[2] = (struct rstun_option){"cert-pem", "nonsense"};
	assert_int_equal(rstun_client_new(&client, context, options, 3, NULL, NULL, error,
					  sizeof(error)),
			 RSTUN_E_CERT_INVALID);
	assert_null(client);
	assert_int_equal(rstun_client_new(&client, context, options, 2, NULL, NULL, NULL, 0), 0);
	rstun_context_free(context); /* with its client */
	rstun_context_free(NULL);
	rstun_client_free(NULL);
	rstun_channel_free(NULL);
	assert_string_equal(rstun_version(), PACKAGE_VERSION);
}

/* A client's mapping, as the daemon has it. */
static void test_mapping(void **state)
{
	struct address listen;
	struct program p;
	struct pair pair;
	uint64_t id = 0;
	char error[256];

	(void)state;
	program_start(&p, "secret");
	assert_int_equal(rstun_client_add_mapping(p.client, "OUT^nonsense^ANY", RSTUN_TCP, &id,
						  error, sizeof(error)),
			 RSTUN_E_MALFORMED);
	assert_non_null(strstr(error, "OUT^nonsense^ANY"));
	assert_int_equal(rstun_client_add_mapping(p.client, "OUT^0^ANY", RSTUN_TCP, &id, error,
						  sizeof(error)),
			 0);
	assert_int_equal(id, 1);
	run_until(is_up, &p);
	assert_int_equal(p.last.mapping, id);
	assert_int_equal(address_parse(&listen, p.bound, strlen(p.bound)), 0);
	pair.app = app_connect(MAPPING_TCP, &listen);
	app_send(pair.app, "ping", 4);
	pair.far = far_accept();
	far_expect(pair.far, "ping");
	assert_int_equal(rstun_client_remove_mapping(p.client, id, 0), 0);
	assert_true(pair_can_bind(&listen));
	assert_int_equal(rstun_client_remove_mapping(p.client, 2, 0), RSTUN_E_NOT_FOUND);
	while (p.changes[RSTUN_STATE_STOPPED] == 0)
		event_base_loop(base, EVLOOP_ONCE);
	far_expect_reset(pair.far);
	close(pair.app);
	program_end(&p);
}

/* Open before there is a tunnel, bytes both ways, half-closed in turn, closed. */
static void test_channel(void **state)
{
	struct program p;
	char buf[16];
	int far;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	assert_int_equal(rstun_channel_write(p.channel, "early", 5), 0);
	assert_int_equal(rstun_channel_room(p.channel), 0);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), RSTUN_E_AGAIN);
	run_until(is_open, &p);
	assert_true(p.sockets > 0);
	assert_true(p.lines > 0);
	assert_int_equal(p.last.mapping, 0);
	assert_true(rstun_channel_room(p.channel) > 5);
	assert_int_equal(rstun_channel_write(p.channel, "hello", 5), 5);
	assert_int_equal(rstun_channel_finish(p.channel), 0);
	assert_int_equal(rstun_channel_write(p.channel, "x", 1), RSTUN_E_CLOSED);
	far = far_accept();
	app_send(far, "world", 5); /* the program's end has nothing to do with this direction */
	run_until(is_readable, &p);
	assert_int_equal(rstun_channel_read(p.channel, buf, 3), 3);
	assert_memory_equal(buf, "wor", 3);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), 2);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), RSTUN_E_AGAIN);
	far_expect(far, "hello");
	far_expect_end(far);
	run_until(is_closed, &p);
	assert_int_equal(p.calls[CALL_END], 1);
	assert_int_equal(p.calls[CALL_CLOSED], 1);
	assert_int_equal(p.calls[CALL_ERROR], 0);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), 0);
	assert_int_equal(rstun_channel_write(p.channel, "x", 1), RSTUN_E_CLOSED);
	program_end(&p);
}

/* The far side ends first. */
static void test_far_end_first(void **state)
{
	struct program p;
	char buf[4];
	int far;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	run_until(is_open, &p);
	far = far_accept();
	app_send(far, "abc", 3);
	shutdown(far, SHUT_WR);
	run_until(is_readable, &p);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), 3);
	run_until(is_ended, &p);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), 0);
	assert_int_equal(rstun_channel_write(p.channel, "late", 4), 4);
	assert_int_equal(rstun_channel_finish(p.channel), 0);
	run_until(is_closed, &p);
	far_expect(far, "late");
	far_expect_end(far);
	program_end(&p);
}

static void test_refused_target(void **state)
{
	char target[ADDRESS_TEXT_SIZE];
	struct program p;
	char byte;

	(void)state;
	program_start(&p, "secret");
	assert_int_equal(rstun_channel_open(&p.channel, p.client, "no port", &channel_ops, &p),
			 RSTUN_E_MALFORMED);
	program_open(&p, nobody(target));
	run_until(has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_TARGET_REFUSED);
	assert_string_equal(p.text, "connection refused");
	assert_int_equal(rstun_channel_read(p.channel, &byte, 1), RSTUN_E_TARGET_REFUSED);
	assert_int_equal(rstun_channel_write(p.channel, &byte, 1), RSTUN_E_TARGET_REFUSED);
	rstun_channel_free(p.channel);
	memset(p.calls, 0, sizeof(p.calls));
	program_open(&p, "a-name-that-nobody-has.invalid:80");
	run_until(has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_DNS_FAILED);
	program_end(&p);
}

static void test_no_tunnel(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "wrong password");
	program_open(&p, NULL);
	run_until(has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_AUTH_FAILED);
	rstun_channel_free(p.channel);
	/* The next one need not wait. */
	memset(p.calls, 0, sizeof(p.calls));
	program_open(&p, NULL);
	run_until(has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_AUTH_FAILED);
	program_end(&p);
}

/* The server is not there: a channel waits for its time, not for ever. */
static void test_no_server(void **state)
{
	struct program p;

	(void)state;
	rig_stop_server(&rig);
	program_start(&p, "secret");
	program_open(&p, NULL);
	run_until(has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_TIMEOUT);
	assert_string_equal(p.text, "the tunnel did not come up in time");
	program_end(&p);
	rig_start_server(&rig);
}

/* No socket: no tunnel. */
static void test_refused_sockets(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "secret");
	p.refuse_sockets = true;
	program_open(&p, NULL);
	run_until(has_failed, &p);
	assert_true(p.sockets > 0);
	assert_int_equal(p.changes[RSTUN_STATE_CONNECTED], 0);
	assert_int_equal(p.error, RSTUN_E_PERMISSION_DENIED);
	assert_int_equal(rig.logins, 0);
	program_end(&p);
}

/* Digest enough for bytes that must come in order. */
static uint64_t digest(uint64_t h, const uint8_t *data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		h = (h ^ data[i]) * UINT64_C(1099511628211);
	return h;
}

struct bulk {
	struct program p;
	size_t sent, received;
	unsigned told_room, told_bytes; /* calls that have been followed */
	uint64_t sent_digest, received_digest;
};

static bool move_bulk(struct program *p)
{
	struct bulk *b = (struct bulk *)p; /* its first member */
	uint8_t buf[32768];
	unsigned room = p->calls[CALL_OPEN] + p->calls[CALL_WRITABLE];
	ssize_t n = 1;

	/* Only when it was told: who waits for calls must not wait in vain. */
	while (room > b->told_room && n > 0 && b->sent < BULK_BYTES) {
		size_t bytes = BULK_BYTES - b->sent < sizeof(buf) ? BULK_BYTES - b->sent
								  : sizeof(buf);

		for (size_t i = 0; i < bytes; i++)
			buf[i] = (uint8_t)((b->sent + i) * 2654435761u >> 13);
		n = rstun_channel_write(p->channel, buf, bytes);
		assert_true(n >= 0);
		b->sent_digest = digest(b->sent_digest, buf, (size_t)n);
		b->sent += (size_t)n;
		if (b->sent == BULK_BYTES)
			rstun_channel_finish(p->channel);
	}
	b->told_room = room;
	while (p->calls[CALL_READABLE] > b->told_bytes &&
	       (n = rstun_channel_read(p->channel, buf, sizeof(buf))) > 0) {
		b->received_digest = digest(b->received_digest, buf, (size_t)n);
		b->received += (size_t)n;
	}
	b->told_bytes = p->calls[CALL_READABLE];
	return is_closed(p) || has_failed(p);
}

static void test_bulk(void **state)
{
	struct upstream echo = {.takes = true, .echo = true};
	struct bulk b = {.sent = 0};

	(void)state;
	program_start(&b.p, "secret");
	program_open(&b.p, NULL);
	upstream_start(&echo);
	run_until(move_bulk, &b.p);
	assert_int_equal(b.p.error, 0);
	assert_int_equal(b.sent, BULK_BYTES);
	assert_int_equal(b.received, BULK_BYTES);
	assert_true(b.sent_digest == b.received_digest);
	assert_true(b.p.calls[CALL_WRITABLE] > 0); /* it was full in between */
	pthread_join(echo.thread, NULL);
	program_end(&b.p);
}

/* A program that does not read: the far side is held back, and what waits here is bounded by the
 * stream's window, also while another channel of the same tunnel moves a lot. */
static void test_never_reads(void **state)
{
	struct upstream flood = {.bytes = 64 * 1024 * 1024}, echo = {.takes = true, .echo = true};
	static uint8_t buf[2 * 1024 * 1024];
	struct bulk b = {.sent = 0};
	struct program p;
	ssize_t n;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	upstream_start(&flood);
	run_until(is_readable, &p);
	b.p.client = p.client;
	upstream_start(&echo);
	program_open(&b.p, NULL);
	run_until(move_bulk, &b.p);
	assert_int_equal(b.received, BULK_BYTES);
	pthread_join(echo.thread, NULL);
	n = rstun_channel_read(p.channel, buf, sizeof(buf));
	assert_in_range(n, 1, 1024 * 1024);
	program_end(&p); /* which resets the flow, so the upstream ends */
	pthread_join(flood.thread, NULL);
	assert_true(flood.sent < flood.bytes);
}

/* ---- several contexts ---- */

static void test_two_contexts(void **state)
{
	struct program a, b;
	char buf[8];
	int far;

	(void)state;
	program_start(&a, "secret");
	program_start(&b, "wrong password");
	program_open(&a, NULL);
	program_open(&b, NULL);
	run_until(is_open, &a);
	run_until(has_failed, &b);
	assert_int_equal(b.error, RSTUN_E_AUTH_FAILED);
	rstun_context_free(b.context);
	assert_int_equal(rstun_channel_write(a.channel, "ping", 4), 4);
	far = far_accept();
	app_send(far, "pong", 4);
	run_until(is_readable, &a);
	assert_int_equal(rstun_channel_read(a.channel, buf, sizeof(buf)), 4);
	far_expect(far, "ping");
	program_end(&a);
	far_expect_reset(far);
}

/* Each thread has its own base; all of the library is used at once, its beginning and end too. */
static void *thread_run(void *user)
{
	struct program *p = user;
	struct event_base *own = event_base_new();
	char server[ADDRESS_TEXT_SIZE];
	const struct rstun_option options[] = {
		{"server-addr", address_format(server, sizeof(server), &rig.server_address)},
		{"password", "wrong password"},
	};

	p->error = rstun_context_new(&p->context, own);
	if (p->error == 0)
		p->error = rstun_client_new(&p->client, p->context, options, 2, NULL, NULL, NULL,
					    0);
	if (p->error == 0)
		p->error = rstun_channel_open(&p->channel, p->client, NULL, &channel_ops, p);
	while (p->error == 0 && p->calls[CALL_ERROR] == 0)
		event_base_loop(own, EVLOOP_ONCE);
	rstun_context_free(p->context);
	event_base_free(own);
	return NULL;
}

static void test_threads(void **state)
{
	struct program p[4];
	pthread_t threads[4];

	(void)state;
	memset(p, 0, sizeof(p));
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, thread_run, &p[i]), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(p[i].calls[CALL_ERROR], 1);
	}
}

static void *call_from_elsewhere(void *user)
{
	const struct rlimit none = {.rlim_cur = 0};

	setrlimit(RLIMIT_CORE, &none);
	if (freopen("/dev/null", "w", stderr) == NULL)
		abort();
	rstun_client_stop(user, 0);
	return NULL;
}

/* Ends the program: this is a build without NDEBUG. */
static void test_wrong_thread(void **state)
{
	struct program p;
	pthread_t thread;
	int status;
	pid_t child;

	(void)state;
	program_start(&p, "secret");
	child = fork();
	if (child == 0) {
		if (pthread_create(&thread, NULL, call_from_elsewhere, p.client) == 0)
			pthread_join(thread, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	program_end(&p);
}

/* ---- the end ---- */

/* A stop lets a channel end, then ends what is left; afterwards nothing can be begun. */
static void test_stop(void **state)
{
	struct program p;
	struct rstun_channel *late = NULL;
	uint64_t id = 0;
	int far;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	run_until(is_open, &p);
	far = far_accept();
	assert_int_equal(rstun_client_stop(p.client, 60000), 0);
	assert_int_equal(rstun_channel_open(&late, p.client, NULL, &channel_ops, &p),
			 RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(rstun_client_add_mapping(p.client, "OUT^0^ANY", RSTUN_TCP, &id, NULL, 0),
			 RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(rstun_channel_write(p.channel, "bye", 3), 3);
	rstun_channel_finish(p.channel);
	far_expect(far, "bye");
	far_expect_end(far);
	run_until(is_stopped, &p);
	assert_int_equal(p.calls[CALL_CLOSED], 1);
	assert_int_equal(p.calls[CALL_ERROR], 0);
	assert_int_equal(p.changes[RSTUN_STATE_STOPPED], 1);
	assert_int_equal(rstun_client_stop(p.client, 0), 0);
	assert_int_equal(p.stopped, 1);
	assert_null(late);
	program_end(&p);
}

/* With nothing that has to end. */
static void test_stop_idle(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "secret");
	assert_int_equal(rstun_client_stop(p.client, 60000), 0);
	assert_int_equal(p.stopped, 0); /* not from inside */
	run_until(is_stopped, &p);
	program_end(&p);
}

static void test_stop_at_once(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	run_until(is_open, &p);
	assert_int_equal(rstun_client_stop(p.client, 0), 0);
	run_until(has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(rstun_channel_write(p.channel, "x", 1), RSTUN_E_SHUTTING_DOWN);
	run_until(is_stopped, &p);
	program_end(&p);
}

static void test_lost_tunnel(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	run_until(is_open, &p);
	rig_stop_server(&rig);
	run_until(has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_RESET);
	assert_string_equal(p.text, "the tunnel was lost");
	program_end(&p);
	rig_start_server(&rig);
}

static void test_abort(void **state)
{
	struct program p;
	char byte;
	int far;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	assert_int_equal(rstun_channel_abort(p.channel), 0); /* while it waits */
	rstun_channel_free(p.channel);
	program_open(&p, NULL);
	run_until(is_open, &p);
	far = far_accept();
	assert_int_equal(rstun_channel_abort(p.channel), 0);
	assert_int_equal(rstun_channel_read(p.channel, &byte, 1), RSTUN_E_CANCELLED);
	assert_int_equal(rstun_channel_write(p.channel, &byte, 1), RSTUN_E_CANCELLED);
	far_expect_reset(far);
	assert_int_equal(p.calls[CALL_ERROR] + p.calls[CALL_CLOSED], 0);
	program_end(&p);
}

static bool is_freed(struct program *p)
{
	static const char zeros[4096];
	char buf[4096];

	/* Whatever the call needs: fill the stream, read what came, end. */
	if (p->freed)
		return true;
	if (p->in == CALL_WRITABLE && is_open(p))
		while (rstun_channel_write(p->channel, zeros, sizeof(zeros)) > 0)
			;
	if (p->in >= CALL_END && p->in != CALL_ERROR && is_readable(p))
		while (rstun_channel_read(p->channel, buf, sizeof(buf)) > 0)
			;
	if (p->in == CALL_CLOSED && is_open(p))
		rstun_channel_finish(p->channel);
	return p->freed;
}

/* Everything may be freed in every callback. */
static void test_free_in_calls(void **state)
{
	char target[ADDRESS_TEXT_SIZE];

	(void)state;
	nobody(target);
	for (enum call in = CALL_OPEN; in < CALLS; in++) {
		bool far = in != CALL_OPEN && in != CALL_ERROR; /* it gets so far as to be dialled */

		for (enum freeing what = FREE_CHANNEL; what <= FREE_CONTEXT; what++) {
			struct upstream upstream = {.takes = in == CALL_WRITABLE, .bytes = 1};
			struct program p;

			program_start(&p, "secret");
			p.freeing = what;
			p.in = in;
			program_open(&p, far ? NULL : target);
			if (far)
				upstream_start(&upstream);
			run_until(is_freed, &p);
			program_end(&p);
			if (far)
				pthread_join(upstream.thread, NULL);
		}
	}
}

static void on_state_free(struct rstun_client *client, void *user,
			  const struct rstun_state_change *change)
{
	struct program *p = user;

	(void)client;
	assert_false(p->freed);
	if (change->now == RSTUN_STATE_TUNNELING) {
		program_free(p, FREE_CONTEXT);
		assert_string_equal(change->text, ""); /* still good */
	}
}

static bool is_freed_by_state(struct program *p)
{
	return p->freed;
}

static void test_free_in_state(void **state)
{
	const struct rstun_client_ops ops = {.size = sizeof(ops), .on_state = on_state_free};
	char server[ADDRESS_TEXT_SIZE];
	const struct rstun_option options[] = {
		{"server-addr", address_format(server, sizeof(server), &rig.server_address)},
		{"password", "secret"},
	};
	struct program p = {.error = 0};

	(void)state;
	assert_int_equal(rstun_context_new(&p.context, base), 0);
	assert_int_equal(rstun_client_new(&p.client, p.context, options, 2, &ops, &p, NULL, 0), 0);
	program_open(&p, NULL);
	run_until(is_freed_by_state, &p);
	program_end(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_options),
		TEST(test_mapping),
		TEST(test_channel),
		TEST(test_far_end_first),
		TEST(test_refused_target),
		TEST(test_no_tunnel),
		TEST(test_no_server),
		TEST(test_refused_sockets),
		TEST(test_bulk),
		TEST(test_never_reads),
		TEST(test_two_contexts),
		TEST(test_threads),
		TEST(test_wrong_thread),
		TEST(test_stop),
		TEST(test_stop_idle),
		TEST(test_stop_at_once),
		TEST(test_lost_tunnel),
		TEST(test_abort),
		TEST(test_free_in_calls),
		TEST(test_free_in_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
