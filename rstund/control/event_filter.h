/* SPDX-License-Identifier: MIT */
/*
 * Which events somebody wants: by type, by mapping, log lines by level. Main thread only.
 */
#pragma once

#include "rpc/api.h"
#include "rstund/control/bus_event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_filter {
	unsigned types;     /* 1 << enum rpc_event_type */
	int min_level;      /* of log events */
	bool all_mappings;
	uint64_t *mappings; /* their numbers, sorted */
	size_t mapping_count;
};

/* From the params of a subscription: names of types (NULL = those that are on by default), ids or
 * names of mappings (NULL = all). `find` gives the number of a mapping. On failure `error` is set
 * (not_found for a mapping that is not there) and a negative value returned. */
int event_filter_init(struct event_filter *ret, char *const *types, char *const *mappings,
		      int min_level,
		      bool (*find)(void *user, const char *id_or_name, uint64_t *ret_number),
		      void *user, struct rpc_error *error);
void event_filter_done(struct event_filter *f);

bool event_filter_type(const struct event_filter *f, enum rpc_event_type type);
bool event_filter_mapping(const struct event_filter *f, uint64_t number);
/* False for what is no event of the API. */
bool event_filter_match(const struct event_filter *f, const struct bus_event *e);
