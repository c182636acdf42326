/* SPDX-License-Identifier: MIT */
/*
 * A screen of `top`. A column that does not fit is left out as a whole, the less needed ones first:
 * what is shown is never half a number. Only names may be shortened; the id beside them says which
 * one it is.
 */
#include "rstunctl/top_model.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define TOP_GAP 2          /* blanks between columns */
#define TOP_STATE 12       /* "reconnecting" */
#define TOP_RATE 8         /* "99.9 KiB" */
#define TOP_RTT 6          /* "999 ms" */
#define TOP_LOSS 4         /* "9.9%", "100%" */
#define TOP_FLOWS 5
#define TOP_CWND 8
#define TOP_NAME_SHORT 4   /* on the narrowest terminals */
#define TOP_NAME_LEAST 9
#define TOP_NAME_MOST 40
#define TOP_SPARK_LEAST 4
#define TOP_SPARK_MOST 20
#define TOP_SESSIONS_MAX 10

/* Widths; 0 = left out. */
struct top_layout {
	size_t id, name, spark;
	bool rtt, loss, flows, cwnd;
	size_t width; /* SIZE_MAX = whatever it takes */
};

/* Takes a column of `width` from the room that is left, if it fits. */
static bool top_take(size_t *left, size_t width)
{
	if (*left < width)
		return false;
	*left -= width;
	return true;
}

/* What a column can have more of, up to `most`. */
static size_t top_grow(size_t *left, size_t has, size_t most, size_t share)
{
	size_t more = most > has ? most - has : 0;

	if (more > *left / share)
		more = *left / share;
	*left -= more * share;
	return has + more;
}

static struct top_layout top_layout(const struct top_model *m, size_t width)
{
	const size_t fixed = TOP_STATE + TOP_GAP + 2 * TOP_RATE + TOP_GAP;
	struct top_layout l = {.id = 2, .name = TOP_NAME_LEAST,
			       .width = width > 0 ? width : SIZE_MAX};
	size_t name = strlen("MAPPING"), left = l.width;

	for (size_t i = 0; i < m->count; i++) {
		size_t id = strlen(m->mappings[i].id);
		size_t title = utf8_count(m->mappings[i].title, strlen(m->mappings[i].title));

		l.id = id > l.id ? id : l.id;
		name = title > name ? title : name;
	}
	if (width > 0 && name > TOP_NAME_MOST)
		name = TOP_NAME_MOST;
	if (!top_take(&left, fixed + TOP_NAME_LEAST + TOP_GAP)) {
		l.id = 0;
		l.name = left > fixed + TOP_GAP + TOP_NAME_SHORT ? left - fixed - TOP_GAP
								  : TOP_NAME_SHORT;
		return l;
	}
	if (!top_take(&left, l.id + TOP_GAP))
		l.id = 0;
	l.rtt = top_take(&left, TOP_RTT + TOP_GAP);
	l.flows = l.rtt && top_take(&left, TOP_FLOWS + TOP_GAP);
	l.loss = l.flows && top_take(&left, TOP_LOSS + TOP_GAP);
	if (l.loss && top_take(&left, 2 * (TOP_SPARK_LEAST + 1)))
		l.spark = TOP_SPARK_LEAST;
	l.cwnd = l.spark > 0 && top_take(&left, TOP_CWND + TOP_GAP);
	l.name = top_grow(&left, l.name, name, 1);
	if (l.spark > 0)
		l.spark = top_grow(&left, l.spark, TOP_SPARK_MOST, 2);
	return l;
}

/* `text` in exactly `width` columns; characters are counted, not bytes. */
static void top_cell(const struct output *o, const char *text, size_t width)
{
	size_t left = strlen(text), used = 0;

	while (left > 0 && used < width) {
		size_t bytes = utf8_decode(NULL, text, left);

		if (bytes == 0)
			bytes = 1;
		if (used + 1 == width && left > bytes)
			fputs(o->ascii ? ">" : "…", o->to); /* there is more */
		else
			fprintf(o->to, "%.*s", (int)bytes, text);
		used++;
		text += bytes;
		left -= bytes;
	}
	fprintf(o->to, "%*s", (int)(width - used), "");
}

/* Adds a part to a line if all of it fits. What stands first is there in any case. */
__attribute__((format(printf, 4, 5))) static bool top_add(char *line, size_t size, size_t width,
							  const char *format, ...)
{
	size_t used = strlen(line);
	char part[256];
	va_list args;

	va_start(args, format);
	vsnprintf(part, sizeof(part), format, args);
	va_end(args);
	if (used > 0 && utf8_count(line, used) + utf8_count(part, strlen(part)) > width)
		return false;
	snprintf(line + used, size - used, "%s", part);
	return true;
}

