/* SPDX-License-Identifier: MIT */
/*
 * The table of penalties: sets of a few slots, found by a seeded hash so that a peer cannot choose
 * whom it pushes out, searched linearly.
 */
#include "tunnel/penalty.h"

#include "base/clock.h"

#include <string.h>

void penalty_init(struct penalty *p, uint64_t seed)
{
	memset(p, 0, sizeof(*p));
	p->seed = seed;
}

static void penalty_source(struct in6_addr *ret, const struct address *address)
{
	memset(ret, 0, sizeof(*ret));
	if (address->sa.sa_family == AF_INET6) {
		memcpy(ret->s6_addr, address->in6.sin6_addr.s6_addr, 8);
		return;
	}
	ret->s6_addr[10] = 0xff;
	ret->s6_addr[11] = 0xff;
	memcpy(ret->s6_addr + 12, &address->in.sin_addr, 4);
}

static size_t penalty_set(const struct penalty *p, const struct in6_addr *source)
{
	struct address key = {.len = sizeof(struct sockaddr_in6)};

	key.in6.sin6_family = AF_INET6;
	key.in6.sin6_addr = *source;
	return (size_t)(address_hash(&key, p->seed) % LIMITS_PENALTY_SETS);
}

static struct penalty_slot *penalty_find(struct penalty *p, const struct in6_addr *source,
					 size_t set)
{
	for (size_t i = 0; i < LIMITS_PENALTY_SLOTS; i++) {
		struct penalty_slot *slot = &p->slots[set][i];

		if (slot->wrong != 0 && memcmp(&slot->source, source, sizeof(*source)) == 0)
			return slot;
	}
	return NULL;
}

uint64_t penalty_wait_ms(struct penalty *p, const struct address *source, uint64_t now_ns)
{
	struct in6_addr key;
	struct penalty_slot *slot;

	penalty_source(&key, source);
	slot = penalty_find(p, &key, penalty_set(p, &key));
	if (slot == NULL || slot->until_ns <= now_ns)
		return 0;
	return (slot->until_ns - now_ns) / CLOCK_NS_PER_MS + 1;
}

void penalty_wrong(struct penalty *p, const struct address *source, uint64_t now_ns)
{
	struct in6_addr key;
	struct penalty_slot *slot;
	size_t set;

	penalty_source(&key, source);
	set = penalty_set(p, &key);
	slot = penalty_find(p, &key, set);
	if (slot == NULL) {
		slot = &p->slots[set][0];
		for (size_t i = 1; i < LIMITS_PENALTY_SLOTS; i++)
			if (p->slots[set][i].touched_ns < slot->touched_ns)
				slot = &p->slots[set][i];
		*slot = (struct penalty_slot){.source = key, .since_ns = now_ns};
	}
	if (now_ns - slot->since_ns > clock_ms(LIMITS_WRONG_PASSWORDS_WINDOW_MS)) {
		slot->since_ns = now_ns;
		slot->wrong = 0;
	}
	slot->wrong++;
	slot->touched_ns = now_ns;
	if (slot->wrong >= LIMITS_WRONG_PASSWORDS)
		slot->until_ns = now_ns + clock_ms(LIMITS_WRONG_PASSWORDS_PENALTY_MS);
}

void penalty_right(struct penalty *p, const struct address *source)
{
	struct in6_addr key;
	struct penalty_slot *slot;

	penalty_source(&key, source);
	slot = penalty_find(p, &key, penalty_set(p, &key));
	if (slot != NULL)
		memset(slot, 0, sizeof(*slot));
}
