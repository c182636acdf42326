/* SPDX-License-Identifier: MIT */
/*
 * The text of a configuration: what each section becomes, and everything that can be wrong, each
 * with its line and what would be right.
 */
#include "base/error.h"
#include "tests/unit/config_rig.h"
#include "rstund/control/log_sink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- What becomes of it ---------------------------------------------------------------------- */

static void test_everything(void **state)
{
	char path[128];

	(void)state;
	config_rig_write("pw", "of-the-file\n");
	config_rig_write("rstund.conf",
		   "# comment\n"
		   "; another\n"
		   "\n"
		   "[daemon]\n"
		   "loglevel = D\n"
		   "log-format=json\n"
		   "drain-ms: 10s ; inline\n"
		   "socket = run/control.sock\n"
		   "\n"
		   "  [ client   home ]   # comment\n"
		   "    server-addr = a.example.org\n"
		   "    server-addr = b.example.org:99\n"
		   "    password = to;gether ; a comment\n"
		   "    cipher = aes-128-gcm\n"
		   "    dns = 1.1.1.1\n"
		   "    dns = 8.8.8.8, 9.9.9.9\n"
		   "    tcp-mappings = OUT^9000^ANY,IN^3000^0.0.0.0:18080\n"
		   "    udp-mappings = OUT^53^ANY\n"
		   "    tcp-mappings = OUT^9001^ANY\n"
		   "[server edge]\n"
		   "addr = 127.0.0.1:3515\n"
		   "password-file = pw\n"
		   "tcp-upstream = 8080\n"
		   "[mapping web]\n"
		   "spec = OUT^9002^10.0.0.5:80\n"
		   "expires = 2h\n"
		   "paused = yes\n"
		   "[mapping dns]\n"
		   "mode = in\n"
		   "local = 127.0.0.1:53\n"
		   "remote = 5353\n"
		   "proto = udp\n"
		   "client = home");
	if (config_rig_load() != 0)
		fail_msg("%s", config_rig.said);
	assert_string_equal(config_rig.said, "");
	assert_int_equal(config_rig.set.daemon.loglevel, LOG_LEVEL_DEBUG);
	assert_int_equal(config_rig.set.daemon.log_format, LOG_SINK_JSON);
	assert_int_equal(config_rig.set.daemon.drain_ms, 10000);
	snprintf(path, sizeof(path), "%s/run/control.sock", config_rig.directory);
	assert_string_equal(config_rig.set.daemon.socket, path);
	assert_int_equal(__builtin_popcount(config_rig.set.daemon_given), 4);

	assert_int_equal(config_rig.set.client_count, 1);
	assert_string_equal(config_rig.set.clients[0].name, "home");
	assert_string_equal(config_rig.set.clients[0].origin.file, config_rig.path);
	assert_int_equal(config_rig.set.clients[0].origin.line, 10);
	assert_int_equal(config_rig.set.clients[0].config.server_count, 2);
	assert_string_equal(config_rig.set.clients[0].config.password, "to;gether");
	assert_string_equal(config_rig.set.clients[0].config.dns_servers[2], "9.9.9.9");
	assert_int_equal(config_rig.set.clients[0].config.mapping_count, 0);
	assert_null(config_rig.set.clients[0].config.tcp_mappings_text);
	assert_true(config_rig.set.clients[0].config.mappings_optional);
	assert_ptr_equal(config_set_client(&config_rig.set, "home"), &config_rig.set.clients[0]);
	assert_null(config_set_client(&config_rig.set, "other"));

	assert_int_equal(config_rig.set.server_count, 1);
	assert_string_equal(config_rig.set.servers[0].config.password, "of-the-file");
	assert_int_equal(address_port(&config_rig.set.servers[0].config.addr), 3515);

	assert_int_equal(config_rig.set.mapping_count, 6);
	assert_null(config_rig.set.mappings[0].name);
	assert_string_equal(config_rig.set.mappings[0].spec, "OUT^127.0.0.1:9000^ANY");
	assert_string_equal(config_rig.set.mappings[0].client, "home");
	assert_true(config_rig.set.mappings[0].expires_ms == UINT64_MAX);
	assert_string_equal(config_rig.set.mappings[2].spec, "OUT^127.0.0.1:9001^ANY");
	assert_int_equal(config_rig.set.mappings[3].mapping.proto, MAPPING_UDP);
	assert_string_equal(config_rig.set.mappings[4].name, "web");
	assert_string_equal(config_rig.set.mappings[4].client, "home"); /* the only one */
	assert_int_equal(config_rig.set.mappings[4].expires_ms, 7200000);
	assert_true(config_rig.set.mappings[4].paused);
	assert_int_equal(config_rig.set.mappings[4].origin.line, 24);
	assert_string_equal(config_rig.set.mappings[5].spec, "IN^127.0.0.1:53^127.0.0.1:5353");
	assert_int_equal(config_rig.set.mappings[5].mapping.proto, MAPPING_UDP);
}

