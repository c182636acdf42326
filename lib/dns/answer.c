/* SPDX-License-Identifier: MIT */
/*
 * Answers for two families and their order.
 */
#include "dns/answer.h"

#include "base/clock.h"

#include <string.h>

void answer_pair_init(struct answer_pair *p)
{
	memset(p, 0, sizeof(*p));
	p->enough_ns = CLOCK_NEVER;
}

void answer_pair_update(struct answer_pair *p, uint64_t now_ns)
{
	if (p->enough_ns == CLOCK_NEVER && answer_pair_state(p) == ANSWER_FOUND)
		p->enough_ns = clock_after(now_ns, clock_ms(ANSWER_GRACE_MS));
}

bool answer_pair_enough(const struct answer_pair *p, uint64_t now_ns)
{
	return (p->of[ANSWER_V6].state != ANSWER_OPEN && p->of[ANSWER_V4].state != ANSWER_OPEN) ||
	       now_ns >= p->enough_ns;
}

static const struct answer *most_telling(const struct answer_pair *p)
{
	static const enum answer_state order[] = {ANSWER_FOUND, ANSWER_FAILED, ANSWER_UNKNOWN,
						  ANSWER_NONE};

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		for (int f = ANSWER_FAMILIES - 1; f >= 0; f--)
			if (p->of[f].state == order[i])
				return &p->of[f];
	return &p->of[ANSWER_V4];
}

enum answer_state answer_pair_state(const struct answer_pair *p)
{
	return most_telling(p)->state;
}

const char *answer_pair_why(const struct answer_pair *p)
{
	return most_telling(p)->why;
}

static void add(struct resolver_result *result, const struct address *address)
{
	for (size_t i = 0; i < result->count; i++)
		if (address_equal(&result->addresses[i], address))
			return;
	if (result->count < RESOLVER_ADDRESSES_MAX)
		result->addresses[result->count++] = *address;
}

static void interleave(struct resolver_result *result, const struct address *v6, size_t v6_count,
		       const struct address *v4, size_t v4_count)
{
	for (size_t i = 0; i < v6_count || i < v4_count; i++) {
		if (i < v6_count)
			add(result, &v6[i]);
		if (i < v4_count)
			add(result, &v4[i]);
	}
}

void answer_pair_merge(const struct answer_pair *p, struct resolver_result *result)
{
	const struct answer *v6 = &p->of[ANSWER_V6], *v4 = &p->of[ANSWER_V4];

	interleave(result, v6->addresses, v6->count, v4->addresses, v4->count);
}

void answer_interleave(struct resolver_result *result, const struct address *addresses,
		       size_t count)
{
	struct address v6[RESOLVER_ADDRESSES_MAX], v4[RESOLVER_ADDRESSES_MAX];
	size_t v6_count = 0, v4_count = 0;

	for (size_t i = 0; i < count && i < RESOLVER_ADDRESSES_MAX; i++) {
		if (addresses[i].sa.sa_family == AF_INET6)
			v6[v6_count++] = addresses[i];
		else
			v4[v4_count++] = addresses[i];
	}
	interleave(result, v6, v6_count, v4, v4_count);
}
