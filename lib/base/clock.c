/* SPDX-License-Identifier: MIT */
/*
 * The clocks: monotonic for everything that waits, wall clock for time stamps only. Any thread.
 */
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t clock_now_ns(void)
{
	struct timespec ts;

	/* Cannot fail on Linux with a valid pointer; without a clock nothing can go on. */
	if (clock_gettime(CLOCK_MONOTONIC, &ts) != 0)
		abort();
	return (uint64_t)ts.tv_sec * CLOCK_NS_PER_S + (uint64_t)ts.tv_nsec;
}

int64_t clock_wall_us(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) != 0)
		abort();
	return (int64_t)ts.tv_sec * 1000000 + (int64_t)(ts.tv_nsec / 1000);
}

const char *clock_format(char *buf, size_t size, int64_t wall_us)
{
	int64_t seconds = wall_us / 1000000, us = wall_us % 1000000;
	time_t t;
	struct tm tm;

	if (us < 0) { /* before the epoch: the fraction counts from the second before */
		us += 1000000;
		seconds--;
	}
	t = (time_t)seconds;
	if (gmtime_r(&t, &tm) == NULL) {
		snprintf(buf, size, "?");
		return buf;
	}
	snprintf(buf, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(us / 1000));
	return buf;
}
