/* SPDX-License-Identifier: MIT */
/*
 * What a hostile peer does, a row per case. Bodies are written by hand here (WIRE.md section 1), because
 * the encoder refuses to make them.
 */
#include "tests/tools/hostile.h"

#include "base/clock.h"
#include "quic/conn_internal.h"

#include <stdlib.h>
#include <string.h>

#define CASE_BUF 4096

static void case_put_length(uint8_t *buf, uint32_t length)
{
	buf[0] = (uint8_t)(length >> 24);
	buf[1] = (uint8_t)(length >> 16);
	buf[2] = (uint8_t)(length >> 8);
	buf[3] = (uint8_t)length;
}

/* A frame of `length` declared bytes, of which `body` is the beginning and zeros are the rest. */
static void case_send_frame(struct hostile *h, uint32_t length, const void *body, size_t body_bytes)
{
	uint8_t *frame = calloc(1, 4 + (size_t)length);

	if (frame == NULL)
		abort();
	case_put_length(frame, length);
	memcpy(frame + 4, body, body_bytes < length ? body_bytes : length);
	hostile_send(h, frame, 4 + (size_t)length);
	free(frame);
}

static void case_send_login(struct hostile *h, enum mapping_proto proto, bool channel)
{
	uint8_t buf[CASE_BUF];

	hostile_send(h, buf, hostile_login(h, buf, sizeof(buf), proto, channel));
}

static void case_login(struct hostile *h)
{
	case_send_login(h, MAPPING_TCP, false);
}

static void case_udp_login(struct hostile *h)
{
	case_send_login(h, MAPPING_UDP, false);
}

static void case_channel_login(struct hostile *h)
{
	case_send_login(h, MAPPING_TCP, true);
}

static void case_channel_udp_login(struct hostile *h)
{
	case_send_login(h, MAPPING_UDP, true);
}

static void case_truncated_login(struct hostile *h)
{
	uint8_t buf[CASE_BUF];
	size_t bytes = hostile_login(h, buf, sizeof(buf), MAPPING_TCP, false);

	hostile_send(h, buf, bytes / 2);
	quic_stream_finish(h->control);
}

/* A whole frame whose message ends early. */
static void case_short_login(struct hostile *h)
{
	uint8_t buf[CASE_BUF];
	size_t bytes = hostile_login(h, buf, sizeof(buf), MAPPING_TCP, false);

	case_put_length(buf, 8);
	hostile_send(h, buf, bytes < 12 ? bytes : 12);
}

static void case_too_long(struct hostile *h)
{
	uint8_t head[8] = {0};

	case_put_length(head, WIRE_FRAME_MAX + 1);
	hostile_send(h, head, sizeof(head));
}

static void case_huge_length(struct hostile *h)
{
	uint8_t head[8];

	memset(head, 0xff, sizeof(head));
	hostile_send(h, head, sizeof(head));
}

/* 64 KiB, as long as a frame may be, nearly all of it password. */
static void case_long_password(struct hostile *h)
{
	static uint8_t body[WIRE_FRAME_MAX];

	memset(body, 'x', sizeof(body));
	body[0] = WIRE_REQ_LOGIN;
	body[1] = 251;
	body[2] = 0xf0;
	body[3] = 0xff;
	case_send_frame(h, WIRE_FRAME_MAX, body, sizeof(body));
}

/* The same length, a right login, and rubbish behind it, which the original ignores and so do we. */
static void case_long_trailer(struct hostile *h)
{
	uint8_t buf[CASE_BUF];
	size_t bytes;

	h->login.trailer.present = false;
	bytes = hostile_login(h, buf, sizeof(buf), MAPPING_TCP, false);
	case_send_frame(h, WIRE_FRAME_MAX, buf + 4, bytes - 4);
}

