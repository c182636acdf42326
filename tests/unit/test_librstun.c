/* SPDX-License-Identifier: MIT */
/*
 * librstun as a program uses it (program.h): options, mappings, channels: bytes both ways, ends,
 * and what goes wrong.
 */
#include "base/unix_path.h"
#include "tests/unit/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define BULK_BYTES (10 * 1024 * 1024)

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
		{{"proxy-auth-file", "x"}, "proxy-auth-file: an option of the daemon"},
		{{"quic-timeout-ms", "soon"}, "--quic-timeout-ms: \"soon\""},
	};
	struct rstun_option options[3] = {{"server-addr", "1"}, {"password", "secret"}};
	struct rstun_client_ops no_size = {.size = 0};
	struct rstun_context *context;
	struct rstun_client *client = NULL;
	char error[512];

	(void)state;
	assert_int_equal(rstun_context_new(&context, program_base), 0);
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
	program_run_until(program_is_up, &p);
	assert_int_equal(p.last.mapping, id);
	assert_int_equal(address_parse(&listen, p.bound, strlen(p.bound)), 0);
	pair.app = app_connect(MAPPING_TCP, &listen);
	app_send(pair.app, "ping", 4);
	pair.far = program_far_accept();
	program_far_expect(pair.far, "ping");
	assert_int_equal(rstun_client_remove_mapping(p.client, id, 0), 0);
	assert_true(pair_can_bind(&listen));
	assert_int_equal(rstun_client_remove_mapping(p.client, 2, 0), RSTUN_E_NOT_FOUND);
	while (p.changes[RSTUN_STATE_STOPPED] == 0)
		event_base_loop(program_base, EVLOOP_ONCE);
	program_far_expect_reset(pair.far);
	close(pair.app);
	program_end(&p);
}

/* One that listens at a path, whose file goes with it, with a stop, and with the client. */
static void test_path(void **state)
{
	char folder[] = "/tmp/test_librstun.XXXXXX", path[64], text[80], error[256];
	uint64_t id = 0, other = 0;
	struct sockaddr_un address;
	struct program p;
	struct stat st;
	unsigned sockets;
	int app, far;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sock", folder);
	snprintf(text, sizeof(text), "OUT^unix:%s^ANY", path);
	program_start(&p, "secret");
	sockets = p.sockets;
	assert_int_equal(rstun_client_add_mapping(p.client, text, RSTUN_TCP, &id, NULL, 0), 0);
	assert_int_equal(p.sockets, sockets); /* only those of the internet are shown */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);
	program_run_until(program_is_up, &p);
	address = unix_path_address(path);
	app = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(app, (struct sockaddr *)&address, sizeof(address)), 0);
	app_send(app, "ping", 4);
	far = program_far_accept();
	program_far_expect(far, "ping");
	assert_int_equal(rstun_client_add_mapping(p.client, text, RSTUN_TCP, &other, error,
						  sizeof(error)),
			 RSTUN_E_ADDRESS_IN_USE);
	assert_int_equal(other, 0);
	assert_non_null(strstr(error, path));
	assert_non_null(strstr(error, "another program listens there"));
	assert_int_equal(rstun_client_remove_mapping(p.client, id, 0), 0);
	assert_int_equal(access(path, F_OK), -1);
	program_far_expect_reset(far);
	close(app);

	assert_int_equal(rstun_client_add_mapping(p.client, text, RSTUN_TCP, &other, NULL, 0), 0);
	assert_true(other > id);
	rstun_client_stop(p.client, 60000);
	assert_int_equal(access(path, F_OK), -1);
	program_end(&p);

	program_start(&p, "secret");
	assert_int_equal(rstun_client_add_mapping(p.client, text, RSTUN_TCP, &id, NULL, 0), 0);
	program_end(&p);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(rmdir(folder), 0);
}

