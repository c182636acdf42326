/* SPDX-License-Identifier: MIT */
/*
 * A TCP flow from its first moment to its end. An accepted one is a relay at once; a dialled one
 * first reads its header (channels only) and looks up its target while the stream is ours, or has
 * it asked (flow_reverse), then hands the stream to a relay. The struct is the relay's owner and
 * frees itself in on_done; whoever called us may find it gone when a call returns.
 */
#include "tunnel/flow_tcp_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "quic/conn.h"
#include "relay/frame.h"
#include "relay/quic_end.h"
#include "relay/relay.h"
#include "relay/tcp_end.h"
#include "config/config.h"
#include "tunnel/dial.h"
#include "tunnel/egress.h"
#include "tunnel/env.h"
#include "tunnel/flow_reverse.h"
#include "tunnel/flows.h"
#include "tunnel/limits.h"
#include "tunnel/proxy_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void flow_tcp_on_header_timer(void *user);

struct flow_tcp *flow_tcp_new(struct flows *f)
{
	struct flow_tcp *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->set = f;
	t->started_ns = loop_now(f->config.env->loop);
	t->status_fd = -1;
	loop_timer_init(&t->header_timer, f->config.env->loop, flow_tcp_on_header_timer, t);
	LIST_INSERT_HEAD(&f->tcp, t, link);
	f->tcp_count++;
	t->id = ++f->total;
	return t;
}

static void flow_tcp_report(struct flow_tcp *t, enum flow_error error)
{
	struct flows *f = t->set;
	struct flow_end end = {
		.id = t->id,
		.proto = MAPPING_TCP,
		.source = t->source.len != 0 ? &t->source : NULL,
		.target = t->target != NULL ? t->target : "",
		.duration_ms = (loop_now(f->config.env->loop) - t->started_ns) / CLOCK_NS_PER_MS,
		.error = error,
	};

	flow_tcp_counters(t, &end.in_bytes, &end.out_bytes);
	log_debug(f->config.env->log, f->config.scope,
		  "tcp flow ended: %s, %llu bytes in, %llu out, %llu ms",
		  error == FLOW_OK ? "complete" : flow_error_text(error),
		  (unsigned long long)end.in_bytes, (unsigned long long)end.out_bytes,
		  (unsigned long long)end.duration_ms);
	f->ended_in += end.in_bytes;
	f->ended_out += end.out_bytes;
	f->config.on_flow(f->config.user, &end);
}

static void flow_tcp_tell_status(const struct flow_tcp *t, enum flow_error error)
{
	if (t->status_fd >= 0 &&
	    !flow_channel_tell(t->status_fd, flow_error_to_rstun(error), flow_error_text(error)))
		log_debug(t->set->config.env->log, t->set->config.scope,
			  "nobody asks how the channel ended");
}

void flow_tcp_finish(struct flow_tcp *t, enum flow_error error)
{
	struct flow_program program = t->program;
	struct flows *f = t->set;

	flow_tcp_report(t, error);
	flow_tcp_tell_status(t, error);
	LIST_REMOVE(t, link);
	if (t->queued)
		TAILQ_REMOVE(&f->dials, t, queue_link);
	f->tcp_count--;
	loop_timer_cancel(&t->header_timer);
	dial_cancel(&t->dial);
	flow_reverse_free(t->reverse, error);
	free(t->target);
	free(t);
	if (program.on_cut != NULL)
		program.on_cut(program.user, error);
	flows_tcp_ended(f);
}

static void flow_tcp_on_done(struct relay *r, void *user, enum flow_error error)
{
	(void)r;
	flow_tcp_finish(user, error);
}

static int flow_tcp_start(struct flow_tcp *t, struct end *tcp, struct end *quic)
{
	struct relay_config config = {
		.loop = t->set->config.env->loop,
		.idle_timeout_ms = t->set->tunnel.tcp_idle_ms,
		.on_done = flow_tcp_on_done,
		.user = t,
	};

	return relay_start(&t->relay, &config, tcp, quic);
}

/* ---- accepted ---- */

/* The stream is new and the socket has hardly sent anything, so there is room for all of it. */
static int flow_tcp_put_opening(struct quic_stream *stream, int fd, const struct flow_opening *o)
{
	uint8_t header[FRAME_TARGET_MAX];
	int err = quic_stream_write(stream, header, frame_put_target(header, o->target));

	if (err == 0 && o->early_bytes > 0)
		err = quic_stream_write(stream, o->early, o->early_bytes);
	if (err == 0 && o->reply_bytes > 0 &&
	    !flow_channel_reply(fd, o->reply, o->reply_bytes, o->pass_fd))
		err = RSTUN_E_CLOSED;
	return err;
}

