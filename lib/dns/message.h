/* SPDX-License-Identifier: MIT */
/*
 * DNS messages (RFC 1035 section 4) as far as a stub resolver needs them: a query for A or AAAA,
 * and the addresses in its answer. Pure functions over bytes of a peer; no allocation. An answer
 * counts only when it repeats our question, and only records that belong to the name asked for, or
 * to the end of its CNAME chain, are taken.
 */
#pragma once

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_TYPE_A 1
#define MESSAGE_TYPE_AAAA 28
#define MESSAGE_QUERY_MAX (12 + 255 + 4)
#define MESSAGE_HEADER_BYTES 12
#define MESSAGE_ADDRESSES_MAX 16

/* RFC 1035 section 4.1.1; others may come. */
enum message_rcode {
	MESSAGE_NOERROR = 0,
	MESSAGE_FORMERR = 1,
	MESSAGE_SERVFAIL = 2,
	MESSAGE_NXDOMAIN = 3,
	MESSAGE_NOTIMP = 4,
	MESSAGE_REFUSED = 5,
};

struct message_answer {
	unsigned rcode;
	bool truncated;
	size_t count;
	struct address addresses[MESSAGE_ADDRESSES_MAX]; /* port 0; more than these are dropped */
};

/* Writes a query with recursion desired; *ret_bytes is its length. A trailing dot of the name is
 * fine. RSTUN_E_MALFORMED for an empty or too long label or name. */
int message_query(uint8_t buf[MESSAGE_QUERY_MAX], size_t *ret_bytes, uint16_t id, const char *name,
		  uint16_t type);

/* The id of a message; bytes >= 2. */
uint16_t message_id(const uint8_t *data);

/* Reads the answer to message_query(id, name, type). RSTUN_E_MALFORMED for anything that is not it.
 * An answer without addresses is none: rcode and count tell. */
int message_parse(struct message_answer *ret, const uint8_t *data, size_t bytes, uint16_t id,
		  const char *name, uint16_t type);

/* "the name does not exist", ... */
const char *message_rcode_text(unsigned rcode);
