/* SPDX-License-Identifier: MIT */
/*
 * Chunk queues: every boundary by table, and long seeded sequences of operations on two queues of
 * one pool against the simplest model there is: the byte at offset k is a function of k. Allocation
 * fails on demand (malloc is wrapped by the linker). CHUNK_SEED=n repeats a sequence.
 */
#include "base/chunk.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define C ((size_t)CHUNK_BYTES)

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);

static unsigned chunks_allowed = ~0u; /* how many more chunks malloc gives out */

void *__wrap_malloc(size_t bytes)
{
	if (bytes == sizeof(struct chunk)) {
		if (chunks_allowed == 0)
			return NULL;
		if (chunks_allowed != ~0u)
			chunks_allowed--;
	}
	return __real_malloc(bytes);
}

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)((offset * UINT64_C(0x9e3779b97f4a7c15)) >> 53);
}

static void fill(uint8_t *to, uint64_t offset, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		to[i] = byte_at(offset + i);
}

static size_t iov_bytes(const struct iovec *iov, int count)
{
	size_t bytes = 0;

	for (int i = 0; i < count; i++)
		bytes += iov[i].iov_len;
	return bytes;
}

static void fill_iov(const struct iovec *iov, int count, uint64_t offset)
{
	for (int i = 0; i < count; i++) {
		fill(iov[i].iov_base, offset, iov[i].iov_len);
		offset += iov[i].iov_len;
	}
}

static void check_iov(const struct iovec *iov, int count, uint64_t offset)
{
	for (int i = 0; i < count; i++) {
		const uint8_t *p = iov[i].iov_base;

		assert_true(iov[i].iov_len > 0);
		for (size_t k = 0; k < iov[i].iov_len; k++)
			if (p[k] != byte_at(offset + k))
				fail_msg("wrong byte at offset %llu",
					 (unsigned long long)(offset + k));
		offset += iov[i].iov_len;
	}
}

static void append(struct chunk_queue *q, size_t bytes)
{
	uint8_t *data = malloc(bytes + 1);

	assert_non_null(data);
	fill(data, q->end, bytes);
	assert_int_equal(chunk_queue_append(q, data, bytes), 0);
	free(data);
}

/* What holds between operations. `reserved`: a reservation is open. */
static void check_shape(struct chunk_queue *q, bool reserved)
{
	size_t count = 0;
	struct chunk *chunk, *last = NULL;

	STAILQ_FOREACH(chunk, &q->chunks, link) {
		count++;
		last = chunk;
	}
	assert_int_equal(count, q->chunk_count);
	assert_true(q->chunks.stqh_last ==
		    (last ? &STAILQ_NEXT(last, link) : &q->chunks.stqh_first));
	assert_true(q->begin <= q->end);
	assert_true(q->base <= q->begin || count == 0);
	assert_true(q->end <= q->base + count * C);
	if (reserved)
		return;
	if (q->begin == q->end) {
		assert_int_equal(count, 0);
		return;
	}
	assert_true(q->begin - q->base < C);
	assert_true(q->base + count * C - q->end < C); /* no chunk without content */
	assert_ptr_equal(q->tail, last);
}

static const size_t edges[] = {
	0, 1, 2, C - 1, C, C + 1, 2 * C - 1, 2 * C, 2 * C + 1, 4 * C - 1, 4 * C, 4 * C + 1,
};
#define EDGES (sizeof(edges) / sizeof(edges[0]))

