/* SPDX-License-Identifier: MIT */
/*
 * Addresses and targets as text and as values: what is accepted and its normal form, what is
 * refused and where, comparing, hashing, and copies from the kernel's structures.
 */
#include "base/address.h"
#include "base/error.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct address make(const char *text)
{
	struct address a;

	if (address_parse(&a, text, strlen(text)) != 0)
		fail_msg("%s is not an address", text);
	return a;
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		const char *normal; /* NULL = refused */
	} rows[] = {
		{"80", "127.0.0.1:80"},
		{"0", "127.0.0.1:0"},
		{"65535", "127.0.0.1:65535"},
		{"0080", "127.0.0.1:80"},
		{"1.2.3.4:5", "1.2.3.4:5"},
		{"0.0.0.0:0", "0.0.0.0:0"},
		{"[::]:0", "[::]:0"},
		{"[::1]:443", "[::1]:443"},
		{"[2001:DB8::1]:443", "[2001:db8::1]:443"},
		{"[::ffff:1.2.3.4]:80", "1.2.3.4:80"},
		{"[fe80::1%1]:80", "[fe80::1%1]:80"},
		{"[fe80::1%lo]:80", "[fe80::1%1]:80"},
		{"", NULL},
		{"65536", NULL},
		{"99999999999999999999", NULL},
		{"-1", NULL},
		{"+80", NULL},
		{" 80", NULL},
		{"80 ", NULL},
		{"0x50", NULL},
		{"1.2.3.4", NULL},
		{"1.2.3.4:", NULL},
		{"1.2.3.4:65536", NULL},
		{"1.2.3.4:8 0", NULL},
		{"1.2.3:80", NULL},
		{"1.2.3.256:80", NULL},
		{"01.2.3.4:80", NULL},
		{"1.2.3.4.5:80", NULL},
		{"::1:80", NULL},
		{"::1", NULL},
		{"[::1]", NULL},
		{"[::1]80", NULL},
		{"[::1]:", NULL},
		{"[::1:80", NULL},
		{"[]:80", NULL},
		{"[1.2.3.4]:80", NULL},
		{"[::1]:80:90", NULL},
		{"[fe80::1%]:80", NULL},
		{"[fe80::1%no-such-if]:80", NULL},
		{":80", NULL},
		{"localhost:80", NULL}, /* no names here */
	};
	char buf[ADDRESS_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address a = {.len = 77};
		int rv = address_parse(&a, rows[i].text, strlen(rows[i].text));

		if (rows[i].normal == NULL) {
			if (rv != RSTUN_E_MALFORMED)
				fail_msg("%s is accepted", rows[i].text);
			assert_int_equal(a.len, 77); /* untouched */
			continue;
		}
		if (rv != 0)
			fail_msg("%s is refused", rows[i].text);
		assert_string_equal(address_format(buf, sizeof(buf), &a), rows[i].normal);
	}
	assert_int_equal(address_parse(&(struct address){.len = 0}, "80\0", 3), RSTUN_E_MALFORMED);
}

static void test_parse_ip(void **state)
{
	static const char *const right[] = {"1.2.3.4", "::1", "[::1]", "::", "fe80::1%1"};
	static const char *const wrong[] = {"",		 "[",	    "]",	"[]",	"[1.2.3.4]",
					    "1.2.3.4:5", "a.b",	    "[::1",	"::1]", "1",
					    "1.2.3",	 "::1%1%2", "1.2.3.4%1"};
	struct address a;
	char buf[ADDRESS_TEXT_SIZE];
	char huge[300];

	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(address_parse_ip(&a, right[i], strlen(right[i]), 9), 0);
		assert_int_equal(address_port(&a), 9);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (address_parse_ip(&a, wrong[i], strlen(wrong[i]), 9) != RSTUN_E_MALFORMED)
			fail_msg("%s is accepted", wrong[i]);
	memset(huge, ':', sizeof(huge));
	assert_int_equal(address_parse_ip(&a, huge, sizeof(huge), 9), RSTUN_E_MALFORMED);
	a = make("[fe80::1%1]:80");
	assert_string_equal(address_format_ip(buf, sizeof(buf), &a), "fe80::1%1");
}

