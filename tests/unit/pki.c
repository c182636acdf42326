/* SPDX-License-Identifier: MIT */
/*
 * Certificates for tests. See pki.h.
 */
#include "tests/unit/pki.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <gnutls/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S ((time_t)86400)

static void check(int rv, const char *what)
{
	if (rv >= 0)
		return;
	fprintf(stderr, "pki: %s: %s\n", what, gnutls_strerror(rv));
	abort();
}
#define CHECK(call) check((call), #call)

void pki_write(const char *path, const void *data, unsigned long bytes, unsigned mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, (mode_t)mode);

	if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes || fchmod(fd, (mode_t)mode) < 0) {
		perror(path);
		abort();
	}
	close(fd);
}

char *pki_read(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 65536);

	if (!f || !text || fread(text, 1, 65535, f) == 0) {
		perror(path);
		abort();
	}
	fclose(f);
	return text;
}

static void write_pem(char path[PKI_PATH_SIZE], const char *directory, const char *file,
		      const char *kind, gnutls_datum_t *pem)
{
	snprintf(path, PKI_PATH_SIZE, "%s/%s.%s.pem", directory, file, kind);
	pki_write(path, pem->data, pem->size, 0600);
	gnutls_free(pem->data);
	pem->data = NULL;
}

static void set_names(gnutls_x509_crt_t crt, const struct pki_spec *spec)
{
	uint8_t ip[16];

	if (spec->common_name)
		CHECK(gnutls_x509_crt_set_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0,
						    spec->common_name,
						    (unsigned)strlen(spec->common_name)));
	if (spec->dns)
		CHECK(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, spec->dns,
							   (unsigned)strlen(spec->dns),
							   GNUTLS_FSAN_APPEND));
	if (spec->ip) {
		int family = strchr(spec->ip, ':') ? AF_INET6 : AF_INET;

		if (inet_pton(family, spec->ip, ip) != 1)
			abort();
		CHECK(gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip,
							   family == AF_INET ? 4 : 16,
							   GNUTLS_FSAN_APPEND));
	}
}

void pki_make(struct pki *ret, const char *directory, const char *file, const struct pki_spec *spec)
{
	time_t now_s = (time_t)(clock_wall_us() / 1000000);
	int begin = spec->begin_days, end = spec->end_days;
	static unsigned serial = 1000;
	gnutls_x509_privkey_t key;
	gnutls_x509_crt_t crt;
	gnutls_datum_t pem = {0};
	uint8_t number[4];

	if (begin == 0 && end == 0) {
		begin = -1;
		end = 30;
	}
	serial++;
	number[0] = 1;
	number[1] = 2;
	number[2] = (uint8_t)(serial >> 8);
	number[3] = (uint8_t)serial;
	CHECK(gnutls_x509_privkey_init(&key));
	if (spec->rsa)
		CHECK(gnutls_x509_privkey_generate(key, GNUTLS_PK_RSA, 2048, 0));
	else
		CHECK(gnutls_x509_privkey_generate(
			key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
	CHECK(gnutls_x509_crt_init(&crt));
	CHECK(gnutls_x509_crt_set_version(crt, 3));
	CHECK(gnutls_x509_crt_set_serial(crt, number, sizeof(number)));
	CHECK(gnutls_x509_crt_set_activation_time(crt, now_s + begin * DAY_S));
	CHECK(gnutls_x509_crt_set_expiration_time(crt, now_s + end * DAY_S));
	CHECK(gnutls_x509_crt_set_key(crt, key));
	CHECK(gnutls_x509_crt_set_basic_constraints(crt, spec->ca, -1));
	if (spec->ca)
		CHECK(gnutls_x509_crt_set_key_usage(crt, GNUTLS_KEY_KEY_CERT_SIGN |
								 GNUTLS_KEY_DIGITAL_SIGNATURE));
	else
		CHECK(gnutls_x509_crt_set_key_purpose_oid(
			crt,
			spec->client_only ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER,
			0));
	set_names(crt, spec);
	CHECK(gnutls_x509_crt_sign2(crt, spec->issuer ? spec->issuer->certificate : crt,
				    spec->issuer ? spec->issuer->private_key : key,
				    GNUTLS_DIG_SHA256, 0));
	CHECK(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem));
	write_pem(ret->key, directory, file, "key", &pem);
	CHECK(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem));
	write_pem(ret->cert, directory, file, "cert", &pem);
	ret->certificate = crt;
	ret->private_key = key;
}

void pki_done(struct pki *p)
{
	gnutls_x509_crt_deinit(p->certificate);
	gnutls_x509_privkey_deinit(p->private_key);
}

const char *pki_directory(char buf[PKI_PATH_SIZE])
{
	const char *under = getenv("TMPDIR");

	snprintf(buf, PKI_PATH_SIZE, "%s/rstund-test-XXXXXX", under && *under ? under : "/tmp");
	if (!mkdtemp(buf)) {
		perror(buf);
		abort();
	}
	return buf;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void pki_directory_remove(const char *directory)
{
	nftw(directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
