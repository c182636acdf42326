/* SPDX-License-Identifier: MIT */
/*
 * Packet protection. GnuTLS does the handshake; the keys are derived here (RFC 9001 section 5.1)
 * and tls/aead.h encrypts. Initial packets, and everything where that is not available, stay with
 * GnuTLS.
 *
 * ngtcp2 hands its callbacks only the opaque context, so a context of ours is told from one of
 * GnuTLS's by the lowest bit of its pointer (both are allocated, so it is free). Contexts are owned
 * by ngtcp2 once installed and come back through the delete callbacks.
 */
#include "quic/conn_internal.h"

#include "tls/aead.h"

#include <gnutls/gnutls.h>
#include <ngtcp2/ngtcp2_crypto_gnutls.h>
#include <string.h>

#define OURS ((uintptr_t)1)

static const struct suite {
	gnutls_cipher_algorithm_t cipher;
	enum tls_aead_suite aead;
	size_t secret_bytes; /* what its hash has */
} suites[] = {
	{GNUTLS_CIPHER_AES_128_GCM, TLS_AEAD_AES_128_GCM, 32},
	{GNUTLS_CIPHER_AES_256_GCM, TLS_AEAD_AES_256_GCM, 48},
	{GNUTLS_CIPHER_CHACHA20_POLY1305, TLS_AEAD_CHACHA20_POLY1305, 32},
};

/* NULL: not one of ours. */
static const struct suite *suite_of(gnutls_cipher_algorithm_t cipher, size_t secret_bytes)
{
	if (!tls_aead_available())
		return NULL;
	for (size_t i = 0; i < sizeof(suites) / sizeof(*suites); i++)
		if (suites[i].cipher == cipher && suites[i].secret_bytes == secret_bytes)
			return &suites[i];
	return NULL;
}

static struct tls_aead *ours(void *handle)
{
	uintptr_t p = (uintptr_t)handle;

	return p & OURS ? (struct tls_aead *)(p & ~OURS) : NULL;
}

static int make(void **ret_handle, const struct suite *suite, const uint8_t *key, bool mask)
{
	struct tls_aead *a;
	int rv = tls_aead_new(&a, suite->aead, key, mask);

	if (rv == 0)
		*ret_handle = (void *)((uintptr_t)a | OURS);
	return rv;
}

/* HKDF-Expand-Label of RFC 8446 section 7.1 with an empty context. */
static int expand_label(uint8_t *dest, size_t bytes, const struct suite *suite,
			const ngtcp2_crypto_md *md, const uint8_t *secret, const char *label)
{
	uint8_t info[64];
	size_t n = strlen(label), at = 0;

	info[at++] = 0;
	info[at++] = (uint8_t)bytes;
	info[at++] = (uint8_t)(6 + n);
	memcpy(info + at, "tls13 ", 6);
	at += 6;
	memcpy(info + at, label, n);
	at += n;
	info[at++] = 0;
	return ngtcp2_crypto_hkdf_expand(dest, bytes, md, secret, suite->secret_bytes, info, at);
}

struct keys {
	uint8_t key[TLS_AEAD_KEY_MAX], iv[TLS_AEAD_NONCE_BYTES], hp[TLS_AEAD_KEY_MAX];
	ngtcp2_crypto_aead_ctx aead;
	ngtcp2_crypto_cipher_ctx mask;
};

static void keys_free(struct keys *k)
{
	tls_aead_free(ours(k->aead.native_handle));
	tls_aead_free(ours(k->mask.native_handle));
}

static int derive(struct keys *k, const struct suite *suite, const ngtcp2_crypto_md *md,
		  const uint8_t *secret)
{
	size_t bytes = tls_aead_key_bytes(suite->aead);

	memset(k, 0, sizeof(*k));
	if (expand_label(k->key, bytes, suite, md, secret, "quic key") != 0 ||
	    expand_label(k->iv, sizeof(k->iv), suite, md, secret, "quic iv") != 0 ||
	    expand_label(k->hp, bytes, suite, md, secret, "quic hp") != 0 ||
	    make(&k->aead.native_handle, suite, k->key, false) != 0)
		return -1;
	if (make(&k->mask.native_handle, suite, k->hp, true) != 0) {
		keys_free(k);
		return -1;
	}
	return 0;
}

