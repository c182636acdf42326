/* SPDX-License-Identifier: MIT */
/*
 * A listening TCP socket. Accepts a bounded batch per wake-up; what is left wakes it again. When
 * the process or the machine is out of descriptors or memory, the event is taken out for 100 ms:
 * the backlog waits in the kernel, and the loop does not spin on a socket that stays readable.
 *
 * The accept callback may pause or free the listener. One loop's thread, but for tcp_listener_bind.
 */
#include "relay/tcp_listener.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/socket_hook.h"
#include "relay/tcp_end.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_LISTENER_BATCH 64
#define TCP_LISTENER_REST_MS 100

struct tcp_listener {
	struct loop *loop;
	const struct log *log;
	int fd;
	struct event event;
	struct loop_timer rest_timer;
	bool paused;    /* by the owner */
	bool resting;   /* out of descriptors */
	bool accepting; /* a batch is being accepted: free() leaves the memory to it */
	bool freed;
	uint64_t logged_ns, unlogged; /* when last, and how often since */
	void (*on_accept)(void *user, int fd, const struct address *peer);
	void *user;
};

int tcp_listener_bind(const struct address *addr, int *ret_fd, struct address *ret_bound)
{
	return tcp_listener_bind_hooked(addr, NULL, ret_fd, ret_bound);
}

int tcp_listener_bind_hooked(const struct address *addr, const struct socket_hook *hook,
			     int *ret_fd, struct address *ret_bound)
{
	int on = 1, rc;
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return rstun_error_from_errno(errno);
	rc = socket_hook_ask(hook, fd);
	/* IPV6_V6ONLY stays as the system has it: [::] also takes IPv4 on Linux, as in the
	 * original. */
	if (rc == 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
			bind(fd, &addr->sa, addr->len) != 0 ||
			listen(fd, TCP_LISTENER_BACKLOG) != 0))
		rc = rstun_error_from_errno(errno);
	if (rc == 0)
		rc = address_of_socket(ret_bound, fd);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	*ret_fd = fd;
	return 0;
}

static void tcp_listener_update(struct tcp_listener *l)
{
	if (l->paused || l->resting)
		event_del(&l->event);
	else if (event_add(&l->event, NULL) != 0) {
		l->resting = true;
		loop_timer_arm(&l->rest_timer,
			       clock_after(loop_now(l->loop), clock_ms(TCP_LISTENER_REST_MS)));
	}
}

static void tcp_listener_on_rested(void *user)
{
	struct tcp_listener *l = user;

	l->resting = false;
	tcp_listener_update(l);
}

static void tcp_listener_rest(struct tcp_listener *l, int err)
{
	uint64_t now_ns = loop_now(l->loop);

	l->resting = true;
	loop_timer_arm(&l->rest_timer, clock_after(now_ns, clock_ms(TCP_LISTENER_REST_MS)));
	tcp_listener_update(l);
	if (l->logged_ns != 0 && now_ns - l->logged_ns < CLOCK_NS_PER_S) {
		l->unlogged++;
		return;
	}
	log_warn(l->log, "listener",
		 "cannot accept a connection: %s; new ones wait (%llu times before)", strerror(err),
		 (unsigned long long)l->unlogged);
	l->logged_ns = now_ns;
	l->unlogged = 0;
}

static void tcp_listener_on_event(evutil_socket_t listen_fd, short what, void *user)
{
	struct tcp_listener *l = user;

	(void)what;
	loop_enter(l->loop);
	l->accepting = true;
	for (int i = 0; i < TCP_LISTENER_BATCH && !l->freed && !l->paused; i++) {
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		struct address peer;
		int fd = accept4(listen_fd, (struct sockaddr *)&from, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			if (from.ss_family == AF_UNIX)
				peer.len = 0;
			if (from.ss_family == AF_UNIX ||
			    address_from_sockaddr(&peer, (const struct sockaddr *)&from, len) == 0)
				l->on_accept(l->user, fd, &peer);
			else
				close(fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			tcp_listener_rest(l, errno);
			break;
		}
		if (errno == EAGAIN)
			break;
		/* Anything else is the fault of one connection (accept(2), ECONNABORTED and
		 * others). */
	}
	l->accepting = false;
	if (l->freed) {
		close(l->fd);
		free(l);
	}
}

int tcp_listener_new(struct tcp_listener **ret, struct loop *loop, const struct log *log, int fd,
		     void (*on_accept)(void *user, int fd, const struct address *peer), void *user)
{
	struct tcp_listener *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		close(fd);
		return RSTUN_E_NOMEM;
	}
	tcp_end_prepare(fd);
	l->loop = loop;
	l->log = log;
	l->fd = fd;
	l->on_accept = on_accept;
	l->user = user;
	loop_timer_init(&l->rest_timer, loop, tcp_listener_on_rested, l);
	event_assign(&l->event, loop->base, fd, EV_READ | EV_PERSIST, tcp_listener_on_event, l);
	if (event_add(&l->event, NULL) != 0) {
		close(fd);
		free(l);
		return RSTUN_E_NOMEM;
	}
	*ret = l;
	return 0;
}

void tcp_listener_pause(struct tcp_listener *l, bool pause)
{
	if (l->paused == pause)
		return;
	l->paused = pause;
	tcp_listener_update(l);
}

void tcp_listener_free(struct tcp_listener *l)
{
	if (l == NULL)
		return;
	loop_timer_cancel(&l->rest_timer);
	event_del(&l->event);
	l->freed = true;
	if (l->accepting)
		return;
	close(l->fd);
	free(l);
}
