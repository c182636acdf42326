/* SPDX-License-Identifier: MIT */
/*
 * Flows that are listed and ended, and sessions that are closed, while client and server run, on
 * loopback with real sockets. Each test also looks at what must not change: the other flows and the
 * tunnels.
 */
#include "tests/unit/tunnel_pair.h"

#include "base/clock.h"
#include "base/error.h"
#include "tunnel/flows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FLOWS_MAX 8

/* Rigs are static: a test that fails leaves its thread behind. One test at a time has `look`. */
struct look {
	/* what is asked for */
	uint64_t id, flow;
	/* what was answered */
	int err;
	bool port_free;
	size_t killed;
	struct tunnel_counters counters, sum;
	size_t count; /* of flows, or of sessions */
	struct flow_info flows[FLOWS_MAX];
	struct address sources[FLOWS_MAX];
	char targets[FLOWS_MAX][80];
};

static struct look look;

/* ---- calls on the loop's thread ---- */

static void keep_flow(void *user, const struct flow_info *flow)
{
	size_t i = look.count++;

	(void)user;
	assert_in_range(look.count, 1, FLOWS_MAX);
	look.flows[i] = *flow;
	look.sources[i] = flow->source != NULL ? *flow->source : (struct address){0};
	snprintf(look.targets[i], sizeof(look.targets[i]), "%s", flow->target);
}

/* As seen five seconds later. */
static void list_flows(struct rig *r, void *arg)
{
	const bool *server = arg;

	r->loop.now_ns += 5 * CLOCK_NS_PER_S;
	look.count = 0;
	if (*server)
		server_visit_flows(r->server, look.id, keep_flow, NULL);
	else
		client_visit_flows(r->client, look.id, keep_flow, NULL);
	r->loop.now_ns -= 5 * CLOCK_NS_PER_S;
}

static size_t flows_of(struct rig *r, bool server, uint64_t id)
{
	look.id = id;
	rig_call(r, list_flows, &server);
	for (size_t i = 0; i < look.count; i++) {
		assert_in_range(look.flows[i].idle_ms, 5000, 25000);
		assert_true(look.flows[i].age_ms >= look.flows[i].idle_ms);
	}
	return look.count;
}

static const struct flow_info *flow_with(uint64_t flow_id)
{
	for (size_t i = 0; i < look.count; i++)
		if (look.flows[i].flow_id == flow_id)
			return &look.flows[i];
	fail_msg("no flow %u in the list", (unsigned)flow_id);
	return NULL;
}

static void kill_flows(struct rig *r, void *arg)
{
	const bool *server = arg;

	look.killed = *server ? server_kill_flows(r->server, look.id, look.flow)
				: client_kill_flows(r->client, look.id, look.flow);
}

static size_t killed(struct rig *r, bool server, uint64_t id, uint64_t flow)
{
	look.id = id;
	look.flow = flow;
	rig_call(r, kill_flows, &server);
	return look.killed;
}

/* ---- sessions ---- */

static bool is_up_again(struct rig *r)
{
	return r->mappings[1].tunnels == 2;
}

static void kick(struct rig *r, void *arg)
{
	(void)arg;
	look.err = server_kick(r->server, look.id, "go away");
	look.port_free = r->mappings[1].bound.len == 0 || pair_can_bind(&r->mappings[1].bound);
}

static void keep_counters(void *user, uint64_t id, const struct tunnel_counters *counters)
{
	(void)user;
	look.count++;
	look.id = id;
	look.counters = *counters;
}

static void count_sessions(struct rig *r, void *arg)
{
	(void)arg;
	look.count = 0;
	server_tally_begin(r->server);
	assert_false(server_tally_next(r->server, SIZE_MAX, keep_counters, NULL, &look.sum));
}

static bool has_ended(struct rig *r)
{
	return r->ended == 1;
}

/* A session that listens: its address is free at once, its flows are reset, and its client is told
 * why and comes back. */
