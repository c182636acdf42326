/* SPDX-License-Identifier: MIT */
/*
 * stats.get and metrics.get: counters, once the workers have told them anew. Whoever asks for
 * statistics wants rates, too, so for the next minute the sampler asks every second. Sessions have
 * none: they are many, and each would need its own history. Main thread.
 */
#include "rstund/control/methods.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/api.h"
#include "rstund/control/control_server.h"
#include "rstund/control/metrics.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"
#include "tls/credentials.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* ---- stats.get ------------------------------------------------------------------------------- */

enum methods_stats_kind {
	METHODS_STATS_TOTAL,
	METHODS_STATS_MAPPING,
	METHODS_STATS_CLIENT,
	METHODS_STATS_SERVER,
	METHODS_STATS_SESSION,
};

/* What somebody asked for; by id, which stays when names are given to others meanwhile. */
struct methods_stats {
	enum methods_stats_kind kind;
	char id[INVENTORY_ID_SIZE];
};

/* What there is to say about it now. The id is that of the thing found. */
struct methods_stats_found {
	struct tunnel_counters counters;
	const struct rates *rates; /* NULL = none are kept */
	char id[INVENTORY_ID_SIZE];
};

static int methods_stats_mapping(struct daemon *d, const char *text,
				 struct methods_stats_found *ret, struct rpc_error *error)
{
	const struct held_mapping *m = methods_find_mapping(d, text, error);

	if (m == NULL)
		return RSTUN_E_FAILED;
	ret->counters = m->counters;
	ret->rates = &m->rates;
	inventory_mapping_id(ret->id, m);
	return 0;
}

static int methods_stats_client(struct daemon *d, const char *text,
				struct methods_stats_found *ret, struct rpc_error *error)
{
	const struct held_client *client = methods_find_client(d, text, error);

	if (client == NULL)
		return RSTUN_E_FAILED;
	ret->counters = client->counters;
	ret->rates = &client->rates;
	inventory_client_id(ret->id, client);
	return 0;
}

static int methods_stats_server(struct daemon *d, const char *text,
				struct methods_stats_found *ret, struct rpc_error *error)
{
	const struct held_server *server = methods_find_server(d, text, error);

	if (server == NULL)
		return RSTUN_E_FAILED;
	ret->counters = server->counters;
	ret->rates = &server->rates;
	inventory_server_id(ret->id, server);
	return 0;
}

static int methods_stats_session(struct daemon *d, const char *text,
				 struct methods_stats_found *ret, struct rpc_error *error)
{
	const struct held_session *session = methods_find_session(d, text, error);

	if (session == NULL)
		return RSTUN_E_FAILED;
	ret->counters = session->counters;
	inventory_session_id(ret->id, session);
	return 0;
}

static int methods_stats_find(struct daemon *d, enum methods_stats_kind kind, const char *text,
			      struct methods_stats_found *ret, struct rpc_error *error)
{
	*ret = (struct methods_stats_found){.id = "total"};
	switch (kind) {
	case METHODS_STATS_MAPPING:
		return methods_stats_mapping(d, text, ret, error);
	case METHODS_STATS_CLIENT:
		return methods_stats_client(d, text, ret, error);
	case METHODS_STATS_SERVER:
		return methods_stats_server(d, text, ret, error);
	case METHODS_STATS_SESSION:
		return methods_stats_session(d, text, ret, error);
	case METHODS_STATS_TOTAL:
		break;
	}
	daemon_total(d, &ret->counters);
	ret->rates = &d->sampler.total;
	return 0;
}

/* `data`: struct methods_stats. */
static struct answer methods_stats_refreshed(struct daemon *d, struct call *c, void *data)
{
	const struct methods_stats *what = data;
	struct rpc_stats_result result = {.of = NULL};
	struct methods_stats_found found;
	struct rpc_error error;

	if (methods_stats_find(d, what->kind, what->id, &found, &error) != 0)
		return call_fail(c, &error, NULL);
	result.of = strdup(found.id);
	show_stat(&result.stat, &found.counters);
	if (found.rates != NULL)
		rates_get(found.rates, &result.rate_1s, &result.rate_10s);
	return methods_reply(c, &result, result.of != NULL ? 0 : RSTUN_E_NOMEM);
}

struct answer methods_stats_get(struct daemon *d, struct call *c, const struct rpc_stats_params *p)
{
	const char *text = p->mapping != NULL  ? p->mapping
			   : p->client != NULL ? p->client
			   : p->server != NULL ? p->server
					       : p->session;
	enum methods_stats_kind kind = p->mapping != NULL   ? METHODS_STATS_MAPPING
				       : p->client != NULL  ? METHODS_STATS_CLIENT
				       : p->server != NULL  ? METHODS_STATS_SERVER
				       : p->session != NULL ? METHODS_STATS_SESSION
							    : METHODS_STATS_TOTAL;
	struct methods_stats_found found;
	struct methods_stats *what;
	struct rpc_error error;

	if (methods_stats_find(d, kind, text, &found, &error) != 0)
		return call_fail(c, &error, NULL);
	what = malloc(sizeof(*what));
	if (what == NULL)
		return methods_nomem(c);
	what->kind = kind;
	memcpy(what->id, found.id, sizeof(what->id));
	sampler_want_rates(&d->sampler);
	return methods_after_refresh(d, c, what, methods_stats_refreshed, NULL);
}

