/* SPDX-License-Identifier: MIT */
/*
 * SOCKS5 (RFC 1928): greeting, user and password (RFC 1929), request. Pure, any thread.
 */
#include "tunnel/proxy_private.h"

#include "base/error.h"
#include "relay/frame.h"

#include <string.h>

enum {
	SOCKS_METHOD_NONE = 0,
	SOCKS_METHOD_USER = 2,
	SOCKS_METHOD_NO_ACCEPTABLE = 0xff,
	SOCKS_USER_VERSION = 1,
	SOCKS_USER_OK = 0,
	SOCKS_USER_WRONG = 1,
	SOCKS_CONNECT = 1,
	SOCKS_ASSOCIATE = 3,
};

static void reply_pair(struct proxy_reply *reply, uint8_t version, uint8_t value)
{
	proxy_put(reply, (const uint8_t[]){version, value}, 2);
}

static enum proxy_result socks_stranger(struct proxy_feed *f)
{
	static const uint8_t socks4_rejected[8] = {0, 0x5b};

	if (f->data[0] == SOCKS4_VERSION) {
		proxy_put(f->reply, socks4_rejected, sizeof(socks4_rejected));
		return proxy_refuse(f, "SOCKS4 is not spoken here, only SOCKS5");
	}
	if (f->data[0] >= 'A' && f->data[0] <= 'Z')
		return proxy_refuse_http(f, HTTP_BAD_REQUEST,
					 "this is a SOCKS5 port, not an HTTP proxy");
	return proxy_refuse(f, "the first byte is not SOCKS5");
}

static enum proxy_result socks_greeting(struct proxy_request *r, struct proxy_feed *f)
{
	uint8_t method = r->auth != NULL ? SOCKS_METHOD_USER : SOCKS_METHOD_NONE;
	size_t count;

	if (f->data[0] != SOCKS_VERSION)
		return socks_stranger(f);
	if (f->bytes < 2)
		return PROXY_MORE;
	count = f->data[1];
	if (f->bytes < 2 + count)
		return PROXY_MORE;
	if (memchr(f->data + 2, method, count) == NULL) {
		reply_pair(f->reply, SOCKS_VERSION, SOCKS_METHOD_NO_ACCEPTABLE);
		return proxy_refuse(f, r->auth != NULL ? "the client offers no user and password"
						       : "the client wants to log in");
	}
	reply_pair(f->reply, SOCKS_VERSION, method);
	r->step = r->auth != NULL ? PROXY_STEP_USER : PROXY_STEP_REQUEST;
	proxy_consume(f, 2 + count);
	return PROXY_MORE;
}

static bool socks_user_right(const char *auth, const uint8_t *name, size_t name_bytes,
			     const uint8_t *password, size_t password_bytes)
{
	size_t right_bytes = strcspn(auth, ":");
	const char *right = auth + right_bytes + (auth[right_bytes] == ':');
	bool name_right = proxy_secret_equal(name, name_bytes, auth, right_bytes);
	bool password_right = proxy_secret_equal(password, password_bytes, right, strlen(right));

	return name_right & password_right;
}

static enum proxy_result socks_user_wrong(struct proxy_feed *f)
{
	reply_pair(f->reply, SOCKS_USER_VERSION, SOCKS_USER_WRONG);
	return proxy_refuse(f, "wrong user or password");
}

/* RFC 1929. */
static enum proxy_result socks_user(struct proxy_request *r, struct proxy_feed *f)
{
	const uint8_t *name = f->data + 2, *password;
	size_t name_bytes, password_bytes;

	if (f->data[0] != SOCKS_USER_VERSION)
		return socks_user_wrong(f);
	if (f->bytes < 2 || f->bytes < 3 + (size_t)f->data[1])
		return PROXY_MORE;
	name_bytes = f->data[1];
	password = name + name_bytes + 1;
	password_bytes = password[-1];
	if (f->bytes < 3 + name_bytes + password_bytes)
		return PROXY_MORE;
	if (!socks_user_right(r->auth, name, name_bytes, password, password_bytes))
		return socks_user_wrong(f);
	reply_pair(f->reply, SOCKS_USER_VERSION, SOCKS_USER_OK);
	r->step = PROXY_STEP_REQUEST;
	proxy_consume(f, 3 + name_bytes + password_bytes);
	return PROXY_MORE;
}

static enum proxy_result socks_request(struct proxy_request *r, struct proxy_feed *f)
{
	size_t used;
	int rc;

	if (f->bytes < 4)
		return PROXY_MORE;
	if (f->data[0] != SOCKS_VERSION)
		return proxy_refuse_socks(f, SOCKS_FAILED, "the request is not SOCKS5");
	r->udp = f->data[1] == SOCKS_ASSOCIATE;
	if (f->data[1] != SOCKS_CONNECT && !r->udp)
		return proxy_refuse_socks(f, SOCKS_COMMAND_UNKNOWN,
					  "only CONNECT and UDP ASSOCIATE are forwarded");
	/* The reserved byte is not looked at: it means nothing, some leave junk there. */
	rc = frame_get_socks_target(&r->target, &used, f->data + 3, f->bytes - 3);
	if (rc == RSTUN_E_AGAIN)
		return PROXY_MORE;
	if (rc == RSTUN_E_UNSUPPORTED)
		return proxy_refuse_socks(f, SOCKS_ADDRESS_UNKNOWN, "unknown type of address");
	if (rc != 0)
		return proxy_refuse_socks(f, SOCKS_FAILED, "neither a name nor an address");
	if (!r->udp && !proxy_has_port(&r->target))
		return proxy_refuse_socks(f, SOCKS_FAILED, "port 0 cannot be connected to");
	proxy_consume(f, 3 + used);
	return PROXY_READY;
}

enum proxy_result proxy_socks_step(struct proxy_request *r, struct proxy_feed *f)
{
	if (r->step == PROXY_STEP_START)
		return socks_greeting(r, f);
	return r->step == PROXY_STEP_USER ? socks_user(r, f) : socks_request(r, f);
}
