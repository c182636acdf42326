/* SPDX-License-Identifier: MIT */
/*
 * Between apply.c (carrying out, waiting, undoing) and apply_plan.c (reading and comparing). Main
 * thread only.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/api_types.h"
#include "rstund/hold.h"
#include "rstund/plan.h"

struct apply_list;
struct daemon;

/* Of them, ranges written out: a line of the control socket has no room for more without ranges. */
#define APPLY_MAPPINGS_MAX 65535

struct apply_item {
	struct hold_mapping_params params;
	char *name;   /* of params, when it was made here */
	size_t input; /* that it stands in */
};

/* All inputs of mapping.apply. What is wrong is told with its place in the list. */
int apply_list_read(struct apply_list *list, struct daemon *d, const struct field_array *from,
		    struct rpc_error *error);
/* The plan of the list, made here (plan_done in any case), and checks everything about it. */
int apply_plan(struct daemon *d, struct plan *plan, const struct apply_list *list, bool prune,
	       struct rpc_error *error);
/* What would be done, for the caller. RSTUN_E_NOMEM. */
int apply_tell(const struct plan *plan, struct rpc_mapping_apply_result *ret);
