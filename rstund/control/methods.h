/* SPDX-License-Identifier: MIT */
/*
 * The methods of the control API: one handler each, in methods_*.c by what they are about. A
 * handler finds what it is asked for, calls rstund/hold.h or asks the workers, and shows the
 * result (control/show.h). methods_call is the one place that knows all of them; a method without
 * a handler does not compile there. Main thread only.
 */
#pragma once

#include "rpc/api_types.h"
#include "rstund/control/call.h"

struct daemon;
struct held_client;
struct held_mapping;
struct held_server;
struct held_session;

/* control_server_params.on_call; user is the daemon. Changes are written to the log: who, what. */
struct answer methods_call(void *user, struct call *c, enum rpc_method method, const void *params);

/* ---- Finding (methods.c): NULL, and `error` names what is not there, and the nearest name ---- */
struct held_client *methods_find_client(struct daemon *d, const char *text,
					struct rpc_error *error);
/* text NULL: the only one there is. */
struct held_client *methods_the_client(struct daemon *d, const char *text, struct rpc_error *error);
struct held_server *methods_find_server(struct daemon *d, const char *text,
					struct rpc_error *error);
struct held_mapping *methods_find_mapping(struct daemon *d, const char *text,
					  struct rpc_error *error);
struct held_session *methods_find_session(struct daemon *d, const char *text,
					  struct rpc_error *error);

/* ---- Replies (methods.c) ---- */

/* Replies with the result struct of the call's method, or, when `rc` is not 0, says that memory is
 * short; then frees the struct's members by the method's result rows. */
struct answer methods_reply(struct call *c, void *result, int rc);
struct answer methods_nomem(struct call *c);

/* ---- Calls that wait until counters are fresh ---- */

/* Calls `reply`, which answers the call, when they are. `data` is the handler's (malloc'ed, may be
 * NULL) and given to `release` (may be NULL: free) afterwards, also when the call is cancelled. */
struct answer methods_after_refresh(struct daemon *d, struct call *c, void *data,
				    struct answer (*reply)(struct daemon *d, struct call *c,
							   void *data),
				    void (*release)(void *data));

/* ---- Calls that wait until a worker has done what it was told before ---- */

/* As methods_after_refresh; a worker that hangs holds it up for a second. */
struct answer methods_after_worker(struct daemon *d, struct call *c, unsigned worker, void *data,
				   struct answer (*reply)(struct daemon *d, struct call *c,
							  void *data),
				   void (*release)(void *data));

/* ---- Handlers ---- */
/* methods_daemon.c */
struct answer methods_daemon_info(struct daemon *d, struct call *c);
struct answer methods_daemon_status(struct daemon *d, struct call *c);
struct answer methods_daemon_ping(struct daemon *d, struct call *c);
struct answer methods_daemon_shutdown(struct daemon *d, struct call *c,
				      const struct rpc_shutdown_params *p);
struct answer methods_discover(struct daemon *d, struct call *c);
void methods_discover_forget(struct daemon *d); /* frees the document that is kept */
/* methods_log.c */
struct answer methods_log_get_level(struct daemon *d, struct call *c);
struct answer methods_log_set_level(struct daemon *d, struct call *c,
				    const struct rpc_set_level_params *p);
struct answer methods_log_tail(struct daemon *d, struct call *c,
			       const struct rpc_log_tail_params *p);
/* A line was added: whoever waits for one is answered. */
void methods_log_added(struct daemon *d);
/* methods_config.c */
struct answer methods_daemon_reload(struct daemon *d, struct call *c,
				    const struct rpc_reload_params *p);
struct answer methods_config_get(struct daemon *d, struct call *c);
struct answer methods_config_check(struct daemon *d, struct call *c,
				   const struct rpc_config_check_params *p);
/* methods_role.c */
struct answer methods_client_add(struct daemon *d, struct call *c,
				 const struct rpc_role_add_params *p);
struct answer methods_client_set(struct daemon *d, struct call *c,
				 const struct rpc_role_set_params *p);
