/* SPDX-License-Identifier: MIT */
/*
 * daemon.info, daemon.status, daemon.ping, daemon.shutdown, rpc.discover.
 */
#include "rstund/control/methods.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/schema.h"
#include "rstund/control/apply.h"
#include "rstund/control/control_server.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"
#include "tls/aead.h"
#include "tls/credentials.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Certificates that end so soon are told of. */
#define METHODS_CERT_SOON_US (INT64_C(14) * 86400 * 1000000)

static uint64_t methods_uptime_ms(const struct daemon *d)
{
	return (loop_now(&d->loop) - d->started_ns) / CLOCK_NS_PER_MS;
}

/* ---- info ------------------------------------------------------------------------------------ */

static char **methods_features(void)
{
	static const char *const features[] = {"structured_failures", "probe", "take_over"};
	const size_t count = sizeof(features) / sizeof(features[0]);
	char **list = calloc(count + 1, sizeof(*list));

	for (size_t i = 0; list != NULL && i < count; i++)
		list[i] = strdup(features[i]);
	return list;
}

struct answer methods_daemon_info(struct daemon *d, struct call *c)
{
	const struct call_caller *caller = call_caller(c);
	struct rpc_daemon_info info = {
		.software = strdup("rstund"),
		.version = strdup(d->params->version),
		.api_version = RPC_API_VERSION,
		.pid = (uint64_t)getpid(),
		.uid = geteuid(),
		.workers = d->worker_count,
		.epoch = strdup(d->epoch),
		.started = show_time(d->started_wall_us),
		.right = caller->may_change ? RPC_RIGHT_CHANGE : RPC_RIGHT_READ,
		.caller_uid = caller->uid,
		.features = methods_features(),
		.libraries = {
			.ngtcp2 = strdup(d->params->ngtcp2),
			.gnutls = strdup(tls_library_version()),
			.packet_protection = strdup(tls_aead_library()),
			.libevent = strdup(event_get_version()),
			.jansson = strdup(jansson_version_str()),
		},
	};

	return methods_reply(c, &info, 0);
}

/* ---- status ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 4, 5))) static void methods_warn(struct field_array *warnings,
							       const char *kind, const char *about,
							       const char *format, ...)
{
	struct rpc_warning *w = (struct rpc_warning *)warnings->items + warnings->count;
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	w->kind = strdup(kind);
	w->about = about != NULL ? strdup(about) : NULL;
	w->text = strdup(text);
	warnings->count++;
}

static void methods_warn_certificate(const struct daemon *d, struct field_array *warnings,
				     const struct held_server *s)
{
	struct tls_description about;
	char id[INVENTORY_ID_SIZE], when[32];
	int64_t left_us;

	(void)d;
	if (s->role == NULL || s->role->credentials == NULL ||
	    tls_credentials_describe(s->role->credentials, &about) != 0)
		return;
	left_us = about.not_after_us - clock_wall_us();
	clock_format(when, sizeof(when), about.not_after_us);
	inventory_server_id(id, s);
	if (left_us <= 0)
		methods_warn(warnings, "cert_expired", id,
			     "the certificate of server %s ended at %s: clients that verify it stay "
			     "out",
			     s->name, when);
	else if (left_us < METHODS_CERT_SOON_US)
		methods_warn(warnings, "cert_expiring", id,
			     "the certificate of server %s ends at %s", s->name, when);
	tls_description_done(&about);
}

static int methods_warnings(struct field_array *ret, const struct daemon *d)
{
	const struct inventory *inv = &d->inventory;
	struct field_array list;
	const struct held_mapping *m;
	const struct held_server *s;
	char id[INVENTORY_ID_SIZE];
	size_t unverified = 0;

	if (show_array(&list, inv->server_count * 2 + 4, sizeof(struct rpc_warning)) != 0)
		return RSTUN_E_NOMEM;
	list.count = 0;
	TAILQ_FOREACH (m, &inv->mappings, link)
		unverified += m->unverified && m->state == RPC_STATE_TUNNELING;
	if (unverified > 0)
		methods_warn(&list, "tls_unverified", NULL,
			     "%zu mapping%s: the server's certificate is not verified, anybody on the "
			     "way can pose as it; use --cert or --pin",
			     unverified, unverified == 1 ? "" : "s");
	TAILQ_FOREACH (s, &inv->servers, link) {
		if (s->state == RPC_SERVER_FAILED)
			methods_warn(&list, "server_failed", inventory_server_id(id, s), "%s: %s",
				     s->name, s->last_text);
		methods_warn_certificate(d, &list, s);
	}
	if (d->state_dir.fd < 0 && !daemon_is_role_line(d))
		methods_warn(&list, "no_state", NULL,
			     "there is no state directory: what is added now is lost when the "
			     "daemon ends");
	if (d->lost_lines > 0)
		methods_warn(&list, "log_lost", NULL, "%" PRIu64 " log lines found no room",
			     d->lost_lines);
	*ret = list;
	return 0;
}

static struct answer methods_daemon_status_now(struct daemon *d, struct call *c, void *data)
{
	struct rpc_daemon_status status = {
		.state = d->phase == DAEMON_STARTING  ? RPC_DAEMON_STARTING
			 : d->phase == DAEMON_RUNNING ? RPC_DAEMON_RUNNING
						      : RPC_DAEMON_DRAINING,
		.uptime_ms = methods_uptime_ms(d),
		.mappings = d->inventory.states,
		.clients = d->inventory.client_count,
		.servers = d->inventory.server_count,
		.sessions = d->inventory.session_count,
		.seq = d->bus.seq,
		.confirm_in_ms = apply_left_ms(d, loop_now(&d->loop)),
	};
	struct tunnel_counters total;
	struct rlimit limit;

	(void)data;
	daemon_total(d, &total);
	status.flows = total.active_conns;
	control_server_counts(d->control, &status.callers, &status.subscriptions);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		status.descriptors_max = limit.rlim_cur < INT64_MAX ? limit.rlim_cur : INT64_MAX;
	return methods_reply(c, &status, methods_warnings(&status.warnings, d));
}

struct answer methods_daemon_status(struct daemon *d, struct call *c)
{
	return methods_after_refresh(d, c, NULL, methods_daemon_status_now, NULL);
}

/* ---- the rest -------------------------------------------------------------------------------- */

