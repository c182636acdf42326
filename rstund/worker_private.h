/* SPDX-License-Identifier: MIT */
/*
 * What worker.c (life), worker_messages.c (what the main thread says) and worker_tell.c (what it is
 * told, and what the engine asks) share. The worker's thread only, but for the mailbox.
 */
#pragma once

#include "base/chunk.h"
#include "base/loop.h"
#include "rstund/mailbox.h"
#include "rstund/worker.h"
#include "tunnel/env.h"

#include <pthread.h>
#include <sys/queue.h>

struct client;
struct server;
struct server_claim;

/* A role's part on this thread. */
struct worker_role {
	struct worker *worker;
	unsigned index; /* of the role */
	struct tunnel_env env;
	struct server *server; /* one of the two */
	struct client *client;
	bool drained; /* was reported */
	LIST_ENTRY(worker_role) link;
};

LIST_HEAD(worker_roles, worker_role);

struct worker {
	struct worker_params params;
	pthread_t thread;
	bool started;
	struct log log;
	struct loop loop;
	struct chunk_pool pool;
	struct mailbox mailbox;
	struct worker_roles roles;
	uint64_t lost_events;
	uint64_t lost_datagrams; /* foreign ones for which there was no room */
};

/* ---- worker_messages.c ---- */
void worker_on_item(void *user, struct mailbox_item *item);

/* ---- worker_tell.c: toward the main thread. When memory for a message is short, questions are
 * answered here with an error, events are counted as lost, and what gives something back is caught
 * up by a later probe of the session. ---- */
void worker_tell_started(struct worker *w, unsigned role, int error, const char *text);
void worker_tell_counters(struct worker_role *r);
void worker_tell_probed(struct worker *w, unsigned role, uint64_t session_id, bool alive);

/* Sinks and callbacks for the engine; user is the worker for the first, the worker_role for the
 * others. */
void worker_write_log(void *user, enum log_level level, const char *scope, const char *text);
void worker_on_event(void *user, const struct tunnel_event *e);
void worker_on_claim(void *user, const struct server_claim *claim);
void worker_on_release(void *user, uint64_t session_id);
void worker_on_foreign(void *user, unsigned worker, const struct address *local,
		       const struct address *remote, const uint8_t *data, size_t bytes);
void worker_on_auth(void *user, bool held, uint64_t retry_after_ms);
void worker_on_probed(void *user, uint64_t session_id, bool alive);
void worker_on_drained(void *user);