static const char *top_s(uint64_t count)
{
	return count == 1 ? "" : "s";
}

static void top_rate(FILE *to, double rate, bool has)
{
	char text[32] = "-";

	if (has)
		output_bytes(text, sizeof(text), rate);
	fprintf(to, "%*s%*s", TOP_GAP, "", TOP_RATE, text);
}

static void top_spark(const struct output *o, const double *values, size_t count, size_t width)
{
	char bars[SPARKLINE_SIZE];

	if (width > 0)
		fprintf(o->to, " %s%s%s", output_paint(o, OUTPUT_GOOD),
			sparkline_draw(bars, values, count, width, o->ascii),
			output_paint(o, OUTPUT_PLAIN));
}

static void top_right(const struct output *o, const char *text, size_t width, bool bad)
{
	fprintf(o->to, "%*s%s%*s%s", TOP_GAP, "", bad ? output_paint(o, OUTPUT_BAD) : "",
		(int)width, text, bad ? output_paint(o, OUTPUT_PLAIN) : "");
}

static void top_row(const struct output *o, const struct top_layout *l, const struct top_mapping *t,
		    const char *end)
{
	char rtt[32] = "-", cwnd[32] = "-", loss[16] = "-", flows[24];

	if (t->has_stat && t->rtt_ms > 0)
		output_ms(rtt, sizeof(rtt), t->rtt_ms);
	else if (t->has_stat && strcmp(t->state, "tunneling") == 0)
		snprintf(rtt, sizeof(rtt), "<1 ms");
	if (t->has_stat)
		output_bytes(cwnd, sizeof(cwnd), (double)t->cwnd_bytes);
	if (t->has_rate)
		snprintf(loss, sizeof(loss), t->loss < 9.95 ? "%.1f%%" : "%.0f%%", t->loss);
	snprintf(flows, sizeof(flows), "%" PRIu64, t->flows);
	if (l->id > 0)
		fprintf(o->to, "%-*s%*s", (int)l->id, t->id, TOP_GAP, "");
	top_cell(o, t->title, l->name);
	fprintf(o->to, "%*s%s", TOP_GAP, "", output_paint(o, output_state_hue(t->state)));
	top_cell(o, t->state[0] != '\0' ? t->state : "?", TOP_STATE);
	fputs(output_paint(o, OUTPUT_PLAIN), o->to);
	top_rate(o->to, t->in_rate, t->has_rate);
	top_spark(o, t->in_history, t->history, l->spark);
	top_rate(o->to, t->out_rate, t->has_rate);
	top_spark(o, t->out_history, t->history, l->spark);
	if (l->rtt)
		top_right(o, rtt, TOP_RTT, false);
	if (l->loss)
		top_right(o, loss, TOP_LOSS, t->has_rate && t->loss >= 1);
	if (l->cwnd)
		top_right(o, cwnd, TOP_CWND, false);
	if (l->flows)
		top_right(o, flows, TOP_FLOWS, false);
	fprintf(o->to, "%s\n", end);
}

static void top_heading(const struct output *o, const struct top_layout *l, const char *end)
{
	int spark = l->spark > 0 ? (int)l->spark + 1 : 0;

	fputs(output_paint(o, OUTPUT_BOLD), o->to);
	if (l->id > 0)
		fprintf(o->to, "%-*s%*s", (int)l->id, "ID", TOP_GAP, "");
	top_cell(o, l->name >= strlen("MAPPING") ? "MAPPING" : "MAP", l->name);
	fprintf(o->to, "%*s%-*s", TOP_GAP, "", TOP_STATE, "STATE");
	top_right(o, "IN/s", TOP_RATE, false);
	fprintf(o->to, "%*s", spark, "");
	top_right(o, "OUT/s", TOP_RATE, false);
	fprintf(o->to, "%*s", spark, "");
	if (l->rtt)
		top_right(o, "RTT", TOP_RTT, false);
	if (l->loss)
		top_right(o, "LOSS", TOP_LOSS, false);
	if (l->cwnd)
		top_right(o, "CWND", TOP_CWND, false);
	if (l->flows)
		top_right(o, "FLOWS", TOP_FLOWS, false);
	fprintf(o->to, "%s%s\n", output_paint(o, OUTPUT_PLAIN), end);
}

