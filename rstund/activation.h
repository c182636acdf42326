/* SPDX-License-Identifier: MIT */
/*
 * Sockets that the service manager opened for us (socket activation, sd_listen_fds(3)): descriptors
 * from 3 on, with the names of the socket units' FileDescriptorName. What kind of socket each is
 * has to be looked at by whoever takes it. Main thread, at the start, before anything is opened.
 */
#pragma once

#include <stddef.h>

#define ACTIVATION_FIRST_FD 3
#define ACTIVATION_MAX 64
#define ACTIVATION_ERROR_SIZE 256

struct activation_socket {
	int fd;     /* close-on-exec is set; whoever takes it sets -1 here */
	char *name; /* "unknown" if it has none */
};

struct activation {
	struct activation_socket *sockets;
	size_t count;
};

/*
 * Reads LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES and removes them. None (or meant for another
 * process) is no error. RSTUN_E_CONFIG_INVALID with a sentence in `error` when the variables and
 * the descriptors do not fit together; RSTUN_E_NOMEM.
 */
int activation_take(struct activation *ret, char error[ACTIVATION_ERROR_SIZE]);

/* Closes what nobody took. Accepts NULL. */
void activation_free(struct activation *a);