static void test_nothing(void **state)
{
	(void)state;
	config_rig_right("");
	config_rig_right("\n\n# only a comment");
	config_rig_right("\xef\xbb\xbf[daemon]\r\nloglevel = W\r\n");
	assert_int_equal(config_rig.set.daemon.loglevel, LOG_LEVEL_WARN);
	config_rig_right("[daemon]");
	assert_int_equal(config_rig.set.daemon.drain_ms, 5000);
	assert_int_equal(config_rig.set.daemon_given, 0);
	/* A value may be empty, where that means not given. */
	config_rig_right("[server a]\npassword = x\ntcp-upstream =\n");
}

static void test_long_lines(void **state)
{
	size_t used = 0, room = 300000;
	char *text = malloc(room);

	(void)state;
	used = (size_t)snprintf(text, room, "[client a]\nserver-addr=h\npassword=x\ntcp-mappings=");
	for (int port = 10000; port < 20000; port++)
		used += (size_t)snprintf(text + used, room - used, "%sOUT^%d^ANY",
					 port > 10000 ? "," : "", port);
	snprintf(text + used, room - used, "\n[mapping %s]\nspec = OUT^1^ANY\n",
		 "a-name-of-64-characters-a-name-of-64-characters-a-name-of-64-cha");
#if HAVE_DECL_INI_MAX_LINE
	config_rig_right(text);
	assert_int_equal(config_rig.set.mapping_count, 10001);
	assert_int_equal(strlen(config_rig.set.mappings[10000].name), 64);
#else /* the library was built with its limit: then it is said, and nothing is cut */
	assert_int_equal(config_rig_parse(text, strlen(text)), RSTUN_E_CONFIG_INVALID);
	assert_non_null(strstr(config_rig.said, "line 4: the line has "));
#endif
	free(text);
}

/* ---- What is wrong --------------------------------------------------------------------------- */

static void test_lines(void **state)
{
	static const char nul[] = "[daemon]\nlog\0level = D\n";

	(void)state;
	config_rig_wrong("[daemon]\nnonsense\n[daemon\n[server] x\n= 5\n",
	      "line 2: this line is neither [SECTION] nor KEY = VALUE nor a comment\n"
	      "line 3:1: the name of the section does not end: write ] behind it\n"
	      "line 4:10: something follows the name of the section: begin a new line\n"
	      "line 5: there is no key before the = sign\n");
	assert_int_equal(config_rig.diags.errors[1].line, 3);
	assert_int_equal(config_rig.diags.errors[1].column, 1);
	assert_int_equal(config_rig_parse(nul, sizeof(nul) - 1), RSTUN_E_CONFIG_INVALID);
	assert_string_equal(config_rig.said, "line 2:4: there is a NUL byte: the file must be "
					     "plain text "
				  "(UTF-8)\n");
	config_rig_wrong("loglevel = D\n",
	      "line 1: loglevel: only include can stand before the first section: begin with "
	      "[client "
	      "NAME], [server NAME], [mapping NAME] or [daemon]\n");
}

