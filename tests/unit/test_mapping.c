/* SPDX-License-Identifier: MIT */
/*
 * The grammar of mappings: what is accepted with its normal form, which parses to the same again,
 * and a table of malformed texts, each with its whole message, so that a message never gets worse
 * unseen.
 */
#include "base/error.h"
#include "base/mapping.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool same(const struct mapping *a, const struct mapping *b)
{
	return a->mode == b->mode && a->proto == b->proto && target_equal(&a->local, &b->local) &&
	       target_equal(&a->remote, &b->remote);
}

static void test_right(void **state)
{
	static const struct {
		const char *text;
		const char *normal;
	} rows[] = {
		{"OUT^9000^ANY", "OUT^127.0.0.1:9000^ANY"},
		{"out^9000^any", "OUT^127.0.0.1:9000^ANY"},
		{"In^3000^0.0.0.0:18080", "IN^127.0.0.1:3000^0.0.0.0:18080"},
		{" \t OUT^9000^ANY\r\n", "OUT^127.0.0.1:9000^ANY"},
		{"OUT^8080^0.0.0.0:9090", "OUT^127.0.0.1:8080^0.0.0.0:9090"},
		{"OUT^127.0.0.1:1053^8.8.4.4:53", "OUT^127.0.0.1:1053^8.8.4.4:53"},
		{"OUT^0.0.0.0:8000^example.com:80", "OUT^0.0.0.0:8000^example.com:80"},
		{"OUT^[::]:8000^[2001:db8::1]:80", "OUT^[::]:8000^[2001:db8::1]:80"},
		{"OUT^10.0.0.1:80^80", "OUT^10.0.0.1:80^127.0.0.1:80"},
		{"OUT^0^ANY", "OUT^127.0.0.1:0^ANY"}, /* any free port */
		{"IN^3000^0.0.0.0:0", "IN^127.0.0.1:3000^0.0.0.0:0"},
		{"IN^3000^0", "IN^127.0.0.1:3000^127.0.0.1:0"},
		{"IN^3000^[::]:0", "IN^127.0.0.1:3000^[::]:0"},
		{"IN^[::1]:53^[::]:5353", "IN^[::1]:53^[::]:5353"},
		{"IN^host.lan:22^2222", "IN^host.lan:22^127.0.0.1:2222"},
		{"IN^0.0.0.0:80^127.3.2.1:9", "IN^0.0.0.0:80^127.3.2.1:9"},
		{"IN^192.168.1.5:80^[::1]:80", "IN^192.168.1.5:80^[::1]:80"},
		{"IN^0080^00081", "IN^127.0.0.1:80^127.0.0.1:81"},
		{"OUT^1080^SOCKS5", "OUT^127.0.0.1:1080^SOCKS5"},
		{"IN^1^2", "IN^127.0.0.1:1^127.0.0.1:2"},
		{"OUT^[::]:8118^http", "OUT^[::]:8118^HTTP"},
		{"IN^2^1", "IN^127.0.0.1:2^127.0.0.1:1"},
		{"IN^socks5^0.0.0.0:1080", "IN^SOCKS5^0.0.0.0:1080"},
		{"IN^3^1", "IN^127.0.0.1:3^127.0.0.1:1"},
		{"IN^HTTP^8118", "IN^HTTP^127.0.0.1:8118"},
	};
	char error[MAPPING_ERROR_SIZE], buf[MAPPING_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum mapping_proto proto = i % 2 == 0 ? MAPPING_TCP : MAPPING_UDP;
		struct mapping m, again;

		if (mapping_parse(&m, proto, rows[i].text, strlen(rows[i].text), error) != 0)
			fail_msg("%s", error);
		assert_int_equal(m.proto, proto);
		assert_string_equal(mapping_format(buf, sizeof(buf), &m), rows[i].normal);
		assert_int_equal(mapping_parse(&again, proto, buf, strlen(buf), error), 0);
		assert_true(same(&m, &again));
	}
	assert_string_equal(mapping_proto_name(MAPPING_TCP), "tcp");
	assert_string_equal(mapping_proto_name(MAPPING_UDP), "udp");
}

