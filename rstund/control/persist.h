/* SPDX-License-Identifier: MIT */
/*
 * What was added at run time, in the state file: written from the inventory after each change,
 * restored at start. Without a state directory nothing is kept, and everything added then has the
 * origin runtime. Main thread; blocks for the time of a write.
 */
#pragma once

#include "base/mapping.h"
#include "rpc/api.h"
#include "rpc/api_types.h"
#include "rstund/control/bus_event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct daemon;

/* What the file is to say of a mapping in place of what the inventory has: as it will be, or as it
 * is to stay until a change is confirmed. */
enum persist_kind {
	PERSIST_INSTEAD,  /* of the one with this number, if it is there */
	PERSIST_LEFT_OUT, /* the one with this number */
	PERSIST_BESIDE,   /* one more, with the number that it had; 0 = it is new, and last */
};

struct persist_entry {
	enum persist_kind kind;
	uint64_t number;
	char name[BUS_EVENT_NAME_SIZE]; /* "" = none */
	char client[BUS_EVENT_NAME_SIZE];
	struct mapping mapping;
	uint64_t expires_ms;
	int64_t expires_wall_us;
	bool paused;
};

/* In struct daemon. */
struct persist {
	unsigned held;                       /* then nothing is written: see persist_hold */
	const struct persist_entry *entries; /* borrowed; BESIDE in the order of their numbers */
	size_t entry_count;
};

/* Opens and locks the state directory and reads the file; what was in it is added. Only what must
 * not be passed over is an error (a file that others can read, or of a newer rstund); a directory
 * that cannot be had is a warning. */
int persist_restore(struct daemon *d, struct rpc_error *error);
/* Writes the file, if there is one. state_write_failed: the old one is untouched. */
int persist_save(struct daemon *d, struct rpc_error *error);
/* Several changes, one write: between the two persist_save writes nothing and says 0. Whoever holds
 * it writes before or afterwards. */
void persist_hold(struct daemon *d);
void persist_release(struct daemon *d);
/* From now on the file is written with these; the array is borrowed until this is called with NULL.
 * Writes nothing itself. */
void persist_set_entries(struct daemon *d, const struct persist_entry *entries, size_t count);
/* Where a thing comes from that a caller adds. */
enum rpc_origin persist_origin(const struct daemon *d, bool wanted);
void persist_close(struct daemon *d);
