/* SPDX-License-Identifier: MIT */
/*
 * The wire codec against bytes that v0.8.10's own encoder made, against trailer bytes of our own,
 * and against everything that is not a message: every cut of every input, every form of an integer,
 * lengths beyond the frame, records that are broken, doubled or unknown. One thread.
 */
#include "base/error.h"
#include "tunnel/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAGIC "727374756e64010a"
#define SUCCESS "0401"

struct golden {
	const char *what;
	const char *hex; /* a body, without its length */
	struct wire_message message;
};

static struct address addr(const char *text)
{
	struct address a;

	assert_int_equal(address_parse(&a, text, strlen(text)), 0);
	return a;
}

static unsigned nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Frame from a body in hex; the caller frees. */
static uint8_t *frame(const char *hex, size_t *ret_bytes)
{
	size_t body = strlen(hex) / 2, i;
	uint8_t *data = malloc(4 + body);

	assert_non_null(data);
	data[0] = data[1] = 0;
	data[2] = (uint8_t)(body >> 8);
	data[3] = (uint8_t)body;
	for (i = 0; i < body; i++)
		data[4 + i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
	*ret_bytes = 4 + body;
	return data;
}

static int decode(struct wire_message *ret, const char *hex)
{
	size_t bytes, used = 0;
	uint8_t *data = frame(hex, &bytes);
	int err = wire_decode(ret, &used, data, bytes);

	if (!err)
		assert_int_equal(used, bytes);
	free(data);
	return err;
}

static void expect_malformed(const char *hex)
{
	struct wire_message message, before;

	memset(&message, 0x5a, sizeof(message));
	before = message;
	if (decode(&message, hex) != RSTUN_E_MALFORMED)
		fail_msg("%s is accepted", hex);
	assert_memory_equal(&message, &before, sizeof(message)); /* untouched on failure */
}

static void expect_address(bool has, const struct address *a, bool want, const struct address *b)
{
	assert_int_equal(has, want);
	if (want)
		assert_true(address_equal(a, b));
}

static void expect_trailer(const struct wire_trailer *a, const struct wire_trailer *b)
{
	assert_int_equal(a->present, b->present);
	assert_int_equal(a->has_instance, b->has_instance);
	assert_memory_equal(a->instance, b->instance, sizeof(a->instance));
	assert_int_equal(a->has_features, b->has_features);
	assert_int_equal(a->features, b->features);
	assert_int_equal(a->has_user, b->has_user);
	assert_string_equal(a->user, b->user);
	assert_int_equal(a->has_proof, b->has_proof);
	assert_memory_equal(a->proof, b->proof, sizeof(a->proof));
	assert_int_equal(a->has_failure, b->has_failure);
	assert_int_equal(a->failure_code, b->failure_code);
	assert_int_equal(a->failure_retry_ms, b->failure_retry_ms);
	assert_string_equal(a->failure_text, b->failure_text);
	assert_int_equal(a->has_software, b->has_software);
	assert_string_equal(a->software, b->software);
	expect_address(a->has_bound, &a->bound, b->has_bound, &b->bound);
	assert_int_equal(a->has_target, b->has_target);
	assert_int_equal(a->target.port, b->target.port);
	assert_string_equal(a->target.name, b->target.name);
	assert_int_equal(a->has_name, b->has_name);
	assert_string_equal(a->name, b->name);
}

static void expect_message(const struct wire_message *a, const struct wire_message *b)
{
	assert_int_equal(a->kind, b->kind);
	switch (b->kind) {
	case WIRE_REQ_LOGIN:
		assert_string_equal(a->login.password, b->login.password);
		assert_int_equal(a->login.channel, b->login.channel);
		assert_int_equal(a->login.proto, b->login.proto);
		assert_int_equal(a->login.tcp_timeout_ms, b->login.tcp_timeout_ms);
		assert_int_equal(a->login.udp_timeout_ms, b->login.udp_timeout_ms);
		assert_int_equal(a->login.mode, b->login.mode);
		expect_address(a->login.has_local, &a->login.local, b->login.has_local,
			       &b->login.local);
		expect_address(a->login.has_upstream, &a->login.upstream, b->login.has_upstream,
			       &b->login.upstream);
		break;
	case WIRE_REQ_HEARTBEAT:
	case WIRE_RESP_HEARTBEAT:
		assert_int_equal(a->seq, b->seq);
		break;
	case WIRE_RESP_FAILURE:
		assert_string_equal(a->reason, b->reason);
		break;
	case WIRE_RESP_SUCCESS:
		assert_int_equal(a->ipv6_supported, b->ipv6_supported);
		break;
	}
	expect_trailer(&a->trailer, &b->trailer);
}

/* The golden bodies of WIRE.md. */
static size_t golden_bodies(struct golden *g)
{
	size_t n = 0;

	g[n++] = (struct golden){
		"tcp OUT ANY",
		"000431323334000101007f000001fb28230000fb3075fb8813",
		{ .kind = WIRE_REQ_LOGIN,
		  .login = { .password = "1234", .mode = MAPPING_OUT, .proto = MAPPING_TCP,
			     .has_local = true, .local = addr("127.0.0.1:9000"),
			     .tcp_timeout_ms = 30000, .udp_timeout_ms = 5000 } },
	};
	g[n++] = (struct golden){
		"udp OUT",
		"000764657670617373000101007f000001fb1d040100080804043501fb3075fb8813",
		{ .kind = WIRE_REQ_LOGIN,
		  .login = { .password = "devpass", .mode = MAPPING_OUT, .proto = MAPPING_UDP,
			     .has_local = true, .local = addr("127.0.0.1:1053"),
			     .has_upstream = true, .upstream = addr("8.8.4.4:53"),
			     .tcp_timeout_ms = 30000, .udp_timeout_ms = 5000 } },
	};
	g[n++] = (struct golden){
		"tcp IN",
		"000764657670617373000001007f000001fbb80b010000000000fba04600fb3075fb8813",
		{ .kind = WIRE_REQ_LOGIN,
		  .login = { .password = "devpass", .mode = MAPPING_IN, .proto = MAPPING_TCP,
			     .has_local = true, .local = addr("127.0.0.1:3000"),
			     .has_upstream = true, .upstream = addr("0.0.0.0:18080"),
			     .tcp_timeout_ms = 30000, .udp_timeout_ms = 5000 } },
	};
	g[n++] = (struct golden){
		"udp IN IPv6",
		"000370c3a4000001010000000000000000000000000000000135010100000000000000000000000000"
		"000000fbe91401fc70110100fd00f2052a01000000",
		{ .kind = WIRE_REQ_LOGIN,
		  .login = { .password = "p\u00e4", .mode = MAPPING_IN, .proto = MAPPING_UDP,
			     .has_local = true, .local = addr("[::1]:53"),
			     .has_upstream = true, .upstream = addr("[::]:5353"),
			     .tcp_timeout_ms = 70000, .udp_timeout_ms = 5000000000 } },
	};
	g[n++] = (struct golden){
		"channel tcp", "0001780100fb3075fb8813",
		{ .kind = WIRE_REQ_LOGIN,
		  .login = { .password = "x", .channel = true, .proto = MAPPING_TCP,
			     .tcp_timeout_ms = 30000, .udp_timeout_ms = 5000 } },
	};
	g[n++] = (struct golden){
		"channel udp", "0001780101fafbfb00",
		{ .kind = WIRE_REQ_LOGIN,
		  .login = { .password = "x", .channel = true, .proto = MAPPING_UDP,
			     .tcp_timeout_ms = 250, .udp_timeout_ms = 251 } },
	};
	g[n++] = (struct golden){ "heartbeat 1", "0101", { .kind = WIRE_REQ_HEARTBEAT, .seq = 1 } };
	g[n++] = (struct golden){ "heartbeat 65535", "01fbffff",
				  { .kind = WIRE_REQ_HEARTBEAT, .seq = 65535 } };
	g[n++] = (struct golden){ "heartbeat 65536", "01fc00000100",
				  { .kind = WIRE_REQ_HEARTBEAT, .seq = 65536 } };
	g[n++] = (struct golden){ "echo 300", "02fb2c01",
				  { .kind = WIRE_RESP_HEARTBEAT, .seq = 300 } };
	g[n++] = (struct golden){ "failure", "03026e6f",
				  { .kind = WIRE_RESP_FAILURE, .reason = "no" } };
	g[n++] = (struct golden){ "success 6", "0401",
				  { .kind = WIRE_RESP_SUCCESS, .ipv6_supported = true } };
	g[n++] = (struct golden){ "success 4", "0400", { .kind = WIRE_RESP_SUCCESS } };
	return n;
}

/* Our own trailers. */
static size_t golden_trailers(struct golden *g)
{
	size_t n = 0;

	g[n++] = (struct golden){
		"magic only", "0400" MAGIC,
		{ .kind = WIRE_RESP_SUCCESS, .trailer = { .present = true } },
	};
	g[n++] = (struct golden){
		"success: DATAGRAM frames and failures granted", "0401" MAGIC
		"000200080000000000000003",
		{ .kind = WIRE_RESP_SUCCESS, .ipv6_supported = true,
		  .trailer = { .present = true, .has_features = true,
			       .features = WIRE_FEATURE_DATAGRAM | WIRE_FEATURE_FAILURES } },
	};
	g[n++] = (struct golden){
		"login: features, software, name", "0001780100fb3075fb8813" MAGIC
		"000200080000000000000002" "0006000a7273747564206462672e" "000900037765" "62",
		{ .kind = WIRE_REQ_LOGIN,
		  .login = { .password = "x", .channel = true, .proto = MAPPING_TCP,
			     .tcp_timeout_ms = 30000, .udp_timeout_ms = 5000 },
		  .trailer = { .present = true, .has_features = true,
			       .features = WIRE_FEATURE_FAILURES, .has_software = true,
			       .software = "rstud dbg.", .has_name = true, .name = "web" } },
	};
	g[n++] = (struct golden){
		"login: instance, user, proof, target", "0001780100fb3075fb8813" MAGIC
		"00010010" "000102030405060708090a0b0c0d0e0f" "00030003c3a962"
		"00040020" "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
		"0008000e" "1f90" "64622e6578616d706c65" "2e61",
		{ .kind = WIRE_REQ_LOGIN,
		  .login = { .password = "x", .channel = true, .proto = MAPPING_TCP,
			     .tcp_timeout_ms = 30000, .udp_timeout_ms = 5000 },
		  .trailer = { .present = true, .has_instance = true,
			       .instance = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
			       .has_user = true, .user = "\u00e9" "b", .has_proof = true,
			       .proof = { [0 ... 31] = 0xff }, .has_target = true,
			       .target = { .kind = TARGET_NAME, .port = 8080,
					   .name = "db.example.a" } } },
	};
	g[n++] = (struct golden){
		"failure", "03026e6f" MAGIC "00050009" "045a" "00000bb8" "627573",
		{ .kind = WIRE_RESP_FAILURE, .reason = "no",
		  .trailer = { .present = true, .has_failure = true, .failure_code = 1114,
			       .failure_retry_ms = 3000, .failure_text = "bus" } },
	};
	g[n++] = (struct golden){
		"bound IPv4", "0401" MAGIC "00070007" "04" "7f000001" "1f90",
		{ .kind = WIRE_RESP_SUCCESS, .ipv6_supported = true,
		  .trailer = { .present = true, .has_bound = true,
			       .bound = addr("127.0.0.1:8080") } },
	};
	g[n++] = (struct golden){
		"bound IPv6",
		"0401" MAGIC "00070013" "06" "20010db8000000000000000000000001" "0050",
		{ .kind = WIRE_RESP_SUCCESS, .ipv6_supported = true,
		  .trailer = { .present = true, .has_bound = true,
			       .bound = addr("[2001:db8::1]:80") } },
	};
	return n;
}

static size_t all_golden(struct golden *g)
{
	size_t n = golden_bodies(g);

	return n + golden_trailers(g + n);
}

static void test_golden(void **state)
{
	static struct golden g[32];
	size_t n = all_golden(g), i;

	(void)state;
	for (i = 0; i < n; i++) {
		struct wire_message message;
		uint8_t buf[WIRE_MESSAGE_MAX];
		size_t bytes, size;
		uint8_t *data = frame(g[i].hex, &bytes);
		int err = decode(&message, g[i].hex);

		if (err)
			fail_msg("%s: %s", g[i].what, rstun_strerror(err));
		expect_message(&message, &g[i].message);
		assert_int_equal(wire_encode(buf, sizeof(buf), &g[i].message), bytes);
		if (memcmp(buf, data, bytes) != 0)
			fail_msg("%s is encoded otherwise", g[i].what);
		for (size = 0; size < bytes; size++)
			assert_int_equal(wire_encode(buf, size, &message), RSTUN_E_TOO_LARGE);
		free(data);
	}
}

/* Every start of a message asks for more, and says for how much; bytes behind it do not matter. */
static void test_splits(void **state)
{
	static struct golden g[32];
	size_t n = all_golden(g), i, at;

	(void)state;
	for (i = 0; i < n; i++) {
		struct wire_message message;
		size_t bytes, used;
		uint8_t *data = frame(g[i].hex, &bytes);
		uint8_t *more = calloc(1, bytes + 7);

		assert_non_null(more);
		for (at = 0; at < bytes; at++) {
			uint8_t *part = malloc(at ? at : 1); /* its end is the sanitizer's */

			assert_non_null(part);
			memcpy(part, data, at);
			assert_int_equal(wire_decode(&message, &used, part, at), RSTUN_E_AGAIN);
			assert_int_equal(used, at < 4 ? 4 : bytes);
			free(part);
		}
		memset(more, 0xff, bytes + 7);
		memcpy(more, data, bytes);
		assert_int_equal(wire_decode(&message, &used, more, bytes + 7), 0);
		assert_int_equal(used, bytes);
		expect_message(&message, &g[i].message);
		free(more);
		free(data);
	}
}

/* A body that is cut inside its frame is malformed at each place. */
static void test_truncated_bodies(void **state)
{
	static struct golden g[32];
	size_t n = golden_bodies(g), i, at;
	char hex[512];

	(void)state;
	for (i = 0; i < n; i++)
		for (at = 0; at < strlen(g[i].hex); at += 2) {
			snprintf(hex, sizeof(hex), "%.*s", (int)at, g[i].hex);
			expect_malformed(hex);
		}
}

/* A trailer that is cut inside its frame: at the edge of a record only shorter, else malformed. */
static void test_truncated_trailer(void **state)
{
	static const char body[] = "0401" MAGIC, records[] = "0002000800000000000000020006000131";
	char hex[256];
	size_t at;

	(void)state;
	for (at = 0; at <= strlen(records); at += 2) {
		struct wire_message message;
		bool edge = at == 0 || at == 24 || at == strlen(records);

		snprintf(hex, sizeof(hex), "%s%.*s", body, (int)at, records);
		assert_int_equal(decode(&message, hex), edge ? 0 : RSTUN_E_MALFORMED);
	}
	/* Before the magic is complete it is just what the original would ignore. */
	for (at = 0; at < 16; at += 2) {
		struct wire_message message;

		snprintf(hex, sizeof(hex), "0401%.*s", (int)at, MAGIC);
		assert_int_equal(decode(&message, hex), 0);
		assert_false(message.trailer.present);
	}
}

static void test_ignored_bytes(void **state)
{
	static const char *const bodies[] = {
		"0401747261696c6572", "0401727374756e64020a0001", "0401727374756e64010b00010000",
		"01017273", "0101" MAGIC "0001", "02fb2c01" MAGIC "ffff",
		"03026e6fffffffffffffffffff",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct wire_message message;

		if (decode(&message, bodies[i]))
			fail_msg("%s is refused", bodies[i]);
		assert_false(message.trailer.present);
	}
}

/* bincode's decoder takes longer forms than needed, but no wider type than the field's. */
static void test_varints(void **state)
{
	static const struct {
		const char *hex;
		uint64_t seq;
	} good[] = {
		{ "0100", 0 },
		{ "01fa", 250 },
		{ "01fbfa00", 250 },
		{ "01fb0100", 1 },
		{ "01fc01000000", 1 },
		{ "01fcffffffff", UINT32_MAX },
		{ "01fd0100000000000000", 1 },
		{ "01fdffffffffffffffff", UINT64_MAX },
		{ "fb010001", 1 },      /* variant as u16 */
		{ "fc0100000001", 1 },  /* as u32 */
	};
	static const char *const bad[] = {
		"01fe01000000000000000000000000000000", /* u128 */
		"01ff",
		"fd010000000000000001",                 /* variant as u64 */
		"05", "80", "fa", "fb8000", "fbff00", "fc00000080", "fcffffffff", "fe", "ff",
		"0402", "04fb0100",                     /* bool is one byte */
		"01fb", "01fb01", "01fc010000", "01fd01020304050607",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct wire_message message;

		if (decode(&message, good[i].hex))
			fail_msg("%s is refused", good[i].hex);
		assert_int_equal(message.kind, WIRE_REQ_HEARTBEAT);
		assert_true(message.seq == good[i].seq);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect_malformed(bad[i]);
}

static void test_login_fields(void **state)
{
	struct wire_message message;

	(void)state;
	/* The port in its u16 form though it is small, the string's length as u64. */
	assert_int_equal(decode(&message, "00fd010000000000000078"
					  "000101007f000001fb50000000fafa"),
			 0);
	assert_string_equal(message.login.password, "x");
	assert_int_equal(address_port(&message.login.local), 80);
	expect_malformed("000178000101007f000001fc500000000000fafa"); /* port as u32 */
	expect_malformed("000178000101007f000001fd50000000000000000000fafa");
	expect_malformed("000178000201007f0000015000fafafa"); /* mode 2 */
	expect_malformed("0001780001027f0000015000fafafa");   /* Option 2 */
	expect_malformed("000178000101027f0000015000fafafa"); /* address variant 2 */
	expect_malformed("000178020100fafa");                 /* tunnel variant 2 */
	expect_malformed("0001780102fafa");                   /* protocol 2 */
	expect_malformed("0003610062" "0100fafa");            /* NUL in the password */
	expect_malformed("0002c328" "0100fafa");              /* not UTF-8 */
	expect_malformed("0003eda080" "0100fafa");            /* a surrogate */
	/* No local address at all, and a mapped one, which becomes IPv4. */
	assert_int_equal(decode(&message, "00017800010000" "00fafa"), 0);
	assert_false(message.login.has_local);
	assert_int_equal(decode(&message, "00017800010101" "00000000000000000000ffff7f000001" "50"
					  "0000fafa"),
			 0);
	assert_int_equal(message.login.local.sa.sa_family, AF_INET);
	assert_true(address_is_loopback(&message.login.local));
}

/* Lengths beyond the frame, in every form. */
static void test_declared_lengths(void **state)
{
	static const uint8_t over[] = { 0, 1, 0, 1 }, huge[] = { 0xff, 0xff, 0xff, 0xff };
	static const uint8_t most[] = { 0, 1, 0, 0 };
	struct wire_message message;
	size_t used = 0;

	(void)state;
	assert_int_equal(wire_decode(&message, &used, over, 4), RSTUN_E_TOO_LARGE);
	assert_int_equal(wire_decode(&message, &used, huge, 4), RSTUN_E_TOO_LARGE);
	assert_int_equal(wire_decode(&message, &used, most, 4), RSTUN_E_AGAIN);
	assert_int_equal(used, 4 + WIRE_FRAME_MAX);
	expect_malformed("");
	expect_malformed("030361");
	expect_malformed("03fbffff61");
	expect_malformed("03fcffffffff61");
	expect_malformed("03fdffffffffffffffff61");
	expect_malformed("00fdffffffffffffffff780100fafa");
	expect_malformed("0401" MAGIC "0006ffff61");
	expect_malformed("0401" MAGIC "00ffffff61");
}

/* A message whose string is `bytes` bytes of text, in a frame of its own; the caller frees. */
static uint8_t *long_text(unsigned kind, const char *unit, size_t bytes, const char *tail,
			  size_t *ret_bytes)
{
	size_t i, body = 4 + bytes + strlen(tail);
	uint8_t *data = calloc(1, 4 + body);

	assert_non_null(data);
	data[2] = (uint8_t)(body >> 8);
	data[3] = (uint8_t)body;
	data[4] = (uint8_t)kind;
	data[5] = 251;
	data[6] = (uint8_t)bytes;
	data[7] = (uint8_t)(bytes >> 8);
	for (i = 0; i < bytes; i++)
		data[8 + i] = (uint8_t)unit[i % strlen(unit)];
	memcpy(data + 8 + bytes, tail, strlen(tail));
	*ret_bytes = 4 + body;
	return data;
}

static void test_long_texts(void **state)
{
	struct wire_message message;
	size_t bytes, used;
	uint8_t *data = long_text(WIRE_RESP_FAILURE, "\u20ac", 600, "", &bytes);

	(void)state;
	/* 512 is not a multiple of 3: the character that does not fit is left out whole. */
	assert_int_equal(wire_decode(&message, &used, data, bytes), 0);
	assert_int_equal(strlen(message.reason), 510);
	free(data);
	data = long_text(WIRE_RESP_FAILURE, "a", 512, "", &bytes);
	assert_int_equal(wire_decode(&message, &used, data, bytes), 0);
	assert_int_equal(strlen(message.reason), 512);
	free(data);
	data = long_text(WIRE_RESP_FAILURE, "\u20ac", 601, "", &bytes); /* within a character */
	assert_int_equal(wire_decode(&message, &used, data, bytes), RSTUN_E_MALFORMED);
	free(data);
	data = long_text(WIRE_REQ_LOGIN, "p", WIRE_PASSWORD_MAX, "\1\1\1\1", &bytes);
	assert_int_equal(wire_decode(&message, &used, data, bytes), 0);
	assert_int_equal(strlen(message.login.password), WIRE_PASSWORD_MAX);
	free(data);
	data = long_text(WIRE_REQ_LOGIN, "p", WIRE_PASSWORD_MAX + 1, "\1\1\1\1", &bytes);
	assert_int_equal(wire_decode(&message, &used, data, bytes), RSTUN_E_MALFORMED);
	free(data);
	assert_int_equal(decode(&message, "0303610062"), 0);
	assert_string_equal(message.reason, "a b"); /* a NUL cannot hide the rest */
	assert_int_equal(decode(&message, "0300"), 0);
	assert_string_equal(message.reason, "");
}

static void test_records(void **state)
{
	static const char *const bad[] = {
		"0001000f000102030405060708090a0b0c0d0e",     /* instance of 15 and 17 */
		"00010011000102030405060708090a0b0c0d0e0f10",
		"0002000700000000000000", "0002000900000000000000000000", "00020000",
		"00030000", "00030002c328", "0003000100",     /* user: empty, not UTF-8, NUL */
		"0004001fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"00050005045a000000", "00050000", "00050007045a00000bb8ff",
		"0006000100", "000600028080",
		"00070000", "0007000604" "7f00000150", "0007000804" "7f000001005000",
		"0007000705" "7f0000010050", "0007000706" "7f0000010050",
		"0007001204" "7f0000010050", "0007001305" "20010db8000000000000000000000001" "0050",
		"00080000", "000800021f90", "00080003000061",
		"000800041f902d2e", "000800041f906120",
		"0009000100", "00020008000000000000000200020008000000000000000200", /* cut */
		"0002", "000200", "00020008",
		"00020008000000000000000200020008000000000000000200090000", /* twice */
		"0009000161000900016200", "0009000161" "0009000161",
		"00070007047f0000010050" "00070007047f0000010050",
	};
	static const char *const good[] = {
		"", "00060000", "00090000", "0005000604" "5a00000bb8", "00000000", "000a0003abcdef",
		"ffff0000", "ffff0001ff" "ffff0001fe", /* unknown ones may repeat */
		"80000000" "0002000800000000000000ff",
	};
	char hex[512];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(hex, sizeof(hex), "0401" MAGIC "%s", bad[i]);
		expect_malformed(hex);
	}
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct wire_message message;

		snprintf(hex, sizeof(hex), "0401" MAGIC "%s", good[i]);
		if (decode(&message, hex))
			fail_msg("%s is refused", hex);
		assert_true(message.trailer.present);
	}
}

