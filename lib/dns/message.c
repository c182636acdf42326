/* SPDX-License-Identifier: MIT */
/*
 * DNS queries and answers. Names are compared in wire form, lower case and without compression, so
 * that a label with a dot inside cannot pose as two. A compression pointer must point before the
 * name that it ends (RFC 1035 section 4.1.4), so no chain of them loops.
 */
#include "dns/message.h"

#include "base/error.h"

#include <string.h>

#define NAME_BYTES_MAX 255
#define LABEL_BYTES_MAX 63
#define CLASS_IN 1
#define TYPE_CNAME 5
#define CNAMES_MAX 16
#define RECORDS_MAX 512 /* more in one answer are not looked at */

struct name {
	size_t bytes; /* with the empty root label */
	uint8_t wire[NAME_BYTES_MAX];
};

struct record {
	struct name owner;
	uint16_t type, class;
	size_t data_at, data_bytes;
};

static uint16_t get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put_u16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool name_equal(const struct name *a, const struct name *b)
{
	return a->bytes == b->bytes && memcmp(a->wire, b->wire, a->bytes) == 0;
}

/* Text to wire form, in the letters given. */
static int name_from_text(struct name *ret, const char *text)
{
	size_t length = strlen(text), at = 0;

	if (length > 0 && text[length - 1] == '.')
		length--;
	ret->bytes = 0;
	while (at < length) {
		const char *dot = memchr(text + at, '.', length - at);
		size_t label = dot ? (size_t)(dot - text) - at : length - at;

		if (label == 0 || label > LABEL_BYTES_MAX ||
		    ret->bytes + 1 + label + 1 > NAME_BYTES_MAX)
			return RSTUN_E_MALFORMED;
		ret->wire[ret->bytes++] = (uint8_t)label;
		memcpy(ret->wire + ret->bytes, text + at, label);
		ret->bytes += label;
		at += label + 1;
		if (dot && at == length)
			return RSTUN_E_MALFORMED; /* "a.." */
	}
	if (ret->bytes == 0)
		return RSTUN_E_MALFORMED;
	ret->wire[ret->bytes++] = 0;
	return 0;
}

static void name_lower(struct name *n)
{
	for (size_t i = 0; i < n->bytes; i++)
		n->wire[i] = lower(n->wire[i]); /* lengths are below 'A' */
}

/* Reads a name at *at, lower case, and moves *at behind it. */
static int name_read(struct name *ret, const uint8_t *data, size_t bytes, size_t *at)
{
	size_t pos = *at, limit = *at, end = 0;

	ret->bytes = 0;
	for (;;) {
		size_t length;

		if (pos >= bytes)
			return RSTUN_E_MALFORMED;
		length = data[pos];
		if ((length & 0xc0) == 0xc0) {
			size_t target;

			if (pos + 2 > bytes)
				return RSTUN_E_MALFORMED;
			target = get_u16(data + pos) & 0x3fffu;
			if (end == 0)
				end = pos + 2;
			if (target >= limit)
				return RSTUN_E_MALFORMED;
			pos = limit = target;
			continue;
		}
		if (length > LABEL_BYTES_MAX || pos + 1 + length > bytes ||
		    ret->bytes + 1 + length > NAME_BYTES_MAX)
			return RSTUN_E_MALFORMED;
		ret->wire[ret->bytes++] = (uint8_t)length;
		for (size_t i = 0; i < length; i++)
			ret->wire[ret->bytes++] = lower(data[pos + 1 + i]);
		pos += 1 + length;
		if (length == 0)
			break;
	}
	*at = end ? end : pos;
	return 0;
}

static int record_read(struct record *ret, const uint8_t *data, size_t bytes, size_t *at)
{
	int rv = name_read(&ret->owner, data, bytes, at);

	if (rv)
		return rv;
	if (bytes - *at < 10)
		return RSTUN_E_MALFORMED;
	ret->type = get_u16(data + *at);
	ret->class = get_u16(data + *at + 2);
	ret->data_bytes = get_u16(data + *at + 8);
	ret->data_at = *at + 10;
	if (bytes - ret->data_at < ret->data_bytes)
		return RSTUN_E_MALFORMED;
	*at = ret->data_at + ret->data_bytes;
	return 0;
}

