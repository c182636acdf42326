/* SPDX-License-Identifier: MIT */
/*
 * The comparison. Names are walked (a thousand are compared in microseconds, inventory.c); what
 * must be there only once is sorted as text.
 */
#include "rstund/plan.h"

#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int plan_init(struct plan *p, size_t count)
{
	*p = (struct plan){.items = calloc(count + 1, sizeof(*p->items)), .count = count};
	return p->items != NULL ? 0 : RSTUN_E_NOMEM;
}

void plan_done(struct plan *p)
{
	free(p->items);
	free(p->gone);
	*p = (struct plan){.items = NULL};
}

const char *plan_item_text(char buf[MAPPING_TEXT_SIZE], const struct plan_item *item)
{
	return item->name != NULL ? item->name
				  : mapping_format(buf, MAPPING_TEXT_SIZE, &item->mapping);
}

const char *plan_held_text(char buf[MAPPING_TEXT_SIZE], const struct held_mapping *m)
{
	return m->name[0] != '\0' ? m->name : mapping_format(buf, MAPPING_TEXT_SIZE, &m->mapping);
}

static int plan_nomem(struct rpc_error *error)
{
	return rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
}

/* ---- What there is of it --------------------------------------------------------------------- */

static bool plan_same_place(const struct held_mapping *m, const struct plan_item *item)
{
	return strcmp(m->client->name, item->client) == 0 &&
	       mapping_equal(&m->mapping, &item->mapping);
}

static struct held_mapping *plan_find(const struct inventory *inv, const struct plan_item *item,
				      const struct plan_rules *rules)
{
	struct held_mapping *m, *other = NULL;

	TAILQ_FOREACH (m, &inv->mappings, link) {
		if (m->mark)
			continue;
		if (item->name != NULL) {
			if (strcmp(m->name, item->name) == 0)
				return m;
		} else if (rules->fits(m) && plan_same_place(m, item)) {
			if (m->name[0] == '\0')
				return m;
			other = other != NULL ? other : m;
		}
	}
	return other;
}

static void plan_match_items(struct plan *p, const struct inventory *inv,
			     const struct plan_rules *rules, bool named)
{
	for (size_t i = 0; i < p->count; i++) {
		struct plan_item *item = &p->items[i];
		struct held_mapping *m;

		if ((item->name != NULL) != named)
			continue;
		m = item->held = plan_find(inv, item, rules);
		item->same = m != NULL && plan_same_place(m, item) &&
			     m->expires_ms == item->expires_ms;
		if (m != NULL)
			m->mark = true;
		p->added += m == NULL;
		p->changed += m != NULL && !item->same;
	}
}

int plan_match(struct plan *p, struct inventory *inv, const struct plan_rules *rules,
	       struct rpc_error *error)
{
	struct held_mapping *m;

	p->gone = calloc((size_t)inv->states.total + 1, sizeof(struct held_mapping *));
	if (p->gone == NULL)
		return plan_nomem(error);
	TAILQ_FOREACH (m, &inv->mappings, link)
		m->mark = false;
	/* Names first: one that keeps its name and moves must not be taken for another that is to
	 * be where it was. */
	plan_match_items(p, inv, rules, true);
	plan_match_items(p, inv, rules, false);
	if (rules->goes == NULL)
		return 0;
	TAILQ_FOREACH (m, &inv->mappings, link) {
		if (m->mark || !rules->goes(m))
			continue;
		m->mark = true;
		p->gone[p->gone_count++] = m;
	}
	return 0;
}

/* ---- Whether it is possible ------------------------------------------------------------------ */

/* Something that there may be only one of. */
struct plan_key {
	char *text;
	size_t about; /* offset in text of what people read: an address; 0 = a name */
	const struct plan_item *item; /* whose it is: one of the two */
	const struct held_mapping *held;
	size_t order;
};

struct plan_keys {
	struct plan_key *list;
	size_t count;
	bool nomem;
};

static int plan_key_compare(const void *a, const void *b)
{
	const struct plan_key *x = a, *y = b;
	int order = strcmp(x->text, y->text);

	/* What is there comes before what is new, so that each clash is told from the new one. */
	if (order == 0)
		order = (x->held == NULL) - (y->held == NULL);
	return order != 0 ? order : (x->order > y->order) - (x->order < y->order);
}

