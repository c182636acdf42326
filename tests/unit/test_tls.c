/* SPDX-License-Identifier: MIT */
/*
 * Certificates, pins, digests and whole handshakes between two sessions of lib/tls over a socket
 * pair (the record layer stands in for QUIC).
 */
#include "base/address.h"
#include "base/error.h"
#include "tests/unit/pki.h"
#include "tls/automatic.h"
#include "tls/credentials.h"
#include "tls/digest.h"
#include "tls/session.h"

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[PKI_PATH_SIZE];
static char error[TLS_ERROR_SIZE], warning[TLS_ERROR_SIZE];

static const char *in_directory(char buf[PKI_PATH_SIZE * 2], const char *name)
{
	snprintf(buf, PKI_PATH_SIZE * 2, "%s/%s", directory, name);
	return buf;
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" lacks \"%s\"", text, part);
}

/* ---- digests and pins ---- */

static void test_digest(void **state)
{
	static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
				      0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
				      0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c,
				      0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
	/* RFC 4231 test case 2 */
	static const uint8_t hmac[] = {0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e,
				       0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
				       0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83,
				       0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43};
	uint8_t out[DIGEST_SHA256_BYTES], empty[DIGEST_SHA256_BYTES];

	(void)state;
	digest_sha256(out, "abc", 3);
	assert_memory_equal(out, abc, sizeof(abc));
	digest_hmac_sha256(out, "Jefe", 4, "what do ya want for nothing?", 28);
	assert_memory_equal(out, hmac, sizeof(hmac));
	digest_sha256(empty, NULL, 0);
	assert_int_equal(empty[0], 0xe3);
	assert_true(digest_equal(abc, abc, sizeof(abc)));
	assert_false(digest_equal(abc, hmac, sizeof(abc)));
	assert_true(digest_equal(NULL, NULL, 0));
}

static void test_pin_text(void **state)
{
	static const char zero[] = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
	static const char abc[] = "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
	static const char *const bad[] = {
		"",
		"sha256/",
		"sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa=",
		"sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0==",
		"sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0= ",
		"sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa1=", /* bits beyond 256 */
		"sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=",
	};
	uint8_t pin[PIN_BYTES], again[PIN_BYTES];
	char text[PIN_TEXT_SIZE];

	(void)state;
	memset(pin, 0, sizeof(pin));
	assert_string_equal(pin_format(text, pin), zero);
	digest_sha256(pin, "abc", 3);
	assert_string_equal(pin_format(text, pin), abc);
	assert_int_equal(pin_parse(again, abc), 0);
	assert_memory_equal(pin, again, sizeof(pin));
	text[strlen(text) - 1] = '\0';
	assert_int_equal(pin_parse(again, text), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(pin_parse(again, bad[i]), RSTUN_E_MALFORMED);
}

/* ---- handshakes ---- */

bool __real_automatic_has_aes(void);
bool __wrap_automatic_has_aes(void);

static bool no_aes; /* the machine that a session is made on has none */

bool __wrap_automatic_has_aes(void)
{
	return !no_aes;
}

struct handshake {
	struct tls_credentials *server, *client;
	struct tls_session_config config;
	bool client_no_aes, server_no_aes;
	struct tls_session *s, *c; /* after run() */
	int fds[2];
	int client_error, server_error;
	char sni[128];
};

static void handshake_run(struct handshake *h)
{
	struct tls_session_config config = h->config;
	bool client_done = false, server_done = false;
	gnutls_session_t gc, gs;
	size_t bytes = sizeof(h->sni);
	unsigned type;

	config.credentials = h->client;
	no_aes = h->client_no_aes;
	assert_int_equal(tls_session_new_client(&h->c, &config), 0);
	no_aes = h->server_no_aes;
	assert_int_equal(tls_session_new_server(&h->s, h->server), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, h->fds),
			 0);
	gc = tls_session_gnutls(h->c);
	gs = tls_session_gnutls(h->s);
	gnutls_transport_set_int(gc, h->fds[0]);
	gnutls_transport_set_int(gs, h->fds[1]);
	h->client_error = h->server_error = 0;
	for (int i = 0; i < 100 && !(client_done && server_done); i++) {
		if (!client_done) {
			h->client_error = gnutls_handshake(gc);
			client_done =
				h->client_error == 0 || gnutls_error_is_fatal(h->client_error);
			if (client_done && h->client_error)
				gnutls_alert_send_appropriate(gc, h->client_error);
		}
		if (!server_done) {
			h->server_error = gnutls_handshake(gs);
			server_done =
				h->server_error == 0 || gnutls_error_is_fatal(h->server_error);
		}
	}
	assert_true(client_done);
	h->sni[0] = '\0';
	if (gnutls_server_name_get(gs, h->sni, &bytes, &type, 0) < 0)
		h->sni[0] = '\0';
}