static void test_sections(void **state)
{
	(void)state;
	config_rig_wrong("[clinet home]\nanything = 5\n[client]\n[zebra]\n[]\n[daemon x]\n[Server "
			 "a]\n",
	      "line 1: unknown section [clinet home] (did you mean [client NAME]?)\n"
	      "line 3: [client] needs a name: write [client NAME]\n"
	      "line 3: [client]: server-addr is missing: give the server to connect to, "
	      "server-addr HOST[:PORT]\n"
	      "line 4: unknown section [zebra]: there are [daemon], [client NAME], [server NAME] "
	      "and "
	      "[mapping NAME]\n"
	      "line 5: unknown section []: there are [daemon], [client NAME], [server NAME] and "
	      "[mapping NAME]\n"
	      "line 6: [daemon x]: there is one daemon, and it has no name: write [daemon]\n"
	      "line 7: unknown section [Server a] (did you mean [server NAME]?)\n"
	      "warning: line 3: [client] has no password: a systemd credential must give it\n");
	config_rig_wrong("[server a]\npassword = x\n[daemon]\n[server a]\npassword = y\n[daemon]\n"
	      "[mapping a]\nspec = OUT^1^ANY\n[client a]\nserver-addr = x\npassword = y\n"
	      "[mapping a]\nspec=OUT^2^ANY\n",
	      "line 4: [server a] stands twice: first in line 1\n"
	      "line 6: [daemon] stands twice: first in line 3\n"
	      "line 12: [mapping a] stands twice: first in line 7\n");
}

static void name(const char *text, const char *want)
{
	char error[256] = "";

	assert_int_equal(config_name_check(text, error, sizeof(error)),
			 want == NULL ? 0 : RSTUN_E_MALFORMED);
	assert_string_equal(error, want == NULL ? "" : want);
}

static void test_names(void **state)
{
	static const char letters[] = "a name is made of letters, digits and . _ - and begins "
				      "with a "
				      "letter, a digit or _";
	static const char id[] = "a name must not look like an id (c1, s1, m1): give it another "
				 "one";

	(void)state;
	name("home", NULL);
	name("A.b_c-9", NULL);
	name("9", NULL);
	name("c", NULL);
	name("c1x", NULL);
	name("d1", NULL);
	name("c1", id);
	name("m00", id);
	name("s123456", id);
	name("", "a name has 1 to 64 characters");
	name("a-name-of-64-characters-a-name-of-64-characters-a-name-of-64-cha", NULL);
	name("a-name-of-65-characters-a-name-of-65-characters-a-name-of-65-char",
	     "a name has 1 to 64 characters");
	name("-a", letters);
	name("..", letters);
	name("a b", letters);
	name("a/b", letters);
	name("\xc3\xa4", letters);
	config_rig_wrong("[server c1]\npassword = x\n",
	      "line 1: [server c1]: a name must not look like an id (c1, s1, m1): give it another "
	      "one\n");
}

static void test_keys(void **state)
{
	(void)state;
	config_rig_wrong("[server a]\npasswrod = x\nzebra = 1\nloglevel = D\nstate-dir = "
			 "x\nready-fd = 3\n"
	      "cert-pem = x\nserver-addr = y\nspec = z\ninclude = w\n",
	      "line 2: passwrod: unknown key (did you mean password?)\n"
	      "line 3: zebra: unknown key in [server a]\n"
	      "line 4: loglevel: it has no place in [server a]: it belongs in [daemon]\n"
	      "line 5: state-dir: it has no place in [server a]: it belongs in [daemon]\n"
	      "line 6: ready-fd: this is an option of the command line only\n"
	      "line 7: cert-pem: unknown key in [server a]\n"
	      "line 8: server-addr: it has no place in [server a]: it belongs in [client NAME]\n"
	      "line 9: spec: it has no place in [server a]: it belongs in [mapping NAME]\n"
	      "line 10: include: it has no place in [server a]: it belongs in [daemon] or before "
	      "the "
	      "first section\n");
	config_rig_wrong("[daemon]\nconfig = x\ncheck-config = yes\nworkers = 2\nworkers = "
			 "3\ninclud = x\n",
	      "line 2: config: this is an option of the command line only\n"
	      "line 3: check-config: this is an option of the command line only\n"
	      "line 5: workers: it is given twice: first in line 4\n"
	      "line 6: includ: unknown key (did you mean include?)\n");
}

