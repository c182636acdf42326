/* SPDX-License-Identifier: MIT */
/*
 * mapping.*, but for calls that wait (methods_wait.c) and whole sets (methods_apply.c).
 */
#include "rstund/control/methods.h"

#include "base/error.h"
#include "rstund/control/apply.h"
#include "rstund/control/persist.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"
#include "rstund/hold.h"
#include "rstund/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct answer methods_reply_mapping(struct daemon *d, struct call *c,
					   const struct held_mapping *m)
{
	struct rpc_mapping result = {.id = NULL};
	int rc = show_mapping(&result, d, m);

	return methods_reply(c, &result, rc);
}

static struct held_mapping *methods_which(struct daemon *d, const char *id, const char *name,
					  struct rpc_error *error)
{
	return methods_find_mapping(d, id != NULL ? id : name, error);
}

/* Those of the configuration file are changed there only. One of the command line may go: it comes
 * back with the next start. */
static int methods_mapping_is_ours(const struct held_mapping *m, struct rpc_error *error)
{
	char id[INVENTORY_ID_SIZE];

	inventory_mapping_id(id, m);
	if (m->origin == RPC_ORIGIN_CONFIG) {
		rpc_error_set(error, 1005, "mapping %s is defined in the configuration file", id);
		rpc_error_hint(error, "change it there, then: rstunctl reload; or stop it for now: "
				      "rstunctl pause %s", id);
		return RSTUN_E_FAILED;
	}
	return 0;
}

/* ---- add ------------------------------------------------------------------------------------- */

static struct answer methods_mapping_added(struct daemon *d, struct call *c,
					   const struct held_mapping *m, bool created)
{
	struct rpc_mapping_add_result result = {.created = created};
	int rc = show_mapping(&result.mapping, d, m);

	return methods_reply(c, &result, rc);
}

static bool methods_same_mapping(const struct held_mapping *m,
				 const struct hold_mapping_params *params)
{
	return m->client == params->client && mapping_equal(&m->mapping, &params->mapping);
}

static struct answer methods_mapping_exists(struct daemon *d, struct call *c,
					    const struct held_mapping *m,
					    const struct mapping *wanted)
{
	char id[INVENTORY_ID_SIZE], spec[MAPPING_TEXT_SIZE];
	struct rpc_error error;

	inventory_mapping_id(id, m);
	mapping_format(spec, sizeof(spec), &m->mapping);
	if (m->origin == RPC_ORIGIN_CONFIG) {
		rpc_error_set(&error, 1005,
			      "mapping %s is defined in the configuration file as %s %s", m->name,
			      spec, mapping_proto_name(m->mapping.proto));
		rpc_error_hint(&error, "another name, or change it there, then: rstunctl reload");
	} else {
		rpc_error_set(&error, 1002,
			      "mapping %s exists with another configuration: %s is %s %s", m->name,
			      id, spec, mapping_proto_name(m->mapping.proto));
		rpc_error_hint(&error, "another name, or change that one: rstunctl set %s '%s' --proto "
				       "%s", id, mapping_format(spec, sizeof(spec), wanted),
			       mapping_proto_name(wanted->proto));
	}
	return call_fail(c, &error, show_mapping_data(d, m));
}

/* Something else is there in its place. One that goes with somebody else's connection is not what
 * was asked for, either. */
static bool methods_mapping_clashes(const struct held_mapping *m, struct call *c,
				    const struct hold_mapping_params *params)
{
	return m != NULL && (!methods_same_mapping(m, params) ||
			     (m->caller != 0 && m->caller != call_caller(c)->id));
}

/* It was not to survive the daemon, and now is. */
static bool methods_mapping_is_to_stay(const struct held_mapping *m, enum rpc_origin origin)
{
	return m != NULL && m->origin == RPC_ORIGIN_RUNTIME && m->caller == 0 &&
	       origin == RPC_ORIGIN_STATE;
}

