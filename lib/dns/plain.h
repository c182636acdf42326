/* SPDX-License-Identifier: MIT */
/*
 * Plain DNS: a c-ares channel whose sockets and timeouts live on a loop. A channel is made for each
 * lookup, so that a changed resolv.conf counts at once and dropping a lookup is dropping its
 * channel. c-ares retries, turns to the next server and to TCP; names are asked as they are (the
 * search list is search.c's).
 */
#pragma once

#include "dns/answer.h"

#include <stddef.h>

struct loop;
struct plain;

struct plain_config {
	struct loop *loop;
	const char *servers;		      /* "ip:port,ip:port"; NULL = those of resolv.conf */
	const char *resolv_conf;	      /* NULL = /etc/resolv.conf */
	uint16_t resolv_port;		      /* of its servers; 0 = 53 */
	int (*on_socket)(void *user, int fd); /* may be NULL */
	void *socket_user;
	void (*on_change)(
		void *user); /* an answer has come; from the loop, the plain may be freed in it */
	void *user;
};

/* RSTUN_E_NOMEM, or RSTUN_E_DNS_FAILED with a sentence (resolv.conf cannot be read, ...). */
int plain_new(struct plain **ret, const struct plain_config *config, char *why, size_t why_size);
void plain_free(struct plain *p);

/* Asks for A and AAAA of `name`; the answers of the question before are forgotten. Not while one is
 * open. */
void plain_ask(struct plain *p, const char *name);
struct answer_pair *plain_answers(struct plain *p);

/* The servers, for messages: "192.0.2.1:53, [2001:db8::1]:53". */
const char *plain_servers(const struct plain *p);
