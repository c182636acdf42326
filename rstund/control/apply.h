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
struct hold_mapping_params;
/* A mapping as it is told (struct rpc_mapping_input), checked and parsed. It has no origin yet and
 * borrows the name. */
int apply_parse_input(struct daemon *d, const struct rpc_mapping_input *in,
		      struct hold_mapping_params *ret, struct rpc_error *error);
