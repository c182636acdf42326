/* SPDX-License-Identifier: MIT */
/*
 * The server role on one thread: endpoint, table of sessions, listening addresses, probes, drain.
 * Sessions free themselves when their connection is closed (server_session.c).
 */
#include "tunnel/server.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "dns/resolver.h"
#include "quic/endpoint.h"
#include "relay/tcp_listener.h"
#include "relay/udp_flow.h"
#include "tls/credentials.h"
#include "tls/digest.h"
#include "tunnel/counters.h"
#include "tunnel/limits.h"
#include "tunnel/server_private.h"
#include "tunnel/transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void server_emit(const struct server *s, const struct tunnel_event *event)
{
	if (s->env->on_event != NULL)
		s->env->on_event(s->env->user, event);
}

static void server_emit_role(const struct server *s, enum tunnel_state now, const char *text)
{
	struct tunnel_event event = {
		.type = TUNNEL_EVENT_ROLE,
		.text = text,
		.role = {.now = now, .bound = s->bound.len != 0 ? &s->bound : NULL},
	};

	server_emit(s, &event);
}

/* Can a socket reach a global IPv6 address, as far as this machine knows? Nothing is sent. */
bool server_ipv6_supported(void)
{
	const struct sockaddr_in6 global = {
		/* of a public name server */
		.sin6_family = AF_INET6,
		.sin6_port = htons(53),
		.sin6_addr.s6_addr = {0x20, 0x01, 0x48, 0x60, 0x48, 0x60, 0, 0, 0, 0, 0, 0, 0, 0,
				      0x88, 0x88},
	};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool supported;

	if (fd < 0)
		return false;
	supported = connect(fd, (const struct sockaddr *)&global, sizeof(global)) == 0;
	close(fd);
	return supported;
}

/* ---- the table of sessions ---- */

static struct server_session_list *server_list(struct server *s, uint64_t id)
{
	return &s->sessions[id / s->env->worker_count % SERVER_TABLE_SIZE];
}

void server_add(struct server *s, struct server_session *ss)
{
	/* Unique among all workers: each counts in its own residue class. */
	ss->id = s->next_id;
	s->next_id += s->env->worker_count;
	LIST_INSERT_HEAD(server_list(s, ss->id), ss, link);
	s->session_count++;
}

void server_remove(struct server *s, struct server_session *ss)
{
	LIST_REMOVE(ss, link);
	s->session_count--;
	if (s->draining && s->session_count == 0 && !s->freeing)
		loop_task_schedule(s->env->loop, &s->drain_task);
}

struct server_session *server_find(struct server *s, uint64_t id)
{
	struct server_session *ss;

	LIST_FOREACH(ss, server_list(s, id), link)
	if (ss->id == id)
		return ss;
	return NULL;
}

/* Visits all sessions; what the visit does to a session must not free it. */
static void server_visit(struct server *s, void (*visit)(struct server_session *ss, void *arg),
			 void *arg)
{
	for (size_t i = 0; i < SERVER_TABLE_SIZE; i++) {
		struct server_session *ss, *next;

		for (ss = LIST_FIRST(&s->sessions[i]); ss != NULL; ss = next) {
			next = LIST_NEXT(ss, link);
			visit(ss, arg);
		}
	}
}

/* ---- listening addresses ---- */

void server_claim_address(struct server *s, struct server_session *ss)
{
	struct server_claim claim = {
		.session_id = ss->id,
		.proto = ss->login.proto,
		.address = ss->login.listen,
		.probe = ss->check != NULL,
	};
	struct address bound;
	int fd = -1, err;

	if (s->params.claim != NULL) {
		s->params.claim(s->params.user, &claim);
		return;
	}
	err = claim.proto == MAPPING_TCP
		      ? tcp_listener_bind_hooked(&claim.address, &s->params.hook, &fd, &bound)
		      : udp_bind_hooked(&claim.address, &s->params.hook, &fd, &bound);
	if (claim.probe && err == 0) {
		close(fd);
		fd = -1;
	}
	server_session_claimed(ss, err, fd, &bound);
}

void server_claimed(struct server *s, uint64_t session_id, int error, int fd,
		    const struct address *bound)
{
	struct server_session *ss = server_find(s, session_id);

	if (ss != NULL) {
		server_session_claimed(ss, error, fd, bound);
	} else if (error == 0 && fd >= 0) {
		close(fd);
		server_release(s, session_id);
	}
}

void server_release(struct server *s, uint64_t session_id)
{
	if (s->params.release != NULL)
		s->params.release(s->params.user, session_id);
}

/* ---- probes ---- */

static void server_on_probe_task(void *user)
{
	struct server *s = user;
	struct server_probe_list waits = STAILQ_HEAD_INITIALIZER(waits);
	struct server_probe_wait *wait;

	STAILQ_CONCAT(&waits, &s->dead_probes);
	while ((wait = STAILQ_FIRST(&waits)) != NULL) {
		STAILQ_REMOVE_HEAD(&waits, link);
		wait->done(wait->user, wait->session_id, false);
		free(wait);
	}
}

