/* SPDX-License-Identifier: MIT */
/*
 * The word of a program that embeds the engine on a socket that was just made: it may mark it, or
 * refuse it. Asked before bind and connect, on the thread that makes the socket.
 */
#pragma once

#include "rstun.h"

#include <stddef.h>

struct socket_hook {
	/* Not 0: the socket is not to be used. NULL = nobody asks. */
	int (*call)(void *user, int fd);
	void *user;
};

/* `hook` may be NULL. RSTUN_E_PERMISSION_DENIED. */
static inline int socket_hook_ask(const struct socket_hook *hook, int fd)
{
	if (hook == NULL || hook->call == NULL || hook->call(hook->user, fd) == 0)
		return 0;
	return RSTUN_E_PERMISSION_DENIED;
}
