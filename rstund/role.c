/* SPDX-License-Identifier: MIT */
/*
 * What both kinds of role have in common on the main thread: life, parts on workers, counters.
 */
#include "rstund/role.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "rstund/control/registry.h"
#include "rstund/daemon_private.h"
#include "rstund/hold.h"
#include "rstund/messages.h"
#include "rstund/worker.h"
#include "tls/credentials.h"
#include "tunnel/counters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned role_wanted_workers(uint64_t configured, unsigned available)
{
	return configured == 0 || configured > available ? available : (unsigned)configured;
}

static void role_free_configs(struct server_config *server, struct client_config *client)
{
	server_config_free(server);
	client_config_free(client);
	free(server);
	free(client);
}

int role_new(struct role **ret, struct daemon *d, const char *name, struct server_config *server,
	     struct client_config *client)
{
	struct role *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		role_free_configs(server, client);
		return RSTUN_E_NOMEM;
	}
	r->daemon = d;
	r->server = server;
	r->client = client;
	r->dir = STATE_DIR_NONE;
	r->index = ++d->last_role;
	snprintf(r->name, sizeof(r->name), "%s", name);
	r->worker_count = role_wanted_workers(
		server != NULL ? server->workers : client->workers, d->worker_count);
	random_bytes(r->secret, sizeof(r->secret));
	r->counters = calloc(r->worker_count, sizeof(*r->counters));
	r->on_worker = calloc(r->worker_count, sizeof(*r->on_worker));
	r->placed_on = calloc(r->worker_count, sizeof(*r->placed_on));
	r->farewells = calloc(r->worker_count, sizeof(struct message *));
	r->fds = malloc(r->worker_count * sizeof(*r->fds));
	for (unsigned i = 0; i < r->worker_count && r->fds != NULL; i++)
		r->fds[i] = -1;
	LIST_INSERT_HEAD(&d->roles, r, link);
	if (r->counters == NULL || r->on_worker == NULL || r->placed_on == NULL ||
	    r->farewells == NULL || r->fds == NULL) {
		role_free(r);
		return RSTUN_E_NOMEM;
	}
	*ret = r;
	return 0;
}

void role_free(struct role *r)
{
	if (r == NULL)
		return;
	for (unsigned i = 0; i < r->worker_count && r->fds != NULL; i++)
		if (r->fds[i] >= 0)
			close(r->fds[i]);
	for (unsigned i = 0; i < r->worker_count && r->farewells != NULL; i++)
		message_free(r->farewells[i]);
	LIST_REMOVE(r, link);
	free(r->farewells);
	free(r->fds);
	free(r->counters);
	free(r->on_worker);
	free(r->placed_on);
	tls_credentials_unref(r->credentials);
	state_dir_close(&r->dir);
	secret_wipe(r->secret, sizeof(r->secret));
	role_free_configs(r->server, r->client);
	free(r);
}

struct role *role_find(const struct daemon *d, unsigned index)
{
	struct role *r;

	LIST_FOREACH (r, &d->roles, link)
		if (r->index == index)
			return r;
	return NULL;
}

int role_load(struct role *r, struct rpc_error *error)
{
	char why[TLS_ERROR_SIZE] = "";
	int rc = 0;

	if (r->server != NULL)
		return role_server_load(r, error);
	if (r->client->cert_file != NULL)
		rc = tls_credentials_new_client(&r->credentials, r->client->cert_file, why);
	else if (r->client->cert_pem != NULL)
		rc = tls_credentials_new_client_pem(&r->credentials, r->client->cert_pem, why);
	if (rc != 0)
		rpc_error_from(error, rc, "%s", why[0] != '\0' ? why : rstun_strerror(rc));
	return rc;
}