static struct answer methods_mapping_add_one(struct daemon *d, struct call *c,
					     const struct rpc_mapping_add_params *p,
					     const struct hold_mapping_params *params)
{
	struct held_mapping *m = hold_mapping_same(d, params);
	struct rpc_error error;
	bool created;

	if (methods_mapping_clashes(m, c, params))
		return methods_mapping_exists(d, c, m, &params->mapping);
	if (methods_mapping_is_to_stay(m, params->origin) && hold_mapping_keep(d, m, &error) != 0)
		return call_fail(c, &error, NULL);
	created = m == NULL;
	if (created) {
		if (hold_mapping_add(d, params, &m, &error) != 0)
			return call_fail(c, &error, NULL);
	} else if (p->wait_ms == 0 || m->paused || m->state == RPC_STATE_TUNNELING) {
		return methods_mapping_added(d, c, m, false);
	}
	if (p->wait_ms > 0 && !m->paused)
		return methods_wait_added(d, c, m, p->wait_ms, created);
	return methods_mapping_added(d, c, m, true);
}

static struct answer methods_range_added(struct daemon *d, struct call *c,
					 const struct apply_list *list, bool created)
{
	struct rpc_mapping_add_result result = {.created = created, .is_range = true};
	int rc = show_array(&result.mappings, list->count, sizeof(struct rpc_mapping));

	for (size_t i = 0; i < list->count && rc == 0; i++) {
		struct rpc_mapping *shown = (struct rpc_mapping *)result.mappings.items + i;

		rc = show_mapping(shown, d, hold_mapping_same(d, apply_list_params(list, i)));
	}
	if (rc == 0)
		rc = show_mapping(&result.mapping, d,
				  hold_mapping_same(d, apply_list_params(list, 0)));
	return methods_reply(c, &result, rc);
}

/* What is there already of a range stays as it is, but for how long; that and the rest, which is
 * added, are done together, or nothing.
 * *ret_clash: something else is there in the place of one, of which *ret_wanted is the mapping. */
static int methods_range_run(struct daemon *d, struct call *c, struct plan *plan,
			     const struct apply_list *list, const struct hold_mapping_params *common,
			     const struct held_mapping **ret_clash,
			     const struct mapping **ret_wanted, struct rpc_error *error)
{
	int rc = apply_plan_range(d, plan, list, error);

	for (size_t i = 0; i < plan->count && rc == 0; i++) {
		struct plan_item *item = &plan->items[i];

		item->paused = common->paused;
		item->same = item->held != NULL;
		item->keep = methods_mapping_is_to_stay(item->held, common->origin);
		plan->kept += item->keep;
		if (!methods_mapping_clashes(item->held, c, apply_list_params(list, i)))
			continue;
		*ret_clash = item->held;
		*ret_wanted = &item->mapping;
		return RSTUN_E_FAILED;
	}
	if (rc == 0)
		rc = apply_check_range(d, plan, error);
	if (rc != 0 || plan->added + plan->kept == 0)
		return rc;
	return apply_add_together(d, plan, common->origin, common->caller, error);
}

static struct answer methods_mapping_add_range(struct daemon *d, struct call *c, uint64_t wait_ms,
					       const struct apply_list *list,
					       const struct hold_mapping_params *common)
{
	const struct held_mapping *clash = NULL;
	const struct mapping *wanted = NULL;
	struct plan plan = {.count = 0};
	struct rpc_error error;
	struct answer answer;
	int rc;

	if (wait_ms > 0) {
		rpc_error_set(&error, RPC_INVALID_PARAMS,
			      "wait_ms is for one mapping, and this is a range of %zu: leave it "
			      "out, and call mapping.wait for each", list->count);
		snprintf(error.field, sizeof(error.field), "wait_ms");
		return call_fail(c, &error, NULL);
	}
	if (apply_may_begin(d, loop_now(&d->loop), &error) != 0)
		return call_fail(c, &error, NULL);
	rc = methods_range_run(d, c, &plan, list, common, &clash, &wanted, &error);
	if (clash != NULL)
		answer = methods_mapping_exists(d, c, clash, wanted);
	else if (rc != 0)
		answer = call_fail(c, &error, NULL);
	else
		answer = methods_range_added(d, c, list, plan.added > 0);
	plan_done(&plan);
	return answer;
}

struct answer methods_mapping_add(struct daemon *d, struct call *c,
				  const struct rpc_mapping_add_params *p)
{
	bool leaves = p->lifetime == RPC_LIFETIME_CONNECTION;
	struct apply_list list = {.count = 0};
	struct hold_mapping_params params;
	struct rpc_error error;
	struct answer answer;

	if (apply_list_add(&list, d, &p->input, 0, &error) != 0) {
		answer = call_fail(c, &error, NULL);
	} else {
		params = *apply_list_params(&list, 0);
		params.paused = p->paused;
		params.origin = leaves ? RPC_ORIGIN_RUNTIME : persist_origin(d, p->persist);
		params.caller = leaves ? call_caller(c)->id : 0;
		answer = list.count == 1
				 ? methods_mapping_add_one(d, c, p, &params)
				 : methods_mapping_add_range(d, c, p->wait_ms, &list, &params);
	}
	apply_list_done(&list);
	return answer;
}

