/* SPDX-License-Identifier: MIT */
/*
 * From inventory to API objects. Each function fills a zeroed struct as far as memory goes.
 */
#include "rstund/control/show.h"

#include "base/clock.h"
#include "base/error.h"
#include "rpc/field_json.h"
#include "rstund/daemon_private.h"
#include "rstund/role.h"
#include "tls/credentials.h"

#include <stdlib.h>
#include <string.h>

struct field_rows show_client_config_rows = {
	.name = "ClientConfig",
	.rows = client_config_fields,
	.size = sizeof(struct client_config),
};
struct field_rows show_server_config_rows = {
	.name = "ServerConfig",
	.rows = server_config_fields,
	.size = sizeof(struct server_config),
};

void show_init(void)
{
	show_client_config_rows.count = client_config_field_count;
	show_server_config_rows.count = server_config_field_count;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

int show_array(struct field_array *ret, size_t count, size_t size)
{
	ret->items = calloc(count > 0 ? count : 1, size);
	if (ret->items == NULL)
		return RSTUN_E_NOMEM;
	ret->count = count;
	return 0;
}

char *show_time(int64_t wall_us)
{
	char text[32];

	return strdup(clock_format(text, sizeof(text), wall_us));
}

char *show_address(const struct address *address)
{
	char text[ADDRESS_TEXT_SIZE];

	if (address == NULL || address->len == 0)
		return NULL;
	return strdup(address_format(text, sizeof(text), address));
}

/* "" is not given. */
static char *show_text(const char *text)
{
	return text != NULL && text[0] != '\0' ? strdup(text) : NULL;
}

void show_failure(struct rpc_failure *ret, int error, const char *text)
{
	ret->kind = strdup(rpc_error_failure(error));
	ret->message = strdup(text != NULL && text[0] != '\0' ? text : rstun_strerror(error));
}

void show_stat(struct rpc_stat *ret, const struct tunnel_counters *c)
{
	*ret = (struct rpc_stat){
		.rx_bytes = c->rx_bytes,
		.tx_bytes = c->tx_bytes,
		.rx_dgrams = c->rx_dgrams,
		.tx_dgrams = c->tx_dgrams,
		.sent_packets = c->sent_packets,
		.lost_packets = c->lost_packets,
		.lost_bytes = c->lost_bytes,
		.congestion_events = c->congestion_events,
		.active_conns = c->active_conns,
		.total_conns = c->total_conns,
		.rtt_ms = c->rtt_ms,
		.cwnd_bytes = c->cwnd_bytes,
		.current_mtu = c->current_mtu,
		.max_datagram = c->max_datagram,
		.payload_in_bytes = c->payload_in_bytes,
		.payload_out_bytes = c->payload_out_bytes,
		.udp_dropped = c->udp_dropped,
		.rx_datagram_frames = c->rx_datagram_frames,
		.tx_datagram_frames = c->tx_datagram_frames,
	};
}

/* JSON text of a role's options. */
static char *show_config(const struct field_rows *rows, const void *config)
{
	json_t *object = field_json_encode(rows, config);
	char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

/* ---- Things ---------------------------------------------------------------------------------- */

static void show_count(struct rpc_state_counts *counts, enum rpc_state state)
{
	uint64_t *const by_state[] = {
		[RPC_STATE_IDLE] = &counts->idle,
		[RPC_STATE_CONNECTING] = &counts->connecting,
		[RPC_STATE_CONNECTED] = &counts->connected,
		[RPC_STATE_TUNNELING] = &counts->tunneling,
		[RPC_STATE_RECONNECTING] = &counts->reconnecting,
		[RPC_STATE_FAILED] = &counts->failed,
		[RPC_STATE_STOPPED] = &counts->stopped,
		[RPC_STATE_PAUSED] = &counts->paused,
	};

	++*by_state[state];
	counts->total++;
}

int show_client(struct rpc_client *ret, const struct daemon *d, const struct held_client *c)
{
	char id[INVENTORY_ID_SIZE];
	const struct held_mapping *m;

	ret->id = strdup(inventory_client_id(id, c));
	ret->name = strdup(c->name);
	ret->config = show_config(&show_client_config_rows, c->role->client);
	ret->runtime.origin = (int)c->origin;
	TAILQ_FOREACH (m, &d->inventory.mappings, link)
		if (m->client == c)
			show_count(&ret->runtime.mappings, m->state);
	ret->runtime.flows = c->counters.active_conns;
	return ret->id != NULL && ret->name != NULL && ret->config != NULL ? 0 : RSTUN_E_NOMEM;
}

int show_server(struct rpc_server *ret, const struct daemon *d, const struct held_server *s)
{
	const struct role *role = s->role;
	const struct server_config *config = s->config != NULL ? s->config
					     : role != NULL    ? role->server
					     : s->ending != NULL ? s->ending->server
								 : NULL;
	char id[INVENTORY_ID_SIZE], pin_text[PIN_TEXT_SIZE];
	uint8_t pin[PIN_BYTES];

	(void)d;
	ret->id = strdup(inventory_server_id(id, s));
	ret->name = strdup(s->name);
	ret->config = config != NULL ? show_config(&show_server_config_rows, config) : strdup("{}");
	ret->runtime.origin = (int)s->origin;
	ret->runtime.state = (int)s->state;
	if (s->state == RPC_SERVER_FAILED) {
		ret->runtime.has_last_error = true;
		show_failure(&ret->runtime.last_error, s->last_error, s->last_text);
	}
	ret->runtime.sessions = s->session_count;
	ret->runtime.flows = s->counters.active_conns;
	if (role != NULL && role->credentials != NULL) {
		ret->runtime.bound = show_address(&role->bound);
		tls_credentials_pin(role->credentials, pin);
		ret->runtime.pin = strdup(pin_format(pin_text, pin));
	}
	return ret->id != NULL && ret->name != NULL && ret->config != NULL ? 0 : RSTUN_E_NOMEM;
}

static void show_mapping_config(struct rpc_mapping_config *ret, const struct held_mapping *m)
{
	char text[ADDRESS_TARGET_TEXT_SIZE];

	ret->mode = (int)m->mapping.mode;
	ret->proto = (int)m->mapping.proto;
	ret->local = strdup(target_format(text, sizeof(text), &m->mapping.local));
	ret->remote = strdup(target_format(text, sizeof(text), &m->mapping.remote));
	ret->name = show_text(m->name);
	ret->client = strdup(m->client->name);
	ret->expires_ms = m->expires_ms;
}

static void show_mapping_runtime(struct rpc_mapping_runtime *ret, const struct daemon *d,
				 const struct held_mapping *m)
{
	uint64_t now_ns = loop_now(&d->loop);

	ret->origin = (int)m->origin;
	ret->state = (int)m->state;
	ret->since = show_time(m->since_wall_us);
	ret->attempt = m->attempt;
	ret->next_retry_ms = UINT64_MAX;
	if (m->next_retry_ns != CLOCK_NEVER)
		ret->next_retry_ms = m->next_retry_ns > now_ns
					     ? (m->next_retry_ns - now_ns) / CLOCK_NS_PER_MS
					     : 0;
	if (m->last_error != 0) {
		ret->has_last_error = true;
		show_failure(&ret->last_error, m->last_error, m->last_text);
	}
	ret->bound = show_address(&m->bound);
	ret->active_flows = m->counters.active_conns;
	if (m->expires_wall_us != INT64_MAX)
		ret->expires = show_time(m->expires_wall_us);
	ret->peer = show_address(&m->peer);
	ret->peer_software = show_text(m->software);
	ret->rtt_ms = m->state == RPC_STATE_TUNNELING && m->counters.current_mtu != 0
			      ? m->counters.rtt_ms
			      : UINT64_MAX;
	ret->unverified = m->unverified;
	if (m->state == RPC_STATE_TUNNELING)
		ret->cipher = show_text(m->cipher);
}

int show_mapping(struct rpc_mapping *ret, const struct daemon *d, const struct held_mapping *m)
{
	char id[INVENTORY_ID_SIZE], spec[MAPPING_TEXT_SIZE];

	ret->id = strdup(inventory_mapping_id(id, m));
	ret->spec = strdup(mapping_format(spec, sizeof(spec), &m->mapping));
	show_mapping_config(&ret->config, m);
	show_mapping_runtime(&ret->runtime, d, m);
	return ret->id != NULL && ret->spec != NULL && ret->config.local != NULL &&
			       ret->config.remote != NULL && ret->config.client != NULL &&
			       ret->runtime.since != NULL
		       ? 0
		       : RSTUN_E_NOMEM;
}

int show_session(struct rpc_session *ret, const struct held_session *s)
{
	char id[INVENTORY_ID_SIZE];

	ret->id = strdup(inventory_session_id(id, s));
	ret->server = strdup(inventory_server_id(id, s->server));
	ret->remote = show_address(&s->peer);
	ret->mode = (int)s->mode;
	ret->proto = (int)s->proto;
	ret->mapping = show_text(s->mapping);
	ret->bound = show_address(&s->bound);
	ret->since = show_time(s->since_wall_us);
	ret->software = show_text(s->software);
	ret->cipher = show_text(s->cipher);
	ret->active_flows = s->counters.active_conns;
	ret->rx_bytes = s->counters.rx_bytes;
	ret->tx_bytes = s->counters.tx_bytes;
	ret->payload_in_bytes = s->counters.payload_in_bytes;
	ret->payload_out_bytes = s->counters.payload_out_bytes;
	ret->lost_packets = s->counters.lost_packets;
	ret->rtt_ms = s->counters.rtt_ms;
	ret->cwnd_bytes = s->counters.cwnd_bytes;
	return ret->id != NULL && ret->server != NULL && ret->remote != NULL && ret->since != NULL
		       ? 0
		       : RSTUN_E_NOMEM;
}

json_t *show_mapping_data(const struct daemon *d, const struct held_mapping *m)
{
	struct rpc_mapping mapping = {.id = NULL};
	json_t *data = NULL;

	if (show_mapping(&mapping, d, m) == 0)
		data = json_pack("{s:o*}", "mapping",
				 field_json_encode(&rpc_mapping_rows, &mapping));
	field_free(rpc_mapping_rows.rows, rpc_mapping_rows.count, &mapping);
	return data;
}

/* ---- Everything ------------------------------------------------------------------------------ */

int show_snapshot(struct rpc_snapshot *ret, const struct daemon *d)
{
	const struct inventory *inv = &d->inventory;
	const struct held_mapping *m;
	const struct held_client *c;
	const struct held_server *s;
	const struct held_session *session;
	size_t i = 0;
	int rc = show_array(&ret->mappings, inv->states.total, sizeof(struct rpc_mapping));

	if (rc == 0)
		rc = show_array(&ret->clients, inv->client_count, sizeof(struct rpc_client));
	if (rc == 0)
		rc = show_array(&ret->servers, inv->server_count, sizeof(struct rpc_server));
	if (rc == 0)
		rc = show_array(&ret->sessions, inv->session_count, sizeof(struct rpc_session));
	TAILQ_FOREACH (m, &inv->mappings, link)
		if (rc == 0)
			rc = show_mapping(&((struct rpc_mapping *)ret->mappings.items)[i++], d, m);
	i = 0;
	TAILQ_FOREACH (c, &inv->clients, link)
		if (rc == 0)
			rc = show_client(&((struct rpc_client *)ret->clients.items)[i++], d, c);
	i = 0;
	TAILQ_FOREACH (s, &inv->servers, link)
		if (rc == 0)
			rc = show_server(&((struct rpc_server *)ret->servers.items)[i++], d, s);
	i = 0;
	TAILQ_FOREACH (session, &inv->sessions, link)
		if (rc == 0)
			rc = show_session(&((struct rpc_session *)ret->sessions.items)[i++],
					  session);
	return rc;
}
