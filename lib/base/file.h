/* SPDX-License-Identifier: MIT */
/*
 * Writing files. Blocking, for small files only.
 */
#pragma once

#include <stddef.h>

/* All of it, however the kernel cuts it. 0, or -1 and errno. */
int file_write_all(int fd, const void *data, size_t bytes);
