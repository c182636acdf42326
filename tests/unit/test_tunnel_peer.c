/* SPDX-License-Identifier: MIT */
/*
 * A peer that is not our own: raw QUIC toward the server (the original's logins, channels, rubbish,
 * rude ends) and a raw server toward our client (refusals without a reason). The peer runs on the
 * rig's loop; the test's thread tells it what to do and waits for what it saw.
 */
#include "tests/unit/tunnel_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "quic/endpoint.h"
#include "relay/frame.h"
#include "relay/tcp_listener.h"
#include "tls/credentials.h"
#include "tls/session.h"
#include "tunnel/limits.h"
#include "tunnel/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PEER_STREAMS 4

struct peer_stream {
	struct quic_stream *stream; /* NULL = closed */
	uint8_t data[4096];
	size_t bytes;
	bool ended, reset, closed;
	uint64_t code;
};

/* All of it under the rig's mutex but for the pointers, which are the loop's. */
struct peer {
	struct rig *rig;
	struct quic_endpoint *endpoint;
	struct quic_conn *conn;
	struct peer_stream streams[PEER_STREAMS]; /* 0 = control stream */
	unsigned opened, accepted;
	bool ready, closed;
	struct quic_close why;
};

static struct rig rig;
static struct peer peer;

/* ---- the peer's side, on the loop ---- */

static void changed(void)
{
	pthread_cond_broadcast(&rig.changed);
}

static void on_readable(struct quic_stream *s, void *user)
{
	struct peer_stream *p = user;

	pthread_mutex_lock(&rig.mutex);
	p->bytes += quic_stream_read(s, p->data + p->bytes, sizeof(p->data) - p->bytes);
	p->ended = quic_stream_at_end(s);
	changed();
	pthread_mutex_unlock(&rig.mutex);
}

static void on_reset(struct quic_stream *s, void *user, uint64_t app_error)
{
	struct peer_stream *p = user;

	(void)s;
	pthread_mutex_lock(&rig.mutex);
	p->reset = true;
	p->code = app_error;
	changed();
	pthread_mutex_unlock(&rig.mutex);
}

static void on_stream_close(struct quic_stream *s, void *user, bool lost)
{
	struct peer_stream *p = user;

	(void)s;
	(void)lost;
	pthread_mutex_lock(&rig.mutex);
	p->stream = NULL;
	p->closed = true;
	changed();
	pthread_mutex_unlock(&rig.mutex);
}

static const struct quic_stream_ops stream_ops = {
	.on_readable = on_readable,
	.on_reset = on_reset,
	.on_close = on_stream_close,
};

static void on_ready(struct quic_conn *c, void *user)
{
	(void)c;
	(void)user;
	pthread_mutex_lock(&rig.mutex);
	peer.ready = true;
	changed();
	pthread_mutex_unlock(&rig.mutex);
}

static void on_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	(void)c;
	(void)user;
	assert_in_range(peer.opened, 0, PEER_STREAMS - 1);
	peer.streams[peer.opened].stream = s;
	quic_stream_set_ops(s, &stream_ops, &peer.streams[peer.opened++]);
	pthread_mutex_lock(&rig.mutex);
	peer.accepted++;
	changed();
	pthread_mutex_unlock(&rig.mutex);
}

static void on_close(struct quic_conn *c, void *user, const struct quic_close *why)
{
	(void)c;
	(void)user;
	pthread_mutex_lock(&rig.mutex);
	peer.conn = NULL;
	peer.closed = true;
	peer.why = *why;
	changed();
	pthread_mutex_unlock(&rig.mutex);
}

static const struct quic_conn_ops conn_ops = {
	.on_ready = on_ready,
	.on_stream = on_stream,
	.on_close = on_close,
};

static void start_endpoint(const struct quic_endpoint_ops *ops, struct tls_credentials *credentials)
{
	struct quic_endpoint_config config = {
		.loop = &rig.loop,
		.log = &rig.log,
		.pool = &rig.pool,
		.worker_count = 1,
		.credentials = credentials,
		.ops = ops,
	};

	quic_config_default(&config.quic);
	config.quic.streams_before_login = PEER_STREAMS;
	random_bytes(config.secret, sizeof(config.secret));
	assert_int_equal(quic_endpoint_new(&peer.endpoint, &config), 0);
}

