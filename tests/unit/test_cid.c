/* SPDX-License-Identifier: MIT */
/*
 * The table of connection IDs: what is added is found and nothing else, lengths count, owners take theirs along.
 */
#include "quic/cid.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_lengths(void **state)
{
	struct cid_table t = {0};
	struct cid_list list = LIST_HEAD_INITIALIZER(list);
	uint8_t id[21] = {7};
	int owner;

	(void)state;
	assert_int_equal(cid_table_add(&t, &list, id, 0, &owner), RSTUN_E_MALFORMED);
	assert_int_equal(cid_table_add(&t, &list, id, 21, &owner), RSTUN_E_MALFORMED);
	assert_null(cid_table_find(&t, id, 0));
	assert_null(cid_table_find(&t, id, 255));
	assert_int_equal(cid_table_add(&t, &list, id, 8, &owner), 0);
	assert_null(cid_table_find(&t, id, 9));
	assert_null(cid_table_find(&t, id, 7));
	assert_ptr_equal(cid_table_find(&t, id, 8), &owner);
	assert_int_equal(cid_table_add(&t, &list, id, 8, &t), RSTUN_E_ALREADY_EXISTS);
	assert_ptr_equal(cid_table_find(&t, id, 8), &owner);
	cid_table_remove(&t, id, 9); /* not there */
	cid_table_remove(&t, id, 8);
	cid_table_remove(&t, id, 8);
	assert_null(cid_table_find(&t, id, 8));
	assert_true(LIST_EMPTY(&list));
	assert_null(t.root);
}

static void test_many(void **state)
{
	enum { OWNERS = 50, EACH = 40 };
	struct cid_table t = {0};
	static struct cid_list lists[OWNERS];
	uint8_t id[16];

	(void)state;
	for (unsigned o = 0; o < OWNERS; o++) {
		LIST_INIT(&lists[o]);
		for (unsigned i = 0; i < EACH; i++) {
			memset(id, 0, sizeof(id));
			id[14] = (uint8_t)o; /* in order: the worst case of a tree that does not balance */
			id[15] = (uint8_t)i;
			assert_int_equal(cid_table_add(&t, &lists[o], id, 16, &lists[o]), 0);
		}
	}
	for (unsigned o = 0; o < OWNERS; o += 2)
		cid_table_remove_all(&t, &lists[o]);
	for (unsigned o = 0; o < OWNERS; o++) {
		for (unsigned i = 0; i < EACH; i++) {
			id[14] = (uint8_t)o;
			id[15] = (uint8_t)i;
			assert_ptr_equal(cid_table_find(&t, id, 16), o % 2 ? &lists[o] : NULL);
		}
	}
	for (unsigned o = 1; o < OWNERS; o += 2)
		cid_table_remove_all(&t, &lists[o]);
	assert_null(t.root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
