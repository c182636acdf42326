/* SPDX-License-Identifier: MIT */
/*
 * Frames and bodies of rstun v0.8.10's control messages (WIRE.md, section 1). The body is bincode 2
 * in its "standard" form as the original's decoder reads it: an integer may be longer than
 * necessary but not of a wider type than its field (a port never comes as u32), bool and Option are
 * 0 or 1, a variant is a u32 varint, and what follows the message in its frame is not looked at,
 * except for our trailer (wire_trailer.c). Pure, any thread.
 */
#include "tunnel/wire.h"

#include "base/random.h"
#include "base/utf8.h"
#include "tunnel/wire_codec.h"

#include <string.h>

#define WIRE_HEADER_BYTES 4

enum wire_varint {
	WIRE_VARINT_SINGLE_MAX = 250,
	WIRE_VARINT_U16 = 251,
	WIRE_VARINT_U32 = 252,
	WIRE_VARINT_U64 = 253, /* 254 is u128 and 255 reserved: no field of ours is that wide */
};

enum wire_tunnel {
	WIRE_TUNNEL_NETWORK,
	WIRE_TUNNEL_CHANNEL,
};

/* ---- values ---- */

bool wire_copy_text(char *ret, size_t max, const uint8_t *text, size_t bytes)
{
	if (!text || bytes > max || !utf8_valid(text, bytes) || memchr(text, 0, bytes))
		return false;
	memcpy(ret, text, bytes);
	ret[bytes] = '\0';
	return true;
}

/* The longest start of valid UTF-8 that has at most `max` bytes and ends with a whole character. */
static size_t cut_text(const uint8_t *text, size_t bytes, size_t max)
{
	if (bytes <= max)
		return bytes;
	while (max > 0 && (text[max] & 0xc0) == 0x80)
		max--;
	return max;
}

bool wire_copy_prose(char *ret, size_t max, const void *text, size_t bytes)
{
	const uint8_t *at = text;
	size_t i;

	if (!at || !utf8_valid(at, bytes))
		return false;
	bytes = cut_text(at, bytes, max);
	for (i = 0; i < bytes; i++)
		ret[i] = at[i] ? (char)at[i] : ' ';
	ret[bytes] = '\0';
	return true;
}

void wire_set_address(struct address *ret, const uint8_t *octets, size_t octet_count, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	/* A mapped IPv4 address becomes IPv4 here, so that no rule can be slipped past with it. */
	if (octet_count == 4) {
		memcpy(&in.sin_addr, octets, 4);
		address_from_sockaddr(ret, (const struct sockaddr *)&in, sizeof(in));
	} else {
		memcpy(&in6.sin6_addr, octets, 16);
		address_from_sockaddr(ret, (const struct sockaddr *)&in6, sizeof(in6));
	}
}

size_t wire_octets(const struct address *address, const uint8_t **ret)
{
	if (address->len == 0)
		return 0;
	if (address->sa.sa_family == AF_INET) {
		*ret = (const uint8_t *)&address->in.sin_addr;
		return 4;
	}
	if (address->sa.sa_family == AF_INET6) {
		*ret = (const uint8_t *)&address->in6.sin6_addr;
		return 16;
	}
	return 0;
}

/* ---- bincode, reading ---- */

/* `width`: bytes of the field's type (2, 4, 8). */
static uint64_t read_varint(struct wire_reader *r, size_t width)
{
	uint64_t first = wire_read_be(r, 1);

	if (first <= WIRE_VARINT_SINGLE_MAX)
		return first;
	if (first == WIRE_VARINT_U16)
		return wire_read_le(r, 2);
	if (first == WIRE_VARINT_U32 && width >= 4)
		return wire_read_le(r, 4);
	if (first == WIRE_VARINT_U64 && width >= 8)
		return wire_read_le(r, 8);
	r->failed = true;
	return 0;
}

