/* SPDX-License-Identifier: MIT */
/*
 * Mappings as a caller tells them, and his list of them against what there is: nothing is changed
 * here. What lives with a connection is not in the list's power: its owner ends it.
 */
#include "rstund/control/apply_private.h"

#include "base/error.h"
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

static int apply_parse_spec(struct mapping *ret, const struct rpc_mapping_input *in,
			    struct rpc_error *error)
{
	enum mapping_proto proto = (enum mapping_proto)in->proto;
	char why[MAPPING_ERROR_SIZE], *text = NULL;
	bool parts = in->spec == NULL;
	int rc;

	if (parts && (in->mode < 0 || in->local == NULL || in->remote == NULL))
		return rpc_error_set(error, RPC_INVALID_PARAMS,
				     "spec is missing: say OUT^9000^ANY, or give mode, local and "
				     "remote");
	if (parts && asprintf(&text, "%s^%s^%s", mapping_mode_name((enum mapping_mode)in->mode),
			      in->local, in->remote) < 0)
		return apply_nomem(error);
	if (!parts)
		text = in->spec;
	rc = mapping_parse(ret, proto, text, strlen(text), why);
	if (rc != 0) {
		rpc_error_set(error, RPC_INVALID_PARAMS, "%s", why);
		snprintf(error->field, sizeof(error->field), "%s", parts ? "local" : "spec");
		snprintf(error->value, sizeof(error->value), "%s", text);
	}
	if (parts)
		free(text);
	return rc;
}

int apply_parse_input(struct daemon *d, const struct rpc_mapping_input *in,
		      struct hold_mapping_params *ret, struct rpc_error *error)
{
	struct hold_mapping_params p = {
		.name = in->name,
		.expires_ms = in->expires_ms,
		.expires_wall_us = INT64_MAX,
	};

	if (apply_parse_spec(&p.mapping, in, error) != 0)
		return RSTUN_E_FAILED;
	p.client = methods_the_client(d, in->client, error);
	if (p.client == NULL)
		return RSTUN_E_FAILED;
	*ret = p;
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

/* "mappings[3]: ..." and "mappings[3].client". */
static void apply_say_which(struct rpc_error *error, size_t i)
{
	struct rpc_error inner = *error;

	snprintf(error->message, sizeof(error->message), "mappings[%zu]: %.700s", i,
		 inner.message);
	snprintf(error->field, sizeof(error->field), "mappings[%zu]%s%.100s", i,
		 inner.field[0] != '\0' ? "." : "", inner.field);
}

static int apply_fill(struct daemon *d, struct plan *plan, const struct field_array *list,
		      struct rpc_error *error)
{
	const struct rpc_mapping_input *in = list->items;

	for (size_t i = 0; i < list->count; i++) {
		struct hold_mapping_params p;

		if (apply_parse_input(d, &in[i], &p, error) != 0) {
			apply_say_which(error, i);
			return RSTUN_E_FAILED;
		}
		plan->items[i].name = p.name;
		plan->items[i].client = p.client->name;
		plan->items[i].mapping = p.mapping;
		plan->items[i].expires_ms = p.expires_ms;
	}
	return 0;
}

/* Mappings of the administrator's are changed where they stand, those of a connection by nobody. */
static int apply_check_origins(const struct plan *plan, struct rpc_error *error)
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
		snprintf(error->field, sizeof(error->field), "mappings[%zu]", i);
		return RSTUN_E_FAILED;
	}
	return 0;
}

int apply_plan(struct daemon *d, struct plan *plan,
	       const struct rpc_mapping_apply_params *params, struct rpc_error *error)
{
	struct plan_rules rules = {
		.fits = apply_fits,
		.goes = params->prune ? apply_goes : NULL,
		.code = RPC_INVALID_PARAMS,
	};
	int rc = apply_fill(d, plan, &params->mappings, error);

	if (rc == 0)
		rc = plan_match(plan, &d->inventory, &rules, error);
	if (rc == 0)
		rc = apply_check_origins(plan, error);
	if (rc == 0)
		rc = plan_check(plan, &d->inventory, &rules, error);
	return rc;
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
