/* SPDX-License-Identifier: MIT */
/*
 * An accepted connection that first says what it wants to reach (proxy_request.h), and waits for a
 * stream toward it. Then it is a flow like others. Freed by itself; on its flows' list until then.
 * The thread of the flows' loop.
 */
#pragma once

#include <stdbool.h>

struct address;
struct flow_asked;
struct flow_channel;
struct flows;

/* Takes fd over, on failure too. RSTUN_E_LIMIT_REACHED, RSTUN_E_NOMEM. */
int flow_asked_new(struct flows *f, int fd, const struct address *source);
/* One that has said it elsewhere (flows_open_channel). RSTUN_E_LIMIT_REACHED, RSTUN_E_NOMEM,
 * RSTUN_E_TOO_LARGE; then it stays the caller's. */
int flow_asked_new_channel(struct flows *f, const struct flow_channel *channel);
/* It is ready: opens its stream, or ends it, and it is gone; false: there is none to have now, it
 * waits on, and so must those behind it. */
bool flow_asked_go(struct flow_asked *a);
/* Closes it with a reset, now; a channel is told why. */
void flow_asked_end(struct flow_asked *a, int error, const char *text);
/* Whether it is the channel with that `user`; the next of those that are ready; away with a channel
 * that has no socket, without a word. */
bool flow_asked_is(const struct flow_asked *a, const void *user);
struct flow_asked *flow_asked_next(const struct flow_asked *a);
void flow_asked_cancel(struct flow_asked *a);
