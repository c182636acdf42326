/* SPDX-License-Identifier: MIT */
/*
 * What a login asks for and whether it may have it: password, penalties, upstream or listening
 * address, timeouts. Decides only; binds, dials and answers nothing. Time comes in.
 */
#pragma once

#include "config/config.h"
#include "tunnel/penalty.h"
#include "tunnel/wire.h"

#include <stdbool.h>
#include <stdint.h>

#define SERVER_LOGIN_TEXT_SIZE 384

struct server_login {
	bool channel;
	enum mapping_mode mode;
	enum mapping_proto proto;
	struct mapping mapping;  /* as far as it is known, for events; not of channels */
	struct target upstream;  /* OUT: what is dialled; channels: the default, may be none */
	struct address listen;   /* IN */
	uint64_t tcp_idle_ms;    /* effective; 0 = never */
	uint64_t udp_idle_ms;
};

struct server_refusal {
	int error;
	uint32_t retry_after_ms;
	char text[SERVER_LOGIN_TEXT_SIZE];
};

/* `password_digest`: SHA-256 of the server's password. Returns 0, or an error with *ret_refusal. */
int server_login_check(struct server_login *ret, struct server_refusal *ret_refusal,
		       const struct server_config *config, const uint8_t password_digest[32],
		       struct penalty *penalty, const struct address *source,
		       const struct wire_login *login, const struct wire_trailer *trailer,
		       uint64_t now_ns);

/* Why an address could not be bound, in the words that the original uses too. */
void server_login_bind_failed(struct server_refusal *ret, enum mapping_proto proto,
			      const struct address *address, int error);
