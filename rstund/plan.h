/* SPDX-License-Identifier: MIT */
/*
 * Mappings as they shall be against those there are: which are there already, which are new,
 * changed or to go, and whether all of it is possible at once. Nothing is changed here; who carries
 * it out is control/apply.c (a list of a caller) and reload.c (the configuration file). Main
 * thread; without I/O.
 */
#pragma once

#include "base/mapping.h"
#include "rpc/api.h"
#include "rstund/control/inventory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One that shall be. */
struct plan_item {
	const char *name;          /* NULL = none; borrowed */
	const char *client;        /* the client's name, which may be new too; borrowed */
	struct mapping mapping;
	uint64_t expires_ms;       /* UINT64_MAX = never */
	bool paused;               /* the caller's: not compared */
	struct held_mapping *held; /* what there is of it; NULL = it is new */
	bool same;                 /* and that is as it shall be */
	bool keep;                 /* but was not to survive the daemon, and now is; the caller's */
};

struct plan {
	struct plan_item *items; /* in the order given; owned */
	size_t count;
	struct held_mapping **gone; /* those that are to go; owned */
	size_t gone_count;
	size_t added, changed, kept; /* kept: the caller's */
};

struct plan_rules {
	/* Whether one without a name that shall be can be this one, when both say the same. */
	bool (*fits)(const struct held_mapping *m);
	/* Whether this one is to go when it is not in the list; NULL = none is. */
	bool (*goes)(const struct held_mapping *m);
	int code; /* of the error when the list contradicts itself */
};

/* A plan of `count` items, zeroed, to be filled in. RSTUN_E_NOMEM. */
int plan_init(struct plan *p, size_t count);
void plan_done(struct plan *p); /* accepts a zeroed one */

/* Finds what there is of each item: by name, and one without a name by what it says. */
int plan_match(struct plan *p, struct inventory *inv, const struct plan_rules *rules,
	       struct rpc_error *error);
/* After plan_match: that no two names, and no two listening addresses, would be the same. */
int plan_check(const struct plan *p, const struct inventory *inv, const struct plan_rules *rules,
	       struct rpc_error *error);

/* Name or spec. Return buf or the name. */
const char *plan_item_text(char buf[MAPPING_TEXT_SIZE], const struct plan_item *item);
const char *plan_held_text(char buf[MAPPING_TEXT_SIZE], const struct held_mapping *m);
