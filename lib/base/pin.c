/* SPDX-License-Identifier: MIT */
/*
 * Pins as text. Base64 (RFC 4648) of exactly 32 bytes, so the loops are fixed.
 */
#include "base/pin.h"

#include "base/error.h"

#include <string.h>

#define PREFIX "sha256/"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)
#define BASE64_CHARS 43 /* 256 bits, 6 in each, without the padding */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const char *pin_format(char buf[PIN_TEXT_SIZE], const uint8_t pin[PIN_BYTES])
{
	char *out = buf + PREFIX_BYTES;

	memcpy(buf, PREFIX, PREFIX_BYTES);
	for (size_t i = 0; i < BASE64_CHARS; i++) {
		size_t byte = i * 6 / 8;
		unsigned two = (unsigned)pin[byte] << 8;

		if (byte + 1 < PIN_BYTES)
			two |= pin[byte + 1];
		*out++ = alphabet[two >> (10 - i * 6 % 8) & 63];
	}
	*out++ = '=';
	*out = '\0';
	return buf;
}

int pin_parse(uint8_t ret[PIN_BYTES], const char *text)
{
	uint8_t pin[PIN_BYTES + 1] = {0};

	if (strncmp(text, PREFIX, PREFIX_BYTES) != 0)
		return RSTUN_E_MALFORMED;
	text += PREFIX_BYTES;
	for (size_t i = 0; i < BASE64_CHARS; i++) {
		const char *at = text[i] ? strchr(alphabet, text[i]) : NULL;
		unsigned two;

		if (!at)
			return RSTUN_E_MALFORMED;
		two = (unsigned)(at - alphabet) << (10 - i * 6 % 8);
		pin[i * 6 / 8] |= (uint8_t)(two >> 8);
		pin[i * 6 / 8 + 1] |= (uint8_t)two;
	}
	/* The last character carries two bits more than there are: they must be zero. */
	if (pin[PIN_BYTES] != 0)
		return RSTUN_E_MALFORMED;
	text += BASE64_CHARS;
	if (*text == '=')
		text++;
	if (*text)
		return RSTUN_E_MALFORMED;
	memcpy(ret, pin, PIN_BYTES);
	return 0;
}