/* Held bytes x released bytes x reserved bytes x committed bytes. */
static void test_reserve_edges(void **state)
{
	struct chunk_pool pool;

	(void)state;
	chunk_pool_init(&pool, 16);
	for (size_t held = 0; held < EDGES; held++) {
		for (size_t gone = 0; gone < EDGES && edges[gone] <= edges[held]; gone++) {
			for (size_t want = 0; want < EDGES; want++) {
				for (size_t use = 0; use < EDGES && edges[use] <= edges[want];
				     use++) {
					struct chunk_queue q;
					struct iovec iov[16];
					uint64_t end;
					int n;

					chunk_queue_init(&q, &pool);
					append(&q, edges[held]);
					chunk_queue_release(&q, edges[gone]);
					check_shape(&q, false);
					end = q.end;
					n = chunk_queue_reserve(&q, edges[want], iov, 8);
					assert_int_equal(iov_bytes(iov, n), edges[want]);
					assert_true(n <= (int)(edges[want] / C) + 2);
					check_shape(&q, true);
					fill_iov(iov, n, end);
					chunk_queue_commit(&q, edges[use]);
					check_shape(&q, false);
					assert_int_equal(q.end, end + edges[use]);
					n = chunk_queue_peek(&q, q.begin, SIZE_MAX, iov, 16);
					assert_int_equal(iov_bytes(iov, n), chunk_queue_bytes(&q));
					chunk_queue_done(&q);
					assert_int_equal(pool.in_use, 0);
				}
			}
		}
	}
	chunk_pool_done(&pool);
}

/* As reserve_edges, but what is held is released while the room is out. */
static void test_release_under_reservation(void **state)
{
	struct chunk_pool pool;

	(void)state;
	chunk_pool_init(&pool, 4);
	for (size_t held = 0; held < EDGES; held++) {
		for (size_t want = 1; want < EDGES; want++) {
			struct chunk_queue q;
			struct iovec iov[8], seen[8];
			int n, m;

			chunk_queue_init(&q, &pool);
			append(&q, edges[held]);
			n = chunk_queue_reserve(&q, edges[want], iov, 8);
			assert_int_equal(iov_bytes(iov, n), edges[want]);
			chunk_queue_release(&q, q.end);
			check_shape(&q, true);
			fill_iov(iov, n, q.end); /* a room given back would be found here */
			chunk_queue_commit(&q, edges[want]);
			check_shape(&q, false);
			m = chunk_queue_peek(&q, q.begin, SIZE_MAX, seen, 8);
			assert_int_equal(m, n);
			assert_memory_equal(seen, iov, (size_t)n * sizeof(*iov));
			check_iov(seen, m, q.begin);

			/* And with nothing committed the queue is empty again. */
			chunk_queue_reserve(&q, edges[want], iov, 8);
			chunk_queue_release(&q, q.end);
			chunk_queue_commit(&q, 0);
			check_shape(&q, false);
			assert_int_equal(pool.in_use, 0);
			chunk_queue_done(&q);
		}
	}
	chunk_pool_done(&pool);
}

static void test_peek_and_copy(void **state)
{
	struct chunk_pool pool;
	struct chunk_queue q;
	struct iovec iov[8];
	uint8_t *buf = malloc(8 * C);

	(void)state;
	assert_non_null(buf);
	chunk_pool_init(&pool, 0);
	chunk_queue_init(&q, &pool);
	assert_int_equal(chunk_queue_peek(&q, 0, 10, iov, 8), 0);
	append(&q, 5 * C + 7);
	chunk_queue_release(&q, 3);
	for (size_t from = 0; from < EDGES; from++) {
		for (size_t bytes = 0; bytes < EDGES; bytes++) {
			uint64_t at = edges[from] < 3 ? 3 : edges[from];
			size_t want = edges[bytes] < q.end - at ? edges[bytes]
								: (size_t)(q.end - at);
			int n = chunk_queue_peek(&q, at, edges[bytes], iov, 8);

			assert_int_equal(iov_bytes(iov, n), want);
			check_iov(iov, n, at);
			assert_int_equal(chunk_queue_copy(&q, at, buf, edges[bytes]), want);
			check_iov(&(struct iovec){buf, want}, want > 0, at);
			/* Fewer entries: fewer bytes, from the same place. */
			n = chunk_queue_peek(&q, at, edges[bytes], iov, 1);
			assert_int_equal(n, edges[bytes] > 0);
			check_iov(iov, n, at);
		}
	}
	assert_int_equal(chunk_queue_peek(&q, q.end, 10, iov, 8), 0);
	assert_int_equal(chunk_queue_copy(&q, q.end, buf, 10), 0);
	chunk_queue_done(&q);
	chunk_pool_done(&pool);
	free(buf);
}

