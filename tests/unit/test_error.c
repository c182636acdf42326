/* SPDX-License-Identifier: MIT */
/*
 * The error table: every value has a text, a kind and a code that leads back, no two share one, and
 * the codes are those of the wire. Clocks, random bytes and wiping are small enough to stand here
 * too.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "base/utf8.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	int error;
	int code;
	const char *kind;
} known[] = {
	{RSTUN_E_FAILED, 1000, "failed"},
	{RSTUN_E_NOT_FOUND, 1001, "not_found"},
	{RSTUN_E_ALREADY_EXISTS, 1002, "already_exists"},
	{RSTUN_E_ADDRESS_IN_USE, 1003, "address_in_use"},
	{RSTUN_E_PERMISSION_DENIED, 1004, "permission_denied"},
	{RSTUN_E_DEFINED_IN_CONFIG, 1005, "defined_in_config"},
	{RSTUN_E_LIMIT_REACHED, 1006, "limit_reached"},
	{RSTUN_E_TIMEOUT, 1007, "timeout"},
	{RSTUN_E_SHUTTING_DOWN, 1008, "shutting_down"},
	{RSTUN_E_WRONG_ROLE, 1009, "wrong_role"},
	{RSTUN_E_UNSUPPORTED, 1010, "unsupported"},
	{RSTUN_E_DNS_FAILED, 1100, "dns_failed"},
	{RSTUN_E_UNREACHABLE, 1101, "unreachable"},
	{RSTUN_E_TLS_VERIFY_FAILED, 1102, "tls_verify_failed"},
	{RSTUN_E_AUTH_FAILED, 1103, "auth_failed"},
	{RSTUN_E_LOGIN_REJECTED, 1104, "login_rejected"},
	{RSTUN_E_PROTOCOL_MISMATCH, 1105, "protocol_mismatch"},
	{RSTUN_E_ACCESS_DENIED, 1106, "access_denied"},
	{RSTUN_E_NO_DEFAULT_UPSTREAM, 1107, "no_default_upstream"},
	{RSTUN_E_RATE_LIMITED, 1108, "rate_limited"},
	{RSTUN_E_SUPERSEDED, 1109, "superseded"},
	{RSTUN_E_PEER_KEY_CHANGED, 1110, "peer_key_changed"},
	{RSTUN_E_PASSWORD_REQUIRED_UNVERIFIED, 1111, "password_required_unverified"},
	{RSTUN_E_TARGET_REFUSED, 1112, "target_refused"},
	{RSTUN_E_TARGET_UNREACHABLE, 1113, "target_unreachable"},
	{RSTUN_E_REMOTE_ADDRESS_IN_USE, 1114, "remote_address_in_use"},
	{RSTUN_E_PEER_LACKS_FEATURE, 1115, "peer_lacks_feature"},
	{RSTUN_E_CONFIG_INVALID, 1200, "config_invalid"},
	{RSTUN_E_STATE_WRITE_FAILED, 1201, "state_write_failed"},
	{RSTUN_E_CERT_INVALID, 1202, "cert_invalid"},
	{RSTUN_E_FILE_PERMISSIONS, 1203, "file_permissions"},
};

static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_int_equal(rstun_error_to_code(known[i].error), known[i].code);
		assert_int_equal(rstun_error_from_code(known[i].code), known[i].error);
		assert_int_equal(known[i].error, -known[i].code);
		assert_string_equal(rstun_error_kind(known[i].error), known[i].kind);
		assert_string_not_equal(rstun_strerror(known[i].error), "unknown error");
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(known[i].kind, known[j].kind);
			assert_string_not_equal(rstun_strerror(known[i].error),
						rstun_strerror(known[j].error));
		}
	}
}

static void test_engine_errors(void **state)
{
	(void)state;
	for (int error = RSTUN_E_WRONG_THREAD; error <= RSTUN_E_NOMEM; error++) {
		assert_string_equal(rstun_error_kind(error), "internal");
		assert_int_equal(rstun_error_to_code(error), 1000);
		assert_string_not_equal(rstun_strerror(error), "unknown error");
	}
	assert_string_equal(rstun_strerror(0), "no error");
	assert_string_equal(rstun_strerror(-1), "unknown error");
	assert_string_equal(rstun_error_kind(12345), "internal");
}

static void test_unknown_codes(void **state)
{
	static const int codes[] = {0, -1, 1, 999, 1011, 1116, 2000, 65535, -1103};

	(void)state;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(rstun_error_from_code(codes[i]), RSTUN_E_FAILED);
}

static void test_errno(void **state)
{
	(void)state;
	assert_int_equal(rstun_error_from_errno(EADDRINUSE), RSTUN_E_ADDRESS_IN_USE);
	assert_int_equal(rstun_error_from_errno(EACCES), RSTUN_E_PERMISSION_DENIED);
	assert_int_equal(rstun_error_from_errno(ECONNREFUSED), RSTUN_E_TARGET_REFUSED);
	assert_int_equal(rstun_error_from_errno(ENETUNREACH), RSTUN_E_TARGET_UNREACHABLE);
	assert_int_equal(rstun_error_from_errno(ETIMEDOUT), RSTUN_E_TIMEOUT);
	assert_int_equal(rstun_error_from_errno(EMFILE), RSTUN_E_LIMIT_REACHED);
	assert_int_equal(rstun_error_from_errno(EWOULDBLOCK), RSTUN_E_AGAIN);
	assert_int_equal(rstun_error_from_errno(ECONNRESET), RSTUN_E_RESET);
	assert_int_equal(rstun_error_from_errno(ENOMEM), RSTUN_E_NOMEM);
	assert_int_equal(rstun_error_from_errno(EIO), RSTUN_E_FAILED);
	/* Never success: a failed call whose errno was lost is still a failure. */
	for (int err = 0; err < 140; err++)
		assert_true(rstun_error_from_errno(err) < 0);
}

