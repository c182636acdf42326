/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the records behind a RespSuccess: the magic is given, so that all of the input goes
 * to them. What is taken is written again and read as the same. One thread.
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
	static const uint8_t before[] = "\4\1rstund\1\n";
	static struct wire_message message, again;
	static uint8_t first[WIRE_MESSAGE_MAX], second[WIRE_MESSAGE_MAX];
	size_t body = sizeof(before) - 1 + size, used = 0;
	uint8_t *frame;
	uint8_t header[4] = { 0, (uint8_t)(body >> 16), (uint8_t)(body >> 8), (uint8_t)body };
	int err, n;

	if (body > WIRE_FRAME_MAX)
		return 0;
	frame = malloc(4 + body);
	check(frame != NULL);
	memcpy(frame, header, sizeof(header));
	memcpy(frame + 4, before, sizeof(before) - 1);
	if (size)
		memcpy(frame + 4 + sizeof(before) - 1, data, size);
	err = wire_decode(&message, &used, frame, 4 + body);
	free(frame);
	check(err == 0 || err == RSTUN_E_MALFORMED);
	if (err)
		return 0;
	check(used == 4 + body && message.trailer.present);
	n = wire_encode(first, sizeof(first), &message);
	check(n > 0 && wire_decode(&again, &used, first, (size_t)n) == 0 && used == (size_t)n);
	check(wire_encode(second, sizeof(second), &again) == n);
	check(memcmp(first, second, (size_t)n) == 0);
	return 0;
}