/* ---- set ------------------------------------------------------------------------------------- */

/* The parts that are given, over those there are. */
static int methods_mapping_merge(struct daemon *d, const struct held_mapping *m,
				 const struct rpc_mapping_set_params *p,
				 struct hold_mapping_params *ret, struct rpc_error *error)
{
	char local[ADDRESS_TARGET_TEXT_SIZE], remote[ADDRESS_TARGET_TEXT_SIZE];
	struct rpc_mapping_input in = {
		.spec = p->spec,
		.mode = -1,
		.proto = p->proto >= 0 ? p->proto : (int)m->mapping.proto,
		.client = p->client != NULL ? p->client : m->client->name,
		.name = (char *)(m->name[0] != '\0' ? m->name : NULL),
		.expires_ms = p->expires_ms == UINT64_MAX ? m->expires_ms
			      : p->expires_ms == 0	   ? UINT64_MAX
							   : p->expires_ms,
	};
	int rc;

	target_format(local, sizeof(local), &m->mapping.local);
	target_format(remote, sizeof(remote), &m->mapping.remote);
	if (p->spec == NULL) {
		in.mode = p->mode >= 0 ? p->mode : (int)m->mapping.mode;
		in.local = p->local != NULL ? p->local : local;
		in.remote = p->remote != NULL ? p->remote : remote;
	}
	rc = apply_parse_input(d, &in, ret, error);
	/* What it is called does not change, nor, unless asked for, when it ends. */
	ret->name = m->name[0] != '\0' ? m->name : NULL;
	ret->expires_wall_us = p->expires_ms == UINT64_MAX ? m->expires_wall_us : INT64_MAX;
	return rc;
}

