/* SPDX-License-Identifier: MIT */
/*
 * What the test's DNS servers know, for UDP and for TLS alike: a fixed table of names, some of
 * which are answered wrongly on purpose.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DNS_ZONE_REPLY_MAX 2048

/* Answers a query. Returns the bytes of the reply, 0 for silence. `*ret_name` gets the name asked,
 * lower case. */
size_t dns_zone_reply(uint8_t reply[DNS_ZONE_REPLY_MAX], const uint8_t *query, size_t bytes,
		      char ret_name[256]);
