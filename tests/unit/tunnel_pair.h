/* SPDX-License-Identifier: MIT */
/*
 * A rig (tunnel_rig.h) whose server has default upstreams of the test's, mappings OUT^0^ANY toward
 * them, and flows through those: pairs of the application's socket and the upstream's. One rig at a
 * time; failures abort the test (cmocka).
 */
#pragma once

#include "tests/unit/tunnel_rig.h"

extern int pair_upstream[2]; /* listening sockets: TCP, UDP */

/* Server and client run, without mappings; all of it ends with pair_stop. */
void pair_start(struct rig *r);
void pair_add(struct rig *r, uint64_t id, enum mapping_proto proto); /* and waits for its tunnel */
void pair_stop(struct rig *r);

/* A TCP flow: the application's end and the upstream's. */
struct pair {
	int app, far;
};

struct pair pair_open(struct rig *r, uint64_t id); /* pair_check has been done */
void pair_check(const struct pair *p); /* 4 bytes in, 6 bytes out */
void pair_close(const struct pair *p);

/* Whether nobody has that port, TCP and UDP. */
bool pair_can_bind(const struct address *a);
