/* SPDX-License-Identifier: MIT */
/*
 * A probe from its start to its last word: names, telling, time. What a step found is kept, and
 * told from a task of its own, so that an owner may cancel the probe or free the client in any
 * call. With the addresses it goes on in client_probe_reach.c, behind the handshake in
 * client_probe_login.c.
 */
#include "tunnel/client_probe_private.h"

#include "base/clock.h"
#include "base/error.h"
#include "tunnel/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *probe_step_name(enum probe_step step)
{
	static const char *const names[PROBE_STEPS] = {
		[PROBE_DNS] = "dns",	 [PROBE_UDP] = "udp",	[PROBE_TLS] = "tls",
		[PROBE_LOGIN] = "login", [PROBE_BIND] = "bind", [PROBE_UPSTREAM] = "upstream",
	};

	return names[step];
}

const char *probe_outcome_name(enum probe_outcome outcome)
{
	static const char *const names[] = {
		[PROBE_OK] = "ok",
		[PROBE_FAILED] = "failed",
		[PROBE_SKIPPED] = "skipped",
	};

	return names[outcome];
}

/* ---- telling, and the end ---- */

/* Nothing of it runs any more; what is known may still be told. */
static void client_probe_stop(struct client_probe *p)
{
	for (size_t i = 0; p->names != NULL && i < p->client->config->server_count; i++)
		dial_cancel(&p->names[i].dial);
	loop_timer_cancel(&p->limit);
	connect_cancel(p->connect);
	p->connect = NULL;
	client_probe_login_stop(p);
}

static void client_probe_free(struct client_probe *p)
{
	free(p->names);
	free(p->targets);
	free(p->origins);
	free(p);
}

void client_probe_cancel(struct client_probe *p)
{
	if (p == NULL)
		return;
	client_probe_stop(p);
	loop_task_cancel(p->client->env->loop, &p->task);
	LIST_REMOVE(p, link);
	if (p->telling)
		p->cancelled = true;
	else
		client_probe_free(p);
}

void client_probe_cancel_all(struct client *c)
{
	while (!LIST_EMPTY(&c->probes))
		client_probe_cancel(LIST_FIRST(&c->probes));
}

static void client_probe_tell(struct client_probe *p)
{
	while (p->told < p->known) {
		p->telling = true;
		p->on_step(p->user, &p->results[p->told++]);
		p->telling = false;
		if (p->cancelled) {
			client_probe_free(p);
			return;
		}
	}
	if (p->told == PROBE_STEPS) {
		void (*on_done)(void *user) = p->on_done;
		void *user = p->user;

		client_probe_cancel(p);
		on_done(user);
	}
}

static void client_probe_put(struct client_probe *p, enum probe_outcome outcome, int error,
			     const char *text)
{
	struct probe_step_result *r = &p->results[p->known];
	uint64_t now_ns = loop_now(p->client->env->loop);

	r->step = (enum probe_step)p->known++;
	r->outcome = outcome;
	r->error = error;
	r->took_ms = (now_ns - p->step_ns) / CLOCK_NS_PER_MS;
	snprintf(r->text, sizeof(r->text), "%s", text);
	p->step_ns = now_ns;
}

void client_probe_report(struct client_probe *p, enum probe_outcome outcome, int error,
			 const char *format, ...)
{
	char text[PROBE_TEXT_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	client_probe_put(p, outcome, error, text);
	while (outcome == PROBE_FAILED && p->known < PROBE_STEPS)
		client_probe_put(p, PROBE_SKIPPED, 0, "not reached");
	if (p->known == PROBE_STEPS)
		client_probe_stop(p);
	loop_task_schedule(p->client->env->loop, &p->task);
}

/* ---- names ---- */

__attribute__((format(printf, 3, 4))) static void client_probe_append(char *text, size_t size,
								      const char *format, ...)
{
	size_t used = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + used, size - used, format, args);
	va_end(args);
}

static const char *client_probe_first_name(const struct client_probe *p)
{
	const struct client_config *config = p->client->config;

	for (size_t i = 0; i < config->server_count; i++)
		if (config->servers[i].kind == TARGET_NAME)
			return config->servers[i].name;
	return "the server";
}

/* Which name servers the client's own configuration leads to. */
static void client_probe_describe_servers(struct client_probe *p)
{
	const struct client_config *config = p->client->config;
	char **list = config->dot_servers != NULL ? config->dot_servers : config->dns_servers;

	snprintf(p->asked, sizeof(p->asked), "%s",
		 config->dot_servers != NULL   ? "--dot"
		 : config->dns_servers != NULL ? "--dns"
					       : "this system's hosts file and name servers");
	for (size_t i = 0; list != NULL && list[i] != NULL; i++)
		client_probe_append(p->asked, sizeof(p->asked), "%s %s", i > 0 ? "," : "", list[i]);
}

static int client_probe_take_addresses(struct client_probe *p)
{
	size_t servers = p->client->config->server_count;

	p->targets = calloc(LIMITS_CONNECT_ADDRESSES, sizeof(p->targets[0]));
	p->origins = calloc(LIMITS_CONNECT_ADDRESSES, sizeof(p->origins[0]));
	if (p->targets == NULL || p->origins == NULL)
		return RSTUN_E_NOMEM;
	for (size_t i = 0; i < servers; i++) {
		struct client_probe_name *name = &p->names[i];

		for (size_t k = 0; k < name->count; k++) {
			if (p->target_count == LIMITS_CONNECT_ADDRESSES)
				return 0;
			p->targets[p->target_count] = (struct target){
				.kind = TARGET_ADDRESS, .address = name->addresses[k]};
			p->origins[p->target_count++] = name->server;
		}
	}
	return 0;
}

