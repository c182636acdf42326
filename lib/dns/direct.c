/* SPDX-License-Identifier: MIT */
/*
 * Plain lookups. Each full name that the name may stand for is asked for both families before the
 * next one is.
 */
#include "dns/direct.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "dns/hosts.h"
#include "dns/plain.h"
#include "dns/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct direct {
	struct direct_config config;
	void (*on_done)(void *user, const struct resolver_result *result);
	void *user;
	char name[ADDRESS_NAME_MAX + 2];
	struct search_list list;
	size_t next; /* of the list */
	struct plain *plain;
	struct loop_task start;
	struct loop_timer grace;
	char why[160];	     /* the most telling failure so far */
	bool why_is_unknown; /* a server could not find out: says more than "no such name" */
};

static void direct_finish(struct direct *d, const struct resolver_result *result)
{
	d->on_done(d->user, result); /* may free d */
}

static void direct_fail(struct direct *d, int error, const char *why)
{
	struct resolver_result result = {.error = error};
	const char *asked = direct_asked(d);

	if (d->list.count > 1)
		snprintf(result.why, sizeof(result.why),
			 "\"%.100s\", also with the search list: %s%s%.80s%s", d->name, why,
			 *asked ? " (asked " : "", asked, *asked ? ")" : "");
	else
		snprintf(result.why, sizeof(result.why), "\"%.100s\": %s%s%.100s%s", d->name, why,
			 *asked ? " (asked " : "", asked, *asked ? ")" : "");
	direct_finish(d, &result);
}

/* Both families of a full name are answered, or one is and the grace is over. */
static void direct_conclude(struct direct *d)
{
	const struct answer_pair *p = plain_answers(d->plain);
	enum answer_state state = answer_pair_state(p);

	if (state == ANSWER_FOUND) {
		struct resolver_result result = {0};

		answer_pair_merge(p, &result);
		direct_finish(d, &result);
		return;
	}
	if (!d->why[0] || (state != ANSWER_NONE && !d->why_is_unknown)) {
		snprintf(d->why, sizeof(d->why), "%s", answer_pair_why(p));
		d->why_is_unknown = state != ANSWER_NONE;
	}
	if (state == ANSWER_FAILED || d->next == d->list.count) {
		direct_fail(d, RSTUN_E_DNS_FAILED, d->why);
		return;
	}
	plain_ask(d->plain, d->list.names[d->next++]);
}

static void direct_on_change(void *user)
{
	struct direct *d = user;
	const struct answer_pair *p = plain_answers(d->plain);

	if (answer_pair_enough(p, loop_now(d->config.loop))) {
		loop_timer_cancel(&d->grace);
		direct_conclude(d);
	} else {
		loop_timer_arm(&d->grace, p->enough_ns);
	}
}

static bool direct_from_files(struct direct *d, struct resolver_result *result)
{
	struct address found[RESOLVER_ADDRESSES_MAX];
	size_t count = 0;

	if (!d->config.servers)
		count = hosts_lookup(d->config.hosts_file, d->name, found, RESOLVER_ADDRESSES_MAX);
	if (count == 0 && hosts_is_localhost(d->name))
		count = hosts_localhost(found);
	answer_interleave(result, found, count);
	return count > 0;
}

static void direct_on_start(void *user)
{
	struct direct *d = user;
	struct plain_config config = {
		.loop = d->config.loop,
		.servers = d->config.servers,
		.resolv_conf = d->config.resolv_conf,
		.resolv_port = d->config.resolv_port,
		.on_socket = d->config.on_socket,
		.socket_user = d->config.socket_user,
		.on_change = direct_on_change,
		.user = d,
	};
	struct resolver_result result = {0};
	int rv;

	if (direct_from_files(d, &result)) {
		direct_finish(d, &result);
		return;
	}
	if (d->config.servers)
		search_list_single(&d->list, d->name);
	else
		search_list_system(&d->list, d->config.resolv_conf, d->name);
	if (d->list.count == 0) {
		direct_fail(d, RSTUN_E_DNS_FAILED, "this is no host name");
		return;
	}
	rv = plain_new(&d->plain, &config, d->why, sizeof(d->why));
	if (rv) {
		direct_fail(d, RSTUN_E_DNS_FAILED, rv == RSTUN_E_NOMEM ? "out of memory" : d->why);
		return;
	}
	plain_ask(d->plain, d->list.names[d->next++]);
}

int direct_new(struct direct **ret, const struct direct_config *config, const char *name,
	       void (*on_done)(void *user, const struct resolver_result *result), void *user)
{
	struct direct *d = calloc(1, sizeof(*d));

	if (!d)
		return RSTUN_E_NOMEM;
	d->config = *config;
	if (!d->config.hosts_file)
		d->config.hosts_file = "/etc/hosts";
	if (!d->config.resolv_conf)
		d->config.resolv_conf = "/etc/resolv.conf";
	d->on_done = on_done;
	d->user = user;
	snprintf(d->name, sizeof(d->name), "%s", name);
	loop_task_init(&d->start, direct_on_start, d);
	loop_timer_init(&d->grace, config->loop, direct_on_change, d);
	loop_task_schedule(config->loop, &d->start);
	*ret = d;
	return 0;
}

void direct_free(struct direct *d)
{
	if (!d)
		return;
	loop_task_cancel(d->config.loop, &d->start);
	loop_timer_cancel(&d->grace);
	plain_free(d->plain);
	free(d);
}

const char *direct_asked(const struct direct *d)
{
	return d->plain ? plain_servers(d->plain) : "";
}
