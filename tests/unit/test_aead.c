/* SPDX-License-Identifier: MIT */
/*
 * ChaCha20-Poly1305 against the vectors of RFC 8439 section 2.8.2 and RFC 9001 appendix A.5, and no
 * memory.
 */
#include "tls/aead.h"

#include "base/error.h"

#ifdef HAVE_LIBGCRYPT
#include <gcrypt.h>
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static size_t from_hex(uint8_t *buf, const char *hex)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned v;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
		buf[i] = (uint8_t)v;
	}
	return n;
}

static void test_rfc8439(void **state)
{
	static const char text[] = "Ladies and Gentlemen of the class of '99: If I could offer you only one tip "
				   "for the future, sunscreen would be it.";
	uint8_t key[32], nonce[12], aad[12], expected[130], sealed[130], opened[114];
	struct tls_aead *a;

	(void)state;
	from_hex(key, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
	from_hex(nonce, "070000004041424344454647");
	from_hex(aad, "50515253c0c1c2c3c4c5c6c7");
	from_hex(expected, "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
			   "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
			   "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
			   "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691");
	assert_int_equal(tls_aead_new(&a, key, false), 0);
	assert_int_equal(tls_aead_seal(a, sealed, (const uint8_t *)text, 114, nonce, aad, sizeof(aad)), 0);
	assert_memory_equal(sealed, expected, sizeof(sealed));
	assert_int_equal(tls_aead_open(a, opened, sealed, sizeof(sealed), nonce, aad, sizeof(aad)), 0);
	assert_memory_equal(opened, text, 114);
	/* In place, and with one bit wrong anywhere. */
	assert_int_equal(tls_aead_open(a, sealed, sealed, sizeof(sealed), nonce, aad, sizeof(aad)), 0);
	assert_memory_equal(sealed, text, 114);
	for (size_t i = 0; i < sizeof(expected); i++) {
		expected[i] ^= 1;
		assert_int_equal(tls_aead_open(a, opened, expected, sizeof(expected), nonce, aad, sizeof(aad)),
				 RSTUN_E_MALFORMED);
		expected[i] ^= 1;
	}
	assert_int_equal(tls_aead_open(a, opened, expected, 15, nonce, aad, sizeof(aad)), RSTUN_E_MALFORMED);
	tls_aead_free(a);
}

static void test_rfc9001_a5(void **state)
{
	uint8_t key[32], nonce[12], hp[32], header[4], plain[1], sealed[17], expected[17], sample[16], mask[5],
		expected_mask[5];
	struct tls_aead *a, *m;

	(void)state;
	from_hex(key, "c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8");
	from_hex(hp, "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4");
	from_hex(nonce, "e0459b3474bdd0e46d417eb0");
	from_hex(header, "4200bff4");
	from_hex(plain, "01");
	from_hex(expected, "655e5cd55c41f69080575d7999c25a5bfb");
	from_hex(sample, "5e5cd55c41f69080575d7999c25a5bfb");
	from_hex(expected_mask, "aefefe7d03");
	assert_int_equal(tls_aead_new(&a, key, false), 0);
	assert_int_equal(tls_aead_new(&m, hp, true), 0);
	assert_int_equal(tls_aead_seal(a, sealed, plain, 1, nonce, header, sizeof(header)), 0);
	assert_memory_equal(sealed, expected, sizeof(sealed));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tls_aead_mask(m, mask, sample), 0);
		assert_memory_equal(mask, expected_mask, sizeof(mask));
	}
	tls_aead_free(a);
	tls_aead_free(m);
}

/* ---- memory ---- */

#ifdef HAVE_LIBGCRYPT /* else there is nothing to wrap */
void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
gcry_error_t __real_gcry_cipher_open(gcry_cipher_hd_t *ret, int algo, int mode, unsigned flags);
gcry_error_t __wrap_gcry_cipher_open(gcry_cipher_hd_t *ret, int algo, int mode, unsigned flags);
gcry_error_t __real_gcry_cipher_setkey(gcry_cipher_hd_t h, const void *key, size_t bytes);
gcry_error_t __wrap_gcry_cipher_setkey(gcry_cipher_hd_t h, const void *key, size_t bytes);

static unsigned countdown; /* to the call that fails; 0 = none does */

static bool refused(void)
{
	return countdown > 0 && --countdown == 0;
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return refused() ? NULL : __real_calloc(n, bytes);
}

gcry_error_t __wrap_gcry_cipher_open(gcry_cipher_hd_t *ret, int algo, int mode, unsigned flags)
{
	return refused() ? gcry_error(GPG_ERR_ENOMEM)
			 : __real_gcry_cipher_open(ret, algo, mode, flags);
}

gcry_error_t __wrap_gcry_cipher_setkey(gcry_cipher_hd_t h, const void *key, size_t bytes)
{
	return refused() ? gcry_error(GPG_ERR_ENOMEM) : __real_gcry_cipher_setkey(h, key, bytes);
}

static void test_no_memory(void **state)
{
	static const uint8_t key[TLS_AEAD_KEY_BYTES] = {1};
	static const int expected[] = {RSTUN_E_NOMEM, RSTUN_E_NOMEM, RSTUN_E_FAILED, 0};

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct tls_aead *a = NULL;
		int rv;

		countdown = i / 2 + 1;
		rv = tls_aead_new(&a, key, i % 2);
		countdown = 0;
		assert_int_equal(rv, expected[i / 2]);
		assert_int_equal(a != NULL, rv == 0);
		tls_aead_free(a);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8439),
		cmocka_unit_test(test_rfc9001_a5),
#ifdef HAVE_LIBGCRYPT
		cmocka_unit_test(test_no_memory),
#endif
	};

	tls_aead_global_init();
	if (!tls_aead_available())
		return 77; /* built without libgcrypt */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
