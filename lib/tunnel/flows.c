/* SPDX-License-Identifier: MIT */
/*
 * The set of flows of one mapping or session: its listener, the connections that wait for a stream,
 * and the lists of flows. Which flow ends when is known in flow_tcp.c and flow_udp.c.
 */
#include "tunnel/flows.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "quic/conn.h"
#include "relay/quic_end.h"
#include "relay/tcp_listener.h"
#include "config/config.h"
#include "tunnel/counters.h"
#include "tunnel/env.h"
#include "tunnel/flow_asked.h"
#include "tunnel/flow_associate.h"
#include "tunnel/flow_tcp.h"
#include "tunnel/flow_udp.h"
#include "tunnel/limits.h"

#include <stdlib.h>
#include <unistd.h>

void flows_reset_fd(int fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

/* A stream that was aborted: nothing of it is of interest any more. */
static const struct quic_stream_ops flows_refused_ops = {0};

void flows_refuse(const struct flows *f, struct quic_stream *stream, enum flow_error error)
{
	quic_stream_set_ops(stream, &flows_refused_ops, NULL);
	quic_stream_abort(stream, f->tunnel.peer_is_original ? FLOW_RESET : (uint64_t)error);
}

enum flow_error flows_dial_error(int error)
{
	switch (error) {
	case RSTUN_E_NOT_FOUND:
		return FLOW_DENIED;
	case RSTUN_E_TIMEOUT:
		return FLOW_TIMEOUT;
	case RSTUN_E_LIMIT_REACHED:
	case RSTUN_E_NOMEM:
		return FLOW_LIMIT;
	default:
		return FLOW_NAME_NOT_FOUND;
	}
}

static void flows_pop_waiting(struct flows *f)
{
	struct flow_waiting *w = STAILQ_FIRST(&f->waiting);

	STAILQ_REMOVE_HEAD(&f->waiting, link);
	f->waiting_count--;
	free(w);
}

static void flows_on_wait(void *user)
{
	struct flows *f = user;
	uint64_t now_ns = loop_now(f->config.env->loop);
	struct flow_waiting *w;

	/* All wait equally long, so the first is the oldest. */
	while ((w = STAILQ_FIRST(&f->waiting)) != NULL && w->deadline_ns <= now_ns) {
		char text[ADDRESS_TEXT_SIZE];

		log_debug(f->config.env->log, f->config.scope, "%s waited too long for the tunnel",
			  address_format(text, sizeof(text), &w->source));
		flows_reset_fd(w->fd);
		flows_pop_waiting(f);
	}
	loop_timer_arm(&f->wait_timer, w != NULL ? w->deadline_ns : CLOCK_NEVER);
}

static void flows_wait(struct flows *f, int fd, const struct address *source)
{
	struct flow_waiting *w = NULL;

	if (f->waiting_count < LIMITS_WAITING)
		w = calloc(1, sizeof(*w));
	if (w == NULL) {
		flows_reset_fd(fd);
		return;
	}
	w->fd = fd;
	w->source = *source;
	w->deadline_ns =
		clock_after(loop_now(f->config.env->loop), clock_ms(CONFIG_CONNECT_TIMEOUT_MS));
	STAILQ_INSERT_TAIL(&f->waiting, w, link);
	f->waiting_count++;
	if (f->waiting_count == 1)
		loop_timer_arm(&f->wait_timer, w->deadline_ns);
}

static void flows_on_accept(void *user, int fd, const struct address *source)
{
	struct flows *f = user;

	if (f->draining) {
		flows_reset_fd(fd);
		return;
	}
	if (target_is_asked(&(struct target){.kind = f->asks})) {
		(void)flow_asked_new(f, fd, source);
		return;
	}
	/* Nobody overtakes those who wait. */
	if (f->waiting_count > 0 || flow_tcp_accepted(f, fd, source, NULL) == RSTUN_E_LIMIT_REACHED)
		flows_wait(f, fd, source);
}

struct end *flows_udp_open(void *user, const struct address *source, uint64_t *ret_id)
{
	struct flows *f = user;
	struct quic_stream *stream;
	struct end *end;

	(void)source;
	if (f->tunnel.conn == NULL || f->draining)
		return NULL;
	if (quic_conn_open_stream(f->tunnel.conn, NULL, NULL, &stream) != 0)
		return NULL;
	if (quic_end_new(&end, stream, f->tunnel.peer_is_original) != 0)
		return NULL;
	*ret_id = ++f->total;
	return end;
}

/* In a turn of its own: its time is read anew. */
static void flows_on_dial_task(void *user)
{
	struct flows *f = user;

	f->dialled = 0;
	flow_tcp_dial_some(f);
}

void flows_init(struct flows *f, const struct flows_config *config)
{
	*f = (struct flows){.config = *config};
	LIST_INIT(&f->tcp);
	LIST_INIT(&f->udp);
	TAILQ_INIT(&f->dials);
	loop_task_init(&f->dial_task, flows_on_dial_task, f);
	LIST_INIT(&f->associates);
	TAILQ_INIT(&f->asked);
	TAILQ_INIT(&f->ready);
	STAILQ_INIT(&f->waiting);
	loop_timer_init(&f->wait_timer, config->env->loop, flows_on_wait, f);
}

int flows_listen_tcp(struct flows *f, int fd)
{
	return tcp_listener_new(&f->listener, f->config.env->loop, f->config.env->log, fd,
				flows_on_accept, f);
}

int flows_listen_udp(struct flows *f, int fd, uint64_t udp_idle_ms)
{
	struct udp_opener_config config = {
		.common = {
			.loop = f->config.env->loop,
			.log = f->config.env->log,
			.scope = f->config.scope,
			.idle_timeout_ms = udp_idle_ms,
			.queue_bytes = LIMITS_UDP_QUEUE_BYTES,
			.peer_is_original = f->tunnel.peer_is_original,
			.counters = &f->udp_counters,
			.warned = &f->udp_warned,
		},
		.fd = fd,
		.max_flows = LIMITS_UDP_FLOWS,
		.target = {.kind = TARGET_DEFAULT},
		.open = flows_udp_open,
		.user = f,
	};

	return udp_opener_new(&f->opener, &config);
}

int flows_listen_asking(struct flows *f, int fd, enum target_kind asks)
{
	f->asks = asks;
	return flows_listen_tcp(f, fd);
}

int flows_listen_proxied(struct flows *f, int fd)
{
	f->proxied = true;
	return flows_listen_tcp(f, fd);
}

void flows_resume(struct flows *f)
{
	struct flow_waiting *w;

	while ((w = STAILQ_FIRST(&f->waiting)) != NULL) {
		if (flow_tcp_accepted(f, w->fd, &w->source, NULL) == RSTUN_E_LIMIT_REACHED)
			break;
		flows_pop_waiting(f);
	}
	if (w == NULL)
		loop_timer_cancel(&f->wait_timer);
	while (!TAILQ_EMPTY(&f->ready) && flow_asked_go(TAILQ_FIRST(&f->ready)))
		;
}

/* What is bound stays; the flows are of the tunnel before. */
static void flows_reset_openers(struct flows *f)
{
	struct flow_associate *a;

	if (f->opener != NULL)
		udp_opener_reset(f->opener, f->tunnel.peer_is_original);
	for (a = LIST_FIRST(&f->associates); a != NULL; a = flow_associate_next(a))
		flow_associate_reset(a);
}

void flows_attach(struct flows *f, const struct flows_tunnel *tunnel)
{
	f->tunnel = *tunnel;
	flows_reset_openers(f);
	flows_resume(f);
}

void flows_detach(struct flows *f)
{
	f->tunnel.conn = NULL;
	flows_reset_openers(f);
}

void flows_dial_tcp(struct flows *f, struct quic_stream *stream, const struct target *fixed,
		    bool header, const struct target *fallback)
{
	if (f->draining)
		flows_refuse(f, stream, FLOW_SHUTTING_DOWN);
	else
		flow_tcp_dial(f, stream, fixed, header, fallback);
}

void flows_dial_udp(struct flows *f, struct quic_stream *stream, const struct target *fixed,
		    const struct target *fallback)
{
	if (f->draining)
		flows_refuse(f, stream, FLOW_SHUTTING_DOWN);
	else
		flow_udp_dial(f, stream, fixed, fallback);
}

void flows_tcp_ended(struct flows *f)
{
	if (f->done)
		return;
	/* One that was refused for our own limit may go on now. */
	if ((f->waiting_count > 0 || f->asked_count > 0) && f->tcp_count + 1 == LIMITS_FLOWS)
		flows_resume(f);
	if (f->tcp_count == 0 && f->waiting_count == 0)
		f->config.on_idle(f->config.user);
}

int flows_open_channel(struct flows *f, const struct flow_channel *channel)
{
	return f->draining ? RSTUN_E_SHUTTING_DOWN : flow_asked_new_channel(f, channel);
}

void flows_cancel_channel(struct flows *f, const void *user)
{
	struct flow_asked *a = TAILQ_FIRST(&f->ready);

	while (a != NULL && !flow_asked_is(a, user))
		a = flow_asked_next(a);
	if (a != NULL)
		flow_asked_cancel(a);
}

int flows_open_udp(struct flows *f, const struct flow_datagrams *program, uint64_t udp_idle_ms,
		   struct flow_associate **ret)
{
	return f->draining ? RSTUN_E_SHUTTING_DOWN
			   : flow_associate_new_program(ret, f, program, udp_idle_ms);
}

void flows_fail_waiting(struct flows *f, int error, const char *text)
{
	struct flow_associate *a, *next;

	while (!TAILQ_EMPTY(&f->ready))
		flow_asked_end(TAILQ_FIRST(&f->ready), error, text);
	for (a = LIST_FIRST(&f->associates); a != NULL; a = next) {
		next = flow_associate_next(a);
		if (flow_associate_waits(a))
			flow_associate_fail(a, error, text);
	}
}

bool flows_is_idle(const struct flows *f)
{
	return f->tcp_count == 0 && f->waiting_count == 0 && f->asked_count == 0 &&
	       f->associate_count == 0;
}

void flows_associate_ended(struct flows *f)
{
	if (!f->done && !f->draining && flows_is_idle(f))
		f->config.on_idle(f->config.user);
}

static void flows_close_sockets(struct flows *f)
{
	tcp_listener_free(f->listener);
	f->listener = NULL;
	udp_opener_free(f->opener);
	f->opener = NULL;
	while (!STAILQ_EMPTY(&f->waiting)) {
		flows_reset_fd(STAILQ_FIRST(&f->waiting)->fd);
		flows_pop_waiting(f);
	}
	while (!TAILQ_EMPTY(&f->asked))
		flow_asked_end(TAILQ_FIRST(&f->asked), RSTUN_E_SHUTTING_DOWN, "");
	flows_fail_waiting(f, RSTUN_E_SHUTTING_DOWN, "the tunnel is shutting down");
	while (!LIST_EMPTY(&f->associates))
		flow_associate_fail(LIST_FIRST(&f->associates), RSTUN_E_SHUTTING_DOWN,
				    "the tunnel is shutting down");
	loop_timer_cancel(&f->wait_timer);
}

void flows_drain(struct flows *f)
{
	struct flow_udp *udp;

	if (f->draining)
		return;
	f->draining = true;
	flows_close_sockets(f);
	while ((udp = LIST_FIRST(&f->udp)) != NULL)
		flow_udp_end(udp, FLOW_SHUTTING_DOWN);
	if (f->tcp_count == 0)
		f->config.on_idle(f->config.user);
}

size_t flows_tcp_count(const struct flows *f)
{
	return f->tcp_count;
}

void flows_counters(const struct flows *f, struct tunnel_counters *sum)
{
	struct udp_counters udp = f->udp_counters;

	sum->payload_in_bytes += f->ended_in;
	sum->payload_out_bytes += f->ended_out;
	for (const struct flow_tcp *t = LIST_FIRST(&f->tcp); t != NULL; t = flow_tcp_next(t)) {
		uint64_t in_bytes, out_bytes;

		flow_tcp_counters(t, &in_bytes, &out_bytes);
		sum->payload_in_bytes += in_bytes;
		sum->payload_out_bytes += out_bytes;
	}
	for (const struct flow_udp *u = LIST_FIRST(&f->udp); u != NULL; u = flow_udp_next(u))
		flow_udp_counters(u, &udp);
	counters_add_udp(sum, &udp);
	sum->active_conns += f->tcp_count + f->udp_count;
	if (f->opener != NULL)
		sum->active_conns += udp_opener_flows(f->opener);
	for (const struct flow_associate *a = LIST_FIRST(&f->associates); a != NULL;
	     a = flow_associate_next(a))
		sum->active_conns += udp_opener_flows(flow_associate_opener(a));
	sum->total_conns += f->total;
}

/* ---- looking and ending one ---- */

struct flows_visitor {
	const struct flows *flows;
	uint64_t owner_id;
	void (*visit)(void *user, const struct flow_info *flow);
	void *user;
};

static void flows_on_udp_visit(void *user, const struct udp_opener_info *flow)
{
	const struct flows_visitor *v = user;
	uint64_t now_ns = loop_now(v->flows->config.env->loop);
	struct flow_info info = {
		.flow_id = flow->id,
		.owner_id = v->owner_id,
		.proto = MAPPING_UDP,
		.source = flow->source,
		.target = flow->name != NULL ? flow->name : "",
		.in_bytes = flow->in_bytes,
		.out_bytes = flow->out_bytes,
		.age_ms = (now_ns - flow->started_ns) / CLOCK_NS_PER_MS,
		.idle_ms = (now_ns - flow->active_ns) / CLOCK_NS_PER_MS,
	};

	v->visit(v->user, &info);
}

void flows_visit(const struct flows *f, uint64_t owner_id,
		 void (*visit)(void *user, const struct flow_info *flow), void *user)
{
	struct flows_visitor visitor = {
		.flows = f, .owner_id = owner_id, .visit = visit, .user = user};
	struct flow_info info;

	for (const struct flow_tcp *t = LIST_FIRST(&f->tcp); t != NULL; t = flow_tcp_next(t)) {
		flow_tcp_info(t, &info);
		info.owner_id = owner_id;
		visit(user, &info);
	}
	for (const struct flow_udp *u = LIST_FIRST(&f->udp); u != NULL; u = flow_udp_next(u)) {
		flow_udp_info(u, &info);
		info.owner_id = owner_id;
		visit(user, &info);
	}
	if (f->opener != NULL)
		udp_opener_visit(f->opener, flows_on_udp_visit, &visitor);
	for (const struct flow_associate *a = LIST_FIRST(&f->associates); a != NULL;
	     a = flow_associate_next(a))
		udp_opener_visit(flow_associate_opener(a), flows_on_udp_visit, &visitor);
}

size_t flows_kill(struct flows *f, uint64_t flow_id)
{
	struct flow_tcp *tcp, *next_tcp;
	struct flow_udp *udp, *next_udp;
	struct flow_info info;
	size_t count = 0;

	/* One that begins because another ended is put in front, so it is not met. */
	for (tcp = LIST_FIRST(&f->tcp); tcp != NULL; tcp = next_tcp) {
		next_tcp = flow_tcp_next(tcp);
		flow_tcp_info(tcp, &info);
		if (flow_id != 0 && info.flow_id != flow_id)
			continue;
		flow_tcp_end(tcp, FLOW_RESET);
		count++;
	}
	for (udp = LIST_FIRST(&f->udp); udp != NULL; udp = next_udp) {
		next_udp = flow_udp_next(udp);
		flow_udp_info(udp, &info);
		if (flow_id != 0 && info.flow_id != flow_id)
			continue;
		flow_udp_end(udp, FLOW_RESET);
		count++;
	}
	if (f->opener != NULL)
		count += udp_opener_kill(f->opener, flow_id);
	for (struct flow_associate *a = LIST_FIRST(&f->associates); a != NULL;
	     a = flow_associate_next(a))
		count += udp_opener_kill(flow_associate_opener(a), flow_id);
	return count;
}

void flows_done(struct flows *f, enum flow_error error)
{
	struct flow_udp *udp;
	struct flow_tcp *tcp;

	f->draining = true;
	f->done = true;
	flows_close_sockets(f);
	while ((udp = LIST_FIRST(&f->udp)) != NULL)
		flow_udp_end(udp, error);
	while ((tcp = LIST_FIRST(&f->tcp)) != NULL)
		flow_tcp_end(tcp, error);
	loop_task_cancel(f->config.env->loop, &f->dial_task);
}
