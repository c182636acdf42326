/* SPDX-License-Identifier: MIT */
/*
 * A worker: a thread with its loop, its chunk pool and its mailbox, and its part of every role that
 * was given to it (a server's socket and sessions, some of a client's mappings). It owns its
 * objects for life and shares none. The main thread makes, starts, stops and frees workers; between
 * start and join it reaches them only by worker_post.
 */
#pragma once

#include "base/log.h"

#include <stdbool.h>
#include <stdint.h>

struct mailbox;
struct message;
struct worker;

struct worker_params {
	unsigned index;
	struct worker **all; /* every worker, by index: borrowed, complete before worker_start */
	unsigned count;
	struct mailbox *control; /* the main thread's, borrowed */
	enum log_level level;    /* log lines below it are not made */
	bool flow_events;        /* somebody wants to know of every flow */
};

int worker_new(struct worker **ret, const struct worker_params *params);
/* RSTUN_E_LIMIT_REACHED. Signals should be blocked: the thread inherits the mask. */
int worker_start(struct worker *w);
/* Any thread. Takes the message over. */
void worker_post(struct worker *w, struct message *m);
/* After MESSAGE_STOP was posted; waits for the thread's end. No-op if it was not started. */
void worker_join(struct worker *w);
/* After the join. Messages that were not handled are released. Accepts NULL. */
void worker_free(struct worker *w);
