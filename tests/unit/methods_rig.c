/* SPDX-License-Identifier: MIT */
/*
 * The rig of the tests of methods: everything on one thread, so what a worker would do happens when
 * the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/methods_rig.h"

#include "rstund/control/log_ring.h"
#include "rstund/control/log_sink.h"
#include "rstund/control/methods.h"
#include "rstund/daemon_config.h"
#include "rstund/role.h"
#include "rstund/worker_private.h"
#include "tls/credentials.h"
#include "config/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct methods_rig *mrig;

static struct daemon_config config;
static struct daemon_params params;
static json_t *reply;
static int null_fd;

/* ---- The daemon ------------------------------------------------------------------------------ */

static void write_log(void *user, enum log_level level, const char *scope, const char *text)
{
	struct daemon *d = user;

	log_ring_add(d->lines, level, scope, text, 1);
	methods_log_added(d);
}

static void on_level_timer(void *user)
{
	struct daemon *d = user;

	daemon_set_level(d, d->level_before);
}

static struct answer on_call(struct call *c, enum rpc_method method, const void *p)
{
	struct daemon *d = mrig->daemon;

	loop_enter(&d->loop);
	switch (method) {
	case RPC_DAEMON_SHUTDOWN:
		return methods_daemon_shutdown(d, c, p);
	case RPC_LOG_GET_LEVEL:
		return methods_log_get_level(d, c);
	case RPC_LOG_SET_LEVEL:
		return methods_log_set_level(d, c, p);
	case RPC_LOG_TAIL:
		return methods_log_tail(d, c, p);
	case RPC_FLOW_LIST:
		return methods_flow_list(d, c, p);
	case RPC_FLOW_KILL:
		return methods_flow_kill(d, c, p);
	case RPC_CLIENT_TEST:
		return methods_client_test(d, c, p);
	case RPC_SESSION_LIST:
		return methods_session_list(d, c, p);
	case RPC_SESSION_GET:
		return methods_session_get(d, c, p);
	case RPC_SESSION_KICK:
		return methods_session_kick(d, c, p);
	case RPC_STATS_GET:
		return methods_stats_get(d, c, p);
	case RPC_METRICS_GET:
		return methods_metrics_get(d, c);
	default:
		assert_int_equal(method, RPC_CERT_LIST);
		return methods_cert_list(d, c, p);
	}
}

static struct daemon *new_daemon(void)
{
	struct daemon *d = calloc(1, sizeof(*d));

	assert_non_null(d);
	params = (struct daemon_params){.config = &config, .version = "0.1.0"};
	d->params = &params;
	d->phase = DAEMON_RUNNING;
	d->level = LOG_LEVEL_INFO;
	d->log = (struct log){.level = LOG_LEVEL_INFO, .write = write_log, .user = d};
	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_int_equal(log_sink_new(&d->sink, null_fd, LOG_LEVEL_INFO, LOG_SINK_TEXT), 0);
	assert_int_equal(log_ring_new(&d->lines), 0);
	assert_int_equal(loop_init(&d->loop, rig->loop.base, &d->log), 0);
	loop_timer_init(&d->level_timer, &d->loop, on_level_timer, d);
	loop_timer_init(&d->drain_timer, &d->loop, on_level_timer, d);
	notify_init(&d->notify);
	event_bus_init(&d->bus);
	LIST_INIT(&d->log_waits);
	LIST_INIT(&d->roles);
	inventory_init(&d->inventory);
	gathers_init(&d->gathers, &d->loop);
	sampler_init(&d->sampler, d);
	d->workers = calloc(METHODS_RIG_WORKERS, sizeof(struct worker *));
	for (d->worker_count = 0; d->worker_count < METHODS_RIG_WORKERS; d->worker_count++) {
		struct worker_params one = {.index = d->worker_count, .count = METHODS_RIG_WORKERS};

		assert_int_equal(worker_new(&d->workers[d->worker_count], &one), 0);
	}
	return d;
}

static void free_daemon(struct daemon *d)
{
	struct role *role;

	while ((role = LIST_FIRST(&d->roles)) != NULL)
		role_free(role);
	for (unsigned i = 0; i < d->worker_count; i++)
		worker_free(d->workers[i]);
	free(d->workers);
	sampler_done(&d->sampler);
	gathers_done(&d->gathers);
	inventory_done(&d->inventory);
	loop_timer_cancel(&d->level_timer);
	loop_timer_cancel(&d->drain_timer);
	notify_done(&d->notify);
	event_bus_done(&d->bus);
	loop_done(&d->loop);
	log_ring_free(d->lines);
	log_sink_free(d->sink);
	close(null_fd);
	free(d);
}

/* ---- What there is --------------------------------------------------------------------------- */

static struct held_mapping *add_mapping(const char *text, const char *name)
{
	struct daemon *d = mrig->daemon;
	char error[MAPPING_ERROR_SIZE];
	struct mapping mapping;
	struct held_mapping *m;

	assert_int_equal(mapping_parse(&mapping, MAPPING_TCP, text, strlen(text), error), 0);
	m = inventory_new_mapping(&d->inventory, mrig->client, &mapping, 0);
	assert_non_null(m);
	m->daemon = d;
	snprintf(m->name, sizeof(m->name), "%s", name);
	return m;
}

