/* SPDX-License-Identifier: MIT */
/*
 * The DNS answer parser: the first byte picks the type asked for, the rest is the message of a
 * server. The id is taken from it, so that an input needs no luck to be looked at. Checked: the
 * count stays in its bounds, every address is of the family asked for, and nothing is written when
 * the message is refused.
 */
#include "dns/message.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct message_answer answer = {.count = 99};
	uint16_t type, id;

	if (size < 1)
		return 0;
	type = data[0] & 1 ? MESSAGE_TYPE_AAAA : MESSAGE_TYPE_A;
	data++;
	size--;
	id = size >= 2 ? message_id(data) : 0;
	if (message_parse(&answer, data, size, id, "host.example", type)) {
		if (answer.count != 99)
			abort();
		return 0;
	}
	if (answer.count > MESSAGE_ADDRESSES_MAX)
		abort();
	for (size_t i = 0; i < answer.count; i++)
		if (answer.addresses[i].sa.sa_family != AF_INET &&
		    (type == MESSAGE_TYPE_A || answer.addresses[i].sa.sa_family != AF_INET6))
			abort();
	return 0;
}
