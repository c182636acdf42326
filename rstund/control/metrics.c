/* SPDX-License-Identifier: MIT */
/*
 * The text for Prometheus. Labels of a thing are escaped once, when it is added, into one buffer;
 * each sample copies them from there.
 */
#include "rstund/control/metrics.h"

#include "base/error.h"
#include "base/utf8.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METRICS_ROOM_MIN 4096

struct metrics_item {
	enum metrics_kind kind;
	size_t labels_at, labels_bytes; /* in m->labels, without brackets */
	bool has_counters;
	struct tunnel_counters counters;
	const char *const *state_names;
	int state;
};

/* A name of each kind: what stands behind "rstund_mapping_". */
struct metrics_row {
	const char *name;
	enum metrics_type type;
	bool path; /* of one connection: only mappings have it, while they are connected */
	size_t offset; /* in struct tunnel_counters */
	const char *help;
};

#define ROW(member) .offset = offsetof(struct tunnel_counters, member)
static const struct metrics_row metrics_rows[] = {
	{"rx_bytes_total", METRICS_COUNTER, ROW(rx_bytes), .help = "Bytes of QUIC received."},
	{"tx_bytes_total", METRICS_COUNTER, ROW(tx_bytes), .help = "Bytes of QUIC sent."},
	{"rx_datagrams_total", METRICS_COUNTER, ROW(rx_dgrams), .help = "UDP datagrams received."},
	{"tx_datagrams_total", METRICS_COUNTER, ROW(tx_dgrams), .help = "UDP datagrams sent."},
	{"sent_packets_total", METRICS_COUNTER, ROW(sent_packets), .help = "QUIC packets sent."},
	{"lost_packets_total", METRICS_COUNTER, ROW(lost_packets), .help = "QUIC packets lost."},
	{"lost_bytes_total", METRICS_COUNTER, ROW(lost_bytes), .help = "Bytes of lost packets."},
	{"congestion_events_total", METRICS_COUNTER, ROW(congestion_events),
	 .help = "Times that the congestion window was cut."},
	{"payload_in_bytes_total", METRICS_COUNTER, ROW(payload_in_bytes),
	 .help = "Bytes that applications sent into the tunnel."},
	{"payload_out_bytes_total", METRICS_COUNTER, ROW(payload_out_bytes),
	 .help = "Bytes that applications got out of the tunnel."},
	{"flows_total", METRICS_COUNTER, ROW(total_conns), .help = "Flows since the start."},
	{"udp_dropped_datagrams_total", METRICS_COUNTER, ROW(udp_dropped),
	 .help = "Datagrams of applications that were dropped."},
	{"rx_datagram_frames_total", METRICS_COUNTER, ROW(rx_datagram_frames),
	 .help = "Datagrams of applications that came in DATAGRAM frames."},
	{"tx_datagram_frames_total", METRICS_COUNTER, ROW(tx_datagram_frames),
	 .help = "Datagrams of applications that were sent in DATAGRAM frames."},
	{"active_flows", METRICS_GAUGE, ROW(active_conns), .help = "Flows that are open now."},
	{"rtt_seconds", METRICS_GAUGE_MS, true, ROW(rtt_ms), .help = "Round trip time."},
	{"congestion_window_bytes", METRICS_GAUGE, true, ROW(cwnd_bytes),
	 .help = "Congestion window."},
	{"mtu_bytes", METRICS_GAUGE, true, ROW(current_mtu), .help = "Size of UDP datagrams."},
	{"max_datagram_bytes", METRICS_GAUGE, true, ROW(max_datagram),
	 .help = "Largest datagram of an application that a DATAGRAM frame carries."},
};
#undef ROW

static const char *const metrics_prefixes[] = {
	[METRICS_TOTAL] = "rstund_",
	[METRICS_CLIENT] = "rstund_client_",
	[METRICS_SERVER] = "rstund_server_",
	[METRICS_MAPPING] = "rstund_mapping_",
};

/* ---- Text ------------------------------------------------------------------------------------ */

/* Room for so many bytes more. */
static bool metrics_reserve(struct metrics *m, struct metrics_buffer *b, size_t bytes)
{
	size_t room = b->room != 0 ? b->room : METRICS_ROOM_MIN;
	char *data;

	if (m->failed)
		return false;
	if (bytes <= b->room - b->bytes)
		return true;
	while (room - b->bytes < bytes)
		room *= 2;
	data = realloc(b->data, room);
	if (data == NULL) {
		m->failed = true;
		return false;
	}
	b->data = data;
	b->room = room;
	return true;
}

