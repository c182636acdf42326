/* SPDX-License-Identifier: MIT */
/*
 * Certificates, keys and trust as reference-counted objects that are never changed once made: a
 * reload makes a new one, the old dies with its last session. Made on any thread; the reference
 * count is atomic, so workers may share one.
 */
#pragma once

#include "base/pin.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_ERROR_SIZE 512

struct tls_credentials;

enum tls_cipher {
	TLS_CIPHER_CHACHA20_POLY1305,
	TLS_CIPHER_AES_256_GCM,
	TLS_CIPHER_AES_128_GCM,
	TLS_CIPHER_AUTO, /* what both ends are fast at (tls/automatic.h) */
};

/* Server: certificate chain and key from PEM files (EC or RSA, PKCS#8 or traditional). On failure
 * `error` names the file or both (a key that does not belong to the certificate), what is wrong
 * with it, and RSTUN_E_CERT_INVALID, RSTUN_E_FILE_PERMISSIONS or RSTUN_E_NOT_FOUND is returned. Key
 * files that others can read are accepted with a sentence in `warning` (may be ""). An expired
 * certificate is accepted with a warning too. */
int tls_credentials_new_server(struct tls_credentials **ret, const char *cert_file,
			       const char *key_file, char error[TLS_ERROR_SIZE],
			       char warning[TLS_ERROR_SIZE]);

/* Server: the same from text in memory (the control API's cert_pem and key_pem, which is what
 * sentences call them). The text is only read. RSTUN_E_CERT_INVALID. */
int tls_credentials_new_server_pem(struct tls_credentials **ret, const char *cert_pem,
				   const char *key_pem, char error[TLS_ERROR_SIZE],
				   char warning[TLS_ERROR_SIZE]);

/* Server: the self-signed ECDSA P-256 certificate for `localhost` kept in `directory` (0700; files
 * cert.pem, key.pem 0600; the caller keeps other processes out of it), made when it is not there,
 * or in memory only when directory is NULL. CA:FALSE, SAN localhost, 127.0.0.1, ::1, 10 years.
 * `*ret_made` tells that it is new. */
int tls_credentials_new_self_signed(struct tls_credentials **ret, const char *directory,
				    bool *ret_made, char error[TLS_ERROR_SIZE]);

/* Client: trust roots from a PEM file; with NULL the system's. */
int tls_credentials_new_client(struct tls_credentials **ret, const char *ca_file,
			       char error[TLS_ERROR_SIZE]);

/* Client: trust roots from text in memory, which sentences call cert_pem; with NULL the system's.
 */
int tls_credentials_new_client_pem(struct tls_credentials **ret, const char *ca_pem,
				   char error[TLS_ERROR_SIZE]);

/* Client: nothing is verified (an IP address as server, no --cert). A pin is still checked. */
int tls_credentials_new_unverified(struct tls_credentials **ret);

struct tls_credentials *tls_credentials_ref(struct tls_credentials *c);
void tls_credentials_unref(struct tls_credentials *c); /* accepts NULL */

/* SHA-256 of the certificate's SubjectPublicKeyInfo (RFC 7469 section 2.4); server credentials
 * only. */
void tls_credentials_pin(const struct tls_credentials *c, uint8_t ret[PIN_BYTES]);

/* A server's certificate for people. Texts are UTF-8 without control bytes (\xHH in their place).
 */
struct tls_description {
	char *subject;          /* "CN=localhost" (RFC 4514); "" when it has none */
	char **names;           /* what it is for: DNS names and IP addresses, NULL-terminated */
	int64_t not_before_us;  /* wall clock, microseconds since the epoch */
	int64_t not_after_us;
	bool self_signed;
};

/* Server credentials only, RSTUN_E_NOT_FOUND for others. RSTUN_E_NOMEM. */
int tls_credentials_describe(const struct tls_credentials *c, struct tls_description *ret);
void tls_description_done(struct tls_description *d); /* members; accepts NULL */

/* Process-wide start and end; call once from main before threads. Version of GnuTLS as text. */
int tls_global_init(void);
void tls_global_done(void);
const char *tls_library_version(void);
