/* SPDX-License-Identifier: MIT */
/*
 * What there is changes while an allocation fails, each one in turn: a change that cannot be made
 * is refused, nothing is half done, and in the end everything can be removed and is gone. The main
 * thread is real (daemon_rig.h), its workers let go of whatever they are told to. Leaks are for the
 * sanitizer to find.
 */
#include "base/clock.h"
#include "base/error.h"
#include "rstund/hold.h"
#include "rstund/messages.h"
#include "rstund/worker_private.h"
#include "tests/unit/daemon_rig.h"
#include "tests/unit/nomem.h"
#include "tests/unit/pki.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

char *__wrap_strdup(const char *text)
{
	return nomem_fails() ? NULL : __real_strdup(text);
}

int __wrap_fsync(int fd);

/* It would take most of the time. */
int __wrap_fsync(int fd)
{
	(void)fd;
	return 0;
}

static char state_dir[PKI_PATH_SIZE];
static struct daemon_rig rig;
static struct rpc_error error;

/* ---- Workers that do as they are told ---- */

static void let_go(unsigned worker, const struct message *told)
{
	struct message *m = message_new(MESSAGE_REMOVED, told->role, 0);

	assert_non_null(m);
	m->worker = worker;
	m->removed.id = told->remove.id;
	m->removed.placement = told->remove.placement;
	daemon_on_item(&rig.d, &m->item);
}

/* What they say comes when memory is there again, or not: that is another test's matter. */
static void workers(void)
{
	struct mailbox_item *item;
	bool was = nomem_armed;

	nomem_armed = false;
	/* Those of the first may be told something because of what the second says. */
	for (unsigned i = 0; i < 2 * rig.d.worker_count; i++) {
		unsigned worker = i % rig.d.worker_count;

		while ((item = mailbox_take(&rig.d.workers[worker]->mailbox)) != NULL) {
			struct message *m = message_of(item);

			if (m->kind == MESSAGE_REMOVE_MAPPING || m->kind == MESSAGE_REMOVE_ROLE)
				let_go(worker, m);
			message_free(m);
		}
	}
	nomem_armed = was;
}

/* Timers of what is to be tried again. */
static void timers(void)
{
	struct held_server *s;

	for (size_t i = 0; i < INVENTORY_BUCKETS; i++) {
		struct held_mapping *m, *next;

		for (m = LIST_FIRST(&rig.d.inventory.mapping_hash[i]); m != NULL; m = next) {
			next = LIST_NEXT(m, hash_link);
			if (m->bind_timer.deadline_ns != CLOCK_NEVER)
				m->bind_timer.fire(m->bind_timer.user);
		}
	}
	TAILQ_FOREACH (s, &rig.d.inventory.servers, link)
		if (s->retry_timer.deadline_ns != CLOCK_NEVER)
			s->retry_timer.fire(s->retry_timer.user);
	workers();
}

static void assert_consistent(void)
{
	const struct rpc_state_counts *n = &rig.d.inventory.states;
	const struct held_mapping *m;
	uint64_t count = 0;

	TAILQ_FOREACH (m, &rig.d.inventory.mappings, link)
		count++;
	assert_int_equal(n->total, count);
	assert_int_equal(n->idle + n->connecting + n->connected + n->tunneling + n->reconnecting +
				 n->failed + n->stopped + n->paused, count);
}

/* ---- Changes ---- */

static struct client_config *client_config(const char *cipher)
{
	struct client_config *config;
	char why[FIELD_ERROR_SIZE];

	nomem_armed = false; /* making it is the caller's matter */
	config = calloc(1, sizeof(*config));
	assert_non_null(config);
	assert_int_equal(client_config_init(config), 0);
	config->server_addr_text = strdup("127.0.0.1:9");
	config->password = strdup(cipher);
	config->mappings_optional = true;
	if (client_config_check(config, NULL, NULL, why) != 0)
		fail_msg("%s", why);
	nomem_armed = true;
	return config;
}

static struct server_config *server_config(const char *password)
{
	struct server_config *config;
	char why[FIELD_ERROR_SIZE];

	nomem_armed = false;
	config = calloc(1, sizeof(*config));
	assert_non_null(config);
	assert_int_equal(server_config_init(config), 0);
	free(config->addr_text);
	config->addr_text = strdup("127.0.0.1:0");
	config->password = strdup(password);
	if (server_config_check(config, NULL, NULL, why) != 0)
		fail_msg("%s", why);
	nomem_armed = true;
	return config;
}

static void done(int rc)
{
	nomem_armed = false;
	if (rc != 0)
		assert_true(nomem_failed); /* nothing else is wrong */
	assert_consistent();
	nomem_armed = true;
	workers();
}

static void map(struct held_client *c, const char *name, const char *spec, bool change)
{
	struct held_mapping *m = inventory_mapping(&rig.d.inventory, name);
	struct hold_mapping_params p = {
		.client = c,
		.name = name,
		.origin = RPC_ORIGIN_STATE,
		.expires_ms = UINT64_MAX,
		.expires_wall_us = INT64_MAX,
	};
	char why[MAPPING_ERROR_SIZE];

	assert_int_equal(mapping_parse(&p.mapping, MAPPING_TCP, spec, strlen(spec), why), 0);
	if (change && m != NULL)
		done(hold_mapping_change(&rig.d, m, &p, &error));
	else if (!change)
		done(hold_mapping_add(&rig.d, &p, &m, &error));
}

