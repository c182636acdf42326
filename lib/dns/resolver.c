/* SPDX-License-Identifier: MIT */
/*
 * The resolver: picks the way of each lookup, limits its time, and owns it until its callback has
 * run. Nothing is cached: a name is looked up anew at each attempt to connect.
 */
#include "dns/resolver.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/loop.h"
#include "dns/direct.h"
#include "dns/dot.h"
#include "dns/hosts.h"
#include "dns/answer.h"
#include "config/server_list.h"
#include "tls/credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resolver_lookup {
	struct resolver *resolver;
	char name[ADDRESS_NAME_MAX + 2];
	uint16_t port;
	void (*done)(void *user, const struct resolver_result *result);
	void *user;
	struct direct *direct;
	struct dot *dot;
	struct loop_task start;
	struct loop_timer timer;
	LIST_ENTRY(resolver_lookup) link;
};

struct resolver {
	struct resolver_config config;
	struct direct_config direct;
	char *dns_servers; /* "ip:port,ip:port" or NULL */
	char *hosts_file, *resolv_conf;
	struct server_list_dot *dot_servers;
	size_t dot_count;
	struct tls_credentials *credentials;
	bool dying;
	size_t lookup_count;
	LIST_HEAD(, resolver_lookup) lookups;
};

static size_t count_texts(char *const *texts)
{
	size_t count = 0;

	while (texts && texts[count])
		count++;
	return count;
}

static int read_dns_servers(struct resolver *r, char *error, size_t error_size)
{
	size_t count = count_texts(r->config.dns_servers), used = 0;
	size_t size = count * (ADDRESS_TEXT_SIZE + 1) + 1;

	if (count == 0)
		return 0;
	r->dns_servers = calloc(1, size);
	if (!r->dns_servers)
		return RSTUN_E_NOMEM;
	for (size_t i = 0; i < count; i++) {
		char text[ADDRESS_TEXT_SIZE];
		struct address a;
		int rv = server_list_parse_dns(&a, r->config.dns_servers[i], error, error_size);

		if (rv)
			return rv;
		used += (size_t)snprintf(r->dns_servers + used, size - used, "%s%s", i ? "," : "",
					 address_format(text, sizeof(text), &a));
	}
	return 0;
}

static int read_dot_servers(struct resolver *r, char *error, size_t error_size)
{
	size_t count = count_texts(r->config.dot_servers);
	char why[TLS_ERROR_SIZE] = "";
	int rv;

	if (count == 0)
		return 0;
	r->dot_servers = calloc(count, sizeof(*r->dot_servers));
	if (!r->dot_servers)
		return RSTUN_E_NOMEM;
	for (size_t i = 0; i < count; i++) {
		rv = server_list_parse_dot(&r->dot_servers[i], r->config.dot_servers[i], error,
					   error_size);
		if (rv)
			return rv;
		r->dot_count++;
	}
	rv = tls_credentials_new_client(&r->credentials, r->config.ca_file, why);
	if (rv)
		snprintf(error, error_size, "--dot: %s", why);
	return rv;
}

static int copy_text(char **ret, const char *text)
{
	if (!text)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : RSTUN_E_NOMEM;
}

int resolver_new(struct resolver **ret, const struct resolver_config *config, char *error,
		 size_t error_size)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int rv;

	snprintf(error, error_size, "out of memory");
	if (!r)
		return RSTUN_E_NOMEM;
	r->config = *config;
	LIST_INIT(&r->lookups);
	rv = read_dns_servers(r, error, error_size);
	if (rv == 0)
		rv = read_dot_servers(r, error, error_size);
	if (rv == 0)
		rv = copy_text(&r->hosts_file, config->hosts_file);
	if (rv == 0)
		rv = copy_text(&r->resolv_conf, config->resolv_conf);
	if (rv) {
		resolver_free(r);
		return rv;
	}
	/* What the texts said is kept; the caller's may go. */
	r->config.dns_servers = r->config.dot_servers = NULL;
	r->config.hosts_file = r->config.resolv_conf = r->config.ca_file = NULL;
	r->direct = (struct direct_config){
		.loop = config->loop,
		.servers = r->dns_servers,
		.hosts_file = r->hosts_file,
		.resolv_conf = r->resolv_conf,
		.resolv_port = config->resolv_port,
		.on_socket = config->on_socket,
		.socket_user = config->user,
	};
	error[0] = '\0';
	*ret = r;
	return 0;
}

/* Takes the lookup apart; `done` is not called. */
static void lookup_free(struct resolver_lookup *l)
{
	LIST_REMOVE(l, link);
	l->resolver->lookup_count--;
	direct_free(l->direct);
	dot_free(l->dot);
	loop_task_cancel(l->resolver->config.loop, &l->start);
	loop_timer_cancel(&l->timer);
	free(l);
}

