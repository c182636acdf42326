/* SPDX-License-Identifier: MIT */
/*
 * Requests of SOCKS5 (proxy_socks.c) and HTTP (proxy_http.c) clients. A step of those reads one
 * message (a greeting, a user, a request, a line of an HTTP head) whole, or nothing while bytes are
 * missing, so pieces of any size give the same answers. Whoever speaks another protocol is told so
 * in its own words where that is possible. Pure, any thread.
 */
#include "tunnel/proxy_private.h"

#include "base/error.h"
#include "tls/digest.h"

#include <stdio.h>
#include <string.h>

/* Text of a body: with the longest status and its fields it fits into an answer. */
#define HTTP_TEXT_MAX 96

/* What is not here is SOCKS_FAILED and HTTP_BAD_GATEWAY. */
static const struct proxy_error_row {
	int error;
	enum socks_rep socks;
	const char *http;
} proxy_error_rows[] = {
	{RSTUN_E_ACCESS_DENIED, SOCKS_NOT_ALLOWED, HTTP_FORBIDDEN},
	{RSTUN_E_PERMISSION_DENIED, SOCKS_NOT_ALLOWED, HTTP_FORBIDDEN},
	{RSTUN_E_UNSUPPORTED, SOCKS_COMMAND_UNKNOWN, HTTP_BAD_GATEWAY},
	{RSTUN_E_UNREACHABLE, SOCKS_NETWORK_UNREACHABLE, HTTP_UNAVAILABLE},
	{RSTUN_E_TARGET_UNREACHABLE, SOCKS_HOST_UNREACHABLE, HTTP_BAD_GATEWAY},
	{RSTUN_E_DNS_FAILED, SOCKS_HOST_UNREACHABLE, HTTP_BAD_GATEWAY},
	{RSTUN_E_TARGET_REFUSED, SOCKS_REFUSED, HTTP_BAD_GATEWAY},
	{RSTUN_E_TIMEOUT, SOCKS_TIMEOUT, HTTP_TIMEOUT},
	{RSTUN_E_LIMIT_REACHED, SOCKS_FAILED, HTTP_UNAVAILABLE},
	{RSTUN_E_RATE_LIMITED, SOCKS_FAILED, HTTP_UNAVAILABLE},
	{RSTUN_E_SHUTTING_DOWN, SOCKS_FAILED, HTTP_UNAVAILABLE},
	{RSTUN_E_NOMEM, SOCKS_FAILED, HTTP_UNAVAILABLE},
};

/* ---- answers ---- */

void proxy_consume(struct proxy_feed *f, size_t bytes)
{
	f->data += bytes;
	f->bytes -= bytes;
}

void proxy_put(struct proxy_reply *reply, const uint8_t *data, size_t bytes)
{
	memcpy(reply->data + reply->bytes, data, bytes);
	reply->bytes += bytes;
}

/* The address that is bound is nobody's business: 0.0.0.0:0. */
static void reply_socks(struct proxy_reply *reply, enum socks_rep rep)
{
	proxy_put(reply, (const uint8_t[10]){SOCKS_VERSION, (uint8_t)rep, 0, 1}, 10);
}

static void reply_http(struct proxy_reply *reply, const char *status, const char *text)
{
	size_t text_bytes = strlen(text);

	if (text_bytes > HTTP_TEXT_MAX)
		text_bytes = HTTP_TEXT_MAX;
	reply->bytes = (size_t)snprintf((char *)reply->data, sizeof(reply->data),
					"HTTP/1.1 %s\r\n"
					"Content-Type: text/plain\r\n"
					"Content-Length: %zu\r\n"
					"Connection: close\r\n"
					"\r\n"
					"%.*s\n",
					status, text_bytes + 1, (int)text_bytes, text);
}

enum proxy_result proxy_refuse(struct proxy_feed *f, const char *why)
{
	*f->ret_why = why;
	return PROXY_REFUSED;
}

enum proxy_result proxy_refuse_socks(struct proxy_feed *f, enum socks_rep rep, const char *why)
{
	reply_socks(f->reply, rep);
	return proxy_refuse(f, why);
}

enum proxy_result proxy_refuse_http(struct proxy_feed *f, const char *status, const char *why)
{
	reply_http(f->reply, status, why);
	return proxy_refuse(f, why);
}

/* ---- what both have ---- */

bool proxy_secret_equal(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
	uint8_t a_digest[DIGEST_SHA256_BYTES], b_digest[DIGEST_SHA256_BYTES];

	digest_sha256(a_digest, a, a_bytes);
	digest_sha256(b_digest, b, b_bytes);
	return digest_equal(a_digest, b_digest, sizeof(a_digest));
}

bool proxy_has_scope(const void *host, size_t bytes)
{
	return memchr(host, '%', bytes) != NULL;
}

bool proxy_has_port(const struct target *target)
{
	return (target->kind == TARGET_NAME ? target->port : address_port(&target->address)) != 0;
}

/* ---- requests ---- */

void proxy_request_init(struct proxy_request *r, enum proxy_kind kind, const char *auth)
{
	*r = (struct proxy_request){.kind = kind, .auth = auth, .step = PROXY_STEP_START};
}

enum proxy_result proxy_request_feed(struct proxy_request *r, const uint8_t *data, size_t bytes,
				     size_t *ret_used, struct proxy_reply *reply,
				     const char **ret_why)
{
	struct proxy_feed f = {.data = data, .bytes = bytes, .reply = reply, .ret_why = ret_why};
	enum proxy_result result = PROXY_MORE;
	size_t before = SIZE_MAX;

	reply->bytes = 0;
	while (result == PROXY_MORE && f.bytes > 0 && f.bytes < before) {
		before = f.bytes;
		result = r->kind == PROXY_SOCKS5 ? proxy_socks_step(r, &f)
						: proxy_http_step(r, &f);
	}
	*ret_used = bytes - f.bytes;
	return result;
}

void proxy_reply_ok(const struct proxy_request *r, struct proxy_reply *reply)
{
	static const char http_ok[] = "HTTP/1.1 200 Connection established\r\n\r\n";

	reply->bytes = 0;
	if (r->kind == PROXY_SOCKS5)
		reply_socks(reply, SOCKS_OK);
	else
		proxy_put(reply, (const uint8_t *)http_ok, sizeof(http_ok) - 1);
}

void proxy_reply_associated(const struct address *bound, struct proxy_reply *reply)
{
	bool v6 = bound->sa.sa_family == AF_INET6;
	uint16_t port = address_port(bound);

	reply->bytes = 0;
	proxy_put(reply, (const uint8_t[]){SOCKS_VERSION, SOCKS_OK, 0, v6 ? 4 : 1}, 4);
	if (v6)
		proxy_put(reply, (const uint8_t *)&bound->in6.sin6_addr, 16);
	else
		proxy_put(reply, (const uint8_t *)&bound->in.sin_addr, 4);
	proxy_put(reply, (const uint8_t[]){(uint8_t)(port >> 8), (uint8_t)port}, 2);
}

void proxy_reply_error(const struct proxy_request *r, int error, struct proxy_reply *reply)
{
	struct proxy_error_row row = {error, SOCKS_FAILED, HTTP_BAD_GATEWAY};

	for (size_t i = 0; i < sizeof(proxy_error_rows) / sizeof(proxy_error_rows[0]); i++)
		if (proxy_error_rows[i].error == error)
			row = proxy_error_rows[i];
	reply->bytes = 0;
	if (r->kind == PROXY_SOCKS5)
		reply_socks(reply, row.socks);
	else
		reply_http(reply, row.http, rstun_strerror(error));
}
