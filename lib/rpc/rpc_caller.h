/* SPDX-License-Identifier: MIT */
/*
 * The calling side of the control socket, for programs that may block: one connection, one call at
 * a time, events in between kept in order. Deadlines by poll(). One thread.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/unix_socket.h"

#include <jansson.h>
#include <stdint.h>

#define RPC_CALLER_FOREVER UINT64_MAX
#define RPC_CALLER_REPLY_MAX (64 * 1024 * 1024) /* bytes of a line that the daemon may send */
#define RPC_CALLER_EVENTS_MAX 65536             /* kept while a call waits */

struct rpc_caller;

/*
 * Finds the socket and connects. On failure `error` says why: kind no_daemon or permission_denied.
 */
int rpc_caller_open(struct rpc_caller **ret, const struct unix_socket_env *env,
		    struct rpc_error *error);
/* On a connected descriptor, taken over. RSTUN_E_NOMEM (then it is closed). */
int rpc_caller_new(struct rpc_caller **ret, int fd);
void rpc_caller_free(struct rpc_caller *c); /* accepts NULL */

/*
 * Calls and waits. Takes `params` over (an object, or NULL = none). 0 with the result (a new
 * reference), or a negative value and `error`: what the daemon says, or ours: timeout, no_daemon
 * (the connection ended), internal (what came is no reply). After a timeout the call has been
 * cancelled (rpc.cancel) and the connection goes on; its late reply is dropped.
 */
int rpc_caller_call(struct rpc_caller *c, const char *method, json_t *params, uint64_t timeout_ms,
		    json_t **ret_result, struct rpc_error *error);

/* The same with structs: `result` is filled by the method's rows and freed with field_free, params
 * is read by its rows (NULL = none). Members of the result that we do not know are ignored. Params
 * with secrets are not written by rows: those calls take JSON. */
int rpc_caller_call_method(struct rpc_caller *c, enum rpc_method method, const void *params,
			   uint64_t timeout_ms, void *result, struct rpc_error *error);

/* The params of the next event (a new reference). RSTUN_E_TIMEOUT, RSTUN_E_CLOSED (the daemon is
 * gone), RSTUN_E_MALFORMED, RSTUN_E_NOMEM. */
int rpc_caller_next_event(struct rpc_caller *c, uint64_t timeout_ms, json_t **ret_params);

/* While something waits for the daemon, `on_wait` is told about once a second for how long it has
 * waited; NULL = nobody is. */
void rpc_caller_on_wait(struct rpc_caller *c, void (*on_wait)(void *user, uint64_t waited_ms),
			void *user);

/* For poll(): readable means that next_event may have something. Events may wait unseen by poll
 * after a call: ask rpc_caller_has_event first. */
int rpc_caller_fd(const struct rpc_caller *c);
bool rpc_caller_has_event(const struct rpc_caller *c);

/* What was read behind the reply of a call that ends the protocol (channel.open); borrowed. */
const char *rpc_caller_rest(const struct rpc_caller *c, size_t *ret_bytes);

/* The descriptor that came with it, borrowed; -1 = none. */
int rpc_caller_passed(const struct rpc_caller *c);

/* rstunctl's exit status for an error of a call. */
enum rpc_exit rpc_caller_exit(const struct rpc_error *error);
