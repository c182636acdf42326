/* SPDX-License-Identifier: MIT */
/*
 * An association of SOCKS5 (RFC 1928 section 7): the datagrams of one client, each toward its own
 * target, through a tunnel of channels for UDP. It lives as long as the TCP connection that asked
 * for it. On its flows' list; frees itself. The thread of the flows' loop.
 */
#pragma once

#include <stdbool.h>

struct address;
struct flow_associate;
struct flows;
struct udp_opener;

/* There is a tunnel: binds a socket beside the connection's and says on it where. Takes fd over, on
 * failure too (it is reset then). RSTUN_E_LIMIT_REACHED, RSTUN_E_NOMEM, an error of the socket. */
int flow_associate_new(struct flows *f, int fd, const struct address *source);
void flow_associate_end(struct flow_associate *a);
/* For counts, lists and new tunnels. */
struct udp_opener *flow_associate_opener(const struct flow_associate *a);
struct flow_associate *flow_associate_next(const struct flow_associate *a);