static void test_short_memory(void **state)
{
	struct chunk_pool pool;
	struct chunk_queue q;
	struct iovec iov[8];
	uint8_t *data = calloc(4, C);

	(void)state;
	assert_non_null(data);
	chunk_pool_init(&pool, 0);
	chunk_queue_init(&q, &pool);
	chunks_allowed = 0;
	assert_int_equal(chunk_queue_reserve(&q, 10, iov, 8), 0);
	assert_int_equal(chunk_queue_append(&q, data, 1), RSTUN_E_NOMEM);
	assert_int_equal(chunk_queue_append(&q, data, 0), 0);
	check_shape(&q, false);
	chunks_allowed = 2;
	assert_int_equal(chunk_queue_reserve(&q, 64 * 1024, iov, 8), 2); /* fewer than asked for */
	assert_int_equal(iov_bytes(iov, 2), 2 * C);
	fill_iov(iov, 2, 0);
	chunk_queue_commit(&q, 2 * C - 5);
	check_shape(&q, false);
	/* All or nothing: there is room for 5, not for 6. */
	assert_int_equal(chunk_queue_append(&q, data, 6), RSTUN_E_NOMEM);
	assert_int_equal(q.end, 2 * C - 5);
	assert_int_equal(chunk_queue_reserve(&q, 6, iov, 8), 1);
	assert_int_equal(iov[0].iov_len, 5);
	fill_iov(iov, 1, q.end);
	chunk_queue_commit(&q, 5);
	assert_int_equal(chunk_queue_reserve(&q, 1, iov, 8), 0);
	check_iov(iov, chunk_queue_peek(&q, 0, SIZE_MAX, iov, 8), 0);
	/* An append that fails half-way leaves no chunk behind. */
	chunks_allowed = 2;
	assert_int_equal(chunk_queue_append(&q, data, 3 * C), RSTUN_E_NOMEM);
	check_shape(&q, false);
	assert_int_equal(pool.in_use, 2);
	chunks_allowed = ~0u;
	chunk_queue_done(&q);
	chunk_queue_done(&q);
	chunk_queue_done(NULL);
	chunk_pool_done(&pool);
	free(data);
}

static void test_pool(void **state)
{
	struct chunk_pool pool;
	struct chunk_queue q;

	(void)state;
	chunk_pool_init(&pool, 3);
	chunk_queue_init(&q, &pool);
	append(&q, 5 * C);
	assert_int_equal(pool.in_use, 5);
	assert_int_equal(pool.free_count, 0);
	chunk_queue_release(&q, 5 * C);
	assert_int_equal(pool.in_use, 0);
	assert_int_equal(pool.free_count, 3);
	/* Steady traffic allocates nothing. */
	chunks_allowed = 0;
	for (int i = 0; i < 1000; i++) {
		append(&q, 2 * C);
		chunk_queue_release(&q, q.end);
	}
	chunks_allowed = ~0u;
	assert_int_equal(pool.free_count, 3);
	chunk_queue_done(&q);
	chunk_pool_done(&pool);
}

/* ---- Random sequences ------------------------------------------------------------------------ */

static uint64_t seed;

static size_t pick(size_t below)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (size_t)((seed >> 33) % below);
}

static size_t pick_bytes(void)
{
	switch (pick(4)) {
	case 0:
		return pick(100);
	case 1:
		return edges[pick(EDGES)];
	case 2:
		return pick(3 * C);
	default:
		return 65536 - pick(3);
	}
}

#define SAMPLES 8

/* A queue, and where some of its bytes were seen to lie. */
struct walk {
	struct chunk_queue q;
	struct iovec room[6];
	int rooms; /* a reservation is open */
	struct {
		uint64_t offset;
		const void *at;
	} samples[SAMPLES];
};

static void walk_append(struct walk *w)
{
	size_t bytes = pick_bytes();
	uint64_t end = w->q.end;
	uint8_t *data = malloc(bytes + 1);
	int rv;

	assert_non_null(data);
	fill(data, end, bytes);
	w->rooms = 0;
	rv = chunk_queue_append(&w->q, data, bytes);
	free(data);
	if (rv == 0)
		assert_int_equal(w->q.end, end + bytes);
	else
		assert_int_equal(w->q.end, end);
}

