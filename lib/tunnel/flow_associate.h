/* SPDX-License-Identifier: MIT */
/*
 * An association: the datagrams of one source, each toward its own target, through a tunnel of
 * channels for UDP. Of SOCKS5 (RFC 1928 section 7): a client of it on a socket, for as long as the
 * TCP connection lives that asked for it. Or of a program that is in the place of both (flows.h).
 * On its flows' list; frees itself. The thread of the flows' loop.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address;
struct flow_associate;
struct flow_datagrams;
struct flows;
struct target;
struct udp_opener;

/* There is a tunnel: binds a socket beside the connection's and says on it where. Takes fd over, on
 * failure too (it is reset then). RSTUN_E_LIMIT_REACHED, RSTUN_E_NOMEM, an error of the socket. */
int flow_associate_new(struct flows *f, int fd, const struct address *source);
/* See flows_open_udp. */
int flow_associate_new_program(struct flow_associate **ret, struct flows *f,
			       const struct flow_datagrams *program, uint64_t udp_idle_ms);

/* Whether what a program sends to that target gets there: RSTUN_E_PEER_LACKS_FEATURE = the server is
 * the original, which may lead it to its --udp-upstream, whatever it names. 0 without a tunnel. */
int flow_associate_check(const struct flow_associate *a, const struct target *target);
/* A datagram of a program's, which must pass that; see udp_opener_send. */
int flow_associate_send(struct flow_associate *a, const char *name, const struct target *target,
			const void *data, size_t bytes);

/* The tunnel came or went: what was open is over. */
void flow_associate_reset(struct flow_associate *a);
/* A program's that has no tunnel now. */
bool flow_associate_waits(const struct flow_associate *a);
/* Frees it, without a word. / The program is told why, as the last thing. */
void flow_associate_end(struct flow_associate *a);
void flow_associate_fail(struct flow_associate *a, int error, const char *text);
/* For counts and lists. */
struct udp_opener *flow_associate_opener(const struct flow_associate *a);
struct flow_associate *flow_associate_next(const struct flow_associate *a);
