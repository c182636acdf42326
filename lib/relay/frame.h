/* SPDX-License-Identifier: MIT */
/*
 * The bytes at the beginning of a flow's stream and around UDP datagrams on it (WIRE.md section 1).
 * Pure.
 *   target: 4 + 4 octets + port BE | 6 + 16 octets + port BE | 3 + length + name + port BE |
 *           0 (default)
 *   datagram: length u16 BE + bytes
 */
#pragma once

#include "base/address.h"

#include <stddef.h>
#include <stdint.h>

#define FRAME_TARGET_MAX (1 + 1 + 255 + 2)
#define FRAME_HEADER_BYTES 2
#define FRAME_DATAGRAM_MAX 65535
#define FRAME_ORIGINAL_MAX 1500 /* the original ends a flow whose frame is longer */

/* The first byte of a target. */
enum {
	FRAME_FAMILY_DEFAULT = 0,
	FRAME_FAMILY_NAME = 3,
	FRAME_FAMILY_IPV4 = 4,
	FRAME_FAMILY_IPV6 = 6,
};

/* Returns bytes written; buf >= FRAME_TARGET_MAX. */
size_t frame_put_target(uint8_t *buf, const struct target *target);

/* Reads a target from the front: 0 and *ret_used; RSTUN_E_AGAIN = needs more bytes;
 * RSTUN_E_MALFORMED = unknown family, empty or invalid name. */
int frame_get_target(struct target *ret, size_t *ret_used, const uint8_t *data, size_t bytes);

/* The form that SOCKS5 has for it (RFC 1928 section 5), errors as above; a scope (%eth0) is malformed.
 * RSTUN_E_UNSUPPORTED = unknown family. */
int frame_get_socks_target(struct target *ret, size_t *ret_used, const uint8_t *data, size_t bytes);

void frame_put_header(uint8_t buf[FRAME_HEADER_BYTES], uint16_t datagram_bytes);
uint16_t frame_get_header(const uint8_t buf[FRAME_HEADER_BYTES]);
