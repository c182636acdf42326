/* SPDX-License-Identifier: MIT */
/*
 * Credentials from text in memory: the same ones and the same refusals as from files, and what a
 * certificate says about itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "tests/unit/pki.h"
#include "tls/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US (INT64_C(86400) * 1000000)

static char directory[PKI_PATH_SIZE];
static char error[TLS_ERROR_SIZE], warning[TLS_ERROR_SIZE];

static int set_up(void **state)
{
	(void)state;
	pki_directory(directory);
	return tls_global_init();
}

static int tear_down(void **state)
{
	(void)state;
	pki_directory_remove(directory);
	tls_global_done();
	return 0;
}

static void assert_contains(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", text, part);
}

static char *joined(const char *a, const char *b)
{
	char *text;

	assert_true(asprintf(&text, "%s%s", a, b) > 0);
	return text;
}

static void server_from_text(void **state)
{
	uint8_t one[PIN_BYTES], two[PIN_BYTES];
	struct tls_credentials *file, *text;
	struct pki ca, a;
	char *cert, *key, *other, *turned;

	(void)state;
	pki_make(&ca, directory, "ca", &(struct pki_spec){.common_name = "ca", .ca = true});
	pki_make(&a, directory, "a",
		 &(struct pki_spec){.common_name = "a", .dns = "a.example", .issuer = &ca});
	cert = pki_read(a.cert);
	key = pki_read(a.key);
	other = pki_read(ca.cert);
	assert_int_equal(tls_credentials_new_server(&file, a.cert, a.key, error, warning), 0);
	assert_int_equal(tls_credentials_new_server_pem(&text, cert, key, error, warning), 0);
	assert_string_equal(warning, "");
	tls_credentials_pin(file, one);
	tls_credentials_pin(text, two);
	assert_memory_equal(one, two, sizeof(one));
	tls_credentials_unref(text);
	/* Its own certificate first, wherever it stands. */
	turned = joined(other, cert);
	assert_int_equal(tls_credentials_new_server_pem(&text, turned, key, error, warning), 0);
	tls_credentials_pin(text, two);
	assert_memory_equal(one, two, sizeof(one));
	tls_credentials_unref(text);
	tls_credentials_unref(file);
	free(turned);
	free(other);
	free(cert);
	free(key);
	pki_done(&a);
	pki_done(&ca);
}

