/* SPDX-License-Identifier: MIT */
/*
 * Names by plain DNS: given servers, the system's way with hosts file and search list (files and
 * server of the test), wrong answers, giving up in the middle.
 */
#include "base/clock.h"
#include "base/error.h"
#include "tests/unit/pki.h"
#include "tests/unit/resolver_rig.h"
#include "tls/credentials.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct resolver_rig rig;
static char answer[1024];
static char directory[PKI_PATH_SIZE], hosts_file[PKI_PATH_SIZE + 16],
	resolv_conf[PKI_PATH_SIZE + 16];

static const char *ask(const char *name)
{
	return resolver_rig_ask(&rig, name, answer, sizeof(answer));
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" lacks \"%s\"", text, part);
}

/* Asks and wants an error of a kind, with a part of its sentence. */
static void ask_fails(const char *name, int error, const char *part)
{
	ask(name);
	if (rig.result.error != error)
		fail_msg("%s: \"%s\" instead of error %d", name, answer, error);
	assert_contains(answer, part);
}

static void use_dns(void)
{
	char *servers[] = {rig.udp_text, NULL};

	resolver_rig_make(&rig, (struct resolver_config){.dns_servers = servers});
}

static void use_system(const char *options)
{
	char text[512];

	snprintf(text, sizeof(text), "nameserver 127.0.0.1\n%s\n", options);
	pki_write(resolv_conf, text, strlen(text), 0644);
	resolver_rig_make(&rig,
			  (struct resolver_config){
				  .hosts_file = hosts_file,
				  .resolv_conf = resolv_conf,
				  .resolv_port = (uint16_t)atoi(strchr(rig.udp_text, ':') + 1),
			  });
}

static void test_numeric(void **state)
{
	(void)state;
	use_dns();
	assert_string_equal(ask("192.0.2.7"), "192.0.2.7:1");
	assert_string_equal(ask("2001:db8::7"), "[2001:db8::7]:1");
	assert_string_equal(ask("[::1]"), "[::1]:1");
	assert_string_equal(ask("localhost"), "[::1]:1 127.0.0.1:1");
	assert_string_equal(ask("web.localhost."), "[::1]:1 127.0.0.1:1");
	assert_string_equal(rig.asked, "");
	assert_int_equal(resolver_lookup(rig.resolver, "a b", 1, resolver_rig_on_done, &rig, NULL),
			 RSTUN_E_MALFORMED);
	assert_int_equal(resolver_lookup(rig.resolver, "", 1, resolver_rig_on_done, &rig, NULL),
			 RSTUN_E_MALFORMED);
}

/* A peer may make us look up names; not more at a time than this. */
static void test_too_many(void **state)
{
	struct resolver_lookup *lookups[RESOLVER_LOOKUPS_MAX], *one = NULL;

	(void)state;
	use_dns();
	for (size_t i = 0; i < RESOLVER_LOOKUPS_MAX; i++)
		assert_int_equal(resolver_lookup(rig.resolver, "mute.example", 1,
						 resolver_rig_on_done, &rig, &lookups[i]),
				 0);
	assert_int_equal(resolver_lookup(rig.resolver, "a.example", 1, resolver_rig_on_done, &rig,
					 &one),
			 RSTUN_E_LIMIT_REACHED);
	assert_null(one);
	for (size_t i = 0; i < RESOLVER_LOOKUPS_MAX; i++)
		resolver_cancel(lookups[i]);
	assert_string_equal(ask("v4.example"), "192.0.2.4:1");
}

static void test_given_servers(void **state)
{
	(void)state;
	use_dns();
	assert_string_equal(ask("host.example"), "[2001:db8::1]:1 192.0.2.1:1 192.0.2.2:1");
	assert_string_equal(ask("HOST.example."), "[2001:db8::1]:1 192.0.2.1:1 192.0.2.2:1");
	assert_string_equal(ask("v4.example"), "192.0.2.4:1");
	assert_string_equal(ask("v6.example"), "[2001:db8::6]:1");
	assert_string_equal(ask("alias2.example"), "[2001:db8::1]:1 192.0.2.1:1 192.0.2.2:1");
	ask_fails("no.example", RSTUN_E_DNS_FAILED, "does not exist");
	assert_contains(answer, "no.example");
	assert_contains(answer, rig.udp_text);
	ask_fails("empty.example", RSTUN_E_DNS_FAILED, "no address");
	ask_fails("servfail.example", RSTUN_E_DNS_FAILED, rig.udp_text);
	ask_fails("refused.example", RSTUN_E_DNS_FAILED, rig.udp_text);
	/* A name of one label is asked as it is: no search list, no hosts file. */
	ask_fails("short", RSTUN_E_DNS_FAILED, "does not exist");
	assert_null(strstr(rig.asked, "search"));
}

