/* SPDX-License-Identifier: MIT */
/*
 * What the files of librstun know of each other: the structs behind rstun.h's handles. A context
 * owns clients and servers, each of which owns channels; a client owns UDP objects, too. All of a
 * context on one thread.
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
#include "base/pin.h"
#include "base/socket_hook.h"
#include "config/config.h"
#include "rstun.h"
#include "tunnel/env.h"
#include "tunnel/flows.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/queue.h>

#define LIBRSTUN_TEXT_SIZE 640
#define LIBRSTUN_PATH_ERROR_SIZE 512

struct client;
struct server;
struct tls_credentials;

LIST_HEAD(librstun_clients, rstun_client);
LIST_HEAD(librstun_servers, rstun_server);
LIST_HEAD(librstun_channels, rstun_channel);
LIST_HEAD(librstun_udps, rstun_udp);
LIST_HEAD(librstun_requests, librstun_request);
LIST_HEAD(librstun_acceptors, librstun_acceptor);
LIST_HEAD(librstun_paths, librstun_path);

struct rstun_context {
	pthread_t thread;
	struct log log;
	void (*on_log)(void *user, enum rstun_log_level level, const char *scope, const char *text);
	void *log_user;
	struct socket_hook hook;
	struct loop loop;
	struct chunk_pool pool;
	struct librstun_clients clients;
	struct librstun_servers servers;
};

/* What a client and a server have in common, to their channels above all. */
struct librstun_owner {
	struct rstun_context *context;
	struct socket_hook hook;         /* the context's when it was made */
	struct librstun_channels channels;
	struct librstun_requests requests;
	bool stopping;
	const char *stopped_text;        /* why its channels end then */
};

/* A change of state that is to be told, with what it points to. */
struct librstun_change {
	struct rstun_state_change change;
	char text[LIBRSTUN_TEXT_SIZE];
	char bound[ADDRESS_TEXT_SIZE];
	char server[ADDRESS_TEXT_SIZE];
	char software[80];
};

/* A flow, with what it points to. */
struct librstun_flow {
	struct rstun_flow flow;
	char source[ADDRESS_TEXT_SIZE];
	char target[ADDRESS_TARGET_TEXT_SIZE];
};

/* One of these that is to be told: what the client's callback is given is `tell`'s business. */
struct librstun_note {
	STAILQ_ENTRY(librstun_note) link;
	void (*tell)(struct rstun_client *client, const struct librstun_note *note);
	union {
		struct librstun_change state;
		struct librstun_flow flow;
	};
};

STAILQ_HEAD(librstun_notes, librstun_note);

/* A mapping IN whose streams the program gets. */
struct librstun_acceptor {
	LIST_ENTRY(librstun_acceptor) link;
	uint64_t id; /* the mapping's */
	void (*on_channel)(const struct rstun_channel_request *request, void *user);
	void *user;
};

struct rstun_client {
	LIST_ENTRY(rstun_client) link;
	struct librstun_owner owner;
	struct rstun_client_ops ops;
	void *user;
	struct tunnel_env env;
	struct client_config config;
	struct tls_credentials *credentials; /* NULL = the engine makes what it needs */
	struct client *engine;
	uint64_t last_id;                    /* of its mappings */
	struct librstun_acceptors acceptors;
	struct librstun_paths paths;         /* that they listen at */
	struct librstun_udps udps;
	bool stopped; /* on_stopped is to be told */
	struct librstun_notes notes;
	struct loop_task task; /* tells notes and stopped */
	bool telling, freed;   /* freed while it tells: memory only */
};

/* A change of a session that is to be told, with what it points to. */
struct librstun_session_change {
	STAILQ_ENTRY(librstun_session_change) link;
	struct rstun_session_change change;
	char mapping[MAPPING_TEXT_SIZE];
	char peer[ADDRESS_TEXT_SIZE];
	char bound[ADDRESS_TEXT_SIZE];
	char software[80];
	char text[LIBRSTUN_TEXT_SIZE];
};

STAILQ_HEAD(librstun_session_changes, librstun_session_change);

struct rstun_server {
	LIST_ENTRY(rstun_server) link;
	struct librstun_owner owner;
	struct rstun_server_ops ops;
	void *user;
	struct tunnel_env env;
	struct server_config config;
	struct tls_credentials *credentials;
	struct server *engine;
	char address[ADDRESS_TEXT_SIZE];
	char pin[PIN_TEXT_SIZE];
	bool stopped; /* on_stopped is to be told */
	struct librstun_session_changes changes;
	struct loop_task task; /* tells changes and stopped */
	bool telling, freed;   /* freed while it tells: memory only */
};

/* A stream of the far side's that the program is to be asked about, or is being asked about. */
struct librstun_request {
	struct rstun_channel_request shown; /* first: what the program gets */
	LIST_ENTRY(librstun_request) link;
	struct librstun_owner *owner;
	struct flow_tcp *flow; /* NULL: answered, or gone */
	struct target target;
	char target_text[ADDRESS_TARGET_TEXT_SIZE];
	char peer[ADDRESS_TEXT_SIZE];
	void (*on_channel)(const struct rstun_channel_request *request, void *user);
	void *user;
	struct loop_task task; /* asks */
	bool telling, freed;   /* freed while it asks: memory only */
};

