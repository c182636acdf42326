/* SPDX-License-Identifier: MIT */
/*
 * Certificates for tests: made on the spot, right or wrong in one way, written as PEM files into a
 * directory of the test. Failures abort the test.
 */
#pragma once

#include <stdbool.h>

#define PKI_PATH_SIZE 256

struct pki_spec {
	const char *common_name;
	const char *dns; /* subjectAltName, NULL = none */
	const char *ip;	 /* subjectAltName, numeric, NULL = none */
	bool ca;
	bool rsa;
	bool client_only; /* extended key usage clientAuth instead of serverAuth */
	int begin_days;	  /* relative to now; 0 and 0 = from yesterday for 30 days */
	int end_days;
	const struct pki *issuer; /* NULL = self-signed */
};

struct pki {
	char cert[PKI_PATH_SIZE];
	char key[PKI_PATH_SIZE];
	struct gnutls_x509_crt_int *certificate;
	struct gnutls_x509_privkey_int *private_key;
};

void pki_make(struct pki *ret, const char *directory, const char *file,
	      const struct pki_spec *spec);
void pki_done(struct pki *p); /* memory only */

/* A new directory under $TMPDIR or /tmp; removed with all files and sub-folders by
 * pki_directory_remove. */
const char *pki_directory(char buf[PKI_PATH_SIZE]);
void pki_directory_remove(const char *directory);

void pki_write(const char *path, const void *data, unsigned long bytes, unsigned mode);
/* The whole file, NUL behind it; free it. */
char *pki_read(const char *path);
