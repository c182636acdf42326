/* SPDX-License-Identifier: MIT */
/*
 * What every sub-command works with: the options that stand anywhere, the connection to the daemon,
 * and the way errors are told. A function that returns `int` here returns an exit status (enum
 * rpc_exit), and has said on `err` what is wrong when that is not 0. One thread.
 */
#pragma once

#include "base/field.h"
#include "rpc/api.h"
#include "rpc/rpc_caller.h"
#include "rpc/unix_socket.h"
#include "rstunctl/output.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CTL_TIMEOUT_MS 30000 /* a call that has nothing to wait for */
#define CTL_BUSY_MS 10000    /* while the daemon has too many callers */
#define CTL_GRACE_MS 5000    /* on top of what the daemon itself is told to wait */

/* Options that may stand before or behind the sub-command. */
struct ctl_options {
	char *socket;
	bool json;
	int output;          /* enum output_format; -1 = not given */
	int color;           /* enum output_color */
	bool quiet, verbose;
	uint64_t timeout_ms; /* UINT64_MAX = not given */
	bool help, version;
};

extern const struct field_rows ctl_rows; /* of struct ctl_options */

struct ctl {
	FILE *out, *err;
	struct ctl_options options;
	struct output output;
	struct unix_socket_env env;
	struct rpc_caller *caller; /* NULL = not connected yet */
	bool change;               /* the sub-command changes something */
	bool waits;                /* the terminal says that it waits for the daemon */
	char *found;               /* a socket that is not at the usual path */
};

/* The whole program. */
int ctl_main(int argc, char **argv, FILE *out, FILE *err);

/*
 * Connects once; later calls do nothing. With several daemons and none named, a change is refused
 * (RPC_EXIT_USAGE) and what only reads goes to the usual one with a note.
 */
int ctl_connect(struct ctl *c);
void ctl_disconnect(struct ctl *c);

/* Connects and calls. Takes `params` over (NULL = none). *ret_result is a new reference. */
int ctl_call(struct ctl *c, enum rpc_method method, json_t *params, uint64_t timeout_ms,
	     json_t **ret_result);
/* The same without a word about errors: *ret_error is for ctl_complain. */
int ctl_try(struct ctl *c, const char *method, json_t *params, uint64_t timeout_ms,
	    json_t **ret_result, struct rpc_error *ret_error);
/* The same, and while it waits for more than a second it says so, on a terminal. */
int ctl_try_long(struct ctl *c, const char *method, json_t *params, uint64_t timeout_ms,
		 json_t **ret_result, struct rpc_error *ret_error);

/* --timeout, or the default. */
uint64_t ctl_timeout(const struct ctl *c, uint64_t default_ms);

/* Says an error, and its hint, as text or as JSON. Returns its exit status. */
int ctl_complain(const struct ctl *c, const struct rpc_error *error);
/* "rstunctl: ..." and how to get help; RPC_EXIT_USAGE. */
__attribute__((format(printf, 2, 3))) int ctl_usage(const struct ctl *c, const char *format, ...);
/* Of a kind of our own making. */
__attribute__((format(printf, 3, 4))) int ctl_fail(const struct ctl *c, int rstun_error,
						   const char *format, ...);
/* A line on `err`, unless --quiet. */
__attribute__((format(printf, 2, 3))) void ctl_note(const struct ctl *c, const char *format, ...);
int ctl_no_memory(const struct ctl *c);

/* {"id":...} or {"name":...} of an argument: m3, c1, s1.17 are ids. NULL when memory is short. */
json_t *ctl_which(const char *argument);
bool ctl_is_id(const char *argument);
