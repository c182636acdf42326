/* SPDX-License-Identifier: MIT */
/*
 * ChaCha20-Poly1305 against the vectors of RFC 8439 section 2.8.2 and RFC 9001 appendix A.5;
 * AES-GCM against test cases 4 and 16 of its specification (McGrew, Viega), its header mask against
 * RFC 9001 appendix A.2; and no memory. All of it by libgcrypt and, where this processor has what it
 * is used for, by intel-ipsec-mb; and that both agree on packets of all sizes.
 */
#include "tls/aead.h"

#include "base/error.h"
#include "tls/aead_imb.h"

#ifdef HAVE_LIBGCRYPT
#include <gcrypt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
	assert_int_equal(tls_aead_new(&a, TLS_AEAD_CHACHA20_POLY1305, key, false), 0);
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
	assert_int_equal(tls_aead_new(&a, TLS_AEAD_CHACHA20_POLY1305, key, false), 0);
	assert_int_equal(tls_aead_new(&m, TLS_AEAD_CHACHA20_POLY1305, hp, true), 0);
	assert_int_equal(tls_aead_seal(a, sealed, plain, 1, nonce, header, sizeof(header)), 0);
	assert_memory_equal(sealed, expected, sizeof(sealed));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tls_aead_mask(m, mask, sample), 0);
		assert_memory_equal(mask, expected_mask, sizeof(mask));
	}
	tls_aead_free(a);
	tls_aead_free(m);
}

static void expect_gcm(enum tls_aead_suite suite, const char *expected_hex)
{
	uint8_t key[32], nonce[12], aad[20], plain[60], expected[76], sealed[76];
	struct tls_aead *a;

	from_hex(key, "feffe9928665731c6d6a8f9467308308");
	memcpy(key + 16, key, 16);
	from_hex(nonce, "cafebabefacedbaddecaf888");
	from_hex(aad, "feedfacedeadbeeffeedfacedeadbeefabaddad2");
	from_hex(plain, "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
			"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
	assert_int_equal(from_hex(expected, expected_hex), sizeof(expected));
	assert_int_equal(tls_aead_new(&a, suite, key, false), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tls_aead_seal(a, sealed, plain, sizeof(plain), nonce, aad, sizeof(aad)), 0);
		assert_memory_equal(sealed, expected, sizeof(sealed));
		assert_int_equal(tls_aead_open(a, sealed, sealed, sizeof(sealed), nonce, aad, sizeof(aad)), 0);
		assert_memory_equal(sealed, plain, sizeof(plain));
	}
	for (size_t i = 0; i < sizeof(expected); i++) {
		expected[i] ^= 1;
		assert_int_equal(tls_aead_open(a, sealed, expected, sizeof(expected), nonce, aad, sizeof(aad)),
				 RSTUN_E_MALFORMED);
		expected[i] ^= 1;
	}
	tls_aead_free(a);
}

static void test_aes_gcm(void **state)
{
	(void)state;
	expect_gcm(TLS_AEAD_AES_128_GCM,
		   "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
		   "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e0915bc94fbc3221a5db94fae95ae7121a47");
	expect_gcm(TLS_AEAD_AES_256_GCM,
		   "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		   "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
}

static void test_aes_mask(void **state)
{
	uint8_t hp[16], sample[16], mask[5], expected[5];
	struct tls_aead *m;

	(void)state;
	from_hex(hp, "9f50449e04a0e810283a1e9933adedd2");
	from_hex(sample, "d1b1c98dd7689fb8ec11d242b123dc9b");
	from_hex(expected, "437b9aec36");
	assert_int_equal(tls_aead_new(&m, TLS_AEAD_AES_128_GCM, hp, true), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tls_aead_mask(m, mask, sample), 0);
		assert_memory_equal(mask, expected, sizeof(mask));
	}
	tls_aead_free(m);
}

/* ---- both libraries ---- */

bool __real_tls_imb_usable(void);
bool __wrap_tls_imb_usable(void);

static bool without_imb;