static void add_client(void)
{
	struct daemon *d = mrig->daemon;
	struct client_config *c = calloc(1, sizeof(*c));
	struct role *role;

	assert_int_equal(client_config_init(c), 0);
	assert_int_equal(role_new(&role, d, "home", NULL, c), 0);
	mrig->client = inventory_new_client(&d->inventory, "home");
	mrig->client->daemon = d;
	mrig->client->role = role;
	role->owner = mrig->client->number;
	mrig->web = add_mapping("OUT^9000^10.0.0.5:80", "web");
	mrig->web->role = role;
	mrig->web->worker = 1;
	mrig->paused = add_mapping("IN^22^0.0.0.0:2222", "");
	inventory_set_paused(&d->inventory, mrig->paused, true);
	inventory_set_state(&d->inventory, mrig->paused, RPC_STATE_PAUSED, 0);
}

static void add_server(void)
{
	struct daemon *d = mrig->daemon;
	struct server_config *c = calloc(1, sizeof(*c));
	struct address peer;
	struct tunnel_event t = {
		.type = TUNNEL_EVENT_SESSION,
		.id = METHODS_RIG_SESSION,
		.mode = MAPPING_OUT,
		.peer = &peer,
		.text = "",
		.session = {.change = TUNNEL_SESSION_LOGIN, .peer_software = "rstund 0.1.0"},
	};
	char error[TLS_ERROR_SIZE];
	struct bus_event *e;
	struct role *role;
	bool made;

	assert_int_equal(address_parse(&peer, "192.0.2.7:4433", 14), 0);
	assert_int_equal(server_config_init(c), 0);
	assert_int_equal(role_new(&role, d, "front", c, NULL), 0);
	assert_int_equal(tls_credentials_new_self_signed(&role->credentials, NULL, &made, error),
			 0);
	mrig->server = inventory_new_server(&d->inventory, "front");
	mrig->server->daemon = d;
	mrig->server->role = role;
	role->owner = mrig->server->number;
	mrig->server->state = RPC_SERVER_LISTENING;
	e = bus_event_new(BUS_EVENT_SESSION, &t, role->index, 0);
	assert_non_null(e);
	mrig->session = inventory_login(&d->inventory, mrig->server, e, 0);
	assert_non_null(mrig->session);
	bus_event_unref(e);
}

int methods_rig_setup(void **state)
{
	if (tls_global_init() != 0 || rig_setup(state) != 0)
		return -1;
	mrig = calloc(1, sizeof(*mrig));
	mrig->daemon = new_daemon();
	add_client();
	add_server();
	rig->handler = on_call;
	rig_connect(&mrig->caller, rig->path);
	return 0;
}

int methods_rig_teardown(void **state)
{
	int rc;

	rig_close(&mrig->caller);
	control_server_free(rig->cs);
	rig->cs = NULL;
	message_free(mrig->asked);
	free_daemon(mrig->daemon);
	free(mrig);
	json_decref(reply);
	reply = NULL;
	rc = rig_teardown(state);
	tls_global_done();
	return rc;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

void methods_rig_call(const char *method, const char *text)
{
	char line[1024];

	snprintf(line, sizeof(line),
		 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n", method, text);
	mrig->daemon->sampler.rest_until_ns = 0; /* the workers need no rest here */
	rig_say(&mrig->caller, line);
	rig_settle();
}

static void hear(void)
{
	json_decref(reply);
	reply = NULL;
	reply = rig_hear(&mrig->caller);
}

const json_t *methods_rig_result(void)
{
	const json_t *result;

	hear();
	result = json_object_get(reply, "result");
	if (result == NULL)
		fail_msg("%s", json_dumps(reply, JSON_COMPACT));
	return result;
}

int methods_rig_error(void)
{
	hear();
	assert_non_null(json_object_get(reply, "error"));
	return (int)json_integer_value(
		json_object_get(json_object_get(reply, "error"), "code"));
}

/* ---- Workers --------------------------------------------------------------------------------- */

const struct message *methods_rig_asked(unsigned worker, enum message_kind kind)
{
	struct mailbox_item *item = mailbox_take(&mrig->daemon->workers[worker]->mailbox);

	assert_non_null(item);
	message_free(mrig->asked);
	mrig->asked = message_of(item);
	assert_int_equal(mrig->asked->kind, kind);
	return mrig->asked;
}

void methods_rig_not_asked(unsigned worker)
{
	assert_null(mailbox_take(&mrig->daemon->workers[worker]->mailbox));
}

struct message *methods_rig_answer(enum message_kind kind, size_t data_bytes)
{
	struct message *m = message_new(kind, mrig->asked->role, data_bytes);

	assert_non_null(m);
	m->gather = mrig->asked->gather;
	return m;
}

void methods_rig_tell(struct message *m)
{
	loop_enter(&mrig->daemon->loop);
	gathers_on_message(&mrig->daemon->gathers, m);
	message_free(m);
}

void methods_rig_gathered(uint64_t count, int error)
{
	struct message *m = methods_rig_answer(MESSAGE_GATHERED, 0);

	m->gathered.count = count;
	m->gathered.error = error;
	methods_rig_tell(m);
}
