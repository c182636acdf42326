/* SPDX-License-Identifier: MIT */
/*
 * Where a stream of events begins, as text. Pure.
 */
#pragma once

#include <stdint.h>

#define EVENT_SINCE_ERROR_SIZE 256

enum event_since_form {
	EVENT_SINCE_NUMBER, /* 4711: of the daemon that runs now */
	EVENT_SINCE_AGE,    /* 5m */
	EVENT_SINCE_EPOCH,  /* EPOCH:4711 */
};

struct event_since {
	enum event_since_form form;
	char epoch[65];
	uint64_t seq;
	uint64_t age_ms;
};

/* RSTUN_E_MALFORMED with a sentence in error. */
int event_since_parse(struct event_since *ret, const char *text,
		      char error[EVENT_SINCE_ERROR_SIZE]);
