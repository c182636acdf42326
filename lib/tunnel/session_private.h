/* SPDX-License-Identifier: MIT */
/*
 * What session.c (bytes, time, ends), session_client.c and session_server.c (the roles) call of
 * each other. Used nowhere else.
 */
#pragma once

#include "tunnel/session.h"

/* ---- session.c ---- */
/* The end: frees, then on_failure. */
void session_fail_with(struct session *s, const struct session_failure *failure);
void session_fail(struct session *s, int error, const char *text);
/* Logs what a proper peer does not do: the 1st, 2nd, 4th, 8th, ... time. */
__attribute__((format(printf, 2, 3))) void session_log_odd(struct session *s, const char *format,
							   ...);
void session_drop_input(struct session *s);
/* Writes a message or keeps it until there is room. Error of `write`, RSTUN_E_NOMEM. */
int session_put_message(struct session *s, const struct wire_message *message);
/* The same; an error ends the session, but a server bears a client that reads no heartbeats. */
void session_put_heartbeat(struct session *s, enum wire_kind kind, uint64_t seq);

/* ---- session_client.c ---- */
void session_client_message(struct session *s, const struct wire_message *message, uint64_t now_ns);
/* The stream ended before the answer. */
void session_client_ending(struct session *s, uint64_t now_ns);
/* The deadline of a session that is up. */
void session_client_expire(struct session *s, uint64_t now_ns);

/* ---- session_server.c ---- */
void session_server_message(struct session *s, const struct wire_message *message, uint64_t now_ns);
/* FIN behind a refusal, once that is out. */
void session_finish_refusal(struct session *s);
