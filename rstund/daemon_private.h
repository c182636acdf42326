/* SPDX-License-Identifier: MIT */
/*
 * What daemon.c (life) and daemon_messages.c (what workers say) share. Main thread only.
 */
#pragma once

#include "base/loop.h"
#include "rstund/control/event_bus.h"
#include "rstund/daemon.h"
#include "rstund/mailbox.h"
#include "rstund/ready.h"

struct log_sink;
struct registry;
struct worker;

#define DAEMON_SIGNALS 3

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
	struct log log; /* what the main thread says: published on the bus, like everything */
	struct log_sink *sink;
	struct event_bus bus;
	struct event_bus_subscriber to_sink;
	uint64_t bus_dropped; /* as last told to the sink */
	struct loop loop;
	struct mailbox mailbox;
	struct registry *registry;
	struct ready ready;
	struct role *roles;
	struct worker **workers;
	unsigned worker_count;
	unsigned starting; /* STARTED messages that are to come */
	unsigned draining; /* DRAINED messages that are to come */
	struct event signals[DAEMON_SIGNALS];
	struct loop_timer traffic_timer;
	struct loop_timer drain_timer; /* for the case that a worker does not answer */
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