/* Behind the magic a record that is longer than the frame. */
static void case_broken_trailer(struct hostile *h)
{
	static const uint8_t trailer[] = {0x72, 0x73, 0x74, 0x75, 0x6e, 0x64, 0x01, 0x0a,
					  0x00, 0x06, 0xff, 0xff, 'x'};
	uint8_t buf[CASE_BUF];
	size_t bytes;

	h->login.trailer.present = false;
	bytes = hostile_login(h, buf, sizeof(buf) - sizeof(trailer), MAPPING_TCP, false);
	memcpy(buf + bytes, trailer, sizeof(trailer));
	bytes += sizeof(trailer);
	case_put_length(buf, (uint32_t)bytes - 4);
	hostile_send(h, buf, bytes);
}

/* A password whose length is a u64 far beyond the frame. */
static void case_huge_string(struct hostile *h)
{
	static const uint8_t body[] = {WIRE_REQ_LOGIN, 253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 'x'};

	case_send_frame(h, sizeof(body), body, sizeof(body));
}

static void case_not_utf8(struct hostile *h)
{
	static const uint8_t body[] = {WIRE_REQ_LOGIN, 2, 0xc3, 0x28, 1, 0, 5, 5};

	case_send_frame(h, sizeof(body), body, sizeof(body));
}

static void case_unknown_message(struct hostile *h)
{
	static const uint8_t body[] = {99, 1, 2, 3};

	case_send_frame(h, sizeof(body), body, sizeof(body));
}

static void case_unknown_tunnel(struct hostile *h)
{
	static const uint8_t body[] = {WIRE_REQ_LOGIN, 1, 'x', 7, 0, 5, 5};

	case_send_frame(h, sizeof(body), body, sizeof(body));
}

static void case_empty_frame(struct hostile *h)
{
	case_send_frame(h, 0, "", 0);
}

static void case_heartbeat_first(struct hostile *h)
{
	static const uint8_t body[] = {WIRE_REQ_HEARTBEAT, 1};

	case_send_frame(h, sizeof(body), body, sizeof(body));
}

static void case_answer_first(struct hostile *h)
{
	static const uint8_t body[] = {WIRE_RESP_SUCCESS, 1};

	case_send_frame(h, sizeof(body), body, sizeof(body));
}

static void case_byte_by_byte(struct hostile *h)
{
	uint8_t buf[CASE_BUF];
	size_t bytes = hostile_login(h, buf, sizeof(buf), MAPPING_TCP, false);

	hostile_trickle(h, buf, bytes, clock_ms(5));
}

/* A byte every 300 ms: never done within the time for a login. */
static void case_crawl(struct hostile *h)
{
	uint8_t buf[CASE_BUF];
	size_t bytes = hostile_login(h, buf, sizeof(buf), MAPPING_TCP, false);

	hostile_trickle(h, buf, bytes, clock_ms(300));
}

static void case_nothing(struct hostile *h)
{
	(void)h;
}

/* The control stream open, and silence on it. */
static void case_silent_stream(struct hostile *h)
{
	hostile_send(h, "", 0);
}

/* A flow's stream before the login was answered. */
static void case_early_stream(struct hostile *h)
{
	hostile_send(h, "", 0);
	hostile_open_flow(h, "GET / HTTP/1.0\r\n\r\n", 18, false);
}

static void case_second_login(struct hostile *h)
{
	case_send_login(h, MAPPING_TCP, false);
}

static void case_unknown_after_login(struct hostile *h)
{
	case_unknown_message(h);
}

static void case_too_long_after_login(struct hostile *h)
{
	case_too_long(h);
}

/* The original's client does this when its heartbeats are off. */
static void case_finish_control(struct hostile *h)
{
	quic_stream_finish(h->control);
}

static void case_udp_family(struct hostile *h)
{
	hostile_open_flow(h, "\x09\x01\x02\x03\x04\x00\x35\x00\x01x", 10, false);
}

static void case_udp_truncated_target(struct hostile *h)
{
	hostile_open_flow(h, "\x04\x7f\x00", 3, true);
}

static void case_udp_truncated_frame(struct hostile *h)
{
	hostile_open_flow(h, "\x00\x00\x09" "four", 7, true);
}