static void test_slow_family(void **state)
{
	uint64_t start_ns = clock_now_ns();

	(void)state;
	use_dns();
	assert_string_equal(ask("silent6.example"), "192.0.2.46:1");
	assert_true(clock_now_ns() - start_ns < clock_ms(RESOLVER_TIMEOUT_MS));
}

static void test_wrong_answers(void **state)
{
	(void)state;
	use_dns();
	/* Never an address out of them; an error or, at the latest, the time limit. */
	ask("garbage.example");
	assert_true(rig.result.error < 0);
	ask("cut.example");
	assert_true(rig.result.error < 0);
	ask("loop.example");
	assert_true(rig.result.error < 0);
}

static void test_timeout(void **state)
{
	uint64_t start_ns = clock_now_ns();

	(void)state;
	use_dns();
	ask_fails("silent.example", RSTUN_E_TIMEOUT, rig.udp_text);
	assert_true(clock_now_ns() - start_ns < clock_ms(2 * RESOLVER_TIMEOUT_MS));
}

static void test_second_server(void **state)
{
	char dead[64];
	char *servers[] = {dead, rig.udp_text, NULL};

	(void)state;
	/* Nobody there: the kernel says so, and the next one is asked. */
	snprintf(dead, sizeof(dead), "127.0.0.1:%u", resolver_rig_port(NULL));
	resolver_rig_make(&rig, (struct resolver_config){.dns_servers = servers});
	assert_string_equal(ask("v4.example"), "192.0.2.4:1");
	servers[1] = NULL;
	resolver_rig_make(&rig, (struct resolver_config){.dns_servers = servers});
	ask("v4.example");
	assert_true(rig.result.error < 0);
}

static void test_system(void **state)
{
	static const char hosts[] = "192.0.2.77 filed.example filed\n2001:db8::77 filed.example\n";

	(void)state;
	pki_write(hosts_file, hosts, sizeof(hosts) - 1, 0644);
	use_system("search one.search two.search");
	assert_string_equal(ask("filed.example"), "[2001:db8::77]:1 192.0.2.77:1");
	assert_string_equal(ask("filed"), "192.0.2.77:1");
	assert_string_equal(rig.asked, "");
	assert_string_equal(ask("localhost"), "[::1]:1 127.0.0.1:1");
	assert_string_equal(ask("host.example"), "[2001:db8::1]:1 192.0.2.1:1 192.0.2.2:1");
	assert_null(strstr(rig.asked, "search"));
	/* The search list, each name for both families before the next: addresses never mix. */
	assert_string_equal(ask("short"), "192.0.2.9:1");
	assert_contains(rig.asked, "short.one.search");
	assert_string_equal(ask("mix"), "192.0.2.31:1");
	ask_fails("no", RSTUN_E_DNS_FAILED, "search list");
	assert_contains(rig.asked, "no.one.search");
	assert_contains(rig.asked, "no.two.search");
	assert_contains(rig.asked, "no ");
	/* A dot at the end: this name only. */
	ask_fails("short.", RSTUN_E_DNS_FAILED, "does not exist");
	assert_null(strstr(rig.asked, "search"));
	/* Enough dots: as it is first, then by the list. */
	assert_string_equal(ask("dotted.name"), "192.0.2.33:1");
	assert_memory_equal(rig.asked, "dotted.name ", 12);
}

static void test_ndots(void **state)
{
	(void)state;
	use_system("search one.search\noptions ndots:2");
	assert_string_equal(ask("dotted.name"), "192.0.2.33:1");
	assert_contains(rig.asked, "dotted.name.one.search");
	assert_null(strstr(rig.asked, "dotted.name "));
	/* The files are read anew for each lookup. */
	pki_write(resolv_conf, "nameserver 192.0.2.255\n", 23, 0644);
	pki_write(hosts_file, "192.0.2.78 later\n", 17, 0644);
	assert_string_equal(ask("later"), "192.0.2.78:1");
}

