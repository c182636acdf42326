/* SPDX-License-Identifier: MIT */
/*
 * The target at the head of a flow's stream and the length before a datagram (WIRE.md section 1).
 * Pure functions on bytes: no state, no allocation, any thread.
 *
 * A reader says "malformed" at the first byte that makes it so, not when the last one has come: a
 * peer that sends nonsense is answered at once.
 */
#include "relay/frame.h"

#include "base/error.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

void frame_put_header(uint8_t buf[FRAME_HEADER_BYTES], uint16_t datagram_bytes)
{
	buf[0] = (uint8_t)(datagram_bytes >> 8);
	buf[1] = (uint8_t)(datagram_bytes & 0xff);
}

uint16_t frame_get_header(const uint8_t buf[FRAME_HEADER_BYTES])
{
	return (uint16_t)((buf[0] << 8) | buf[1]);
}

size_t frame_put_target(uint8_t *buf, const struct target *target)
{
	const struct address *address = &target->address;
	size_t bytes;

	switch (target->kind) {
	case TARGET_DEFAULT:
	case TARGET_SOCKS5: /* never a flow's: it has been asked for by then */
	case TARGET_HTTP:
	case TARGET_UNIX: /* nor this: there is no form for it */
		break;
	case TARGET_NAME:
		bytes = strnlen(target->name, ADDRESS_NAME_MAX);
		buf[0] = FRAME_FAMILY_NAME;
		buf[1] = (uint8_t)bytes;
		memcpy(buf + 2, target->name, bytes);
		frame_put_header(buf + 2 + bytes, target->port);
		return 2 + bytes + 2;
	case TARGET_ADDRESS:
		if (address->sa.sa_family == AF_INET) {
			buf[0] = FRAME_FAMILY_IPV4;
			memcpy(buf + 1, &address->in.sin_addr, 4);
			memcpy(buf + 5, &address->in.sin_port, 2);
			return 7;
		}
		buf[0] = FRAME_FAMILY_IPV6;
		memcpy(buf + 1, &address->in6.sin6_addr, 16);
		memcpy(buf + 17, &address->in6.sin6_port, 2);
		return 19;
	}
	buf[0] = FRAME_FAMILY_DEFAULT;
	return 1;
}

static int frame_get_address(struct target *ret, size_t *ret_used, const uint8_t *data,
			     size_t bytes)
{
	size_t ip_bytes = data[0] == FRAME_FAMILY_IPV4 ? 4 : 16;
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct target target = {.kind = TARGET_ADDRESS};
	int rc;

	if (bytes < 1 + ip_bytes + 2)
		return RSTUN_E_AGAIN;
	if (ip_bytes == 4) {
		memcpy(&in.sin_addr, data + 1, 4);
		memcpy(&in.sin_port, data + 5, 2);
		rc = address_from_sockaddr(&target.address, (const struct sockaddr *)&in,
					   sizeof(in));
	} else {
		memcpy(&in6.sin6_addr, data + 1, 16);
		memcpy(&in6.sin6_port, data + 17, 2);
		rc = address_from_sockaddr(&target.address, (const struct sockaddr *)&in6,
					   sizeof(in6));
	}
	if (rc != 0)
		return RSTUN_E_MALFORMED;
	*ret = target;
	*ret_used = 1 + ip_bytes + 2;
	return 0;
}

static int frame_get_name(struct target *ret, size_t *ret_used, const uint8_t *data, size_t bytes)
{
	struct target target = {.kind = TARGET_NAME};
	const char *name = (const char *)data + 2;
	size_t name_bytes;
	uint16_t port;

	if (bytes < 2)
		return RSTUN_E_AGAIN;
	name_bytes = data[1];
	if (name_bytes == 0 || name_bytes > ADDRESS_NAME_MAX + 1) /* one more for a trailing dot */
		return RSTUN_E_MALFORMED;
	if (bytes < 2 + name_bytes + 2)
		return RSTUN_E_AGAIN;
	*ret_used = 2 + name_bytes + 2;
	port = frame_get_header(data + 2 + name_bytes);
	/* The original resolves "127.0.0.1" as a name too: an address in a name's clothes is an
	 * address. */
	if (address_parse_ip(&target.address, name, name_bytes, port) == 0) {
		target.kind = TARGET_ADDRESS;
		*ret = target;
		return 0;
	}
	if (name[name_bytes - 1] == '.')
		name_bytes--;
	if (name_bytes == 0 || name_bytes > ADDRESS_NAME_MAX ||
	    !address_name_valid(name, name_bytes))
		return RSTUN_E_MALFORMED;
	memcpy(target.name, name, name_bytes);
	target.port = port;
	*ret = target;
	return 0;
}

int frame_get_target(struct target *ret, size_t *ret_used, const uint8_t *data, size_t bytes)
{
	size_t used = 0;
	int rc;

	if (bytes == 0)
		return RSTUN_E_AGAIN;
	switch (data[0]) {
	case FRAME_FAMILY_DEFAULT:
		*ret = (struct target){.kind = TARGET_DEFAULT};
		*ret_used = 1;
		return 0;
	case FRAME_FAMILY_NAME:
		rc = frame_get_name(ret, &used, data, bytes);
		break;
	case FRAME_FAMILY_IPV4:
	case FRAME_FAMILY_IPV6:
		rc = frame_get_address(ret, &used, data, bytes);
		break;
	default:
		return RSTUN_E_MALFORMED;
	}
	if (rc == 0)
		*ret_used = used;
	return rc;
}

/* The same but for the numbers of the families. */
int frame_get_socks_target(struct target *ret, size_t *ret_used, const uint8_t *data, size_t bytes)
{
	static const uint8_t families[] = {
		[1] = FRAME_FAMILY_IPV4,
		[3] = FRAME_FAMILY_NAME,
		[4] = FRAME_FAMILY_IPV6,
	};
	uint8_t frame[FRAME_TARGET_MAX];

	if (bytes == 0)
		return RSTUN_E_AGAIN;
	if (data[0] >= sizeof(families) || families[data[0]] == 0)
		return RSTUN_E_UNSUPPORTED;
	bytes = bytes < sizeof(frame) ? bytes : sizeof(frame);
	memcpy(frame, data, bytes);
	frame[0] = families[data[0]];
	/* A scope names an interface of whoever dials, which a client cannot know. */
	if (frame[0] == FRAME_FAMILY_NAME && bytes > 2 &&
	    memchr(frame + 2, '%', frame[1] < bytes - 2 ? frame[1] : bytes - 2) != NULL)
		return RSTUN_E_MALFORMED;
	return frame_get_target(ret, ret_used, frame, bytes);
}
