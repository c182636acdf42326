/* SPDX-License-Identifier: MIT */
/*
 * rstunctl: words into params of a call: mappings in carets and in three words, key=value by the
 * rows of a method, files as contents, passwords only from files that others cannot read.
 */
#include "rpc/api.h"
#include "rstunctl/call_params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char error[FIELD_ERROR_SIZE];

/* ---- Mappings -------------------------------------------------------------------------------- */

static void assert_specs(char **words, const char *expected)
{
	char joined[512] = "", **list;
	size_t count, used = 0, words_count = 0;

	while (words[words_count] != NULL)
		words_count++;
	if (call_params_specs(&list, &count, false, false, words, words_count, error) != 0)
		fail_msg("%s: %s", words[0], error);
	for (size_t i = 0; i < count; i++)
		used += (size_t)snprintf(joined + used, sizeof(joined) - used, "%s%s",
					 i > 0 ? " " : "", list[i]);
	assert_null(list[count]);
	assert_string_equal(joined, expected);
	call_params_free(list);
}

#define SPECS(expected, ...) assert_specs((char *[]){__VA_ARGS__, NULL}, expected)

static void test_specs(void **state)
{
	(void)state;
	SPECS("OUT^9000^ANY", (char *)"OUT^9000^ANY");
	SPECS("OUT^9000^ANY", (char *)"out", (char *)"9000", (char *)"any");
	SPECS("IN^3000^0.0.0.0:18080", (char *)"In", (char *)"3000", (char *)"0.0.0.0:18080");
	SPECS("OUT^1^ANY OUT^2^ANY OUT^3^ANY", (char *)"out", (char *)"1-2", (char *)"any",
	      (char *)"OUT^3^ANY");
	SPECS("OUT^1080^socks5 OUT^8118^HTTP OUT^1^http", (char *)"socks5", (char *)"1080",
	      (char *)"HTTP", (char *)"8118", (char *)"out", (char *)"1", (char *)"http");
	SPECS("OUT^1^ANY OUT^2^10.0.0.5:80 IN^3^4", (char *)"OUT^1^ANY", (char *)"out", (char *)"2",
	      (char *)"10.0.0.5:80", (char *)"in", (char *)"3", (char *)"4");
}

static void test_ranges_that_stay(void **state)
{
	char *words[] = {(char *)"out", (char *)"1-2", (char *)"any", (char *)"OUT^3^ANY",
			 (char *)"OUT^4-5^ANY"};
	char **list, *wrong = (char *)"OUT^2-1^ANY";
	size_t count;

	(void)state;
	assert_int_equal(call_params_specs(&list, &count, false, true, words, 5, error), 0);
	assert_int_equal(count, 3);
	assert_string_equal(list[0], "OUT^1-2^ANY");
	assert_string_equal(list[1], "OUT^3^ANY");
	assert_string_equal(list[2], "OUT^4-5^ANY");
	assert_null(list[3]);
	assert_true(call_params_is_range(list[0]));
	assert_false(call_params_is_range(list[1]));
	call_params_free(list);
	assert_true(call_params_specs(&list, &count, false, true, &wrong, 1, error) != 0);
}

static void assert_no_spec(const char *words, ...)
{
	char *list[8];
	va_list args;
	size_t count = 0;
	char **specs;
	const char *part;

	va_start(args, words);
	for (char *p = va_arg(args, char *); p != NULL; p = va_arg(args, char *))
		list[count++] = p;
	va_end(args);
	assert_true(call_params_specs(&specs, &count, false, false, list, count, error) != 0);
	part = strstr(error, words);
	if (part == NULL)
		fail_msg("says \"%s\", not \"%s\"", error, words);
}

static void test_no_specs(void **state)
{
	(void)state;
	assert_no_spec("\"foo\" is no mapping", "foo", NULL);
	assert_no_spec("three words", "out", "9000", NULL);
	assert_no_spec("such as: in 3000", "in", "9000", NULL);
	assert_no_spec("three words", "out", "9000", "in", "1", "2", NULL);
	assert_no_spec("two words make a mapping: socks5 LOCAL", "socks5", NULL);
	assert_no_spec("two words", "http", "socks5", "1080", NULL);
	assert_no_spec("port 90000 at column 10 is not in 1..65535", "OUT^9000^90000", NULL);
	assert_no_spec("\\x1b", "\033", NULL);
}

/* ---- key=value ------------------------------------------------------------------------------- */

static void assert_pair(const char *method, const char *pair, const char *json)
{
	int i = rpc_method_find(method);
	json_t *object = json_object();
	char *text;

	if (call_params_pair(object, i >= 0 ? &rpc_methods[i] : NULL, pair, error) != 0)
		fail_msg("%s: %s", pair, error);
	text = json_dumps(object, JSON_COMPACT);
	assert_string_equal(text, json);
	free(text);
	json_decref(object);
}

static void assert_no_pair(const char *method, const char *pair, const char *words)
{
	json_t *object = json_object();

	assert_true(call_params_pair(object, &rpc_methods[rpc_method_find(method)], pair, error) !=
		    0);
	if (strstr(error, words) == NULL)
		fail_msg("%s: says \"%s\", not \"%s\"", pair, error, words);
	json_decref(object);
}

