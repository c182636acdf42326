/* SPDX-License-Identifier: MIT */
/*
 * What is known about a name while its A and AAAA questions are out, and when that is enough: both
 * are answered, or one has addresses and the other has had a short while more (RFC 8305 section 3;
 * a server that swallows AAAA must not cost five seconds). Pure; time comes in.
 */
#pragma once

#include "base/address.h"
#include "dns/resolver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ANSWER_GRACE_MS 250

enum answer_state {
	ANSWER_OPEN,
	ANSWER_FOUND,
	ANSWER_NONE,	/* a server says so: no such name, or no address of the family */
	ANSWER_UNKNOWN, /* a server says that it could not find out; another name may do */
	ANSWER_FAILED,	/* nobody answered */
};

enum answer_family {
	ANSWER_V6,
	ANSWER_V4,
	ANSWER_FAMILIES,
};

struct answer {
	enum answer_state state;
	size_t count;
	struct address addresses[RESOLVER_ADDRESSES_MAX];
	char why[160]; /* for the states but OPEN and FOUND */
};

struct answer_pair {
	struct answer of[ANSWER_FAMILIES];
	uint64_t enough_ns; /* the end of the grace; CLOCK_NEVER while both are open */
};

void answer_pair_init(struct answer_pair *p);
/* An answer has come: notes the grace. */
void answer_pair_update(struct answer_pair *p, uint64_t now_ns);
bool answer_pair_enough(const struct answer_pair *p, uint64_t now_ns);
/* The most telling state of the two: FOUND, else FAILED, UNKNOWN, NONE, OPEN. */
enum answer_state answer_pair_state(const struct answer_pair *p);
/* The reason that goes with it. */
const char *answer_pair_why(const struct answer_pair *p);

/* Fills result->addresses: families in turn, IPv6 first (RFC 8305 section 4), doubles left out. */
void answer_pair_merge(const struct answer_pair *p, struct resolver_result *result);
/* The same order for addresses of both families in one array. */
void answer_interleave(struct resolver_result *result, const struct address *addresses,
		       size_t count);