static void connect_peer(struct rig *r, void *arg)
{
	static const struct quic_endpoint_ops ops = {0};
	struct quic_connect params = {.remote = r->server_address, .ops = &conn_ops};
	struct tls_session_config session = {.verify_ip = &r->server_address};

	(void)arg;
	start_endpoint(&ops, NULL);
	assert_int_equal(tls_credentials_new_unverified(&session.credentials), 0);
	assert_int_equal(tls_session_new_client(&params.session, &session), 0);
	tls_credentials_unref(session.credentials);
	assert_int_equal(quic_endpoint_connect(peer.endpoint, &params, &peer.conn), 0);
}

static void stop_peer(struct rig *r, void *arg)
{
	(void)r;
	(void)arg;
	quic_endpoint_free(peer.endpoint);
}

static void open_stream(struct rig *r, void *arg)
{
	struct peer_stream *p = &peer.streams[peer.opened++];

	(void)r;
	assert_int_equal(quic_conn_open_stream(peer.conn, &stream_ops, p, &p->stream), *(int *)arg);
}

struct peer_send {
	unsigned stream;
	const void *data;
	size_t bytes;
};

static void send_bytes(struct rig *r, void *arg)
{
	struct peer_send *s = arg;

	(void)r;
	if (peer.streams[s->stream].stream != NULL)
		quic_stream_write(peer.streams[s->stream].stream, s->data, s->bytes);
}

static void finish_stream(struct rig *r, void *arg)
{
	(void)r;
	quic_stream_finish(peer.streams[*(unsigned *)arg].stream);
	quic_stream_stop_reading(peer.streams[*(unsigned *)arg].stream, 0);
}

static void end_stream(struct rig *r, void *arg)
{
	(void)r;
	quic_stream_finish(peer.streams[*(unsigned *)arg].stream);
}

static void reset_stream(struct rig *r, void *arg)
{
	(void)r;
	quic_stream_abort(peer.streams[*(unsigned *)arg].stream, 0);
}

/* ---- the test's side ---- */

static bool is_ready(struct rig *r)
{
	(void)r;
	return peer.ready || peer.closed;
}

static bool is_closed(struct rig *r)
{
	(void)r;
	return peer.closed;
}

static bool has_answer(struct rig *r)
{
	(void)r;
	return peer.streams[0].bytes >= 6 || peer.streams[0].reset || peer.closed;
}

static bool has_second(struct rig *r)
{
	(void)r;
	return peer.streams[1].bytes >= 4 || peer.streams[1].reset || peer.closed;
}

static bool was_refused(struct rig *r)
{
	return r->refused > 0;
}

static void put(unsigned stream, const void *data, size_t bytes)
{
	struct peer_send s = {.stream = stream, .data = data, .bytes = bytes};

	rig_call(&rig, send_bytes, &s);
}

static void open_one(void)
{
	int expect = 0;

	rig_call(&rig, open_stream, &expect);
}

static void start_peer(void)
{
	if (rig.server == NULL)
		rig_start_server(&rig);
	memset(&peer, 0, sizeof(peer));
	rig_call(&rig, connect_peer, NULL);
	rig_wait_for(&rig, is_ready);
	assert_true(peer.ready);
	open_one();
}

static void end(void)
{
	rig_call(&rig, stop_peer, NULL);
	rig_done(&rig);
}

static size_t make_login(uint8_t buf[WIRE_MESSAGE_MAX], const char *password, bool channel,
			 enum mapping_mode mode, enum mapping_proto proto,
			 const struct address *upstream)
{
	static struct wire_message message;
	int n;

	memset(&message, 0, sizeof(message));
	message.kind = WIRE_REQ_LOGIN;
	snprintf(message.login.password, sizeof(message.login.password), "%s", password);
	message.login.channel = channel;
	message.login.mode = mode;
	message.login.proto = proto;
	message.login.has_upstream = upstream != NULL;
	if (upstream != NULL)
		message.login.upstream = *upstream;
	message.login.tcp_timeout_ms = 30000;
	message.login.udp_timeout_ms = 5000;
	n = wire_encode(buf, WIRE_MESSAGE_MAX, &message);
	assert_true(n > 0);
	return (size_t)n;
}

