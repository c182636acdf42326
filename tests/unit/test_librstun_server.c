/* SPDX-License-Identifier: MIT */
/*
 * Servers of librstun as a program has them (program.h, both.h): options, certificates, sockets,
 * sessions, stopping, and everything freed in each callback.
 */
#include "tests/unit/both.h"
#include "tests/unit/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- options, addresses, certificates ---- */

static void test_options(void **state)
{
	static const struct {
		struct rstun_option option;
		int error;
		const char *says;
	} wrong[] = {
		{{"adr", "1"}, RSTUN_E_CONFIG_INVALID, "no option adr; did you mean addr?"},
		{{"server-addr", "1"}, RSTUN_E_CONFIG_INVALID, "there is no option server-addr"},
		{{"workers", "2"}, RSTUN_E_CONFIG_INVALID, "workers: an option of the daemon"},
		{{"password-file", "x"}, RSTUN_E_CONFIG_INVALID, "password-file: an option of the"},
		{{"tcp-upstream", "x"}, RSTUN_E_CONFIG_INVALID, "--tcp-upstream: \"x\""},
		{{"cert", "/x"}, RSTUN_E_CONFIG_INVALID, "--cert is given without --key"},
		{{"cert-pem", "x"}, RSTUN_E_CONFIG_INVALID, "cert_pem is given without key_pem"},
		{{"addr", "192.0.2.1:0"}, RSTUN_E_FAILED, "it must be an address of this machine"},
		{{"state-dir", "/dev/null/x"}, RSTUN_E_STATE_WRITE_FAILED, "/dev/null"},
	};
	struct rstun_option options[3] = {{"addr", "0"}, {"password", "secret"}};
	struct rstun_server_ops no_size = {.size = 0};
	struct rstun_context *context;
	struct rstun_server *server = NULL;
	char error[512];

	(void)state;
	assert_int_equal(rstun_context_new(&context, program_base), 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		options[2] = wrong[i].option;
		assert_int_equal(rstun_server_new(&server, context, options, 3, NULL, NULL, error,
						  sizeof(error)),
				 wrong[i].error);
		if (strstr(error, wrong[i].says) == NULL)
			fail_msg("%s", error);
	}
	assert_int_equal(rstun_server_new(&server, context, options, 1, NULL, NULL, error,
					  sizeof(error)),
			 RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "a password is needed"));
	assert_int_equal(rstun_server_new(&server, context, options, 2, &no_size, NULL, NULL, 0),
			 RSTUN_E_MALFORMED);
	assert_null(server);
	assert_int_equal(rstun_server_new(&server, context, options, 2, NULL, NULL, NULL, 0), 0);
	options[0].value = rstun_server_address(server);
	assert_int_equal(rstun_server_new(&server, context, options, 2, NULL, NULL, error,
					  sizeof(error)),
			 RSTUN_E_ADDRESS_IN_USE);
	rstun_context_free(context); /* with its server */
	rstun_server_free(NULL);
}

/* What a server shows as its pin, a client takes for it, and no other. */
static void expect_pin(const char *pin, bool right)
{
	char address[ADDRESS_TEXT_SIZE];
	const struct rstun_option options[] = {
		{"server-addr", program_server(address)}, {"password", "secret"}, {"pin", pin}};
	struct program p;

	program_start(&p, "secret");
	rstun_client_free(p.client);
	assert_int_equal(rstun_client_new(&p.client, p.context, options, 3, NULL, NULL, NULL, 0),
			 0);
	program_open(&p, NULL);
	program_run_until(right ? program_is_open : program_has_failed, &p);
	if (!right)
		assert_int_equal(p.error, RSTUN_E_TLS_VERIFY_FAILED);
	program_leave(&p);
}

