/* SPDX-License-Identifier: MIT */
/*
 * One relayed TCP flow, accepted by us or dialled by us. Made for and listed by a struct flows;
 * frees itself at its end.
 */
#pragma once

#include "base/address.h"
#include "relay/end.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flow_info;
struct flow_tcp;
struct flows;
struct quic_stream;

/* What goes before the bytes of an accepted connection; borrowed for the call. */
struct flow_opening {
	const struct target *target; /* begins the stream (WIRE.md, channels) */
	const uint8_t *early;        /* then these go into the tunnel */
	size_t early_bytes;
	const uint8_t *reply;        /* and these to the connection */
	size_t reply_bytes;
	int pass_fd;                 /* with them (SCM_RIGHTS); -1 = none */
	int status_fd;               /* told of the flow's end; taken over when 0 is returned */
};

/* An accepted connection, with or without an opening (NULL): 0, or RSTUN_E_LIMIT_REACHED when no
 * stream can be opened now (the descriptor stays the caller's), or another error (the descriptor
 * has been reset). */
int flow_tcp_accepted(struct flows *f, int fd, const struct address *source,
		      const struct flow_opening *opening);

/* A stream of the peer's, see flows_dial_tcp. */
void flow_tcp_dial(struct flows *f, struct quic_stream *stream, const struct target *fixed,
		   bool header, const struct target *fallback);

/* Goes on with those that wait for a later turn. */
void flow_tcp_dial_some(struct flows *f);

/* Ends and frees it now. */
void flow_tcp_end(struct flow_tcp *t, enum flow_error error);

/* What is known of it, without its owner's id. */
void flow_tcp_info(const struct flow_tcp *t, struct flow_info *ret);
/* Bytes so far. */
void flow_tcp_counters(const struct flow_tcp *t, uint64_t *ret_in_bytes, uint64_t *ret_out_bytes);
struct flow_tcp *flow_tcp_next(const struct flow_tcp *t);