static void log_in(bool channel, enum mapping_mode mode, enum mapping_proto proto,
		   const struct address *upstream)
{
	uint8_t buf[WIRE_MESSAGE_MAX];
	size_t bytes = make_login(buf, "secret", channel, mode, proto, upstream);
	struct wire_message answer;
	size_t used;

	put(0, buf, bytes);
	rig_wait_for(&rig, has_answer);
	assert_int_equal(wire_decode(&answer, &used, peer.streams[0].data, peer.streams[0].bytes),
			 0);
	assert_int_equal(answer.kind, WIRE_RESP_SUCCESS);
	assert_false(answer.trailer.present); /* nobody asked for it */
}

/* ---- a raw client ---- */

/* One byte at a time; then an upstream that is not there: the original gets code 1. */
static void test_login_in_pieces(void **state)
{
	uint8_t buf[WIRE_MESSAGE_MAX];
	struct address nobody;
	size_t bytes;
	int fd = app_listen(MAPPING_TCP, &nobody);

	(void)state;
	close(fd);
	rig_init(&rig);
	start_peer();
	bytes = make_login(buf, "secret", false, MAPPING_OUT, MAPPING_TCP, &nobody);
	for (size_t i = 0; i < bytes; i++)
		put(0, buf + i, 1);
	rig_wait_for(&rig, has_answer);
	assert_int_equal(peer.streams[0].data[4], WIRE_RESP_SUCCESS);
	open_one();
	rig_wait_for(&rig, has_second);
	assert_true(peer.streams[1].reset);
	assert_int_equal(peer.streams[1].code, 1);
	assert_false(peer.closed);
	end();
}

static void test_rubbish(void **state)
{
	static const struct {
		const char *bytes;
		size_t count;
	} cases[] = {
		{"\xff\xff\xff\xff", 4},             /* a frame of 4 GiB */
		{"\x00\x01\x00\x01", 4},             /* one byte too long */
		{"\x00\x00\x00\x02\x01\x01", 6},     /* a heartbeat before its time */
		{"\x00\x00\x00\x01\xff", 5},         /* no such message */
		{"\x00\x00\x00\x03\x00\xfb\xff", 7}, /* a string beyond its frame */
		{"\x00\x00\x00\x00", 4},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_init(&rig);
		start_peer();
		put(0, cases[i].bytes, cases[i].count);
		rig_wait_for(&rig, is_closed);
		assert_int_equal(peer.why.kind, QUIC_CLOSE_PEER_APP);
		assert_int_equal(peer.why.code, 1);
		rig_wait_for(&rig, was_refused);
		assert_int_equal(rig.logins, 0);
		end();
	}
}

/* Before the login there is one stream. */
static void test_second_stream(void **state)
{
	int expect = RSTUN_E_LIMIT_REACHED;

	(void)state;
	rig_init(&rig);
	start_peer();
	rig_call(&rig, open_stream, &expect);
	end();
}

/* The reason is sent before the connection is closed, with code 1. */
static void test_refusal(void **state)
{
	uint8_t buf[WIRE_MESSAGE_MAX];
	struct wire_message answer;
	size_t used;

	(void)state;
	rig_init(&rig);
	start_peer();
	put(0, buf, make_login(buf, "wrong", false, MAPPING_OUT, MAPPING_TCP, NULL));
	rig_wait_for(&rig, is_closed);
	assert_int_equal(peer.why.kind, QUIC_CLOSE_PEER_APP);
	assert_int_equal(peer.why.code, 1);
	assert_int_equal(wire_decode(&answer, &used, peer.streams[0].data, peer.streams[0].bytes),
			 0);
	assert_int_equal(answer.kind, WIRE_RESP_FAILURE);
	assert_string_equal(answer.reason,
			    "wrong password: both sides must be started with the same one");
	assert_true(peer.streams[0].ended);
	end();
}

/* After some wrong ones the right password is not heard either, for a while. */
static void test_penalty(void **state)
{
	uint8_t buf[WIRE_MESSAGE_MAX];

	(void)state;
	rig_init(&rig);
	for (int i = 0; i <= LIMITS_WRONG_PASSWORDS; i++) {
		start_peer();
		put(0, buf,
		    make_login(buf, i < LIMITS_WRONG_PASSWORDS ? "wrong" : "secret", false,
			       MAPPING_OUT, MAPPING_TCP, &rig.server_address));
		rig_wait_for(&rig, is_closed);
		rig_call(&rig, stop_peer, NULL);
		if (i < LIMITS_WRONG_PASSWORDS)
			assert_int_equal(rig.refused_error, RSTUN_E_AUTH_FAILED);
	}
	assert_int_equal(rig.refused_error, RSTUN_E_RATE_LIMITED);
	rig_done(&rig);
}