/* A variant index up to `max`. */
static unsigned read_variant(struct wire_reader *r, unsigned max)
{
	uint64_t value = read_varint(r, 4);

	if (value > max) {
		r->failed = true;
		return 0;
	}
	return (unsigned)value;
}

/* bool and the tag of an Option: one byte, not a varint. */
static bool read_bool(struct wire_reader *r)
{
	uint64_t value = wire_read_be(r, 1);

	if (value > 1)
		r->failed = true;
	return value == 1;
}

/* A string's bytes, viewed in the frame; *ret_bytes is its length. NULL when it does not fit. */
static const uint8_t *read_string(struct wire_reader *r, size_t *ret_bytes)
{
	uint64_t bytes = read_varint(r, 8);

	if (r->failed || bytes > r->left) {
		r->failed = true;
		return NULL;
	}
	*ret_bytes = (size_t)bytes;
	return wire_read(r, (size_t)bytes);
}

static void read_address(struct wire_reader *r, struct address *ret)
{
	size_t count = read_variant(r, 1) == 0 ? 4 : 16;
	const uint8_t *octets = wire_read(r, count);
	uint16_t port = (uint16_t)read_varint(r, 2);

	if (!r->failed)
		wire_set_address(ret, octets, count, port);
}

static void read_login(struct wire_reader *r, struct wire_login *ret)
{
	size_t bytes = 0;
	const uint8_t *text = read_string(r, &bytes);

	if (!wire_copy_text(ret->password, WIRE_PASSWORD_MAX, text, bytes))
		r->failed = true;
	ret->channel = read_variant(r, 1) == WIRE_TUNNEL_CHANNEL;
	if (!ret->channel) {
		ret->mode = read_variant(r, 1) == 0 ? MAPPING_IN : MAPPING_OUT;
		ret->has_local = read_bool(r);
		if (ret->has_local)
			read_address(r, &ret->local);
		ret->has_upstream = read_bool(r);
		if (ret->has_upstream)
			read_address(r, &ret->upstream);
	}
	ret->proto = read_variant(r, 1) == 0 ? MAPPING_TCP : MAPPING_UDP;
	ret->tcp_timeout_ms = read_varint(r, 8);
	ret->udp_timeout_ms = read_varint(r, 8);
}

static void read_body(struct wire_reader *r, struct wire_message *ret)
{
	size_t bytes = 0;
	const uint8_t *text;

	ret->kind = (enum wire_kind)read_variant(r, WIRE_RESP_SUCCESS);
	switch (ret->kind) {
	case WIRE_REQ_LOGIN:
		read_login(r, &ret->login);
		break;
	case WIRE_REQ_HEARTBEAT:
	case WIRE_RESP_HEARTBEAT:
		ret->seq = read_varint(r, 8);
		break;
	case WIRE_RESP_FAILURE:
		text = read_string(r, &bytes);
		if (!wire_copy_prose(ret->reason, WIRE_REASON_MAX, text, bytes))
			r->failed = true;
		break;
	case WIRE_RESP_SUCCESS:
		ret->ipv6_supported = read_bool(r);
		break;
	}
}

static bool has_trailer(enum wire_kind kind)
{
	return kind == WIRE_REQ_LOGIN || kind == WIRE_RESP_FAILURE || kind == WIRE_RESP_SUCCESS;
}

