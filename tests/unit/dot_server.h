/* SPDX-License-Identifier: MIT */
/*
 * A DNS over TLS server for tests, on a thread of its own: answers from dns_zone, or misbehaves as
 * told. One connection at a time.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum dot_server_manner {
	DOT_SERVER_RIGHT,
	DOT_SERVER_BYTEWISE,   /* a TLS record for each byte */
	DOT_SERVER_ONE_RECORD, /* both answers in one TLS record, in the other order */
	DOT_SERVER_NO_TLS,     /* accepts, never says anything */
	DOT_SERVER_NO_ANSWER,  /* TLS, then silence */
	DOT_SERVER_CLOSE,      /* TLS, then closes */
	DOT_SERVER_CLOSE_HALF, /* answers the first question, then closes */
	DOT_SERVER_GARBAGE,    /* TLS, then a frame that is no answer */
	DOT_SERVER_PLAIN,      /* bytes that are no TLS */
};

struct dot_server {
	int listen_fd;
	uint16_t port;
	char text[64]; /* "127.0.0.1:port" */
	enum dot_server_manner manner;
	const char *cert, *key;
	pthread_t thread;
	atomic_int connection_fd; /* -1 when none: shut down by the stop */
	atomic_bool stopping;
	atomic_uint connections, questions;
};

void dot_server_start(struct dot_server *s, enum dot_server_manner manner, const char *cert,
		      const char *key);
void dot_server_stop(struct dot_server *s);
