/* SPDX-License-Identifier: MIT */
/*
 * A TCP socket as a direct end. TCP_NODELAY always. A reset of ours is SO_LINGER 0 + close (RST),
 * an end of file is shutdown(SHUT_WR). A UNIX stream socket will do, too, but knows no reset: its
 * peer reads an end of file and cannot write any more. While connecting, and until its preface is
 * out, it is a sink that is full; while connecting a source without bytes.
 */
#pragma once

#include "base/address.h"
#include "relay/end.h"

#include <stddef.h>
#include <stdint.h>

struct loop;

/* Sets what the socket of a flow needs (linger, no delay, keep-alive). On a listener it goes over
 * to what that accepts, as Linux does it, so that each connection costs six calls less. */
void tcp_end_prepare(int fd);
/* Closes such a socket, of which no end was made, with an end of file. */
void tcp_end_discard(int fd);

/* A connected, non-blocking socket (from a listener). Takes fd over, on failure too. RSTUN_E_NOMEM.
 * */
int tcp_end_new(struct end **ret, struct loop *loop, int fd);

struct tcp_connect {
	struct loop *loop;
	/* Tried in order, the next 250 ms after the one before (RFC 8305); copied. */
	const struct address *addresses;
	size_t address_count;
	const char *path;                /* a UNIX socket instead, copied; NULL = none */
	uint64_t timeout_ms;             /* over all; FLOW_TIMEOUT */
	/* Goes out before everything that is written; copied. It does not count as written. */
	const void *preface;
	size_t preface_bytes; /* 0 = none */
	/* For each TCP socket before connect (mark, source address, device); may be NULL.
	 * Non-zero = skip. */
	int (*on_socket)(void *user, int fd, const struct address *to);
	void *user;
};

/* Starts connecting. Failure arrives through on_error(both): REFUSED, UNREACHABLE, TIMEOUT,
 * DENIED. RSTUN_E_NOMEM, RSTUN_E_LIMIT_REACHED (no descriptor). */
int tcp_end_connect(struct end **ret, const struct tcp_connect *params);
