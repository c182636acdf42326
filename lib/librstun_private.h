/* SPDX-License-Identifier: MIT */
/*
 * What the files of librstun know of each other: the structs behind rstun.h's handles. A context
 * owns clients, a client owns channels and UDP objects. All of a context on one thread.
 *
 * The engine must not be changed, let alone freed, from inside what it calls, and programs may do
 * both: so whatever is told to a program is noted first and told by a task of the loop, in which
 * everything may be freed, the loop too (base/loop.h). The memory of what is freed while it tells
 * something is given back when that task ends.
 */
#pragma once

#include "base/chunk.h"
#include "base/log.h"
#include "base/loop.h"
#include "config/config.h"
#include "rstun.h"
#include "tunnel/env.h"
#include "tunnel/flows.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#define LIBRSTUN_TEXT_SIZE 640

struct client;
struct tls_credentials;

LIST_HEAD(librstun_clients, rstun_client);
LIST_HEAD(librstun_channels, rstun_channel);
LIST_HEAD(librstun_udps, rstun_udp);

struct rstun_context {
	pthread_t thread;
	struct log log;
	void (*on_log)(void *user, enum rstun_log_level level, const char *scope, const char *text);
	void *log_user;
	int (*on_socket)(void *user, int fd); /* NULL = none */
	void *socket_user;
	struct loop loop;
	struct chunk_pool pool;
	struct librstun_clients clients;
};

/* A change of state that is to be told, with what it points to. */
struct librstun_change {
	STAILQ_ENTRY(librstun_change) link;
	struct rstun_state_change change;
	char text[LIBRSTUN_TEXT_SIZE];
	char bound[ADDRESS_TEXT_SIZE];
	char server[ADDRESS_TEXT_SIZE];
	char software[80];
};

STAILQ_HEAD(librstun_changes, librstun_change);

struct rstun_client {
	LIST_ENTRY(rstun_client) link;
	struct rstun_context *context;
	struct rstun_client_ops ops;
	void *user;
	int (*on_socket)(void *user, int fd); /* the context's when it was made */
	void *socket_user;
	struct tunnel_env env;
	struct client_config config;
	struct tls_credentials *credentials; /* NULL = the engine makes what it needs */
	struct client *engine;
	uint64_t last_id;                    /* of its mappings */
	struct librstun_channels channels;
	struct librstun_udps udps;
	bool stopping;
	bool stopped; /* on_stopped is to be told */
	struct librstun_changes changes;
	struct loop_task task; /* tells changes and stopped */
	bool telling, freed;   /* freed while it tells: memory only */
};

struct rstun_channel {
	LIST_ENTRY(rstun_channel) link;
	struct rstun_client *client;
	struct rstun_channel_ops ops;
	void *user;
	bool waiting;          /* for the tunnel */
	struct end *end;       /* of the stream; NULL = not yet, or over */
	struct flow_tcp *flow; /* as end */
	bool finished;         /* by the program */
	int refused;           /* the far side takes no more, why; 0 = it does */
	bool ended;            /* the far side's end was reached */
	bool end_told;
	bool closed;           /* both directions are over */
	int error;             /* why it failed; 0 = it has not */
	char text[LIBRSTUN_TEXT_SIZE];
	unsigned news;         /* what is to be told */
	struct loop_task task; /* tells it */
	bool telling, freed;   /* freed while it tells: memory only */
};

/* What came for a UDP object and is to be told: a datagram, or the error of a target. */
struct librstun_arrival {
	STAILQ_ENTRY(librstun_arrival) link;
	enum flow_error error; /* FLOW_OK = a datagram */
	const char *target;    /* these two lie behind it; "" = the default upstream */
	const uint8_t *data;
	size_t bytes;
	char place[];
};

STAILQ_HEAD(librstun_arrivals, librstun_arrival);

struct rstun_udp {
	LIST_ENTRY(rstun_udp) link;
	struct rstun_client *client;
	struct rstun_udp_ops ops;
	void *user;
	struct flow_associate *near; /* the engine's; NULL = it failed */
	int error;                   /* why; 0 = it has not */
	char text[LIBRSTUN_TEXT_SIZE];
	struct librstun_arrivals arrivals;
	size_t arrived_bytes;  /* that they take */
	bool opened;           /* on_open is to be told */
	bool failed;           /* on_error is */
	struct loop_task task; /* tells all that */
	bool telling, freed;   /* freed while it tells: memory only */
};

/* First in every call: 0 with the loop's time fresh, or RSTUN_E_WRONG_THREAD. */
int librstun_enter(struct rstun_context *context);

/* Copies a program's table of callbacks, which may be of another version; `size` is its first
 * member's value. RSTUN_E_MALFORMED when that cannot be. */
int librstun_copy_ops(void *to, size_t to_size, const void *from, size_t size);

/* HOST:PORT, or NULL for the server's default upstream. RSTUN_E_MALFORMED. */
int librstun_target(struct target *ret, const char *text);
