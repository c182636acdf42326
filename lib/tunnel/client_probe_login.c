/* SPDX-License-Identifier: MIT */
/*
 * A probe behind the handshake: login, what its answer means, a second connection where one is
 * needed, and the local target of an IN mapping. Nothing is decided inside a callback of the
 * control stream: the answer is noted, the connection closed, and its on_close goes on.
 *
 * What is not an OUT mapping begins with a login as a channel: that listens nowhere and dials
 * nothing, at any server, and the original accepts it whether or not it has a default upstream, so
 * its answer is about the password alone.
 */
#include "tunnel/client_probe_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "quic/conn.h"
#include "relay/tcp_connect.h"
#include "tunnel/limits.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char wrong_password_text[] =
	"the server refused the login without a reason, as the original does for a wrong password: "
	"both sides must be started with the same one";

static bool client_probe_is_in(const struct client_probe *p)
{
	return p->has_mapping && p->mapping.mode == MAPPING_IN;
}

/* ---- the upstream of an IN mapping ---- */

static void client_probe_on_dialled(void *user, int fd, enum flow_error error)
{
	struct client_probe *p = user;
	bool is_path = p->mapping.local.kind == TARGET_UNIX;

	p->connector = NULL;
	if (fd >= 0)
		close(fd);
	if (error == FLOW_OK)
		client_probe_report(p, PROBE_OK, 0, "%s accepts connections from here", p->target);
	else if (error == FLOW_REFUSED)
		client_probe_report(p, PROBE_FAILED, RSTUN_E_TARGET_REFUSED,
				    "%s refused the connection from here: is the service there "
				    "running, and is the %s right?",
				    p->target, is_path ? "path" : "port");
	else if (error == FLOW_DENIED && is_path)
		client_probe_report(p, PROBE_FAILED, RSTUN_E_PERMISSION_DENIED,
				    "%s: permission denied: may the user of the daemon connect to "
				    "it?",
				    p->target);
	else
		client_probe_report(p, PROBE_FAILED, RSTUN_E_TARGET_UNREACHABLE,
				    "%s cannot be reached from here (%s): check the address and "
				    "this machine's routes",
				    p->target, flow_error_text(error));
}

static int client_probe_on_socket(void *user, int fd, const struct address *to)
{
	struct client_probe *p = user;

	return egress_apply(&p->client->egress, fd, to);
}

static void client_probe_on_local(void *user, const struct dial_result *result)
{
	struct client_probe *p = user;
	struct tcp_connect params = {
		.loop = p->client->env->loop,
		.addresses = result->addresses,
		.address_count = result->count,
		.path = result->path,
		.timeout_ms = CONFIG_CONNECT_TIMEOUT_MS,
		.on_socket = client_probe_on_socket,
		.user = p,
	};
	int err;

	if (result->error != 0) {
		client_probe_report(p, PROBE_FAILED, RSTUN_E_DNS_FAILED,
				    "%s could not be resolved here: %s", p->target, result->why);
		return;
	}
	if (p->mapping.proto == MAPPING_UDP) {
		client_probe_report(p, PROBE_OK, 0,
				    "%s can be sent to; whether anybody listens cannot be seen "
				    "with UDP",
				    p->target);
		return;
	}
	err = tcp_connector_start(&p->connector, &params, client_probe_on_dialled, p);
	if (err != 0)
		client_probe_report(p, PROBE_FAILED, err, "%s was not dialled: %s", p->target,
				    rstun_strerror(err));
}

/* Nothing is dialled before a connection asks. */
static void client_probe_report_asked(struct client_probe *p)
{
	const struct client_config *config = p->client->config;
	const struct field *row = field_find(client_config_fields, client_config_field_count,
					     "permit-remote-open");
	char permits[256];

	if (config->permit_count == 0)
		client_probe_report(p, PROBE_FAILED, RSTUN_E_ACCESS_DENIED,
				    "each connection says by %s what it wants to reach, and "
				    "--permit-remote-open of the client permits nothing",
				    p->target);
	else
		client_probe_report(p, PROBE_SKIPPED, 0,
				    "each connection says by %s what it wants to reach; permitted "
				    "is %s",
				    p->target, field_get(row, config, permits, sizeof(permits)));
}

static void client_probe_dial_local(struct client_probe *p)
{
	target_format(p->target, sizeof(p->target), &p->mapping.local);
	if (target_is_asked(&p->mapping.local))
		client_probe_report_asked(p);
	else
		dial_resolve(&p->dial, p->client->dial_resolver, &p->mapping.local,
			     client_probe_on_local, p);
}

