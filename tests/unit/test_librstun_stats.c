/* SPDX-License-Identifier: MIT */
/*
 * What librstun tells of traffic (program.h): statistics, flows that go on and that ended, and a
 * mapping that is restarted.
 */
#include "tests/unit/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct ended {
	unsigned count;
	struct rstun_flow flow; /* the last one, without its texts */
	char source[64], target[64];
	bool frees;
	bool freed;
};

static struct ended ended;

static void keep(void *user, const struct rstun_flow *flow)
{
	struct ended *e = user;

	e->count++;
	e->flow = *flow;
	snprintf(e->source, sizeof(e->source), "%s", flow->source);
	snprintf(e->target, sizeof(e->target), "%s", flow->target);
}

static void on_flow(struct rstun_client *client, void *user, const struct rstun_flow *flow)
{
	struct program *p = user;

	assert_ptr_equal(client, p->client);
	assert_false(ended.freed);
	keep(&ended, flow);
	ended.freed = ended.frees;
	if (ended.frees)
		program_free(p, PROGRAM_FREE_CONTEXT);
	assert_string_equal(flow->target, ended.target); /* still good */
}

static bool flow_has_ended(struct program *p)
{
	(void)p;
	return ended.count > 0;
}

static void start(struct program *p)
{
	memset(&ended, 0, sizeof(ended));
	program_on_flow = on_flow;
	program_start(p, "secret");
	program_on_flow = NULL;
}

static uint64_t add(struct program *p, struct address *listen)
{
	uint64_t id;

	assert_int_equal(rstun_client_add_mapping(p->client, "OUT^0^ANY", RSTUN_TCP, &id, NULL, 0),
			 0);
	program_run_until(program_is_up, p);
	assert_int_equal(p->last.proto, RSTUN_TCP);
	assert_int_equal(p->last.mode, RSTUN_OUT);
	assert_int_equal(address_parse(listen, p->bound, strlen(p->bound)), 0);
	return id;
}

static void test_stats(void **state)
{
	struct rstun_stats stats = {.size = sizeof(stats)};
	struct {
		size_t size;
		uint64_t mapping, behind;
	} small = {.size = sizeof(size_t) + sizeof(uint64_t), .behind = 42};
	struct ended seen = {.count = 0};
	char source[ADDRESS_TEXT_SIZE];
	struct address listen, local;
	struct program p;
	uint64_t id;
	int app, far;

	(void)state;
	start(&p);
	assert_int_equal(rstun_client_stats(p.client, 1, &stats), RSTUN_E_NOT_FOUND);
	assert_int_equal(rstun_client_visit_flows(p.client, 1, keep, &seen), RSTUN_E_NOT_FOUND);
	id = add(&p, &listen);
	app = app_connect(MAPPING_TCP, &listen);
	app_send(app, "ping", 4);
	far = program_far_accept();
	program_far_expect(far, "ping");

	assert_int_equal(rstun_client_stats(p.client, id, &stats), 0);
	assert_int_equal(stats.size, sizeof(stats));
	assert_int_equal(stats.mapping, id);
	assert_int_equal(stats.mode, RSTUN_OUT);
	assert_int_equal(stats.active_conns, 1);
	assert_int_equal(stats.total_conns, 1);
	assert_int_equal(stats.in_bytes, 4);
	assert_int_equal(stats.out_bytes, 0);
	assert_true(stats.tx_dgrams > 0 && stats.tx_bytes > stats.tx_dgrams);
	assert_true(stats.rx_dgrams > 0 && stats.rx_bytes > stats.rx_dgrams);
	assert_true(stats.cwnd_bytes > 0 && stats.current_mtu >= 1200);
	assert_int_equal(rstun_client_stats(p.client, 0, &stats), 0);
	assert_int_equal(stats.mapping, 0);
	assert_int_equal(stats.in_bytes, 4);
	/* A program of another version. */
	assert_int_equal(rstun_client_stats(p.client, id, (struct rstun_stats *)&small), 0);
	assert_int_equal(small.mapping, id);
	assert_int_equal(small.behind, 42);
	stats.size = 0;
	assert_int_equal(rstun_client_stats(p.client, id, &stats), RSTUN_E_MALFORMED);

	assert_int_equal(rstun_client_visit_flows(p.client, 0, keep, &seen), 0);
	assert_int_equal(rstun_client_visit_flows(p.client, id, keep, &seen), 0);
	assert_int_equal(seen.count, 2);
	assert_int_equal(seen.flow.mapping, id);
	assert_int_equal(seen.flow.flow, 1);
	assert_int_equal(seen.flow.in_bytes, 4);
	assert_int_equal(address_of_socket(&local, app), 0);
	assert_string_equal(seen.source, address_format(source, sizeof(source), &local));

	close(far);
	close(app);
	program_run_until(flow_has_ended, &p);
	assert_int_equal(ended.flow.mapping, id);
	assert_int_equal(ended.flow.flow, 1);
	assert_int_equal(ended.flow.in_bytes, 4);
	assert_int_equal(ended.flow.error, 0);
	assert_string_equal(ended.source, source);
	/* What was removed still counts for the client. */
	assert_int_equal(rstun_client_remove_mapping(p.client, id, 0), 0);
	while (p.changes[RSTUN_STATE_STOPPED] == 0)
		event_base_loop(program_base, EVLOOP_ONCE);
	stats.size = sizeof(stats);
	assert_int_equal(rstun_client_stats(p.client, id, &stats), RSTUN_E_NOT_FOUND);
	assert_int_equal(rstun_client_stats(p.client, 0, &stats), 0);
	assert_int_equal(stats.in_bytes, 4);
	assert_int_equal(stats.active_conns, 0);
	program_end(&p);
}

