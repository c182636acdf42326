/* SPDX-License-Identifier: MIT */
/*
 * Life of the program. What must be there is one list of steps, begun in order and ended in the
 * opposite one; it is written once, and a step that fails undoes exactly what came before it. A
 * step's `done` accepts what its `init` left half-made.
 */
#include "rstund/daemon_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "quic/conn.h"
#include "rstund/control/event_text.h"
#include "rstund/control/log_sink.h"
#include "rstund/control/registry.h"
#include "rstund/messages.h"
#include "rstund/process.h"
#include "rstund/worker.h"
#include "tls/credentials.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define DAEMON_TRAFFIC_NS (30 * CLOCK_NS_PER_S)
#define DAEMON_DRAIN_NS (5 * CLOCK_NS_PER_S)
#define DAEMON_DRAIN_GRACE_NS (1 * CLOCK_NS_PER_S) /* for closing packets and the answer */

static const int daemon_signal_numbers[DAEMON_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

/* ---- the process ---- */

static void daemon_done_nothing(struct daemon *d)
{
	(void)d;
}

static int daemon_init_process(struct daemon *d)
{
	(void)d;
	process_raise_descriptors();
	process_hide_memory();
	process_ignore_sigpipe();
	return process_fill_standard_fds();
}

/* ---- log and bus ---- */

static void daemon_write_log(void *user, enum log_level level, const char *scope, const char *text)
{
	struct daemon *d = user;

	event_bus_publish(&d->bus, bus_event_new_log(level, scope, text, clock_wall_us()));
}

struct daemon_line {
	struct daemon *daemon;
	const struct bus_event *event;
};

static void daemon_line(void *user, enum log_level level, const char *scope, const char *text)
{
	struct daemon_line *line = user;

	log_sink_write(line->daemon->sink, level, scope, text, line->event->wall_us);
}

static void daemon_to_sink(void *user, struct bus_event *e)
{
	struct daemon *d = user;
	struct daemon_line line = {.daemon = d, .event = e};

	if (d->bus.dropped != d->bus_dropped) {
		log_sink_lost(d->sink, d->bus.dropped - d->bus_dropped);
		d->bus_dropped = d->bus.dropped;
	}
	event_text_lines(e, daemon_line, &line);
}

static int daemon_init_log(struct daemon *d)
{
	int rc;

	process_block_signals();
	rc = log_sink_new(&d->sink, STDERR_FILENO, d->params->level);
	process_unblock_signals();
	if (rc != 0)
		return rc;
	d->log = (struct log){.level = d->params->level, .write = daemon_write_log, .user = d};
	event_bus_init(&d->bus);
	return event_bus_subscribe(&d->bus, &d->to_sink, BUS_EVENT_ALL, daemon_to_sink, d);
}

static void daemon_done_log(struct daemon *d)
{
	if (d->sink == NULL)
		return;
	event_bus_unsubscribe(&d->bus, &d->to_sink);
	event_bus_done(&d->bus);
	log_sink_free(d->sink);
	d->sink = NULL;
}

/* ---- loop ---- */

static int daemon_init_loop(struct daemon *d)
{
	int rc = loop_init(&d->loop, NULL, &d->log);

	if (rc == 0)
		rc = mailbox_init(&d->mailbox, daemon_on_item, d);
	return rc != 0 ? rc : mailbox_attach(&d->mailbox, &d->loop);
}

static void daemon_done_loop(struct daemon *d)
{
	struct mailbox_item *item;

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

static int daemon_init_registry(struct daemon *d)
{
	return registry_new(&d->registry, &daemon_registry_ops, d);
}

static void daemon_done_registry(struct daemon *d)
{
	registry_free(d->registry);
	d->registry = NULL;
}

/* ---- what it says first ---- */

static bool daemon_uses_bbr(const struct daemon_params *params)
{
	for (size_t i = 0; i < params->role_count; i++) {
		const struct role_config *c = &params->roles[i];

		if ((c->server != NULL ? c->server->congestion : c->client->congestion) ==
		    CONFIG_CONGESTION_BBR)
			return true;
	}
	return false;
}

static int daemon_init_greeting(struct daemon *d)
{
	unsigned cores = process_cores();

	for (size_t i = 0; i < d->params->role_count; i++) {
		unsigned wanted = role_wanted_workers(&d->params->roles[i], cores);

		if (wanted > d->worker_count)
			d->worker_count = wanted;
	}
	log_info(&d->log, "rstund", "rstund %s, %s, GnuTLS %s, %u worker%s", d->params->version,
		 quic_library_version(), tls_library_version(), d->worker_count,
		 d->worker_count == 1 ? "" : "s");
	for (size_t i = 0; i < d->params->warning_count; i++)
		log_warn(&d->log, "rstund", "%s", d->params->warnings[i]);
	if (daemon_uses_bbr(d->params) && !quic_library_bbr_patched())
		log_info(&d->log, "rstund",
			 "this ngtcp2 lacks the loss threshold of contrib/patches: BBR is slow on "
			 "links that lose "
			 "more than 2 %% of packets (contrib/deps builds one that has it)");
	return 0;
}

static int daemon_init_ready(struct daemon *d)
{
	int rc = ready_init(&d->ready, d->params->ready_fd);

	if (rc != 0) {
		log_error(&d->log, "rstund", "--ready-fd: descriptor %llu is not open for writing",
			  (unsigned long long)d->params->ready_fd);
		d->exit_status = 2;
	}
	return rc;
}

static void daemon_done_ready(struct daemon *d)
{
	ready_done(&d->ready);
}

/* ---- roles ---- */

static int daemon_init_roles(struct daemon *d)
{
	unsigned cores = process_cores();

	d->roles = calloc(d->params->role_count, sizeof(*d->roles));
	if (d->roles == NULL)
		return RSTUN_E_NOMEM;
	for (size_t i = 0; i < d->params->role_count; i++)
		d->roles[i].dir = STATE_DIR_NONE;
	for (size_t i = 0; i < d->params->role_count; i++) {
		const struct role_config *config = &d->params->roles[i];
		int rc = role_open(&d->roles[i], (unsigned)i, config,
				   role_wanted_workers(config, cores), &d->log);

		if (rc != 0)
			return rc;
	}
	return 0;
}

static void daemon_done_roles(struct daemon *d)
{
	if (d->roles == NULL)
		return;
	for (size_t i = 0; i < d->params->role_count; i++)
		role_close(&d->roles[i]);
	free(d->roles);
	d->roles = NULL;
}

/* ---- workers ---- */

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
			.level = d->params->level,
			.flow_events = d->params->level <= LOG_LEVEL_TRACE,
		};

		rc = worker_new(&d->workers[i], &params);
	}
	process_block_signals();
	for (unsigned i = 0; i < d->worker_count && rc == 0; i++)
		rc = worker_start(d->workers[i]);
	process_unblock_signals();
	if (rc != 0)
		log_error(&d->log, "rstund", "cannot start %u workers: %s", d->worker_count,
			  rstun_strerror(rc));
	return rc;
}

