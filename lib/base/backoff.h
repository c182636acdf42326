/* SPDX-License-Identifier: MIT */
/*
 * When to try again. Pure: time and randomness come in. Network errors start at 300 ms and double
 * up to the cap (--wait-before-retry-ms, at least 300 ms); authentication and configuration errors
 * start at 60 s and double up to 15 minutes. Every delay is jittered (between half and all of it).
 * A session that ended sooner than 10 s after it came up does not reset the delay, so a server that
 * drops us at once is not hammered.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct backoff {
	uint64_t cap_ns;      /* of the fast row */
	unsigned fast_failures; /* in a row */
	unsigned slow_failures;
	uint64_t up_since_ns; /* CLOCK_NEVER while down */
};

void backoff_init(struct backoff *b, uint64_t cap_ms);
void backoff_up(struct backoff *b, uint64_t now_ns);

/* Records a failure and returns the delay in ns until the next attempt. `slow` for authentication
 * and configuration errors (backoff_is_slow). `random` is any random number. */
uint64_t backoff_down(struct backoff *b, int error, uint64_t now_ns, uint64_t random);

/* True for errors that do not go away by trying again soon. */
bool backoff_is_slow(int error);

/* Attempts since the last session that lasted. */
unsigned backoff_attempts(const struct backoff *b);
