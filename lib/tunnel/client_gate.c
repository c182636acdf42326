/* SPDX-License-Identifier: MIT */
/*
 * The gate before a client's logins. No time, no loop: its owner wakes whoever waits when it opens.
 */
#include "tunnel/client_gate.h"

#include "base/error.h"

#include <stddef.h>

bool client_gate_enter(struct client_gate *g, const void *who)
{
	if (g->holder == who)
		return true;
	if (g->held)
		return false;
	if (g->state == CLIENT_GATE_OPEN)
		return true;
	if (g->holder != NULL)
		return false;
	g->holder = who;
	return true;
}

static enum client_gate_change client_gate_open(struct client_gate *g)
{
	bool was_shut = g->state == CLIENT_GATE_SHUT;

	g->state = CLIENT_GATE_OPEN;
	g->holder = NULL;
	return was_shut ? CLIENT_GATE_REOPENED : CLIENT_GATE_OPENED;
}

enum client_gate_change client_gate_result(struct client_gate *g, const void *who, int error)
{
	if (error == RSTUN_E_AUTH_FAILED || error == RSTUN_E_RATE_LIMITED) {
		if (g->state == CLIENT_GATE_SHUT) {
			if (g->holder == NULL)
				g->holder = who;
			return CLIENT_GATE_SAME;
		}
		g->state = CLIENT_GATE_SHUT;
		g->holder = who;
		return CLIENT_GATE_CLOSED;
	}
	if (g->state == CLIENT_GATE_OPEN && !(error == 0 && g->held))
		return CLIENT_GATE_SAME;
	if (error == 0) {
		g->held = false; /* who got in need not wait for what others find out */
		return client_gate_open(g);
	}
	/* Something else went wrong. At first that says nothing against the others; when the
	 * password was wrong before, it still is. */
	if (g->state == CLIENT_GATE_UNKNOWN && g->holder == who)
		return client_gate_open(g);
	return CLIENT_GATE_SAME;
}

void client_gate_pass(struct client_gate *g, const void *who)
{
	if (g->state == CLIENT_GATE_SHUT)
		g->holder = who;
}

void client_gate_force(struct client_gate *g, const void *who)
{
	if (g->state != CLIENT_GATE_OPEN || g->held)
		g->holder = who;
}

bool client_gate_leave(struct client_gate *g, const void *who)
{
	if (g->holder != who)
		return false;
	g->holder = NULL;
	return g->state != CLIENT_GATE_OPEN;
}

bool client_gate_forget(struct client_gate *g)
{
	bool was_shut = g->state == CLIENT_GATE_SHUT;

	g->state = CLIENT_GATE_UNKNOWN;
	return was_shut;
}

enum client_gate_change client_gate_presume(struct client_gate *g)
{
	return g->state == CLIENT_GATE_UNKNOWN ? client_gate_open(g) : CLIENT_GATE_SAME;
}

enum client_gate_change client_gate_hold(struct client_gate *g, bool held)
{
	if (g->held == held)
		return CLIENT_GATE_SAME;
	g->held = held;
	/* The other thread got in with the same password. */
	return held ? CLIENT_GATE_SAME : client_gate_open(g);
}
