/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as what a client of a forwarding port sends: the first byte chooses protocol, user and
 * the sizes of pieces. Checks the bounds, and that pieces, single bytes and the whole give the same
 * result, target, consumption and answers. Stateless.
 */
#include "tunnel/proxy_request.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	enum proxy_result result;
	size_t used; /* of all bytes */
	size_t reply_bytes;
	uint8_t reply[4 * PROXY_REPLY_MAX];
	struct target target;
};

static void check(bool good)
{
	if (!good)
		abort();
}

/* A copy of exactly `bytes` bytes, so that a read beyond them is seen. */
static enum proxy_result feed_exact(struct proxy_request *r, const uint8_t *data, size_t bytes,
				    size_t *ret_used, struct proxy_reply *reply)
{
	uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
	const char *why = NULL;
	enum proxy_result result;

	check(copy != NULL);
	memcpy(copy, data, bytes);
	result = proxy_request_feed(r, copy, bytes, ret_used, reply, &why);
	check((result == PROXY_REFUSED) == (why != NULL));
	free(copy);
	return result;
}

static void check_target(const struct target *target)
{
	if (target->kind == TARGET_NAME) {
		check(address_name_valid(target->name, strlen(target->name)));
		check(target->port != 0);
		return;
	}
	check(target->kind == TARGET_ADDRESS && address_port(&target->address) != 0);
}

/* `pieces` chooses sizes: 0 = all at once. */
static void feed_all(struct outcome *ret, enum proxy_kind kind, const char *user,
		     const uint8_t *data, size_t size, unsigned pieces)
{
	struct proxy_request r;
	struct proxy_reply reply;
	size_t seen = 0, used;

	memset(ret, 0, sizeof(*ret));
	proxy_request_init(&r, kind, user);
	do {
		size_t left = size - seen;
		size_t piece = pieces == 0 ? left : 1 + (seen * 7 + pieces * 13) % pieces;

		seen += piece < left ? piece : left;
		ret->result = feed_exact(&r, data + ret->used, seen - ret->used, &used, &reply);
		check(used <= seen - ret->used && reply.bytes <= sizeof(reply.data));
		check(ret->reply_bytes + reply.bytes <= sizeof(ret->reply));
		memcpy(ret->reply + ret->reply_bytes, reply.data, reply.bytes);
		ret->reply_bytes += reply.bytes;
		ret->used += used;
		check(ret->result != PROXY_MORE || seen - ret->used < PROXY_HEAD_MAX);
	} while (ret->result == PROXY_MORE && seen < size);
	if (ret->result == PROXY_READY && !r.udp) { /* UDP ASSOCIATE names none */
		check_target(&r.target);
		ret->target = r.target;
	}
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
	check(a->result == b->result && a->used == b->used);
	check(a->reply_bytes == b->reply_bytes && memcmp(a->reply, b->reply, a->reply_bytes) == 0);
	check(target_equal(&a->target, &b->target));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char user[] = "u:pass";
	struct outcome whole, single, pieces;
	enum proxy_kind kind;
	const char *who;

	if (size == 0)
		return 0;
	kind = data[0] & 1 ? PROXY_HTTP : PROXY_SOCKS5;
	who = data[0] & 2 ? user : NULL;
	feed_all(&whole, kind, who, data + 1, size - 1, 0);
	feed_all(&single, kind, who, data + 1, size - 1, 1);
	feed_all(&pieces, kind, who, data + 1, size - 1, 2 + (data[0] >> 2));
	check_same(&whole, &single);
	check_same(&whole, &pieces);
	return 0;
}
