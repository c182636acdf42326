/* SPDX-License-Identifier: MIT */
/*
 * mapping.apply: a whole set of mappings is compared with what there is, and only the differences
 * are carried out, all or nothing. With a time to confirm within, everything that is needed to undo
 * it is kept, and undone when the time is over; then nothing of it is written to the state file
 * before it is confirmed, so that a crash undoes it, too. One such change at a time. Main thread;
 * time is passed in.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/api_types.h"

#include <stdbool.h>
#include <stdint.h>

struct apply;
struct daemon;
struct hold_mapping_params;
struct plan;

/* Fills *ret (to be freed with field_free by the method's result rows, also on failure). */
int apply_mappings(struct daemon *d, const struct rpc_mapping_apply_params *params, uint64_t now_ns,
		   struct rpc_mapping_apply_result *ret, struct rpc_error *error);
/* Keeps, or undoes, what waits. False: nothing does (error->code 0), or the state file could not be
 * written (then it still waits). */
bool apply_confirm(struct daemon *d, bool revert, struct rpc_error *error);
/* Milliseconds until it is undone; UINT64_MAX = nothing waits. */
uint64_t apply_left_ms(const struct daemon *d, uint64_t now_ns);
/* Undoes what waits when its time is over: for the timer, and for tests. */
void apply_check(struct daemon *d, uint64_t now_ns);
/* The daemon ends: forgets what waits. It is not in the state file, so it does not come back. */
void apply_forget(struct daemon *d);

/* Whether another change may begin now: none waits. */
int apply_may_begin(struct daemon *d, uint64_t now_ns, struct rpc_error *error);

/* Adds what is new in the plan, and makes of what is to be kept what survives the daemon; the plan
 * is checked and changes nothing else. All of it, listening, or nothing. `caller` as in struct
 * hold_mapping_params. */
int apply_add_together(struct daemon *d, const struct plan *plan, enum rpc_origin origin,
		       uint64_t caller, struct rpc_error *error);

/* ---- Mappings as they are told ---- */

/* Mappings as they are told, one behind the other. */
struct apply_list {
	struct apply_item *items; /* apply_private.h */
	size_t count;
};

/* Appends what an input stands for: a mapping, or as many as its range has ports, NAME-9000 and so
 * on where the input has a name. The list borrows what the input holds. `input` is its place. */
int apply_list_add(struct apply_list *list, struct daemon *d, const struct rpc_mapping_input *in,
		   size_t input, struct rpc_error *error);
void apply_list_done(struct apply_list *list); /* accepts a zeroed one */
/* The one at `i`, as apply_parse_input gives it. */
const struct hold_mapping_params *apply_list_params(const struct apply_list *list, size_t i);
/* Of a range that is to be added: what there is of each (plan_done in any case). Who calls decides
 * what becomes of that. */
int apply_plan_range(struct daemon *d, struct plan *ret, const struct apply_list *list,
		     struct rpc_error *error);
/* Then: whether the others are possible. */
int apply_check_range(const struct daemon *d, const struct plan *plan, struct rpc_error *error);

/* A mapping as it is told (struct rpc_mapping_input), checked and parsed. It has no origin yet and
 * borrows the name. */
int apply_parse_input(struct daemon *d, const struct rpc_mapping_input *in,
		      struct hold_mapping_params *ret, struct rpc_error *error);