static void test_target(void **state)
{
	static const struct {
		const char *text;
		const char *normal; /* NULL = refused at `at` with `why` in the sentence */
		size_t at;
		const char *why;
	} rows[] = {
		{"80", "127.0.0.1:80", 0, NULL},
		{"1.2.3.4:80", "1.2.3.4:80", 0, NULL},
		{"[::1]:80", "[::1]:80", 0, NULL},
		{"example.com:80", "example.com:80", 0, NULL},
		{"example.com.:80", "example.com:80", 0, NULL},
		{"a:1", "a:1", 0, NULL},
		{"_srv.x-y.org:1", "_srv.x-y.org:1", 0, NULL},
		{"1and1.com:0", "1and1.com:0", 0, NULL},
		{"3com:7", "3com:7", 0, NULL},
		{"", NULL, 0, "a port, ip:port or name:port"},
		{"70000", NULL, 0, "0 to 65535"},
		{"example.com", NULL, 11, "':' and a port"},
		{"1.2.3.4", NULL, 7, "':' and a port"},
		{"example.com:", NULL, 12, "0 to 65535"},
		{"example.com:http", NULL, 12, "0 to 65535"},
		{"1.2.3.4:70000", NULL, 8, "0 to 65535"},
		{"1.2.3.400:80", NULL, 0, "four numbers"},
		{"1.2.3:80", NULL, 0, "four numbers"},
		{"1.2.3", NULL, 0, "four numbers"},
		{"exa mple.com:80", NULL, 3, "host name"},
		{"!x:80", NULL, 0, "host name"},
		{"a..b:80", NULL, 0, "host name"},
		{".a:80", NULL, 0, "host name"},
		{".:80", NULL, 0, "host name"},
		{":80", NULL, 0, "before the ':'"},
		{"::1:80", NULL, 0, "[address]:port"},
		{"a:b:80", NULL, 0, "[address]:port"},
		{"x:y:80", NULL, 2, "0 to 65535"},
		{"http://a:80", NULL, 5, "0 to 65535"},
		{"-1", NULL, 0, "0 to 65535"},
		{"90x", NULL, 0, "0 to 65535"},
		{"[::1]", NULL, 5, "':' and a port"},
		{"[::1]x80", NULL, 5, "':' and a port"},
		{"[::1]:x", NULL, 6, "0 to 65535"},
		{"[::1:80", NULL, 0, "']' is missing"},
		{"[zz]:80", NULL, 1, "IPv6 address was expected"},
		{"!x:y", NULL, 0, "host name"}, /* the first of two faults */
		{"unix:/run/app.sock", "unix:/run/app.sock", 0, NULL},
		{"UNIX:/a", "unix:/a", 0, NULL},
		{"unix:/srv/a b:80\xc3\xa4", "unix:/srv/a b:80\xc3\xa4", 0, NULL},
		{"unix:80", "unix:80", 0, NULL}, /* a host */
		{"unix:", NULL, 5, "absolute path"},
		{"unix:/", NULL, 5, "absolute path"},
		{"unix:app.sock", NULL, 5, "absolute path"},
		{"unix:80x", NULL, 5, "absolute path"},
		{"unix:@app", NULL, 5, "abstract sockets are not supported"},
		{"unix:/a^b", NULL, 7, "without '^', ','"},
		{"unix:/a,b", NULL, 7, "without '^', ','"},
		{"unix:/a\nb", NULL, 7, "control characters"},
		{"unix:/a\xff", NULL, 7, "UTF-8"},
		{"ex\xc3\xa4mple:80", NULL, 2, "host name"},
	};
	char buf[ADDRESS_TARGET_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct target t;
		const char *why = NULL;
		size_t at = 999;
		int rv = target_parse(&t, rows[i].text, strlen(rows[i].text), &at, &why);

		if (rows[i].normal != NULL) {
			if (rv != 0)
				fail_msg("%s is refused: %s", rows[i].text, why);
			assert_string_equal(target_format(buf, sizeof(buf), &t), rows[i].normal);
			continue;
		}
		if (rv != RSTUN_E_MALFORMED)
			fail_msg("%s is accepted", rows[i].text);
		if (at != rows[i].at || strstr(why, rows[i].why) == NULL)
			fail_msg("%s: at %zu: %s", rows[i].text, at, why);
	}
}

