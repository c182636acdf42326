/* SPDX-License-Identifier: MIT */
/*
 * One question at a time to all workers; who comes while it is on its way waits for the next one.
 */
#include "rstund/sampler.h"

#include "base/clock.h"
#include "rstund/control/control_server.h"
#include "rstund/daemon_private.h"
#include "rstund/messages.h"
#include "tunnel/counters.h"

#define SAMPLER_TIMEOUT_MS 1000 /* a worker that hangs */
#define SAMPLER_RATES_NS (60 * CLOCK_NS_PER_S)
#define SAMPLER_MIN_NS (100 * CLOCK_NS_PER_MS)
#define SAMPLER_REST 16 /* times as long as the workers were at the last answer */
#define SAMPLER_REST_MAX_NS (40 * CLOCK_NS_PER_MS)

static void sampler_ask(struct sampler *s);
static void sampler_arm(struct sampler *s);

/* ---- What comes ------------------------------------------------------------------------------ */

static void sampler_take_one(struct daemon *d, const struct role *role,
			     const struct message_counters *one)
{
	struct held_mapping *m;
	struct held_session *session;

	if (role->client != NULL) {
		m = inventory_mapping_by_number(&d->inventory, one->id);
		if (m == NULL || m->role != role)
			return;
		m->counters = m->before;
		counters_add(&m->counters, &one->counters);
		return;
	}
	session = inventory_session_of_role(&d->inventory, role->index, one->id);
	if (session != NULL)
		session->counters = one->counters;
}

static void sampler_on_message(void *user, const struct message *m)
{
	struct sampler *s = user;
	struct role *role;

	if (m->kind == MESSAGE_GATHERED)
		s->took_ns += m->gathered.took_ns;
	if (m->kind != MESSAGE_COUNTERS)
		return;
	role = role_find(s->daemon, m->role);
	if (role == NULL)
		return;
	if (m->counters.summed)
		role_counted(role, m->worker, &m->counters.sum);
	for (size_t i = 0; i < m->counters.count; i++)
		sampler_take_one(s->daemon, role,
				 &((const struct message_counters *)m->data)[i]);
}

/* Sums of what has several parts, and everybody's rates. */
static void sampler_sum(struct daemon *d)
{
	uint64_t now_ns = loop_now(&d->loop);
	struct tunnel_counters total;
	struct held_client *client;
	struct held_server *server;
	struct held_mapping *m;

	daemon_total(d, &total);
	rates_update(&d->sampler.total, &total, now_ns);
	TAILQ_FOREACH (client, &d->inventory.clients, link) {
		client->counters = client->before;
		role_sum_of(d, false, client->number, &client->counters);
		rates_update(&client->rates, &client->counters, now_ns);
	}
	TAILQ_FOREACH (server, &d->inventory.servers, link) {
		server->counters = server->before;
		role_sum_of(d, true, server->number, &server->counters);
		rates_update(&server->rates, &server->counters, now_ns);
	}
	TAILQ_FOREACH (m, &d->inventory.mappings, link)
		rates_update(&m->rates, &m->counters, now_ns);
}

static void sampler_on_done(void *user, bool complete)
{
	struct sampler *s = user;
	struct sampler_wait *wait;

	(void)complete;
	s->gather = NULL;
	s->sampled_ns = loop_now(&s->daemon->loop);
	s->rest_until_ns =
		s->sampled_ns + clock_min(s->took_ns * SAMPLER_REST, SAMPLER_REST_MAX_NS);
	sampler_sum(s->daemon);
	TAILQ_CONCAT(&s->answered, &s->asked, link);
	if (!TAILQ_EMPTY(&s->next))
		sampler_ask(s);
	while ((wait = TAILQ_FIRST(&s->answered)) != NULL) {
		TAILQ_REMOVE(&s->answered, wait, link);
		wait->waiting = false;
		wait->done(wait->user);
	}
	if (s->interval_ns != CLOCK_NEVER && s->daemon->control != NULL)
		control_server_stats(s->daemon->control);
}

