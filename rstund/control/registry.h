/* SPDX-License-Identifier: MIT */
/*
 * What the main thread knows about all workers, and the one thing that it owns for them:
 *
 * Listening sockets of IN sessions. Two workers may be asked for the same address, so a worker
 * claims it here. Free: it is bound and the worker gets a copy of the descriptor (ours stays open,
 * so that the socket can go to another session, its backlog included). Held: the holder's worker is
 * asked whether its peer is alive; alive refuses the claim at once, dead moves the socket. Claims
 * for one address are served in order, a bounded number waits. Who only asks (a probe) is answered
 * at once and changes nothing: what is held counts as in use.
 *
 * Main thread only. Sockets are made and answers sent through registry_ops, so nothing here knows
 * threads, and tests need no network.
 */
#pragma once

#include "base/address.h"
#include "base/mapping.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define REGISTRY_BUCKETS 1024
#define REGISTRY_WAITING_MAX 16 /* claims that wait for one address */
#define REGISTRY_SOCKETS_MAX 32768

/* A session that wants or has a listening socket. */
struct registry_claim {
	unsigned role, worker;
	uint64_t session_id; /* unique in the role */
	enum mapping_proto proto;
	struct address address;
	bool probe; /* only asks: bound for a moment if nobody holds it, given to nobody */
};

struct registry_ops {
	/* As tcp_listener_bind, udp_bind. */
	int (*bind)(void *user, enum mapping_proto proto, const struct address *addr, int *ret_fd,
		    struct address *ret_bound);
	/* 0 with a descriptor (a probe: -1), which the callee owns from then on, or an error with
	 * -1. */
	void (*answer)(void *user, const struct registry_claim *claim, int error, int fd,
		       const struct address *bound);
	/* Find out whether that session's peer is alive: registry_probed follows. */
	void (*probe)(void *user, const struct registry_claim *holder);
};

struct registry;

int registry_new(struct registry **ret, const struct registry_ops *ops, void *user);
void registry_free(struct registry *r); /* closes what is left; answers nobody. Accepts NULL */

void registry_claim(struct registry *r, const struct registry_claim *claim);
/* The session gives back what it has, or stops waiting. Unknown ones are ignored. */
void registry_release(struct registry *r, unsigned role, uint64_t session_id);
/* The role's part on that worker is gone, and its sessions with it: a claim may have been on its
 * way when its session ended, so that nobody gave the address back. Accepts NULL. */
void registry_forget(struct registry *r, unsigned role, unsigned worker);
/* Answer to ops.probe. Dead: the session is gone and has closed its copy of the descriptor. */
void registry_probed(struct registry *r, unsigned role, uint64_t session_id, bool alive);
size_t registry_sockets(const struct registry *r);
