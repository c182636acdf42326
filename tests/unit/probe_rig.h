/* SPDX-License-Identifier: MIT */
/*
 * Probes on the tunnel's rig (tunnel_rig.h): run one to its end and look at its steps, or several
 * at once, cancelled or with their client freed at a step. Failures abort the test. One rig and its
 * runs per program.
 */
#pragma once

#include "tests/unit/tunnel_rig.h"
#include "tunnel/client_probe.h"

#define PROBE_RUNS 16

enum { ALL_WELL = -1 };

/* One probe, under the rig's mutex. */
struct probe_run {
	struct client_probe *probe;
	struct mapping mapping;
	bool has_mapping;
	uint64_t timeout_ms;
	int error; /* of the start */
	struct probe_step_result steps[PROBE_STEPS];
	unsigned count;
	bool done;
	int cancel_at, free_at; /* in the call of that step; PROBE_STEPS = in on_done */
	bool left;              /* that has happened */
};

extern struct rig probe_rig;
extern struct probe_run probe_runs[PROBE_RUNS];

/* What a run is to be; its timeout_ms stays. */
void probe_run_begin(struct probe_run *run, enum mapping_proto proto, const char *text);
void probe_run_start(struct rig *r, void *run);  /* for rig_call */
void probe_run_cancel(struct rig *r, void *run); /* for rig_call */
bool probe_runs_done(struct rig *r); /* for rig_wait_for: but for cancelled ones */

/* Runs the first to its end; `text` is the mapping or NULL, `failed` the step that fails, or
 * ALL_WELL. Returns the step that failed, or all of them. */
const struct probe_step_result *probe_expect(enum mapping_proto proto, const char *text,
					     int failed, int error);
void probe_says(const struct probe_step_result *r, const char *text);
void probe_is(const struct probe_step_result *r, enum probe_outcome expected, const char *text);

/* "OUT^127.0.0.1:0^127.0.0.1:PORT", "IN^127.0.0.1:PORT^127.0.0.1:PORT". */
const char *probe_out(char buf[128], const struct address *target);
const char *probe_in(char buf[128], const struct address *local, const struct address *remote);
struct address probe_nobody(enum mapping_proto proto); /* of 127.0.0.1, where nobody is */
