/* SPDX-License-Identifier: MIT */
/*
 * The running program: the main thread's loop, its workers, what they hold, and the control socket,
 * from the first log line to the last. SIGTERM and SIGINT drain, a second one ends at once, SIGHUP
 * reads the configuration and certificates anew.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_config;
struct config_set;
struct daemon_config;
struct server_config;

struct daemon_params {
	const struct daemon_config *config; /* checked; borrowed */
	uint32_t given;                     /* its rows that the command line sets: they win over the
					       file on reload, too (daemon_config_bit) */
	/* Of the command line of a role, checked: at most one. The members are taken over. */
	struct server_config *server;
	struct client_config *client;
	/* Of the configuration file, or NULL. What becomes a role is taken out of it. */
	struct config_set *set;
	const char *version;   /* "0.1.0" */
	const char *ngtcp2;    /* "ngtcp2 1.24.0 (static)" */
	char *const *warnings; /* sentences to log at start */
	size_t warning_count;
};

/* Returns the exit status: 0 after a signal or daemon.shutdown, 1 when it could not start or, with
 * exit_on_failure, when a mapping failed, 2 when a parameter is wrong. */
int daemon_run(const struct daemon_params *params);
