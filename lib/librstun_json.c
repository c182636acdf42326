/* SPDX-License-Identifier: MIT */
/*
 * Events of librstun as JSON, the way rstun v0.8.10 gives them to its listeners: the same members
 * in the same order, with the words that serde makes of its enums. Pure but for the clock.
 */
#include "rstun.h"

#include "base/clock.h"
#include "base/text_json.h"

#include <stdio.h>
#include <time.h>

/* It knows no mapping that failed or was taken away: one tries again, and "Stopped" is ours. */
static const char *const librstun_json_states[] = {
	[RSTUN_STATE_IDLE] = "Idle",
	[RSTUN_STATE_CONNECTING] = "Connecting",
	[RSTUN_STATE_CONNECTED] = "Connected",
	[RSTUN_STATE_TUNNELING] = "Tunneling",
	[RSTUN_STATE_RECONNECTING] = "Reconnecting",
	[RSTUN_STATE_FAILED] = "Reconnecting",
	[RSTUN_STATE_STOPPED] = "Stopped",
};

/* Local time, to the millisecond. */
static void librstun_json_timestamp(struct text_json *json)
{
	int64_t now_us = clock_wall_us();
	time_t now_s = (time_t)(now_us / 1000000);
	char text[48];
	struct tm tm;
	size_t bytes;

	if (localtime_r(&now_s, &tm) == NULL)
		tm = (struct tm){.tm_mday = 1};
	bytes = strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
	snprintf(text + bytes, sizeof(text) - bytes, ".%03d", (int)(now_us / 1000 % 1000));
	text_json_string(json, "timestamp", text);
}

static void librstun_json_tunnel(struct text_json *json, uint64_t mapping, enum rstun_proto proto,
				 enum rstun_mode mode)
{
	text_json_open(json, "tunnel");
	text_json_string(json, "source", mapping != 0 ? "network" : "channel");
	text_json_number(json, "id", mapping);
	text_json_string(json, "proto", proto == RSTUN_UDP ? "Udp" : "Tcp");
	text_json_string(json, "mode", mode == RSTUN_IN ? "In" : "Out");
	text_json_close(json);
}

static size_t librstun_json_text(char *buffer, size_t size, const char *type, const char *data,
				 const struct rstun_state_change *change)
{
	struct text_json json;

	text_json_init(&json, buffer, size);
	text_json_string(&json, "type", type);
	text_json_string(&json, "data", data);
	librstun_json_timestamp(&json);
	if (change != NULL)
		librstun_json_tunnel(&json, change->mapping, change->proto, change->mode);
	return text_json_done(&json);
}

size_t rstun_json_state(char *buffer, size_t size, const struct rstun_state_change *change)
{
	return librstun_json_text(buffer, size, "state", librstun_json_states[change->now], change);
}

size_t rstun_json_log(char *buffer, size_t size, const char *text,
		      const struct rstun_state_change *change)
{
	return librstun_json_text(buffer, size, "log", text, change);
}

size_t rstun_json_stat(char *buffer, size_t size, const struct rstun_stats *stats)
{
	struct text_json json;

	text_json_init(&json, buffer, size);
	text_json_string(&json, "type", "stat");
	text_json_open(&json, "data");
	text_json_number(&json, "rx_bytes", stats->rx_bytes);
	text_json_number(&json, "tx_bytes", stats->tx_bytes);
	text_json_number(&json, "tx_dgrams", stats->tx_dgrams);
	text_json_number(&json, "rx_dgrams", stats->rx_dgrams);
	text_json_number(&json, "sent_packets", stats->sent_packets);
	text_json_number(&json, "lost_packets", stats->lost_packets);
	text_json_number(&json, "lost_bytes", stats->lost_bytes);
	text_json_number(&json, "congestion_events", stats->congestion_events);
	text_json_number(&json, "active_conns", stats->active_conns);
	text_json_number(&json, "rtt_ms", stats->rtt_ms);
	text_json_number(&json, "cwnd_bytes", stats->cwnd_bytes);
	text_json_number(&json, "current_mtu", stats->current_mtu);
	text_json_close(&json);
	librstun_json_timestamp(&json);
	if (stats->mapping != 0)
		librstun_json_tunnel(&json, stats->mapping, stats->proto, stats->mode);
	return text_json_done(&json);
}
