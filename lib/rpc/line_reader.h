/* SPDX-License-Identifier: MIT */
/*
 * Lines out of a byte stream that may be cut anywhere. Read into its room, then take lines until
 * there is none:
 *
 *   char *room = line_reader_room(&r, &bytes);
 *   n = read(fd, room, bytes);  line_reader_filled(&r, n);     (n == 0: line_reader_end(&r))
 *   while ((rv = line_reader_next(&r, &line, &line_bytes)) != RSTUN_E_AGAIN) ...
 *
 * Memory: one buffer that grows up to the longest line. A longer line costs one RSTUN_E_TOO_LARGE
 * and is skipped to its newline. Blank lines are left out. No system calls; one owner.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct line_reader {
	char *buf;
	size_t room;     /* bytes allocated */
	size_t start;    /* first byte that was not handed out */
	size_t used;     /* end of what was read */
	size_t scanned;  /* no newline between start and here */
	size_t line_max;
	bool skipping;   /* within a line that was too long */
	bool ended;
};

/* `line_max`: bytes without the newline. */
void line_reader_init(struct line_reader *r, size_t line_max);
void line_reader_done(struct line_reader *r);

/* Where to read to; at least one byte, if line_reader_next has said RSTUN_E_AGAIN since the last
 * time. Invalidates lines. NULL when memory is short. */
char *line_reader_room(struct line_reader *r, size_t *ret_bytes);
void line_reader_filled(struct line_reader *r, size_t bytes);

/* The other side writes no more: what is left without a newline is a line too. */
void line_reader_end(struct line_reader *r);

/* 0: a line without its newline, NUL behind it, borrowed until the next call of any function here.
 * RSTUN_E_AGAIN: none yet. RSTUN_E_TOO_LARGE: one was skipped; call again. */
int line_reader_next(struct line_reader *r, char **ret_line, size_t *ret_bytes);

/* What was read behind the last line that was handed out; borrowed as a line. */
const char *line_reader_rest(const struct line_reader *r, size_t *ret_bytes);

/* Whether line_reader_next has something to give. Cheap enough to be asked each turn. */
bool line_reader_waiting(const struct line_reader *r);
