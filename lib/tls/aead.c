/* SPDX-License-Identifier: MIT */
/*
 * See aead.h. A context is one libgcrypt handle or, for payloads on processors with AVX-512, one of
 * intel-ipsec-mb; nothing is shared, so each thread works on its own.
 */
#include "tls/aead.h"

#include "base/error.h"
#include "tls/aead_imb.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char library[64] = "GnuTLS"; /* written by tls_aead_global_init */

const char *tls_aead_library(void)
{
	return library;
}

static void name_library(const char *name, const char *version)
{
	snprintf(library, sizeof(library), "%s %s", name, version);
}

size_t tls_aead_key_bytes(enum tls_aead_suite suite)
{
	return suite == TLS_AEAD_AES_128_GCM ? 16 : 32;
}

#ifdef HAVE_LIBGCRYPT
#include <gcrypt.h>

struct tls_aead {
	gcry_cipher_hd_t handle; /* NULL with imb */
	struct tls_imb *imb;
	bool gcm; /* AES: the mask is a block of ECB, and the data's end need not be announced */
};

bool tls_aead_available(void)
{
	/* Where it is in FIPS mode it refuses nonces that it did not make. */
	return !gcry_fips_mode_active();
}

static const struct {
	int cipher, aead_mode, mask_mode;
} algorithms[] = {
	[TLS_AEAD_AES_128_GCM] = {GCRY_CIPHER_AES128, GCRY_CIPHER_MODE_GCM, GCRY_CIPHER_MODE_ECB},
	[TLS_AEAD_AES_256_GCM] = {GCRY_CIPHER_AES256, GCRY_CIPHER_MODE_GCM, GCRY_CIPHER_MODE_ECB},
	[TLS_AEAD_CHACHA20_POLY1305] = {GCRY_CIPHER_CHACHA20, GCRY_CIPHER_MODE_POLY1305,
					GCRY_CIPHER_MODE_STREAM},
};

static int new_by_libgcrypt(struct tls_aead *a, enum tls_aead_suite suite, const uint8_t *key,
			    bool mask)
{
	if (gcry_cipher_open(&a->handle, algorithms[suite].cipher,
			     mask ? algorithms[suite].mask_mode : algorithms[suite].aead_mode,
			     0) != 0)
		return RSTUN_E_NOMEM;
	return gcry_cipher_setkey(a->handle, key, tls_aead_key_bytes(suite)) == 0 ? 0
										   : RSTUN_E_FAILED;
}

static int new_by_imb(struct tls_aead *a, enum tls_aead_suite suite, const uint8_t *key)
{
	a->imb = tls_imb_new(suite, key);
	return a->imb ? 0 : RSTUN_E_NOMEM;
}

int tls_aead_new(struct tls_aead **ret, enum tls_aead_suite suite, const uint8_t *key, bool mask)
{
	struct tls_aead *a = calloc(1, sizeof(*a));
	int rv;

	if (!a)
		return RSTUN_E_NOMEM;
	a->gcm = suite != TLS_AEAD_CHACHA20_POLY1305;
	rv = !mask && tls_imb_usable() ? new_by_imb(a, suite, key)
				       : new_by_libgcrypt(a, suite, key, mask);
	if (rv == 0)
		*ret = a;
	else
		tls_aead_free(a);
	return rv;
}

void tls_aead_free(struct tls_aead *a)
{
	if (!a)
		return;
	tls_imb_free(a->imb);
	gcry_cipher_close(a->handle); /* wipes; accepts NULL */
	free(a);
}

static bool begin(struct tls_aead *a, const uint8_t *nonce, const uint8_t *aad, size_t aad_bytes)
{
	return gcry_cipher_setiv(a->handle, nonce, TLS_AEAD_NONCE_BYTES) == 0 &&
	       gcry_cipher_authenticate(a->handle, aad, aad_bytes) == 0 &&
	       (a->gcm || gcry_cipher_final(a->handle) == 0);
}

int tls_aead_seal(struct tls_aead *a, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes)
{
	bool in_place = dest == data;

	if (a->imb) {
		tls_imb_seal(a->imb, dest, data, bytes, nonce, aad, aad_bytes);
		return 0;
	}
	if (!begin(a, nonce, aad, aad_bytes) ||
	    gcry_cipher_encrypt(a->handle, dest, bytes, in_place ? NULL : data,
				in_place ? 0 : bytes) != 0 ||
	    gcry_cipher_gettag(a->handle, dest + bytes, TLS_AEAD_TAG_BYTES) != 0)
		return RSTUN_E_FAILED;
	return 0;
}

int tls_aead_open(struct tls_aead *a, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes)
{
	uint8_t tag[TLS_AEAD_TAG_BYTES];
	bool in_place = dest == data;
	size_t n;

	if (bytes < TLS_AEAD_TAG_BYTES)
		return RSTUN_E_MALFORMED;
	n = bytes - TLS_AEAD_TAG_BYTES;
	if (a->imb)
		return tls_imb_open(a->imb, dest, data, n, nonce, aad, aad_bytes)
			       ? 0
			       : RSTUN_E_MALFORMED;
	memcpy(tag, data + n, sizeof(tag));
	if (!begin(a, nonce, aad, aad_bytes) ||
	    gcry_cipher_decrypt(a->handle, dest, n, in_place ? NULL : data, in_place ? 0 : n) != 0)
		return RSTUN_E_FAILED;
	return gcry_cipher_checktag(a->handle, tag, sizeof(tag)) == 0 ? 0 : RSTUN_E_MALFORMED;
}

