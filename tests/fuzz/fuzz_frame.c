/* SPDX-License-Identifier: MIT */
/*
 * The head of a flow's stream and the frames behind it, from any bytes. Checks that a target that
 * is read is written back as one that reads the same, that no shorter input gives an answer that a
 * longer one changes, and that the frames cover what they say. Stateless.
 */
#include "base/error.h"
#include "relay/frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
	if (!good)
		abort();
}

/* A copy of exactly `bytes` bytes, so that a read beyond them is seen. */
static int get_exact(struct target *ret, size_t *ret_used, const uint8_t *data, size_t bytes)
{
	uint8_t *copy = malloc(bytes == 0 ? 1 : bytes);
	int rc;

	check(copy != NULL);
	if (bytes > 0)
		memcpy(copy, data, bytes);
	rc = frame_get_target(ret, ret_used, copy, bytes);
	free(copy);
	return rc;
}

static void check_target(const struct target *target, size_t used)
{
	uint8_t out[FRAME_TARGET_MAX];
	struct target again;
	size_t out_bytes = frame_put_target(out, target), again_used = 0;

	check(out_bytes <= sizeof(out) && used <= sizeof(out));
	check(frame_get_target(&again, &again_used, out, out_bytes) == 0);
	check(again_used == out_bytes);
	check(target_equal(target, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target target, part;
	size_t used = SIZE_MAX, part_used = SIZE_MAX, at;
	size_t head = size < FRAME_TARGET_MAX ? size : FRAME_TARGET_MAX;
	int rc = get_exact(&target, &used, data, head);

	check(rc == 0 || rc == RSTUN_E_AGAIN || rc == RSTUN_E_MALFORMED);
	if (rc == RSTUN_E_AGAIN)
		check(size < FRAME_TARGET_MAX);
	for (size_t n = 0; n < head; n++) {
		int early = get_exact(&part, &part_used, data, n);

		if (early == RSTUN_E_AGAIN)
			continue;
		check(early == rc);
		check(early != 0 || (part_used == used && target_equal(&part, &target)));
	}
	if (rc != 0) {
		check(used == SIZE_MAX);
		return 0;
	}
	check(used > 0 && used <= head);
	check_target(&target, used);
	for (at = used; size - at >= FRAME_HEADER_BYTES;) {
		uint16_t bytes = frame_get_header(data + at);
		uint8_t header[FRAME_HEADER_BYTES];

		frame_put_header(header, bytes);
		check(memcmp(header, data + at, sizeof(header)) == 0);
		at += FRAME_HEADER_BYTES;
		if (size - at < bytes)
			break;
		at += bytes;
	}
	return 0;
}
