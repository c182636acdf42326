/* SPDX-License-Identifier: MIT */
/*
 * Logins with the probe feature (WIRE.md, section 2): what would become of this mapping here? The
 * password was right; the listening address is asked for without being taken, or the upstream is
 * dialled and let go at once. The answer is the one that a login would get; then the connection is
 * closed, by the client as a rule. No event is emitted: a probe is no session. One check per
 * session, made here, freed when its connection is gone. One thread, the server's.
 */
#include "tunnel/server_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "quic/conn.h"
#include "relay/tcp_connect.h"
#include "tunnel/dial.h"
#include "tunnel/limits.h"
#include "tunnel/proxy_header.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct server_check {
	struct server_session *session;
	struct dial dial;
	struct tcp_connector *connector; /* NULL = not dialling */
	/* Of the check; once it is answered, of the peer's time to read that and go. */
	struct loop_timer limit;
	bool running; /* counted in server.checks, not answered yet */
	char target[ADDRESS_TARGET_TEXT_SIZE];
};

bool server_check_asked(const struct server_session *ss, const struct wire_trailer *trailer)
{
	uint64_t both = ss->control.session.config.features & trailer->features;

	return trailer->present && trailer->has_features && (both & WIRE_FEATURE_PROBE) != 0;
}

static struct loop *server_check_loop(const struct server_session *ss)
{
	return ss->server->env->loop;
}

/* Nothing is being found out any more. */
static void server_check_stop(struct server_check *check)
{
	dial_cancel(&check->dial);
	tcp_connector_cancel(check->connector);
	check->connector = NULL;
	if (check->running)
		check->session->server->checks--;
	check->running = false;
}

void server_check_refuse(struct server_session *ss, const struct server_refusal *refusal)
{
	log_debug(ss->server->env->log, ss->scope, "probe: %s", refusal->text);
	server_session_note(ss, refusal->error, refusal->text);
	ss->state = SERVER_SESSION_CLOSING;
	session_stream_refuse(&ss->control, refusal->error, refusal->text, 0);
}

__attribute__((format(printf, 3, 4))) static void
server_check_fail(struct server_check *check, int error, const char *format, ...)
{
	struct server_refusal refusal = {.error = error};
	va_list args;

	va_start(args, format);
	vsnprintf(refusal.text, sizeof(refusal.text), format, args);
	va_end(args);
	server_check_stop(check);
	loop_timer_cancel(&check->limit); /* a refusal has its own time to linger */
	server_check_refuse(check->session, &refusal);
}

static void server_check_pass(struct server_check *check, const struct address *bound)
{
	struct server_session *ss = check->session;

	server_check_stop(check);
	log_debug(ss->server->env->log, ss->scope, "probe: all is well");
	ss->state = SERVER_SESSION_CLOSING;
	/* Too late, or the stream is gone: then the session has refused by itself. */
	(void)session_stream_accept(&ss->control, server_ipv6_supported(), bound);
	loop_timer_arm(&check->limit, clock_after(loop_now(server_check_loop(ss)),
						  clock_ms(LIMITS_LINGER_MS)));
}

static void server_check_on_limit(void *user)
{
	struct server_check *check = user;

	if (!check->running)
		quic_conn_close(check->session->conn, 1, "the probe is answered");
	else if (check->session->login.mode == MAPPING_IN)
		server_check_fail(check, RSTUN_E_TIMEOUT,
				  "whether the address is free could not be found out within %d ms",
				  LIMITS_CHECK_MS);
	else if (check->dial.lookup != NULL)
		server_check_fail(check, RSTUN_E_DNS_FAILED,
				  "the server could not resolve %s within %d ms: check the name "
				  "and the name servers over there",
				  check->target, LIMITS_CHECK_MS);
	else
		server_check_fail(check, RSTUN_E_TARGET_UNREACHABLE,
				  "%s did not answer the server within %d ms: is that machine up, "
				  "and does a firewall let the server through?",
				  check->target, LIMITS_CHECK_MS);
}

/* ---- OUT ---- */

/* An upstream that expects a PROXY header gets the one of health checks, and no cause to complain of
 * a connection without. */