static const struct gather_ops sampler_ops = {
	.on_message = sampler_on_message,
	.done = sampler_on_done,
};

static void sampler_ask(struct sampler *s)
{
	struct daemon *d = s->daemon;

	if (s->gather != NULL)
		return;
	if (loop_now(&d->loop) < s->rest_until_ns) {
		loop_timer_arm(&s->rest_timer, s->rest_until_ns);
		return;
	}
	s->took_ns = 0;
	if (gather_new(&s->gather, &d->gathers, &sampler_ops, s, SAMPLER_TIMEOUT_MS) != 0) {
		/* Memory is short: those who wait get their answer a little later. */
		sampler_arm(s);
		return;
	}
	TAILQ_CONCAT(&s->asked, &s->next, link);
	for (unsigned i = 0; i < d->worker_count; i++) {
		struct message *m = message_new(MESSAGE_REPORT, 0, 0);

		if (m == NULL)
			continue;
		gather_ask(s->gather, d->workers[i], m);
	}
}

/* ---- When ------------------------------------------------------------------------------------ */

static void sampler_arm(struct sampler *s)
{
	uint64_t now_ns = loop_now(&s->daemon->loop);
	uint64_t interval_ns = s->interval_ns;

	if (s->rates_until_ns > now_ns)
		interval_ns = clock_min(interval_ns, CLOCK_NS_PER_S);
	if (s->gather == NULL && !TAILQ_EMPTY(&s->next)) /* sampler_ask failed */
		interval_ns = SAMPLER_MIN_NS;
	loop_timer_arm(&s->timer, clock_after(now_ns, interval_ns));
}

static void sampler_on_timer(void *user)
{
	struct sampler *s = user;

	sampler_ask(s);
	sampler_arm(s);
}

static void sampler_on_rest(void *user)
{
	sampler_ask(user);
}

void sampler_init(struct sampler *s, struct daemon *d)
{
	*s = (struct sampler){.daemon = d, .interval_ns = CLOCK_NEVER};
	TAILQ_INIT(&s->answered);
	TAILQ_INIT(&s->asked);
	TAILQ_INIT(&s->next);
	loop_timer_init(&s->timer, &d->loop, sampler_on_timer, s);
	loop_timer_init(&s->rest_timer, &d->loop, sampler_on_rest, s);
}

void sampler_done(struct sampler *s)
{
	if (s->daemon == NULL)
		return;
	loop_timer_cancel(&s->timer);
	loop_timer_cancel(&s->rest_timer);
	gather_cancel(s->gather);
	s->gather = NULL;
	s->daemon = NULL;
}

void sampler_refresh(struct sampler *s, struct sampler_wait *wait, void (*done)(void *user),
		     void *user)
{
	*wait = (struct sampler_wait){.done = done, .user = user, .waiting = true};
	TAILQ_INSERT_TAIL(&s->next, wait, link);
	sampler_ask(s);
}

static bool sampler_take_out(struct sampler_waits *from, struct sampler_wait *wait)
{
	struct sampler_wait *at;

	TAILQ_FOREACH (at, from, link) {
		if (at == wait) {
			TAILQ_REMOVE(from, wait, link);
			return true;
		}
	}
	return false;
}

void sampler_cancel(struct sampler *s, struct sampler_wait *wait)
{
	if (!wait->waiting)
		return;
	wait->waiting = false;
	if (!sampler_take_out(&s->asked, wait) && !sampler_take_out(&s->next, wait))
		sampler_take_out(&s->answered, wait);
}

void sampler_want_rates(struct sampler *s)
{
	s->rates_until_ns = clock_after(loop_now(&s->daemon->loop), SAMPLER_RATES_NS);
	sampler_arm(s);
}

void sampler_want_interval(struct sampler *s, uint64_t interval_ms)
{
	s->interval_ns = interval_ms == UINT64_MAX ? CLOCK_NEVER : clock_ms(interval_ms);
	if (s->interval_ns < SAMPLER_MIN_NS)
		s->interval_ns = SAMPLER_MIN_NS;
	sampler_arm(s);
}
