/* SPDX-License-Identifier: MIT */
/*
 * Endpoints: how connections go on and end. Stateless resets after a restart, no loop of resets, the closing
 * period, hops under load, what a free and a dial inside on_close do, many idle connections.
 */
#include "endpoint_rig.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "tls/credentials.h"
#include "tls/session.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_MS 20000

static struct erig g;
static struct erig_end a, b, c;

/* What kill -9 leaves: the socket is gone and nobody said goodbye. */
static void kill_endpoint(struct erig_end *e)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(null >= 0);
	erig_deafen(e);
	assert_true(dup2(null, e->fd) >= 0);
	close(null);
	erig_free(e);
}

static void test_restart(void **state)
{
	char text[ADDRESS_TEXT_SIZE];
	struct quic_endpoint_stats stats;
	struct erig_link *l[3];

	(void)state;
	/* Also after hops: then it is the token of another connection ID that counts. */
	for (int hops = 0; hops < 2; hops++) {
		uint64_t began;

		erig_init(&g);
		g.config.keep_alive_ns = 100 * CLOCK_NS_PER_MS;
		erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
		erig_client(&g, &c);
		for (int i = 0; i < 3; i++) {
			l[i] = erig_dial(&c, &a.bound, 1000);
			assert_true(erig_until(&g, erig_whole, l[i], WAIT_MS));
		}
		erig_turns(&g, 20);
		if (hops) {
			quic_endpoint_hop(c.ep);
			erig_turns(&g, 200);
		}
		address_format(text, sizeof(text), &a.bound);
		kill_endpoint(&a);
		erig_server(&g, &b, text, false, 0, 1);
		began = clock_now_ns();
		for (int i = 0; i < 3; i++) {
			assert_true(erig_until(&g, erig_closed, l[i], WAIT_MS));
			assert_int_equal(l[i]->close.kind, QUIC_CLOSE_STATELESS_RESET);
			assert_int_equal(l[i]->close.error, RSTUN_E_RESET);
		}
		assert_true(clock_now_ns() - began < 3 * CLOCK_NS_PER_S);
		quic_endpoint_stats(b.ep, &stats);
		assert_true(stats.resets_sent >= 3);
		erig_free(&c);
		erig_free(&b);
		erig_done(&g);
	}
}

static void test_resets_are_bounded(void **state)
{
	static uint8_t buf[1500], answer[1500];
	struct quic_endpoint_stats stats, other;
	unsigned got = 0;

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	for (size_t n = 17; n < 80; n++) {
		size_t bytes;

		random_bytes(buf, n);
		buf[0] = 0x40;
		erig_raw_send(&g, &a.bound, buf, n);
		bytes = erig_raw_receive(&g, answer, sizeof(answer), n < 22 ? 10 : WAIT_MS);
		assert_true(n < 22 ? bytes == 0 : bytes >= 21 && bytes < n);
		got += bytes > 0;
	}
	for (int i = 0; i < 1000; i++) {
		random_bytes(buf, 100);
		buf[0] = 0x40;
		erig_raw_send(&g, &a.bound, buf, 100);
		if (i % 50 == 0)
			erig_turns(&g, 1);
	}
	erig_turns(&g, 20);
	quic_endpoint_stats(a.ep, &stats);
	assert_true(stats.resets_sent <= 2 * ENDPOINT_RESETS_PER_S);
	assert_true(stats.resets_sent >= got);

	/* Two servers that do not know each other's packets fall silent. */
	erig_server(&g, &b, "127.0.0.1:0", false, 0, 1);
	quic_endpoint_stats(a.ep, &stats);
	a.ep->answer_second_ns = 0;
	random_bytes(buf, 1000);
	buf[0] = 0x40;
	quic_endpoint_inject(a.ep, &a.bound, &b.bound, buf, 1000);
	erig_turns(&g, 100);
	quic_endpoint_stats(b.ep, &other);
	assert_true(other.resets_sent > 0 && other.resets_sent < 30);
	erig_free(&a);
	erig_free(&b);
	erig_done(&g);
}

static bool no_routes(void *ep)
{
	return TAILQ_EMPTY(&((struct quic_endpoint *)ep)->routes);
}

