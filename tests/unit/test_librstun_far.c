/* SPDX-License-Identifier: MIT */
/*
 * What a program of librstun does with streams that the far side opens (both.h): a server's with
 * those of clients, a client's with those of a mapping IN. Taken, refused, left to the library.
 */
#include "tests/unit/both.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the server's program ---- */

static void test_take(void **state)
{
	static const struct {
		const char *target, *asked;
	} targets[] = {
		{NULL, "-"},
		{"db.internal:5432", "db.internal:5432"},
		{"[::1]:80", "[::1]:80"},
		{"10.0.0.5:80", "10.0.0.5:80"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		struct program s, c;

		both_start(&s, &c);
		program_open(&c, targets[i].target);
		program_run_until(both_far_was_asked, &c);
		assert_string_equal(s.asked_target, targets[i].asked);
		assert_int_equal(strncmp(s.asked_peer, "127.0.0.1:", 10), 0);
		assert_int_equal(s.sessions[RSTUN_SESSION_LOGIN], 1); /* told before */
		assert_int_equal(s.session.session, s.asked_id);
		assert_true(s.asked_id > 0);
		assert_string_equal(s.session_mapping, "");
		assert_string_equal(s.session_software, PACKAGE_STRING);
		both_converse(&c, &s);
		program_leave(&c);
		while (s.sessions[RSTUN_SESSION_ENDED] == 0)
			event_base_loop(program_base, EVLOOP_ONCE);
		assert_int_equal(s.session.error, 0);
		program_end(&s);
	}
}

/* A mapping, by its port: the program is the far end of what connects there. */
static void test_mapping(void **state)
{
	static const struct {
		const char *text, *asked, *shown;
	} mappings[] = {
		{"OUT^0^ANY", "-", "OUT^127.0.0.1:0^ANY"},
		{"OUT^0^db:5432", "db:5432", "OUT^127.0.0.1:0^db:5432"},
		{"OUT^0^10.0.0.5:80", "10.0.0.5:80", "OUT^127.0.0.1:0^10.0.0.5:80"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(mappings) / sizeof(mappings[0]); i++) {
		struct address listen;
		struct program s, c;
		uint64_t id;
		int app;

		both_start(&s, &c);
		assert_int_equal(rstun_client_add_mapping(c.client, mappings[i].text, RSTUN_TCP,
							  &id, NULL, 0),
				 0);
		program_run_until(program_is_up, &c);
		assert_string_equal(s.session_mapping, mappings[i].shown);
		assert_int_equal(address_parse(&listen, c.bound, strlen(c.bound)), 0);
		app = app_connect(MAPPING_TCP, &listen);
		program_run_until(program_was_asked, &s); /* before it sends anything */
		assert_string_equal(s.asked_target, mappings[i].asked);
		app_send(app, "ping", 4);
		both_expect(&s, "ping");
		both_send(&s, "pong");
		program_far_expect(app, "pong");
		rstun_channel_abort(s.channel);
		program_far_expect_reset(app);
		both_end(&s, &c);
	}
}

/* The reason arrives; what has none of its own is a reset. */
static void test_refuse(void **state)
{
	static const int reasons[][2] = {
		{RSTUN_E_TARGET_REFUSED, RSTUN_E_TARGET_REFUSED},
		{RSTUN_E_TARGET_UNREACHABLE, RSTUN_E_TARGET_UNREACHABLE},
		{RSTUN_E_TIMEOUT, RSTUN_E_TIMEOUT},
		{RSTUN_E_ACCESS_DENIED, RSTUN_E_ACCESS_DENIED},
		{RSTUN_E_LIMIT_REACHED, RSTUN_E_LIMIT_REACHED},
		{RSTUN_E_DNS_FAILED, RSTUN_E_DNS_FAILED},
		{RSTUN_E_SHUTTING_DOWN, RSTUN_E_SHUTTING_DOWN},
		{RSTUN_E_RESET, RSTUN_E_RESET},
		{RSTUN_E_CERT_INVALID, RSTUN_E_RESET},
		{0, RSTUN_E_RESET},
		{12345, RSTUN_E_RESET},
	};
	struct program s, c;

	(void)state;
	both_start(&s, &c);
	s.answer = PROGRAM_REFUSES;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		s.refusal = reasons[i][0];
		memset(c.calls, 0, sizeof(c.calls));
		program_open(&c, "db:5432");
		program_run_until(program_has_failed, &c);
		assert_int_equal(c.error, reasons[i][1]);
		rstun_channel_free(c.channel);
	}
	both_end(&s, &c);
}

/* Left to the library: the default upstream, a target that is named, and none of either. */
static void test_leave(void **state)
{
	char upstream[ADDRESS_TEXT_SIZE], nobody[ADDRESS_TEXT_SIZE];
	const struct rstun_option options[2] = {
		{"tcp-upstream",
		 address_format(upstream, sizeof(upstream),
				&program_rig.server_config.tcp_upstream.address)}};

	(void)state;
	program_nobody(nobody);
	for (int asked = 0; asked <= 1; asked++) {
		for (int named = 0; named <= 1; named++) {
			struct program s, c;
			int target;

			program_serve(&s, asked, named ? NULL : options);
			s.answer = PROGRAM_LEAVES;
			program_start(&c, "secret");
			program_open(&c, named ? upstream : NULL);
			target = program_far_accept();
			app_send(target, "hello", 5);
			both_expect(&c, "hello");
			both_send(&c, "ping");
			program_far_expect(target, "ping");
			close(target);
			assert_int_equal(s.calls[PROGRAM_ASKED], asked);
			if (named) {
				memset(c.calls, 0, sizeof(c.calls));
				program_open(&c, NULL);
				program_run_until(program_has_failed, &c);
				assert_int_equal(c.error, RSTUN_E_ACCESS_DENIED);
				memset(c.calls, 0, sizeof(c.calls));
				program_open(&c, nobody);
				program_run_until(program_has_failed, &c);
				assert_int_equal(c.error, RSTUN_E_TARGET_REFUSED);
			}
			both_end(&s, &c);
		}
	}
}

/* Writes as much as there is room for. */
static size_t fill(struct program *p)
{
	static const char zeros[65536];
	size_t sent = 0;
	ssize_t n;

	while ((n = rstun_channel_write(p->channel, zeros, sizeof(zeros))) > 0)
		sent += (size_t)n;
	assert_int_equal(n, 0);
	return sent;
}

/* A round trip of another channel: what can move has moved by then. */
static void round_trip(struct program *server, struct program *client)
{
	struct rstun_channel *kept = server->channel;
	struct program other;

	memset(&other, 0, sizeof(other));
	other.client = client->client;
	server->answer = PROGRAM_REFUSES;
	program_open(&other, "other:1");
	program_run_until(program_has_failed, &other);
	rstun_channel_free(other.channel);
	server->channel = kept;
}

static bool drains(struct program *p)
{
	static char buf[65536];
	ssize_t n;

	while ((n = rstun_channel_read(p->channel, buf, sizeof(buf))) > 0)
		p->moved += (size_t)n;
	return program_is_ended(p);
}

/* A program that does not read holds the far side back; when it does, all of it comes. */
static void test_never_reads(void **state)
{
	struct program s, c;
	size_t sent = 0, now;
	int rounds = 0;

	(void)state;
	both_start(&s, &c);
	program_open(&c, NULL);
	program_run_until(both_far_was_asked, &c);
	program_run_until(program_is_open, &c);
	do {
		now = fill(&c);
		sent += now;
		for (int i = 0; i < 3; i++)
			round_trip(&s, &c);
		rounds++;
	} while ((now > 0 || rstun_channel_room(c.channel) > 0) && rounds < 1000);
	assert_in_range(sent, 1, 16 * 1024 * 1024);
	rstun_channel_finish(c.channel);
	program_run_until(drains, &s);
	assert_int_equal(s.moved, sent);
	both_end(&s, &c);
}

/* ---- the client's program ---- */

/* A mapping IN that leads to the program. */
static void test_accept(void **state)
{
	struct program s, c;
	uint64_t id = 0;
	int app;

	(void)state;
	both_start(&s, &c);
	assert_int_equal(rstun_client_accept(c.client, "0", program_on_channel, &c, &id, NULL, 0),
			 0);
	assert_int_equal(id, 1);
	program_run_until(program_is_up, &c);
	assert_int_equal(c.last.mapping, id);
	assert_string_equal(s.bound, c.bound);
	app = both_connect(&c);
	program_run_until(program_was_asked, &c);
	assert_string_equal(c.asked_target, "-");
	assert_string_equal(c.asked_peer, rstun_server_address(s.server));
	assert_int_equal(c.asked_id, id);
	both_send(&c, "hello"); /* who accepts may speak first */
	program_far_expect(app, "hello");
	app_send(app, "ping", 4);
	both_expect(&c, "ping");
	assert_int_equal(shutdown(app, SHUT_WR), 0);
	program_run_until(program_is_ended, &c);
	both_send(&c, "pong");
	rstun_channel_finish(c.channel);
	program_far_expect(app, "pong");
	program_far_expect_end(app);
	program_run_until(program_is_closed, &c);
	assert_int_equal(s.calls[PROGRAM_ASKED], 0);
	rstun_channel_free(c.channel);
	/* Another one beside it, which is told from the first by its number. */
	memset(c.changes, 0, sizeof(c.changes));
	assert_int_equal(rstun_client_accept(c.client, "0", program_on_channel, &c, &id, NULL, 0),
			 0);
	assert_int_equal(id, 2);
	program_run_until(program_is_up, &c);
	app = both_connect(&c);
	while (c.calls[PROGRAM_ASKED] < 2)
		event_base_loop(program_base, EVLOOP_ONCE);
	assert_int_equal(c.asked_id, id);
	close(app);
	both_end(&s, &c);
}

/* Refused and not taken: the connection at the server is reset; a removal ends it all. */
static void test_accept_refuses(void **state)
{
	struct program s, c;
	uint64_t id = 0;
	int app;

	(void)state;
	both_start(&s, &c);
	assert_int_equal(rstun_client_accept(c.client, "127.0.0.1:0", program_on_channel, &c, &id,
					     NULL, 0),
			 0);
	program_run_until(program_is_up, &c);
	for (int answer = PROGRAM_REFUSES; answer <= PROGRAM_LEAVES; answer++) {
		c.answer = (enum program_answer)answer;
		c.refusal = RSTUN_E_ACCESS_DENIED;
		app = both_connect(&c);
		program_far_expect_reset(app);
	}
	assert_int_equal(c.calls[PROGRAM_ASKED], 2);
	c.answer = PROGRAM_TAKES;
	app = both_connect(&c);
	while (c.calls[PROGRAM_ASKED] < 3)
		event_base_loop(program_base, EVLOOP_ONCE);
	assert_int_equal(rstun_client_remove_mapping(c.client, id, 0), 0);
	program_run_until(program_has_failed, &c);
	program_far_expect_reset(app);
	while (c.changes[RSTUN_STATE_STOPPED] == 0)
		event_base_loop(program_base, EVLOOP_ONCE);
	both_end(&s, &c);
}

static void test_accept_wrong(void **state)
{
	static const struct {
		const char *listen, *says;
	} wrong[] = {
		{"", "the remote address is missing at column 1"},
		{"90000", "port 90000 at column 1 is not in 0..65535"},
		{"8.8.8.8:80", "the server of an IN mapping listens on a loopback address"},
		{"example.org:80", "is a host name"},
		{"ANY", "ANY at column 1 stands only as the remote of OUT"},
		{"unix:/x", "a server listens on no path"},
		{"1000-1009", "is a range of ports"},
	};
	struct program s, c;
	char error[512];
	uint64_t id = 0;

	(void)state;
	both_start(&s, &c);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(rstun_client_accept(c.client, wrong[i].listen, program_on_channel,
						     &c, &id, error, sizeof(error)),
				 RSTUN_E_MALFORMED);
		if (strstr(error, wrong[i].says) == NULL)
			fail_msg("%s", error);
	}
	assert_int_equal(rstun_client_stop(c.client, 0), 0);
	assert_int_equal(rstun_client_accept(c.client, "0", program_on_channel, &c, &id, error,
					     sizeof(error)),
			 RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(id, 0);
	both_end(&s, &c);
}

static bool accepting_is_freed(struct program *p)
{
	return p->freed;
}

/* Everything may be freed while it is asked. */
static void test_accept_frees(void **state)
{
	(void)state;
	for (int answer = PROGRAM_TAKES; answer <= PROGRAM_LEAVES; answer++) {
		for (int what = PROGRAM_FREE_CLIENT; what <= PROGRAM_FREE_CONTEXT; what++) {
			struct program s, c;
			uint64_t id;
			int app;

			both_start(&s, &c);
			c.answer = (enum program_answer)answer;
			c.freeing = (enum program_freeing)what;
			c.in = PROGRAM_ASKED;
			assert_int_equal(rstun_client_accept(c.client, "0", program_on_channel, &c,
							     &id, NULL, 0),
					 0);
			program_run_until(program_is_up, &c);
			app = both_connect(&c);
			program_run_until(accepting_is_freed, &c);
			program_far_expect_reset(app);
			both_end(&s, &c);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup_alone, program_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_take),
		TEST(test_mapping),
		TEST(test_refuse),
		TEST(test_leave),
		TEST(test_never_reads),
		TEST(test_accept),
		TEST(test_accept_refuses),
		TEST(test_accept_wrong),
		TEST(test_accept_frees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
