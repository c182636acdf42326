/* SPDX-License-Identifier: MIT */
/*
 * See automatic.h. Pure, any thread. Where GnuTLS has no code of its own for a processor's AES
 * (32-bit ARM, for one), there is none to speak of.
 */
#include "tls/automatic.h"

#include <string.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#define RANDOM_END 34 /* legacy_version and random */

bool automatic_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
	const unsigned long needed = HWCAP_AES | HWCAP_PMULL;

	return (getauxval(AT_HWCAP) & needed) == needed;
#else
	return false;
#endif
}

bool automatic_is_offered(const uint8_t *hello, size_t bytes)
{
	/* TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256 */
	static const uint8_t order[] = {0x13, 0x01, 0x13, 0x03};
	size_t at;

	if (bytes <= RANDOM_END)
		return false;
	at = RANDOM_END + 1 + hello[RANDOM_END] + 2; /* the session's id, the length of the list */
	if (at + sizeof(order) > bytes)
		return false;
	return ((size_t)hello[at - 2] << 8 | hello[at - 1]) >= sizeof(order) &&
	       memcmp(hello + at, order, sizeof(order)) == 0;
}
