/* SPDX-License-Identifier: MIT */
/*
 * One UDP flow whose stream the peer opened: header, upstream, socket. The other side of UDP, a
 * socket of ours with many sources, is relay/udp_flow.h's opener. Listed by a struct flows; frees
 * itself at its end.
 */
#pragma once

#include "base/address.h"
#include "relay/end.h"

struct flow_info;
struct flow_udp;
struct flows;
struct quic_stream;
struct udp_counters;

/* See flows_dial_udp. */
void flow_udp_dial(struct flows *f, struct quic_stream *stream, const struct target *fixed,
		   const struct target *fallback);

/* Ends and frees it now. */
void flow_udp_end(struct flow_udp *u, enum flow_error error);
/* What is known of it, without its owner's id. */
void flow_udp_info(const struct flow_udp *u, struct flow_info *ret);
/* Adds what it has counted so far. */
void flow_udp_counters(const struct flow_udp *u, struct udp_counters *sum);
struct flow_udp *flow_udp_next(const struct flow_udp *u);
