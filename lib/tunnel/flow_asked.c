/* SPDX-License-Identifier: MIT */
/*
 * Dynamic forwarding: the dialogue before the flow. The request is read into a buffer, because more
 * than it may have come; what is behind it is the flow's first bytes. "Connected" is said as soon
 * as there is a stream: the far side says nothing before the first byte, and a target that it
 * cannot reach is a reset. A channel begins where the dialogue ends; that of a program has no
 * socket.
 */
#include "tunnel/flow_asked.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "config/config.h"
#include "relay/tcp_end.h"
#include "tunnel/env.h"
#include "tunnel/flow_associate.h"
#include "tunnel/flow_program.h"
#include "tunnel/flow_tcp.h"
#include "tunnel/flows.h"
#include "tunnel/limits.h"
#include "tunnel/proxy_request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct flow_asked {
	TAILQ_ENTRY(flow_asked) link;
	struct flows *set;
	int fd;
	struct event event;
	struct loop_timer timer;
	struct address source;
	struct proxy_request request;
	bool ready;   /* its target is known; it waits for a stream */
	bool refused; /* it was told so; what it still sends is dropped */
	struct flow_channel channel; /* done NULL: it is none */
	struct flow_program program; /* on_open NULL: it is a socket */
	size_t bytes;
	uint8_t buf[PROXY_HEAD_MAX];
};

static struct flow_asked_list *flow_asked_list(struct flow_asked *a)
{
	return a->ready ? &a->set->ready : &a->set->asked;
}

static void flow_asked_set_ready(struct flow_asked *a, bool ready)
{
	TAILQ_REMOVE(flow_asked_list(a), a, link);
	a->ready = ready;
	TAILQ_INSERT_TAIL(flow_asked_list(a), a, link);
}

/* Without its socket. */
static void flow_asked_free(struct flow_asked *a)
{
	struct flows *f = a->set;

	TAILQ_REMOVE(flow_asked_list(a), a, link);
	f->asked_count--;
	event_del(&a->event);
	loop_timer_cancel(&a->timer);
	secret_wipe(a->buf, a->bytes);
	free(a);
}

static void flow_asked_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The last thing that happens to a channel's. */
static void flow_asked_tell(struct flow_asked *a, int error, const char *text)
{
	struct flow_channel channel = a->channel;

	flow_asked_free(a);
	if (channel.done == NULL)
		return;
	flow_asked_close(channel.pass_fd);
	if (error != 0)
		flow_asked_close(channel.status_fd);
	channel.done(channel.user, error, text);
}

void flow_asked_end(struct flow_asked *a, int error, const char *text)
{
	if (a->channel.done == NULL)
		flows_reset_fd(a->fd);
	else if (a->fd >= 0)
		close(a->fd);
	flow_asked_tell(a, error, text);
}

bool flow_asked_is(const struct flow_asked *a, const void *user)
{
	return a->channel.done != NULL && a->channel.user == user;
}

struct flow_asked *flow_asked_next(const struct flow_asked *a)
{
	return TAILQ_NEXT(a, link);
}

void flow_asked_cancel(struct flow_asked *a)
{
	flow_asked_free(a);
}

/* The socket has sent nothing or next to nothing, so there is room for an answer. */
static bool flow_asked_send(struct flow_asked *a, const struct proxy_reply *reply)
{
	return reply->bytes == 0 || send(a->fd, reply->data, reply->bytes, MSG_NOSIGNAL) ==
					    (ssize_t)reply->bytes;
}

/* With an answer, and not with a reset, which could overtake it. */
static void flow_asked_refuse(struct flow_asked *a, const struct proxy_reply *reply,
			      const char *why)
{
	struct flows *f = a->set;
	char text[ADDRESS_TEXT_SIZE];

	log_debug(f->config.env->log, f->config.scope, "%s is refused: %s",
		  address_format(text, sizeof(text), &a->source), why);
	/* Bytes that are still on their way would turn a close into a reset: they are read. */
	if (!flow_asked_send(a, reply) || (a->ready && event_add(&a->event, NULL) != 0)) {
		flow_asked_end(a, RSTUN_E_CLOSED, "");
		return;
	}
	shutdown(a->fd, SHUT_WR);
	flow_asked_set_ready(a, false);
	a->refused = true;
	a->bytes = 0;
	loop_timer_arm(&a->timer, clock_after(loop_now(f->config.env->loop),
					      clock_ms(LIMITS_LINGER_MS)));
}

