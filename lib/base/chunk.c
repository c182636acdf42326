/* SPDX-License-Identifier: MIT */
/*
 * Byte queues made of chunks, and the pool they come from. This is the data path: append, reserve,
 * commit and release cost what the bytes cost; a peek walks from where the last one looked.
 *
 * Shape of a queue: the chunks lie one behind the other from `base`; content is [begin, end);
 * `tail` is the chunk that the byte at `end` belongs to, chunks behind it are reserved room. After
 * commit nothing lies behind the tail, and an empty queue without a reservation has no chunk (then
 * base == begin == end, so the next chunk starts right there). One thread per pool.
 */
#include "base/chunk.h"

#include "base/error.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void chunk_pool_init(struct chunk_pool *pool, size_t keep)
{
	*pool = (struct chunk_pool){.keep = keep};
	STAILQ_INIT(&pool->free);
}

void chunk_pool_done(struct chunk_pool *pool)
{
	struct chunk *chunk;

	assert(pool->in_use == 0);
	while ((chunk = STAILQ_FIRST(&pool->free)) != NULL) {
		STAILQ_REMOVE_HEAD(&pool->free, link);
		free(chunk);
	}
	pool->free_count = 0;
}

static struct chunk *chunk_get(struct chunk_pool *pool)
{
	struct chunk *chunk = STAILQ_FIRST(&pool->free);

	if (chunk != NULL) {
		STAILQ_REMOVE_HEAD(&pool->free, link);
		pool->free_count--;
	} else {
		chunk = malloc(sizeof(*chunk));
		if (chunk == NULL)
			return NULL;
	}
	pool->in_use++;
	return chunk;
}

static void chunk_put(struct chunk_pool *pool, struct chunk *chunk)
{
	pool->in_use--;
	if (pool->free_count >= pool->keep) {
		free(chunk);
		return;
	}
	STAILQ_INSERT_HEAD(&pool->free, chunk, link); /* the one used last is warm in the cache */
	pool->free_count++;
}

void chunk_queue_init(struct chunk_queue *q, struct chunk_pool *pool)
{
	*q = (struct chunk_queue){.pool = pool};
	STAILQ_INIT(&q->chunks);
}

static void chunk_queue_drop_first(struct chunk_queue *q)
{
	struct chunk *first = STAILQ_FIRST(&q->chunks);

	if (q->cursor == first)
		q->cursor = NULL;
	if (q->tail == first) {
		q->tail = STAILQ_NEXT(first, link);
		q->tail_base += CHUNK_BYTES;
	}
	STAILQ_REMOVE_HEAD(&q->chunks, link);
	chunk_put(q->pool, first);
	q->chunk_count--;
	q->base += CHUNK_BYTES;
}

static void chunk_queue_drop_all(struct chunk_queue *q)
{
	while (!STAILQ_EMPTY(&q->chunks))
		chunk_queue_drop_first(q);
	q->base = q->end;
	q->tail_base = q->end;
}

void chunk_queue_done(struct chunk_queue *q)
{
	if (q == NULL || q->pool == NULL)
		return;
	q->begin = q->end;
	q->reserved = 0;
	chunk_queue_drop_all(q);
}

/* Makes room for `bytes` behind the end, less when memory is short; returns what there is. */
static size_t chunk_queue_grow(struct chunk_queue *q, size_t bytes)
{
	size_t room = (size_t)(q->base + (uint64_t)q->chunk_count * CHUNK_BYTES - q->end);

	while (room < bytes) {
		struct chunk *chunk = chunk_get(q->pool);

		if (chunk == NULL)
			break;
		STAILQ_INSERT_TAIL(&q->chunks, chunk, link);
		if (q->tail == NULL) {
			q->tail = chunk;
			q->tail_base = q->end;
		}
		q->chunk_count++;
		room += CHUNK_BYTES;
	}
	return room;
}

/* Ends a reservation: gives back what lies behind the tail; all if the queue is empty. */
static void chunk_queue_trim(struct chunk_queue *q)
{
	struct chunk *chunk;

	q->reserved = 0;
	if (q->tail == NULL)
		return;
	if (q->begin == q->end) {
		chunk_queue_drop_all(q);
		return;
	}
	while ((chunk = STAILQ_NEXT(q->tail, link)) != NULL) {
		STAILQ_NEXT(q->tail, link) = STAILQ_NEXT(chunk, link);
		chunk_put(q->pool, chunk);
		q->chunk_count--;
	}
	q->chunks.stqh_last = &STAILQ_NEXT(q->tail, link);
}

/* Where the byte at `end` goes, and how many fit there. A tail that is full is left here and not
 * earlier, so that after a commit the tail always holds content. */
static uint8_t *chunk_queue_tail_room(struct chunk_queue *q, size_t *ret_room)
{
	size_t used = (size_t)(q->end - q->tail_base);

	if (used == CHUNK_BYTES) {
		q->tail = STAILQ_NEXT(q->tail, link);
		q->tail_base = q->end;
		used = 0;
	}
	*ret_room = CHUNK_BYTES - used;
	return q->tail->data + used;
}

