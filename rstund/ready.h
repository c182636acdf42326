/* SPDX-License-Identifier: MIT */
/*
 * --ready-fd N: tells whoever started us, on a descriptor that we inherited, that everything is up:
 * one line, READY=1, then the descriptor is closed. Closed without the line: it will never be. Main
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct ready {
	int fd; /* -1 = nobody asked, or it is done */
};

/* `number` is the option's value, UINT64_MAX = not given. RSTUN_E_CONFIG_INVALID when no such
 * descriptor is open for writing. */
int ready_init(struct ready *r, uint64_t number);
void ready_tell(struct ready *r); /* the first call counts */
void ready_done(struct ready *r);
