/* SPDX-License-Identifier: MIT */
/*
 * What the files of the control API's server share: call.c, control_server.c (sockets, who may
 * connect), control_connection.c (reading and dispatch), control_output.c (writing),
 * control_events.c (subscriptions), control_next.c (long poll). Main thread only.
 *
 * A connection has one task on the loop that does everything for it: it writes, reads, and
 * dispatches a bounded number of requests, and is scheduled again while there is more; the loop
 * runs such tasks in turn and polls in between. The task is also the only place where a connection
 * is freed (but for control_server_free), so no handler ever loses it under its feet: whatever goes
 * wrong elsewhere sets a flag and schedules the task.
 */
#pragma once

#include "base/loop.h"
#include "rpc/line_reader.h"
#include "rpc/rpc_message.h"
#include "rstund/control/control_server.h"
#include "rstund/control/event_ring.h"
#include "rstund/control/subscription.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define CONTROL_RESERVE 8         /* descriptors kept for the time when there are no others */
#define CONTROL_REST_MS 100       /* so long a listener rests when there are none at all */
#define CONTROL_TURN_REQUESTS 8   /* of a connection in one turn of the loop */
#define CONTROL_TURN_BYTES 131072 /* read from it */
#define CONTROL_NEXT_BYTES CONTROL_OUTPUT_MAX /* of events in one answer of events.next */
#define CONTROL_FLOWS_HOLD_MS 60000 /* flow events stay on so long for those who come back */

/* ---- Calls ----------------------------------------------------------------------------------- */

/* Replies to a batch that are not complete yet. */
struct call_batch {
	LIST_ENTRY(call_batch) link;
	struct rpc_batch replies;
};

LIST_HEAD(call_batch_list, call_batch);

struct call {
	LIST_ENTRY(call) link;               /* of its connection's calls */
	struct control_connection *connection; /* NULL = gone */
	struct call_batch *batch;            /* or NULL */
	struct call_caller caller;
	enum rpc_method method;
	json_t *id;                          /* NULL = a notification */
	const struct log *log;               /* of the server, borrowed */
	char *note;                          /* for the log when it is answered, or NULL */
	bool holds;                          /* call_hold */
	void (*cancel)(struct call *c, void *user);
	void *user;
};

LIST_HEAD(call_list, call);

/* Nobody waits for it any more. With `error` (may be NULL) it is answered. One that cannot be
 * stopped is cut off from its connection and goes its way. */
void call_cancel(struct call *c, const struct rpc_error *error);

/* ---- Connections ----------------------------------------------------------------------------- */

struct control_line {
	STAILQ_ENTRY(control_line) link;
	char *text;
	size_t bytes, sent;
	bool event;
};

STAILQ_HEAD(control_lines, control_line);
LIST_HEAD(control_subscriptions, subscription);

struct control_connection {
	TAILQ_ENTRY(control_connection) link;
	struct control_server *server;
	struct call_caller caller;
	int fd;
	struct event event;
	struct loop_task task;

	struct line_reader reader;
	struct rpc_message message; /* whose requests are being dispatched */
	size_t message_next;        /* the first that is not yet */
	struct call_batch *batch;   /* its replies, if it is one and has any */
	struct call_list calls;
	size_t call_count;
	size_t held_by;             /* calls behind which the others wait */
	struct call_batch_list batches;

	struct control_lines output;
	size_t output_bytes, event_bytes; /* that wait; all, and those of events */

	struct control_subscriptions subscriptions;
	size_t subscription_count;
	uint64_t last_sub;

	bool readable; /* read() may give something */
	bool blocked;  /* write() would not take anything */
	bool ended;    /* the caller writes no more */
	bool hung_up;  /* nor does it read: replies go nowhere */
	bool handed_over; /* its socket is somebody else's, too */
	bool broken;   /* memory was short while a reply was made: it cannot go on */
	bool closing;
};

TAILQ_HEAD(control_connections, control_connection);

/* Takes the descriptor over. RSTUN_E_NOMEM (it is closed then). */
int control_connection_new(struct control_server *cs, int fd, const struct call_caller *caller);
/* Frees it, and cancels what it waited for. `tell`: on_gone is called. */
void control_connection_free(struct control_connection *c, bool tell);
/* Something is to be done; the task sees what. */
void control_connection_wake(struct control_connection *c);
/* A reply is complete (taken over; NULL = memory was short). `batch`: it is part of that one. */
void control_connection_reply(struct control_connection *c, struct call_batch *batch, char *line,
			      size_t bytes);

/* control_output.c */
/* Takes a line over. */
void control_output_put(struct control_connection *c, char *line, size_t bytes, bool event);
/* Writes what the socket takes. False: nobody is there any more. */
bool control_output_write(struct control_connection *c);
void control_output_discard(struct control_connection *c);

/* ---- The server ------------------------------------------------------------------------------ */

struct control_listener {
	LIST_ENTRY(control_listener) link;
	struct control_server *server;
	struct unix_socket socket;
	struct event event;
	bool read_only;
};

LIST_HEAD(control_listeners, control_listener);
LIST_HEAD(control_nexts, control_next);

struct control_server {
	struct control_server_params params;
	struct loop *loop;
	struct control_listeners listeners;
	struct loop_timer rest_timer; /* armed: the listeners rest */
	uint64_t rest_logged_ns;
	int reserve[CONTROL_RESERVE];
	size_t reserve_count;
	/* unix_socket_peer, but for tests. */
	int (*peer)(struct unix_socket_peer *ret, int fd);

	struct control_connections connections;
	size_t connection_count;
	uint64_t last_caller;

	struct event_ring ring;
	struct event_bus_subscriber subscriber;
	uint64_t bus_dropped;        /* what the bus has lost, as far as subscribers were told */
	struct control_subscriptions subscriptions;
	size_t subscription_count;
	struct control_nexts nexts;
	uint64_t wanted_interval_ms; /* as last told to on_wanted */
	bool wanted_flows;
	uint64_t flows_seq;          /* flow events behind this number are complete */
	struct loop_timer flows_timer; /* armed: wanted, although nobody is there */
	bool freeing;
};

/* A descriptor was closed: fills the reserve up. */
void control_server_refill(struct control_server *cs);

/* control_events.c */
int control_events_init(struct control_server *cs);
void control_events_done(struct control_server *cs);
/* Tells on_wanted if something has changed. */
void control_events_wanted(struct control_server *cs);
/* Flow events stay on for a while. */
void control_events_hold_flows(struct control_server *cs);
/* Whether all events behind the number that the filter lets pass are in the ring. */
bool control_events_reach(struct control_server *cs, const struct event_filter *filter,
			  uint64_t seq);
/* The replies of `batch` are out: its subscriptions begin. */
void control_events_start(struct control_connection *c, const struct call_batch *batch);
/* There is room in the connection's output. */
void control_events_pump(struct control_connection *c);
/* Ends all subscriptions of a connection. */
void control_events_end(struct control_connection *c);

/* control_next.c */
/* An event is in the ring. */
void control_next_event(struct control_server *cs, const struct bus_event *e);
