/* SPDX-License-Identifier: MIT */
/*
 * Names by DNS over TLS: right and wrong certificates, servers that are silent, closed, talk
 * nonsense or stop half-way, the next server after a failed one, and that nothing is asked in clear
 * but a server's own name.
 */
#include "base/clock.h"
#include "base/error.h"
#include "tests/unit/dot_server.h"
#include "tests/unit/pki.h"
#include "tests/unit/resolver_rig.h"
#include "tls/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HOST "[2001:db8::1]:1 192.0.2.1:1 192.0.2.2:1"

static struct resolver_rig rig;
static char answer[1024];
static char directory[PKI_PATH_SIZE];
static struct pki named, addressed, other;

static const char *ask(const char *name)
{
	return resolver_rig_ask(&rig, name, answer, sizeof(answer));
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" lacks \"%s\"", text, part);
}

static void ask_fails(const char *name, const char *part)
{
	ask(name);
	if (rig.result.error != RSTUN_E_DNS_FAILED)
		fail_msg("%s: \"%s\" instead of a failure", name, answer);
	assert_contains(answer, part);
}

/* With a --dns server that must not be asked for anything but a DoT server's own name. */
static void use(const char *first, const char *second, const char *ca_file)
{
	char *dot[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
	char *dns[] = {rig.udp_text, NULL};

	resolver_rig_make(&rig, (struct resolver_config){
					.dot_servers = dot,
					.dns_servers = dns,
					.ca_file = ca_file,
				});
}

static void test_right(void **state)
{
	static const enum dot_server_manner manners[] = {DOT_SERVER_RIGHT, DOT_SERVER_ONE_RECORD,
							 DOT_SERVER_BYTEWISE};
	struct dot_server s;
	char text[128];

	(void)state;
	for (int i = 0; i < 3; i++) {
		dot_server_start(&s, manners[i], named.cert, named.key);
		snprintf(text, sizeof(text), "127.0.0.1#dns.test:%u", s.port);
		use(text, NULL, named.cert);
		assert_string_equal(ask("host.example"), HOST);
		assert_string_equal(ask("alias2.example"), HOST);
		assert_string_equal(ask("v4.example"), "192.0.2.4:1");
		assert_string_equal(ask("localhost"), "[::1]:1 127.0.0.1:1");
		assert_string_equal(ask("192.0.2.9"), "192.0.2.9:1");
		ask_fails("no.example", "does not exist");
		assert_contains(answer, "dns.test");
		ask_fails("short", "does not exist");
		ask_fails("servfail.example", "could not find out");
		assert_string_equal(rig.asked, "");
		dot_server_stop(&s);
	}
}

static void test_by_address(void **state)
{
	struct dot_server s;

	(void)state;
	dot_server_start(&s, DOT_SERVER_RIGHT, addressed.cert, addressed.key);
	use(s.text, NULL, addressed.cert);
	assert_string_equal(ask("host.example"), HOST);
	dot_server_stop(&s);
	/* The certificate has the name only. */
	dot_server_start(&s, DOT_SERVER_RIGHT, named.cert, named.key);
	use(s.text, NULL, named.cert);
	ask_fails("host.example", "not for 127.0.0.1");
	assert_int_equal(atomic_load(&s.questions), 0);
	dot_server_stop(&s);
}

/* The server's own name is asked of --dns, once, and the log says so; the name looked up is not. */
static void test_own_name(void **state)
{
	struct dot_server s;
	char text[128], own[4096] = "";

	(void)state;
	dot_server_start(&s, DOT_SERVER_RIGHT, named.cert, named.key);
	snprintf(text, sizeof(text), "dns.test:%u", s.port);
	use(text, NULL, named.cert);
	assert_string_equal(ask("host.example"), HOST);
	snprintf(own, sizeof(own), "%s", rig.asked);
	assert_string_equal(own, "dns.test dns.test ");
	assert_contains(rig.said, "dns.test is looked up by --dns");
	assert_string_equal(ask("v4.example"), "192.0.2.4:1");
	assert_string_equal(rig.asked, "");
	dot_server_stop(&s);
	/* Gone: what the name led to is forgotten, and asked again. */
	ask_fails("v4.example", "cannot connect");
	assert_string_equal(rig.asked, "");
	ask_fails("v4.example", "cannot connect");
	assert_string_equal(rig.asked, "dns.test dns.test ");
	snprintf(text, sizeof(text), "no.example:%u", s.port);
	use(text, NULL, named.cert);
	ask_fails("v4.example", "no.example");
	assert_null(strstr(rig.asked, "v4.example"));
}

/* No fall-back, whatever is wrong with the server. */
static void test_strict(void **state)
{
	static const struct {
		enum dot_server_manner manner;
		bool wrong_cert;
		const char *name, *why;
	} cases[] = {
		{DOT_SERVER_RIGHT, true, "dns.test", "is neither in"},
		{DOT_SERVER_RIGHT, false, "else.test", "is for dns.test, not for else.test"},
		{DOT_SERVER_CLOSE, false, "dns.test", "closed"},
		{DOT_SERVER_GARBAGE, false, "dns.test", "no answer to the question"},
		{DOT_SERVER_PLAIN, false, "dns.test", "the TLS handshake failed"},
	};
	struct dot_server s;
	char text[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		dot_server_start(&s, cases[i].manner, named.cert, named.key);
		snprintf(text, sizeof(text), "127.0.0.1#%s:%u", cases[i].name, s.port);
		use(text, NULL, cases[i].wrong_cert ? other.cert : named.cert);
		ask_fails("host.example", cases[i].why);
		assert_contains(answer, s.text);
		assert_string_equal(rig.asked, "");
		assert_int_equal(atomic_load(&s.connections), 1);
		assert_int_equal(atomic_load(&s.questions), 0);
		dot_server_stop(&s);
	}
	snprintf(text, sizeof(text), "127.0.0.1#dns.test:%u", resolver_rig_port(NULL));
	use(text, NULL, named.cert);
	ask_fails("host.example", "Connection refused");
	assert_string_equal(rig.asked, "");
}

static void test_wrong_answers(void **state)
{
	static const char *const names[] = {"garbage.example", "cut.example", "other.example"};
	struct dot_server s;
	char text[128];

	(void)state;
	dot_server_start(&s, DOT_SERVER_RIGHT, named.cert, named.key);
	snprintf(text, sizeof(text), "127.0.0.1#dns.test:%u", s.port);
	use(text, NULL, named.cert);
	for (int i = 0; i < 3; i++)
		ask_fails(names[i], "no answer to the question");
	ask_fails("loop.example", "no address");
	ask_fails("stranger.example", "no address");
	assert_string_equal(ask("silent6.example"), "192.0.2.46:1");
	dot_server_stop(&s);
	/* The first question is AAAA's: what came before the end counts. */
	dot_server_start(&s, DOT_SERVER_CLOSE_HALF, named.cert, named.key);
	snprintf(text, sizeof(text), "127.0.0.1#dns.test:%u", s.port);
	use(text, NULL, named.cert);
	assert_string_equal(ask("host.example"), "[2001:db8::1]:1");
	dot_server_stop(&s);
}

static void test_silent(void **state)
{
	static const enum dot_server_manner manners[] = {DOT_SERVER_NO_TLS, DOT_SERVER_NO_ANSWER};
	struct dot_server silent, good;
	char first[128], second[128];
	uint64_t start_ns;

	(void)state;
	dot_server_start(&good, DOT_SERVER_RIGHT, named.cert, named.key);
	snprintf(second, sizeof(second), "127.0.0.1#dns.test:%u", good.port);
	for (int i = 0; i < 2; i++) {
		dot_server_start(&silent, manners[i], named.cert, named.key);
		snprintf(first, sizeof(first), "127.0.0.1#dns.test:%u", silent.port);
		/* The next one has its share of the time. */
		use(first, second, named.cert);
		start_ns = clock_now_ns();
		assert_string_equal(ask("host.example"), HOST);
		assert_true(clock_now_ns() - start_ns < clock_ms(RESOLVER_TIMEOUT_MS));
		assert_string_equal(rig.asked, "");
		dot_server_stop(&silent);
	}
	/* Alone: an error within the limit. */
	dot_server_start(&silent, DOT_SERVER_NO_TLS, named.cert, named.key);
	snprintf(first, sizeof(first), "127.0.0.1#dns.test:%u", silent.port);
	use(first, NULL, named.cert);
	ask("host.example");
	assert_true(rig.result.error == RSTUN_E_TIMEOUT || rig.result.error == RSTUN_E_DNS_FAILED);
	assert_contains(answer, silent.text);
	assert_string_equal(rig.asked, "");
	dot_server_stop(&silent);
	dot_server_stop(&good);
}

static void test_next_server(void **state)
{
	struct dot_server bad, good;
	char first[128], second[128];

	(void)state;
	dot_server_start(&bad, DOT_SERVER_RIGHT, other.cert, other.key);
	dot_server_start(&good, DOT_SERVER_RIGHT, named.cert, named.key);
	snprintf(first, sizeof(first), "127.0.0.1#dns.test:%u", bad.port);
	snprintf(second, sizeof(second), "127.0.0.1#dns.test:%u", good.port);
	use(first, second, named.cert);
	assert_string_equal(ask("host.example"), HOST);
	/* Not existing is an answer: the next is not asked. */
	use(second, first, named.cert);
	ask_fails("no.example", "does not exist");
	assert_int_equal(atomic_load(&bad.connections), 1);
	dot_server_stop(&bad);
	dot_server_stop(&good);
}

static void test_give_up(void **state)
{
	static const enum dot_server_manner manners[] = {DOT_SERVER_NO_TLS, DOT_SERVER_NO_ANSWER};
	struct resolver_lookup *a, *b;
	struct dot_server s;
	char text[128];

	(void)state;
	for (int i = 0; i < 2; i++) {
		dot_server_start(&s, manners[i], named.cert, named.key);
		snprintf(text, sizeof(text), "127.0.0.1#dns.test:%u", s.port);
		use(text, NULL, named.cert);
		rig.calls = 0;
		assert_int_equal(resolver_lookup(rig.resolver, "host.example", 1,
						 resolver_rig_on_done, &rig, &a),
				 0);
		while (atomic_load(manners[i] == DOT_SERVER_NO_TLS ? &s.connections
								   : &s.questions) == 0)
			resolver_rig_turn(&rig);
		assert_int_equal(resolver_lookup(rig.resolver, "host.example", 1,
						 resolver_rig_on_done, &rig, &b),
				 0);
		resolver_rig_turn(&rig);
		resolver_cancel(a);
		resolver_rig_turn(&rig);
		assert_int_equal(rig.calls, 0);
		resolver_free(rig.resolver);
		rig.resolver = NULL;
		assert_int_equal(rig.calls, 1);
		assert_int_equal(rig.result.error, RSTUN_E_CANCELLED);
		dot_server_stop(&s);
	}
}

static int setup(void **state)
{
	(void)state;
	if (tls_global_init())
		return -1;
	pki_directory(directory);
	pki_make(&named, directory, "named",
		 &(struct pki_spec){.common_name = "DoT", .dns = "dns.test"});
	pki_make(&addressed, directory, "addressed",
		 &(struct pki_spec){.common_name = "DoT 2", .ip = "127.0.0.1"});
	pki_make(&other, directory, "other",
		 &(struct pki_spec){.common_name = "DoT 3", .dns = "dns.test"});
	resolver_rig_init(&rig);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	resolver_rig_done(&rig);
	pki_done(&named);
	pki_done(&addressed);
	pki_done(&other);
	tls_global_done();
	pki_directory_remove(directory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right),	      cmocka_unit_test(test_by_address),
		cmocka_unit_test(test_own_name),      cmocka_unit_test(test_strict),
		cmocka_unit_test(test_wrong_answers), cmocka_unit_test(test_silent),
		cmocka_unit_test(test_next_server),   cmocka_unit_test(test_give_up),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
