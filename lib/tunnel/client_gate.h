/* SPDX-License-Identifier: MIT */
/*
 * Who of a client's mappings may try to log in. While nothing is known about the password one goes
 * first; while it is known to be wrong only the one that found out tries again, slowly; else all.
 * So a wrong password costs one attempt per client and not one per mapping. Pure; one per client
 * and thread.
 */
#pragma once

#include <stdbool.h>

enum client_gate_state {
	CLIENT_GATE_UNKNOWN, /* at first */
	CLIENT_GATE_OPEN,
	CLIENT_GATE_SHUT, /* refused: the holder alone tries */
};

enum client_gate_change {
	CLIENT_GATE_SAME,
	CLIENT_GATE_OPENED, /* those who wait may go */
	CLIENT_GATE_REOPENED, /* the same, and it was shut before */
	CLIENT_GATE_CLOSED,
};

struct client_gate {
	enum client_gate_state state;
	const void *holder; /* compared, never followed */
	bool held;          /* another thread's mapping tries for all */
};

/* May `who` try now? If not it waits for the gate to open. */
bool client_gate_enter(struct client_gate *g, const void *who);

/* How the attempt of `who` went: 0 = logged in. */
enum client_gate_change client_gate_result(struct client_gate *g, const void *who, int error);

/* Shut: `who` tries next instead of the holder. */
void client_gate_pass(struct client_gate *g, const void *who);

/* Its owner says so: `who` tries next, whatever the others found out. */
void client_gate_force(struct client_gate *g, const void *who);

/* `who` is gone for good. True when the others waited for it: one of them is to go on in its place,
 * or, when there is none, client_gate_forget. */
bool client_gate_leave(struct client_gate *g, const void *who);

/* Nobody is left here who could find out more: true when other threads wait for us, and must be
 * told that they may try. */
bool client_gate_forget(struct client_gate *g);

/* The first one takes too long: the others need not wait for it. */
enum client_gate_change client_gate_presume(struct client_gate *g);

/* Mappings on other threads: one of them tries for all, or got in (then all may try). */
enum client_gate_change client_gate_hold(struct client_gate *g, bool held);
