/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a stream of control messages. What is taken is written again, and that is read as
 * the same: an encoder and a decoder that disagree show here. One thread.
 */
#include "base/error.h"
#include "tunnel/wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wire_message message, again;
	static uint8_t first[WIRE_MESSAGE_MAX], second[WIRE_MESSAGE_MAX];
	size_t used = 0, used_again = 0;
	int err, n;

	while ((err = wire_decode(&message, &used, data, size)) == 0) {
		check(used >= 5 && used <= size);
		n = wire_encode(first, sizeof(first), &message);
		check(n > 0);
		check(wire_decode(&again, &used_again, first, (size_t)n) == 0);
		check(used_again == (size_t)n && again.kind == message.kind);
		check(wire_encode(second, sizeof(second), &again) == n);
		check(memcmp(first, second, (size_t)n) == 0);
		data += used;
		size -= used;
	}
	check(err == RSTUN_E_MALFORMED || err == RSTUN_E_TOO_LARGE ||
	      (err == RSTUN_E_AGAIN && used > size && used <= 4 + WIRE_FRAME_MAX));
	return 0;
}