static void test_kick(void **state)
{
	static struct rig r;
	struct address local;
	char text[128], where[ADDRESS_TEXT_SIZE];
	int fd, app, far;

	(void)state;
	pair_start(&r);
	fd = app_listen(MAPPING_TCP, &local);
	snprintf(text, sizeof(text), "IN^%s^127.0.0.1:0",
		 address_format(where, sizeof(where), &local));
	rig_add(&r, 1, MAPPING_TCP, text);
	rig_wait(&r, 1, TUNNEL_TUNNELING);
	app = app_connect(MAPPING_TCP, &r.mappings[1].bound);
	far = app_accept(fd);
	app_send(app, "12345", 5);
	app_expect(far, "12345", 5);
	rig_call(&r, count_sessions, NULL);
	assert_int_equal(look.count, 1);
	assert_int_equal(look.counters.payload_in_bytes, 5);
	assert_int_equal(look.counters.active_conns, 1);
	look.id++;
	rig_call(&r, kick, NULL);
	assert_int_equal(look.err, RSTUN_E_NOT_FOUND);
	assert_false(look.port_free);
	look.id--;
	rig_call(&r, kick, NULL);
	assert_int_equal(look.err, 0);
	assert_true(look.port_free);
	app_expect_reset(app);
	app_expect_reset(far);
	rig_wait_for(&r, has_ended);
	assert_int_equal(r.ended_error, RSTUN_E_CANCELLED);
	rig_wait_for(&r, is_up_again);
	rig_call(&r, count_sessions, NULL);
	assert_int_equal(look.count, 1);
	close(fd);
	pair_stop(&r);
}

/* ---- flows ---- */

static struct address name_of(int fd, bool peer)
{
	struct sockaddr_storage name;
	socklen_t len = sizeof(name);
	struct address a;

	assert_int_equal((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&name, &len), 0);
	assert_int_equal(address_from_sockaddr(&a, (struct sockaddr *)&name, len), 0);
	return a;
}

static void test_tcp_flows(void **state)
{
	static struct rig r;
	struct pair one, two, other;
	char target[ADDRESS_TARGET_TEXT_SIZE];
	struct address source;
	uint64_t session;

	(void)state;
	pair_start(&r);
	pair_add(&r, 1, MAPPING_TCP);
	pair_add(&r, 2, MAPPING_TCP);
	assert_int_equal(flows_of(&r, false, 0), 0);
	one = pair_open(&r, 1);
	two = pair_open(&r, 1);
	other = pair_open(&r, 2);
	pair_check(&two);
	assert_int_equal(flows_of(&r, false, 0), 3);
	assert_int_equal(flows_of(&r, false, 9), 0);
	assert_int_equal(flows_of(&r, false, 1), 2);
	source = name_of(two.app, false);
	assert_true(address_equal(&look.sources[flow_with(2) - look.flows], &source));
	assert_int_equal(flow_with(2)->owner_id, 1);
	assert_int_equal(flow_with(2)->proto, MAPPING_TCP);
	assert_int_equal(flow_with(2)->in_bytes, 8);
	assert_int_equal(flow_with(2)->out_bytes, 12);
	assert_int_equal(flow_with(1)->in_bytes, 4);

	/* The far side has the target. */
	assert_int_equal(flows_of(&r, true, 0), 3);
	session = look.flows[0].owner_id;
	assert_in_range(flows_of(&r, true, session), 1, 2);
	assert_int_equal(look.sources[0].len, 0);
	target_format(target, sizeof(target), &r.server_config.tcp_upstream);
	assert_string_equal(look.targets[0], target);

	assert_int_equal(killed(&r, false, 1, 1), 1);
	app_expect_reset(one.app);
	app_expect_reset(one.far);
	assert_int_equal(killed(&r, false, 1, 1), 0);
	assert_int_equal(killed(&r, false, 9, 0), 0);
	pair_check(&two);
	assert_int_equal(flows_of(&r, false, 1), 1);
	one = pair_open(&r, 1);
	assert_int_equal(flows_of(&r, false, 1), 2);
	flow_with(3);
	assert_int_equal(killed(&r, false, 1, 0), 2);
	app_expect_reset(one.app);
	app_expect_reset(one.far);
	app_expect_reset(two.app);
	app_expect_reset(two.far);
	pair_check(&other);
	/* From the other side. */
	assert_int_equal(flows_of(&r, true, 0), 1);
	assert_int_equal(killed(&r, true, look.flows[0].owner_id, look.flows[0].flow_id), 1);
	app_expect_reset(other.app);
	app_expect_reset(other.far);
	assert_int_equal(r.mappings[1].tunnels + r.mappings[2].tunnels, 2);
	pair_stop(&r);
}