void server_answer_dead(struct server *s, struct server_probe_list *waits)
{
	if (STAILQ_EMPTY(waits))
		return;
	STAILQ_CONCAT(&s->dead_probes, waits);
	loop_task_schedule(s->env->loop, &s->probe_task);
}

void server_probe(struct server *s, uint64_t session_id, uint64_t timeout_ns,
		  void (*done)(void *user, uint64_t session_id, bool alive), void *user)
{
	struct server_session *ss = server_find(s, session_id);
	struct server_probe_wait *wait = NULL;
	struct server_probe_list waits = STAILQ_HEAD_INITIALIZER(waits);

	if (ss == NULL || ss->probe_count < LIMITS_PROBES)
		wait = calloc(1, sizeof(*wait));
	if (wait == NULL) {
		/* Without an answer the holder keeps its address: the safe side. */
		done(user, session_id, true);
		return;
	}
	*wait = (struct server_probe_wait){.session_id = session_id, .done = done, .user = user};
	if (ss != NULL) {
		server_session_probe(ss, timeout_ns, wait);
		return;
	}
	STAILQ_INSERT_TAIL(&waits, wait, link);
	server_answer_dead(s, &waits);
}

/* ---- the endpoint ---- */

static void server_on_accept(struct quic_endpoint *ep, void *user, struct quic_conn *c)
{
	(void)ep;
	server_session_new(user, c);
}

static void server_on_foreign(struct quic_endpoint *ep, void *user, unsigned worker,
			      const struct address *local, const struct address *remote,
			      const uint8_t *data, size_t bytes)
{
	struct server *s = user;

	(void)ep;
	if (s->params.foreign != NULL)
		s->params.foreign(s->params.user, worker, local, remote, data, bytes);
}

void server_inject(struct server *s, const struct address *local, const struct address *remote,
		   const uint8_t *data, size_t bytes)
{
	quic_endpoint_inject(s->endpoint, local, remote, data, bytes);
}

void server_set_credentials(struct server *s, struct tls_credentials *credentials)
{
	quic_endpoint_set_credentials(s->endpoint, credentials);
}

static int server_make_endpoint(struct server *s)
{
	static const struct quic_endpoint_ops ops = {
		.on_accept = server_on_accept,
		.on_foreign = server_on_foreign,
	};
	struct quic_endpoint_config config;

	/* Keep-alive is the client's business. */
	transport_config(&config, s->env, s->config->quic_timeout_ms, s->config->congestion);
	config.quic.streams_before_login = 1;
	config.credentials = s->params.credentials;
	config.ops = &ops;
	config.user = s;
	return quic_endpoint_new(&s->endpoint, &config);
}

/* ---- drain ---- */

static void server_drain_one(struct server_session *ss, void *arg)
{
	server_session_drain(ss, *(bool *)arg);
}

static void server_on_drain_deadline(void *user)
{
	struct server *s = user;
	bool now = true;

	server_visit(s, server_drain_one, &now);
}

static void server_on_drain_task(void *user)
{
	struct server *s = user;
	void (*on_drained)(void *user) = s->on_drained;

	if (s->session_count != 0)
		return;
	loop_timer_cancel(&s->drain_timer);
	s->on_drained = NULL;
	if (s->env->worker == 0)
		server_emit_role(s, TUNNEL_STOPPED, "");
	if (on_drained != NULL)
		on_drained(s->drain_user);
}

void server_drain(struct server *s, uint64_t deadline_ns, void (*on_drained)(void *user),
		  void *user)
{
	bool now = false;

	s->draining = true;
	s->on_drained = on_drained;
	s->drain_user = user;
	quic_endpoint_stop_accepting(s->endpoint);
	server_visit(s, server_drain_one, &now);
	loop_timer_arm(&s->drain_timer, deadline_ns);
	if (s->session_count == 0)
		loop_task_schedule(s->env->loop, &s->drain_task);
}

/* ---- counters ---- */

static void server_count_one(struct server_session *ss, void *arg)
{
	struct tunnel_counters one;

	server_session_counters(ss, &one);
	counters_add(arg, &one);
}

void server_counters(struct server *s, struct tunnel_counters *ret)
{
	struct tunnel_counters sum = s->closed;

	server_visit(s, server_count_one, &sum);
	*ret = sum;
}

/* A list of the table at a time: what is in a list before the next one has been shown. */
void server_tally_begin(struct server *s)
{
	s->tally = (struct server_tally){.sum = s->closed};
}

bool server_tally_next(struct server *s, size_t max,
		       void (*visit)(void *user, uint64_t session_id,
				     const struct tunnel_counters *counters),
		       void *user, struct tunnel_counters *ret_sum)
{
	struct server_tally *tally = &s->tally;
	size_t shown = 0;

	while (tally->next < SERVER_TABLE_SIZE && shown < max) {
		struct server_session *ss;

		LIST_FOREACH(ss, &s->sessions[tally->next++], link)
		{
			struct tunnel_counters counters;

			server_session_counters(ss, &counters);
			counters_add(&tally->sum, &counters);
			shown++;
			if (ss->state == SERVER_SESSION_UP)
				visit(user, ss->id, &counters);
		}
	}
	*ret_sum = tally->sum;
	return tally->next < SERVER_TABLE_SIZE;
}

