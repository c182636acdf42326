/* SPDX-License-Identifier: MIT */
/*
 * Permits: how they are written, and what they fit.
 */
#include "config/permit.h"

#include "base/error.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PERMIT_QUOTE_SIZE 161

/* A piece of the text that is parsed. */
struct permit_span {
	const char *at;
	size_t bytes;
};

__attribute__((format(printf, 4, 5))) static int permit_wrong(char *error, size_t size,
							      const char *text,
							      const char *format, ...)
{
	char quoted[PERMIT_QUOTE_SIZE];
	size_t used = (size_t)snprintf(error, size, "\"%s\": ",
				       log_quote(quoted, sizeof(quoted), text, strlen(text)));
	va_list args;

	va_start(args, format);
	if (used < size)
		vsnprintf(error + used, size - used, format, args);
	va_end(args);
	return RSTUN_E_MALFORMED;
}

/* Digits only. */
static bool permit_number(unsigned *ret, const struct permit_span *span, unsigned max)
{
	unsigned value = 0;

	for (size_t i = 0; i < span->bytes; i++) {
		if (span->at[i] < '0' || span->at[i] > '9')
			return false;
		value = value * 10 + (unsigned)(span->at[i] - '0');
		if (value > max)
			return false;
	}
	*ret = value;
	return span->bytes > 0;
}

static const uint8_t *permit_bytes(const struct address *a, unsigned *ret_bits)
{
	bool v6 = a->sa.sa_family == AF_INET6;

	*ret_bits = v6 ? 128 : 32;
	return v6 ? a->in6.sin6_addr.s6_addr : (const uint8_t *)&a->in.sin_addr;
}

/* Whether the bits of a and b from `first` on, `count` of them, are the same; b NULL: are zero. */
static bool permit_same_bits(const uint8_t *a, const uint8_t *b, unsigned first, unsigned count)
{
	for (unsigned i = first; i < first + count; i++) {
		uint8_t differ = a[i / 8] ^ (b != NULL ? b[i / 8] : 0);

		if ((differ >> (7 - i % 8) & 1) != 0)
			return false;
	}
	return true;
}

/* An address, or a network ADDRESS/BITS. RSTUN_E_NOT_FOUND: it is neither. */
static int permit_network(struct permit *ret, const struct permit_span *host, const char *text,
			  char *error, size_t size)
{
	const char *slash = memchr(host->at, '/', host->bytes);
	size_t ip_bytes = slash != NULL ? (size_t)(slash - host->at) : host->bytes;
	struct permit_span length = {host->at + ip_bytes + 1, host->bytes - ip_bytes - 1};
	const uint8_t *bytes;
	unsigned most;

	if (memchr(host->at, '%', host->bytes) != NULL ||
	    address_parse_ip(&ret->network, host->at, ip_bytes, 0) != 0)
		return RSTUN_E_NOT_FOUND;
	ret->kind = PERMIT_NETWORK;
	bytes = permit_bytes(&ret->network, &most);
	ret->bits = most;
	if (slash == NULL) {
		address_unspecified_to_loopback(&ret->network);
		return 0;
	}
	if (!permit_number(&ret->bits, &length, most))
		return permit_wrong(error, size, text,
				    "a network is ADDRESS/BITS with 0 to %u bits", most);
	if (!permit_same_bits(bytes, NULL, ret->bits, most - ret->bits))
		return permit_wrong(error, size, text,
				    "the address of a network of %u bits has only zeros behind "
				    "them", ret->bits);
	return 0;
}

static int permit_name(struct permit *ret, const struct permit_span *host, const char *text,
		       char *error, size_t size)
{
	size_t bytes = host->bytes;

	if (bytes > 1 && host->at[bytes - 1] == '.') /* the root: as without it */
		bytes--;
	if (!address_name_valid(host->at, bytes))
		return permit_wrong(error, size, text,
				    "the host is a name, an IP address, a network such as "
				    "10.0.0.0/8, or * for any");
	ret->kind = PERMIT_NAME;
	memcpy(ret->name, host->at, bytes);
	return 0;
}

static bool permit_is_star(const struct permit_span *span)
{
	return span->bytes == 1 && span->at[0] == '*';
}

/* The host without its brackets, and the port; false: there are none. */
static bool permit_split(struct permit_span *host, struct permit_span *port, const char *text)
{
	const char *colon = strrchr(text, ':');

	if (colon == NULL)
		return false;
	*port = (struct permit_span){colon + 1, strlen(colon + 1)};
	if (text[0] != '[') {
		*host = (struct permit_span){text, (size_t)(colon - text)};
		return memchr(text, ':', host->bytes) == NULL;
	}
	*host = (struct permit_span){text + 1, (size_t)(colon - text) - 1};
	if (host->bytes == 0 || host->at[host->bytes - 1] != ']')
		return false;
	host->bytes--;
	/* Only what has colons of its own is written so. */
	return memchr(host->at, ':', host->bytes) != NULL &&
	       memchr(host->at, '[', host->bytes) == NULL;
}

int permit_parse(struct permit *ret, const char *text, char *error, size_t size)
{
	struct permit permit = {.kind = PERMIT_ANY};
	struct permit_span host, port;
	unsigned number = 0;
	int rv = 0;

	if (!permit_split(&host, &port, text))
		return permit_wrong(error, size, text,
				    "write HOST:PORT, such as example.org:443 or 10.0.0.0/8:*, and "
				    "an IPv6 address or network in brackets");
	if (!permit_is_star(&port) &&
	    (!permit_number(&number, &port, UINT16_MAX) || number == 0))
		return permit_wrong(error, size, text, "the port is 1 to 65535, or * for any");
	permit.port = (uint16_t)number;
	if (!permit_is_star(&host))
		rv = permit_network(&permit, &host, text, error, size);
	if (rv == RSTUN_E_NOT_FOUND)
		rv = permit_name(&permit, &host, text, error, size);
	if (rv == 0)
		*ret = permit;
	return rv;
}

static bool permit_fits(const struct permit *p, const struct target *target)
{
	uint16_t port = target->kind == TARGET_NAME ? target->port : address_port(&target->address);
	struct address address = target->address;
	const uint8_t *asked;
	unsigned most;

	if (p->port != 0 && p->port != port)
		return false;
	switch (p->kind) {
	case PERMIT_ANY:
		return true;
	case PERMIT_NAME:
		return target->kind == TARGET_NAME && strcasecmp(p->name, target->name) == 0;
	case PERMIT_NETWORK:
		if (target->kind != TARGET_ADDRESS ||
		    address.sa.sa_family != p->network.sa.sa_family)
			return false;
		address_unspecified_to_loopback(&address);
		asked = permit_bytes(&address, &most);
		return permit_same_bits(asked, permit_bytes(&p->network, &most), 0, p->bits);
	}
	return false;
}

bool permit_allows(const struct permit *list, size_t count, const struct target *target)
{
	if (target->kind != TARGET_NAME && target->kind != TARGET_ADDRESS)
		return false;
	for (size_t i = 0; i < count; i++)
		if (permit_fits(&list[i], target))
			return true;
	return false;
}