static int flow_tcp_put_proxy_header(struct quic_stream *stream, int fd,
				     const struct address *source)
{
	uint8_t header[PROXY_HEADER_MAX];
	struct address here;

	if (address_of_socket(&here, fd) != 0)
		here.len = 0;
	return quic_stream_write(stream, header, proxy_header_put(header, source, &here));
}

/* What goes before the bytes of who was accepted. */
static int flow_tcp_put_head(struct flows *f, struct quic_stream *stream, int fd,
			     const struct address *source, const struct flow_opening *opening)
{
	if (opening != NULL)
		return flow_tcp_put_opening(stream, fd, opening);
	return f->proxied ? flow_tcp_put_proxy_header(stream, fd, source) : 0;
}

int flow_tcp_open_stream(struct flows *f, int fd, const struct address *source,
			 const struct flow_opening *opening, struct end **ret)
{
	struct quic_stream *stream;
	int err;

	if (f->tunnel.conn == NULL || f->tcp_count >= LIMITS_FLOWS)
		return RSTUN_E_LIMIT_REACHED;
	/* Its ops come with the end, before anything can happen to it. */
	err = quic_conn_open_stream(f->tunnel.conn, NULL, NULL, &stream);
	if (err == RSTUN_E_LIMIT_REACHED || err == RSTUN_E_CLOSED)
		return RSTUN_E_LIMIT_REACHED;
	if (err != 0)
		return err;
	err = flow_tcp_put_head(f, stream, fd, source, opening);
	if (err != 0)
		flows_refuse(f, stream, FLOW_RESET);
	else
		err = quic_end_new(ret, stream, f->tunnel.peer_is_original);
	return err;
}

void flow_tcp_set_target(struct flow_tcp *t, const struct target *target)
{
	char text[ADDRESS_TARGET_TEXT_SIZE];

	free(t->target);
	t->target = strdup(target_format(text, sizeof(text), target));
}

void flow_tcp_set_opening(struct flow_tcp *t, const struct flow_opening *opening)
{
	t->early_bytes = opening->early_bytes;
	flow_tcp_set_target(t, opening->target);
}

int flow_tcp_accepted(struct flows *f, int fd, const struct address *source,
		      const struct flow_opening *opening)
{
	struct end *tcp, *quic;
	struct flow_tcp *t;
	int err;

	err = flow_tcp_open_stream(f, fd, source, opening, &quic);
	if (err == RSTUN_E_LIMIT_REACHED)
		return err;
	if (err != 0) {
		flows_reset_fd(fd);
		return err;
	}
	err = tcp_end_new(&tcp, f->config.env->loop, fd);
	if (err != 0) {
		quic->ops->free(quic);
		return err;
	}
	t = flow_tcp_new(f);
	if (t == NULL) {
		quic->ops->free(quic);
		tcp->ops->free(tcp);
		return RSTUN_E_NOMEM;
	}
	t->source = *source;
	if (opening != NULL)
		flow_tcp_set_opening(t, opening);
	err = flow_tcp_start(t, tcp, quic);
	if (err != 0) {
		flow_tcp_finish(t, FLOW_LIMIT);
		return err;
	}
	if (opening != NULL)
		t->status_fd = opening->status_fd;
	return 0;
}

/* ---- dialled: until the relay has the stream ---- */

void flow_tcp_fail(struct flow_tcp *t, enum flow_error error)
{
	if (t->stream != NULL)
		flows_refuse(t->set, t->stream, error);
	t->stream = NULL;
	flow_tcp_finish(t, error);
}

static void flow_tcp_on_header_timer(void *user)
{
	flow_tcp_fail(user, FLOW_TIMEOUT);
}

static int flow_tcp_on_socket(void *user, int fd, const struct address *to)
{
	return egress_apply(user, fd, to);
}

/* The stream goes to a relay, with the end that was dialled for it. */
static void flow_tcp_join(struct flow_tcp *t, struct end *tcp)
{
	struct quic_stream *stream = t->stream;
	struct end *quic;

	t->stream = NULL; /* aborted on failure */
	if (quic_end_new(&quic, stream, t->set->tunnel.peer_is_original) != 0) {
		tcp->ops->free(tcp);
		flow_tcp_finish(t, FLOW_LIMIT);
	} else if (flow_tcp_start(t, tcp, quic) != 0) {
		flow_tcp_finish(t, FLOW_LIMIT);
	}
}

/* Whether one of the addresses is the upstream's that expects a header, under whatever name it was
 * asked for: or a client could write a header of its own there. */
