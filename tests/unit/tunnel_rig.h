/* SPDX-License-Identifier: MIT */
/*
 * A server and a client of the tunnel on one loop in a thread of its own, on loopback, for
 * tests that play the applications with blocking sockets. What the engine reports is kept and
 * can be waited for. Failures abort the test (cmocka). Configs are filled by the test before
 * the start; times out after 20 s.
 */
#pragma once

#include "base/address.h"
#include "base/log.h"
#include "base/loop.h"
#include "tunnel/client.h"
#include "tunnel/server.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define RIG_MAPPINGS 8
#define RIG_TEXT_SIZE 640

struct rig_mapping {
	enum tunnel_state state;
	int error;
	char text[RIG_TEXT_SIZE];
	uint64_t next_retry_ms;
	unsigned changes;         /* of the state */
	unsigned tunnels;         /* times that it came up */
	bool unverified;
	struct address bound;
	char software[80];
	unsigned flows;           /* ended */
	int flow_error;           /* of the last one */
	struct tunnel_counters stat;
};

struct rig {
	struct log log;
	struct loop loop;
	struct chunk_pool pool;
	struct tunnel_env server_env, client_env;
	struct server_config server_config;
	struct client_config client_config;
	struct target servers[4];
	struct tls_credentials *credentials; /* the server's */
	struct tls_credentials *roots;       /* the client's; NULL = none are given */
	struct server *server;
	struct client *client;
	struct address server_address;
	struct address listen[RIG_MAPPINGS + 1]; /* by mapping id: where an OUT mapping listens */

	pthread_t thread;
	int wake[2];
	struct event wake_event;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	/* under the mutex */
	void (*call)(struct rig *r, void *arg);
	void *call_arg;
	bool calling;
	struct rig_mapping mappings[RIG_MAPPINGS + 1]; /* by id, from 1 */
	unsigned logins, refused, ended;               /* what the server reported */
	int refused_error, ended_error;
	bool server_drained, client_drained;
	bool auth_held;
	char session_software[80];                     /* of the last login */
	bool quiet;                                    /* nothing was put off at the end */
};

/* Defaults: password "secret" on both sides, no default upstreams, back-off as short as it gets. */
void rig_init(struct rig *r);
void rig_done(struct rig *r);

/* Runs `call` on the loop's thread and waits until it has returned. */
void rig_call(struct rig *r, void (*call)(struct rig *r, void *arg), void *arg);

/* The server listens on 127.0.0.1, on the port that it had before or that rig_reserve picked. */
void rig_start_server(struct rig *r);
void rig_stop_server(struct rig *r); /* at once */
/* Picks the server's port without a server. */
void rig_reserve(struct rig *r);
/* The client's only server is ours, unless the test has set others. */
void rig_start_client(struct rig *r);
void rig_stop_client(struct rig *r);
/* "OUT^127.0.0.1:0^ANY" and the like. */
void rig_add(struct rig *r, uint64_t id, enum mapping_proto proto, const char *text);

/* Waits until the mapping is in that state and returns a copy of what is known of it. */
struct rig_mapping rig_wait(struct rig *r, uint64_t id, enum tunnel_state state);
/* Waits until `test` is true; it is called under the mutex. */
void rig_wait_for(struct rig *r, bool (*test)(struct rig *r));

/* ---- applications: blocking sockets with a limit of 10 s ---- */
int app_listen(enum mapping_proto proto, struct address *ret_bound);
int app_accept(int fd);
int app_connect(enum mapping_proto proto, const struct address *to);
void app_send(int fd, const void *data, size_t bytes);
/* Exactly so many bytes. */
void app_expect(int fd, const void *data, size_t bytes);
void app_expect_end(int fd);   /* end of file */
void app_expect_reset(int fd); /* ECONNRESET */
void app_reset(int fd);        /* close with RST */