/* Text records at and beyond their limits. */
static void test_record_limits(void **state)
{
	static const struct {
		unsigned type;
		size_t max;
	} records[] = { { 3, 64 }, { 6, WIRE_SOFTWARE_MAX }, { 9, WIRE_NAME_MAX } };
	char hex[512];
	size_t i, over, n;

	(void)state;
	for (i = 0; i < sizeof(records) / sizeof(records[0]); i++)
		for (over = 0; over < 2; over++) {
			struct wire_message message;
			size_t bytes = records[i].max + over;
			int at = snprintf(hex, sizeof(hex), "0401" MAGIC "%04x%04zx",
					  records[i].type, bytes);

			for (n = 0; n < bytes; n++)
				at += snprintf(hex + at, sizeof(hex) - (size_t)at, "61");
			assert_int_equal(decode(&message, hex), over ? RSTUN_E_MALFORMED : 0);
		}
}

static void test_encode_refuses(void **state)
{
	uint8_t buf[WIRE_MESSAGE_MAX];
	struct wire_message login = { .kind = WIRE_REQ_LOGIN, .login = { .password = "x" } };
	struct wire_message failure = { .kind = WIRE_RESP_FAILURE, .reason = "\xff" };
	struct wire_message success = { .kind = WIRE_RESP_SUCCESS, .trailer = { .present = true } };

	(void)state;
	assert_int_equal(wire_encode(buf, sizeof(buf), &failure), RSTUN_E_MALFORMED);
	login.login.has_local = true; /* but there is none */
	assert_int_equal(wire_encode(buf, sizeof(buf), &login), RSTUN_E_MALFORMED);
	success.trailer.has_bound = true;
	assert_int_equal(wire_encode(buf, sizeof(buf), &success), RSTUN_E_MALFORMED);
	success.trailer.has_bound = false;
	success.trailer.has_target = true;
	assert_int_equal(wire_encode(buf, sizeof(buf), &success), RSTUN_E_MALFORMED);
}

