/* SPDX-License-Identifier: MIT */
/*
 * Requests of proxy clients: golden answers, every rule of refusal, every split of each input, and
 * that no byte behind the head is consumed. One thread.
 */
#include "base/error.h"
#include "tunnel/proxy_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char user[] = "u:pass";

/* All that comes of one client. */
struct outcome {
	enum proxy_result result;
	size_t used;
	char reply[2 * PROXY_REPLY_MAX];
	size_t reply_bytes;
	char target[ADDRESS_TARGET_TEXT_SIZE];
	const char *why;
};

/* A copy of exactly `bytes` bytes, so that a sanitizer sees a read beyond them. */
static enum proxy_result feed_exact(struct proxy_request *r, const char *data, size_t bytes,
				    size_t *ret_used, struct proxy_reply *reply,
				    const char **ret_why)
{
	uint8_t *copy = malloc(bytes + 1);
	enum proxy_result result;

	assert_non_null(copy);
	memcpy(copy + 1, data, bytes);
	result = proxy_request_feed(r, copy + 1, bytes, ret_used, reply, ret_why);
	free(copy);
	return result;
}

/* The first piece has `first` bytes, all others `rest`. */
static void feed_all(struct outcome *ret, struct proxy_request *r, const char *data, size_t bytes,
		     size_t first, size_t rest)
{
	struct proxy_reply reply;
	size_t seen = 0, used;

	memset(ret, 0, sizeof(*ret));
	do {
		size_t piece = seen == 0 ? first : rest;

		seen = seen + piece < bytes ? seen + piece : bytes;
		ret->result = feed_exact(r, data + ret->used, seen - ret->used, &used, &reply,
					 &ret->why);
		assert_true(used <= seen - ret->used);
		assert_true(reply.bytes <= sizeof(reply.data));
		assert_true(ret->reply_bytes + reply.bytes <= sizeof(ret->reply));
		memcpy(ret->reply + ret->reply_bytes, reply.data, reply.bytes);
		ret->reply_bytes += reply.bytes;
		ret->used += used;
	} while (ret->result == PROXY_MORE && seen < bytes);
	assert_int_equal(ret->result == PROXY_REFUSED, ret->why != NULL);
	if (ret->result == PROXY_READY)
		target_format(ret->target, sizeof(ret->target), &r->target);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
	assert_int_equal(a->result, b->result);
	assert_int_equal(a->used, b->used);
	assert_int_equal(a->reply_bytes, b->reply_bytes);
	assert_memory_equal(a->reply, b->reply, a->reply_bytes);
	assert_string_equal(a->target, b->target);
	if (a->why != NULL)
		assert_string_equal(a->why, b->why);
}

/* In one piece, behind nothing at all, split at every byte, and byte by byte: always the same. */
static void feed(struct outcome *ret, enum proxy_kind kind, const char *who,
		 const char *data, size_t bytes)
{
	struct proxy_request r;
	struct proxy_reply reply;
	struct outcome other;
	size_t used = 1;

	proxy_request_init(&r, kind, who);
	assert_int_equal(proxy_request_feed(&r, NULL, 0, &used, &reply, &other.why), PROXY_MORE);
	assert_int_equal(used + reply.bytes, 0);
	feed_all(ret, &r, data, bytes, bytes, bytes);
	for (size_t first = 1; first < bytes; first++) {
		proxy_request_init(&r, kind, who);
		feed_all(&other, &r, data, bytes, first, bytes);
		check_same(ret, &other);
	}
	proxy_request_init(&r, kind, who);
	feed_all(&other, &r, data, bytes, 1, 1);
	check_same(ret, &other);
}

/* ---- SOCKS5 ---- */

#define BYTES(text) text, sizeof(text) - 1

#define HELLO "\x05\x01\x00"
#define HELLO_USER "\x05\x01\x02\x01\x01u\x04pass"
#define CHOSEN "\x05\x00"
#define LET_IN "\x05\x02\x01\x00"
#define ZERO "\0\x01\0\0\0\0\0\0" /* behind REP */
#define REP(code) BYTES(CHOSEN "\x05" code ZERO)