static void test_channel_tcp(void **state)
{
	uint8_t header[FRAME_TARGET_MAX];
	struct address upstream, fallback;
	int named = app_listen(MAPPING_TCP, &upstream), other = app_listen(MAPPING_TCP, &fallback),
	    far;
	struct target target = {.kind = TARGET_ADDRESS, .address = upstream};
	size_t bytes = frame_put_target(header, &target);

	(void)state;
	rig_init(&rig);
	rig.server_config.tcp_upstream =
		(struct target){.kind = TARGET_ADDRESS, .address = fallback};
	start_peer();
	log_in(true, MAPPING_OUT, MAPPING_TCP, NULL);
	open_one();
	put(1, header, 3);
	put(1, header + 3, bytes - 3);
	put(1, "ping", 4);
	far = app_accept(named);
	app_expect(far, "ping", 4);
	app_send(far, "pong", 4);
	rig_wait_for(&rig, has_second);
	assert_memory_equal(peer.streams[1].data, "pong", 4);
	close(far);
	open_one();
	put(2, "\0late", 5); /* family 0: the server's default */
	far = app_accept(other);
	app_expect(far, "late", 4);
	close(far);
	close(named);
	close(other);
	end();
}

static void test_channel_rubbish(void **state)
{
	(void)state;
	rig_init(&rig);
	start_peer();
	log_in(true, MAPPING_OUT, MAPPING_TCP, NULL);
	open_one();
	put(1, "\x09" "abc", 4); /* no such family */
	rig_wait_for(&rig, has_second);
	assert_true(peer.streams[1].reset);
	assert_false(peer.closed);
	end();
}

static bool both_were_reset(struct rig *r)
{
	(void)r;
	return peer.streams[1].reset && peer.streams[2].reset;
}

/* Flows without a target, or with half of one: gone after a while, the session stays. */
static void test_channel_silent(void **state)
{
	(void)state;
	rig_init(&rig);
	start_peer();
	log_in(true, MAPPING_OUT, MAPPING_TCP, NULL);
	open_one();
	open_one();
	put(2, "\x04\x7f", 2);
	rig_wait_for(&rig, both_were_reset);
	assert_false(peer.closed);
	end();
}

static bool second_was_reset(struct rig *r)
{
	(void)r;
	return peer.streams[2].reset;
}

/* Half a target and an end behind it: nobody waits for the rest, as for one that may still come. */
static void test_channel_cut_short(void **state)
{
	unsigned stream = 2;

	(void)state;
	rig_init(&rig);
	start_peer();
	log_in(true, MAPPING_OUT, MAPPING_TCP, NULL);
	open_one();
	put(1, "\x04\x7f", 2);
	open_one();
	put(2, "\x04\x7f", 2);
	rig_call(&rig, end_stream, &stream);
	rig_wait_for(&rig, second_was_reset);
	assert_false(peer.streams[1].reset);
	end();
}

/* What a peer says of itself cannot begin a line of the log. */
static void test_software_is_quoted(void **state)
{
	static struct wire_message message;
	uint8_t buf[WIRE_MESSAGE_MAX];
	struct address nobody;
	int n, fd = app_listen(MAPPING_TCP, &nobody);

	(void)state;
	close(fd);
	memset(&message, 0, sizeof(message));
	message.kind = WIRE_REQ_LOGIN;
	message.login.mode = MAPPING_OUT;
	message.login.has_upstream = true;
	message.login.upstream = nobody;
	snprintf(message.login.password, sizeof(message.login.password), "secret");
	message.trailer.present = message.trailer.has_software = true;
	snprintf(message.trailer.software, sizeof(message.trailer.software), "x\n\x1b[2J 1.0");
	n = wire_encode(buf, sizeof(buf), &message);
	assert_true(n > 0);
	rig_init(&rig);
	start_peer();
	put(0, buf, (size_t)n);
	rig_wait_for(&rig, has_answer);
	assert_string_equal(rig.session_software, "x\\x0a\\x1b[2J 1.0");
	end();
}

