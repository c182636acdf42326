/* SPDX-License-Identifier: MIT */
/*
 * Permits: what is one, what each allows. One thread.
 */
#include "base/error.h"
#include "config/permit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct permit parsed(const char *text)
{
	struct permit permit;
	char error[512] = "";

	if (permit_parse(&permit, text, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return permit;
}

static struct target asked(const char *text)
{
	struct target target;
	const char *why;
	size_t at;

	if (target_parse(&target, text, strlen(text), &at, &why) != 0)
		fail_msg("%s: %s", text, why);
	return target;
}

static void test_allows(void **state)
{
	static const struct {
		const char *permit, *yes[5], *no[7];
	} rows[] = {
		{"example.org:443",
		 {"example.org:443", "EXAMPLE.org:443", "example.org.:443"},
		 {"example.org:80", "www.example.org:443", "example.or:443", "1.2.3.4:443"}},
		{"Example.ORG.:*", {"example.org:1", "example.org:65535"}, {"example.com:1"}},
		{"10.1.2.3:22",
		 {"10.1.2.3:22", "[::ffff:10.1.2.3]:22"},
		 {"10.1.2.2:22", "10.1.2.3:23", "[::1]:22", "10.1.2.3.example:22"}},
		{"10.0.0.0/8:443",
		 {"10.0.0.0:443", "10.255.255.255:443"},
		 {"9.255.255.255:443", "11.0.0.0:443", "10.0.0.1:80", "ten.example:443"}},
		{"192.0.2.128/25:*", {"192.0.2.128:1", "192.0.2.255:2"}, {"192.0.2.127:1"}},
		{"0.0.0.0/0:80",
		 {"1.2.3.4:80", "127.0.0.1:80", "0.0.0.0:80"},
		 {"[::1]:80", "a:80"}},
		{"[2001:db8::1]:53",
		 {"[2001:db8::1]:53", "[2001:db8:0::0:1]:53"},
		 {"[2001:db8::2]:53", "1.2.3.4:53"}},
		{"[2001:db8::/33]:*", {"[2001:db8:7fff::1]:9"}, {"[2001:db8:8000::]:9"}},
		{"[::/0]:*", {"[::1]:1", "[2001:db8::1]:1"}, {"127.0.0.1:1"}},
		{"[::1]:80",
		 {"[::1]:80", "[::]:80"},
		 {"127.0.0.1:80", "0.0.0.0:80", "localhost:80"}},
		/* What is dialled as loopback is loopback. */
		{"127.0.0.1:80", {"127.0.0.1:80", "0.0.0.0:80"}, {"[::]:80", "localhost:80"}},
		{"0.0.0.0:80", {"127.0.0.1:80", "0.0.0.0:80"}, {"1.2.3.4:80"}},
		{"192.0.2.0/24:80", {"192.0.2.0:80"}, {"0.0.0.0:80"}},
		{"*:53", {"a:53", "1.2.3.4:53", "[::1]:53"}, {"a:54"}},
		{"*:*", {"a:1", "1.2.3.4:2", "[::1]:3"}, {"unix:/run/x"}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct permit permit = parsed(rows[i].permit);

		for (const char *const *p = rows[i].yes; *p != NULL; p++) {
			struct target target = asked(*p);

			if (!permit_allows(&permit, 1, &target))
				fail_msg("%s does not allow %s", rows[i].permit, *p);
		}
		for (const char *const *p = rows[i].no; *p != NULL; p++) {
			struct target target = asked(*p);

			if (permit_allows(&permit, 1, &target))
				fail_msg("%s allows %s", rows[i].permit, *p);
		}
	}
}

static void test_list(void **state)
{
	struct permit list[] = {parsed("a:1"), parsed("10.0.0.0/8:2"), parsed("b:*")};
	struct target any = {.kind = TARGET_DEFAULT}, b = asked("b:3"), ten = asked("10.1.1.1:2");

	(void)state;
	assert_true(permit_allows(list, 3, &b));
	assert_true(permit_allows(list, 3, &ten));
	assert_false(permit_allows(list, 2, &b));
	assert_false(permit_allows(list, 0, &b));
	assert_false(permit_allows(NULL, 0, &ten));
	list[0] = parsed("*:*");
	assert_false(permit_allows(list, 3, &any));
}

static void test_wrong(void **state)
{
	static const char *const rows[][2] = {
		{"", "write HOST:PORT"},
		{"a", "write HOST:PORT"},
		{"any", "write HOST:PORT"},
		{"443", "write HOST:PORT"},
		{"::1:80", "an IPv6 address or network in brackets"},
		{"fd00::/8:80", "in brackets"},
		{"[::1]", "write HOST:PORT"},
		{"[::1:80", "in brackets"},
		{"[10.0.0.1]:80", "in brackets"},
		{"[a]:80", "in brackets"},
		{"[[::1]]:80", "in brackets"},
		{"a:", "the port is 1 to 65535, or * for any"},
		{"a:0", "the port is"},
		{"a:65536", "the port is"},
		{"a:99999999999", "the port is"},
		{"a:80-90", "the port is"},
		{"a:http", "the port is"},
		{"a:**", "the port is"},
		{":80", "the host is a name"},
		{".:80", "the host is a name"},
		{"a b:80", "the host is a name"},
		{"*.example.org:80", "the host is a name"},
		{"127.1:80", "the host is a name"},
		{"10.0.0.256:80", "the host is a name"},
		{"example.org/8:80", "the host is a name"},
		{"[fe80::1%lo]:80", "the host is a name"},
		{"10.0.0.0/:80", "with 0 to 32 bits"},
		{"10.0.0.0/33:80", "with 0 to 32 bits"},
		{"10.0.0.0/-1:80", "with 0 to 32 bits"},
		{"[fd00::/129]:80", "with 0 to 128 bits"},
		{"10.0.0.1/8:80", "of 8 bits has only zeros behind them"},
		{"[fd00::1/8]:80", "only zeros"},
		{"\x1b:80", "\\x1b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct permit permit = {.port = 7};
		char error[512] = "";

		assert_int_equal(permit_parse(&permit, rows[i][0], error, sizeof(error)),
				 RSTUN_E_MALFORMED);
		if (strstr(error, rows[i][1]) == NULL)
			fail_msg("%s: %s", rows[i][0], error);
		assert_int_equal(permit.port, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_allows),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