static const struct {
	const char *text;
	const char *message;
} wrong[] = {
	{"",
	 "the mapping is empty: write MODE^local^remote, such as OUT^9000^ANY"},
	{"OUT",
	 "OUT: '^' and two fields are missing at column 4: write MODE^local^remote, such "
	 "as OUT^9000^ANY"},
	{"OUT^",
	 "OUT^: '^' and a third field are missing at column 5: write MODE^local^remote, "
	 "such as OUT^9000^ANY"},
	{"OUT^9000",
	 "OUT^9000: '^' and a third field are missing at column 9: write "
	 "MODE^local^remote, such as OUT^9000^ANY"},
	{"OUT 9000 ANY",
	 "OUT 9000 ANY: '^' and two fields are missing at column 13: write "
	 "MODE^local^remote, such as OUT^9000^ANY"},
	{"OUT^9000^",
	 "OUT^9000^: the remote address is missing at column 10: write what the server "
	 "connects to: [ip:]port, name:port, ANY, SOCKS5 or HTTP"},
	{"OUT^^ANY",
	 "OUT^^ANY: the local address is missing at column 5: write the [ip:]port or unix:/path "
	 "that the client listens on"},
	{"IN^80^SOCKS5",
	 "IN^80^SOCKS5: SOCKS5 at column 7 stands only as the remote of OUT or the local of IN: "
	 "write the [ip:]port that the server listens on"},
	{"OUT^HTTP^80",
	 "OUT^HTTP^80: HTTP at column 5 stands only as the remote of OUT or the local of IN: write "
	 "the [ip:]port or unix:/path that the client listens on"},
	{"^^",
	 "^^: the mode is missing at column 1: write OUT or IN"},
	{"^9000^ANY",
	 "^9000^ANY: the mode is missing at column 1: write OUT or IN"},
	{"OUT^9000^ANY^",
	 "OUT^9000^ANY^: a fourth field begins at column 13: write MODE^local^remote, such "
	 "as OUT^9000^ANY"},
	{"OUT^9000^ANY^x",
	 "OUT^9000^ANY^x: a fourth field begins at column 13: write MODE^local^remote, "
	 "such as OUT^9000^ANY"},
	{"OUT^9000^8.8.8.8:53^1",
	 "OUT^9000^8.8.8.8:53^1: a fourth field begins at column 20: write "
	 "MODE^local^remote, such as OUT^9000^ANY"},
	{"FOO^9000^ANY",
	 "FOO^9000^ANY: mode \"FOO\" at column 1 is neither OUT nor IN"},
	{"OUTT^9000^ANY",
	 "OUTT^9000^ANY: mode \"OUTT\" at column 1 is neither OUT nor IN"},
	{"O^9000^ANY",
	 "O^9000^ANY: mode \"O\" at column 1 is neither OUT nor IN"},
	{"IN OUT^9000^ANY",
	 "IN OUT^9000^ANY: mode \"IN OUT\" at column 1 is neither OUT nor IN"},
	{"\"OUT\"^9000^ANY",
	 "\\x22OUT\\x22^9000^ANY: mode \"\\x22OUT\\x22\" at column 1 is neither OUT nor IN"},
	{"INN^3000^18080",
	 "INN^3000^18080: mode \"INN\" at column 1 is neither OUT nor IN"},
	{"OUT ^9000^ANY",
	 "OUT ^9000^ANY: mode \"OUT \" at column 1 is neither OUT nor IN"},
	{"OUT^90000^ANY",
	 "OUT^90000^ANY: port 90000 at column 5 is not in 0..65535 (0 = any free one)"},
	{"OUT^65536^ANY",
	 "OUT^65536^ANY: port 65536 at column 5 is not in 0..65535 (0 = any free one)"},
	{"OUT^-1^ANY",
	 "OUT^-1^ANY: \"-1\" at column 5: a port is a number from 0 to 65535"},
	{"OUT^+9000^ANY",
	 "OUT^+9000^ANY: \"+9000\" at column 5: a port is a number from 0 to 65535"},
	{"OUT^9000x^ANY",
	 "OUT^9000x^ANY: \"9000x\" at column 5: a port is a number from 0 to 65535"},
	{"OUT^0x50^ANY",
	 "OUT^0x50^ANY: \"0x50\" at column 5: a port is a number from 0 to 65535"},
	{"OUT^ 9000^ANY",
	 "OUT^ 9000^ANY: \" 9000\" at column 5: an IP address or a host name (letters, "
	 "digits, '-', '_', dots) was expected"},
	{"OUT^9000 ^ANY",
	 "OUT^9000 ^ANY: \"9000 \" at column 5: a port is a number from 0 to 65535"},
	{"OUT^9 000^ANY",
	 "OUT^9 000^ANY: \"9 000\" at column 5: a port is a number from 0 to 65535"},
	{"OUT^localhost:9000^ANY",
	 "OUT^localhost:9000^ANY: \"localhost:9000\" at column 5 is a host name, and names "
	 "are only for what is dialled: write the [ip:]port or unix:/path that the client "
	 "listens on"},
	{"OUT^localhost^ANY",
	 "OUT^localhost^ANY: at column 14 ':' and a port must follow"},
	{"OUT^127.0.0.1^ANY",
	 "OUT^127.0.0.1^ANY: at column 14 ':' and a port must follow"},
	{"OUT^127.0.0.1:^ANY",
	 "OUT^127.0.0.1:^ANY: at column 15 a port is a number from 0 to 65535"},
	{"OUT^127.0.0.1:90000^ANY",
	 "OUT^127.0.0.1:90000^ANY: port 90000 at column 15 is not in 0..65535 (0 = any "
	 "free one)"},
	{"OUT^127.0.0.256:9000^ANY",
	 "OUT^127.0.0.256:9000^ANY: \"127.0.0.256:9000\" at column 5: an IPv4 address is "
	 "four numbers from 0 to 255 with dots"},
	{"OUT^127.1:9000^ANY",
	 "OUT^127.1:9000^ANY: \"127.1:9000\" at column 5: an IPv4 address is four numbers "
	 "from 0 to 255 with dots"},
	{"OUT^1.2.3.4.5:80^ANY",
	 "OUT^1.2.3.4.5:80^ANY: \"1.2.3.4.5:80\" at column 5: an IPv4 address is four "
	 "numbers from 0 to 255 with dots"},
	{"OUT^::1:9000^ANY",
	 "OUT^::1:9000^ANY: \"::1:9000\" at column 5: an IPv6 address with a port is "
	 "written [address]:port"},
	{"OUT^::1^ANY",
	 "OUT^::1^ANY: \"::1\" at column 5: an IPv6 address with a port is written "
	 "[address]:port"},
	{"OUT^[::1]^ANY",
	 "OUT^[::1]^ANY: at column 10 ':' and a port must follow the ']'"},
	{"OUT^[::1:9000^ANY",
	 "OUT^[::1:9000^ANY: \"[::1:9000\" at column 5: ']' is missing: write [IPv6 "
	 "address]:port"},
	{"OUT^[::1]9000^ANY",
	 "OUT^[::1]9000^ANY: \"9000\" at column 10: ':' and a port must follow the ']'"},
	{"OUT^[::zz]:9000^ANY",
	 "OUT^[::zz]:9000^ANY: \"::zz]:9000\" at column 6: an IPv6 address was expected "
	 "between the brackets"},
	{"OUT^[::1]:x^ANY",
	 "OUT^[::1]:x^ANY: \"x\" at column 11: a port is a number from 0 to 65535"},
	{"OUT^:9000^ANY",
	 "OUT^:9000^ANY: \":9000\" at column 5: an address or a host name was expected "
	 "before the ':'"},
	{"OUT^ANY^9000",
	 "OUT^ANY^9000: ANY at column 5 stands only as the remote of OUT: write the "
	 "[ip:]port or unix:/path that the client listens on"},
	{"OUT^any^any",
	 "OUT^any^any: any at column 5 stands only as the remote of OUT: write the "
	 "[ip:]port or unix:/path that the client listens on"},
	{"OUT^9000^ALL",
	 "OUT^9000^ALL: at column 13 ':' and a port must follow"},
	{"OUT^9000^0",
	 "OUT^9000^0: port 0 at column 10 is not in 1..65535"},
	{"OUT^9000^10.0.0.1:0",
	 "OUT^9000^10.0.0.1:0: port 0 at column 19 is not in 1..65535"},
	{"OUT^9000^example.com:0",
	 "OUT^9000^example.com:0: port 0 at column 22 is not in 1..65535"},
	{"OUT^9000^[::1]:0",
	 "OUT^9000^[::1]:0: port 0 at column 16 is not in 1..65535"},
	{"OUT^9000^65536",
	 "OUT^9000^65536: port 65536 at column 10 is not in 1..65535"},
	{"OUT^9000^example.com",
	 "OUT^9000^example.com: at column 21 ':' and a port must follow"},
	{"OUT^9000^example.com:http",
	 "OUT^9000^example.com:http: \"http\" at column 22: a port is a number from 0 to "
	 "65535"},
	{"OUT^9000^example.com:80:81",
	 "OUT^9000^example.com:80:81: \"80:81\" at column 22: a port is a number from 0 to "
	 "65535"},
	{"OUT^9000^exa mple.com:80",
	 "OUT^9000^exa mple.com:80: \" mple.com:80\" at column 13: an IP address or a host "
	 "name (letters, digits, '-', '_', dots) was expected"},
	{"OUT^9000^exa_mple!.com:80",
	 "OUT^9000^exa_mple!.com:80: \"!.com:80\" at column 18: an IP address or a host "
	 "name (letters, digits, '-', '_', dots) was expected"},
	{"OUT^9000^-:",
	 "OUT^9000^-:: at column 12 a port is a number from 0 to 65535"},
	{"OUT^9000^a..b:80",
	 "OUT^9000^a..b:80: \"a..b:80\" at column 10: an IP address or a host name "
	 "(letters, digits, '-', '_', dots) was expected"},
	{"OUT^9000^8.8.8.8:53,",
	 "OUT^9000^8.8.8.8:53,: \"53,\" at column 18: a port is a number from 0 to 65535"},
	{"OUT^9000^http://example.com:80",
	 "OUT^9000^http://example.com:80: \"//example.com:80\" at column 15: a port is a "
	 "number from 0 to 65535"},
	{"OUT^9000^ex\xc3\xa4" "mple.com:80",
	 "OUT^9000^ex\xc3\xa4" "mple.com:80: \"\xc3\xa4" "mple.com:80\" at column 12: an "
	 "IP address or a host name (letters, digits, '-', '_', dots) was expected"},
	{"OUT^\xc3\xa4" "9000^ANY",
	 "OUT^\xc3\xa4" "9000^ANY: \"\xc3\xa4" "9000\" at column 5: an IP address or a "
	 "host name (letters, digits, '-', '_', dots) was expected"},
	{"IN^3000^ANY",
	 "IN^3000^ANY: ANY at column 9 stands only as the remote of OUT: write the "
	 "[ip:]port that the server listens on"},
	{"IN^ANY^18080",
	 "IN^ANY^18080: ANY at column 4 stands only as the remote of OUT: write what the "
	 "client connects to: [ip:]port, name:port, unix:/path, SOCKS5 or HTTP"},
	{"IN^0^18080",
	 "IN^0^18080: port 0 at column 4 is not in 1..65535"},
	{"IN^127.0.0.1:0^18080",
	 "IN^127.0.0.1:0^18080: port 0 at column 14 is not in 1..65535"},
	{"IN^3000^8.8.8.8:18080",
	 "IN^3000^8.8.8.8:18080: \"8.8.8.8:18080\" at column 9: the server of an IN "
	 "mapping listens on a loopback address, 0.0.0.0 or [::] only"},
	{"IN^3000^192.168.1.1:18080",
	 "IN^3000^192.168.1.1:18080: \"192.168.1.1:18080\" at column 9: the server of an "
	 "IN mapping listens on a loopback address, 0.0.0.0 or [::] only"},
	{"IN^3000^[2001:db8::1]:18080",
	 "IN^3000^[2001:db8::1]:18080: \"[2001:db8::1]:18080\" at column 9: the server of "
	 "an IN mapping listens on a loopback address, 0.0.0.0 or [::] only"},
	{"IN^3000^example.com:18080",
	 "IN^3000^example.com:18080: \"example.com:18080\" at column 9 is a host name, and "
	 "names are only for what is dialled: write the [ip:]port that the server listens on"},
	{"IN^3000^localhost:18080",
	 "IN^3000^localhost:18080: \"localhost:18080\" at column 9 is a host name, and "
	 "names are only for what is dialled: write the [ip:]port that the server listens on"},
	{"IN^3000^70000",
	 "IN^3000^70000: port 70000 at column 9 is not in 0..65535 (0 = any free one)"},
	{"IN^3000^0.0.0.0",
	 "IN^3000^0.0.0.0: at column 16 ':' and a port must follow"},
	{"IN^3000^",
	 "IN^3000^: the remote address is missing at column 9: write the [ip:]port that "
	 "the server listens on"},
	{"IN^^18080",
	 "IN^^18080: the local address is missing at column 4: write what the client "
	 "connects to: [ip:]port, name:port, unix:/path, SOCKS5 or HTTP"},
	{"IN^3000",
	 "IN^3000: '^' and a third field are missing at column 8: write MODE^local^remote, "
	 "such as OUT^9000^ANY"},
	{"IN^3000^*:18080",
	 "IN^3000^*:18080: \"*:18080\" at column 9: an IP address or a host name (letters, "
	 "digits, '-', '_', dots) was expected"},
	{"IN^70000^18080",
	 "IN^70000^18080: port 70000 at column 4 is not in 1..65535"},
	{"OUT^9000^unix:/tmp/x",
	 "OUT^9000^unix:/tmp/x: \"unix:/tmp/x\" at column 10: a server connects to no path that a "
	 "client names: make it the server's --tcp-upstream and write ANY"},
	{"OUT:9000:ANY",
	 "OUT:9000:ANY: '^' and two fields are missing at column 13: write "
	 "MODE^local^remote, such as OUT^9000^ANY"},
	{"OUT^9000-9010^ANY",
	 "OUT^9000-9010^ANY: 9000-9010 at column 5 is a range of ports, which stands for several "
	 "mappings: this is the place of one"},
};

