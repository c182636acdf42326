/* SPDX-License-Identifier: MIT */
/*
 * What `top` knows: mappings and sessions as the daemon lists them, rates from one statistics event
 * to the next, their history. top_draw() makes a screen of it. No I/O; time comes from the events.
 */
#pragma once

#include "rstunctl/output.h"
#include "rstunctl/sparkline.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct top_mapping {
	char id[32];
	char title[128];  /* its name, or its spec; clean */
	char state[32];
	char error[256];
	uint64_t flows;
	bool seen;        /* in the last list */
	bool has_stat;    /* the members below mean something */
	bool has_rate;
	int64_t at_us;    /* of the last statistics */
	uint64_t in_bytes, out_bytes, sent_packets, lost_packets;
	uint64_t rtt_ms, cwnd_bytes;
	double in_rate, out_rate; /* bytes per second */
	double loss;      /* percent of the last interval's packets */
	double in_history[SPARKLINE_MAX], out_history[SPARKLINE_MAX];
	size_t history;   /* entries used */
};

struct top_model {
	struct top_mapping *mappings; /* in the order of the list */
	size_t count, room;
	json_t *sessions;             /* an array, or NULL */
	json_t *status;               /* of daemon.status, or NULL */
	char version[64];
	bool connected;
	size_t first;                 /* mapping at the top of the screen */
};

void top_model_init(struct top_model *m);
void top_model_done(struct top_model *m);

/* Results of mapping.list, session.list and daemon.status. False when memory is short. */
bool top_model_mappings(struct top_model *m, const json_t *result);
void top_model_sessions(struct top_model *m, const json_t *result);
void top_model_status(struct top_model *m, const json_t *result);

/* An event's params: statistics and states count, others are left over. */
void top_model_event(struct top_model *m, const json_t *event);

/* A new daemon: counters begin anew. */
void top_model_forget(struct top_model *m);

/* Draws at most `height` lines (0 = as many as there are) of o->width columns (0 = as wide as it
 * takes) to o->to. `end` is written before each newline: what clears the rest of a line on a
 * terminal. */
void top_draw(struct top_model *m, const struct output *o, size_t height, const char *end);