/* ---- what an answer means ---- */

/* A refusal behind the right password, for what the mapping asks. */
static bool client_probe_about_mapping(int error)
{
	switch (error) {
	case RSTUN_E_NO_DEFAULT_UPSTREAM:
	case RSTUN_E_DNS_FAILED:
	case RSTUN_E_TARGET_REFUSED:
	case RSTUN_E_TARGET_UNREACHABLE:
	case RSTUN_E_REMOTE_ADDRESS_IN_USE:
	case RSTUN_E_ACCESS_DENIED:
	case RSTUN_E_PERMISSION_DENIED:
	case RSTUN_E_CONFIG_INVALID:
	case RSTUN_E_LIMIT_REACHED:
	case RSTUN_E_TIMEOUT:
		return true;
	default:
		return false;
	}
}

/* The mapping, if this client has it up: it is the one that holds the address. */
static const struct client_mapping *client_probe_live(const struct client_probe *p)
{
	const struct client_mapping *m;

	TAILQ_FOREACH(m, &p->client->mappings, link)
	if (m->state == TUNNEL_TUNNELING && !m->stopped && mapping_equal(&m->mapping, &p->mapping))
		return m;
	return NULL;
}

/* The server is asked about one upstream. */
static bool client_probe_is_out(const struct client_probe *p)
{
	return p->has_mapping && p->mapping.mode == MAPPING_OUT &&
	       !target_is_asked(&p->mapping.remote);
}

static const char *client_probe_software(const struct client_probe_answer *a)
{
	if (!a->peer_is_rstund)
		return "the original rstun";
	return a->software[0] != '\0' ? a->software : "an rstund";
}

static void client_probe_bind_live(struct client_probe *p, const struct client_mapping *live)
{
	const struct address *bound = &live->bound;
	char where[ADDRESS_TEXT_SIZE];

	client_probe_report(p, PROBE_OK, 0, "the mapping is up: the server listens on %s",
			    bound->len != 0 ? address_format(where, sizeof(where), bound)
					    : "its address");
	client_probe_dial_local(p);
}

/* The password was right; BIND and UPSTREAM are left. */
static void client_probe_accepted(struct client_probe *p)
{
	const struct client_probe_answer *a = &p->answer;
	const struct client_mapping *live = client_probe_is_in(p) ? client_probe_live(p) : NULL;
	char target[ADDRESS_TARGET_TEXT_SIZE];

	client_probe_report(p, PROBE_OK, 0, "logged in; the server is %s",
			    client_probe_software(a));
	if (!p->has_mapping) {
		client_probe_report(p, PROBE_SKIPPED, 0, "no mapping is asked about");
		client_probe_report(p, PROBE_SKIPPED, 0, "no mapping is asked about");
	} else if (live != NULL) {
		client_probe_bind_live(p, live);
	} else if (client_probe_is_in(p) && a->granted) {
		client_probe_connect_again(p, CLIENT_PROBE_LISTEN);
	} else if (client_probe_is_in(p)) {
		client_probe_report(p, PROBE_SKIPPED, 0,
				    "the server is %s, which cannot check it without listening",
				    client_probe_software(a));
		client_probe_dial_local(p);
	} else {
		client_probe_report(p, PROBE_SKIPPED, 0,
				    "an OUT mapping listens here, not on the server");
		target_format(target, sizeof(target), &p->mapping.remote);
		if (target_is_asked(&p->mapping.remote))
			client_probe_report(p, PROBE_SKIPPED, 0,
					    "each connection says by %s what it wants to reach",
					    target);
		else if (!a->granted)
			client_probe_report(p, PROBE_SKIPPED, 0,
					    "the server is %s, which cannot check it",
					    client_probe_software(a));
		else if (p->mapping.proto == MAPPING_UDP)
			client_probe_report(p, PROBE_OK, 0,
					    "the server knows where %s is; whether anybody listens "
					    "there cannot be seen with UDP",
					    target);
		else
			client_probe_report(p, PROBE_OK, 0, "%s accepts connections of the server",
					    target);
	}
}