static void test_pairs(void **state)
{
	(void)state;
	assert_pair("mapping.list", "state=failed", "{\"state\":\"failed\"}");
	assert_pair("mapping.add", "wait-ms=10s", "{\"wait_ms\":10000}");
	assert_pair("mapping.add", "persist=no", "{\"persist\":false}");
	assert_pair("mapping.get", "name=7", "{\"name\":\"7\"}"); /* text by its row */
	assert_pair("log.tail", "count=7", "{\"count\":7}");
	assert_pair("events.subscribe", "types=state,log", "{\"types\":[\"state\",\"log\"]}");
	assert_pair("events.subscribe", "since.seq=7", "{\"since\":{\"seq\":7}}");
	assert_pair("events.subscribe", "since={\"epoch\":\"e\",\"seq\":7}",
		    "{\"since\":{\"epoch\":\"e\",\"seq\":7}}");
	assert_pair("client.add", "cipher=aes-128-gcm", "{\"cipher\":\"aes-128-gcm\"}");
	assert_pair("client.add", "hop-interval-ms=1m", "{\"hop_interval_ms\":60000}");
	assert_pair("rpc.cancel", "id=7", "{\"id\":7}");
	assert_pair("mapping.get", "name:=null", "{\"name\":null}");
	assert_pair("of.another.version", "a=1", "{\"a\":1}");
	assert_pair("of.another.version", "a=x=y", "{\"a\":\"x=y\"}");
}

static void test_no_pairs(void **state)
{
	(void)state;
	assert_no_pair("mapping.list", "state", "is not key=value");
	assert_no_pair("mapping.list", "=x", "is not key=value");
	assert_no_pair("mapping.list", "stat=failed", "did you mean state?");
	assert_no_pair("mapping.list", "frobnicate=1", "'rstunctl help mapping.list'");
	assert_no_pair("mapping.list", "state=nosuch", "is not one of idle");
	assert_no_pair("log.tail", "count=x", "is not a number");
	assert_no_pair("mapping.get", "name:=x", "no JSON");
	assert_no_pair("client.add", "password=x", "say password=@FILE");
	assert_no_pair("client.add", "server-adr=x", "did you mean server_addr?");
	assert_no_pair("mapping.get", "name=@/nonexistent/file", "cannot read /nonexistent/file");
}

/* ---- Files ----------------------------------------------------------------------------------- */

static char path[] = "/tmp/rstunctl-test-XXXXXX";

static void file_with(const char *text, size_t bytes, mode_t mode)
{
	int fd;

	memcpy(strrchr(path, '-') + 1, "XXXXXX", 6);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void assert_password(const char *text, size_t bytes, mode_t mode, const char *expected,
			    const char *kind)
{
	struct rpc_error why;
	char *password = NULL;
	int rv;

	file_with(text, bytes, mode);
	rv = call_params_password(&password, path, &why);
	unlink(path);
	if (expected != NULL) {
		assert_int_equal(rv, 0);
		assert_string_equal(password, expected);
		call_params_wipe(password);
	} else {
		assert_true(rv != 0);
		assert_string_equal(why.kind, kind);
	}
}

static void test_passwords(void **state)
{
	char longest[1026];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_password("secret\n", 7, 0600, "secret", NULL);
	assert_password("secret\r\n", 8, 0600, "secret", NULL);
	assert_password(" s\t", 3, 0400, " s\t", NULL);
	assert_password("secret\n", 7, 0640, NULL, "file_permissions");
	assert_password("secret\n", 7, 0604, NULL, "file_permissions");
	assert_password("\n", 1, 0600, NULL, "invalid_params");
	assert_password("", 0, 0600, NULL, "invalid_params");
	assert_password("a\nb\n", 4, 0600, NULL, "invalid_params");
	assert_password("a\0b", 3, 0600, NULL, "invalid_params");
	assert_password(longest, 1025, 0600, NULL, "invalid_params");
	longest[1024] = '\n';
	file_with(longest, 1025, 0600);
	unlink(path);
}

static void test_files(void **state)
{
	struct rpc_error why;
	json_t *object = json_object();
	char pair[80], *text;

	(void)state;
	file_with("[client home]\n", 14, 0644);
	snprintf(pair, sizeof(pair), "text=@%s", path);
	assert_int_equal(call_params_pair(object, &rpc_methods[RPC_CONFIG_CHECK], pair, error), 0);
	assert_string_equal(json_string_value(json_object_get(object, "text")), "[client home]\n");
	json_decref(object);
	assert_true(call_params_file(&text, path, 13, &why) != 0);
	assert_string_equal(why.kind, "invalid_params");
	assert_int_equal(call_params_file(&text, path, 14, &why), 0);
	free(text);
	unlink(path);
	assert_true(call_params_file(&text, path, 14, &why) != 0);
	assert_string_equal(why.kind, "invalid_params");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_specs), cmocka_unit_test(test_ranges_that_stay),
		cmocka_unit_test(test_no_specs),
		cmocka_unit_test(test_pairs),	 cmocka_unit_test(test_no_pairs),
		cmocka_unit_test(test_passwords), cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
