/* SPDX-License-Identifier: MIT */
/*
 * A command per event, one at a time: the event as JSON on standard input, its parts as variables
 * RSTUN_EVENT_*. One thread.
 */
#pragma once

#include "rstunctl/interrupt.h"

#include <jansson.h>
#include <stdbool.h>

/* Runs `command` by /bin/sh and waits for its end. *ret_status is what wait() says. False when it
 * could not be started, errno says why. *ret_ended: a signal came meanwhile; it was passed on. */
bool event_exec_run(const char *command, const json_t *event, struct interrupt *interrupt,
		    int *ret_status, bool *ret_ended);