static void flow_asked_on_timer(void *user)
{
	struct flow_asked *a = user;
	struct proxy_reply reply = {.bytes = 0};

	if (a->channel.done != NULL || a->refused) {
		flow_asked_end(a, RSTUN_E_TIMEOUT, "the tunnel did not come up in time");
		return;
	}
	if (a->ready)
		proxy_reply_error(&a->request, RSTUN_E_UNREACHABLE, &reply);
	flow_asked_refuse(a, &reply,
			  a->ready ? "it waited too long for the tunnel"
				   : "it did not say in time what it wants to reach");
}

static void flow_asked_wait(struct flow_asked *a)
{
	event_del(&a->event);
	flow_asked_set_ready(a, true);
	loop_timer_arm(&a->timer, clock_after(loop_now(a->set->config.env->loop),
					      clock_ms(CONFIG_CONNECT_TIMEOUT_MS)));
	flows_resume(a->set);
}

/* Datagrams go through a tunnel of their own: there it waits. */
static void flow_asked_associate(struct flow_asked *a)
{
	struct flows *from = a->set;
	struct flows *to = from->config.on_associate != NULL
				   ? from->config.on_associate(from->config.user)
				   : NULL;
	struct proxy_reply reply;

	if (to == NULL || to->asked_count >= LIMITS_ASKED) {
		proxy_reply_error(&a->request, RSTUN_E_LIMIT_REACHED, &reply);
		flow_asked_refuse(a, &reply, "there is no tunnel for UDP");
		return;
	}
	TAILQ_REMOVE(flow_asked_list(a), a, link);
	from->asked_count--;
	a->set = to;
	to->asked_count++;
	TAILQ_INSERT_TAIL(flow_asked_list(a), a, link);
	flow_asked_wait(a);
}

/* The tunnel for UDP is there. */
static bool flow_asked_go_udp(struct flow_asked *a)
{
	struct flows *f = a->set;
	struct proxy_reply reply;

	if (f->tunnel.conn == NULL)
		return false;
	if (f->tunnel.peer_is_original) {
		proxy_reply_error(&a->request, RSTUN_E_PEER_LACKS_FEATURE, &reply);
		flow_asked_refuse(a, &reply,
				  "the server is the original, which may lead the datagrams of a "
				  "channel to its --udp-upstream, whatever target they name");
		return true;
	}
	(void)flow_associate_new(f, a->fd, &a->source);
	flow_asked_free(a); /* the socket has been taken over */
	return true;
}

bool flow_asked_go(struct flow_asked *a)
{
	struct flows *f = a->set;
	struct flow_opening opening = {
		.target = &a->request.target,
		.early = a->buf,
		.early_bytes = a->bytes,
		.pass_fd = -1,
		.status_fd = -1,
	};
	struct proxy_reply reply;
	int err;

	if (a->request.udp)
		return flow_asked_go_udp(a);
	if (a->channel.done != NULL) {
		opening.reply = a->channel.reply;
		opening.reply_bytes = a->channel.reply_bytes;
		opening.pass_fd = a->channel.pass_fd;
		opening.status_fd = a->channel.status_fd;
	} else {
		proxy_reply_ok(&a->request, &reply);
		opening.reply = reply.data;
		opening.reply_bytes = reply.bytes;
	}
	if (a->program.on_open != NULL)
		err = flow_program_open(f, &opening, &a->program);
	else
		err = flow_tcp_accepted(f, a->fd, &a->source, &opening);
	if (err == RSTUN_E_LIMIT_REACHED)
		return false;
	/* The socket has been taken over. */
	flow_asked_tell(a, err, err != 0 ? rstun_strerror(err) : "");
	return true;
}