/* The text ends where it is said to, with or without a NUL behind it. */
static void test_bounds(void **state)
{
	static const char *const texts[] = {"1.2.3.4:8099", "[::1]:8099", "name.org:8099", "8099",
					    "unix:/a\xc3\xa4"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (size_t bytes = 0; bytes <= strlen(texts[i]); bytes++) {
			char *copy = malloc(bytes +
					    (bytes == 0)); /* exact, for the address sanitizer */
			struct target t;
			const char *why;
			size_t at;

			assert_non_null(copy);
			memcpy(copy, texts[i], bytes);
			if (target_parse(&t, copy, bytes, &at, &why) != 0)
				assert_true(at <= bytes);
			free(copy);
		}
	}
}

static void test_names(void **state)
{
	char name[300];

	(void)state;
	assert_true(address_name_valid("localhost", 9));
	assert_true(address_name_valid("a.b-c._d.e1", 11));
	assert_true(address_name_valid("1.2.3.4a", 8));
	assert_false(address_name_valid("", 0));
	assert_false(address_name_valid("a.", 2));
	assert_false(address_name_valid("1.2.3.4", 7));
	assert_false(address_name_valid("127.1", 5));
	assert_false(address_name_valid("12", 2));
	assert_false(address_name_valid("a b", 3));
	assert_false(address_name_valid("a\0b", 3));
	memset(name, 'a', sizeof(name));
	assert_true(address_name_valid(name, 63));
	assert_false(address_name_valid(name, 64));
	for (size_t i = 63; i < sizeof(name); i += 64)
		name[i] = '.';
	assert_true(address_name_valid(name, 253));
	assert_false(address_name_valid(name, 254));
}

static void test_sockaddr(void **state)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(7)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons(8),
				   .sin6_flowinfo = 5};
	struct sockaddr_storage other = {.ss_family = AF_UNIX};
	struct address a;
	char buf[ADDRESS_TEXT_SIZE];

	(void)state;
	in.sin_addr.s_addr = htonl(0x01020304);
	assert_int_equal(address_from_sockaddr(&a, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_string_equal(address_format(buf, sizeof(buf), &a), "1.2.3.4:7");
	assert_int_equal(address_from_sockaddr(&a, (struct sockaddr *)&in, sizeof(in) - 1),
			 RSTUN_E_MALFORMED);
	inet_pton(AF_INET6, "::ffff:5.6.7.8", &in6.sin6_addr);
	assert_int_equal(address_from_sockaddr(&a, (struct sockaddr *)&in6, sizeof(in6)), 0);
	assert_string_equal(address_format(buf, sizeof(buf), &a), "5.6.7.8:8");
	inet_pton(AF_INET6, "2001:db8::5", &in6.sin6_addr);
	assert_int_equal(address_from_sockaddr(&a, (struct sockaddr *)&in6, sizeof(in6)), 0);
	assert_string_equal(address_format(buf, sizeof(buf), &a), "[2001:db8::5]:8");
	assert_int_equal(a.in6.sin6_flowinfo, 0);
	assert_int_equal(address_from_sockaddr(&a, (struct sockaddr *)&other, sizeof(other)),
			 RSTUN_E_MALFORMED);
	assert_int_equal(address_from_sockaddr(&a, (struct sockaddr *)&in, 1), RSTUN_E_MALFORMED);
	assert_int_equal(address_from_sockaddr(&a, NULL, 0), RSTUN_E_MALFORMED);
}

static void test_compare(void **state)
{
	static const char *const texts[] = {"1.2.3.4:1",     "1.2.3.4:2",    "1.2.3.5:1",
					    "[::1]:1",	     "[::1]:2",	     "[::2]:1",
					    "[fe80::1%1]:1", "[fe80::1%2]:1"};
	struct address none = {.len = 0};

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		struct address a = make(texts[i]);

		assert_false(address_equal(&a, &none));
		for (size_t j = 0; j < 8; j++) {
			struct address b = make(texts[j]);

			assert_int_equal(address_equal(&a, &b), i == j);
			assert_int_equal(address_hash(&a, 42) == address_hash(&b, 42), i == j);
			address_set_port(&b, address_port(&a));
			assert_int_equal(address_equal(&a, &b), address_equal_ip(&a, &b));
		}
		assert_true(address_hash(&a, 1) != address_hash(&a, 2));
	}
	assert_true(address_equal(&none, &none));
	assert_int_equal(address_port(&none), 0);
	address_set_port(&none, 5);
	assert_int_equal(address_port(&none), 0);
}

