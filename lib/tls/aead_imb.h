/* SPDX-License-Identifier: MIT */
/*
 * The AEADs of aead.h by intel-ipsec-mb ("IMB"), whose AVX-512 code takes half of libgcrypt's time
 * for a packet. Only for processors that run that code; on others libgcrypt is level with it or
 * ahead. A context belongs to one thread. For aead.c alone.
 */
#pragma once

#include "tls/aead.h"

struct tls_imb;

/* Before threads; does nothing when called again. */
void tls_imb_global_init(void);
/* It gives wrong answers: tls_imb_usable() is false from now on. Before threads. */
void tls_imb_refuse(void);

/* Its version; NULL in a build without it. */
const char *tls_imb_version(void);

/* False in a build without the library, with another version of it than it was built with, and on
 * other processors. */
bool tls_imb_usable(void);

/* The key has tls_aead_key_bytes(suite). NULL: no memory. */
struct tls_imb *tls_imb_new(enum tls_aead_suite suite, const uint8_t *key);
void tls_imb_free(struct tls_imb *m); /* wipes the key; accepts NULL */

/* As tls_aead_seal and tls_aead_open, but they can't fail in other ways than by a wrong tag (false);
 * `bytes` of both is without the tag, which stands behind the sealed data. */
void tls_imb_seal(struct tls_imb *m, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes);
bool tls_imb_open(struct tls_imb *m, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes);
