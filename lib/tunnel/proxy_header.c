/* SPDX-License-Identifier: MIT */
/*
 * PROXY protocol v2 (proxy-protocol.txt, section 2.2): signature, version and command, family and
 * transport, length of the address block, addresses, ports. Pure.
 */
#include "tunnel/proxy_header.h"

#include <string.h>

enum proxy_header_byte {
	PROXY_HEADER_LOCAL = 0x20, /* version 2 in the upper half */
	PROXY_HEADER_PROXY = 0x21,
	PROXY_HEADER_UNSPEC = 0x00,
	PROXY_HEADER_TCP4 = 0x11,
	PROXY_HEADER_TCP6 = 0x21,
};

static const uint8_t proxy_header_signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
						   0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static uint8_t *proxy_header_put_ip(uint8_t *at, const struct address *address, bool as_ipv6)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool is_ipv6 = address->sa.sa_family == AF_INET6;

	if (is_ipv6) {
		memcpy(at, &address->in6.sin6_addr, 16);
		return at + 16;
	}
	if (as_ipv6) {
		memcpy(at, mapped, sizeof(mapped));
		at += sizeof(mapped);
	}
	memcpy(at, &address->in.sin_addr, 4);
	return at + 4;
}

static uint8_t *proxy_header_put_16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

size_t proxy_header_put(uint8_t ret[PROXY_HEADER_MAX], const struct address *source,
			const struct address *destination)
{
	bool known = source->len != 0 && destination->len != 0;
	bool ipv4 = known && source->sa.sa_family == AF_INET &&
		    destination->sa.sa_family == AF_INET;
	uint8_t *at = ret;

	memcpy(at, proxy_header_signature, sizeof(proxy_header_signature));
	at += sizeof(proxy_header_signature);
	if (!known) {
		*at++ = PROXY_HEADER_LOCAL;
		*at++ = PROXY_HEADER_UNSPEC;
		at = proxy_header_put_16(at, 0);
		return (size_t)(at - ret);
	}
	*at++ = PROXY_HEADER_PROXY;
	*at++ = ipv4 ? PROXY_HEADER_TCP4 : PROXY_HEADER_TCP6;
	at = proxy_header_put_16(at, ipv4 ? 2 * (4 + 2) : 2 * (16 + 2));
	at = proxy_header_put_ip(at, source, !ipv4);
	at = proxy_header_put_ip(at, destination, !ipv4);
	at = proxy_header_put_16(at, address_port(source));
	at = proxy_header_put_16(at, address_port(destination));
	return (size_t)(at - ret);
}
