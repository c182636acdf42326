/* SPDX-License-Identifier: MIT */
/*
 * All counters as Prometheus reads them (text format 0.0.4; names also fit OpenMetrics: counters
 * end with _total, units are bytes and seconds). The format wants all samples of a name together,
 * so things are collected, and written name by name at the end:
 *
 *   metrics_init, metrics_daemon, metrics_value..., metrics_add for each thing, metrics_finish
 *
 * Sessions are not there on purpose: each reconnect would make a new series, for ever. Main thread;
 * nothing is kept between two runs.
 */
#pragma once

#include "tunnel/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define METRICS_LABELS_MAX 8

/* The first word of names: rstund_, rstund_client_, rstund_server_, rstund_mapping_. */
enum metrics_kind {
	METRICS_TOTAL,
	METRICS_CLIENT,
	METRICS_SERVER,
	METRICS_MAPPING,
};

enum metrics_type {
	METRICS_COUNTER,
	METRICS_GAUGE,
	METRICS_GAUGE_MS, /* given in milliseconds, written as seconds */
};

/* The name is [a-z_]+, the value any text (what is not UTF-8 becomes \xHH). One whose value is NULL
 * or "" is left out. */
struct metrics_label {
	const char *name;
	const char *value;
};

struct metrics_thing {
	enum metrics_kind kind;
	/* What tells it from others of its kind (mapping="m3"), and what it is called; a NULL name
	 * ends them. */
	struct metrics_label labels[METRICS_LABELS_MAX];
	const struct tunnel_counters *counters; /* NULL = none */
	/* NULL, or all states it can have, NULL-terminated (rpc_state_names; to outlive the
	 * struct metrics), and which it is in: one sample each, 0 or 1. */
	const char *const *state_names;
	int state;
};

struct metrics_daemon {
	const char *version;
	const char *ngtcp2, *gnutls; /* versions, or NULL */
	uint64_t uptime_ms;
	int64_t open_descriptors;    /* metrics_open_descriptors(); -1 = not known */
	uint64_t descriptors_max;    /* 0 = not known */
};

struct metrics_buffer {
	char *data;
	size_t bytes, room;
};

struct metrics_item;

struct metrics {
	struct metrics_buffer out;    /* what is written already */
	struct metrics_buffer labels; /* of the items */
	struct metrics_item *items;
	size_t count, room;
	const char *last_name; /* of metrics_value */
	bool failed;           /* memory was short: told by metrics_finish */
};

void metrics_init(struct metrics *m);
void metrics_done(struct metrics *m); /* also after metrics_finish; accepts NULL */

/* Build, uptime, descriptors. */
void metrics_daemon(struct metrics *m, const struct metrics_daemon *d);

/* One sample. Several of one name are given one after the other. `name` is whole
 * ("rstund_sessions") and, as `help`, a constant of the program. `labels` is NULL or ends with a
 * NULL name. */
void metrics_value(struct metrics *m, enum metrics_type type, const char *name, const char *help,
		   const struct metrics_label *labels, uint64_t value);

/* The struct and what it points to are copied, but for state_names. */
void metrics_add(struct metrics *m, const struct metrics_thing *thing);

/* The text, NUL-terminated; free it. Once. RSTUN_E_NOMEM. */
int metrics_finish(struct metrics *m, char **ret);

/* Descriptors this process has open; -1 when the system does not tell. */
int64_t metrics_open_descriptors(void);
