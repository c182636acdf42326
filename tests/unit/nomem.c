/* SPDX-License-Identifier: MIT */
/*
 * The allocation functions that a test is linked with instead of the C library's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/nomem.h"

#include <jansson.h>
#include <stdlib.h>

#define NOMEM_RUNS_MOST 10000

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

bool nomem_armed, nomem_failed;
unsigned nomem_countdown;
bool (*nomem_may)(void);

bool nomem_fails(void)
{
	if (!nomem_armed || nomem_failed || (nomem_may != NULL && !nomem_may()))
		return false;
	nomem_failed = nomem_countdown-- == 0;
	return nomem_failed;
}

void *__wrap_malloc(size_t size)
{
	return nomem_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return nomem_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return nomem_fails() ? NULL : __real_realloc(old, size);
}

void nomem_init(void)
{
	/* The library's own calls are not wrapped. */
	json_set_alloc_funcs(__wrap_malloc, free);
}

unsigned nomem_each(void (*scene)(void), void (*after)(void))
{
	unsigned n = 0;

	do {
		nomem_countdown = n++;
		nomem_failed = false;
		nomem_armed = true;
		scene();
		nomem_armed = false;
		after();
		assert_true(n < NOMEM_RUNS_MOST);
	} while (nomem_failed);
	return n;
}