static void metrics_put(struct metrics *m, struct metrics_buffer *b, const void *data, size_t bytes)
{
	if (bytes == 0 || !metrics_reserve(m, b, bytes))
		return;
	memcpy(b->data + b->bytes, data, bytes);
	b->bytes += bytes;
}

static void metrics_put_text(struct metrics *m, struct metrics_buffer *b, const char *text)
{
	metrics_put(m, b, text, strlen(text));
}

/* A short one: numbers and names of ours. */
__attribute__((format(printf, 3, 4))) static void
metrics_print(struct metrics *m, struct metrics_buffer *b, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	metrics_put_text(m, b, text);
}

/* The value of a label: backslash, quote and newline are escaped. */
static void metrics_put_escaped(struct metrics *m, struct metrics_buffer *b, const char *text)
{
	while (*text != '\0') {
		size_t one = utf8_decode(NULL, text, strnlen(text, 4));

		if (one == 0)
			metrics_print(m, b, "\\\\x%02x", (unsigned char)*text);
		else if (*text == '\n')
			metrics_put_text(m, b, "\\n");
		else if (*text == '\\' || *text == '"')
			metrics_print(m, b, "\\%c", *text);
		else
			metrics_put(m, b, text, one);
		text += one != 0 ? one : 1;
	}
}

/* name="value",... without brackets. */
static void metrics_put_labels(struct metrics *m, struct metrics_buffer *b,
			       const struct metrics_label *labels, size_t max)
{
	const char *between = "";

	for (size_t i = 0; labels != NULL && i < max && labels[i].name != NULL; i++) {
		if (labels[i].value == NULL || labels[i].value[0] == '\0')
			continue;
		metrics_print(m, b, "%s%s=\"", between, labels[i].name);
		metrics_put_escaped(m, b, labels[i].value);
		metrics_put_text(m, b, "\"");
		between = ",";
	}
}

static void metrics_put_head(struct metrics *m, enum metrics_type type, const char *prefix,
			     const char *name, const char *help)
{
	metrics_print(m, &m->out, "# HELP %s%s ", prefix, name);
	metrics_put_text(m, &m->out, help);
	metrics_print(m, &m->out, "\n# TYPE %s%s %s\n", prefix, name,
		      type == METRICS_COUNTER ? "counter" : "gauge");
}

/* Without floating point: a locale has no say in the decimal point. */
static void metrics_put_number(struct metrics *m, enum metrics_type type, uint64_t value)
{
	if (type == METRICS_GAUGE_MS)
		metrics_print(m, &m->out, " %" PRIu64 ".%03u\n", value / 1000,
			      (unsigned)(value % 1000));
	else
		metrics_print(m, &m->out, " %" PRIu64 "\n", value);
}

/* ---- What it is called with ------------------------------------------------------------------ */

void metrics_init(struct metrics *m)
{
	*m = (struct metrics){0};
}

void metrics_done(struct metrics *m)
{
	if (m == NULL)
		return;
	free(m->out.data);
	free(m->labels.data);
	free(m->items);
	*m = (struct metrics){0};
}

void metrics_value(struct metrics *m, enum metrics_type type, const char *name, const char *help,
		   const struct metrics_label *labels, uint64_t value)
{
	size_t begin, end;

	if (m->last_name == NULL || strcmp(m->last_name, name) != 0)
		metrics_put_head(m, type, "", name, help);
	m->last_name = name;
	metrics_put_text(m, &m->out, name);
	begin = m->out.bytes;
	metrics_put_text(m, &m->out, "{");
	end = m->out.bytes;
	metrics_put_labels(m, &m->out, labels, SIZE_MAX);
	if (m->out.bytes > end)
		metrics_put_text(m, &m->out, "}");
	else
		m->out.bytes = begin;
	metrics_put_number(m, type, value);
}

void metrics_daemon(struct metrics *m, const struct metrics_daemon *d)
{
	const struct metrics_label labels[] = {
		{"version", d->version}, {"ngtcp2", d->ngtcp2}, {"gnutls", d->gnutls}, {NULL, NULL},
	};

	metrics_value(m, METRICS_GAUGE, "rstund_build_info", "Versions, in the labels.", labels, 1);
	metrics_value(m, METRICS_GAUGE_MS, "rstund_uptime_seconds", "Time since the start.", NULL,
		      d->uptime_ms);
	if (d->open_descriptors >= 0)
		metrics_value(m, METRICS_GAUGE, "rstund_open_descriptors",
			      "File descriptors that are open.", NULL,
			      (uint64_t)d->open_descriptors);
	if (d->descriptors_max > 0)
		metrics_value(m, METRICS_GAUGE, "rstund_max_descriptors",
			      "Most file descriptors that may be open.", NULL, d->descriptors_max);
}