int role_bind_error(struct rpc_error *ret, const char *option, const struct address *address,
		    bool udp, int error)
{
	char text[ADDRESS_TEXT_SIZE];
	unsigned port = address_port(address);
	const char *proto = udp ? "udp" : "tcp";

	address_format(text, sizeof(text), address);
	switch (error) {
	case RSTUN_E_ADDRESS_IN_USE:
		rpc_error_from(ret, error,
			       "%s: cannot listen on %s (%s): the address is in use; end the "
			       "program that has it (shown by: ss -Hln%sp 'sport = :%u') or choose "
			       "another port",
			       option, text, proto, udp ? "u" : "t", port);
		break;
	case RSTUN_E_PERMISSION_DENIED:
		rpc_error_from(ret, error,
			       "%s: cannot listen on %s (%s): permission denied; ports below 1024 "
			       "need root or the capability CAP_NET_BIND_SERVICE: choose another "
			       "port or grant it",
			       option, text, proto);
		break;
	default:
		rpc_error_from(ret, error,
			       "%s: cannot listen on %s (%s): %s; it must be an address of this "
			       "machine (shown by: ip address)",
			       option, text, proto, rstun_strerror(error));
		break;
	}
	return RSTUN_E_FAILED;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

int role_begin_part(struct role *r, unsigned worker, struct message *m)
{
	if (r->farewells[worker] == NULL)
		r->farewells[worker] = message_new(MESSAGE_REMOVE_ROLE, r->index, 0);
	if (m == NULL || r->farewells[worker] == NULL) {
		message_free(m);
		return RSTUN_E_NOMEM;
	}
	worker_post(r->daemon->workers[worker], m);
	r->on_worker[worker] = true;
	r->parts++;
	daemon_await_start(r->daemon);
	return 0;
}

static int role_add_client_part(struct role *r, unsigned worker)
{
	struct message *m = message_new(MESSAGE_ADD_CLIENT, r->index, 0);

	if (m == NULL)
		return RSTUN_E_NOMEM;
	m->add_client.config = r->client;
	if (r->credentials != NULL)
		m->add_client.credentials = tls_credentials_ref(r->credentials);
	m->add_client.worker_count = r->daemon->worker_count;
	memcpy(m->add_client.secret, r->secret, sizeof(r->secret));
	return role_begin_part(r, worker, m);
}

int role_place(struct role *r, unsigned *ret_worker)
{
	unsigned best = 0;

	for (unsigned i = 1; i < r->worker_count; i++)
		if (r->placed_on[i] < r->placed_on[best])
			best = i;
	if (!r->on_worker[best] && role_add_client_part(r, best) != 0)
		return RSTUN_E_NOMEM;
	r->placed_on[best]++;
	r->placed++;
	*ret_worker = best;
	return 0;
}

int role_ensure_part(struct role *r, unsigned *ret_worker)
{
	unsigned at = 0;

	for (unsigned i = 0; i < r->worker_count; i++)
		if (r->on_worker[i])
			at = i;
	if (!r->on_worker[at] && role_add_client_part(r, at) != 0)
		return RSTUN_E_NOMEM;
	*ret_worker = at;
	return 0;
}

void role_post(struct role *r, struct message *(*make)(struct role *r, void *arg), void *arg)
{
	for (unsigned i = 0; i < r->worker_count; i++) {
		struct message *m = r->on_worker[i] ? make(r, arg) : NULL;

		if (m != NULL)
			worker_post(r->daemon->workers[i], m);
	}
}

static struct message *role_make_remove(struct role *r, void *arg)
{
	struct message *m = message_new(MESSAGE_REMOVE_ROLE, r->index, 0);

	(void)arg;
	if (m != NULL) /* else it stays with the deadline that it knows */
		m->remove.deadline_ns = r->deadline_ns;
	return m;
}

static void role_say_farewell(struct role *r)
{
	for (unsigned i = 0; i < r->worker_count; i++) {
		if (!r->on_worker[i])
			continue;
		r->farewells[i]->remove.deadline_ns = r->deadline_ns;
		worker_post(r->daemon->workers[i], r->farewells[i]);
		r->farewells[i] = NULL;
	}
}

/* What it counted stays with its client or server, if that is still there. */
static void role_leave_counters(const struct role *r, const struct tunnel_counters *sum)
{
	struct inventory *inv = &r->daemon->inventory;
	struct held_client *c;
	struct held_server *s;

	TAILQ_FOREACH (c, &inv->clients, link)
		if (r->client != NULL && c->number == r->owner)
			counters_add(&c->before, sum);
	TAILQ_FOREACH (s, &inv->servers, link)
		if (r->server != NULL && s->number == r->owner)
			counters_add(&s->before, sum);
}

/* A retired role goes when nothing of it runs any more. */
static void role_check_gone(struct role *r)
{
	struct held_server *held = r->held;
	struct daemon *d = r->daemon;
	bool server = r->server != NULL;
	struct tunnel_counters sum;

	if (!r->retired || r->placed > 0)
		return;
	if (r->parts > 0) {
		if (d->phase > DAEMON_RUNNING)
			return; /* it is drained with everything, and that is waited for */
		if (!r->removing)
			role_say_farewell(r);
		r->removing = true;
		return;
	}
	role_sum(r, &sum);
	sum.active_conns = 0;
	counters_add(&d->retired, &sum);
	role_leave_counters(r, &sum);
	role_free(r);
	if (held != NULL)
		hold_server_role_gone(d, held);
	if (server)
		hold_server_address_free(d);
}

void role_displace(struct role *r, unsigned worker)
{
	r->placed--;
	r->placed_on[worker]--;
	role_check_gone(r);
}

void role_retire(struct role *r, uint64_t deadline_ns)
{
	bool again = r->retired && r->removing;

	r->retired = true;
	r->deadline_ns = deadline_ns;
	if (again) /* a shorter deadline */
		role_post(r, role_make_remove, NULL);
	else
		role_check_gone(r);
}

void role_part_gone(struct role *r, unsigned worker, const struct tunnel_counters *final)
{
	if (worker >= r->worker_count || !r->on_worker[worker])
		return;
	r->counters[worker] = *final;
	r->counters[worker].active_conns = 0;
	r->on_worker[worker] = false;
	r->parts--;
	if (r->server != NULL)
		registry_forget(r->daemon->registry, r->index, worker);
	role_check_gone(r);
}

void role_part_failed(struct role *r, unsigned worker)
{
	if (worker >= r->worker_count || !r->on_worker[worker])
		return;
	r->on_worker[worker] = false;
	r->parts--;
	if (r->retired)
		role_check_gone(r);
}

/* ---- Certificates ---------------------------------------------------------------------------- */

static struct message *role_make_credentials(struct role *r, void *arg)
{
	struct message *m = message_new(MESSAGE_SET_CREDENTIALS, r->index, 0);

	if (m != NULL)
		m->set_credentials.credentials = tls_credentials_ref(arg);
	return m;
}

/* The same key may have been certified anew. */
static bool role_same_certificate(const struct tls_credentials *a, const struct tls_credentials *b)
{
	struct tls_description one = {.subject = NULL}, two = {.subject = NULL};
	uint8_t before[PIN_BYTES], after[PIN_BYTES];
	bool same;

	tls_credentials_pin(a, before);
	tls_credentials_pin(b, after);
	same = memcmp(before, after, sizeof(before)) == 0 &&
	       tls_credentials_describe(a, &one) == 0 && tls_credentials_describe(b, &two) == 0 &&
	       one.not_before_us == two.not_before_us && one.not_after_us == two.not_after_us &&
	       strcmp(one.subject, two.subject) == 0;
	tls_description_done(&one);
	tls_description_done(&two);
	return same;
}

int role_reload(struct role *r, bool *ret_changed, struct rpc_error *error)
{
	struct tls_credentials *fresh;
	int rc;

	if (r->server == NULL || r->server->cert_file == NULL) {
		*ret_changed = false;
		return 0;
	}
	rc = role_server_credentials(r, &fresh, error);
	if (rc != 0)
		return rc;
	*ret_changed = !role_same_certificate(r->credentials, fresh);
	role_post(r, role_make_credentials, fresh);
	tls_credentials_unref(r->credentials);
	r->credentials = fresh;
	return 0;
}

/* ---- Counters -------------------------------------------------------------------------------- */

void role_counted(struct role *r, unsigned worker, const struct tunnel_counters *counters)
{
	if (worker < r->worker_count)
		r->counters[worker] = *counters;
}

void role_sum(const struct role *r, struct tunnel_counters *ret)
{
	*ret = (struct tunnel_counters){.rx_bytes = 0};
	for (unsigned i = 0; i < r->worker_count; i++)
		counters_add(ret, &r->counters[i]);
}

void role_sum_of(const struct daemon *d, bool server, unsigned owner, struct tunnel_counters *sum)
{
	const struct role *r;

	LIST_FOREACH (r, &d->roles, link) {
		struct tunnel_counters one;

		if ((r->server != NULL) != server || r->owner != owner)
			continue;
		role_sum(r, &one);
		counters_add(sum, &one);
	}
}

void role_publish_counters(struct role *r)
{
	struct tunnel_event e = {.type = TUNNEL_EVENT_STAT, .text = ""};
	struct bus_event *copy;

	role_sum(r, &e.stat);
	if (e.stat.rx_bytes == r->told.rx_bytes && e.stat.tx_bytes == r->told.tx_bytes &&
	    e.stat.active_conns == r->told.active_conns &&
	    e.stat.total_conns == r->told.total_conns)
		return;
	r->told = e.stat;
	copy = bus_event_new(BUS_EVENT_STAT, &e, r->index, clock_wall_us());
	if (copy != NULL) {
		bus_event_set_scope(copy, r->name);
		/* Not the total of the API: for the log. */
		snprintf(copy->id, sizeof(copy->id), "role %u", r->index);
	}
	event_bus_publish(&r->daemon->bus, copy);
}