/* The last touch of the lookup, and of the resolver: `done` may free it. */
static void lookup_finish(struct resolver_lookup *l, const struct resolver_result *result)
{
	void (*done)(void *user, const struct resolver_result *) = l->done;
	struct resolver_result copy = *result;
	void *user = l->user;

	for (size_t i = 0; i < copy.count; i++)
		address_set_port(&copy.addresses[i], l->port);
	lookup_free(l);
	done(user, &copy);
}

static void lookup_on_done(void *user, const struct resolver_result *result)
{
	lookup_finish(user, result);
}

static void lookup_on_timeout(void *user)
{
	struct resolver_lookup *l = user;
	struct resolver_result result = {.error = RSTUN_E_TIMEOUT};
	const char *asked = l->dot ? dot_asked(l->dot) : l->direct ? direct_asked(l->direct) : "";

	snprintf(result.why, sizeof(result.why), "\"%.100s\": no answer within %u s%s%.100s%s",
		 l->name, RESOLVER_TIMEOUT_MS / 1000, *asked ? " (asked " : "", asked,
		 *asked ? ")" : "");
	lookup_finish(l, &result);
}

/* Numeric hosts, and with servers of our own the names that mean this machine: no question at all.
 */
static bool lookup_known(struct resolver_lookup *l, struct resolver_result *result)
{
	const struct resolver *r = l->resolver;
	struct address found[2];

	if (address_parse_ip(&result->addresses[0], l->name, strlen(l->name), 0) == 0) {
		result->count = 1;
		return true;
	}
	if ((!r->dns_servers && !r->dot_servers) || !hosts_is_localhost(l->name))
		return false;
	answer_interleave(result, found, hosts_localhost(found));
	return true;
}

static void lookup_on_start(void *user)
{
	struct resolver_lookup *l = user;
	struct resolver *r = l->resolver;
	uint64_t deadline_ns = clock_after(loop_now(r->config.loop), clock_ms(RESOLVER_TIMEOUT_MS));
	struct resolver_result result = {0};
	int rv;

	if (lookup_known(l, &result)) {
		lookup_finish(l, &result);
		return;
	}
	loop_timer_arm(&l->timer, deadline_ns);
	if (r->dot_count > 0) {
		struct dot_config config = {
			.log = r->config.log,
			.direct = r->direct,
			.servers = r->dot_servers,
			.server_count = r->dot_count,
			.credentials = r->credentials,
			.deadline_ns = deadline_ns,
		};

		rv = dot_new(&l->dot, &config, l->name, lookup_on_done, l);
	} else {
		rv = direct_new(&l->direct, &r->direct, l->name, lookup_on_done, l);
	}
	if (rv) {
		result.error = RSTUN_E_DNS_FAILED;
		snprintf(result.why, sizeof(result.why), "out of memory");
		lookup_finish(l, &result);
	}
}

int resolver_lookup(struct resolver *r, const char *name, uint16_t port,
		    void (*done)(void *user, const struct resolver_result *result), void *user,
		    struct resolver_lookup **ret)
{
	struct resolver_lookup *l;
	struct address unused;
	size_t bytes = strlen(name);

	if (r->dying)
		return RSTUN_E_SHUTTING_DOWN;
	if (bytes >= sizeof(l->name) ||
	    (address_parse_ip(&unused, name, bytes, 0) != 0 &&
	     !address_name_valid(name, bytes > 1 && name[bytes - 1] == '.' ? bytes - 1 : bytes)))
		return RSTUN_E_MALFORMED;
	if (r->lookup_count >= RESOLVER_LOOKUPS_MAX)
		return RSTUN_E_LIMIT_REACHED;
	l = calloc(1, sizeof(*l));
	if (!l)
		return RSTUN_E_NOMEM;
	l->resolver = r;
	memcpy(l->name, name, bytes + 1);
	l->port = port;
	l->done = done;
	l->user = user;
	loop_task_init(&l->start, lookup_on_start, l);
	loop_timer_init(&l->timer, r->config.loop, lookup_on_timeout, l);
	LIST_INSERT_HEAD(&r->lookups, l, link);
	r->lookup_count++;
	loop_task_schedule(r->config.loop, &l->start);
	if (ret)
		*ret = l;
	return 0;
}

void resolver_cancel(struct resolver_lookup *lookup)
{
	if (lookup)
		lookup_free(lookup);
}

void resolver_free(struct resolver *r)
{
	struct resolver_lookup *l;

	if (!r)
		return;
	r->dying = true;
	while ((l = LIST_FIRST(&r->lookups))) {
		struct resolver_result result = {.error = RSTUN_E_CANCELLED};

		snprintf(result.why, sizeof(result.why), "\"%.100s\": the lookup was given up",
			 l->name);
		lookup_finish(l, &result);
	}
	tls_credentials_unref(r->credentials);
	free(r->dot_servers);
	free(r->dns_servers);
	free(r->hosts_file);
	free(r->resolv_conf);
	free(r);
}
