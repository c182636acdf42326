/* SPDX-License-Identifier: MIT */
/*
 * The configuration file against what there is: read anew, compared by name, and only the
 * differences carried out; what did not change keeps its connections. All or nothing: a file that
 * is wrong changes nothing. What came from elsewhere (the control API, the state file) is left
 * alone. Main thread; blocks while the files are read.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/api_types.h"

#include <stdbool.h>

struct config_set;
struct daemon;

/* At start: everything in the set is new. An address that cannot be had is no error (the thing is
 * tried again). */
int reload_start(struct daemon *d, struct config_set *set, struct rpc_error *error);
/* daemon.reload. Reads certificates anew, too. Fills *ret, to be freed with field_free by the
 * method's result rows, also on failure. */
int reload_run(struct daemon *d, bool dry_run, struct rpc_reload_result *ret,
	       struct rpc_error *error);
/* SIGHUP: the same, told in the log and to systemd. */
void reload_on_signal(struct daemon *d);
/* Reads one server's certificate anew; says so in the log and in an event. */
struct held_server;
int reload_certificate(struct daemon *d, struct held_server *s, bool *ret_changed,
		       struct rpc_error *error);