static void test_values(void **state)
{
	(void)state;
	config_rig_wrong("[client a]\nserver-addr = x\npassword = y\nquic-timeout-ms = "
			 "soon\ncipher = rot13\n"
	      "tcp-mappings = OUT^90000^ANY\npassword-file = -\n",
	      "line 4: quic-timeout-ms: \"soon\" is not a number of milliseconds (0 to 86400000)\n"
	      "line 5: cipher: \"rot13\" is not one of chacha20-poly1305, aes-256-gcm, "
	      "aes-128-gcm, auto\n"
	      "line 6: tcp-mappings: OUT^90000^ANY: port 90000 at column 5 is not in 0..65535 (0 = "
	      "any free one)\n"
	      "line 7: password-file: - is standard input, which a configuration file cannot use: "
	      "name a file\n");
	config_rig_wrong("[server a]\npassword = \n", "line 2: password: an empty password "
						      "protects "
					   "nothing\n");
	config_rig_wrong("[server a]\npassword = x\ncert = c.pem\n",
	      "line 1: [server a]: cert is given without key: give both or neither\n");
	config_rig_wrong("[client a]\npassword = x\n",
	      "line 1: [client a]: server-addr is missing: give the server to connect to, "
	      "server-addr HOST[:PORT]\n");
	config_rig_wrong("[client a]\nserver-addr = x\npassword = canary\npassword-file = "
			 "canary2\n",
	      "line 1: [client a]: password and password-file are both given: give one of them\n");
	config_rig_wrong("[client a]\nserver-addr = x\npassword = y\nproxy-auth = canary\n"
			 "proxy-auth-file = -\n",
	      "line 4: proxy-auth: it is not USER:PASSWORD, neither of them empty\n"
	      "line 5: proxy-auth-file: - is standard input, which a configuration file cannot use: "
	      "name a file\n");
	config_rig_wrong("[client a]\nserver-addr = x\npassword = y\nproxy-auth = a:canary\n"
			 "proxy-auth-file = x\n",
	      "line 1: [client a]: proxy-auth and proxy-auth-file are both given: give one of them\n");
	config_rig_right("[client a]\nserver-addr = x\npassword = \"y\"\nhop-interval-ms = 5\n");
	assert_string_equal(config_rig.said, "warning: line 3: password: the quotes are part of "
					     "the value: "
				  "leave "
				  "them out if they are not meant\n"
				  "warning: line 4: hop-interval-ms: 5 is raised to 5000\n");
	config_rig_right("[client a]\nserver-addr = x\n");
	assert_null(config_rig.set.clients[0].config.password);
	assert_string_equal(config_rig.said, "warning: line 1: [client a] has no password: a "
					     "systemd "
				  "credential "
				  "must give it\n");
}

#define TWO_CLIENTS                                                                                \
	"[client a]\nserver-addr = x\npassword = y\n[client b]\nserver-addr = x\npassword = y\n"

