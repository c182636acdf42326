/* SPDX-License-Identifier: MIT */
/*
 * Names to addresses without ever blocking the loop. Three ways, in this order: --dot servers (DNS
 * over TLS, RFC 7858, strict: nothing else is asked for the tunnel server's name), --dns servers
 * (plain DNS through c-ares), the system (c-ares on the hosts file and resolv.conf with search and
 * ndots; sources that only NSS knows are not asked). A failure is reported, never papered over by
 * another way. One resolver per loop; lookups of it die with it (done is called with
 * RSTUN_E_CANCELLED).
 */
#pragma once

#include "base/address.h"

#include <stddef.h>
#include <stdint.h>

struct loop;
struct log;
struct resolver;
struct resolver_lookup;

#define RESOLVER_ADDRESSES_MAX 16
#define RESOLVER_TIMEOUT_MS 5000
/* Lookups under way at a time, each with sockets of its own: a peer may name the targets. */
#define RESOLVER_LOOKUPS_MAX 256

struct resolver_config {
	struct loop *loop;
	const struct log *log;
	char *const *dot_servers; /* "NAME|IP[#name][:port]", NULL-terminated, or NULL */
	char *const *dns_servers; /* "IP[:port]" */
	const char *ca_file; /* trust roots for DoT; NULL = the system's (tests give their own) */
	const char *hosts_file;	 /* NULL = /etc/hosts */
	const char *resolv_conf; /* NULL = /etc/resolv.conf */
	uint16_t resolv_port; /* of the servers in resolv.conf, which cannot name one; 0 = 53 (for
				 tests) */
	/* Called for each socket before it is bound or connected; may be NULL. Non-zero aborts. */
	int (*on_socket)(void *user, int fd);
	void *user;
};

struct resolver_result {
	int error;     /* 0, or RSTUN_E_DNS_FAILED, RSTUN_E_TIMEOUT, RSTUN_E_CANCELLED */
	char why[256]; /* a sentence when error: which server said what about which name */
	size_t count;
	struct address addresses[RESOLVER_ADDRESSES_MAX]; /* port set; ordered for Happy Eyeballs
							     (RFC 8305 section 4): families
							     interleaved, IPv6 first */
};

/* Checks the texts: RSTUN_E_CONFIG_INVALID with a sentence in error. */
int resolver_new(struct resolver **ret, const struct resolver_config *config, char *error,
		 size_t error_size);
void resolver_free(struct resolver *r);

/* Looks up A and AAAA. `done` is called once, from the loop, never from inside this call (also for
 * numeric hosts, which are answered as they are). RSTUN_E_MALFORMED: no host name;
 * RSTUN_E_LIMIT_REACHED, RSTUN_E_NOMEM, RSTUN_E_SHUTTING_DOWN. */
int resolver_lookup(struct resolver *r, const char *name, uint16_t port,
		    void (*done)(void *user, const struct resolver_result *result), void *user,
		    struct resolver_lookup **ret);
/* No call of done after this. Not from inside done. */
void resolver_cancel(struct resolver_lookup *lookup);
