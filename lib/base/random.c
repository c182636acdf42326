/* SPDX-License-Identifier: MIT */
/*
 * Random bytes from the kernel, and the wiping of secrets. Any thread.
 */
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void random_bytes(void *buf, size_t bytes)
{
	unsigned char *p = buf;

	while (bytes > 0) {
		ssize_t n = getrandom(p, bytes, 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			abort(); /* keys made of anything else would be worse than stopping */
		}
		p += n;
		bytes -= (size_t)n;
	}
}

uint64_t random_u64(void)
{
	uint64_t value;

	random_bytes(&value, sizeof(value));
	return value;
}

void secret_wipe(void *buf, size_t bytes)
{
	if (buf != NULL && bytes > 0)
		explicit_bzero(buf, bytes);
}
