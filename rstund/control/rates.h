/* SPDX-License-Identifier: MIT */
/*
 * How fast the counters of one thing (a mapping, a session, a role, the total) go up: over the last
 * interval of at least a second, and smoothed over about ten. Lies in the struct of the thing; all
 * zero is a new one. Pure: counters and time are passed in.
 */
#pragma once

#include "rpc/api_types.h"
#include "tunnel/event.h"

#include <stdbool.h>
#include <stdint.h>

struct rates {
	bool started;
	uint64_t start_ns; /* of the first counters */
	uint64_t since_ns; /* of `base` */
	struct tunnel_counters base;
	struct rpc_rate rate_1s, rate_10s;
};

/*
 * To be called with every new set of counters, at any intervals: what comes within a second of the
 * last one that counted is left for the next call. When traffic stands still it must be called
 * too, so that rates go down. A counter that goes back counts as one that stands still.
 */
void rates_update(struct rates *r, const struct tunnel_counters *now, uint64_t now_ns);

/* Per second; never negative. All zero until there are two sets of counters. */
void rates_get(const struct rates *r, struct rpc_rate *ret_1s, struct rpc_rate *ret_10s);
