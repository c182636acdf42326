/* SPDX-License-Identifier: MIT */
/*
 * SHA-256 and HMAC from GnuTLS. They fail only when the library itself is unusable (a self-test
 * failed); going on without a digest is never safe then, so that aborts.
 */
#include "tls/digest.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdlib.h>

void digest_sha256(uint8_t ret[DIGEST_SHA256_BYTES], const void *data, size_t bytes)
{
	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes ? data : "", bytes, ret) != 0)
		abort();
}

void digest_hmac_sha256(uint8_t ret[DIGEST_SHA256_BYTES], const void *key, size_t key_bytes,
			const void *data, size_t bytes)
{
	if (gnutls_hmac_fast(GNUTLS_MAC_SHA256, key_bytes ? key : "", key_bytes, bytes ? data : "",
			     bytes, ret) != 0)
		abort();
}

bool digest_equal(const void *a, const void *b, size_t bytes)
{
	return bytes == 0 || gnutls_memcmp(a, b, bytes) == 0;
}
