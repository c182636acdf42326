/* SPDX-License-Identifier: MIT */
/*
 * Formatting of log lines for the sink of a context. A line is formatted on the stack, cut when it
 * is too long, and never holds a line break, so that one message is one line whatever the sink
 * does.
 */
#include "base/log.h"

#include "base/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LOG_LINE_SIZE 2048

void log_print(const struct log *log, enum log_level level, const char *scope, const char *format,
	       ...)
{
	int saved_errno = errno; /* callers log between a failed call and the use of its errno */
	char line[LOG_LINE_SIZE];
	va_list args;
	int n;

	if (log->write == NULL || log->level > level)
		return;
	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(line))
		memcpy(line + sizeof(line) - 4, "...", 4);
	for (char *p = line; *p != '\0'; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	log->write(log->user, level, scope, line);
	errno = saved_errno;
}

const char *log_level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_TRACE:
		return "trace";
	case LOG_LEVEL_DEBUG:
		return "debug";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_WARN:
		return "warn";
	case LOG_LEVEL_ERROR:
		return "error";
	}
	return "info";
}

/* What could break a line, close our quotes, or reorder the text on a screen. */
static bool log_code_is_plain(uint32_t code)
{
	if (code < 0x20 || (code >= 0x7f && code <= 0x9f))
		return false;
	if (code == '"' || code == '\'' || code == '\\')
		return false;
	if (code == 0x200e || code == 0x200f || code == 0xfeff) /* marks of direction, byte order */
		return false;
	if (code >= 0x2028 && code <= 0x202e) /* separators, direction overrides */
		return false;
	return code < 0x2066 || code > 0x2069; /* direction isolates */
}

const char *log_quote(char *buf, size_t size, const void *text, size_t text_bytes)
{
	const uint8_t *p = text, *end = p + text_bytes;
	size_t used = 0;
	size_t kept = 0; /* as much as leaves room for the dots, on a boundary of characters */

	if (size == 0)
		return buf;
	while (p < end) {
		uint32_t code;
		size_t length = utf8_decode(&code, p, (size_t)(end - p));
		bool plain = length > 0 && log_code_is_plain(code);
		size_t need;

		if (length == 0)
			length = 1;
		need = plain ? length : 4 * length;
		if (used + need > size - 1) {
			size_t dots = size - 1 - kept < 3 ? size - 1 - kept : 3;

			memcpy(buf + kept, "...", dots);
			buf[kept + dots] = '\0';
			return buf;
		}
		for (size_t i = 0; i < length; i++, p++) {
			if (plain)
				buf[used++] = (char)*p;
			else {
				static const char hex[] = "0123456789abcdef";

				buf[used++] = '\\';
				buf[used++] = 'x';
				buf[used++] = hex[*p >> 4];
				buf[used++] = hex[*p & 15];
			}
		}
		if (used + 3 <= size - 1)
			kept = used;
	}
	buf[used] = '\0';
	return buf;
}
