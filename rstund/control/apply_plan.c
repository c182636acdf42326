/* SPDX-License-Identifier: MIT */
/*
 * Mappings as a caller tells them, and his list of them against what there is: nothing is changed
 * here. What lives with a connection is not in the list's power: its owner ends it.
 */
#include "rstund/control/apply_private.h"

#include "base/error.h"
#include "rstund/config_set.h"
#include "rstund/control/apply.h"
#include "rstund/control/methods.h"
#include "rstund/daemon_private.h"
#include "rstund/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int apply_nomem(struct rpc_error *error)
{
	return rpc_error_from(error, RSTUN_E_NOMEM, "%s", rstun_strerror(RSTUN_E_NOMEM));
}

/* ---- As it is told --------------------------------------------------------------------------- */

static int apply_no_mapping(const struct rpc_mapping_input *in, const char *text, const char *why,
			    struct rpc_error *error)
{
	rpc_error_set(error, RPC_INVALID_PARAMS, "%s", why);
	snprintf(error->field, sizeof(error->field), "%s", in->spec == NULL ? "local" : "spec");
	snprintf(error->value, sizeof(error->value), "%s", text);
	return RSTUN_E_FAILED;
}

/* MODE^local^remote. malloc'ed. */
static int apply_text(char **ret, const struct rpc_mapping_input *in, struct rpc_error *error)
{
	int rc;

	if (in->spec == NULL && (in->mode < 0 || in->local == NULL || in->remote == NULL))
		return rpc_error_set(error, RPC_INVALID_PARAMS,
				     "spec is missing: say OUT^9000^ANY, or give mode, local and "
				     "remote");
	if (in->spec != NULL)
		rc = asprintf(ret, "%s", in->spec);
	else
		rc = asprintf(ret, "%s^%s^%s", mapping_mode_name((enum mapping_mode)in->mode),
			      in->local, in->remote);
	return rc < 0 ? apply_nomem(error) : 0;
}

static int apply_params_of(struct daemon *d, const struct rpc_mapping_input *in,
			   struct hold_mapping_params *ret, struct rpc_error *error)
{
	*ret = (struct hold_mapping_params){
		.client = methods_the_client(d, in->client, error),
		.name = in->name,
		.expires_ms = in->expires_ms,
		.expires_wall_us = INT64_MAX,
	};
	return ret->client != NULL ? 0 : RSTUN_E_FAILED;
}

int apply_parse_input(struct daemon *d, const struct rpc_mapping_input *in,
		      struct hold_mapping_params *ret, struct rpc_error *error)
{
	struct hold_mapping_params p;
	struct mapping mapping;
	char why[MAPPING_ERROR_SIZE], *text;
	int rc = apply_text(&text, in, error);

	if (rc != 0)
		return rc;
	if (mapping_parse(&mapping, (enum mapping_proto)in->proto, text, strlen(text), why) != 0)
		rc = apply_no_mapping(in, text, why, error);
	free(text);
	if (rc == 0)
		rc = apply_params_of(d, in, &p, error);
	if (rc != 0)
		return RSTUN_E_FAILED;
	p.mapping = mapping;
	*ret = p;
	return 0;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static int apply_list_append(struct apply_list *list, const struct hold_mapping_params *common,
			     const struct mapping *mappings, size_t count, size_t input,
			     struct rpc_error *error)
{
	struct apply_item *more;

	if (list->count + count > APPLY_MAPPINGS_MAX)
		return rpc_error_set(error, RPC_INVALID_PARAMS, "there are more than %d mappings",
				     APPLY_MAPPINGS_MAX);
	more = reallocarray(list->items, list->count + count, sizeof(*more));
	if (more == NULL)
		return apply_nomem(error);
	list->items = more;
	for (size_t i = 0; i < count; i++) {
		struct apply_item *item = &more[list->count++];
		char why[512];
		int rc;

		*item = (struct apply_item){.params = *common, .input = input};
		item->params.mapping = mappings[i];
		if (count == 1 || common->name == NULL)
			continue;
		rc = config_range_name(&item->name, common->name, &mappings[i], why, sizeof(why));
		if (rc == RSTUN_E_NOMEM)
			return apply_nomem(error);
		if (rc != 0) {
			rpc_error_set(error, RPC_INVALID_PARAMS, "%s", why);
			snprintf(error->field, sizeof(error->field), "name");
			return rc;
		}
		item->params.name = item->name;
	}
	return 0;
}

int apply_list_add(struct apply_list *list, struct daemon *d, const struct rpc_mapping_input *in,
		   size_t input, struct rpc_error *error)
{
	struct hold_mapping_params common;
	struct mapping *mappings = NULL;
	size_t count = 0;
	char why[MAPPING_ERROR_SIZE], *text;
	int rc = apply_text(&text, in, error);

	if (rc != 0)
		return rc;
	if (mapping_parse_range(&mappings, &count, (enum mapping_proto)in->proto, text,
				strlen(text), why) != 0)
		rc = apply_no_mapping(in, text, why, error);
	free(text);
	if (rc == 0)
		rc = apply_params_of(d, in, &common, error);
	if (rc == 0)
		rc = apply_list_append(list, &common, mappings, count, input, error);
	free(mappings);
	return rc;
}

/* "mappings[3]: ..." and "mappings[3].client". */
static void apply_say_which(struct rpc_error *error, size_t i)
{
	struct rpc_error inner = *error;

	snprintf(error->message, sizeof(error->message), "mappings[%zu]: %.700s", i,
		 inner.message);
	snprintf(error->field, sizeof(error->field), "mappings[%zu]%s%.100s", i,
		 inner.field[0] != '\0' ? "." : "", inner.field);
}

int apply_list_read(struct apply_list *list, struct daemon *d, const struct field_array *from,
		    struct rpc_error *error)
{
	const struct rpc_mapping_input *in = from->items;