static void test_certificates(void **state)
{
	const struct pki_spec spec = {.common_name = "localhost", .dns = "localhost"};
	char directory[PKI_PATH_SIZE], kept[PKI_PATH_SIZE + 8], pin[80], first[80];
	struct program p;
	struct pki pki;

	(void)state;
	program_serve(&p, true, NULL);
	snprintf(pin, sizeof(pin), "%s", rstun_server_pin(p.server));
	expect_pin(pin, true);
	program_end(&p);
	program_serve(&p, true, NULL); /* another one */
	assert_string_not_equal(rstun_server_pin(p.server), pin);
	expect_pin(pin, false);
	program_end(&p);

	pki_directory(directory);
	snprintf(kept, sizeof(kept), "%s/state", directory);
	for (int i = 0; i < 2; i++) {
		const struct rstun_option options[2] = {{"state-dir", kept}};

		program_serve(&p, true, options);
		if (i == 0)
			snprintf(first, sizeof(first), "%s", rstun_server_pin(p.server));
		assert_string_equal(rstun_server_pin(p.server), first);
		program_end(&p);
	}
	pki_make(&pki, directory, "own", &spec);
	for (int i = 0; i < 2; i++) {
		char *cert = pki_read(pki.cert), *key = pki_read(pki.key);
		const struct rstun_option files[2] = {{"cert", pki.cert}, {"key", pki.key}};
		const struct rstun_option texts[2] = {{"cert-pem", cert}, {"key-pem", key}};

		program_serve(&p, true, i == 0 ? files : texts);
		if (i == 0)
			snprintf(first, sizeof(first), "%s", rstun_server_pin(p.server));
		assert_string_equal(rstun_server_pin(p.server), first);
		program_end(&p);
		free(cert);
		free(key);
	}
	pki_done(&pki);
	pki_directory_remove(directory);
}

/* Every socket is shown before it is bound: those of listeners, too. */
static void test_socket_hook(void **state)
{
	struct rstun_option options[] = {{"addr", "0"}, {"password", "secret"}};
	struct rstun_server *server = NULL;
	struct program s, c;
	char error[256] = "";
	uint64_t id = 0;
	unsigned before;

	(void)state;
	both_start(&s, &c);
	assert_int_equal(s.sockets, 1);
	before = c.sockets;
	assert_int_equal(rstun_client_add_mapping(c.client, "OUT^0^ANY", RSTUN_TCP, &id, NULL, 0),
			 0);
	assert_int_equal(rstun_client_add_mapping(c.client, "OUT^0^ANY", RSTUN_UDP, &id, NULL, 0),
			 0);
	assert_int_equal(c.sockets, before + 2);
	c.refuse_sockets = s.refuse_sockets = true;
	assert_int_equal(rstun_client_add_mapping(c.client, "OUT^0^ANY", RSTUN_TCP, &id, error,
						  sizeof(error)),
			 RSTUN_E_PERMISSION_DENIED);
	assert_string_equal(error, "OUT^0^ANY: permission denied");
	assert_int_equal(rstun_client_add_mapping(c.client, "OUT^0^ANY", RSTUN_UDP, &id, NULL, 0),
			 RSTUN_E_PERMISSION_DENIED);
	assert_int_equal(rstun_server_new(&server, s.context, options, 2, NULL, NULL, NULL, 0),
			 RSTUN_E_PERMISSION_DENIED);
	assert_int_equal(s.sockets, 2);
	/* The server's listener of an IN mapping. */
	c.refuse_sockets = false;
	assert_int_equal(rstun_client_add_mapping(c.client, "IN^1^0", RSTUN_TCP, &id, NULL, 0), 0);
	while (s.sessions[RSTUN_SESSION_REFUSED] == 0)
		event_base_loop(program_base, EVLOOP_ONCE);
	assert_int_equal(s.session.error, RSTUN_E_PERMISSION_DENIED);
	both_end(&s, &c);
}

/* ---- sessions ---- */

/* The wrong password is told, too. */
static void test_refused_session(void **state)
{
	struct program s, c;

	(void)state;
	program_serve(&s, true, NULL);
	program_start(&c, "wrong password");
	program_open(&c, NULL);
	program_run_until(program_has_failed, &c);
	assert_int_equal(s.sessions[RSTUN_SESSION_REFUSED], 1);
	assert_int_equal(s.session.error, RSTUN_E_AUTH_FAILED);
	assert_int_equal(s.sessions[RSTUN_SESSION_LOGIN], 0);
	both_end(&s, &c);
}

