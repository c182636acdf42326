/* SPDX-License-Identifier: MIT */
/*
 * Life of the program. What must be there is one list of steps, begun in order and ended in the
 * opposite one; it is written once, and a step that fails undoes exactly what came before it. A
 * step's `done` accepts what its `init` left half-made.
 */
#include "rstund/daemon_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "quic/conn.h"
#include "rstund/control/apply.h"
#include "rstund/control/log_ring.h"
#include "rstund/control/log_sink.h"
#include "rstund/control/persist.h"
#include "rstund/control/registry.h"
#include "rstund/daemon_config.h"
#include "rstund/daemon_start.h"
#include "rstund/hold.h"
#include "rstund/messages.h"
#include "rstund/process.h"
#include "rstund/reload.h"
#include "rstund/worker.h"
#include "tls/credentials.h"
#include "tunnel/counters.h"

#include <inttypes.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAEMON_TRAFFIC_NS (30 * CLOCK_NS_PER_S)
#define DAEMON_TRIM_REMOVALS 100 /* after so many, */
#define DAEMON_TRIM_NS (2 * CLOCK_NS_PER_S) /* and so long behind the one that was it */
#define DAEMON_DRAIN_GRACE_NS (1 * CLOCK_NS_PER_S) /* for closing packets and the answer */

