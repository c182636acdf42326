/* SPDX-License-Identifier: MIT */
/*
 * The options of both roles: that every option of the original is there with its short form and
 * default, that the adjustments and deliberate differences are as documented, and what is refused
 * with which sentence.
 */
#include "base/error.h"
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct server_config server;
static struct client_config client;
static char error[FIELD_ERROR_SIZE];
static char warnings[1024];

static void on_warning(void *user, const char *text)
{
	size_t used = strlen(warnings);

	assert_ptr_equal(user, &warnings);
	snprintf(warnings + used, sizeof(warnings) - used, "%s\n", text);
}

static int setup(void **state)
{
	(void)state;
	warnings[0] = '\0';
	error[0] = '\0';
	if (server_config_init(&server) != 0)
		return -1;
	return client_config_init(&client);
}

static int teardown(void **state)
{
	(void)state;
	server_config_free(&server);
	client_config_free(&client);
	return 0;
}

static int set_server(const char *name, const char *text)
{
	const struct field *row = field_find(server_config_fields, server_config_field_count, name);

	assert_non_null(row);
	return field_set(row, &server, text, error);
}

static int set_client(const char *name, const char *text)
{
	const struct field *row = field_find(client_config_fields, client_config_field_count, name);

	assert_non_null(row);
	return field_set(row, &client, text, error);
}

static int check_server(void)
{
	return server_config_check(&server, on_warning, &warnings, error);
}

static int check_client(void)
{
	return client_config_check(&client, on_warning, &warnings, error);
}

/* What a client cannot do without. */
static void fill_client(void)
{
	assert_int_equal(set_client("server-addr", "127.0.0.1:3515"), 0);
	assert_int_equal(set_client("password", "1234"), 0);
	assert_int_equal(set_client("tcp-mappings", "OUT^9000^ANY"), 0);
}

struct original {
	const char *name;
	char short_name;
	const char *value; /* as field_get prints the default */
};

static void check_original(const struct original *list, size_t count, const struct field *rows,
			   size_t row_count, const void *config)
{
	char buf[128];

	for (size_t i = 0; i < count; i++) {
		const struct field *row = field_find(rows, row_count, list[i].name);

		if (row == NULL)
			fail_msg("--%s is missing", list[i].name);
		assert_int_equal(row->short_name, list[i].short_name);
		assert_string_equal(field_get(row, config, buf, sizeof(buf)), list[i].value);
	}
}

static void test_originals_options(void **state)
{
	static const struct original of_server[] = {
		{"addr", 'a', "0.0.0.0:0"}, {"password", 'p', ""},
		{"tcp-upstream", 't', ""},  {"udp-upstream", 'u', ""},
		{"cert", 'c', ""},	    {"key", 'k', ""},
		{"workers", 'w', "0"},	    {"quic-timeout-ms", 0, "30000"},
		{"tcp-timeout-ms", 0, "0"}, {"udp-timeout-ms", 0, "5000"},
		{"loglevel", 'l', "I"},
	};
	static const struct original of_client[] = {
		{"server-addr", 'a', ""}, {"password", 'p', ""}, {"tcp-mappings", 't', ""},
		{"udp-mappings", 'u', ""}, {"cert", 'c', ""}, {"cipher", 'e', "chacha20-poly1305"},
		{"workers", 'w', "0"}, {"wait-before-retry-ms", 'r', "5000"},
		{"quic-timeout-ms", 0, "30000"}, {"tcp-timeout-ms", 0, "0"},
		{"udp-timeout-ms", 0, "5000"}, {"heartbeat-interval-ms", 0, "5000"},
		{"heartbeat-timeout-ms", 0, "15000"}, {"hop-interval-ms", 0, "0"}, {"dot", 0, ""},
		{"dns", 0, ""}, {"sni-names", 0, ""}, {"loglevel", 'l', "I"},
	};

	(void)state;
	check_original(of_server, sizeof(of_server) / sizeof(of_server[0]), server_config_fields,
		       server_config_field_count, &server);
	check_original(of_client, sizeof(of_client) / sizeof(of_client[0]), client_config_fields,
		       client_config_field_count, &client);
	assert_true(server.ready_fd == UINT64_MAX && client.ready_fd == UINT64_MAX);
}