static void plan_key_add(struct plan_keys *k, char *text, size_t about,
			 const struct plan_item *item, const struct held_mapping *held)
{
	if (text == NULL) {
		k->nomem = true;
		return;
	}
	k->list[k->count] = (struct plan_key){text, about, item, held, k->count};
	k->count++;
}

/* Where a mapping listens: here, or at the server of its client. */
static void plan_key_listener(struct plan_keys *k, const struct mapping *mapping,
			      const char *client,
			      const struct plan_item *item, const struct held_mapping *held)
{
	bool out = mapping->mode == MAPPING_OUT;
	const struct target *listens = mapping_listens(mapping); /* NULL: it takes any free port */
	char where[ADDRESS_TARGET_TEXT_SIZE], *text;
	int prefix;

	if (listens == NULL)
		return;
	target_format(where, sizeof(where), listens);
	prefix = snprintf(NULL, 0, "l %s ", out ? "" : client);
	if (asprintf(&text, "l %s %s (%s)", out ? "" : client, where,
		     mapping_proto_name(mapping->proto)) < 0)
		text = NULL;
	plan_key_add(k, text, (size_t)prefix, item, held);
}

static void plan_key_identity(struct plan_keys *k, const struct plan_item *item)
{
	char spec[MAPPING_TEXT_SIZE], *text;
	int rc;

	if (item->name != NULL)
		rc = asprintf(&text, "n %s", item->name);
	else
		rc = asprintf(&text, "s %s %s %s", item->client,
			      mapping_proto_name(item->mapping.proto),
			      mapping_format(spec, sizeof(spec), &item->mapping));
	plan_key_add(k, rc < 0 ? NULL : text, 0, item, NULL);
}

static void plan_keys_fill(struct plan_keys *k, const struct plan *p, const struct inventory *inv)
{
	const struct held_mapping *m;

	for (size_t i = 0; i < p->count; i++) {
		const struct plan_item *item = &p->items[i];

		plan_key_identity(k, item);
		plan_key_listener(k, &item->mapping, item->client, item, NULL);
	}
	TAILQ_FOREACH (m, &inv->mappings, link)
		if (!m->mark) /* it stays as it is */
			plan_key_listener(k, &m->mapping, m->client->name, NULL, m);
}

/* a and b are the same thing; b is an item's. */
static int plan_clash(const struct plan_key *a, const struct plan_key *b, int code,
		      struct rpc_error *error)
{
	char one[MAPPING_TEXT_SIZE], two[MAPPING_TEXT_SIZE], id[INVENTORY_ID_SIZE];

	if (a->held != NULL) {
		inventory_mapping_id(id, a->held);
		rpc_error_set(error, 1003, "mapping %s cannot listen on %s: mapping %s does (%s)",
			      plan_item_text(two, b->item), b->text + b->about, id,
			      plan_held_text(one, a->held));
		rpc_error_hint(error, "choose another port or path, or remove that one: "
				      "rstunctl rm %s", id);
		return RSTUN_E_FAILED;
	}
	if (b->about == 0)
		return rpc_error_set(error, code, "mapping %s is there twice: leave one out, or "
						  "give it another name",
				     plan_item_text(two, b->item));
	return rpc_error_set(error, code, "mappings %s and %s would both listen on %s",
			     plan_item_text(one, a->item), plan_item_text(two, b->item),
			     b->text + b->about);
}

int plan_check(const struct plan *p, const struct inventory *inv, const struct plan_rules *rules,
	       struct rpc_error *error)
{
	struct plan_keys k = {.count = 0};
	int rc = 0;

	k.list = calloc(2 * p->count + (size_t)inv->states.total + 1, sizeof(*k.list));
	if (k.list == NULL)
		return plan_nomem(error);
	plan_keys_fill(&k, p, inv);
	qsort(k.list, k.count, sizeof(*k.list), plan_key_compare);
	for (size_t i = 1; i < k.count && rc == 0; i++)
		/* Two that are there already and stay are nobody's fault here. */
		if (strcmp(k.list[i - 1].text, k.list[i].text) == 0 && k.list[i].item != NULL)
			rc = plan_clash(&k.list[i - 1], &k.list[i], rules->code, error);
	if (rc == 0 && k.nomem)
		rc = plan_nomem(error);
	for (size_t i = 0; i < k.count; i++)
		free(k.list[i].text);
	free(k.list);
	return rc;
}