static const int daemon_signal_numbers[DAEMON_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

/* ---- the process ---- */

static void daemon_done_nothing(struct daemon *d)
{
	(void)d;
}

static int daemon_init_process(struct daemon *d)
{
	uint64_t epoch = random_u64();

	snprintf(d->epoch, sizeof(d->epoch), "%016" PRIx64, epoch);
	d->started_wall_us = clock_wall_us();
	d->started_ns = clock_now_ns();
	notify_init(&d->notify);
	process_raise_descriptors();
	process_hide_memory();
	process_ignore_sigpipe();
	return process_fill_standard_fds();
}

static void daemon_done_process(struct daemon *d)
{
	notify_done(&d->notify);
}

/* ---- loop ---- */

static int daemon_init_loop(struct daemon *d)
{
	int rc = loop_init(&d->loop, NULL, &d->log);

	if (rc == 0)
		rc = mailbox_init(&d->mailbox, daemon_on_item, d);
	if (rc != 0)
		return rc;
	gathers_init(&d->gathers, &d->loop);
	sampler_init(&d->sampler, d);
	return mailbox_attach(&d->mailbox, &d->loop);
}

static void daemon_done_loop(struct daemon *d)
{
	struct mailbox_item *item;

	sampler_done(&d->sampler);
	gathers_done(&d->gathers);
	if (d->mailbox.fd >= 0) {
		while ((item = mailbox_take(&d->mailbox)) != NULL)
			message_free(message_of(item));
		mailbox_done(&d->mailbox);
	}
	loop_done(&d->loop);
}

/* ---- libraries ---- */

static int daemon_init_tls(struct daemon *d)
{
	(void)d;
	return tls_global_init();
}

static void daemon_done_tls(struct daemon *d)
{
	(void)d;
	tls_global_done();
}

/* ---- what there is ---- */

static int daemon_init_inventory(struct daemon *d)
{
	inventory_init(&d->inventory);
	LIST_INIT(&d->roles);
	return registry_new(&d->registry, &daemon_registry_ops, d);
}

static void daemon_done_inventory(struct daemon *d)
{
	struct held_server *s;
	struct role *role;

	apply_forget(d);
	persist_close(d);
	TAILQ_FOREACH (s, &d->inventory.servers, link) {
		loop_timer_cancel(&s->retry_timer);
		server_config_free(s->config);
		free(s->config);
	}
	for (size_t i = 0; i < INVENTORY_BUCKETS; i++) {
		struct held_mapping *m;

		LIST_FOREACH (m, &d->inventory.mapping_hash[i], hash_link) {
			loop_timer_cancel(&m->bind_timer);
			loop_timer_cancel(&m->expiry_timer);
		}
	}
	hold_mapping_shut_paths(d); /* of a start that failed */
	inventory_done(&d->inventory);
	while ((role = LIST_FIRST(&d->roles)) != NULL)
		role_free(role);
	registry_free(d->registry);
	d->registry = NULL;
}

static int daemon_init_ready(struct daemon *d)
{
	uint64_t number = d->params->config->ready_fd;
	int rc = ready_init(&d->ready, number);

	if (rc != 0) {
		log_error(&d->log, "rstund", "--ready-fd: descriptor %" PRIu64
			  " is not open for writing", number);
		d->exit_status = 2;
	}
	return rc;
}

static void daemon_done_ready(struct daemon *d)
{
	ready_done(&d->ready);
}

/* ---- workers ---- */

static bool daemon_wants_flows(const struct daemon *d)
{
	return d->flow_events || d->params->config->flow_log || d->level <= LOG_LEVEL_TRACE;
}

static int daemon_init_workers(struct daemon *d)
{
	int rc = 0;

	d->workers = calloc(d->worker_count, sizeof(struct worker *));
	if (d->workers == NULL)
		return RSTUN_E_NOMEM;
	for (unsigned i = 0; i < d->worker_count && rc == 0; i++) {
		struct worker_params params = {
			.index = i,
			.all = d->workers,
			.count = d->worker_count,
			.control = &d->mailbox,
			.level = d->level,
			.flow_events = daemon_wants_flows(d),
		};

		rc = worker_new(&d->workers[i], &params);
	}
	process_block_signals();
	for (unsigned i = 0; i < d->worker_count && rc == 0; i++)
		rc = worker_start(d->workers[i]);
	process_unblock_signals();
	process_give_way();
	if (rc != 0)
		log_error(&d->log, "rstund", "cannot start %u workers: %s", d->worker_count,
			  rstun_strerror(rc));
	return rc;
}

static void daemon_stop_worker(struct worker *w)
{
	struct message *m;

	/* The process cannot end without it, so this one allocation is tried until it succeeds. */
	while ((m = message_new(MESSAGE_STOP, 0, 0)) == NULL)
		sched_yield();
	worker_post(w, m);
}

static void daemon_done_workers(struct daemon *d)
{
	struct mailbox_item *item;
	struct role *role;

	if (d->workers == NULL)
		return;
	for (unsigned i = 0; i < d->worker_count; i++)
		if (d->workers[i] != NULL)
			daemon_stop_worker(d->workers[i]);
	for (unsigned i = 0; i < d->worker_count; i++)
		if (d->workers[i] != NULL)
			worker_join(d->workers[i]);
	/* Their last words: ends of sessions, final counters, log lines. */
	while ((item = mailbox_take(&d->mailbox)) != NULL)
		daemon_on_item(d, item);
	LIST_FOREACH (role, &d->roles, link)
		role_publish_counters(role);
	for (unsigned i = 0; i < d->worker_count; i++)
		worker_free(d->workers[i]);
	free(d->workers);
	d->workers = NULL;
}

/* ---- level of the log ---- */

static void daemon_tell_settings(struct daemon *d)
{
	for (unsigned i = 0; d->workers != NULL && i < d->worker_count; i++) {
		struct message *m = message_new(MESSAGE_SETTINGS, 0, 0);

		if (m == NULL)
			continue;
		m->settings.level = d->level;
		m->settings.flow_events = daemon_wants_flows(d);
		worker_post(d->workers[i], m);
	}
}

void daemon_set_level(struct daemon *d, enum log_level level)
{
	char text[64];

	if (level == d->level)
		return;
	d->level = d->log.level = level;
	log_sink_set_level(d->sink, level);
	daemon_tell_settings(d);
	snprintf(text, sizeof(text), "the log's level is %s now", log_level_name(level));
	log_info(&d->log, "rstund", "%s", text);
	daemon_publish_daemon(d, RPC_DAEMON_CHANGE_LEVEL, text);
}

void daemon_set_flow_events(struct daemon *d, bool wanted)
{
	d->flow_events = wanted;
	daemon_tell_settings(d);
}

static void daemon_on_level_timer(void *user)
{
	struct daemon *d = user;

	daemon_set_level(d, d->level_before);
}

/* ---- signals, drain, ready ---- */

static void daemon_begin_drain(struct daemon *d, enum daemon_phase phase, uint64_t wait_ns)
{
	uint64_t deadline_ns = loop_now(&d->loop) + wait_ns;
	struct role *role;

	if (d->phase < DAEMON_DRAINING)
		LIST_FOREACH (role, &d->roles, link)
			d->draining += role->removing ? 0 : role->parts;
	d->phase = phase;
	hold_mapping_shut_paths(d);
	for (unsigned i = 0; i < d->worker_count; i++) {
		struct message *m = message_new(MESSAGE_DRAIN, 0, 0);

		if (m == NULL)
			continue;
		m->drain.deadline_ns = deadline_ns;
		worker_post(d->workers[i], m);
	}
	loop_timer_arm(&d->drain_timer, deadline_ns + DAEMON_DRAIN_GRACE_NS);
	if (d->draining == 0)
		loop_stop(&d->loop);
}

void daemon_on_drained(struct daemon *d)
{
	if (d->draining > 0 && --d->draining == 0)
		loop_stop(&d->loop);
}

static void daemon_on_drain_timer(void *user)
{
	struct daemon *d = user;

	loop_stop(&d->loop);
}

void daemon_fail(struct daemon *d, const char *scope, const char *text)
{
	if (d->phase >= DAEMON_CLOSING)
		return;
	log_error(&d->log, scope, "%s", text);
	d->exit_status = 1;
	daemon_begin_drain(d, DAEMON_CLOSING, 0);
}

void daemon_shutdown(struct daemon *d, uint64_t drain_ms, const char *why)
{
	char text[160];

	if (d->phase >= DAEMON_CLOSING)
		return; /* there is no way back to draining */
	if (drain_ms > 0)
		snprintf(text, sizeof(text),
			 "%s: stopping, open TCP connections may end within %g s (a second signal "
			 "ends them now)",
			 why, (double)drain_ms / 1000);
	else
		snprintf(text, sizeof(text), "%s: closing everything now", why);
	log_info(&d->log, "rstund", "%s", text);
	if (d->phase < DAEMON_DRAINING) {
		notify_stopping(&d->notify, why);
		daemon_publish_daemon(d, RPC_DAEMON_CHANGE_DRAINING, text);
	}
	daemon_begin_drain(d, drain_ms > 0 ? DAEMON_DRAINING : DAEMON_CLOSING, clock_ms(drain_ms));
}

static void daemon_on_signal(evutil_socket_t number, short what, void *user)
{
	struct daemon *d = user;

	(void)what;
	loop_enter(&d->loop);
	if (number == SIGHUP && d->phase <= DAEMON_RUNNING)
		reload_on_signal(d);
	else if (number != SIGHUP && d->phase < DAEMON_DRAINING)
		daemon_shutdown(d, d->params->config->drain_ms,
				number == SIGINT ? "SIGINT" : "SIGTERM");
	else if (number != SIGHUP && d->phase == DAEMON_DRAINING)
		daemon_shutdown(d, 0, "second signal");
}

/* ---- counters for the log, and the total for subscribers ---- */

void daemon_total(const struct daemon *d, struct tunnel_counters *ret)
{
	const struct role *role;

	*ret = d->retired;
	ret->rtt_ms = ret->cwnd_bytes = 0;
	ret->current_mtu = ret->max_datagram = 0;
	LIST_FOREACH (role, &d->roles, link) {
		struct tunnel_counters sum;

		role_sum(role, &sum);
		counters_add(ret, &sum);
	}
}

static void daemon_on_traffic(void *user)
{
	struct daemon *d = user;
	struct tunnel_event e = {.type = TUNNEL_EVENT_STAT, .text = ""};
	struct role *role;

	LIST_FOREACH (role, &d->roles, link)
		role_publish_counters(role);
	daemon_total(d, &e.stat);
	event_bus_publish(&d->bus, bus_event_new(BUS_EVENT_STAT, &e, 0, clock_wall_us()));
}

static void daemon_on_traffic_timer(void *user)
{
	struct daemon *d = user;

	loop_timer_arm(&d->traffic_timer, loop_now(&d->loop) + DAEMON_TRAFFIC_NS);
	if (!d->traffic_wait.waiting)
		sampler_refresh(&d->sampler, &d->traffic_wait, daemon_on_traffic, d);
}

void daemon_check_ready(struct daemon *d)
{
	const struct held_server *s;

	if (d->phase != DAEMON_RUNNING || d->inventory.never_up > 0)
		return;
	TAILQ_FOREACH (s, &d->inventory.servers, link)
		if (s->state == RPC_SERVER_STARTING || s->state == RPC_SERVER_FAILED)
			return;
	ready_tell(&d->ready);
}

/* ---- memory ---- */

/* After many mappings or sessions have gone their memory is free but scattered: without this a
 * thousand of them would cost 150 MB for as long as the daemon runs. */
static void daemon_on_trim_timer(void *user)
{
	struct daemon *d = user;

	d->removals = 0;
	malloc_trim(0);
}

void daemon_on_gone(struct daemon *d)
{
	if (++d->removals == DAEMON_TRIM_REMOVALS && d->phase <= DAEMON_RUNNING)
		loop_timer_arm(&d->trim_timer, clock_after(loop_now(&d->loop), DAEMON_TRIM_NS));
}

/* ---- systemd ---- */

static void daemon_on_watched(void *user, bool complete)
{
	struct daemon *d = user;

	d->watchdog = NULL;
	if (complete)
		notify_watchdog(&d->notify);
	else
		log_error(&d->log, "rstund", "a worker does not answer: the watchdog is not fed");
}

static const struct gather_ops daemon_watchdog_ops = {.done = daemon_on_watched};

static void daemon_on_watchdog(void *user)
{
	struct daemon *d = user;
	uint64_t interval_ns = notify_watchdog_ns(&d->notify) / 2;

	loop_timer_arm(&d->watchdog_timer, clock_after(loop_now(&d->loop), interval_ns));
	if (d->watchdog != NULL ||
	    gather_new(&d->watchdog, &d->gathers, &daemon_watchdog_ops, d,
		       interval_ns / CLOCK_NS_PER_MS) != 0)
		return;
	for (unsigned i = 0; i < d->worker_count; i++) {
		struct message *m = message_new(MESSAGE_PING, 0, 0);

		if (m != NULL)
			gather_ask(d->watchdog, d->workers[i], m);
	}
}

/* Sockets are bound, or tried; whether tunnels are up is for --ready-fd. */
static void daemon_tell_systemd(struct daemon *d)
{
	char text[160];

	snprintf(text, sizeof(text), "%zu clients, %zu servers, %" PRIu64 " mappings",
		 d->inventory.client_count, d->inventory.server_count, d->inventory.states.total);
	notify_ready(&d->notify, text);
	if (notify_watchdog_ns(&d->notify) != 0)
		daemon_on_watchdog(d);
}

static int daemon_init_signals(struct daemon *d)
{
	for (size_t i = 0; i < DAEMON_SIGNALS; i++) {
		evsignal_assign(&d->signals[i], d->loop.base, daemon_signal_numbers[i],
				daemon_on_signal, d);
		if (evsignal_add(&d->signals[i], NULL) != 0)
			return RSTUN_E_NOMEM;
	}
	loop_timer_init(&d->traffic_timer, &d->loop, daemon_on_traffic_timer, d);
	loop_timer_init(&d->drain_timer, &d->loop, daemon_on_drain_timer, d);
	loop_timer_init(&d->level_timer, &d->loop, daemon_on_level_timer, d);
	loop_timer_init(&d->trim_timer, &d->loop, daemon_on_trim_timer, d);
	loop_timer_init(&d->watchdog_timer, &d->loop, daemon_on_watchdog, d);
	loop_timer_arm(&d->traffic_timer, loop_now(&d->loop) + DAEMON_TRAFFIC_NS);
	return 0;
}

static void daemon_done_signals(struct daemon *d)
{
	process_block_signals(); /* the rest takes no time, and the exit status is settled */
	for (size_t i = 0; i < DAEMON_SIGNALS; i++)
		if (event_initialized(&d->signals[i]))
			evsignal_del(&d->signals[i]);
	if (d->watchdog_timer.loop == NULL)
		return;
	loop_timer_cancel(&d->traffic_timer);
	loop_timer_cancel(&d->drain_timer);
	loop_timer_cancel(&d->level_timer);
	loop_timer_cancel(&d->trim_timer);
	loop_timer_cancel(&d->watchdog_timer);
}

static int daemon_init_start(struct daemon *d)
{
	int rc = daemon_start_all(d);

	if (rc != 0)
		return rc;
	daemon_tell_systemd(d);
	if (d->starting == 0)
		daemon_started(d);
	return 0;
}

static const struct daemon_step {
	const char *name; /* NULL: it says itself what went wrong */
	int (*init)(struct daemon *d);
	void (*done)(struct daemon *d);
} daemon_steps[] = {
	{NULL, daemon_start_activation, daemon_end_activation},
	{"process", daemon_init_process, daemon_done_process},
	{"log", daemon_start_log, daemon_end_log},
	{"loop", daemon_init_loop, daemon_done_loop},
	{"TLS library", daemon_init_tls, daemon_done_tls},
	{NULL, daemon_start_greeting, daemon_done_nothing},
	{NULL, daemon_init_ready, daemon_done_ready},
	{NULL, daemon_start_socket, daemon_end_socket},
	{"inventory", daemon_init_inventory, daemon_done_inventory},
	{NULL, daemon_init_workers, daemon_done_workers},
	{"signals", daemon_init_signals, daemon_done_signals},
	{"control socket", daemon_start_control, daemon_end_control},
	{NULL, daemon_init_start, daemon_done_nothing},
};

#define DAEMON_STEPS (sizeof(daemon_steps) / sizeof(daemon_steps[0]))

int daemon_run(const struct daemon_params *params)
{
	struct daemon *d = calloc(1, sizeof(*d));
	size_t step;
	int rc = 0, status;

	if (d == NULL) {
		fprintf(stderr, "rstund: %s\n", rstun_strerror(RSTUN_E_NOMEM));
		return 1;
	}
	d->params = params;
	d->mailbox.fd = -1;
	d->ready.fd = -1;
	d->socket = d->monitor_socket = UNIX_SOCKET_NONE;
	d->state_dir = STATE_DIR_NONE;
	for (step = 0; step < DAEMON_STEPS && rc == 0; step++)
		rc = daemon_steps[step].init(d);
	if (rc == 0) {
		loop_run(&d->loop);
	} else {
		if (d->exit_status == 0)
			d->exit_status = 1;
		if (d->sink != NULL && (daemon_steps[step - 1].name != NULL || rc == RSTUN_E_NOMEM))
			log_error(&d->log, "rstund", "cannot start (%s): %s",
				  daemon_steps[step - 1].name != NULL ? daemon_steps[step - 1].name
								      : "roles",
				  rstun_strerror(rc));
	}
	d->phase = DAEMON_OVER;
	while (step-- > 0)
		daemon_steps[step].done(d);
	status = d->exit_status;
	free(d);
	return status;
}
