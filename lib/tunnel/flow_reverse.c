/* SPDX-License-Identifier: MIT */
/*
 * The dialogue stays in the stream until it is understood, so the stream's window bounds what one
 * who is asked can make us hold, and what is behind the request is the relay's to read. A refusal
 * is followed by an end of the data and not by a reset, which could overtake it; what still comes
 * is dropped until the other side ends, too.
 */
#include "tunnel/flow_reverse.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "quic/stream.h"
#include "relay/tcp_connect.h"
#include "tunnel/dial.h"
#include "tunnel/egress.h"
#include "tunnel/env.h"
#include "tunnel/flows.h"
#include "tunnel/limits.h"
#include "tunnel/proxy_request.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REVERSE_IOV_MAX 8 /* chunks are larger than a request: two hold it */

enum flow_reverse_state {
	REVERSE_ASKING,
	REVERSE_DIALLING,
	REVERSE_REFUSED, /* it was told so */
};

struct flow_reverse {
	struct flows *set;
	const struct flow_reverse_ops *ops;
	void *user;
	struct quic_stream *stream; /* NULL: it is over */
	enum flow_reverse_state state;
	enum flow_error error; /* REVERSE_REFUSED: why */
	struct proxy_request request;
	struct loop_timer timer; /* of the question, or of the end behind a refusal */
	struct dial dial;
	struct tcp_connector *connector;
};

static void flow_reverse_arm(struct flow_reverse *r, uint64_t ms)
{
	loop_timer_arm(&r->timer, clock_after(loop_now(r->set->config.env->loop), clock_ms(ms)));
}

static void flow_reverse_log(const struct flow_reverse *r, const char *why)
{
	char text[ADDRESS_TARGET_TEXT_SIZE];

	log_debug(r->set->config.env->log, r->set->config.scope, "a connection is refused: %s%s%s",
		  r->state == REVERSE_DIALLING
			  ? target_format(text, sizeof(text), &r->request.target)
			  : "",
		  r->state == REVERSE_DIALLING ? ": " : "", why);
}

/* ---- how it ends: each of these is the last thing that its caller does with it ---- */

static void flow_reverse_fail(struct flow_reverse *r, enum flow_error error)
{
	if (r->stream != NULL)
		flows_refuse(r->set, r->stream, error);
	r->stream = NULL;
	r->ops->on_done(r->user, error, NULL, -1);
}

/* The refusal is on its way, or has arrived: nothing of the stream is of interest any more, but
 * what was given is still delivered. */
static void flow_reverse_leave(struct flow_reverse *r)
{
	static const struct quic_stream_ops nobody = {0};

	quic_stream_set_ops(r->stream, &nobody, NULL);
	quic_stream_stop_reading(r->stream, FLOW_RESET);
	r->stream = NULL;
	r->ops->on_done(r->user, r->error, NULL, -1);
}

static void flow_reverse_drop(struct flow_reverse *r)
{
	quic_stream_consume(r->stream, quic_stream_readable(r->stream));
	if (quic_stream_at_end(r->stream))
		flow_reverse_leave(r);
}

static void flow_reverse_refuse(struct flow_reverse *r, const struct proxy_reply *reply,
				enum flow_error error, const char *why)
{
	flow_reverse_log(r, why);
	if (reply->bytes > 0 && quic_stream_write(r->stream, reply->data, reply->bytes) != 0) {
		flow_reverse_fail(r, error);
		return;
	}
	quic_stream_finish(r->stream);
	r->state = REVERSE_REFUSED;
	r->error = error;
	flow_reverse_arm(r, LIMITS_LINGER_MS);
	flow_reverse_drop(r);
}

/* By an error of the engine, in the words of the protocol. */
static void flow_reverse_refuse_for(struct flow_reverse *r, int error, enum flow_error flow_error,
				    const char *why)
{
	struct proxy_reply reply;

	proxy_reply_error(&r->request, error, &reply);
	flow_reverse_refuse(r, &reply, flow_error, why);
}

static void flow_reverse_on_timer(void *user)
{
	static const struct proxy_reply nothing = {.bytes = 0};
	struct flow_reverse *r = user;

	if (r->state == REVERSE_REFUSED)
		flow_reverse_leave(r);
	else
		flow_reverse_refuse(r, &nothing, FLOW_TIMEOUT,
				    "it did not say in time what it wants to reach");
}

/* ---- what it wants to reach ---- */

static void flow_reverse_on_connected(void *user, int fd, enum flow_error error)
{
	struct flow_reverse *r = user;
	struct quic_stream *stream = r->stream;
	struct proxy_reply reply;

	r->connector = NULL;
	if (fd < 0) {
		flow_reverse_refuse_for(r, flow_error_to_rstun(error), error,
					flow_error_text(error));
		return;
	}
	proxy_reply_ok(&r->request, &reply);
	if (quic_stream_write(stream, reply.data, reply.bytes) != 0) {
		close(fd);
		flow_reverse_fail(r, FLOW_RESET);
		return;
	}
	r->stream = NULL;
	r->ops->on_done(r->user, FLOW_OK, stream, fd);
}

static int flow_reverse_on_socket(void *user, int fd, const struct address *to)
{
	return egress_apply(user, fd, to);
}

static void flow_reverse_on_resolved(void *user, const struct dial_result *result)
{
	struct flow_reverse *r = user;
	struct flows *f = r->set;
	struct tcp_connect params = {
		.loop = f->config.env->loop,
		.addresses = result->addresses,
		.address_count = result->count,
		.timeout_ms = CONFIG_CONNECT_TIMEOUT_MS,
		.on_socket = flow_reverse_on_socket,
		.user = f->config.egress,
	};

	if (result->error != 0)
		flow_reverse_refuse_for(r, result->error, flows_dial_error(result->error),
					result->why);
	else if (tcp_connector_start(&r->connector, &params, flow_reverse_on_connected, r) != 0)
		flow_reverse_refuse_for(r, RSTUN_E_LIMIT_REACHED, FLOW_LIMIT,
					flow_error_text(FLOW_LIMIT));
}

