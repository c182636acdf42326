/* SPDX-License-Identifier: MIT */
/*
 * Headers of the PROXY protocol v2, byte by byte, as proxy-protocol.txt (section 2.2) has them.
 */
#include "tunnel/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SIGNATURE 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a

/* "" = not known. */
static struct address address_of(const char *text)
{
	struct address address = {.len = 0};

	if (text[0] != '\0')
		assert_int_equal(address_parse(&address, text, strlen(text)), 0);
	return address;
}

static void assert_header(const char *source, const char *destination, const uint8_t *want,
			  size_t bytes)
{
	struct address from = address_of(source), to = address_of(destination);
	uint8_t got[PROXY_HEADER_MAX];

	assert_int_equal(proxy_header_put(got, &from, &to), bytes);
	assert_memory_equal(got, want, bytes);
}

static void test_ipv4(void **state)
{
	static const uint8_t want[] = {
		SIGNATURE, 0x21, 0x11, 0x00, 0x0c, 192, 0, 2, 1, 198, 51, 100, 2, 0xc0, 0x01,
		0x0d, 0xbb,
	};

	(void)state;
	assert_header("192.0.2.1:49153", "198.51.100.2:3515", want, sizeof(want));
}

static void test_ipv6(void **state)
{
	static const uint8_t want[] = {
		SIGNATURE, 0x21, 0x21, 0x00, 0x24,
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01,
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x02,
		0xff, 0xff, 0x00, 0x01,
	};

	(void)state;
	assert_int_equal(sizeof(want), PROXY_HEADER_MAX);
	assert_header("[2001:db8::1]:65535", "[2001:db8::ff02]:1", want, sizeof(want));
}

/* Such a pair is never one connection's, but a header has one family. */
static void test_two_families(void **state)
{
	static const uint8_t want[] = {
		SIGNATURE, 0x21, 0x21, 0x00, 0x24,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1,
		0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02,
		0x00, 0x50, 0x01, 0xbb,
	};

	(void)state;
	assert_header("192.0.2.1:80", "[2001:db8::2]:443", want, sizeof(want));
}

static void test_not_known(void **state)
{
	static const uint8_t want[] = {SIGNATURE, 0x20, 0x00, 0x00, 0x00};

	(void)state;
	assert_header("", "198.51.100.2:3515", want, sizeof(want));
	assert_header("[2001:db8::1]:1", "", want, sizeof(want));
	assert_header("", "", want, sizeof(want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_two_families),
		cmocka_unit_test(test_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
