/* SPDX-License-Identifier: MIT */
/*
 * A listening TCP (or UNIX stream) socket on a loop. Accepts in bounded batches; when descriptors
 * run out it stops listening for 100 ms instead of spinning, and says so at most once a second.
 */
#pragma once

#include "base/address.h"

#define TCP_LISTENER_BACKLOG 1024

struct log;
struct loop;
struct socket_hook; /* base/socket_hook.h */
struct tcp_listener;

/* Binds and listens (SO_REUSEADDR, never SO_REUSEPORT). *ret_bound is the address with the port
 * picked. The descriptor is non-blocking and close-on-exec. May run on any thread.
 * RSTUN_E_ADDRESS_IN_USE, RSTUN_E_PERMISSION_DENIED, ... */
int tcp_listener_bind(const struct address *addr, int *ret_fd, struct address *ret_bound);
/* The same; `hook` is asked first. */
int tcp_listener_bind_hooked(const struct address *addr, const struct socket_hook *hook,
			     int *ret_fd, struct address *ret_bound);

/* Serves a bound descriptor, that of a UNIX stream socket as well, whose peers have no address
 * (len 0); takes it over, on failure too. */
int tcp_listener_new(struct tcp_listener **ret, struct loop *loop, const struct log *log, int fd,
		     void (*on_accept)(void *user, int fd, const struct address *peer), void *user);
/* Stops accepting for now (the backlog waits) or goes on. */
void tcp_listener_pause(struct tcp_listener *l, bool pause);
void tcp_listener_free(struct tcp_listener *l);