static void test_socks_ready(void **state)
{
	static const struct {
		const char *who;
		const char *data;
		size_t bytes;
		const char *reply;
		size_t reply_bytes;
		const char *target;
	} good[] = {
		{NULL, BYTES(HELLO "\x05\x01\0\x01\xc0\0\x02\x07\x01\xbb"), BYTES(CHOSEN),
		 "192.0.2.7:443"},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x0b" "Example.org\x01\xbb"), BYTES(CHOSEN),
		 "Example.org:443"},
		{NULL, BYTES(HELLO "\5\1\0\4\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\1\0\x35"),
		 BYTES(CHOSEN), "[2001:db8::1]:53"},
		/* An IPv4 address inside IPv6. */
		{NULL, BYTES(HELLO "\x05\x01\0\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01\0\x50"),
		 BYTES(CHOSEN), "127.0.0.1:80"},
		/* Names that are addresses; a dot at the end; one with '_'. */
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x08" "10.0.0.1\0\x50"), BYTES(CHOSEN),
		 "10.0.0.1:80"},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x03::1\0\x50"), BYTES(CHOSEN), "[::1]:80"},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x04" "a.b.\0\x50"), BYTES(CHOSEN), "a.b:80"},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x03_sv\0\x50"), BYTES(CHOSEN), "_sv:80"},
		/* '%' in the port is no scope; junk in the reserved byte. */
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x01" "a%%"), BYTES(CHOSEN), "a:9509"},
		{NULL, BYTES(HELLO "\x05\x01\xff\x03\x01" "a\0\x50"), BYTES(CHOSEN), "a:80"},
		/* Among several methods. */
		{NULL, BYTES("\x05\x03\x02\x01\x00\x05\x01\0\x03\x01" "a\0\x50"), BYTES(CHOSEN),
		 "a:80"},
		{user, BYTES(HELLO_USER "\x05\x01\0\x03\x01" "a\0\x50"), BYTES(LET_IN), "a:80"},
		{user, BYTES("\x05\x02\x00\x02\x01\x01u\x04pass\x05\x01\0\x03\x01" "a\0\x50"),
		 BYTES(LET_IN), "a:80"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char data[64];
		struct outcome out;

		memcpy(data, good[i].data, good[i].bytes);
		memcpy(data + good[i].bytes, "flow", 4);
		feed(&out, PROXY_SOCKS5, good[i].who, data, good[i].bytes + 4);
		assert_int_equal(out.result, PROXY_READY);
		assert_int_equal(out.used, good[i].bytes);
		assert_string_equal(out.target, good[i].target);
		assert_int_equal(out.reply_bytes, good[i].reply_bytes);
		assert_memory_equal(out.reply, good[i].reply, good[i].reply_bytes);
		feed(&out, PROXY_SOCKS5, good[i].who, good[i].data, good[i].bytes - 1);
		assert_int_equal(out.result, PROXY_MORE);
	}
}

/* Where its datagrams will come from may be left open. */
static void test_socks_associate(void **state)
{
	struct proxy_request r;
	struct proxy_reply reply;
	struct address bound;
	const char *why;
	size_t used;

	(void)state;
	proxy_request_init(&r, PROXY_SOCKS5, NULL);
	assert_int_equal(feed_exact(&r, HELLO "\x05\x03\0\x01\0\0\0\0\0\0", 13, &used, &reply,
				    &why),
			 PROXY_READY);
	assert_int_equal(used, 13);
	assert_true(r.udp);
	assert_int_equal(address_parse(&bound, "192.0.2.7:443", 13), 0);
	proxy_reply_associated(&bound, &reply);
	assert_int_equal(reply.bytes, 10);
	assert_memory_equal(reply.data, "\x05\0\0\x01\xc0\0\x02\x07\x01\xbb", 10);
	assert_int_equal(address_parse(&bound, "[::1]:53", 8), 0);
	proxy_reply_associated(&bound, &reply);
	assert_int_equal(reply.bytes, 22);
	assert_memory_equal(reply.data, "\x05\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x35", 22);
	proxy_request_init(&r, PROXY_SOCKS5, NULL);
	assert_int_equal(feed_exact(&r, HELLO "\x05\x01\0\x01\x7f\0\0\x01\0\x50", 13, &used, &reply,
				    &why), PROXY_READY);
	assert_false(r.udp);
}

