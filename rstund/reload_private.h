/* SPDX-License-Identifier: MIT */
/*
 * Between reload.c (files, certificates, what is told) and reload_change.c (the differences, and
 * carrying them out). Main thread only.
 */
#pragma once

#include "rpc/api.h"
#include "rstund/config_set.h"
#include "rstund/control/inventory.h"
#include "rstund/plan.h"

#include <stdbool.h>
#include <stddef.h>

struct daemon;

enum reload_kind {
	RELOAD_SAME,
	RELOAD_NEW,
	RELOAD_CHANGED,
};

struct reload_client {
	struct config_client *wanted; /* in the set */
	struct held_client *held;     /* NULL: it is new */
	enum reload_kind kind;
};

struct reload_server {
	struct config_server *wanted;
	struct held_server *held;
	enum reload_kind kind;
};

/* What the set says against what there is of the configuration file. */
struct reload {
	struct config_set *set; /* borrowed */
	struct reload_client *clients; /* one for each of the set */
	struct reload_server *servers;
	struct held_client **clients_gone;
	size_t client_gone_count;
	struct held_server **servers_gone;
	size_t server_gone_count;
	struct plan plan; /* mappings, in the order of the set */
};

/* Compares, and checks that all of it is possible: names that are taken, addresses, certificates,
 * mappings that would lose their client. reload_done in every case. */
int reload_compare(struct reload *r, struct daemon *d, struct config_set *set,
		   struct rpc_error *error);
void reload_done(struct reload *r);

/* Carries it out; configurations are taken out of the set. What can still fail is memory, and with
 * must_listen a server's address. */
int reload_carry_out(struct reload *r, struct daemon *d, bool must_listen, struct rpc_error *error);
