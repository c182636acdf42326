/* SPDX-License-Identifier: MIT */
/*
 * The binary header of the PROXY protocol, version 2, which HAProxy's proxy-protocol.txt describes:
 * it goes before the first byte of a TCP connection and tells a server who is behind the one that
 * connects. Only the encoder. Pure.
 */
#pragma once

#include "base/address.h"

#include <stddef.h>
#include <stdint.h>

#define PROXY_HEADER_MAX 52 /* 16 bytes and an address block of IPv6 */

/* Returns how many bytes. Either address may have len 0, not known: then the header says LOCAL, as
 * for health checks, which tells nothing and must be accepted by whoever reads it. Of two families
 * both are written as IPv6, the other one mapped (RFC 4291 section 2.5.5.2). */
size_t proxy_header_put(uint8_t ret[PROXY_HEADER_MAX], const struct address *source,
			const struct address *destination);
