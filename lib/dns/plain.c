/* SPDX-License-Identifier: MIT */
/*
 * c-ares on a loop. Its callbacks only record what came; the owner is told from a task, so that it
 * may free the channel, which c-ares forbids in its callbacks.
 */
#include "dns/plain.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"

#include <ares.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRY_MS 1500 /* of the first try of each server; the whole lookup has RESOLVER_TIMEOUT_MS   \
		     */
#define TRIES 3

struct plain_socket {
	struct plain *plain;
	struct event event;
	ares_socket_t fd;
	bool reads, writes;
	LIST_ENTRY(plain_socket) link;
};

/* What a callback of c-ares gets. */
struct plain_question {
	struct plain *plain;
	enum answer_family family;
};

struct plain {
	struct plain_config config;
	ares_channel channel;
	bool dying; /* ares_destroy calls back once more */
	char servers[256];
	struct plain_question questions[ANSWER_FAMILIES];
	struct answer_pair answers;
	struct loop_timer timer;
	struct loop_task changed;
	LIST_HEAD(, plain_socket) sockets;
};

static void plain_arm(struct plain *p)
{
	struct timeval tv, *next = ares_timeout(p->channel, NULL, &tv);
	uint64_t delay_ns;

	if (!next) {
		loop_timer_cancel(&p->timer);
		return;
	}
	delay_ns = (uint64_t)next->tv_sec * CLOCK_NS_PER_S + (uint64_t)next->tv_usec * 1000;
	loop_timer_arm(&p->timer, clock_after(loop_now(p->config.loop), delay_ns));
}

static void plain_on_timer(void *user)
{
	struct plain *p = user;

	ares_process_fd(p->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	plain_arm(p);
}

static void plain_on_socket_event(evutil_socket_t fd, short what, void *user)
{
	struct plain_socket *s = user;
	struct plain *p = s->plain;

	(void)fd;
	loop_enter(p->config.loop);
	/* Sockets, also this one, may be gone after it. */
	ares_process_fd(p->channel, what & EV_READ ? s->fd : ARES_SOCKET_BAD,
			what & EV_WRITE ? s->fd : ARES_SOCKET_BAD);
	plain_arm(p);
}

static void plain_socket_free(struct plain_socket *s)
{
	event_del(&s->event);
	LIST_REMOVE(s, link);
	free(s);
}

/* c-ares says what it waits for on a socket; neither means that it is about to close it. */
static void plain_on_state(void *user, ares_socket_t fd, int reads, int writes)
{
	struct plain *p = user;
	struct plain_socket *s;

	LIST_FOREACH(s, &p->sockets, link)
	if (s->fd == fd)
		break;
	if (!reads && !writes) {
		if (s)
			plain_socket_free(s);
		return;
	}
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return; /* the question times out */
		s->plain = p;
		s->fd = fd;
		LIST_INSERT_HEAD(&p->sockets, s, link);
	} else {
		event_del(&s->event);
	}
	event_assign(&s->event, p->config.loop->base, fd,
		     (short)(EV_PERSIST | (reads ? EV_READ : 0) | (writes ? EV_WRITE : 0)),
		     plain_on_socket_event, s);
	event_add(&s->event, NULL);
}

static int plain_on_new_socket(ares_socket_t fd, int type, void *user)
{
	struct plain *p = user;

	(void)type;
	return p->config.on_socket(p->config.socket_user, fd) ? -1 : 0;
}

static void plain_on_answer(void *user, int status, int timeouts, struct ares_addrinfo *info)
{
	struct plain_question *q = user;
	struct plain *p = q->plain;
	struct answer *a = &p->answers.of[q->family];

	(void)timeouts;
	if (p->dying) {
		if (info)
			ares_freeaddrinfo(info);
		return;
	}
	if (info && status == ARES_SUCCESS)
		for (struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next)
			if (a->count < RESOLVER_ADDRESSES_MAX &&
			    address_from_sockaddr(&a->addresses[a->count], n->ai_addr,
						  (socklen_t)n->ai_addrlen) == 0)
				a->count++;
	if (info)
		ares_freeaddrinfo(info);
	for (size_t i = 0; i < a->count; i++)
		address_set_port(&a->addresses[i], 0);
	if (status == ARES_SUCCESS && a->count > 0)
		a->state = ANSWER_FOUND;
	else if (status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND)
		a->state = ANSWER_NONE;
	else if (status == ARES_ESERVFAIL || status == ARES_EREFUSED || status == ARES_ENOTIMP)
		a->state = ANSWER_UNKNOWN;
	else
		a->state = ANSWER_FAILED;
	snprintf(a->why, sizeof(a->why), "%s",
		 status == ARES_ENOTFOUND      ? "the name does not exist"
		 : status == ARES_ENODATA      ? "the name has no address"
		 : status == ARES_SUCCESS      ? "the name has no address"
		 : status == ARES_ETIMEOUT     ? "no answer came"
		 : status == ARES_ECONNREFUSED ? "the server cannot be reached"
					       : ares_strerror(status));
	answer_pair_update(&p->answers, loop_now(p->config.loop));
	loop_task_schedule(p->config.loop, &p->changed);
}

