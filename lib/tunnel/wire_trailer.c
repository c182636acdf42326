/* SPDX-License-Identifier: MIT */
/*
 * The records behind a login message or its answer (WIRE.md, section 2), which the original does
 * not look at. Behind the magic there is no guessing: a record that is cut off, of a wrong length
 * or there twice, and text that is not UTF-8, make the message malformed; only types that we do not
 * know are skipped. All integers are big-endian. Pure, any thread.
 */
#include "base/utf8.h"
#include "tunnel/wire_codec.h"

#include <string.h>

static const uint8_t wire_magic[8] = { 'r', 's', 't', 'u', 'n', 'd', 1, '\n' };

enum wire_record {
	WIRE_RECORD_INSTANCE = 1,
	WIRE_RECORD_FEATURES = 2,
	WIRE_RECORD_USER = 3,
	WIRE_RECORD_PROOF = 4,
	WIRE_RECORD_FAILURE = 5,
	WIRE_RECORD_SOFTWARE = 6,
	WIRE_RECORD_BOUND = 7,
	WIRE_RECORD_TARGET = 8,
	WIRE_RECORD_NAME = 9,
};

#define WIRE_USER_MAX 64

/* ---- reading: each takes one record's value and says whether it is well-formed ---- */

static bool read_fixed(uint8_t *ret, size_t size, struct wire_reader *r)
{
	const uint8_t *value = wire_read(r, size);

	if (value)
		memcpy(ret, value, size);
	return value && r->left == 0;
}

/* Text of `min` to `max` bytes: the whole record. */
static bool read_text(char *ret, size_t min, size_t max, struct wire_reader *r)
{
	size_t bytes = r->left;

	return bytes >= min && wire_copy_text(ret, max, wire_read(r, bytes), bytes);
}

static bool read_failure(struct wire_trailer *ret, struct wire_reader *r)
{
	size_t bytes;

	ret->failure_code = (uint16_t)wire_read_be(r, 2);
	ret->failure_retry_ms = (uint32_t)wire_read_be(r, 4);
	bytes = r->left;
	return !r->failed &&
	       wire_copy_prose(ret->failure_text, WIRE_REASON_MAX, wire_read(r, bytes), bytes);
}

/* The form of a flow's target: 4 or 6, octets, port. */
static bool read_bound(struct wire_trailer *ret, struct wire_reader *r)
{
	uint64_t family = wire_read_be(r, 1);
	size_t count = family == 4 ? 4 : 16;
	const uint8_t *octets = wire_read(r, count);
	uint16_t port = (uint16_t)wire_read_be(r, 2);

	if (r->failed || r->left || (family != 4 && family != 6))
		return false;
	wire_set_address(&ret->bound, octets, count, port);
	return true;
}

static bool read_target(struct wire_trailer *ret, struct wire_reader *r)
{
	ret->target.kind = TARGET_NAME;
	ret->target.port = (uint16_t)wire_read_be(r, 2);
	return ret->target.port != 0 && read_text(ret->target.name, 1, ADDRESS_NAME_MAX, r) &&
	       address_name_valid(ret->target.name, strlen(ret->target.name));
}

static bool read_record(struct wire_trailer *ret, uint64_t type, struct wire_reader *r)
{
	bool *has;
	bool ok = true;

	switch (type) {
	case WIRE_RECORD_INSTANCE:
		has = &ret->has_instance;
		ok = read_fixed(ret->instance, sizeof(ret->instance), r);
		break;
	case WIRE_RECORD_FEATURES:
		has = &ret->has_features;
		ret->features = wire_read_be(r, 8);
		ok = !r->failed && r->left == 0;
		break;
	case WIRE_RECORD_USER:
		has = &ret->has_user;
		ok = read_text(ret->user, 1, WIRE_USER_MAX, r);
		break;
	case WIRE_RECORD_PROOF:
		has = &ret->has_proof;
		ok = read_fixed(ret->proof, sizeof(ret->proof), r);
		break;
	case WIRE_RECORD_FAILURE:
		has = &ret->has_failure;
		ok = read_failure(ret, r);
		break;
	case WIRE_RECORD_SOFTWARE:
		has = &ret->has_software;
		ok = read_text(ret->software, 0, WIRE_SOFTWARE_MAX, r);
		break;
	case WIRE_RECORD_BOUND:
		has = &ret->has_bound;
		ok = read_bound(ret, r);
		break;
	case WIRE_RECORD_TARGET:
		has = &ret->has_target;
		ok = read_target(ret, r);
		break;
	case WIRE_RECORD_NAME:
		has = &ret->has_name;
		ok = read_text(ret->name, 0, WIRE_NAME_MAX, r);
		break;
	default:
		return true;
	}
	if (*has)
		return false;
	*has = true;
	return ok;
}