/* OUT: refused without a reason, but the password alone was accepted. */
static void client_probe_refused_vaguely(struct client_probe *p)
{
	const char *proto = mapping_proto_name(p->mapping.proto);

	client_probe_report(p, PROBE_OK, 0, "the password is right; the server is %s",
			    client_probe_software(&p->answer));
	client_probe_report(p, PROBE_SKIPPED, 0, "an OUT mapping listens here, not on the server");
	switch (p->mapping.remote.kind) {
	case TARGET_DEFAULT:
		client_probe_report(p, PROBE_FAILED, RSTUN_E_NO_DEFAULT_UPSTREAM,
				    "the server accepts the password and refuses this mapping "
				    "without a reason: most likely it has no default %s upstream; "
				    "start it with --%s-upstream, or name one in the mapping",
				    proto, proto);
		return;
	case TARGET_NAME:
		client_probe_report(p, PROBE_SKIPPED, 0,
				    "the server is %s, which takes no names (they are resolved "
				    "here) and cannot check it",
				    client_probe_software(&p->answer));
		return;
	case TARGET_ADDRESS:
	case TARGET_SOCKS5: /* a channel, which is not refused like this */
	case TARGET_HTTP:
	case TARGET_UNIX: /* not as a remote */
		client_probe_report(p, PROBE_FAILED, RSTUN_E_LOGIN_REJECTED,
				    "the server accepts the password and refuses this mapping "
				    "without a reason: its log may say more");
		return;
	}
}

static void client_probe_on_first(struct client_probe *p, const struct quic_close *why)
{
	const struct client_probe_answer *a = &p->answer;

	bool out = client_probe_is_out(p);

	if (a->kind == CLIENT_PROBE_YES) {
		client_probe_accepted(p);
	} else if (a->kind == CLIENT_PROBE_NO && out && client_probe_about_mapping(a->error)) {
		client_probe_report(p, PROBE_OK, 0, "the password is right");
		client_probe_report(p, PROBE_SKIPPED, 0,
				    "an OUT mapping listens here, not on the server");
		client_probe_report(p, PROBE_FAILED, a->error, "%s", a->text);
	} else if (a->error != 0) {
		client_probe_report(p, PROBE_FAILED, a->error, "%s", a->text);
	} else if (why->kind != QUIC_CLOSE_PEER_APP) {
		client_probe_report(p, PROBE_FAILED, why->error != 0 ? why->error : RSTUN_E_CLOSED,
				    "the connection ended before the login was answered: %s",
				    why->reason);
	} else if (why->code != 0) {
		client_probe_report(p, PROBE_FAILED, RSTUN_E_LOGIN_REJECTED,
				    "the server refused the login: %s", why->reason);
	} else if (out) {
		client_probe_connect_again(p, CLIENT_PROBE_AGAIN);
	} else {
		client_probe_report(p, PROBE_FAILED, RSTUN_E_AUTH_FAILED, "%s",
				    wrong_password_text);
	}
}

static void client_probe_on_listen(struct client_probe *p, const struct quic_close *why)
{
	const struct client_probe_answer *a = &p->answer;
	const struct address *at = a->bound.len != 0 ? &a->bound : &p->mapping.remote.address;
	char where[ADDRESS_TEXT_SIZE];

	address_format(where, sizeof(where), at);
	if (a->kind == CLIENT_PROBE_YES && a->granted) {
		client_probe_report(p, PROBE_OK, 0, "%s is free on the server", where);
		client_probe_dial_local(p);
	} else if (a->kind == CLIENT_PROBE_YES) {
		/* Another server answers at that address by now, one that knows no probes. */
		client_probe_report(p, PROBE_OK, 0, "the server listened on %s for a moment",
				    where);
		client_probe_dial_local(p);
	} else if (a->error != 0) {
		client_probe_report(p, PROBE_FAILED, a->error, "%s", a->text);
	} else {
		client_probe_report(p, PROBE_FAILED, why->error != 0 ? why->error : RSTUN_E_CLOSED,
				    "the connection ended before the server said whether %s is "
				    "free: %s",
				    where, why->reason);
	}
}

static void client_probe_on_answered(struct client_probe *p, const struct quic_close *why)
{
	switch (p->turn) {
	case CLIENT_PROBE_FIRST:
		client_probe_on_first(p, why);
		return;
	case CLIENT_PROBE_LISTEN:
		client_probe_on_listen(p, why);
		return;
	case CLIENT_PROBE_AGAIN:
		if (p->answer.kind == CLIENT_PROBE_YES)
			client_probe_refused_vaguely(p);
		else
			client_probe_report(p, PROBE_FAILED, RSTUN_E_AUTH_FAILED, "%s",
					    wrong_password_text);
		return;
	}
}

