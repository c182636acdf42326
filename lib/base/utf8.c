/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 decoding, strict (RFC 3629). Pure.
 */
#include "base/utf8.h"

size_t utf8_decode(uint32_t *ret_code, const void *text, size_t text_bytes)
{
	static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
	const uint8_t *p = text;
	uint32_t code;
	size_t length;

	if (text_bytes == 0)
		return 0;
	if (p[0] < 0x80) {
		length = 1;
		code = p[0];
	} else if ((p[0] & 0xe0) == 0xc0) {
		length = 2;
		code = p[0] & 0x1f;
	} else if ((p[0] & 0xf0) == 0xe0) {
		length = 3;
		code = p[0] & 0x0f;
	} else if ((p[0] & 0xf8) == 0xf0) {
		length = 4;
		code = p[0] & 0x07;
	} else {
		return 0;
	}
	if (length > text_bytes)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	/* Overlong forms, surrogates and what lies beyond Unicode: section 3. */
	if (code < lowest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	if (ret_code != NULL)
		*ret_code = code;
	return length;
}

bool utf8_valid(const void *text, size_t text_bytes)
{
	const uint8_t *p = text;

	while (text_bytes > 0) {
		size_t length = utf8_decode(NULL, p, text_bytes);

		if (length == 0)
			return false;
		p += length;
		text_bytes -= length;
	}
	return true;
}

size_t utf8_count(const void *text, size_t text_bytes)
{
	const uint8_t *p = text;
	size_t count = 0;

	while (text_bytes > 0) {
		size_t length = utf8_decode(NULL, p, text_bytes);

		if (length == 0)
			length = 1;
		p += length;
		text_bytes -= length;
		count++;
	}
	return count;
}