static void test_socks_refused(void **state)
{
	static const struct {
		const char *who;
		const char *data;
		size_t bytes;
		const char *reply;
		size_t reply_bytes;
	} bad[] = {
		{NULL, BYTES("\x04\x01\0\x50\x7f\0\0\x01\0"), BYTES("\0\x5b\0\0\0\0\0\0")},
		{NULL, BYTES("\x16\x03\x01"), BYTES("")},
		{NULL, BYTES("\0"), BYTES("")},
		/* Methods. */
		{NULL, BYTES("\x05\x00"), BYTES("\x05\xff")},
		{NULL, BYTES("\x05\x02\x01\x02"), BYTES("\x05\xff")},
		{user, BYTES("\x05\x02\x00\x01"), BYTES("\x05\xff")},
		/* User and password: wrong, shorter, longer, empty, another version. */
		{user, BYTES("\x05\x01\x02\x01\x01u\x04pasS"), BYTES("\x05\x02\x01\x01")},
		{user, BYTES("\x05\x01\x02\x01\x01v\x04pass"), BYTES("\x05\x02\x01\x01")},
		{user, BYTES("\x05\x01\x02\x01\x01u\x03pas"), BYTES("\x05\x02\x01\x01")},
		{user, BYTES("\x05\x01\x02\x01\x01u\x05pass\0"), BYTES("\x05\x02\x01\x01")},
		{user, BYTES("\x05\x01\x02\x01\x00\x00"), BYTES("\x05\x02\x01\x01")},
		{user, BYTES("\x05\x01\x02\x05\x01\0\x01"), BYTES("\x05\x02\x01\x01")},
		/* BIND, what is no command; another version. */
		{NULL, BYTES(HELLO "\x05\x02\0\x01\x7f\0\0\x01\0\x50"), REP("\x07")},
		{NULL, BYTES(HELLO "\x05\x00\0\x01\0\0\0\0\0\0"), REP("\x07")},
		{NULL, BYTES(HELLO "\x04\x01\0\x01\0\0\0\0\0\0"), REP("\x01")},
		{user, BYTES(HELLO_USER "\x05\x02\0\x01\0\0\0\0\0\0"),
		 BYTES(LET_IN "\x05\x07" ZERO)},
		/* Types of addresses. */
		{NULL, BYTES(HELLO "\x05\x01\0\x00\0\0"), REP("\x08")},
		{NULL, BYTES(HELLO "\x05\x01\0\x02\0\0"), REP("\x08")},
		{NULL, BYTES(HELLO "\x05\x01\0\x05\0\0"), REP("\x08")},
		{NULL, BYTES(HELLO "\x05\x01\0\xff\0\0"), REP("\x08")},
		/* Names: empty, a dot, too long, not a name, an address gone wrong, a scope. */
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x00\0\x50"), REP("\x01")},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x01.\0\x50"), REP("\x01")},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\xff" "a"), REP("\x01")},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x03" "a b\0\x50"), REP("\x01")},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x03" "a\0b\0\x50"), REP("\x01")},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x05" "127.1\0\x50"), REP("\x01")},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x09" "fe80::1%1\0\x50"), REP("\x01")},
		/* Port 0. */
		{NULL, BYTES(HELLO "\x05\x01\0\x01\x7f\0\0\x01\0\0"), REP("\x01")},
		{NULL, BYTES(HELLO "\x05\x01\0\x03\x01" "a\0\0"), REP("\x01")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct outcome out;

		feed(&out, PROXY_SOCKS5, bad[i].who, bad[i].data, bad[i].bytes);
		assert_int_equal(out.result, PROXY_REFUSED);
		assert_int_equal(out.reply_bytes, bad[i].reply_bytes);
		assert_memory_equal(out.reply, bad[i].reply, bad[i].reply_bytes);
	}
}

/* The longest of everything. */
static void test_socks_longest(void **state)
{
	char who[512], greeting[2 + 255], login[3 + 255 + 255], request[5 + 254 + 2];
	char data[sizeof(greeting) + sizeof(login) + sizeof(request)];
	struct outcome out;

	(void)state;
	memset(who, 'n', sizeof(who));
	who[255] = ':';
	who[511] = '\0';
	memset(greeting, 2, sizeof(greeting));
	memcpy(greeting, "\x05\xff", 2);
	memset(login, 'n', sizeof(login));
	memcpy(login, "\x01\xff", 2);
	login[2 + 255] = '\xff';
	memcpy(request, "\x05\x01\0\x03\xfe", 5);
	for (int i = 0; i < 254; i++)
		request[5 + i] = i % 60 == 59 || i == 253 ? '.' : 'a';
	memcpy(request + 5 + 254, "\0\x50", 2);
	memcpy(data, greeting, sizeof(greeting));
	memcpy(data + sizeof(greeting), login, sizeof(login));
	memcpy(data + sizeof(greeting) + sizeof(login), request, sizeof(request));
	feed(&out, PROXY_SOCKS5, who, data, sizeof(data));
	assert_int_equal(out.result, PROXY_READY);
	assert_int_equal(out.used, sizeof(data));
	assert_int_equal(strlen(out.target), ADDRESS_NAME_MAX + strlen(":80"));
}