/* A channel's flow is of mapping 0, with its target. */
static void test_channel(void **state)
{
	struct ended seen = {.count = 0};
	char target[ADDRESS_TEXT_SIZE];
	struct program p;
	int far;

	(void)state;
	start(&p);
	address_format(target, sizeof(target), &program_rig.server_config.tcp_upstream.address);
	program_open(&p, target);
	program_run_until(program_is_open, &p);
	assert_int_equal(rstun_channel_write(p.channel, "hello", 5), 5);
	far = program_far_accept();
	program_far_expect(far, "hello");
	assert_int_equal(rstun_client_visit_flows(p.client, 0, keep, &seen), 0);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.flow.mapping, 0);
	assert_string_equal(seen.source, "");
	assert_string_equal(seen.target, target);
	assert_int_equal(rstun_client_kill_flow(p.client, 0, seen.flow.flow), RSTUN_E_NOT_FOUND);
	rstun_channel_abort(p.channel);
	assert_int_equal(ended.count, 0); /* not from inside */
	program_run_until(flow_has_ended, &p);
	assert_int_equal(ended.flow.mapping, 0);
	assert_int_equal(ended.flow.in_bytes, 5);
	assert_int_equal(ended.flow.error, RSTUN_E_RESET);
	assert_string_equal(ended.target, target);
	program_far_expect_reset(far);
	program_end(&p);
}

static void test_kill(void **state)
{
	struct address listen;
	struct program p;
	uint64_t id;
	int app[2], far[2];

	(void)state;
	start(&p);
	assert_int_equal(rstun_client_kill_flow(p.client, 1, 0), RSTUN_E_NOT_FOUND);
	id = add(&p, &listen);
	for (int i = 0; i < 2; i++) {
		app[i] = app_connect(MAPPING_TCP, &listen);
		app_send(app[i], "x", 1);
		far[i] = program_far_accept();
		program_far_expect(far[i], "x");
	}
	assert_int_equal(rstun_client_kill_flow(p.client, id, 3), RSTUN_E_NOT_FOUND);
	assert_int_equal(rstun_client_kill_flow(p.client, id, 1), 0);
	program_run_until(flow_has_ended, &p);
	assert_int_equal(ended.flow.flow, 1);
	assert_int_equal(ended.flow.error, RSTUN_E_RESET);
	program_far_expect_reset(app[0]);
	program_far_expect_reset(far[0]);
	app_send(app[1], "y", 1);
	program_far_expect(far[1], "y");
	assert_int_equal(rstun_client_kill_flow(p.client, id, 0), 0);
	assert_int_equal(rstun_client_kill_flow(p.client, id, 0), 0); /* nothing is left */
	program_far_expect_reset(app[1]);
	program_far_expect_reset(far[1]);
	program_end(&p);
}

static bool is_freed(struct program *p)
{
	(void)p;
	return ended.freed;
}

/* Everything may be freed in the callback; what else was to be told is not. */
static void test_free_in_flow(void **state)
{
	struct address listen;
	struct program p;
	int app[2];

	(void)state;
	start(&p);
	ended.frees = true;
	add(&p, &listen);
	for (int i = 0; i < 2; i++) {
		app[i] = app_connect(MAPPING_TCP, &listen);
		close(program_far_accept());
	}
	rstun_client_kill_flow(p.client, 1, 0);
	program_run_until(is_freed, &p);
	program_end(&p);
	assert_int_equal(ended.count, 1);
	close(app[0]);
	close(app[1]);
}

static bool is_up_again(struct program *p)
{
	return p->changes[RSTUN_STATE_TUNNELING] > 1;
}

static void test_restart(void **state)
{
	struct address listen;
	struct program p;
	uint64_t id;
	int app, far;

	(void)state;
	start(&p);
	assert_int_equal(rstun_client_restart_mapping(p.client, 0), RSTUN_E_NOT_FOUND);
	assert_int_equal(rstun_client_restart_mapping(p.client, 1), RSTUN_E_NOT_FOUND);
	id = add(&p, &listen);
	app = app_connect(MAPPING_TCP, &listen);
	app_send(app, "x", 1);
	far = program_far_accept();
	program_far_expect(far, "x");
	assert_int_equal(rstun_client_restart_mapping(p.client, id), 0);
	assert_int_equal(p.changes[RSTUN_STATE_TUNNELING], 1); /* not from inside */
	program_far_expect_reset(app);
	program_far_expect_reset(far);
	program_run_until(is_up_again, &p);
	assert_int_equal(p.changes[RSTUN_STATE_RECONNECTING], 0); /* no failure */
	app = app_connect(MAPPING_TCP, &listen);
	far = program_far_accept();
	close(app);
	close(far);
	rstun_client_stop(p.client, 0);
	assert_int_equal(rstun_client_restart_mapping(p.client, id), RSTUN_E_SHUTTING_DOWN);
	program_end(&p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, program_setup, program_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stats),
		TEST(test_channel),
		TEST(test_kill),
		TEST(test_free_in_flow),
		TEST(test_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
