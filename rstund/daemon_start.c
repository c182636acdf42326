/* SPDX-License-Identifier: MIT */
/*
 * The daemon's beginning, step by step; daemon.c has the order.
 */
#include "rstund/daemon_start.h"

#include "base/clock.h"
#include "base/error.h"
#include "quic/conn.h"
#include "rpc/field_json.h"
#include "rstund/control/control_server.h"
#include "rstund/control/event_text.h"
#include "rstund/control/log_ring.h"
#include "rstund/control/log_sink.h"
#include "rstund/control/methods.h"
#include "rstund/control/persist.h"
#include "rstund/control/show.h"
#include "rstund/daemon_config.h"
#include "rstund/daemon_private.h"
#include "rstund/hold.h"
#include "rstund/process.h"
#include "rstund/reload.h"
#include "tls/aead.h"
#include "tls/credentials.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAEMON_SOCKET_MODE 0660
#define DAEMON_MONITOR_SOCKET "rstund-ro.sock"

bool daemon_is_role_line(const struct daemon *d)
{
	return d->params->server != NULL || d->params->client != NULL;
}

const char *daemon_state_dir(const struct daemon *d)
{
	return d->params->config->state_dir;
}

/* ---- Activation ------------------------------------------------------------------------------ */

int daemon_start_activation(struct daemon *d)
{
	char error[ACTIVATION_ERROR_SIZE];
	int rc = activation_take(&d->activation, error);

	if (rc != 0)
		fprintf(stderr, "rstund: socket activation: %s\n", error);
	return rc;
}

void daemon_end_activation(struct daemon *d)
{
	activation_free(&d->activation);
}

/* ---- Log ------------------------------------------------------------------------------------- */

static void daemon_write_log(void *user, enum log_level level, const char *scope, const char *text)
{
	struct daemon *d = user;

	event_bus_publish(&d->bus, bus_event_new_log(level, scope, text, clock_wall_us()));
}

struct daemon_line {
	struct daemon *daemon;
	const struct bus_event *event;
	bool added;
};

static void daemon_line(void *user, enum log_level level, const char *scope, const char *text)
{
	struct daemon_line *line = user;
	struct daemon *d = line->daemon;

	if (line->event->type == BUS_EVENT_FLOW && d->params->config->flow_log)
		level = LOG_LEVEL_INFO;
	if (level < d->level)
		return;
	log_sink_write(d->sink, level, scope, text, line->event->wall_us);
	log_ring_add(d->lines, level, scope, text, line->event->wall_us);
	line->added = true;
}

static void daemon_to_sink(void *user, struct bus_event *e)
{
	struct daemon *d = user;
	struct daemon_line line = {.daemon = d, .event = e};

	if (d->bus.dropped != d->bus_dropped) {
		d->lost_lines += d->bus.dropped - d->bus_dropped;
		log_sink_lost(d->sink, d->bus.dropped - d->bus_dropped);
		d->bus_dropped = d->bus.dropped;
	}
	event_text_lines(e, daemon_line, &line);
	if (line.added)
		methods_log_added(d);
}

int daemon_start_log(struct daemon *d)
{
	const struct daemon_config *config = d->params->config;
	int rc;

	show_init();
	field_json_wipe_memory();
	d->level = (enum log_level)config->loglevel;
	process_block_signals();
	rc = log_sink_new(&d->sink, STDERR_FILENO, d->level,
			  (enum log_sink_format)config->log_format);
	process_unblock_signals();
	if (rc == 0)
		rc = log_ring_new(&d->lines);
	if (rc != 0)
		return rc;
	d->log = (struct log){.level = d->level, .write = daemon_write_log, .user = d};
	LIST_INIT(&d->log_waits);
	LIST_INIT(&d->mapping_waits);
	event_bus_init(&d->bus);
	return event_bus_subscribe(&d->bus, &d->to_sink, BUS_EVENT_ALL, daemon_to_sink, d);
}

void daemon_end_log(struct daemon *d)
{
	if (d->sink != NULL && d->lines != NULL) {
		event_bus_unsubscribe(&d->bus, &d->to_sink);
		event_bus_done(&d->bus);
	}
	log_sink_free(d->sink);
	log_ring_free(d->lines);
	d->sink = NULL;
	d->lines = NULL;
}

/* ---- Greeting -------------------------------------------------------------------------------- */

static bool daemon_uses_bbr(const struct daemon_params *params)
{
	if (params->server != NULL)
		return params->server->congestion == CONFIG_CONGESTION_BBR;
	if (params->client != NULL)
		return params->client->congestion == CONFIG_CONGESTION_BBR;
	return true; /* the default of whatever is added */
}