static void plain_on_changed(void *user)
{
	struct plain *p = user;

	p->config.on_change(p->config.user);
}

static void plain_read_servers(struct plain *p)
{
#if ARES_VERSION >= 0x011800
	char *csv = ares_get_servers_csv(p->channel);

	snprintf(p->servers, sizeof(p->servers), "%s", csv ? csv : "");
	ares_free_string(csv);
#else
	struct ares_addr_port_node *list = NULL;
	size_t used = 0;

	if (ares_get_servers_ports(p->channel, &list) != ARES_SUCCESS)
		return;
	for (struct ares_addr_port_node *n = list; n && used < sizeof(p->servers); n = n->next) {
		char text[ADDRESS_TEXT_SIZE];
		struct address a = {0};

		a.sa.sa_family = (sa_family_t)n->family;
		if (n->family == AF_INET) {
			memcpy(&a.in.sin_addr, &n->addr.addr4, sizeof(a.in.sin_addr));
			a.len = sizeof(a.in);
		} else {
			memcpy(&a.in6.sin6_addr, &n->addr.addr6, sizeof(a.in6.sin6_addr));
			a.len = sizeof(a.in6);
		}
		address_set_port(&a, n->udp_port	     ? (uint16_t)n->udp_port
				     : p->config.resolv_port ? p->config.resolv_port
							     : 53);
		used += (size_t)snprintf(p->servers + used, sizeof(p->servers) - used, "%s%s",
					 used ? ", " : "", address_format(text, sizeof(text), &a));
	}
	ares_free_data(list);
#endif
}

static int plain_open(struct plain *p)
{
	struct ares_options options = {
		.timeout = TRY_MS,
		.tries = TRIES,
		.lookups = (char *)(uintptr_t) "b", /* the hosts file is hosts.c's */
		.sock_state_cb = plain_on_state,
		.sock_state_cb_data = p,
		.ndomains = 0, /* the search list is search.c's */
	};
	int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB |
		   ARES_OPT_DOMAINS;
	int status;

	if (p->config.resolv_conf) {
		options.resolvconf_path = (char *)(uintptr_t)p->config.resolv_conf;
		mask |= ARES_OPT_RESOLVCONF;
	}
	if (p->config.resolv_port) {
		options.udp_port = options.tcp_port = p->config.resolv_port;
		mask |= ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT;
	}
	status = ares_init_options(&p->channel, &options, mask);
	if (status != ARES_SUCCESS) {
		p->channel = NULL;
		return status;
	}
	if (p->config.on_socket)
		ares_set_socket_configure_callback(p->channel, plain_on_new_socket, p);
	return p->config.servers ? ares_set_servers_ports_csv(p->channel, p->config.servers)
				 : ARES_SUCCESS;
}

int plain_new(struct plain **ret, const struct plain_config *config, char *why, size_t why_size)
{
	struct plain *p = calloc(1, sizeof(*p));
	int status;

	if (!p)
		return RSTUN_E_NOMEM;
	p->config = *config;
	LIST_INIT(&p->sockets);
	answer_pair_init(&p->answers);
	loop_timer_init(&p->timer, config->loop, plain_on_timer, p);
	loop_task_init(&p->changed, plain_on_changed, p);
	for (int f = 0; f < ANSWER_FAMILIES; f++)
		p->questions[f] = (struct plain_question){p, (enum answer_family)f};
	status = plain_open(p);
	if (status != ARES_SUCCESS) {
		plain_free(p);
		snprintf(why, why_size, "DNS cannot be set up: %s", ares_strerror(status));
		return status == ARES_ENOMEM ? RSTUN_E_NOMEM : RSTUN_E_DNS_FAILED;
	}
	plain_read_servers(p);
	*ret = p;
	return 0;
}

void plain_free(struct plain *p)
{
	if (!p)
		return;
	p->dying = true;
	if (p->channel)
		ares_destroy(p->channel);
	while (!LIST_EMPTY(&p->sockets))
		plain_socket_free(LIST_FIRST(&p->sockets));
	loop_timer_cancel(&p->timer);
	loop_task_cancel(p->config.loop, &p->changed);
	free(p);
}

void plain_ask(struct plain *p, const char *name)
{
	static const int families[] = {[ANSWER_V6] = AF_INET6, [ANSWER_V4] = AF_INET};
	size_t bytes = strlen(name);
	char absolute[ADDRESS_NAME_MAX + 2];

	/* With a dot behind it no version of c-ares searches for it elsewhere. */
	snprintf(absolute, sizeof(absolute), "%s%s", name,
		 bytes > 0 && name[bytes - 1] != '.' ? "." : "");
	answer_pair_init(&p->answers);
	for (int f = 0; f < ANSWER_FAMILIES; f++) {
		struct ares_addrinfo_hints hints = {
			.ai_family = families[f],
			.ai_flags = ARES_AI_NOSORT,
		};

		ares_getaddrinfo(p->channel, absolute, NULL, &hints, plain_on_answer,
				 &p->questions[f]);
	}
	plain_arm(p);
}

struct answer_pair *plain_answers(struct plain *p)
{
	return &p->answers;
}

const char *plain_servers(const struct plain *p)
{
	return p->servers;
}
