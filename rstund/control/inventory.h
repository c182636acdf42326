/* SPDX-License-Identifier: MIT */
/*
 * What there is: clients, servers, mappings and sessions as the main thread knows them, with their
 * names and numbers, where each came from, and copies of what the workers last said. Lookups,
 * counts and bringing the copies up to date; who changes what there is, is rstund/hold.h. Main
 * thread only; no I/O, no clock.
 *
 * Ids in the control API are a letter and a number that is never used again while the daemon runs:
 * c1, s1, m3, and s1.17 for a session of s1.
 */
#pragma once

#include "base/address.h"
#include "base/backoff.h"
#include "base/loop.h"
#include "base/mapping.h"
#include "base/unix_path.h"
#include "rpc/api_types.h"
#include "rstund/control/bus_event.h"
#include "rstund/control/rates.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct daemon;
struct role;

#define INVENTORY_BUCKETS 1024
#define INVENTORY_NAME_SIZE BUS_EVENT_NAME_SIZE
#define INVENTORY_ID_SIZE BUS_EVENT_ID_SIZE
#define INVENTORY_TEXT_SIZE 512

/* A remote server to dial. */
struct held_client {
	TAILQ_ENTRY(held_client) link;
	struct daemon *daemon;
	unsigned number;
	char name[INVENTORY_NAME_SIZE];
	enum rpc_origin origin;
	struct role *role; /* what runs now; owned by the daemon's list of roles */
	size_t mapping_count;
	bool unsaved;      /* is being removed: not in the state file */
	struct tunnel_counters before;   /* of roles that are gone */
	struct tunnel_counters counters; /* totals as last reported */
	struct rates rates;
};

/* A QUIC listening address. */
struct held_server {
	TAILQ_ENTRY(held_server) link;
	struct daemon *daemon;
	unsigned number;
	char name[INVENTORY_NAME_SIZE];
	enum rpc_origin origin;
	struct role *role;            /* what runs, or what is to run next; NULL = stopped */
	struct server_config *config; /* of the role that is to follow; owned. NULL: role has it */
	struct role *ending;          /* the one before, while it ends */
	enum rpc_server_state state;
	int last_error;
	char last_text[INVENTORY_TEXT_SIZE];
	struct backoff backoff;
	struct loop_timer retry_timer;
	uint64_t session_base; /* added to the numbers of the present role's sessions */
	uint64_t session_last;
	size_t session_count;
	bool unsaved;
	struct tunnel_counters before;
	struct tunnel_counters counters;
	struct rates rates;
};

struct held_mapping {
	TAILQ_ENTRY(held_mapping) link;      /* in the order of numbers; not when removed */
	LIST_ENTRY(held_mapping) hash_link;  /* by number; until its worker has let go of it */
	struct daemon *daemon;
	uint64_t number;
	char name[INVENTORY_NAME_SIZE]; /* "" = none */
	struct held_client *client;     /* NULL when removed */
	struct mapping mapping;
	enum rpc_origin origin;
	uint64_t caller;          /* lives as long as that connection; 0 = as the daemon */
	uint64_t expires_ms;      /* as it was asked for; UINT64_MAX = never */
	int64_t expires_wall_us;  /* for people and the state file */
	struct loop_timer expiry_timer;
	bool paused;
	bool removed;
	bool unsaved; /* is being removed: not in the state file */
	bool mark;    /* scratch of whoever compares lists (rstund/plan.h) */
	bool config_paused; /* the configuration file says so, whatever was said since */

	/* Where it runs. */
	struct role *role;        /* on a worker with this role; NULL = on none */
	unsigned worker;
	uint64_t placement;       /* counts up, each time that it is given to a worker */
	bool leaving;             /* the worker was told to let go of it */
	struct backoff bind_backoff;
	struct loop_timer bind_timer; /* the next attempt to listen */
	unsigned address_waits;       /* for one of ours to leave the address, in a row */
	struct unix_path_file file;   /* while it listens on a UNIX socket */

	/* Copies of what it last said. */
	enum rpc_state state;
	int64_t since_wall_us;
	unsigned attempt;
	uint64_t next_retry_ns;   /* CLOCK_NEVER = none */
	int last_error;
	char last_text[INVENTORY_TEXT_SIZE];
	bool ever_up, unverified;
	const char *cipher;       /* static, or NULL */
	struct address bound, peer; /* len 0 = none */
	char software[96];
	struct tunnel_counters before; /* of placements that are over */
	struct tunnel_counters counters; /* all */
	struct rates rates;
};