struct rstun_channel {
	LIST_ENTRY(rstun_channel) link;
	struct librstun_owner *owner;
	struct rstun_channel_ops ops;
	void *user;
	struct client *waits;  /* for a tunnel of this client; NULL = it does not */
	struct end *end;       /* of the stream; NULL = not yet, or over */
	struct flow_tcp *flow; /* as end */
	bool finished;         /* by the program */
	int refused;           /* the far side takes no more, why; 0 = it does */
	bool ended;            /* the far side's end was reached */
	bool end_told;
	bool closing;          /* the program has let go of it: librstun_channel_close */
	bool unwanted;         /* what the far side may still send */
	struct loop_timer close_timer; /* while closing */
	size_t close_waiting;  /* bytes not sent when it fired last; SIZE_MAX = it has not */
	bool closed;           /* both directions are over */
	int error;             /* why it failed; 0 = it has not */
	char text[LIBRSTUN_TEXT_SIZE];
	unsigned news;         /* what is to be told */
	struct loop_task task; /* tells it */
	bool telling, freed;   /* freed while it tells: memory only */
	struct librstun_bufferevent *bufferevent; /* that the program has in its place, or NULL */
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

/* Makes a note that is told when the loop comes to it; NULL: no memory. */
struct librstun_note *librstun_note(struct rstun_client *client,
				    void (*tell)(struct rstun_client *client,
						 const struct librstun_note *note));
/* The mapping's number as the program knows it: 0 for a tunnel of channels. */
uint64_t librstun_mapping(const struct rstun_client *client, uint64_t id);
/* A flow of the client's ended. */
void librstun_note_flow(struct rstun_client *client, const struct tunnel_event *event);

/* A socket that listens at a path, whose file is the client's until it is removed, which must be
 * before the mapping is (0 = all). On failure a sentence in `error`, or "". */
int librstun_path_listen(struct rstun_client *client, uint64_t mapping, const char *path,
			 int *ret_fd, char error[LIBRSTUN_PATH_ERROR_SIZE]);
void librstun_path_remove(struct rstun_client *client, uint64_t mapping);

/* As close() does with a socket: what was written is still delivered, with an end of file behind
 * it. It frees itself when the far side has ended, too: only that says that the server has passed
 * everything on. One that sends more instead, or does not end in a minute, is not listened to any
 * longer; one that has taken nothing in another minute is reset. Until then its flow is there, so a
 * stop of the client or server waits for it. */
void librstun_channel_close(struct rstun_channel *ch);
/* Frees it at once; what of it is not over is reset. */
void librstun_channel_destroy(struct rstun_channel *ch);
/* Its channel goes; the bufferevent stays the program's. */
void librstun_bufferevent_detach(struct librstun_bufferevent *b);

/* Copies a program's table of callbacks, which may be of another version; `size` is its first
 * member's value. RSTUN_E_MALFORMED when that cannot be. */
int librstun_copy_ops(void *to, size_t to_size, const void *from, size_t size);

/* HOST:PORT, or NULL for the server's default upstream. RSTUN_E_MALFORMED. */
int librstun_target(struct target *ret, const char *text);

/* ---- librstun_owner.c ---- */

void librstun_owner_init(struct librstun_owner *owner, struct rstun_context *context,
			 const char *stopped_text);
/* Frees its channels and requests. */
void librstun_owner_done(struct librstun_owner *owner);

/* The engine's surroundings, but for who hears of events; of its own secret. */
void librstun_env_init(struct tunnel_env *env, struct rstun_context *context);

/* One option of a program's; `also` is a row of the daemon's that is taken all the same (NULL =
 * none). RSTUN_E_CONFIG_INVALID with a sentence. */
int librstun_set_option(const struct field *rows, size_t row_count, const char *also, void *config,
			const struct rstun_option *option, char error[FIELD_ERROR_SIZE]);

/* Into the program's buffer, if it gave one: `why`, or, where that is empty, what `err` means; the
 * second one begins that with what was given. */
void librstun_say(char *error, size_t error_size, const char *why, int err);
void librstun_say_of(const char *given, char *error, size_t error_size, const char *why, int err);

/* ---- librstun_request.c ---- */

/* For on_request of the engine's owners: the program will be asked by on_channel. */
enum flow_answer
librstun_request_new(struct librstun_owner *owner, const struct flow_request *asked,
		     void (*on_channel)(const struct rstun_channel_request *request, void *user),
		     void *user, struct flow_program *ret_program);
void librstun_request_free(struct librstun_request *request); /* refuses what was not answered */

/* ---- librstun_acceptor.c ---- */

/* For on_request of the engine's client. */
enum flow_answer librstun_acceptor_on_request(void *user, struct flow_request *request,
					      struct flow_program *ret_program);
/* The mapping has stopped; no-op for other mappings. */
void librstun_acceptor_forget(struct rstun_client *client, uint64_t id);
void librstun_acceptors_free(struct rstun_client *client);

/* ---- librstun_channel.c ---- */

/* A channel that has nothing yet; it is its owner's. */
int librstun_channel_new(struct rstun_channel **ret, struct librstun_owner *owner,
			 const struct rstun_channel_ops *ops, void *user);
/* What the engine calls for it. */
struct flow_program librstun_channel_program(struct rstun_channel *channel);