static void case_channel_family(struct hostile *h)
{
	hostile_open_flow(h, "\x09\x7f\x00\x00\x01\x00\x09", 7, false);
}

static void case_channel_empty_name(struct hostile *h)
{
	hostile_open_flow(h, "\x03\x00\x00\x09", 4, false);
}

static void case_channel_odd_name(struct hostile *h)
{
	hostile_open_flow(h, "\x03\x05" "a\0b c" "\x00\x09", 9, false);
}

/* ---- more of it than anybody needs ---- */

#define FLOOD_STEP 256 /* streams a millisecond */

static struct loop_timer flood_timer;

static void flood_step(void *user)
{
	static const struct quic_stream_ops ops;
	struct hostile *h = user;
	bool reset = strcmp(h->which->name, "reset-flood") == 0;

	if (h->conn == NULL)
		return;
	for (int i = 0; i < FLOOD_STEP; i++) {
		struct quic_stream *stream;

		if (quic_conn_open_stream(h->conn, &ops, NULL, &stream) != 0)
			break;
		if (reset)
			quic_stream_abort(stream, 1);
	}
	loop_timer_arm(&flood_timer, clock_after(loop_now(&h->loop), clock_ms(1)));
}

static void case_flood(struct hostile *h)
{
	loop_timer_init(&flood_timer, &h->loop, flood_step, h);
	flood_step(h);
}

/* ---- DATAGRAM frames (RFC 9221) that nobody asked for, or of no flow ---- */

#define DATAGRAM_STEP 64 /* a millisecond */
#define DATAGRAM_BYTES 1000

/* As it is: no number is put before it, nobody has agreed. */
static void case_put_datagram(struct hostile *h, const uint8_t *data, size_t bytes)
{
	struct quic_datagrams *d = &h->conn->datagrams;
	uint64_t now_ns = loop_now(&h->loop);
	uint8_t length[2] = {(uint8_t)(bytes >> 8), (uint8_t)bytes};

	d->peer_max = QUIC_DATAGRAM_FRAME_MAX;
	if (d->tx_count >= QUIC_DATAGRAM_QUEUE ||
	    chunk_queue_append(&d->tx, &now_ns, sizeof(now_ns)) != 0 ||
	    chunk_queue_append(&d->tx, length, 2) != 0 ||
	    chunk_queue_append(&d->tx, data, bytes) != 0)
		return;
	d->tx_count++;
	quic_conn_wake(h->conn);
}

static void datagram_step(void *user)
{
	static const struct {
		uint8_t bytes[9];
		size_t count, rest;
	} kinds[] = {
		{{0}, 0, 0},			      /* no number */
		{{0x40}, 1, 0},			      /* half a number */
		{{0xff, 0xff, 0xff, 0xff}, 4, 0},
		{{0}, 1, DATAGRAM_BYTES},	      /* the control stream's */
		{{1}, 1, DATAGRAM_BYTES},	      /* the flow's, if there is one */
		{{2}, 1, DATAGRAM_BYTES},	      /* of no stream */
		{{0xbf, 0xff, 0xff, 0xff}, 4, DATAGRAM_BYTES},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 9, 0},
	};
	uint8_t data[9 + DATAGRAM_BYTES] = {0};
	struct hostile *h = user;

	if (h->conn == NULL)
		return;
	for (size_t i = 0; i < DATAGRAM_STEP; i++) {
		size_t kind = i % (sizeof(kinds) / sizeof(kinds[0]));

		memcpy(data, kinds[kind].bytes, sizeof(kinds[kind].bytes));
		case_put_datagram(h, data, kinds[kind].count + kinds[kind].rest);
	}
	loop_timer_arm(&flood_timer, clock_after(loop_now(&h->loop), clock_ms(1)));
}

static void case_datagram_flood(struct hostile *h)
{
	loop_timer_init(&flood_timer, &h->loop, datagram_step, h);
	datagram_step(h);
}

static void case_datagrams_before_login(struct hostile *h)
{
	hostile_send(h, "", 0);
	case_datagram_flood(h);
}