/* ---- metrics.get ----------------------------------------------------------------------------- */

static void methods_stats_add_daemon(struct daemon *d, struct metrics *m)
{
	struct metrics_daemon one = {
		.version = d->params->version,
		.ngtcp2 = d->params->ngtcp2,
		.gnutls = tls_library_version(),
		.uptime_ms = (loop_now(&d->loop) - d->started_ns) / CLOCK_NS_PER_MS,
		.open_descriptors = metrics_open_descriptors(),
	};
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		one.descriptors_max = limit.rlim_cur;
	metrics_daemon(m, &one);
}

static void methods_stats_add_states(const struct daemon *d, struct metrics *m)
{
	const struct rpc_state_counts *n = &d->inventory.states;
	const uint64_t counts[] = {
		[RPC_STATE_IDLE] = n->idle,
		[RPC_STATE_CONNECTING] = n->connecting,
		[RPC_STATE_CONNECTED] = n->connected,
		[RPC_STATE_TUNNELING] = n->tunneling,
		[RPC_STATE_RECONNECTING] = n->reconnecting,
		[RPC_STATE_FAILED] = n->failed,
		[RPC_STATE_STOPPED] = n->stopped,
		[RPC_STATE_PAUSED] = n->paused,
	};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const struct metrics_label labels[] = {
			{.name = "state", .value = rpc_state_names[i]},
			{.name = NULL},
		};

		metrics_value(m, METRICS_GAUGE, "rstund_mappings", "Mappings by state.", labels,
			      counts[i]);
	}
}

static void methods_stats_add_values(struct daemon *d, struct metrics *m)
{
	uint64_t callers = 0, subscriptions = 0;
	const struct held_server *s;

	methods_stats_add_states(d, m);
	TAILQ_FOREACH (s, &d->inventory.servers, link) {
		char id[INVENTORY_ID_SIZE];
		const struct metrics_label labels[] = {
			{.name = "server", .value = inventory_server_id(id, s)},
			{.name = "name", .value = s->name},
			{.name = NULL},
		};

		metrics_value(m, METRICS_GAUGE, "rstund_sessions",
			      "Sessions of remote clients that are logged in.", labels,
			      s->session_count);
	}
	if (d->control != NULL)
		control_server_counts(d->control, &callers, &subscriptions);
	metrics_value(m, METRICS_GAUGE, "rstund_control_connections",
		      "Connections to the control socket.", NULL, callers);
	metrics_value(m, METRICS_GAUGE, "rstund_control_subscriptions", "Subscriptions to events.",
		      NULL, subscriptions);
	metrics_value(m, METRICS_COUNTER, "rstund_log_lines_lost_total",
		      "Log lines for which there was no room.", NULL, d->lost_lines);
}

static void methods_stats_add_things(struct daemon *d, struct metrics *m)
{
	const struct held_client *client;
	const struct held_server *server;
	const struct held_mapping *mapping;
	char id[INVENTORY_ID_SIZE];

	TAILQ_FOREACH (client, &d->inventory.clients, link) {
		const struct metrics_thing thing = {
			.kind = METRICS_CLIENT,
			.labels = {{"client", inventory_client_id(id, client)},
				   {"name", client->name}},
			.counters = &client->counters,
		};

		metrics_add(m, &thing);
	}
	TAILQ_FOREACH (server, &d->inventory.servers, link) {
		const struct metrics_thing thing = {
			.kind = METRICS_SERVER,
			.labels = {{"server", inventory_server_id(id, server)},
				   {"name", server->name}},
			.counters = &server->counters,
			.state_names = rpc_server_state_names,
			.state = (int)server->state,
		};

		metrics_add(m, &thing);
	}
	TAILQ_FOREACH (mapping, &d->inventory.mappings, link) {
		const struct metrics_thing thing = {
			.kind = METRICS_MAPPING,
			.labels = {{"mapping", inventory_mapping_id(id, mapping)},
				   {"name", mapping->name},
				   {"client", mapping->client->name},
				   {"proto", mapping_proto_name(mapping->mapping.proto)}},
			.counters = &mapping->counters,
			.state_names = rpc_state_names,
			.state = (int)mapping->state,
		};

		metrics_add(m, &thing);
	}
}

static struct answer methods_stats_metrics(struct daemon *d, struct call *c, void *data)
{
	struct rpc_metrics_result result = {.text = NULL};
	struct tunnel_counters counters;
	struct metrics_thing total = {.kind = METRICS_TOTAL, .counters = &counters};
	struct metrics m;
	int rc;

	(void)data;
	daemon_total(d, &counters);
	metrics_init(&m);
	methods_stats_add_daemon(d, &m);
	methods_stats_add_values(d, &m);
	metrics_add(&m, &total);
	methods_stats_add_things(d, &m);
	rc = metrics_finish(&m, &result.text);
	metrics_done(&m);
	return methods_reply(c, &result, rc);
}

struct answer methods_metrics_get(struct daemon *d, struct call *c)
{
	return methods_after_refresh(d, c, NULL, methods_stats_metrics, NULL);
}
