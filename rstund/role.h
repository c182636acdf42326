/* SPDX-License-Identifier: MIT */
/*
 * A role as it runs: one configuration of a client or a server with its credentials, its sockets,
 * and its parts on the workers. It never changes: another configuration is another role, and the
 * one before ends (role_retire). What people see and name, the client or the server, is in
 * control/inventory.h and outlives its roles.
 *
 * Owned by the daemon's list; frees itself when it is retired, no mapping runs on it and its last
 * part is gone. The configuration is the role's and is borrowed by the workers. Main thread.
 */
#pragma once

#include "base/address.h"
#include "base/log.h"
#include "rpc/api.h"
#include "rstund/state_dir.h"
#include "config/config.h"
#include "tunnel/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct daemon;
struct held_server;
struct message;
struct tls_credentials;

#define ROLE_NAME_SIZE 65
#define ROLE_WORKERS_MAX 256 /* the first byte of a connection ID names the worker */

struct role {
	LIST_ENTRY(role) link;
	struct daemon *daemon;
	unsigned index;               /* on all threads; never used again */
	char name[ROLE_NAME_SIZE];    /* the scope of its lines */
	struct server_config *server; /* one of the two, owned */
	struct client_config *client;
	unsigned worker_count; /* it may use workers 0 to this - 1 */
	struct state_dir dir;
	uint8_t secret[STATE_DIR_SECRET_BYTES];
	struct tls_credentials *credentials; /* NULL for a client without trust roots of its own */
	int *fds;                            /* server: one per worker; -1 = given away */
	struct address bound;                /* server */
	bool *on_worker;                     /* there is a part of it */
	struct message **farewells;          /* to each part: its end must not fail */
	unsigned parts;
	size_t *placed_on;                   /* mappings per worker */
	size_t placed;
	bool retired;
	bool removing;                       /* its parts were told to go */
	uint64_t deadline_ns;                /* until then flows may go on */
	struct held_server *held;            /* to be told of the end; NULL = nobody */
	unsigned owner; /* number of its client or server, whose counters it adds to */
	struct tunnel_counters *counters;    /* per worker, the last snapshots */
	struct tunnel_counters told;         /* as last published */
};

LIST_HEAD(role_list, role);

/* How many workers a configuration wants when the daemon has `available`. */
unsigned role_wanted_workers(uint64_t configured, unsigned available);

/* One of the configurations is given and taken over, on failure too. RSTUN_E_NOMEM. */
int role_new(struct role **ret, struct daemon *d, const char *name, struct server_config *server,
	     struct client_config *client);
struct role *role_find(const struct daemon *d, unsigned index); /* NULL = it is gone */

/* State directory and credentials. What goes wrong does not go away by itself. */
int role_load(struct role *r, struct rpc_error *error);
/* Server: its sockets. address_in_use and the like may be tried again. */
int role_bind(struct role *r, struct rpc_error *error);
/* Server: hands sockets to the workers; STARTED follows from each. RSTUN_E_NOMEM. */
int role_start_server(struct role *r);
/* Client: makes sure that there is a part on the worker with the fewest mappings (or already on
 * `*worker`), for one more. RSTUN_E_NOMEM. */
int role_place(struct role *r, unsigned *ret_worker);
/* Client: makes sure that there is a part somewhere, and says where. RSTUN_E_NOMEM. */
int role_ensure_part(struct role *r, unsigned *ret_worker);
/* A mapping of its is on that worker no more. May free the role. */
void role_displace(struct role *r, unsigned worker);
/* It ends: a server's sessions and flows at the deadline, a client when its mappings are displaced.
 * May free the role. */
void role_retire(struct role *r, uint64_t deadline_ns);
/* A part is gone (MESSAGE_REMOVED with id 0). May free the role. */
void role_part_gone(struct role *r, unsigned worker, const struct tunnel_counters *final);
/* A part could not begin (STARTED with an error). May free the role. */
void role_part_failed(struct role *r, unsigned worker);
void role_free(struct role *r); /* whatever it is doing: the workers are gone. Accepts NULL */

/* Reads a server's certificate anew from its files. 0: *ret_changed tells whether another one is in
 * use now; else the old one stays and `error` says why. */
int role_reload(struct role *r, bool *ret_changed, struct rpc_error *error);
/* A worker's snapshot of the role's counters. */
void role_counted(struct role *r, unsigned worker, const struct tunnel_counters *counters);
void role_sum(const struct role *r, struct tunnel_counters *ret);
/* What all roles of a client (or server) count that are not gone, added to *sum. */
void role_sum_of(const struct daemon *d, bool server, unsigned owner, struct tunnel_counters *sum);
/* Publishes the sum as a STAT event for the log, if anything changed. */
void role_publish_counters(struct role *r);
/* What a part begins with goes to its worker. RSTUN_E_NOMEM; `m` is taken over, on failure too, and
 * may be NULL (memory was short). */
int role_begin_part(struct role *r, unsigned worker, struct message *m);
/* Posts a message to each part. */
void role_post(struct role *r, struct message *(*make)(struct role *r, void *arg), void *arg);

/* The address could not be had: the sentence for people, with what to do. Returns
 * RSTUN_E_FAILED. */
int role_bind_error(struct rpc_error *ret, const char *option, const struct address *address,
		    bool udp, int error);

/* ---- for role.c: role_server.c ---- */
int role_server_load(struct role *r, struct rpc_error *error);
int role_server_credentials(struct role *r, struct tls_credentials **ret, struct rpc_error *error);