static void case_datagram_login(struct hostile *h)
{
	struct wire_trailer *trailer = &h->login.trailer;

	trailer->present = trailer->has_features = true;
	trailer->features = WIRE_FEATURE_DATAGRAM;
	case_udp_login(h);
}

static void case_datagrams_of_a_flow(struct hostile *h)
{
	hostile_open_flow(h, "", 1, false); /* to the default upstream */
	case_datagram_flood(h);
}

const struct hostile_case hostile_cases[] = {
	{"login", "a right login and nothing else", case_login, NULL},
	{"nothing", "never opens a stream", case_nothing, NULL},
	{"silent-stream", "opens the control stream and says nothing", case_silent_stream, NULL},
	{"truncated-login", "half a login, then the end of the stream", case_truncated_login, NULL},
	{"short-login", "a frame whose message ends early", case_short_login, NULL},
	{"too-long", "declares 65537 bytes", case_too_long, NULL},
	{"huge-length", "declares 4 GiB", case_huge_length, NULL},
	{"long-password", "a login of 64 KiB, nearly all password", case_long_password, NULL},
	{"long-trailer", "a right login of 64 KiB, rubbish at its end", case_long_trailer, NULL},
	{"broken-trailer", "a record longer than its frame", case_broken_trailer, NULL},
	{"huge-string", "a string of 2^63 bytes in a frame of 11", case_huge_string, NULL},
	{"not-utf8", "a password that is not UTF-8", case_not_utf8, NULL},
	{"unknown-message", "a message number that nobody knows", case_unknown_message, NULL},
	{"unknown-tunnel", "a kind of tunnel that nobody knows", case_unknown_tunnel, NULL},
	{"empty-frame", "a message of no bytes", case_empty_frame, NULL},
	{"heartbeat-first", "a heartbeat before the login", case_heartbeat_first, NULL},
	{"answer-first", "the server's own answer", case_answer_first, NULL},
	{"byte-by-byte", "a right login, a packet per byte", case_byte_by_byte, NULL},
	{"crawl", "a right login, too slowly", case_crawl, NULL},
	{"early-stream", "a flow before the login", case_early_stream, NULL},
	{"second-login", "logs in, then once more", case_login, case_second_login},
	{"unknown-after-login", "an unknown message later", case_login, case_unknown_after_login},
	{"too-long-after-login", "declares 65537 bytes later", case_login, case_too_long_after_login},
	{"finish-control", "logs in and ends the control stream", case_login, case_finish_control},
	{"udp-family", "a UDP flow to an unknown family", case_udp_login, case_udp_family},
	{"udp-truncated-target", "a UDP flow that ends in its target", case_udp_login,
	 case_udp_truncated_target},
	{"udp-truncated-frame", "a UDP flow that ends in a datagram", case_udp_login,
	 case_udp_truncated_frame},
	{"channel-family", "a channel to an unknown family", case_channel_login, case_channel_family},
	{"channel-empty-name", "a channel to a name of no bytes", case_channel_login, case_channel_empty_name},
	{"channel-odd-name", "a channel to a name with a NUL", case_channel_login, case_channel_odd_name},
	{"reset-flood", "opens flows and resets them, as fast as it can", case_login, case_flood},
	{"silent-flood", "opens as many UDP flows as it may and says nothing", case_udp_login,
	 case_flood},
	{"datagrams-before-login", "DATAGRAM frames instead of a login", case_datagrams_before_login,
	 NULL},
	{"datagrams-not-agreed", "DATAGRAM frames of a client that did not ask for them",
	 case_udp_login, case_datagrams_of_a_flow},
	{"datagrams-of-no-flow", "DATAGRAM frames, most of them malformed or of no flow",
	 case_datagram_login, case_datagrams_of_a_flow},
	{"channel-udp-family", "a UDP channel to an unknown family", case_channel_udp_login, case_udp_family},
};

const size_t hostile_case_count = sizeof(hostile_cases) / sizeof(hostile_cases[0]);
