/* SPDX-License-Identifier: MIT */
/*
 * HTTP CONNECT (RFC 9110 section 9.3.6, RFC 9112), a line at a time. What two readers could take
 * for two things is refused. Pure, any thread.
 */
#include "tunnel/proxy_private.h"

#include "base/random.h"

#include <string.h>
#include <strings.h>

#define HTTP_VERSION_BYTES 8 /* "HTTP/1.1" */

static enum proxy_result bad_request(struct proxy_feed *f, const char *why)
{
	return proxy_refuse_http(f, HTTP_BAD_REQUEST, why);
}

static bool is_token_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* RFC 9110 section 5.6.2. */
static bool is_token(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (!is_token_byte(text[i]))
			return false;
	return bytes > 0;
}

/* Whatever the case of letters. */
static bool text_is(const char *text, size_t bytes, const char *word)
{
	return bytes == strlen(word) && strncasecmp(text, word, bytes) == 0;
}

static bool has_control(const char *line, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
			return true;
	return false;
}

#define BASE64_BYTES(bytes) (((bytes) + 2) / 3 * 4)

/* RFC 4648 section 4, with padding. Returns BASE64_BYTES(bytes). */
static size_t base64_encode(char *ret, const uint8_t *data, size_t bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t out = 0;

	for (size_t i = 0; i < bytes; i += 3) {
		uint32_t group = (uint32_t)data[i] << 16;

		group |= i + 1 < bytes ? (uint32_t)data[i + 1] << 8 : 0;
		group |= i + 2 < bytes ? data[i + 2] : 0;
		ret[out++] = digits[group >> 18];
		ret[out++] = digits[group >> 12 & 63];
		ret[out++] = i + 1 < bytes ? digits[group >> 6 & 63] : '=';
		ret[out++] = i + 2 < bytes ? digits[group & 63] : '=';
	}
	return out;
}

/* "Basic dXNlcjpwYXNz" (RFC 7617 section 2). What was sent is not decoded: the right one is
 * encoded. */
static bool http_user_right(const char *auth, const char *value, size_t bytes)
{
	static const char scheme[] = "Basic ";
	char right[BASE64_BYTES(2 * PROXY_USER_MAX + 1)];
	size_t at = sizeof(scheme) - 1, auth_bytes = strlen(auth);
	bool equal;

	if (bytes < at || !text_is(value, at, scheme) || auth_bytes > 2 * PROXY_USER_MAX + 1)
		return false;
	while (at < bytes && value[at] == ' ')
		at++;
	equal = proxy_secret_equal(value + at, bytes - at, right,
				   base64_encode(right, (const uint8_t *)auth, auth_bytes));
	secret_wipe(right, sizeof(right));
	return equal;
}

/* "name:80", "192.0.2.1:80", "[2001:db8::1]:80". target_parse takes a port alone, too. */
static bool http_target(struct target *ret, const char *text, size_t bytes)
{
	const char *why;
	size_t at;

	return memchr(text, ':', bytes) != NULL && !proxy_has_scope(text, bytes) &&
	       target_parse(ret, text, bytes, &at, &why) == 0 && proxy_has_port(ret);
}

/* "METHOD target HTTP/1.x" with one space between (RFC 9112 section 3). */
struct http_line {
	const char *target, *version;
	size_t method_bytes, target_bytes;
};

static bool http_split(struct http_line *ret, const char *line, size_t bytes)
{
	const char *space = memchr(line, ' ', bytes), *last = memrchr(line, ' ', bytes);

	if (space == NULL || last - space < 2 || line + bytes - last != 1 + HTTP_VERSION_BYTES)
		return false;
	ret->target = space + 1;
	ret->version = last + 1;
	ret->method_bytes = (size_t)(space - line);
	ret->target_bytes = (size_t)(last - ret->target);
	return is_token(line, ret->method_bytes) &&
	       memchr(ret->target, ' ', ret->target_bytes) == NULL &&
	       memcmp(ret->version, "HTTP/", 5) == 0;
}

static enum proxy_result http_method(struct proxy_feed *f, const struct http_line *line)
{
	bool absolute = memmem(line->target, line->target_bytes, "://", 3) != NULL;

	return proxy_refuse_http(f, HTTP_METHOD,
				 absolute ? "http:// requests are not forwarded, only CONNECT"
					  : "this port forwards CONNECT only");
}