static bool flow_tcp_leads_to(const struct dial_result *to, const struct target *upstream)
{
	struct address wanted;

	if (upstream == NULL || upstream->kind != TARGET_ADDRESS)
		return false;
	wanted = upstream->address;
	address_unspecified_to_loopback(&wanted);
	for (size_t i = 0; i < to->count; i++)
		if (address_equal(&to->addresses[i], &wanted))
			return true;
	return false;
}

static void flow_tcp_connect(struct flow_tcp *t, const struct dial_result *to)
{
	struct flows *f = t->set;
	uint8_t header[PROXY_HEADER_MAX];
	struct tcp_connect params = {
		.loop = f->config.env->loop,
		.addresses = to->addresses,
		.address_count = to->count,
		.path = to->path,
		.timeout_ms = CONFIG_CONNECT_TIMEOUT_MS,
		.on_socket = flow_tcp_on_socket,
		.user = f->config.egress,
		.preface = header,
	};
	struct end *tcp;

	/* The tunnel is there as long as the stream is. */
	if (t->proxied || flow_tcp_leads_to(to, f->config.proxy_target))
		params.preface_bytes = proxy_header_put(header, quic_conn_remote(f->tunnel.conn),
							quic_conn_local(f->tunnel.conn));
	if (tcp_end_connect(&tcp, &params) != 0)
		flow_tcp_fail(t, FLOW_LIMIT);
	else
		flow_tcp_join(t, tcp);
}

static void flow_tcp_on_resolved(void *user, const struct dial_result *result)
{
	struct flow_tcp *t = user;
	struct flows *f = t->set;

	if (result->error != 0) {
		log_debug(f->config.env->log, f->config.scope, "no flow to %s: %s",
			  t->target != NULL ? t->target : "its target", result->why);
		flow_tcp_fail(t, flows_dial_error(result->error));
		return;
	}
	flow_tcp_connect(t, result);
}

void flow_tcp_resolve(struct flow_tcp *t, const struct target *asked)
{
	const struct flows_config *config = &t->set->config;
	struct target target;

	dial_choose(&target, asked, NULL, t->fallback);
	flow_tcp_set_target(t, &target);
	t->proxied = config->proxy_target != NULL && target_equal(&target, config->proxy_target);
	dial_resolve(&t->dial, config->resolver, &target, flow_tcp_on_resolved, t);
}

/* What it asks for is known; TARGET_DEFAULT: nothing. */
static void flow_tcp_lead(struct flow_tcp *t, const struct target *asked)
{
	if (!flow_program_asked(t, asked))
		flow_tcp_resolve(t, asked);
}

static void flow_tcp_on_readable(struct quic_stream *s, void *user)
{
	struct flow_tcp *t = user;
	uint8_t header[FRAME_TARGET_MAX];
	struct iovec iov[4];
	struct target named;
	size_t bytes = 0, used;
	int count, err;

	if (!t->reading_header || t->queued)
		return;
	count = quic_stream_peek(s, iov, 4);
	for (int i = 0; i < count && bytes < sizeof(header); i++) {
		size_t n = iov[i].iov_len < sizeof(header) - bytes ? iov[i].iov_len
								   : sizeof(header) - bytes;

		memcpy(header + bytes, iov[i].iov_base, n);
		bytes += n;
	}
	err = frame_get_target(&named, &used, header, bytes);
	if (err == RSTUN_E_AGAIN && !quic_stream_is_whole(s))
		return;
	if (err != 0) {
		flow_tcp_fail(t, FLOW_DENIED);
		return;
	}
	quic_stream_consume(s, used);
	t->reading_header = false;
	loop_timer_cancel(&t->header_timer);
	flow_tcp_lead(t, &named);
}

static void flow_tcp_on_stream_error(struct quic_stream *s, void *user, uint64_t app_error)
{
	(void)s;
	(void)app_error;
	flow_tcp_fail(user, FLOW_RESET);
}

static void flow_tcp_on_stream_close(struct quic_stream *s, void *user, bool lost)
{
	struct flow_tcp *t = user;

	(void)s;
	(void)lost;
	t->stream = NULL;
	flow_tcp_finish(t, FLOW_RESET);
}

static const struct quic_stream_ops flow_tcp_stream_ops = {
	.on_readable = flow_tcp_on_readable,
	.on_reset = flow_tcp_on_stream_error,
	.on_stop_sending = flow_tcp_on_stream_error,
	.on_close = flow_tcp_on_stream_close,
};

static void flow_tcp_on_target(void *user, const struct target *target)
{
	flow_tcp_set_target(user, target);
}