bool __wrap_tls_imb_usable(void)
{
	return !without_imb && __real_tls_imb_usable();
}

/* By what the kernel says about the processor. */
static void test_imb_is_used_where_it_can_be(void **state)
{
	static const char *const wanted[] = {" avx512f ", " avx512ifma ", " gfni ", " sha_ni ", " vaes ",
					     " vpclmulqdq "};
	char *line = NULL;
	size_t size = 0;
	bool expected = false;
	FILE *file = fopen("/proc/cpuinfo", "r");

	(void)state;
	assert_non_null(file);
	while (getline(&line, &size, file) > 0) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		line[strcspn(line, "\n")] = ' ';
		expected = true;
		for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
			expected = expected && strstr(line, wanted[i]);
		break;
	}
	free(line);
	fclose(file);
#ifndef HAVE_IPSEC_MB
	expected = false;
#endif
	assert_int_equal(tls_imb_usable(), expected);
	assert_int_equal(strncmp(tls_aead_library(), "intel-ipsec-mb ", 15) == 0, expected);
}

static void test_imb_refused(void **state)
{
	(void)state;
	tls_imb_refuse();
	assert_false(tls_imb_usable());
	tls_aead_global_init();
	assert_false(tls_imb_usable());
	assert_int_equal(strncmp(tls_aead_library(), "libgcrypt ", 10), 0);
}

static int by_libgcrypt(void **state)
{
	(void)state;
	without_imb = true;
	return 0;
}

/* Memory that ends where no access is allowed. */
static uint8_t *fenced(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t pages = (bytes + page - 1) / page;
	uint8_t *p = mmap(NULL, (pages + 1) * page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p + pages * page, page, PROT_NONE), 0);
	return p + pages * page;
}

/* The same packet by one and by the other, everything at the end of its memory. */
static void expect_same(struct tls_aead *const a[2], size_t bytes, size_t aad_bytes,
			uint8_t *const end[4])
{
	uint8_t *plain = end[0] - bytes, *sealed = end[1] - bytes - TLS_AEAD_TAG_BYTES;
	uint8_t *aad = end[2] - aad_bytes, *nonce = end[3] - TLS_AEAD_NONCE_BYTES;
	uint8_t expected[16384 + TLS_AEAD_TAG_BYTES];

	for (size_t i = 0; i < bytes; i++)
		plain[i] = (uint8_t)random();
	for (size_t i = 0; i < aad_bytes; i++)
		aad[i] = (uint8_t)random();
	for (size_t i = 0; i < TLS_AEAD_NONCE_BYTES; i++)
		nonce[i] = (uint8_t)random();
	assert_int_equal(tls_aead_seal(a[0], expected, plain, bytes, nonce, aad, aad_bytes), 0);
	assert_int_equal(tls_aead_seal(a[1], sealed, plain, bytes, nonce, aad, aad_bytes), 0);
	assert_memory_equal(sealed, expected, bytes + TLS_AEAD_TAG_BYTES);
	for (int i = 0; i < 2; i++) {
		memcpy(sealed, expected, bytes + TLS_AEAD_TAG_BYTES);
		assert_int_equal(tls_aead_open(a[i], sealed, sealed, bytes + TLS_AEAD_TAG_BYTES,
					       nonce, aad, aad_bytes),
				 0);
		assert_memory_equal(sealed, plain, bytes);
		memcpy(sealed, expected, bytes + TLS_AEAD_TAG_BYTES);
		sealed[(size_t)random() % (bytes + TLS_AEAD_TAG_BYTES)] ^=
			(uint8_t)(1u << random() % 8);
		assert_int_equal(tls_aead_open(a[i], sealed, sealed, bytes + TLS_AEAD_TAG_BYTES,
					       nonce, aad, aad_bytes),
				 RSTUN_E_MALFORMED);
	}
}