/* Each datagram is answered; returns the port that the upstream saw. */
static unsigned exchange(int app)
{
	int far = pair_upstream[1];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	struct address a;
	char got[16];

	app_send(app, "abc", 3);
	assert_int_equal(recvfrom(far, got, sizeof(got), 0, (struct sockaddr *)&from, &len), 3);
	assert_int_equal(address_from_sockaddr(&a, (struct sockaddr *)&from, len), 0);
	assert_int_equal(sendto(far, "answer", 6, 0, (struct sockaddr *)&from, len), 6);
	assert_int_equal(recv(app, got, sizeof(got), 0), 6);
	return address_port(&a);
}

static void test_udp_flows(void **state)
{
	static struct rig r;
	char target[ADDRESS_TARGET_TEXT_SIZE];
	struct address source;
	unsigned port_one, port_two;
	int one, two;

	(void)state;
	pair_start(&r);
	pair_add(&r, 1, MAPPING_UDP);
	one = app_connect(MAPPING_UDP, &r.listen[1]);
	two = app_connect(MAPPING_UDP, &r.listen[1]);
	port_one = exchange(one);
	port_two = exchange(two);
	assert_int_equal(exchange(two), port_two);
	assert_int_equal(flows_of(&r, false, 1), 2);
	source = name_of(two, false);
	assert_true(address_equal(&look.sources[flow_with(2) - look.flows], &source));
	assert_int_equal(flow_with(2)->proto, MAPPING_UDP);
	assert_int_equal(flow_with(2)->owner_id, 1);
	assert_int_equal(flow_with(2)->in_bytes, 6);
	assert_int_equal(flow_with(2)->out_bytes, 12);
	assert_int_equal(flow_with(1)->in_bytes, 3);
	assert_int_equal(flows_of(&r, true, 0), 2);
	target_format(target, sizeof(target), &r.server_config.udp_upstream);
	assert_string_equal(look.targets[0], target);
	assert_int_equal(flow_with(2)->out_bytes, 6);
	assert_int_equal(flow_with(2)->in_bytes, 12);

	assert_int_equal(killed(&r, false, 1, 1), 1);
	assert_int_equal(exchange(two), port_two);
	assert_int_not_equal(exchange(one), port_one);
	assert_int_equal(flows_of(&r, false, 1), 2);
	assert_int_equal(flow_with(3)->in_bytes, 3);
	assert_int_equal(killed(&r, false, 1, 0), 2);
	assert_int_equal(flows_of(&r, false, 0), 0);
	assert_int_not_equal(exchange(two), port_two);
	assert_int_equal(flows_of(&r, true, 0), 1);
	assert_int_equal(killed(&r, true, look.flows[0].owner_id, 0), 1);
	assert_int_equal(flows_of(&r, true, 0), 0);
	assert_int_equal(r.mappings[1].tunnels, 1);
	close(one);
	close(two);
	pair_stop(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kick),
		cmocka_unit_test(test_tcp_flows),
		cmocka_unit_test(test_udp_flows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
