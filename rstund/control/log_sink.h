/* SPDX-License-Identifier: MIT */
/*
 * Log lines on stderr, written by a thread of their own: a terminal that is stopped, a full pipe or
 * a slow disk blocks that thread and nothing else. (O_NONBLOCK would do too, but the descriptor's
 * flags are shared with everybody who has it: a shell, another daemon.)
 *
 * Lines wait in a ring of 256 KiB; what does not fit is lost, counted, and said in its place as
 * soon as there is room again. Lines are 2026-11-22T10:11:12.345Z info  [client]
 * OUT^127.0.0.1:9000^ANY tcp: tunneling, ... and, when stderr is the journal's, <6>[client] OUT^...
 * without the time, which the journal has; or an object of JSON each:
 * {"timestamp":"2026-11-22T10:11:12.345Z","level":"info","scope":"client","message":"..."}. All
 * calls come from one thread, the main one.
 */
#pragma once

#include "base/log.h"

#include <stdint.h>

struct log_sink;

enum log_sink_format {
	LOG_SINK_AUTO, /* the journal's if the descriptor is (JOURNAL_STREAM), else text */
	LOG_SINK_TEXT,
	LOG_SINK_JOURNAL,
	LOG_SINK_JSON,
};

/* The descriptor is borrowed. Starts the thread. RSTUN_E_NOMEM, RSTUN_E_LIMIT_REACHED. */
int log_sink_new(struct log_sink **ret, int fd, enum log_level level, enum log_sink_format format);
/* From the next line on. */
void log_sink_set_level(struct log_sink *s, enum log_level level);
void log_sink_write(struct log_sink *s, enum log_level level, const char *scope, const char *text,
		    int64_t wall_us);
/* Lines that were lost before they came here. */
void log_sink_lost(struct log_sink *s, uint64_t lines);
/* Waits until all is written, at most a second, and ends the thread; one that is stuck in a write
 * is left behind. Accepts NULL. */
void log_sink_free(struct log_sink *s);