/* ---- the connection ---- */

static void client_probe_on_success(void *user, const struct session_success *success)
{
	struct client_probe *p = user;
	struct client_probe_answer *a = &p->answer;
	const char *software = success->trailer->software;

	a->kind = CLIENT_PROBE_YES;
	a->peer_is_rstund = success->peer_is_rstund;
	a->granted = (success->features & WIRE_FEATURE_PROBE) != 0;
	if (success->trailer->has_bound)
		a->bound = success->trailer->bound;
	log_quote(a->software, sizeof(a->software), software, strlen(software));
	quic_conn_close(p->conn, 1, "the probe is done");
}

static void client_probe_on_failure(void *user, const struct session_failure *failure)
{
	struct client_probe *p = user;
	struct client_probe_answer *a = &p->answer;

	if (a->kind == CLIENT_PROBE_YES) /* what came behind it does not count */
		return;
	if (failure->by_peer)
		a->kind = CLIENT_PROBE_NO;
	a->error = failure->error;
	snprintf(a->text, sizeof(a->text), "%s", failure->text);
	quic_conn_close(p->conn, 1, failure->by_peer ? "refused" : failure->text);
}

static void client_probe_on_close(struct quic_conn *conn, void *user, const struct quic_close *why)
{
	struct client_probe *p = user;

	(void)conn;
	p->conn = NULL;
	session_stream_done(&p->control);
	client_probe_on_answered(p, why);
}

static const struct quic_conn_ops client_probe_conn_ops = {
	.on_close = client_probe_on_close,
};

/* Of a probe that is over: its connection goes by itself. */
static const struct quic_conn_ops client_probe_orphan_ops = {0};

static const struct session_stream_ops client_probe_control_ops = {
	.on_success = client_probe_on_success,
	.on_failure = client_probe_on_failure,
};

static int client_probe_send(struct client_probe *p)
{
	const struct client_config *config = p->client->config;
	const struct mapping *mapping = &p->mapping;
	bool out = client_probe_is_out(p);
	bool whole = p->turn == CLIENT_PROBE_LISTEN || (p->turn == CLIENT_PROBE_FIRST && out);
	struct session_config session;
	struct wire_login login = {
		.channel = !whole,
		.mode = whole ? mapping->mode : MAPPING_OUT,
		.proto = whole ? mapping->proto : MAPPING_TCP,
		.has_local = whole && mapping->local.kind == TARGET_ADDRESS,
		.local = mapping->local.address,
		.has_upstream = whole && mapping->remote.kind == TARGET_ADDRESS,
		.upstream = mapping->remote.address,
		.tcp_timeout_ms = WIRE_NEVER_MS,
		.udp_timeout_ms = config->udp_timeout_ms,
	};
	int err;

	snprintf(login.password, sizeof(login.password), "%s", config->password);
	session_config_default(&session);
	session.features |= WIRE_FEATURE_PROBE;
	session.software = PACKAGE_STRING;
	session.login_timeout_ns = clock_ms(LIMITS_LOGIN_MS);
	session.heartbeat_interval_ns = 0;
	session.log = p->client->env->log;
	session.scope = p->scope;
	session_stream_init(&p->control, p->client->env->loop, &session, &client_probe_control_ops,
			    p);
	err = session_stream_login(&p->control, p->conn, &login, NULL,
				   whole ? &mapping->remote : NULL);
	secret_wipe(&login, sizeof(login));
	return err;
}

void client_probe_login(struct client_probe *p, struct quic_conn *conn)
{
	int err;

	p->conn = conn;
	p->answer = (struct client_probe_answer){0};
	quic_conn_set_ops(conn, &client_probe_conn_ops, p);
	err = client_probe_send(p);
	if (err == 0)
		return;
	p->answer.error = err;
	snprintf(p->answer.text, sizeof(p->answer.text), "the login could not be sent: %s",
		 rstun_strerror(err));
	quic_conn_close(conn, 1, "no login");
}

void client_probe_login_stop(struct client_probe *p)
{
	dial_cancel(&p->dial);
	tcp_connector_cancel(p->connector);
	p->connector = NULL;
	if (p->conn == NULL)
		return;
	session_stream_done(&p->control);
	quic_conn_set_ops(p->conn, &client_probe_orphan_ops, NULL);
	quic_conn_close(p->conn, 1, "the probe is cancelled");
	p->conn = NULL;
}
