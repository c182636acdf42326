/* SPDX-License-Identifier: MIT */
/*
 * The inventory: numbers, names, lookups, counts per state, mappings that have never been up,
 * sessions.
 */
#include "rstund/control/inventory.h"

#include "base/clock.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct rig {
	struct inventory inv;
	struct held_client *client;
	struct mapping mapping;
};

static int set_up(void **state)
{
	static struct rig rig;

	memset(&rig, 0, sizeof(rig));
	inventory_init(&rig.inv);
	rig.client = inventory_new_client(&rig.inv, "home");
	rig.mapping.mode = MAPPING_OUT;
	*state = &rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	inventory_done(&rig->inv);
	return 0;
}

static void say(struct rig *rig, struct held_mapping *m, enum tunnel_state now, int error,
		uint64_t retry_ms)
{
	struct tunnel_event t = {
		.type = TUNNEL_EVENT_STATE,
		.id = m->number,
		.error = error,
		.text = error != 0 ? "why" : "",
		.state = {.now = now, .next_retry_ms = retry_ms, .peer_software = "rstund 9"},
	};
	struct bus_event *e = bus_event_new(BUS_EVENT_STATE, &t, 1, 77);

	inventory_update(&rig->inv, m, e, 1000);
	bus_event_unref(e);
}

static void test_states_are_counted(void **state)
{
	struct rig *rig = *state;
	struct held_mapping *a = inventory_new_mapping(&rig->inv, rig->client, &rig->mapping, 0);
	struct held_mapping *b = inventory_new_mapping(&rig->inv, rig->client, &rig->mapping, 0);

	assert_int_equal(rig->inv.never_up, 2);
	assert_int_equal(rig->inv.states.total, 2);
	assert_int_equal(rig->inv.states.idle, 2);
	say(rig, a, TUNNEL_RECONNECTING, RSTUN_E_TIMEOUT, 5);
	assert_int_equal(a->last_error, RSTUN_E_TIMEOUT);
	assert_string_equal(a->last_text, "why");
	assert_int_equal(a->next_retry_ns, 1000 + 5 * CLOCK_NS_PER_MS);
	assert_int_equal(rig->inv.states.reconnecting, 1);
	assert_int_equal(rig->inv.never_up, 2);
	for (int i = 0; i < 2; i++) {
		say(rig, a, TUNNEL_TUNNELING, 0, 0);
		assert_true(a->ever_up);
		assert_int_equal(a->last_error, 0);
		assert_int_equal(a->since_wall_us, 77);
		assert_int_equal(a->next_retry_ns, CLOCK_NEVER);
		assert_string_equal(a->software, "rstund 9");
		assert_int_equal(rig->inv.never_up, 1);
		assert_int_equal(rig->inv.states.tunneling, 1);
	}
	/* A paused one is not waited for. */
	inventory_set_paused(&rig->inv, b, true);
	assert_int_equal(rig->inv.never_up, 0);
	inventory_set_state(&rig->inv, b, RPC_STATE_PAUSED, 1);
	assert_int_equal(rig->inv.states.paused, 1);
	inventory_set_paused(&rig->inv, b, false);
	assert_int_equal(rig->inv.never_up, 1);
	inventory_hide_mapping(&rig->inv, b);
	assert_int_equal(rig->inv.never_up, 0);
	assert_int_equal(rig->inv.states.total, 1);
	assert_int_equal(rig->inv.states.paused, 0);
	assert_int_equal(rig->client->mapping_count, 1);
}

static void test_lookups(void **state)
{
	struct rig *rig = *state;
	struct held_mapping *a = inventory_new_mapping(&rig->inv, rig->client, &rig->mapping, 0);
	struct held_mapping *b = inventory_new_mapping(&rig->inv, rig->client, &rig->mapping, 0);
	struct held_mapping *back;
	char id[INVENTORY_ID_SIZE];

	snprintf(b->name, sizeof(b->name), "web");
	assert_ptr_equal(inventory_mapping(&rig->inv, "m1"), a);
	assert_ptr_equal(inventory_mapping(&rig->inv, "web"), b);
	assert_null(inventory_mapping(&rig->inv, "m3"));
	assert_null(inventory_mapping(&rig->inv, "m"));
	assert_null(inventory_mapping(&rig->inv, "m1x"));
	assert_null(inventory_mapping(&rig->inv, ""));
	assert_null(inventory_mapping(&rig->inv, NULL));
	assert_ptr_equal(inventory_client(&rig->inv, "home"), rig->client);
	assert_ptr_equal(inventory_client(&rig->inv, "c1"), rig->client);
	assert_null(inventory_client(&rig->inv, "c2"));
	assert_string_equal(inventory_mapping_id(id, b), "m2");
	/* Hidden: not found by people, still by number; and its number can come back in its place. */
	inventory_hide_mapping(&rig->inv, a);
	assert_null(inventory_mapping(&rig->inv, "m1"));
	assert_ptr_equal(inventory_mapping_by_number(&rig->inv, 1), a);
	inventory_free_mapping(&rig->inv, a);
	back = inventory_new_mapping(&rig->inv, rig->client, &rig->mapping, 1);
	assert_ptr_equal(TAILQ_FIRST(&rig->inv.mappings), back);
	assert_ptr_equal(TAILQ_NEXT(back, link), b);
	assert_int_equal(inventory_new_mapping(&rig->inv, rig->client, &rig->mapping, 0)->number, 3);
}

static void test_sessions(void **state)
{
	struct rig *rig = *state;
	struct held_server *server = inventory_new_server(&rig->inv, "front");
	struct address peer = {.len = 0};
	struct tunnel_event t = {
		.type = TUNNEL_EVENT_SESSION,
		.id = 4,
		.peer = &peer,
		.text = "",
		.session = {.change = TUNNEL_SESSION_LOGIN, .peer_software = "x"},
	};
	struct bus_event *e = bus_event_new(BUS_EVENT_SESSION, &t, 7, 5);
	struct held_session *s;
	char id[INVENTORY_ID_SIZE];

	server->session_base = 100; /* of roles before this one */
	s = inventory_login(&rig->inv, server, e, 1);
	bus_event_unref(e);
	assert_string_equal(inventory_session_id(id, s), "s1.104");
	assert_int_equal(server->session_last, 104);
	assert_ptr_equal(inventory_session(&rig->inv, "s1.104"), s);
	assert_ptr_equal(inventory_session_of_role(&rig->inv, 7, 4), s);
	assert_null(inventory_session_of_role(&rig->inv, 8, 4));
	assert_int_equal(server->session_count, 1);
	inventory_free_server(&rig->inv, server);
	assert_int_equal(rig->inv.session_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_states_are_counted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lookups, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_sessions, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