static void handshake_done(struct handshake *h)
{
	tls_session_free(h->c);
	tls_session_free(h->s);
	close(h->fds[0]);
	close(h->fds[1]);
}

static void server_from(struct tls_credentials **ret, const struct pki *p)
{
	if (tls_credentials_new_server(ret, p->cert, p->key, error, warning))
		fail_msg("%s", error);
}

static void client_from(struct tls_credentials **ret, const char *file)
{
	if (tls_credentials_new_client(ret, file, error))
		fail_msg("%s", error);
}

static struct address ip(const char *text)
{
	struct address a;

	assert_int_equal(address_parse_ip(&a, text, strlen(text), 443), 0);
	return a;
}

static void test_self_signed_handshake(void **state)
{
	static const char *const ciphers[] = {"chacha20-poly1305", "aes-256-gcm", "aes-128-gcm"};
	struct handshake h = {0};
	uint8_t own[PIN_BYTES], seen[PIN_BYTES], a[32], b[32];
	bool made = false;

	(void)state;
	assert_int_equal(tls_credentials_new_self_signed(&h.server, NULL, &made, error), 0);
	assert_true(made);
	assert_int_equal(tls_credentials_new_unverified(&h.client), 0);
	tls_credentials_pin(h.server, own);
	for (int cipher = 0; cipher < 3; cipher++) {
		h.config.cipher = (enum tls_cipher)cipher;
		handshake_run(&h);
		assert_int_equal(h.client_error, 0);
		assert_int_equal(h.server_error, 0);
		assert_int_equal(tls_session_verified(h.c), TLS_VERIFY_NONE);
		assert_string_equal(tls_session_failure(h.c), "");
		assert_string_equal(tls_session_cipher_name(h.c), ciphers[cipher]);
		assert_string_equal(tls_session_cipher_name(h.s), ciphers[cipher]);
		assert_int_equal(gnutls_protocol_get_version(tls_session_gnutls(h.c)),
				 GNUTLS_TLS1_3);
		assert_true(tls_session_peer_pin(h.c, seen));
		assert_memory_equal(own, seen, sizeof(own));
		assert_false(tls_session_peer_pin(h.s, seen));
		assert_int_equal(tls_session_export(h.c, "EXPORTER-rstund-login-1", a, sizeof(a)),
				 0);
		assert_int_equal(tls_session_export(h.s, "EXPORTER-rstund-login-1", b, sizeof(b)),
				 0);
		assert_memory_equal(a, b, sizeof(a));
		assert_string_equal(h.sni, "");
		handshake_done(&h);
	}
	tls_credentials_unref(h.client);
	tls_credentials_unref(h.server);
}

/* Whoever asked for a cipher has it; "auto" depends on both machines. */
static void test_cipher_auto(void **state)
{
	static const char chacha[] = "chacha20-poly1305", aes[] = "aes-128-gcm";
	struct handshake h = {0};
	bool made;

	(void)state;
	assert_int_equal(tls_credentials_new_self_signed(&h.server, NULL, &made, error), 0);
	assert_int_equal(tls_credentials_new_unverified(&h.client), 0);
	for (unsigned i = 0; i < 4; i++) {
		const char *const expected[] = {
			[TLS_CIPHER_CHACHA20_POLY1305] = chacha,
			[TLS_CIPHER_AES_256_GCM] = "aes-256-gcm",
			[TLS_CIPHER_AES_128_GCM] = aes,
			[TLS_CIPHER_AUTO] = i == 0 ? aes : chacha,
		};

		h.client_no_aes = i & 1;
		h.server_no_aes = i & 2;
		for (int cipher = 0; cipher <= TLS_CIPHER_AUTO; cipher++) {
			h.config.cipher = (enum tls_cipher)cipher;
			handshake_run(&h);
			assert_int_equal(h.client_error, 0);
			assert_int_equal(h.server_error, 0);
			assert_string_equal(tls_session_cipher_name(h.c), expected[cipher]);
			assert_string_equal(tls_session_cipher_name(h.s), expected[cipher]);
			handshake_done(&h);
		}
	}
	no_aes = false;
	tls_credentials_unref(h.client);
	tls_credentials_unref(h.server);
}

