/* SPDX-License-Identifier: MIT */
/*
 * A TLS 1.3 (or 1.2) client connection over TCP, non-blocking on a loop: what DNS over TLS (RFC
 * 7858) needs. Owner frees it; callbacks come from the loop, never from inside a call.
 */
#pragma once

#include "base/address.h"

#include <stddef.h>
#include <stdint.h>

struct loop;
struct tls_credentials;
struct tls_stream;

struct tls_stream_ops {
	void (*on_ready)(void *user); /* handshake done, verified */
	void (*on_data)(void *user, const uint8_t *data, size_t bytes); /* borrowed for the call */
	/* The last call; `error` and a sentence. The owner frees the stream after or in it. */
	void (*on_close)(void *user, int error, const char *why);
};

/* `name` is verified against the certificate (a DNS name), or with NULL the address itself. `fd` is
 * a non-blocking TCP socket, connecting or connected, taken over in every case. */
int tls_stream_new(struct tls_stream **ret, struct loop *loop, int fd,
		   struct tls_credentials *credentials, const char *name,
		   const struct address *peer, const struct tls_stream_ops *ops, void *user);
int tls_stream_write(struct tls_stream *s, const void *data,
		     size_t bytes); /* queued, at most 64 KiB */
void tls_stream_free(struct tls_stream *s);
