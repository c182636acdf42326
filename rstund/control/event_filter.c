/* SPDX-License-Identifier: MIT */
/*
 * Filters of events. What is about no mapping passes whatever mappings are named, because it is
 * about all of them (the daemon drains) or about none.
 */
#include "rstund/control/event_filter.h"

#include "base/error.h"
#include "base/log.h"
#include "rstund/control/event_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned event_filter_types(char *const *names)
{
	unsigned types = 0;

	for (int i = 0; i < RPC_EVENT_TYPE_COUNT && names == NULL; i++)
		types |= rpc_events[i].on ? 1u << i : 0;
	for (char *const *p = names; p != NULL && *p != NULL; p++) {
		int type = rpc_event_find(*p);

		types |= type >= 0 ? 1u << type : 0;
	}
	return types;
}

static int event_filter_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int event_filter_unknown(struct rpc_error *error, const char *name)
{
	char quoted[100];

	log_quote(quoted, sizeof(quoted), name, strlen(name));
	rpc_error_from(error, RSTUN_E_NOT_FOUND, "there is no mapping %s", quoted);
	snprintf(error->field, sizeof(error->field), "mappings");
	snprintf(error->value, sizeof(error->value), "%s", quoted);
	rpc_error_hint(error, "rstunctl list shows ids and names");
	return RSTUN_E_NOT_FOUND;
}

int event_filter_init(struct event_filter *ret, char *const *types, char *const *mappings,
		      int min_level,
		      bool (*find)(void *user, const char *id_or_name, uint64_t *ret_number),
		      void *user, struct rpc_error *error)
{
	struct event_filter f = {
		.types = event_filter_types(types),
		.min_level = min_level,
		.all_mappings = mappings == NULL,
	};
	size_t count = 0;

	while (mappings != NULL && mappings[count] != NULL)
		count++;
	if (count > 0) {
		f.mappings = calloc(count, sizeof(*f.mappings));
		if (f.mappings == NULL)
			return rpc_error_from(error, RSTUN_E_NOMEM, "%s",
					      rstun_strerror(RSTUN_E_NOMEM));
	}
	for (; f.mapping_count < count; f.mapping_count++) {
		const char *name = mappings[f.mapping_count];

		if (!find(user, name, &f.mappings[f.mapping_count])) {
			event_filter_done(&f);
			return event_filter_unknown(error, name);
		}
	}
	if (count > 1)
		qsort(f.mappings, count, sizeof(*f.mappings), event_filter_compare);
	*ret = f;
	return 0;
}

void event_filter_done(struct event_filter *f)
{
	free(f->mappings);
	*f = (struct event_filter){.types = 0};
}

bool event_filter_type(const struct event_filter *f, enum rpc_event_type type)
{
	return (f->types & 1u << type) != 0;
}

bool event_filter_mapping(const struct event_filter *f, uint64_t number)
{
	return f->all_mappings ||
	       (f->mapping_count > 0 && bsearch(&number, f->mappings, f->mapping_count,
						sizeof(number), event_filter_compare) != NULL);
}

bool event_filter_match(const struct event_filter *f, const struct bus_event *e)
{
	int type = event_json_type(e);
	uint64_t number;

	if (type < 0 || !event_filter_type(f, (enum rpc_event_type)type))
		return false;
	if (e->type == BUS_EVENT_LOG && (int)e->log.level < f->min_level)
		return false;
	return !event_json_mapping(e, &number) || event_filter_mapping(f, number);
}
