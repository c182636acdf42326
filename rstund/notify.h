/* SPDX-License-Identifier: MIT */
/*
 * What the daemon tells its service manager: the protocol of sd_notify(3), a datagram per message
 * to the socket that NOTIFY_SOCKET names (a path, or @ and an abstract name). Without the variable
 * every call does nothing; a manager that does not take a message is no reason to wait or to fail.
 * Variables are taken out of the environment, so that no child speaks for us. Main thread.
 */
#pragma once

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct notify {
	int fd; /* -1: nobody wants to hear */
	struct sockaddr_un address;
	socklen_t address_len;
	uint64_t watchdog_ns;
};

/* Reads NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID and removes them. */
void notify_init(struct notify *n);
void notify_done(struct notify *n);

/* Start-up, or a reload, is over. `status` is one line for people, or NULL. */
void notify_ready(struct notify *n, const char *status);
void notify_status(struct notify *n, const char *status);
/* A reload begins; now_ns is CLOCK_MONOTONIC. notify_ready ends it. */
void notify_reloading(struct notify *n, uint64_t now_ns);
void notify_stopping(struct notify *n, const char *status);

/* Within how many nanoseconds notify_watchdog must be called again and again, or the manager takes
 * us for hung; twice as often is right. 0: never. */
uint64_t notify_watchdog_ns(const struct notify *n);
void notify_watchdog(struct notify *n);
