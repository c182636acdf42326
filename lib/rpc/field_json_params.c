/* SPDX-License-Identifier: MIT */
/*
 * The params of a method as its rows want them: where options of a role may stand, and the method's
 * own check. Reading one struct is in field_json.c.
 */
#include "rpc/field_json.h"

#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* The params as the rows want them: options that stand beside `config` are put into it, or, where
 * the method has no row of that name, the members of `config` are put beside it. What is given
 * twice counts as it stands outside. A new reference; NULL when memory is short. */
static json_t *field_json_arrange(const struct rpc_method_row *method, const json_t *params)
{
	bool gather = field_json_find(method->params, "config") != NULL;
	const json_t *given = json_object_get(params, "config");
	json_t *own = json_object(), *config = json_object(), *value;
	const char *key;
	int rv = own == NULL || config == NULL ? -1 : 0;

	if (rv == 0 && json_is_object(given))
		rv = json_object_update(gather ? config : own, (json_t *)(uintptr_t)given);
	json_object_foreach((json_t *)(uintptr_t)params, key, value) {
		bool outside = strcmp(key, "config") != 0 || !json_is_object(value);
		bool known = field_json_find(method->params, key) != NULL;

		if (rv == 0 && outside)
			rv = json_object_set(gather && !known ? config : own, key, value);
	}
	if (rv == 0 && gather && json_object_get(own, "config") == NULL)
		rv = json_object_set(own, "config", config);
	json_decref(config);
	if (rv == 0)
		return own;
	json_decref(own);
	return NULL;
}

int field_json_decode_params(const struct rpc_method_row *method, void *out, const json_t *params,
			     struct rpc_error *error)
{
	char why[FIELD_ERROR_SIZE / 2] = "";
	json_t *arranged = NULL;
	int rv;

	if (method->config != NULL && json_is_object(params)) {
		const json_t *config = json_object_get(params, "config");

		if (config != NULL && !json_is_object(config) && !json_is_null(config)) {
			rpc_error_set(error, RPC_INVALID_PARAMS,
				      "config is %s: it must be an object, options are given by name",
				      json_is_array(config) ? "an array" : "no object");
			snprintf(error->field, sizeof(error->field), "config");
			return RSTUN_E_MALFORMED;
		}
		arranged = field_json_arrange(method, params);
		if (arranged == NULL) {
			rpc_error_set(error, RPC_INTERNAL, "%s", rstun_strerror(RSTUN_E_NOMEM));
			return RSTUN_E_NOMEM;
		}
		params = arranged;
	}
	rv = field_json_decode(method->params, out, params, error);
	json_decref(arranged);
	if (rv != 0 || method->check == NULL)
		return rv;
	rv = method->check(out, why, sizeof(why));
	if (rv != 0) {
		field_free(method->params->rows, method->params->count, out);
		rpc_error_set(error, RPC_INVALID_PARAMS, "%s", why);
	}
	return rv;
}