static void flow_asked_on_bytes(struct flow_asked *a)
{
	struct proxy_reply reply = {.bytes = 0};
	enum proxy_result result;
	const char *why = "";
	size_t used = 0;

	result = proxy_request_feed(&a->request, a->buf, a->bytes, &used, &reply, &why);
	a->bytes -= used;
	memmove(a->buf, a->buf + used, a->bytes);
	secret_wipe(a->buf + a->bytes, used); /* there may have been a password in it */
	if (result == PROXY_REFUSED)
		flow_asked_refuse(a, &reply, why);
	else if (!flow_asked_send(a, &reply) || a->bytes == sizeof(a->buf))
		flow_asked_end(a, RSTUN_E_CLOSED, "");
	else if (result == PROXY_READY && a->request.udp)
		flow_asked_associate(a);
	else if (result == PROXY_READY)
		flow_asked_wait(a);
}

static void flow_asked_on_readable(evutil_socket_t fd, short what, void *user)
{
	struct flow_asked *a = user;
	ssize_t n;

	(void)what;
	loop_enter(a->set->config.env->loop);
	n = recv(fd, a->buf + a->bytes, sizeof(a->buf) - a->bytes, 0);
	if (n > 0 && a->refused) {
		return;
	} else if (n > 0) {
		a->bytes += (size_t)n;
		flow_asked_on_bytes(a);
	} else if (n == 0 && a->refused) {
		tcp_end_discard(a->fd);
		flow_asked_free(a);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		flow_asked_end(a, RSTUN_E_CLOSED, "");
	}
}

static struct flow_asked *flow_asked_alloc(struct flows *f, int fd)
{
	struct loop *loop = f->config.env->loop;
	struct flow_asked *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->set = f;
	a->fd = fd;
	loop_timer_init(&a->timer, loop, flow_asked_on_timer, a);
	event_assign(&a->event, loop->base, fd, EV_READ | EV_PERSIST, flow_asked_on_readable, a);
	TAILQ_INSERT_TAIL(&f->asked, a, link);
	f->asked_count++;
	return a;
}

int flow_asked_new(struct flows *f, int fd, const struct address *source)
{
	struct flow_asked *a = f->asked_count < LIMITS_ASKED ? flow_asked_alloc(f, fd) : NULL;

	if (a == NULL) {
		flows_reset_fd(fd);
		return f->asked_count < LIMITS_ASKED ? RSTUN_E_NOMEM : RSTUN_E_LIMIT_REACHED;
	}
	a->source = *source;
	proxy_request_init(&a->request, f->asks == TARGET_HTTP ? PROXY_HTTP : PROXY_SOCKS5,
			   f->config.proxy_auth);
	if (event_add(&a->event, NULL) != 0) {
		flow_asked_end(a, RSTUN_E_NOMEM, "");
		return RSTUN_E_NOMEM;
	}
	loop_timer_arm(&a->timer,
		       clock_after(loop_now(f->config.env->loop), clock_ms(LIMITS_ASK_MS)));
	return 0;
}

int flow_asked_new_channel(struct flows *f, const struct flow_channel *channel)
{
	struct flow_asked *a;

	if (channel->early_bytes > PROXY_HEAD_MAX)
		return RSTUN_E_TOO_LARGE;
	if (f->asked_count >= LIMITS_ASKED)
		return RSTUN_E_LIMIT_REACHED;
	a = flow_asked_alloc(f, channel->fd);
	if (a == NULL)
		return RSTUN_E_NOMEM;
	a->channel = *channel;
	if (channel->program != NULL)
		a->program = *channel->program;
	a->request.target = *channel->target;
	a->bytes = channel->early_bytes;
	if (a->bytes > 0)
		memcpy(a->buf, channel->early, a->bytes);
	flow_asked_wait(a);
	return 0;
}
