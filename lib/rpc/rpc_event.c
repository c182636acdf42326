/* SPDX-License-Identifier: MIT */
/*
 * Events as text: the body once, a line for each subscriber.
 */
#include "rpc/rpc_event.h"

#include "rpc/field_json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool rpc_event_set(json_t *object, const char *name, json_t *value)
{
	return json_object_set_new(object, name, value) == 0;
}

static bool rpc_event_set_text(json_t *object, const char *name, const char *text)
{
	return text == NULL || rpc_event_set(object, name, field_json_string(text));
}

static bool rpc_event_fill(json_t *object, const struct rpc_event *e)
{
	const struct rpc_event_row *row = &rpc_events[e->type];
	json_int_t seq = e->seq > INT64_MAX ? INT64_MAX : (json_int_t)e->seq;

	return rpc_event_set(object, "seq", json_integer(seq)) &&
	       rpc_event_set_text(object, "timestamp", e->timestamp) &&
	       rpc_event_set(object, "type", json_string(row->name)) &&
	       rpc_event_set(object, "data",
			     row->data != NULL
				     ? field_json_encode(row->data, e->data)
				     : field_json_string(e->word != NULL ? e->word : "")) &&
	       (e->tunnel == NULL ||
		rpc_event_set(object, "tunnel",
			      field_json_encode(&rpc_event_tunnel_rows, e->tunnel))) &&
	       rpc_event_set_text(object, "mapping", e->mapping) &&
	       rpc_event_set_text(object, "name", e->name) &&
	       (e->detail == NULL || row->detail == NULL ||
		rpc_event_set(object, "detail", field_json_encode(row->detail, e->detail)));
}

char *rpc_event_body(const struct rpc_event *e, size_t *ret_bytes)
{
	json_t *object = json_object();
	char *text = NULL;

	if (rpc_event_fill(object, e))
		text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(12));
	json_decref(object);
	if (text == NULL)
		return NULL;
	*ret_bytes = strlen(text) - 1;
	memmove(text, text + 1, *ret_bytes + 1); /* the brace goes, the NUL comes along */
	return text;
}

char *rpc_event_line(uint64_t sub, uint64_t n, const char *body, size_t body_bytes,
		     size_t *ret_bytes)
{
	char before[128], *line;
	size_t used;

	used = (size_t)snprintf(before, sizeof(before),
				"{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":"
				"{\"sub\":%" PRIu64 ",\"n\":%" PRIu64 ",",
				sub, n);
	line = malloc(used + body_bytes + sizeof("}\n"));
	if (line == NULL)
		return NULL;
	memcpy(line, before, used);
	memcpy(line + used, body, body_bytes);
	memcpy(line + used + body_bytes, "}\n", sizeof("}\n"));
	*ret_bytes = used + body_bytes + 2;
	return line;
}
