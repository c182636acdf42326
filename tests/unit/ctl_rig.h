/* SPDX-License-Identifier: MIT */
/*
 * The tests of rstunctl: the whole program with its output in memory, optionally against a process
 * that plays the daemon on a socket of its own.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* What the last run printed; never NULL after one. */
extern char *ctl_rig_out, *ctl_rig_err;

/* Runs rstunctl with the words of `line` (separated by blanks, at most 30; "" quotes nothing).
 * Returns its exit status. */
int ctl_rig_run(const char *line);

/* What the daemon answers to a request: a new reference, or an error object {"code", ...} with
 * *is_error set, or NULL = close the connection. A member "then" of a result is an array of events'
 * params that are sent behind it; null in it closes the connection. */
typedef json_t *ctl_rig_answer(const char *method, const json_t *params, bool *is_error);

/* Starts a process that serves a socket in a folder of its own, and makes $RSTUN_SOCKET name it. */
void ctl_rig_serve(ctl_rig_answer *answer);
/* Ends it and removes the folder. Does nothing when there is none. */
void ctl_rig_stop(void);
void ctl_rig_forget(void);
