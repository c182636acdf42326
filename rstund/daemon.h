/* SPDX-License-Identifier: MIT */
/*
 * The running program: the main thread's loop, its workers and its roles, from the first log line
 * to the last. Everything is bound before anything is said to be ready; SIGTERM and SIGINT drain, a
 * second one ends at once, SIGHUP reads certificates anew.
 */
#pragma once

#include "base/log.h"
#include "rstund/role.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon_params {
	const struct role_config *roles; /* checked; they outlive the call, as what they point to */
	size_t role_count;
	enum log_level level;
	uint64_t ready_fd; /* UINT64_MAX = none */
	bool exit_on_failure;
	const char *version;   /* "0.1.0" */
	char *const *warnings; /* sentences to log at start */
	size_t warning_count;
};

/* Returns the exit status: 0 after a signal, 1 when it could not start or, with exit_on_failure,
 * when a mapping failed, 2 when a parameter is wrong. */
int daemon_run(const struct daemon_params *params);