static void test_channel_udp(void **state)
{
	uint8_t data[FRAME_TARGET_MAX + 8];
	struct address upstream;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	int far = app_listen(MAPPING_UDP, &upstream);
	struct target target = {.kind = TARGET_ADDRESS, .address = upstream};
	size_t bytes = frame_put_target(data, &target);
	char got[8];

	(void)state;
	memcpy(data + bytes, "\0\4ping", 6);
	rig_init(&rig);
	start_peer();
	log_in(true, MAPPING_OUT, MAPPING_UDP, NULL);
	open_one();
	put(1, data, bytes + 6);
	assert_int_equal(recvfrom(far, got, sizeof(got), 0, (struct sockaddr *)&from, &len), 4);
	assert_memory_equal(got, "ping", 4);
	assert_int_equal(sendto(far, "pong", 4, 0, (struct sockaddr *)&from, len), 4);
	rig_wait_for(&rig, has_second);
	assert_memory_equal(peer.streams[1].data, "\0\4pong", 6);
	close(far);
	end();
}

/* The original with heartbeats off ends its control stream after the login: flows go on. */
static void test_control_ended(void **state)
{
	struct address upstream;
	int listener = app_listen(MAPPING_TCP, &upstream), far;
	unsigned control = 0;

	(void)state;
	rig_init(&rig);
	start_peer();
	log_in(false, MAPPING_OUT, MAPPING_TCP, &upstream);
	rig_call(&rig, finish_stream, &control);
	open_one();
	far = app_accept(listener);
	app_send(far, "1234", 4);
	rig_wait_for(&rig, has_second);
	assert_memory_equal(peer.streams[1].data, "1234", 4);
	assert_false(peer.closed);
	close(far);
	close(listener);
	end();
}

static void test_control_reset(void **state)
{
	struct address upstream;
	int listener = app_listen(MAPPING_TCP, &upstream);
	unsigned control = 0;

	(void)state;
	rig_init(&rig);
	start_peer();
	log_in(false, MAPPING_OUT, MAPPING_TCP, &upstream);
	rig_call(&rig, reset_stream, &control);
	rig_wait_for(&rig, is_closed);
	assert_int_equal(peer.why.kind, QUIC_CLOSE_PEER_APP);
	assert_int_equal(peer.why.code, 1);
	close(listener);
	end();
}

/* ---- claims and probes ---- */

struct claims {
	struct server_claim claim;
	unsigned claims, released;
	bool answer_now;
	bool probed, alive;
};

static struct claims claims;

static void answer_claim(struct rig *r, void *arg)
{
	struct address bound;
	int fd;

	(void)arg;
	assert_int_equal(tcp_listener_bind(&claims.claim.address, &fd, &bound), 0);
	server_claimed(r->server, claims.claim.session_id, 0, fd, &bound);
}

static void on_claim(void *user, const struct server_claim *claim)
{
	(void)user;
	pthread_mutex_lock(&rig.mutex);
	claims.claim = *claim;
	claims.claims++;
	changed();
	pthread_mutex_unlock(&rig.mutex);
	if (claims.answer_now)
		answer_claim(&rig, NULL);
}

static void on_release(void *user, uint64_t session_id)
{
	(void)user;
	pthread_mutex_lock(&rig.mutex);
	assert_int_equal(session_id, claims.claim.session_id);
	claims.released++;
	changed();
	pthread_mutex_unlock(&rig.mutex);
}

static void make_claiming_server(struct rig *r, void *arg)
{
	struct server_params params = {
		.env = &r->server_env,
		.config = &r->server_config,
		.credentials = r->credentials,
		.claim = on_claim,
		.release = on_release,
	};
	struct address any;

	(void)arg;
	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(quic_endpoint_bind(&any, false, &params.fd, &r->server_address), 0);
	assert_int_equal(server_new(&r->server, &params), 0);
}

static bool was_claimed(struct rig *r)
{
	(void)r;
	return claims.claims == 1;
}

static bool was_released(struct rig *r)
{
	(void)r;
	return claims.released == 1;
}

static void on_probed(void *user, uint64_t session_id, bool alive)
{
	(void)user;
	(void)session_id;
	pthread_mutex_lock(&rig.mutex);
	claims.probed = true;
	claims.alive = alive;
	changed();
	pthread_mutex_unlock(&rig.mutex);
}