static void flow_reverse_go(struct flow_reverse *r)
{
	const struct flows_config *config = &r->set->config;
	const struct target *target = &r->request.target;

	loop_timer_cancel(&r->timer);
	if (r->request.udp) {
		flow_reverse_refuse_for(r, RSTUN_E_UNSUPPORTED, FLOW_DENIED,
					"UDP ASSOCIATE is not for this direction");
		return;
	}
	r->state = REVERSE_DIALLING;
	r->ops->on_target(r->user, target);
	if (!permit_allows(config->permits, config->permit_count, target))
		flow_reverse_refuse_for(r, RSTUN_E_ACCESS_DENIED, FLOW_DENIED,
					"--permit-remote-open does not name it");
	else
		dial_resolve(&r->dial, config->resolver, target, flow_reverse_on_resolved, r);
}

/* ---- the dialogue ---- */

/* As much as a request may be, from the front. */
static size_t flow_reverse_copy(const struct flow_reverse *r, uint8_t *buf)
{
	struct iovec iov[REVERSE_IOV_MAX];
	int count = quic_stream_peek(r->stream, iov, REVERSE_IOV_MAX);
	size_t bytes = 0;

	for (int i = 0; i < count && bytes < PROXY_HEAD_MAX; i++) {
		size_t room = PROXY_HEAD_MAX - bytes;
		size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;

		memcpy(buf + bytes, iov[i].iov_base, n);
		bytes += n;
	}
	return bytes;
}

/* The stream's memory goes back to the pool: a password that was in it must not. */
static void flow_reverse_consume(const struct flow_reverse *r, size_t bytes)
{
	struct iovec iov[REVERSE_IOV_MAX];
	int count = quic_stream_peek(r->stream, iov, REVERSE_IOV_MAX);
	size_t left = bytes;

	for (int i = 0; i < count && left > 0 && r->request.auth != NULL; i++) {
		size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;

		secret_wipe(iov[i].iov_base, n);
		left -= n;
	}
	quic_stream_consume(r->stream, bytes);
}

static void flow_reverse_read(struct flow_reverse *r)
{
	uint8_t buf[PROXY_HEAD_MAX];
	struct proxy_reply reply;
	enum proxy_result result;
	const char *why = "";
	size_t bytes = flow_reverse_copy(r, buf), used;

	result = proxy_request_feed(&r->request, buf, bytes, &used, &reply, &why);
	secret_wipe(buf, bytes);
	flow_reverse_consume(r, used);
	if (result == PROXY_REFUSED) {
		flow_reverse_refuse(r, &reply, FLOW_DENIED, why);
		return;
	}
	if (reply.bytes > 0 && quic_stream_write(r->stream, reply.data, reply.bytes) != 0)
		flow_reverse_fail(r, FLOW_RESET);
	else if (result == PROXY_READY)
		flow_reverse_go(r);
	else if (bytes - used == sizeof(buf) || quic_stream_is_whole(r->stream))
		flow_reverse_fail(r, FLOW_RESET);
}

static void flow_reverse_on_readable(struct quic_stream *s, void *user)
{
	struct flow_reverse *r = user;

	(void)s;
	if (r->state == REVERSE_ASKING)
		flow_reverse_read(r);
	else if (r->state == REVERSE_REFUSED)
		flow_reverse_drop(r);
}

static void flow_reverse_on_stream_error(struct quic_stream *s, void *user, uint64_t app_error)
{
	struct flow_reverse *r = user;

	(void)s;
	(void)app_error;
	flow_reverse_fail(r, r->state == REVERSE_REFUSED ? r->error : FLOW_RESET);
}

static void flow_reverse_on_stream_close(struct quic_stream *s, void *user, bool lost)
{
	struct flow_reverse *r = user;

	(void)lost;
	r->stream = NULL;
	flow_reverse_on_stream_error(s, user, 0);
}

static const struct quic_stream_ops flow_reverse_stream_ops = {
	.on_readable = flow_reverse_on_readable,
	.on_reset = flow_reverse_on_stream_error,
	.on_stop_sending = flow_reverse_on_stream_error,
	.on_close = flow_reverse_on_stream_close,
};

/* ---- for the flow ---- */

int flow_reverse_new(struct flow_reverse **ret, struct flows *f, enum target_kind asks,
		     struct quic_stream *stream, const struct flow_reverse_ops *ops, void *user)
{
	struct flow_reverse *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		flows_refuse(f, stream, FLOW_LIMIT);
		return RSTUN_E_NOMEM;
	}
	r->set = f;
	r->ops = ops;
	r->user = user;
	r->stream = stream;
	proxy_request_init(&r->request, asks == TARGET_HTTP ? PROXY_HTTP : PROXY_SOCKS5,
			   f->config.proxy_auth);
	loop_timer_init(&r->timer, f->config.env->loop, flow_reverse_on_timer, r);
	flow_reverse_arm(r, LIMITS_ASK_MS);
	quic_stream_set_ops(stream, &flow_reverse_stream_ops, r);
	*ret = r;
	return 0;
}

void flow_reverse_start(struct flow_reverse *r)
{
	flow_reverse_read(r);
}

void flow_reverse_free(struct flow_reverse *r, enum flow_error error)
{
	if (r == NULL)
		return;
	loop_timer_cancel(&r->timer);
	dial_cancel(&r->dial);
	tcp_connector_cancel(r->connector);
	if (r->stream != NULL)
		flows_refuse(r->set, r->stream, error);
	free(r);
}
