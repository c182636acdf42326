/* SPDX-License-Identifier: MIT */
/*
 * Sums of counters: of a connection's, of a mapping's or session's flows, of a role's mappings.
 * What a closed connection had counted stays in the sum.
 */
#pragma once

#include "tunnel/event.h"

struct quic_conn;
struct udp_counters;

/* Adds what a connection has counted so far; the figures of the path (round trip, window, size) are
 * taken from it when it has carried more than what `sum` has them from. */
void counters_add_conn(struct tunnel_counters *sum, struct quic_conn *conn);

/* Adds payload and drops. */
void counters_add_udp(struct tunnel_counters *sum, const struct udp_counters *udp);

/* Adds all of `one`; path figures of the one with more traffic. */
void counters_add(struct tunnel_counters *sum, const struct tunnel_counters *one);