static void server_text_refused(void **state)
{
	struct tls_credentials *c = NULL;
	struct pki a, b, old;
	char *cert, *key, *other, *late, *late_key, *huge;

	(void)state;
	pki_make(&a, directory, "a", &(struct pki_spec){.common_name = "a"});
	pki_make(&b, directory, "b", &(struct pki_spec){.common_name = "b"});
	pki_make(&old, directory, "old",
		 &(struct pki_spec){.common_name = "o", .begin_days = -9, .end_days = -2});
	cert = pki_read(a.cert);
	key = pki_read(a.key);
	other = pki_read(b.key);
	late = pki_read(old.cert);
	late_key = pki_read(old.key);
	assert_int_equal(tls_credentials_new_server_pem(&c, cert, other, error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, "the key in key_pem does not belong to the certificate in cert_pem");
	assert_int_equal(tls_credentials_new_server_pem(&c, "", key, error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, "cert_pem holds no certificate");
	assert_int_equal(tls_credentials_new_server_pem(&c, key, key, error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, "cert_pem holds no certificate");
	assert_int_equal(tls_credentials_new_server_pem(&c, cert, "", error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, "key_pem holds no private key");
	assert_int_equal(tls_credentials_new_server_pem(
				 &c, cert,
				 "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
				 "-----END ENCRYPTED PRIVATE KEY-----\n",
				 error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, "the key in key_pem is encrypted");
	cert[strlen(cert) / 2] = '\0';
	assert_int_equal(tls_credentials_new_server_pem(&c, cert, key, error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, "cert_pem is cut or damaged");
	huge = malloc((8u << 20) + 1);
	assert_non_null(huge);
	memset(huge, 'x', 8u << 20);
	huge[8u << 20] = '\0';
	assert_int_equal(tls_credentials_new_server_pem(&c, huge, key, error, warning),
			 RSTUN_E_CERT_INVALID);
	assert_contains(error, "cert_pem is too long");
	assert_null(c);
	assert_int_equal(tls_credentials_new_server_pem(&c, late, late_key, error, warning), 0);
	assert_contains(warning, "the certificate in cert_pem expired at");
	tls_credentials_unref(c);
	free(huge);
	free(cert);
	free(key);
	free(other);
	free(late);
	free(late_key);
	pki_done(&a);
	pki_done(&b);
	pki_done(&old);
}

static void client_from_text(void **state)
{
	struct tls_description d;
	struct tls_credentials *c = NULL;
	struct pki a;
	char *cert, *key;

	(void)state;
	pki_make(&a, directory, "a", &(struct pki_spec){.common_name = "a"});
	cert = pki_read(a.cert);
	key = pki_read(a.key);
	assert_int_equal(tls_credentials_new_client_pem(&c, cert, error), 0);
	assert_int_equal(tls_credentials_describe(c, &d), RSTUN_E_NOT_FOUND);
	tls_credentials_unref(c);
	c = NULL;
	assert_int_equal(tls_credentials_new_client_pem(&c, key, error), RSTUN_E_CERT_INVALID);
	assert_contains(error, "cert_pem holds no certificate");
	memset(strstr(cert, "MII"), '!', 3);
	assert_int_equal(tls_credentials_new_client_pem(&c, cert, error), RSTUN_E_CERT_INVALID);
	assert_contains(error, "no certificate in cert_pem can be read");
	assert_null(c);
	free(cert);
	free(key);
	pki_done(&a);
}

static void describes(void **state)
{
	struct tls_credentials *c;
	struct tls_description d;
	struct pki ca, a;
	int64_t now_us = clock_wall_us();

	(void)state;
	pki_make(&ca, directory, "ca", &(struct pki_spec){.common_name = "our ca", .ca = true});
	pki_make(&a, directory, "a",
		 &(struct pki_spec){.common_name = "a\nb",
				    .dns = "*.a.example",
				    .ip = "2001:db8::1",
				    .begin_days = -3,
				    .end_days = 7,
				    .issuer = &ca});
	assert_int_equal(tls_credentials_new_server(&c, a.cert, a.key, error, warning), 0);
	assert_int_equal(tls_credentials_describe(c, &d), 0);
	assert_non_null(strstr(d.subject, "CN="));
	assert_null(strchr(d.subject, '\n'));
	assert_string_equal(d.names[0], "*.a.example");
	assert_string_equal(d.names[1], "2001:db8::1");
	assert_null(d.names[2]);
	assert_false(d.self_signed);
	assert_true(d.not_before_us > now_us - 4 * DAY_US && d.not_before_us < now_us - 2 * DAY_US);
	assert_true(d.not_after_us > now_us + 6 * DAY_US && d.not_after_us < now_us + 8 * DAY_US);
	tls_description_done(&d);
	tls_description_done(&d);
	tls_description_done(NULL);
	tls_credentials_unref(c);
	pki_done(&a);
	pki_done(&ca);
}

static void describes_the_self_made(void **state)
{
	struct tls_credentials *c;
	struct tls_description d;
	bool made;

	(void)state;
	assert_int_equal(tls_credentials_new_self_signed(&c, NULL, &made, error), 0);
	assert_int_equal(tls_credentials_describe(c, &d), 0);
	assert_string_equal(d.subject, "CN=localhost");
	assert_string_equal(d.names[0], "localhost");
	assert_string_equal(d.names[1], "127.0.0.1");
	assert_string_equal(d.names[2], "::1");
	assert_null(d.names[3]);
	assert_true(d.self_signed);
	tls_description_done(&d);
	tls_credentials_unref(c);
}

static void describes_no_names(void **state)
{
	struct tls_credentials *c;
	struct tls_description d;
	struct pki a;

	(void)state;
	pki_make(&a, directory, "a", &(struct pki_spec){0});
	assert_int_equal(tls_credentials_new_server(&c, a.cert, a.key, error, warning), 0);
	assert_int_equal(tls_credentials_describe(c, &d), 0);
	assert_string_equal(d.subject, "");
	assert_null(d.names[0]);
	tls_description_done(&d);
	tls_credentials_unref(c);
	pki_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(server_from_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(server_text_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(client_from_text, set_up, tear_down),
		cmocka_unit_test_setup_teardown(describes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(describes_the_self_made, set_up, tear_down),
		cmocka_unit_test_setup_teardown(describes_no_names, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
