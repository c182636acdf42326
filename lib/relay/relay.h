/* SPDX-License-Identifier: MIT */
/*
 * The pump between the two ends of one TCP flow. Knows neither tunnels nor QUIC nor roles.
 *
 * Per direction a state (open, draining = end of file seen and passed on, closed), changed through
 * one setter. The promise: an end of file is passed on if and only if every byte before it was;
 * everything else becomes an abort. Half-close is kept in both directions without limit unless
 * idle_timeout_ms. A sink that is full stops its source being read: memory per flow is what the
 * ends hold.
 *
 * Owns both ends from relay_start on. Tells its owner once, at the end. One loop's thread.
 */
#pragma once

#include "relay/end.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct relay;

struct relay_counters {
	uint64_t a_to_b_bytes, b_to_a_bytes;
	uint64_t started_ns, last_active_ns;
};

struct relay_config {
	struct loop *loop;
	/* No byte in either direction for so long = abort(FLOW_TIMEOUT); 0 = never. */
	uint64_t idle_timeout_ms;
	/* The last call: FLOW_OK when both directions ended with an end of file. The relay and its
	 * ends are freed after it returns. Never called from inside relay_start. */
	void (*on_done)(struct relay *r, void *user, enum flow_error error);
	void *user;
};

/* Takes both ends over, on failure too (they are freed then). One must be buffered, one direct.
 * RSTUN_E_NOMEM. */
int relay_start(struct relay **ret, const struct relay_config *config, struct end *a,
		struct end *b);

/* Ends both ends with `error`; on_done follows from the loop. */
void relay_abort(struct relay *r, enum flow_error error);

/* Ends both ends with `error` and frees all, now and without on_done. Not from inside a callback of
 * the relay or of its ends. Accepts NULL. */
void relay_free(struct relay *r, enum flow_error error);

void relay_get_counters(const struct relay *r, struct relay_counters *ret);
