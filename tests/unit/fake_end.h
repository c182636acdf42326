/* SPDX-License-Identifier: MIT */
/*
 * Ends made of memory: a buffered one (as a stream) and a direct one (as a socket), whose limits
 * and faults a test sets. The test owns them: free() by the code under test only leaves a mark.
 */
#pragma once

#include "relay/end.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_END_BYTES (4 * 1024 * 1024)
#define FAKE_END_NO_LIMIT SIZE_MAX

struct fake_end {
	struct end end; /* first */
	/* What the end gives as a source. */
	uint8_t *in;
	size_t in_bytes, in_taken;
	bool in_fin;       /* an end of file follows in[] */
	bool direct_eof;   /* a direct source has read it */
	/* What it took as a sink. */
	uint8_t *out;
	size_t out_bytes;
	size_t out_room;   /* how much more it takes */
	size_t waiting;    /* what a buffered sink says is not sent yet */
	bool finished, drains; /* drains: drained() as soon as finished */
	bool drained;
	size_t piece;      /* longest iovec entry of peek and reserve */
	size_t reserved;
	/* Datagrams beside the bytes, as frames in in[] and out[] of another one; NULL = it has none.
	 */
	struct fake_end *beside;
	size_t max_datagram;
	/* What was done to it. */
	bool wants_read, stopped, aborted, freed;
	enum flow_error abort_error, stop_error;
	unsigned reads, writes;
};

void fake_end_init(struct fake_end *f, bool buffered);
void fake_end_done(struct fake_end *f);
/* Adds bytes to what it gives, without a signal. */
void fake_end_give(struct fake_end *f, const void *data, size_t bytes);
/* Signals, if it has an owner and is not aborted or freed. */
void fake_end_readable(struct fake_end *f);
void fake_end_writable(struct fake_end *f);
void fake_end_error(struct fake_end *f, enum flow_error error, bool both);
void fake_end_refuse(struct fake_end *f, enum flow_error error);