static void test_mappings(void **state)
{
	(void)state;
	config_rig_wrong("[mapping a]\nspec = OUT^1^ANY\n",
	      "line 1: [mapping a] needs a client: there is no section [client NAME]\n");
	config_rig_wrong(TWO_CLIENTS "[mapping a]\nspec = OUT^1^ANY\n[mapping "
				     "b]\nspec=OUT^2^ANY\nclient = bb\n"
			  "[mapping d]\nspec=OUT^3^ANY\nclient = b\n[mapping e]\nspec=OUT^4^ANY\n"
			  "client = zebra\n",
	      "line 7: [mapping a]: there are several clients, write client = NAME with one of a, "
	      "b\n"
	      "line 9: client: there is no client \"bb\" (did you mean b?)\n"
	      "line 15: client: there is no client \"zebra\"\n");
	config_rig_wrong("[client a]\nserver-addr = x\npassword = y\n"
	      "[mapping b]\nspec = OUT^1^ANY\nmode = out\n"
	      "[mapping d]\nmode = out\nlocal = 1\n"
	      "[mapping e]\nmode = out\nlocal = 1^2\nremote = 3\n"
	      "[mapping f]\nspec = OUT^1\n"
	      "[mapping g]\nmode = out\nlocal = 90000\nremote = ANY\n"
	      "[mapping h]\nproto = icmp\nspec = OUT^1^ANY\n"
	      "[mapping i]\nexpires = 0\nspec = OUT^1^ANY\n"
	      "[mapping j]\nmap = OUT^1^ANY\nspec = OUT^5^ANY\n",
	      "line 5: spec: it says all: leave out mode, local and remote, or it\n"
	      "line 7: [mapping d] says not what is mapped: write spec = OUT^9000^ANY, or mode, "
	      "local "
	      "and remote\n"
	      "line 10: [mapping e]: local and remote are one address each: a mapping with ^ is "
	      "spec "
	      "= ...\n"
	      "line 15: spec: OUT^1: '^' and a third field are missing at column 6: write "
	      "MODE^local^remote, "
	      "such as OUT^9000^ANY\n"
	      "line 16: out^90000^ANY: port 90000 at column 5 is not in 0..65535 (0 = any free "
	      "one)\n"
	      "line 21: proto: \"icmp\" is not one of tcp, udp\n"
	      "line 24: expires: \"0\" is out of range: a number of milliseconds from 1 to "
	      "31536000000\n"
	      "line 27: map: unknown key (did you mean spec?)\n");
}

static void test_addresses_taken(void **state)
{
	(void)state;
	config_rig_wrong(TWO_CLIENTS "[mapping d]\nspec = OUT^9000^ANY\nclient = a\n"
			  "[mapping e]\nspec = OUT^127.0.0.1:9000^10.0.0.1:5\nclient = b\n"
			  "[server f]\naddr = 127.0.0.1:53\npassword = x\n"
			  "[server g]\naddr = 53\npassword = x\n"
			  "[mapping h]\nspec = OUT^53^ANY\nclient = a\nproto = udp\n"
			  "[mapping i]\nspec = IN^1^8000\nclient = a\n"
			  "[mapping j]\nspec = IN^2^8000\nclient = a\n",
	      "line 16: server g and server f (line 13) both listen on 127.0.0.1:53 udp here\n"
	      "line 19: OUT^127.0.0.1:53^ANY and server g (line 16) both listen on 127.0.0.1:53 "
	      "udp here\n"
	      "line 26: IN^127.0.0.1:2^127.0.0.1:8000 and IN^127.0.0.1:1^127.0.0.1:8000 (line 23) "
	      "both listen on 127.0.0.1:8000 tcp at the server of a\n"
	      "line 10: OUT^127.0.0.1:9000^10.0.0.1:5 and OUT^127.0.0.1:9000^ANY (line 7) both "
	      "listen "
	      "on 127.0.0.1:9000 tcp here\n");
	config_rig_right(TWO_CLIENTS "[mapping d]\nspec = IN^1^8000\nclient = a\n"
			  "[mapping e]\nspec = IN^1^8000\nclient = b\n"
			  "[mapping f]\nspec = OUT^8000^ANY\nclient = b\n"
			  "[mapping g]\nspec = OUT^8000^ANY\nclient = b\nproto=udp\n"
			  "[mapping h]\nspec = OUT^0^ANY\nclient = b\n"
			  "[mapping i]\nspec = OUT^0^ANY\nclient = b\n");
}

#define ONE_CLIENT "[client a]\nserver-addr = h\npassword = x\n"