/* ANY without a default upstream: only where a program may take the streams. */
static void test_no_default_upstream(void **state)
{
	(void)state;
	for (int proto = RSTUN_TCP; proto <= RSTUN_UDP; proto++) {
		struct program s, c;
		uint64_t id;

		program_serve(&s, proto == RSTUN_UDP, NULL);
		program_start(&c, "secret");
		assert_int_equal(rstun_client_add_mapping(c.client, "OUT^0^ANY",
							  (enum rstun_proto)proto, &id, NULL, 0),
				 0);
		while (s.sessions[RSTUN_SESSION_REFUSED] == 0)
			event_base_loop(program_base, EVLOOP_ONCE);
		assert_int_equal(s.session.error, RSTUN_E_NO_DEFAULT_UPSTREAM);
		both_end(&s, &c);
	}
}

/* ---- ends ---- */

static bool is_freed(struct program *p)
{
	static const char zeros[4096];
	char buf[4096];

	if (p->freed)
		return true;
	if (p->channel == NULL)
		return false;
	if (p->in == PROGRAM_WRITABLE && program_is_open(p) && !p->filled) {
		p->filled = true; /* more would keep it full */
		while (rstun_channel_write(p->channel, zeros, sizeof(zeros)) > 0)
			;
	}
	if (p->in >= PROGRAM_END && p->in != PROGRAM_ERROR && program_is_readable(p))
		while (rstun_channel_read(p->channel, buf, sizeof(buf)) > 0)
			;
	if (p->in == PROGRAM_CLOSED && program_is_open(p))
		rstun_channel_finish(p->channel);
	return p->freed;
}

/* The client's part: what the call at the server needs. */
static bool far_is_freed(struct program *p)
{
	char buf[4096];

	if (is_freed(both_far))
		return true;
	if (!program_is_open(p) || program_has_failed(p))
		return false;
	if (!p->filled) {
		p->filled = true;
		rstun_channel_write(p->channel, "x", 1);
		if (both_far->in == PROGRAM_END || both_far->in == PROGRAM_CLOSED)
			rstun_channel_finish(p->channel);
	}
	while (rstun_channel_read(p->channel, buf, sizeof(buf)) > 0)
		;
	if (both_far->in == PROGRAM_ERROR && program_is_open(both_far))
		rstun_channel_abort(p->channel);
	return both_far->freed;
}

/* Everything may be freed in every callback of the server's channels, and while it is asked. */
static void test_free_in_calls(void **state)
{
	(void)state;
	for (int in = PROGRAM_OPEN; in < PROGRAM_CALLS; in++) {
		for (int what = PROGRAM_FREE_CHANNEL; what <= PROGRAM_FREE_CONTEXT; what++) {
			struct program s, c;

			both_start(&s, &c);
			s.freeing = (enum program_freeing)what;
			s.in = (enum program_call)in;
			program_open(&c, NULL);
			program_run_until(far_is_freed, &c);
			both_end(&s, &c);
		}
	}
}

/* ... whatever the answer is. */
static void test_free_unanswered(void **state)
{
	(void)state;
	for (int answer = PROGRAM_REFUSES; answer <= PROGRAM_LEAVES; answer++) {
		for (int what = PROGRAM_FREE_CLIENT; what <= PROGRAM_FREE_CONTEXT; what++) {
			struct program s, c;

			both_start(&s, &c);
			s.answer = (enum program_answer)answer;
			s.freeing = (enum program_freeing)what;
			s.in = PROGRAM_ASKED;
			program_open(&c, NULL);
			program_run_until(far_is_freed, &c);
			both_end(&s, &c);
		}
	}
}

static void on_channel_too_late(const struct rstun_channel_request *request, void *user)
{
	struct program *p = user;
	struct rstun_channel *channel = NULL;

	program_free(p, PROGRAM_FREE_CONTEXT);
	assert_int_equal(rstun_channel_take(&channel, request, &program_ops, p), RSTUN_E_CLOSED);
	assert_int_equal(rstun_channel_refuse(request, RSTUN_E_TIMEOUT), RSTUN_E_CLOSED);
	assert_null(channel);
	assert_null(request->target); /* still good */
}

