/* SPDX-License-Identifier: MIT */
/*
 * The cipher "auto": AES-128-GCM where both ends have AES in hardware, else ChaCha20-Poly1305.
 *
 * A client knows its own processor only. One without AES prefers ChaCha20. One with AES prefers
 * AES-128-GCM and names ChaCha20 next, an order that no other choice of ours has, nor the original:
 * that leaves the last word to a server of ours, which takes ChaCha20 if it has no AES. Any other
 * order is followed, whatever the server has: somebody has asked for that cipher.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether GnuTLS gets AES-GCM done by this processor: its AES and carry-less multiplication. */
bool automatic_has_aes(void);

/* Whether this ClientHello (its body, RFC 8446 section 4.1.2; anything may be in it) comes from a
 * client that has AES and leaves the choice to the server. */
bool automatic_is_offered(const uint8_t *hello, size_t bytes);
