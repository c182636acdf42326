/* SPDX-License-Identifier: MIT */
/*
 * The table from connection ID to whoever it leads to. A balanced tree (tsearch), so that IDs
 * chosen by a peer cannot make it slow. Entries belong to the table; one owner may have several.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define CID_MAX_BYTES 20 /* RFC 9000 section 17.2 */

struct cid_entry {
	uint8_t bytes;
	uint8_t data[CID_MAX_BYTES];
	void *owner;
	LIST_ENTRY(cid_entry) link;
};

LIST_HEAD(cid_list, cid_entry); /* the entries of one owner */

struct cid_table {
	void *root;
	struct cid_entry *last; /* found: packets of a connection come in rows */
};

/* 0, RSTUN_E_NOMEM, or RSTUN_E_ALREADY_EXISTS when the ID leads somewhere. */
int cid_table_add(struct cid_table *t, struct cid_list *list, const uint8_t *data, size_t bytes,
		  void *owner);
/* The owner, or NULL. */
void *cid_table_find(struct cid_table *t, const uint8_t *data, size_t bytes);
void cid_table_remove(struct cid_table *t, const uint8_t *data, size_t bytes);
/* Removes every entry of the list. */
void cid_table_remove_all(struct cid_table *t, struct cid_list *list);
