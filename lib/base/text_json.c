/* SPDX-License-Identifier: MIT */
/*
 * JSON objects as text. What does not fit is counted and not written; whether all of it did is seen
 * at the end.
 */
#include "base/text_json.h"

#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

static void text_json_put(struct text_json *json, const char *text, size_t bytes)
{
	if (json->used < json->size && bytes < json->size - json->used)
		memcpy(json->buffer + json->used, text, bytes);
	json->used += bytes;
}

static void text_json_key(struct text_json *json, const char *key)
{
	if (json->comma)
		text_json_put(json, ",", 1);
	json->comma = true;
	text_json_put(json, "\"", 1);
	text_json_put(json, key, strlen(key));
	text_json_put(json, "\":", 2);
}

/* RFC 8259 section 7: what must be escaped, and nothing else. */
static void text_json_control(struct text_json *json, unsigned char c)
{
	static const char names[] = {
		['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f',
		['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
	};
	char escape[8];

	if (names[c] != '\0')
		snprintf(escape, sizeof(escape), "\\%c", names[c]);
	else
		snprintf(escape, sizeof(escape), "\\u%04x", c);
	text_json_put(json, escape, strlen(escape));
}

void text_json_init(struct text_json *json, char *buffer, size_t size)
{
	*json = (struct text_json){.buffer = buffer, .size = size};
	text_json_put(json, "{", 1);
}

void text_json_string(struct text_json *json, const char *key, const char *text)
{
	size_t left = strlen(text);

	text_json_key(json, key);
	text_json_put(json, "\"", 1);
	while (left > 0) {
		size_t bytes = utf8_decode(NULL, text, left);

		if (bytes == 0)
			text_json_put(json, "\xef\xbf\xbd", 3);
		else if ((unsigned char)*text < 0x20 || *text == '"' || *text == '\\')
			text_json_control(json, (unsigned char)*text);
		else
			text_json_put(json, text, bytes);
		if (bytes == 0)
			bytes = 1;
		text += bytes;
		left -= bytes;
	}
	text_json_put(json, "\"", 1);
}

void text_json_number(struct text_json *json, const char *key, uint64_t number)
{
	char digits[24];

	text_json_key(json, key);
	text_json_put(json, digits,
		      (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number));
}

void text_json_open(struct text_json *json, const char *key)
{
	text_json_key(json, key);
	text_json_put(json, "{", 1);
	json->comma = false;
}

void text_json_close(struct text_json *json)
{
	text_json_put(json, "}", 1);
	json->comma = true;
}

size_t text_json_done(struct text_json *json)
{
	text_json_close(json);
	if (json->size > 0)
		json->buffer[json->used < json->size ? json->used : 0] = '\0';
	return json->used;
}