static void test_wrong_mappings(void **state)
{
	static const struct {
		const char *text, *says;
		enum rstun_proto proto;
		int error;
	} wrong[] = {
		{"OUT^9000-9009^ANY", "range of ports", RSTUN_TCP, RSTUN_E_MALFORMED},
		{"OUT^unix:/no/such/folder/s^ANY", "the folder is not there", RSTUN_TCP,
		 RSTUN_E_NOT_FOUND},
		{"OUT^unix:/dev/null^ANY", "no socket", RSTUN_TCP, RSTUN_E_CONFIG_INVALID},
		{"OUT^unix:/tmp/s^ANY", "unix:", RSTUN_UDP, RSTUN_E_MALFORMED},
	};
	struct program p;
	char error[256];
	uint64_t id = 0;

	(void)state;
	program_start(&p, "secret");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(rstun_client_add_mapping(p.client, wrong[i].text, wrong[i].proto,
							  &id, error, sizeof(error)),
				 wrong[i].error);
		if (strstr(error, wrong[i].says) == NULL)
			fail_msg("%s", error);
	}
	assert_int_equal(id, 0);
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
	program_run_until(program_is_open, &p);
	assert_true(p.sockets > 0);
	assert_true(p.lines > 0);
	assert_int_equal(p.last.mapping, 0);
	assert_true(rstun_channel_room(p.channel) > 5);
	assert_int_equal(rstun_channel_write(p.channel, "hello", 5), 5);
	assert_int_equal(rstun_channel_finish(p.channel), 0);
	assert_int_equal(rstun_channel_write(p.channel, "x", 1), RSTUN_E_CLOSED);
	far = program_far_accept();
	app_send(far, "world", 5); /* the program's end has nothing to do with this direction */
	program_run_until(program_is_readable, &p);
	assert_int_equal(rstun_channel_read(p.channel, buf, 3), 3);
	assert_memory_equal(buf, "wor", 3);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), 2);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), RSTUN_E_AGAIN);
	program_far_expect(far, "hello");
	program_far_expect_end(far);
	program_run_until(program_is_closed, &p);
	assert_int_equal(p.calls[PROGRAM_END], 1);
	assert_int_equal(p.calls[PROGRAM_CLOSED], 1);
	assert_int_equal(p.calls[PROGRAM_ERROR], 0);
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
	program_run_until(program_is_open, &p);
	far = program_far_accept();
	app_send(far, "abc", 3);
	shutdown(far, SHUT_WR);
	program_run_until(program_is_readable, &p);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), 3);
	program_run_until(program_is_ended, &p);
	assert_int_equal(rstun_channel_read(p.channel, buf, sizeof(buf)), 0);
	assert_int_equal(rstun_channel_write(p.channel, "late", 4), 4);
	assert_int_equal(rstun_channel_finish(p.channel), 0);
	program_run_until(program_is_closed, &p);
	program_far_expect(far, "late");
	program_far_expect_end(far);
	program_end(&p);
}

static void test_refused_target(void **state)
{
	char target[ADDRESS_TEXT_SIZE];
	struct program p;
	char byte;

	(void)state;
	program_start(&p, "secret");
	assert_int_equal(rstun_channel_open(&p.channel, p.client, "no port", &program_ops, &p),
			 RSTUN_E_MALFORMED);
	program_open(&p, program_nobody(target));
	program_run_until(program_has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_TARGET_REFUSED);
	assert_string_equal(p.text, "connection refused");
	assert_int_equal(rstun_channel_read(p.channel, &byte, 1), RSTUN_E_TARGET_REFUSED);
	assert_int_equal(rstun_channel_write(p.channel, &byte, 1), RSTUN_E_TARGET_REFUSED);
	rstun_channel_free(p.channel);
	memset(p.calls, 0, sizeof(p.calls));
	program_open(&p, "a-name-that-nobody-has.invalid:80");
	program_run_until(program_has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_DNS_FAILED);
	program_end(&p);
}

static void test_no_tunnel(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "wrong password");
	program_open(&p, NULL);
	program_run_until(program_has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_AUTH_FAILED);
	rstun_channel_free(p.channel);
	/* The next one need not wait. */
	memset(p.calls, 0, sizeof(p.calls));
	program_open(&p, NULL);
	program_run_until(program_has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_AUTH_FAILED);
	program_end(&p);
}

