/* SPDX-License-Identifier: MIT */
/*
 * Writes a JSON object (RFC 8259) into memory of the caller: strings, numbers and objects in it,
 * without blanks. For librstun, which has no JSON library. Pure; any thread.
 *
 *	text_json_init(&json, buffer, size);
 *	text_json_string(&json, "type", "log");
 *	text_json_open(&json, "tunnel");
 *	text_json_number(&json, "id", 3);
 *	text_json_close(&json);
 *	bytes = text_json_done(&json);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_json {
	char *buffer;
	size_t size;
	size_t used; /* what was written, or would have been */
	bool comma;  /* goes before the next member */
};

/* Begins the object. `buffer` may be NULL when `size` is 0. */
void text_json_init(struct text_json *json, char *buffer, size_t size);

/* Members. Keys are our own and need no escaping; what is not UTF-8 in `text` becomes U+FFFD. */
void text_json_string(struct text_json *json, const char *key, const char *text);
void text_json_number(struct text_json *json, const char *key, uint64_t number);
void text_json_open(struct text_json *json, const char *key); /* an object in the object */
void text_json_close(struct text_json *json);

/* Ends it. Returns its length without the NUL. If that is not less than `size` the buffer holds ""
 * (where it has a byte for it): half an object is none. */
size_t text_json_done(struct text_json *json);
