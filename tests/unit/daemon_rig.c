/* SPDX-License-Identifier: MIT */
/*
 * Making and ending the daemon's struct by hand, in the order of daemon.c.
 */
#include "tests/unit/daemon_rig.h"

#include "base/clock.h"
#include "rstund/hold.h"
#include "rstund/worker.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void daemon_rig_write_log(void *user, enum log_level level, const char *scope,
				 const char *text)
{
	struct daemon_rig *r = user;

	(void)scope;
	if (r->log_bytes < sizeof(r->log))
		r->log_bytes += (size_t)snprintf(r->log + r->log_bytes,
						 sizeof(r->log) - r->log_bytes, "%s %s\n",
						 log_level_name(level), text);
}

static void daemon_rig_ignore(void *user)
{
	(void)user;
}

void daemon_rig_init(struct daemon_rig *r, const char *state_dir)
{
	char error[STATE_DIR_ERROR_SIZE];
	struct daemon *d = &r->d;

	memset(r, 0, sizeof(*r));
	assert_int_equal(daemon_config_init(&r->config), 0);
	if (state_dir != NULL) { /* as on the command line */
		r->config.state_dir = strdup(state_dir);
		r->params.given = daemon_config_bit(field_find(
			daemon_config_fields, daemon_config_field_count, "state-dir"));
	}
	r->params.config = &r->config;
	d->params = &r->params;
	d->phase = DAEMON_RUNNING;
	d->level = (enum log_level)r->config.loglevel;
	d->log = (struct log){.level = d->level, .write = daemon_rig_write_log, .user = r};
	d->state_dir = STATE_DIR_NONE;
	d->mailbox.fd = d->ready.fd = -1;
	d->notify.fd = -1;
	LIST_INIT(&d->log_waits);
	LIST_INIT(&d->mapping_waits);
	LIST_INIT(&d->roles);
	event_bus_init(&d->bus);
	inventory_init(&d->inventory);
	assert_int_equal(loop_init(&d->loop, NULL, &d->log), 0);
	loop_timer_init(&d->level_timer, &d->loop, daemon_rig_ignore, d);
	loop_timer_init(&d->trim_timer, &d->loop, daemon_rig_ignore, d);
	d->loop.now_ns = CLOCK_NS_PER_S;
	d->worker_count = DAEMON_RIG_WORKERS;
	d->workers = calloc(d->worker_count, sizeof(struct worker *));
	assert_non_null(d->workers);
	for (unsigned i = 0; i < d->worker_count; i++) {
		struct worker_params params = {
			.index = i, .all = d->workers, .count = d->worker_count,
			.control = &d->mailbox, .level = d->level};

		assert_int_equal(worker_new(&d->workers[i], &params), 0);
	}
	if (state_dir != NULL)
		assert_int_equal(state_dir_open_top(&d->state_dir, state_dir, error), 0);
}

void daemon_rig_done(struct daemon_rig *r)
{
	struct daemon *d = &r->d;
	struct held_mapping *m;
	struct held_server *s;
	struct role *role;

	loop_timer_cancel(&d->trim_timer);
	for (size_t i = 0; i < INVENTORY_BUCKETS; i++) {
		LIST_FOREACH (m, &d->inventory.mapping_hash[i], hash_link) {
			loop_timer_cancel(&m->bind_timer);
			loop_timer_cancel(&m->expiry_timer);
		}
	}
	TAILQ_FOREACH (s, &d->inventory.servers, link) {
		loop_timer_cancel(&s->retry_timer);
		server_config_free(s->config);
		free(s->config);
	}
	for (unsigned i = 0; i < d->worker_count; i++)
		worker_free(d->workers[i]);
	free(d->workers);
	inventory_done(&d->inventory);
	while ((role = LIST_FIRST(&d->roles)) != NULL)
		role_free(role);
	state_dir_close(&d->state_dir);
	event_bus_done(&d->bus);
	loop_done(&d->loop);
	daemon_config_free(&r->config);
}

struct held_client *daemon_rig_client(struct daemon_rig *r, const char *name,
				      enum rpc_origin origin)
{
	struct client_config *config = calloc(1, sizeof(*config));
	char why[FIELD_ERROR_SIZE];
	struct rpc_error error;
	struct held_client *c;

	assert_non_null(config);
	assert_int_equal(client_config_init(config), 0);
	config->server_addr_text = strdup("127.0.0.1:9");
	config->password = strdup("secret");
	config->mappings_optional = true;
	if (client_config_check(config, NULL, NULL, why) != 0)
		fail_msg("%s", why);
	if (hold_client_add(&r->d, name, origin, config, &c, &error) != 0)
		fail_msg("%s", error.message);
	return c;
}

struct held_mapping *daemon_rig_mapping(struct daemon_rig *r, const char *client, const char *name,
					const char *spec, enum rpc_origin origin)
{
	struct hold_mapping_params p = {
		.client = inventory_client(&r->d.inventory, client),
		.name = name,
		.origin = origin,
		.expires_ms = UINT64_MAX,
		.expires_wall_us = INT64_MAX,
	};
	char why[MAPPING_ERROR_SIZE];
	struct held_mapping *m;
	struct rpc_error error;

	assert_non_null(p.client);
	assert_int_equal(mapping_parse(&p.mapping, MAPPING_TCP, spec, strlen(spec), why), 0);
	if (hold_mapping_add(&r->d, &p, &m, &error) != 0)
		fail_msg("%s", error.message);
	return m;
}

void daemon_rig_let_go(struct daemon_rig *r, uint64_t number)
{
	static const struct tunnel_counters none;
	struct held_mapping *m = inventory_mapping_by_number(&r->d.inventory, number);

	assert_non_null(m);
	assert_true(m->leaving);
	hold_mapping_displaced(&r->d, m, &none);
}

struct held_mapping *daemon_rig_find(struct daemon_rig *r, const char *name_or_spec)
{
	char spec[MAPPING_TEXT_SIZE];
	struct held_mapping *m;

	TAILQ_FOREACH (m, &r->d.inventory.mappings, link)
		if (strcmp(m->name, name_or_spec) == 0 ||
		    strcmp(mapping_format(spec, sizeof(spec), &m->mapping), name_or_spec) == 0)
			return m;
	return NULL;
}

void daemon_rig_assert_list(char *const *list, const char *joined)
{
	char text[2048] = "";

	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
			 i > 0 ? ", " : "", list[i]);
	assert_string_equal(text, joined);
}

void daemon_rig_assert_spec(const struct held_mapping *m, const char *spec)
{
	char text[MAPPING_TEXT_SIZE];

	assert_non_null(m);
	assert_string_equal(mapping_format(text, sizeof(text), &m->mapping), spec);
}