static void check_rows(const struct field *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		assert_non_null(rows[i].help);
		assert_true(rows[i].help[strlen(rows[i].help) - 1] == '.');
		assert_true(i > 0 || rows[i].group != NULL);
		assert_int_equal(rows[i].type == FIELD_BOOL, rows[i].argument == NULL);
		assert_int_equal(rows[i].type == FIELD_CHOICE, rows[i].choices != NULL);
		assert_true(rows[i].short_name != 'h' && rows[i].short_name != 'V');
		for (const char *p = rows[i].help; *p != '\0'; p++)
			assert_true(*p >= ' ' && *p < 0x7f);
		for (size_t j = 0; j < i; j++) {
			assert_string_not_equal(rows[i].name, rows[j].name);
			assert_true(rows[i].offset != rows[j].offset);
			assert_true(rows[i].short_name == 0 ||
				    rows[i].short_name != rows[j].short_name);
		}
	}
}

static void test_rows_are_sound(void **state)
{
	(void)state;
	check_rows(server_config_fields, server_config_field_count);
	check_rows(client_config_fields, client_config_field_count);
}

static void server_addr(const char *text, const char *want)
{
	char buf[ADDRESS_TEXT_SIZE];

	if (set_server("addr", text) != 0)
		fail_msg("%s", error);
	assert_int_equal(check_server(), 0);
	assert_string_equal(address_format(buf, sizeof(buf), &server.addr), want);
}

