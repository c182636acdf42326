/* SPDX-License-Identifier: MIT */
/*
 * A loop with a resolver and what it says, for the tests of names: look up, run until the answer is
 * there, compare it as text. And a plain DNS server on the same loop, which counts what it is
 * asked.
 */
#pragma once

#include "base/log.h"
#include "base/loop.h"
#include "dns/resolver.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resolver_rig {
	struct loop loop;
	struct log log;
	char said[8192]; /* log lines */
	struct resolver *resolver;
	bool done;
	unsigned calls;
	struct resolver_result result;
	/* plain DNS server */
	int udp_fd;
	struct event udp_event;
	char udp_text[64]; /* "127.0.0.1:port" */
	char asked[4096];  /* names in the order asked, a blank behind each */
	bool udp_mute;	   /* hears and says nothing */
};

void resolver_rig_init(struct resolver_rig *rig);
void resolver_rig_done(struct resolver_rig *rig);

/* Fills in loop and log. */
void resolver_rig_make(struct resolver_rig *rig, struct resolver_config config);

/* Starts a lookup, runs the loop until it is done. Returns the addresses, "a:1 b:1", or "error N:
 * why". */
const char *resolver_rig_ask(struct resolver_rig *rig, const char *name, char *buf, size_t size);
/* For lookups started by a test: use as `done` with the rig as user. */
void resolver_rig_on_done(void *user, const struct resolver_result *result);
/* Runs one round of the loop without waiting. */
void resolver_rig_turn(struct resolver_rig *rig);

/* A port of 127.0.0.1 where nothing listens on TCP; a socket that listens when `ret_fd` is given.
 */
uint16_t resolver_rig_port(int *ret_fd);