static void test_wrong(void **state)
{
	char error[MAPPING_ERROR_SIZE];

	(void)state;
	assert_true(sizeof(wrong) / sizeof(wrong[0]) >= 60);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct mapping m, untouched;

		memset(&m, 0x5a, sizeof(m));
		memset(&untouched, 0x5a, sizeof(m));
		if (mapping_parse(&m, MAPPING_TCP, wrong[i].text, strlen(wrong[i].text), error) !=
		    RSTUN_E_MALFORMED)
			fail_msg("%s is accepted", wrong[i].text);
		assert_string_equal(error, wrong[i].message);
		assert_memory_equal(&m, &untouched, sizeof(m));
	}
}

/* Columns count from the first character that is no blank: the text that the message shows. */
static void test_odd_bytes(void **state)
{
	static const char nul[] = "OUT^90\0" "00^ANY";
	char error[MAPPING_ERROR_SIZE], text[6000];
	struct mapping m;

	(void)state;
	assert_int_equal(mapping_parse(&m, MAPPING_TCP, nul, sizeof(nul) - 1, error),
			 RSTUN_E_MALFORMED);
	assert_non_null(strstr(error, "OUT^90\\x0000^ANY: \"90\\x0000\" at column 5"));
	assert_int_equal(mapping_parse(&m, MAPPING_TCP, "  FOO^1^2", 9, error), RSTUN_E_MALFORMED);
	assert_string_equal(error, "FOO^1^2: mode \"FOO\" at column 1 is neither OUT nor IN");
	assert_int_equal(mapping_parse(&m, MAPPING_TCP, "OUT^\x1b[2J^ANY", 11, error),
			 RSTUN_E_MALFORMED);
	assert_null(strchr(error, '\x1b'));
	/* A huge text makes a message that fits. */
	memset(text, 'x', sizeof(text));
	assert_int_equal(mapping_parse(&m, MAPPING_TCP, text, sizeof(text), error),
			 RSTUN_E_MALFORMED);
	assert_non_null(strstr(error, "...: '^' and two fields are missing at column 6001"));
	memcpy(text, "OUT^1^", 6);
	assert_int_equal(mapping_parse(&m, MAPPING_TCP, text, sizeof(text), error),
			 RSTUN_E_MALFORMED);
	assert_true(strlen(error) < MAPPING_ERROR_SIZE);
}