static void test_libraries_agree(void **state)
{
	uint8_t *const end[] = {fenced(16384), fenced(16384 + TLS_AEAD_TAG_BYTES), fenced(64),
				fenced(64)};
	uint8_t *key_end = fenced(TLS_AEAD_KEY_MAX);

	(void)state;
	srandom(1);
	for (int suite = TLS_AEAD_AES_128_GCM; suite <= TLS_AEAD_CHACHA20_POLY1305; suite++) {
		uint8_t *key = key_end - tls_aead_key_bytes((enum tls_aead_suite)suite);

		for (int round = 0; round < 2; round++) {
			struct tls_aead *a[2];

			for (uint8_t *p = key; p < key_end; p++)
				*p = (uint8_t)random();
			for (int i = 0; i < 2; i++) {
				without_imb = i == 0;
				assert_int_equal(tls_aead_new(&a[i], (enum tls_aead_suite)suite, key,
							      false),
						 0);
			}
			for (size_t n = 0; n <= 1600; n++)
				expect_same(a, n, n % 26, end);
			for (size_t n = 1601; n <= 16384; n += 67)
				expect_same(a, n, n % 26, end);
			tls_aead_free(a[0]);
			tls_aead_free(a[1]);
		}
	}
}

/* ---- memory ---- */

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
gcry_error_t __real_gcry_cipher_open(gcry_cipher_hd_t *ret, int algo, int mode, unsigned flags);
gcry_error_t __wrap_gcry_cipher_open(gcry_cipher_hd_t *ret, int algo, int mode, unsigned flags);
gcry_error_t __real_gcry_cipher_setkey(gcry_cipher_hd_t h, const void *key, size_t bytes);
gcry_error_t __wrap_gcry_cipher_setkey(gcry_cipher_hd_t h, const void *key, size_t bytes);

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

static unsigned countdown; /* to the call that fails; 0 = none does */

static bool refused(void)
{
	return countdown > 0 && --countdown == 0;
}

void *__wrap_calloc(size_t n, size_t bytes)
{
	return refused() ? NULL : __real_calloc(n, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
	return refused() ? NULL : __real_aligned_alloc(alignment, bytes);
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
	static const uint8_t key[TLS_AEAD_KEY_MAX] = {1};
	static const int libgcrypt[] = {RSTUN_E_NOMEM, RSTUN_E_NOMEM, RSTUN_E_FAILED, 0};
	static const int imb[] = {RSTUN_E_NOMEM, RSTUN_E_NOMEM, 0, 0};

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		bool mask = i % 2;
		const int *expected = mask || !tls_imb_usable() ? libgcrypt : imb;
		struct tls_aead *a = NULL;
		int rv;

		countdown = i / 2 + 1;
		rv = tls_aead_new(&a, TLS_AEAD_CHACHA20_POLY1305, key, mask);
		countdown = 0;
		assert_int_equal(rv, expected[i / 2]);
		assert_int_equal(a != NULL, rv == 0);
		tls_aead_free(a);
	}
}
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8439),	 cmocka_unit_test(test_rfc9001_a5),
		cmocka_unit_test(test_aes_gcm),	 cmocka_unit_test(test_aes_mask),
		cmocka_unit_test(test_no_memory),
	};
	const struct CMUnitTest both[] = {
		cmocka_unit_test(test_libraries_agree),
	};
	const struct CMUnitTest choice[] = {
		cmocka_unit_test(test_imb_is_used_where_it_can_be),
		cmocka_unit_test(test_imb_refused),
	};
	int failed = 0;

	tls_aead_global_init();
	if (!tls_aead_available())
		return 77; /* FIPS mode */
	if (tls_imb_usable()) {
		failed += cmocka_run_group_tests_name("intel-ipsec-mb", tests, NULL, NULL);
		failed += cmocka_run_group_tests(both, NULL, NULL);
	}
	failed += cmocka_run_group_tests(choice, NULL, NULL);
	failed += cmocka_run_group_tests_name("libgcrypt", tests, by_libgcrypt, NULL);
	return failed;
}

#else
int main(void)
{
	return 77; /* built without libgcrypt: GnuTLS does it all */
}
#endif