int chunk_queue_reserve(struct chunk_queue *q, size_t bytes, struct iovec *iov, int iov_max)
{
	struct chunk *chunk;
	size_t at, room;
	int count = 0;

	q->reserved = 0;
	if (bytes == 0 || iov_max <= 0) {
		chunk_queue_trim(q); /* what an earlier reserve left */
		return 0;
	}
	/* More than the entries can show need not be allocated. */
	if (bytes / CHUNK_BYTES >= (size_t)iov_max)
		bytes = (size_t)iov_max * CHUNK_BYTES;
	room = chunk_queue_grow(q, bytes);
	if (room > bytes)
		room = bytes;
	at = (size_t)(q->end - q->tail_base);
	for (chunk = q->tail; room > 0 && count < iov_max;
	     chunk = STAILQ_NEXT(chunk, link), at = 0) {
		size_t n = CHUNK_BYTES - at < room ? CHUNK_BYTES - at : room;

		if (n == 0)
			continue; /* a full tail */
		iov[count++] = (struct iovec){.iov_base = chunk->data + at, .iov_len = n};
		q->reserved += n;
		room -= n;
	}
	return count;
}

void chunk_queue_commit(struct chunk_queue *q, size_t n)
{
	assert(n <= q->reserved);
	while (n > 0) {
		size_t room;

		chunk_queue_tail_room(q, &room);
		if (room > n)
			room = n;
		q->end += room;
		n -= room;
	}
	chunk_queue_trim(q);
}

/* There is room for it. */
static void chunk_queue_fill(struct chunk_queue *q, const void *data, size_t bytes)
{
	const uint8_t *p = data;

	while (bytes > 0) {
		size_t room;
		uint8_t *to = chunk_queue_tail_room(q, &room);

		if (room > bytes)
			room = bytes;
		memcpy(to, p, room);
		q->end += room;
		p += room;
		bytes -= room;
	}
}

int chunk_queue_append_parts(struct chunk_queue *q, const struct iovec *parts, int count)
{
	size_t bytes = 0;
	bool fits;

	for (int i = 0; i < count; i++)
		bytes += parts[i].iov_len;
	fits = chunk_queue_grow(q, bytes) >= bytes;
	for (int i = 0; fits && i < count; i++)
		chunk_queue_fill(q, parts[i].iov_base, parts[i].iov_len);
	chunk_queue_trim(q);
	return fits ? 0 : RSTUN_E_NOMEM;
}

int chunk_queue_append(struct chunk_queue *q, const void *data, size_t bytes)
{
	const struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};

	return chunk_queue_append_parts(q, &part, 1);
}

/* The chunk that holds the byte at `from` (begin <= from < end); moves the cursor there. */
static struct chunk *chunk_queue_seek(struct chunk_queue *q, uint64_t from)
{
	if (q->cursor == NULL || from < q->cursor_base) {
		q->cursor = STAILQ_FIRST(&q->chunks);
		q->cursor_base = q->base;
	}
	while (from - q->cursor_base >= CHUNK_BYTES) {
		q->cursor = STAILQ_NEXT(q->cursor, link);
		q->cursor_base += CHUNK_BYTES;
	}
	return q->cursor;
}

int chunk_queue_peek(struct chunk_queue *q, uint64_t from, size_t bytes, struct iovec *iov,
		     int iov_max)
{
	struct chunk *chunk;
	size_t at;
	int count = 0;

	assert(from >= q->begin && from <= q->end);
	if (bytes > q->end - from)
		bytes = (size_t)(q->end - from);
	if (bytes == 0)
		return 0;
	chunk = chunk_queue_seek(q, from);
	at = (size_t)(from - q->cursor_base);
	while (bytes > 0 && count < iov_max) {
		size_t n = CHUNK_BYTES - at < bytes ? CHUNK_BYTES - at : bytes;

		iov[count++] = (struct iovec){.iov_base = chunk->data + at, .iov_len = n};
		bytes -= n;
		chunk = STAILQ_NEXT(chunk, link);
		at = 0;
	}
	return count;
}

size_t chunk_queue_copy(struct chunk_queue *q, uint64_t from, void *buf, size_t bytes)
{
	uint8_t *to = buf;
	size_t copied = 0;
	struct iovec iov;

	while (copied < bytes && chunk_queue_peek(q, from + copied, bytes - copied, &iov, 1) == 1) {
		memcpy(to + copied, iov.iov_base, iov.iov_len);
		copied += iov.iov_len;
	}
	return copied;
}

void chunk_queue_release(struct chunk_queue *q, uint64_t upto)
{
	assert(upto >= q->begin && upto <= q->end);
	q->begin = upto;
	/* A chunk goes with its last byte; the one at `end` only if nobody is about to fill it. */
	while (!STAILQ_EMPTY(&q->chunks) && upto - q->base >= CHUNK_BYTES)
		chunk_queue_drop_first(q);
	if (q->begin == q->end && q->reserved == 0)
		chunk_queue_drop_all(q);
}
