/* SPDX-License-Identifier: MIT */
/*
 * The DNS codec, the texts of --dot and --dns, the hosts file, the search list and the order of
 * addresses: all that needs no network.
 */
#include "base/address.h"
#include "base/clock.h"
#include "base/error.h"
#include "dns/answer.h"
#include "dns/hosts.h"
#include "dns/message.h"
#include "dns/search.h"
#include "config/server_list.h"
#include "tests/unit/dns_zone.h"
#include "tests/unit/pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t golden_query[] = {0x12, 0x34, 0x01, 0x00, 0,   1,	 0,   0, 0,   0,
				       0,    0,	   4,	 'h',  'o', 's', 't', 7, 'e', 'x',
				       'a',  'm',  'p',	 'l',  'e', 0,	 0,   1, 0,   1};

/* host.example is an alias of a.example by a compressed name; a stranger's address in between does
 * not count. */
static const uint8_t golden_answer[] = {
	0x12, 0x34, 0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0, 4, 'h', 'o', 's', 't', 7, 'e', 'x', 'a',
	'm', 'p', 'l', 'e', 0, 0, 1, 0, 1,
	/* host.example CNAME a.example */
	0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, 'a', 0xc0, 17,
	/* example A 203.0.113.9 */
	0xc0, 17, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 9,
	/* A.example A 192.0.2.1 */
	1, 'A', 0xc0, 17, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1};

