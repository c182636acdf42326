/* SPDX-License-Identifier: MIT */
/*
 * How our sockets leave this machine: --bind (a source address or an interface) and --fwmark, put
 * on each socket before it connects, and a word of the program that embeds the engine. One per role,
 * embedded, set by egress_init.
 */
#pragma once

#include "base/address.h"
#include "base/socket_hook.h"

#include <stdbool.h>
#include <stdint.h>

struct log;

struct egress {
	const struct log *log; /* borrowed */
	uint32_t mark;         /* 0 = none */
	const char *device;    /* borrowed; NULL = none */
	struct address source; /* len 0 = none */
	bool warned;           /* a failure was said once aloud; later ones are detail */
	struct socket_hook hook; /* sees each socket first */
};

/* `bind_device` is the option's text (or NULL), `bind_address` its meaning if it is an address. */
void egress_init(struct egress *e, const char *bind_device, const struct address *bind_address,
		 uint64_t fwmark, const struct socket_hook *hook, const struct log *log);

/* Mark, device and source address. `to` is NULL when it is not known yet; toward loopback the
 * socket is not bound, because no other interface leads there. RSTUN_E_PERMISSION_DENIED,
 * RSTUN_E_UNREACHABLE (the other address family), RSTUN_E_NOT_FOUND (no such interface or address),
 * ... after a log line. */
int egress_apply(struct egress *e, int fd, const struct address *to);

/* Only the mark and the hook: for sockets that ask name servers, which may well be on loopback. */
int egress_apply_mark(struct egress *e, int fd);