/* Posts to every worker. */
static void daemon_tell_workers(struct daemon *d, enum message_kind kind, uint64_t deadline_ns)
{
	for (unsigned i = 0; i < d->worker_count; i++) {
		struct message *m = message_new(kind, 0, 0);

		if (m == NULL)
			continue;
		if (kind == MESSAGE_DRAIN)
			m->drain.deadline_ns = deadline_ns;
		worker_post(d->workers[i], m);
	}
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

	if (d->workers == NULL)
		return;
	for (size_t i = 0; d->roles != NULL && i < d->params->role_count; i++)
		d->roles[i].counters_awaited = d->roles[i].worker_count;
	for (unsigned i = 0; i < d->worker_count; i++)
		if (d->workers[i] != NULL)
			daemon_stop_worker(d->workers[i]);
	for (unsigned i = 0; i < d->worker_count; i++)
		if (d->workers[i] != NULL)
			worker_join(d->workers[i]);
	/* Their last words: ends of sessions, final counters, log lines. */
	while ((item = mailbox_take(&d->mailbox)) != NULL)
		daemon_on_item(d, item);
	for (unsigned i = 0; i < d->worker_count; i++)
		worker_free(d->workers[i]);
	free(d->workers);
	d->workers = NULL;
}

/* ---- signals, drain, ready ---- */

