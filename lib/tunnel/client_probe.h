/* SPDX-License-Identifier: MIT */
/*
 * A probe of a client, or of one mapping of it: name, UDP, TLS, login, listening address, upstream,
 * step by step, so that the one that fails can be named with what to do about it. It has QUIC
 * connections of its own over the client's endpoint and takes no part in the client's gate and
 * queue, so a mapping that is up does not notice it. Nothing is bound or evicted: an IN mapping is
 * asked about only when the server has said that it knows probes. One loop's thread, the client's.
 */
#pragma once

#include "base/mapping.h"

#include <stdint.h>

struct client;
struct client_probe;

#define PROBE_TEXT_SIZE 512

/* In the order in which they are reported. */
enum probe_step {
	PROBE_DNS,
	PROBE_UDP,
	PROBE_TLS,
	PROBE_LOGIN,
	PROBE_BIND,     /* IN: may the server listen there? */
	PROBE_UPSTREAM, /* OUT: dialled by the server; IN: dialled from here */
};

#define PROBE_STEPS (PROBE_UPSTREAM + 1)

enum probe_outcome {
	PROBE_OK,
	PROBE_FAILED, /* the steps after it are skipped */
	PROBE_SKIPPED,
};

struct probe_step_result {
	enum probe_step step;
	enum probe_outcome outcome;
	int error;                  /* enum rstun_error when it failed, else 0 */
	uint64_t took_ms;
	char text[PROBE_TEXT_SIZE]; /* what was found, or why it failed and what to do */
};

const char *probe_step_name(enum probe_step step);          /* "dns", ... */
const char *probe_outcome_name(enum probe_outcome outcome); /* "ok", "failed", "skipped" */

/*
 * Starts. `mapping` is copied; NULL = only the client itself: is the password right? `timeout_ms`
 * is for all steps together, 0 = LIMITS_PROBE_MS. on_step is called once per step, in order, then
 * on_done, both from the loop, never from inside this call; when on_done is called the probe is
 * gone. The client may be freed and the probe cancelled in either. client_free ends running probes
 * without a call. RSTUN_E_NOMEM.
 * An IN mapping that is up on this very client is reported as what it is: it holds its address.
 */
int client_probe_start(struct client_probe **ret, struct client *c, const struct mapping *mapping,
		       uint64_t timeout_ms,
		       void (*on_step)(void *user, const struct probe_step_result *r),
		       void (*on_done)(void *user), void *user);

/* No call after this. Accepts NULL. */
void client_probe_cancel(struct client_probe *p);