static int install(ngtcp2_conn *ng, const struct suite *suite, ngtcp2_encryption_level level,
		   bool rx, const uint8_t *secret)
{
	const size_t iv = TLS_AEAD_NONCE_BYTES, secret_bytes = suite->secret_bytes;
	bool handshake = level == NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE;
	struct keys k;
	int rv = derive(&k, suite, &ngtcp2_conn_get_crypto_ctx2(ng)->md, secret);

	if (rv != 0)
		goto wipe;
	if (handshake && rx)
		rv = ngtcp2_conn_install_rx_handshake_key(ng, &k.aead, k.iv, iv, &k.mask);
	else if (handshake)
		rv = ngtcp2_conn_install_tx_handshake_key(ng, &k.aead, k.iv, iv, &k.mask);
	else if (rx)
		rv = ngtcp2_conn_install_rx_key(ng, secret, secret_bytes, &k.aead, k.iv, iv,
						&k.mask);
	else
		rv = ngtcp2_conn_install_tx_key(ng, secret, secret_bytes, &k.aead, k.iv, iv,
						&k.mask);
	if (rv != 0)
		keys_free(&k);
wipe:
	gnutls_memset(&k, 0, sizeof(k));
	return rv;
}

/* GnuTLS has new secrets. (Transport parameters need nothing here: its extension hook has taken
 * them.) */
static int on_secrets(gnutls_session_t session, gnutls_record_encryption_level_t gnutls_level,
		      const void *rx_secret, const void *tx_secret, size_t secret_bytes)
{
	ngtcp2_crypto_conn_ref *ref = gnutls_session_get_ptr(session);
	ngtcp2_conn *ng = ref->get_conn(ref);
	ngtcp2_encryption_level level =
		ngtcp2_crypto_gnutls_from_gnutls_record_encryption_level(gnutls_level);
	const ngtcp2_crypto_ctx *ctx = ngtcp2_conn_get_crypto_ctx2(ng);
	const struct suite *suite = suite_of(gnutls_cipher_get(session), secret_bytes);
	ngtcp2_crypto_ctx made;

	if (!suite ||
	    (level != NGTCP2_ENCRYPTION_LEVEL_HANDSHAKE && level != NGTCP2_ENCRYPTION_LEVEL_1RTT)) {
		if (rx_secret && ngtcp2_crypto_derive_and_install_rx_key(
					 ng, NULL, NULL, NULL, level, rx_secret, secret_bytes) != 0)
			return -1;
		if (tx_secret && ngtcp2_crypto_derive_and_install_tx_key(
					 ng, NULL, NULL, NULL, level, tx_secret, secret_bytes) != 0)
			return -1;
		return 0;
	}
	if (!ctx->aead.native_handle) {
		if (!ngtcp2_crypto_ctx_tls(&made, session))
			return -1;
		ngtcp2_conn_set_crypto_ctx(ng, &made);
	}
	if (rx_secret && install(ng, suite, level, true, rx_secret) != 0)
		return -1;
	return tx_secret ? install(ng, suite, level, false, tx_secret) : 0;
}

void quic_crypto_attach(struct gnutls_session_int *session)
{
	if (tls_aead_available())
		gnutls_handshake_set_secret_function(session, on_secrets);
}

int quic_crypto_encrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
			const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *plain, size_t bytes,
			const uint8_t *nonce, size_t nonce_bytes, const uint8_t *aad,
			size_t aad_bytes)
{
	struct tls_aead *a = ours(ctx->native_handle);

	if (!a)
		return ngtcp2_crypto_encrypt_cb(dest, aead, ctx, plain, bytes, nonce, nonce_bytes,
						aad, aad_bytes);
	return tls_aead_seal(a, dest, plain, bytes, nonce, aad, aad_bytes) == 0
		       ? 0
		       : NGTCP2_ERR_CALLBACK_FAILURE;
}

