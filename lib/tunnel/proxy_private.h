/* SPDX-License-Identifier: MIT */
/*
 * What the readers of SOCKS5 (proxy_socks.c) and of HTTP (proxy_http.c) share with
 * proxy_request.c, and nobody else.
 */
#pragma once

#include "tunnel/proxy_request.h"

enum {
	PROXY_STEP_START,   /* the greeting of SOCKS5, the request line of HTTP */
	PROXY_STEP_USER,    /* RFC 1929 */
	PROXY_STEP_REQUEST, /* of SOCKS5 */
	PROXY_STEP_FIELDS,  /* the rest of an HTTP head */
};

enum {
	SOCKS4_VERSION = 4,
	SOCKS_VERSION = 5,
};

/* RFC 1928 section 6. */
enum socks_rep {
	SOCKS_OK,
	SOCKS_FAILED,
	SOCKS_NOT_ALLOWED,
	SOCKS_NETWORK_UNREACHABLE,
	SOCKS_HOST_UNREACHABLE,
	SOCKS_REFUSED,
	SOCKS_TIMEOUT,
	SOCKS_COMMAND_UNKNOWN,
	SOCKS_ADDRESS_UNKNOWN,
};

/* Status lines, with the fields that go with them. */
#define HTTP_BAD_REQUEST "400 Bad Request"
#define HTTP_FORBIDDEN "403 Forbidden"
#define HTTP_METHOD "405 Method Not Allowed\r\nAllow: CONNECT"
#define HTTP_USER \
	"407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"rstund\""
#define HTTP_TOO_LARGE "431 Request Header Fields Too Large"
#define HTTP_BAD_GATEWAY "502 Bad Gateway"
#define HTTP_UNAVAILABLE "503 Service Unavailable"
#define HTTP_TIMEOUT "504 Gateway Timeout"
#define HTTP_VERSION_UNKNOWN "505 HTTP Version Not Supported"

/* One call of proxy_request_feed. */
struct proxy_feed {
	const uint8_t *data; /* what is not consumed */
	size_t bytes;
	struct proxy_reply *reply;
	const char **ret_why;
};

/* They read one message from the front, f->bytes > 0: consume it and say PROXY_MORE when another
 * one is needed, or consume nothing while bytes are missing. */
enum proxy_result proxy_socks_step(struct proxy_request *r, struct proxy_feed *f);
enum proxy_result proxy_http_step(struct proxy_request *r, struct proxy_feed *f);

void proxy_consume(struct proxy_feed *f, size_t bytes);

/* Adds to what the reply holds: several answers may come of one feed, and all that SOCKS5 can say
 * to one client fits. */
void proxy_put(struct proxy_reply *reply, const uint8_t *data, size_t bytes);

/* PROXY_REFUSED, always; `why` is static. The HTTP one tells it to the client, too. */
enum proxy_result proxy_refuse(struct proxy_feed *f, const char *why);
enum proxy_result proxy_refuse_socks(struct proxy_feed *f, enum socks_rep rep, const char *why);
enum proxy_result proxy_refuse_http(struct proxy_feed *f, const char *status, const char *why);

/* In time that depends on the lengths only; that of the secret is always the same. */
bool proxy_secret_equal(const void *a, size_t a_bytes, const void *b, size_t b_bytes);

/* A scope ("fe80::1%eth0") names an interface of whoever dials, which a client cannot know. */
bool proxy_has_scope(const void *host, size_t bytes);

bool proxy_has_port(const struct target *target);
