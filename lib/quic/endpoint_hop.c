/* SPDX-License-Identifier: MIT */
/*
 * A client's sockets: one per address family, made when first needed, and moving all connections to
 * fresh ones (RFC 9000 section 9.2). An old socket is kept until no connection uses it and 3 PTO
 * have passed, because packets may still be on their way to it.
 */
#include "quic/endpoint_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <unistd.h>

#define SWEEP_NS (2 * CLOCK_NS_PER_S) /* more than 3 PTO of any sane path */

/* Bound by the hook (a source address), or here to any. */
static int bind_any(int fd, sa_family_t family)
{
	struct address bound, any = {0};

	if (address_of_socket(&bound, fd) == 0 && address_port(&bound) != 0)
		return 0;
	any.sa.sa_family = family;
	any.len = family == AF_INET6 ? sizeof(any.in6) : sizeof(any.in);
	return bind(fd, &any.sa, any.len) == 0 ? 0 : rstun_error_from_errno(errno);
}

static int make_socket(struct quic_endpoint *ep, sa_family_t family, struct quic_socket **ret)
{
	int fd = quic_socket_open(family, false, false), rv;

	if (fd < 0)
		return fd;
	if (ep->config.ops->on_socket && ep->config.ops->on_socket(ep, ep->config.user, fd) != 0) {
		close(fd);
		return RSTUN_E_PERMISSION_DENIED;
	}
	rv = bind_any(fd, family);
	if (rv != 0) {
		close(fd);
		return rv;
	}
	rv = quic_socket_new(ret, ep->config.loop, ep->config.log, fd, ep->buffers,
			     &endpoint_socket_ops, ep);
	if (rv == 0)
		TAILQ_INSERT_HEAD(&ep->sockets, *ret, link);
	return rv;
}

int endpoint_client_socket(struct quic_endpoint *ep, const struct address *remote,
			   struct quic_socket **ret)
{
	struct quic_socket *s;

	TAILQ_FOREACH(s, &ep->sockets, link)
	{
		if (s->local.sa.sa_family == remote->sa.sa_family) {
			*ret = s;
			return 0;
		}
	}
	return make_socket(ep, remote->sa.sa_family, ret);
}

static bool in_use(const struct quic_endpoint *ep, const struct quic_socket *s)
{
	const struct route *r;

	TAILQ_FOREACH(r, &ep->routes, link)
	{
		if (r->state == ROUTE_LIVE &&
		    address_port(&r->conn->local) == address_port(&s->local) &&
		    r->conn->local.sa.sa_family == s->local.sa.sa_family)
			return true;
	}
	return false;
}

/* Not the newest of its family. */
static bool left_behind(const struct quic_endpoint *ep, const struct quic_socket *s)
{
	const struct quic_socket *t;

	TAILQ_FOREACH(t, &ep->sockets, link)
	{
		if (t->local.sa.sa_family == s->local.sa.sa_family)
			return t != s;
	}
	return false;
}

void endpoint_sweep(struct quic_endpoint *ep)
{
	uint64_t now = loop_now(ep->config.loop);
	struct quic_socket *s, *next;
	bool waiting = false;

	if (ep->config.credentials)
		return; /* a server's sockets stay */
	for (s = TAILQ_FIRST(&ep->sockets); s; s = next) {
		next = TAILQ_NEXT(s, link);
		if (!left_behind(ep, s))
			continue;
		if (in_use(ep, s)) {
			s->idle_since_ns = 0;
		} else if (s->idle_since_ns == 0) {
			s->idle_since_ns = now;
		} else if (now - s->idle_since_ns >= SWEEP_NS) {
			TAILQ_REMOVE(&ep->sockets, s, link);
			quic_socket_free(s);
			continue;
		}
		waiting = true;
	}
	if (waiting)
		loop_timer_arm(&ep->sweep_timer, clock_after(now, SWEEP_NS));
}

void endpoint_on_sweep(void *user)
{
	endpoint_sweep(user);
}

static void hop_family(struct quic_endpoint *ep, sa_family_t family)
{
	struct quic_socket *s;
	struct route *r;
	size_t count = 0;

	TAILQ_FOREACH(s, &ep->sockets, link)
	count += s->local.sa.sa_family == family;
	if (count == 0)
		return;
	if (count >= ENDPOINT_SOCKETS) {
		log_debug(ep->config.log, "quic",
			  "hop left out: connections still use the sockets of earlier ones");
		return;
	}
	if (make_socket(ep, family, &s) != 0) {
		log_warn(ep->config.log, "quic", "hop left out: no new UDP socket");
		return;
	}
	TAILQ_FOREACH(r, &ep->routes, link)
	{
		if (r->state == ROUTE_LIVE && r->conn->local.sa.sa_family == family &&
		    quic_conn_migrate(r->conn, &s->local, loop_now(ep->config.loop)) != 0)
			log_debug(ep->config.log, "quic",
				  "a connection can't move now and stays where it is");
	}
}

void quic_endpoint_hop(struct quic_endpoint *ep)
{
	hop_family(ep, AF_INET);
	hop_family(ep, AF_INET6);
	endpoint_sweep(ep);
}