static void assert_expands(const char *text, size_t count, const char *first, const char *last)
{
	char error[MAPPING_ERROR_SIZE], **list;
	size_t n = 0;

	if (mapping_expand(&list, text, strlen(text), error) != 0)
		fail_msg("%s", error);
	while (list[n] != NULL)
		n++;
	assert_int_equal(n, count);
	assert_string_equal(list[0], first);
	assert_string_equal(list[n - 1], last);
	mapping_expand_free(list);
}

static void assert_no_range(const char *text, const char *message)
{
	char error[MAPPING_ERROR_SIZE], **list;

	assert_int_equal(mapping_expand(&list, text, strlen(text), error), RSTUN_E_MALFORMED);
	assert_string_equal(error, message);
}

static void test_ranges(void **state)
{
	char error[MAPPING_ERROR_SIZE], buf[MAPPING_TEXT_SIZE];
	struct mapping *list, m;
	size_t count;

	(void)state;
	assert_expands("OUT^9000^ANY", 1, "OUT^9000^ANY", "OUT^9000^ANY");
	assert_expands("", 1, "", "");
	assert_expands("no-mapping 1-2", 1, "no-mapping 1-2", "no-mapping 1-2");
	assert_expands("OUT^1^my-host-1:80", 1, "OUT^1^my-host-1:80", "OUT^1^my-host-1:80");
	assert_expands("OUT^9000-9009^ANY", 10, "OUT^9000^ANY", "OUT^9009^ANY");
	assert_expands("OUT^7-7^ANY ", 1, "OUT^7^ANY", "OUT^7^ANY");
	assert_expands("out^[::]:1-2^db-1:5001-5002", 2, "out^[::]:1^db-1:5001",
		       "out^[::]:2^db-1:5002");
	assert_expands(" IN^22^0.0.0.0:2201-2210", 10, " IN^22^0.0.0.0:2201",
		       " IN^22^0.0.0.0:2210");
	assert_expands("OUT^64536-65535^ANY", 1000, "OUT^64536^ANY", "OUT^65535^ANY");
	assert_no_range("OUT^9-8^ANY", "OUT^9-8^ANY: 9-8 is no range of ports: write the lower one "
				       "first, both in 1..65535");
	assert_no_range("OUT^0-8^ANY", "OUT^0-8^ANY: 0-8 is no range of ports: write the lower one "
				       "first, both in 1..65535");
	assert_no_range("OUT^1-1001^ANY",
			"OUT^1-1001^ANY: 1-1001 are 1001 ports, and at most 1000 are possible");
	assert_no_range("OUT^1-3^5-6", "OUT^1-3^5-6: 3 ports listen and 2 are connected to: as "
				       "many, or one");
	assert_no_range("OUT^1^5-6",
			"OUT^1^5-6: the side that listens needs a range of ports, too");
	assert_int_equal(mapping_parse_list(&list, &count, MAPPING_TCP, "IN^1^2, OUT^3-5^ANY",
					    error), 0);
	assert_int_equal(count, 4);
	assert_string_equal(mapping_format(buf, sizeof(buf), &list[3]), "OUT^127.0.0.1:5^ANY");
	free(list);
	assert_int_equal(mapping_parse(&m, MAPPING_TCP, "OUT^3-5^ANY", 11, error),
			 RSTUN_E_MALFORMED);
	assert_string_equal(error, "OUT^3-5^ANY: 3-5 at column 5 is a range of ports, which stands "
				   "for several mappings: this is the place of one");
	assert_int_equal(mapping_parse(&m, MAPPING_UDP, "OUT^1^SOCKS5", 12, error),
			 RSTUN_E_MALFORMED);
	assert_string_equal(error, "OUT^1^SOCKS5: SOCKS5 at column 7 is for tcp only");
	assert_int_equal(mapping_parse(&m, MAPPING_UDP, "IN^http^1", 9, error), RSTUN_E_MALFORMED);
	assert_string_equal(error, "IN^http^1: http at column 4 is for tcp only");
}