/* An answer after the end of everything. */
static void test_answer_too_late(void **state)
{
	const struct rstun_server_ops ops = {
		.size = sizeof(ops),
		.on_channel = on_channel_too_late,
	};
	const struct rstun_option options[] = {{"addr", "0"}, {"password", "secret"}};
	struct program s, c;
	const char *address;

	(void)state;
	memset(&s, 0, sizeof(s));
	assert_int_equal(rstun_context_new(&s.context, program_base), 0);
	assert_int_equal(rstun_server_new(&s.server, s.context, options, 2, &ops, &s, NULL, 0), 0);
	address = rstun_server_address(s.server);
	assert_int_equal(address_parse(&program_rig.server_address, address, strlen(address)), 0);
	both_far = &s;
	program_start(&c, "secret");
	program_open(&c, NULL);
	program_run_until(far_is_freed, &c);
	both_end(&s, &c);
}

/* A stop lets a channel end; new ones are refused. */
static void test_stop(void **state)
{
	struct program s, c, late;

	(void)state;
	both_start(&s, &c);
	program_open(&c, NULL);
	program_run_until(both_far_was_asked, &c);
	assert_int_equal(rstun_server_stop(s.server, 60000), 0);
	assert_int_equal(s.stopped, 0); /* not from inside */
	memset(&late, 0, sizeof(late));
	late.client = c.client;
	program_open(&late, NULL);
	program_run_until(program_has_failed, &late);
	assert_int_equal(late.error, RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(s.calls[PROGRAM_ASKED], 1);
	both_converse(&c, &s);
	program_run_until(program_is_stopped, &s);
	assert_int_equal(rstun_server_stop(s.server, 0), 0);
	assert_int_equal(s.stopped, 1);
	both_end(&s, &c);
}

static void test_stop_at_once(void **state)
{
	struct program s, c;

	(void)state;
	both_start(&s, &c);
	program_open(&c, NULL);
	program_run_until(both_far_was_asked, &c);
	assert_int_equal(rstun_server_stop(s.server, 0), 0);
	program_run_until(program_has_failed, &s);
	assert_int_equal(s.error, RSTUN_E_SHUTTING_DOWN);
	assert_string_equal(s.text, "the server was stopped");
	program_run_until(program_is_stopped, &s);
	program_run_until(program_has_failed, &c);
	both_end(&s, &c);
	program_serve(&s, true, NULL); /* with nothing that has to end */
	assert_int_equal(rstun_server_stop(s.server, 60000), 0);
	program_run_until(program_is_stopped, &s);
	program_end(&s);
}

/* A stream whose client is gone before the program was asked about it: both come in one wake-up. */
static void test_gone_unasked(void **state)
{
	struct program s, c;

	(void)state;
	both_start(&s, &c);
	program_open(&c, NULL);
	program_run_until(both_far_was_asked, &c);
	program_run_until(program_is_open, &c);
	memset(c.calls, 0, sizeof(c.calls));
	program_open(&c, NULL);
	event_base_loop(program_base, EVLOOP_ONCE); /* it is sent, and nobody has read that */
	program_leave(&c);
	while (s.sessions[RSTUN_SESSION_ENDED] == 0)
		event_base_loop(program_base, EVLOOP_ONCE);
	assert_int_equal(s.calls[PROGRAM_ASKED], 1);
	program_end(&s);
}

/* The client goes without a word to its channels. */
static void test_lost_tunnel(void **state)
{
	struct program s, c;

	(void)state;
	both_start(&s, &c);
	program_open(&c, NULL);
	program_run_until(both_far_was_asked, &c);
	program_leave(&c);
	program_run_until(program_has_failed, &s);
	assert_int_equal(s.error, RSTUN_E_RESET);
	program_end(&s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup_alone, program_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_options),
		TEST(test_certificates),
		TEST(test_socket_hook),
		TEST(test_refused_session),
		TEST(test_no_default_upstream),
		TEST(test_free_in_calls),
		TEST(test_free_unanswered),
		TEST(test_answer_too_late),
		TEST(test_stop),
		TEST(test_stop_at_once),
		TEST(test_gone_unasked),
		TEST(test_lost_tunnel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
