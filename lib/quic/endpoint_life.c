/* SPDX-License-Identifier: MIT */
/*
 * Making, using and freeing an endpoint: its sockets, the steering of a SO_REUSEPORT group,
 * connections of a client. Freeing says goodbye to every connection and waits for nothing.
 */
#include "quic/endpoint_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/socket_hook.h"
#include "tls/credentials.h"
#include "tls/session.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int quic_endpoint_new(struct quic_endpoint **ret, const struct quic_endpoint_config *config)
{
	struct quic_endpoint *ep = calloc(1, sizeof(*ep));

	if (!ep)
		return RSTUN_E_NOMEM;
	ep->buffers = malloc(sizeof(*ep->buffers));
	ep->batch = malloc(QUIC_PACKET_MAX);
	if (!ep->buffers || !ep->batch) {
		free(ep->buffers);
		free(ep->batch);
		free(ep);
		return RSTUN_E_NOMEM;
	}
	ep->host.ops = &endpoint_host_ops;
	ep->config = *config;
	if (config->credentials)
		tls_credentials_ref(config->credentials);
	ep->accepting = config->credentials != NULL;
	TAILQ_INIT(&ep->routes);
	TAILQ_INIT(&ep->ready);
	TAILQ_INIT(&ep->half);
	TAILQ_INIT(&ep->sockets);
	loop_task_init(&ep->flush_task, endpoint_flush, ep);
	loop_timer_init(&ep->sweep_timer, config->loop, endpoint_on_sweep, ep);
	*ret = ep;
	return 0;
}

void quic_endpoint_free(struct quic_endpoint *ep)
{
	struct quic_socket *s;
	struct route *r;

	if (!ep)
		return;
	ep->freeing = true;
	while ((r = TAILQ_FIRST(&ep->routes))) {
		if (r->state == ROUTE_LIVE)
			endpoint_route_kill(r);
		else
			endpoint_route_free(r);
	}
	while ((s = TAILQ_FIRST(&ep->sockets))) {
		TAILQ_REMOVE(&ep->sockets, s, link);
		quic_socket_free(s);
	}
	loop_task_cancel(ep->config.loop, &ep->flush_task);
	loop_timer_cancel(&ep->sweep_timer);
	tls_credentials_unref(ep->config.credentials);
	secret_wipe(ep->config.secret, sizeof(ep->config.secret));
	free(ep->buffers);
	free(ep->batch);
	free(ep);
}

int quic_endpoint_bind(const struct address *addr, bool reuse_port, int *ret_fd,
		       struct address *ret_bound)
{
	return quic_endpoint_bind_hooked(addr, reuse_port, NULL, ret_fd, ret_bound);
}

int quic_endpoint_bind_hooked(const struct address *addr, bool reuse_port,
			      const struct socket_hook *hook, int *ret_fd,
			      struct address *ret_bound)
{
	int fd = quic_socket_open(addr->sa.sa_family, reuse_port, address_is_unspecified(addr));
	int rv;

	if (fd < 0)
		return fd;
	rv = socket_hook_ask(hook, fd);
	if (rv == 0 && bind(fd, &addr->sa, addr->len) != 0)
		rv = rstun_error_from_errno(errno);
	if (rv == 0)
		rv = address_of_socket(ret_bound, fd);
	if (rv != 0)
		close(fd);
	else
		*ret_fd = fd;
	return rv;
}

int quic_endpoint_steer(int fd, unsigned workers)
{
	/* Byte 0 of the datagram: the top bit is the long header form (RFC 9000 section 17). The
	 * destination connection ID begins at byte 6 of a long header, at byte 1 of a short one. */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x80, 2, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 1),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) != 0)
		return rstun_error_from_errno(errno);
	return 0;
}

int quic_endpoint_listen(struct quic_endpoint *ep, int fd)
{
	struct quic_socket *s;
	int rv = quic_socket_new(&s, ep->config.loop, ep->config.log, fd, ep->buffers,
				 &endpoint_socket_ops, ep);

	if (rv == 0)
		TAILQ_INSERT_HEAD(&ep->sockets, s, link);
	return rv;
}

struct quic_socket *endpoint_socket_for(struct quic_endpoint *ep, const struct address *local)
{
	struct quic_socket *s;

	TAILQ_FOREACH(s, &ep->sockets, link)
	{
		if (address_port(&s->local) == address_port(local) &&
		    (s->local.sa.sa_family == local->sa.sa_family ||
		     s->local.sa.sa_family == AF_INET6))
			return s;
	}
	return NULL;
}

int quic_endpoint_connect(struct quic_endpoint *ep, const struct quic_connect *params,
			  struct quic_conn **ret)
{
	struct quic_socket *s;
	struct route *r;
	struct quic_conn *c;
	int rv;

	if (ep->freeing) /* who dials again in on_close must come to an end */
		return RSTUN_E_CLOSED;
	rv = endpoint_client_socket(ep, &params->remote, &s);
	if (rv != 0)
		return rv;
	r = endpoint_route_new(ep);
	if (!r)
		return RSTUN_E_NOMEM;
	rv = quic_conn_new(&c, &(struct quic_conn_params){
				       .host = &ep->host,
				       .host_data = r,
				       .log = ep->config.log,
				       .pool = ep->config.pool,
				       .config = &ep->config.quic,
				       .session = params->session,
				       .local = s->local,
				       .remote = params->remote,
				       .now_ns = loop_now(ep->config.loop),
			       });
	if (rv != 0) {
		endpoint_route_free(r);
		return rv;
	}
	endpoint_route_live(r, c);
	quic_conn_set_ops(c, params->ops, params->user);
	endpoint_schedule(r);
	*ret = c;
	return 0;
}

void quic_endpoint_stop_accepting(struct quic_endpoint *ep)
{
	ep->accepting = false;
}

void quic_endpoint_set_credentials(struct quic_endpoint *ep, struct tls_credentials *credentials)
{
	tls_credentials_ref(credentials);
	tls_credentials_unref(ep->config.credentials);
	ep->config.credentials = credentials;
}

void quic_endpoint_stats(const struct quic_endpoint *ep, struct quic_endpoint_stats *ret)
{
	*ret = ep->stats;
	ret->connections = ep->live;
	ret->half_open = ep->half_open;
}

size_t quic_endpoint_connections(const struct quic_endpoint *ep)
{
	return ep->live;
}
