/* SPDX-License-Identifier: MIT */
/*
 * TCP flows whose near end is a program (struct flow_program in flows.h): of its own, or streams of
 * the peer's that it was asked about (flows_config.on_request) and takes.
 */
#pragma once

#include "base/address.h"
#include "relay/end.h"

#include <stddef.h>
#include <stdint.h>

struct flow_opening;
struct flow_program;
struct flow_tcp;
struct flows;

/* A TCP stream of the peer's, for a program that may take it. Borrowed for the call. */
struct flow_request {
	struct flow_tcp *flow;       /* for the answer (below) */
	const struct target *target; /* that is asked for; TARGET_DEFAULT: it names none */
	/* From the owner of the flows. */
	uint64_t owner_id;           /* of the mapping (client) or session (server) */
	const struct address *peer;  /* of the connection */
};

enum flow_answer {
	FLOW_ANSWER_DIAL,   /* no program is concerned */
	/* One answer follows (below), not from inside; until then *ret_program's on_cut
	 * tells that the stream is gone. */
	FLOW_ANSWER_LATER,
	FLOW_ANSWER_REFUSE, /* the program cannot be asked: memory */
};

/* A flow of the program's own; `program` is copied, the opening has no reply. on_open is called
 * from inside. Errors as of flow_tcp_accepted; RSTUN_E_NOMEM, RSTUN_E_CLOSED. */
int flow_program_open(struct flows *f, const struct flow_opening *opening,
		      const struct flow_program *program);

/* Answers to flows_config.on_request; another one is flow_program_close, which refuses the stream.
 * take: the stream is the program's, whose on_open is called from inside, with what came already
 * waiting in the end. RSTUN_E_NOMEM: it was refused, and is gone without a word. */
int flow_program_take(struct flow_tcp *t, const struct flow_program *program,
		      const struct target *asked);
/* Leaves it to the engine, which dials `asked` or the default. */
void flow_program_leave(struct flow_tcp *t, const struct target *asked);

/* Bytes that moved, into the tunnel and out of it. */
void flow_program_moved(struct flow_tcp *t, size_t in_bytes, size_t out_bytes);
/* It is over, or not wanted; on_cut is not called. */
void flow_program_close(struct flow_tcp *t, enum flow_error error);