void server_tally_removed(struct server_session *ss, const struct tunnel_counters *final)
{
	struct server *s = ss->server;

	if (server_list(s, ss->id) >= &s->sessions[s->tally.next])
		counters_add(&s->tally.sum, final);
}

/* ---- looking, and ending some of it ---- */

struct server_visitor {
	void (*flow)(void *user, const struct flow_info *flow);
	void *user;
};

static void server_show_flows(struct server_session *ss, void *arg)
{
	const struct server_visitor *v = arg;

	flows_visit(&ss->flows, ss->id, v->flow, v->user);
}

void server_visit_flows(struct server *s, uint64_t session_id,
			void (*visit)(void *user, const struct flow_info *flow), void *user)
{
	struct server_visitor visitor = {.flow = visit, .user = user};
	struct server_session *ss;

	if (session_id == 0) {
		server_visit(s, server_show_flows, &visitor);
		return;
	}
	ss = server_find(s, session_id);
	if (ss != NULL)
		server_show_flows(ss, &visitor);
}

size_t server_kill_flows(struct server *s, uint64_t session_id, uint64_t flow_id)
{
	struct server_session *ss = server_find(s, session_id);

	return ss == NULL ? 0 : flows_kill(&ss->flows, flow_id);
}

int server_kick(struct server *s, uint64_t session_id, const char *reason)
{
	struct server_session *ss = server_find(s, session_id);

	if (ss == NULL || ss->state != SERVER_SESSION_UP)
		return RSTUN_E_NOT_FOUND;
	server_session_kick(ss, reason);
	return 0;
}

/* ---- beginning and end ---- */

static int server_on_dns_socket(void *user, int fd)
{
	struct server *s = user;

	return egress_apply_mark(&s->egress, fd);
}

static int server_start(struct server *s)
{
	struct resolver_config resolver = {
		.loop = s->env->loop,
		.log = s->env->log,
		.on_socket = server_on_dns_socket,
		.user = s,
	};
	char error[256] = "";
	int fd = s->params.fd, err;

	(void)address_of_socket(&s->bound, fd);
	err = resolver_new(&s->resolver, &resolver, error, sizeof(error));
	if (err != 0)
		log_error(s->env->log, "server", "no resolver: %s", error);
	if (err == 0)
		err = server_make_endpoint(s);
	if (err != 0) {
		close(fd);
		return err;
	}
	return quic_endpoint_listen(s->endpoint, fd);
}

int server_bind(const struct server_config *config, const struct socket_hook *hook, int *ret_fd,
		struct address *ret_bound)
{
	return quic_endpoint_bind_hooked(&config->addr, false, hook, ret_fd, ret_bound);
}

int server_new(struct server **ret, const struct server_params *params)
{
	struct server *s = calloc(1, sizeof(*s));
	struct penalty *penalty = calloc(1, sizeof(*penalty));
	int err;

	if (s == NULL || penalty == NULL) {
		free(s);
		free(penalty);
		close(params->fd);
		return RSTUN_E_NOMEM;
	}
	s->params = *params;
	s->env = params->env;
	s->config = params->config;
	s->penalty = penalty;
	penalty_init(penalty, random_u64());
	digest_sha256(s->password_digest, s->config->password, strlen(s->config->password));
	s->next_id = s->env->worker + 1;
	for (size_t i = 0; i < SERVER_TABLE_SIZE; i++)
		LIST_INIT(&s->sessions[i]);
	STAILQ_INIT(&s->dead_probes);
	egress_init(&s->egress, s->config->bind_device, &s->config->bind_address, s->config->fwmark,
		    &s->params.hook, s->env->log);
	loop_task_init(&s->probe_task, server_on_probe_task, s);
	loop_task_init(&s->drain_task, server_on_drain_task, s);
	loop_timer_init(&s->drain_timer, s->env->loop, server_on_drain_deadline, s);
	err = server_start(s);
	if (err != 0) {
		server_free(s);
		return err;
	}
	if (s->env->worker == 0)
		server_emit_role(s, TUNNEL_TUNNELING, "");
	*ret = s;
	return 0;
}

void server_free(struct server *s)
{
	struct server_probe_wait *wait;

	if (s == NULL)
		return;
	s->freeing = true;
	/* Each connection's on_close frees its session. */
	quic_endpoint_free(s->endpoint);
	loop_timer_cancel(&s->drain_timer);
	loop_task_cancel(s->env->loop, &s->drain_task);
	loop_task_cancel(s->env->loop, &s->probe_task);
	while ((wait = STAILQ_FIRST(&s->dead_probes)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->dead_probes, link);
		free(wait);
	}
	resolver_free(s->resolver);
	free(s->penalty);
	secret_wipe(s->password_digest, sizeof(s->password_digest));
	free(s);
}