struct answer methods_mapping_set(struct daemon *d, struct call *c,
				  const struct rpc_mapping_set_params *p)
{
	struct rpc_error error;
	struct held_mapping *m = methods_which(d, p->id, p->name, &error);
	struct hold_mapping_params params;

	if (m == NULL || methods_mapping_is_ours(m, &error) != 0 ||
	    methods_mapping_merge(d, m, p, &params, &error) != 0)
		return call_fail(c, &error, NULL);
	if (methods_same_mapping(m, &params) && params.expires_ms == m->expires_ms &&
	    p->expires_ms == UINT64_MAX)
		return methods_reply_mapping(d, c, m);
	if (hold_mapping_change(d, m, &params, &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_reply_mapping(d, c, m);
}

/* ---- One mapping, shown later ---------------------------------------------------------------- */

struct methods_which_data {
	char *text;
};

static void methods_which_release(void *data)
{
	struct methods_which_data *which = data;

	if (which == NULL)
		return;
	free(which->text);
	free(which);
}

static struct answer methods_mapping_get_now(struct daemon *d, struct call *c, void *data)
{
	const struct methods_which_data *which = data;
	struct rpc_error error;
	struct held_mapping *m = methods_find_mapping(d, which->text, &error);

	return m == NULL ? call_fail(c, &error, NULL) : methods_reply_mapping(d, c, m);
}

/* Shows it when its worker has done what it was told: then a port that is given up is free, and the
 * state is the one after the change. */
static struct answer methods_mapping_told(struct daemon *d, struct call *c,
					  const struct held_mapping *m)
{
	struct methods_which_data *which;
	char id[INVENTORY_ID_SIZE];

	if (m->role == NULL)
		return methods_reply_mapping(d, c, m);
	which = calloc(1, sizeof(*which));
	if (which == NULL || (which->text = strdup(inventory_mapping_id(id, m))) == NULL) {
		methods_which_release(which);
		return methods_nomem(c);
	}
	return methods_after_worker(d, c, m->worker, which, methods_mapping_get_now,
				    methods_which_release);
}

/* ---- remove, pause, restart, drain ----------------------------------------------------------- */

static struct answer methods_mapping_removed(struct daemon *d, struct call *c, void *data)
{
	struct rpc_done_result result = {.done = true};

	(void)d;
	(void)data;
	return call_reply(c, &result);
}

struct answer methods_mapping_remove(struct daemon *d, struct call *c,
				     const struct rpc_mapping_remove_params *p)
{
	struct rpc_done_result result = {.done = false};
	struct rpc_error error;
	struct held_mapping *m = methods_which(d, p->id, p->name, &error);
	bool placed = m != NULL && m->role != NULL;
	unsigned worker = placed ? m->worker : 0;

	if (m == NULL && p->missing_ok)
		return call_reply(c, &result);
	if (m == NULL || methods_mapping_is_ours(m, &error) != 0 ||
	    hold_mapping_remove(d, m, p->drain_ms, "", &error) != 0)
		return call_fail(c, &error, NULL);
	return placed ? methods_after_worker(d, c, worker, NULL, methods_mapping_removed, NULL)
		      : methods_mapping_removed(d, c, NULL);
}

struct answer methods_mapping_pause(struct daemon *d, struct call *c,
				    const struct rpc_which_params *p, bool pause)
{
	struct rpc_error error;
	struct held_mapping *m = methods_which(d, p->id, p->name, &error);

	if (m == NULL || hold_mapping_pause(d, m, pause, 0, &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_mapping_told(d, c, m);
}

struct answer methods_mapping_restart(struct daemon *d, struct call *c,
				      const struct rpc_which_params *p)
{
	struct rpc_error error;
	struct held_mapping *m = methods_which(d, p->id, p->name, &error);

	if (m == NULL || hold_mapping_restart(d, m, &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_mapping_told(d, c, m);
}

struct answer methods_mapping_drain(struct daemon *d, struct call *c,
				    const struct rpc_drain_params *p)
{
	struct rpc_error error;
	struct held_mapping *m = methods_which(d, p->id, p->name, &error);

	if (m == NULL || hold_mapping_pause(d, m, true, p->drain_ms, &error) != 0)
		return call_fail(c, &error, NULL);
	return methods_mapping_told(d, c, m);
}

/* ---- get, list ------------------------------------------------------------------------------- */

struct answer methods_mapping_get(struct daemon *d, struct call *c,
				  const struct rpc_which_params *p)
{
	struct methods_which_data *which = calloc(1, sizeof(*which));

	if (which == NULL || (which->text = strdup(p->id != NULL ? p->id : p->name)) == NULL) {
		methods_which_release(which);
		return methods_nomem(c);
	}
	return methods_after_refresh(d, c, which, methods_mapping_get_now, methods_which_release);
}

struct methods_list_data {
	unsigned client; /* number, 0 = all */
	int state;       /* -1 = all */
};

static bool methods_listed(const struct held_mapping *m, const struct methods_list_data *filter)
{
	return (filter->client == 0 || m->client->number == filter->client) &&
	       (filter->state < 0 || (int)m->state == filter->state);
}

static struct answer methods_mapping_list_now(struct daemon *d, struct call *c, void *data)
{
	struct rpc_mapping_list result = {.mappings = {.count = 0}};
	const struct held_mapping *m;
	size_t count = 0, i = 0;
	int rc;

	TAILQ_FOREACH (m, &d->inventory.mappings, link)
		count += methods_listed(m, data);
	rc = show_array(&result.mappings, count, sizeof(struct rpc_mapping));
	TAILQ_FOREACH (m, &d->inventory.mappings, link)
		if (rc == 0 && methods_listed(m, data))
			rc = show_mapping(&((struct rpc_mapping *)result.mappings.items)[i++], d,
					  m);
	return methods_reply(c, &result, rc);
}

struct answer methods_mapping_list(struct daemon *d, struct call *c,
				   const struct rpc_mapping_list_params *p)
{
	struct methods_list_data *filter = calloc(1, sizeof(*filter));
	struct held_client *client = NULL;
	struct rpc_error error;

	if (filter == NULL)
		return methods_nomem(c);
	if (p->client != NULL) {
		client = methods_find_client(d, p->client, &error);
		if (client == NULL) {
			free(filter);
			return call_fail(c, &error, NULL);
		}
	}
	filter->client = client != NULL ? client->number : 0;
	filter->state = p->state;
	return methods_after_refresh(d, c, filter, methods_mapping_list_now, NULL);
}
