/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing primitive values with one sticky error, shared by wire.c (bincode bodies) and
 * wire_trailer.c (our records). A reader never goes beyond its bytes and gives zeros once it has
 * failed; a writer never goes beyond its buffer and reports that once, at the end. Used nowhere
 * else.
 */
#pragma once

#include "base/error.h"
#include "tunnel/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct wire_reader {
	const uint8_t *data;
	size_t left;
	bool failed;
};

struct wire_writer {
	uint8_t *data;
	size_t size, used;
	int error; /* the first one: RSTUN_E_TOO_LARGE or RSTUN_E_MALFORMED */
};

/* The next `bytes` bytes, or NULL (and failed) when there are fewer. */
static inline const uint8_t *wire_read(struct wire_reader *r, size_t bytes)
{
	const uint8_t *at = r->data;

	if (r->failed || bytes > r->left) {
		r->failed = true;
		return NULL;
	}
	r->data += bytes;
	r->left -= bytes;
	return at;
}

static inline uint64_t wire_read_be(struct wire_reader *r, size_t bytes)
{
	const uint8_t *at = wire_read(r, bytes);
	uint64_t value = 0;
	size_t i;

	for (i = 0; at && i < bytes; i++)
		value = value << 8 | at[i];
	return value;
}

static inline uint64_t wire_read_le(struct wire_reader *r, size_t bytes)
{
	const uint8_t *at = wire_read(r, bytes);
	uint64_t value = 0;
	size_t i;

	for (i = bytes; at && i > 0; i--)
		value = value << 8 | at[i - 1];
	return value;
}

static inline void wire_write_error(struct wire_writer *w, int error)
{
	if (!w->error)
		w->error = error;
}

static inline void wire_write(struct wire_writer *w, const void *data, size_t bytes)
{
	if (w->error)
		return;
	if (bytes > w->size - w->used) {
		w->error = RSTUN_E_TOO_LARGE;
		return;
	}
	if (bytes)
		memcpy(w->data + w->used, data, bytes);
	w->used += bytes;
}

static inline void wire_write_be(struct wire_writer *w, uint64_t value, size_t bytes)
{
	uint8_t out[8];
	size_t i;

	for (i = 0; i < bytes; i++)
		out[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
	wire_write(w, out, bytes);
}

static inline void wire_write_le(struct wire_writer *w, uint64_t value, size_t bytes)
{
	uint8_t out[8];
	size_t i;

	for (i = 0; i < bytes; i++)
		out[i] = (uint8_t)(value >> 8 * i);
	wire_write(w, out, bytes);
}

/* An address from raw octets (4 or 16) and a port. */
void wire_set_address(struct address *ret, const uint8_t *octets, size_t octet_count,
		      uint16_t port);
/* The octets of an address and how many (4, 16; 0 = no address). */
size_t wire_octets(const struct address *address, const uint8_t **ret);

/* Copies text of at most `max` bytes into a C string; strict: UTF-8 without NUL, or false. */
bool wire_copy_text(char *ret, size_t max, const uint8_t *text, size_t bytes);

/* Reads everything that is left. No magic: not present, and not an error. RSTUN_E_MALFORMED. */
int wire_trailer_read(struct wire_trailer *ret, struct wire_reader *r);
void wire_trailer_write(struct wire_writer *w, const struct wire_trailer *trailer);
