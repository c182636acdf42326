/* SPDX-License-Identifier: MIT */
/*
 * Servers and mappings that are changed while what was before them still ends, on the main thread of
 * a real daemon (daemon_rig.h): what workers say late concerns what they were told then.
 */
#include "base/clock.h"
#include "base/error.h"
#include "rstund/control/state_file.h"
#include "rstund/hold.h"
#include "rstund/messages.h"
#include "rstund/worker_private.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/pki.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct daemon_rig rig;
static struct rpc_error error;
static const struct tunnel_counters none;

static int set_up(void **state)
{
	(void)state;
	daemon_rig_init(&rig, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	daemon_rig_done(&rig);
	return 0;
}

static struct server_config *config_on(unsigned port)
{
	struct server_config *config = calloc(1, sizeof(*config));
	char why[FIELD_ERROR_SIZE], text[32];

	assert_non_null(config);
	assert_int_equal(server_config_init(config), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	free(config->addr_text);
	config->addr_text = strdup(text);
	config->password = strdup("secret");
	if (server_config_check(config, NULL, NULL, why) != 0)
		fail_msg("%s", why);
	return config;
}

static struct held_server *add_server(const char *name, unsigned port)
{
	struct held_server *s;

	if (hold_server_add(&rig.d, name, RPC_ORIGIN_RUNTIME, config_on(port), false, &s, &error) !=
	    0)
		fail_msg("%s", error.message);
	return s;
}

/* What the workers were told is dropped, and with it the sockets. */
static void drop_messages(void)
{
	struct mailbox_item *item;

	for (unsigned i = 0; i < rig.d.worker_count; i++)
		while ((item = mailbox_take(&rig.d.workers[i]->mailbox)) != NULL)
			message_free(message_of(item));
}

static void parts_gone(struct role *role)
{
	unsigned count = role->worker_count;

	drop_messages();
	for (unsigned i = 0; i < count; i++)
		role_part_gone(role, i, &none); /* the last one frees it */
}

static void fire(struct loop_timer *timer)
{
	timer->fire(timer->user);
}

/* A worker says this. */
static struct message *said(enum message_kind kind, const struct role *role, unsigned worker)
{
	struct message *m = message_new(kind, role->index, 0);

	assert_non_null(m);
	m->worker = worker;
	return m;
}

static void said_removed(const struct role *role, uint64_t id, uint64_t placement)
{
	struct message *m = said(MESSAGE_REMOVED, role, 0);

	m->removed.id = id;
	m->removed.placement = placement;
	daemon_on_item(&rig.d, &m->item);
}

static void said_not_started(const struct role *role, unsigned worker)
{
	struct message *m = said(MESSAGE_STARTED, role, worker);

	m->started.error = RSTUN_E_NOMEM;
	daemon_on_item(&rig.d, &m->item);
}

/* ---- Servers ---- */

static void an_address_is_waited_for(void **state)
{
	struct held_server *a = add_server("a", 0), *b;
	struct role *role = a->role;
	unsigned port = address_port(&role->bound);

	(void)state;
	parts_gone(role); /* only its port was wanted; the server itself is stopped now */
	assert_int_equal(hold_server_remove(&rig.d, a, 0, &error), 0);
	a = add_server("a", port);
	role = a->role;
	assert_non_null(role);
	assert_int_equal(hold_server_remove(&rig.d, a, 0, &error), 0);
	b = add_server("b", port);
	assert_null(b->role);
	assert_int_equal(b->state, RPC_SERVER_STARTING);
	fire(&b->retry_timer); /* not yet */
	assert_null(b->role);
	assert_int_equal(b->state, RPC_SERVER_STARTING);
	assert_int_equal(b->retry_timer.deadline_ns, CLOCK_NEVER);
	parts_gone(role);
	assert_int_equal(b->retry_timer.deadline_ns, rig.d.loop.now_ns);
	fire(&b->retry_timer);
	assert_int_equal(b->state, RPC_SERVER_LISTENING);
}

static void one_role_at_a_time(void **state)
{
	struct held_server *s = add_server("a", 0);
	struct role *role = s->role;
	uint64_t deadline_ns;

	(void)state;
	hold_server_failed(&rig.d, s, RSTUN_E_NOMEM, "memory is short");
	assert_int_equal(s->state, RPC_SERVER_FAILED);
	deadline_ns = s->retry_timer.deadline_ns;
	assert_true(deadline_ns > rig.d.loop.now_ns);
	fire(&s->retry_timer); /* a part of the one before has not ended yet */
	assert_null(s->role);
	parts_gone(role);
	assert_int_equal(s->state, RPC_SERVER_FAILED);
	assert_int_equal(s->retry_timer.deadline_ns, deadline_ns);
	fire(&s->retry_timer);
	assert_int_equal(s->state, RPC_SERVER_LISTENING);
	assert_non_null(s->role);
}

static void parts_that_could_not_begin(void **state)
{
	struct held_server *s = add_server("a", 0);
	struct role *role = s->role;

	(void)state;
	assert_int_equal(hold_server_remove(&rig.d, s, 0, &error), 0);
	said_not_started(role, 0);
	assert_false(LIST_EMPTY(&rig.d.roles));
	said_not_started(role, 1);
	assert_true(LIST_EMPTY(&rig.d.roles));
}

static void what_was_drained_does_not_begin_again(void **state)
{
	struct held_server *s = add_server("a", 0);
	struct role *role = s->role;

	(void)state;
	assert_int_equal(hold_server_change(&rig.d, s, config_on(0), &error), 0);
	assert_ptr_equal(s->ending, role);
	hold_server_drain(&rig.d, s, 0);
	said_not_started(role, 0);
	parts_gone(role);
	assert_int_equal(s->state, RPC_SERVER_STOPPED);
	assert_int_equal(s->retry_timer.deadline_ns, CLOCK_NEVER);
	assert_int_equal(hold_server_change(&rig.d, s, config_on(0), &error), 0);
	assert_int_equal(s->state, RPC_SERVER_STARTING);
	fire(&s->retry_timer);
	assert_int_equal(s->state, RPC_SERVER_LISTENING);
}

/* ---- Mappings ---- */

static void told_twice_to_leave(void **state)
{
	struct held_mapping *m;
	struct role *role;
	uint64_t number;

	(void)state;
	daemon_rig_client(&rig, "home", RPC_ORIGIN_RUNTIME);
	m = daemon_rig_mapping(&rig, "home", "web", "IN^1^4001", RPC_ORIGIN_RUNTIME);
	role = m->role;
	number = m->placement;
	assert_int_equal(hold_mapping_pause(&rig.d, m, true, 1000, &error), 0);
	assert_int_equal(hold_mapping_pause(&rig.d, m, true, 0, &error), 0);
	assert_int_equal(hold_mapping_pause(&rig.d, m, false, 0, &error), 0);
	assert_true(m->leaving);
	said_removed(role, m->number, 0);
	assert_false(m->leaving);
	assert_ptr_equal(m->role, role); /* it is there again */
	said_removed(role, m->number, number);
	assert_ptr_equal(m->role, role);
	assert_int_equal(role->placed, 1);
	/* One that could not begin is not there when it is told to leave. */
	assert_int_equal(hold_mapping_pause(&rig.d, m, true, 0, &error), 0);
	said_removed(role, m->number, m->placement);
	assert_null(m->role);
	assert_int_equal(role->placed, 0);
}

static void a_mapping_that_moves_is_not_up(void **state)
{
	struct client_config *config = calloc(1, sizeof(*config));
	struct held_client *c = daemon_rig_client(&rig, "home", RPC_ORIGIN_RUNTIME);
	struct held_mapping *m =
		daemon_rig_mapping(&rig, "home", "web", "IN^1^4001", RPC_ORIGIN_RUNTIME);
	char why[FIELD_ERROR_SIZE];

	(void)state;
	inventory_set_state(&rig.d.inventory, m, RPC_STATE_TUNNELING, 0);
	assert_non_null(config);
	assert_int_equal(client_config_init(config), 0);
	config->server_addr_text = strdup("127.0.0.1:10");
	config->password = strdup("other");
	config->mappings_optional = true;
	assert_int_equal(client_config_check(config, NULL, NULL, why), 0);
	assert_int_equal(hold_client_change(&rig.d, c, config, &error), 0);
	assert_true(m->leaving);
	assert_int_equal(m->state, RPC_STATE_IDLE);
	assert_int_equal(rig.d.inventory.states.idle, 1);
}

/* ---- The state file ---- */

static size_t saved_mappings(void)
{
	char why[STATE_DIR_ERROR_SIZE] = "";
	struct saved_state saved;
	bool aside = false;
	size_t count;

	assert_int_equal(state_file_load(&saved, &rig.d.state_dir, &aside, why), 0);
	count = saved.mapping_count;
	saved_state_free(&saved);
	return count;
}

/* It would come back with the next start, although its caller was told that there is none. */
static void what_is_refused_is_not_saved(void **state)
{
	struct hold_mapping_params p = {
		.origin = RPC_ORIGIN_STATE,
		.expires_ms = UINT64_MAX,
		.expires_wall_us = INT64_MAX,
		.must_listen = true,
	};
	char base[PKI_PATH_SIZE], text[ADDRESS_TEXT_SIZE], spec[100], why[MAPPING_ERROR_SIZE];
	int taken = socket(AF_INET, SOCK_STREAM, 0);
	struct held_mapping *m;
	struct address at;

	(void)state;
	pki_directory(base);
	daemon_rig_init(&rig, base);
	p.client = daemon_rig_client(&rig, "home", RPC_ORIGIN_STATE);
	assert_int_equal(address_parse(&at, "127.0.0.1:0", 11), 0);
	assert_int_equal(bind(taken, &at.sa, at.len), 0);
	assert_int_equal(listen(taken, 1), 0);
	assert_int_equal(getsockname(taken, &at.sa, &at.len), 0);
	snprintf(spec, sizeof(spec), "OUT^%s^ANY", address_format(text, sizeof(text), &at));
	assert_int_equal(mapping_parse(&p.mapping, MAPPING_TCP, spec, strlen(spec), why), 0);
	assert_int_not_equal(hold_mapping_add(&rig.d, &p, &m, &error), 0);
	assert_int_equal(error.code, 1003);
	assert_int_equal(rig.d.inventory.states.total, 0);
	assert_int_equal(saved_mappings(), 0);
	close(taken);
	assert_int_equal(hold_mapping_add(&rig.d, &p, &m, &error), 0);
	assert_int_equal(saved_mappings(), 1);
	daemon_rig_done(&rig);
	pki_directory_remove(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_address_is_waited_for, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_role_at_a_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parts_that_could_not_begin, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_drained_does_not_begin_again, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(told_twice_to_leave, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_mapping_that_moves_is_not_up, set_up, tear_down),
		cmocka_unit_test(what_is_refused_is_not_saved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
