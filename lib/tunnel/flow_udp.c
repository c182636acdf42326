/* SPDX-License-Identifier: MIT */
/*
 * A UDP flow that the peer opened: the acceptor of relay/ reads the header and moves datagrams,
 * this file chooses and looks up the upstream. Its counters are its own until it ends.
 */
#include "tunnel/flow_udp.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "quic/conn.h"
#include "relay/quic_end.h"
#include "relay/udp_flow.h"
#include "tunnel/dial.h"
#include "tunnel/egress.h"
#include "tunnel/env.h"
#include "tunnel/flows.h"
#include "tunnel/limits.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct flow_udp {
	LIST_ENTRY(flow_udp) link;
	struct flows *set;
	struct udp_acceptor *acceptor;
	struct dial dial;
	const struct target *fixed, *fallback; /* borrowed from the owner of the flows */
	char *target;      /* text; NULL = not known yet, or no memory for it */
	enum flow_error error;
	uint64_t id;
	uint64_t started_ns;
	struct udp_counters counters;
};

static void flow_udp_report(struct flow_udp *u)
{
	struct flows *f = u->set;
	struct flow_end end = {
		.id = u->id,
		.proto = MAPPING_UDP,
		.target = u->target != NULL ? u->target : "",
		.in_bytes = u->counters.in_bytes,
		.out_bytes = u->counters.out_bytes,
		.duration_ms = (loop_now(f->config.env->loop) - u->started_ns) / CLOCK_NS_PER_MS,
		.error = u->error,
	};

	log_debug(f->config.env->log, f->config.scope,
		  "udp flow to %s ended: %llu bytes in, %llu out, %llu ms", end.target,
		  (unsigned long long)end.in_bytes, (unsigned long long)end.out_bytes,
		  (unsigned long long)end.duration_ms);
	flow_udp_counters(u, &f->udp_counters);
	f->config.on_flow(f->config.user, &end);
}

/* The last thing that happens to it. */
static void flow_udp_finish(struct flow_udp *u)
{
	flow_udp_report(u);
	dial_cancel(&u->dial);
	LIST_REMOVE(u, link);
	u->set->udp_count--;
	free(u->target);
	free(u);
}

static void flow_udp_on_done(struct udp_acceptor *a, void *user)
{
	(void)a;
	flow_udp_finish(user);
}

static void flow_udp_on_resolved(void *user, const struct dial_result *result)
{
	struct flow_udp *u = user;
	struct flows *f = u->set;

	if (result->error != 0) {
		log_debug(f->config.env->log, f->config.scope, "no udp flow to %s: %s",
			  u->target != NULL ? u->target : "its target", result->why);
		u->error = flows_dial_error(result->error);
		udp_acceptor_abort(u->acceptor, u->error);
		return;
	}
	udp_acceptor_dial(u->acceptor, dial_pick(result));
}

static void flow_udp_on_target(struct udp_acceptor *a, void *user, const struct target *named)
{
	struct flow_udp *u = user;
	char text[ADDRESS_TARGET_TEXT_SIZE];
	struct target target;

	u->acceptor = a;
	dial_choose(&target, u->fixed, named, u->fallback);
	u->target = strdup(target_format(text, sizeof(text), &target));
	dial_resolve(&u->dial, u->set->config.resolver, &target, flow_udp_on_resolved, u);
}

static int flow_udp_on_socket(void *user, int fd, const struct address *to)
{
	struct flow_udp *u = user;

	return egress_apply(u->set->config.egress, fd, to);
}

void flow_udp_dial(struct flows *f, struct quic_stream *stream, const struct target *fixed,
		   const struct target *fallback)
{
	bool plain = f->tunnel.peer_is_original;
	struct udp_acceptor_config config = {
		.common = {
			.loop = f->config.env->loop,
			.log = f->config.env->log,
			.scope = f->config.scope,
			.idle_timeout_ms = f->tunnel.udp_idle_ms,
			.queue_bytes = LIMITS_UDP_QUEUE_BYTES,
			.peer_is_original = plain,
			.warned = &f->udp_warned,
		},
		.header_timeout_ms = LIMITS_HEADER_MS,
		.on_target = flow_udp_on_target,
		.on_socket = flow_udp_on_socket,
		.on_done = flow_udp_on_done,
	};
	struct flow_udp *u = NULL;
	struct end *end;

	if (quic_end_new(&end, stream, plain) != 0)
		return;
	if (f->udp_count < LIMITS_UDP_FLOWS)
		u = calloc(1, sizeof(*u));
	if (u == NULL) {
		end->ops->abort(end, FLOW_LIMIT);
		end->ops->free(end);
		return;
	}
	u->set = f;
	u->fixed = fixed;
	u->fallback = fallback;
	u->started_ns = loop_now(f->config.env->loop);
	config.common.counters = &u->counters;
	config.user = u;
	LIST_INSERT_HEAD(&f->udp, u, link);
	f->udp_count++;
	u->id = ++f->total;
	if (udp_acceptor_new(&u->acceptor, &config, end) != 0) {
		u->error = FLOW_LIMIT;
		flow_udp_finish(u);
	}
}

void flow_udp_end(struct flow_udp *u, enum flow_error error)
{
	struct udp_acceptor *acceptor = u->acceptor;

	u->error = error;
	udp_acceptor_free(acceptor, error);
	flow_udp_finish(u);
}

void flow_udp_counters(const struct flow_udp *u, struct udp_counters *sum)
{
	sum->in_datagrams += u->counters.in_datagrams;
	sum->in_bytes += u->counters.in_bytes;
	sum->out_datagrams += u->counters.out_datagrams;
	sum->out_bytes += u->counters.out_bytes;
	sum->dropped_full += u->counters.dropped_full;
	sum->dropped_too_large += u->counters.dropped_too_large;
	sum->dropped_no_tunnel += u->counters.dropped_no_tunnel;
	sum->dropped_socket += u->counters.dropped_socket;
	sum->dropped_flows += u->counters.dropped_flows;
}

void flow_udp_info(const struct flow_udp *u, struct flow_info *ret)
{
	uint64_t now_ns = loop_now(u->set->config.env->loop);

	*ret = (struct flow_info){
		.flow_id = u->id,
		.proto = MAPPING_UDP,
		.target = u->target != NULL ? u->target : "",
		.in_bytes = u->counters.in_bytes,
		.out_bytes = u->counters.out_bytes,
		.age_ms = (now_ns - u->started_ns) / CLOCK_NS_PER_MS,
		.idle_ms = (now_ns - udp_acceptor_active_ns(u->acceptor)) / CLOCK_NS_PER_MS,
	};
}

struct flow_udp *flow_udp_next(const struct flow_udp *u)
{
	return LIST_NEXT(u, link);
}
