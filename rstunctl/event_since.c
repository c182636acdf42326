/* SPDX-License-Identifier: MIT */
/*
 * --since: the number of an event, a time, or a number of another run of the daemon.
 */
#include "rstunctl/event_since.h"

#include "base/error.h"
#include "base/field.h"
#include "rstunctl/output.h"

#include <stdio.h>
#include <string.h>

static bool event_since_number(uint64_t *ret, const char *text)
{
	uint64_t value = 0;

	if (text[0] == '\0')
		return false;
	for (; *text != '\0'; text++) {
		if (*text < '0' || *text > '9' || value > (INT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*ret = value;
	return true;
}

int event_since_parse(struct event_since *ret, const char *text, char error[EVENT_SINCE_ERROR_SIZE])
{
	static const struct field age = {
		.name = "since", .type = FIELD_MS, .offset = offsetof(struct event_since, age_ms),
		.max = UINT64_C(365) * 86400000,
	};
	struct event_since since = {.form = EVENT_SINCE_NUMBER};
	const char *colon = strrchr(text, ':');
	char why[FIELD_ERROR_SIZE], quoted[80];

	if (event_since_number(&since.seq, text)) {
		*ret = since;
		return 0;
	}
	if (colon != NULL && colon > text && (size_t)(colon - text) < sizeof(since.epoch) &&
	    event_since_number(&since.seq, colon + 1)) {
		since.form = EVENT_SINCE_EPOCH;
		memcpy(since.epoch, text, (size_t)(colon - text));
		*ret = since;
		return 0;
	}
	since.form = EVENT_SINCE_AGE;
	if (colon == NULL && field_set(&age, &since, text, why) == 0) {
		*ret = since;
		return 0;
	}
	snprintf(error, EVENT_SINCE_ERROR_SIZE,
		 "--since: \"%s\" is neither the number of an event (4711), nor a time (5m), nor "
		 "EPOCH:NUMBER", output_clean(quoted, sizeof(quoted), text));
	return RSTUN_E_MALFORMED;
}