static void probe(struct rig *r, void *arg)
{
	server_probe(r->server, claims.claim.session_id, *(uint64_t *)arg, on_probed, NULL);
}

static bool was_probed(struct rig *r)
{
	(void)r;
	return claims.probed;
}

static void start_claiming(void)
{
	rig_init(&rig);
	memset(&claims, 0, sizeof(claims));
	rig_call(&rig, make_claiming_server, NULL);
	rig_start_client(&rig);
}

static void test_claim(void **state)
{
	uint64_t second_ns = CLOCK_NS_PER_S, nothing_ns = 1;

	(void)state;
	start_claiming();
	rig_add(&rig, 1, MAPPING_TCP, "IN^127.0.0.1:9^127.0.0.1:0");
	rig_wait_for(&rig, was_claimed);
	assert_int_equal(rig.mappings[1].tunnels, 0);
	rig_call(&rig, answer_claim, NULL);
	rig_wait(&rig, 1, TUNNEL_TUNNELING);
	rig_call(&rig, probe, &second_ns);
	rig_wait_for(&rig, was_probed);
	assert_true(claims.alive);
	assert_int_equal(claims.released, 0);
	/* No answer in time: the session is closed and its address free. */
	claims.probed = false;
	rig_call(&rig, probe, &nothing_ns);
	rig_wait_for(&rig, was_probed);
	if (!claims.alive)
		assert_int_equal(claims.released, 1);
	/* And one that nobody knows is not alive. */
	rig_stop_client(&rig);
	rig_wait_for(&rig, was_released);
	claims.probed = false;
	rig_call(&rig, probe, &second_ns);
	rig_wait_for(&rig, was_probed);
	assert_false(claims.alive);
	rig_done(&rig);
}

static void test_claim_from_inside(void **state)
{
	(void)state;
	start_claiming();
	claims.answer_now = true;
	rig_add(&rig, 1, MAPPING_TCP, "IN^127.0.0.1:9^127.0.0.1:0");
	rig_wait(&rig, 1, TUNNEL_TUNNELING);
	rig_stop_client(&rig);
	rig_wait_for(&rig, was_released);
	rig_done(&rig);
}

/* No answer of the owner: the client hears of it in time, and a late answer is given back. */
static void test_claim_unanswered(void **state)
{
	struct rig_mapping m;

	(void)state;
	start_claiming();
	rig_add(&rig, 1, MAPPING_TCP, "IN^127.0.0.1:9^127.0.0.1:0");
	m = rig_wait(&rig, 1, TUNNEL_RECONNECTING);
	assert_int_equal(m.error, RSTUN_E_TIMEOUT);
	rig_call(&rig, answer_claim, NULL);
	rig_wait_for(&rig, was_released);
	rig_done(&rig);
}

/* ---- a raw server: the original's way to refuse ---- */

static void on_vague_readable(struct quic_stream *s, void *user)
{
	static const char success[] = {0, 0, 0, 2, WIRE_RESP_SUCCESS, 0};
	uint8_t data[1024];
	struct wire_message message;
	struct quic_conn *c = quic_stream_conn(s);
	struct iovec iov;
	size_t used;

	(void)user;
	assert_int_equal(quic_stream_peek(s, &iov, 1), 1);
	assert_in_range(iov.iov_len, 1, sizeof(data));
	memcpy(data, iov.iov_base, iov.iov_len);
	assert_int_equal(wire_decode(&message, &used, data, iov.iov_len), 0);
	quic_stream_consume(s, iov.iov_len);
	if (message.kind != WIRE_REQ_LOGIN)
		return;
	if (message.login.has_upstream)
		quic_stream_write(s, success, sizeof(success));
	else
		quic_conn_close(c, 0, "");
}

static const struct quic_stream_ops vague_stream_ops = {.on_readable = on_vague_readable};

static const struct quic_stream_ops *raw_server_ops;

static void on_vague_stream(struct quic_conn *c, void *user, struct quic_stream *s)
{
	(void)c;
	(void)user;
	quic_stream_set_ops(s, raw_server_ops, NULL);
}

static const struct quic_conn_ops vague_conn_ops = {.on_stream = on_vague_stream};

static void on_vague_accept(struct quic_endpoint *ep, void *user, struct quic_conn *c)
{
	(void)ep;
	(void)user;
	quic_conn_set_ops(c, &vague_conn_ops, NULL);
}

