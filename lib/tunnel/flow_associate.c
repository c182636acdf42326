/* SPDX-License-Identifier: MIT */
/*
 * Associations of SOCKS5: a UDP socket whose datagrams are an opener's (relay/udp_flow.h), and the
 * TCP connection that holds it, of which only the end means something.
 */
#include "tunnel/flow_associate.h"

#include "base/error.h"
#include "relay/udp_flow.h"
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
	int fd;
	struct event event;
	struct udp_opener *opener;
};

void flow_associate_end(struct flow_associate *a)
{
	struct flows *f = a->set;

	LIST_REMOVE(a, link);
	f->associate_count--;
	event_del(&a->event);
	udp_opener_free(a->opener);
	close(a->fd);
	free(a);
	flows_associate_ended(f);
}

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
	const struct flows *f = a->set;
	struct udp_opener_config config = {
		.common = {
			.loop = f->config.env->loop,
			.log = f->config.env->log,
			.scope = f->config.scope,
			.idle_timeout_ms = f->tunnel.udp_idle_ms,
			.queue_bytes = LIMITS_UDP_QUEUE_BYTES,
			.counters = &a->set->udp_counters,
			.warned = &a->set->udp_warned,
		},
		.max_flows = LIMITS_ASSOCIATE_FLOWS,
		.socks = true,
		.only = *source,
		.open = flows_udp_open,
		.user = a->set,
	};
	struct address local;
	int err = address_of_socket(&local, a->fd);

	if (err != 0)
		return err;
	address_set_port(&local, 0);
	err = udp_bind(&local, &config.fd, ret_bound);
	return err != 0 ? err : udp_opener_new(&a->opener, &config);
}

int flow_associate_new(struct flows *f, int fd, const struct address *source)
{
	struct flow_associate *a = NULL;
	struct proxy_reply reply;
	struct address bound;
	const int on = 1;
	int err = RSTUN_E_LIMIT_REACHED;

	if (f->associate_count < LIMITS_ASSOCIATES) {
		a = calloc(1, sizeof(*a));
		err = RSTUN_E_NOMEM;
	}
	if (a == NULL) {
		flows_reset_fd(fd);
		return err;
	}
	a->set = f;
	a->fd = fd;
	event_assign(&a->event, f->config.env->loop->base, fd, EV_READ | EV_PERSIST,
		     flow_associate_on_event, a);
	LIST_INSERT_HEAD(&f->associates, a, link);
	f->associate_count++;
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

struct udp_opener *flow_associate_opener(const struct flow_associate *a)
{
	return a->opener;
}

struct flow_associate *flow_associate_next(const struct flow_associate *a)
{
	return LIST_NEXT(a, link);
}
