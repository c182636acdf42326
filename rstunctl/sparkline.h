/* SPDX-License-Identifier: MIT */
/*
 * Numbers as a row of bars, the newest on the right. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define SPARKLINE_MAX 60
#define SPARKLINE_SIZE (3 * SPARKLINE_MAX + 1) /* a bar has three bytes */

/* The last `width` (at most SPARKLINE_MAX) of `count` values, blanks before them where there are
 * fewer. The greatest of them is the highest bar; what is not 0 is higher than 0; NAN is a blank.
 * Returns buf. */
const char *sparkline_draw(char buf[SPARKLINE_SIZE], const double *values, size_t count,
			   size_t width, bool ascii);
