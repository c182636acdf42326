/* SPDX-License-Identifier: MIT */
/*
 * The sockets of the control API: who may connect, how many, and what happens when there are no
 * descriptors left. A few are kept in reserve: when accept() finds none, one is given up, so the
 * administrator is answered even then. When the reserve is empty as well, the listeners rest: a
 * socket that stays readable would make the loop spin.
 */
#include "rstund/control/control_server.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "rstund/control/control_private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_LOG "control"
#define CONTROL_ACCEPT_BATCH 16

/* ---- The reserve ----------------------------------------------------------------------------- */

void control_server_refill(struct control_server *cs)
{
	while (cs->reserve_count < CONTROL_RESERVE && !cs->freeing) {
		int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		cs->reserve[cs->reserve_count++] = fd;
	}
}

static bool control_server_give_up(struct control_server *cs)
{
	if (cs->reserve_count == 0)
		return false;
	close(cs->reserve[--cs->reserve_count]);
	return true;
}

/* ---- Who may come in ------------------------------------------------------------------------- */

static size_t control_server_count_uid(const struct control_server *cs, uid_t uid)
{
	const struct control_connection *c;
	size_t count = 0;

	TAILQ_FOREACH(c, &cs->connections, link)
		count += c->caller.uid == uid;
	return count;
}

static size_t control_server_count_readers(const struct control_server *cs)
{
	const struct control_connection *c;
	size_t count = 0;

	TAILQ_FOREACH(c, &cs->connections, link)
		count += !c->caller.may_change;
	return count;
}

/* The rights of a caller, or why it is sent away (error->code). */
static void control_server_judge(struct control_server *cs, const struct unix_socket_peer *peer,
				 bool read_only, struct call_caller *ret, struct rpc_error *error)
{
	size_t room = CONTROL_CONNECTIONS_MAX - (peer->uid != 0 ? CONTROL_CONNECTIONS_FOR_ROOT : 0);
	bool trusted = peer->uid == 0 || peer->uid == cs->params.uid ||
		       (cs->params.admin_group != (gid_t)-1 &&
			unix_socket_peer_in_group(peer, cs->params.admin_group));

	error->code = 0;
	*ret = (struct call_caller){
		.uid = peer->uid,
		.pid = peer->pid,
		.may_change = trusted && !read_only,
	};
	if (!trusted && !read_only) {
		rpc_error_from(error, RSTUN_E_PERMISSION_DENIED,
			       "uid %lu may not use this control socket", (unsigned long)peer->uid);
		rpc_error_hint(error,
			       "use it as root, as the daemon's user, or as a member of its admin "
			       "group; rstund-ro.sock beside it, if it is there, is for reading");
	} else if (cs->connection_count >= room) {
		rpc_error_from(error, RSTUN_E_LIMIT_REACHED,
			       "there are %zu connections on the control socket already, at most "
			       "%zu are possible",
			       cs->connection_count, room);
	} else if (control_server_count_uid(cs, peer->uid) >= CONTROL_CONNECTIONS_PER_UID) {
		rpc_error_from(error, RSTUN_E_LIMIT_REACHED,
			       "uid %lu has %d connections on the control socket already, and may "
			       "not have more",
			       (unsigned long)peer->uid, CONTROL_CONNECTIONS_PER_UID);
	} else if (!ret->may_change &&
		   control_server_count_readers(cs) >= CONTROL_CONNECTIONS_READERS) {
		/* Else they could keep out those who have something to do. */
		rpc_error_from(error, RSTUN_E_LIMIT_REACHED,
			       "%d connections are there already of callers who may only read, and "
			       "there cannot be more",
			       CONTROL_CONNECTIONS_READERS);
	}
	if (error->code == -RSTUN_E_LIMIT_REACHED)
		rpc_error_hint(error, "close one, or send several requests on one connection");
}

