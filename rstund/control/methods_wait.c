/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait until a mapping is in a state: mapping.wait, and mapping.add with wait_ms. They
 * wait in the daemon's list until the mapping changes (methods_wait_changed), it is removed, the
 * time is over, or the call is cancelled.
 */
#include "rstund/control/methods.h"

#include "base/clock.h"
#include "base/error.h"
#include "rstund/control/show.h"
#include "rstund/daemon_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mapping_wait {
	LIST_ENTRY(mapping_wait) link;
	struct daemon *daemon;
	struct call *call;
	uint64_t number; /* of the mapping */
	enum rpc_state state;
	bool added;      /* the answer is mapping.add's */
	bool created;    /* which says this */
	uint64_t since_ns;
	struct loop_timer timer;
};

static void methods_wait_free(struct mapping_wait *w)
{
	loop_timer_cancel(&w->timer);
	LIST_REMOVE(w, link);
	free(w);
}

static void methods_wait_cancel(struct call *c, void *user)
{
	(void)c;
	methods_wait_free(user);
}

/* It has come: the struct of one method holds what that of the other does. */
static struct answer methods_wait_reply(struct mapping_wait *w, const struct held_mapping *m)
{
	struct rpc_mapping_add_result added = {.created = w->created};
	struct rpc_mapping_wait_result waited = {
		.waited_ms = (loop_now(&w->daemon->loop) - w->since_ns) / CLOCK_NS_PER_MS,
	};
	struct rpc_mapping *mapping = w->added ? &added.mapping : &waited.mapping;
	void *result = w->added ? (void *)&added : (void *)&waited;
	int rc = show_mapping(mapping, w->daemon, m);

	return methods_reply(w->call, result, rc);
}

static const char *methods_wait_id(char buf[INVENTORY_ID_SIZE], uint64_t number)
{
	snprintf(buf, INVENTORY_ID_SIZE, "m%llu", (unsigned long long)number);
	return buf;
}

static void methods_wait_on_timer(void *user)
{
	struct mapping_wait *w = user;
	const struct held_mapping *m =
		inventory_mapping_by_number(&w->daemon->inventory, w->number);
	char id[INVENTORY_ID_SIZE];
	struct rpc_error error;

	methods_wait_id(id, w->number);
	if (m == NULL || m->removed) {
		rpc_error_set(&error, 1001, "mapping %s was removed meanwhile", id);
		call_end(call_fail(w->call, &error, NULL));
	} else {
		rpc_error_set(&error, 1007, "mapping %s is %s and not %s after %llu ms%s%s%s", id,
			      rpc_state_names[m->state], rpc_state_names[w->state],
			      (unsigned long long)((loop_now(&w->daemon->loop) - w->since_ns) /
						   CLOCK_NS_PER_MS),
			      w->added ? "; it stays and goes on trying" : "",
			      m->last_error != 0 ? ": " : "", m->last_error != 0 ? m->last_text : "");
		rpc_error_hint(&error, "rstunctl explain %s finds out why", id);
		call_end(call_fail(w->call, &error, show_mapping_data(w->daemon, m)));
	}
	methods_wait_free(w);
}

/* Failed for good: authentication, configuration, an address that is taken. */
static void methods_wait_fail(struct mapping_wait *w, const struct held_mapping *m)
{
	char id[INVENTORY_ID_SIZE];
	struct rpc_error error;

	methods_wait_id(id, w->number);
	rpc_error_from(&error, m->last_error, "mapping %s: %s", id,
		       m->last_text[0] != '\0' ? m->last_text : rstun_strerror(m->last_error));
	if (w->added)
		rpc_error_hint(&error, "rstunctl explain %s says more; it is tried again, rstunctl rm "
				       "%s gives it up", id, id);
	else
		rpc_error_hint(&error, "rstunctl explain %s says more; it is tried again", id);
	call_end(call_fail(w->call, &error, show_mapping_data(w->daemon, m)));
	methods_wait_free(w);
}

/* Nothing will change soon. That a server's address is taken was found out by asking its
 * holder, who lives; it is tried again fast all the same, because the holder may go. */
static bool methods_wait_is_final(const struct held_mapping *m)
{
	if (m->last_error == 0)
		return false;
	return m->state == RPC_STATE_FAILED || (m->state == RPC_STATE_RECONNECTING &&
						m->last_error == RSTUN_E_REMOTE_ADDRESS_IN_USE);
}

/* True: it was answered and is gone. */
static bool methods_wait_check(struct mapping_wait *w, const struct held_mapping *m)
{
	if (m->removed) {
		methods_wait_on_timer(w);
		return true;
	}
	if (m->state == w->state) {
		call_end(methods_wait_reply(w, m));
		methods_wait_free(w);
		return true;
	}
	if (w->state == RPC_STATE_TUNNELING && methods_wait_is_final(m)) {
		methods_wait_fail(w, m);
		return true;
	}
	return false;
}

static struct answer methods_wait_start(struct daemon *d, struct call *c,
					const struct held_mapping *m, enum rpc_state state,
					uint64_t timeout_ms, bool added, bool created)
{
	struct mapping_wait *w = calloc(1, sizeof(*w));
	struct answer answer;

	if (w == NULL)
		return methods_nomem(c);
	w->daemon = d;
	w->call = c;
	w->number = m->number;
	w->state = state;
	w->added = added;
	w->created = created;
	w->since_ns = loop_now(&d->loop);
	loop_timer_init(&w->timer, &d->loop, methods_wait_on_timer, w);
	loop_timer_arm(&w->timer, clock_after(w->since_ns, clock_ms(timeout_ms)));
	LIST_INSERT_HEAD(&d->mapping_waits, w, link);
	answer = call_later(c, methods_wait_cancel, w);
	(void)methods_wait_check(w, m);
	return answer;
}

struct answer methods_mapping_wait(struct daemon *d, struct call *c,
				   const struct rpc_mapping_wait_params *p)
{
	struct rpc_error error;
	struct held_mapping *m = methods_find_mapping(d, p->id != NULL ? p->id : p->name, &error);

	if (m == NULL)
		return call_fail(c, &error, NULL);
	return methods_wait_start(d, c, m, (enum rpc_state)p->state, p->timeout_ms, false,
				  false);
}

struct answer methods_wait_added(struct daemon *d, struct call *c, const struct held_mapping *m,
				 uint64_t wait_ms, bool created)
{
	return methods_wait_start(d, c, m, RPC_STATE_TUNNELING, wait_ms, true, created);
}

void methods_wait_changed(struct daemon *d, const struct held_mapping *m)
{
	struct mapping_wait *w, *next;

	for (w = LIST_FIRST(&d->mapping_waits); w != NULL; w = next) {
		next = LIST_NEXT(w, link);
		if (w->number == m->number)
			(void)methods_wait_check(w, m);
	}
}
