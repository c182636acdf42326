/* SPDX-License-Identifier: MIT */
/*
 * What only the client's side of a control stream does (session.h): the login with our trailer, its
 * answer, and the heartbeats: one at a time, a wrong number in the answer is only logged, as the
 * original does. One thread, the owner's.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "tunnel/session_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The original refuses by dropping the connection; the end of its stream can be seen before its
 * CONNECTION_CLOSE, which says more, so a client waits that long for it. */
#define SESSION_END_GRACE_NS (500 * CLOCK_NS_PER_MS)

static void set_login_trailer(struct session *s, struct wire_trailer *trailer, const char *name,
			      const struct target *target)
{
	const char *software = s->config.software;

	trailer->present = true;
	trailer->has_features = true;
	trailer->features = s->config.features;
	trailer->has_software = software && wire_copy_prose(trailer->software, WIRE_SOFTWARE_MAX,
							    software, strlen(software));
	trailer->has_name =
		name && wire_copy_prose(trailer->name, WIRE_NAME_MAX, name, strlen(name));
	if (target && target->kind == TARGET_NAME) {
		trailer->has_target = true;
		trailer->target = *target;
	}
}

int session_client_start(struct session *s, const struct wire_login *login, const char *name,
			 const struct target *target, uint64_t now_ns)
{
	struct wire_message message = { .kind = WIRE_REQ_LOGIN };
	int err;

	message.login = *login;
	set_login_trailer(s, &message.trailer, name, target);
	s->target_sent = message.trailer.has_target;
	if (s->target_sent)
		message.login.has_upstream = false;
	s->server = false;
	s->state = SESSION_LOGIN;
	s->deadline_ns = clock_after(now_ns, s->config.login_timeout_ns);
	err = session_put_message(s, &message);
	secret_wipe(&message, sizeof(message));
	if (err)
		session_done(s);
	return err;
}

static bool heartbeats_on(const struct session *s)
{
	return s->config.heartbeat_interval_ns > 0 && s->config.heartbeat_timeout_ns > 0;
}

static void send_heartbeat(struct session *s, uint64_t now_ns)
{
	s->heartbeat_seq++;
	s->heartbeat_sent_ns = now_ns;
	s->heartbeat_due = false;
	s->deadline_ns = clock_after(now_ns, s->config.heartbeat_timeout_ns);
	session_put_heartbeat(s, WIRE_REQ_HEARTBEAT, s->heartbeat_seq);
}

static void heartbeat_answered(struct session *s, uint64_t seq, uint64_t now_ns)
{
	uint64_t next = clock_after(s->heartbeat_sent_ns, s->config.heartbeat_interval_ns);

	if (!heartbeats_on(s) || s->heartbeat_due) {
		session_log_odd(s, "an answer %" PRIu64 " to no heartbeat", seq);
		return;
	}
	if (seq != s->heartbeat_seq)
		session_log_odd(s, "heartbeat %" PRIu64 " answered as %" PRIu64, s->heartbeat_seq,
				seq);
	s->heartbeat_due = true;
	s->deadline_ns = next < now_ns ? now_ns : next;
}

static void login_accepted(struct session *s, const struct wire_message *message, uint64_t now_ns)
{
	const struct wire_trailer *trailer = &message->trailer;
	struct session_success success = {
		.ipv6_supported = message->ipv6_supported,
		.peer_is_rstund = trailer->present,
		.features = trailer->has_features ? trailer->features & s->config.features : 0,
		.target_ignored = s->target_sent && !trailer->present,
		.trailer = trailer,
	};

	if (s->output_closed) {
		session_fail(s, RSTUN_E_RESET, "the far side stopped reading the control stream");
		return;
	}
	s->ending = false;
	s->state = SESSION_UP;
	s->deadline_ns = CLOCK_NEVER;
	s->ops->on_success(s->user, &success);
	if (s->state == SESSION_UP && heartbeats_on(s))
		send_heartbeat(s, now_ns);
}

static void login_refused(struct session *s, const struct wire_message *message)
{
	const struct wire_trailer *trailer = &message->trailer;
	const char *reason = message->reason;
	struct session_failure failure = { .error = RSTUN_E_LOGIN_REJECTED, .by_peer = true };
	char quoted[SESSION_TEXT_SIZE];

	if (strstr(reason, "failed to bind")) /* all that the original ever says */
		failure.error = RSTUN_E_REMOTE_ADDRESS_IN_USE;
	if (trailer->has_failure) {
		int error = rstun_error_from_code(trailer->failure_code);

		failure.error =
			error < 0 && error != RSTUN_E_FAILED ? error : RSTUN_E_LOGIN_REJECTED;
		failure.retry_after_ms = trailer->failure_retry_ms;
		if (trailer->failure_text[0])
			reason = trailer->failure_text;
	}
	failure.text = reason[0] ? log_quote(quoted, sizeof(quoted), reason, strlen(reason))
				 : "the server gave no reason";
	session_fail_with(s, &failure);
}

void session_client_message(struct session *s, const struct wire_message *message, uint64_t now_ns)
{
	if (s->state == SESSION_LOGIN) {
		if (message->kind == WIRE_RESP_SUCCESS)
			login_accepted(s, message, now_ns);
		else if (message->kind == WIRE_RESP_FAILURE)
			login_refused(s, message);
		else
			session_fail(s, RSTUN_E_PROTOCOL_MISMATCH,
				     "the server answered the login with another message");
		return;
	}
	if (message->kind == WIRE_RESP_HEARTBEAT)
		heartbeat_answered(s, message->seq, now_ns);
	else
		session_log_odd(s, "unexpected message %d", (int)message->kind);
}

/* Before the answer: what ends the stream is most likely a refusal in the original's way. */
void session_client_ending(struct session *s, uint64_t now_ns)
{
	if (s->ending)
		return;
	s->ending = true;
	s->deadline_ns = clock_min(s->deadline_ns, clock_after(now_ns, SESSION_END_GRACE_NS));
}

void session_client_expire(struct session *s, uint64_t now_ns)
{
	char text[SESSION_TEXT_SIZE];

	if (s->heartbeat_due) {
		send_heartbeat(s, now_ns);
		return;
	}
	snprintf(text, sizeof(text), "no answer to a heartbeat within %" PRIu64 " ms",
		 s->config.heartbeat_timeout_ns / CLOCK_NS_PER_MS);
	session_fail(s, RSTUN_E_TIMEOUT, text);
}
