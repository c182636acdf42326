/* SPDX-License-Identifier: MIT */
/*
 * What a client of a forwarding port asks for: SOCKS5 (RFC 1928, RFC 1929) or HTTP CONNECT
 * (RFC 9110 section 9.3.6, RFC 9112). Bytes in, bytes out: no socket, no clock, no allocation; any
 * thread, one at a time per request. The owner reads from its client, feeds, sends what the reply
 * holds, opens the tunnel and answers with proxy_reply_ok or proxy_reply_error.
 */
#pragma once

#include "base/address.h"
#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum proxy_kind { PROXY_SOCKS5, PROXY_HTTP };

#define PROXY_REPLY_MAX 256 /* bytes of one answer */
#define PROXY_HEAD_MAX 8192 /* most of a request's bytes */
#define PROXY_USER_MAX CONFIG_PROXY_USER_MAX

/* Members belong to proxy_*.c but for `target`. Nothing to free. */
struct proxy_request {
	enum proxy_kind kind;
	const char *auth;     /* NULL: nobody is asked for a password */
	int step;
	size_t head_bytes;    /* HTTP: consumed so far, at most PROXY_HEAD_MAX */
	bool host_needed;     /* HTTP/1.1 */
	bool host_seen;
	bool credentials_seen;
	bool user_right;      /* and they are the user's */
	bool udp;             /* when PROXY_READY: UDP ASSOCIATE; `target` means nothing then */
	struct target target; /* when PROXY_READY: an address or a name, the port is never 0 */
};

enum proxy_result {
	PROXY_MORE,   /* needs more bytes; `reply` may hold something to send now */
	PROXY_READY,  /* `target` is known: send `reply` if it holds something, open the tunnel */
	PROXY_REFUSED /* send `reply`, which may be empty, and close */
};

struct proxy_reply {
	size_t bytes;
	uint8_t data[PROXY_REPLY_MAX];
};

/* `auth` is who may use the port, USER:PASSWORD, at most PROXY_USER_MAX bytes each and no ':' in the
 * user (RFC 7617 section 2); else nobody is ever let in. NULL: everybody may. It must outlive the
 * request. */
void proxy_request_init(struct proxy_request *r, enum proxy_kind kind, const char *auth);

/* Looks at the bytes not consumed so far, from their beginning, and goes as far as they allow;
 * *ret_used says how many are done with (the caller drops them; they may hold a password). To be
 * called again with what is left plus what comes, until it is not PROXY_MORE; while it is, fewer
 * than PROXY_HEAD_MAX are left. After PROXY_READY what is behind *ret_used belongs to the flow.
 * `reply` is always set, *ret_why only when refused: a static sentence for the log. */
enum proxy_result proxy_request_feed(struct proxy_request *r, const uint8_t *data, size_t bytes,
				     size_t *ret_used, struct proxy_reply *reply,
				     const char **ret_why);

/* The tunnel is open: what follows in both directions is the flow. */
void proxy_reply_ok(const struct proxy_request *r, struct proxy_reply *reply);

/* SOCKS5, UDP ASSOCIATE: where its datagrams are taken. */
void proxy_reply_associated(const struct address *bound, struct proxy_reply *reply);

/* It could not be opened, by enum rstun_error; the connection is to be closed behind it. */
void proxy_reply_error(const struct proxy_request *r, int error, struct proxy_reply *reply);