static enum proxy_result http_request_line(struct proxy_request *r, struct proxy_feed *f,
					   const char *line, size_t bytes)
{
	struct http_line parts;

	if (!http_split(&parts, line, bytes))
		return bad_request(f, "the first line is not METHOD TARGET HTTP/1.x");
	r->host_needed = memcmp(parts.version, "HTTP/1.1", HTTP_VERSION_BYTES) == 0;
	if (!r->host_needed && memcmp(parts.version, "HTTP/1.0", HTTP_VERSION_BYTES) != 0)
		return proxy_refuse_http(f, HTTP_VERSION_UNKNOWN,
					 "only HTTP/1.0 and HTTP/1.1 are spoken here");
	if (parts.method_bytes != 7 || memcmp(line, "CONNECT", 7) != 0)
		return http_method(f, &parts);
	if (!http_target(&r->target, parts.target, parts.target_bytes))
		return bad_request(f, "CONNECT wants HOST:PORT, an IPv6 address in brackets");
	r->step = PROXY_STEP_FIELDS;
	return PROXY_MORE;
}

/* What must not come twice. */
static enum proxy_result http_once(struct proxy_feed *f, bool *seen, const char *why)
{
	if (*seen)
		return bad_request(f, why);
	*seen = true;
	return PROXY_MORE;
}

/* RFC 9112 section 5. A line that goes on (obs-fold) begins with a space, which no name does. */
static enum proxy_result http_field(struct proxy_request *r, struct proxy_feed *f, const char *line,
				    size_t bytes)
{
	const char *colon = memchr(line, ':', bytes), *value = colon, *end = line + bytes;
	size_t name_bytes, value_bytes;

	if (colon == NULL || !is_token(line, (size_t)(colon - line)))
		return bad_request(f, "a header line is not NAME: VALUE");
	name_bytes = (size_t)(colon - line);
	do
		value++;
	while (value < end && (*value == ' ' || *value == '\t'));
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	value_bytes = (size_t)(end - value);
	/* What one proxy takes for a body is the flow to another: such a request goes nowhere. */
	if (text_is(line, name_bytes, "Transfer-Encoding") ||
	    (text_is(line, name_bytes, "Content-Length") && !text_is(value, value_bytes, "0")))
		return bad_request(f, "a CONNECT request has no body");
	if (text_is(line, name_bytes, "Host"))
		return http_once(f, &r->host_seen, "more than one Host");
	if (r->auth != NULL && text_is(line, name_bytes, "Proxy-Authorization")) {
		r->user_right = http_user_right(r->auth, value, value_bytes);
		return http_once(f, &r->credentials_seen, "more than one Proxy-Authorization");
	}
	return PROXY_MORE;
}

static enum proxy_result http_end(const struct proxy_request *r, struct proxy_feed *f)
{
	if (r->host_needed && !r->host_seen)
		return bad_request(f, "HTTP/1.1 wants a Host");
	if (r->auth != NULL && !r->user_right)
		return proxy_refuse_http(f, HTTP_USER,
					 r->credentials_seen ? "wrong user or password"
							     : "a user and a password are wanted");
	return PROXY_READY;
}

/* One line with its CR LF. A bare LF ends a line for some and not for others, so none here. */
static enum proxy_result read_line(struct proxy_request *r, struct proxy_feed *f)
{
	const char *line = (const char *)f->data;
	size_t room = PROXY_HEAD_MAX - r->head_bytes, bytes = f->bytes < room ? f->bytes : room;
	const char *end = memchr(line, '\n', bytes);

	if (end == NULL && bytes < room)
		return PROXY_MORE;
	if (end == NULL)
		return proxy_refuse_http(f, HTTP_TOO_LARGE, "the request is too long");
	bytes = (size_t)(end - line);
	r->head_bytes += bytes + 1;
	proxy_consume(f, bytes + 1);
	if (bytes == 0 || end[-1] != '\r')
		return bad_request(f, "a line does not end with CR LF");
	bytes--;
	if (has_control(line, bytes))
		return bad_request(f, "a control byte in the head");
	if (r->step == PROXY_STEP_START)
		return http_request_line(r, f, line, bytes);
	return bytes > 0 ? http_field(r, f, line, bytes) : http_end(r, f);
}

enum proxy_result proxy_http_step(struct proxy_request *r, struct proxy_feed *f)
{
	if (r->step != PROXY_STEP_START)
		return read_line(r, f);
	/* Told at once: a line of something else might never end. */
	if (f->data[0] == SOCKS_VERSION || f->data[0] == SOCKS4_VERSION)
		return bad_request(f, "this is an HTTP proxy port, not SOCKS");
	if (!is_token_byte((char)f->data[0]))
		return bad_request(f, "the first byte is not HTTP");
	return read_line(r, f);
}
