/* SPDX-License-Identifier: MIT */
/*
 * A chained hash table that doubles when it has more flows than chains, and a list by age beside
 * it. When memory for a larger table is short the chains just get longer.
 */
#include "relay/flow_table.h"

#include "base/error.h"
#include "base/random.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FLOW_TABLE_CHAINS_MIN 16

int flow_table_init(struct flow_table *table)
{
	*table = (struct flow_table){
		.chains = calloc(FLOW_TABLE_CHAINS_MIN, sizeof(table->chains[0])),
		.chain_count = FLOW_TABLE_CHAINS_MIN,
		.seed = random_u64(),
	};
	if (table->chains == NULL)
		return RSTUN_E_NOMEM;
	TAILQ_INIT(&table->ages);
	return 0;
}

void flow_table_done(struct flow_table *table)
{
	free(table->chains);
	table->chains = NULL;
}

static uint64_t flow_table_hash(const struct flow_table *table, const struct flow_entry *key)
{
	uint64_t hash = address_hash(&key->source, table->seed);

	if (key->local.len != 0)
		hash = address_hash(&key->local, hash);
	/* FNV-1a from a secret start: the source that chooses the bytes chooses its own flows. */
	for (size_t i = 0; i < key->head_bytes; i++)
		hash = (hash ^ key->head[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static struct flow_chain *flow_table_chain(const struct flow_table *table, uint64_t hash)
{
	return &table->chains[hash & (table->chain_count - 1)];
}

static bool flow_table_same_local(const struct address *a, const struct address *b)
{
	return a->len == 0 || b->len == 0 ? a->len == b->len : address_equal(a, b);
}

static bool flow_table_same_head(const struct flow_entry *a, const struct flow_entry *b)
{
	return a->head_bytes == b->head_bytes &&
	       (a->head_bytes == 0 || memcmp(a->head, b->head, a->head_bytes) == 0);
}

struct flow_entry *flow_table_find(const struct flow_table *table, const struct flow_entry *key)
{
	uint64_t hash = flow_table_hash(table, key);
	struct flow_entry *entry;

	LIST_FOREACH(entry, flow_table_chain(table, hash), chain) {
		if (entry->hash == hash && address_equal(&entry->source, &key->source) &&
		    flow_table_same_local(&entry->local, &key->local) &&
		    flow_table_same_head(entry, key))
			return entry;
	}
	return NULL;
}

static void flow_table_grow(struct flow_table *table)
{
	size_t chain_count = table->chain_count * 2;
	struct flow_chain *chains = calloc(chain_count, sizeof(chains[0]));
	struct flow_entry *entry;

	if (chains == NULL)
		return;
	free(table->chains);
	table->chains = chains;
	table->chain_count = chain_count;
	TAILQ_FOREACH(entry, &table->ages, age)
		LIST_INSERT_HEAD(flow_table_chain(table, entry->hash), entry, chain);
}

void flow_table_add(struct flow_table *table, struct flow_entry *entry, uint64_t now_ns)
{
	if (table->count >= table->chain_count)
		flow_table_grow(table);
	entry->hash = flow_table_hash(table, entry);
	entry->active_ns = now_ns;
	LIST_INSERT_HEAD(flow_table_chain(table, entry->hash), entry, chain);
	TAILQ_INSERT_TAIL(&table->ages, entry, age);
	table->count++;
}

void flow_table_remove(struct flow_table *table, struct flow_entry *entry)
{
	LIST_REMOVE(entry, chain);
	TAILQ_REMOVE(&table->ages, entry, age);
	table->count--;
}

void flow_table_touch(struct flow_table *table, struct flow_entry *entry, uint64_t now_ns)
{
	entry->active_ns = now_ns;
	if (TAILQ_NEXT(entry, age) == NULL)
		return;
	TAILQ_REMOVE(&table->ages, entry, age);
	TAILQ_INSERT_TAIL(&table->ages, entry, age);
}

struct flow_entry *flow_table_oldest(const struct flow_table *table)
{
	return TAILQ_FIRST(&table->ages);
}
