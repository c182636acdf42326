/* SPDX-License-Identifier: MIT */
/*
 * Happy Eyeballs over a list of addresses; or a UNIX socket, which is an attempt without an
 * address. The connector owns its sockets until one wins; failure is always told from a task, so
 * that nothing is called back from inside tcp_connector_start.
 */
#include "relay/tcp_connect.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "base/unix_path.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_CONNECT_ADDRESSES_MAX 16
#define TCP_CONNECT_NEXT_MS 250 /* RFC 8305 section 5 */

struct tcp_attempt {
	struct tcp_connector *connector;
	struct event event;
	struct address address;
	int fd; /* -1 = not running */
};

struct tcp_connector {
	struct loop *loop;
	int (*on_socket)(void *user, int fd, const struct address *to);
	void *on_socket_user;
	void (*done)(void *user, int fd, enum flow_error error);
	void *user;
	struct loop_timer next_timer, timeout_timer;
	struct loop_task fail_task;
	enum flow_error error; /* what to say when all failed */
	size_t count, next, running;
	char path[ADDRESS_PATH_MAX + 1]; /* "" = none */
	struct tcp_attempt attempts[];
};

static void tcp_attempt_stop(struct tcp_attempt *a, bool close_fd)
{
	if (a->fd < 0)
		return;
	event_del(&a->event);
	if (close_fd)
		close(a->fd);
	a->fd = -1;
	a->connector->running--;
}

void tcp_connector_cancel(struct tcp_connector *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->next; i++)
		tcp_attempt_stop(&c->attempts[i], true);
	loop_timer_cancel(&c->next_timer);
	loop_timer_cancel(&c->timeout_timer);
	loop_task_cancel(c->loop, &c->fail_task);
	free(c);
}

static void tcp_connector_done(struct tcp_connector *c, int fd, enum flow_error error)
{
	void (*done)(void *user, int fd, enum flow_error error) = c->done;
	void *user = c->user;

	tcp_connector_cancel(c);
	done(user, fd, error);
}

/* "Refused" says most about a target; else the first failure stands, but one of ours gives way. */
static void tcp_connector_note(struct tcp_connector *c, enum flow_error error)
{
	if (c->error == FLOW_OK || error == FLOW_REFUSED ||
	    (c->error == FLOW_LIMIT && error != FLOW_LIMIT))
		c->error = error;
}

/* A loopback connect to a free port of the ephemeral range can meet itself (simultaneous open). */
static bool tcp_connector_met_itself(int fd)
{
	struct sockaddr_storage local, remote;
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote);
	struct address a, b;

	return getsockname(fd, (struct sockaddr *)&local, &local_len) == 0 &&
	       getpeername(fd, (struct sockaddr *)&remote, &remote_len) == 0 &&
	       address_from_sockaddr(&a, (struct sockaddr *)&local, local_len) == 0 &&
	       address_from_sockaddr(&b, (struct sockaddr *)&remote, remote_len) == 0 &&
	       address_equal(&a, &b);
}

static void tcp_connector_go_on(struct tcp_connector *c);

static void tcp_attempt_on_event(evutil_socket_t fd, short what, void *user)
{
	struct tcp_attempt *a = user;
	struct tcp_connector *c = a->connector;
	int err = 0;
	socklen_t len = sizeof(err);

	(void)what;
	loop_enter(c->loop);
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
		err = errno;
	if (err == 0 && tcp_connector_met_itself(fd))
		err = ECONNREFUSED;
	if (err == 0) {
		tcp_attempt_stop(a, false);
		tcp_connector_done(c, fd, FLOW_OK);
		return;
	}
	tcp_attempt_stop(a, true);
	tcp_connector_note(c, flow_error_from_errno(err));
	tcp_connector_go_on(c);
}

static enum flow_error tcp_connector_error(const struct tcp_connector *c, int err)
{
	if (c->path[0] != '\0' && (err == ENOENT || err == ENOTDIR))
		return FLOW_REFUSED;
	return flow_error_from_errno(err);
}

static int tcp_attempt_connect(const struct tcp_connector *c, const struct tcp_attempt *a, int fd)
{
	struct sockaddr_un path;

	if (c->path[0] == '\0')
		return connect(fd, &a->address.sa, a->address.len);
	path = unix_path_address(c->path);
	return connect(fd, (const struct sockaddr *)&path, sizeof(path));
}