static void start_vague(struct rig *r, void *arg)
{
	static const struct quic_endpoint_ops ops = {.on_accept = on_vague_accept};
	struct address any;
	int fd;

	(void)arg;
	start_endpoint(&ops, r->credentials);
	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(quic_endpoint_bind(&any, false, &fd, &r->server_address), 0);
	assert_int_equal(quic_endpoint_listen(peer.endpoint, fd), 0);
}

static void on_rude_readable(struct quic_stream *s, void *user)
{
	static struct wire_message message;
	uint8_t buf[WIRE_MESSAGE_MAX];
	int n;

	(void)user;
	quic_stream_consume(s, quic_stream_readable(s));
	memset(&message, 0, sizeof(message));
	message.kind = WIRE_RESP_FAILURE;
	snprintf(message.reason, sizeof(message.reason), "go\naway");
	message.trailer.present = message.trailer.has_failure = true;
	message.trailer.failure_code = 1114;
	message.trailer.failure_retry_ms = UINT32_MAX;
	n = wire_encode(buf, sizeof(buf), &message);
	assert_true(n > 0);
	quic_stream_write(s, buf, (size_t)n);
}

static const struct quic_stream_ops rude_stream_ops = {.on_readable = on_rude_readable};

/* A server that asks for 49 days is not obeyed. */
static void test_retry_after_is_bounded(void **state)
{
	struct rig_mapping m;

	(void)state;
	rig_init(&rig);
	memset(&peer, 0, sizeof(peer));
	raw_server_ops = &rude_stream_ops;
	rig_call(&rig, start_vague, NULL);
	rig_start_client(&rig);
	rig_add(&rig, 1, MAPPING_TCP, "IN^127.0.0.1:1^127.0.0.1:0");
	m = rig_wait(&rig, 1, TUNNEL_RECONNECTING);
	assert_int_equal(m.error, RSTUN_E_REMOTE_ADDRESS_IN_USE);
	assert_string_equal(m.text, "go\\x0aaway");
	assert_int_equal(m.next_retry_ms, LIMITS_RETRY_AFTER_MS);
	rig_stop_client(&rig);
	end();
}

/* Two mappings that it refuses without a reason do not keep a third from getting in. */
static void test_vague_refusal(void **state)
{
	struct rig_mapping m;

	(void)state;
	rig_init(&rig);
	memset(&peer, 0, sizeof(peer));
	raw_server_ops = &vague_stream_ops;
	rig_call(&rig, start_vague, NULL);
	rig_start_client(&rig);
	rig_add(&rig, 1, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	rig_wait(&rig, 1, TUNNEL_FAILED); /* the others come when it has been refused already */
	rig_add(&rig, 2, MAPPING_UDP, "OUT^127.0.0.1:0^ANY");
	rig_add(&rig, 3, MAPPING_TCP, "OUT^127.0.0.1:0^127.0.0.1:9");
	rig_add(&rig, 4, MAPPING_TCP, "OUT^127.0.0.1:0^localhost:9"); /* resolved by us, then */
	rig_wait(&rig, 3, TUNNEL_TUNNELING);
	m = rig_wait(&rig, 1, TUNNEL_FAILED);
	assert_int_equal(m.error, RSTUN_E_AUTH_FAILED);
	rig_wait(&rig, 2, TUNNEL_FAILED);
	m = rig_wait(&rig, 4, TUNNEL_TUNNELING);
	assert_string_equal(m.software, "");
	rig_stop_client(&rig);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_login_in_pieces), cmocka_unit_test(test_rubbish),
		cmocka_unit_test(test_second_stream),   cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_penalty),         cmocka_unit_test(test_channel_tcp),
		cmocka_unit_test(test_channel_rubbish), cmocka_unit_test(test_channel_udp),
		cmocka_unit_test(test_control_ended),   cmocka_unit_test(test_control_reset),
		cmocka_unit_test(test_claim),           cmocka_unit_test(test_claim_from_inside),
		cmocka_unit_test(test_claim_unanswered), cmocka_unit_test(test_vague_refusal),
		cmocka_unit_test(test_channel_silent),  cmocka_unit_test(test_channel_cut_short),
		cmocka_unit_test(test_software_is_quoted),
		cmocka_unit_test(test_retry_after_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
