/* SPDX-License-Identifier: MIT */
/*
 * The control server when an allocation fails, each one in turn: callers get replies or errors or
 * are cut off, and the server goes on with the others. Only allocations that are made while the
 * loop runs fail (jansson's as well); leaks are for the sanitizer to find.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/control_rig.h"
#include "tests/unit/nomem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool loop_runs(void)
{
	return rig != NULL && rig->turning;
}

#define REQUEST(id, method, params)                                                                \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}"

/* A bit of everything. The rig's own handlers allocate nothing while it lasts. */
static void scene(void)
{
	struct caller a, b;

	rig_connect(&a, rig->path);
	rig_connect(&b, rig->path_ro);
	rig_say(&a, REQUEST("1", "daemon.ping", "{}") "\n"
		    REQUEST("2", "events.subscribe", "{\"mappings\":[\"m1\",\"m2\"],"
			    "\"stat_interval_ms\":100}") "\n["
		    REQUEST("3", "session.kick", "{\"id\":\"s1.1\"}") ","
		    REQUEST("4", "mapping.wait", "{\"id\":\"m1\"}") ",7]\n");
	rig_say(&b, REQUEST("1", "session.kick", "{\"id\":\"s1.1\"}") "\n"
		    REQUEST("2", "events.next", "{\"cursor\":\"e1:0\",\"mappings\":[\"m1\"]}") "\n"
		    "nothing\n" REQUEST("3", "no.such", "{}") "\n"
		    REQUEST("4", "mapping.wait", "{\"id\":\"m1\",\"x\":1}") "\n");
	rig_settle();
	rig->turning = true; /* events are published from the loop, too */
	rig_state(1, TUNNEL_CONNECTING);
	rig_total(7);
	control_server_stats(rig->cs);
	rig->turning = false;
	rig_settle();
	rig_say(&a, REQUEST("5", "rpc.cancel", "{\"id\":4}") "\n"
		    REQUEST("6", "events.unsubscribe", "{\"sub\":1}") "\n");
	shutdown(b.fd, SHUT_WR);
	rig_settle();
	rig_close(&a);
	rig_close(&b);
}

/* A third caller is served whatever has happened. */
static void goes_on(void)
{
	struct caller c;
	json_t *json;

	rig_connect(&c, rig->path);
	rig_say(&c, REQUEST("1", "daemon.ping", "{}") "\n");
	json = rig_hear(&c);
	assert_non_null(json_object_get(json, "result"));
	json_decref(json);
	rig_close(&c);
	assert_true(TAILQ_EMPTY(&rig->cs->connections));
	assert_int_equal(rig->cs->subscription_count, 0);
	assert_int_equal(rig->waiting_count, 0);
	assert_int_equal(rig->cs->reserve_count, CONTROL_RESERVE);
}

static void each_allocation(void **state)
{
	(void)state;
	nomem_may = loop_runs;
	nomem_init();
	assert_true(nomem_each(scene, goes_on) > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_allocation, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
