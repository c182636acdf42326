/* SPDX-License-Identifier: MIT */
/*
 * Dynamic forwarding the other way round (IN^SOCKS5^...): a stream of the peer's carries what a
 * client of SOCKS5 or HTTP CONNECT says to a port over there. It is asked what it wants to reach;
 * what the list of permits allows is looked up and dialled from here; and it is told how that went,
 * which is known here. The part of a flow (flow_tcp.h) before its relay. The thread of the flows.
 */
#pragma once

#include "base/address.h"
#include "relay/end.h"

struct flow_reverse;
struct flows;
struct quic_stream;

struct flow_reverse_ops {
	/* What it asks for, borrowed, before anything is decided about it. */
	void (*on_target)(void *user, const struct target *target);
	/* The last call. FLOW_OK: it has been told that it is connected; stream and socket are the
	 * user's. Else the stream is over, there is no socket. */
	void (*on_done)(void *user, enum flow_error error, struct quic_stream *stream, int fd);
};

/* Takes the stream over, on failure too. `ops` is borrowed. RSTUN_E_NOMEM. */
int flow_reverse_new(struct flow_reverse **ret, struct flows *f, enum target_kind asks,
		     struct quic_stream *stream, const struct flow_reverse_ops *ops, void *user);
/* Reads what has come already; on_done may come from inside. */
void flow_reverse_start(struct flow_reverse *r);
/* Ends it without a call; within on_done, frees what is left. Accepts NULL. */
void flow_reverse_free(struct flow_reverse *r, enum flow_error error);
