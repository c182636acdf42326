/* SPDX-License-Identifier: MIT */
/*
 * Writing files. A write of nothing is an error here: else a full device would keep the caller.
 */
#include "base/file.h"

#include <errno.h>
#include <unistd.h>

int file_write_all(int fd, const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes > 0) {
		ssize_t n = write(fd, at, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0) {
			errno = ENOSPC;
			return -1;
		}
		at += n;
		bytes -= (size_t)n;
	}
	return 0;
}
