/* SPDX-License-Identifier: MIT */
/*
 * One allocation that fails. For tests that are linked with --wrap=calloc,--wrap=malloc,
 * --wrap=realloc (tests/unit/Makefile.inc). Nothing fails until nomem_armed; then, once, the one
 * that is nomem_countdown ahead, which nomem_failed tells. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

extern bool nomem_armed, nomem_failed;
extern unsigned nomem_countdown;
/* NULL, or whether allocations may fail just now; those that may not are not counted. */
extern bool (*nomem_may)(void);

/* Counts an allocation. True: this one is to fail. */
bool nomem_fails(void);
/* jansson's allocations, too. */
void nomem_init(void);

/* Runs `scene` with each of its allocations failing in turn, until none has failed, and `after`
 * behind each run with memory there again. How many runs it took. */
unsigned nomem_each(void (*scene)(void), void (*after)(void));
