/* SPDX-License-Identifier: MIT */
/*
 * A role as the main thread sees it: its configuration, what it keeps on disk, its certificate, the
 * sockets that are bound before anybody is told that we are ready, and the sums of its workers'
 * counters. What serves the role is on the workers. Main thread.
 */
#pragma once

#include "base/address.h"
#include "base/log.h"
#include "rstund/state_dir.h"
#include "config/config.h"
#include "tunnel/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_bus;
struct registry;
struct tls_credentials;
struct worker;

struct role {
	unsigned index;
	const char *name;                   /* "server", "client": the scope of its lines */
	const struct server_config *server; /* one of the two, borrowed */
	const struct client_config *client;
	unsigned worker_count; /* it uses workers 0 to this - 1 */
	const struct log *log; /* borrowed */
	struct state_dir dir;
	uint8_t secret[STATE_DIR_SECRET_BYTES];
	struct tls_credentials *credentials; /* NULL for a client without --cert */
	/* Bound and not yet given to a worker, -1 = given away or none. Server: one per worker;
	 * client: one per mapping. */
	int *fds;
	size_t fd_count;
	struct address *bound; /* client: where each mapping listens; len 0 = IN */
	struct address server_bound;
	struct tunnel_counters *counters; /* per worker, the last snapshots */
	struct tunnel_counters told;      /* as last published */
	unsigned counters_awaited;
};

/* What is told to a role: server or client is set. */
struct role_config {
	const struct server_config *server;
	const struct client_config *client;
};

/* How many workers it wants when the machine has `cores`. */
unsigned role_wanted_workers(const struct role_config *config, unsigned cores);

/*
 * Opens the state directory, loads or makes the credentials, binds every socket. What goes wrong is
 * logged as a sentence with what to do; non-zero: the program cannot start. role_close in every
 * case.
 */
int role_open(struct role *r, unsigned index, const struct role_config *config,
	      unsigned worker_count, const struct log *log);
/* Adds its mappings to the registry, says where it listens, and gives the sockets to the workers.
 * Returns the number of STARTED messages that will come, or a negative error. */
int role_start(struct role *r, struct worker **workers, struct registry *registry,
	       struct event_bus *bus);
/* Reads the certificate anew; what is broken is logged, and the old one stays. */
void role_reload(struct role *r, struct worker **workers);
/* A worker's snapshot. True when it was the last one awaited. */
bool role_counted(struct role *r, unsigned worker, const struct tunnel_counters *counters);
/* Publishes the sum as a STAT event with id 0 if anything changed. */
void role_publish_counters(struct role *r, struct event_bus *bus);
void role_close(struct role *r);

/* ---- for role_server.c, role_client.c ---- */
int role_server_open(struct role *r);
int role_client_open(struct role *r);
int role_server_start(struct role *r, struct worker **workers, struct event_bus *bus);
int role_client_start(struct role *r, struct worker **workers, struct registry *registry,
		      struct event_bus *bus);
void role_server_reload(struct role *r, struct worker **workers);
/* Makes room for `count` descriptors, all -1. RSTUN_E_NOMEM. */
int role_new_fds(struct role *r, size_t count);
/* The bound address could not be had: says which option, which address, why, and what to do. */
void role_log_bind_error(const struct role *r, const char *option, const struct address *address,
			 bool udp, int error);