/* The daemon, and what all mappings do together. Two lines. */
static void top_header(const struct top_model *m, const struct output *o, size_t width,
		       const char *end)
{
	uint64_t sessions = output_number(m->status, "sessions"), flows = 0, up = 0;
	uint64_t warnings = json_array_size(json_object_get(m->status, "warnings"));
	char time[32], in[32], out[32], line[512] = "", total[512] = "";
	double in_rate = 0, out_rate = 0;

	for (size_t i = 0; i < m->count; i++) {
		in_rate += m->mappings[i].has_rate ? m->mappings[i].in_rate : 0;
		out_rate += m->mappings[i].has_rate ? m->mappings[i].out_rate : 0;
		flows += m->mappings[i].flows;
		up += strcmp(m->mappings[i].state, "tunneling") == 0;
	}
	top_add(line, sizeof(line), width, "rstund %s: %s for %s", m->version,
		output_string(m->status, "state"),
		output_ms(time, sizeof(time), output_number(m->status, "uptime_ms")));
	top_add(line, sizeof(line), width, ", %" PRIu64 " session%s", sessions, top_s(sessions));
	top_add(line, sizeof(line), width, ", %" PRIu64 " warning%s", warnings, top_s(warnings));
	if (m->connected)
		fprintf(o->to, "%s%s\n", line, end);
	else
		fprintf(o->to, "rstund: %sno daemon, trying again%s%s\n",
			output_paint(o, OUTPUT_BAD), output_paint(o, OUTPUT_PLAIN), end);
	top_add(total, sizeof(total), width, "%zu mapping%s, %" PRIu64 " up", m->count,
		top_s(m->count), up);
	top_add(total, sizeof(total), width, "; in %s/s, out %s/s",
		output_bytes(in, sizeof(in), in_rate), output_bytes(out, sizeof(out), out_rate));
	top_add(total, sizeof(total), width, ", %" PRIu64 " flow%s", flows, top_s(flows));
	fprintf(o->to, "%s%s\n", total, end);
}

static void top_session(const struct output *o, const json_t *s, size_t width, const char *end)
{
	uint64_t flows = output_number(s, "active_flows");
	char line[512] = "", in[32], out[32], rtt[32], remote[128], bound[128], id[64];

	output_clean(id, sizeof(id), output_string(s, "id"));
	output_clean(remote, sizeof(remote), output_string(s, "remote"));
	output_clean(bound, sizeof(bound), output_string(s, "bound"));
	output_bytes(in, sizeof(in), output_real(s, "payload_in_bytes"));
	output_bytes(out, sizeof(out), output_real(s, "payload_out_bytes"));
	output_ms(rtt, sizeof(rtt), output_number(s, "rtt_ms"));
	/* Those that follow one that does not fit are left out, too: columns stay columns. */
	if (top_add(line, sizeof(line), width, "%-10s %-24s", id, remote) &&
	    top_add(line, sizeof(line), width, " %-3s %-3s", output_string(s, "mode"),
		    output_string(s, "proto")) &&
	    top_add(line, sizeof(line), width, " in %-8s out %-8s", in, out) &&
	    top_add(line, sizeof(line), width, " rtt %-6s", rtt) &&
	    top_add(line, sizeof(line), width, " %" PRIu64 " flow%s", flows, top_s(flows)) &&
	    bound[0] != '\0')
		top_add(line, sizeof(line), width, ", on %s", bound);
	fprintf(o->to, "%s%s\n", line, end);
}

static void top_sessions(const struct top_model *m, const struct output *o, size_t width,
			 size_t most, const char *end)
{
	size_t i;
	json_t *session;

	if (most < 2)
		return;
	fprintf(o->to, "%s%-10s %s%s%s\n", output_paint(o, OUTPUT_BOLD), "SESSION", "REMOTE",
		output_paint(o, OUTPUT_PLAIN), end);
	json_array_foreach(m->sessions, i, session) {
		if (i + 1 >= most)
			break;
		top_session(o, session, width, end);
	}
}

void top_draw(struct top_model *m, const struct output *o, size_t height, const char *end)
{
	struct top_layout l = top_layout(m, o->width);
	size_t sessions = json_array_size(m->sessions), room = SIZE_MAX, shown, below;

	below = sessions > TOP_SESSIONS_MAX ? TOP_SESSIONS_MAX : sessions;
	below = below > 0 ? below + 1 : 0;
	if (height > 0) {
		if (below > height / 3)
			below = height / 3;
		room = height > 4 + below ? height - 4 - below
					  : 1; /* two lines, headings, a rest */
	} else {
		below = sessions > 0 ? sessions + 1 : 0;
	}
	if (m->first + 1 > m->count)
		m->first = m->count > 0 ? m->count - 1 : 0;
	top_header(m, o, l.width, end);
	top_heading(o, &l, end);
	shown = m->count - m->first < room ? m->count - m->first : room;
	for (size_t i = 0; i < shown; i++)
		top_row(o, &l, &m->mappings[m->first + i], end);
	if (m->first > 0 || m->first + shown < m->count)
		fprintf(o->to, "%zu to %zu of %zu; up and down show others%s\n", m->first + 1,
			m->first + shown, m->count, end);
	top_sessions(m, o, l.width, below, end);
}