static void test_parsed_ranges(void **state)
{
	char error[MAPPING_ERROR_SIZE], buf[MAPPING_TEXT_SIZE];
	struct mapping *list = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(mapping_parse_range(&list, &count, MAPPING_UDP, "IN^7^80-82", 10, error),
			 0);
	assert_int_equal(count, 3);
	assert_int_equal(list[2].proto, MAPPING_UDP);
	assert_string_equal(mapping_format(buf, sizeof(buf), &list[2]),
			    "IN^127.0.0.1:7^127.0.0.1:82");
	free(list);
	assert_int_equal(mapping_parse_range(&list, &count, MAPPING_TCP, " OUT^0^ANY ", 11, error),
			 0);
	assert_int_equal(count, 1);
	free(list);
	count = 7;
	assert_int_equal(mapping_parse_range(&list, &count, MAPPING_TCP, "OUT^1-2^x:0", 11, error),
			 RSTUN_E_MALFORMED);
	assert_int_equal(count, 7);
	assert_string_equal(error, "OUT^1^x:0: port 0 at column 9 is not in 1..65535");
}

static void assert_refused(enum mapping_proto proto, const char *text, const char *why)
{
	char error[MAPPING_ERROR_SIZE];
	struct mapping m;

	assert_int_equal(mapping_parse(&m, proto, text, strlen(text), error), RSTUN_E_MALFORMED);
	assert_string_equal(error, why);
}

