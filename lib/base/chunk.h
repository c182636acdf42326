/* SPDX-License-Identifier: MIT */
/*
 * Byte queues made of fixed-size chunks: what a stream has received and not yet delivered, or was
 * given and not yet acknowledged. Bytes do not move once they are in (ngtcp2 keeps pointers to
 * unacknowledged data). A pool per thread keeps a bounded number of free chunks, so steady traffic
 * allocates nothing; an empty queue holds no chunk.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#define CHUNK_BYTES 16384 /* payload of one chunk */

struct chunk {
	STAILQ_ENTRY(chunk) link;
	uint8_t data[CHUNK_BYTES];
};

STAILQ_HEAD(chunk_list, chunk);

struct chunk_pool {
	struct chunk_list free;
	size_t free_count;
	size_t keep;   /* most free chunks kept */
	size_t in_use; /* chunks in queues, for the budget and for statistics */
};

/* A queue of bytes. Positions are absolute offsets since the queue began, as in a QUIC stream. */
struct chunk_queue {
	struct chunk_pool *pool;
	struct chunk_list chunks; /* holds [floor of begin, end) and reserved room behind */
	uint64_t base;  /* offset of the first byte of the first chunk */
	uint64_t begin; /* first byte still held */
	uint64_t end;   /* one past the last byte committed */
	size_t chunk_count;
	struct chunk *tail;     /* where the byte at `end` goes; the last chunk if all are full */
	uint64_t tail_base;     /* offset of its first byte */
	size_t reserved;        /* room promised by the last reserve and not yet committed */
	struct chunk *cursor;   /* chunk that holds cursor_base, for quick peeks; NULL = first */
	uint64_t cursor_base;
};

void chunk_pool_init(struct chunk_pool *pool, size_t keep);
void chunk_pool_done(struct chunk_pool *pool); /* every queue of it must be empty */

void chunk_queue_init(struct chunk_queue *q, struct chunk_pool *pool);
void chunk_queue_done(struct chunk_queue *q);

static inline size_t chunk_queue_bytes(const struct chunk_queue *q)
{
	return (size_t)(q->end - q->begin);
}

/* Room for at least 1 and at most `bytes` bytes behind the end. Returns the number of iov entries
 * (fewer when memory is short, 0 when there is none). The room stays valid until commit, append or
 * the next reserve; peek and release do not disturb it. */
int chunk_queue_reserve(struct chunk_queue *q, size_t bytes, struct iovec *iov, int iov_max);
/* The first n bytes of the reserved room are content now; unused chunks are given back. */
void chunk_queue_commit(struct chunk_queue *q, size_t n);
/* Copies in. 0 or RSTUN_E_NOMEM (then nothing is added). */
int chunk_queue_append(struct chunk_queue *q, const void *data, size_t bytes);
/* The same with several parts, all or nothing. */
int chunk_queue_append_parts(struct chunk_queue *q, const struct iovec *parts, int count);
/* Views at most `bytes` of content from absolute offset `from` (begin <= from <= end); entries. */
int chunk_queue_peek(struct chunk_queue *q, uint64_t from, size_t bytes, struct iovec *iov,
		     int iov_max);
/* Copies content from `from` without consuming; returns bytes copied. */
size_t chunk_queue_copy(struct chunk_queue *q, uint64_t from, void *buf, size_t bytes);
/* Drops everything before absolute offset `upto` (begin <= upto <= end). */
void chunk_queue_release(struct chunk_queue *q, uint64_t upto);
