/* SPDX-License-Identifier: MIT */
/*
 * Questions to workers. There are few at a time (one per waiting call), so a list does.
 */
#include "rstund/gather.h"

#include "base/clock.h"
#include "base/error.h"
#include "rstund/messages.h"
#include "rstund/worker.h"

#include <stdlib.h>

struct gather {
	LIST_ENTRY(gather) link;
	struct gathers *set;
	uint64_t number;
	unsigned awaited;
	const struct gather_ops *ops;
	void *user;
	struct loop_timer timer;
};

void gathers_init(struct gathers *set, struct loop *loop)
{
	*set = (struct gathers){.loop = loop};
	LIST_INIT(&set->list);
}

static void gather_forget(struct gather *g)
{
	loop_timer_cancel(&g->timer);
	LIST_REMOVE(g, link);
	free(g);
}

void gathers_done(struct gathers *set)
{
	struct gather *g;

	while ((g = LIST_FIRST(&set->list)) != NULL)
		gather_forget(g);
}

static void gather_end(struct gather *g, bool complete)
{
	const struct gather_ops *ops = g->ops;
	void *user = g->user;

	gather_forget(g);
	ops->done(user, complete);
}

static void gather_on_timer(void *user)
{
	gather_end(user, false);
}

int gather_new(struct gather **ret, struct gathers *set, const struct gather_ops *ops, void *user,
	       uint64_t timeout_ms)
{
	struct gather *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return RSTUN_E_NOMEM;
	g->set = set;
	g->number = ++set->last;
	g->ops = ops;
	g->user = user;
	loop_timer_init(&g->timer, set->loop, gather_on_timer, g);
	loop_timer_arm(&g->timer, clock_after(loop_now(set->loop), clock_ms(timeout_ms)));
	LIST_INSERT_HEAD(&set->list, g, link);
	*ret = g;
	return 0;
}

void gather_ask(struct gather *g, struct worker *w, struct message *m)
{
	m->gather = g->number;
	g->awaited++;
	worker_post(w, m);
}

uint64_t gather_number(const struct gather *g)
{
	return g->number;
}

void gather_cancel(struct gather *g)
{
	if (g != NULL)
		gather_forget(g);
}

void gathers_on_message(struct gathers *set, const struct message *m)
{
	struct gather *g;

	LIST_FOREACH (g, &set->list, link)
		if (g->number == m->gather)
			break;
	if (g == NULL)
		return;
	if (g->ops->on_message != NULL)
		g->ops->on_message(g->user, m);
	if (m->kind == MESSAGE_GATHERED && g->awaited > 0 && --g->awaited == 0)
		gather_end(g, true);
}