/* As many sections as ports, each named after the one that it listens on. */
static void test_ranges(void **state)
{
	(void)state;
	config_rig_right(ONE_CLIENT "[mapping web]\nspec = OUT^9000-9002^db:5000-5002\n"
				    "expires = 1h\npaused = yes\n"
				    "[mapping in]\nmode = in\nlocal = 22\n"
				    "remote = 0.0.0.0:2201-2202\nclient = a\nproto = udp\n"
				    "[mapping web-9003]\nspec = OUT^9003-9003^ANY\n");
	assert_int_equal(config_rig.set.mapping_count, 6);
	for (size_t i = 0; i < 6; i++) {
		static const char *const want[] = {
			"web-9000 OUT^127.0.0.1:9000^db:5000", "web-9001 OUT^127.0.0.1:9001^db:5001",
			"web-9002 OUT^127.0.0.1:9002^db:5002", "in-2201 IN^127.0.0.1:22^0.0.0.0:2201",
			"in-2202 IN^127.0.0.1:22^0.0.0.0:2202", "web-9003 OUT^127.0.0.1:9003^ANY",
		};
		const struct config_mapping *m = &config_rig.set.mappings[i];
		char got[MAPPING_TEXT_SIZE + 80];

		snprintf(got, sizeof(got), "%s %s", m->name, m->spec);
		assert_string_equal(got, want[i]);
		assert_string_equal(m->client, "a");
		assert_int_equal(m->paused, i < 3);
		assert_true((m->expires_ms == 3600000) == (i < 3));
		assert_int_equal(m->mapping.proto, i == 3 || i == 4 ? MAPPING_UDP : MAPPING_TCP);
		assert_int_equal(m->origin.line, i < 3 ? 4 : i < 5 ? 8 : 14);
	}
}

static void test_wrong_ranges(void **state)
{
	(void)state;
	config_rig_wrong(ONE_CLIENT "[mapping web]\nspec = OUT^9002-9000^ANY\n"
				    "[mapping in]\nmode = in\nlocal = 22-23\nremote = 80\n",
			 "line 5: spec: OUT^9002-9000^ANY: 9002-9000 is no range of ports: write "
			 "the lower one first, both in 1..65535\n"
			 "line 6: in^22-23^80: the side that listens needs a range of ports, too\n");
	/* Names of which one is there already, before and behind it. */
	config_rig_wrong(ONE_CLIENT "[mapping w-1]\nspec = OUT^5^ANY\n"
				    "[mapping w]\nspec = OUT^1-3^ANY\n"
				    "[mapping x]\nspec = OUT^7-8^ANY\n"
				    "[mapping x-8]\nspec = OUT^6^ANY\n",
			 "line 6: [mapping w]: one of its mappings is named w-1, as that in line "
			 "4\n"
			 "line 10: [mapping x-8] stands twice: first in line 8\n");
	config_rig_wrong(ONE_CLIENT "[mapping a-name-of-64-characters-a-name-of-64-characters-a-"
				    "name-of-64-cha]\nspec = OUT^1-2^ANY\n",
			 "line 4: [mapping a-name-of-64-characters-a-name-of-64-characters-a-name-"
			 "of-64-cha]: one of its mappings would be named a-name-of-64-characters-"
			 "a-name-of-64-characters-a-name-of-64-cha-1: a name has 1 to 64 "
			 "characters\n");
	config_rig_wrong(ONE_CLIENT "[mapping w]\nspec = OUT^1-3^ANY\n"
				    "[mapping x]\nspec = OUT^3-4^ANY\n",
			 "line 6: OUT^127.0.0.1:3^ANY and OUT^127.0.0.1:3^ANY (line 4) both listen "
			 "on 127.0.0.1:3 tcp here\n");
}

/* A file of nothing but errors: twenty are told, the rest counted. */
static void test_many_errors(void **state)
{
	char text[1000];

	(void)state;
	for (int i = 0; i < 100; i++)
		memcpy(text + 3 * i, "x=\n", 4);
	assert_int_equal(config_rig_parse(text, 300), RSTUN_E_CONFIG_INVALID);
	assert_int_equal(config_rig.diags.error_count, 20);
	assert_int_equal(config_rig.diags.more, 80);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, config_rig_setup, config_rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_everything), T(test_nothing), T(test_long_lines), T(test_lines),
		T(test_sections), T(test_names), T(test_keys), T(test_values), T(test_mappings),
		T(test_addresses_taken), T(test_ranges), T(test_wrong_ranges), T(test_many_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