static void client_probe_report_names(struct client_probe *p)
{
	size_t servers = p->client->config->server_count;
	char text[PROBE_TEXT_SIZE] = "", one[ADDRESS_TEXT_SIZE];
	bool named = false;

	for (size_t i = 0; i < servers; i++) {
		const struct client_probe_name *name = &p->names[i];

		if (name->server->kind != TARGET_NAME)
			continue;
		client_probe_append(text, sizeof(text), "%s%s is %s", named ? "; " : "",
				    name->server->name,
				    name->count == 0 ? "not known" : "");
		named = true;
		for (size_t k = 0; k < name->count; k++)
			client_probe_append(
				text, sizeof(text), "%s%s", k > 0 ? ", " : "",
				address_format_ip(one, sizeof(one), &name->addresses[k]));
	}
	client_probe_append(text, sizeof(text), " (asked: %s)", p->asked);
	if (named)
		client_probe_report(p, PROBE_OK, 0, "%s", text);
	else
		client_probe_report(p, PROBE_SKIPPED, 0, "an address was given");
}

static void client_probe_resolved(struct client_probe *p, const char *why)
{
	int err;

	if (--p->resolving > 0)
		return;
	err = client_probe_take_addresses(p);
	if (err != 0) {
		client_probe_report(p, PROBE_FAILED, err, "%s", rstun_strerror(err));
		return;
	}
	if (p->target_count == 0) {
		client_probe_report(p, PROBE_FAILED, RSTUN_E_DNS_FAILED,
				    "%s has no address that could be found (asked: %s): %s",
				    client_probe_first_name(p), p->asked, why);
		return;
	}
	client_probe_report_names(p);
	client_probe_connect(p);
}

static void client_probe_on_name(void *user, const struct dial_result *result)
{
	struct client_probe_name *name = user;

	for (size_t i = 0; result->error == 0 && i < result->count; i++)
		if (name->count < RESOLVER_ADDRESSES_MAX)
			name->addresses[name->count++] = result->addresses[i];
	client_probe_resolved(name->probe, result->error != 0 ? result->why : "");
}

static void client_probe_begin(struct client_probe *p)
{
	const struct client_config *config = p->client->config;

	p->begun = true;
	p->step_ns = loop_now(p->client->env->loop);
	loop_timer_arm(&p->limit, clock_after(p->step_ns, clock_ms(p->timeout_ms)));
	client_probe_describe_servers(p);
	/* An address is answered from inside: counted first, so that only the last one goes on. */
	p->resolving = config->server_count;
	for (size_t i = 0; i < config->server_count; i++) {
		struct client_probe_name *name = &p->names[i];

		name->probe = p;
		name->server = &config->servers[i];
		dial_resolve(&name->dial, p->client->resolver, name->server, client_probe_on_name,
			     name);
	}
}

/* ---- beginning ---- */

static void client_probe_on_task(void *user)
{
	struct client_probe *p = user;

	if (p->begun)
		client_probe_tell(p);
	else
		client_probe_begin(p);
}

/* Time is up for all; the step that runs is the one that took it. */
static void client_probe_on_limit(void *user)
{
	struct client_probe *p = user;
	unsigned limit_s = (unsigned)((p->timeout_ms + 999) / 1000);

	switch ((enum probe_step)p->known) {
	case PROBE_DNS:
		client_probe_report(p, PROBE_FAILED, RSTUN_E_DNS_FAILED,
				    "%s could not be resolved within %u s (asked: %s)",
				    client_probe_first_name(p), limit_s, p->asked);
		return;
	case PROBE_UDP:
	case PROBE_TLS:
		client_probe_reach_limit(p, limit_s);
		return;
	case PROBE_LOGIN:
	case PROBE_BIND:
		client_probe_report(p, PROBE_FAILED, RSTUN_E_TIMEOUT,
				    "the server did not answer within %u s: it may be overloaded",
				    limit_s);
		return;
	case PROBE_UPSTREAM:
		client_probe_report(p, PROBE_FAILED, RSTUN_E_TARGET_UNREACHABLE,
				    "%s did not answer within %u s: is that machine up?", p->target,
				    limit_s);
		return;
	}
}

int client_probe_start(struct client_probe **ret, struct client *c, const struct mapping *mapping,
		       uint64_t timeout_ms,
		       void (*on_step)(void *user, const struct probe_step_result *r),
		       void (*on_done)(void *user), void *user)
{
	struct client_probe *p = calloc(1, sizeof(*p));
	char text[MAPPING_TEXT_SIZE];

	if (p == NULL)
		return RSTUN_E_NOMEM;
	p->names = calloc(c->config->server_count, sizeof(p->names[0]));
	if (p->names == NULL) {
		free(p);
		return RSTUN_E_NOMEM;
	}
	p->client = c;
	p->timeout_ms = timeout_ms != 0 ? timeout_ms : LIMITS_PROBE_MS;
	p->on_step = on_step;
	p->on_done = on_done;
	p->user = user;
	snprintf(p->scope, sizeof(p->scope), "probe");
	if (mapping != NULL) {
		p->has_mapping = true;
		p->mapping = *mapping;
		snprintf(p->scope, sizeof(p->scope), "probe %s %s",
			 mapping_proto_name(mapping->proto),
			 mapping_format(text, sizeof(text), mapping));
	}
	loop_task_init(&p->task, client_probe_on_task, p);
	loop_timer_init(&p->limit, c->env->loop, client_probe_on_limit, p);
	LIST_INSERT_HEAD(&c->probes, p, link);
	loop_task_schedule(c->env->loop, &p->task);
	*ret = p;
	return 0;
}
