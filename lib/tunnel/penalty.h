/* SPDX-License-Identifier: MIT */
/*
 * Sources that gave wrong passwords: after some of them within a window a source is refused for a
 * while without being heard. A table of fixed size; an attacker with many addresses can only push
 * out others' bad marks. Pure: time comes in. One per server and thread.
 */
#pragma once

#include "base/address.h"
#include "tunnel/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct penalty_slot {
	struct in6_addr source; /* IPv4 as ::ffff:a.b.c.d; of IPv6 the first 64 bits */
	unsigned wrong;         /* within the window; 0 = slot unused */
	uint64_t since_ns;      /* begin of the window */
	uint64_t until_ns;      /* refused until then; 0 = not */
	uint64_t touched_ns;
};

struct penalty {
	uint64_t seed;
	struct penalty_slot slots[LIMITS_PENALTY_SETS][LIMITS_PENALTY_SLOTS];
};

void penalty_init(struct penalty *p, uint64_t seed);

/* Milliseconds until this source is heard again; 0 = now. */
uint64_t penalty_wait_ms(struct penalty *p, const struct address *source, uint64_t now_ns);

void penalty_wrong(struct penalty *p, const struct address *source, uint64_t now_ns);
void penalty_right(struct penalty *p, const struct address *source);
