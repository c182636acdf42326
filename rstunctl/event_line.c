/* SPDX-License-Identifier: MIT */
/*
 * Events for people. What a daemon of another version says is shown as well as it goes.
 */
#include "rstunctl/event_line.h"

#include "rpc/api.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What an event is about and says, while its line is written. */
struct event_line {
	const struct output *o;
	const json_t *event, *detail;
	char text[4096];
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void event_line_add(struct event_line *l,
								 const char *format, ...)
{
	va_list args;
	int n;

	if (l->used + 1 >= sizeof(l->text))
		return;
	va_start(args, format);
	n = vsnprintf(l->text + l->used, sizeof(l->text) - l->used, format, args);
	va_end(args);
	l->used += n > 0 ? (size_t)n : 0;
	if (l->used >= sizeof(l->text))
		l->used = sizeof(l->text) - 1;
}

/* A member's text, cleaned, with words around it; nothing where it is not there. */
static void event_line_text(struct event_line *l, const char *before, const char *path,
			    const char *after)
{
	const char *text = output_string(l->event, path);
	char clean[2048];

	if (text[0] != '\0')
		event_line_add(l, "%s%s%s", before, output_clean(clean, sizeof(clean), text),
			       after);
}

static void event_line_ms(struct event_line *l, const char *before, const char *path)
{
	char time[32];

	if (json_is_integer(output_member(l->event, path)))
		event_line_add(l, "%s%s", before,
			       output_ms(time, sizeof(time), output_number(l->event, path)));
}

static void event_line_word(struct event_line *l)
{
	char clean[256];
	const char *word = output_string(l->event, "data");
	enum output_hue hue = output_state_hue(word);

	event_line_add(l, "%s%s%s", hue != OUTPUT_PLAIN ? output_paint(l->o, hue) : "",
		       output_clean(clean, sizeof(clean), word),
		       hue != OUTPUT_PLAIN ? output_paint(l->o, OUTPUT_PLAIN) : "");
}

static void event_line_state(struct event_line *l)
{
	event_line_word(l);
	event_line_text(l, " (was ", "detail.prev", ")");
	event_line_ms(l, ", after ", "detail.took_ms");
	event_line_text(l, ", listening on ", "detail.bound", "");
	event_line_text(l, ": ", "detail.error.message", "");
	event_line_ms(l, ", next attempt in ", "detail.next_retry_ms");
	if (output_flag(l->event, "detail.unverified"))
		event_line_add(l, ", the server's certificate is not verified");
}

static void event_line_size(struct event_line *l, const char *before, const char *path)
{
	char size[32];

	event_line_add(l, "%s%s", before,
		       output_bytes(size, sizeof(size), output_real(l->event, path)));
}

static void event_line_stat(struct event_line *l)
{
	event_line_size(l, "in ", "data.payload_in_bytes");
	event_line_size(l, ", out ", "data.payload_out_bytes");
	event_line_ms(l, ", rtt ", "data.rtt_ms");
	event_line_size(l, ", cwnd ", "data.cwnd_bytes");
	event_line_add(l, ", lost %" PRIu64 " of %" PRIu64 " packets, %" PRIu64 " flows",
		       output_number(l->event, "data.lost_packets"),
		       output_number(l->event, "data.sent_packets"),
		       output_number(l->event, "data.active_conns"));
}

static void event_line_log(struct event_line *l)
{
	const char *level = output_string(l->event, "detail.level");
	enum output_hue hue = output_state_hue(level);
	char clean[2048];

	event_line_add(l, "%s%s%s ", hue != OUTPUT_PLAIN ? output_paint(l->o, hue) : "",
		       output_clean(clean, sizeof(clean), level),
		       hue != OUTPUT_PLAIN ? output_paint(l->o, OUTPUT_PLAIN) : "");
	event_line_text(l, "", "detail.scope", ": ");
	event_line_text(l, "", "data", "");
}

static void event_line_flow(struct event_line *l)
{
	event_line_word(l);
	event_line_text(l, ": ", "detail.peer", "");
	event_line_text(l, " to ", "detail.target", "");
	event_line_size(l, ", in ", "detail.in_bytes");
	event_line_size(l, ", out ", "detail.out_bytes");
	event_line_ms(l, ", after ", "detail.duration_ms");
	event_line_text(l, ": ", "detail.error.message", "");
}

static void event_line_missing(struct event_line *l)
{
	event_line_add(l, "%" PRIu64 " events were left out (%" PRIu64 " to %" PRIu64
			  "): this program was too slow",
		       output_number(l->event, "data.count"),
		       output_number(l->event, "data.from_seq"),
		       output_number(l->event, "data.to_seq"));
}

static void event_line_thing(struct event_line *l)
{
	event_line_word(l);
	event_line_text(l, " on ", "detail.bound", "");
	event_line_text(l, ", ", "detail.remote", "");
	event_line_text(l, ", ", "detail.software", "");
	event_line_text(l, ", pin ", "detail.pin", "");
	event_line_text(l, ", until ", "detail.not_after", "");
	event_line_text(l, ": ", "detail.text", "");
	event_line_text(l, ": ", "detail.error.message", "");
}

/* Local time of day. */
static void event_line_time(struct event_line *l)
{
	int64_t us;
	time_t seconds;
	struct tm tm;

	if (!output_parse_time(&us, output_string(l->event, "timestamp"))) {
		event_line_add(l, "%-13s", "?");
		return;
	}
	seconds = (time_t)(us / 1000000);
	localtime_r(&seconds, &tm);
	event_line_add(l, "%02d:%02d:%02d.%03d ", tm.tm_hour, tm.tm_min, tm.tm_sec,
		       (int)(us / 1000 % 1000));
}

/* "m3 web: "; nothing for what is about the whole daemon. */
static void event_line_about(struct event_line *l)
{
	size_t before = l->used;

	if (output_string(l->event, "mapping")[0] != '\0') {
		event_line_text(l, "", "mapping", "");
		event_line_text(l, " ", "name", "");
	} else if (output_string(l->event, "detail.id")[0] != '\0') {
		event_line_text(l, "", "detail.id", "");
		event_line_text(l, " ", "detail.name", "");
	} else {
		event_line_text(l, "", "detail.server", "");
	}
	if (l->used != before)
		event_line_add(l, ": ");
}

void event_line_print(const struct output *o, const json_t *event)
{
	struct event_line l = {.o = o, .event = event};
	const char *name = output_string(event, "type");
	char clean[64], *data;

	event_line_time(&l);
	event_line_add(&l, "%-8s ", output_clean(clean, sizeof(clean), name));
	event_line_about(&l);
	switch (rpc_event_find(name)) {
	case RPC_EVENT_STATE:
		event_line_state(&l);
		break;
	case RPC_EVENT_LOG:
		event_line_log(&l);
		break;
	case RPC_EVENT_STAT:
		event_line_stat(&l);
		break;
	case RPC_EVENT_FLOW:
		event_line_flow(&l);
		break;
	case RPC_EVENT_DROPPED:
	case RPC_EVENT_OVERRUN:
		event_line_missing(&l);
		break;
	case RPC_EVENT_MAPPING:
	case RPC_EVENT_CLIENT:
	case RPC_EVENT_SERVER:
	case RPC_EVENT_SESSION:
	case RPC_EVENT_DAEMON:
	case RPC_EVENT_CERT:
		event_line_thing(&l);
		break;
	default: /* of a newer daemon: JSON escapes what could harm */
		data = json_dumps(json_object_get(event, "data"),
				  JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
		event_line_add(&l, "%s", data != NULL ? data : "");
		free(data);
		break;
	}
	fprintf(o->to, "%s\n", l.text);
}