/* ---- HTTP ---- */

#define ANSWER(status, bytes, text) \
	"HTTP/1.1 " status "\r\nContent-Type: text/plain\r\nContent-Length: " #bytes \
	"\r\nConnection: close\r\n\r\n" text "\n"
#define BAD "HTTP/1.1 400 Bad Request\r\n"
#define NOT_ALLOWED "HTTP/1.1 405 Method Not Allowed\r\nAllow: CONNECT\r\n"
#define VERSION "HTTP/1.1 505 HTTP Version Not Supported\r\n"
#define WANTED \
	"HTTP/1.1 407 Proxy Authentication Required\r\n" \
	"Proxy-Authenticate: Basic realm=\"rstund\"\r\n"
#define CONNECT "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n"
#define RIGHT "Proxy-Authorization: Basic dTpwYXNz\r\n"

static void test_http_ready(void **state)
{
	static const struct {
		const char *who;
		const char *text, *target;
	} good[] = {
		{NULL, "CONNECT Example.org:443 HTTP/1.1\r\nHost: Example.org:443\r\n\r\n",
		 "Example.org:443"},
		{NULL, "CONNECT 192.0.2.7:443 HTTP/1.1\r\nhost:\r\n\r\n", "192.0.2.7:443"},
		{NULL, "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHOST: other\r\n\r\n",
		 "[2001:db8::1]:443"},
		{NULL, "CONNECT a.b.:080 HTTP/1.0\r\n\r\n", "a.b:80"},
		{NULL, "CONNECT a:1 HTTP/1.0\r\nHost: a\r\n\r\n", "a:1"},
		{NULL, CONNECT "content-length: \t0 \t\r\nX:a\tb\r\nE:\r\nL: \xfc\r\n\r\n", "a:1"},
		/* Nobody asked. */
		{NULL, CONNECT "Proxy-Authorization: Basic x\r\n\r\n", "a:1"},
		{user, CONNECT RIGHT "\r\n", "a:1"},
		{user, CONNECT "proxy-authorization:basic   dTpwYXNz \r\n\r\n", "a:1"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		size_t bytes = strlen(good[i].text);
		struct outcome out;
		char data[256];

		snprintf(data, sizeof(data), "%s%s", good[i].text, "\r\nflow");
		feed(&out, PROXY_HTTP, good[i].who, data, strlen(data));
		assert_int_equal(out.result, PROXY_READY);
		assert_int_equal(out.used, bytes);
		assert_int_equal(out.reply_bytes, 0);
		assert_string_equal(out.target, good[i].target);
		feed(&out, PROXY_HTTP, good[i].who, data, bytes - 1);
		assert_int_equal(out.result, PROXY_MORE);
	}
}

static void check_http_refused(const char *who, const char *data, size_t bytes,
			       const char *head)
{
	struct outcome out;
	const char *length, *body;

	feed(&out, PROXY_HTTP, who, data, bytes);
	assert_int_equal(out.result, PROXY_REFUSED);
	assert_true(out.reply_bytes > strlen(head) && out.reply_bytes < sizeof(out.reply));
	out.reply[out.reply_bytes] = '\0';
	assert_memory_equal(out.reply, head, strlen(head));
	length = strstr(out.reply, "Content-Length: ");
	body = strstr(out.reply, "\r\nConnection: close\r\n\r\n");
	assert_non_null(length);
	assert_non_null(body);
	body += strlen("\r\nConnection: close\r\n\r\n");
	assert_int_equal(strtoul(length + strlen("Content-Length: "), NULL, 10), strlen(body));
	/* One line, which is the log's. */
	assert_int_equal(strlen(body), strlen(out.why) + 1);
	assert_memory_equal(body, out.why, strlen(out.why));
	assert_ptr_equal(strchr(body, '\n'), body + strlen(body) - 1);
}

static void test_http_refused(void **state)
{
	static const struct {
		const char *data;
		size_t bytes;
		const char *head;
	} bad[] = {
		/* Not HTTP at all. */
		{BYTES("\x16\x03\x01"), BAD},
		{BYTES("\0"), BAD},
		{BYTES("\r\n"), BAD},
		{BYTES(" CONNECT a:1 HTTP/1.1\r\n"), BAD},
		/* The request line: parts, spaces, ends, control bytes. */
		{BYTES("CONNECT\r\n"), BAD},
		{BYTES("CONNECT a:1\r\n"), BAD},
		{BYTES("CONNECT HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT  HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT  a:1 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:1  HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:1 HTTP/1.1 \r\n"), BAD},
		{BYTES("CONNECT\ta:1 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:1\tHTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:1 HTTP/1.1\n"), BAD},
		{BYTES("CONNECT a:1 HTTP/1.1\r\r\n"), BAD},
		{BYTES("CONNECT a:1\0 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:1 http/1.1\r\n"), BAD},
		{BYTES("CONNECT a:1 HTTP/1.10\r\n"), BAD},
		{BYTES("CON(NECT a:1 HTTP/1.1\r\n"), BAD},
		/* The authority. */
		{BYTES("CONNECT a HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT 443 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT :443 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a: HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:0 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT 127.0.0.1:0 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:65536 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:+1 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:1x HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a:1/ HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT u@a:1 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT ::1:80 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT [::1] HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT [::1:80 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT [127.0.0.1]:80 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT [fe80::1%1]:80 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT 127.1:80 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT a..b:80 HTTP/1.1\r\n"), BAD},
		{BYTES("CONNECT http://a:80 HTTP/1.1\r\n"), BAD},
		/* Methods and versions. */
		{BYTES("GET / HTTP/1.1\r\n"), NOT_ALLOWED},
		{BYTES("GET http://a/ HTTP/1.1\r\n"), NOT_ALLOWED},
		{BYTES("connect a:1 HTTP/1.1\r\n"), NOT_ALLOWED},
		{BYTES("CONNECTS a:1 HTTP/1.1\r\n"), NOT_ALLOWED},
		{BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), VERSION},
		{BYTES("CONNECT a:1 HTTP/1.2\r\n"), VERSION},
		/* Fields: names, folds, control bytes, ends. */
		{BYTES(CONNECT "no colon\r\n"), BAD},
		{BYTES(CONNECT ": none\r\n"), BAD},
		{BYTES(CONNECT "a : b\r\n"), BAD},
		{BYTES(CONNECT " a: b\r\n"), BAD},
		{BYTES(CONNECT "\ta: b\r\n"), BAD},
		{BYTES(CONNECT "\xc3\x9c: b\r\n"), BAD},
		{BYTES(CONNECT "a: \0\r\n"), BAD},
		{BYTES(CONNECT "a: \x7f\r\n"), BAD},
		{BYTES(CONNECT "a: \x1b[m\r\n"), BAD},
		{BYTES(CONNECT "a: b\rc: d\r\n"), BAD},
		{BYTES(CONNECT "a: b\n"), BAD},
		{BYTES(CONNECT "\n"), BAD},
		/* Bodies. */
		{BYTES(CONNECT "Content-Length: 1\r\n"), BAD},
		{BYTES(CONNECT "Content-Length:\r\n"), BAD},
		{BYTES(CONNECT "Content-Length: 0, 5\r\n"), BAD},
		{BYTES(CONNECT "Content-Length: 0\r\ncontent-length: 5\r\n"), BAD},
		{BYTES(CONNECT "transfer-encoding: identity\r\n"), BAD},
		/* Host. */
		{BYTES("CONNECT a:1 HTTP/1.1\r\n\r\n"), BAD},
		{BYTES(CONNECT "host: a:1\r\n"), BAD},
		{BYTES("CONNECT a:1 HTTP/1.0\r\nHost: a\r\nHost: a\r\n"), BAD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_http_refused(NULL, bad[i].data, bad[i].bytes, bad[i].head);
}

static void test_http_user(void **state)
{
	static const struct {
		const char *fields, *head;
	} bad[] = {
		{"\r\n", WANTED},
		{"Proxy-Authorization:\r\n\r\n", WANTED},
		{"Proxy-Authorization: Basic\r\n\r\n", WANTED},
		{"Proxy-Authorization: Basic \r\n\r\n", WANTED},
		{"Proxy-Authorization: BasicdTpwYXNz\r\n\r\n", WANTED},
		{"Proxy-Authorization: Bearer dTpwYXNz\r\n\r\n", WANTED},
		{"Proxy-Authorization: Basic dTpwYXNa\r\n\r\n", WANTED},
		{"Proxy-Authorization: Basic dTpwYXN\r\n\r\n", WANTED},
		{"Proxy-Authorization: Basic dTpwYXNz=\r\n\r\n", WANTED},
		{"Proxy-Authorization: Basic dTpwYXNz dTpwYXNz\r\n\r\n", WANTED},
		{"Authorization: Basic dTpwYXNz\r\n\r\n", WANTED},
		{RIGHT RIGHT "\r\n", BAD},
		{RIGHT "Proxy-Authorization: Basic x\r\n", BAD},
	};
	/* Every length of padding, the examples of RFC 7617 section 2, bytes above 127. */
	static const struct {
		const char *who, *text;
	} good[] = {
		{"f:", "Zjo="},
		{"f:o", "Zjpv"},
		{"f:ob", "ZjpvYg=="},
		{"Aladdin:open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
		{"test:123\xc2\xa3", "dGVzdDoxMjPCow=="},
		{"\xff\xef:\xfe\xbf>?", "/+86/r8+Pw=="},
	};
	char data[256];
	struct outcome out;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(data, sizeof(data), "%s%s", CONNECT, bad[i].fields);
		check_http_refused(user, data, strlen(data), bad[i].head);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(data, sizeof(data), "%sProxy-Authorization: Basic %s\r\n\r\n", CONNECT,
			 good[i].text);
		feed(&out, PROXY_HTTP, good[i].who, data, strlen(data));
		assert_int_equal(out.result, PROXY_READY);
	}
}

/* A user that is too long lets nobody in, and the longest one works. */
static void test_http_user_longest(void **state)
{
	char who[2 * PROXY_USER_MAX + 3], data[1024];
	struct outcome out;
	int n;

	(void)state;
	/* "nnn...n:nnn...n": the ':' is the first byte of its group, all other groups are alike. */
	memset(who, 'n', sizeof(who));
	who[PROXY_USER_MAX] = ':';
	who[2 * PROXY_USER_MAX + 1] = '\0';
	n = snprintf(data, sizeof(data), "%sProxy-Authorization: Basic ", CONNECT);
	for (int i = 0; i < 2 * PROXY_USER_MAX + 1; i += 3) {
		const char *group = i == PROXY_USER_MAX ? "Om5u" : "bm5u";

		n += snprintf(data + n, sizeof(data) - (size_t)n, "%s",
			      i + 3 > 2 * PROXY_USER_MAX + 1 ? "bg==" : group);
	}
	snprintf(data + n, sizeof(data) - (size_t)n, "\r\n\r\n");
	feed(&out, PROXY_HTTP, who, data, strlen(data));
	assert_int_equal(out.result, PROXY_READY);
	who[2 * PROXY_USER_MAX + 1] = 'n';
	who[2 * PROXY_USER_MAX + 2] = '\0';
	check_http_refused(who, data, strlen(data), WANTED);
}

/* A head of exactly PROXY_HEAD_MAX bytes passes, one byte more does not, whatever its lines. */
static void test_http_longest(void **state)
{
	static const size_t line_bytes[] = {PROXY_HEAD_MAX, 1000, 64};
	static const char too_large[] = "HTTP/1.1 431 Request Header Fields Too Large\r\n";
	char data[PROXY_HEAD_MAX + 8];

	(void)state;
	for (size_t i = 0; i < sizeof(line_bytes) / sizeof(line_bytes[0]); i++) {
		size_t at = strlen(CONNECT), end = PROXY_HEAD_MAX - 2;
		struct outcome out;

		memcpy(data, CONNECT, at);
		while (at < end) {
			size_t left = end - at, n = left < 2 * line_bytes[i] ? left : line_bytes[i];

			memset(data + at, 'v', n);
			memcpy(data + at, "n:", 2);
			memcpy(data + at + n - 2, "\r\n", 2);
			at += n;
		}
		memcpy(data + end, "\r\nflow", 6);
		feed(&out, PROXY_HTTP, NULL, data, PROXY_HEAD_MAX + 4);
		assert_int_equal(out.result, PROXY_READY);
		assert_int_equal(out.used, PROXY_HEAD_MAX);
		memcpy(data + end - 2, "vv\r\n\r\n", 6);
		check_http_refused(NULL, data, PROXY_HEAD_MAX + 2, too_large);
		memcpy(data + end - 2, "vvvvvv", 6);
		check_http_refused(NULL, data, PROXY_HEAD_MAX + 2, too_large);
	}
}

/* ---- answers ---- */

static void check_reply(const struct proxy_reply *reply, const char *data, size_t bytes)
{
	assert_int_equal(reply->bytes, bytes);
	assert_memory_equal(reply->data, data, bytes);
}

/* Each is told in its own words that it knocked at the wrong door. */
static void test_strangers(void **state)
{
	static const char http[] = ANSWER("400 Bad Request", 41,
					  "this is a SOCKS5 port, not an HTTP proxy");
	static const char socks[] = ANSWER("400 Bad Request", 38,
					   "this is an HTTP proxy port, not SOCKS");
	struct outcome out;

	(void)state;
	feed(&out, PROXY_SOCKS5, user, BYTES("CONNECT a:1 HTTP/1.1\r\n"));
	assert_int_equal(out.result, PROXY_REFUSED);
	assert_int_equal(out.reply_bytes, sizeof(http) - 1);
	assert_memory_equal(out.reply, http, sizeof(http) - 1);
	feed(&out, PROXY_HTTP, user, BYTES("\x05\x01\0"));
	assert_int_equal(out.result, PROXY_REFUSED);
	assert_int_equal(out.reply_bytes, sizeof(socks) - 1);
	assert_memory_equal(out.reply, socks, sizeof(socks) - 1);
	feed(&out, PROXY_HTTP, NULL, BYTES("\x04\x01\0\x50"));
	assert_int_equal(out.result, PROXY_REFUSED);
	assert_memory_equal(out.reply, socks, sizeof(socks) - 1);
}

static void test_replies(void **state)
{
	static const struct {
		int error;
		char rep;
		const char *status;
	} rows[] = {
		{RSTUN_E_ACCESS_DENIED, 2, "403 Forbidden"},
		{RSTUN_E_UNREACHABLE, 3, "503 Service Unavailable"},
		{RSTUN_E_TARGET_UNREACHABLE, 4, "502 Bad Gateway"},
		{RSTUN_E_DNS_FAILED, 4, "502 Bad Gateway"},
		{RSTUN_E_TARGET_REFUSED, 5, "502 Bad Gateway"},
		{RSTUN_E_TIMEOUT, 6, "504 Gateway Timeout"},
		{RSTUN_E_LIMIT_REACHED, 1, "503 Service Unavailable"},
		{RSTUN_E_RESET, 1, "502 Bad Gateway"},
		{12345, 1, "502 Bad Gateway"},
	};
	struct proxy_request socks, http;
	struct proxy_reply reply;
	char want[PROXY_REPLY_MAX + 64];

	(void)state;
	proxy_request_init(&socks, PROXY_SOCKS5, NULL);
	proxy_request_init(&http, PROXY_HTTP, NULL);
	proxy_reply_ok(&socks, &reply);
	check_reply(&reply, BYTES("\x05\x00" ZERO));
	proxy_reply_ok(&http, &reply);
	check_reply(&reply, BYTES("HTTP/1.1 200 Connection established\r\n\r\n"));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(want, "\x05\x00" ZERO, 10);
		want[1] = rows[i].rep;
		proxy_reply_error(&socks, rows[i].error, &reply);
		check_reply(&reply, want, 10);
		proxy_reply_error(&http, rows[i].error, &reply);
		snprintf(want, sizeof(want),
			 "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
			 "Connection: close\r\n\r\n%s\n",
			 rows[i].status, strlen(rstun_strerror(rows[i].error)) + 1,
			 rstun_strerror(rows[i].error));
		check_reply(&reply, want, strlen(want));
	}
	/* Whatever the error, the answer fits. */
	for (int error = 0; error > -2100; error--) {
		proxy_reply_error(&http, error, &reply);
		assert_true(reply.bytes < sizeof(reply.data));
		assert_int_equal(reply.data[reply.bytes - 1], '\n');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_socks_ready),
		cmocka_unit_test(test_socks_associate),
		cmocka_unit_test(test_socks_refused),
		cmocka_unit_test(test_socks_longest),
		cmocka_unit_test(test_http_ready),
		cmocka_unit_test(test_http_refused),
		cmocka_unit_test(test_http_user),
		cmocka_unit_test(test_http_user_longest),
		cmocka_unit_test(test_http_longest),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
