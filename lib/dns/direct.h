/* SPDX-License-Identifier: MIT */
/*
 * One lookup by plain DNS: of given servers, which are asked for the name as it is and nothing
 * else, or the system's way: hosts file, then the servers and search list of resolv.conf.
 */
#pragma once

#include "dns/resolver.h"

#include <stddef.h>

struct direct;
struct loop;

struct direct_config {
	struct loop *loop;
	const char *servers;	/* "ip:port,..." for plain_new; NULL = the system's way */
	const char *hosts_file; /* used only then */
	const char *resolv_conf;
	uint16_t resolv_port;		      /* 0 = 53 */
	int (*on_socket)(void *user, int fd); /* may be NULL */
	void *socket_user;
};

/* `on_done` comes once, from the loop; the direct may be freed in it. Ports of the addresses are 0.
 * There is no time limit: the owner has one. RSTUN_E_NOMEM. The texts of config must outlive it. */
int direct_new(struct direct **ret, const struct direct_config *config, const char *name,
	       void (*on_done)(void *user, const struct resolver_result *result), void *user);
void direct_free(struct direct *d);

/* Whom it asks, for messages; "" while nobody was asked. */
const char *direct_asked(const struct direct *d);
