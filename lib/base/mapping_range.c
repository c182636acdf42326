/* SPDX-License-Identifier: MIT */
/*
 * Ranges of ports: OUT^9000-9009^ANY as the texts of ten mappings. Only the texts; whether each is a
 * mapping is for mapping_parse. Pure.
 */
#include "base/mapping.h"

#include "base/error.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the two address fields: "10.0.0.1:" and 80 to 89, or all of it and no ports. */
struct mapping_range {
	const char *at;
	size_t bytes;
	unsigned first, last;
	bool is_range;
};

/* Up to five digits; returns how many. */
static size_t mapping_range_port(unsigned *ret, const char *at, size_t bytes)
{
	size_t n = 0;

	*ret = 0;
	for (; n < bytes && n < 5 && at[n] >= '0' && at[n] <= '9'; n++)
		*ret = *ret * 10 + (unsigned)(at[n] - '0');
	return n;
}

static struct mapping_range mapping_range_of(const char *at, size_t bytes)
{
	const char *colon = memrchr(at, ':', bytes);
	size_t head = colon != NULL ? (size_t)(colon - at) + 1 : 0, one, two;
	struct mapping_range r = {.at = at, .bytes = bytes};

	if (bytes >= 6 && strncasecmp(at, "unix:/", 6) == 0) /* a colon may be part of the path */
		return r;
	one = mapping_range_port(&r.first, at + head, bytes - head);
	if (one == 0 || head + one == bytes || at[head + one] != '-')
		return r;
	two = mapping_range_port(&r.last, at + head + one + 1, bytes - head - one - 1);
	if (two == 0 || head + one + 1 + two != bytes)
		return r;
	r.bytes = head;
	r.is_range = true;
	return r;
}

static size_t mapping_range_count(const struct mapping_range *r)
{
	return r->last - r->first + 1;
}

__attribute__((format(printf, 4, 5))) static int
mapping_range_fail(char error[MAPPING_ERROR_SIZE], const char *text, size_t bytes,
		   const char *format, ...)
{
	char quoted[161], why[256];
	va_list args;

	log_quote(quoted, sizeof(quoted), text, bytes);
	va_start(args, format);
	vsnprintf(why, sizeof(why), format, args);
	va_end(args);
	snprintf(error, MAPPING_ERROR_SIZE, "%s: %s", quoted, why);
	return RSTUN_E_MALFORMED;
}

/* The side that listens has a range; the other one too, as long, or none. */
static int mapping_range_check(const struct mapping_range *listen, const struct mapping_range *dial,
			       const char *text, size_t bytes, char error[MAPPING_ERROR_SIZE])
{
	const struct mapping_range *both[] = {listen, dial};

	for (size_t i = 0; i < 2; i++) {
		const struct mapping_range *r = both[i];

		if (!r->is_range)
			continue;
		if (r->first == 0 || r->last < r->first || r->last > 65535)
			return mapping_range_fail(error, text, bytes,
						  "%u-%u is no range of ports: write the lower one "
						  "first, both in 1..65535", r->first, r->last);
		if (mapping_range_count(r) > MAPPING_RANGE_MAX)
			return mapping_range_fail(error, text, bytes,
						  "%u-%u are %zu ports, and at most %d are possible",
						  r->first, r->last, mapping_range_count(r),
						  MAPPING_RANGE_MAX);
	}
	if (!listen->is_range)
		return mapping_range_fail(error, text, bytes,
					  "the side that listens needs a range of ports, too");
	if (dial->is_range && mapping_range_count(dial) != mapping_range_count(listen))
		return mapping_range_fail(error, text, bytes,
					  "%zu ports listen and %zu are connected to: as many, or "
					  "one", mapping_range_count(listen),
					  mapping_range_count(dial));
	return 0;
}

/* "127.0.0.1:9003" of a range, all of it of none. */
static int mapping_range_text(char *buf, size_t size, const struct mapping_range *r, size_t i)
{
	if (r->is_range)
		return snprintf(buf, size, "%.*s%zu", (int)r->bytes, r->at, r->first + i);
	return snprintf(buf, size, "%.*s", (int)r->bytes, r->at);
}

static char *mapping_range_one(const char *mode, size_t mode_bytes,
			       const struct mapping_range *local,
			       const struct mapping_range *remote, size_t i)
{
	size_t size = mode_bytes + local->bytes + remote->bytes + 16, used;
	char *text = malloc(size);

	if (text == NULL)
		return NULL;
	used = (size_t)snprintf(text, size, "%.*s^", (int)mode_bytes, mode);
	used += (size_t)mapping_range_text(text + used, size - used, local, i);
	used += (size_t)snprintf(text + used, size - used, "^");
	(void)mapping_range_text(text + used, size - used, remote, i);
	return text;
}

static int mapping_range_nomem(char **list, char error[MAPPING_ERROR_SIZE])
{
	mapping_expand_free(list);
	snprintf(error, MAPPING_ERROR_SIZE, "%s", rstun_strerror(RSTUN_E_NOMEM));
	return RSTUN_E_NOMEM;
}

void mapping_expand_free(char **list)
{
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		free(list[i]);
	free(list);
}

int mapping_expand(char ***ret, const char *text, size_t bytes, char error[MAPPING_ERROR_SIZE])
{
	const char *one = memchr(text, '^', bytes), *end = text + bytes;
	const char *two = one != NULL ? memchr(one + 1, '^', (size_t)(end - one - 1)) : NULL;
	struct mapping_range local = {.at = text}, remote = {.at = text};
	size_t mode_bytes = one != NULL ? (size_t)(one - text) : 0, count = 1;
	bool in = mode_bytes >= 2 && strncasecmp(one - 2, "IN", 2) == 0;
	char **list;
	int rv;

	while (bytes > 0 && (end[-1] == ' ' || end[-1] == '\t')) {
		end--;
		bytes--;
	}
	if (two != NULL && two < end) {
		local = mapping_range_of(one + 1, (size_t)(two - one - 1));
		remote = mapping_range_of(two + 1, (size_t)(end - two - 1));
	}
	if (local.is_range || remote.is_range) {
		rv = mapping_range_check(in ? &remote : &local, in ? &local : &remote, text, bytes,
					 error);
		if (rv != 0)
			return rv;
		count = mapping_range_count(in ? &remote : &local);
	}
	list = calloc(count + 1, sizeof(*list));
	if (list == NULL)
		return mapping_range_nomem(NULL, error);
	for (size_t i = 0; i < count; i++) {
		list[i] = local.is_range || remote.is_range
				  ? mapping_range_one(text, mode_bytes, &local, &remote, i)
				  : strndup(text, bytes);
		if (list[i] == NULL)
			return mapping_range_nomem(list, error);
	}
	*ret = list;
	return 0;
}