void metrics_add(struct metrics *m, const struct metrics_thing *thing)
{
	struct metrics_item *item;

	if (m->failed)
		return;
	if (m->count == m->room) {
		size_t room = m->room != 0 ? 2 * m->room : 16;
		struct metrics_item *more = realloc(m->items, room * sizeof(*more));

		if (more == NULL) {
			m->failed = true;
			return;
		}
		m->items = more;
		m->room = room;
	}
	item = &m->items[m->count++];
	*item = (struct metrics_item){
		.kind = thing->kind,
		.labels_at = m->labels.bytes,
		.has_counters = thing->counters != NULL,
		.state_names = thing->state_names,
		.state = thing->state,
	};
	if (thing->counters != NULL)
		item->counters = *thing->counters;
	metrics_put_labels(m, &m->labels, thing->labels, METRICS_LABELS_MAX);
	item->labels_bytes = m->labels.bytes - item->labels_at;
}

/* ---- Name by name ---------------------------------------------------------------------------- */

/* `state` is one more label, or NULL. */
static void metrics_put_sample(struct metrics *m, const struct metrics_item *item, const char *name,
			       const char *state)
{
	metrics_put_text(m, &m->out, metrics_prefixes[item->kind]);
	metrics_put_text(m, &m->out, name);
	if (item->labels_bytes == 0 && state == NULL)
		return;
	metrics_put_text(m, &m->out, "{");
	if (item->labels_bytes > 0 && !m->failed)
		metrics_put(m, &m->out, m->labels.data + item->labels_at, item->labels_bytes);
	if (state != NULL)
		metrics_print(m, &m->out, "%sstate=\"%s\"", item->labels_bytes > 0 ? "," : "",
			      state);
	metrics_put_text(m, &m->out, "}");
}

static void metrics_put_row(struct metrics *m, enum metrics_kind kind,
			    const struct metrics_row *row)
{
	bool head = false;

	for (size_t i = 0; i < m->count; i++) {
		const struct metrics_item *item = &m->items[i];
		const char *counters = (const char *)&item->counters;

		if (item->kind != kind || !item->has_counters)
			continue;
		if (row->path && (kind != METRICS_MAPPING || item->counters.current_mtu == 0))
			continue;
		if (!head)
			metrics_put_head(m, row->type, metrics_prefixes[kind], row->name,
					 row->help);
		head = true;
		metrics_put_sample(m, item, row->name, NULL);
		metrics_put_number(m, row->type,
				   *(const uint64_t *)(const void *)(counters + row->offset));
	}
}

static void metrics_put_states(struct metrics *m, enum metrics_kind kind)
{
	bool head = false;

	for (size_t i = 0; i < m->count; i++) {
		const struct metrics_item *item = &m->items[i];

		if (item->kind != kind || item->state_names == NULL)
			continue;
		if (!head)
			metrics_put_head(m, METRICS_GAUGE, metrics_prefixes[kind], "state",
					 "1 for the state it is in, 0 for the others.");
		head = true;
		for (int k = 0; item->state_names[k] != NULL; k++) {
			metrics_put_sample(m, item, "state", item->state_names[k]);
			metrics_put_number(m, METRICS_GAUGE, k == item->state);
		}
	}
}

int metrics_finish(struct metrics *m, char **ret)
{
	for (int kind = METRICS_TOTAL; kind <= METRICS_MAPPING; kind++) {
		metrics_put_states(m, (enum metrics_kind)kind);
		for (size_t i = 0; i < sizeof(metrics_rows) / sizeof(metrics_rows[0]); i++)
			metrics_put_row(m, (enum metrics_kind)kind, &metrics_rows[i]);
	}
	metrics_put(m, &m->out, "", 1);
	if (m->failed)
		return RSTUN_E_NOMEM;
	*ret = m->out.data;
	m->out = (struct metrics_buffer){0};
	return 0;
}

int64_t metrics_open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;
	int64_t count = 0;

	if (dir == NULL)
		return -1;
	while ((entry = readdir(dir)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count - 1; /* without its own */
}
