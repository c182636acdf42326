/* SPDX-License-Identifier: MIT */
/*
 * The UDP flows of one socket or program: found by the source's address, the address of ours that
 * it wrote to and what its datagrams begin with, and ordered by when they were last active, so that
 * one timer expires them all. Entries are embedded in the flows and owned by them. The hash is
 * seeded: a peer cannot choose ports that collide. One thread; time comes in.
 */
#pragma once

#include "base/address.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct flow_entry {
	struct address source; /* key, with the next three */
	struct address local;  /* len 0 on a socket that is bound to one address */
	/* What a SOCKS5 datagram begins with, or how a program calls the target; the owner's. */
	const uint8_t *head;
	size_t head_bytes;     /* 0 = no such thing */
	uint64_t active_ns;
	uint64_t hash;
	LIST_ENTRY(flow_entry) chain;
	TAILQ_ENTRY(flow_entry) age;
};

LIST_HEAD(flow_chain, flow_entry);
TAILQ_HEAD(flow_ages, flow_entry);

struct flow_table {
	struct flow_chain *chains; /* a power of two of them, grown with the number of flows */
	size_t chain_count;
	size_t count;
	struct flow_ages ages; /* the one idle longest is first */
	uint64_t seed;
};

int flow_table_init(struct flow_table *table); /* RSTUN_E_NOMEM */
void flow_table_done(struct flow_table *table); /* the entries must have been removed */

/* The one with the key of `key`. */
struct flow_entry *flow_table_find(const struct flow_table *table, const struct flow_entry *key);
/* Its key is set; there is none with it. */
void flow_table_add(struct flow_table *table, struct flow_entry *entry, uint64_t now_ns);
void flow_table_remove(struct flow_table *table, struct flow_entry *entry);
/* It moved a datagram: it becomes the youngest. */
void flow_table_touch(struct flow_table *table, struct flow_entry *entry, uint64_t now_ns);
/* The one idle longest; NULL when there is none. */
struct flow_entry *flow_table_oldest(const struct flow_table *table);