static void test_unix(void **state)
{
	static const char *const right[] = {
		"OUT^unix:/run/x.sock^ANY", "OUT^unix:/run/x^db:80", "OUT^unix:/run/x^SOCKS5",
		"IN^unix:/run/a:1-2^0.0.0.0:18080",
	};
	char error[MAPPING_ERROR_SIZE], buf[MAPPING_TEXT_SIZE], **list;
	struct mapping m, port;

	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		if (mapping_parse(&m, MAPPING_TCP, right[i], strlen(right[i]), error) != 0)
			fail_msg("%s", error);
		assert_string_equal(mapping_format(buf, sizeof(buf), &m), right[i]);
		assert_int_equal(mapping_expand(&list, right[i], strlen(right[i]), error), 0);
		assert_string_equal(list[0], right[i]); /* no range */
		assert_null(list[1]);
		mapping_expand_free(list);
		assert_ptr_equal(mapping_listens(&m),
				 m.mode == MAPPING_OUT ? &m.local : &m.remote);
	}
	assert_int_equal(mapping_parse(&port, MAPPING_TCP, "OUT^0^ANY", 9, error), 0);
	assert_null(mapping_listens(&port));
	assert_refused(MAPPING_TCP, "OUT^9000^unix:/a",
		       "OUT^9000^unix:/a: \"unix:/a\" at column 10: a server connects to no path "
		       "that a client names: make it the server's --tcp-upstream and write ANY");
	assert_refused(MAPPING_TCP, "IN^3000^unix:/a",
		       "IN^3000^unix:/a: \"unix:/a\" at column 9: a server listens on no path that "
		       "a client names: write the [ip:]port that the server listens on");
	assert_refused(MAPPING_UDP, "OUT^unix:/a^ANY",
		       "OUT^unix:/a^ANY: \"unix:/a\" at column 5 is a UNIX socket, which is for "
		       "tcp only");
	assert_refused(MAPPING_UDP, "OUT^9000^unix:/a",
		       "OUT^9000^unix:/a: \"unix:/a\" at column 10 is a UNIX socket, which is for "
		       "tcp only");
	assert_refused(MAPPING_TCP, "IN^unix:a^1",
		       "IN^unix:a^1: \"a\" at column 9: the absolute path of a UNIX socket was "
		       "expected: write unix:/path");
}

