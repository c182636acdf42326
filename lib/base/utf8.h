/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing beyond U+10FFFF. Strings of
 * the wire and passwords must be UTF-8; log lines escape what is not. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1 to 4) of the character that `text` begins with, 0 if it is not valid or cut
 * off. *ret_code (may be NULL) is its code point. */
size_t utf8_decode(uint32_t *ret_code, const void *text, size_t text_bytes);

bool utf8_valid(const void *text, size_t text_bytes);

/* Characters in `text_bytes` bytes; an invalid byte counts as one. For columns in messages. */
size_t utf8_count(const void *text, size_t text_bytes);
