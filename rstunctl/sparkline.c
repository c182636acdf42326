/* SPDX-License-Identifier: MIT */
/*
 * Numbers as a row of bars.
 */
#include "rstunctl/sparkline.h"

#include <math.h>
#include <stdio.h>

#define SPARKLINE_LEVELS 8

static size_t sparkline_level(double value, double most)
{
	double level;

	if (value <= 0 || most <= 0)
		return 0;
	level = ceil(value / most * (SPARKLINE_LEVELS - 1));
	return level >= SPARKLINE_LEVELS ? SPARKLINE_LEVELS - 1 : (size_t)level;
}

const char *sparkline_draw(char buf[SPARKLINE_SIZE], const double *values, size_t count,
			   size_t width, bool ascii)
{
	static const char *const blocks[SPARKLINE_LEVELS] = {"▁", "▂", "▃", "▄",
							     "▅", "▆", "▇", "█"};
	static const char *const letters[SPARKLINE_LEVELS] = {"_", ".", ":", "-",
							      "=", "+", "*", "#"};
	double most = 0;
	size_t used = 0;

	if (width > SPARKLINE_MAX)
		width = SPARKLINE_MAX;
	if (count > width) {
		values += count - width;
		count = width;
	}
	for (size_t i = 0; i < count; i++)
		if (isfinite(values[i]) && values[i] > most)
			most = values[i];
	buf[0] = '\0';
	for (size_t i = 0; i < width; i++) {
		const char *bar = " ";

		if (i >= width - count && isfinite(values[i - (width - count)])) {
			size_t level = sparkline_level(values[i - (width - count)], most);

			bar = ascii ? letters[level] : blocks[level];
		}
		used += (size_t)snprintf(buf + used, SPARKLINE_SIZE - used, "%s", bar);
	}
	return buf;
}