int tls_aead_mask(struct tls_aead *a, uint8_t ret[TLS_AEAD_MASK_BYTES],
		  const uint8_t sample[TLS_AEAD_SAMPLE_BYTES])
{
	static const uint8_t zero[TLS_AEAD_MASK_BYTES];
	uint8_t block[TLS_AEAD_SAMPLE_BYTES];

	if (a->gcm) {
		if (gcry_cipher_encrypt(a->handle, block, sizeof(block), sample, sizeof(block)) != 0)
			return RSTUN_E_FAILED;
		memcpy(ret, block, TLS_AEAD_MASK_BYTES);
		return 0;
	}
	/* Sixteen bytes: the block counter in little endian and the nonce, just as RFC 9001 wants
	 * them. */
	if (gcry_cipher_setiv(a->handle, sample, TLS_AEAD_SAMPLE_BYTES) != 0 ||
	    gcry_cipher_encrypt(a->handle, ret, TLS_AEAD_MASK_BYTES, zero, sizeof(zero)) != 0)
		return RSTUN_E_FAILED;
	return 0;
}

/* ---- beginning ---- */

/* A packet sealed by libgcrypt is what intel-ipsec-mb makes of it, too, and opens, but not with a bit
 * changed. Its own self-test calls other functions than those that are used here. */
static bool imb_agrees_on(enum tls_aead_suite suite, size_t bytes)
{
	static const uint8_t key[TLS_AEAD_KEY_MAX] = {1, 2, 3}, nonce[TLS_AEAD_NONCE_BYTES] = {4};
	uint8_t text[1444 + TLS_AEAD_TAG_BYTES] = {5}, expected[sizeof(text)], sealed[sizeof(text)];
	struct tls_aead ours = {.gcm = suite != TLS_AEAD_CHACHA20_POLY1305}, theirs = ours;
	size_t all = bytes + TLS_AEAD_TAG_BYTES;
	bool agrees = false;

	if (new_by_libgcrypt(&ours, suite, key, false) == 0 && new_by_imb(&theirs, suite, key) == 0 &&
	    tls_aead_seal(&ours, expected, text, bytes, nonce, key, sizeof(key)) == 0 &&
	    tls_aead_seal(&theirs, sealed, text, bytes, nonce, key, sizeof(key)) == 0 &&
	    memcmp(sealed, expected, all) == 0 &&
	    tls_aead_open(&theirs, sealed, sealed, all, nonce, key, sizeof(key)) == 0 &&
	    memcmp(sealed, text, bytes) == 0) {
		expected[bytes / 2] ^= 1;
		agrees = tls_aead_open(&theirs, sealed, expected, all, nonce, key, sizeof(key)) ==
			 RSTUN_E_MALFORMED;
	}
	gcry_cipher_close(ours.handle);
	tls_imb_free(theirs.imb);
	return agrees;
}

static bool imb_agrees(void)
{
	for (int suite = TLS_AEAD_AES_128_GCM; suite <= TLS_AEAD_CHACHA20_POLY1305; suite++)
		if (!imb_agrees_on((enum tls_aead_suite)suite, 20) ||
		    !imb_agrees_on((enum tls_aead_suite)suite, 1444))
			return false;
	return true;
}

void tls_aead_global_init(void)
{
	/* A program that embeds us may have done it already. */
	if (!gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P)) {
		gcry_check_version(NULL);
		gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
		gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
	}
	if (!tls_aead_available()) {
		name_library("GnuTLS", gnutls_check_version(NULL));
		return;
	}
	tls_imb_global_init();
	if (tls_imb_usable() && !imb_agrees())
		tls_imb_refuse();
	if (tls_imb_usable())
		name_library("intel-ipsec-mb", tls_imb_version());
	else
		name_library("libgcrypt", gcry_check_version(NULL));
}

#else /* no libgcrypt: nobody calls the rest */

bool tls_aead_available(void)
{
	return false;
}

void tls_aead_global_init(void)
{
	name_library("GnuTLS", gnutls_check_version(NULL));
}

int tls_aead_new(struct tls_aead **ret, enum tls_aead_suite suite, const uint8_t *key, bool mask)
{
	(void)ret, (void)suite, (void)key, (void)mask;
	return RSTUN_E_UNSUPPORTED;
}

void tls_aead_free(struct tls_aead *a)
{
	(void)a;
}

int tls_aead_seal(struct tls_aead *a, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes)
{
	(void)a, (void)dest, (void)data, (void)bytes, (void)nonce, (void)aad, (void)aad_bytes;
	return RSTUN_E_UNSUPPORTED;
}

int tls_aead_open(struct tls_aead *a, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes)
{
	(void)a, (void)dest, (void)data, (void)bytes, (void)nonce, (void)aad, (void)aad_bytes;
	return RSTUN_E_UNSUPPORTED;
}

int tls_aead_mask(struct tls_aead *a, uint8_t ret[TLS_AEAD_MASK_BYTES],
		  const uint8_t sample[TLS_AEAD_SAMPLE_BYTES])
{
	(void)a, (void)ret, (void)sample;
	return RSTUN_E_UNSUPPORTED;
}
#endif