struct answer methods_client_remove(struct daemon *d, struct call *c,
				    const struct rpc_role_remove_params *p);
struct answer methods_client_list(struct daemon *d, struct call *c);
struct answer methods_client_get(struct daemon *d, struct call *c,
				 const struct rpc_which_params *p);
struct answer methods_server_add(struct daemon *d, struct call *c,
				 const struct rpc_role_add_params *p);
struct answer methods_server_set(struct daemon *d, struct call *c,
				 const struct rpc_role_set_params *p);
struct answer methods_server_remove(struct daemon *d, struct call *c,
				    const struct rpc_role_remove_params *p);
struct answer methods_server_list(struct daemon *d, struct call *c);
struct answer methods_server_get(struct daemon *d, struct call *c,
				 const struct rpc_which_params *p);
struct answer methods_server_drain(struct daemon *d, struct call *c,
				   const struct rpc_drain_params *p);
/* methods_mapping.c */
struct answer methods_mapping_add(struct daemon *d, struct call *c,
				  const struct rpc_mapping_add_params *p);
struct answer methods_mapping_set(struct daemon *d, struct call *c,
				  const struct rpc_mapping_set_params *p);
struct answer methods_mapping_remove(struct daemon *d, struct call *c,
				     const struct rpc_mapping_remove_params *p);
struct answer methods_mapping_list(struct daemon *d, struct call *c,
				   const struct rpc_mapping_list_params *p);
struct answer methods_mapping_get(struct daemon *d, struct call *c,
				  const struct rpc_which_params *p);
struct answer methods_mapping_pause(struct daemon *d, struct call *c,
				    const struct rpc_which_params *p, bool pause);
struct answer methods_mapping_restart(struct daemon *d, struct call *c,
				      const struct rpc_which_params *p);
struct answer methods_mapping_drain(struct daemon *d, struct call *c,
				    const struct rpc_drain_params *p);
/* methods_wait.c: calls that wait for a mapping's state */
struct answer methods_mapping_wait(struct daemon *d, struct call *c,
				   const struct rpc_mapping_wait_params *p);
/* mapping.add with wait_ms: answers when it is up, has failed for good, or the time is over. */
struct answer methods_wait_added(struct daemon *d, struct call *c, const struct held_mapping *m,
				 uint64_t wait_ms, bool created);
/* The mapping's state has changed, or it is removed: whoever waits for that is answered. */
void methods_wait_changed(struct daemon *d, const struct held_mapping *m);
/* methods_apply.c */
struct answer methods_mapping_apply(struct daemon *d, struct call *c,
				    const struct rpc_mapping_apply_params *p);
struct answer methods_mapping_confirm(struct daemon *d, struct call *c,
				      const struct rpc_mapping_confirm_params *p);
/* methods_flow.c */
struct answer methods_flow_list(struct daemon *d, struct call *c,
				const struct rpc_flow_list_params *p);
struct answer methods_flow_kill(struct daemon *d, struct call *c,
				const struct rpc_flow_kill_params *p);
/* methods_channel.c */
struct answer methods_channel_open(struct daemon *d, struct call *c,
				   const struct rpc_channel_open_params *p);
/* methods_test.c */
struct answer methods_client_test(struct daemon *d, struct call *c,
				  const struct rpc_client_test_params *p);
/* methods_session.c */
struct answer methods_session_list(struct daemon *d, struct call *c,
				   const struct rpc_session_list_params *p);
struct answer methods_session_get(struct daemon *d, struct call *c,
				  const struct rpc_session_params *p);
struct answer methods_session_kick(struct daemon *d, struct call *c,
				   const struct rpc_session_params *p);
/* methods_stats.c */
struct answer methods_stats_get(struct daemon *d, struct call *c,
				const struct rpc_stats_params *p);
struct answer methods_metrics_get(struct daemon *d, struct call *c);
/* methods_cert.c */
struct answer methods_cert_list(struct daemon *d, struct call *c, const struct rpc_cert_params *p);
struct answer methods_cert_reload(struct daemon *d, struct call *c,
				  const struct rpc_cert_params *p);