static void daemon_begin_drain(struct daemon *d, enum daemon_phase phase, uint64_t wait_ns)
{
	uint64_t deadline_ns = loop_now(&d->loop) + wait_ns;

	if (d->phase < DAEMON_DRAINING)
		for (size_t i = 0; i < d->params->role_count; i++)
			d->draining += d->roles[i].worker_count;
	d->phase = phase;
	daemon_tell_workers(d, MESSAGE_DRAIN, deadline_ns);
	loop_timer_arm(&d->drain_timer, deadline_ns + DAEMON_DRAIN_GRACE_NS);
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

static void daemon_on_signal(evutil_socket_t number, short what, void *user)
{
	struct daemon *d = user;

	(void)what;
	loop_enter(&d->loop);
	if (number == SIGHUP) {
		for (size_t i = 0; i < d->params->role_count && d->phase <= DAEMON_RUNNING; i++)
			role_reload(&d->roles[i], d->workers);
		return;
	}
	if (d->phase < DAEMON_DRAINING) {
		log_info(&d->log, "rstund",
			 "%s: stopping, open TCP connections may end within %d s (a second signal "
			 "ends them now)",
			 number == SIGINT ? "SIGINT" : "SIGTERM",
			 (int)(DAEMON_DRAIN_NS / CLOCK_NS_PER_S));
		daemon_begin_drain(d, DAEMON_DRAINING, DAEMON_DRAIN_NS);
	} else if (d->phase == DAEMON_DRAINING) {
		log_info(&d->log, "rstund", "second signal: closing everything now");
		daemon_begin_drain(d, DAEMON_CLOSING, 0);
	}
}

static void daemon_on_traffic_timer(void *user)
{
	struct daemon *d = user;

	for (size_t i = 0; i < d->params->role_count; i++)
		d->roles[i].counters_awaited = d->roles[i].worker_count;
	daemon_tell_workers(d, MESSAGE_REPORT, 0);
	loop_timer_arm(&d->traffic_timer, loop_now(&d->loop) + DAEMON_TRAFFIC_NS);
}

void daemon_check_ready(struct daemon *d)
{
	if (d->phase == DAEMON_RUNNING && registry_never_up(d->registry) == 0)
		ready_tell(&d->ready);
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
	loop_timer_arm(&d->traffic_timer, loop_now(&d->loop) + DAEMON_TRAFFIC_NS);
	return 0;
}

static void daemon_done_signals(struct daemon *d)
{
	process_block_signals(); /* the rest takes no time, and the exit status is settled */
	for (size_t i = 0; i < DAEMON_SIGNALS; i++)
		if (event_initialized(&d->signals[i]))
			evsignal_del(&d->signals[i]);
	if (d->drain_timer.loop == NULL)
		return;
	loop_timer_cancel(&d->traffic_timer);
	loop_timer_cancel(&d->drain_timer);
}

/* Sockets go to the workers last, when everything that they may ask for is there. */
static int daemon_init_start(struct daemon *d)
{
	for (size_t i = 0; i < d->params->role_count; i++) {
		int rc = role_start(&d->roles[i], d->workers, d->registry, &d->bus);

		if (rc < 0)
			return rc;
		d->starting += (unsigned)rc;
	}
	return 0;
}

static const struct daemon_step {
	const char *name; /* NULL: it says itself what went wrong */
	int (*init)(struct daemon *d);
	void (*done)(struct daemon *d);
} daemon_steps[] = {
	{"process", daemon_init_process, daemon_done_nothing},
	{"log", daemon_init_log, daemon_done_log},
	{"loop", daemon_init_loop, daemon_done_loop},
	{"TLS library", daemon_init_tls, daemon_done_tls},
	{"greeting", daemon_init_greeting, daemon_done_nothing},
	{NULL, daemon_init_ready, daemon_done_ready},
	{"registry", daemon_init_registry, daemon_done_registry},
	{NULL, daemon_init_roles, daemon_done_roles},
	{NULL, daemon_init_workers, daemon_done_workers},
	{"signals", daemon_init_signals, daemon_done_signals},
	{"start", daemon_init_start, daemon_done_nothing},
};

#define DAEMON_STEPS (sizeof(daemon_steps) / sizeof(daemon_steps[0]))

int daemon_run(const struct daemon_params *params)
{
	struct daemon d = {.params = params, .mailbox = {.fd = -1}, .ready = {.fd = -1}};
	size_t step;
	int rc = 0;

	for (step = 0; step < DAEMON_STEPS && rc == 0; step++)
		rc = daemon_steps[step].init(&d);
	if (rc == 0) {
		loop_run(&d.loop);
	} else {
		if (d.exit_status == 0)
			d.exit_status = 1;
		if (d.sink != NULL && (daemon_steps[step - 1].name != NULL || rc == RSTUN_E_NOMEM))
			log_error(&d.log, "rstund", "cannot start (%s): %s",
				  daemon_steps[step - 1].name != NULL ? daemon_steps[step - 1].name
								      : "roles",
				  rstun_strerror(rc));
	}
	d.phase = DAEMON_OVER;
	while (step-- > 0)
		daemon_steps[step].done(&d);
	return d.exit_status;
}
