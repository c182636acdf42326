/* SPDX-License-Identifier: MIT */
/*
 * mapping.apply, and mapping.add of a range. What the list asks for is compared first
 * (apply_plan.c) and everything about it checked; the state file is written before the first
 * change, as it will be afterwards. So nothing but a lack of memory, or of a range an address that
 * cannot be had, can stop it halfway, and what was done is undone then.
 *
 * What waits to be confirmed lives in d->apply: the steps that were taken, each with what was there
 * before, and the same as entries with which the state file is written meanwhile. Mappings are
 * found by number, because anybody may remove them in the meantime: that wins over the way
 * back.
 */
#include "rstund/control/apply.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "rstund/control/apply_private.h"
#include "rstund/control/persist.h"
#include "rstund/daemon_private.h"
#include "rstund/hold.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum apply_kind {
	APPLY_ADDED,
	APPLY_CHANGED,
	APPLY_REMOVED,
	APPLY_KEPT,
};

/* What the new ones are. */
struct apply_manner {
	enum rpc_origin origin;
	uint64_t caller;
	bool must_listen;
};

/* Something that was done, and what is needed to undo it. */
struct apply_step {
	enum apply_kind kind;
	enum rpc_origin origin;
	uint64_t caller;
	struct persist_entry before; /* of ADDED only the number */
};

struct apply {
	struct daemon *daemon;
	struct apply_step *steps;
	size_t step_count;
	struct persist_entry *entries; /* for the state file; of steps that concern it */
	size_t entry_count;
	size_t added, changed, removed;
	uint64_t within_s;
	uint64_t deadline_ns;
	struct loop_timer timer;
};

static int apply_nomem(struct rpc_error *error)
{
	return rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
}

/* ---- The state file -------------------------------------------------------------------------- */

static struct persist_entry apply_entry_of_held(const struct held_mapping *m)
{
	struct persist_entry e = {
		.number = m->number,
		.mapping = m->mapping,
		.expires_ms = m->expires_ms,
		.expires_wall_us = m->expires_wall_us,
		.paused = m->paused,
	};

	snprintf(e.name, sizeof(e.name), "%s", m->name);
	snprintf(e.client, sizeof(e.client), "%s", m->client->name);
	return e;
}

static struct persist_entry apply_entry_of_item(const struct plan_item *item)
{
	struct persist_entry e = {
		.kind = item->held != NULL ? PERSIST_INSTEAD : PERSIST_BESIDE,
		.number = item->held != NULL ? item->held->number : 0,
		.mapping = item->mapping,
		.expires_ms = item->expires_ms,
		.expires_wall_us = item->expires_ms == UINT64_MAX
					   ? INT64_MAX
					   : clock_wall_us() + (int64_t)item->expires_ms * 1000,
		.paused = item->held != NULL ? item->held->paused : item->paused,
	};

	snprintf(e.name, sizeof(e.name), "%s", item->name != NULL	  ? item->name
					       : item->held != NULL ? item->held->name
								    : "");
	snprintf(e.client, sizeof(e.client), "%s", item->client);
	return e;
}

/* As it will be. */
static void apply_entries_after(struct apply *a, const struct plan *plan, enum rpc_origin fresh)
{
	for (size_t i = 0; i < plan->gone_count; i++)
		if (plan->gone[i]->origin == RPC_ORIGIN_STATE)
			a->entries[a->entry_count++] = (struct persist_entry){
				.kind = PERSIST_LEFT_OUT, .number = plan->gone[i]->number};
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_item *item = &plan->items[i];
		enum rpc_origin origin = item->held != NULL ? item->held->origin : fresh;

		if (!item->same && origin == RPC_ORIGIN_STATE)
			a->entries[a->entry_count++] = apply_entry_of_item(item);
	}
}

/* As it was, for as long as it is not confirmed. */
static void apply_entries_before(struct apply *a)
{
	a->entry_count = 0;
	for (size_t i = 0; i < a->step_count; i++) {
		const struct apply_step *step = &a->steps[i];
		struct persist_entry *e = &a->entries[a->entry_count];

		if (step->origin != RPC_ORIGIN_STATE)
			continue;
		*e = step->before;
		e->kind = step->kind == APPLY_ADDED	? PERSIST_LEFT_OUT
			  : step->kind == APPLY_CHANGED ? PERSIST_INSTEAD
							: PERSIST_BESIDE;
		a->entry_count++;
	}
}

