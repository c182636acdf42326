/* SPDX-License-Identifier: MIT */
/*
 * Connection IDs in a tree; see cid.h. One table per endpoint, on its thread.
 */
#include "quic/cid.h"

#include "base/error.h"

#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	const struct cid_entry *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? -1 : 1;
	return memcmp(x->data, y->data, x->bytes);
}

static bool make_key(struct cid_entry *key, const uint8_t *data, size_t bytes)
{
	if (bytes == 0 || bytes > CID_MAX_BYTES)
		return false;
	key->bytes = (uint8_t)bytes;
	memcpy(key->data, data, bytes);
	return true;
}

int cid_table_add(struct cid_table *t, struct cid_list *list, const uint8_t *data, size_t bytes,
		  void *owner)
{
	struct cid_entry *e = calloc(1, sizeof(*e));
	void **node;

	if (!e)
		return RSTUN_E_NOMEM;
	if (!make_key(e, data, bytes)) {
		free(e);
		return RSTUN_E_MALFORMED;
	}
	node = tsearch(e, &t->root, compare);
	if (!node || *node != e) {
		free(e);
		return node ? RSTUN_E_ALREADY_EXISTS : RSTUN_E_NOMEM;
	}
	e->owner = owner;
	LIST_INSERT_HEAD(list, e, link);
	return 0;
}

static struct cid_entry *find_entry(struct cid_table *t, const uint8_t *data, size_t bytes)
{
	struct cid_entry key;
	void **node;

	if (t->last && t->last->bytes == bytes && memcmp(t->last->data, data, bytes) == 0)
		return t->last;
	if (!make_key(&key, data, bytes))
		return NULL;
	node = tfind(&key, (void *const *)&t->root, compare);
	if (node)
		t->last = *node;
	return node ? *node : NULL;
}

void *cid_table_find(struct cid_table *t, const uint8_t *data, size_t bytes)
{
	struct cid_entry *e = find_entry(t, data, bytes);

	return e ? e->owner : NULL;
}

static void remove_entry(struct cid_table *t, struct cid_entry *e)
{
	if (t->last == e)
		t->last = NULL;
	tdelete(e, &t->root, compare);
	LIST_REMOVE(e, link);
	free(e);
}

void cid_table_remove(struct cid_table *t, const uint8_t *data, size_t bytes)
{
	struct cid_entry *e = find_entry(t, data, bytes);

	if (e)
		remove_entry(t, e);
}

void cid_table_remove_all(struct cid_table *t, struct cid_list *list)
{
	struct cid_entry *e;

	while ((e = LIST_FIRST(list)))
		remove_entry(t, e);
}