int wire_decode(struct wire_message *ret, size_t *ret_used, const uint8_t *data, size_t bytes)
{
	struct wire_message message = { 0 };
	struct wire_reader r;
	size_t body;
	int err = 0;

	if (bytes < WIRE_HEADER_BYTES) {
		*ret_used = WIRE_HEADER_BYTES;
		return RSTUN_E_AGAIN;
	}
	body = (size_t)data[0] << 24 | (size_t)data[1] << 16 | (size_t)data[2] << 8 | data[3];
	if (body > WIRE_FRAME_MAX)
		return RSTUN_E_TOO_LARGE;
	if (bytes - WIRE_HEADER_BYTES < body) {
		*ret_used = WIRE_HEADER_BYTES + body;
		return RSTUN_E_AGAIN;
	}
	r = (struct wire_reader){ .data = data + WIRE_HEADER_BYTES, .left = body };
	read_body(&r, &message);
	if (r.failed)
		err = RSTUN_E_MALFORMED;
	else if (has_trailer(message.kind))
		err = wire_trailer_read(&message.trailer, &r);
	if (!err) {
		*ret = message;
		*ret_used = WIRE_HEADER_BYTES + body;
	}
	secret_wipe(&message, sizeof(message)); /* it may hold a password */
	return err;
}

/* ---- bincode, writing ---- */

static void write_varint(struct wire_writer *w, uint64_t value)
{
	if (value <= WIRE_VARINT_SINGLE_MAX) {
		wire_write_le(w, value, 1);
	} else if (value <= UINT16_MAX) {
		wire_write_le(w, WIRE_VARINT_U16, 1);
		wire_write_le(w, value, 2);
	} else if (value <= UINT32_MAX) {
		wire_write_le(w, WIRE_VARINT_U32, 1);
		wire_write_le(w, value, 4);
	} else {
		wire_write_le(w, WIRE_VARINT_U64, 1);
		wire_write_le(w, value, 8);
	}
}

static void write_string(struct wire_writer *w, const char *text)
{
	size_t bytes = strlen(text);

	if (!utf8_valid(text, bytes))
		wire_write_error(w, RSTUN_E_MALFORMED); /* the far side would drop the connection */
	write_varint(w, bytes);
	wire_write(w, text, bytes);
}

static void write_optional_address(struct wire_writer *w, bool has, const struct address *address)
{
	const uint8_t *octets = NULL;
	size_t count;

	write_varint(w, has);
	if (!has)
		return;
	count = wire_octets(address, &octets);
	if (count == 0)
		wire_write_error(w, RSTUN_E_MALFORMED);
	write_varint(w, count == 16);
	wire_write(w, octets, count);
	write_varint(w, address_port(address));
}

static void write_login(struct wire_writer *w, const struct wire_login *login)
{
	write_string(w, login->password);
	write_varint(w, login->channel ? WIRE_TUNNEL_CHANNEL : WIRE_TUNNEL_NETWORK);
	if (!login->channel) {
		write_varint(w, login->mode == MAPPING_OUT);
		write_optional_address(w, login->has_local, &login->local);
		write_optional_address(w, login->has_upstream, &login->upstream);
	}
	write_varint(w, login->proto == MAPPING_UDP);
	write_varint(w, login->tcp_timeout_ms);
	write_varint(w, login->udp_timeout_ms);
}

int wire_encode(uint8_t *buf, size_t size, const struct wire_message *message)
{
	struct wire_writer w = { .data = buf, .size = size };
	struct wire_writer header = { .data = buf, .size = WIRE_HEADER_BYTES };

	wire_write_be(&w, 0, WIRE_HEADER_BYTES);
	write_varint(&w, message->kind);
	switch (message->kind) {
	case WIRE_REQ_LOGIN:
		write_login(&w, &message->login);
		break;
	case WIRE_REQ_HEARTBEAT:
	case WIRE_RESP_HEARTBEAT:
		write_varint(&w, message->seq);
		break;
	case WIRE_RESP_FAILURE:
		write_string(&w, message->reason);
		break;
	case WIRE_RESP_SUCCESS:
		write_varint(&w, message->ipv6_supported);
		break;
	}
	if (has_trailer(message->kind) && message->trailer.present)
		wire_trailer_write(&w, &message->trailer);
	if (w.error)
		return w.error;
	wire_write_be(&header, w.used - WIRE_HEADER_BYTES, WIRE_HEADER_BYTES);
	return (int)w.used;
}
