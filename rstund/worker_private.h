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
struct client_probe;
struct message;
struct server;
struct server_claim;

/* A role's part on this thread. */
struct worker_role {
	struct worker *worker;
	unsigned index; /* of the role */
	struct tunnel_env env;
	struct server *server; /* one of the two */
	struct client *client;
	bool drained;  /* was reported */
	bool removing; /* is freed when it is drained */
	struct loop_task remove_task;
	LIST_ENTRY(worker_role) link;
};

LIST_HEAD(worker_roles, worker_role);

/* A test of a client that runs. */
struct worker_test {
	struct worker *worker;
	uint64_t gather;
	unsigned role;
	struct client_probe *probe;
	LIST_ENTRY(worker_test) link;
};

LIST_HEAD(worker_tests, worker_test);
LIST_HEAD(worker_udps, worker_udp);

/* A report of counters under way. */
struct worker_report {
	uint64_t gather;
	struct worker_role *role; /* NULL: none is under way */
	uint64_t took_ns;         /* its pieces so far */
	struct loop_task task;
};

struct worker {
	struct worker_params params;
	pthread_t thread;
	bool started;
	struct log log;
	struct loop loop;
	struct chunk_pool pool;
	struct mailbox mailbox;
	struct worker_roles roles;
	struct worker_tests tests;
	struct worker_udps udp_channels;
	struct worker_report report;
	uint64_t lost_events;
	uint64_t lost_datagrams; /* foreign ones for which there was no room */
};

/* ---- worker_messages.c ---- */
struct worker_role *worker_find(struct worker *w, unsigned role); /* NULL = it is gone */
void worker_on_item(void *user, struct mailbox_item *item);

/* ---- worker_tell.c: toward the main thread. When memory for a message is short, questions are
 * answered here with an error, events are counted as lost, and what gives something back is caught
 * up by a later probe of the session. ---- */
void worker_tell_started(struct worker *w, unsigned role, uint64_t id, int error, const char *text);
/* `placement`: 0, or that of a question about what was not there. */
void worker_tell_removed(struct worker *w, unsigned role, uint64_t id, uint64_t placement,
			 const struct tunnel_counters *final);
/* The role's sum, unasked. */
void worker_tell_counters(struct worker_role *r);
void worker_tell_flows(struct worker_role *r, uint64_t gather, uint64_t owner_id, uint64_t max);
void worker_tell_gathered(struct worker *w, uint64_t gather, uint64_t count, int error);
void worker_tell_reported(struct worker *w, uint64_t gather, uint64_t took_ns);
/* `text` "": none. */
void worker_tell_opened(struct worker *w, uint64_t gather, int error, const char *text);
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
/* user is the worker_role. */
void worker_on_removed(void *user, uint64_t id, const struct tunnel_counters *final);

/* ---- worker_report.c: all counters ---- */
void worker_report_init(struct worker *w);
/* COUNTERS of each role, mapping and session in pieces, then GATHERED. One report at a time: who
 * asks anew has given up waiting for the one that is under way. */
void worker_report_start(struct worker *w, uint64_t gather);
/* The role leaves the list of roles. */
void worker_report_skip(struct worker *w, struct worker_role *r);

/* ---- worker_channel.c: channels of callers ---- */
void worker_channel_open(struct worker *w, struct message *m);

/* ---- worker_udp.c: those that carry datagrams ---- */
void worker_udp_open(struct worker *w, struct client *client, struct message *m);
/* The worker ends, and its roles are gone. */
void worker_udp_end_all(struct worker *w);

/* ---- worker_test.c: tests of clients ---- */
void worker_test_start(struct worker *w, const struct message *m);
void worker_test_cancel(struct worker *w, uint64_t gather);
/* The role goes: its tests end with an error. */
void worker_test_end_role(struct worker *w, unsigned role);