int quic_crypto_decrypt(uint8_t *dest, const ngtcp2_crypto_aead *aead,
			const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *sealed, size_t bytes,
			const uint8_t *nonce, size_t nonce_bytes, const uint8_t *aad,
			size_t aad_bytes)
{
	struct tls_aead *a = ours(ctx->native_handle);

	if (!a)
		return ngtcp2_crypto_decrypt_cb(dest, aead, ctx, sealed, bytes, nonce, nonce_bytes,
						aad, aad_bytes);
	return tls_aead_open(a, dest, sealed, bytes, nonce, aad, aad_bytes) == 0
		       ? 0
		       : NGTCP2_ERR_DECRYPT;
}

int quic_crypto_mask(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
		     const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample)
{
	struct tls_aead *a = ours(ctx->native_handle);

	if (!a)
		return ngtcp2_crypto_hp_mask_cb(dest, hp, ctx, sample);
	return tls_aead_mask(a, dest, sample) == 0 ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

/* The next secret, its initialization vector and (in k) its AEAD. */
static int next_key(struct keys *k, const struct suite *suite, const ngtcp2_crypto_md *md,
		    uint8_t *secret, uint8_t *iv, const uint8_t *current_secret)
{
	if (expand_label(secret, suite->secret_bytes, suite, md, current_secret, "quic ku") != 0 ||
	    expand_label(k->key, tls_aead_key_bytes(suite->aead), suite, md, secret, "quic key") !=
		    0 ||
	    expand_label(iv, TLS_AEAD_NONCE_BYTES, suite, md, secret, "quic iv") != 0)
		return -1;
	return make(&k->aead.native_handle, suite, k->key, false);
}

int quic_crypto_update_key(ngtcp2_conn *ng, uint8_t *rx_secret, uint8_t *tx_secret,
			   ngtcp2_crypto_aead_ctx *rx_ctx, uint8_t *rx_iv,
			   ngtcp2_crypto_aead_ctx *tx_ctx, uint8_t *tx_iv,
			   const uint8_t *current_rx_secret, const uint8_t *current_tx_secret,
			   size_t secret_bytes, void *user_data)
{
	const ngtcp2_crypto_ctx *ctx = ngtcp2_conn_get_crypto_ctx2(ng);
	const struct suite *suite = suite_of(
		(gnutls_cipher_algorithm_t)(uintptr_t)ctx->aead.native_handle, secret_bytes);
	struct keys rx = {0}, tx = {0};
	int rv = NGTCP2_ERR_CALLBACK_FAILURE;

	if (!suite)
		return ngtcp2_crypto_update_key_cb(ng, rx_secret, tx_secret, rx_ctx, rx_iv, tx_ctx,
						   tx_iv, current_rx_secret, current_tx_secret,
						   secret_bytes, user_data);
	/* RFC 9001 section 6.1; header keys stay. */
	if (next_key(&rx, suite, &ctx->md, rx_secret, rx_iv, current_rx_secret) == 0) {
		if (next_key(&tx, suite, &ctx->md, tx_secret, tx_iv, current_tx_secret) == 0) {
			*rx_ctx = rx.aead;
			*tx_ctx = tx.aead;
			rv = 0;
		} else {
			keys_free(&rx);
		}
	}
	gnutls_memset(&rx, 0, sizeof(rx));
	gnutls_memset(&tx, 0, sizeof(tx));
	return rv;
}

void quic_crypto_delete_aead(ngtcp2_conn *ng, ngtcp2_crypto_aead_ctx *ctx, void *user_data)
{
	if (ours(ctx->native_handle))
		tls_aead_free(ours(ctx->native_handle));
	else
		ngtcp2_crypto_delete_crypto_aead_ctx_cb(ng, ctx, user_data);
}

void quic_crypto_delete_cipher(ngtcp2_conn *ng, ngtcp2_crypto_cipher_ctx *ctx, void *user_data)
{
	if (ours(ctx->native_handle))
		tls_aead_free(ours(ctx->native_handle));
	else
		ngtcp2_crypto_delete_crypto_cipher_ctx_cb(ng, ctx, user_data);
}
