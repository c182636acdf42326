/* SPDX-License-Identifier: MIT */
/*
 * What `top` knows, kept from lists and events.
 */
#include "rstunctl/top_model.h"

#include <stdlib.h>
#include <string.h>

#define TOP_RATE_LEAST_US 50000 /* two samples nearer than that are no rate */

void top_model_init(struct top_model *m)
{
	*m = (struct top_model){.count = 0};
}

void top_model_done(struct top_model *m)
{
	free(m->mappings);
	json_decref(m->sessions);
	json_decref(m->status);
	top_model_init(m);
}

static struct top_mapping *top_model_find(struct top_model *m, const char *id)
{
	for (size_t i = 0; i < m->count; i++)
		if (strcmp(m->mappings[i].id, id) == 0)
			return &m->mappings[i];
	return NULL;
}

/* A mapping without a name is known by its spec; the address that all begin with only takes
 * room. */
static void top_model_spec(char *buf, size_t size, const char *spec)
{
	static const char own[] = "127.0.0.1:";
	const char *local = strchr(spec, '^');

	if (local != NULL && strncmp(local + 1, own, sizeof(own) - 1) == 0)
		snprintf(buf, size, "%.*s%s", (int)(local + 1 - spec), spec,
			 local + sizeof(own));
	else
		snprintf(buf, size, "%s", spec);
}

static void top_model_copy(struct top_mapping *to, const json_t *mapping)
{
	const char *name = output_string(mapping, "config.name");
	char spec[1024];

	top_model_spec(spec, sizeof(spec), output_string(mapping, "spec"));
	output_clean(to->title, sizeof(to->title), name[0] != '\0' ? name : spec);
	output_clean(to->state, sizeof(to->state), output_string(mapping, "runtime.state"));
	output_clean(to->error, sizeof(to->error),
		     output_string(mapping, "runtime.last_error.message"));
	to->flows = output_number(mapping, "runtime.active_flows");
	to->seen = true;
}

bool top_model_mappings(struct top_model *m, const json_t *result)
{
	const json_t *list = json_object_get(result, "mappings");
	size_t count = json_array_size(list), i;
	struct top_mapping *fresh = calloc(count > 0 ? count : 1, sizeof(*fresh));
	json_t *mapping;

	if (fresh == NULL)
		return false;
	json_array_foreach(list, i, mapping) {
		const char *id = output_string(mapping, "id");
		const struct top_mapping *old = top_model_find(m, id);

		if (old != NULL)
			fresh[i] = *old;
		snprintf(fresh[i].id, sizeof(fresh[i].id), "%s", id);
		top_model_copy(&fresh[i], mapping);
	}
	free(m->mappings);
	m->mappings = fresh;
	m->count = m->room = count;
	return true;
}

void top_model_sessions(struct top_model *m, const json_t *result)
{
	json_decref(m->sessions);
	m->sessions = json_incref(json_object_get(result, "sessions"));
}

void top_model_status(struct top_model *m, const json_t *result)
{
	json_decref(m->status);
	m->status = json_incref((json_t *)result);
}

void top_model_forget(struct top_model *m)
{
	for (size_t i = 0; i < m->count; i++) {
		m->mappings[i].has_stat = m->mappings[i].has_rate = false;
		m->mappings[i].state[0] = '\0';
	}
	m->connected = false;
}

static void top_model_push(struct top_mapping *t)
{
	if (t->history == SPARKLINE_MAX) {
		memmove(t->in_history, t->in_history + 1,
			sizeof(t->in_history[0]) * (SPARKLINE_MAX - 1));
		memmove(t->out_history, t->out_history + 1,
			sizeof(t->out_history[0]) * (SPARKLINE_MAX - 1));
		t->history--;
	}
	t->in_history[t->history] = t->in_rate;
	t->out_history[t->history] = t->out_rate;
	t->history++;
}

/* What was added per second; counters that went back began anew. */
static double top_model_rate(uint64_t before, uint64_t now, int64_t took_us)
{
	return now < before ? 0 : (double)(now - before) * 1e6 / (double)took_us;
}

static void top_model_stat(struct top_mapping *t, const json_t *data, int64_t at_us)
{
	uint64_t in = output_number(data, "payload_in_bytes");
	uint64_t out = output_number(data, "payload_out_bytes");
	uint64_t sent = output_number(data, "sent_packets");
	uint64_t lost = output_number(data, "lost_packets");
	int64_t took_us = at_us - t->at_us;

	if (t->has_stat && took_us < TOP_RATE_LEAST_US)
		return;
	if (t->has_stat) {
		t->in_rate = top_model_rate(t->in_bytes, in, took_us);
		t->out_rate = top_model_rate(t->out_bytes, out, took_us);
		t->loss = sent > t->sent_packets && lost >= t->lost_packets
				  ? 100.0 * (double)(lost - t->lost_packets) /
					    (double)(sent - t->sent_packets)
				  : 0;
		if (t->loss > 100)
			t->loss = 100;
		t->has_rate = true;
		top_model_push(t);
	}
	t->in_bytes = in;
	t->out_bytes = out;
	t->sent_packets = sent;
	t->lost_packets = lost;
	t->rtt_ms = output_number(data, "rtt_ms");
	t->cwnd_bytes = output_number(data, "cwnd_bytes");
	t->flows = output_number(data, "active_conns");
	t->at_us = at_us;
	t->has_stat = true;
}

void top_model_event(struct top_model *m, const json_t *event)
{
	struct top_mapping *t = top_model_find(m, output_string(event, "mapping"));
	const char *type = output_string(event, "type");
	int64_t at_us;

	if (t == NULL)
		return;
	if (strcmp(type, "stat") == 0 &&
	    output_parse_time(&at_us, output_string(event, "timestamp"))) {
		top_model_stat(t, json_object_get(event, "data"), at_us);
	} else if (strcmp(type, "state") == 0) {
		output_clean(t->state, sizeof(t->state), output_string(event, "data"));
		output_clean(t->error, sizeof(t->error),
			     output_string(event, "detail.error.message"));
	}
}