/* ---- Doing ----------------------------------------------------------------------------------- */

static struct apply_step *apply_note(struct apply *a, enum apply_kind kind,
				     const struct held_mapping *m)
{
	struct apply_step *step = &a->steps[a->step_count++];

	*step = (struct apply_step){
		.kind = kind,
		.origin = m->origin,
		.caller = m->caller,
		.before = apply_entry_of_held(m),
	};
	return step;
}

static int apply_remove(struct daemon *d, struct apply *a, const struct plan *plan,
			struct rpc_error *error)
{
	for (size_t i = 0; i < plan->gone_count; i++) {
		apply_note(a, APPLY_REMOVED, plan->gone[i]);
		if (hold_mapping_remove(d, plan->gone[i], 0, "it is not in the list", error) != 0) {
			a->step_count--;
			return RSTUN_E_FAILED;
		}
		a->removed++;
	}
	return 0;
}

/* Before apply_write_ahead, which writes it. */
static void apply_keep(struct apply *a, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct held_mapping *m = plan->items[i].held;

		if (!plan->items[i].keep)
			continue;
		apply_note(a, APPLY_KEPT, m);
		m->origin = RPC_ORIGIN_STATE;
	}
}

static struct hold_mapping_params apply_params(const struct daemon *d, const struct plan_item *item)
{
	return (struct hold_mapping_params){
		.client = inventory_client(&d->inventory, item->client),
		.mapping = item->mapping,
		.name = item->name,
		.expires_ms = item->expires_ms,
		.expires_wall_us = INT64_MAX,
		.paused = item->paused,
		.checked = true,
	};
}

static int apply_change(struct daemon *d, struct apply *a, const struct plan *plan,
			struct rpc_error *error)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_item *item = &plan->items[i];
		struct hold_mapping_params p;

		if (item->held == NULL || item->same)
			continue;
		p = apply_params(d, item);
		apply_note(a, APPLY_CHANGED, item->held);
		if (hold_mapping_change(d, item->held, &p, error) != 0) {
			a->step_count--;
			return RSTUN_E_FAILED;
		}
		a->changed++;
	}
	return 0;
}

static int apply_add(struct daemon *d, struct apply *a, const struct plan *plan,
		     const struct apply_manner *manner, struct rpc_error *error)
{
	for (size_t i = 0; i < plan->count; i++) {
		struct hold_mapping_params p;
		struct held_mapping *m;

		if (plan->items[i].held != NULL)
			continue;
		p = apply_params(d, &plan->items[i]);
		p.origin = manner->origin;
		p.caller = manner->caller;
		p.must_listen = manner->must_listen;
		if (hold_mapping_add(d, &p, &m, error) != 0)
			return RSTUN_E_FAILED;
		apply_note(a, APPLY_ADDED, m);
		a->added++;
	}
	return 0;
}

/* ---- Undoing --------------------------------------------------------------------------------- */

static struct hold_mapping_params apply_params_before(const struct daemon *d,
						      const struct apply_step *step)
{
	const struct persist_entry *before = &step->before;

	return (struct hold_mapping_params){
		.client = inventory_client(&d->inventory, before->client),
		.mapping = before->mapping,
		.name = before->name[0] != '\0' ? before->name : NULL,
		.origin = step->origin,
		.caller = step->caller,
		.expires_ms = before->expires_ms,
		.expires_wall_us = before->expires_wall_us,
		.paused = before->paused,
		.number = before->number,
	};
}

static void apply_undo_failed(struct daemon *d, const struct apply_step *step, const char *why)
{
	log_error(&d->log, "rstund", "mapping m%" PRIu64 "%s%s cannot be as it was: %s",
		  step->before.number, step->before.name[0] != '\0' ? " " : "", step->before.name,
		  why);
}

static void apply_undo_step(struct daemon *d, const struct apply_step *step)
{
	struct held_mapping *m = inventory_mapping_by_number(&d->inventory, step->before.number);
	struct hold_mapping_params p = apply_params_before(d, step);
	struct rpc_error error;
	int rc = 0;

	if (step->kind != APPLY_REMOVED && (m == NULL || m->removed))
		return; /* somebody removed it meanwhile */
	if (step->kind == APPLY_ADDED) {
		rc = hold_mapping_remove(d, m, 0, "the change is undone", &error);
	} else if (step->kind == APPLY_KEPT) {
		m->origin = step->origin;
	} else if (p.client == NULL) {
		rpc_error_set(&error, 1001, "its client %s is not there any more",
			      step->before.client);
		rc = RSTUN_E_FAILED;
	} else if (step->kind == APPLY_CHANGED) {
		p.checked = true; /* together with the others it was possible once */
		rc = hold_mapping_change(d, m, &p, &error);
	} else {
		rc = hold_mapping_add(d, &p, &m, &error);
	}
	if (rc != 0)
		apply_undo_failed(d, step, error.message);
}

