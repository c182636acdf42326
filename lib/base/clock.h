/* SPDX-License-Identifier: MIT */
/*
 * The only place that reads a clock. The engine gets `now_ns` as a parameter or from its loop.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define CLOCK_NS_PER_MS UINT64_C(1000000)
#define CLOCK_NS_PER_S UINT64_C(1000000000)
#define CLOCK_NEVER UINT64_MAX /* a deadline that does not come */

/* CLOCK_MONOTONIC in nanoseconds; never goes back. */
uint64_t clock_now_ns(void);

/* Wall clock in microseconds since the epoch: for time stamps in logs and events only. */
int64_t clock_wall_us(void);

/* RFC 3339 in UTC with milliseconds: 2026-11-22T10:11:12.345Z; at least 25 bytes. Returns buf. */
const char *clock_format(char *buf, size_t size, int64_t wall_us);

static inline uint64_t clock_ms(uint64_t ms)
{
	return ms > UINT64_MAX / CLOCK_NS_PER_MS ? UINT64_MAX : ms * CLOCK_NS_PER_MS;
}

/* The earlier of two deadlines. */
static inline uint64_t clock_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* now + delay without wrapping: CLOCK_NEVER stays CLOCK_NEVER. */
static inline uint64_t clock_after(uint64_t now_ns, uint64_t delay_ns)
{
	return delay_ns >= CLOCK_NEVER - now_ns ? CLOCK_NEVER : now_ns + delay_ns;
}
