/* SPDX-License-Identifier: MIT */
/*
 * The last lines of the log, for log.tail: as they were said, before they are formatted for stderr.
 * Lines are numbered 1, 2, ... from the start of the process, so whoever reads can tell what is
 * new, and what is gone. Bounded by lines and by bytes; the oldest go. Main thread.
 */
#pragma once

#include "base/log.h"

#include <stddef.h>
#include <stdint.h>

#define LOG_RING_LINES 10000
#define LOG_RING_BYTES (1024 * 1024)
#define LOG_RING_LINE_BYTES 4096 /* of scope and of text each: longer ones are cut */

struct log_ring;

/* Borrowed for the call. */
struct log_ring_line {
	uint64_t number;
	int64_t wall_us;
	enum log_level level;
	const char *scope;
	const char *text;
};

int log_ring_new(struct log_ring **ret); /* RSTUN_E_NOMEM */
void log_ring_free(struct log_ring *r);  /* accepts NULL */

/* A line takes a number even when memory is short and it cannot be kept. */
void log_ring_add(struct log_ring *r, enum log_level level, const char *scope, const char *text,
		  int64_t wall_us);

/* Number of the newest line, 0 when there was none; of the oldest that is still there, 0 when there
 * is none. */
uint64_t log_ring_last(const struct log_ring *r);
uint64_t log_ring_first(const struct log_ring *r);

/* Calls `line` for the last `count` lines of at least `min_level` whose number is larger than
 * `after` (0 = all), the oldest first. Returns how many. `line` must not add lines. */
size_t log_ring_visit(const struct log_ring *r, uint64_t after, enum log_level min_level,
		      size_t count, void (*line)(void *user, const struct log_ring_line *line),
		      void *user);