static void test_give_up(void **state)
{
	struct resolver_lookup *l[3];

	(void)state;
	use_dns();
	rig.calls = 0;
	/* Before it began, with questions out, and with the resolver. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(resolver_lookup(rig.resolver, "silent.example", 1,
						 resolver_rig_on_done, &rig, &l[i]),
				 0);
	resolver_cancel(l[0]);
	while (strlen(rig.asked) < 2 * strlen("silent.example "))
		event_base_loop(rig.loop.base, EVLOOP_ONCE);
	resolver_cancel(l[1]);
	assert_int_equal(rig.calls, 0);
	resolver_free(rig.resolver);
	rig.resolver = NULL;
	assert_int_equal(rig.calls, 1);
	assert_int_equal(rig.result.error, RSTUN_E_CANCELLED);
	resolver_rig_turn(&rig);
	assert_int_equal(rig.calls, 1);
}

static void free_in_done(void *user, const struct resolver_result *result)
{
	(void)user;
	resolver_rig_on_done(&rig, result);
	resolver_free(rig.resolver);
	rig.resolver = NULL;
}

static void test_free_in_done(void **state)
{
	static const char *const names[] = {"192.0.2.1", "v4.example", "no.example"};

	(void)state;
	for (int i = 0; i < 3; i++) {
		use_dns();
		rig.done = false;
		assert_int_equal(
			resolver_lookup(rig.resolver, names[i], 1, free_in_done, NULL, NULL), 0);
		while (!rig.done)
			event_base_loop(rig.loop.base, EVLOOP_ONCE);
		assert_null(rig.resolver);
	}
}

static int sockets_seen;

static int on_socket(void *user, int fd)
{
	assert_true(fd >= 0);
	sockets_seen++;
	return *(int *)user;
}

static void test_on_socket(void **state)
{
	char *servers[] = {rig.udp_text, NULL};
	int answer_of_hook = 0;

	(void)state;
	resolver_rig_make(&rig, (struct resolver_config){.dns_servers = servers,
							 .on_socket = on_socket,
							 .user = &answer_of_hook});
	assert_string_equal(ask("v4.example"), "192.0.2.4:1");
	assert_true(sockets_seen > 0);
	answer_of_hook = -1;
	ask("v4.example");
	assert_true(rig.result.error < 0);
	assert_string_equal(rig.asked, "");
}

static void test_config(void **state)
{
	char *bad[] = {"dns.example", NULL}, *bad_dot[] = {"x:0", NULL};
	struct resolver_config config = {.loop = &rig.loop, .log = &rig.log, .dns_servers = bad};
	struct resolver *r = NULL;
	char error[256];

	(void)state;
	assert_int_equal(resolver_new(&r, &config, error, sizeof(error)), RSTUN_E_CONFIG_INVALID);
	assert_contains(error, "--dns \"dns.example\"");
	config.dns_servers = NULL;
	config.dot_servers = bad_dot;
	assert_int_equal(resolver_new(&r, &config, error, sizeof(error)), RSTUN_E_CONFIG_INVALID);
	assert_contains(error, "--dot \"x:0\"");
	assert_null(r);
}

static int setup(void **state)
{
	(void)state;
	pki_directory(directory);
	snprintf(hosts_file, sizeof(hosts_file), "%s/hosts", directory);
	snprintf(resolv_conf, sizeof(resolv_conf), "%s/resolv.conf", directory);
	pki_write(hosts_file, "\n", 1, 0644);
	resolver_rig_init(&rig);
	return tls_global_init();
}

static int teardown(void **state)
{
	(void)state;
	resolver_rig_done(&rig);
	tls_global_done();
	pki_directory_remove(directory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numeric),	    cmocka_unit_test(test_given_servers),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_slow_family), cmocka_unit_test(test_wrong_answers),
		cmocka_unit_test(test_timeout),	    cmocka_unit_test(test_second_server),
		cmocka_unit_test(test_system),	    cmocka_unit_test(test_ndots),
		cmocka_unit_test(test_give_up),	    cmocka_unit_test(test_free_in_done),
		cmocka_unit_test(test_on_socket),   cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