struct held_session {
	TAILQ_ENTRY(held_session) link;
	LIST_ENTRY(held_session) hash_link;
	struct held_server *server;
	unsigned role, worker;
	uint64_t id;     /* in the role */
	uint64_t number; /* in the server's id: s1.NUMBER */
	enum mapping_mode mode;
	enum mapping_proto proto;
	char mapping[MAPPING_TEXT_SIZE]; /* "" = a channel */
	struct address peer, bound;
	int64_t since_wall_us;
	char software[96];
	const char *cipher; /* static, or NULL */
	struct tunnel_counters counters;
};

TAILQ_HEAD(held_client_list, held_client);
TAILQ_HEAD(held_server_list, held_server);
TAILQ_HEAD(held_mapping_list, held_mapping);
TAILQ_HEAD(held_session_list, held_session);
LIST_HEAD(held_mapping_bucket, held_mapping);
LIST_HEAD(held_session_bucket, held_session);

struct inventory {
	struct held_client_list clients;
	struct held_server_list servers;
	struct held_mapping_list mappings;
	struct held_session_list sessions;
	struct held_mapping_bucket mapping_hash[INVENTORY_BUCKETS];
	struct held_session_bucket session_hash[INVENTORY_BUCKETS];
	unsigned last_client, last_server;
	uint64_t last_mapping;
	struct rpc_state_counts states; /* of mappings */
	size_t client_count, server_count, session_count;
	size_t never_up;                /* mappings that have never been up, paused ones left out */
};

void inventory_init(struct inventory *inv);
/* Frees everything that is left, whatever it is doing. */
void inventory_done(struct inventory *inv);

/* New ones with the next number and nothing else; NULL when memory is short. */
struct held_client *inventory_new_client(struct inventory *inv, const char *name);
struct held_server *inventory_new_server(struct inventory *inv, const char *name);
/* `number` 0 = the next. */
struct held_mapping *inventory_new_mapping(struct inventory *inv, struct held_client *client,
					   const struct mapping *mapping, uint64_t number);
void inventory_free_client(struct inventory *inv, struct held_client *c); /* without mappings */
void inventory_free_server(struct inventory *inv, struct held_server *s); /* ends its sessions */
/* No longer to be seen; stays known by number until inventory_free_mapping. */
void inventory_hide_mapping(struct inventory *inv, struct held_mapping *m);
void inventory_free_mapping(struct inventory *inv, struct held_mapping *m);
/* One that was hidden, and that its worker still has, is to be seen again. */
void inventory_bring_back(struct inventory *inv, struct held_mapping *m,
			  struct held_client *client);
/* It belongs to another client from now on. */
void inventory_move_mapping(struct held_mapping *m, struct held_client *client);

/* By id ("c1") or by name; `text` NULL gives NULL. Names win where both would fit: no name looks
 * like an id. Removed mappings are not found. */
struct held_client *inventory_client(const struct inventory *inv, const char *text);
struct held_server *inventory_server(const struct inventory *inv, const char *text);
struct held_mapping *inventory_mapping(const struct inventory *inv, const char *text);
struct held_session *inventory_session(const struct inventory *inv, const char *text);
/* Whatever is there with this number, also when it is being removed. */
struct held_mapping *inventory_mapping_by_number(const struct inventory *inv, uint64_t number);
struct held_session *inventory_session_of_role(const struct inventory *inv, unsigned role,
					       uint64_t id);

/* Its id as text. Return buf. */
const char *inventory_client_id(char buf[INVENTORY_ID_SIZE], const struct held_client *c);
const char *inventory_server_id(char buf[INVENTORY_ID_SIZE], const struct held_server *s);
const char *inventory_mapping_id(char buf[INVENTORY_ID_SIZE], const struct held_mapping *m);
const char *inventory_session_id(char buf[INVENTORY_ID_SIZE], const struct held_session *s);

/* The only way to change a mapping's state: counts follow. */
void inventory_set_state(struct inventory *inv, struct held_mapping *m, enum rpc_state state,
			 int64_t wall_us);
/* Paused or not changes who is waited for. */
void inventory_set_paused(struct inventory *inv, struct held_mapping *m, bool paused);
/* Brings a mapping up to date with a STATE event of its worker. `now_ns`: to count its wait
 * from. */
void inventory_update(struct inventory *inv, struct held_mapping *m, const struct bus_event *e,
		      uint64_t now_ns);
/* A LOGIN or ENDED event of a server's session. Returns the session as it was, or is (a session
 * that has ended is to be freed by inventory_free_session), NULL when memory is short or for an
 * unknown one. */
struct held_session *inventory_login(struct inventory *inv, struct held_server *server,
				     const struct bus_event *e, unsigned worker);
void inventory_free_session(struct inventory *inv, struct held_session *s);
