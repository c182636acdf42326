/* SPDX-License-Identifier: MIT */
/*
 * What people (and scripts that wait for a line) read about an event. The texts are part of the
 * interface: change them as one changes an option's name. All of them are in event_text.c.
 */
#pragma once

#include "rstund/control/bus_event.h"

#define EVENT_TEXT_SIZE 2048

/* Calls `line` for each line that the event gives: none, one or two. */
void event_text_lines(const struct bus_event *e,
		      void (*line)(void *user, enum log_level level, const char *scope,
				   const char *text),
		      void *user);
