/* SPDX-License-Identifier: MIT */
/*
 * Random bytes from the kernel (getrandom), and the wiping of secrets.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Fills buf with unpredictable bytes. Aborts if the kernel cannot: nothing is safe then. */
void random_bytes(void *buf, size_t bytes);
uint64_t random_u64(void);

/* Overwrites memory in a way that the compiler keeps. */
void secret_wipe(void *buf, size_t bytes);