static void test_server_addr(void **state)
{
	(void)state;
	assert_int_equal(set_server("password", "x"), 0);
	server_addr("3515", "127.0.0.1:3515");
	server_addr("0.0.0.0:3515", "0.0.0.0:3515");
	server_addr("[::]:0", "[::]:0");
	server_addr("", "0.0.0.0:0");
	assert_int_equal(set_server("addr", "localhost:3515"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--addr: \"localhost:3515\" is a host name: write the address "
				   "to listen on, [ip:]port");
	assert_int_equal(set_server("addr", "0.0.0.0"), RSTUN_E_MALFORMED);
	assert_string_equal(error,
			    "--addr: \"0.0.0.0\" is wrong at column 8: ':' and a port must follow");
}

static void test_proxy_protocol(void **state)
{
	(void)state;
	assert_int_equal(set_server("password", "x"), 0);
	assert_int_equal(server.proxy_protocol, CONFIG_PROXY_PROTOCOL_OFF);
	assert_false(config_proxies_in(&server, 80));
	assert_int_equal(set_server("proxy-protocol", "v1"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--proxy-protocol: \"v1\" is not one of off, v2");
	assert_int_equal(set_server("proxy-protocol", "v2"), 0);
	assert_int_equal(check_server(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "--proxy-protocol is for connections to the --tcp-upstream, and "
				   "there is none: give both or neither");
	assert_int_equal(set_server("tcp-upstream", "unix:/run/a"), 0);
	assert_int_equal(check_server(), 0);
	assert_int_equal(server.proxy_protocol, CONFIG_PROXY_PROTOCOL_V2);

	assert_int_equal(set_server("proxy-protocol-in", "80, 65535"), 0);
	assert_int_equal(check_server(), 0);
	assert_true(config_proxies_in(&server, 80));
	assert_true(config_proxies_in(&server, 65535));
	assert_false(config_proxies_in(&server, 8));
	assert_int_equal(set_server("proxy-protocol-in", "80,0"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--proxy-protocol-in: \"0\" is not a port in 1..65535");
	assert_int_equal(set_server("proxy-protocol-in", "65536"), RSTUN_E_MALFORMED);
	assert_int_equal(set_server("proxy-protocol-in", "4295032832"), RSTUN_E_MALFORMED);
	assert_int_equal(set_server("proxy-protocol-in", "127.0.0.1:80"), RSTUN_E_MALFORMED);
	assert_true(config_proxies_in(&server, 80)); /* as before */
	assert_int_equal(set_server("proxy-protocol-in", ""), 0);
	assert_false(config_proxies_in(&server, 80));
}

static void test_upstreams(void **state)
{
	char buf[ADDRESS_TARGET_TEXT_SIZE];

	(void)state;
	assert_int_equal(set_server("password", "x"), 0);
	assert_int_equal(check_server(), 0);
	assert_int_equal(server.tcp_upstream.kind, TARGET_DEFAULT);
	assert_int_equal(set_server("tcp-upstream", "8080"), 0);
	assert_int_equal(set_server("udp-upstream", "dns.lan:53"), 0);
	assert_int_equal(check_server(), 0);
	assert_string_equal(target_format(buf, sizeof(buf), &server.tcp_upstream),
			    "127.0.0.1:8080");
	assert_string_equal(target_format(buf, sizeof(buf), &server.udp_upstream), "dns.lan:53");
	/* Loopback is put in its place where it is dialled, not here. */
	assert_int_equal(set_server("tcp-upstream", "0.0.0.0:80"), 0);
	assert_string_equal(target_format(buf, sizeof(buf), &server.tcp_upstream), "0.0.0.0:80");
	assert_int_equal(set_server("tcp-upstream", "0"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--tcp-upstream: \"0\": port 0 is not in 1..65535");
	assert_int_equal(set_server("udp-upstream", "dns.lan"), RSTUN_E_MALFORMED);
	assert_int_equal(set_server("tcp-upstream", "unix:/run/a"), 0);
	assert_string_equal(target_format(buf, sizeof(buf), &server.tcp_upstream), "unix:/run/a");
	assert_int_equal(set_server("udp-upstream", "unix:/run/a"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--udp-upstream: \"unix:/run/a\" is a UNIX socket, which is for "
				   "tcp only");
	assert_int_equal(set_server("addr", "unix:/run/a"), RSTUN_E_MALFORMED);
	assert_int_equal(set_client("server-addr", "unix:/run/a"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--server-addr: \"unix:/run/a\" is a UNIX socket, and tunnels "
				   "are QUIC, which needs UDP: write host[:port]");
}

static void test_server_certificate(void **state)
{
	(void)state;
	assert_int_equal(set_server("password", "x"), 0);
	assert_int_equal(set_server("cert", "c.pem"), 0);
	assert_int_equal(check_server(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "--cert is given without --key: give both or neither");
	assert_int_equal(set_server("key", "k.pem"), 0);
	assert_int_equal(check_server(), 0);
	assert_int_equal(set_server("cert", ""), 0);
	assert_int_equal(check_server(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "--key is given without --cert: give both or neither");
	assert_int_equal(set_server("key", ""), 0);
	assert_int_equal(set_server("cert-pem", "chain"), 0);
	assert_int_equal(check_server(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "cert_pem is given without key_pem: give both or neither");
	assert_int_equal(set_server("key-pem", "key"), 0);
	assert_int_equal(check_server(), 0);
	assert_int_equal(set_server("cert", "c.pem"), 0);
	assert_int_equal(set_server("key", "k.pem"), 0);
	assert_int_equal(check_server(), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "--cert names a file"));
}

/* What the daemon adds itself, and what the control API gives as text. */
static void test_client_of_the_daemon(void **state)
{
	(void)state;
	fill_client();
	assert_int_equal(check_client(), 0);
	assert_int_equal(client.mapping_count, 1);
	assert_int_equal(set_client("tcp-mappings", ""), 0);
	assert_int_equal(check_client(), RSTUN_E_CONFIG_INVALID);
	client.mappings_optional = true;
	assert_int_equal(check_client(), 0);
	assert_int_equal(client.mapping_count, 0);
	assert_null(client.mappings);
	assert_int_equal(set_client("cert-pem", "certificates"), 0);
	assert_int_equal(check_client(), 0);
	assert_int_equal(set_client("cert", "ca.pem"), 0);
	assert_int_equal(check_client(), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "--cert names a file"));
}

static void test_password(void **state)
{
	char text[1026];

	(void)state;
	assert_int_equal(check_server(), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "--password-file FILE"));
	assert_non_null(strstr(error, "RSTUN_PASSWORD"));
	assert_int_equal(set_server("password", ""), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--password: an empty password protects nothing");
	assert_int_equal(set_client("password", "\xff"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--password: the password is not valid UTF-8");
	memset(text, 'p', sizeof(text));
	text[1025] = '\0';
	assert_int_equal(set_client("password", text), RSTUN_E_MALFORMED);
	assert_null(strstr(error, "pp"));
	text[1024] = '\0';
	assert_int_equal(set_client("password", text), 0);
	/* Put there by another way than field_set. */
	server.password = strdup("");
	assert_int_equal(check_server(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "--password: an empty password protects nothing");
}

static void test_timeouts(void **state)
{
	(void)state;
	fill_client();
	assert_int_equal(set_client("quic-timeout-ms", "0"), 0);
	assert_int_equal(set_client("udp-timeout-ms", "0"), 0);
	assert_int_equal(set_client("tcp-timeout-ms", "0"), 0);
	assert_int_equal(check_client(), 0);
	assert_int_equal(client.quic_timeout_ms, 30000);
	assert_int_equal(client.udp_timeout_ms, 5000);
	assert_int_equal(client.tcp_timeout_ms, 0);
	assert_string_equal(warnings, "");
	assert_int_equal(set_server("password", "x"), 0);
	assert_int_equal(set_server("quic-timeout-ms", "0"), 0);
	assert_int_equal(set_server("udp-timeout-ms", "0"), 0);
	assert_int_equal(check_server(), 0);
	assert_int_equal(server.quic_timeout_ms, 30000);
	assert_int_equal(server.udp_timeout_ms, 5000);
	assert_int_equal(set_client("quic-timeout-ms", "x"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--quic-timeout-ms: \"x\" is not a number of milliseconds (0 to "
				   "86400000)");
}

static void test_retry_and_hop(void **state)
{
	(void)state;
	fill_client();
	assert_int_equal(set_client("wait-before-retry-ms", "299"), 0);
	assert_int_equal(set_client("hop-interval-ms", "1"), 0);
	assert_int_equal(check_client(), 0);
	assert_int_equal(client.wait_before_retry_ms, 300);
	assert_int_equal(client.hop_interval_ms, 5000);
	assert_string_equal(warnings, "--wait-before-retry-ms: 299 is raised to 300\n"
				      "--hop-interval-ms: 1 is raised to 5000\n");
	warnings[0] = '\0';
	assert_int_equal(check_client(), 0); /* again: nothing is left to adjust */
	assert_string_equal(warnings, "");
	assert_int_equal(set_client("hop-interval-ms", "0"), 0);
	assert_int_equal(set_client("wait-before-retry-ms", "300"), 0);
	assert_int_equal(check_client(), 0);
	assert_int_equal(client.hop_interval_ms, 0);
}

static void heartbeat(const char *interval, const char *timeout, uint64_t want_interval,
		      uint64_t want_timeout, bool warns)
{
	warnings[0] = '\0';
	assert_int_equal(set_client("heartbeat-interval-ms", interval), 0);
	assert_int_equal(set_client("heartbeat-timeout-ms", timeout), 0);
	assert_int_equal(check_client(), 0);
	assert_int_equal(client.heartbeat_interval_ms, want_interval);
	assert_int_equal(client.heartbeat_timeout_ms, want_timeout);
	assert_int_equal(warnings[0] != '\0', warns);
}

static void test_heartbeat(void **state)
{
	(void)state;
	fill_client();
	heartbeat("5000", "15000", 5000, 15000, false);
	heartbeat("5000", "5000", 5000, 5000, false);
	heartbeat("5000", "4999", 5000, 10000, true);
	heartbeat("0", "15000", 0, 0, false);
	heartbeat("5000", "0", 0, 0, false);
	heartbeat("0", "0", 0, 0, false);
}

/* The servers of a list as text, separated by blanks. */
static const char *servers(const char *text)
{
	static char all[512];
	char buf[ADDRESS_TARGET_TEXT_SIZE];
	size_t used = 0;

	if (set_client("server-addr", text) != 0)
		return error;
	for (size_t i = 0; i < client.server_count; i++)
		used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", i > 0 ? " " : "",
					 target_format(buf, sizeof(buf), &client.servers[i]));
	return all;
}

static void test_server_addresses(void **state)
{
	(void)state;
	assert_string_equal(servers("3515"), "127.0.0.1:3515");
	assert_string_equal(servers("4000"), "127.0.0.1:4000");
	assert_string_equal(servers("example.com"), "example.com:3515");
	assert_string_equal(servers("example.com."), "example.com:3515");
	assert_string_equal(servers("example.com:1"), "example.com:1");
	assert_string_equal(servers("1.2.3.4"), "1.2.3.4:3515");
	assert_string_equal(servers("1.2.3.4:5"), "1.2.3.4:5");
	assert_string_equal(servers("::1"), "[::1]:3515");
	assert_string_equal(servers("[::1]"), "[::1]:3515");
	assert_string_equal(servers("[::1]:5"), "[::1]:5");
	assert_string_equal(servers("2001:db8::5"), "[2001:db8::5]:3515");
	assert_string_equal(servers("localhost"), "localhost:3515");
	assert_string_equal(servers("a.org, 1.2.3.4:5 ,[::1]:6,, 7"),
			    "a.org:3515 1.2.3.4:5 [::1]:6 127.0.0.1:7");
	assert_string_equal(servers("a.org,b c"),
			    "--server-addr: \"b c\" is wrong at column 8: an IP address or a host "
			    "name (letters, digits, '-', '_', dots) was expected");
	assert_string_equal(servers("a.org:x"), "--server-addr: \"a.org:x\" is wrong at column 7: "
						"a port is a number from 0 to 65535");
	assert_string_equal(servers("a.org:0"),
			    "--server-addr: \"a.org:0\": port 0 is not in 1..65535");
	assert_string_equal(servers("0"), "--server-addr: \"0\": port 0 is not in 1..65535");
	assert_string_equal(servers("1.2.3.400"), "--server-addr: \"1.2.3.400\" is wrong at column "
						  "1: an IPv4 address is four numbers from 0 to "
						  "255 with dots");
	assert_string_equal(servers(" ,"),
			    "--server-addr: the address of the server is missing: write "
			    "host[:port]");
	assert_string_equal(servers("1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"),
			    "--server-addr: more than 16 addresses for one server");
	/* The last good one is still there. */
	assert_int_equal(client.server_count, 4);
}

static void test_client_needs(void **state)
{
	(void)state;
	assert_int_equal(check_client(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "--server-addr is missing: give the server to connect to, "
				   "--server-addr HOST[:PORT]");
	assert_int_equal(set_client("server-addr", "a.org"), 0);
	assert_int_equal(check_client(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "must specify either --tcp-mappings or --udp-mappings, or both");
	assert_int_equal(set_client("udp-mappings", " "), 0);
	assert_int_equal(check_client(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "must specify either --tcp-mappings or --udp-mappings, or both");
	assert_int_equal(set_client("udp-mappings", "OUT^53^ANY"), 0);
	assert_int_equal(check_client(), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "a password is needed"));
	assert_int_equal(set_client("password", "x"), 0);
	assert_int_equal(check_client(), 0);
	assert_int_equal(client.mapping_count, 1);
}

static void test_mappings(void **state)
{
	char buf[MAPPING_TEXT_SIZE];

	(void)state;
	fill_client();
	assert_int_equal(set_client("udp-mappings", "OUT^9000^ANY,IN^53^0.0.0.0:0"), 0);
	assert_int_equal(set_client("tcp-mappings",
				    "OUT^9000^ANY,IN^80^0,IN^81^0,OUT^0^ANY,OUT^0^ANY"),
			 0);
	assert_int_equal(check_client(), 0);
	assert_int_equal(client.mapping_count, 7);
	assert_int_equal(client.mappings[4].proto, MAPPING_TCP);
	assert_int_equal(client.mappings[5].proto, MAPPING_UDP);
	assert_string_equal(mapping_format(buf, sizeof(buf), &client.mappings[6]),
			    "IN^127.0.0.1:53^0.0.0.0:0");
	assert_int_equal(set_client("tcp-mappings", "OUT^9000^ANY,OUT^x^ANY"), RSTUN_E_MALFORMED);
	assert_string_equal(error,
			    "--tcp-mappings: OUT^x^ANY: at column 6 ':' and a port must follow");
	assert_int_equal(set_client("tcp-mappings", "OUT^9000^ANY,OUT^127.0.0.1:9000^8080"), 0);
	assert_int_equal(check_client(), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(error, "--tcp-mappings: OUT^127.0.0.1:9000^ANY and "
				   "OUT^127.0.0.1:9000^127.0.0.1:8080 both listen on "
				   "127.0.0.1:9000 of the client");
	assert_int_equal(set_client("tcp-mappings", "OUT^9000^ANY"), 0);
	assert_int_equal(set_client("udp-mappings", "IN^1^0.0.0.0:5,IN^2^0.0.0.0:5"), 0);
	assert_int_equal(check_client(), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(error, "both listen on 0.0.0.0:5 of the server"));
}

static void test_proxy_auth(void **state)
{
	static const char *const bad[] = {"", "user", ":password", "user:", ":", "us\ter:x",
					  "user:pass\x7f", "\xff:x"};
	char longest[2 * CONFIG_PROXY_USER_MAX + 4];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(set_client("proxy-auth", bad[i]), RSTUN_E_MALFORMED);
		assert_non_null(strstr(error, "--proxy-auth: it "));
		assert_null(client.proxy_auth);
	}
	assert_int_equal(set_client("proxy-auth", "user"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--proxy-auth: it is not USER:PASSWORD, neither of them empty");
	assert_int_equal(set_client("proxy-auth", "us er:pass:wörd "), 0);
	assert_string_equal(client.proxy_auth, "us er:pass:wörd ");
	memset(longest, 'n', sizeof(longest));
	longest[CONFIG_PROXY_USER_MAX] = ':';
	longest[2 * CONFIG_PROXY_USER_MAX + 1] = '\0';
	assert_int_equal(set_client("proxy-auth", longest), 0);
	memcpy(longest + CONFIG_PROXY_USER_MAX, "n:x", 4);
	assert_int_equal(set_client("proxy-auth", longest), RSTUN_E_MALFORMED);
	assert_non_null(strstr(error, "at most 255 bytes each"));
	assert_int_equal(set_client("proxy-auth-file", "-"), RSTUN_E_MALFORMED);
	assert_string_equal(error,
			    "--proxy-auth-file: standard input is for the password: name a file");
}

static void test_names(void **state)
{
	(void)state;
	assert_int_equal(set_client("sni-names", "a.org, b.org,"), 0);
	assert_string_equal(client.sni_names[1], "b.org");
	assert_int_equal(set_client("sni-names", "a.org,1.2.3.4"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--sni-names: \"1.2.3.4\" is an IP address: only host names can "
				   "be sent as SNI");
	assert_int_equal(set_client("sni-names", "[::1]"), RSTUN_E_MALFORMED);
	assert_int_equal(set_client("sni-names", "a b"), RSTUN_E_MALFORMED);
	assert_string_equal(error, "--sni-names: \"a b\" is not a host name");
	assert_int_equal(set_client("dns", "1.1.1.1, 8.8.8.8:5353,[::1]:53,::1"), 0);
	assert_int_equal(set_client("dns", "dns.google"), RSTUN_E_MALFORMED);
	assert_int_equal(set_client("dns", "53"), RSTUN_E_MALFORMED);
	assert_string_equal(error,
			    "--dns: \"53\" is not the IP address of a DNS server (ip, ip:port or "
			    "[ipv6]:port)");
	assert_int_equal(set_client("dot",
				    ""
				    "dns.google, one.one.one.one:853, 1.1.1.1#one.one.one.one, "
				    "[2606:4700::1111]#x.org:8853, 9.9.9.9#dns.quad9.net:853"),
			 0);
	assert_int_equal(set_client("dot", "1.1.1.1#"), RSTUN_E_MALFORMED);
	assert_int_equal(set_client("dot", "#x.org"), RSTUN_E_MALFORMED);
	assert_int_equal(set_client("dot", "1.1.1.1#2.2.2.2"), RSTUN_E_MALFORMED);
	assert_int_equal(set_client("dot", "853"), RSTUN_E_MALFORMED);
	assert_non_null(strstr(error, "--dot: \"853\" is not a DNS-over-TLS server"));
}

static void test_bind(void **state)
{
	char buf[ADDRESS_TEXT_SIZE];

	(void)state;
	fill_client();
	assert_int_equal(set_client("bind", "127.0.0.7"), 0);
	assert_int_equal(check_client(), 0);
	assert_string_equal(address_format(buf, sizeof(buf), &client.bind_address), "127.0.0.7:0");
	assert_int_equal(set_client("bind", "lo"), 0);
	assert_int_equal(check_client(), 0);
	assert_int_equal(client.bind_address.len, 0);
	assert_string_equal(client.bind_device, "lo");
	assert_string_equal(warnings, "");
	assert_int_equal(set_client("bind", "no-such-if0"), 0);
	assert_int_equal(check_client(), 0);
	assert_non_null(strstr(warnings, "no network interface \"no-such-if0\""));
	assert_int_equal(set_client("bind", "1.2.3.4:5"), RSTUN_E_MALFORMED);
	assert_int_equal(set_client("bind", "a-name-that-is-too-long"), RSTUN_E_MALFORMED);
	assert_int_equal(set_server("bind", "a/b"), RSTUN_E_MALFORMED);
	assert_string_equal(error,
			    "--bind: \"a/b\" is neither an IP address nor the name of a network "
			    "interface");
}

static void test_pin(void **state)
{
	static const char good[] = "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

	(void)state;
	assert_false(client.has_pin);
	assert_int_equal(set_client("pin", good), 0);
	assert_true(client.has_pin);
	for (unsigned i = 0; i < 32; i++)
		assert_int_equal(client.pin_sha256[i], i);
	assert_int_equal(set_client("pin", "sha256/AAEC"), RSTUN_E_MALFORMED);
	assert_non_null(strstr(error, "--pin: \"sha256/AAEC\" is not a pin: write sha256/"));
	assert_true(client.has_pin);
	assert_int_equal(set_client("pin", "sha1/AAECAwQFBgcICQoLDA0ODxAREhM="), RSTUN_E_MALFORMED);
	assert_int_equal(set_client("pin", ""), 0);
	assert_false(client.has_pin);
}

static void test_choices(void **state)
{
	(void)state;
	assert_int_equal(set_client("cipher", "aes-128-gcm"), 0);
	assert_int_equal(client.cipher, CONFIG_CIPHER_AES_128_GCM);
	assert_int_equal(set_client("cipher", "auto"), 0);
	assert_int_equal(client.cipher, CONFIG_CIPHER_AUTO);
	assert_int_equal(set_client("cipher", "aes"), RSTUN_E_MALFORMED);
	assert_string_equal(error,
			    "--cipher: \"aes\" is not one of chacha20-poly1305, aes-256-gcm, "
			    "aes-128-gcm, auto");
	assert_int_equal(set_server("congestion", "reno"), 0);
	assert_int_equal(server.congestion, CONFIG_CONGESTION_RENO);
	assert_int_equal(set_server("loglevel", "T"), 0);
	assert_int_equal(server.loglevel, 0);
	assert_int_equal(set_server("loglevel", "e"), 0);
	assert_int_equal(server.loglevel, 4);
	assert_int_equal(set_server("fwmark", "0x2a"), 0);
	assert_int_equal(server.fwmark, 42);
	assert_int_equal(set_server("fwmark", "4294967296"), RSTUN_E_MALFORMED);
	assert_int_equal(set_server("workers", "257"), RSTUN_E_MALFORMED);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_originals_options), T(test_rows_are_sound), T(test_server_addr),
		T(test_proxy_protocol), T(test_upstreams), T(test_server_certificate),
		T(test_client_of_the_daemon),
		T(test_password), T(test_timeouts),
		T(test_retry_and_hop), T(test_heartbeat), T(test_server_addresses),
		T(test_client_needs), T(test_mappings), T(test_proxy_auth), T(test_names), T(test_bind), T(test_pin),
		T(test_choices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
