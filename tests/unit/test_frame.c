/* SPDX-License-Identifier: MIT */
/*
 * Targets and datagram headers: golden bytes, every split of the input, what no valid peer sends.
 */
#include "base/error.h"
#include "relay/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *text; /* as target_format writes it */
	const char *bytes;
	size_t count;
} golden[] = {
	{"ANY", "\x00", 1},
	{"127.0.0.1:9000", "\x04\x7f\x00\x00\x01\x23\x28", 7},
	{"[2001:db8::1]:53", "\x06\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x35", 19},
	{"example.org:443", "\x03\x0b" "example.org\x01\xbb", 15},
};

static void test_golden(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
		const uint8_t *bytes = (const uint8_t *)golden[i].bytes;
		uint8_t out[FRAME_TARGET_MAX], longer[FRAME_TARGET_MAX + 1];
		char text[ADDRESS_TARGET_TEXT_SIZE];
		struct target target;
		size_t used = 99;

		for (size_t part = 0; part < golden[i].count; part++) {
			uint8_t *exact =
				malloc(part + 1); /* a read beyond is seen by the sanitizer */

			memcpy(exact + 1, bytes, part);
			assert_int_equal(frame_get_target(&target, &used, exact + 1, part),
					 RSTUN_E_AGAIN);
			assert_int_equal(used, 99);
			free(exact);
		}
		memcpy(longer, bytes, golden[i].count);
		memset(longer + golden[i].count, 0xee, sizeof(longer) - golden[i].count);
		assert_int_equal(frame_get_target(&target, &used, longer, sizeof(longer)), 0);
		assert_int_equal(used, golden[i].count);
		assert_string_equal(target_format(text, sizeof(text), &target), golden[i].text);
		assert_int_equal(frame_put_target(out, &target), golden[i].count);
		assert_memory_equal(out, bytes, golden[i].count);
	}
}

static void test_malformed(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
	} bad[] = {
		{"\x01", 1},          {"\x02", 1},          {"\x05", 1},
		{"\xff", 1},          {"\x03\x00", 2},      {"\x03\xff", 2},
		{"\x03\x01 \0\x50", 5}, {"\x03\x01.\0\x50", 5}, {"\x03\x03" "a\0b\0\x50", 7},
		{"\x03\x03..a\0\x50", 7},
	};
	struct target target;
	size_t used = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(frame_get_target(&target, &used, (const uint8_t *)bad[i].bytes,
						  bad[i].count),
				 RSTUN_E_MALFORMED);
		assert_int_equal(used, 7);
	}
}

static void test_names(void **state)
{
	uint8_t longest[FRAME_TARGET_MAX] = {3, ADDRESS_NAME_MAX};
	struct target target;
	size_t used;

	(void)state;
	/* A trailing dot goes; an address in a name's clothes is an address. */
	assert_int_equal(frame_get_target(&target, &used,
					  (const uint8_t *)"\x03\x04"
							   "a.b.\0\x50",
					  8),
			 0);
	assert_int_equal(used, 8);
	assert_string_equal(target.name, "a.b");
	assert_int_equal(target.port, 80);
	assert_int_equal(frame_get_target(&target, &used,
					  (const uint8_t *)"\x03\x08"
							   "10.0.0.1\0\x50",
					  12),
			 0);
	assert_int_equal(target.kind, TARGET_ADDRESS);
	assert_int_equal(address_port(&target.address), 80);
	for (int i = 0; i < ADDRESS_NAME_MAX; i++)
		longest[2 + i] = i % 60 == 59 ? '.' : 'a';
	assert_int_equal(frame_get_target(&target, &used, longest, sizeof(longest)), 0);
	assert_int_equal(used, 2 + ADDRESS_NAME_MAX + 2);
	assert_int_equal(strlen(target.name), ADDRESS_NAME_MAX);
}

static void test_header(void **state)
{
	uint8_t buf[FRAME_HEADER_BYTES];

	(void)state;
	frame_put_header(buf, 0x1234);
	assert_int_equal(buf[0], 0x12);
	assert_int_equal(buf[1], 0x34);
	for (unsigned n = 0; n <= FRAME_DATAGRAM_MAX; n += 255) {
		frame_put_header(buf, (uint16_t)n);
		assert_int_equal(frame_get_header(buf), n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