/* What was added goes first, so that its addresses are free. The file is written by the caller. */
static void apply_undo(struct daemon *d, const struct apply *a)
{
	static const enum apply_kind passes[] = {APPLY_ADDED, APPLY_CHANGED, APPLY_REMOVED,
						 APPLY_KEPT};

	persist_hold(d);
	for (size_t pass = 0; pass < sizeof(passes) / sizeof(passes[0]); pass++)
		for (size_t i = a->step_count; i-- > 0;)
			if (a->steps[i].kind == passes[pass])
				apply_undo_step(d, &a->steps[i]);
	persist_release(d);
}

static void apply_save(struct daemon *d)
{
	struct rpc_error error;

	if (persist_save(d, &error) != 0)
		log_error(&d->log, "rstund", "the state file is not up to date: %s", error.message);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static void apply_free(struct apply *a)
{
	if (a == NULL)
		return;
	if (a->within_s > 0)
		loop_timer_cancel(&a->timer);
	free(a->steps);
	free(a->entries);
	free(a);
}

static void apply_on_timer(void *user)
{
	struct apply *a = user;

	apply_check(a->daemon, loop_now(&a->daemon->loop));
}

static struct apply *apply_new(struct daemon *d, const struct plan *plan, uint64_t within_s)
{
	size_t room = plan->added + plan->changed + plan->kept + plan->gone_count + 1;
	struct apply *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return NULL;
	a->daemon = d;
	a->steps = calloc(room, sizeof(*a->steps));
	a->entries = calloc(room, sizeof(*a->entries));
	if (a->steps == NULL || a->entries == NULL) {
		apply_free(a);
		return NULL;
	}
	a->within_s = within_s;
	loop_timer_init(&a->timer, &d->loop, apply_on_timer, a);
	return a;
}

void apply_forget(struct daemon *d)
{
	if (d->apply == NULL)
		return;
	persist_set_entries(d, NULL, 0);
	apply_free(d->apply);
	d->apply = NULL;
}

static void apply_revert(struct daemon *d, const char *why)
{
	struct apply *a = d->apply;

	log_warn(&d->log, "rstund",
		 "mapping.apply is undone (%s): %zu added, %zu changed, %zu removed before", why,
		 a->added, a->changed, a->removed);
	persist_set_entries(d, NULL, 0);
	apply_undo(d, a);
	apply_save(d);
	apply_forget(d);
}

void apply_check(struct daemon *d, uint64_t now_ns)
{
	char why[80];

	if (d->apply == NULL || now_ns < d->apply->deadline_ns || d->phase > DAEMON_RUNNING)
		return;
	snprintf(why, sizeof(why), "not confirmed within %" PRIu64 " s", d->apply->within_s);
	apply_revert(d, why);
}

bool apply_confirm(struct daemon *d, bool revert, struct rpc_error *error)
{
	struct apply *a = d->apply;

	error->code = 0;
	if (a == NULL)
		return false;
	if (revert) {
		apply_revert(d, "as asked");
		return true;
	}
	persist_set_entries(d, NULL, 0);
	if (a->entry_count > 0 && persist_save(d, error) != 0) {
		persist_set_entries(d, a->entries, a->entry_count);
		return false;
	}
	log_info(&d->log, "rstund", "mapping.apply is confirmed");
	apply_forget(d);
	return true;
}

uint64_t apply_left_ms(const struct daemon *d, uint64_t now_ns)
{
	if (d->apply == NULL)
		return UINT64_MAX;
	return d->apply->deadline_ns <= now_ns
		       ? 0
		       : (d->apply->deadline_ns - now_ns + CLOCK_NS_PER_MS - 1) / CLOCK_NS_PER_MS;
}

/* ---- The whole ------------------------------------------------------------------------------- */

/* The state file as it will be, before anything is changed: a full disk disturbs nobody. */
static int apply_write_ahead(struct daemon *d, struct apply *a, const struct plan *plan,
			     enum rpc_origin origin, struct rpc_error *error)
{
	int rc;

	apply_entries_after(a, plan, origin);
	if (a->entry_count == 0 && plan->kept == 0)
		return 0;
	persist_set_entries(d, a->entries, a->entry_count);
	rc = persist_save(d, error);
	persist_set_entries(d, NULL, 0);
	return rc;
}

/* Takes `a` over. */
static int apply_carry_out(struct daemon *d, struct apply *a, const struct plan *plan,
			   const struct apply_manner *manner, uint64_t now_ns,
			   struct rpc_error *error)
{
	int rc;

	apply_keep(a, plan);
	rc = a->within_s == 0 ? apply_write_ahead(d, a, plan, manner->origin, error) : 0;
	if (rc != 0) {
		apply_undo(d, a);
		apply_free(a);
		return RSTUN_E_FAILED;
	}
	persist_hold(d);
	rc = apply_remove(d, a, plan, error);
	if (rc == 0)
		rc = apply_change(d, a, plan, error);
	if (rc == 0)
		rc = apply_add(d, a, plan, manner, error);
	persist_release(d);
	if (rc != 0) {
		apply_undo(d, a);
		apply_save(d);
	}
	if (rc != 0 || a->within_s == 0) {
		apply_free(a);
		return rc;
	}
	apply_entries_before(a);
	persist_set_entries(d, a->entries, a->entry_count);
	a->deadline_ns = clock_after(now_ns, a->within_s * CLOCK_NS_PER_S);
	loop_timer_arm(&a->timer, a->deadline_ns);
	d->apply = a;
	return 0;
}

int apply_add_together(struct daemon *d, const struct plan *plan, enum rpc_origin origin,
		       uint64_t caller, struct rpc_error *error)
{
	struct apply_manner manner = {.origin = origin, .caller = caller, .must_listen = true};
	struct apply *a = apply_new(d, plan, 0);

	if (a == NULL)
		return apply_nomem(error);
	return apply_carry_out(d, a, plan, &manner, 0, error);
}

static int apply_run(struct daemon *d, const struct rpc_mapping_apply_params *params,
		     const struct apply_list *list, struct plan *plan, uint64_t now_ns,
		     struct rpc_mapping_apply_result *ret, struct rpc_error *error)
{
	struct apply_manner manner = {.origin = persist_origin(d, true)};
	int rc = apply_plan(d, plan, list, params->prune, error);
	struct apply *a;

	if (rc != 0)
		return rc;
	if (apply_tell(plan, ret) != 0)
		return apply_nomem(error);
	if (params->dry_run || plan->added + plan->changed + plan->gone_count == 0)
		return 0;
	a = apply_new(d, plan, params->confirm_within_s);
	if (a == NULL)
		return apply_nomem(error);
	rc = apply_carry_out(d, a, plan, &manner, now_ns, error);
	if (rc == 0)
		ret->revert_in_ms = apply_left_ms(d, now_ns);
	return rc;
}

int apply_may_begin(struct daemon *d, uint64_t now_ns, struct rpc_error *error)
{
	if (d->apply == NULL)
		return 0;
	rpc_error_set(error, 1006,
		      "another mapping.apply waits to be confirmed, and is undone in %" PRIu64
		      " s without that",
		      apply_left_ms(d, now_ns) / 1000);
	rpc_error_hint(error, "keep it: rstunctl confirm; or undo it: rstunctl confirm --revert");
	return RSTUN_E_FAILED;
}

int apply_mappings(struct daemon *d, const struct rpc_mapping_apply_params *params, uint64_t now_ns,
		   struct rpc_mapping_apply_result *ret, struct rpc_error *error)
{
	struct apply_list list = {.count = 0};
	struct plan plan = {.count = 0};
	int rc;

	ret->dry_run = params->dry_run;
	ret->revert_in_ms = UINT64_MAX;
	if (d->phase > DAEMON_RUNNING)
		return rpc_error_set(error, 1008, "the daemon is ending");
	if (!params->dry_run && apply_may_begin(d, now_ns, error) != 0)
		return RSTUN_E_FAILED;
	rc = apply_list_read(&list, d, &params->mappings, error);
	if (rc == 0)
		rc = apply_run(d, params, &list, &plan, now_ns, ret, error);
	plan_done(&plan);
	apply_list_done(&list);
	return rc;
}
