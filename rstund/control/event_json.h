/* SPDX-License-Identifier: MIT */
/*
 * Events of the bus as events of the control API: which of them are any, what type they have there,
 * which mapping they are about, and their text (the body of rpc_event.h), which is made when
 * somebody first wants it and kept in the event. Main thread only, no I/O.
 */
#pragma once

#include "rpc/api.h"
#include "rpc/api_types.h"
#include "rstund/control/bus_event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control_stat;

/* The type it has in the API; -1 = it stays inside (counters of a single mapping, session or role,
 * which are sent at each subscriber's own interval). */
int event_json_type(const struct bus_event *e);

/* Whether it is about a mapping of a client, and the number of its id ("m3": 3). */
bool event_json_mapping(const struct bus_event *e, uint64_t *ret_number);

/* Makes e->body, if it is not there. Only for events that have a type. RSTUN_E_NOMEM. */
int event_json_body(struct bus_event *e);

/* ---- Bodies that no event keeps; malloc'ed, NULL when memory is short ------------------------ */

/* The same event under another number. */
char *event_json_make(const struct bus_event *e, uint64_t seq, size_t *ret_bytes);
/* Counters of one mapping. */
char *event_json_stat(const struct control_stat *stat, uint64_t seq, int64_t wall_us,
		      size_t *ret_bytes);
/* RPC_EVENT_DROPPED or RPC_EVENT_OVERRUN; its number is that of the last event left out. */
char *event_json_dropped(enum rpc_event_type type, const struct rpc_dropped *dropped,
			 int64_t wall_us, size_t *ret_bytes);