struct answer methods_daemon_ping(struct daemon *d, struct call *c)
{
	struct rpc_ping_result result = {
		.timestamp = show_time(clock_wall_us()),
		.uptime_ms = methods_uptime_ms(d),
	};

	return methods_reply(c, &result, 0);
}

/* Waits for counters, so that the answer says how many flows there are. */
struct methods_shutdown {
	struct sampler_wait wait;
	struct daemon *daemon;
	struct call *call;
	uint64_t drain_ms;
	char why[64];
};

static void methods_shutdown_begin(struct methods_shutdown *s)
{
	daemon_shutdown(s->daemon, s->drain_ms, s->why);
	free(s);
}

static void methods_shutdown_on_counters(void *user)
{
	struct methods_shutdown *s = user;
	struct rpc_shutdown_result result = {.drain_ms = s->drain_ms};
	struct tunnel_counters total;

	daemon_total(s->daemon, &total);
	result.flows = total.active_conns;
	call_end(call_reply(s->call, &result));
	methods_shutdown_begin(s);
}

/* Who says it and goes means it, too; rpc.cancel takes it back. */
static void methods_shutdown_on_cancel(struct call *c, void *user)
{
	struct methods_shutdown *s = user;

	sampler_cancel(&s->daemon->sampler, &s->wait);
	if (call_is_unheard(c))
		methods_shutdown_begin(s);
	else
		free(s);
}

struct answer methods_daemon_shutdown(struct daemon *d, struct call *c,
				      const struct rpc_shutdown_params *p)
{
	struct methods_shutdown *s = calloc(1, sizeof(*s));
	struct answer answer;

	if (s == NULL)
		return methods_nomem(c);
	s->daemon = d;
	s->call = c;
	s->drain_ms = p->drain_ms;
	snprintf(s->why, sizeof(s->why), "daemon.shutdown by uid %ld",
		 (long)call_caller(c)->uid);
	answer = call_later(c, methods_shutdown_on_cancel, s);
	sampler_refresh(&d->sampler, &s->wait, methods_shutdown_on_counters, s);
	return answer;
}

struct answer methods_discover(struct daemon *d, struct call *c)
{
	const struct field_rows *extra[] = {&show_client_config_rows, &show_server_config_rows};
	struct schema_params params = {
		.version = d->params->version,
		.extra = extra,
		.extra_count = sizeof(extra) / sizeof(extra[0]),
	};

	if (d->discover == NULL)
		d->discover = schema_document(&params);
	return d->discover != NULL ? call_reply_json(c, json_incref(d->discover)) : methods_nomem(c);
}

void methods_discover_forget(struct daemon *d)
{
	json_decref(d->discover);
	d->discover = NULL;
}
