/* SPDX-License-Identifier: MIT */
/*
 * A control server on a loop and a socket of its own, with handlers that play the daemon, and
 * callers in the same thread: what a caller waits for, it waits for by turning the loop.
 */
#pragma once

#include "base/log.h"
#include "base/loop.h"
#include "rpc/line_reader.h"
#include "rstund/control/control_private.h"

#include <jansson.h>

#define RIG_CALLS 64

struct rig {
	struct loop loop;
	struct log log;
	struct event_bus bus;
	struct control_server *cs;
	char folder[64], path[128], path_ro[128];
	uid_t uid;        /* of all who connect from now on; (uid_t)-1 = the real one */
	/* What the handlers saw. */
	unsigned calls[RPC_METHOD_COUNT];
	struct call *waiting[RIG_CALLS]; /* mapping.wait and cert.list, in the order they came */
	size_t waiting_count;
	unsigned cancelled;
	uint64_t gone[RIG_CALLS];
	size_t gone_count;
	size_t big;       /* bytes in the result of metrics.get */
	uint64_t wanted_ms;
	bool wanted_flows;
	unsigned wanted_count;
	unsigned snapshots;
	bool turning;     /* the loop runs, not the test */
	size_t mappings;  /* how many visit_stats has: 1, 2, ... */
	/* NULL, or answers all calls but rpc.cancel in place of the rig's own handlers. */
	struct answer (*handler)(struct call *c, enum rpc_method method, const void *params);
};

extern struct rig *rig;

/* cmocka's: one per test. */
int rig_setup(void **state);
int rig_teardown(void **state);

struct caller {
	int fd;
	struct line_reader reader;
	bool ended; /* end of file was read */
};

void rig_connect(struct caller *c, const char *path);
void rig_close(struct caller *c);
void rig_say(struct caller *c, const char *text);
/* Turns the loop until a line comes; NULL = the connection ended. */
json_t *rig_hear(struct caller *c);
/* The line must be this JSON. */
void rig_expect(struct caller *c, const char *text);
/* The line is an error of this kind. */
void rig_expect_error(struct caller *c, int code, const char *kind);
void rig_expect_end(struct caller *c);
/* Some turns, after which nothing was said to it. */
void rig_expect_silence(struct caller *c);
/* Turns the loop until nothing happens any more. */
void rig_settle(void);

/* Answers the first that waits. */
void rig_answer(void);

/* Publishes. */
void rig_log(enum log_level level, const char *text);
void rig_state(unsigned mapping, enum tunnel_state now);
void rig_total(uint64_t rx_bytes);
void rig_flow(unsigned mapping);