int daemon_start_greeting(struct daemon *d)
{
	const struct daemon_params *params = d->params;

	d->worker_count = params->config->workers != 0 ? (unsigned)params->config->workers
						       : process_cores();
	if (d->worker_count > ROLE_WORKERS_MAX)
		d->worker_count = ROLE_WORKERS_MAX;
	log_info(&d->log, "rstund", "rstund %s, %s, GnuTLS %s, packets by %s, %u worker%s",
		 params->version, quic_library_version(), tls_library_version(), tls_aead_library(),
		 d->worker_count, d->worker_count == 1 ? "" : "s");
	for (size_t i = 0; i < params->warning_count; i++)
		log_warn(&d->log, "rstund", "%s", params->warnings[i]);
	if (daemon_uses_bbr(params) && !quic_library_bbr_patched())
		log_info(&d->log, "rstund",
			 "this ngtcp2 lacks the loss threshold of contrib/patches: BBR is slow on "
			 "links that lose more than 2 %% of packets (contrib/deps builds one that "
			 "has it)");
	return 0;
}

/* ---- Control socket -------------------------------------------------------------------------- */

/* A name or a number. (gid_t)-1 when none is given. */
static int daemon_group(struct daemon *d, const char *option, const char *text, gid_t *ret)
{
	char *end;
	struct group *group;
	unsigned long number;

	*ret = (gid_t)-1;
	if (text == NULL)
		return 0;
	number = strtoul(text, &end, 10);
	if (*end == '\0' && end != text) {
		*ret = (gid_t)number;
		return 0;
	}
	group = getgrnam(text);
	if (group == NULL) {
		log_error(&d->log, "rstund", "--%s: there is no group %s on this machine", option,
			  text);
		return RSTUN_E_NOT_FOUND;
	}
	*ret = group->gr_gid;
	return 0;
}

static int daemon_adopt_socket(struct daemon *d, bool *ret_adopted)
{
	char error[UNIX_SOCKET_ERROR_SIZE];

	*ret_adopted = false;
	for (size_t i = 0; i < d->activation.count; i++) {
		struct activation_socket *passed = &d->activation.sockets[i];
		int rc;

		if (passed->fd < 0 || *ret_adopted) {
			if (passed->fd >= 0)
				log_warn(&d->log, "rstund", "the socket %s that was passed in is not "
					 "used", passed->name);
			continue;
		}
		rc = unix_socket_adopt(&d->socket, passed->fd, error);
		if (rc != 0) {
			log_error(&d->log, "rstund", "socket activation: %s", error);
			return rc;
		}
		passed->fd = -1;
		*ret_adopted = true;
	}
	return 0;
}

/* Without one a role of the command line runs all the same: many run side by side, as people who
 * may not write to the default place. */
static int daemon_no_socket(struct daemon *d, int rc, const char *error)
{
	if (!daemon_is_role_line(d) || d->params->config->socket != NULL) {
		log_error(&d->log, "rstund", "%s", error);
		return rc;
	}
	log_info(&d->log, "rstund", "no control socket: %s", error);
	return 0;
}

static int daemon_listen_monitor(struct daemon *d, gid_t group)
{
	struct unix_socket_params params = {.mode = DAEMON_SOCKET_MODE, .group = group};
	char error[UNIX_SOCKET_ERROR_SIZE], *path = NULL;
	const char *main_path = d->socket.path;
	const char *slash = main_path != NULL ? strrchr(main_path, '/') : NULL;
	int rc = 0;

	if (slash == NULL)
		log_warn(&d->log, "rstund", "--monitor-group: the control socket was passed in, and "
					    "where it lies is not known: there is no read-only one");
	if (slash == NULL ||
	    asprintf(&path, "%.*s/%s", (int)(slash - main_path), main_path, DAEMON_MONITOR_SOCKET) <
		    0)
		return 0;
	rc = unix_socket_listen(&d->monitor_socket, path, &params, error);
	free(path);
	if (rc != 0)
		log_error(&d->log, "rstund", "--monitor-group: %s", error);
	return rc;
}

int daemon_start_socket(struct daemon *d)
{
	const struct daemon_config *config = d->params->config;
	struct unix_socket_params params = {.mode = DAEMON_SOCKET_MODE};
	char error[UNIX_SOCKET_ERROR_SIZE], *path;
	struct unix_socket_env env;
	gid_t monitor;
	bool adopted;
	int rc = daemon_group(d, "admin-group", config->admin_group, &d->admin_group);

	if (rc == 0)
		rc = daemon_group(d, "monitor-group", config->monitor_group, &monitor);
	if (rc == 0)
		rc = daemon_adopt_socket(d, &adopted);
	if (rc != 0)
		return rc;
	if (!adopted) {
		unix_socket_env_init(&env, config->socket);
		rc = unix_socket_path(&path, &env);
		if (rc != 0)
			return rc;
		params.group = d->admin_group;
		params.beside = daemon_is_role_line(d) && config->socket == NULL;
		rc = unix_socket_listen(&d->socket, path, &params, error);
		if (rc == 0 && strcmp(path, d->socket.path) != 0)
			log_info(&d->log, "rstund", "another rstund serves %s; control socket: %s",
				 path, d->socket.path);
		free(path);
		if (rc != 0)
			return daemon_no_socket(d, rc, error);
	}
	return config->monitor_group != NULL ? daemon_listen_monitor(d, monitor) : 0;
}

void daemon_end_socket(struct daemon *d)
{
	unix_socket_close(&d->socket);
	unix_socket_close(&d->monitor_socket);
}