static void test_closing_period(void **state)
{
	struct quic_endpoint_stats before, after;
	struct erig_link *l;
	struct address from;
	ngtcp2_cid id;
	uint8_t buf[200];

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	erig_client(&g, &c);
	l = erig_dial(&c, &a.bound, 1000);
	assert_true(erig_until(&g, erig_whole, l, WAIT_MS));
	erig_turns(&g, 50);
	id = *ngtcp2_conn_get_dcid2(l->conn->ng);
	from = *quic_conn_remote(a.links[0]->conn);
	erig_deafen(&c);
	quic_conn_close(a.links[0]->conn, 1, "done");
	assert_true(erig_until(&g, erig_closed, a.links[0], WAIT_MS));
	quic_endpoint_stats(a.ep, &before);
	random_bytes(buf, sizeof(buf));
	buf[0] = 0x40;
	memcpy(buf + 1, id.data, id.datalen);
	for (int i = 0; i < 16; i++)
		quic_endpoint_inject(a.ep, &a.bound, &from, buf, 100);
	quic_endpoint_stats(a.ep, &after);
	assert_int_equal(after.tx_datagrams - before.tx_datagrams, 5); /* at 1, 2, 4, 8, 16 */
	/* Never more than three times what came. */
	before = after;
	for (int i = 0; i < 1000; i++)
		quic_endpoint_inject(a.ep, &a.bound, &from, buf, 21);
	quic_endpoint_stats(a.ep, &after);
	assert_true(after.tx_bytes - before.tx_bytes <= 3 * (after.rx_bytes - before.rx_bytes));
	assert_int_equal(quic_endpoint_connections(a.ep), 0);
	assert_true(erig_until(&g, no_routes, a.ep, WAIT_MS));
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

static size_t sockets_of(struct erig_end *e)
{
	struct quic_socket *s;
	size_t n = 0;

	TAILQ_FOREACH(s, &e->ep->sockets, link)
		n++;
	return n;
}

static bool one_socket(void *end)
{
	return sockets_of(end) == 1;
}

static void test_hop(void **state)
{
	size_t most = 0;

	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "0.0.0.0:0", false, 0, 1);
	erig_client(&g, &c);
	assert_int_equal(address_parse_ip(&b.bound, "127.0.0.1", 9, address_port(&a.bound)), 0);
	for (int i = 0; i < 3; i++)
		erig_dial(&c, &b.bound, 30000000);
	for (int i = 0; i < 3; i++)
		assert_true(erig_until(&g, erig_ready, c.links[i], WAIT_MS));
	for (int i = 0; i < 12; i++) {
		erig_turns(&g, 30);
		quic_endpoint_hop(c.ep);
		if (sockets_of(&c) > most)
			most = sockets_of(&c);
	}
	assert_in_range(most, 2, ENDPOINT_SOCKETS);
	assert_true(erig_until(&g, erig_all_whole, &c, WAIT_MS));
	/* Those left behind go, also when connections keep ending meanwhile. */
	for (int i = 0; i < 30 && !one_socket(&c); i++) {
		struct erig_link *l = erig_dial(&c, &b.bound, 0);

		assert_true(erig_until(&g, erig_ready, l, WAIT_MS));
		quic_conn_close(l->conn, 1, "short");
		assert_true(erig_until(&g, erig_closed, l, WAIT_MS));
		erig_until(&g, one_socket, &c, 250);
	}
	assert_true(one_socket(&c));
	for (int i = 0; i < 3; i++)
		assert_non_null(c.links[i]->conn);
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

/* A user that dials again whenever a connection ends; also while the endpoint is being freed. */
static unsigned dialled;

static void dial_again(struct quic_conn *conn, void *user, const struct quic_close *why);

static const struct quic_conn_ops again_ops = {.on_close = dial_again};

static void dial_again(struct quic_conn *conn, void *user, const struct quic_close *why)
{
	struct tls_session_config config = {.credentials = g.client_credentials, .sni = "localhost"};
	struct quic_connect connect = {.remote = a.bound, .ops = &again_ops, .user = user};
	struct quic_conn *made;

	(void)conn;
	(void)why;
	assert_true(++dialled < 100);
	assert_int_equal(tls_session_new_client(&connect.session, &config), 0);
	if (quic_endpoint_connect(c.ep, &connect, &made) != 0)
		tls_session_free(connect.session);
}

static void test_dial_in_on_close(void **state)
{
	(void)state;
	erig_init(&g);
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	quic_endpoint_stop_accepting(a.ep);
	erig_client(&g, &c);
	dialled = 0;
	dial_again(NULL, NULL, NULL);
	for (int i = 0; i < 1000 && dialled < 5; i++)
		erig_turns(&g, 5);
	assert_true(dialled >= 5);
	erig_free(&c);
	erig_free(&a);
	erig_done(&g);
}

/* Many that are idle cost nothing; when all end at once, each hears of it once. */
static void test_many(void **state)
{
	(void)state;
	erig_init(&g);
	g.config.keep_alive_ns = 0;
	erig_server(&g, &a, "127.0.0.1:0", false, 0, 1);
	erig_client(&g, &c);
	for (int i = 0; i < 150; i++)
		erig_dial(&c, &a.bound, 100);
	assert_true(erig_until(&g, erig_all_whole, &c, WAIT_MS));
	/* Path MTU discovery and the first acknowledgements end by themselves. */
	erig_turns(&g, 1500);
	assert_true(erig_count_turns(&g, 500) < 200);
	erig_free(&c);
	for (size_t i = 0; i < a.count; i++)
		assert_true(erig_until(&g, erig_closed, a.links[i], WAIT_MS));
	assert_true(erig_until(&g, no_routes, a.ep, WAIT_MS));
	erig_free(&a);
	erig_done(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_resets_are_bounded),
		cmocka_unit_test(test_closing_period),
		cmocka_unit_test(test_hop),
		cmocka_unit_test(test_dial_in_on_close),
		cmocka_unit_test(test_many),
	};

	tls_global_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
