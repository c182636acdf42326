/* SPDX-License-Identifier: MIT */
/*
 * What both kinds of role have in common on the main thread.
 */
#include "rstund/role.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "rstund/control/event_bus.h"
#include "tls/credentials.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROLE_WORKERS_MAX 256 /* the first byte of a connection ID names the worker */

unsigned role_wanted_workers(const struct role_config *config, unsigned cores)
{
	uint64_t wanted =
		config->server != NULL ? config->server->workers : config->client->workers;

	if (wanted == 0)
		wanted = cores;
	/* A worker without a mapping would have nothing to do. */
	if (config->client != NULL && wanted > config->client->mapping_count)
		wanted = config->client->mapping_count;
	if (wanted == 0)
		wanted = 1;
	return wanted < ROLE_WORKERS_MAX ? (unsigned)wanted : ROLE_WORKERS_MAX;
}

int role_open(struct role *r, unsigned index, const struct role_config *config,
	      unsigned worker_count, const struct log *log)
{
	*r = (struct role){
		.index = index,
		.name = config->server != NULL ? "server" : "client",
		.server = config->server,
		.client = config->client,
		.worker_count = worker_count,
		.log = log,
		.dir = STATE_DIR_NONE,
	};
	random_bytes(r->secret, sizeof(r->secret));
	r->counters = calloc(worker_count, sizeof(*r->counters));
	if (r->counters == NULL)
		return RSTUN_E_NOMEM;
	return r->server != NULL ? role_server_open(r) : role_client_open(r);
}

int role_start(struct role *r, struct worker **workers, struct registry *registry,
	       struct event_bus *bus)
{
	return r->server != NULL ? role_server_start(r, workers, bus)
				 : role_client_start(r, workers, registry, bus);
}

void role_reload(struct role *r, struct worker **workers)
{
	if (r->server != NULL && r->server->cert_file != NULL)
		role_server_reload(r, workers);
	else
		log_info(r->log, r->name, "reload: there is no certificate file to read again");
}

int role_new_fds(struct role *r, size_t count)
{
	r->fds = calloc(count, sizeof(*r->fds));
	if (r->fds == NULL)
		return RSTUN_E_NOMEM;
	r->fd_count = count;
	for (size_t i = 0; i < count; i++)
		r->fds[i] = -1;
	return 0;
}

void role_log_bind_error(const struct role *r, const char *option, const struct address *address,
			 bool udp, int error)
{
	char text[ADDRESS_TEXT_SIZE];
	unsigned port = address_port(address);

	address_format(text, sizeof(text), address);
	switch (error) {
	case RSTUN_E_ADDRESS_IN_USE:
		log_error(r->log, r->name,
			  "%s: cannot listen on %s (%s): the address is in use; end the program "
			  "that has it "
			  "(shown by: ss -Hln%sp 'sport = :%u') or choose another port",
			  option, text, udp ? "udp" : "tcp", udp ? "u" : "t", port);
		break;
	case RSTUN_E_PERMISSION_DENIED:
		log_error(r->log, r->name,
			  "%s: cannot listen on %s (%s): permission denied; ports below 1024 need "
			  "root or the "
			  "capability CAP_NET_BIND_SERVICE: choose another port or grant it",
			  option, text, udp ? "udp" : "tcp");
		break;
	default:
		log_error(r->log, r->name,
			  "%s: cannot listen on %s (%s): %s; it must be an address of this machine "
			  "(shown by: ip address)",
			  option, text, udp ? "udp" : "tcp", rstun_strerror(error));
		break;
	}
}

bool role_counted(struct role *r, unsigned worker, const struct tunnel_counters *counters)
{
	if (worker < r->worker_count)
		r->counters[worker] = *counters;
	if (r->counters_awaited > 0)
		r->counters_awaited--;
	return r->counters_awaited == 0;
}

static void role_add_counters(struct tunnel_counters *sum, const struct tunnel_counters *c)
{
	sum->rx_bytes += c->rx_bytes;
	sum->tx_bytes += c->tx_bytes;
	sum->rx_dgrams += c->rx_dgrams;
	sum->tx_dgrams += c->tx_dgrams;
	sum->sent_packets += c->sent_packets;
	sum->lost_packets += c->lost_packets;
	sum->lost_bytes += c->lost_bytes;
	sum->congestion_events += c->congestion_events;
	sum->payload_in_bytes += c->payload_in_bytes;
	sum->payload_out_bytes += c->payload_out_bytes;
	sum->active_conns += c->active_conns;
	sum->total_conns += c->total_conns;
	sum->udp_dropped += c->udp_dropped;
}

void role_publish_counters(struct role *r, struct event_bus *bus)
{
	struct tunnel_event e = {.type = TUNNEL_EVENT_STAT, .text = ""};
	const struct tunnel_counters *busiest = &r->counters[0];
	struct bus_event *copy;

	for (unsigned i = 0; i < r->worker_count; i++) {
		const struct tunnel_counters *c = &r->counters[i];

		role_add_counters(&e.stat, c);
		if (c->rx_bytes + c->tx_bytes > busiest->rx_bytes + busiest->tx_bytes)
			busiest = c;
	}
	/* These describe one path; of several, the one that carries most. */
	e.stat.rtt_ms = busiest->rtt_ms;
	e.stat.cwnd_bytes = busiest->cwnd_bytes;
	e.stat.current_mtu = busiest->current_mtu;
	if (e.stat.rx_bytes == r->told.rx_bytes && e.stat.tx_bytes == r->told.tx_bytes &&
	    e.stat.active_conns == r->told.active_conns &&
	    e.stat.total_conns == r->told.total_conns)
		return;
	r->told = e.stat;
	copy = bus_event_new(BUS_EVENT_STAT, &e, r->index, clock_wall_us());
	if (copy != NULL)
		copy->scope = r->name;
	event_bus_publish(bus, copy);
}

void role_close(struct role *r)
{
	for (size_t i = 0; i < r->fd_count; i++)
		if (r->fds[i] >= 0)
			close(r->fds[i]);
	free(r->fds);
	free(r->bound);
	free(r->counters);
	tls_credentials_unref(r->credentials);
	state_dir_close(&r->dir);
	secret_wipe(r->secret, sizeof(r->secret));
	memset(r, 0, sizeof(*r));
	r->dir = STATE_DIR_NONE;
}
