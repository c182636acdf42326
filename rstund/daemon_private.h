/* SPDX-License-Identifier: MIT */
/*
 * The daemon's state, as its own files and the methods of the control API share it. Main thread
 * only.
 */
#pragma once

#include "base/loop.h"
#include "rpc/api_types.h"
#include "rpc/unix_socket.h"
#include "rstund/activation.h"
#include "rstund/control/event_bus.h"
#include "rstund/control/inventory.h"
#include "rstund/control/persist.h"
#include "rstund/daemon.h"
#include "rstund/gather.h"
#include "rstund/mailbox.h"
#include "rstund/notify.h"
#include "rstund/ready.h"
#include "rstund/role.h"
#include "rstund/sampler.h"

struct apply;
struct control_server;
struct log_ring;
struct log_sink;
struct registry;
struct worker;

LIST_HEAD(log_tail_list, log_tail_wait);
LIST_HEAD(mapping_wait_list, mapping_wait);

#define DAEMON_SIGNALS 3
#define DAEMON_EPOCH_SIZE 17

enum daemon_phase {
	DAEMON_STARTING, /* workers have not all said that they began */
	DAEMON_RUNNING,
	DAEMON_DRAINING, /* after the first signal */
	DAEMON_CLOSING,  /* after the second, or a failure */
	DAEMON_OVER,     /* the loop has ended */
};

struct daemon {
	const struct daemon_params *params;
	enum daemon_phase phase;
	int exit_status;
	char epoch[DAEMON_EPOCH_SIZE]; /* of this run, for subscribers */
	int64_t started_wall_us;
	uint64_t started_ns;

	/* log and events */
	enum log_level level;
	struct log log; /* what the main thread says: published on the bus, like everything */
	struct log_sink *sink;
	struct log_ring *lines;
	uint64_t lost_lines;
	struct loop_timer level_timer; /* the level goes back */
	enum log_level level_before;
	bool flow_events;              /* a subscriber wants them */
	struct event_bus bus;
	struct event_bus_subscriber to_sink;
	uint64_t bus_dropped; /* as last told to the sink */

	struct loop loop;
	struct mailbox mailbox;
	struct registry *registry;
	struct inventory inventory;
	struct role_list roles; /* also those that are ending */
	unsigned last_role;
	struct tunnel_counters retired; /* of roles that are gone */
	struct gathers gathers;
	struct sampler sampler;
	struct worker **workers;
	unsigned worker_count;

	/* control */
	struct unix_socket socket, monitor_socket;
	struct control_server *control;
	struct json_t *discover; /* rpc.discover's document, made when first asked for */
	struct state_dir state_dir; /* fd -1: nothing is kept */
	struct persist persist;
	bool reloaded;              /* the configuration file was read again: */
	uint32_t reloaded_given;    /* the options of the daemon that it sets (daemon_config_bit) */
	struct apply *apply;        /* a change that waits to be confirmed */
	struct log_tail_list log_waits;         /* calls of log.tail */
	unsigned tests;                         /* calls of client.test */
	struct mapping_wait_list mapping_waits; /* calls that wait for a mapping's state */
	gid_t admin_group;                      /* (gid_t)-1 = none */

	struct ready ready;
	unsigned starting; /* STARTED messages that are to come */
	unsigned draining; /* DRAINED messages that are to come */
	struct event signals[DAEMON_SIGNALS];
	struct loop_timer traffic_timer;
	struct loop_timer drain_timer;    /* for the case that a worker does not answer */
	struct loop_timer watchdog_timer; /* systemd's */
	struct gather *watchdog;          /* workers that have not answered yet */
	struct sampler_wait traffic_wait;
	struct loop_timer trim_timer; /* memory goes back to the system */
	unsigned removals;            /* since it last did */
	struct notify notify;
	struct activation activation;
};

extern const struct registry_ops daemon_registry_ops;

/* The mailbox's on_item; user is the daemon. */
void daemon_on_item(void *user, struct mailbox_item *item);
/* Gives up: drains at once and exits with 1. `text` is a sentence for the log. */
void daemon_fail(struct daemon *d, const char *scope, const char *text);
/* Everything has started, or a mapping came up: says READY when it is time. */
void daemon_check_ready(struct daemon *d);
/* A worker's part of a role is drained. */
void daemon_on_drained(struct daemon *d);
/* A STARTED message is to come. */
void daemon_await_start(struct daemon *d);
/* --state-dir, or NULL. */
const char *daemon_state_dir(const struct daemon *d);
/* Begins to end: flows may go on for drain_ms. A second call may shorten that. */
void daemon_shutdown(struct daemon *d, uint64_t drain_ms, const char *why);
/* Counters of everything since the start. */
void daemon_total(const struct daemon *d, struct tunnel_counters *ret);
/* Something that had memory on a worker is gone. */
void daemon_on_gone(struct daemon *d);
/* Level of the log and wish for flow events, to all threads. */
void daemon_set_level(struct daemon *d, enum log_level level);
void daemon_set_flow_events(struct daemon *d, bool wanted);
/* Nothing but what was given on the command line of a role. */
bool daemon_is_role_line(const struct daemon *d);

/* ---- daemon_publish.c: events of what the main thread does itself. `error` 0 and text "" where
 * there is nothing to say. ---- */
void daemon_publish_client(struct daemon *d, const struct held_client *c, enum rpc_change change);
void daemon_publish_server(struct daemon *d, const struct held_server *s,
			   enum rpc_server_change change, int error, const char *text);
void daemon_publish_mapping(struct daemon *d, const struct held_mapping *m, enum rpc_change change,
			    int error, const char *text);
/* Sets the state, then says so. */
void daemon_publish_state(struct daemon *d, struct held_mapping *m, enum rpc_state state, int error,
			  const char *text);
/* The end of a session whose server is removed; its own end is not heard any more. */
void daemon_publish_session_end(struct daemon *d, const struct held_session *s, const char *text);
void daemon_publish_daemon(struct daemon *d, enum rpc_daemon_change change, const char *text);
void daemon_publish_cert(struct daemon *d, const struct held_server *s,
			 enum rpc_cert_change change, const char *pin, int error, const char *text);
