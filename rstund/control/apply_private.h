/* SPDX-License-Identifier: MIT */
/*
 * Between apply.c (carrying out, waiting, undoing) and apply_plan.c (reading and comparing). Main
 * thread only.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/api_types.h"
#include "rstund/plan.h"

struct daemon;

/* Reads the list into `plan`, which has as many items, and checks everything about it. */
int apply_plan(struct daemon *d, struct plan *plan, const struct rpc_mapping_apply_params *params,
	       struct rpc_error *error);
/* What would be done, for the caller. RSTUN_E_NOMEM. */
int apply_tell(const struct plan *plan, struct rpc_mapping_apply_result *ret);
