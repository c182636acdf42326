/* SPDX-License-Identifier: MIT */
/*
 * What only the server's side of a control stream does (session.h): one login, one answer, then
 * echoes of heartbeats. One thread, the owner's.
 */
#include "base/clock.h"
#include "base/error.h"
#include "tunnel/session_private.h"

#include <string.h>

/* FIN behind a refusal, once that is out. */
void session_finish_refusal(struct session *s)
{
	if (s->out || s->output_closed)
		return;
	s->output_closed = true;
	s->ops->finish(s->user);
}

void session_server_start(struct session *s, uint64_t now_ns)
{
	s->server = true;
	s->state = SESSION_LOGIN;
	s->deadline_ns = clock_after(now_ns, s->config.login_timeout_ns);
}

/* on_failure is to come from session_expire at `deadline_ns`; nothing more is read or answered. */
static void end_later(struct session *s, int error, const char *text, uint64_t deadline_ns)
{
	s->state = SESSION_REFUSED;
	s->refuse_error = error;
	if (!wire_copy_prose(s->refuse_text, sizeof(s->refuse_text) - 1, text, strlen(text)))
		s->refuse_text[0] = '\0';
	s->deadline_ns = deadline_ns;
	session_drop_input(s);
}

int session_server_accept(struct session *s, bool ipv6_supported, const struct address *bound,
			  uint64_t now_ns)
{
	struct wire_message message = { .kind = WIRE_RESP_SUCCESS };
	struct wire_trailer *trailer = &message.trailer;
	const char *software = s->config.software;
	int err;

	if (!s->server || s->state != SESSION_ANSWERING)
		return RSTUN_E_CLOSED;
	message.ipv6_supported = ipv6_supported;
	/* Only for who showed that it knows trailers: to others every byte is as the original's. */
	if (s->peer_trailer) {
		trailer->present = true;
		trailer->has_features = true;
		trailer->features = session_granted(s);
		trailer->has_software =
			software && wire_copy_prose(trailer->software, WIRE_SOFTWARE_MAX, software,
						    strlen(software));
		trailer->has_bound = bound && bound->len > 0;
		if (trailer->has_bound)
			trailer->bound = *bound;
	}
	err = session_put_message(s, &message);
	if (err) {
		end_later(s, err, "the answer to the login could not be written", now_ns);
		return err;
	}
	s->state = SESSION_UP;
	s->deadline_ns = CLOCK_NEVER;
	return 0;
}

void session_server_refuse(struct session *s, int error, const char *text, uint32_t retry_after_ms,
			   uint64_t now_ns)
{
	struct wire_message message = { .kind = WIRE_RESP_FAILURE };
	struct wire_trailer *trailer = &message.trailer;

	if (!s->server || (s->state != SESSION_LOGIN && s->state != SESSION_ANSWERING))
		return;
	if (!text || !text[0] ||
	    !wire_copy_prose(message.reason, WIRE_REASON_MAX, text, strlen(text))) {
		text = rstun_strerror(error);
		wire_copy_prose(message.reason, WIRE_REASON_MAX, text, strlen(text));
	}
	/*
	 * The record goes only to a client whose login had a trailer and asked for structured
	 * failures. The original would skip it, but nothing is gained by sending it there, and so a
	 * peer that is not logged in gets what a v0.8.10 server would send and learns nothing about
	 * the software.
	 */
	if (s->peer_trailer && (session_granted(s) & WIRE_FEATURE_FAILURES)) {
		trailer->present = true;
		trailer->has_features = true;
		trailer->features = session_granted(s);
		trailer->has_failure = true;
		trailer->failure_code = (uint16_t)rstun_error_to_code(error);
		trailer->failure_retry_ms = retry_after_ms;
		memcpy(trailer->failure_text, message.reason, sizeof(trailer->failure_text));
	}
	end_later(s, error, message.reason, clock_after(now_ns, s->config.linger_ns));
	if (session_put_message(s, &message))
		s->deadline_ns = now_ns; /* nobody will read it: no reason to wait */
	else
		session_finish_refusal(s);
}

void session_server_message(struct session *s, const struct wire_message *message, uint64_t now_ns)
{
	if (s->state == SESSION_LOGIN) {
		if (message->kind != WIRE_REQ_LOGIN) {
			session_fail(s, RSTUN_E_PROTOCOL_MISMATCH, "a message before the login");
			return;
		}
		s->peer_trailer = message->trailer.present;
		s->peer_features = message->trailer.has_features ? message->trailer.features : 0;
		s->state = SESSION_ANSWERING;
		s->deadline_ns = clock_after(now_ns, s->config.answer_timeout_ns);
		s->ops->on_login(s->user, &message->login, &message->trailer);
		return;
	}
	if (message->kind == WIRE_REQ_HEARTBEAT)
		session_put_heartbeat(s, WIRE_RESP_HEARTBEAT, message->seq);
	else
		session_log_odd(s, "unexpected message %d", (int)message->kind);
}
