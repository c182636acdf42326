/* SPDX-License-Identifier: MIT */
/*
 * What a client of librstun has counted, and its flows: those that go on and those that ended.
 * Everything is the engine's (tunnel/client.h) and copied for the call, or for the note.
 */
#include "librstun_private.h"

#include "base/error.h"
#include "tunnel/client.h"

#include <stdio.h>
#include <string.h>

/* ---- counters ---- */

/* First in every call here. *ret_mapping is NULL for the whole client. */
static int librstun_stats_count(struct rstun_client *client, uint64_t mapping,
				struct tunnel_counters *ret, const struct mapping **ret_mapping)
{
	int err = librstun_enter(client->owner.context);

	if (err != 0)
		return err;
	*ret_mapping = NULL;
	if (mapping > client->last_id)
		return RSTUN_E_NOT_FOUND;
	if (mapping != 0)
		return client_counters_of(client->engine, mapping, ret, ret_mapping);
	client_counters(client->engine, ret);
	return 0;
}

int rstun_client_stats(struct rstun_client *client, uint64_t mapping, struct rstun_stats *ret)
{
	struct tunnel_counters c;
	const struct mapping *what;
	struct rstun_stats stats;
	size_t size = ret->size;
	int err = librstun_stats_count(client, mapping, &c, &what);

	if (err == 0 && size < sizeof(size))
		err = RSTUN_E_MALFORMED;
	if (err != 0)
		return err;
	stats = (struct rstun_stats){
		.size = size,
		.mapping = mapping,
		.proto = what != NULL ? (enum rstun_proto)what->proto : RSTUN_TCP,
		.mode = what != NULL ? (enum rstun_mode)what->mode : RSTUN_IN,
		.rx_bytes = c.rx_bytes,
		.tx_bytes = c.tx_bytes,
		.rx_dgrams = c.rx_dgrams,
		.tx_dgrams = c.tx_dgrams,
		.sent_packets = c.sent_packets,
		.lost_packets = c.lost_packets,
		.lost_bytes = c.lost_bytes,
		.congestion_events = c.congestion_events,
		.active_conns = c.active_conns,
		.total_conns = c.total_conns,
		.in_bytes = c.payload_in_bytes,
		.out_bytes = c.payload_out_bytes,
		.udp_dropped = c.udp_dropped,
		.rtt_ms = c.rtt_ms,
		.cwnd_bytes = c.cwnd_bytes,
		.current_mtu = c.current_mtu,
	};
	memcpy(ret, &stats, size < sizeof(stats) ? size : sizeof(stats));
	return 0;
}

/* ---- flows that go on ---- */

/* The rest of `f` is there already. */
static void librstun_flow_name(struct librstun_flow *f, const struct address *source,
			       const char *target)
{
	if (source != NULL)
		address_format(f->source, sizeof(f->source), source);
	snprintf(f->target, sizeof(f->target), "%s", target);
	f->flow.source = f->source;
	f->flow.target = f->target;
}

struct librstun_visit {
	const struct rstun_client *client;
	void (*visit)(void *user, const struct rstun_flow *flow);
	void *user;
};

static void librstun_stats_on_flow(void *user, const struct flow_info *info)
{
	const struct librstun_visit *v = user;
	struct librstun_flow f = {
		.flow = {
			.mapping = librstun_mapping(v->client, info->owner_id),
			.flow = info->flow_id,
			.proto = (enum rstun_proto)info->proto,
			.in_bytes = info->in_bytes,
			.out_bytes = info->out_bytes,
			.age_ms = info->age_ms,
			.idle_ms = info->idle_ms,
		},
	};

	librstun_flow_name(&f, info->source, info->target);
	v->visit(v->user, &f.flow);
}

int rstun_client_visit_flows(struct rstun_client *client, uint64_t mapping,
			     void (*visit)(void *user, const struct rstun_flow *flow), void *user)
{
	struct librstun_visit v = {.client = client, .visit = visit, .user = user};
	struct tunnel_counters counters;
	const struct mapping *what;
	int err = librstun_stats_count(client, mapping, &counters, &what);

	if (err == 0)
		client_visit_flows(client->engine, mapping, librstun_stats_on_flow, &v);
	return err;
}

int rstun_client_kill_flow(struct rstun_client *client, uint64_t mapping, uint64_t flow)
{
	struct tunnel_counters counters;
	const struct mapping *what;
	int err = librstun_stats_count(client, mapping, &counters, &what);

	if (err == 0 && what == NULL)
		err = RSTUN_E_NOT_FOUND;
	if (err == 0 && client_kill_flows(client->engine, mapping, flow) == 0 && flow != 0)
		err = RSTUN_E_NOT_FOUND;
	return err;
}

/* ---- flows that ended ---- */

static void librstun_stats_tell_flow(struct rstun_client *client, const struct librstun_note *note)
{
	client->ops.on_flow(client, client->user, &note->flow.flow);
}

void librstun_note_flow(struct rstun_client *client, const struct tunnel_event *event)
{
	struct librstun_note *note = librstun_note(client, librstun_stats_tell_flow);

	if (note == NULL)
		return;
	note->flow.flow = (struct rstun_flow){
		.mapping = librstun_mapping(client, event->id),
		.flow = event->flow.id,
		.proto = (enum rstun_proto)event->proto,
		.in_bytes = event->flow.in_bytes,
		.out_bytes = event->flow.out_bytes,
		.age_ms = event->flow.duration_ms,
		.error = event->error,
	};
	librstun_flow_name(&note->flow, event->flow.source, event->flow.target);
}
