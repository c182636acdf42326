/* SPDX-License-Identifier: MIT */
/*
 * Events as lines. All that subscribers share of an event is made into text once (the body); each
 * subscriber's line is that text behind its own `sub` and `n`. Pure, any thread.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/api_types.h"

#include <stddef.h>

/* Everything is borrowed. */
struct rpc_event {
	enum rpc_event_type type;
	uint64_t seq;
	const char *timestamp;
	const void *data;   /* the struct of the type's `data` rows, or */
	const char *word;   /* its word or text */
	const struct rpc_event_tunnel *tunnel; /* or NULL */
	const char *mapping;                   /* id, or NULL */
	const char *name;                      /* or NULL */
	const void *detail;                    /* the struct of the type's `detail` rows, or NULL */
};

/* `"seq":...,...}` : an event's params without its opening brace, sub and n. malloc'ed, with a
 * NUL; NULL when memory is short. */
char *rpc_event_body(const struct rpc_event *e, size_t *ret_bytes);

/* The whole notification with its newline. malloc'ed; NULL when memory is short. */
char *rpc_event_line(uint64_t sub, uint64_t n, const char *body, size_t body_bytes,
		     size_t *ret_bytes);