/* The longest message that there is fits WIRE_MESSAGE_MAX. */
static void test_longest(void **state)
{
	static struct wire_message m = { .kind = WIRE_REQ_LOGIN };
	static struct wire_message back;
	uint8_t buf[WIRE_MESSAGE_MAX];
	struct wire_trailer *t = &m.trailer;
	size_t used;
	int n;

	(void)state;
	memset(m.login.password, 'p', WIRE_PASSWORD_MAX);
	m.login.has_local = m.login.has_upstream = true;
	m.login.local = m.login.upstream = addr("[2001:db8::1]:65535");
	m.login.tcp_timeout_ms = m.login.udp_timeout_ms = UINT64_MAX;
	t->present = t->has_instance = t->has_features = t->has_user = t->has_proof = true;
	t->has_failure = t->has_software = t->has_bound = t->has_target = t->has_name = true;
	memset(t->user, 'u', 64);
	memset(t->failure_text, 'f', WIRE_REASON_MAX);
	memset(t->software, 's', WIRE_SOFTWARE_MAX);
	memset(t->name, 'n', WIRE_NAME_MAX);
	t->bound = m.login.local;
	t->target.kind = TARGET_NAME;
	t->target.port = 65535;
	memset(t->target.name, 'a', ADDRESS_NAME_MAX);
	t->target.name[63] = t->target.name[127] = t->target.name[191] = '.';
	n = wire_encode(buf, sizeof(buf), &m);
	assert_true(n > 0);
	assert_int_equal(wire_decode(&back, &used, buf, (size_t)n), 0);
	expect_message(&back, &m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_splits),
		cmocka_unit_test(test_truncated_bodies),
		cmocka_unit_test(test_truncated_trailer),
		cmocka_unit_test(test_ignored_bytes),
		cmocka_unit_test(test_varints),
		cmocka_unit_test(test_login_fields),
		cmocka_unit_test(test_declared_lengths),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_record_limits),
		cmocka_unit_test(test_encode_refuses),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
