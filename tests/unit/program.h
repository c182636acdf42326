/* SPDX-License-Identifier: MIT */
/*
 * A program that uses librstun, for tests: the shared library on an event_base of the test's own,
 * against a server in another thread (tunnel_rig.h) or one of another program's on the same base,
 * and upstreams that the test plays. It counts what it is told and can free what it has in a call.
 * One server at a time; failures abort the test (cmocka); waits end after 20 s.
 */
#pragma once

#include "rstun.h"
#include "tests/unit/tunnel_pair.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum program_freeing {
	PROGRAM_FREE_NOTHING,
	PROGRAM_FREE_CHANNEL,
	PROGRAM_FREE_CLIENT, /* or its server */
	PROGRAM_FREE_CONTEXT,
};

/* Calls of a channel, and the question whether it wants to have one. */
enum program_call {
	PROGRAM_OPEN,
	PROGRAM_READABLE,
	PROGRAM_WRITABLE,
	PROGRAM_END,
	PROGRAM_CLOSED,
	PROGRAM_ERROR,
	PROGRAM_ASKED,
	PROGRAM_CALLS,
};

/* What it does with a stream of the far side's. */
enum program_answer {
	PROGRAM_TAKES,
	PROGRAM_REFUSES, /* with the error `refusal` */
	PROGRAM_LEAVES,  /* to the library */
};

/* A program: a context with one client or one server, and a channel. */
struct program {
	struct rstun_context *context;
	struct rstun_client *client;
	struct rstun_server *server;
	struct rstun_channel *channel;
	unsigned changes[RSTUN_STATE_STOPPED + 1];
	struct rstun_state_change last; /* without its texts */
	char bound[64];
	unsigned sockets, stopped, lines;
	bool refuse_sockets;
	unsigned calls[PROGRAM_CALLS];
	int error;
	char text[256];
	enum program_freeing freeing; /* in the call `in` */
	enum program_call in;
	bool filled; /* the channel, once: a test's own note */
	size_t moved; /* the same */
	bool freed;
	enum program_answer answer;
	int refusal;
	char asked_target[300], asked_peer[64]; /* of the last question; "-" = none was named */
	uint64_t asked_id;
	unsigned sessions[RSTUN_SESSION_ENDED + 1];
	struct rstun_session_change session; /* the last, without its texts */
	char session_mapping[128], session_software[80];
};

extern struct rig program_rig; /* has the server */
extern struct event_base *program_base;
extern const struct rstun_channel_ops program_ops;
/* Of clients that are started; NULL = none. */
extern void (*program_on_flow)(struct rstun_client *client, void *user,
			       const struct rstun_flow *flow);

/* Of cmocka: a base, a server, and its default upstreams pair_upstream[0] (TCP) and [1] (UDP); or
 * without the server. */
int program_setup(void **state);
int program_setup_alone(void **state);
int program_teardown(void **state);

const char *program_server(char buf[ADDRESS_TEXT_SIZE]); /* its address */

/* A context with a server, password "secret", which is the server from now on; `more` are two more
 * options, of which a name may be NULL. With `asked` it answers for streams. */
void program_serve(struct program *p, bool asked, const struct rstun_option more[2]);
/* For rstun_client_accept; the program is `user`. */
void program_on_channel(const struct rstun_channel_request *request, void *user);

/* A context with a client; a channel (nothing may be told before this returns); and all away, after
 * which, with program_end, the base must be empty. */
void program_start(struct program *p, const char *password);
void program_open(struct program *p, const char *target);
void program_leave(struct program *p); /* the same, while another one's are there */
void program_end(struct program *p);
void program_free(struct program *p, enum program_freeing what); /* as in a call */

/* Runs the loop until `test` is true, which is asked between its turns. */
void program_run_until(bool (*test)(struct program *p), struct program *p);
bool program_is_open(struct program *p);
bool program_is_readable(struct program *p);
bool program_is_ended(struct program *p);
bool program_is_closed(struct program *p);
bool program_has_failed(struct program *p);
bool program_is_up(struct program *p);
bool program_is_stopped(struct program *p);
bool program_was_asked(struct program *p);

/* The upstream's end, a blocking socket; the loop runs meanwhile. The last two close it. */
void program_far_wait(int fd); /* until something can be read from it */
int program_far_accept(void);
void program_far_expect(int fd, const char *text);
void program_far_expect_end(int fd);
void program_far_expect_reset(int fd);
/* An address of this machine where nobody listens. */
const char *program_nobody(char buf[ADDRESS_TEXT_SIZE]);

/* An upstream in a thread, for one connection. */
struct program_upstream {
	pthread_t thread;
	bool takes;   /* reads until the end, or sends only */
	bool echo;    /* what it takes */
	size_t bytes; /* to send when it does not take */
	size_t sent, received; /* good when joined */
};

void program_upstream_start(struct program_upstream *u); /* pthread_join ends it */