static void test_cipher_auto_is_offered(void **state)
{
	/* Version, random, a session's id of so many bytes, the list, one compression method. */
	static const uint8_t lists[][8] = {
		{0, 6, 0x13, 1, 0x13, 3, 0x13, 2}, /* auto */
		{0, 4, 0x13, 1, 0x13, 3, 1, 0},
		{0, 6, 0x13, 1, 0x13, 2, 0x13, 3}, /* aes-128-gcm */
		{0, 6, 0x13, 3, 0x13, 1, 0x13, 2},
		{0, 2, 0x13, 1, 0x13, 3, 1, 0}, /* behind the list */
		{0, 0, 0x13, 1, 0x13, 3, 1, 0},
	};
	uint8_t hello[35 + 255 + 8] = {3, 3};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t id = 0; id < 256; id++) {
			size_t bytes = 35 + id + 8;

			hello[34] = (uint8_t)id;
			memcpy(hello + 35 + id, lists[i], 8);
			assert_int_equal(automatic_is_offered(hello, bytes), i < 2);
		}
	for (size_t bytes = 0; bytes <= 41; bytes++) {
		uint8_t *cut = malloc(bytes + 1); /* so that a sanitizer sees what is read */

		assert_non_null(cut);
		memset(hello, 0, sizeof(hello));
		memcpy(hello + 35, lists[0], 8);
		memcpy(cut + 1, hello, bytes);
		assert_int_equal(automatic_is_offered(cut + 1, bytes), bytes >= 41);
		if (bytes > 34) {
			cut[1 + 34] = 255;
			assert_false(automatic_is_offered(cut + 1, bytes));
		}
		free(cut);
	}
}

/* What the kernel tells of this processor. */
static void test_has_aes(void **state)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	bool aes = false, multiply = false;
	char word[64];

	(void)state;
	if (!f)
		skip();
	while (fscanf(f, "%63s", word) == 1) {
		aes = aes || strcmp(word, "aes") == 0;
		multiply = multiply || strcmp(word, "pclmulqdq") == 0 || strcmp(word, "pmull") == 0;
	}
	fclose(f);
#if defined(__x86_64__) || defined(__i386__) || defined(__aarch64__)
	assert_int_equal(__real_automatic_has_aes(), aes && multiply);
#else
	assert_false(__real_automatic_has_aes());
#endif
}

static void test_pin(void **state)
{
	struct handshake h = {0};
	uint8_t pin[PIN_BYTES];
	char text[PIN_TEXT_SIZE];
	bool made;

	(void)state;
	assert_int_equal(tls_credentials_new_self_signed(&h.server, NULL, &made, error), 0);
	assert_int_equal(tls_credentials_new_unverified(&h.client), 0);
	tls_credentials_pin(h.server, pin);
	h.config.pin = pin;
	handshake_run(&h);
	assert_int_equal(h.client_error, 0);
	assert_int_equal(tls_session_verified(h.c), TLS_VERIFY_PIN);
	handshake_done(&h);

	pin_format(text, pin);
	pin[31] ^= 1;
	handshake_run(&h);
	assert_true(h.client_error < 0);
	assert_int_equal(tls_session_verified(h.c), TLS_VERIFY_NONE);
	assert_contains(tls_session_failure(h.c), text);
	pin_format(text, pin);
	assert_contains(tls_session_failure(h.c), text);
	handshake_done(&h);
	tls_credentials_unref(h.client);
	tls_credentials_unref(h.server);
}

