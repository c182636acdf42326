/* SPDX-License-Identifier: MIT */
/*
 * Code that uses a bufferevent as if it were a socket's, for tests of librstun: a program
 * (program.h) whose channel is one. It sends what it is to send and digests what comes; it can free
 * what it has in a call.
 */
#pragma once

#include "tests/unit/program.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>

enum user_call {
	USER_CONNECTED,
	USER_READ,
	USER_WRITE,
	USER_EOF,
	USER_ERROR,
	USER_TIMEOUT,
	USER_CALLS,
};

enum user_freeing {
	USER_FREE_NOTHING,
	USER_FREE_BUFFEREVENT,
	USER_FREE_CLIENT, /* before the bufferevent */
	USER_FREE_CONTEXT,
	USER_FREE_ALL,    /* the bufferevent, then the context */
	USER_FREEINGS,
};

struct user {
	struct program p; /* first */
	struct bufferevent *bev;
	unsigned calls[USER_CALLS];
	int error;       /* errno in the call */
	short what;      /* of the last event but CONNECTED */
	size_t to_send, sent, received;
	uint64_t sent_digest, received_digest;
	bool hold;       /* leaves what came where it is, until the watermark is reached */
	enum user_freeing freeing;
	enum user_call in;
	bool freed;
};

/* For bytes that must come in order; begins with 0. */
uint64_t user_digest(uint64_t digest, const uint8_t *data, size_t bytes);

/* Its callbacks, that a test may call, too: takes what is there; writes the next piece. */
void user_on_read(struct bufferevent *bev, void *user);
void user_on_write(struct bufferevent *bev, void *user);
void user_on_event(struct bufferevent *bev, short what, void *user);

/* A program with a client and a channel, as a bufferevent that is enabled both ways. */
void user_open(struct user *u, const char *password, const char *target);
void user_start(struct user *u); /* all of it from 0, to the default upstream */
void user_let_go(struct user *u); /* the bufferevent was freed */
void user_end(struct user *u);

/* For program_run_until. */
bool user_is_connected(struct program *p);
bool user_has_read(struct program *p);
bool user_is_over(struct program *p); /* an end, an error, a timeout */
bool user_has_written(struct program *p); /* its output is empty */
bool user_is_freed(struct program *p);