/* The server is not there: a channel waits for its time, not for ever. */
static void test_no_server(void **state)
{
	struct program p;

	(void)state;
	rig_stop_server(&program_rig);
	program_start(&p, "secret");
	program_open(&p, NULL);
	program_run_until(program_has_failed, &p);
	assert_int_equal(p.error, RSTUN_E_TIMEOUT);
	assert_string_equal(p.text, "the tunnel did not come up in time");
	program_end(&p);
	rig_start_server(&program_rig);
}

/* No socket: no tunnel. */
static void test_refused_sockets(void **state)
{
	struct program p;

	(void)state;
	program_start(&p, "secret");
	p.refuse_sockets = true;
	program_open(&p, NULL);
	program_run_until(program_has_failed, &p);
	assert_true(p.sockets > 0);
	assert_int_equal(p.changes[RSTUN_STATE_CONNECTED], 0);
	assert_int_equal(p.error, RSTUN_E_PERMISSION_DENIED);
	assert_int_equal(program_rig.logins, 0);
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
	unsigned room = p->calls[PROGRAM_OPEN] + p->calls[PROGRAM_WRITABLE];
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
	while (p->calls[PROGRAM_READABLE] > b->told_bytes &&
	       (n = rstun_channel_read(p->channel, buf, sizeof(buf))) > 0) {
		b->received_digest = digest(b->received_digest, buf, (size_t)n);
		b->received += (size_t)n;
	}
	b->told_bytes = p->calls[PROGRAM_READABLE];
	return program_is_closed(p) || program_has_failed(p);
}

static void test_bulk(void **state)
{
	struct program_upstream echo = {.takes = true, .echo = true};
	struct bulk b = {.sent = 0};

	(void)state;
	program_start(&b.p, "secret");
	program_open(&b.p, NULL);
	program_upstream_start(&echo);
	program_run_until(move_bulk, &b.p);
	assert_int_equal(b.p.error, 0);
	assert_int_equal(b.sent, BULK_BYTES);
	assert_int_equal(b.received, BULK_BYTES);
	assert_true(b.sent_digest == b.received_digest);
	assert_true(b.p.calls[PROGRAM_WRITABLE] > 0); /* it was full in between */
	pthread_join(echo.thread, NULL);
	program_end(&b.p);
}

/* A program that does not read: the far side is held back, and what waits here is bounded by the
 * stream's window, also while another channel of the same tunnel moves a lot. */
static void test_never_reads(void **state)
{
	struct program_upstream flood = {.bytes = 64 * 1024 * 1024};
	struct program_upstream echo = {.takes = true, .echo = true};
	static uint8_t buf[2 * 1024 * 1024];
	struct bulk b = {.sent = 0};
	struct program p;
	ssize_t n;

	(void)state;
	program_start(&p, "secret");
	program_open(&p, NULL);
	program_upstream_start(&flood);
	program_run_until(program_is_readable, &p);
	b.p.client = p.client;
	program_upstream_start(&echo);
	program_open(&b.p, NULL);
	program_run_until(move_bulk, &b.p);
	assert_int_equal(b.received, BULK_BYTES);
	pthread_join(echo.thread, NULL);
	n = rstun_channel_read(p.channel, buf, sizeof(buf));
	assert_in_range(n, 1, 1024 * 1024);
	program_end(&p); /* which resets the flow, so the upstream ends */
	pthread_join(flood.thread, NULL);
	assert_true(flood.sent < flood.bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_options),
		TEST(test_mapping),
		TEST(test_path),
		TEST(test_wrong_mappings),
		TEST(test_channel),
		TEST(test_far_end_first),
		TEST(test_refused_target),
		TEST(test_no_tunnel),
		TEST(test_no_server),
		TEST(test_refused_sockets),
		TEST(test_bulk),
		TEST(test_never_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