struct trust_case {
	const char *what;
	struct pki_spec spec;
	const char *name; /* verified as, or */
	const char *ip;
	const char *why; /* NULL = accepted, else a part of the failure text */
	bool by_ca; /* signed by the test's authority, whose certificate is trusted; else itself is
		     */
};

static const struct trust_case trust_cases[] = {
	{"no CA, itself trusted",
	 {.common_name = "x", .dns = "localhost"},
	 "localhost",
	 NULL,
	 NULL,
	 false},
	{"CA, itself trusted",
	 {.common_name = "x", .dns = "localhost", .ca = true},
	 "localhost",
	 NULL,
	 NULL,
	 false},
	{"RSA",
	 {.common_name = "x", .dns = "localhost", .rsa = true},
	 "localhost",
	 NULL,
	 NULL,
	 false},
	{"trailing dot", {.common_name = "x", .dns = "localhost"}, "localhost.", NULL, NULL, false},
	{"wildcard",
	 {.common_name = "x", .dns = "*.example.org"},
	 "a.example.org",
	 NULL,
	 NULL,
	 true},
	{"common name only", {.common_name = "old.example"}, "old.example", NULL, NULL, true},
	{"signed", {.common_name = "x", .dns = "host.example"}, "host.example", NULL, NULL, true},
	{"address", {.common_name = "x", .ip = "127.0.0.1"}, NULL, "127.0.0.1", NULL, true},
	{"address 6", {.common_name = "x", .ip = "::1"}, NULL, "::1", NULL, true},
	{"other name",
	 {.common_name = "x", .dns = "example.org", .ip = "192.0.2.7"},
	 "host.example",
	 NULL,
	 "is for example.org, 192.0.2.7, not for host.example",
	 true},
	{"other address",
	 {.common_name = "x", .dns = "localhost"},
	 NULL,
	 "127.0.0.1",
	 "is for localhost, not for 127.0.0.1",
	 true},
	{"common name is no address",
	 {.common_name = "127.0.0.1"},
	 NULL,
	 "127.0.0.1",
	 "not for 127.0.0.1",
	 true},
	{"hostile name",
	 {.common_name = "x", .dns = "a\"\n\x1b.example"},
	 "host.example",
	 NULL,
	 "not for host.example",
	 true},
	{"expired",
	 {.common_name = "x", .dns = "h.example", .begin_days = -20, .end_days = -10},
	 "h.example",
	 NULL,
	 "has expired",
	 true},
	{"expired, itself trusted",
	 {.common_name = "x", .dns = "h.example", .begin_days = -20, .end_days = -10},
	 "h.example",
	 NULL,
	 "has expired",
	 false},
	{"not yet",
	 {.common_name = "x", .dns = "h.example", .begin_days = 5, .end_days = 10},
	 "h.example",
	 NULL,
	 "valid only from",
	 true},
	{"for clients",
	 {.common_name = "x", .dns = "h.example", .client_only = true},
	 "h.example",
	 NULL,
	 "is not accepted",
	 true},
};

static void test_trust(void **state)
{
	struct pki ca;

	(void)state;
	pki_make(&ca, directory, "ca", &(struct pki_spec){.common_name = "Test CA", .ca = true});
	for (size_t i = 0; i < sizeof(trust_cases) / sizeof(trust_cases[0]); i++) {
		const struct trust_case *t = &trust_cases[i];
		struct pki_spec spec = t->spec;
		struct handshake h = {0};
		struct address address = {0};
		struct pki p;

		spec.issuer = t->by_ca ? &ca : NULL;
		pki_make(&p, directory, "case", &spec);
		server_from(&h.server, &p);
		client_from(&h.client, t->by_ca ? ca.cert : p.cert);
		h.config.verify_name = t->name;
		if (t->ip)
			address = ip(t->ip);
		h.config.verify_ip = t->ip ? &address : NULL;
		handshake_run(&h);
		if (!t->why && h.client_error)
			fail_msg("%s: %s", t->what, tls_session_failure(h.c));
		if (t->why) {
			if (h.client_error == 0)
				fail_msg("%s: accepted", t->what);
			assert_contains(tls_session_failure(h.c), t->why);
			assert_null(strpbrk(tls_session_failure(h.c), "\n\x1b"));
		} else {
			assert_int_equal(tls_session_verified(h.c), TLS_VERIFY_CHAIN);
		}
		handshake_done(&h);
		tls_credentials_unref(h.server);
		tls_credentials_unref(h.client);
		pki_done(&p);
	}
	pki_done(&ca);
}

