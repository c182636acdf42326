/* SPDX-License-Identifier: MIT */
/*
 * What is done to a client's mappings while it runs: removal, restart, counters and flows for who
 * asks. A removal begins like a drain of one mapping; it is over in a task of the loop, when the
 * connection is gone, and there alone the mapping's memory is freed. Nothing else of the client is
 * touched: the other mappings keep their connections. On the client's thread.
 */
#include "tunnel/client_private.h"

#include "base/error.h"
#include "tunnel/counters.h"

struct client_mapping *client_find(struct client *c, uint64_t id)
{
	struct client_mapping *m;

	TAILQ_FOREACH(m, &c->mappings, link)
	if (m->id == id)
		return m;
	return NULL;
}

/* ---- removal ---- */

/* The last thing that happens to a mapping. Whoever is told may free the client. */
static void client_change_on_gone(void *user)
{
	struct client_mapping *m = user;
	struct client *c = m->client;
	struct client_removal *removal = &m->removal;
	void (*on_removed)(void *user, uint64_t id, const struct tunnel_counters *final) =
		removal->on_removed;
	void *removed_user = removal->user;
	uint64_t id = m->id;
	struct tunnel_counters final;

	/* Flows that lost their connection a moment ago end by tasks, some of them behind this. */
	client_mapping_shut(m);
	client_mapping_counters(m, &final);
	counters_add(&c->removed, &final);
	client_tally_removed(m, &final);
	TAILQ_REMOVE(&c->mappings, m, link);
	client_mapping_free(m);
	if (on_removed != NULL)
		on_removed(removed_user, id, &final);
}

static void client_change_on_deadline(void *user)
{
	client_mapping_stop(user, true);
}

void client_change_init(struct client_mapping *m)
{
	loop_timer_init(&m->removal.timer, m->client->env->loop, client_change_on_deadline, m);
	loop_task_init(&m->removal.task, client_change_on_gone, m);
}

void client_change_done(struct client_mapping *m)
{
	loop_timer_cancel(&m->removal.timer);
	loop_task_cancel(m->client->env->loop, &m->removal.task);
}

int client_remove_mapping(struct client *c, uint64_t id, uint64_t deadline_ns,
			  void (*on_removed)(void *user, uint64_t id,
					     const struct tunnel_counters *final),
			  void *user)
{
	struct client_mapping *m = client_find(c, id);
	bool now = deadline_ns <= loop_now(c->env->loop);

	if (m == NULL)
		return RSTUN_E_NOT_FOUND;
	m->removal.on_removed = on_removed;
	m->removal.user = user;
	if (!m->removal.asked && !c->draining)
		client_leave(c, m);
	m->removal.asked = true;
	client_mapping_stop(m, now);
	if (m->conn == NULL)
		client_mapping_gone(m);
	else if (!now && deadline_ns < m->removal.timer.deadline_ns)
		loop_timer_arm(&m->removal.timer, deadline_ns);
	return 0;
}

int client_restart_mapping(struct client *c, uint64_t id)
{
	struct client_mapping *m = client_find(c, id);

	if (m == NULL)
		return RSTUN_E_NOT_FOUND;
	if (m->stopped)
		return RSTUN_E_SHUTTING_DOWN;
	client_mapping_restart(m);
	return 0;
}

/* ---- looking, and ending flows ---- */

int client_counters_of(struct client *c, uint64_t mapping_id, struct tunnel_counters *ret,
		       const struct mapping **ret_mapping)
{
	struct client_mapping *m = client_find(c, mapping_id);

	if (m == NULL)
		return RSTUN_E_NOT_FOUND;
	client_mapping_counters(m, ret);
	*ret_mapping = &m->mapping;
	return 0;
}

void client_visit_flows(struct client *c, uint64_t mapping_id,
			void (*visit)(void *user, const struct flow_info *flow), void *user)
{
	struct client_mapping *m;

	TAILQ_FOREACH(m, &c->mappings, link)
	if (mapping_id == 0 || m->id == mapping_id)
		flows_visit(&m->flows, m->id, visit, user);
}

size_t client_kill_flows(struct client *c, uint64_t mapping_id, uint64_t flow_id)
{
	struct client_mapping *m = client_find(c, mapping_id);

	return m == NULL ? 0 : flows_kill(&m->flows, flow_id);
}
