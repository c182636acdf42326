/* SPDX-License-Identifier: MIT */
/*
 * sd_notify without libsystemd: the protocol is stable, and it is a datagram.
 */
#include "rstund/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTIFY_TEXT_SIZE 1024
#define NOTIFY_NS_PER_US 1000

/* Digits only; 0 if it is anything else. */
static uint64_t notify_number(const char *text)
{
	uint64_t value = 0;

	if (text == NULL || text[0] == '\0')
		return 0;
	for (; *text != '\0'; text++) {
		unsigned digit = (unsigned)*text - '0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			return 0;
		value = value * 10 + digit;
	}
	return value;
}

/* False: no address of ours (or of a kind that we do not speak). */
static bool notify_address(struct notify *n, const char *text)
{
	size_t bytes = text != NULL ? strlen(text) : 0;

	if (bytes < 2 || bytes >= sizeof(n->address.sun_path) || (text[0] != '/' && text[0] != '@'))
		return false;
	n->address.sun_family = AF_UNIX;
	memcpy(n->address.sun_path, text, bytes);
	if (text[0] == '@')
		n->address.sun_path[0] = '\0';
	else
		bytes++; /* the NUL belongs to a path, and not to an abstract name */
	n->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
	return true;
}

void notify_init(struct notify *n)
{
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t us = notify_number(getenv("WATCHDOG_USEC"));

	memset(n, 0, sizeof(*n));
	n->fd = -1;
	if (notify_address(n, getenv("NOTIFY_SOCKET")))
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Without the variable it is meant for whoever has it. */
	if (n->fd >= 0 && us <= UINT64_MAX / NOTIFY_NS_PER_US &&
	    (pid == NULL || notify_number(pid) == (uint64_t)getpid()))
		n->watchdog_ns = us * NOTIFY_NS_PER_US;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void notify_done(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
	n->watchdog_ns = 0;
}

static void notify_send(const struct notify *n, const char *text)
{
	ssize_t sent;

	do
		sent = sendto(n->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
			      (const struct sockaddr *)&n->address, n->address_len);
	while (sent < 0 && errno == EINTR);
}

/* An assignment, and STATUS= behind it; a status is one line whatever it says. */
static void notify_tell(const struct notify *n, const char *assignment, const char *status)
{
	char text[NOTIFY_TEXT_SIZE];
	size_t used;

	if (n->fd < 0)
		return;
	used = (size_t)snprintf(text, sizeof(text), "%s", assignment);
	if (status != NULL) {
		char *p = text + used + (used > 0);

		snprintf(text + used, sizeof(text) - used, "%sSTATUS=%s", used > 0 ? "\n" : "",
			 status);
		for (; *p != '\0'; p++)
			if ((unsigned char)*p < ' ')
				*p = ' ';
	}
	notify_send(n, text);
}

void notify_ready(struct notify *n, const char *status)
{
	notify_tell(n, "READY=1", status);
}

void notify_status(struct notify *n, const char *status)
{
	notify_tell(n, "", status);
}

void notify_reloading(struct notify *n, uint64_t now_ns)
{
	char text[64];

	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		 now_ns / NOTIFY_NS_PER_US);
	notify_tell(n, text, NULL);
}

void notify_stopping(struct notify *n, const char *status)
{
	notify_tell(n, "STOPPING=1", status);
}

uint64_t notify_watchdog_ns(const struct notify *n)
{
	return n->watchdog_ns;
}

void notify_watchdog(struct notify *n)
{
	if (n->watchdog_ns > 0)
		notify_tell(n, "WATCHDOG=1", NULL);
}
