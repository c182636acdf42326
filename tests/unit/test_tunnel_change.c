/* SPDX-License-Identifier: MIT */
/*
 * Mappings that are removed and restarted while the client runs, on loopback with real sockets.
 * Each test also looks at what must not change: the other mapping, its connection and its flow.
 */
#include "tests/unit/tunnel_pair.h"

#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FAR_NS (3600 * CLOCK_NS_PER_S)

/* Rigs are static: a test that fails leaves its thread behind. One test at a time has `change`. */
struct change {
	/* what is asked for */
	uint64_t id;
	uint64_t patience_ns; /* a removal's deadline from now */
	/* what was answered */
	int err;
	bool port_free;
	struct tunnel_counters counters;
	/* under the rig's mutex */
	bool inside;                      /* a removal's call has not returned */
	unsigned removed, removed_inside; /* calls of on_removed */
	uint64_t removed_id;
	struct tunnel_counters final;
	bool drained;
};

static struct change change;

/* Errors of a connect that is refused, which app_connect takes for a failure of the test. */
static void assert_refused(const struct address *to)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, &to->sa, to->len), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

static void change_start(struct rig *r)
{
	memset(&change, 0, sizeof(change));
	pair_start(r);
}

/* ---- calls on the loop's thread ---- */

static void on_removed(void *user, uint64_t id, const struct tunnel_counters *final)
{
	struct rig *r = user;

	pthread_mutex_lock(&r->mutex);
	change.removed++;
	change.removed_inside += change.inside;
	change.removed_id = id;
	change.final = *final;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

static bool is_removed(struct rig *r)
{
	(void)r;
	return change.removed > 0;
}

static void remove_one(struct rig *r, void *arg)
{
	struct address listen = r->listen[change.id];

	(void)arg;
	change.inside = true;
	change.err = client_remove_mapping(r->client, change.id,
					   clock_after(loop_now(&r->loop), change.patience_ns),
					   on_removed, r);
	change.inside = false;
	change.port_free = listen.len == 0 || pair_can_bind(&listen);
}

static int remove_mapping(struct rig *r, uint64_t id, uint64_t patience_ns)
{
	change.id = id;
	change.patience_ns = patience_ns;
	rig_call(r, remove_one, NULL);
	return change.err;
}

static void wait_removed(struct rig *r, uint64_t id)
{
	rig_wait_for(r, is_removed);
	assert_int_equal(change.removed, 1);
	assert_int_equal(change.removed_inside, 0);
	assert_int_equal(change.removed_id, id);
	assert_int_equal(r->mappings[id].state, TUNNEL_STOPPED);
	assert_int_equal(r->mappings[id].error, 0);
	change.removed = 0;
	assert_int_equal(remove_mapping(r, id, 0), RSTUN_E_NOT_FOUND);
}

static void restart_one(struct rig *r, void *arg)
{
	(void)arg;
	change.err = client_restart_mapping(r->client, change.id);
}

static int restart_mapping(struct rig *r, uint64_t id)
{
	change.id = id;
	rig_call(r, restart_one, NULL);
	return change.err;
}

static void count_client(struct rig *r, void *arg)
{
	(void)arg;
	client_counters(r->client, &change.counters);
}

static struct tunnel_counters totals(struct rig *r)
{
	rig_call(r, count_client, NULL);
	return change.counters;
}

/* ---- counters in pieces ---- */

struct tally {
	bool server, more;
	size_t max;
	size_t shown;
	uint64_t last;
	struct tunnel_counters of_last, sum;
};

static void keep_tally(void *user, uint64_t id, const struct tunnel_counters *counters)
{
	struct tally *t = user;

	t->shown++;
	t->last = id;
	t->of_last = *counters;
}

static void tally_begin(struct rig *r, void *arg)
{
	(void)arg;
	client_tally_begin(r->client);
	server_tally_begin(r->server);
}

static void tally_next(struct rig *r, void *arg)
{
	struct tally *t = arg;

	t->shown = 0;
	if (t->server)
		t->more = server_tally_next(r->server, t->max, keep_tally, t, &t->sum);
	else
		t->more = client_tally_next(r->client, t->max, keep_tally, t, &t->sum);
}

static void check_piece(struct rig *r, bool server, size_t max, size_t shown, uint64_t last)
{
	struct tally t = {.server = server, .max = max};
	uint64_t in = server ? 6 : 4; /* each end counts what its own sockets read */

	rig_call(r, tally_next, &t);
	assert_int_equal(t.shown, shown);
	assert_int_equal(t.last, last);
	assert_int_equal(t.of_last.payload_in_bytes, shown * in);
	assert_int_equal(t.more, max == 1);
	if (!t.more) {
		assert_int_equal(t.sum.payload_in_bytes, 3 * in);
		assert_int_equal(t.sum.payload_out_bytes, 3 * (10 - in));
		assert_int_equal(t.sum.total_conns, 3);
	}
}

static bool three_flows_ended(struct rig *r)
{
	return r->mappings[1].flows + r->mappings[2].flows + r->mappings[3].flows == 3;
}

static bool two_ended(struct rig *r)
{
	return r->ended == 2;
}

/* Between two pieces one that was shown goes, and one that was about to be: the sum has both. */
static void test_tally(void **state)
{
	static struct rig r;

	(void)state;
	change_start(&r);
	for (unsigned i = 1; i <= 3; i++) {
		struct pair p;

		pair_add(&r, i, MAPPING_TCP);
		p = pair_open(&r, i);
		pair_close(&p);
	}
	rig_wait_for(&r, three_flows_ended);
	rig_call(&r, tally_begin, NULL);
	check_piece(&r, false, 1, 1, 1);
	check_piece(&r, true, 1, 1, 1);
	assert_int_equal(remove_mapping(&r, 1, 0), 0);
	wait_removed(&r, 1);
	assert_int_equal(remove_mapping(&r, 2, 0), 0);
	wait_removed(&r, 2);
	rig_wait_for(&r, two_ended);
	check_piece(&r, false, SIZE_MAX, 1, 3);
	check_piece(&r, true, SIZE_MAX, 1, 3);
	check_piece(&r, false, SIZE_MAX, 0, 0);
	check_piece(&r, true, SIZE_MAX, 0, 0);
	rig_call(&r, tally_begin, NULL);
	check_piece(&r, false, SIZE_MAX, 1, 3);
	check_piece(&r, true, SIZE_MAX, 1, 3);
	pair_stop(&r);
}

/* ---- removal ---- */

/* Nothing is in its way: it is gone at once, and nobody else notices. */
static void test_remove(void **state)
{
	static struct rig r;
	struct tunnel_counters before, after;
	struct pair other, gone;

	(void)state;
	change_start(&r);
	pair_add(&r, 1, MAPPING_TCP);
	pair_add(&r, 2, MAPPING_TCP);
	pair_add(&r, 3, MAPPING_UDP);
	other = pair_open(&r, 1);
	gone = pair_open(&r, 2);
	pair_close(&gone);
	before = totals(&r);
	assert_int_equal(remove_mapping(&r, 2, FAR_NS), 0);
	assert_true(change.port_free);
	wait_removed(&r, 2);
	assert_int_equal(change.final.payload_in_bytes, 4);
	assert_int_equal(change.final.payload_out_bytes, 6);
	assert_int_equal(change.final.total_conns, 1);
	assert_int_equal(change.final.active_conns, 0);
	assert_true(change.final.tx_bytes > 0);
	assert_int_equal(remove_mapping(&r, 3, FAR_NS), 0);
	assert_true(change.port_free);
	wait_removed(&r, 3);
	pair_check(&other);
	after = totals(&r);
	assert_true(after.tx_bytes >= before.tx_bytes && after.rx_bytes >= before.rx_bytes);
	assert_true(after.sent_packets >= before.sent_packets);
	assert_int_equal(after.payload_in_bytes, before.payload_in_bytes + 4);
	assert_int_equal(after.total_conns, before.total_conns);
	assert_int_equal(after.active_conns, 1);
	assert_int_equal(r.mappings[1].tunnels, 1);
	pair_close(&other);
	pair_stop(&r);
}

static bool is_lost(struct rig *r)
{
	return r->mappings[1].state == TUNNEL_RECONNECTING;
}

static void add_and_remove(struct rig *r, void *arg)
{
	struct mapping mapping;
	char error[MAPPING_ERROR_SIZE];

	assert_int_equal(mapping_parse(&mapping, MAPPING_TCP, "IN^127.0.0.1:9^0", 16, error), 0);
	assert_int_equal(client_add_mapping(r->client, 2, &mapping, -1), 0);
	remove_one(r, arg);
}

/* One that waits, one that has not begun, one in its handshake with a server that is silent. */
static void test_remove_unconnected(void **state)
{
	static struct rig r;
	struct address silent;
	int fd = app_listen(MAPPING_UDP, &silent);

	(void)state;
	memset(&change, 0, sizeof(change));
	rig_init(&r);
	rig_reserve(&r);
	rig_start_client(&r);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^127.0.0.1:9");
	rig_wait_for(&r, is_lost);
	assert_int_equal(remove_mapping(&r, 1, FAR_NS), 0);
	assert_true(change.port_free);
	wait_removed(&r, 1);
	change.id = 2;
	rig_call(&r, add_and_remove, NULL);
	assert_int_equal(change.err, 0);
	wait_removed(&r, 2);
	rig_stop_client(&r);
	r.servers[0].address = silent;
	rig_start_client(&r);
	rig_add(&r, 3, MAPPING_TCP, "OUT^127.0.0.1:0^127.0.0.1:9");
	rig_wait(&r, 3, TUNNEL_CONNECTING);
	assert_int_equal(remove_mapping(&r, 3, FAR_NS), 0);
	assert_true(change.port_free);
	wait_removed(&r, 3);
	rig_done(&r);
	close(fd);
}

/* A flow goes on to its end, new ones are refused; the last end is the mapping's. */
static void test_remove_with_flow(void **state)
{
	static struct rig r;
	struct pair p;

	(void)state;
	change_start(&r);
	pair_add(&r, 1, MAPPING_TCP);
	p = pair_open(&r, 1);
	assert_int_equal(remove_mapping(&r, 1, FAR_NS), 0);
	assert_true(change.port_free);
	assert_refused(&r.listen[1]);
	pair_check(&p);
	assert_int_equal(restart_mapping(&r, 1), RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(change.removed, 0);
	pair_close(&p);
	wait_removed(&r, 1);
	assert_int_equal(change.final.payload_in_bytes, 8);
	assert_int_equal(r.mappings[1].flows, 1);
	assert_int_equal(r.mappings[1].flow_error, 0);
	pair_stop(&r);
}

/* At its deadline, at once, and at once after all. */
static void test_remove_deadline(void **state)
{
	static struct rig r;
	struct pair p, other;

	(void)state;
	change_start(&r);
	for (uint64_t id = 1; id <= 4; id++)
		pair_add(&r, id, MAPPING_TCP);
	other = pair_open(&r, 4);
	p = pair_open(&r, 1);
	assert_int_equal(remove_mapping(&r, 1, 1), 0);
	wait_removed(&r, 1);
	app_expect_reset(p.app);
	app_expect_reset(p.far);
	assert_int_equal(change.final.total_conns, 1);
	assert_int_equal(change.final.active_conns, 0);

	p = pair_open(&r, 2);
	assert_int_equal(remove_mapping(&r, 2, 0), 0);
	assert_true(change.port_free);
	wait_removed(&r, 2);
	app_expect_reset(p.app);
	app_expect_reset(p.far);

	p = pair_open(&r, 3);
	assert_int_equal(remove_mapping(&r, 3, FAR_NS), 0);
	assert_int_equal(remove_mapping(&r, 3, 2 * FAR_NS), 0);
	pair_check(&p);
	assert_int_equal(remove_mapping(&r, 3, 1), 0);
	wait_removed(&r, 3);
	app_expect_reset(p.app);
	app_expect_reset(p.far);
	pair_check(&other);
	pair_close(&other);
	pair_stop(&r);
}

static void on_drained(void *user)
{
	struct rig *r = user;

	pthread_mutex_lock(&r->mutex);
	change.drained = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

static bool is_drained(struct rig *r)
{
	(void)r;
	return change.drained;
}

static void drain(struct rig *r, void *arg)
{
	struct mapping mapping = {.mode = MAPPING_IN};

	client_drain(r->client, clock_after(loop_now(&r->loop), *(uint64_t *)arg), on_drained, r);
	change.err = client_add_mapping(r->client, 7, &mapping, -1);
}

/* A drain comes upon a removal, a removal upon a drain; the end of the client calls nobody. */
static void test_remove_and_drain(void **state)
{
	static struct rig r;
	uint64_t near_ns = 1, far_ns = FAR_NS;
	struct pair p;

	(void)state;
	change_start(&r);
	pair_add(&r, 1, MAPPING_TCP);
	p = pair_open(&r, 1);
	assert_int_equal(remove_mapping(&r, 1, FAR_NS), 0);
	rig_call(&r, drain, &near_ns);
	assert_int_equal(change.err, RSTUN_E_SHUTTING_DOWN);
	rig_wait_for(&r, is_drained);
	wait_removed(&r, 1);
	app_expect_reset(p.app);
	app_expect_reset(p.far);
	rig_stop_client(&r);

	change.drained = false;
	rig_start_client(&r);
	pair_add(&r, 2, MAPPING_TCP);
	p = pair_open(&r, 2);
	rig_call(&r, drain, &far_ns);
	assert_int_equal(restart_mapping(&r, 2), RSTUN_E_SHUTTING_DOWN);
	assert_int_equal(remove_mapping(&r, 2, FAR_NS), 0);
	pair_check(&p);
	pair_close(&p);
	wait_removed(&r, 2);
	rig_wait_for(&r, is_drained);
	rig_stop_client(&r);

	rig_start_client(&r);
	pair_add(&r, 3, MAPPING_TCP);
	p = pair_open(&r, 3);
	assert_int_equal(remove_mapping(&r, 3, FAR_NS), 0);
	pair_stop(&r);
	app_expect_reset(p.app);
	app_expect_reset(p.far);
	assert_int_equal(change.removed, 0);
}

static void add_twice(struct rig *r, void *arg)
{
	struct mapping mapping = {.mode = MAPPING_OUT};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)arg;
	change.err = client_add_mapping(r->client, 1, &mapping, fd);
	assert_int_equal(close(fd), -1); /* it was taken over */
}

static void test_add_twice(void **state)
{
	static struct rig r;

	(void)state;
	change_start(&r);
	pair_add(&r, 1, MAPPING_TCP);
	rig_call(&r, add_twice, NULL);
	assert_int_equal(change.err, RSTUN_E_ALREADY_EXISTS);
	pair_stop(&r);
}

/* ---- restart ---- */

static bool is_up_again(struct rig *r)
{
	return r->mappings[1].tunnels == 2;
}

static void test_restart(void **state)
{
	static struct rig r;
	struct pair p, other;
	unsigned changes;

	(void)state;
	change_start(&r);
	pair_add(&r, 1, MAPPING_TCP);
	pair_add(&r, 2, MAPPING_TCP);
	other = pair_open(&r, 2);
	p = pair_open(&r, 1);
	changes = r.mappings[1].changes;
	assert_int_equal(restart_mapping(&r, 9), RSTUN_E_NOT_FOUND);
	assert_int_equal(restart_mapping(&r, 1), 0);
	app_expect_reset(p.app);
	app_expect_reset(p.far);
	/* Accepted by the same listener, whatever the state is just now. */
	p = pair_open(&r, 1);
	rig_wait_for(&r, is_up_again);
	assert_int_equal(r.mappings[1].changes, changes + 3); /* connecting, connected, tunneling */
	pair_close(&p);
	pair_check(&other);
	assert_int_equal(r.mappings[2].tunnels, 1);
	/* Removed before it has come back. */
	assert_int_equal(restart_mapping(&r, 1), 0);
	assert_int_equal(remove_mapping(&r, 1, FAR_NS), 0);
	assert_true(change.port_free);
	wait_removed(&r, 1);
	pair_close(&other);
	pair_stop(&r);
}

static bool is_held(struct rig *r)
{
	return r->auth_held && r->mappings[1].state == TUNNEL_FAILED;
}

static bool is_not_held(struct rig *r)
{
	return !r->auth_held;
}

static void set_password(struct rig *r, void *arg)
{
	free(r->client_config.password);
	r->client_config.password = strdup(arg);
}

/* A slow retry is cut short, for the one that waits for another's attempt, too. */
static void test_restart_failed(void **state)
{
	static struct rig r;
	char wrong[] = "wrong", right[] = "secret";

	(void)state;
	change_start(&r);
	rig_call(&r, set_password, wrong);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	rig_add(&r, 2, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	rig_wait_for(&r, is_held);
	rig_call(&r, set_password, right);
	assert_int_equal(restart_mapping(&r, 2), 0);
	rig_wait(&r, 2, TUNNEL_TUNNELING);
	rig_wait(&r, 1, TUNNEL_TUNNELING);
	rig_wait_for(&r, is_not_held);
	pair_stop(&r);
}

static bool is_first_up(struct rig *r)
{
	return r->logins > 0 && r->mappings[1].tunnels > 0;
}

/* The mapping that tries for all is removed: another does in its place, and when there is none
 * other threads are told that they may. */
static void test_remove_failed(void **state)
{
	static struct rig r;
	char wrong[] = "wrong", right[] = "secret";

	(void)state;
	change_start(&r);
	rig_call(&r, set_password, wrong);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	rig_wait_for(&r, is_held);
	rig_add(&r, 2, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	assert_int_equal(remove_mapping(&r, 1, FAR_NS), 0);
	wait_removed(&r, 1);
	assert_true(r.auth_held);
	assert_int_equal(remove_mapping(&r, 2, FAR_NS), 0);
	wait_removed(&r, 2);
	rig_wait_for(&r, is_not_held);
	assert_int_equal(r.refused, 1);
	rig_call(&r, set_password, right);
	rig_add(&r, 1, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
	rig_wait_for(&r, is_first_up);
	pair_stop(&r);
}

static void nothing(struct rig *r, void *arg)
{
	(void)r;
	(void)arg;
}

static bool is_second_up(struct rig *r)
{
	return r->mappings[2].state == TUNNEL_TUNNELING;
}

/* One turn of the loop later each time: in every step from the first packet to the tunnel. */
static void test_any_moment(void **state)
{
	static struct rig r;
	struct pair other;

	(void)state;
	change_start(&r);
	pair_add(&r, 1, MAPPING_TCP);
	other = pair_open(&r, 1);
	for (int turns = 0; turns < 24; turns++) {
		struct pair p;

		rig_add(&r, 2, MAPPING_TCP, "OUT^127.0.0.1:0^ANY");
		for (int i = 0; i < turns; i++)
			rig_call(&r, nothing, NULL);
		assert_int_equal(restart_mapping(&r, 2), 0);
		for (int i = 0; i < turns; i++)
			rig_call(&r, nothing, NULL);
		assert_int_equal(restart_mapping(&r, 2), 0);
		if (turns % 2 == 0) {
			p = pair_open(&r, 2);
			pair_close(&p);
			rig_wait_for(&r, is_second_up);
		}
		assert_int_equal(remove_mapping(&r, 2, FAR_NS), 0);
		assert_true(change.port_free);
		wait_removed(&r, 2);
	}
	pair_check(&other);
	pair_close(&other);
	assert_int_equal(r.mappings[1].tunnels, 1);
	pair_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tally),
		cmocka_unit_test(test_remove),
		cmocka_unit_test(test_remove_unconnected),
		cmocka_unit_test(test_remove_with_flow),
		cmocka_unit_test(test_remove_deadline),
		cmocka_unit_test(test_remove_and_drain),
		cmocka_unit_test(test_add_twice),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_restart_failed),
		cmocka_unit_test(test_remove_failed),
		cmocka_unit_test(test_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
