/* SPDX-License-Identifier: MIT */
/*
 * The texts of --dot and --dns. A list belongs to one resolver.
 */
#pragma once

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERVER_LIST_DOT_PORT 853
#define SERVER_LIST_DNS_PORT 53
#define SERVER_LIST_ADDRESSES_MAX 16 /* of one server */

struct server_list_dot {
	char host[ADDRESS_NAME_MAX + 1]; /* as given: a name or an IP address */
	char name[ADDRESS_NAME_MAX + 1]; /* verified; "" = the address is */
	uint16_t port;
	bool is_ip;
	/* The address given, or what the name led to last (kept while it works). */
	size_t count;
	struct address addresses[SERVER_LIST_ADDRESSES_MAX];
};

/* "NAME|IP[#name][:port]"; an IPv6 address with a port stands in brackets. RSTUN_E_CONFIG_INVALID
 * with a sentence that shows the text. */
int server_list_parse_dot(struct server_list_dot *ret, const char *text, char *error,
			  size_t error_size);

/* "IP[:port]". */
int server_list_parse_dns(struct address *ret, const char *text, char *error, size_t error_size);
