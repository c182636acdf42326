/* SPDX-License-Identifier: MIT */
/*
 * Endpoints: how connections begin. Families, wildcard addresses, Retry, version negotiation, garbage, refusals, caps,
 * ICMP, full sockets, and several workers on one port.
 */
#include "endpoint_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "tls/credentials.h"
#include "tls/session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 20000 /* far beyond what anything here takes */

static struct erig g;
static struct erig_end a, b, c;

static struct address at(const char *ip, const struct address *port_of)
{
	struct address ret;

	assert_int_equal(address_parse_ip(&ret, ip, strlen(ip), address_port(port_of)), 0);
	return ret;
}

static void echo_through(const char *bind_to, const char *dial_to)
{
	struct erig_link *l;
	struct address to;

	erig_init(&g);
	erig_server(&g, &a, bind_to, false, 0, 1);
	erig_client(&g, &c);
	to = at(dial_to, &a.bound);
	l = erig_dial(&c, &to, 500000);
	assert_true(erig_until(&g, erig_whole, l, WAIT_MS));
	assert_true(address_equal_ip(quic_conn_remote(l->conn), &to));
	assert_true(address_equal_ip(quic_conn_local(a.links[0]->conn), &to));
	erig_free(&c);
	assert_true(erig_until(&g, erig_closed, a.links[0], WAIT_MS));
	assert_int_equal(a.links[0]->close.kind, QUIC_CLOSE_PEER_APP);
	erig_free(&a);
	erig_done(&g);
}

static void test_families(void **state)
{
	(void)state;
	echo_through("127.0.0.1:0", "127.0.0.1");
	echo_through("[::1]:0", "::1");
}

/* The answer comes from the address that was asked, or the client would not know it. */
static void test_wildcard(void **state)
{
	(void)state;
	echo_through("0.0.0.0:0", "127.0.0.1");
	echo_through("0.0.0.0:0", "127.0.0.2");
	echo_through("[::]:0", "::1");
	echo_through("[::]:0", "127.0.0.2");
}

static bool server_has(void *arg)
{
	return a.count >= *(size_t *)arg;
}