	for (size_t i = 0; i < from->count; i++) {
		if (apply_list_add(list, d, &in[i], i, error) == 0)
			continue;
		apply_say_which(error, i);
		return RSTUN_E_FAILED;
	}
	return 0;
}

void apply_list_done(struct apply_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].name);
	free(list->items);
}

const struct hold_mapping_params *apply_list_params(const struct apply_list *list, size_t i)
{
	return &list->items[i].params;
}

static int apply_list_plan(const struct apply_list *list, struct plan *ret,
			   struct rpc_error *error)
{
	if (plan_init(ret, list->count) != 0)
		return apply_nomem(error);
	for (size_t i = 0; i < list->count; i++) {
		const struct hold_mapping_params *p = &list->items[i].params;

		ret->items[i].name = p->name;
		ret->items[i].client = p->client->name;
		ret->items[i].mapping = p->mapping;
		ret->items[i].expires_ms = p->expires_ms;
	}
	return 0;
}

/* ---- The plan -------------------------------------------------------------------------------- */

static bool apply_fits(const struct held_mapping *m)
{
	(void)m;
	return true;
}

static bool apply_goes(const struct held_mapping *m)
{
	return m->caller == 0 &&
	       (m->origin == RPC_ORIGIN_STATE || m->origin == RPC_ORIGIN_RUNTIME);
}

/* Mappings of the administrator's are changed where they stand, those of a connection by nobody. */
static int apply_check_origins(const struct plan *plan, const struct apply_list *list,
			       struct rpc_error *error)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct held_mapping *m = plan->items[i].held;
		char text[MAPPING_TEXT_SIZE];

		if (m == NULL || plan->items[i].same ||
		    (m->caller == 0 && (m->origin == RPC_ORIGIN_STATE ||
					m->origin == RPC_ORIGIN_RUNTIME)))
			continue;
		if (m->caller != 0) {
			rpc_error_set(error, 1002,
				      "mapping %s is there, differently, for as long as the "
				      "connection that added it", plan_held_text(text, m));
			rpc_error_hint(error, "end that connection first, or choose another name");
		} else {
			rpc_error_set(error, 1005, "mapping %s is defined %s, and differently",
				      plan_held_text(text, m),
				      m->origin == RPC_ORIGIN_CONFIG
					      ? "in the configuration file"
					      : "on the daemon's command line");
			rpc_error_hint(error, "leave it out of the list, or change it there");
		}
		snprintf(error->field, sizeof(error->field), "mappings[%zu]",
			 list->items[i].input);
		return RSTUN_E_FAILED;
	}
	return 0;
}

int apply_plan(struct daemon *d, struct plan *plan, const struct apply_list *list, bool prune,
	       struct rpc_error *error)
{
	struct plan_rules rules = {
		.fits = apply_fits,
		.goes = prune ? apply_goes : NULL,
		.code = RPC_INVALID_PARAMS,
	};
	int rc = apply_list_plan(list, plan, error);

	if (rc == 0)
		rc = plan_match(plan, &d->inventory, &rules, error);
	if (rc == 0)
		rc = apply_check_origins(plan, list, error);
	if (rc == 0)
		rc = plan_check(plan, &d->inventory, &rules, error);
	return rc;
}

static const struct plan_rules apply_range_rules = {
	.fits = apply_fits,
	.code = RPC_INVALID_PARAMS,
};

int apply_plan_range(struct daemon *d, struct plan *ret, const struct apply_list *list,
		     struct rpc_error *error)
{
	int rc = apply_list_plan(list, ret, error);

	return rc != 0 ? rc : plan_match(ret, &d->inventory, &apply_range_rules, error);
}

int apply_check_range(const struct daemon *d, const struct plan *plan, struct rpc_error *error)
{
	return plan_check(plan, &d->inventory, &apply_range_rules, error);
}

static int apply_tell_one(char ***list, size_t *count, size_t room, const char *text)
{
	if (*list == NULL)
		*list = calloc(room + 1, sizeof(**list));
	if (*list == NULL)
		return RSTUN_E_NOMEM;
	(*list)[*count] = strdup(text);
	return (*list)[(*count)++] != NULL ? 0 : RSTUN_E_NOMEM;
}

int apply_tell(const struct plan *plan, struct rpc_mapping_apply_result *ret)
{
	size_t added = 0, changed = 0, removed = 0;
	char text[MAPPING_TEXT_SIZE];
	int rc = 0;

	for (size_t i = 0; i < plan->count && rc == 0; i++) {
		const struct plan_item *item = &plan->items[i];

		if (item->held == NULL)
			rc = apply_tell_one(&ret->added, &added, plan->added,
					    plan_item_text(text, item));
		else if (!item->same)
			rc = apply_tell_one(&ret->changed, &changed, plan->changed,
					    plan_item_text(text, item));
		else
			ret->unchanged++;
	}
	for (size_t i = 0; i < plan->gone_count && rc == 0; i++)
		rc = apply_tell_one(&ret->removed, &removed, plan->gone_count,
				    plan_held_text(text, plan->gone[i]));
	return rc;
}
