/* SPDX-License-Identifier: MIT */
/*
 * Lines out of a byte stream. The buffer holds at most one longest line and its newline, so a line
 * that does not fit is known to be too long without being kept.
 */
#include "rpc/line_reader.h"

#include "base/error.h"
#include "base/random.h"

#include <stdlib.h>
#include <string.h>

#define LINE_READER_FIRST 4096 /* bytes */
#define LINE_READER_KEEP 16384 /* a larger buffer is given back when it is empty */

void line_reader_init(struct line_reader *r, size_t line_max)
{
	*r = (struct line_reader){.line_max = line_max};
}

/* There may be a password in it, also in what was handed out and moved over since. */
static void line_reader_forget(char *buf, size_t room)
{
	if (buf != NULL)
		secret_wipe(buf, room);
	free(buf);
}

void line_reader_done(struct line_reader *r)
{
	line_reader_forget(r->buf, r->room);
	line_reader_init(r, r->line_max);
}

char *line_reader_room(struct line_reader *r, size_t *ret_bytes)
{
	size_t most = r->line_max + 1;

	if (r->start > 0) {
		memmove(r->buf, r->buf + r->start, r->used - r->start);
		r->used -= r->start;
		r->scanned -= r->start;
		r->start = 0;
	}
	if (r->used == r->room && r->room < most) {
		size_t room = r->room == 0 ? LINE_READER_FIRST : r->room * 2;
		char *buf;

		room = room > most ? most : room;
		buf = malloc(room + 1); /* and the NUL of a last line */
		if (buf == NULL)
			return NULL;
		if (r->used > 0)
			memcpy(buf, r->buf, r->used);
		line_reader_forget(r->buf, r->room);
		r->buf = buf;
		r->room = room;
	}
	*ret_bytes = r->room - r->used;
	return r->buf + r->used;
}

void line_reader_filled(struct line_reader *r, size_t bytes)
{
	r->used += bytes;
}

void line_reader_end(struct line_reader *r)
{
	r->ended = true;
}

/* Everything was handed out. */
static int line_reader_empty(struct line_reader *r)
{
	r->start = r->used = r->scanned = 0;
	if (r->room > LINE_READER_KEEP) {
		line_reader_forget(r->buf, r->room);
		r->buf = NULL;
		r->room = 0;
	}
	return RSTUN_E_AGAIN;
}

static bool line_reader_blank(const char *line, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
			return false;
	return true;
}

int line_reader_next(struct line_reader *r, char **ret_line, size_t *ret_bytes)
{
	while (r->start < r->used) {
		char *line = r->buf + r->start, *end;
		size_t bytes, left = r->used - r->scanned;
		bool skipped = r->skipping;

		end = left > 0 ? memchr(r->buf + r->scanned, '\n', left) : NULL;
		if (end == NULL && !(r->ended && !skipped)) {
			r->scanned = r->used;
			if (skipped)
				break;
			if (r->used - r->start <= r->line_max)
				return RSTUN_E_AGAIN;
			r->skipping = true;
			line_reader_empty(r);
			return RSTUN_E_TOO_LARGE;
		}
		bytes = end != NULL ? (size_t)(end - line) : r->used - r->start;
		r->start = r->scanned = end != NULL ? r->start + bytes + 1 : r->used;
		r->skipping = false;
		if (!skipped && bytes > r->line_max)
			return RSTUN_E_TOO_LARGE;
		if (skipped || line_reader_blank(line, bytes))
			continue;
		line[bytes] = '\0';
		*ret_line = line;
		*ret_bytes = bytes;
		return 0;
	}
	return line_reader_empty(r);
}

const char *line_reader_rest(const struct line_reader *r, size_t *ret_bytes)
{
	*ret_bytes = r->used - r->start;
	return r->buf + r->start;
}

bool line_reader_waiting(const struct line_reader *r)
{
	size_t left = r->used - r->scanned;

	if (r->start == r->used)
		return false;
	return r->ended || r->used - r->start > r->line_max ||
	       (left > 0 && memchr(r->buf + r->scanned, '\n', left) != NULL);
}
