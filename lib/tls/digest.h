/* SPDX-License-Identifier: MIT */
/*
 * The few digests the engine needs, so that no other folder includes a crypto library.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIGEST_SHA256_BYTES 32

void digest_sha256(uint8_t ret[DIGEST_SHA256_BYTES], const void *data, size_t bytes);
void digest_hmac_sha256(uint8_t ret[DIGEST_SHA256_BYTES], const void *key, size_t key_bytes,
			const void *data, size_t bytes);
/* Equal? In time that depends on `bytes` only. */
bool digest_equal(const void *a, const void *b, size_t bytes);
