/* SPDX-License-Identifier: MIT */
/*
 * What may be reached: a list of hosts and ports, as PermitRemoteOpen of ssh_config(5) has them,
 * with networks. A name permits what was asked by that name, wherever it leads, and is never looked
 * up here; an address or a network permits what was asked by address. So neither says more than it
 * seems to. Pure, any thread.
 */
#pragma once

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum permit_kind {
	PERMIT_ANY,     /* any name or address */
	PERMIT_NAME,
	PERMIT_NETWORK, /* one address is a network, too */
};

struct permit {
	enum permit_kind kind;
	struct address network;          /* PERMIT_NETWORK, without a port */
	unsigned bits;                   /* of it that count */
	char name[ADDRESS_NAME_MAX + 1]; /* PERMIT_NAME, no dot at the end */
	uint16_t port;                   /* 0 = any */
};

/* "host:443", "192.0.2.7:*", "10.0.0.0/8:443", "[2001:db8::/32]:22", "*:53". RSTUN_E_MALFORMED with
 * a sentence in `error`. */
int permit_parse(struct permit *ret, const char *text, char *error, size_t size);

/* Whether one of the list allows what was asked. 0.0.0.0 and [::] are loopback, as they are when
 * they are dialled. An empty list allows nothing. */
bool permit_allows(const struct permit *list, size_t count, const struct target *target);