static void test_untrusted(void **state)
{
	struct pki a, b, fake;
	struct handshake h = {.config.verify_name = "localhost"};

	(void)state;
	pki_make(&a, directory, "a", &(struct pki_spec){.common_name = "a", .dns = "localhost"});
	pki_make(&b, directory, "b", &(struct pki_spec){.common_name = "b", .dns = "localhost"});
	/* The same names as a's, another key. */
	pki_make(&fake, directory, "fake",
		 &(struct pki_spec){.common_name = "a", .dns = "localhost"});
	client_from(&h.client, a.cert);
	server_from(&h.server, &b);
	handshake_run(&h);
	assert_true(h.client_error < 0);
	assert_contains(tls_session_failure(h.c), a.cert);
	assert_contains(tls_session_failure(h.c), "--pin");
	handshake_done(&h);
	tls_credentials_unref(h.server);

	server_from(&h.server, &fake);
	handshake_run(&h);
	assert_true(h.client_error < 0);
	assert_contains(tls_session_failure(h.c), a.cert);
	handshake_done(&h);

	/* The right pin does not make up for the wrong chain when roots were given. */
	uint8_t pin[PIN_BYTES];

	tls_credentials_pin(h.server, pin);
	h.config.pin = pin;
	handshake_run(&h);
	assert_true(h.client_error < 0);
	handshake_done(&h);
	tls_credentials_unref(h.server);
	server_from(&h.server, &a);
	tls_credentials_pin(h.server, pin);
	handshake_run(&h);
	assert_int_equal(h.client_error, 0);
	assert_int_equal(tls_session_verified(h.c), TLS_VERIFY_PIN);
	handshake_done(&h);
	tls_credentials_unref(h.server);
	tls_credentials_unref(h.client);
	pki_done(&a);
	pki_done(&b);
	pki_done(&fake);
}

static void test_sni(void **state)
{
	struct pki a;
	struct handshake h = {.config.verify_name = "localhost"};
	struct address address = ip("127.0.0.1");

	(void)state;
	pki_make(&a, directory, "sni",
		 &(struct pki_spec){.common_name = "a", .dns = "localhost", .ip = "127.0.0.1"});
	client_from(&h.client, a.cert);
	server_from(&h.server, &a);
	handshake_run(&h);
	assert_string_equal(h.sni, "localhost");
	handshake_done(&h);
	h.config.sni = "front.example";
	handshake_run(&h);
	assert_int_equal(h.client_error, 0);
	assert_string_equal(h.sni, "front.example");
	handshake_done(&h);
	h.config.sni = "127.0.0.1";
	handshake_run(&h);
	assert_string_equal(h.sni, "");
	handshake_done(&h);
	h.config.sni = NULL;
	h.config.verify_name = NULL;
	h.config.verify_ip = &address;
	handshake_run(&h);
	assert_int_equal(h.client_error, 0);
	assert_string_equal(h.sni, "");
	handshake_done(&h);

	/* Roots but nothing to verify: a caller's mistake, not an open door. */
	struct tls_session *s = NULL;

	h.config.verify_ip = NULL;
	h.config.credentials = h.client;
	assert_int_equal(tls_session_new_client(&s, &h.config), RSTUN_E_MALFORMED);
	assert_null(s);
	tls_credentials_unref(h.server);
	tls_credentials_unref(h.client);
	pki_done(&a);
}

/* ---- files ---- */

