/* SPDX-License-Identifier: MIT */
/*
 * An event as a line for people. Pure, but for the zone of local times.
 */
#pragma once

#include "rstunctl/output.h"

#include <jansson.h>

/* "10:11:12.345 state    m3 web: tunneling (was connected), after 23 ms" and a newline. */
void event_line_print(const struct output *o, const json_t *event);
