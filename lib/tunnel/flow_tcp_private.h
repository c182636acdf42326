/* SPDX-License-Identifier: MIT */
/*
 * What flow_tcp.c (a TCP flow between a socket and a stream) and flow_program.c (one whose near end
 * is, or may become, a program) know of each other. Nobody else includes it.
 */
#pragma once

#include "base/loop.h"
#include "tunnel/dial.h"
#include "tunnel/flow_tcp.h"
#include "tunnel/flows.h"

#include <sys/queue.h>

struct flow_reverse;

struct flow_tcp {
	LIST_ENTRY(flow_tcp) link;
	struct flows *set;
	struct relay *relay;         /* NULL: not yet, or the near end is a program */
	struct flow_program program; /* on_cut NULL: it is none, nor is one asked */
	uint64_t in_bytes, out_bytes; /* moved by a program */
	uint64_t active_ns;          /* of a program; 0 = it is none */
	struct quic_stream *stream;  /* until the relay or the program has it */
	struct dial dial;
	const struct target *fixed, *fallback; /* of the owner of the flows; each may be NULL */
	bool reading_header;
	struct flow_reverse *reverse; /* has the stream while it is asked; or NULL */
	struct loop_timer header_timer;
	TAILQ_ENTRY(flow_tcp) queue_link;
	bool queued; /* its dial waits for a later turn of the loop */
	bool proxied; /* its target is told by a PROXY header who the peer is */
	struct address source;      /* len 0 = not known */
	char *target;               /* text; NULL = none, or no memory for it */
	uint64_t id;
	uint64_t started_ns;
	uint64_t early_bytes;       /* that went into the tunnel before the relay */
	int status_fd;              /* told of the end; -1 = none */
};

/* ---- flow_tcp.c ---- */

struct flow_tcp *flow_tcp_new(struct flows *f); /* NULL: no memory */
/* A stream of ours as an end, begun with the opening; without one (NULL) `source` may be told.
 * RSTUN_E_LIMIT_REACHED: there is none to have now. */
int flow_tcp_open_stream(struct flows *f, int fd, const struct address *source,
			 const struct flow_opening *opening, struct end **ret);
void flow_tcp_set_opening(struct flow_tcp *t, const struct flow_opening *opening);
void flow_tcp_set_target(struct flow_tcp *t, const struct target *target); /* as text */
/* Looks up and connects to what was asked for, or to the fallback. */
void flow_tcp_resolve(struct flow_tcp *t, const struct target *asked);
/* The last thing that happens to it; a program hears of it by on_cut. */
void flow_tcp_finish(struct flow_tcp *t, enum flow_error error);
/* The same, and its stream, if it still has it, is aborted. */
void flow_tcp_fail(struct flow_tcp *t, enum flow_error error);

/* ---- flow_program.c ---- */

/* Whether a program decides where it leads, or it is gone by now; if not it is to be dialled. */
bool flow_program_asked(struct flow_tcp *t, const struct target *target);