static void test_query(void **state)
{
	char label64[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.x";
	static const char *const bad[] = {"", ".", "..", "a..b", ".a", "a.."};
	uint8_t buf[MESSAGE_QUERY_MAX];
	char longest[300] = "";
	size_t bytes;

	(void)state;
	assert_int_equal(message_query(buf, &bytes, 0x1234, "host.example", MESSAGE_TYPE_A), 0);
	assert_int_equal(bytes, sizeof(golden_query));
	assert_memory_equal(buf, golden_query, bytes);
	assert_int_equal(message_query(buf, &bytes, 0x1234, "host.example.", MESSAGE_TYPE_A), 0);
	assert_memory_equal(buf, golden_query, bytes);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(message_query(buf, &bytes, 1, bad[i], MESSAGE_TYPE_A),
				 RSTUN_E_MALFORMED);
	assert_int_equal(message_query(buf, &bytes, 1, label64, MESSAGE_TYPE_A), RSTUN_E_MALFORMED);
	assert_int_equal(message_query(buf, &bytes, 1, label64 + 1, MESSAGE_TYPE_A), 0);
	for (size_t i = 0; i < 253; i++)
		longest[i] = i % 2 ? '.' : 'a';
	assert_int_equal(message_query(buf, &bytes, 1, longest, MESSAGE_TYPE_AAAA), 0);
	assert_int_equal(bytes, MESSAGE_QUERY_MAX);
	longest[253] = 'a';
	assert_int_equal(message_query(buf, &bytes, 1, longest, MESSAGE_TYPE_A), RSTUN_E_MALFORMED);
}

static void test_answer(void **state)
{
	struct message_answer a = {.count = 77};
	char text[ADDRESS_TEXT_SIZE];
	uint8_t changed[sizeof(golden_answer)];

	(void)state;
	assert_int_equal(message_parse(&a, golden_answer, sizeof(golden_answer), 0x1234,
				       "HOST.example.", MESSAGE_TYPE_A),
			 0);
	assert_int_equal(a.count, 1);
	assert_string_equal(address_format(text, sizeof(text), &a.addresses[0]), "192.0.2.1:0");
	assert_false(a.truncated);

	/* Another id, name, type: not ours. Cut anywhere: an error, and nothing read behind the
	 * end. */
	a.count = 77;
	assert_int_equal(message_parse(&a, golden_answer, sizeof(golden_answer), 0x1235,
				       "host.example", MESSAGE_TYPE_A),
			 RSTUN_E_MALFORMED);
	assert_int_equal(message_parse(&a, golden_answer, sizeof(golden_answer), 0x1234,
				       "most.example", MESSAGE_TYPE_A),
			 RSTUN_E_MALFORMED);
	assert_int_equal(message_parse(&a, golden_answer, sizeof(golden_answer), 0x1234,
				       "host.example", MESSAGE_TYPE_AAAA),
			 RSTUN_E_MALFORMED);
	for (size_t n = 0; n < sizeof(golden_answer); n++) {
		uint8_t *cut = malloc(n ? n : 1);

		memcpy(cut, golden_answer, n);
		assert_int_equal(message_parse(&a, cut, n, 0x1234, "host.example", MESSAGE_TYPE_A),
				 RSTUN_E_MALFORMED);
		free(cut);
	}
	assert_int_equal(a.count, 77);

	/* Any byte changed: an error or another answer, never a fault. */
	for (size_t i = 0; i < sizeof(golden_answer); i++)
		for (unsigned v = 0; v < 256; v++) {
			memcpy(changed, golden_answer, sizeof(changed));
			changed[i] = (uint8_t)v;
			message_parse(&a, changed, sizeof(changed), 0x1234, "host.example",
				      MESSAGE_TYPE_A);
		}
	/* A query is no answer; a compression pointer to itself is no name. */
	memcpy(changed, golden_answer, sizeof(changed));
	changed[2] = 0x01;
	assert_int_equal(
		message_parse(&a, changed, sizeof(changed), 0x1234, "host.example", MESSAGE_TYPE_A),
		RSTUN_E_MALFORMED);
	memcpy(changed, golden_answer, sizeof(changed));
	changed[31] = 30;
	assert_int_equal(
		message_parse(&a, changed, sizeof(changed), 0x1234, "host.example", MESSAGE_TYPE_A),
		RSTUN_E_MALFORMED);
}

static void ask_zone(struct message_answer *ret, const char *name, uint16_t type, int expected)
{
	uint8_t query[MESSAGE_QUERY_MAX], reply[DNS_ZONE_REPLY_MAX];
	char seen[256];
	size_t bytes;

	assert_int_equal(message_query(query, &bytes, 7, name, type), 0);
	bytes = dns_zone_reply(reply, query, bytes, seen);
	assert_true(bytes > 0);
	assert_int_equal(message_parse(ret, reply, bytes, 7, name, type), expected);
}

static void test_zone(void **state)
{
	struct message_answer a;

	(void)state;
	ask_zone(&a, "host.example", MESSAGE_TYPE_A, 0);
	assert_int_equal(a.count, 2);
	ask_zone(&a, "alias2.example", MESSAGE_TYPE_AAAA, 0);
	assert_int_equal(a.count, 1);
	ask_zone(&a, "loop.example", MESSAGE_TYPE_A, 0);
	assert_int_equal(a.count, 0);
	ask_zone(&a, "stranger.example", MESSAGE_TYPE_A, 0);
	assert_int_equal(a.count, 0);
	ask_zone(&a, "no.example", MESSAGE_TYPE_A, 0);
	assert_int_equal(a.rcode, MESSAGE_NXDOMAIN);
	ask_zone(&a, "servfail.example", MESSAGE_TYPE_A, 0);
	assert_int_equal(a.rcode, MESSAGE_SERVFAIL);
	ask_zone(&a, "garbage.example", MESSAGE_TYPE_A, RSTUN_E_MALFORMED);
	ask_zone(&a, "cut.example", MESSAGE_TYPE_A, RSTUN_E_MALFORMED);
	ask_zone(&a, "other.example", MESSAGE_TYPE_A, RSTUN_E_MALFORMED);
}

static void test_server_texts(void **state)
{
	static const struct {
		const char *text, *host, *name;
		uint16_t port;
		bool is_ip;
	} good[] = {
		{"dns.google", "dns.google", "dns.google", 853, false},
		{"dns.google:8853", "dns.google", "dns.google", 8853, false},
		{"1.1.1.1", "1.1.1.1", "", 853, true},
		{"1.1.1.1:8853", "1.1.1.1", "", 8853, true},
		{"1.1.1.1#cloudflare-dns.com", "1.1.1.1", "cloudflare-dns.com", 853, true},
		{"1.1.1.1#cloudflare-dns.com:8853", "1.1.1.1", "cloudflare-dns.com", 8853, true},
		{"2606:4700::1111", "2606:4700::1111", "", 853, true},
		{"[2606:4700::1111]", "2606:4700::1111", "", 853, true},
		{"[2606:4700::1111]:8853", "2606:4700::1111", "", 8853, true},
		{"2606:4700::1111#one.one.one.one:8853", "2606:4700::1111", "one.one.one.one", 8853,
		 true},
		{"front.example#back.example", "front.example", "back.example", 853, false},
		{"dns.example.", "dns.example", "dns.example", 853, false},
	};
	static const char *const bad[] = {"",
					  "#x",
					  "x#",
					  "1.1.1.1:0",
					  "1.1.1.1:99999",
					  "dns.google:",
					  "a b",
					  "x:1:2",
					  "1.1.1.1#a b",
					  "1.1.1.1#1.1.1.1",
					  "[::1",
					  "x#y:z",
					  "x#y:-1",
					  "http://x"};
	static const char *const bad_dns[] = {
		"", "53", "dns.google", "1.1.1.1:0", "1.1.1.1:99999", ":53", "[::1]:"};
	struct server_list_dot s;
	struct address a;
	char error[256], text[ADDRESS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (server_list_parse_dot(&s, good[i].text, error, sizeof(error)))
			fail_msg("%s", error);
		assert_string_equal(s.host, good[i].host);
		assert_string_equal(s.name, good[i].name);
		assert_int_equal(s.port, good[i].port);
		assert_int_equal(s.is_ip, good[i].is_ip);
		assert_int_equal(s.count, good[i].is_ip);
		if (s.is_ip)
			assert_int_equal(address_port(&s.addresses[0]), good[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (server_list_parse_dot(&s, bad[i], error, sizeof(error)) !=
		    RSTUN_E_CONFIG_INVALID)
			fail_msg("\"%s\" was accepted", bad[i]);
	assert_int_equal(server_list_parse_dns(&a, "9.9.9.9", error, sizeof(error)), 0);
	assert_string_equal(address_format(text, sizeof(text), &a), "9.9.9.9:53");
	assert_int_equal(server_list_parse_dns(&a, "[::1]:5353", error, sizeof(error)), 0);
	assert_string_equal(address_format(text, sizeof(text), &a), "[::1]:5353");
	assert_int_equal(server_list_parse_dns(&a, "::1", error, sizeof(error)), 0);
	assert_string_equal(address_format(text, sizeof(text), &a), "[::1]:53");
	for (size_t i = 0; i < sizeof(bad_dns) / sizeof(bad_dns[0]); i++)
		if (server_list_parse_dns(&a, bad_dns[i], error, sizeof(error)) !=
		    RSTUN_E_CONFIG_INVALID)
			fail_msg("\"%s\" was accepted", bad_dns[i]);
}

static void test_hosts(void **state)
{
	static const char file[] =
		"# comment\n127.0.0.1 localhost\n\n192.0.2.5\tone One.Example two # three\n"
		"2001:db8::5 one.example\nnonsense one\n192.0.2.6 six\r\n192.0.2.7 last";
	char directory[PKI_PATH_SIZE], path[PKI_PATH_SIZE + 16];
	struct address found[4];

	(void)state;
	snprintf(path, sizeof(path), "%s/hosts", pki_directory(directory));
	pki_write(path, file, sizeof(file) - 1, 0644);
	assert_int_equal(hosts_lookup(path, "ONE.example.", found, 4), 2);
	assert_int_equal(found[0].sa.sa_family, AF_INET);
	assert_int_equal(found[1].sa.sa_family, AF_INET6);
	assert_int_equal(hosts_lookup(path, "one", found, 4), 1);
	assert_int_equal(hosts_lookup(path, "three", found, 4), 0);
	assert_int_equal(hosts_lookup(path, "six", found, 4), 1);
	assert_int_equal(hosts_lookup(path, "last", found, 4), 1);
	assert_int_equal(hosts_lookup(path, "one.example", found, 1), 1);
	assert_int_equal(hosts_lookup("/nonexistent/hosts", "one", found, 4), 0);
	assert_true(hosts_is_localhost("localhost"));
	assert_true(hosts_is_localhost("LocalHost."));
	assert_true(hosts_is_localhost("a.localhost"));
	assert_false(hosts_is_localhost("notlocalhost"));
	assert_false(hosts_is_localhost("localhost.example"));
	pki_directory_remove(directory);
}

static void test_search(void **state)
{
	static const char file[] =
		"nameserver 192.0.2.53\ndomain gone.example\nsearch a.search b.search. # c\n"
		"options rotate ndots:2 timeout:3\n";
	char directory[PKI_PATH_SIZE], path[PKI_PATH_SIZE + 16];
	struct search_list l;
	char longest[ADDRESS_NAME_MAX + 1];

	(void)state;
	snprintf(path, sizeof(path), "%s/resolv.conf", pki_directory(directory));
	pki_write(path, file, sizeof(file) - 1, 0644);
	search_list_system(&l, path, "x.y");
	assert_int_equal(l.count, 3);
	assert_string_equal(l.names[0], "x.y.a.search");
	assert_string_equal(l.names[1], "x.y.b.search");
	assert_string_equal(l.names[2], "x.y");
	search_list_system(&l, path, "x.y.z");
	assert_int_equal(l.count, 3);
	assert_string_equal(l.names[0], "x.y.z");
	search_list_system(&l, path, "x.");
	assert_int_equal(l.count, 1);
	assert_string_equal(l.names[0], "x");
	search_list_single(&l, "x.y.");
	assert_string_equal(l.names[0], "x.y");
	memset(longest, 'a', ADDRESS_NAME_MAX);
	longest[ADDRESS_NAME_MAX] = '\0';
	search_list_system(&l, path, longest);
	assert_int_equal(l.count, 1);
	pki_directory_remove(directory);
}

static struct address ip(const char *text)
{
	struct address a;

	assert_int_equal(address_parse_ip(&a, text, strlen(text), 0), 0);
	return a;
}

static void test_order(void **state)
{
	static const char *const expected[] = {"2001:db8::1", "192.0.2.1", "2001:db8::2",
					       "192.0.2.2", "192.0.2.3"};
	struct address mixed[] = {ip("192.0.2.1"), ip("192.0.2.2"),   ip("192.0.2.1"),
				  ip("192.0.2.3"), ip("2001:db8::1"), ip("2001:db8::2")};
	struct resolver_result result = {0};
	char text[ADDRESS_TEXT_SIZE];

	(void)state;
	answer_interleave(&result, mixed, 6);
	assert_int_equal(result.count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(address_format_ip(text, sizeof(text), &result.addresses[i]),
				    expected[i]);
}

static void test_enough(void **state)
{
	struct answer_pair p;

	(void)state;
	answer_pair_init(&p);
	assert_false(answer_pair_enough(&p, 1000));
	p.of[ANSWER_V4].state = ANSWER_FOUND;
	p.of[ANSWER_V4].count = 1;
	answer_pair_update(&p, 1000);
	assert_false(answer_pair_enough(&p, 1000));
	answer_pair_update(&p, 2000);
	assert_false(answer_pair_enough(&p, 1000 + clock_ms(ANSWER_GRACE_MS) - 1));
	assert_true(answer_pair_enough(&p, 1000 + clock_ms(ANSWER_GRACE_MS)));
	p.of[ANSWER_V6].state = ANSWER_NONE;
	assert_true(answer_pair_enough(&p, 1000));
	assert_int_equal(answer_pair_state(&p), ANSWER_FOUND);
	answer_pair_init(&p);
	p.of[ANSWER_V6].state = ANSWER_FAILED;
	answer_pair_update(&p, 5);
	assert_false(answer_pair_enough(&p, UINT64_MAX - 1));
	p.of[ANSWER_V4].state = ANSWER_NONE;
	assert_true(answer_pair_enough(&p, 5));
	assert_int_equal(answer_pair_state(&p), ANSWER_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query), cmocka_unit_test(test_answer),
		cmocka_unit_test(test_zone),  cmocka_unit_test(test_server_texts),
		cmocka_unit_test(test_hosts), cmocka_unit_test(test_search),
		cmocka_unit_test(test_order), cmocka_unit_test(test_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