static int daemon_snapshot(void *user, struct rpc_snapshot *ret)
{
	return show_snapshot(ret, user);
}

static bool daemon_find_mapping(void *user, const char *id_or_name, uint64_t *ret_number)
{
	const struct daemon *d = user;
	const struct held_mapping *m = inventory_mapping(&d->inventory, id_or_name);

	if (m == NULL)
		return false;
	*ret_number = m->number;
	return true;
}

static void daemon_on_caller_gone(void *user, uint64_t caller)
{
	hold_mapping_caller_gone(user, caller);
}

static void daemon_on_wanted(void *user, uint64_t stat_interval_ms, bool flows)
{
	struct daemon *d = user;

	sampler_want_interval(&d->sampler, stat_interval_ms);
	if (flows != d->flow_events)
		daemon_set_flow_events(d, flows);
}

static void daemon_visit_stats(void *user,
			       void (*visit)(void *arg, const struct control_stat *stat), void *arg)
{
	struct daemon *d = user;
	const struct held_mapping *m;

	TAILQ_FOREACH (m, &d->inventory.mappings, link) {
		struct control_stat stat = {
			.mapping = m->number,
			.name = m->name[0] != '\0' ? m->name : NULL,
			.mode = (int)m->mapping.mode,
			.proto = (int)m->mapping.proto,
		};

		show_stat(&stat.stat, &m->counters);
		visit(arg, &stat);
	}
}

int daemon_start_control(struct daemon *d)
{
	struct control_server_params params = {
		.loop = &d->loop,
		.log = &d->log,
		.bus = &d->bus,
		.epoch = d->epoch,
		.uid = geteuid(),
		.admin_group = d->admin_group,
		.on_call = methods_call,
		.on_gone = daemon_on_caller_gone,
		.snapshot = daemon_snapshot,
		.find_mapping = daemon_find_mapping,
		.on_wanted = daemon_on_wanted,
		.visit_stats = daemon_visit_stats,
		.user = d,
	};
	int rc = control_server_new(&d->control, &params);

	if (rc == 0 && d->socket.fd >= 0)
		rc = control_server_listen(d->control, &d->socket, false);
	if (rc == 0 && d->monitor_socket.fd >= 0)
		rc = control_server_listen(d->control, &d->monitor_socket, true);
	return rc;
}

void daemon_end_control(struct daemon *d)
{
	control_server_free(d->control);
	d->control = NULL;
	methods_discover_forget(d);
}

/* ---- What to hold ---------------------------------------------------------------------------- */

static int daemon_start_server(struct daemon *d)
{
	struct server_config *config = calloc(1, sizeof(*config));
	struct rpc_error error;
	struct held_server *s;

	if (config == NULL)
		return RSTUN_E_NOMEM;
	*config = *d->params->server;
	memset(d->params->server, 0, sizeof(*d->params->server));
	if (hold_server_add(d, "server", RPC_ORIGIN_COMMAND_LINE, config, true, &s, &error) == 0)
		return 0;
	log_error(&d->log, "server", "%s", error.message);
	return RSTUN_E_FAILED;
}

static int daemon_start_client(struct daemon *d)
{
	struct client_config *config = calloc(1, sizeof(*config));
	struct rpc_error error;
	struct held_client *c;

	if (config == NULL)
		return RSTUN_E_NOMEM;
	*config = *d->params->client;
	memset(d->params->client, 0, sizeof(*d->params->client));
	if (hold_client_add(d, "client", RPC_ORIGIN_COMMAND_LINE, config, &c, &error) != 0)
		goto fail;
	for (size_t i = 0; i < config->mapping_count; i++) {
		struct hold_mapping_params params = {
			.client = c,
			.mapping = config->mappings[i],
			.origin = RPC_ORIGIN_COMMAND_LINE,
			.expires_ms = UINT64_MAX,
			.expires_wall_us = INT64_MAX,
			.must_listen = true,
		};
		struct held_mapping *m;

		if (hold_mapping_add(d, &params, &m, &error) != 0)
			goto fail;
	}
	return 0;
fail:
	log_error(&d->log, "client", "%s", error.message);
	return RSTUN_E_FAILED;
}

int daemon_start_all(struct daemon *d)
{
	struct rpc_error error;
	int rc = 0;

	loop_enter(&d->loop);
	if (d->params->server != NULL)
		return daemon_start_server(d);
	if (d->params->client != NULL)
		return daemon_start_client(d);
	if (d->params->set != NULL)
		rc = reload_start(d, d->params->set, &error);
	if (rc == 0)
		rc = persist_restore(d, &error);
	if (rc != 0)
		log_error(&d->log, "rstund", "%s", error.message);
	return rc != 0 ? RSTUN_E_FAILED : 0;
}

void daemon_started(struct daemon *d)
{
	if (d->phase != DAEMON_STARTING)
		return;
	d->phase = DAEMON_RUNNING;
	daemon_publish_daemon(d, RPC_DAEMON_CHANGE_RUNNING, "started");
	daemon_check_ready(d);
}

void daemon_await_start(struct daemon *d)
{
	if (d->phase == DAEMON_STARTING)
		d->starting++;
}