static void test_kinds(void **state)
{
	struct address a = make("127.0.0.1:1"), none = {.len = 0};
	char buf[ADDRESS_TEXT_SIZE];

	(void)state;
	assert_true(address_is_loopback(&a));
	a = make("127.200.0.9:1");
	assert_true(address_is_loopback(&a));
	a = make("[::1]:1");
	assert_true(address_is_loopback(&a) && !address_is_unspecified(&a));
	a = make("128.0.0.1:1");
	assert_false(address_is_loopback(&a) || address_is_unspecified(&a));
	address_unspecified_to_loopback(&a);
	assert_string_equal(address_format(buf, sizeof(buf), &a), "128.0.0.1:1");
	a = make("0.0.0.0:80");
	assert_true(address_is_unspecified(&a));
	address_unspecified_to_loopback(&a);
	assert_string_equal(address_format(buf, sizeof(buf), &a), "127.0.0.1:80");
	a = make("[::]:80");
	assert_true(address_is_unspecified(&a));
	address_unspecified_to_loopback(&a);
	assert_string_equal(address_format(buf, sizeof(buf), &a), "[::1]:80");
	assert_false(address_is_loopback(&none) || address_is_unspecified(&none));
	address_unspecified_to_loopback(&none);
	assert_string_equal(address_format(buf, sizeof(buf), &none), "-");
}

static void test_target_equal(void **state)
{
	struct target any = {.kind = TARGET_DEFAULT},
		      name = {.kind = TARGET_NAME, .port = 1, .name = "a"};
	struct target same = {.kind = TARGET_NAME, .port = 1, .name = "A"};
	struct target other = {.kind = TARGET_NAME, .port = 2, .name = "a"};
	struct target ip = {.kind = TARGET_ADDRESS, .address = make("1.2.3.4:1")};
	struct target path = {.kind = TARGET_UNIX, .path = "/a"};
	struct target other_path = {.kind = TARGET_UNIX, .path = "/A"};
	char buf[ADDRESS_TARGET_TEXT_SIZE];

	(void)state;
	assert_true(target_equal(&any, &any) && target_equal(&name, &same) &&
		    target_equal(&ip, &ip));
	assert_false(target_equal(&any, &name) || target_equal(&name, &other) ||
		     target_equal(&ip, &name));
	assert_true(target_equal(&path, &path));
	assert_false(target_equal(&path, &other_path) || target_equal(&path, &name));
	assert_string_equal(target_format(buf, sizeof(buf), &any), "ANY");
}

static void test_paths(void **state)
{
	char text[ADDRESS_TARGET_TEXT_SIZE], buf[ADDRESS_TARGET_TEXT_SIZE];
	struct target t;
	const char *why;
	size_t at;

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:/", 6);
	assert_int_equal(target_parse(&t, text, 5 + ADDRESS_PATH_MAX, &at, &why), 0);
	assert_int_equal(strlen(t.path), ADDRESS_PATH_MAX);
	assert_int_equal(address_port(&t.address), 0);
	assert_memory_equal(target_format(buf, sizeof(buf), &t), text, 5 + ADDRESS_PATH_MAX);
	assert_int_equal(target_parse(&t, text, 6 + ADDRESS_PATH_MAX, &at, &why),
			 RSTUN_E_MALFORMED);
	assert_string_equal(why, "the path of a UNIX socket has at most 107 bytes");
	assert_int_equal(target_parse(&t, "unix:/a\0b", 9, &at, &why), RSTUN_E_MALFORMED);
	assert_int_equal(at, 7);
	assert_int_equal(address_parse(&t.address, "unix:/a", 7), RSTUN_E_MALFORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	 cmocka_unit_test(test_parse_ip),
		cmocka_unit_test(test_target),	 cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_names),	 cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_compare),	 cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_target_equal), cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