int message_query(uint8_t buf[MESSAGE_QUERY_MAX], size_t *ret_bytes, uint16_t id, const char *name,
		  uint16_t type)
{
	struct name n;
	int rv = name_from_text(&n, name);

	if (rv)
		return rv;
	memset(buf, 0, MESSAGE_HEADER_BYTES);
	put_u16(buf, id);
	buf[2] = 0x01; /* recursion desired */
	put_u16(buf + 4, 1);
	memcpy(buf + MESSAGE_HEADER_BYTES, n.wire, n.bytes);
	put_u16(buf + MESSAGE_HEADER_BYTES + n.bytes, type);
	put_u16(buf + MESSAGE_HEADER_BYTES + n.bytes + 2, CLASS_IN);
	*ret_bytes = MESSAGE_HEADER_BYTES + n.bytes + 4;
	return 0;
}

uint16_t message_id(const uint8_t *data)
{
	return get_u16(data);
}

static void add_address(struct message_answer *answer, const uint8_t *data, size_t bytes)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	struct address *a = &answer->addresses[answer->count];

	if (answer->count == MESSAGE_ADDRESSES_MAX)
		return;
	if (bytes == 4) {
		memcpy(&in.sin_addr, data, 4);
		address_from_sockaddr(a, (struct sockaddr *)&in, sizeof(in));
	} else {
		memcpy(&in6.sin6_addr, data, 16);
		address_from_sockaddr(a, (struct sockaddr *)&in6, sizeof(in6));
	}
	answer->count++;
}

/* One pass over the answer section: addresses of `owner`, or else where its CNAME leads (*owner
 * changes and true is returned in *ret_moved). */
static int read_answers(struct message_answer *ret, const uint8_t *data, size_t bytes, size_t at,
			unsigned records, uint16_t type, struct name *owner, bool *ret_moved)
{
	size_t wanted = type == MESSAGE_TYPE_A ? 4 : 16;
	struct name target = {0};
	bool has_target = false;

	for (unsigned i = 0; i < records; i++) {
		struct record r;
		int rv = record_read(&r, data, bytes, &at);

		if (rv)
			return rv;
		if (r.class != CLASS_IN || !name_equal(&r.owner, owner))
			continue;
		if (r.type == type) {
			if (r.data_bytes != wanted)
				return RSTUN_E_MALFORMED;
			add_address(ret, data + r.data_at, r.data_bytes);
		} else if (r.type == TYPE_CNAME && !has_target) {
			size_t target_at = r.data_at;

			rv = name_read(&target, data, bytes, &target_at);
			if (rv || target_at != r.data_at + r.data_bytes)
				return RSTUN_E_MALFORMED;
			has_target = true;
		}
	}
	*ret_moved = has_target && ret->count == 0;
	if (*ret_moved)
		*owner = target;
	return 0;
}

int message_parse(struct message_answer *ret, const uint8_t *data, size_t bytes, uint16_t id,
		  const char *name, uint16_t type)
{
	struct message_answer answer = {0};
	struct name question, owner;
	size_t at = MESSAGE_HEADER_BYTES;
	unsigned records;
	bool moved = true;
	int rv = name_from_text(&owner, name);

	if (rv)
		return rv;
	name_lower(&owner);
	/* An answer (QR) to a standard query with one question, ours. */
	if (bytes < MESSAGE_HEADER_BYTES || get_u16(data) != id || (data[2] & 0xf8) != 0x80 ||
	    get_u16(data + 4) != 1)
		return RSTUN_E_MALFORMED;
	rv = name_read(&question, data, bytes, &at);
	if (rv)
		return rv;
	if (bytes - at < 4 || !name_equal(&question, &owner) || get_u16(data + at) != type ||
	    get_u16(data + at + 2) != CLASS_IN)
		return RSTUN_E_MALFORMED;
	at += 4;
	answer.truncated = data[2] & 0x02;
	answer.rcode = data[3] & 0x0f;
	records = get_u16(data + 6);
	if (records > RECORDS_MAX)
		records = RECORDS_MAX;
	if (answer.rcode == MESSAGE_NOERROR)
		for (unsigned i = 0; moved && i <= CNAMES_MAX; i++) {
			rv = read_answers(&answer, data, bytes, at, records, type, &owner, &moved);
			if (rv)
				return rv;
		}
	*ret = answer;
	return 0;
}

const char *message_rcode_text(unsigned rcode)
{
	switch (rcode) {
	case MESSAGE_NOERROR:
		return "the name has no address";
	case MESSAGE_FORMERR:
		return "the server did not understand the question";
	case MESSAGE_SERVFAIL:
		return "the server could not find out";
	case MESSAGE_NXDOMAIN:
		return "the name does not exist";
	case MESSAGE_NOTIMP:
		return "the server does not support the question";
	case MESSAGE_REFUSED:
		return "the server refused to answer";
	default:
		return "the server answered with an unknown code";
	}
}
