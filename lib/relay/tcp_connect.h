/* SPDX-License-Identifier: MIT */
/*
 * Connecting to one of several addresses (Happy Eyeballs, RFC 8305): each next address is tried 250
 * ms after the one before, or at once when that failed; the first socket that connects wins and the
 * others are closed. Or to the one path of a UNIX socket, again while its queue is full. One loop's
 * thread.
 */
#pragma once

#include "relay/end.h"
#include "relay/tcp_end.h"

struct tcp_connector;

/* Starts. `done` is called once, from the loop: fd >= 0 is the connected, non-blocking socket, now
 * the caller's; fd == -1 comes with the reason. The connector frees itself before it calls.
 * RSTUN_E_NOMEM, RSTUN_E_LIMIT_REACHED (not even one descriptor). */
int tcp_connector_start(struct tcp_connector **ret, const struct tcp_connect *params,
			void (*done)(void *user, int fd, enum flow_error error), void *user);

/* Gives up: no `done`. Accepts NULL. */
void tcp_connector_cancel(struct tcp_connector *c);