static void pause(const char *name, bool paused)
{
	struct held_mapping *m = inventory_mapping(&rig.d.inventory, name);

	if (m != NULL)
		done(hold_mapping_pause(&rig.d, m, paused, 0, &error));
}

static void mappings(void)
{
	struct held_client *c = NULL;
	struct held_mapping *m;

	done(hold_client_add(&rig.d, "home", RPC_ORIGIN_STATE, client_config("a"), &c, &error));
	if (c == NULL)
		return;
	map(c, "in", "IN^1^4001", false);
	map(c, "out", "OUT^127.0.0.1:0^ANY", false);
	pause("in", true);
	pause("in", false);
	map(c, "out", "IN^2^4002", true);
	done(hold_client_change(&rig.d, c, client_config("b"), &error));
	m = inventory_mapping(&rig.d.inventory, "in");
	if (m != NULL)
		done(hold_mapping_restart(&rig.d, m, &error));
	m = inventory_mapping(&rig.d.inventory, "out");
	if (m != NULL)
		done(hold_mapping_remove(&rig.d, m, 0, "", &error));
	done(hold_client_remove(&rig.d, c, 0, &error));
}

static void servers(void)
{
	struct held_server *s = NULL;

	done(hold_server_add(&rig.d, "front", RPC_ORIGIN_STATE, server_config("a"), false, &s,
			     &error));
	if (s == NULL)
		return;
	done(hold_server_change(&rig.d, s, server_config("b"), &error));
	timers();
	hold_server_drain(&rig.d, s, 0);
	done(0);
	done(hold_server_change(&rig.d, s, server_config("a"), &error));
	timers();
	done(hold_server_remove(&rig.d, s, 0, &error));
}

static void nothing_stays(void)
{
	struct held_client *c, *next;
	struct held_server *s, *after;

	for (c = TAILQ_FIRST(&rig.d.inventory.clients); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		assert_int_equal(hold_client_remove(&rig.d, c, 0, &error), 0);
	}
	for (s = TAILQ_FIRST(&rig.d.inventory.servers); s != NULL; s = after) {
		after = TAILQ_NEXT(s, link);
		assert_int_equal(hold_server_remove(&rig.d, s, 0, &error), 0);
	}
	workers();
	timers();
	assert_consistent();
	assert_int_equal(rig.d.inventory.states.total, 0);
	assert_int_equal(rig.d.inventory.never_up, 0);
	assert_true(LIST_EMPTY(&rig.d.roles));
	for (size_t i = 0; i < INVENTORY_BUCKETS; i++)
		assert_true(LIST_EMPTY(&rig.d.inventory.mapping_hash[i]));
}

static void of_mappings(void **state)
{
	(void)state;
	assert_true(nomem_each(mappings, nothing_stays) > 100);
}

static void of_servers(void **state)
{
	(void)state;
	assert_true(nomem_each(servers, nothing_stays) > 100);
}

static int set_up(void **state)
{
	(void)state;
	pki_directory(state_dir);
	daemon_rig_init(&rig, state_dir);
	nomem_init();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	nomem_armed = false;
	daemon_rig_done(&rig);
	pki_directory_remove(state_dir);
	return 0;
}

/* ---- Counters ---- */

static void count_up(void *user)
{
	++*(unsigned *)user;
}

static void fail_next(void)
{
	nomem_countdown = 0;
	nomem_failed = false;
	nomem_armed = true;
}

/* Whoever waits for counters is not forgotten, however often they cannot be asked for. */
static void counters_are_asked_for_later(void **state)
{
	struct sampler_wait first, second;
	struct sampler *s = &rig.d.sampler;
	unsigned done = 0;

	(void)state;
	daemon_rig_init(&rig, NULL);
	gathers_init(&rig.d.gathers, &rig.d.loop);
	sampler_init(s, &rig.d);
	fail_next();
	sampler_refresh(s, &first, count_up, &done);
	assert_true(nomem_failed);
	assert_null(s->gather);
	assert_int_not_equal(s->timer.deadline_ns, CLOCK_NEVER);
	fail_next();
	loop_timer_cancel(&s->timer);
	s->timer.fire(s->timer.user);
	assert_true(nomem_failed);
	assert_null(s->gather);
	assert_int_not_equal(s->timer.deadline_ns, CLOCK_NEVER);
	nomem_armed = false;
	s->timer.fire(s->timer.user);
	assert_non_null(s->gather);
	assert_int_equal(s->timer.deadline_ns, CLOCK_NEVER);
	sampler_refresh(s, &second, count_up, &done);
	sampler_cancel(s, &second);
	sampler_cancel(s, &first);
	assert_int_equal(done, 0);
	sampler_done(s);
	gathers_done(&rig.d.gathers);
	daemon_rig_done(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(of_mappings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(of_servers, set_up, tear_down),
		cmocka_unit_test(counters_are_asked_for_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
