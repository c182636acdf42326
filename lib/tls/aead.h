/* SPDX-License-Identifier: MIT */
/*
 * The AEADs of QUIC's cipher suites (RFC 9001 section 5.3) and their header masks (sections 5.4.3,
 * 5.4.4) by libgcrypt: at the size of a packet it is about three times as fast as GnuTLS with
 * ChaCha20-Poly1305, and with AES-GCM by an eighth where the processor has VAES, else as fast.
 * Payloads on a processor with AVX-512 are the work of intel-ipsec-mb, where the build has it
 * (aead_imb.h): again twice as fast. Where libgcrypt is missing, or in FIPS mode,
 * tls_aead_available() is false and GnuTLS does all. A context belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_AEAD_KEY_MAX 32
#define TLS_AEAD_NONCE_BYTES 12
#define TLS_AEAD_TAG_BYTES 16
#define TLS_AEAD_SAMPLE_BYTES 16
#define TLS_AEAD_MASK_BYTES 5

enum tls_aead_suite {
	TLS_AEAD_AES_128_GCM,
	TLS_AEAD_AES_256_GCM,
	TLS_AEAD_CHACHA20_POLY1305,
};

struct tls_aead;

bool tls_aead_available(void);

/* Once, before threads; tls_global_init does it. */
void tls_aead_global_init(void);

/* What protects payloads, with its version, as text: "libgcrypt 1.10.1". */
const char *tls_aead_library(void);

size_t tls_aead_key_bytes(enum tls_aead_suite suite);

/* For packet payloads, or (mask = true) for header masks; the key has tls_aead_key_bytes(suite).
 * RSTUN_E_NOMEM. */
int tls_aead_new(struct tls_aead **ret, enum tls_aead_suite suite, const uint8_t *key, bool mask);
void tls_aead_free(struct tls_aead *a); /* wipes the key; accepts NULL */

/* dest has room for bytes + TLS_AEAD_TAG_BYTES and may be data itself. */
int tls_aead_seal(struct tls_aead *a, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes);
/* `bytes` counts the tag; dest has room for the rest. RSTUN_E_MALFORMED when the tag is wrong
 * (dest is then garbage). */
int tls_aead_open(struct tls_aead *a, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes);
int tls_aead_mask(struct tls_aead *a, uint8_t ret[TLS_AEAD_MASK_BYTES],
		  const uint8_t sample[TLS_AEAD_SAMPLE_BYTES]);