static void test_server_files(void **state)
{
	struct tls_credentials *c = NULL;
	char path[PKI_PATH_SIZE * 2], *text;
	struct pki a, b, ca;

	(void)state;
	pki_make(&ca, directory, "fca", &(struct pki_spec){.common_name = "CA", .ca = true});
	pki_make(&a, directory, "fa",
		 &(struct pki_spec){.common_name = "a", .dns = "a", .issuer = &ca});
	pki_make(&b, directory, "fb",
		 &(struct pki_spec){.common_name = "b", .dns = "b", .rsa = true});
	assert_int_equal(tls_credentials_new_server(&c, b.cert, b.key, error, warning), 0);
	assert_string_equal(warning, "");
	tls_credentials_unref(c);

	assert_int_equal(tls_credentials_new_server(&c, a.cert, b.key, error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, a.cert);
	assert_contains(error, b.key);
	assert_int_equal(
		tls_credentials_new_server(&c, in_directory(path, "none"), a.key, error, warning),
		RSTUN_E_NOT_FOUND);
	assert_contains(error, path);
	assert_int_equal(tls_credentials_new_server(&c, a.cert, path, error, warning),
			 RSTUN_E_NOT_FOUND);
	assert_int_equal(tls_credentials_new_server(&c, a.key, a.key, error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, "no certificate");
	assert_int_equal(tls_credentials_new_server(&c, a.cert, a.cert, error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, "no private key");
	assert_int_equal(tls_credentials_new_server(&c, directory, a.key, error, warning),
			 RSTUN_E_CERT_INVALID);

	/* A chain in the wrong order is put right; half of one is refused. */
	char *leaf = pki_read(a.cert), *root = pki_read(ca.cert);

	assert_true(asprintf(&text, "%s%s", root, leaf) > 0);
	pki_write(in_directory(path, "chain.pem"), text, strlen(text), 0644);
	if (tls_credentials_new_server(&c, path, a.key, error, warning))
		fail_msg("%s", error);
	tls_credentials_unref(c);
	for (size_t cut = 40; cut < strlen(text); cut += 37) {
		pki_write(path, text, strlen(text) - cut, 0644);
		assert_true(tls_credentials_new_server(&c, path, a.key, error, warning) < 0);
		assert_contains(error, path);
	}
	free(text);
	free(leaf);
	free(root);
	text = pki_read(a.key);
	pki_write(in_directory(path, "half.key"), text, strlen(text) / 2, 0600);
	assert_int_equal(tls_credentials_new_server(&c, a.cert, path, error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, path);
	pki_write(path, text, strlen(text), 0644);
	assert_int_equal(tls_credentials_new_server(&c, a.cert, path, error, warning), 0);
	assert_contains(warning, "chmod 600");
	tls_credentials_unref(c);
	free(text);
	pki_done(&a);
	pki_done(&b);
	pki_done(&ca);

	pki_make(&a, directory, "fa",
		 &(struct pki_spec){.common_name = "a", .begin_days = -9, .end_days = -2});
	assert_int_equal(tls_credentials_new_server(&c, a.cert, a.key, error, warning), 0);
	assert_contains(warning, "expired at");
	tls_credentials_unref(c);
	pki_done(&a);
}

static void test_client_files(void **state)
{
	struct tls_credentials *c = NULL;
	char path[PKI_PATH_SIZE * 2];

	(void)state;
	assert_int_equal(tls_credentials_new_client(&c, in_directory(path, "none"), error),
			 RSTUN_E_NOT_FOUND);
	assert_contains(error, path);
	pki_write(in_directory(path, "empty"), "", 0, 0600);
	assert_int_equal(tls_credentials_new_client(&c, path, error), RSTUN_E_CERT_INVALID);
	assert_contains(error, path);
	pki_write(path, "-----BEGIN CERTIFICATE-----\nMIIB\n", 33, 0600);
	assert_int_equal(tls_credentials_new_client(&c, path, error), RSTUN_E_CERT_INVALID);
	assert_contains(error, path);
	assert_null(c);
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_self_signed_kept(void **state)
{
	char where[PKI_PATH_SIZE * 2], cert[PKI_PATH_SIZE * 2 + 16], key[PKI_PATH_SIZE * 2 + 16],
		*text;
	uint8_t first[PIN_BYTES], second[PIN_BYTES];
	struct tls_credentials *c = NULL;
	struct handshake h = {.config.verify_name = "localhost"};
	struct address loopback = ip("::1");
	bool made = false;

	(void)state;
	in_directory(where, "state/server/127.0.0.1:3515");
	snprintf(cert, sizeof(cert), "%s/cert.pem", where);
	snprintf(key, sizeof(key), "%s/key.pem", where);
	assert_int_equal(tls_credentials_new_self_signed(&c, where, &made, error), 0);
	assert_true(made);
	assert_int_equal(mode_of(where), 0700);
	assert_int_equal(mode_of(cert), 0600);
	assert_int_equal(mode_of(key), 0600);
	tls_credentials_pin(c, first);

	/* The same again, and trusted by its own file, by name and by address. */
	assert_int_equal(tls_credentials_new_self_signed(&h.server, where, &made, error), 0);
	assert_false(made);
	tls_credentials_pin(h.server, second);
	assert_memory_equal(first, second, sizeof(first));
	client_from(&h.client, cert);
	handshake_run(&h);
	assert_int_equal(h.client_error, 0);
	handshake_done(&h);
	h.config.verify_name = NULL;
	h.config.verify_ip = &loopback;
	handshake_run(&h);
	assert_int_equal(h.client_error, 0);
	handshake_done(&h);
	tls_credentials_unref(h.client);
	tls_credentials_unref(h.server);
	tls_credentials_unref(c);

	/* A lost certificate is made anew for the key: the pin stays. */
	assert_int_equal(unlink(cert), 0);
	assert_int_equal(tls_credentials_new_self_signed(&c, where, &made, error), 0);
	assert_true(made);
	tls_credentials_pin(c, second);
	assert_memory_equal(first, second, sizeof(first));
	tls_credentials_unref(c);

	/* A lost key is an error that names both, so is half a file. */
	text = pki_read(key);
	assert_int_equal(unlink(key), 0);
	assert_true(tls_credentials_new_self_signed(&c, where, &made, error) < 0);
	assert_contains(error, cert);
	assert_contains(error, key);
	pki_write(key, text, strlen(text) / 2, 0600);
	assert_int_equal(tls_credentials_new_self_signed(&c, where, &made, error),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, cert);
	assert_contains(error, key);
	free(text);

	/* A file where the directory should be. */
	assert_true(tls_credentials_new_self_signed(&c, cert, &made, error) < 0);
	assert_contains(error, cert);
}

/* Strict readers (rustls) want the private value in exactly 32 bytes (RFC 5915 section 3). */
static void test_self_signed_key_form(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		char where[PKI_PATH_SIZE * 2], path[PKI_PATH_SIZE * 2 + 16], name[16], *text;
		struct tls_credentials *c = NULL;
		gnutls_datum_t x, y, k, pem;
		gnutls_x509_privkey_t key;
		gnutls_ecc_curve_t curve;
		bool made;

		snprintf(name, sizeof(name), "form%d", i);
		assert_int_equal(tls_credentials_new_self_signed(&c, in_directory(where, name),
								 &made, error),
				 0);
		tls_credentials_unref(c);
		snprintf(path, sizeof(path), "%s/key.pem", where);
		text = pki_read(path);
		pem = (gnutls_datum_t){(unsigned char *)text, (unsigned)strlen(text)};
		assert_int_equal(gnutls_x509_privkey_init(&key), 0);
		assert_int_equal(gnutls_x509_privkey_import(key, &pem, GNUTLS_X509_FMT_PEM), 0);
		assert_int_equal(gnutls_x509_privkey_export_ecc_raw(key, &curve, &x, &y, &k), 0);
		assert_int_equal(curve, GNUTLS_ECC_CURVE_SECP256R1);
		assert_int_equal(k.size, 32);
		gnutls_free(x.data);
		gnutls_free(y.data);
		gnutls_free(k.data);
		gnutls_x509_privkey_deinit(key);
		free(text);
	}
}

static int setup(void **state)
{
	(void)state;
	pki_directory(directory);
	return tls_global_init();
}

static int teardown(void **state)
{
	(void)state;
	tls_global_done();
	pki_directory_remove(directory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_pin_text),
		cmocka_unit_test(test_self_signed_handshake),
		cmocka_unit_test(test_cipher_auto),
		cmocka_unit_test(test_cipher_auto_is_offered),
		cmocka_unit_test(test_has_aes),
		cmocka_unit_test(test_pin),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_untrusted),
		cmocka_unit_test(test_sni),
		cmocka_unit_test(test_server_files),
		cmocka_unit_test(test_client_files),
		cmocka_unit_test(test_self_signed_kept),
		cmocka_unit_test(test_self_signed_key_form),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