static void walk_reserve(struct walk *w)
{
	size_t bytes = pick_bytes();
	int most = 1 + (int)pick(6);

	w->rooms = chunk_queue_reserve(&w->q, bytes, w->room, most);
	assert_true(w->rooms <= most);
	assert_true(iov_bytes(w->room, w->rooms) <= bytes);
	if (chunks_allowed == ~0u && bytes > 0)
		assert_true(w->rooms > 0);
	fill_iov(w->room, w->rooms, w->q.end);
}

static void walk_commit(struct walk *w)
{
	size_t room = iov_bytes(w->room, w->rooms), n = pick(3) == 0 ? room : pick(room + 1);
	uint64_t end = w->q.end;

	if (w->rooms == 0)
		return;
	chunk_queue_commit(&w->q, n);
	assert_int_equal(w->q.end, end + n);
	w->rooms = 0;
}

static void walk_peek(struct walk *w)
{
	struct iovec iov[6];
	size_t held = chunk_queue_bytes(&w->q);
	uint64_t from = w->q.begin + pick(held + 1);
	size_t bytes = pick_bytes(), i = pick(SAMPLES);
	int n = chunk_queue_peek(&w->q, from, bytes, iov, 1 + (int)pick(6));

	assert_true(iov_bytes(iov, n) <= bytes && iov_bytes(iov, n) <= w->q.end - from);
	check_iov(iov, n, from);
	if (n > 0) {
		w->samples[i].offset = from;
		w->samples[i].at = iov[0].iov_base;
	}
}

/* Bytes that are still held lie where they lay. */
static void walk_check_samples(struct walk *w)
{
	struct iovec iov;

	for (size_t i = 0; i < SAMPLES; i++) {
		if (w->samples[i].at == NULL || w->samples[i].offset < w->q.begin)
			continue;
		assert_int_equal(chunk_queue_peek(&w->q, w->samples[i].offset, 1, &iov, 1), 1);
		assert_ptr_equal(iov.iov_base, w->samples[i].at);
	}
}

static void walk_step(struct walk *w)
{
	switch (pick(8)) {
	case 0:
		walk_append(w);
		break;
	case 1:
	case 2:
		walk_reserve(w);
		break;
	case 3:
	case 4:
		walk_commit(w);
		break;
	case 5:
		chunk_queue_release(&w->q, w->q.begin + pick(chunk_queue_bytes(&w->q) + 1));
		break;
	case 6:
		if (pick(4) == 0 || chunk_queue_bytes(&w->q) > 40 * C)
			chunk_queue_release(&w->q, w->q.end);
		break;
	default:
		walk_peek(w);
	}
	check_shape(&w->q, w->rooms > 0);
	walk_check_samples(w);
}

static void test_random_sequences(void **state)
{
	const char *given = getenv("CHUNK_SEED");
	unsigned long long first = given != NULL ? strtoull(given, NULL, 10) : 1;
	unsigned long long last = given != NULL ? first : 40;

	(void)state;
	for (unsigned long long number = first; number <= last; number++) {
		struct chunk_pool pool;
		struct walk walks[2];

		print_message("seed %llu\n", number);
		seed = number;
		memset(walks, 0, sizeof(walks));
		chunk_pool_init(&pool, pick(8));
		chunk_queue_init(&walks[0].q, &pool);
		chunk_queue_init(&walks[1].q, &pool);
		for (int step = 0; step < 800; step++) {
			chunks_allowed = pick(5) == 0 ? (unsigned)pick(3) : ~0u;
			walk_step(&walks[pick(2)]);
			assert_int_equal(pool.in_use,
					 walks[0].q.chunk_count + walks[1].q.chunk_count);
			assert_true(pool.free_count <= pool.keep);
		}
		chunks_allowed = ~0u;
		chunk_queue_done(&walks[0].q);
		chunk_queue_done(&walks[1].q);
		assert_int_equal(pool.in_use, 0);
		chunk_pool_done(&pool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reserve_edges),
		cmocka_unit_test(test_release_under_reservation),
		cmocka_unit_test(test_peek_and_copy),
		cmocka_unit_test(test_short_memory),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_random_sequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
