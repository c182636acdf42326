/* SPDX-License-Identifier: MIT */
/*
 * The reader between a text and libinih. It cuts the text into lines itself, answers for sections,
 * comments and lines that are too long, and hands libinih what can only be `KEY = VALUE`; whether
 * the handler was called for such a line tells whether it was one. Values may be passwords: the
 * buffer, libinih's, is wiped at the end.
 */
#include "rstund/config_ini.h"

#include "base/error.h"
#include "base/log.h"
#include "base/random.h"
#include "base/utf8.h"

#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFIG_INI_LINE_ROOM 3 /* libinih: the longest line, CR, LF and NUL */
#define CONFIG_INI_LINE_LEAST 200

struct config_ini {
	const struct config_ini_ops *ops;
	void *user;
	const char *at, *end; /* what is left */
	unsigned line;        /* number of the last line handed out, from 1 */
	bool waiting;         /* it must be KEY = VALUE, and no handler was called yet */
	size_t widest;        /* most that was put into libinih's buffer */
};

static bool config_ini_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

__attribute__((format(printf, 3, 4))) static void
config_ini_wrong(const struct config_ini *ini, unsigned column, const char *format, ...)
{
	char message[512];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	ini->ops->on_error(ini->user, ini->line, column, message);
}

/* The line that libinih has seen meanwhile was nothing that it knows. */
static void config_ini_check_last(struct config_ini *ini)
{
	if (ini->waiting)
		config_ini_wrong(ini, 0, "this line is neither [SECTION] nor KEY = VALUE nor a "
					 "comment");
	ini->waiting = false;
}

/* `[text] ; comment`; `text` begins with the bracket. `column` is where. */
static void config_ini_section(const struct config_ini *ini, const char *text, size_t bytes,
			       unsigned column)
{
	const char *close = memchr(text, ']', bytes), *after;
	size_t name_bytes;
	char *name;

	if (close == NULL) {
		config_ini_wrong(ini, column, "the name of the section does not end: write ] "
					      "behind "
					      "it");
		return;
	}
	for (after = close + 1; after < text + bytes && config_ini_is_blank(*after); after++)
		;
	if (after < text + bytes && *after != ';' && *after != '#') {
		config_ini_wrong(ini, column + (unsigned)utf8_count(text, (size_t)(after - text)),
				 "something follows the name of the section: begin a new line");
		return;
	}
	text++;
	name_bytes = (size_t)(close - text);
	for (; name_bytes > 0 && config_ini_is_blank(*text); name_bytes--)
		text++;
	while (name_bytes > 0 && config_ini_is_blank(text[name_bytes - 1]))
		name_bytes--;
	name = malloc(name_bytes + 1); /* the text has no end of its own: no strndup */
	if (name == NULL) {
		config_ini_wrong(ini, 0, "%s", rstun_strerror(RSTUN_E_NOMEM));
		return;
	}
	memcpy(name, text, name_bytes);
	name[name_bytes] = '\0';
	ini->ops->on_section(ini->user, ini->line, name);
	free(name);
}

/* The next line, without blanks around it. False at the end of the text. */
static bool config_ini_next(struct config_ini *ini, const char **ret, size_t *ret_bytes,
			    unsigned *ret_column)
{
	const char *text = ini->at, *stop;

	if (text == ini->end)
		return false;
	stop = memchr(text, '\n', (size_t)(ini->end - text));
	ini->at = stop != NULL ? stop + 1 : ini->end;
	if (stop == NULL)
		stop = ini->end;
	ini->line++;
	*ret_column = 1;
	for (; text < stop && config_ini_is_blank(*text); text++)
		++*ret_column;
	while (stop > text && config_ini_is_blank(stop[-1]))
		stop--;
	*ret = text;
	*ret_bytes = (size_t)(stop - text);
	return true;
}

/* libinih's reader: puts one line into `buf`, as fgets does. Lines that are answered here are not
 * shown to it. */
static char *config_ini_read(char *buf, int size, void *stream)
{
	struct config_ini *ini = stream;
	const char *text, *nul;
	unsigned column;
	size_t bytes, room = size > CONFIG_INI_LINE_ROOM ? (size_t)size - CONFIG_INI_LINE_ROOM : 0;

	config_ini_check_last(ini);
	while (config_ini_next(ini, &text, &bytes, &column)) {
		if (bytes == 0 || text[0] == ';' || text[0] == '#')
			continue;
		nul = memchr(text, '\0', bytes);
		if (nul != NULL) {
			config_ini_wrong(ini,
					 column + (unsigned)utf8_count(text, (size_t)(nul - text)),
					 "there is a NUL byte: the file must be plain text "
					 "(UTF-8)");
		} else if (text[0] == '[') {
			config_ini_section(ini, text, bytes, column);
		} else if (bytes > room) {
			config_ini_wrong(ini, 0, "the line has %zu bytes, and %zu is the most: "
						 "keys "
						 "with several values may be given several times",
					 bytes, room);
		} else {
			memcpy(buf, text, bytes);
			memcpy(buf + bytes, "\n", 2);
			if (ini->widest < bytes)
				ini->widest = bytes;
			ini->waiting = true;
			return buf;
		}
	}
	if (ini->widest < (size_t)size)
		secret_wipe(buf, ini->widest);
	return NULL;
}

static int config_ini_handle(void *user, const char *section, const char *key, const char *value
#if INI_HANDLER_LINENO
			     , int line
#endif
)
{
	struct config_ini *ini = user;

	(void)section;
#if INI_HANDLER_LINENO
	(void)line;
#endif
	if (key == NULL || value == NULL || !ini->waiting)
		return 1;
	ini->waiting = false;
	if (key[0] == '\0')
		config_ini_wrong(ini, 0, "there is no key before the = sign");
	else
		ini->ops->on_key(ini->user, ini->line, key, value);
	return 1;
}

/* Bytes of the longest line. */
static size_t config_ini_longest(const char *text, size_t bytes)
{
	size_t longest = 0;

	while (bytes > 0) {
		const char *stop = memchr(text, '\n', bytes);
		size_t one = stop != NULL ? (size_t)(stop - text) + 1 : bytes;

		if (longest < one)
			longest = one;
		text += one;
		bytes -= one;
	}
	return longest;
}

int config_ini_parse(const char *text, size_t bytes, const struct config_ini_ops *ops, void *user)
{
	struct config_ini ini = {.ops = ops, .user = user, .at = text, .end = text + bytes};
	size_t longest = config_ini_longest(text, bytes) + CONFIG_INI_LINE_ROOM + 1;

	if (bytes > CONFIG_INI_BYTES_MAX)
		return RSTUN_E_TOO_LARGE;
	if (longest < CONFIG_INI_LINE_LEAST)
		longest = CONFIG_INI_LINE_LEAST;
	if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		ini.at += 3;
#if HAVE_DECL_INI_MAX_LINE && HAVE_DECL_INI_INITIAL_ALLOC && HAVE_DECL_INI_USE_STACK
	ini_use_stack = false;
	ini_max_line = (int)longest;
	ini_initial_alloc = (int)longest;
#endif
	/* Its result is the first line that it did not know; config_ini_check_last knows all. */
	return ini_parse_stream(config_ini_read, &ini, config_ini_handle, &ini) == -2
		       ? RSTUN_E_NOMEM
		       : 0;
}
