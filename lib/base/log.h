/* SPDX-License-Identifier: MIT */
/*
 * Where the engine says things. A `struct log` is a level and a sink, given by the owner of a
 * context and passed down by pointer: no global logger, so two contexts in one process never mix.
 * The sink is called on the thread that logs; it must not call back into the engine.
 * Secrets never go into a message; peers' text goes in only through log_quote.
 */
#pragma once

#include <stddef.h>

enum log_level {
	LOG_LEVEL_TRACE,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_INFO,
	LOG_LEVEL_WARN,
	LOG_LEVEL_ERROR,
};

struct log {
	enum log_level level; /* messages below it are not formatted */
	/* `scope` names the part that speaks ("quic", "login", a mapping's name), `text` is one
	 * line without newline; both are borrowed for the call. */
	void (*write)(void *user, enum log_level level, const char *scope, const char *text);
	void *user;
};

__attribute__((format(printf, 4, 5))) void log_print(const struct log *log, enum log_level level,
						     const char *scope, const char *format, ...);

#define log_at(log, at, scope, ...)                                                                \
	do {                                                                                       \
		if ((log)->level <= (at))                                                          \
			log_print((log), (at), (scope), __VA_ARGS__);                              \
	} while (0)
#define log_trace(log, scope, ...) log_at(log, LOG_LEVEL_TRACE, scope, __VA_ARGS__)
#define log_debug(log, scope, ...) log_at(log, LOG_LEVEL_DEBUG, scope, __VA_ARGS__)
#define log_info(log, scope, ...) log_at(log, LOG_LEVEL_INFO, scope, __VA_ARGS__)
#define log_warn(log, scope, ...) log_at(log, LOG_LEVEL_WARN, scope, __VA_ARGS__)
#define log_error(log, scope, ...) log_at(log, LOG_LEVEL_ERROR, scope, __VA_ARGS__)

/* "trace", "debug", "info", "warn", "error". */
const char *log_level_name(enum log_level level);

/* Copies text of a peer so that it fits a log line: control bytes, quotes and invalid UTF-8 become
 * \xHH, at most size - 1 bytes, "..." at the end when cut. Returns `buf`. */
const char *log_quote(char *buf, size_t size, const void *text, size_t text_bytes);
