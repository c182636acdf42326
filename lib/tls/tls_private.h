/* SPDX-License-Identifier: MIT */
/*
 * What the files of this folder share: the inside of credentials, the priority objects, and reading
 * PEM files. Included nowhere else.
 */
#pragma once

#include "tls/credentials.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdatomic.h>

struct tls_credentials {
	atomic_uint references;
	gnutls_certificate_credentials_t gnutls;
	bool has_roots;		    /* client: chain and name are verified */
	char *roots_file;	    /* client: where the roots came from, NULL = the system's */
	uint8_t pin[PIN_BYTES]; /* server */
};

/* Made by tls_global_init, then read-only. NULL before it. */
gnutls_priority_t tls_priority_quic(enum tls_cipher preferred);
gnutls_priority_t tls_priority_no_aes(void); /* of a server: ChaCha20 before what the client likes */
gnutls_priority_t tls_priority_stream(void);

/* A PEM file in memory, NUL behind it. */
struct tls_file {
	char *data;
	size_t bytes;
	unsigned mode; /* permission bits */
};

/* RSTUN_E_NOT_FOUND, RSTUN_E_FILE_PERMISSIONS or RSTUN_E_CERT_INVALID with a sentence that names
 * the file. */
int tls_file_read(struct tls_file *ret, const char *path, char error[TLS_ERROR_SIZE]);
void tls_file_done(struct tls_file *f); /* wipes: it may have been a key */

/* Formats a sentence into `error`, cut to its size. */
__attribute__((format(printf, 2, 3))) void tls_say(char error[TLS_ERROR_SIZE], const char *format,
						   ...);

struct tls_credentials *tls_credentials_alloc(void); /* one reference; NULL when memory is short */

/* Puts chain and key into new server credentials. `names` is for the sentence: the files, or what
 * was made. */
int tls_credentials_from_pair(struct tls_credentials **ret, gnutls_x509_crt_t *chain,
			      unsigned chain_length, gnutls_x509_privkey_t key,
			      const char *cert_name, const char *key_name,
			      char error[TLS_ERROR_SIZE]);

/* Reads a private key; what is wrong with it in `error`. */
int tls_key_read(gnutls_x509_privkey_t *ret, const char *path, unsigned *ret_mode,
		 char error[TLS_ERROR_SIZE]);

/* SHA-256 of the SubjectPublicKeyInfo; false when the key is of a kind that cannot be encoded. */
bool tls_certificate_pin(gnutls_x509_crt_t certificate, uint8_t ret[PIN_BYTES]);
