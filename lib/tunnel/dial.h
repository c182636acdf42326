/* SPDX-License-Identifier: MIT */
/*
 * From a target (nothing named, an address, a name) to the addresses to dial: which target counts,
 * and its addresses, looked up anew each time. The same rules in both roles.
 */
#pragma once

#include "base/address.h"

#include <stddef.h>

struct resolver;
struct resolver_lookup;

struct dial_result {
	int error; /* 0, RSTUN_E_DNS_FAILED, RSTUN_E_TIMEOUT, RSTUN_E_NOT_FOUND (nothing to dial) */
	const char *why;		 /* a sentence when error; borrowed for the call */
	const struct address *addresses; /* borrowed for the call; unspecified ones made loopback */
	size_t count;
	const char *path; /* of a UNIX socket, and no addresses; NULL = none; of the target */
};

/* Embedded by whoever dials. */
struct dial {
	struct resolver_lookup *lookup; /* NULL = none running */
	void (*done)(void *user, const struct dial_result *result);
	void *user;
};

/* Of a mapping's own target, one named in a flow's header and the role's default the first that
 * names something: a fixed upstream always wins over a header. Each may be NULL. */
void dial_choose(struct target *ret, const struct target *fixed, const struct target *named,
		 const struct target *fallback);

/* Calls `done` once: from inside for what needs no lookup, else from the loop. */
void dial_resolve(struct dial *d, struct resolver *resolver, const struct target *target,
		  void (*done)(void *user, const struct dial_result *result), void *user);
/* The one address of a result (without error) where no second can be tried, because nothing tells
 * that the first does not answer: IPv4 before IPv6, as the original does, and one that this machine
 * has a route to. */
const struct address *dial_pick(const struct dial_result *result);
/* No call of done after this. Nothing happens when none is due. */
void dial_cancel(struct dial *d);