static void server_check_hang_up(const struct server_session *ss, int fd)
{
	const struct target *proxied = ss->flows.config.proxy_target;
	struct address nobody = {.len = 0};
	uint8_t header[PROXY_HEADER_MAX];
	size_t bytes = proxy_header_put(header, &nobody, &nobody);

	if (proxied != NULL && target_equal(proxied, &ss->login.upstream))
		(void)send(fd, header, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void server_check_on_connected(void *user, int fd, enum flow_error error)
{
	struct server_check *check = user;
	bool is_path = check->session->login.upstream.kind == TARGET_UNIX;

	check->connector = NULL;
	if (fd >= 0)
		server_check_hang_up(check->session, fd);
	if (error == FLOW_OK)
		server_check_pass(check, NULL);
	else if (error == FLOW_REFUSED)
		server_check_fail(check, RSTUN_E_TARGET_REFUSED,
				  "%s refused the connection of the server: is the service there "
				  "running, and is the %s right?",
				  check->target, is_path ? "path" : "port");
	else if (error == FLOW_DENIED && is_path)
		server_check_fail(check, RSTUN_E_PERMISSION_DENIED,
				  "%s: permission denied: may the user of the server connect to "
				  "it?",
				  check->target);
	else if (error == FLOW_LIMIT)
		server_check_fail(check, RSTUN_E_LIMIT_REACHED,
				  "the server has no descriptor left to dial %s: raise its limit "
				  "of open files",
				  check->target);
	else
		server_check_fail(check, RSTUN_E_TARGET_UNREACHABLE,
				  "the server cannot reach %s (%s): check the address and "
				  "its routes",
				  check->target, flow_error_text(error));
}

static int server_check_on_socket(void *user, int fd, const struct address *to)
{
	struct server_check *check = user;

	return egress_apply(&check->session->server->egress, fd, to);
}

/* The resolver quotes names; over there all of it is quoted once more. */
static void server_check_strip_quotes(char *ret, size_t size, const char *text)
{
	size_t used = 0;

	for (; *text != '\0' && used + 1 < size; text++)
		if (*text != '"')
			ret[used++] = *text;
	ret[used] = '\0';
}

static void server_check_on_resolved(void *user, const struct dial_result *result)
{
	struct server_check *check = user;
	struct server_session *ss = check->session;
	struct tcp_connect params = {
		.loop = server_check_loop(ss),
		.addresses = result->addresses,
		.address_count = result->count,
		.path = result->path,
		.on_socket = server_check_on_socket,
		.user = check,
	};
	int err;

	if (result->error != 0) {
		char why[256];

		server_check_strip_quotes(why, sizeof(why), result->why);
		server_check_fail(check, RSTUN_E_DNS_FAILED,
				  "the server could not resolve the target: %s", why);
		return;
	}
	/* A datagram tells nothing about who gets it, and it would disturb the service. */
	if (ss->login.proto == MAPPING_UDP) {
		server_check_pass(check, NULL);
		return;
	}
	err = tcp_connector_start(&check->connector, &params, server_check_on_connected, check);
	if (err != 0)
		server_check_on_connected(check, -1, FLOW_LIMIT);
}

/* ---- IN ---- */

void server_check_claimed(struct server_session *ss, int error, const struct address *bound)
{
	struct server_check *check = ss->check;
	struct server_refusal refusal;

	if (!check->running)
		return;
	if (error == 0) {
		server_check_pass(check, bound);
		return;
	}
	server_login_bind_failed(&refusal, ss->login.proto, &ss->login.listen, error);
	server_check_fail(check, refusal.error, "%s", refusal.text);
}

/* ---- beginning and end ---- */

static bool server_check_is_for_program(const struct server_session *ss)
{
	return ss->server->params.on_request != NULL && ss->login.proto == MAPPING_TCP;
}

void server_check_start(struct server_session *ss)
{
	struct server *s = ss->server;
	struct server_check *check = s->checks < LIMITS_CHECKS ? calloc(1, sizeof(*check)) : NULL;

	if (check == NULL) {
		struct server_refusal refusal = {
			.error = RSTUN_E_LIMIT_REACHED,
			.text = "the server is answering too many other probes: try again in a "
				"few seconds",
		};

		server_check_refuse(ss, &refusal);
		return;
	}
	check->session = ss;
	check->running = true;
	s->checks++;
	ss->check = check;
	ss->state = SERVER_SESSION_CHECKING;
	loop_timer_init(&check->limit, s->env->loop, server_check_on_limit, check);
	/* The session's own clock of the answer began with the login, and is longer. */
	loop_timer_arm(&check->limit,
		       clock_after(loop_now(s->env->loop), clock_ms(LIMITS_CHECK_MS)));
	if (ss->login.mode == MAPPING_IN) {
		server_claim_address(s, ss);
	} else if (ss->login.channel || server_check_is_for_program(ss)) {
		/* Only the password is asked, or what becomes of a stream is decided with it. */
		server_check_pass(check, NULL);
	} else {
		target_format(check->target, sizeof(check->target), &ss->login.upstream);
		dial_resolve(&check->dial, s->resolver, &ss->login.upstream,
			     server_check_on_resolved, check);
	}
}

void server_check_done(struct server_session *ss)
{
	if (ss->check == NULL)
		return;
	server_check_stop(ss->check);
	loop_timer_cancel(&ss->check->limit);
	free(ss->check);
	ss->check = NULL;
}
