/* SPDX-License-Identifier: MIT */
/*
 * A ring of pointers; each line is one piece of memory with its texts behind it.
 */
#include "rstund/control/log_ring.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

struct log_ring_entry {
	uint64_t number;
	int64_t wall_us;
	enum log_level level;
	size_t bytes;      /* of texts */
	size_t text_at;    /* the scope is at 0 */
	char texts[];
};

struct log_ring {
	uint64_t last;
	size_t first, count;
	size_t bytes;
	struct log_ring_entry *entries[LOG_RING_LINES];
};

int log_ring_new(struct log_ring **ret)
{
	struct log_ring *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return RSTUN_E_NOMEM;
	*ret = r;
	return 0;
}

static struct log_ring_entry *log_ring_at(const struct log_ring *r, size_t i)
{
	return r->entries[(r->first + i) % LOG_RING_LINES];
}

static void log_ring_drop_oldest(struct log_ring *r)
{
	struct log_ring_entry *e = log_ring_at(r, 0);

	r->bytes -= e->bytes;
	r->first = (r->first + 1) % LOG_RING_LINES;
	r->count--;
	free(e);
}

void log_ring_free(struct log_ring *r)
{
	if (r == NULL)
		return;
	while (r->count > 0)
		log_ring_drop_oldest(r);
	free(r);
}

/* As many bytes as fit, not ending within a character of UTF-8. */
static size_t log_ring_cut(const char *text)
{
	size_t bytes = strnlen(text, LOG_RING_LINE_BYTES);

	if (bytes == LOG_RING_LINE_BYTES && text[bytes] != '\0')
		for (int i = 0; i < 3 && ((unsigned char)text[bytes] & 0xc0) == 0x80; i++)
			bytes--;
	return bytes;
}

void log_ring_add(struct log_ring *r, enum log_level level, const char *scope, const char *text,
		  int64_t wall_us)
{
	size_t scope_bytes = log_ring_cut(scope), text_bytes = log_ring_cut(text);
	size_t bytes = scope_bytes + 1 + text_bytes + 1;
	struct log_ring_entry *e = malloc(sizeof(*e) + bytes);

	r->last++;
	if (e == NULL)
		return;
	while (r->count == LOG_RING_LINES || (r->count > 0 && r->bytes + bytes > LOG_RING_BYTES))
		log_ring_drop_oldest(r);
	e->number = r->last;
	e->wall_us = wall_us;
	e->level = level;
	e->bytes = bytes;
	e->text_at = scope_bytes + 1;
	memcpy(e->texts, scope, scope_bytes);
	e->texts[scope_bytes] = '\0';
	memcpy(e->texts + e->text_at, text, text_bytes);
	e->texts[bytes - 1] = '\0';
	r->entries[(r->first + r->count) % LOG_RING_LINES] = e;
	r->count++;
	r->bytes += bytes;
}

uint64_t log_ring_last(const struct log_ring *r)
{
	return r->last;
}

uint64_t log_ring_first(const struct log_ring *r)
{
	return r->count > 0 ? log_ring_at(r, 0)->number : 0;
}

size_t log_ring_visit(const struct log_ring *r, uint64_t after, enum log_level min_level,
		      size_t count, void (*line)(void *user, const struct log_ring_line *line),
		      void *user)
{
	size_t begin = r->count, found = 0;

	/* Back from the newest to where the last `count` begin. */
	while (begin > 0 && found < count && log_ring_at(r, begin - 1)->number > after) {
		begin--;
		found += log_ring_at(r, begin)->level >= min_level;
	}
	for (size_t i = begin; i < r->count; i++) {
		const struct log_ring_entry *e = log_ring_at(r, i);
		struct log_ring_line l = {
			.number = e->number,
			.wall_us = e->wall_us,
			.level = e->level,
			.scope = e->texts,
			.text = e->texts + e->text_at,
		};

		if (e->level >= min_level)
			line(user, &l);
	}
	return found;
}