int wire_trailer_read(struct wire_trailer *ret, struct wire_reader *r)
{
	if (r->left < sizeof(wire_magic) || memcmp(r->data, wire_magic, sizeof(wire_magic)) != 0)
		return 0;
	ret->present = true;
	wire_read(r, sizeof(wire_magic));
	while (r->left > 0) {
		uint64_t type = wire_read_be(r, 2);
		size_t bytes = (size_t)wire_read_be(r, 2);
		const uint8_t *value = wire_read(r, bytes);
		struct wire_reader record = { .data = value, .left = bytes };

		if (!value || !read_record(ret, type, &record))
			return RSTUN_E_MALFORMED;
	}
	return 0;
}

/* ---- writing ---- */

static void write_record(struct wire_writer *w, enum wire_record type, const void *value,
			 size_t bytes)
{
	wire_write_be(w, type, 2);
	wire_write_be(w, bytes, 2);
	wire_write(w, value, bytes);
}

static void write_text(struct wire_writer *w, enum wire_record type, const char *text)
{
	size_t bytes = strlen(text);

	if (!utf8_valid(text, bytes) || (type == WIRE_RECORD_USER && bytes == 0))
		wire_write_error(w, RSTUN_E_MALFORMED);
	write_record(w, type, text, bytes);
}

static void write_failure(struct wire_writer *w, const struct wire_trailer *trailer)
{
	size_t bytes = strlen(trailer->failure_text);

	if (!utf8_valid(trailer->failure_text, bytes))
		wire_write_error(w, RSTUN_E_MALFORMED);
	wire_write_be(w, WIRE_RECORD_FAILURE, 2);
	wire_write_be(w, 6 + bytes, 2);
	wire_write_be(w, trailer->failure_code, 2);
	wire_write_be(w, trailer->failure_retry_ms, 4);
	wire_write(w, trailer->failure_text, bytes);
}

static void write_bound(struct wire_writer *w, const struct address *bound)
{
	const uint8_t *octets = NULL;
	size_t count = wire_octets(bound, &octets);

	if (count == 0)
		wire_write_error(w, RSTUN_E_MALFORMED);
	wire_write_be(w, WIRE_RECORD_BOUND, 2);
	wire_write_be(w, 3 + count, 2);
	wire_write_be(w, count == 4 ? 4 : 6, 1);
	wire_write(w, octets, count);
	wire_write_be(w, address_port(bound), 2);
}

static void write_target(struct wire_writer *w, const struct target *target)
{
	size_t bytes = strlen(target->name);

	if (target->kind != TARGET_NAME || target->port == 0 ||
	    !address_name_valid(target->name, bytes))
		wire_write_error(w, RSTUN_E_MALFORMED);
	wire_write_be(w, WIRE_RECORD_TARGET, 2);
	wire_write_be(w, 2 + bytes, 2);
	wire_write_be(w, target->port, 2);
	wire_write(w, target->name, bytes);
}

void wire_trailer_write(struct wire_writer *w, const struct wire_trailer *trailer)
{
	wire_write(w, wire_magic, sizeof(wire_magic));
	if (trailer->has_instance)
		write_record(w, WIRE_RECORD_INSTANCE, trailer->instance, sizeof(trailer->instance));
	if (trailer->has_features) {
		wire_write_be(w, WIRE_RECORD_FEATURES, 2);
		wire_write_be(w, 8, 2);
		wire_write_be(w, trailer->features, 8);
	}
	if (trailer->has_user)
		write_text(w, WIRE_RECORD_USER, trailer->user);
	if (trailer->has_proof)
		write_record(w, WIRE_RECORD_PROOF, trailer->proof, sizeof(trailer->proof));
	if (trailer->has_failure)
		write_failure(w, trailer);
	if (trailer->has_software)
		write_text(w, WIRE_RECORD_SOFTWARE, trailer->software);
	if (trailer->has_bound)
		write_bound(w, &trailer->bound);
	if (trailer->has_target)
		write_target(w, &trailer->target);
	if (trailer->has_name)
		write_text(w, WIRE_RECORD_NAME, trailer->name);
}
