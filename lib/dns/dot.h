/* SPDX-License-Identifier: MIT */
/*
 * One lookup by DNS over TLS (RFC 7858): the servers in turn, both questions on one connection, the
 * server's certificate always verified. Strict: nothing falls back to plain DNS. Only a server's
 * own name, when it was given as one, is looked up plainly.
 */
#pragma once

#include "dns/direct.h"
#include "dns/resolver.h"
#include "config/server_list.h"

#include <stddef.h>
#include <stdint.h>

struct dot;
struct log;
struct tls_credentials;

struct dot_config {
	const struct log *log;
	struct direct_config
		direct; /* for a server's own name; its loop and on_socket are ours too */
	struct server_list_dot *servers; /* borrowed; what own names led to is kept there */
	size_t server_count;
	struct tls_credentials *credentials; /* borrowed */
	uint64_t deadline_ns;		     /* of the whole lookup, shared out among the servers */
};

/* `on_done` comes once, from the loop; the dot may be freed in it. Ports of the addresses are 0.
 * RSTUN_E_NOMEM. */
int dot_new(struct dot **ret, const struct dot_config *config, const char *name,
	    void (*on_done)(void *user, const struct resolver_result *result), void *user);
void dot_free(struct dot *d);

/* Whom it asks just now, for messages. */
const char *dot_asked(const struct dot *d);