/* True: the attempt is under way. */
static bool tcp_attempt_start(struct tcp_connector *c, struct tcp_attempt *a)
{
	bool is_path = c->path[0] != '\0';
	int fd = socket(is_path ? AF_UNIX : a->address.sa.sa_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0) {
		tcp_connector_note(c, flow_error_from_errno(errno));
		return false;
	}
	if (!is_path && c->on_socket != NULL &&
	    c->on_socket(c->on_socket_user, fd, &a->address) != 0) {
		tcp_connector_note(c, FLOW_UNREACHABLE);
		close(fd);
		return false;
	}
	if (tcp_attempt_connect(c, a, fd) != 0 && errno != EINPROGRESS) {
		err = errno;
		close(fd);
		/* TCP tries again by itself while the other side's queue is full. */
		if (is_path && err == EAGAIN) {
			c->next--;
			return true;
		}
		tcp_connector_note(c, tcp_connector_error(c, err));
		return false;
	}
	event_assign(&a->event, c->loop->base, fd, EV_WRITE, tcp_attempt_on_event, a);
	if (event_add(&a->event, NULL) != 0) {
		tcp_connector_note(c, FLOW_LIMIT);
		close(fd);
		return false;
	}
	a->fd = fd;
	c->running++;
	return true;
}

static void tcp_connector_go_on(struct tcp_connector *c)
{
	loop_timer_cancel(&c->next_timer);
	while (c->next < c->count) {
		if (!tcp_attempt_start(c, &c->attempts[c->next++]))
			continue;
		if (c->next < c->count)
			loop_timer_arm(&c->next_timer, clock_after(loop_now(c->loop),
								   clock_ms(TCP_CONNECT_NEXT_MS)));
		return;
	}
	if (c->running == 0)
		loop_task_schedule(c->loop, &c->fail_task);
}

static void tcp_connector_on_next(void *user)
{
	tcp_connector_go_on(user);
}

static void tcp_connector_on_timeout(void *user)
{
	tcp_connector_done(user, -1, FLOW_TIMEOUT);
}

static void tcp_connector_on_fail(void *user)
{
	struct tcp_connector *c = user;

	tcp_connector_done(c, -1, c->error);
}

int tcp_connector_start(struct tcp_connector **ret, const struct tcp_connect *params,
			void (*done)(void *user, int fd, enum flow_error error), void *user)
{
	size_t addresses = params->address_count < TCP_CONNECT_ADDRESSES_MAX
				   ? params->address_count
				   : TCP_CONNECT_ADDRESSES_MAX;
	size_t count = params->path != NULL ? 1 : addresses;
	struct tcp_connector *c = calloc(1, sizeof(*c) + count * sizeof(c->attempts[0]));

	if (c == NULL)
		return RSTUN_E_NOMEM;
	c->loop = params->loop;
	c->on_socket = params->on_socket;
	c->on_socket_user = params->user;
	c->done = done;
	c->user = user;
	c->count = count;
	if (params->path != NULL)
		snprintf(c->path, sizeof(c->path), "%s", params->path);
	for (size_t i = 0; i < count; i++) {
		c->attempts[i].connector = c;
		if (params->path == NULL)
			c->attempts[i].address = params->addresses[i];
		c->attempts[i].fd = -1;
	}
	loop_timer_init(&c->next_timer, c->loop, tcp_connector_on_next, c);
	loop_timer_init(&c->timeout_timer, c->loop, tcp_connector_on_timeout, c);
	loop_task_init(&c->fail_task, tcp_connector_on_fail, c);
	if (count == 0)
		tcp_connector_note(c, FLOW_UNREACHABLE);
	tcp_connector_go_on(c);
	if (c->running == 0 && c->error == FLOW_LIMIT) {
		tcp_connector_cancel(c);
		return RSTUN_E_LIMIT_REACHED;
	}
	if (params->timeout_ms != 0)
		loop_timer_arm(&c->timeout_timer,
			       clock_after(loop_now(c->loop), clock_ms(params->timeout_ms)));
	*ret = c;
	return 0;
}
