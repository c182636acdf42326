/* SPDX-License-Identifier: MIT */
/*
 * See aead_imb.h. What is used of the library are its single-call functions: of the manager, which
 * is meant for many packets at once and for one thread, only their addresses are kept.
 */
#include "tls/aead_imb.h"

#ifdef HAVE_IPSEC_MB
#include <gnutls/gnutls.h>
#include <intel-ipsec-mb.h>
#include <stdlib.h>
#include <string.h>

struct tls_imb {
	enum tls_aead_suite suite;
	union { /* work of one call; here, not on the stack, because it holds parts of key streams */
		struct gcm_context_data gcm;
		struct chacha20_poly1305_context_data chacha;
	} work;
	union {
		/* What the code wants; the header says so only where LINUX is defined. */
		_Alignas(64) struct gcm_key_data gcm;
		uint8_t chacha[32];
	} key;
};

/* Written by tls_imb_global_init and tls_imb_refuse only. */
static struct {
	bool tried, usable;
	aes_gcm_pre_t gcm_key[2]; /* by suite: AES-128, AES-256 */
	aes_gcm_enc_dec_t gcm_seal[2], gcm_open[2];
	chacha_poly_init_t chacha_begin;
	chacha_poly_enc_dec_update_t chacha_seal, chacha_open;
	chacha_poly_finalize_t chacha_end;
} imb;

void tls_imb_global_init(void)
{
	IMB_MGR *m;
	IMB_ARCH arch;

	if (imb.tried)
		return;
	imb.tried = true;
	/* Keys have another size in other versions, with the same name of the shared library. */
	if (imb_get_version() >> 8 != IMB_VERSION_NUM >> 8)
		return;
	/* The library does not ask whether the system lets it use these registers; this does. */
	__builtin_cpu_init();
	if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512ifma"))
		return;
	m = alloc_mb_mgr(0);
	if (!m)
		return;
	init_mb_mgr_auto(m, &arch);
	if (imb_get_errno(m) == 0 &&
	    (m->features & IMB_CPUFLAGS_AVX512_T2) == IMB_CPUFLAGS_AVX512_T2) {
		imb.gcm_key[TLS_AEAD_AES_128_GCM] = m->gcm128_pre;
		imb.gcm_key[TLS_AEAD_AES_256_GCM] = m->gcm256_pre;
		imb.gcm_seal[TLS_AEAD_AES_128_GCM] = m->gcm128_enc;
		imb.gcm_seal[TLS_AEAD_AES_256_GCM] = m->gcm256_enc;
		imb.gcm_open[TLS_AEAD_AES_128_GCM] = m->gcm128_dec;
		imb.gcm_open[TLS_AEAD_AES_256_GCM] = m->gcm256_dec;
		imb.chacha_begin = m->chacha20_poly1305_init;
		imb.chacha_seal = m->chacha20_poly1305_enc_update;
		imb.chacha_open = m->chacha20_poly1305_dec_update;
		imb.chacha_end = m->chacha20_poly1305_finalize;
		imb.usable = true;
	}
	free_mb_mgr(m);
}

void tls_imb_refuse(void)
{
	imb.usable = false;
}

const char *tls_imb_version(void)
{
	return imb_get_version_str();
}

bool tls_imb_usable(void)
{
	return imb.usable;
}

struct tls_imb *tls_imb_new(enum tls_aead_suite suite, const uint8_t *key)
{
	struct tls_imb *m = aligned_alloc(_Alignof(struct tls_imb), sizeof(*m));

	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->suite = suite;
	if (suite == TLS_AEAD_CHACHA20_POLY1305)
		memcpy(m->key.chacha, key, sizeof(m->key.chacha));
	else
		imb.gcm_key[suite](key, &m->key.gcm);
	return m;
}

void tls_imb_free(struct tls_imb *m)
{
	if (!m)
		return;
	gnutls_memset(m, 0, sizeof(*m));
	free(m);
}

/* Writes dest, and the tag that belongs to the sealed data: opening leaves it to the caller to compare
 * that with the one that came. */
static void run(struct tls_imb *m, bool seal, uint8_t *dest, const uint8_t *data, size_t bytes,
		const uint8_t *nonce, const uint8_t *aad, size_t aad_bytes, uint8_t *tag)
{
	if (m->suite == TLS_AEAD_CHACHA20_POLY1305) {
		imb.chacha_begin(m->key.chacha, &m->work.chacha, nonce, aad, aad_bytes);
		(seal ? imb.chacha_seal : imb.chacha_open)(m->key.chacha, &m->work.chacha, dest,
							   data, bytes);
		imb.chacha_end(&m->work.chacha, tag, TLS_AEAD_TAG_BYTES);
	} else {
		(seal ? imb.gcm_seal : imb.gcm_open)[m->suite](&m->key.gcm, &m->work.gcm, dest,
							       data, bytes, nonce, aad, aad_bytes,
							       tag, TLS_AEAD_TAG_BYTES);
	}
}

void tls_imb_seal(struct tls_imb *m, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes)
{
	run(m, true, dest, data, bytes, nonce, aad, aad_bytes, dest + bytes);
}

bool tls_imb_open(struct tls_imb *m, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes)
{
	uint8_t expected[TLS_AEAD_TAG_BYTES], tag[TLS_AEAD_TAG_BYTES];

	memcpy(expected, data + bytes, sizeof(expected));
	for (size_t i = 0; i < sizeof(tag); i++)
		tag[i] = (uint8_t)~expected[i]; /* should the library write none */
	run(m, false, dest, data, bytes, nonce, aad, aad_bytes, tag);
	return gnutls_memcmp(tag, expected, sizeof(tag)) == 0;
}

#else /* nobody calls the rest */

void tls_imb_global_init(void)
{
}

void tls_imb_refuse(void)
{
}

const char *tls_imb_version(void)
{
	return NULL;
}

bool tls_imb_usable(void)
{
	return false;
}

struct tls_imb *tls_imb_new(enum tls_aead_suite suite, const uint8_t *key)
{
	(void)suite, (void)key;
	return NULL;
}

void tls_imb_free(struct tls_imb *m)
{
	(void)m;
}

void tls_imb_seal(struct tls_imb *m, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes)
{
	(void)m, (void)dest, (void)data, (void)bytes, (void)nonce, (void)aad, (void)aad_bytes;
}

bool tls_imb_open(struct tls_imb *m, uint8_t *dest, const uint8_t *data, size_t bytes,
		  const uint8_t nonce[TLS_AEAD_NONCE_BYTES], const uint8_t *aad, size_t aad_bytes)
{
	(void)m, (void)dest, (void)data, (void)bytes, (void)nonce, (void)aad, (void)aad_bytes;
	return false;
}
#endif
