/* SPDX-License-Identifier: MIT */
/*
 * Two programs of librstun (program.h) on one base: a server's and a client's.
 */
#pragma once

#include "tests/unit/program.h"

/* The other one, for tests of program_run_until that look at both. */
extern struct program *both_far;

/* The server's program answers for streams, and is both_far. */
void both_start(struct program *server, struct program *client);
void both_end(struct program *server, struct program *client);

bool both_far_was_asked(struct program *p); /* or p's channel has failed */

/* All of the text is there, or comes, and nothing else; there is room for it. */
void both_expect(struct program *p, const char *text);
void both_send(struct program *p, const char *text);
/* Bytes both ways, half-closed in turn, closed without an error; `near` is done first. */
void both_converse(struct program *near, struct program *far);

/* A connection to what the program's last mapping is bound to. */
int both_connect(const struct program *p);