/* What was asked for has been dialled, or it is over. */
static void flow_tcp_on_asked(void *user, enum flow_error error, struct quic_stream *stream, int fd)
{
	struct flow_tcp *t = user;
	struct end *tcp;

	flow_reverse_free(t->reverse, error);
	t->reverse = NULL;
	t->stream = stream;
	if (stream == NULL)
		flow_tcp_finish(t, error);
	else if (tcp_end_new(&tcp, t->set->config.env->loop, fd) != 0)
		flow_tcp_fail(t, FLOW_LIMIT);
	else
		flow_tcp_join(t, tcp);
}

static const struct flow_reverse_ops flow_tcp_reverse_ops = {
	.on_target = flow_tcp_on_target,
	.on_done = flow_tcp_on_asked,
};

static void flow_tcp_ask(struct flow_tcp *t)
{
	struct quic_stream *stream = t->stream;

	t->stream = NULL;
	if (flow_reverse_new(&t->reverse, t->set, t->fixed->kind, stream, &flow_tcp_reverse_ops,
			     t) != 0)
		flow_tcp_finish(t, FLOW_LIMIT);
	else
		flow_reverse_start(t->reverse);
}

static void flow_tcp_begin(struct flow_tcp *t)
{
	if (t->fixed != NULL && target_is_asked(t->fixed))
		flow_tcp_ask(t);
	else if (t->reading_header)
		flow_tcp_on_readable(t->stream, t);
	else
		flow_tcp_lead(t, t->fixed);
}

void flow_tcp_dial(struct flows *f, struct quic_stream *stream, const struct target *fixed,
		   bool header, const struct target *fallback)
{
	struct flow_tcp *t = f->tcp_count < LIMITS_FLOWS ? flow_tcp_new(f) : NULL;

	if (t == NULL) {
		flows_refuse(f, stream, FLOW_LIMIT);
		return;
	}
	t->stream = stream;
	t->reading_header = header;
	t->fixed = fixed;
	t->fallback = fallback;
	quic_stream_set_ops(stream, &flow_tcp_stream_ops, t);
	if (header)
		loop_timer_arm(&t->header_timer,
			       clock_after(t->started_ns, clock_ms(LIMITS_HEADER_MS)));
	t->queued = true;
	TAILQ_INSERT_TAIL(&f->dials, t, queue_link);
	flow_tcp_dial_some(f);
}

/* A peer that opens thousands of flows at once must not hold up the others of this thread: some are
 * dialled at once, the rest in later turns of the loop. */
void flow_tcp_dial_some(struct flows *f)
{
	struct loop *loop = f->config.env->loop;
	struct flow_tcp *t;

	if (f->dialled_ns != loop_now(loop))
		f->dialled = 0;
	f->dialled_ns = loop_now(loop);
	while ((t = TAILQ_FIRST(&f->dials)) != NULL && f->dialled < LIMITS_DIALS) {
		TAILQ_REMOVE(&f->dials, t, queue_link);
		t->queued = false;
		f->dialled++;
		flow_tcp_begin(t);
	}
	if (t != NULL)
		loop_task_schedule(loop, &f->dial_task);
}

/* ---- what flows ask ---- */

void flow_tcp_end(struct flow_tcp *t, enum flow_error error)
{
	struct relay *relay = t->relay;

	flow_tcp_fail(t, error);
	relay_free(relay, error);
}

void flow_tcp_counters(const struct flow_tcp *t, uint64_t *ret_in_bytes, uint64_t *ret_out_bytes)
{
	struct relay_counters counters = {0};

	if (t->relay != NULL)
		relay_get_counters(t->relay, &counters);
	*ret_in_bytes = t->early_bytes + t->in_bytes + counters.a_to_b_bytes;
	*ret_out_bytes = t->out_bytes + counters.b_to_a_bytes;
}

void flow_tcp_info(const struct flow_tcp *t, struct flow_info *ret)
{
	uint64_t now_ns = loop_now(t->set->config.env->loop), active_ns = t->started_ns;
	struct relay_counters counters;
	uint64_t in_bytes, out_bytes;

	if (t->relay != NULL) {
		relay_get_counters(t->relay, &counters);
		active_ns = counters.last_active_ns;
	} else if (t->active_ns != 0) {
		active_ns = t->active_ns;
	}
	flow_tcp_counters(t, &in_bytes, &out_bytes);
	*ret = (struct flow_info){
		.flow_id = t->id,
		.proto = MAPPING_TCP,
		.source = t->source.len != 0 ? &t->source : NULL,
		.target = t->target != NULL ? t->target : "",
		.in_bytes = in_bytes,
		.out_bytes = out_bytes,
		.age_ms = (now_ns - t->started_ns) / CLOCK_NS_PER_MS,
		.idle_ms = (now_ns - active_ns) / CLOCK_NS_PER_MS,
	};
}

struct flow_tcp *flow_tcp_next(const struct flow_tcp *t)
{
	return LIST_NEXT(t, link);
}