/* Every cut of good texts is judged without reading beyond it. */
static void test_every_cut(void **state)
{
	static const char text[] = "OUT^[2001:db8::1]:8080^name.example.org:443";
	char error[MAPPING_ERROR_SIZE];

	(void)state;
	for (size_t bytes = 0; bytes < sizeof(text); bytes++) {
		char *copy = malloc(bytes + (bytes == 0));
		struct mapping m;

		assert_non_null(copy);
		memcpy(copy, text, bytes);
		mapping_parse(&m, MAPPING_UDP, copy, bytes, error);
		free(copy);
	}
}

static void test_list(void **state)
{
	char error[MAPPING_ERROR_SIZE], buf[MAPPING_TEXT_SIZE];
	struct mapping *list = NULL;
	size_t count = 99;

	(void)state;
	assert_int_equal(mapping_parse_list(&list, &count, MAPPING_UDP,
					    "OUT^9000^ANY , IN^1^2,OUT^3^name:4", error), 0);
	assert_int_equal(count, 3);
	assert_string_equal(mapping_format(buf, sizeof(buf), &list[2]), "OUT^127.0.0.1:3^name:4");
	assert_int_equal(list[1].proto, MAPPING_UDP);
	free(list);

	assert_int_equal(mapping_parse_list(&list, &count, MAPPING_TCP, " ", error), 0);
	assert_int_equal(count, 0);
	assert_null(list);

	count = 7;
	assert_int_equal(mapping_parse_list(&list, &count, MAPPING_TCP, "OUT^1^2,OUT^x^3", error),
			 RSTUN_E_MALFORMED);
	assert_string_equal(error, "OUT^x^3: at column 6 ':' and a port must follow");
	assert_int_equal(mapping_parse_list(&list, &count, MAPPING_TCP, "OUT^1^2,", error),
			 RSTUN_E_MALFORMED);
	assert_string_equal(error, "mapping 2 of 2, at column 9, is empty: write "
				   "MODE^local^remote, such as OUT^9000^ANY");
	assert_int_equal(mapping_parse_list(&list, &count, MAPPING_TCP, ",OUT^1^2", error),
			 RSTUN_E_MALFORMED);
	assert_int_equal(mapping_parse_list(&list, &count, MAPPING_TCP, "OUT^1^2, ,OUT^1^2", error),
			 RSTUN_E_MALFORMED);
	assert_non_null(strstr(error, "mapping 2 of 3, at column 9"));
	assert_int_equal(count, 7);
	assert_null(list);
}

static void test_thousand(void **state)
{
	char error[MAPPING_ERROR_SIZE], *text = malloc(1000 * 24 + 1);
	struct mapping *list;
	size_t count, used = 0;

	(void)state;
	assert_non_null(text);
	for (unsigned i = 0; i < 1000; i++)
		used += (size_t)snprintf(text + used, 25, "%sOUT^%u^ANY", i > 0 ? "," : "",
					 10000 + i);
	assert_int_equal(mapping_parse_list(&list, &count, MAPPING_TCP, text, error), 0);
	assert_int_equal(count, 1000);
	assert_int_equal(address_port(&list[999].local.address), 10999);
	free(list);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_right), cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_odd_bytes), cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_parsed_ranges),
		cmocka_unit_test(test_every_cut), cmocka_unit_test(test_unix),
		cmocka_unit_test(test_list), cmocka_unit_test(test_thousand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
