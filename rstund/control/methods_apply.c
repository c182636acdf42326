/* SPDX-License-Identifier: MIT */
/*
 * mapping.apply and mapping.confirm: replies around control/apply.h.
 */
#include "rstund/control/methods.h"

#include "rstund/control/apply.h"
#include "rstund/daemon_private.h"

struct answer methods_mapping_apply(struct daemon *d, struct call *c,
				    const struct rpc_mapping_apply_params *p)
{
	const struct field_rows *rows = rpc_methods[RPC_MAPPING_APPLY].result;
	struct rpc_mapping_apply_result result = {.added = NULL};
	struct rpc_error error;
	struct answer answer =
		apply_mappings(d, p, loop_now(&d->loop), &result, &error) == 0
			? call_reply(c, &result)
			: call_fail(c, &error, NULL);

	field_free(rows->rows, rows->count, &result);
	return answer;
}

struct answer methods_mapping_confirm(struct daemon *d, struct call *c,
				      const struct rpc_mapping_confirm_params *p)
{
	struct rpc_error error;
	struct rpc_done_result result = {.done = apply_confirm(d, p->revert, &error)};

	if (!result.done && error.code != 0)
		return call_fail(c, &error, NULL);
	return call_reply(c, &result);
}