/* One line, then the end. A new socket takes it. */
static void control_server_send_away(struct control_server *cs, int fd,
				     const struct rpc_error *error)
{
	size_t bytes = 0;
	char *line = rpc_message_error(NULL, error, NULL, &bytes);

	if (line != NULL && send(fd, line, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug(cs->params.log, CONTROL_LOG, "somebody who was sent away did not wait");
	free(line);
	close(fd);
	control_server_refill(cs);
}

static void control_server_admit(struct control_listener *l, int fd)
{
	struct control_server *cs = l->server;
	struct unix_socket_peer peer;
	struct call_caller caller;
	struct rpc_error error;

	if (cs->peer(&peer, fd) != 0) {
		rpc_error_set(&error, RPC_INTERNAL, "it cannot be found out who you are");
		control_server_send_away(cs, fd, &error);
		return;
	}
	control_server_judge(cs, &peer, l->read_only, &caller, &error);
	unix_socket_peer_done(&peer);
	if (error.code != 0) {
		log_debug(cs->params.log, CONTROL_LOG, "pid %ld was sent away: %s",
			  (long)caller.pid, error.message);
		control_server_send_away(cs, fd, &error);
	} else if (control_connection_new(cs, fd, &caller) != 0) {
		control_server_refill(cs);
	}
}

/* ---- Listeners ------------------------------------------------------------------------------- */

static void control_server_rest(struct control_server *cs, int error)
{
	uint64_t now_ns = loop_now(cs->loop);
	struct control_listener *l;

	LIST_FOREACH(l, &cs->listeners, link)
		event_del(&l->event);
	loop_timer_arm(&cs->rest_timer, clock_after(now_ns, clock_ms(CONTROL_REST_MS)));
	if (cs->rest_logged_ns != 0 && now_ns - cs->rest_logged_ns < CLOCK_NS_PER_S)
		return;
	cs->rest_logged_ns = now_ns;
	log_warn(cs->params.log, CONTROL_LOG,
		 "cannot accept a connection on the control socket: %s; new ones wait",
		 rstun_strerror(error));
}

static void control_server_on_rested(void *user)
{
	struct control_server *cs = user;
	struct control_listener *l;

	control_server_refill(cs);
	LIST_FOREACH(l, &cs->listeners, link) {
		if (event_add(&l->event, NULL) != 0) {
			control_server_rest(cs, RSTUN_E_NOMEM);
			return;
		}
	}
}

static void control_server_on_accept(evutil_socket_t listen_fd, short what, void *user)
{
	struct control_listener *l = user;
	struct control_server *cs = l->server;

	(void)listen_fd;
	(void)what;
	loop_enter(cs->loop);
	for (int i = 0; i < CONTROL_ACCEPT_BATCH; i++) {
		int fd = unix_socket_accept(&l->socket);

		while (fd == RSTUN_E_LIMIT_REACHED && control_server_give_up(cs))
			fd = unix_socket_accept(&l->socket);
		if (fd == RSTUN_E_AGAIN)
			break;
		if (fd < 0) {
			control_server_rest(cs, fd);
			break;
		}
		control_server_admit(l, fd);
	}
	control_server_refill(cs);
}

int control_server_listen(struct control_server *cs, struct unix_socket *socket, bool read_only)
{
	struct control_listener *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		unix_socket_close(socket);
		return RSTUN_E_NOMEM;
	}
	l->server = cs;
	l->socket = *socket;
	l->read_only = read_only;
	*socket = UNIX_SOCKET_NONE;
	event_assign(&l->event, cs->loop->base, l->socket.fd, EV_READ | EV_PERSIST,
		     control_server_on_accept, l);
	if (event_add(&l->event, NULL) != 0) {
		unix_socket_close(&l->socket);
		free(l);
		return RSTUN_E_NOMEM;
	}
	LIST_INSERT_HEAD(&cs->listeners, l, link);
	return 0;
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

int control_server_new(struct control_server **ret, const struct control_server_params *params)
{
	struct control_server *cs = calloc(1, sizeof(*cs));
	int rv;

	if (cs == NULL)
		return RSTUN_E_NOMEM;
	cs->params = *params;
	cs->loop = params->loop;
	cs->peer = unix_socket_peer;
	LIST_INIT(&cs->listeners);
	TAILQ_INIT(&cs->connections);
	loop_timer_init(&cs->rest_timer, cs->loop, control_server_on_rested, cs);
	rv = control_events_init(cs);
	if (rv != 0) {
		free(cs);
		return rv;
	}
	control_server_refill(cs);
	*ret = cs;
	return 0;
}

/* Answers what waits, and writes what can be written. */
static void control_server_end(struct control_connection *c)
{
	struct rpc_error error;
	struct call *call;

	rpc_error_from(&error, RSTUN_E_SHUTTING_DOWN, "the daemon is ending");
	while ((call = LIST_FIRST(&c->calls)) != NULL)
		call_cancel(call, &error);
	if (!c->hung_up)
		control_output_write(c);
	control_connection_free(c, false);
}

void control_server_free(struct control_server *cs)
{
	struct control_connection *c;
	struct control_listener *l;

	if (cs == NULL)
		return;
	cs->freeing = true;
	while ((l = LIST_FIRST(&cs->listeners)) != NULL) {
		LIST_REMOVE(l, link);
		event_del(&l->event);
		unix_socket_close(&l->socket);
		free(l);
	}
	loop_timer_cancel(&cs->rest_timer);
	while ((c = TAILQ_FIRST(&cs->connections)) != NULL)
		control_server_end(c);
	control_events_done(cs);
	while (control_server_give_up(cs))
		;
	free(cs);
}

void control_server_counts(const struct control_server *cs, uint64_t *ret_callers,
			   uint64_t *ret_subscriptions)
{
	*ret_callers = cs->connection_count;
	*ret_subscriptions = cs->subscription_count;
}