static void test_retry(void **state)
{
	struct quic_endpoint_stats stats;
	struct erig_end deaf;
	struct erig_link *l;
	size_t hundred = 100;

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	erig_client(&g, &deaf);
	for (size_t i = 0; i < hundred; i++)
		erig_dial(&deaf, &a.bound, 0);
	erig_deafen(&deaf);
	assert_true(erig_until(&g, server_has, &hundred, WAIT_MS));
	quic_endpoint_stats(a.ep, &stats);
	assert_int_equal(stats.half_open, 100);
	assert_int_equal(stats.retries_sent, 0);

	erig_client(&g, &c);
	l = erig_dial(&c, &a.bound, 10000);
	assert_true(erig_until(&g, erig_whole, l, WAIT_MS));
	quic_endpoint_stats(a.ep, &stats);
	assert_int_equal(stats.retries_sent, 1);
	assert_int_equal(stats.connections, 101);
	assert_int_equal(stats.half_open, 100);

	/* At the caps nothing is answered any more. */
	a.ep->half_open = ENDPOINT_HALF_OPEN_MAX;
	l = erig_dial(&c, &a.bound, 0);
	erig_turns(&g, 300);
	assert_false(l->ready);
	a.ep->half_open = 100;
	assert_true(erig_until(&g, erig_ready, l, WAIT_MS));
	erig_free(&deaf);
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

static size_t initial(uint8_t *buf, size_t size, uint32_t version, const uint8_t *token, uint8_t token_bytes)
{
	size_t n = 0;

	random_bytes(buf, size);
	buf[n++] = 0xc3;
	buf[n++] = (uint8_t)(version >> 24);
	buf[n++] = (uint8_t)(version >> 16);
	buf[n++] = (uint8_t)(version >> 8);
	buf[n++] = (uint8_t)version;
	buf[n++] = 8; /* destination ID */
	n += 8;
	buf[n++] = 4; /* source ID */
	memcpy(buf + n, "\1\2\3\4", 4);
	n += 4;
	buf[n++] = token_bytes;
	if (token_bytes)
		memcpy(buf + n, token, token_bytes);
	n += token_bytes;
	buf[n] = (uint8_t)(0x40 | ((size - n - 2) >> 8)); /* length of the rest */
	buf[n + 1] = (uint8_t)(size - n - 2);
	return size;
}

static void test_strangers(void **state)
{
	static uint8_t buf[2000], answer[2000];
	struct quic_endpoint_stats before, after;
	uint8_t token[40] = {0xb7};
	struct address client_at;
	struct erig_link *l;
	size_t n;

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);

	/* A token that is none of ours: refused at once, and nothing is kept. */
	token[0] = NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2;
	erig_raw_send(&g, &a.bound, buf, initial(buf, 1200, 1, token, sizeof(token)));
	n = erig_raw_receive(&g, answer, sizeof(answer), WAIT_MS);
	assert_true(n > 0 && n <= 3600 && answer[0] & 0x80);
	assert_memory_equal(answer + 6, "\1\2\3\4", 4);
	assert_int_equal(quic_endpoint_connections(a.ep), 0);

	/* Another version: what we speak, to datagrams of full size only. */
	erig_raw_send(&g, &a.bound, buf, initial(buf, 1199, 0x1a2a3a4a, NULL, 0));
	assert_int_equal(erig_raw_receive(&g, answer, sizeof(answer), 50), 0);
	erig_raw_send(&g, &a.bound, buf, initial(buf, 1200, 0x1a2a3a4a, NULL, 0));
	n = erig_raw_receive(&g, answer, sizeof(answer), WAIT_MS);
	assert_true(n > 4 && n < 60);
	assert_memory_equal(answer + 1, "\0\0\0\0", 4);
	/* And never to what is itself a version negotiation. */
	erig_raw_send(&g, &a.bound, buf, initial(buf, 1200, 0, NULL, 0));
	assert_int_equal(erig_raw_receive(&g, answer, sizeof(answer), 50), 0);

	/* A first packet that does not decrypt leaves nothing behind, and no user hears of it. */
	erig_raw_send(&g, &a.bound, buf, initial(buf, 1200, 1, NULL, 0));
	erig_turns(&g, 20);
	assert_int_equal(a.count, 0);
	assert_true(TAILQ_EMPTY(&a.ep->routes));

	/* Rubbish is counted. */
	quic_endpoint_stats(a.ep, &before);
	for (int i = 0; i < 200; i++) {
		size_t bytes = (size_t)i * 7;

		random_bytes(buf, sizeof(buf));
		buf[0] |= 0x80; /* no short ones: those get resets */
		erig_raw_send(&g, &a.bound, buf, i < 10 ? 0 : bytes);
	}
	erig_turns(&g, 50);
	quic_endpoint_stats(a.ep, &after);
	assert_int_equal(after.rx_datagrams - before.rx_datagrams, 200);
	assert_true(after.rx_dropped - before.rx_dropped >= 150); /* the rest: unknown versions */
	while (erig_raw_receive(&g, answer, sizeof(answer), 10))
		;

	/* A client answers nobody. */
	erig_client(&g, &c);
	l = erig_dial(&c, &a.bound, 1000);
	assert_true(erig_until(&g, erig_whole, l, WAIT_MS));
	client_at = at("127.0.0.1", quic_conn_local(l->conn));
	erig_raw_send(&g, &client_at, buf, initial(buf, 1200, 0x1a2a3a4a, NULL, 0));
	erig_raw_send(&g, &client_at, buf, initial(buf, 1200, 1, NULL, 0));
	random_bytes(buf, 100);
	buf[0] = 0x40;
	erig_raw_send(&g, &client_at, buf, 100);
	assert_int_equal(erig_raw_receive(&g, answer, sizeof(answer), 50), 0);
	quic_endpoint_stats(c.ep, &after);
	assert_int_equal(after.rx_dropped, 3);
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

/* ---- a client whose first message needs two packets, of which the second comes first ---- */

static int lone_new_cid(struct quic_host *h, struct quic_conn *conn, ngtcp2_cid *cid,
			ngtcp2_stateless_reset_token *token)
{
	(void)h;
	(void)conn;
	cid->datalen = QUIC_CID_BYTES;
	random_bytes(cid->data, cid->datalen);
	random_bytes(token->data, sizeof(token->data));
	return 0;
}

static void lone_wake(struct quic_host *h, struct quic_conn *conn)
{
	(void)h;
	(void)conn;
}

static void test_second_packet_first(void **state)
{
	static const struct quic_host_ops host_ops = {.new_cid = lone_new_cid, .wake = lone_wake};
	static uint8_t buf[QUIC_PACKET_MAX], answer[2000], more[600];
	struct quic_host host = {.ops = &host_ops};
	struct tls_session_config tls = {.sni = "localhost"};
	struct quic_conn_params params = {.host = &host, .config = &g.config};
	struct quic_batch batch = {.buf = buf, .size = sizeof(buf)};
	struct quic_endpoint_stats stats;
	struct quic_conn *lone;

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	tls.credentials = g.client_credentials;
	params.log = &g.log;
	params.pool = &g.pool;
	params.local = params.remote = a.bound;
	params.now_ns = clock_now_ns();
	assert_int_equal(tls_session_new_client(&params.session, &tls), 0);
	assert_int_equal(quic_conn_new(&lone, &params), 0);
	assert_true(quic_conn_write(lone, &batch, params.now_ns)); /* lost on the way */
	assert_int_equal(ngtcp2_conn_submit_crypto_data(lone->ng, NGTCP2_ENCRYPTION_LEVEL_INITIAL, more,
							sizeof(more)), 0);
	assert_true(quic_conn_write(lone, &batch, params.now_ns + CLOCK_NS_PER_S / 100));
	assert_true(batch.bytes >= 1200);
	erig_raw_send(&g, &a.bound, buf, batch.segment);
	assert_true(erig_raw_receive(&g, answer, sizeof(answer), 2000) > 0);
	assert_int_equal(answer[0] & 0xf0, 0xf0); /* Retry */
	quic_endpoint_stats(a.ep, &stats);
	assert_int_equal(stats.retries_sent, 1);
	assert_int_equal(a.count, 0);
	assert_true(TAILQ_EMPTY(&a.ep->routes));
	quic_conn_free(lone);
	erig_free(&a);
	erig_done(&g);
}

static void test_refusals(void **state)
{
	struct erig_link *l;
	uint64_t began;

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	erig_client(&g, &c);

	/* Closed by its user at once: the client hears it and does not wait for a timeout. */
	a.refuse = true;
	began = clock_now_ns();
	l = erig_dial(&c, &a.bound, 0);
	assert_true(erig_until(&g, erig_closed, l, WAIT_MS));
	assert_int_equal(l->close.kind, QUIC_CLOSE_PEER_TRANSPORT);
	assert_true(clock_now_ns() - began < 5 * CLOCK_NS_PER_S);
	a.refuse = false;

	quic_endpoint_stop_accepting(a.ep);
	l = erig_dial(&c, &a.bound, 0);
	assert_true(erig_until(&g, erig_closed, l, WAIT_MS));
	assert_int_equal(l->close.kind, QUIC_CLOSE_PEER_TRANSPORT);
	assert_int_equal(l->close.code, NGTCP2_CONNECTION_REFUSED);
	assert_int_equal(l->close.error, RSTUN_E_UNREACHABLE);
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

static struct address unused_port(void)
{
	struct address any, ret;
	int fd;

	assert_int_equal(address_parse(&any, "127.0.0.1:0", 11), 0);
	assert_int_equal(quic_endpoint_bind(&any, false, &fd, &ret), 0);
	close(fd);
	return ret;
}

static void test_nothing_listens(void **state)
{
	struct erig_link *l, *other;
	struct address nowhere;
	uint64_t began = clock_now_ns();

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	erig_client(&g, &c);
	nowhere = unused_port();
	other = erig_dial(&c, &a.bound, 100000);
	l = erig_dial(&c, &nowhere, 0);
	assert_true(erig_until(&g, erig_closed, l, WAIT_MS));
	assert_int_equal(l->close.error, RSTUN_E_UNREACHABLE);
	assert_non_null(strstr(l->close.reason, "nothing listens"));
	assert_true(clock_now_ns() - began < 5 * CLOCK_NS_PER_S);
	/* Nobody else on that socket is hurt. */
	assert_true(erig_until(&g, erig_whole, other, WAIT_MS));
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

/* The queue of errors alone keeps a socket readable: it is emptied although recvmmsg says EAGAIN. */
static void test_error_queue_does_not_spin(void **state)
{
	struct address nowhere;
	struct erig_link *l;
	struct quic_socket *s;
	int err;
	socklen_t len = sizeof(err);

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	erig_client(&g, &c);
	l = erig_dial(&c, &a.bound, 1000);
	assert_true(erig_until(&g, erig_whole, l, WAIT_MS));
	nowhere = unused_port();
	s = TAILQ_FIRST(&c.ep->sockets);
	assert_int_equal(sendto(s->fd, "x", 1, 0, &nowhere.sa, nowhere.len), 1);
	/* As a sendmsg that had it reported to it would. */
	assert_int_equal(getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &len), 0);
	assert_int_equal(err, ECONNREFUSED);
	assert_true(erig_count_turns(&g, 200) < 50);
	/* An error that belongs to another peer's packet is not this packet's. */
	assert_int_equal(sendto(s->fd, "x", 1, 0, &nowhere.sa, nowhere.len), 1);
	l = erig_dial(&c, &a.bound, 1000);
	assert_true(erig_until(&g, erig_whole, l, WAIT_MS));
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

static void test_full_socket(void **state)
{
	static const int errors[] = {EAGAIN, ENOBUFS};
	struct erig_link *l, *m;

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	erig_client(&g, &c);
	c.sndbuf = 4608;
	l = erig_dial(&c, &a.bound, 2000000);
	m = erig_dial(&c, &a.bound, 2000000);
	for (unsigned i = 0; i < 400 && !(l->end && m->end); i++) {
		erig_fail_errno = errors[i % 2];
		erig_fail_sends = 1 + i % 5;
		erig_turns(&g, 2);
	}
	assert_true(erig_until(&g, erig_all_whole, &c, WAIT_MS));
	/* Closing while full: the packet goes when it can, and meanwhile nothing spins. */
	erig_fail_errno = EAGAIN;
	erig_fail_sends = 3;
	quic_conn_close(l->conn, 1, "bye");
	quic_conn_close(m->conn, 1, "bye");
	assert_true(erig_until(&g, erig_closed, l, WAIT_MS));
	assert_true(erig_until(&g, erig_closed, m, WAIT_MS));
	assert_true(erig_until(&g, erig_closed, a.links[0], WAIT_MS));
	assert_true(erig_until(&g, erig_closed, a.links[1], WAIT_MS));
	assert_int_equal(a.links[0]->close.kind, QUIC_CLOSE_PEER_APP);
	assert_int_equal(a.links[1]->close.kind, QUIC_CLOSE_PEER_APP);
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

static unsigned offload_lines[2]; /* receive, segmentation */

static void count_lines(void *user, enum log_level level, const char *scope, const char *text)
{
	(void)user;
	(void)level;
	(void)scope;
	offload_lines[0] += strstr(text, "receive offload") != NULL;
	offload_lines[1] += strstr(text, "segmentation offload") != NULL;
}

/* A kernel that neither splits nor merges: all arrives, and each fact is said once, whatever the
 * number of sockets. It is once in a process: no test before this one may bring it up. */
static void test_offload_refused(void **state)
{
	struct erig_link *links[3];

	(void)state;
	erig_init(&g);
	g.log = (struct log){.level = LOG_LEVEL_INFO, .write = count_lines};
	erig_refuse_offload = true;
	memset(offload_lines, 0, sizeof(offload_lines));
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	erig_client(&g, &c);
	for (int i = 0; i < 3; i++) {
		links[i] = erig_dial(&c, &a.bound, 1000000);
		assert_true(erig_until(&g, erig_ready, links[i], WAIT_MS));
		quic_endpoint_hop(c.ep);
	}
	assert_true(erig_until(&g, erig_all_whole, &c, WAIT_MS));
	assert_false(TAILQ_FIRST(&a.ep->sockets)->gso);
	assert_int_equal(offload_lines[0], 1);
	assert_int_equal(offload_lines[1], 1);
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

/* A refusal of segmentation is remembered; one because of the size alone is not. */
static void test_segmentation(void **state)
{
	struct quic_socket *s;
	struct erig_link *l;

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	erig_client(&g, &c);
	l = erig_dial(&c, &a.bound, 1000);
	assert_true(erig_until(&g, erig_whole, l, WAIT_MS));
	s = TAILQ_FIRST(&c.ep->sockets);
	assert_true(s->gso);
	for (int round = 0; round < 2; round++) {
		static uint8_t data[4000];
		struct quic_batch batch = {
			.buf = data, .bytes = 4000, .segment = 1000, .local = s->local, .remote = a.bound};

		erig_fail_errno = round ? EINVAL : EMSGSIZE;
		erig_fail_sends = round ? 1 : 5;
		if (round == 0) {
			batch.segment = 2000;
			erig_fail_errno = EINVAL;
			erig_fail_sends = 3;
		}
		assert_int_equal(quic_socket_send(s, &batch), 0);
		erig_fail_sends = 0;
		assert_int_equal(s->gso, round == 0);
	}
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

static void two_workers(bool steer, bool hop)
{
	struct quic_endpoint_stats sa, sb;
	char text[ADDRESS_TEXT_SIZE];
	struct erig_end clients[10];

	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", true, 0, 2);
	erig_server(&g, &b, address_format(text, sizeof(text), &a.bound), true, 1, 2);
	a.other = &b;
	b.other = &a;
	if (steer)
		assert_int_equal(quic_endpoint_steer(a.fd, 2), 0);
	for (int i = 0; i < 10; i++) {
		erig_client(&g, &clients[i]);
		for (int k = 0; k < 3; k++)
			erig_dial(&clients[i], &a.bound, hop ? 3000000 : 100000);
	}
	if (hop) {
		for (int i = 0; i < 10; i++) {
			for (int k = 0; k < 3; k++)
				assert_true(erig_until(&g, erig_ready, clients[i].links[k], WAIT_MS));
		}
		erig_turns(&g, 20);
		for (int i = 0; i < 10; i++)
			quic_endpoint_hop(clients[i].ep);
	}
	for (int i = 0; i < 10; i++)
		assert_true(erig_until(&g, erig_all_whole, &clients[i], WAIT_MS));
	quic_endpoint_stats(a.ep, &sa);
	quic_endpoint_stats(b.ep, &sb);
	assert_int_equal(sa.connections + sb.connections, 30);
	assert_true(sa.connections > 0 && sb.connections > 0);
	assert_int_equal(sa.rx_dropped + sb.rx_dropped, 0);
	assert_int_equal(sa.resets_sent + sb.resets_sent, 0);
	if (steer)
		assert_int_equal(sa.forwarded + sb.forwarded, 0);
	else
		assert_true(sa.forwarded + sb.forwarded > 0);
	for (int i = 0; i < 10; i++)
		erig_free(&clients[i]);
	erig_free(&a);
	erig_free(&b);
	erig_done(&g);
}

static void test_workers(void **state)
{
	(void)state;
	two_workers(true, false);
	two_workers(true, true);
	two_workers(false, false);
	two_workers(false, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_wildcard),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_second_packet_first),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_nothing_listens),
		cmocka_unit_test(test_error_queue_does_not_spin),
		cmocka_unit_test(test_full_socket),
		cmocka_unit_test(test_offload_refused),
		cmocka_unit_test(test_segmentation),
		cmocka_unit_test(test_workers),
	};

	tls_global_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