static void test_clock(void **state)
{
	char buf[32];
	uint64_t before = clock_now_ns();

	(void)state;
	assert_true(clock_now_ns() >= before);
	assert_true(clock_wall_us() > INT64_C(1500000000) * 1000000);
	assert_string_equal(clock_format(buf, sizeof(buf), INT64_C(1795342272345678)),
			    "2026-11-22T10:11:12.345Z");
	assert_string_equal(clock_format(buf, sizeof(buf), 0), "1970-01-01T00:00:00.000Z");
	assert_string_equal(clock_format(buf, sizeof(buf), -1), "1969-12-31T23:59:59.999Z");
	assert_true(clock_after(5, CLOCK_NEVER) == CLOCK_NEVER);
	assert_true(clock_after(CLOCK_NEVER - 1, 1) == CLOCK_NEVER);
	assert_true(clock_after(CLOCK_NEVER, 0) == CLOCK_NEVER);
	assert_true(clock_after(5, 6) == 11);
	assert_true(clock_ms(UINT64_MAX) == CLOCK_NEVER);
	assert_true(clock_ms(3) == 3000000);
	assert_true(clock_min(3, CLOCK_NEVER) == 3);
}

static void test_random(void **state)
{
	uint8_t a[600] = {0}, b[600] = {0};

	(void)state;
	random_bytes(a, sizeof(a));
	random_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	random_bytes(a, 0);
	assert_true(random_u64() != random_u64());
	secret_wipe(a, sizeof(a));
	secret_wipe(NULL, 0);
	for (size_t i = 0; i < sizeof(a); i++)
		assert_int_equal(a[i], 0);
}

static void test_utf8(void **state)
{
	static const struct {
		const char *text;
		size_t length; /* of its first character; 0 = not valid */
		uint32_t code;
	} rows[] = {
		{"a", 1, 'a'},
		{"\xc3\xa4", 2, 0xe4},
		{"\xe2\x82\xac", 3, 0x20ac},
		{"\xf0\x9f\x9a\x87", 4, 0x1f687},
		{"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
		{"\xf4\x90\x80\x80", 0, 0}, /* beyond Unicode */
		{"\xc0\x80", 0, 0},         /* overlong NUL */
		{"\xc1\xbf", 0, 0},
		{"\xe0\x9f\xbf", 0, 0},
		{"\xf0\x8f\xbf\xbf", 0, 0},
		{"\xed\xa0\x80", 0, 0},     /* surrogate */
		{"\x80", 0, 0},             /* continuation alone */
		{"\xff", 0, 0},
		{"\xf8\x88\x80\x80\x80", 0, 0},
		{"\xe2\x82", 0, 0},         /* cut off */
		{"\xe2\x28\xa1", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint32_t code = 0;

		assert_int_equal(utf8_decode(&code, rows[i].text, strlen(rows[i].text)),
				 rows[i].length);
		if (rows[i].length != 0)
			assert_int_equal(code, rows[i].code);
		assert_int_equal(utf8_valid(rows[i].text, strlen(rows[i].text)),
				 rows[i].length != 0);
	}
	assert_int_equal(utf8_decode(NULL, "", 0), 0);
	assert_int_equal(utf8_decode(NULL, "\0", 1), 1);
	assert_true(utf8_valid("", 0));
	assert_int_equal(utf8_count("p\xc3\xa4x\xff", 5), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),	      cmocka_unit_test(test_engine_errors),
		cmocka_unit_test(test_unknown_codes), cmocka_unit_test(test_errno),
		cmocka_unit_test(test_clock),	      cmocka_unit_test(test_random),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
