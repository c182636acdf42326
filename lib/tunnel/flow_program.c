/* SPDX-License-Identifier: MIT */
/*
 * TCP flows with a program as their near end. It moves the bytes of the stream's end itself; the
 * flow beside it is what counts, is listed and can be killed. A stream of the peer's that a program
 * is asked about waits without a timer: the answer comes in the next turn of the loop, and what
 * arrives meanwhile stays in the stream.
 */
#include "tunnel/flow_program.h"

#include "base/error.h"
#include "relay/quic_end.h"
#include "tunnel/env.h"
#include "tunnel/flow_tcp_private.h"

static void flow_program_begin(struct flow_tcp *t, const struct flow_program *program,
			       struct end *end)
{
	t->program = *program;
	t->active_ns = loop_now(t->set->config.env->loop);
	program->on_open(program->user, end, t);
}

int flow_program_open(struct flows *f, const struct flow_opening *opening,
		      const struct flow_program *program)
{
	struct flow_tcp *t;
	struct end *end;
	int err = flow_tcp_open_stream(f, -1, NULL, opening, &end);

	if (err != 0)
		return err;
	t = flow_tcp_new(f);
	if (t == NULL) {
		end->ops->free(end);
		return RSTUN_E_NOMEM;
	}
	flow_tcp_set_opening(t, opening);
	flow_program_begin(t, program, end);
	return 0;
}

bool flow_program_asked(struct flow_tcp *t, const struct target *target)
{
	const struct flows_config *config = &t->set->config;
	struct flow_request request = {.flow = t, .target = target};
	enum flow_answer answer = FLOW_ANSWER_DIAL;

	if (config->on_request != NULL)
		answer = config->on_request(config->user, &request, &t->program);
	if (answer == FLOW_ANSWER_REFUSE)
		flow_tcp_fail(t, FLOW_LIMIT);
	return answer != FLOW_ANSWER_DIAL;
}

int flow_program_take(struct flow_tcp *t, const struct flow_program *program,
		      const struct target *asked)
{
	struct quic_stream *stream = t->stream;
	struct end *end;
	int err;

	t->stream = NULL; /* aborted when there is no end */
	err = quic_end_new(&end, stream, t->set->tunnel.peer_is_original);
	if (err != 0) {
		flow_program_close(t, FLOW_LIMIT);
		return err;
	}
	flow_tcp_set_target(t, asked);
	flow_program_begin(t, program, end);
	return 0;
}

void flow_program_leave(struct flow_tcp *t, const struct target *asked)
{
	t->program = (struct flow_program){.on_cut = NULL};
	flow_tcp_resolve(t, asked);
}

void flow_program_moved(struct flow_tcp *t, size_t in_bytes, size_t out_bytes)
{
	t->in_bytes += in_bytes;
	t->out_bytes += out_bytes;
	t->active_ns = loop_now(t->set->config.env->loop);
}

void flow_program_close(struct flow_tcp *t, enum flow_error error)
{
	t->program.on_cut = NULL;
	flow_tcp_fail(t, error);
}
