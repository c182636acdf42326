/* SPDX-License-Identifier: MIT */
/*
 * Associations: an opener (relay/udp_flow.h) whose datagrams come from a UDP socket, beside the TCP
 * connection that holds it, of which only the end means something; or from a program, which outlives
 * tunnels, but does not wait for one for ever.
 */
#include "tunnel/flow_associate.h"

#include "base/clock.h"
#include "base/error.h"
#include "config/config.h"
#include "relay/tcp_end.h"
#include "relay/udp_flow.h"
#include "tunnel/egress.h"
#include "tunnel/env.h"
#include "tunnel/flows.h"
#include "tunnel/limits.h"
#include "tunnel/proxy_request.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct flow_associate {
	LIST_ENTRY(flow_associate) link;
	struct flows *set;
	struct udp_opener *opener;
	int fd; /* with event; -1: a program's */
	struct event event;
	struct flow_datagrams program;
	struct loop_timer timer; /* a program has no tunnel */
};

static int flow_associate_alloc(struct flow_associate **ret, struct flows *f, int fd)
{
	struct flow_associate *a;

	if (f->associate_count >= LIMITS_ASSOCIATES)
		return RSTUN_E_LIMIT_REACHED;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return RSTUN_E_NOMEM;
	a->set = f;
	a->fd = fd;
	LIST_INSERT_HEAD(&f->associates, a, link);
	f->associate_count++;
	*ret = a;
	return 0;
}

static int flow_associate_open(struct flow_associate *a, struct udp_opener_config *config)
{
	struct flows *f = a->set;

	config->common.loop = f->config.env->loop;
	config->common.log = f->config.env->log;
	config->common.scope = f->config.scope;
	config->common.queue_bytes = LIMITS_UDP_QUEUE_BYTES;
	config->common.datagram_queue_bytes = LIMITS_UDP_QUEUE_BYTES;
	config->common.peer_is_original = f->tunnel.peer_is_original;
	config->common.counters = &f->udp_counters;
	config->common.warned = &f->udp_warned;
	config->max_flows = LIMITS_ASSOCIATE_FLOWS;
	config->open = flows_udp_open;
	config->user = f;
	return udp_opener_new(&a->opener, config);
}

void flow_associate_end(struct flow_associate *a)
{
	struct flows *f = a->set;

	LIST_REMOVE(a, link);
	f->associate_count--;
	udp_opener_free(a->opener);
	if (a->fd >= 0) {
		event_del(&a->event);
		tcp_end_discard(a->fd);
	} else {
		loop_timer_cancel(&a->timer);
	}
	free(a);
	flows_associate_ended(f);
}

void flow_associate_fail(struct flow_associate *a, int error, const char *text)
{
	struct flow_datagrams program = a->program;

	flow_associate_end(a);
	if (program.on_failed != NULL)
		program.on_failed(program.program.user, error, text);
}

/* ---- SOCKS5 ---- */

static void flow_associate_on_event(evutil_socket_t fd, short what, void *user)
{
	struct flow_associate *a = user;
	char drop[512];
	ssize_t n;

	(void)what;
	loop_enter(a->set->config.env->loop);
	n = recv(fd, drop, sizeof(drop), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		flow_associate_end(a);
}

static int flow_associate_bind(struct flow_associate *a, const struct address *source,
			       struct address *ret_bound)
{
	struct udp_opener_config config = {
		.common.idle_timeout_ms = a->set->tunnel.udp_idle_ms,
		.socks = true,
		.only = *source,
	};
	struct address local;
	int err = address_of_socket(&local, a->fd);

	if (err != 0)
		return err;
	address_set_port(&local, 0);
	err = udp_bind_hooked(&local, &a->set->config.egress->hook, &config.fd, ret_bound);
	return err != 0 ? err : flow_associate_open(a, &config);
}

int flow_associate_new(struct flows *f, int fd, const struct address *source)
{
	struct flow_associate *a;
	struct proxy_reply reply;
	struct address bound;
	const int on = 1;
	int err = flow_associate_alloc(&a, f, fd);

	if (err != 0) {
		flows_reset_fd(fd);
		return err;
	}
	event_assign(&a->event, f->config.env->loop->base, fd, EV_READ | EV_PERSIST,
		     flow_associate_on_event, a);
	/* A client that has vanished must not hold it for ever. */
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	err = flow_associate_bind(a, source, &bound);
	if (err == 0 && event_add(&a->event, NULL) != 0)
		err = RSTUN_E_NOMEM;
	if (err == 0) {
		proxy_reply_associated(&bound, &reply);
		if (send(fd, reply.data, reply.bytes, MSG_NOSIGNAL) != (ssize_t)reply.bytes)
			err = RSTUN_E_CLOSED;
	}
	if (err != 0)
		flow_associate_end(a);
	return err;
}

/* ---- a program ---- */

static void flow_associate_on_timer(void *user)
{
	flow_associate_fail(user, RSTUN_E_TIMEOUT, "the tunnel did not come up in time");
}

/* Whether there is a tunnel is another matter than before. */
static void flow_associate_tell(struct flow_associate *a)
{
	struct flows *f = a->set;

	if (f->tunnel.conn != NULL) {
		loop_timer_cancel(&a->timer);
		a->program.on_open(a->program.program.user);
	} else if (a->timer.deadline_ns == CLOCK_NEVER) {
		loop_timer_arm(&a->timer, clock_after(loop_now(f->config.env->loop),
						      clock_ms(CONFIG_CONNECT_TIMEOUT_MS)));
	}
}

int flow_associate_new_program(struct flow_associate **ret, struct flows *f,
			       const struct flow_datagrams *program, uint64_t udp_idle_ms)
{
	struct udp_opener_config config = {
		.common.idle_timeout_ms = udp_idle_ms,
		.program = &program->program,
	};
	struct flow_associate *a;
	int err = flow_associate_alloc(&a, f, -1);

	if (err != 0)
		return err;
	a->program = *program;
	loop_timer_init(&a->timer, f->config.env->loop, flow_associate_on_timer, a);
	err = flow_associate_open(a, &config);
	if (err != 0) {
		flow_associate_end(a);
		return err;
	}
	flow_associate_tell(a);
	*ret = a;
	return 0;
}

int flow_associate_check(const struct flow_associate *a, const struct target *target)
{
	const struct flows_tunnel *tunnel = &a->set->tunnel;

	return tunnel->conn != NULL && tunnel->peer_is_original && target->kind != TARGET_DEFAULT
		       ? RSTUN_E_PEER_LACKS_FEATURE
		       : 0;
}

int flow_associate_send(struct flow_associate *a, const char *name, const struct target *target,
			const void *data, size_t bytes)
{
	int err = flow_associate_check(a, target);

	return err != 0 ? err : udp_opener_send(a->opener, name, target, data, bytes);
}

bool flow_associate_waits(const struct flow_associate *a)
{
	return a->fd < 0 && a->set->tunnel.conn == NULL;
}

/* ---- both ---- */

void flow_associate_reset(struct flow_associate *a)
{
	udp_opener_reset(a->opener, a->set->tunnel.peer_is_original);
	if (a->fd < 0)
		flow_associate_tell(a);
}

struct udp_opener *flow_associate_opener(const struct flow_associate *a)
{
	return a->opener;
}

struct flow_associate *flow_associate_next(const struct flow_associate *a)
{
	return LIST_NEXT(a, link);
}
